//! A board with two lines is a bridge: a host, a bridge board and a leaf board behind it, over virtual wires.

mod desk;

use std::time::Duration;

use desk::{DOWN, LEAF, UP, boards};
use netchan::board::{self, Config, RecvError as Told};
use netchan::proto::{LineConfig, Place, Reason};
use netchan::{Blob, Client, Duplex, ImportError, Node, Receiver, RecvError, Sender, Watch};

const WIDE: LineConfig = LineConfig::uart(115_200, 2, 240, 4);
const NARROW: LineConfig = LineConfig::uart(115_200, 2, 64, 2);

/// Where the leaf is, seen from the host.
const FAR: &str = "relay-board/leaf";

#[test]
fn a_host_imports_a_channel_of_the_board_behind_the_bridge_by_its_path() {
    let (bridge, leaf, mut desk) = boards!(
        Config::new(WIDE).export::<board::Latest<u16>>(1).bridge(4, 256),
        Config::new(NARROW).export::<board::Sender<u32>>(2).export::<board::Receiver<u8>>(2)
    );
    let load: board::Latest<u16> = bridge.node.export("load").unwrap();
    let ticks: board::Sender<u32> = leaf.export("ticks").unwrap();
    let mut levels: board::Receiver<u8> = leaf.export("level").unwrap();
    load.set(&7).unwrap();

    let host = Node::new("desk");
    desk.adopt(&host);
    desk.until(|| host.nodes().len() == 2);
    let names: Vec<_> = host.nodes().iter().map(|node| (node.name.clone(), node.via)).collect();
    assert_eq!(names, [("relay-board".to_owned(), 1), ("leaf".to_owned(), 2)]);

    let mut own = desk.run(host.remote("relay-board").import::<Watch<u16>>("load")).unwrap();
    assert_eq!(desk.run(own.changed()).unwrap(), 7);
    let far = host.remote(FAR);
    let mut from_leaf = desk.run(far.import::<Receiver<u32>>("ticks")).unwrap();
    let mut to_leaf = desk.run(far.import::<Sender<u8>>("level")).unwrap();
    for n in 0..100 {
        desk.until(|| ticks.try_send(n).is_ok());
        assert_eq!(desk.run(from_leaf.recv()).unwrap(), n);
        desk.run(to_leaf.send(n as u8)).unwrap();
        let mut came = None;
        desk.until(|| {
            came = levels.try_recv().ok();
            came.is_some()
        });
        assert_eq!(came, Some(n as u8));
    }
    // That all was taken is known across the bridge.
    desk.run(to_leaf.drain()).unwrap();
    assert_eq!(bridge.bridge.in_use(), 2);
    drop((from_leaf, to_leaf));
    desk.until(|| levels.try_recv().is_err() && bridge.bridge.in_use() == 0);
}

#[test]
fn calls_latest_values_and_conversations_pass_through() {
    let (bridge, leaf, mut desk) = boards!(
        Config::new(WIDE).bridge(4, 256),
        Config::new(NARROW)
            .export::<board::Server<u16, u32>>(2)
            .export::<board::Latest<u32>>(1)
            .export::<board::Watch<u32>>(1)
            .export::<board::Duplex<u8, u8>>(2)
    );
    let mut square: board::Server<u16, u32> = leaf.export("square").unwrap();
    let load: board::Latest<u32> = leaf.export("load").unwrap();
    let mut goal: board::Watch<u32> = leaf.export("goal").unwrap();
    let mut echo: board::Duplex<u8, u8> = leaf.export("echo").unwrap();
    let host = Node::new("desk");
    desk.adopt(&host);
    desk.until(|| host.nodes().len() == 2);
    let far = host.remote(FAR);

    let squares = desk.run(far.import::<Client<u16, u32>>("square")).unwrap();
    for n in 0..30 {
        let answer = desk.run_beside(squares.call(n), || {
            if let Ok(request) = square.try_recv() {
                let n = u32::from(*request);
                request.reply(n * n).unwrap();
            }
        });
        assert_eq!(answer.unwrap(), u32::from(n) * u32::from(n));
    }

    let mut loads = desk.run(far.import::<Watch<u32>>("load")).unwrap();
    let goals = desk.run(far.import::<netchan::Latest<u32>>("goal")).unwrap();
    for n in 0..1000 {
        load.set(&n).unwrap();
        goals.set(n).unwrap();
        desk.step();
    }
    desk.until(|| loads.try_changed() == Ok(999));
    desk.until(|| goal.try_changed() == Ok(999));

    let mut talk = desk.run(far.import::<Duplex<u8, u8>>("echo")).unwrap();
    for n in 0..20 {
        desk.run(talk.send(n)).unwrap();
        desk.until(|| match echo.try_recv() {
            Ok(byte) => echo.try_send(byte).is_ok(),
            Err(_) => false,
        });
        assert_eq!(desk.run(talk.recv()).unwrap(), n);
    }
    assert_eq!(bridge.bridge.in_use(), 4);
}

#[test]
fn long_messages_pass_in_the_parts_in_which_they_come() {
    let (_, leaf, mut desk) = boards!(
        Config::new(WIDE).bridge(2, 600),
        Config::new(NARROW).export::<board::Sender<Blob<500>>>(2).export::<board::Receiver<Blob<500>>>(2)
    );
    let from: board::Sender<Blob<500>> = leaf.export("from").unwrap();
    let mut to: board::Receiver<Blob<500>> = leaf.export("to").unwrap();
    let host = Node::new("desk");
    desk.adopt(&host);
    desk.until(|| host.nodes().len() == 2);
    let mut from_leaf = desk.run(host.remote(FAR).import::<Receiver<Blob<500>>>("from")).unwrap();
    let to_leaf = desk.run(host.remote(FAR).import::<Sender<Blob<500>>>("to")).unwrap();
    let message = |n: usize| -> Blob<500> {
        let bytes: Vec<u8> = (0..n * 37 % 501).map(|at| (n + at) as u8).collect();
        Blob::try_from(&*bytes).unwrap()
    };
    let (mut sent, mut took, mut put, mut got) = (0, 0, 0, 0);
    desk.until(|| {
        sent += usize::from(from.try_send(message(sent)).is_ok());
        if let Ok(came) = from_leaf.try_recv() {
            assert_eq!(came, message(took), "message {took}");
            took += 1;
        }
        put += usize::from(to_leaf.try_send(message(put)).is_ok());
        if let Ok(came) = to.try_recv() {
            assert_eq!(came, message(got), "message {got}");
            got += 1;
        }
        took >= 300 && got >= 300
    });
}

#[test]
fn a_slow_leaf_holds_up_nothing_but_its_own_channel() {
    let (bridge, leaf, mut desk) = boards!(
        Config::new(WIDE).export::<board::Duplex<u32, u32>>(2).bridge(2, 64),
        Config::new(NARROW).export::<board::Receiver<u32>>(2).export::<board::Sender<u32>>(2)
    );
    let mut echo: board::Duplex<u32, u32> = bridge.node.export("echo").unwrap();
    let mut slow: board::Receiver<u32> = leaf.export("slow").unwrap();
    let ticks: board::Sender<u32> = leaf.export("ticks").unwrap();
    let host = Node::new("desk");
    desk.adopt(&host);
    desk.until(|| host.nodes().len() == 2);
    let to_slow = desk.run(host.remote(FAR).import::<Sender<u32>>("slow")).unwrap();
    let mut beside = desk.run(host.remote(FAR).import::<Receiver<u32>>("ticks")).unwrap();
    let mut talk = desk.run(host.remote("relay-board").import::<Duplex<u32, u32>>("echo")).unwrap();
    // Nobody takes these.
    let mut sent = 0;
    desk.until(|| {
        let is_sent = to_slow.try_send(sent).is_ok();
        sent += u32::from(is_sent);
        !is_sent && sent >= 8
    });
    (0..100).for_each(|_| desk.step());
    while to_slow.try_send(sent).is_ok() {
        sent += 1;
    }
    for n in 0..50 {
        desk.run(talk.send(n)).unwrap();
        desk.until(|| match echo.try_recv() {
            Ok(value) => echo.try_send(value).is_ok(),
            Err(_) => false,
        });
        assert_eq!(desk.run(talk.recv()).unwrap(), n);
        desk.until(|| ticks.try_send(n).is_ok());
        assert_eq!(desk.run(beside.recv()).unwrap(), n);
    }
    // And none of these was lost.
    let mut took = 0;
    desk.until(|| {
        if let Ok(value) = slow.try_recv() {
            assert_eq!(value, took);
            took += 1;
        }
        took == sent
    });
}

#[test]
fn a_refusal_comes_from_where_it_was_made_with_what_it_says() {
    let (bridge, leaf, mut desk) = boards!(
        Config::new(WIDE).bridge(1, 256),
        Config::new(NARROW).export::<board::Sender<u32>>(2).export::<board::Sender<u8>>(2)
    );
    let _ticks: board::Sender<u32> = leaf.export("ticks").unwrap();
    let _other: board::Sender<u8> = leaf.export("other").unwrap();
    let host = Node::new("desk");
    desk.adopt(&host);
    desk.until(|| host.nodes().len() == 2);

    let refused = desk.run(host.remote(FAR).import::<Receiver<u8>>("ticks")).unwrap_err();
    assert!(refused.to_string().contains("u32"), "{refused}");
    assert!(matches!(refused.into_inner(), ImportError::TypeDiffers { .. }));
    let refused = desk.run(host.remote(FAR).import::<Sender<u32>>("ticks")).unwrap_err();
    assert!(refused.to_string().contains("direction"), "{refused}");
    let refused = desk.run(host.remote("relay-board/nobody").import::<Sender<u32>>("ticks")).unwrap_err();
    assert!(refused.to_string().contains("route"), "{refused}");
    desk.until(|| bridge.bridge.in_use() == 0);

    // One circuit is all that it has room for.
    let ticks = desk.run(host.remote(FAR).import::<Receiver<u32>>("ticks")).unwrap();
    let refused = desk.run(host.remote(FAR).import::<Receiver<u8>>("other")).unwrap_err();
    assert!(matches!(refused.into_inner(), ImportError::NoResources));
    drop(ticks);
    desk.until(|| bridge.bridge.in_use() == 0);
    desk.run(host.remote(FAR).import::<Receiver<u8>>("other")).unwrap();
}

#[test]
fn the_loss_of_the_leaf_is_told_at_once_with_its_place_and_the_rest_goes_on() {
    let (bridge, leaf, mut desk) = boards!(
        Config::new(WIDE).export::<board::Sender<u32>>(2).bridge(4, 256),
        Config::new(NARROW).export::<board::Sender<u32>>(2).import::<board::Receiver<u32>>(2)
    );
    let own: board::Sender<u32> = bridge.node.export("own").unwrap();
    let ticks: board::Sender<u32> = leaf.export("ticks").unwrap();
    let host = Node::new("desk");
    desk.adopt(&host);
    desk.until(|| host.nodes().len() == 2);
    let before: Vec<_> = host.nodes().iter().map(|node| node.id).collect();
    let mut of_bridge = desk.run(host.remote("relay-board").import::<Receiver<u32>>("own")).unwrap();
    let mut of_leaf = desk.run(host.remote(FAR).import::<Receiver<u32>>("ticks")).unwrap();
    desk.until(|| ticks.try_send(1).is_ok());
    assert_eq!(desk.run(of_leaf.recv()).unwrap(), 1);

    desk.restart(LEAF);
    let told = desk.run(of_leaf.recv()).unwrap_err();
    let RecvError::Dead(dead) = told else { panic!("{told:?}") };
    // The bridge is the host's neighbour.
    assert_eq!((dead.reason, dead.at), (Reason::PeerRestarted, Place::Peer));
    // It comes back under another number, and the program goes on.
    // Each look is another one.
    desk.until(|| matches!(&host.nodes()[..], [_, leaf] if leaf.id != before[1]));
    let mut of_leaf = desk.run(host.remote(FAR).import::<Receiver<u32>>("ticks")).unwrap();
    let mut came = None;
    desk.until(|| {
        let _ = ticks.try_send(2);
        came = of_leaf.try_recv().ok();
        came.is_some()
    });
    assert_eq!(came, Some(2));
    desk.until(|| own.try_send(3).is_ok());
    assert_eq!(desk.run(of_bridge.recv()).unwrap(), 3);

    // The line is cut: the dead-time passes, and the bridge says so.
    desk.lines[DOWN].1.unplug();
    let dead = loop {
        match desk.run(of_leaf.recv()) {
            Ok(value) => assert_eq!(value, 2),
            Err(RecvError::Dead(dead)) => break dead,
            Err(told) => panic!("{told:?}"),
        }
    };
    assert!(matches!(dead.reason, Reason::Unresponsive | Reason::LinkLost), "{dead:?}");
    assert_eq!(dead.at, Place::Peer);
    desk.until(|| host.nodes().len() == 1);
    desk.until(|| own.try_send(4).is_ok());
    assert_eq!(desk.run(of_bridge.recv()).unwrap(), 4);
}

#[test]
fn the_leaf_and_the_host_hear_of_the_end_of_the_bridge_and_find_each_other_again() {
    let (_, leaf, mut desk) =
        boards!(Config::new(WIDE).bridge(4, 256), Config::new(NARROW).export::<board::Duplex<u32, u32>>(2));
    let mut talk: board::Duplex<u32, u32> = leaf.export("talk").unwrap();
    let host = Node::new("desk");
    let peer = desk.adopt(&host);
    desk.until(|| host.nodes().len() == 2);
    let mut far = desk.run(host.remote(FAR).import::<Duplex<u32, u32>>("talk")).unwrap();
    desk.run(far.send(1)).unwrap();
    desk.until(|| talk.try_recv() == Ok(1));

    desk.restart(UP);
    desk.restart(DOWN);
    let told = desk.run(far.recv()).unwrap_err();
    assert!(matches!(told, RecvError::Dead(dead) if dead.reason == Reason::PeerRestarted), "{told:?}");
    desk.run(peer.down());
    let mut told = None;
    desk.until(|| {
        told = talk.try_recv().err().filter(|told| *told != Told::Empty);
        told.is_some()
    });
    let Some(Told::Left { dead: Some(dead) }) = told else { panic!("{told:?}") };
    assert_eq!(dead.reason, Reason::PeerRestarted);
    desk.adopt(&host);
    desk.until(|| host.nodes().len() == 2);
    let mut far = desk.run(host.remote(FAR).import::<Duplex<u32, u32>>("talk")).unwrap();
    desk.run(far.send(2)).unwrap();
    desk.until(|| talk.try_recv() == Ok(2));
}

#[test]
fn the_loss_of_the_host_is_told_to_the_leaf_and_the_leaf_comes_again_with_the_next_one() {
    let (bridge, leaf, mut desk) = boards!(
        Config::new(WIDE).export::<board::Sender<u16>>(2).bridge(4, 256),
        Config::new(NARROW).export::<board::Duplex<u32, u32>>(2).import::<board::Receiver<u16>>(2)
    );
    let own: board::Sender<u16> = bridge.node.export("own").unwrap();
    let mut talk: board::Duplex<u32, u32> = leaf.export("talk").unwrap();
    let mut of_bridge: board::Receiver<u16> = leaf.import("own").unwrap();
    // A board behind a bridge without a host has the bridge.
    desk.until(|| own.try_send(1).is_ok());
    desk.until(|| of_bridge.try_recv() == Ok(1));

    let host = Node::new("desk");
    let peer = desk.adopt(&host);
    // It joins a tree, so the leaf comes again, and its import goes on.
    let mut told = None;
    desk.until(|| {
        told = of_bridge.try_recv().err().filter(|told| *told != Told::Empty);
        told.is_some()
    });
    assert!(
        matches!(told, Some(Told::Interrupted { dead, .. }) if dead.reason == Reason::Renumbered),
        "{told:?}"
    );
    desk.until(|| own.try_send(2).is_ok());
    desk.until(|| of_bridge.try_recv() == Ok(2));

    desk.until(|| host.nodes().len() == 2);
    let far = desk.run(host.remote(FAR).import::<Duplex<u32, u32>>("talk")).unwrap();
    desk.until(|| talk.try_send(1).is_ok());
    peer.close();
    desk.until(|| !peer.is_up());
    let mut told = None;
    desk.until(|| {
        told = talk.try_recv().err().filter(|told| *told != Told::Empty);
        told.is_some()
    });
    let Some(Told::Left { dead: Some(dead) }) = told else { panic!("{told:?}") };
    assert_eq!((dead.reason, dead.at), (Reason::Closed, Place::Peer));
    drop(far);
    // What the bridge itself has for it goes on.
    desk.until(|| own.try_send(3).is_ok());
    desk.until(|| of_bridge.try_recv() == Ok(3));
    let other = Node::new("other");
    desk.adopt(&other);
    desk.until(|| other.nodes().len() == 2);
    let mut far = desk.run(other.remote(FAR).import::<Duplex<u32, u32>>("talk")).unwrap();
    desk.run(far.send(5)).unwrap();
    desk.until(|| talk.try_recv() == Ok(5));
}

#[test]
fn a_shutdown_reaches_the_leaf_first_and_both_lines_rest_until_the_program_resumes() {
    let (bridge, leaf, mut desk) =
        boards!(Config::new(WIDE).bridge(4, 256), Config::new(NARROW).export::<board::Duplex<u32, u32>>(2));
    let mut talk: board::Duplex<u32, u32> = leaf.export("talk").unwrap();
    let host = Node::new("desk");
    let peer = desk.adopt(&host);
    desk.until(|| host.nodes().len() == 2);
    let mut far = desk.run(host.remote(FAR).import::<Duplex<u32, u32>>("talk")).unwrap();
    desk.run(far.send(1)).unwrap();
    desk.until(|| talk.try_recv() == Ok(1));
    assert_eq!(bridge.bridge.shutdown(), None);

    host.shut_down_below(Duration::from_secs(3));
    let told = desk.run(far.recv()).unwrap_err();
    assert!(matches!(told, RecvError::Dead(dead) if dead.reason == Reason::Shutdown), "{told:?}");
    let mut told = None;
    desk.until(|| {
        told = talk.try_recv().err().filter(|told| *told != Told::Empty);
        told.is_some()
    });
    let Some(Told::Left { dead: Some(dead) }) = told else { panic!("{told:?}") };
    assert_eq!((dead.reason, dead.at), (Reason::Shutdown, Place::Peer));
    desk.run(peer.down());
    assert_eq!(bridge.bridge.shutdown(), Some(Duration::from_secs(3)));
    for _ in 0..2000 {
        desk.step();
    }
    assert!(desk.lines.iter().take(2).all(|(line, _)| !line.is_up()));
    bridge.bridge.resume();
    desk.adopt(&host);
    desk.until(|| host.nodes().len() == 2);
}

#[test]
fn a_root_above_the_host_finds_the_leaf_and_hears_what_becomes_of_it() {
    let (_, leaf, mut desk) =
        boards!(Config::new(WIDE).bridge(4, 256), Config::new(NARROW).export::<board::Sender<u32>>(2));
    let ticks: board::Sender<u32> = leaf.export("ticks").unwrap();
    let (root, host) = (Node::new("root"), Node::new("desk"));
    let (left, right) = netchan::testing::wire();
    let (adopting, joining) = (left.adopt(&root, &WIDE), right.join(&host, &WIDE));
    desk.run(adopting).unwrap();
    desk.run(joining).unwrap();
    desk.adopt(&host);
    desk.until(|| root.nodes().len() == 3);
    let far = root.remote("desk/relay-board/leaf");
    let mut from_leaf = desk.run(far.import::<Receiver<u32>>("ticks")).unwrap();
    for n in 0..20 {
        desk.until(|| ticks.try_send(n).is_ok());
        assert_eq!(desk.run(from_leaf.recv()).unwrap(), n);
    }
    let bridge = root.nodes()[1].id;
    desk.restart(LEAF);
    let told = desk.run(from_leaf.recv()).unwrap_err();
    let RecvError::Dead(dead) = told else { panic!("{told:?}") };
    assert_eq!((dead.reason, dead.at), (Reason::PeerRestarted, Place::Node(bridge)));
    assert_eq!(root.describe(&dead), "dead: the peer restarted (says desk/relay-board)");
}

#[test]
fn a_child_that_has_children_of_its_own_is_turned_away() {
    let (_, _, mut desk) =
        boards!(Config::new(WIDE).bridge(4, 256), Config::new(NARROW).export::<board::Sender<u32>>(2));
    let (host, below) = (Node::new("desk"), Node::new("below"));
    desk.adopt(&host);
    // In the place of the leaf.
    let port = desk.lines.pop().unwrap().1;
    let refused = desk.run(port.join(&below, &NARROW)).unwrap_err();
    assert!(refused.to_string().contains("no room"), "{refused}");
}
