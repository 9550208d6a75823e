//! Imports over bridges that go on when what was lost on the way is there again.

mod common;

use std::net::SocketAddr;

use common::raw::Raw;
use common::{Outcome, SOON, Tick, calm, eventually, spawn, tick};
use netchan::host::Visibility;
use netchan::proto::{Accept, Frame};
use netchan::{
    ExportOptions, ImportError, Latest, Node, Peer, Reason, Receiver, Reconnect, RecvError, SendCause,
    Sender, Watch,
};
use netchan_tcp as tcp;

fn in_tree() -> ExportOptions {
    ExportOptions::default().visible_to(Visibility::Tree)
}

/// hub -> bridge -> board, and hub -> desk. The board dials again.
struct Yard {
    hub: Node,
    at_hub: SocketAddr,
    bridge: Option<Node>,
    at_bridge: SocketAddr,
    board: Node,
    /// It is dialed for as long as somebody holds this.
    _parent: Peer,
    desk: Node,
}

fn adopts(node: &Node, at: SocketAddr) -> SocketAddr {
    // Right after the one before has gone the port may still be its.
    let listener =
        eventually("the port is free", || tcp::listen_with(node, at, tcp::Options::new().adopt()).ok());
    listener.address()
}

fn yard() -> Yard {
    let any = "127.0.0.1:0".parse().expect("an address");
    let (hub, bridge, board, desk) =
        (Node::new("hub"), Node::new("bridge"), Node::new("board"), Node::new("desk"));
    let at_hub = adopts(&hub, any);
    let lives_on = tcp::Options::new().join().live_on();
    tcp::connect_with(&bridge, at_hub, lives_on).wait().expect("it is adopted");
    let at_bridge = adopts(&bridge, any);
    let board_joins = tcp::connect_with(&board, at_bridge, lives_on).reconnect(Reconnect::new());
    let parent = board_joins.wait().expect("it is adopted");
    tcp::join(&desk, at_hub).wait().expect("it is adopted");
    Yard { hub, at_hub, bridge: Some(bridge), at_bridge, board, _parent: parent, desk }
}

impl Yard {
    /// The bridge is gone.
    fn falls(&mut self) {
        drop(self.bridge.take());
        eventually("the hub has lost it", || (self.hub.nodes().len() == 1).then_some(()));
    }

    /// Another one comes in its place, and the board behind it.
    fn rises(&mut self) {
        let bridge = Node::new("bridge");
        let lives_on = tcp::Options::new().join().live_on();
        tcp::connect_with(&bridge, self.at_hub, lives_on).wait().expect("it is adopted");
        adopts(&bridge, self.at_bridge);
        self.bridge = Some(bridge);
    }
}

#[test]
fn a_receiver_goes_on_when_the_bridge_is_back() -> Outcome {
    let _calm = calm();
    let mut yard = yard();
    let mut ticks: Sender<Tick> = yard.board.export_with("ticks", in_tree())?;
    let board = yard.desk.remote("bridge/board");
    let mut got = board.import::<Receiver<Tick>>("ticks").reopen().timeout(SOON).wait()?;
    for round in 0..3 {
        ticks.send(tick(round)).timeout(SOON).wait()?;
        assert_eq!(got.recv().timeout(SOON).wait(), Ok(tick(round)));
        let before = yard.board.id();
        yard.falls();
        let told = got.recv().timeout(SOON).wait();
        assert!(matches!(told, Err(RecvError::Interrupted { .. })), "{told:?}");
        assert_eq!(got.try_recv(), Err(RecvError::Empty), "told once; then it waits");
        yard.rises();
        eventually("the board is back", || (yard.board.id() > before).then_some(()));
        // The sender waits for whoever imports it next.
        let sending = spawn(move || {
            ticks.send(tick(100 + round)).timeout(SOON).wait().expect("somebody is there");
            ticks
        });
        assert_eq!(got.recv().timeout(SOON).wait(), Ok(tick(100 + round)));
        ticks = sending.join();
    }
    // The orderly end is none that one waits behind.
    drop(ticks);
    assert_eq!(got.recv().timeout(SOON).wait(), Err(RecvError::Closed));
    Ok(())
}

#[test]
fn a_sender_and_a_watch_go_on_when_the_bridge_is_back() -> Outcome {
    let _calm = calm();
    let mut yard = yard();
    let mut orders: Receiver<Tick> = yard.board.export_with("orders", in_tree())?;
    let level: Latest<u64> = yard.board.export_with("level", in_tree())?;
    let board = yard.desk.remote("bridge/board");
    let mut out = board.import::<Sender<Tick>>("orders").reopen().timeout(SOON).wait()?;
    let mut seen = board.import::<Watch<u64>>("level").reopen().timeout(SOON).wait()?;
    level.set(1)?;
    assert_eq!(seen.changed().timeout(SOON).wait(), Ok(1));
    out.send(tick(1)).timeout(SOON).wait()?;
    assert_eq!(orders.recv().timeout(SOON).wait(), Ok(tick(1)));
    out.drain().timeout(SOON).wait()?;
    yard.falls();
    let told = seen.changed().timeout(SOON).wait();
    assert!(matches!(told, Err(RecvError::Interrupted { .. })), "{told:?}");
    // A value may go out before the loss is known; it is in doubt then, and nothing is hidden.
    let cause = eventually("it is told", || out.send(tick(7)).timeout(SOON).wait().err()).cause();
    let SendCause::Interrupted { account, .. } = cause else { panic!("{cause:?}") };
    assert_eq!((account.confirmed, account.dropped), (1, 0));
    yard.rises();
    out.send(tick(2)).timeout(SOON).wait()?;
    assert_eq!(orders.recv().timeout(SOON).wait(), Ok(tick(2)));
    out.drain().timeout(SOON).wait()?;
    level.set(3)?;
    assert_eq!(seen.changed().timeout(SOON).wait(), Ok(3));
    Ok(())
}

#[test]
fn an_import_that_reopens_waits_for_a_node_that_is_not_there_yet() -> Outcome {
    let _calm = calm();
    let mut yard = yard();
    let mut ticks: Sender<Tick> = yard.board.export_with("ticks", in_tree())?;
    yard.falls();
    let board = yard.desk.remote("bridge/board");
    let at_once = board.import::<Receiver<Tick>>("ticks").timeout(SOON).wait().expect_err("it is not there");
    assert!(matches!(*at_once, ImportError::Dead(dead) if dead.reason == Reason::NoRoute), "{at_once}");
    let importing = spawn(move || board.import::<Receiver<Tick>>("ticks").reopen().timeout(SOON).wait());
    let sending = spawn(move || {
        ticks.send(tick(1)).timeout(SOON).wait().expect("somebody comes");
        ticks
    });
    yard.rises();
    let mut got = importing.join()?;
    assert_eq!(got.recv().timeout(SOON).wait(), Ok(tick(1)));
    drop(sending.join());
    Ok(())
}

#[test]
fn what_is_withdrawn_or_never_back_ends_the_wait() -> Outcome {
    let _calm = calm();
    let mut yard = yard();
    let ticks: Sender<Tick> = yard.board.export_with("ticks", in_tree())?;
    let board = yard.desk.remote("bridge/board");
    let mut got = board.import::<Receiver<Tick>>("ticks").reopen().timeout(SOON).wait()?;
    yard.falls();
    assert!(matches!(got.recv().timeout(SOON).wait(), Err(RecvError::Interrupted { .. })));
    // Nobody is there: its deadline ends the wait, and its node's end does.
    let late = got.recv().timeout(std::time::Duration::from_millis(1)).wait();
    assert_eq!(late, Err(RecvError::Deadline));
    let desk = yard.desk.clone();
    let waiting = spawn(move || got.recv().wait());
    desk.shutdown(std::time::Duration::ZERO);
    let end = waiting.join();
    assert!(matches!(end, Err(RecvError::Dead(dead)) if dead.reason == Reason::Shutdown), "{end:?}");
    drop(ticks);
    Ok(())
}

#[test]
fn an_import_that_does_not_reopen_is_dead_for_ever() -> Outcome {
    let _calm = calm();
    let mut yard = yard();
    let _ticks: Sender<Tick> = yard.board.export_with("ticks", in_tree())?;
    let board = yard.desk.remote("bridge/board");
    let mut got = board.import::<Receiver<Tick>>("ticks").timeout(SOON).wait()?;
    yard.falls();
    for _ in 0..2 {
        let told = got.recv().timeout(SOON).wait();
        assert!(matches!(told, Err(RecvError::Dead(_))), "{told:?}");
    }
    Ok(())
}

/// While a link says goodbye, what was sent over it was dead, `Closed`, for a reopening end as for any other.
#[test]
fn an_end_on_a_link_that_says_goodbye_is_interrupted_with_its_reason() -> Outcome {
    let _calm = calm();
    let any = "127.0.0.1:0".parse()?;
    let (hub, bridge) = (Node::new("hub"), Node::new("bridge"));
    let (at_hub, at_bridge) = (adopts(&hub, any), adopts(&bridge, any));
    let (mut raw, id) = Raw::child(at_bridge);
    let mut accepts = |importing: common::Task<Sender<u8>>| {
        let handle = raw.opened();
        raw.send(&Frame::Accept(handle, Accept { which: 0, credit: 1000, limit: 1 }));
        importing.join()
    };
    let (remote, other) = (bridge.remote_id(id), bridge.remote_id(id));
    let mut reopens = accepts(spawn(move || {
        remote.import::<Sender<u8>>("sink").reopen().timeout(SOON).wait().expect("it is accepted")
    }));
    let mut plain = accepts(spawn(move || {
        other.import::<Sender<u8>>("sink").timeout(SOON).wait().expect("it is accepted")
    }));
    reopens.send(1).timeout(SOON).wait()?;
    // The bridge gets another id, and its children as well: it says goodbye to them, and this one does not answer.
    tcp::connect_with(&bridge, at_hub, tcp::Options::new().join().live_on()).wait()?;
    let error = plain.send(2).timeout(SOON).wait().unwrap_err();
    assert!(matches!(error.cause(), SendCause::Dead(dead) if dead.reason == Reason::Renumbered), "{error}");
    let SendCause::Interrupted { dead, account } = reopens.send(2).timeout(SOON).wait().unwrap_err().cause()
    else {
        panic!("it goes on");
    };
    assert_eq!((dead.reason, account.in_doubt), (Reason::Renumbered, 1));
    drop(hub);
    Ok(())
}
