//! Every place in a tree where something can be lost, seen from every place: each kind of waiter is told the reason, the
//! node that gave up, and in time.
//!
//! Time is asserted in two steps, and each is measured from what the nodes could know, so that a busy machine does not fail
//! them and a dead-time too much does. First, the node beside what is lost notices: at once where a connection was closed, within
//! 1.25 dead-times where nothing comes any more. From the moment at which that node tells its own program, whoever waits is
//! told, and that takes no dead-time at all, only a [`HOP`] for each node which passes it on. The dead-time is as long as all
//! of those together.

mod common;

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use common::cable::Cable;
use common::{Outcome, SOON, Task, Tick, calm, eventually, spawn, tick};
use netchan::host::{AskError, PostCause, Visibility};
use netchan::{
    CallError, Client, Config, Dead, DrainError, ExportOptions, Fanout, ImportError, Latest, LinkEvent, Node,
    Place, Reason, Receiver, RecvError, Request, SendCause, Sender, Server, Watch,
};
use netchan_tcp as tcp;

const DEAD_TIME: Duration = Duration::from_secs(5);
/// What each node may take that has to say so, on a machine with other work.
const HOP: Duration = Duration::from_secs(1);

/// Nodes with their parents.
type Places = &'static [(&'static str, &'static str)];

/// ```text
/// root - a - a1 - a11
///      |   ` a2
///      ` b
/// ```
const WOOD: Places = &[("a", "root"), ("b", "root"), ("a1", "a"), ("a2", "a"), ("a11", "a1")];

/// Ten nodes, each below the one before.
const NESTED: Places = &[
    ("n2", "n1"),
    ("n3", "n2"),
    ("n4", "n3"),
    ("n5", "n4"),
    ("n6", "n5"),
    ("n7", "n6"),
    ("n8", "n7"),
    ("n9", "n8"),
    ("n10", "n9"),
];

struct Wood {
    places: Places,
    nodes: Vec<Standing>,
}

struct Standing {
    name: &'static str,
    node: Node,
    /// As it was when the tree was whole.
    id: u32,
    events: Events,
    /// To its parent.
    cable: Option<Cable>,
}

impl Wood {
    fn new(places: Places) -> Self {
        let config = Config::new().dead_time(DEAD_TIME);
        let node = |name| Node::with_config(name, config.clone()).expect("a name");
        let adopts = |node: &Node| {
            let adopt = tcp::Options::new().adopt();
            tcp::listen_with(node, "127.0.0.1:0", adopt).expect("a free port").address()
        };
        let top = places[0].1;
        let root = node(top);
        let mut at = vec![(top, adopts(&root))];
        let mut nodes = vec![(top, root, None)];
        for &(name, parent) in places {
            let parent = at.iter().find(|(other, _)| *other == parent).expect("it comes before").1;
            let (cable, through) = Cable::new(parent);
            let child = node(name);
            let join = tcp::Options::new().join().live_on();
            tcp::connect_with(&child, through, join).timeout(SOON).wait().expect("it is adopted");
            at.push((name, adopts(&child)));
            nodes.push((name, child, Some(cable)));
        }
        eventually("the root knows all", || (nodes[0].1.nodes().len() == places.len()).then_some(()));
        let stand = |(name, node, cable): (_, Node, _)| {
            let (id, events) = (node.id(), Events::of(&node));
            Standing { name, node, id, events, cable }
        };
        Self { places, nodes: nodes.into_iter().map(stand).collect() }
    }

    fn at(&self, name: &str) -> &Standing {
        self.nodes.iter().find(|standing| standing.name == name).expect("it is there")
    }

    /// To the node's parent.
    fn cable(&self, name: &str) -> &Cable {
        self.at(name).cable.as_ref().expect("it has a parent")
    }

    /// The node and those above it.
    fn way_up(&self, name: &'static str) -> Vec<&'static str> {
        let parent = |name: &&str| self.places.iter().find(|(child, _)| child == name).map(|place| place.1);
        std::iter::successors(Some(name), parent).collect()
    }

    fn hops(&self, from: &'static str, to: &'static str) -> u32 {
        let (from, to) = (self.way_up(from), self.way_up(to));
        let shared = from.iter().rev().zip(to.iter().rev()).take_while(|(one, other)| one == other).count();
        (from.len() + to.len() - 2 * shared) as u32
    }

    /// What a program at `at` is to be told of as the place of `by`.
    fn place(&self, at: &'static str, by: &'static str) -> Place {
        match self.hops(at, by) {
            0 => Place::Here,
            // A neighbour speaks for itself.
            1 => Place::Peer,
            _ => Place::Node(self.at(by).id),
        }
    }
}

/// What has happened on a node, and when it said so. A node tells each event once, so it is kept for all who ask.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<(Instant, LinkEvent)>>>);

impl Events {
    fn of(node: &Node) -> Self {
        let (events, node) = (Self::default(), node.downgrade());
        let kept = events.clone();
        thread::spawn(move || {
            // This does not keep it, so the wait ends with the node.
            let Some(node) = node.upgrade() else { return };
            while let Some(event) = node.event().wait() {
                kept.0.lock().expect("nobody panics").push((Instant::now(), event));
            }
        });
        events
    }

    fn all<R>(&self, mut f: impl FnMut(&LinkEvent) -> Option<R>) -> Vec<(Instant, R)> {
        let events = self.0.lock().expect("nobody panics");
        events.iter().filter_map(|(at, event)| Some((*at, f(event)?))).collect()
    }
}

/// How a link, or the node between two of them, is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// As by the end of a process: the system closes its connections, and nothing else is said.
    Cut,
    /// As by a machine that has lost its power: nothing comes any more, and no end either.
    Silent,
    /// The node says goodbye.
    Left,
}

impl Loss {
    /// Befalls the node, and its links to its parent and to this child.
    fn befall(self, wood: &Wood, node: &str, child: Option<&str>) {
        if self == Self::Left {
            wood.at(node).node.shutdown(Duration::ZERO);
            return;
        }
        let cables = [Some(node), child].map(|name| name.map(|name| wood.cable(name)));
        // Both at once: what the node has to say about the one is not heard over the other.
        for cable in cables.iter().flatten() {
            cable.stop();
        }
        if self == Self::Cut {
            for cable in cables.iter().flatten() {
                cable.cut();
            }
        }
    }

    fn reason(self) -> Reason {
        match self {
            Self::Cut => Reason::LinkLost,
            Self::Silent => Reason::Unresponsive,
            Self::Left => Reason::Shutdown,
        }
    }

    /// Within what time the node beside notices.
    fn bound(self) -> Duration {
        match self {
            Self::Cut | Self::Left => HOP,
            Self::Silent => DEAD_TIME.mul_f64(1.25) + HOP,
        }
    }
}

/// What a node exports for all kinds of waiters, held by a program that does nothing.
struct Idle {
    ticks: Sender<Tick>,
    _level: Latest<Tick>,
    _sink: Receiver<Vec<u8>>,
    _slow: Receiver<Tick>,
    _posts: Receiver<Tick>,
    server: Server<u32, u32>,
}

fn idle(node: &Node) -> Idle {
    let all = || ExportOptions::fanout(Fanout::Broadcast).visible_to(Visibility::Tree);
    let taken = "each name is free";
    Idle {
        ticks: node.export_with("ticks", all()).expect(taken),
        _level: node.export_with("level", all()).expect(taken),
        _sink: node.export_with("sink", all().message_limit(4096)).expect(taken),
        _slow: node.export_with("slow", all()).expect(taken),
        _posts: node.export_with("posts", all()).expect(taken),
        server: node.export_with("calls", all()).expect(taken),
    }
}

/// What is waited for, and what came of it, when.
type Waiter = (&'static str, Task<(Dead, Instant)>);

/// So many of the waiters of one program call.
const CALLS: usize = 2;
/// So many import nothing that they keep.
const ONE_OFFS: usize = 2;

/// One waiter of each kind, all of them at work.
fn waiters(at: &Node, of: u32) -> Vec<Waiter> {
    let remote = at.remote_id(of);
    let there = "it is exported";
    let mut level = remote.import::<Watch<Tick>>("level").timeout(SOON).wait().expect(there);
    let mut sink = remote.import::<Sender<Vec<u8>>>("sink").timeout(SOON).wait().expect(there);
    let mut slow = remote.import::<Sender<Tick>>("slow").timeout(SOON).wait().expect(there);
    let client = remote.import::<Client<u32, u32>>("calls").timeout(SOON).wait().expect(there);
    // Full, so that the next one waits for credit.
    while sink.try_send(vec![0; 4000]).is_ok() {}
    slow.send(tick(1)).timeout(SOON).wait().expect("there is room for one");
    let for_long = 3 * SOON;
    // Those that open a circuit have to be on their way before it is lost.
    let mut cx = Context::from_waker(Waker::noop());
    let mut never = remote.import::<Receiver<Tick>>("never").timeout(for_long);
    let mut post = remote.post("posts", tick(2)).timeout(for_long);
    let mut ask = remote.ask::<u32, u32>("calls", 2).timeout(for_long);
    assert!(Pin::new(&mut never).poll(&mut cx).is_pending(), "it is never there");
    assert!(Pin::new(&mut post).poll(&mut cx).is_pending(), "nobody takes it");
    assert!(Pin::new(&mut ask).poll(&mut cx).is_pending(), "nobody answers");
    // This one is behind them, so they have come when it has.
    let mut ticks = remote.import::<Receiver<Tick>>("ticks").timeout(SOON).wait().expect(there);
    let told = |dead| (dead, Instant::now());
    vec![
        (
            "recv",
            spawn(move || match ticks.recv().timeout(for_long).wait() {
                Err(RecvError::Dead(dead)) => told(dead),
                other => panic!("{other:?}"),
            }),
        ),
        (
            "watch",
            spawn(move || match level.changed().timeout(for_long).wait() {
                Err(RecvError::Dead(dead)) => told(dead),
                other => panic!("{other:?}"),
            }),
        ),
        (
            "send",
            spawn(move || {
                loop {
                    // The last of the room may have come back since.
                    let Err(error) = sink.send(vec![0; 4000]).timeout(for_long).wait() else { continue };
                    match error.cause() {
                        SendCause::Dead(dead) => return told(dead),
                        other => panic!("{other}"),
                    }
                }
            }),
        ),
        (
            "drain",
            spawn(move || match slow.drain().timeout(for_long).wait() {
                Err(DrainError { dead: Some(dead), account, .. }) => {
                    let told = told(dead);
                    assert_eq!((account.confirmed, account.in_doubt + account.unsent), (0, 1), "not taken");
                    told
                }
                other => panic!("{other:?}"),
            }),
        ),
        (
            "call",
            spawn(move || match client.call(1).timeout(for_long).wait() {
                Err(CallError::Dead(dead)) => told(dead),
                other => panic!("{other:?}"),
            }),
        ),
        (
            "import",
            spawn(move || match &*never.wait().expect_err("it is never there") {
                ImportError::Dead(dead) => told(*dead),
                other => panic!("{other}"),
            }),
        ),
        (
            "post",
            spawn(move || match post.wait().expect_err("nobody takes it").cause() {
                PostCause::Lost(dead) => told(*dead),
                other => panic!("{other:?}"),
            }),
        ),
        (
            "ask",
            spawn(move || match &*ask.wait().expect_err("nobody answers") {
                AskError::Call(CallError::Dead(dead)) => told(*dead),
                other => panic!("{other}"),
            }),
        ),
    ]
}

/// All calls of so many programs have come, so their answers are waited for.
fn calls(exports: &mut Idle, programs: usize) -> Vec<Request<u32, u32>> {
    let call = |_| exports.server.recv().timeout(SOON).wait().expect("a call");
    (0..programs * CALLS).map(call).collect()
}

/// The node is the first on its side to know. When it says so.
fn notices(at: &Standing, loss: Loss, since: Instant) -> Instant {
    let (noticed, reason) = eventually("the node beside notices", || {
        let downs = at.events.all(|event| match event {
            LinkEvent::Down { error, .. } => Some(error.dead().reason),
            _ => None,
        });
        downs.into_iter().next()
    });
    assert_eq!(reason, loss.reason(), "{}", at.name);
    let took = noticed.duration_since(since);
    assert!(took < loss.bound(), "{} has noticed after {took:?}", at.name);
    noticed
}

/// Whoever waits at `at` is told by `by`, which has noticed then.
fn are_told(
    wood: &Wood,
    (at, by): (&'static str, &'static str),
    loss: Loss,
    noticed: Instant,
    waiters: Vec<Waiter>,
) {
    let bound = HOP * (wood.hops(at, by) + 1);
    for (kind, waiter) in waiters {
        let (dead, told) = waiter.join();
        let expected = Dead { reason: loss.reason(), at: wood.place(at, by) };
        assert_eq!(dead, expected, "{kind} at {at}");
        let took = told.saturating_duration_since(noticed);
        assert!(took < bound, "{kind} at {at}: {took:?} after {by} has noticed");
    }
}

/// All importers of a node that exports have left, as told by `by`, which has noticed then.
fn have_left(
    wood: &Wood,
    (of, by): (&'static str, &'static str),
    loss: Loss,
    noticed: Instant,
    calls: Vec<Request<u32, u32>>,
) {
    let bound = HOP * (wood.hops(of, by) + 1);
    let expected = Dead { reason: loss.reason(), at: wood.place(of, by) };
    let left = eventually("the exporter is told of all", || {
        let events = &wood.at(of).events;
        let joined = events.all(|event| matches!(event, LinkEvent::Joined { .. }).then_some(()));
        let left = events.all(|event| match event {
            LinkEvent::Left { export, dead, .. } => Some((export.clone(), *dead)),
            _ => None,
        });
        (!left.is_empty() && left.len() == joined.len()).then_some(left)
    });
    // Who posts or asks has left in order with that.
    let in_order = left.iter().filter(|(_, (_, dead))| dead.is_none()).count();
    assert_eq!(in_order, calls.len() / CALLS * ONE_OFFS, "{of}: {left:?}");
    for (told, (export, dead)) in left {
        let Some(dead) = dead else { continue };
        assert_eq!(dead, expected, "{export} of {of}");
        let took = told.saturating_duration_since(noticed);
        assert!(took < bound, "{export} of {of}: {took:?} after {by} has noticed");
    }
    for call in calls {
        eventually("the call was given up", || call.is_cancelled().then_some(()));
        let refused = call.reply(0).timeout(SOON).wait().expect_err("nobody is there any more");
        // Also of one that has asked once, and had ended in order before.
        assert!(
            matches!(refused.cause(), SendCause::Dead(dead) if dead.reason == expected.reason),
            "{refused}"
        );
    }
}

/// Which node waits, on which one, whose link to its parent is lost, and who gives up.
const CASES: [(&str, &str, &str, &str); 11] = [
    // A child, a grandchild, and one below that.
    ("root", "a", "a", "root"),
    ("root", "a1", "a1", "a"),
    ("root", "a11", "a11", "a1"),
    // A node between.
    ("root", "a11", "a1", "a"),
    ("root", "a11", "a", "root"),
    // A sibling, near or far, itself, or on its way or ours.
    ("a1", "a2", "a2", "a"),
    ("b", "a11", "a11", "a1"),
    ("b", "a11", "a", "root"),
    ("a2", "b", "a", "a"),
    // A parent, and the root.
    ("a11", "a1", "a11", "a11"),
    ("a11", "root", "a", "a"),
];

fn every_case(loss: Loss) {
    let _calm = calm();
    let cases = CASES.map(|case| {
        let (at, of, ..) = case;
        let wood = Wood::new(WOOD);
        let mut exports = idle(&wood.at(of).node);
        let waiters = waiters(&wood.at(at).node, wood.at(of).id);
        let calls = calls(&mut exports, 1);
        (wood, exports, calls, waiters, case)
    });
    let lost = cases.map(|(wood, exports, calls, waiters, case)| {
        let since = Instant::now();
        loss.befall(&wood, case.2, None);
        (wood, exports, calls, waiters, case, since)
    });
    for (wood, exports, calls, waiters, (at, of, lost, by), since) in lost {
        let noticed = notices(wood.at(by), loss, since);
        are_told(&wood, (at, by), loss, noticed, waiters);
        // The other end hears of it as well, from its own side.
        let other = if by == lost { wood.way_up(lost)[1] } else { lost };
        let noticed = notices(wood.at(other), loss, since);
        have_left(&wood, (of, other), loss, noticed, calls);
        drop(exports);
    }
}

#[test]
fn whoever_waits_on_what_is_cut_off_is_told_with_the_place() {
    every_case(Loss::Cut);
}

#[test]
fn whoever_waits_on_what_has_fallen_silent_is_told_in_time() {
    every_case(Loss::Silent);
}

/// The fifth of ten is lost with both of its links, while those above wait for those below, those below for those
/// above, and all of them for the fifth.
fn ten_nested(loss: Loss) -> Outcome {
    const ABOVE: [&str; 4] = ["n1", "n2", "n3", "n4"];
    const BELOW: [&str; 5] = ["n6", "n7", "n8", "n9", "n10"];
    let _calm = calm();
    let wood = Wood::new(NESTED);
    let [mut first, mut fifth, mut last] = ["n1", "n5", "n10"].map(|name| idle(&wood.at(name).node));
    let path = "n2/n3/n4/n5/n6/n7/n8/n9/n10";
    let mut got = wood.at("n1").node.remote(path).import::<Receiver<Tick>>("ticks").wait()?;
    for n in 0..100 {
        last.ticks.send(tick(n)).timeout(SOON).wait()?;
        assert_eq!(got.recv().timeout(SOON).wait()?, tick(n));
    }
    let across = ABOVE.map(|at| (at, "n10")).into_iter().chain(BELOW.map(|at| (at, "n1")));
    let to_the_fifth = ABOVE.into_iter().chain(BELOW).map(|at| (at, "n5"));
    let waiting: Vec<_> =
        across.chain(to_the_fifth).map(|(at, of)| (at, waiters(&wood.at(at).node, wood.at(of).id))).collect();
    let _calls = calls(&mut fifth, ABOVE.len() + BELOW.len());
    let from_below = calls(&mut first, BELOW.len());
    let from_above = calls(&mut last, ABOVE.len());

    let since = Instant::now();
    loss.befall(&wood, "n5", Some("n6"));
    let above = notices(wood.at("n4"), loss, since);
    let below = notices(wood.at("n6"), loss, since);
    // Who says goodbye speaks for itself; else it is the nodes beside it.
    let [by_above, by_below] = if loss == Loss::Left { ["n5"; 2] } else { ["n4", "n6"] };
    for (at, waiters) in waiting {
        let (by, noticed) = if ABOVE.contains(&at) { (by_above, above) } else { (by_below, below) };
        are_told(&wood, (at, by), loss, noticed, waiters);
    }
    have_left(&wood, ("n1", by_above), loss, above, from_below);
    have_left(&wood, ("n10", by_below), loss, below, from_above);

    let node = |name| &wood.at(name).node;
    let dead = Dead { reason: loss.reason(), at: wood.place("n1", by_above) };
    assert_eq!(got.recv().timeout(SOON).wait(), Err(RecvError::Dead(dead)));
    eventually("the root forgets those below", || (node("n1").nodes().len() == 3).then_some(()));
    // Those live on, as a tree of their own.
    eventually("the sixth is a root", || node("n6").above().is_empty().then_some(()));
    eventually("the last one knows", || (node("n10").above().len() == 4).then_some(()));
    let mut again = node("n6").remote("n7/n8/n9/n10").import::<Receiver<Tick>>("ticks").wait()?;
    last.ticks.send(tick(100)).timeout(SOON).wait()?;
    assert_eq!(again.recv().timeout(SOON).wait()?, tick(100));
    Ok(())
}

#[test]
fn ten_nested_nodes_are_told_when_the_fifth_is_killed() -> Outcome {
    ten_nested(Loss::Cut)
}

#[test]
fn ten_nested_nodes_are_told_when_the_fifth_falls_silent() -> Outcome {
    ten_nested(Loss::Silent)
}

#[test]
fn ten_nested_nodes_are_told_when_the_fifth_leaves() -> Outcome {
    ten_nested(Loss::Left)
}
