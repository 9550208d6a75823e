//! Trees of nodes over TCP: who is where, who reaches whom, and who is told what when something is
//! gone.

mod common;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::Duration;

use common::raw::Raw;
use common::{Outcome, SOON, Tick, calm, eventually, spawn, tick};
use netchan::host::{EndKind, NodeChange, ShutDownError, Untold, Visibility};
use netchan::proto::{Above, Frame, LinkKind, TreeFrame};
use netchan::{
    AskError, Client, Dead, ExportOptions, Fanout, ImportError, Latest, LinkEvent, Message, Node, Place,
    PostCause, Reason, Receiver, RecvError, Sender, Server, Watch, channel,
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

/// A path from the root that led back over the link by which it had come was `NoRoute`: nobody could name its own
/// neighbours that way.
#[test]
fn a_path_from_the_root_leads_there_from_everywhere() -> Outcome {
    let _calm = calm();
    let Yard { board, desk, hub, bridge } = yard();
    let nodes = [("/", &hub), ("/bridge", &bridge), ("/bridge/board", &board), ("/desk", &desk)];
    let mut sinks: Vec<Receiver<Tick>> =
        nodes.iter().map(|(_, node)| node.export_with("ticks", in_tree())).collect::<Result<_, _>>()?;
    for (_, from) in nodes {
        for ((path, to), sink) in nodes.iter().zip(&mut sinks) {
            let posted = from.remote(path).post("ticks", tick(7)).timeout(SOON);
            if from.id() == to.id() {
                let error = posted.wait().expect_err("nobody imports from itself");
                assert!(matches!(error.cause(), PostCause::Refused(ImportError::Itself)), "{error:?}");
                continue;
            }
            let taken = spawn(move || posted.wait());
            assert_eq!(sink.recv().timeout(SOON).wait()?, tick(7), "{path}");
            taken.join()?;
        }
    }
    Ok(())
}

#[test]
fn calls_latest_values_and_large_messages_pass_a_bridge() -> Outcome {
    let _calm = calm();
    let Yard { board, desk, hub: _hub, bridge: _bridge } = yard();
    let mut double: Server<u32, u64> = board.export_with("double", in_tree())?;
    let serving = spawn(move || {
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
    let sender = spawn(move || {
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
fn one_child_ends_with_all_below_it_and_nobody_else() -> Outcome {
    let _calm = calm();
    let Yard { hub, bridge, board, desk } = yard();
    let _ticks: Sender<Tick> = board.export_with("ticks", in_tree())?;
    let mut got = desk.remote("bridge/board").import::<Receiver<Tick>>("ticks").wait()?;
    let mut own: Sender<Tick> = hub.export("own")?;
    let mut mine = desk.remote("/").import::<Receiver<Tick>>("own").wait()?;
    let time = Duration::from_secs(2);
    // Its parent alone may do so, and only to a child.
    let elsewhere =
        [desk.remote("bridge"), desk.remote("/"), board.remote("desk"), hub.remote("bridge/board")];
    for remote in elsewhere.iter().chain([&hub.remote("/"), &hub.remote_id(board.id())]) {
        assert_eq!(remote.shut_down(time), Err(ShutDownError::NotAChild), "{remote}");
    }
    for remote in [hub.remote("nobody"), hub.remote("not a name"), hub.remote_id(77)] {
        assert_eq!(remote.shut_down(time), Err(ShutDownError::NotThere), "{remote}");
    }
    assert!(![&hub, &bridge, &board, &desk].iter().any(|node| node.is_shut()));
    let waiting = spawn({
        let import = desk.remote("bridge/board").import::<Receiver<Tick>>("never").timeout(SOON);
        move || import.wait().map(drop)
    });
    eventually("it waits", || (board.links()[0].circuits == 2).then_some(()));

    hub.remote("bridge").shut_down(time)?;
    let error = got.recv().timeout(SOON).wait().unwrap_err();
    assert!(matches!(error, RecvError::Dead(dead) if dead.reason == Reason::Shutdown), "{error}");
    let error = waiting.join().unwrap_err();
    assert!(matches!(*error, ImportError::Dead(dead) if dead.reason == Reason::Shutdown), "{error}");
    eventually("both are gone", || (below(&hub) == ["desk"]).then_some(()));
    for node in [&bridge, &board] {
        eventually("it is shut", || node.is_shut().then_some(()));
    }
    assert_eq!(hub.remote("bridge").shut_down(time), Err(ShutDownError::NotThere));
    // The others have not noticed.
    own.send(tick(1)).timeout(SOON).wait()?;
    assert_eq!(mine.recv().timeout(SOON).wait(), Ok(tick(1)));
    assert!(!hub.is_shut() && !desk.is_shut());
    Ok(())
}

/// It reads on and says nothing: what the end of its link tells is all that anybody needs.
#[test]
fn one_child_that_does_not_obey_is_left_alone_and_nobody_else() -> Outcome {
    let _calm = calm();
    let Yard { hub, bridge, board: _board, desk } = yard();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?;
    let connects = |kind| -> Result<_, Box<dyn std::error::Error>> {
        let own = hub.clone();
        let connecting = spawn(move || tcp::connect_with(&own, at, tcp::Options::new().adopt()).wait());
        let mut raw = Raw::accept(&listener);
        raw.bring_up_as(kind, false);
        Ok((connecting.join()?, raw))
    };
    let (peer, mut hung) = connects(LinkKind::Tree)?;
    let id = hung.expect("an id", |frame| match frame {
        Frame::Tree(TreeFrame::Adopt { id, .. }) => Some(*id),
        _ => None,
    });
    let remote = desk.remote_id(id);
    let waiting = spawn(move || remote.import::<Receiver<Tick>>("x").timeout(SOON).wait().map(drop));
    hung.opened();
    peer.shut_down(Duration::ZERO)?;
    hung.expect("it is told", |frame| match frame {
        Frame::Tree(TreeFrame::Shutdown { grace_ms: 0 }) => Some(()),
        _ => None,
    });
    let error = waiting.join().unwrap_err();
    assert!(matches!(*error, ImportError::Dead(dead) if dead.reason == Reason::Shutdown), "{error}");
    hung.read_to_end();
    eventually("it is gone", || (below(&hub) == ["bridge", "bridge/board", "desk"]).then_some(()));
    assert_eq!(peer.shut_down(Duration::ZERO), Err(ShutDownError::NotThere));
    // A board stays; a parent is not told from below, nor is a peer.
    let (board, _raw) = connects(LinkKind::Either)?;
    assert_eq!(board.shut_down(Duration::ZERO), Err(ShutDownError::Stays));
    let listener = tcp::listen_with(&hub, "127.0.0.1:0", tcp::Options::new().adopt())?;
    let guest = Node::new("guest");
    let parent = tcp::join(&guest, listener.address()).wait()?;
    assert_eq!(parent.shut_down(Duration::ZERO), Err(ShutDownError::NotAChild));
    let peer = tcp::connect(&Node::new("peer"), tcp::listen(&hub, "127.0.0.1:0")?.address()).wait()?;
    assert_eq!(peer.shut_down(Duration::ZERO), Err(ShutDownError::NotThere), "its node is gone");
    assert!(![&hub, &bridge, &desk, &guest].iter().any(|node| node.is_shut()));
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
    let answerer = spawn(move || {
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
    let sender = spawn(move || {
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

/// Who is told through an end that has moved on hears of the node that gave up, and not of the one that serves the end.
#[test]
fn a_death_that_comes_through_a_served_end_says_where_it_began() -> Outcome {
    let _calm = calm();
    for dies in ["board", "desk"] {
        let Yard { board, desk, hub: _hub, bridge } = yard();
        let mut at_desk: Receiver<Receiver<Tick>> = desk.export_with("receivers", in_tree())?;
        let mut also_at_desk: Receiver<Sender<Tick>> = desk.export_with("senders", in_tree())?;
        let mut ticks: Sender<Tick> = board.export_with("ticks", in_tree())?;
        let exclusive = ExportOptions::fanout(Fanout::Exclusive).visible_to(Visibility::Tree);
        let mut sink: Receiver<Tick> = board.export_with("sink", exclusive)?;
        // The board is the bridge's neighbour, and the desk is behind the hub.
        let from_board = bridge.remote("board").import::<Receiver<Tick>>("ticks").wait()?;
        let to_board = bridge.remote("board").import::<Sender<Tick>>("sink").wait()?;
        let to_desk = bridge.remote("/desk");
        to_desk
            .import::<Sender<Receiver<Tick>>>("receivers")
            .wait()?
            .send(from_board)
            .timeout(SOON)
            .wait()?;
        to_desk.import::<Sender<Sender<Tick>>>("senders").wait()?.send(to_board).timeout(SOON).wait()?;
        let mut from_board = at_desk.recv().timeout(SOON).wait()?;
        let mut to_board = also_at_desk.recv().timeout(SOON).wait()?;
        ticks.send(tick(1)).timeout(SOON).wait()?;
        to_board.send(tick(2)).timeout(SOON).wait()?;
        // The last value under way in each direction: as far as it may go.
        eventually("it is there", || from_board.try_recv().ok());
        eventually("it is there", || sink.try_recv().ok());
        ticks.send(tick(3)).timeout(SOON).wait()?;
        to_board.send(tick(4)).timeout(SOON).wait()?;
        let at = Place::Node(if dies == "board" { board.id() } else { desk.id() });
        let dead = Dead { reason: Reason::Shutdown, at };
        if dies == "board" {
            board.shutdown(Duration::ZERO);
            assert_eq!(to_board.drain().timeout(SOON).wait().unwrap_err().dead, Some(dead));
            let over = loop {
                match from_board.recv().timeout(SOON).wait() {
                    Ok(value) => assert_eq!(value, tick(3)),
                    Err(over) => break over,
                }
            };
            assert_eq!(over, RecvError::Dead(dead));
        } else {
            desk.shutdown(Duration::ZERO);
            assert_eq!(ticks.drain().timeout(SOON).wait().unwrap_err().dead, Some(dead));
            let over = loop {
                match sink.recv().timeout(SOON).wait() {
                    Ok(value) => assert_eq!(value, tick(4)),
                    Err(over) => break over,
                }
            };
            assert!(matches!(over, RecvError::Left { dead: told, .. } if told == Some(dead)), "{over:?}");
        }
    }
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
    let passing = spawn(move || {
        for _ in 0..20 {
            let sender = at_bridge.recv().timeout(SOON).wait().expect("one comes");
            onward.send(sender).timeout(SOON).wait().expect("it goes on");
        }
        (at_bridge, onward)
    });
    let answering = spawn(move || {
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
    // Its own lists are not among them, however many are under way at a time.
    assert_eq!(text.matches("1 circuits").count(), 3, "{text}");
    assert!(text.contains("B/s up"), "{text}");
    assert!(picture.graphviz().contains(&format!("n{} -> n{}", bridge.id(), board.id())));
    assert!(picture.mermaid().contains(&format!("n{}[\"board ({})\"]", board.id(), board.id())));
    assert!(got.try_recv().is_err());
    Ok(())
}

/// Each silent node cost 2 s, one behind the other, and nothing said which ones they were.
#[test]
fn a_picture_says_who_did_not_answer_and_waits_for_all_of_them_at_a_time() -> Outcome {
    let _calm = calm();
    let (hub, at) = adopts("hub");
    let desk = Node::new("desk");
    joins(&desk, &at);
    let silent: Vec<_> = (0..9).map(|_| Raw::child(at.parse().expect("an address"))).collect();
    let (mut busy, busy_id) = Raw::child(at.parse()?);
    let (mut broken, broken_id) = Raw::child(at.parse()?);
    let late = Node::new("late");
    joins(&late, &at);
    let refusing = spawn(move || {
        let handle = busy.opened();
        busy.dead(handle, Reason::Busy);
        // And one whose list breaks off: what had come of it is no list.
        let handle = broken.accept_open(0);
        broken.dead(handle, Reason::HandlerGone);
        (busy, broken)
    });
    let picture = desk.picture().timeout(Duration::from_secs(6)).wait()?;
    let _raw = refusing.join();
    assert_eq!(picture.nodes.len(), 14);
    assert!([&hub, &desk, &late].iter().all(|node| picture.links.contains_key(&node.id())));
    let dead = |reason, id| Untold::Dead(Dead { reason, at: Place::Node(id) });
    let mut untold: BTreeMap<_, _> = silent.iter().map(|(_, id)| (*id, Untold::Late)).collect();
    untold.insert(busy_id, dead(Reason::Busy, busy_id));
    untold.insert(broken_id, dead(Reason::HandlerGone, broken_id));
    assert_eq!(picture.untold, untold);
    let first = format!("raw ({})", silent[0].1);
    let (text, dot, mermaid) = (picture.text(), picture.graphviz(), picture.mermaid());
    assert_eq!(text.matches("[no answer in time]").count(), 9, "{text}");
    assert!(
        text.contains(&format!("[no answer: dead: in use by another importer (says node {busy_id})]")),
        "{text}"
    );
    assert!(dot.contains(&format!("{first}\\nno answer in time\", style=dashed];")), "{dot}");
    assert!(mermaid.contains(&format!("{first}<br/>no answer in time\"]")), "{mermaid}");
    Ok(())
}

/// It was an empty picture.
#[test]
fn a_picture_without_a_list_of_nodes_is_an_error() -> Outcome {
    let _calm = calm();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?;
    let node = Node::new("child");
    let own = node.clone();
    let joining = spawn(move || tcp::connect_with(&own, at, tcp::Options::new().join()).wait().map(drop));
    let mut raw = Raw::accept(&listener);
    raw.bring_up_as(LinkKind::Either, true);
    let above = Above::default().below(1).expect("one");
    raw.send(&Frame::Tree(TreeFrame::Adopt { id: 5, above, place: "" }));
    joining.join()?;
    let taking = spawn(move || node.picture().timeout(SOON).wait().map(drop));
    let handle = raw.accept_open(0);
    raw.dead(handle, Reason::Shutdown);
    let error = taking.join().expect_err("there is no list");
    assert_eq!(*error, ImportError::Dead(Dead::peer(Reason::Shutdown)));
    assert_eq!(error.channel(), "$nodes");
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
        let NodeChange::Left(left, _) = changes.recv().timeout(SOON).wait()? else { panic!("{round}") };
        assert_eq!((&*left.name, left.id), ("guest", joined.id));
    }
    drop(board);
    let NodeChange::Left(left, _) = changes.recv().timeout(SOON).wait()? else { panic!() };
    assert_eq!(left.name, "board");
    Ok(())
}

#[test]
fn who_watches_hears_why_a_node_is_gone() -> Outcome {
    let _calm = calm();
    let Yard { hub, bridge, board, desk } = yard();
    let listener = tcp::listen_with(&bridge, "127.0.0.1:0", tcp::Options::new().adopt())?;
    let mut changes = desk.remote("/").changes().timeout(SOON).wait()?;
    let mut left = |wanted: u32| loop {
        let change = changes.recv().timeout(SOON).wait().expect("it is told");
        if matches!(&change, NodeChange::Left(info, _) if info.id == wanted) {
            return change.reason();
        }
    };
    // In order, of its own.
    let guest = Node::new("guest");
    let up = tcp::join(&guest, listener.address()).timeout(SOON).wait()?;
    let id = guest.id();
    up.close();
    assert_eq!(left(id), Some(Reason::Closed));
    // Its program has ended it.
    let guest = Node::new("guest");
    joins(&guest, &listener.address().to_string());
    let id = guest.id();
    guest.shutdown(Duration::ZERO);
    assert_eq!(left(id), Some(Reason::Shutdown));
    // It is cut off, or breaks the protocol.
    let (raw, id) = Raw::child(listener.address());
    drop(raw);
    assert_eq!(left(id), Some(Reason::LinkLost));
    let (mut raw, id) = Raw::child(listener.address());
    raw.send(&Frame::Tree(TreeFrame::Shutdown { grace_ms: 0 }));
    assert_eq!(left(id), Some(Reason::Protocol));
    // What a child says of those below it is passed on as it is, a reason of a later version too, and none.
    let (mut raw, via) = Raw::child(listener.address());
    let (first, _) = raw.allocate(3);
    for (id, reason) in [(first, 250), (first + 1, 0)] {
        raw.send(&Frame::Tree(TreeFrame::AddRoute { id, via, name: "below" }));
        raw.send(&Frame::Tree(TreeFrame::DelRoute(id, Reason::new(reason))));
        assert_eq!(left(id), Some(Reason::new(reason)).filter(|reason| reason.get() != 0));
    }
    // Those that go with one above them go for its reason.
    let id = board.id();
    bridge.shutdown(Duration::ZERO);
    assert_eq!(left(id), Some(Reason::Shutdown));
    let told = eventually("the hub's own program is told", || match hub.next_event()? {
        LinkEvent::NodeLeft { id: gone, reason, .. } if gone == id => Some(reason),
        _ => None,
    });
    assert_eq!(told, Some(Reason::Shutdown));
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
    let serving = spawn(move || {
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
        let watcher = spawn(move || {
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

/// All of it once was `NoRoute`.
#[test]
fn a_node_asks_itself_what_it_tells_of_itself() -> Outcome {
    let _calm = calm();
    let Yard { hub, desk, board, bridge } = yard();
    let _ticks: Receiver<Tick> =
        hub.export_with("ticks", ExportOptions::default().visible_to(Visibility::Local))?;
    for own in [hub.remote("/"), hub.remote("hub"), hub.remote("/hub"), hub.remote_id(hub.id())] {
        let names: Result<Vec<_>, _> = own.nodes().wait()?.map(|info| info.map(|info| info.name)).collect();
        assert_eq!(names?, ["hub", "bridge", "board", "desk"], "{own}");
        let links: Result<Vec<_>, _> = own.links().wait()?.map(|info| info.map(|info| info.name)).collect();
        assert_eq!(links?, ["bridge", "desk"], "{own}");
        let exports: Result<Vec<_>, _> =
            own.exports().wait()?.map(|info| info.map(|info| info.name)).collect();
        assert_eq!(exports?, ["ticks"], "{own}");
        // What cannot be says what to do.
        let import = own.import::<Sender<Tick>>("ticks").wait().unwrap_err();
        assert!(matches!(*import, ImportError::Itself) && import.to_string().contains("export"), "{import}");
        let post = own.post("ticks", tick(1)).wait().unwrap_err();
        assert!(matches!(post.cause(), PostCause::Refused(ImportError::Itself)), "{post}");
        let ask = own.ask::<_, u64>("ticks", tick(1)).wait().unwrap_err();
        assert!(matches!(&*ask, AskError::Refused(ImportError::Itself)), "{ask}");
    }
    assert_eq!(hub.remote("/").nodes().values(2).wait()?.count(), 2);
    assert!(matches!(*hub.remote("/").nodes().values(0).wait().unwrap_err(), ImportError::NoValues));
    // Nobody else is this node.
    assert!(matches!(
        *desk.remote("desk").import::<Sender<Tick>>("x").wait().unwrap_err(),
        ImportError::Itself
    ));
    // All have been told of those who have come.
    let joined = |event| matches!(event, LinkEvent::NodeJoined { .. }).then_some(());
    (0..3).for_each(|_| eventually("it has joined", || hub.next_event().and_then(joined)));
    // It is told of changes as others are, and waits for them as long as it lives.
    let mut changes = hub.remote("/").changes().wait()?;
    let mut first = hub.remote("/").changes().values(1).wait()?;
    let gone = board.id();
    drop(board);
    for changes in [&mut changes, &mut first] {
        let NodeChange::Left(left, _) = changes.recv().timeout(SOON).wait()? else { panic!("it has left") };
        assert_eq!(left.id, gone);
    }
    assert_eq!(first.recv().timeout(SOON).wait(), Err(RecvError::Closed));
    let waiting = spawn(move || changes.recv().timeout(SOON).wait().map(drop));
    drop((bridge, desk));
    waiting.join()?;
    let mut changes = hub.remote("/").changes().wait()?;
    while changes.recv().timeout(Duration::from_millis(0)).wait().is_ok() {}
    hub.shutdown(Duration::ZERO);
    let end = eventually("it is over", || changes.recv().timeout(SOON).wait().err());
    assert_eq!(end, RecvError::Closed);
    Ok(())
}

/// As others, who takes none of them is told how many there were.
#[test]
fn a_nodes_own_program_that_misses_changes_is_told_how_many() -> Outcome {
    let _calm = calm();
    let hub = Node::new("hub");
    let at = tcp::listen_with(&hub, "127.0.0.1:0", tcp::Options::new().adopt())?.address();
    let mut changes = hub.remote("/").changes().wait()?;
    let (mut raw, id) = Raw::child(at);
    let blocks: Vec<_> = (0..20).map(|_| raw.allocate(64)).collect();
    let ids: Vec<u32> = blocks.into_iter().flat_map(|(start, n)| start..start + n).collect();
    for &n in &ids {
        raw.send(&Frame::Tree(TreeFrame::AddRoute { id: n, via: id, name: "x" }));
    }
    let all = ids.len() as u64 + 1;
    eventually("all are known", || (hub.nodes().len() as u64 == all).then_some(()));
    let (mut told, mut missed) = (0, 0);
    while told + missed < all {
        match changes.recv().timeout(SOON).wait()? {
            NodeChange::Joined(_) => told += 1,
            NodeChange::Missed(more) => missed += more,
            NodeChange::Left(info, _) => panic!("{info:?} has not left"),
        }
    }
    assert_eq!(told + missed, all, "{told} and {missed}");
    assert!(told >= 1024, "{told} were told");
    Ok(())
}
