//! Whose a name is: the first child's that has it, or the same node's come back.

mod common;

use std::net::SocketAddr;

use common::raw::Raw;
use common::{Outcome, SOON, Tick, calm, eventually, spawn, tick};
use netchan::host::Visibility;
use netchan::proto::{Accept, Frame};
use netchan::{ExportOptions, LinkError, LinkEvent, Node, Reason, Receiver, Sender};
use netchan_tcp as tcp;

fn adopts(node: &Node) -> SocketAddr {
    let options = tcp::Options::new().adopt();
    tcp::listen_with(node, "127.0.0.1:0", options).expect("a free port").address()
}

fn joins(name: &str, at: SocketAddr) -> Node {
    let node = Node::new(name);
    tcp::join(&node, at).timeout(SOON).wait().expect("it is adopted");
    node
}

fn commands(node: &Node) -> Receiver<Tick> {
    let options = ExportOptions::default().visible_to(Visibility::Tree);
    node.export_with("command", options).expect("a free name")
}

/// A later child of the same name once got every post that was meant for the first.
#[test]
fn a_later_child_does_not_take_a_name_over() -> Outcome {
    let _calm = calm();
    let (hub, bridge) = (Node::new("hub"), Node::new("bridge"));
    let at_hub = adopts(&hub);
    tcp::join(&bridge, at_hub).wait()?;
    let at_bridge = adopts(&bridge);
    let (board, desk) = (joins("board", at_bridge), joins("desk", at_hub));
    let mut honest = commands(&board);
    let mut to = desk.remote("bridge/board").import::<Sender<Tick>>("command").timeout(SOON).wait()?;
    let thief = joins("board", at_bridge);
    let mut stolen = commands(&thief);
    let event = eventually("the parent is told", || match bridge.next_event()? {
        LinkEvent::NameTaken { id, name, by } => Some((id, name, by)),
        _ => None,
    });
    assert_eq!(event, (thief.id(), "board".into(), board.id()));
    eventually("it is known above", || (hub.nodes().len() == 4).then_some(()));
    // All that is meant for the name still comes to the first, from wherever.
    for (n, node) in (0..).zip([&desk, &hub, &bridge]) {
        let path = if node.id() == bridge.id() { "board" } else { "bridge/board" };
        node.remote(path).try_post("command", tick(n))?;
        assert_eq!(honest.recv().timeout(SOON).wait()?, tick(n));
    }
    to.send(tick(10)).timeout(SOON).wait()?;
    assert_eq!(honest.recv().timeout(SOON).wait()?, tick(10));
    assert_eq!(hub.path_of(board.id()).as_deref(), Some("bridge/board"));
    assert_eq!(hub.path_of(thief.id()), None);
    // The other one has its id.
    desk.remote_id(thief.id()).try_post("command", tick(11))?;
    assert_eq!(stolen.recv().timeout(SOON).wait()?, tick(11));
    assert!(stolen.try_recv().is_err());
    // When the first has gone the name is free for it.
    drop(honest);
    drop(board);
    eventually("it is known above", || (hub.path_of(thief.id())? == "bridge/board").then_some(()));
    desk.remote("bridge/board").try_post("command", tick(12))?;
    assert_eq!(stolen.recv().timeout(SOON).wait()?, tick(12));
    Ok(())
}

/// Who joins as its parent is called once got what was meant for that.
#[test]
fn a_nodes_own_name_is_its_own_before_it_is_a_childs() -> Outcome {
    let _calm = calm();
    let hub = Node::new("hub");
    let at = adopts(&hub);
    let (desk, thief) = (joins("desk", at), joins("hub", at));
    let (mut honest, mut stolen) = (commands(&hub), commands(&thief));
    desk.remote("hub").try_post("command", tick(1))?;
    assert_eq!(honest.recv().timeout(SOON).wait()?, tick(1));
    desk.remote("hub/hub").try_post("command", tick(2))?;
    assert_eq!(stolen.recv().timeout(SOON).wait()?, tick(2));
    Ok(())
}

/// A board that resets is there again before its old link is known to be dead.
#[test]
fn who_comes_back_has_its_name_at_once_and_what_it_was_ends() -> Outcome {
    let _calm = calm();
    let (hub, bridge) = (Node::new("hub"), Node::new("bridge"));
    tcp::join(&bridge, adopts(&hub)).wait()?;
    let at = adopts(&bridge);
    let (mut before, id) = Raw::child(at);
    let import =
        |to: netchan::host::Remote| spawn(move || to.import::<Receiver<Tick>>("x").timeout(SOON).wait());
    let accept = |raw: &mut Raw| {
        let handle = raw.opened();
        raw.send(&Frame::Accept(handle, Accept { which: 0, credit: 0, limit: 0 }));
    };
    eventually("it is known above", || (hub.path_of(id)? == "bridge/raw").then_some(()));
    let importing = import(hub.remote("bridge/raw"));
    accept(&mut before);
    let mut got = importing.join()?;
    // It has gone without a word.
    let (mut after, next) = before.again(at);
    assert_ne!(id, next);
    let dead = got.recv().timeout(SOON).wait().expect_err("what it was is over");
    assert!(matches!(dead, netchan::RecvError::Dead(dead) if dead.reason == Reason::Superseded), "{dead}");
    // All of it was told before, so the way is the new one's.
    eventually("it is known above", || (hub.path_of(next)? == "bridge/raw").then_some(()));
    let importing = import(hub.remote("bridge/raw"));
    accept(&mut after);
    importing.join()?;
    assert_eq!(hub.nodes().len(), 2, "what it was is not there");
    before.read_to_end();
    let mut taken = false;
    let error = eventually("its link ends", || match bridge.next_event()? {
        LinkEvent::Down { error, .. } => Some(error),
        event => {
            taken |= matches!(event, LinkEvent::NameTaken { .. });
            None
        }
    });
    assert_eq!(error, LinkError::Local(Reason::Superseded));
    assert!(!taken, "it is its own name");
    Ok(())
}

/// Else the parent would take the second link for the node come back, and end the first.
#[test]
fn who_joins_a_parent_twice_keeps_the_first_link() -> Outcome {
    let _calm = calm();
    let hub = Node::new("hub");
    let at = adopts(&hub);
    let desk = joins("desk", at);
    let refused = tcp::join(&desk, at).timeout(SOON).wait().expect_err("it has a parent");
    assert!(refused.to_string().contains("has a parent already"), "{refused}");
    let mut command = commands(&desk);
    hub.remote("desk").try_post("command", tick(1))?;
    assert_eq!(command.recv().timeout(SOON).wait()?, tick(1));
    Ok(())
}
