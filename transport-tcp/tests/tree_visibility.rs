//! Who may import what, and who is told of what else there is.

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{Outcome, SOON, Tick, calm, eventually};
use netchan::host::{LinkInfo, NodeInfo, Visibility};
use netchan::{ExportOptions, Fanout, ImportError, Named, Node, Peer, Reason, Receiver, RecvError, Sender};
use netchan_tcp as tcp;

fn adopts(node: &Node) -> SocketAddr {
    let options = tcp::Options::new().adopt();
    tcp::listen_with(node, "127.0.0.1:0", options).expect("a free port").address()
}

fn joins(name: &str, at: SocketAddr) -> Node {
    let node = Node::new(name);
    let lives_on = tcp::Options::new().join().live_on();
    tcp::connect_with(&node, at, lives_on).timeout(SOON).wait().expect("it is adopted");
    node
}

fn exports(node: &Node, name: &str, visibility: Visibility) -> Sender<Tick> {
    let options = ExportOptions::fanout(Fanout::Broadcast).visible_to(visibility);
    node.export_with(name, options).expect("a free name")
}

type Imported = Result<Receiver<Tick>, Named<ImportError>>;

/// Whether it may; who may not is refused, and hears nothing else.
#[track_caller]
fn may(imported: Imported) -> bool {
    match imported {
        Ok(_) => true,
        Err(error) => match &*error {
            ImportError::Dead(dead) if dead.reason == Reason::Refused => false,
            other => panic!("{other}"),
        },
    }
}

/// root -> hub -> board -> leaf -> twig, and hub -> desk; and a peer of the board's.
struct Grove {
    root: Node,
    hub: Node,
    board: Node,
    leaf: Node,
    twig: Node,
    desk: Node,
    _stranger: Node,
    peer: Peer,
}

impl Grove {
    fn new() -> Self {
        let root = Node::new("root");
        let hub = joins("hub", adopts(&root));
        let at_hub = adopts(&hub);
        let board = joins("board", at_hub);
        let leaf = joins("leaf", adopts(&board));
        let twig = joins("twig", adopts(&leaf));
        let (desk, stranger) = (joins("desk", at_hub), Node::new("stranger"));
        let at_board = tcp::listen(&board, "127.0.0.1:0").expect("a free port").address();
        let peer = tcp::connect(&stranger, at_board).timeout(SOON).wait().expect("a link");
        eventually("all are known", || (root.nodes().len() == 5).then_some(()));
        Self { root, hub, board, leaf, twig, desk, _stranger: stranger, peer }
    }

    /// Who may import it from the board, of those in the order of [`WHO`].
    #[track_caller]
    fn who_may(&self, name: &str) -> Vec<&'static str> {
        let Self { root, hub, board, leaf, twig, desk, peer, .. } = self;
        let nodes = [root, hub, leaf, twig, desk];
        let from = |node: &Node| may(node.remote_id(board.id()).import(name).timeout(SOON).wait());
        let may = nodes.into_iter().map(from).chain([may(peer.import(name).timeout(SOON).wait())]);
        WHO.into_iter().zip(may).filter_map(|(who, may)| may.then_some(who)).collect()
    }
}

const WHO: [&str; 6] = ["root", "parent", "child", "grandchild", "sibling", "peer"];

#[test]
fn an_export_is_for_those_whom_it_names() {
    let _calm = calm();
    let grove = Grove::new();
    let ids = |of: &[&Node]| Visibility::nodes(&of.iter().map(|node| node.id()).collect::<Vec<_>>());
    let Grove { root, hub, leaf, twig, desk, .. } = &grove;
    let table: [(&str, Visibility, &[&str]); 10] = [
        ("default", Visibility::default(), &["root", "parent", "child", "grandchild", "peer"]),
        ("line", Visibility::Line, &["root", "parent", "child", "grandchild", "peer"]),
        ("local", Visibility::Local, &[]),
        ("parent", Visibility::Parent, &["root", "parent"]),
        ("tree", Visibility::Tree, &WHO),
        ("no-nodes", ids(&[]), &[]),
        // 0 is the id of those who have none.
        ("nobody", Visibility::nodes(&[0]), &[]),
        ("one-aside", ids(&[desk]), &["sibling"]),
        ("two-below", ids(&[leaf, twig]), &["child", "grandchild"]),
        ("two-above", ids(&[root, hub]), &["root", "parent"]),
    ];
    let names: Vec<_> = table.iter().map(|(name, ..)| *name).collect();
    let _all: Vec<_> =
        table.iter().map(|(name, visibility, _)| exports(&grove.board, name, visibility.clone())).collect();
    for (name, _, who) in &table {
        assert_eq!(grove.who_may(name), *who, "{name}");
    }
    // Who may not import it does not find it in the list either.
    let listed = |list: Result<Receiver<netchan::host::ExportInfo>, _>| -> Vec<String> {
        let list: Result<Vec<_>, _> = list.expect("a list").collect();
        list.expect("all of it").into_iter().map(|info| info.name).collect()
    };
    let board = grove.board.id();
    let lists = [root, hub, leaf, twig, desk].map(|node| listed(node.remote_id(board).exports().wait()));
    let lists = lists.into_iter().chain([listed(grove.peer.exports().wait())]);
    for (who, list) in WHO.into_iter().zip(lists) {
        let is_for = |name: &&str| table.iter().any(|(of, _, all)| of == name && all.contains(&who));
        let mut expected: Vec<_> = names.iter().copied().filter(|name| is_for(name)).collect();
        expected.sort_unstable();
        assert_eq!(list, expected, "{who}");
    }
}

/// Ids begin anew in each tree: an export for one was once for whoever had its id in the next.
#[test]
fn an_export_for_some_ids_is_for_nobody_in_another_tree() -> Outcome {
    let _calm = calm();
    let (first, second) = (Node::new("first"), Node::new("second"));
    let (at_first, at_second) = (adopts(&first), adopts(&second));
    let board = joins("board", at_first);
    let desk = joins("desk", at_first);
    let secret = exports(&board, "secret", Visibility::nodes(&[desk.id()]));
    let import = |node: &Node| may(node.remote("board").import("secret").timeout(SOON).wait());
    assert!(import(&desk));
    // It becomes a root: whoever joins it has an id that may have been another one's.
    first.shutdown(Duration::ZERO);
    eventually("it is alone", || board.above().is_empty().then_some(()));
    let at_board = adopts(&board);
    let guest = joins("guest", at_board);
    let for_guest = exports(&board, "for-guest", Visibility::nodes(&[guest.id(), desk.id()]));
    assert!(!may(guest.remote("board").import("secret").timeout(SOON).wait()));
    assert!(may(guest.remote("board").import("for-guest").timeout(SOON).wait()));
    // In another tree somebody else has the desk's.
    tcp::connect_with(&board, at_second, tcp::Options::new().join().live_on()).timeout(SOON).wait()?;
    let thief = joins("thief", at_second);
    assert_eq!(thief.id(), desk.id());
    assert!(!import(&thief));
    drop((secret, for_guest));
    let _anew = exports(&board, "secret", Visibility::nodes(&[thief.id()]));
    assert!(import(&thief));
    Ok(())
}

/// As [`an_export_for_some_ids_is_for_nobody_in_another_tree`], where the one above is cut off, and not this one.
#[test]
fn an_export_for_some_ids_is_for_nobody_under_another_root() {
    let _calm = calm();
    let root = Node::new("root");
    let at_root = adopts(&root);
    let hub = joins("hub", at_root);
    let at_hub = adopts(&hub);
    let board = joins("board", at_hub);
    let desk = joins("desk", at_hub);
    let _secret = exports(&board, "secret", Visibility::nodes(&[desk.id()]));
    let import = || may(desk.remote("board").import("secret").timeout(SOON).wait());
    assert!(import());
    root.shutdown(Duration::ZERO);
    eventually("there is another root", || (board.above() == [hub.id()]).then_some(()));
    assert!(!import());
}

/// A peer once listed the nodes below, and all links by the names of who is at their other ends.
#[test]
fn a_peer_sees_nothing_behind_a_node() -> Outcome {
    let _calm = calm();
    let Grove { hub, board, peer, desk, .. } = &Grove::new();
    let nodes = |list: Receiver<NodeInfo>| list.map(|info| info.map(|info| (info.name, info.via)));
    let links = |list: Receiver<LinkInfo>| list.map(|info| info.map(|info| info.name));
    let seen: Result<Vec<_>, _> = nodes(peer.nodes().wait()?).collect();
    assert_eq!(seen?, [("board".to_string(), 0)]);
    let seen: Result<Vec<_>, _> = links(peer.links().wait()?).collect();
    assert_eq!(seen?, ["stranger"]);
    let refused = peer.changes().wait().expect_err("it is not for peers");
    assert!(matches!(&*refused, ImportError::Dead(dead) if dead.reason == Reason::Refused), "{refused}");
    // Those of the tree do.
    let seen: Result<Vec<_>, _> = nodes(desk.remote("board").nodes().wait()?).collect();
    let expected = [("board".to_string(), hub.id()), ("leaf".to_string(), board.id())];
    assert_eq!(seen?[..2], expected);
    let seen: Result<Vec<_>, _> = links(desk.remote("board").links().wait()?).collect();
    assert_eq!(seen?, ["hub", "stranger", "leaf"]);
    let mut changes = desk.remote("board").changes().wait()?;
    assert_eq!(changes.try_recv(), Err(RecvError::Empty));
    Ok(())
}
