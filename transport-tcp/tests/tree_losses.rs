//! Every place in a tree where something can be lost, seen from every place: each kind of waiter is told, with
//! the reason and the node that gave up.

mod common;

use std::time::{Duration, Instant};

use common::cable::Cable;
use common::{SOON, Task, Tick, calm, eventually, spawn, tick};
use netchan::host::Visibility;
use netchan::{
    CallError, Client, Config, Dead, DrainError, ExportOptions, Fanout, ImportError, LinkEvent, Node, Place,
    Reason, Receiver, RecvError, SendCause, Sender, Server,
};
use netchan_tcp as tcp;

/// ```text
/// root - a - a1 - a11
///      |   ` a2
///      ` b
/// ```
struct Wood {
    nodes: Vec<(&'static str, Node, Option<Cable>)>,
}

const PLACES: [(&str, &str); 5] = [("a", "root"), ("b", "root"), ("a1", "a"), ("a2", "a"), ("a11", "a1")];

impl Wood {
    fn new(dead_time: Duration) -> Self {
        let config = Config::new().dead_time(dead_time);
        let node = |name| Node::with_config(name, config.clone()).expect("a name");
        let adopts = |node: &Node| {
            let adopt = tcp::Options::new().adopt();
            tcp::listen_with(node, "127.0.0.1:0", adopt).expect("a free port").address()
        };
        let root = node("root");
        let mut at = vec![("root", adopts(&root))];
        let mut nodes = vec![("root", root, None)];
        for (name, parent) in PLACES {
            let parent = at.iter().find(|(other, _)| *other == parent).expect("it comes before").1;
            let (cable, through) = Cable::new(parent);
            let child = node(name);
            let join = tcp::Options::new().join().live_on();
            tcp::connect_with(&child, through, join).timeout(SOON).wait().expect("it is adopted");
            at.push((name, adopts(&child)));
            nodes.push((name, child, Some(cable)));
        }
        let wood = Self { nodes };
        eventually("the root knows all", || (wood.node("root").nodes().len() == PLACES.len()).then_some(()));
        wood
    }

    fn node(&self, name: &str) -> &Node {
        &self.nodes.iter().find(|node| node.0 == name).expect("it is there").1
    }

    fn id(&self, name: &str) -> u32 {
        self.node(name).id()
    }

    fn cable(&self, name: &str) -> &Cable {
        self.nodes
            .iter()
            .find(|node| node.0 == name)
            .and_then(|node| node.2.as_ref())
            .expect("it has a parent")
    }
}

/// What a node exports for all kinds of waiters, held by a program that does nothing.
struct Idle {
    _ticks: Sender<Tick>,
    _sink: Receiver<Vec<u8>>,
    _slow: Receiver<Tick>,
    server: Server<u32, u32>,
}

fn idle(node: &Node) -> Idle {
    let all = || ExportOptions::fanout(Fanout::Broadcast).visible_to(Visibility::Tree);
    let taken = "each name is free";
    Idle {
        _ticks: node.export_with("ticks", all()).expect(taken),
        _sink: node.export_with("sink", all().message_limit(4096)).expect(taken),
        _slow: node.export_with("slow", all()).expect(taken),
        server: node.export_with("calls", all()).expect(taken),
    }
}

/// One waiter of each kind, all of them at work; with what they are told.
fn waiters(at: &Node, of: u32) -> Vec<(&'static str, Task<Dead>)> {
    let remote = at.remote_id(of);
    let there = "it is exported";
    let mut ticks = remote.import::<Receiver<Tick>>("ticks").timeout(SOON).wait().expect(there);
    let mut sink = remote.import::<Sender<Vec<u8>>>("sink").timeout(SOON).wait().expect(there);
    let mut slow = remote.import::<Sender<Tick>>("slow").timeout(SOON).wait().expect(there);
    let client = remote.import::<Client<u32, u32>>("calls").timeout(SOON).wait().expect(there);
    // Full, so that the next one waits for credit.
    while sink.try_send(vec![0; 4000]).is_ok() {}
    slow.send(tick(1)).timeout(SOON).wait().expect("there is room for one");
    let dead_of_send = |cause| match cause {
        SendCause::Dead(dead) => dead,
        other => panic!("{other}"),
    };
    vec![
        (
            "recv",
            spawn(move || match ticks.recv().timeout(2 * SOON).wait() {
                Err(RecvError::Dead(dead)) => dead,
                other => panic!("{other:?}"),
            }),
        ),
        (
            "send",
            spawn(move || {
                loop {
                    // The last of the room may have come back since.
                    if let Err(error) = sink.send(vec![0; 4000]).timeout(2 * SOON).wait() {
                        return dead_of_send(error.cause());
                    }
                }
            }),
        ),
        (
            "drain",
            spawn(move || match slow.drain().timeout(2 * SOON).wait() {
                Err(DrainError { dead: Some(dead), account, .. }) => {
                    assert_eq!(
                        (account.confirmed, account.in_doubt + account.unsent),
                        (0, 1),
                        "it was not taken"
                    );
                    dead
                }
                other => panic!("{other:?}"),
            }),
        ),
        (
            "call",
            spawn(move || match client.call(1).timeout(2 * SOON).wait() {
                Err(CallError::Dead(dead)) => dead,
                other => panic!("{other:?}"),
            }),
        ),
        (
            "import",
            spawn(move || {
                let error = remote
                    .import::<Receiver<Tick>>("never")
                    .timeout(2 * SOON)
                    .wait()
                    .expect_err("it is not there");
                match &*error {
                    ImportError::Dead(dead) => *dead,
                    other => panic!("{other}"),
                }
            }),
        ),
    ]
}

/// Which node waits, on which one, whose link to its parent is lost, and who gives up; `None` where it is the waiting
/// node itself.
const CASES: [(&str, &str, &str, &str, Option<&str>); 11] = [
    ("child", "root", "a", "a", None),
    ("grandchild", "root", "a1", "a1", Some("a")),
    ("great-grandchild", "root", "a11", "a11", Some("a1")),
    ("intermediary", "root", "a11", "a1", Some("a")),
    ("first intermediary", "root", "a11", "a", None),
    ("near sibling", "a1", "a2", "a2", Some("a")),
    ("far sibling", "b", "a11", "a11", Some("a1")),
    ("far sibling, on its way", "b", "a11", "a", Some("root")),
    ("far sibling, on our way", "a2", "b", "a", Some("a")),
    ("parent", "a11", "a1", "a11", None),
    ("root", "a11", "root", "a", Some("a")),
];

fn every_case(dead_time: Duration, lose: impl Fn(&Cable), reason: Reason) {
    let _calm = calm();
    let cases: Vec<_> = CASES
        .into_iter()
        .map(|(what, at, of, lost, by)| {
            let wood = Wood::new(dead_time);
            let mut exports = idle(wood.node(of));
            let waiters = waiters(wood.node(at), wood.id(of));
            // The call has come, so its answer is waited for.
            let call = exports.server.recv().timeout(SOON).wait().expect("a call");
            (what, wood, exports, call, waiters, at, of, lost, by)
        })
        .collect();
    let start = Instant::now();
    for (_, wood, .., lost, _) in &cases {
        lose(wood.cable(lost));
    }
    for (what, wood, exports, call, waiters, at, of, _, by) in cases {
        let place = by.map(|by| wood.id(by));
        let expected = match place {
            None => Place::Here,
            // A neighbour speaks for itself.
            Some(_) if by == neighbour(at, of) => Place::Peer,
            Some(id) => Place::Node(id),
        };
        for (kind, waiter) in waiters {
            let dead = waiter.join();
            assert_eq!((dead.reason, dead.at), (reason, expected), "{what}: {kind}");
        }
        // 1.25 of the dead-time, and a second for each hop, of which there are four at the most; on a busy machine.
        let bound = dead_time.mul_f64(1.25) + Duration::from_secs(4);
        assert!(start.elapsed() < bound + SOON, "{what}: {:?}", start.elapsed());
        // The other end hears of it as well, from its own side.
        let left = eventually("the exporter is told", || match wood.node(of).next_event()? {
            LinkEvent::Left { dead: Some(dead), .. } => Some(dead),
            _ => None,
        });
        assert_eq!(left.reason, reason, "{what}");
        eventually("the call was given up", || call.is_cancelled().then_some(()));
        drop(exports);
    }
}

/// The next node on the way.
fn neighbour(at: &str, of: &str) -> Option<&'static str> {
    match (at, of) {
        ("root", "a11" | "a1" | "a") => Some("a"),
        ("a1" | "a2", _) => Some("a"),
        ("b", _) => Some("root"),
        ("a11", _) => Some("a1"),
        _ => None,
    }
}

#[test]
fn whoever_waits_on_what_is_cut_off_is_told_with_the_place() {
    every_case(Duration::from_secs(5), Cable::cut, Reason::LinkLost);
}

#[test]
fn whoever_waits_on_what_has_fallen_silent_is_told_in_time() {
    every_case(Duration::from_secs(1), Cable::stop, Reason::Unresponsive);
}
