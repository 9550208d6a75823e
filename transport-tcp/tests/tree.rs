//! Trees of nodes over TCP: who is where, who reaches whom, and who is told what when something is
//! gone.

mod common;

use std::time::Duration;

use common::{Outcome, SOON, Tick, calm, eventually, tick};
use netchan::host::{EndKind, NodeChange, Visibility};
use netchan::{
    Client, ExportOptions, ImportError, Latest, LinkEvent, Message, Node, Place, Reason, Receiver, RecvError,
    Sender, Server, Watch, channel,
};
use netchan_tcp as tcp;
use serde::{Deserialize, Serialize};

/// A node that adopts, and where.
fn adopts(name: &str) -> (Node, String) {
    let node = Node::new(name);
    let listener = tcp::listen_with(&node, "127.0.0.1:0", tcp::Options::new().adopt()).expect("a free port");
    (node, listener.address().to_string())
}

/// Puts a node below the one that listens there.
fn joins(node: &Node, parent: &str) {
    let options = tcp::Options::new().join().live_on();
    tcp::connect_with(node, parent, options).timeout(SOON).wait().expect("it is adopted");
}

fn below(node: &Node) -> Vec<String> {
    let mut paths: Vec<_> = node.nodes().iter().filter_map(|info| node.path_of(info.id)).collect();
    paths.sort();
    paths
}

fn in_tree() -> ExportOptions {
    ExportOptions::default().visible_to(Visibility::Tree)
}

/// hub -> bridge -> board, and hub -> desk.
struct Yard {
    hub: Node,
    bridge: Node,
    board: Node,
    desk: Node,
}

fn yard() -> Yard {
    let (hub, at_hub) = adopts("hub");
    let (bridge, at_bridge) = adopts("bridge");
    joins(&bridge, &at_hub);
    let board = Node::new("board");
    joins(&board, &at_bridge);
    let desk = Node::new("desk");
    joins(&desk, &at_hub);
    eventually("the hub knows all", || (below(&hub) == ["bridge", "bridge/board", "desk"]).then_some(()));
    Yard { hub, bridge, board, desk }
}

#[test]
fn a_node_three_hops_away_is_reached_by_its_path() -> Outcome {
    let _calm = calm();
    let Yard { board, desk, hub, bridge } = yard();
    let mut ticks: Sender<Tick> = board.export_with("ticks", in_tree())?;
    let mut got = desk.remote("bridge/board").import::<Receiver<Tick>>("ticks").wait()?;
    for n in 0..1000 {
        ticks.send(tick(n)).timeout(SOON).wait()?;
        assert_eq!(got.recv().timeout(SOON).wait()?, tick(n));
    }
    drop(ticks);
    assert_eq!(got.recv().timeout(SOON).wait(), Err(RecvError::Closed));
    assert_eq!(below(&bridge), ["board"]);
    drop(hub);
    Ok(())
}

#[test]
fn calls_latest_values_and_large_messages_pass_a_bridge() -> Outcome {
    let _calm = calm();
    let Yard { board, desk, hub: _hub, bridge: _bridge } = yard();
    let mut double: Server<u32, u64> = board.export_with("double", in_tree())?;
    let serving = common::spawn(move || {
        while let Ok(request) = double.recv().timeout(SOON).wait() {
            let n = u64::from(*request);
            let _ = request.reply(2 * n).wait();
        }
    });
    let board_of = desk.remote("bridge/board");
    let client = board_of.import::<Client<u32, u64>>("double").wait()?;
    for n in 0..200 {
        assert_eq!(client.call(n).timeout(SOON).wait()?, 2 * u64::from(n));
    }
    drop(client);

    let level: Latest<u32> = board.export_with("level", in_tree())?;
    let mut seen = board_of.import::<Watch<u32>>("level").wait()?;
    for n in 1..=500 {
        level.set(n)?;
    }
    let last = eventually("the newest value comes", || {
        let value = seen.changed().timeout(SOON).wait().ok()?;
        (value == 500).then_some(value)
    });
    assert_eq!(last, 500);

    let mut blobs: Sender<Vec<u8>> = board.export_with("blobs", in_tree())?;
    let mut got = board_of.import::<Receiver<Vec<u8>>>("blobs").message_limit(3 << 20).wait()?;
    let blob: Vec<u8> = (0..2_000_003u32).map(|n| (n % 251) as u8).collect();
    let sent = blob.clone();
    let sender = common::spawn(move || {
        for _ in 0..5 {
            blobs.send(sent.clone()).timeout(SOON).wait().expect("it is sent");
        }
        blobs.drain().timeout(SOON).wait().expect("all are taken");
    });
    for _ in 0..5 {
        assert!(got.recv().timeout(SOON).wait()? == blob, "it comes unaltered");
    }
    sender.join();
    drop(board);
    serving.join();
    Ok(())
}

#[test]
fn what_is_not_there_is_told_with_the_node_that_says_so() -> Outcome {
    let _calm = calm();
    let Yard { board, desk, hub, bridge } = yard();
    let refused = |path: &str| desk.remote(path).import::<Receiver<Tick>>("ticks").wait().unwrap_err();
    match &*refused("bridge/nobody") {
        ImportError::Dead(dead) => {
            assert_eq!((dead.reason, dead.at), (Reason::NoRoute, Place::Peer));
        }
        other => panic!("{other}"),
    }
    let by_id = desk.remote_id(999).import::<Receiver<Tick>>("ticks").wait().unwrap_err();
    assert!(matches!(*by_id, ImportError::Dead(dead) if dead.reason == Reason::NoRoute), "{by_id}");
    // No such name: the board says so, over two bridges.
    let none =
        desk.remote("bridge/board").import::<Receiver<Tick>>("none").timeout(Duration::from_millis(50));
    assert!(matches!(*none.wait().unwrap_err(), ImportError::NoName | ImportError::Deadline));
    // Aside: not visible unless the exporter says so.
    let _hidden: Sender<Tick> = board.export("ticks")?;
    let aside = refused("bridge/board");
    let ImportError::Dead(dead) = &*aside else { panic!("{aside}") };
    let board_id = hub.nodes().iter().find(|info| info.name == "board").expect("it is known").id;
    assert_eq!((dead.reason, dead.at), (Reason::Refused, Place::Node(board_id)));
    // From above it is.
    let above = hub.remote("bridge/board").import::<Receiver<Tick>>("ticks").wait()?;
    drop(above);
    assert_eq!(hub.describe(dead), format!("dead: refused (says {})", "bridge/board"));
    drop(bridge);
    Ok(())
}

#[test]
fn every_loss_on_the_way_is_told_at_once() -> Outcome {
    let _calm = calm();
    // The one that is lost, and who says so.
    for (lost, by) in [("board", Some("bridge")), ("bridge", None)] {
        let Yard { board, desk, hub, bridge } = yard();
        let mut ticks: Sender<Tick> = board.export_with("ticks", in_tree())?;
        let mut got = desk.remote("bridge/board").import::<Receiver<Tick>>("ticks").wait()?;
        ticks.send(tick(1)).timeout(SOON).wait()?;
        assert_eq!(got.recv().timeout(SOON).wait()?, tick(1));
        let names = hub.nodes();
        if lost == "board" {
            board.shutdown(Duration::ZERO);
        } else {
            bridge.shutdown(Duration::ZERO);
        }
        let error = got.recv().timeout(SOON).wait().unwrap_err();
        let RecvError::Dead(dead) = error else { panic!("{error}") };
        let expected = by.map_or(Place::Peer, |name| {
            Place::Node(names.iter().find(|info| info.name == name).expect("it was known").id)
        });
        // Who says goodbye speaks for itself: so it is the node that is gone.
        let gone = names.iter().find(|info| info.name == lost).expect("it was known").id;
        assert!(dead.at == expected || dead.at == Place::Node(gone), "{dead} not by {expected:?}");
        assert_eq!(dead.reason, Reason::Shutdown);
        eventually("the hub knows", || {
            (!below(&hub).iter().any(|path| path.ends_with("board"))).then_some(())
        });
        let left = eventually("the hub tells", || match hub.next_event()? {
            LinkEvent::NodeLeft { name, .. } => Some(name),
            _ => None,
        });
        assert!(left == "board" || left == "bridge");
    }
    Ok(())
}

#[test]
fn ten_nested_nodes_stream_and_the_fifth_is_lost() -> Outcome {
    let _calm = calm();
    let mut nodes = Vec::new();
    let mut above: Option<String> = None;
    for n in 0..10 {
        let (node, at) = adopts(&format!("n{n}"));
        if let Some(above) = &above {
            joins(&node, above);
        }
        above = Some(at);
        nodes.push(node);
    }
    let path = (1..10).map(|n| format!("n{n}")).collect::<Vec<_>>().join("/");
    eventually("the root knows all", || (nodes[0].nodes().len() == 9).then_some(()));
    let mut ticks: Sender<Tick> = nodes[9].export("ticks")?;
    let mut got = nodes[0].remote(&path).import::<Receiver<Tick>>("ticks").wait()?;
    for n in 0..100 {
        ticks.send(tick(n)).timeout(SOON).wait()?;
        assert_eq!(got.recv().timeout(SOON).wait()?, tick(n));
    }
    let fourth = nodes[0].nodes().iter().find(|info| info.name == "n4").expect("it is known").id;
    let fifth = nodes[0].nodes().iter().find(|info| info.name == "n5").expect("it is known").id;
    nodes[5].shutdown(Duration::ZERO);
    let error = got.recv().timeout(SOON).wait().unwrap_err();
    let RecvError::Dead(dead) = error else { panic!("{error}") };
    assert!([Place::Node(fourth), Place::Node(fifth)].contains(&dead.at), "{dead}");
    let error = eventually("the sender is told", || ticks.try_send(tick(0)).err());
    drop(error);
    eventually("the root forgets", || (nodes[0].nodes().len() == 4).then_some(()));
    // Those below live on, as a tree of their own.
    let path = (7..10).map(|n| format!("n{n}")).collect::<Vec<_>>().join("/");
    let _again = nodes[6].remote(&path).import::<Receiver<Tick>>("ticks").wait()?;
    eventually("it is a root", || nodes[6].above().is_empty().then_some(()));
    eventually("the last one knows", || (nodes[9].above().len() == 3).then_some(()));
    Ok(())
}

#[test]
fn a_tree_that_joins_another_one_is_numbered_anew() -> Outcome {
    let _calm = calm();
    let (hub, at_hub) = adopts("hub");
    let (bridge, at_bridge) = adopts("bridge");
    let board = Node::new("board");
    let options = tcp::Options::new().join();
    let parent =
        tcp::connect_with(&board, &at_bridge, options).reconnect(netchan::Reconnect::new()).wait()?;
    let before = board.id();
    joins(&bridge, &at_hub);
    eventually("it has come again", || (below(&hub) == ["bridge", "bridge/board"]).then_some(()));
    eventually("its parent is the same peer", || parent.is_up().then_some(()));
    eventually("it has another id", || (board.id() != before).then_some(()));
    let second = Node::new("second");
    let (_other, at_other) = adopts("other");
    joins(&second, &at_hub);
    let refused = tcp::connect_with(&second, &at_other, options).wait().unwrap_err();
    assert!(refused.to_string().contains("has a parent already"), "{refused}");
    // Who does not adopt is no parent, and says what is to be done.
    let peer = Node::new("peer");
    let listener = tcp::listen(&peer, "127.0.0.1:0")?;
    let refused = tcp::join(&Node::new("third"), listener.address()).wait().unwrap_err();
    assert!(refused.to_string().contains("adopt"), "{refused}");
    Ok(())
}

#[test]
fn a_shutdown_from_above_needs_no_program_below() -> Outcome {
    let _calm = calm();
    let Yard { hub, bridge, board, desk } = yard();
    let _ticks: Sender<Tick> = board.export_with("ticks", in_tree())?;
    let mut got = desk.remote("bridge/board").import::<Receiver<Tick>>("ticks").wait()?;
    hub.shut_down_below(Duration::from_secs(2));
    let error = got.recv().timeout(SOON).wait().unwrap_err();
    assert!(matches!(error, RecvError::Dead(dead) if dead.reason == Reason::Shutdown), "{error}");
    eventually("all are gone", || hub.nodes().is_empty().then_some(()));
    for node in [bridge, board, desk] {
        eventually("it is shut", || match node.export::<Sender<Tick>>("more") {
            Err(netchan::ExportError::Shutdown) => Some(()),
            _ => None,
        });
        assert!(node.is_shut());
    }
    assert!(!hub.is_shut());
    Ok(())
}

#[test]
fn a_child_ends_with_its_parent_unless_it_lives_on() -> Outcome {
    let _calm = calm();
    let (hub, at_hub) = adopts("hub");
    let ends = Node::new("ends");
    tcp::join(&ends, &*at_hub).wait()?;
    let lives = Node::new("lives");
    joins(&lives, &at_hub);
    hub.shutdown(Duration::ZERO);
    eventually("it ends", || match ends.export::<Sender<Tick>>("more") {
        Err(netchan::ExportError::Shutdown) => Some(()),
        _ => None,
    });
    let _goes_on: Sender<Tick> = lives.export("more")?;
    eventually("it is a root", || lives.above().is_empty().then_some(()));
    Ok(())
}

#[test]
fn who_lives_on_does_so_when_its_parent_ends_with_the_one_above() -> Outcome {
    let _calm = calm();
    let (hub, at_hub) = adopts("hub");
    let (bridge, at_bridge) = adopts("bridge");
    tcp::join(&bridge, &*at_hub).wait()?;
    let (ends, lives) = (Node::new("ends"), Node::new("lives"));
    tcp::join(&ends, &*at_bridge).wait()?;
    joins(&lives, &at_bridge);
    hub.shutdown(Duration::ZERO);
    for node in [bridge, ends] {
        eventually("it ends", || node.is_shut().then_some(()));
    }
    eventually("it is a root", || lives.above().is_empty().then_some(()));
    assert!(!lives.is_shut());
    // Nor is it told to end by a parent whose own program shuts it.
    let (bridge, at_bridge) = adopts("bridge");
    let (_hub, at_hub) = adopts("hub");
    tcp::join(&bridge, &*at_hub).wait()?;
    joins(&lives, &at_bridge);
    bridge.shutdown(Duration::ZERO);
    eventually("it is a root again", || lives.above().is_empty().then_some(()));
    let _goes_on: Sender<Tick> = lives.export("more")?;
    Ok(())
}

#[derive(Serialize, Deserialize, Message, Debug)]
struct Question {
    text: String,
    answers: Sender<u64>,
}

#[derive(Serialize, Deserialize, Message, Debug)]
struct Feed {
    first: Receiver<u64>,
    second: Option<Receiver<Vec<u8>>>,
}

#[test]
fn channel_ends_in_messages_pass_bridges() -> Outcome {
    let _calm = calm();
    let Yard { board, desk, hub: _hub, bridge: _bridge } = yard();
    let mut questions: Receiver<Question> = board.export_with("ask", in_tree())?;
    let answerer = common::spawn(move || {
        while let Ok(mut question) = questions.recv().timeout(SOON).wait() {
            for n in 0..question.text.len() as u64 {
                question.answers.send(n).timeout(SOON).wait().expect("somebody asked");
            }
        }
    });
    let mut ask = desk.remote("bridge/board").import::<Sender<Question>>("ask").wait()?;
    for round in 0..50 {
        let (answers, mut got) = channel(4);
        ask.send(Question { text: "x".repeat(round), answers }).timeout(SOON).wait()?;
        for n in 0..round as u64 {
            assert_eq!(got.recv().timeout(SOON).wait().map_err(|e| format!("round {round} {n}: {e}"))?, n);
        }
        assert_eq!(got.recv().timeout(SOON).wait(), Err(RecvError::Closed));
    }
    // Many in a row, with large messages before and behind them.
    let mut feeds: Receiver<Feed> = board.export_with("feeds", in_tree())?;
    let mut send = desk.remote("bridge/board").import::<Sender<Feed>>("feeds").wait()?;
    let sender = common::spawn(move || {
        for n in 0..100u64 {
            let (mut one, first) = channel(8);
            let (mut two, second) = channel(2);
            send.send(Feed { first, second: (n % 3 == 0).then_some(second) })
                .timeout(SOON)
                .wait()
                .expect("sent");
            one.send(n).timeout(SOON).wait().expect("it is heard");
            if n % 3 == 0 {
                two.send(vec![n as u8; 20_000]).timeout(SOON).wait().expect("it is heard");
            }
        }
    });
    for n in 0..100 {
        let Feed { mut first, second } =
            feeds.recv().timeout(SOON).wait().map_err(|e| format!("feed {n}: {e}"))?;
        assert_eq!(first.recv().timeout(SOON).wait().map_err(|e| format!("first {n}: {e}"))?, n);
        assert_eq!(second.is_some(), n % 3 == 0);
        if let Some(mut second) = second {
            assert_eq!(second.recv().timeout(SOON).wait()?, vec![n as u8; 20_000]);
        }
    }
    sender.join();
    drop((ask, board));
    answerer.join();
    Ok(())
}

/// The desk gives a sender to the bridge's program, which gives it on to the board's: what that sends comes to the desk.
#[test]
fn a_sender_passes_from_program_to_program_and_brings_the_last_ones_values_to_the_first() -> Outcome {
    let _calm = calm();
    let Yard { board, desk, hub: _hub, bridge } = yard();
    let mut at_board: Receiver<Sender<Tick>> = board.export_with("inbox", in_tree())?;
    let mut at_bridge: Receiver<Sender<Tick>> = bridge.export_with("inbox", in_tree())?;
    let mut onward = bridge.remote("board").import::<Sender<Sender<Tick>>>("inbox").wait()?;
    let passing = common::spawn(move || {
        for _ in 0..20 {
            let sender = at_bridge.recv().timeout(SOON).wait().expect("one comes");
            onward.send(sender).timeout(SOON).wait().expect("it goes on");
        }
        (at_bridge, onward)
    });
    let answering = common::spawn(move || {
        for n in 0..19 {
            let mut back = at_board.recv().timeout(SOON).wait().expect("one comes");
            for i in 0..n {
                back.send(tick(i)).timeout(SOON).wait().expect("somebody listens");
            }
            back.drain().timeout(SOON).wait().expect("all are taken");
        }
        let mut last = at_board.recv().timeout(SOON).wait().expect("one comes");
        last.send(tick(7)).timeout(SOON).wait().expect("somebody listens");
        (at_board, last)
    });
    for n in 0..19 {
        let (mine, mut got) = channel(4);
        // As a post, for every other one.
        if n % 2 == 0 {
            desk.remote("bridge").post("inbox", mine).timeout(SOON).wait()?;
        } else {
            let mut inbox = desk.remote("bridge").import::<Sender<Sender<Tick>>>("inbox").wait()?;
            inbox.send(mine).timeout(SOON).wait()?;
        }
        for i in 0..n {
            assert_eq!(got.recv().timeout(SOON).wait(), Ok(tick(i)));
        }
        assert_eq!(got.recv().timeout(SOON).wait(), Err(RecvError::Closed));
    }
    let (mine, mut got) = channel(4);
    desk.remote("bridge").post("inbox", mine).timeout(SOON).wait()?;
    assert_eq!(got.recv().timeout(SOON).wait(), Ok(tick(7)));
    let (_passing, (_at_board, mut last)) = (passing.join(), answering.join());
    // It is served through the one between: both are told when that is gone.
    bridge.shutdown(Duration::ZERO);
    let error = got.recv().timeout(SOON).wait().unwrap_err();
    assert!(matches!(error, RecvError::Dead(dead) if dead.reason == Reason::Shutdown), "{error:?}");
    eventually("the sender hears of it", || last.send(tick(8)).timeout(SOON).wait().err());
    Ok(())
}

#[test]
fn ends_in_messages_that_are_lost_on_the_way_are_told() -> Outcome {
    let _calm = calm();
    let Yard { board, desk, hub: _hub, bridge } = yard();
    let questions: Receiver<Question> = board.export_with("ask", in_tree())?;
    let mut ask = desk.remote("bridge/board").import::<Sender<Question>>("ask").wait()?;
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let (answers, got) = channel::<u64>(4);
        ask.send(Question { text: "?".into(), answers }).timeout(SOON).wait()?;
        waiting.push(got);
    }
    bridge.shutdown(Duration::ZERO);
    for mut got in waiting {
        let error = got.recv().timeout(SOON).wait().unwrap_err();
        assert!(matches!(error, RecvError::Dead(_)), "{error}");
    }
    drop(questions);
    Ok(())
}

#[test]
fn nodes_exports_and_links_are_found_from_anywhere() -> Outcome {
    let _calm = calm();
    let Yard { hub, bridge, board, desk } = yard();
    let _ticks: Sender<Tick> =
        board.export_with("ticks", in_tree().doc("counts up, a value for each second"))?;
    let _double: Server<u32, u64> = board.export_with("double", in_tree())?;
    let _secret: Sender<Tick> = board.export("secret")?;
    let mut names = Vec::new();
    for info in &mut desk.remote("/").nodes().wait()? {
        let info = info?;
        names.push((info.name, info.id, info.via));
    }
    let id = |node: &Node| node.id();
    assert_eq!(names[0], ("hub".into(), id(&hub), 0));
    assert!(names.contains(&("bridge".into(), id(&bridge), id(&hub))), "{names:?}");
    assert!(names.contains(&("board".into(), id(&board), id(&bridge))), "{names:?}");
    assert!(names.contains(&("desk".into(), id(&desk), id(&hub))), "{names:?}");
    // Aside, what is for those above is not even listed.
    let list = |from: &Node| -> Result<Vec<_>, Box<dyn std::error::Error>> {
        let mut list = Vec::new();
        for info in &mut from.remote("bridge/board").exports().wait()? {
            let info = info?;
            list.push((info.name, info.end, info.type_name, info.doc));
        }
        Ok(list)
    };
    let ticks = || {
        let doc = "counts up, a value for each second";
        ("ticks".to_string(), EndKind::Sender, "Tick".to_string(), doc.to_string())
    };
    let double = ("double".to_string(), EndKind::Server, "u64".to_string(), String::new());
    let seen = list(&desk)?;
    assert_eq!((seen.len(), &seen[0].0, seen[0].1, &seen[1]), (2, &double.0, double.1, &ticks()));
    assert_eq!(list(&hub)?.len(), 3);
    // Lists of many entries come whole, at the pace of who reads them.
    let many: Vec<Sender<u8>> =
        (0..3000).map(|n| board.export_with(&format!("many/{n}"), in_tree())).collect::<Result<_, _>>()?;
    assert_eq!(list(&desk)?.len(), 3002);
    drop(many);

    let mut got = desk.remote("bridge/board").import::<Receiver<Tick>>("ticks").wait()?;
    let before = desk.picture().timeout(SOON).wait()?;
    let picture = desk.picture().timeout(SOON).wait()?.since(&before);
    let text = picture.text();
    assert!(text.starts_with(&format!("hub ({})\n", hub.id())), "{text}");
    assert!(
        text.contains("bridge") && text.contains("│  └─ board") || text.contains("   └─ board"),
        "{text}"
    );
    assert!(text.contains("1 circuits") && text.contains("B/s up"), "{text}");
    assert!(picture.graphviz().contains(&format!("n{} -> n{}", bridge.id(), board.id())));
    assert!(picture.mermaid().contains(&format!("n{}[\"board ({})\"]", board.id(), board.id())));
    assert!(got.try_recv().is_err());
    Ok(())
}

#[test]
fn nodes_that_come_and_go_are_watched_from_anywhere() -> Outcome {
    let _calm = calm();
    let Yard { hub: _hub, bridge, board, desk } = yard();
    let mut changes = desk.remote("/").changes().wait()?;
    let listener = tcp::listen_with(&bridge, "127.0.0.1:0", tcp::Options::new().adopt())?;
    for round in 0..5 {
        let guest = Node::new("guest");
        joins(&guest, &listener.address().to_string());
        let NodeChange::Joined(joined) = changes.recv().timeout(SOON).wait()? else { panic!("{round}") };
        assert_eq!((&*joined.name, joined.id, joined.via), ("guest", guest.id(), bridge.id()));
        drop(guest);
        let NodeChange::Left(left) = changes.recv().timeout(SOON).wait()? else { panic!("{round}") };
        assert_eq!((&*left.name, left.id), ("guest", joined.id));
    }
    drop(board);
    let NodeChange::Left(left) = changes.recv().timeout(SOON).wait()? else { panic!() };
    assert_eq!(left.name, "board");
    Ok(())
}

#[test]
fn a_node_is_known_above_before_it_speaks() -> Outcome {
    let _calm = calm();
    let Yard { hub, bridge, board: _board, desk } = yard();
    let _ticks: Sender<Tick> = desk.export_with("ticks", in_tree())?;
    let listener = tcp::listen_with(&bridge, "127.0.0.1:0", tcp::Options::new().adopt())?;
    for round in 0..60 {
        let guest = Node::new("guest");
        tcp::join(&guest, listener.address()).timeout(SOON).wait()?;
        // Its open goes the way that its route went a moment ago.
        let got = guest.remote("desk").import::<Receiver<Tick>>("ticks").timeout(SOON).wait();
        assert!(got.is_ok(), "round {round}: {:?}", got.err());
    }
    assert_eq!((hub.strikes(), bridge.strikes()), (0, 0));
    Ok(())
}

#[test]
fn an_oversized_reply_wakes_the_caller_across_bridges() -> Outcome {
    let _calm = calm();
    let Yard { board, desk, hub: _hub, bridge: _bridge } = yard();
    let mut blobs: Server<u32, Vec<u8>> = board.export_with("blobs", in_tree())?;
    let serving = common::spawn(move || {
        while let Ok(request) = blobs.recv().timeout(SOON).wait() {
            let len = *request as usize;
            let _ = request.reply(vec![1; len]).wait();
        }
    });
    let client =
        desk.remote("bridge/board").import::<Client<u32, Vec<u8>>>("blobs").message_limit(1000).wait()?;
    assert_eq!(client.call(500).timeout(SOON).wait()?.len(), 500);
    let error = client.call(5000).timeout(SOON).wait().unwrap_err();
    assert!(error.to_string().contains("longer than the receiver's limit"), "{error}");
    // It is that call alone.
    assert_eq!(client.call(900).timeout(SOON).wait()?.len(), 900);
    drop(board);
    serving.join();
    Ok(())
}

#[test]
fn the_last_events_of_a_node_are_the_ends_of_its_links() -> Outcome {
    let _calm = calm();
    for round in 0..20 {
        let (hub, at_hub) = adopts("hub");
        let children = ["a", "b", "c"].map(Node::new);
        for child in &children {
            joins(child, &at_hub);
        }
        let watching = hub.clone();
        let watcher = common::spawn(move || {
            let mut gone = Vec::new();
            while let Some(event) = watching.event().wait() {
                match event {
                    LinkEvent::Down { .. } => gone.push("a link".to_owned()),
                    LinkEvent::NodeLeft { name, .. } => gone.push(name),
                    _ => {}
                }
            }
            gone.sort();
            gone
        });
        hub.shutdown(SOON);
        assert_eq!(watcher.join(), ["a", "a link", "a link", "a link", "b", "c"], "round {round}");
    }
    Ok(())
}

/// What is said with a refusal once found no room at a bridge that held no values yet.
#[test]
fn a_refusal_over_bridges_says_which_type_is_exported() -> Outcome {
    let _calm = calm();
    let Yard { board, desk, hub: _hub, bridge: _bridge } = yard();
    let _ticks: Sender<Tick> = board.export_with("ticks", in_tree())?;
    let differs = desk.remote("bridge/board").import::<Receiver<u64>>("ticks").wait().unwrap_err();
    let ImportError::TypeDiffers { exported, .. } = &*differs else { panic!("{differs}") };
    assert!(exported.contains("Tick"), "{exported}");
    Ok(())
}

#[derive(Serialize, Deserialize, Message, Debug)]
struct Maybe {
    n: u64,
    answers: Option<Sender<u64>>,
}

/// The end once overtook a message that waited at a bridge for the ends inside it; and where a short message
/// went before it in the same burst, it waited for ever.
#[test]
fn ends_in_messages_behind_others_and_before_the_end_pass_bridges() -> Outcome {
    let _calm = calm();
    let Yard { board, desk, hub: _hub, bridge: _bridge } = yard();
    let mut asked: Receiver<Maybe> = board.export_with("ask", in_tree())?;
    for round in 0..30 {
        let mut ask = desk.remote("bridge/board").import::<Sender<Maybe>>("ask").wait()?;
        let (answers, mut got) = channel(4);
        ask.send(Maybe { n: 0, answers: None }).timeout(SOON).wait()?;
        ask.send(Maybe { n: 1, answers: Some(answers) }).timeout(SOON).wait()?;
        drop(ask);
        assert_eq!(asked.recv().timeout(SOON).wait().map_err(|e| format!("round {round}: {e}"))?.n, 0);
        let Maybe { n, answers } =
            asked.recv().timeout(SOON).wait().map_err(|e| format!("round {round}: {e}"))?;
        assert_eq!(n, 1);
        answers.expect("it was sent").send(round).timeout(SOON).wait()?;
        assert_eq!(got.recv().timeout(SOON).wait()?, round);
    }
    Ok(())
}
