//! What a bridge holds, and what an open costs on its way. With `-- --nocapture` the figures are shown.
#![expect(clippy::print_stdout, reason = "figures, for who wants them")]

mod common;

use common::cable::Cable;
use common::raw::{Raw, receives};
use common::{Outcome, SOON, Tick, calm, eventually};
use netchan::host::{NodeChange, Visibility};
use netchan::proto::{Fault, Frame, Open, Route, TreeFrame};
use netchan::{
    Config, ExportOptions, Fanout, ImportError, LinkError, Node, Reason, Receiver, SendCause, Sender,
};
use netchan_tcp as tcp;

const CIRCUITS: usize = 1000;
/// What the bridge may promise on each of its links, in bytes.
const RESERVE: u64 = 12 << 20;
const LEND: u64 = 4 << 20;

#[test]
fn a_bridge_with_a_thousand_full_circuits_holds_no_more_than_it_may() -> Outcome {
    let _calm = calm();
    let bridge = Node::with_config("bridge", Config::new().memory_per_link(RESERVE, LEND))?;
    let address = tcp::listen_with(&bridge, "127.0.0.1:0", tcp::Options::new().adopt())?.address();
    let join = |name| -> Result<Node, Box<dyn std::error::Error>> {
        let node = Node::new(name);
        tcp::join(&node, address).wait()?;
        Ok(node)
    };
    let (board, desk) = (join("board")?, join("desk")?);
    let options =
        || ExportOptions::fanout(Fanout::Broadcast).visible_to(Visibility::Tree).message_limit(4096);
    for round in 0..2 {
        // Nobody takes what comes here.
        let sink: Receiver<Vec<u8>> = board.export_with("sink", options())?;
        let mut senders = Vec::new();
        for _ in 0..CIRCUITS {
            senders.push(desk.remote("board").import::<Sender<Vec<u8>>>("sink").timeout(SOON).wait()?);
        }
        let (mut sent, mut most) = (0u64, 0);
        loop {
            let before = sent;
            for sender in &mut senders {
                match sender.try_send(vec![round; 4000]) {
                    Ok(()) => sent += 1,
                    Err(error) => assert_eq!(error.cause(), SendCause::Full),
                }
            }
            let waiting: u64 = bridge.links().iter().map(|link| link.waiting).sum();
            assert!(waiting <= RESERVE + LEND, "{waiting} bytes wait");
            most = most.max(waiting);
            // All are full when a look at all of them finds no room, and what is under way has come.
            if sent == before && bridge.links().iter().any(|link| link.waiting >= CIRCUITS as u64 * 4000) {
                break;
            }
        }
        assert!(sent >= 4 * CIRCUITS as u64, "{sent} values: two in each place on the way");
        let passing: u32 = bridge.links().iter().map(|link| link.passing).sum();
        assert_eq!(passing, 2 * CIRCUITS as u32);
        println!(
            "round {round}: {CIRCUITS} circuits, {sent} values of 4000 bytes under way; the bridge holds {most} bytes of the {} \
             that it may, {} for each circuit",
            RESERVE + LEND,
            most / CIRCUITS as u64
        );
        // One that is full holds up none of the others.
        let mut ticks: Sender<Tick> = board.export_with("ticks", options())?;
        let mut got = desk.remote("board").import::<Receiver<Tick>>("ticks").timeout(SOON).wait()?;
        ticks.send(common::tick(7)).timeout(SOON).wait()?;
        assert_eq!(got.recv().timeout(SOON).wait()?, common::tick(7));
        drop((senders, sink, ticks, got));
        // All of it is given back: the next round finds as much room.
        eventually("nothing passes any more", || {
            bridge.links().iter().all(|link| link.passing == 0).then_some(())
        });
    }
    Ok(())
}

#[test]
fn an_open_over_ten_hops_is_one_round_trip_of_the_way() -> Outcome {
    let _calm = calm();
    let adopt = tcp::Options::new().adopt();
    let root = Node::new("n0");
    let mut at = tcp::listen_with(&root, "127.0.0.1:0", adopt)?.address();
    let mut below = Vec::new();
    for n in 1..=10 {
        let node = Node::new(&format!("n{n}"));
        let (cable, through) = Cable::new(at);
        tcp::join(&node, through).timeout(SOON).wait()?;
        at = tcp::listen_with(&node, "127.0.0.1:0", adopt)?.address();
        below.push((node, cable));
    }
    eventually("the root knows all", || (root.nodes().len() == 10).then_some(()));
    let last = &below[9].0;
    let _ticks: Sender<Tick> = last.export("ticks")?;
    let path = (1..=10).map(|n| format!("n{n}")).collect::<Vec<_>>().join("/");
    let got = root.remote(&path).import::<Receiver<Tick>>("ticks").timeout(SOON).wait()?;
    let mut frames = [0; 2];
    for (n, (_, cable)) in below.iter().enumerate() {
        let [up, down] = cable.frames(|frame| match frame {
            Frame::Open(..) => Some("open"),
            Frame::Accept(..) => Some("accept"),
            Frame::Dead(..) | Frame::Data(..) => Some("else"),
            _ => None,
        });
        frames = [frames[0] + down.len(), frames[1] + up.len()];
        assert_eq!((up, down), (vec!["accept"], vec!["open"]), "hop {n}");
    }
    let [down, up] = frames;
    println!(
        "an open over {} links: {down} frames there, {up} back, so 1 round trip of the way",
        below.len()
    );
    drop(got);
    Ok(())
}

#[test]
fn what_a_node_may_hold_of_its_tree_is_what_its_config_says() -> Outcome {
    let _calm = calm();
    let config = Config::new().nodes_below(4).ids_per_link(100).passing_per_link(6).watchers_per_link(2);
    let hub = Node::with_config("hub", config)?;
    let at = tcp::listen_with(&hub, "127.0.0.1:0", tcp::Options::new().adopt())?.address();
    let join = |name| {
        let node = Node::new(name);
        tcp::join(&node, at).timeout(SOON).wait().map(|_| node)
    };
    let (board, desk) = (join("board")?, join("desk")?);
    let (mut raw, id) = Raw::child(at);
    // Ids: as many at once as it may have, and what comes to it in the meantime.
    let (mut granted, mut first) = (0, 0);
    loop {
        let (start, count) = raw.allocate(64);
        if count == 0 {
            break;
        }
        (granted, first) = (granted + count, first.max(start));
    }
    assert!((100..130).contains(&granted), "{granted} ids");
    // Nodes: one more below it, and then neither one there nor a child.
    for id_below in [first, first + 1] {
        raw.send(&Frame::Tree(TreeFrame::AddRoute { id: id_below, via: id, name: "x" }));
    }
    let route = |from| Some(Route { from, hops: 1, to: 1, path: "" });
    let watch = |from| Open { route: route(from), ..receives::<NodeChange>("$changes", 100) };
    assert_eq!(raw.refused(0, watch(first + 1)).reason, Reason::NoResources);
    assert_eq!(hub.nodes().len(), 4);
    let refused = join("more").expect_err("there is no place");
    let none = LinkError::Fault(Fault::Goodbye(Reason::NoResources));
    assert!(matches!(&refused, tcp::ConnectError::Link(error) if *error == none), "{refused}");
    // Watchers.
    raw.open(1, watch(id));
    raw.open(2, watch(first));
    assert_eq!(raw.refused(3, watch(first)).reason, Reason::Busy);
    // Channels that go on: a third for one child.
    let options = ExportOptions::fanout(Fanout::Broadcast).visible_to(Visibility::Tree);
    let _ticks: Sender<Tick> = board.export_with("ticks", options)?;
    let of_board = desk.remote("board");
    let import = || of_board.import::<Receiver<Tick>>("ticks").timeout(SOON).wait();
    let got = [import()?, import()?];
    let error = import().expect_err("there is no room");
    assert!(matches!(*error, ImportError::NoResources), "{error}");
    drop(got);
    eventually("it is free again", || import().is_ok().then_some(()));
    Ok(())
}
