//! Stories of one node's tree: what it makes of what its neighbours say.

use netchan::proto::{Above, Instant, Name, Reason, Route, TreeFrame};
use netchan::tree::{Change, Limits, NoWay, Tree, Way};

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

fn add(id: u32, via: u32) -> TreeFrame<'static> {
    TreeFrame::AddRoute { id, via, name: "x" }
}

/// A root with room for so many nodes, with a child behind link 7 that has the id 2 and the ids from 3 on.
fn root(nodes: usize) -> Tree {
    let mut tree = Tree::new(name("root"), Limits { nodes, ..Limits::default() });
    tree.adopt(7, name("child"), 70, false).unwrap();
    tree.written(7);
    tree.hear(7, &TreeFrame::Allocate(64)).unwrap();
    assert_eq!(tree.due(7), Some(TreeFrame::Grant { start: 3, count: 64 }));
    tree.written(7);
    tree
}

/// A chain of nodes that is longer than any tree once took a pass through all of them for each, when it went.
#[test]
fn a_chain_that_is_longer_than_a_tree_is_deep_is_no_part_of_it() {
    let mut tree = root(100);
    for id in 3..17 {
        tree.hear(7, &add(id, id - 1)).unwrap();
    }
    // The child is at 1, and this one at 16.
    assert!(tree.hear(7, &add(17, 16)).is_err());
    assert_eq!(tree.nodes().count(), 15);
    // Beside it there is room.
    tree.hear(7, &add(17, 15)).unwrap();
    tree.hear(7, &TreeFrame::DelRoute(3, Reason::LinkLost)).unwrap();
    assert_eq!(tree.nodes().count(), 1);
}

/// A node that its parent had no room for once looked like a forger, and cost its way up its link.
#[test]
fn whose_route_was_left_out_is_told_so_and_costs_no_strike() {
    let mut tree = root(2);
    tree.hear(7, &add(3, 2)).unwrap();
    // No room: neither for this one nor for what is below it.
    tree.hear(7, &add(4, 2)).unwrap();
    tree.hear(7, &add(5, 4)).unwrap();
    let route = |from| Route { from, hops: 1, to: 1, path: "" };
    assert!(matches!(tree.way(Some(7), Some(&route(3))), Ok(Way::Here(_))));
    for from in [4, 5] {
        assert_eq!(tree.way(Some(7), Some(&route(from))), Err(NoWay::Dead(Reason::NoResources)));
    }
    // Others are not its to claim, as ever.
    assert_eq!(tree.way(Some(7), Some(&route(99))), Err(NoWay::Forged));
    // What comes below it when there is room again is still no claim.
    tree.hear(7, &TreeFrame::DelRoute(3, Reason::LinkLost)).unwrap();
    tree.hear(7, &add(6, 4)).unwrap();
}

/// Eight in all once ended a link, however long it had lived.
#[test]
fn a_neighbour_that_is_wrong_now_and_then_keeps_its_link_for_years() {
    let mut tree = root(16);
    let day = 86_400_000_000;
    let wrong = |tree: &mut Tree, at| {
        tree.pass(Instant::from_micros(at));
        tree.hear(7, &TreeFrame::DelRoute(1, Reason::LinkLost)).expect_err("it is not its to withdraw").out
    };
    // For three years: in some hour of each day a route or two that are not its own.
    for n in 0..1000 {
        for at in [n * day, n * day + 5_000_000, n * day + 5_100_000] {
            assert!(!wrong(&mut tree, at), "day {n}");
        }
    }
    // And where it means it, it is out.
    let at = 1000 * day;
    let out: Vec<_> = (0..8).map(|n| wrong(&mut tree, at + n * 1_000_000)).collect();
    assert_eq!(out, [false, false, false, false, false, false, false, true]);
}

/// A parent's grant once could hold the child's own id: then a node below had the same, and what was meant for it
/// came to the child.
#[test]
fn a_grant_of_ids_that_somebody_has_is_a_strike() {
    let mut tree = Tree::new(name("middle"), Limits::default());
    tree.join(1).unwrap();
    let above = Above::default().below(1).unwrap();
    tree.hear(1, &TreeFrame::Adopt { id: 40, above, place: "" }).unwrap();
    tree.adopt(2, name("below"), 20, false).unwrap();
    assert!(matches!(tree.due(1), Some(TreeFrame::Allocate(_))));
    tree.written(1);
    // Its own, and its parent's.
    for start in [40, 39, 1] {
        assert!(tree.hear(1, &TreeFrame::Grant { start, count: 2 }).is_err(), "{start}");
    }
    tree.hear(1, &TreeFrame::Grant { start: 50, count: 2 }).unwrap();
    assert_eq!(tree.children().next(), Some((2, 50)));
    // Fewer than the child wants are better than none: it asks again.
    tree.hear(2, &TreeFrame::Allocate(4)).unwrap();
    assert!(matches!(tree.due(2), Some(TreeFrame::Adopt { id: 50, .. })));
    tree.written(2);
    assert_eq!(tree.due(2), Some(TreeFrame::Grant { start: 51, count: 1 }));
    tree.written(2);
    tree.hear(2, &TreeFrame::Allocate(4)).unwrap();
    assert!(matches!(tree.due(1), Some(TreeFrame::AddRoute { id: 50, .. })));
    tree.written(1);
    assert!(matches!(tree.due(1), Some(TreeFrame::Allocate(_))));
    tree.written(1);
    // Both were given on.
    for start in [51, 49] {
        assert!(tree.hear(1, &TreeFrame::Grant { start, count: 2 }).is_err(), "{start}");
    }
    tree.hear(1, &TreeFrame::Grant { start: 60, count: 64 }).unwrap();
}

/// A path that goes up and leads back down the same way once led nowhere: a program could not name its own neighbour
/// from the root.
#[test]
fn what_a_path_means_above_is_known_below() {
    let mut tree = Tree::new(name("middle"), Limits::default());
    tree.join(1).unwrap();
    let above = Above::default().below(1).and_then(|above| above.below(7)).unwrap();
    let place = "hub/mid";
    tree.hear(1, &TreeFrame::Adopt { id: 40, above, place }).unwrap();
    tree.adopt(2, name("leaf"), 20, false).unwrap();
    tree.hear(1, &TreeFrame::Grant { start: 50, count: 64 }).unwrap_err();
    tree.written(1);
    tree.hear(1, &TreeFrame::Grant { start: 50, count: 64 }).unwrap();
    assert_eq!(
        tree.due(2),
        Some(TreeFrame::Adopt { id: 50, above: above.below(40).unwrap(), place: "hub/mid/middle" })
    );
    for path in ["/mid/middle/leaf", "/hub/mid/middle/leaf", "mid/middle/leaf", "middle/leaf", "leaf"] {
        assert_eq!(tree.find(path), Some(50), "{path}");
    }
    for path in ["/mid/middle", "/hub/mid/middle", "mid/middle", "middle"] {
        assert_eq!(tree.find(path), Some(40), "{path}");
    }
    // Others' are for those above to say.
    for path in
        ["/", "/hub", "/mid", "mid", "hub", "/mid/leaf", "/leaf", "/middle/leaf", "mid/other", "hub/middle"]
    {
        assert_eq!(tree.find(path), None, "{path}");
        let way = tree.way(Some(2), Some(&Route { from: 50, hops: 0, to: 0, path }));
        assert!(
            matches!(way, Ok(Way::Onward { link: 1, route: Some(Route { to: 0, .. }) })),
            "{path}: {way:?}"
        );
    }
    // What is said of the names above has to be of as many as there are; a root has its own.
    tree.hear(1, &TreeFrame::Adopt { id: 40, above, place: "mid" }).unwrap();
    assert_eq!(tree.find("/mid/middle/leaf"), None);
    tree.lost(1, Reason::LinkLost);
    assert_eq!(
        (tree.find("/leaf"), tree.find("/middle/leaf"), tree.find("/mid/middle/leaf")),
        (Some(50), Some(50), None)
    );
}

#[test]
fn who_gets_the_name_of_one_that_has_gone_hears_where_it_is() {
    let mut tree = Tree::new(name("root"), Limits::default());
    tree.adopt(2, name("twin"), 20, false).unwrap();
    tree.adopt(3, name("twin"), 30, false).unwrap();
    let above = Above::default().below(1).unwrap();
    assert_eq!(tree.due(2), Some(TreeFrame::Adopt { id: 2, above, place: "root" }));
    assert_eq!(tree.due(3), Some(TreeFrame::Adopt { id: 3, above, place: "" }));
    tree.written(3);
    assert_eq!(tree.due(3), None);
    tree.lost(2, Reason::LinkLost);
    assert_eq!(tree.due(3), Some(TreeFrame::Adopt { id: 3, above, place: "root" }));
}

/// A node in a tree, with ids to give from 50 on.
fn middle() -> Tree {
    let mut tree = Tree::new(name("middle"), Limits::default());
    tree.join(1).unwrap();
    let above = Above::default().below(1).unwrap();
    tree.hear(1, &TreeFrame::Adopt { id: 40, above, place: "" }).unwrap();
    tree.adopt(2, name("first"), 20, false).unwrap();
    assert!(matches!(tree.due(1), Some(TreeFrame::Allocate(_))));
    tree.written(1);
    tree.hear(1, &TreeFrame::Grant { start: 50, count: 64 }).unwrap();
    assert_eq!(tree.children().next(), Some((2, 50)));
    tree
}

#[test]
fn who_has_come_back_is_known_above_only_when_it_has_gone() {
    let mut tree = middle();
    // Not known above yet: then it has never been there.
    assert_eq!(tree.adopt(3, name("first"), 20, false), Ok(Some(2)));
    assert_eq!(tree.due(1), Some(TreeFrame::AddRoute { id: 51, via: 40, name: "first" }));
    tree.written(1);
    assert_eq!(tree.due(1), None);
    assert_eq!(tree.adopt(4, name("first"), 20, false), Ok(Some(3)));
    assert_eq!((tree.find("first"), tree.node(51)), (Some(52), None));
    assert_eq!(tree.due(1), Some(TreeFrame::DelRoute(51, Reason::Superseded)));
    tree.written(1);
    assert_eq!(tree.due(1), Some(TreeFrame::AddRoute { id: 52, via: 40, name: "first" }));
    // What is left of the earlier links is nothing.
    assert_eq!(tree.lost(2, Reason::LinkLost), netchan::tree::Lost::Nothing);
    assert_eq!(tree.children().collect::<Vec<_>>(), [(4, 52)]);
}

/// They run one program, and so have one uid, more often than not.
#[test]
fn two_boards_of_one_name_and_uid_are_two() {
    let mut tree = middle();
    tree.adopt(3, name("board"), 70, true).unwrap();
    assert_eq!(tree.adopt(4, name("board"), 70, true), Ok(None));
    assert_eq!(tree.children().collect::<Vec<_>>(), [(2, 50), (3, 51), (4, 52)]);
    assert_eq!(tree.find("board"), Some(51));
}

/// The later of two once got all that was meant for the name.
#[test]
fn a_name_is_the_firsts_until_that_has_gone() {
    let mut tree = middle();
    drop(tree.changes());
    assert_eq!(tree.adopt(3, name("first"), 21, false), Ok(None));
    let joined = Change::Joined { id: 51, via: 40, name: name("first") };
    let taken = Change::NameTaken { id: 51, name: name("first"), by: 50 };
    assert_eq!(tree.changes(), [joined, taken]);
    assert_eq!((tree.find("first"), tree.path_of(50).as_deref()), (Some(50), Some("first")));
    assert_eq!((tree.path_of(51), tree.node(51).is_some()), (None, true));
    // Nor has what is below it a path.
    tree.hear(3, &TreeFrame::Allocate(1)).unwrap();
    tree.hear(3, &TreeFrame::AddRoute { id: 52, via: 51, name: "below" }).unwrap();
    assert_eq!((tree.find("first/below"), tree.path_of(52)), (None, None));
    // A node's own name is its own before it is a child's.
    tree.adopt(4, name("middle"), 22, false).unwrap();
    assert_eq!((tree.find("middle"), tree.find("middle/middle")), (Some(40), Some(53)));
    // Of three, too, those above are told in the order in which they have come.
    tree.adopt(5, name("first"), 23, false).unwrap();
    let mut told = Vec::new();
    while let Some(TreeFrame::AddRoute { id, .. }) = tree.due(1) {
        told.push(id);
        tree.written(1);
    }
    assert_eq!(told, [50, 51, 52, 53, 54]);
    tree.lost(2, Reason::LinkLost);
    assert_eq!((tree.find("first"), tree.find("first/below")), (Some(51), Some(52)));
}

/// One that came and went under another's name made the other one, and all below it, hear where they are without end.
#[test]
fn nobody_hears_again_what_has_not_changed() {
    let mut tree = middle();
    let above = Above::default().below(1).unwrap();
    let said = TreeFrame::Adopt { id: 40, above, place: "hub" };
    tree.hear(1, &said).unwrap();
    assert!(matches!(tree.due(2), Some(TreeFrame::Adopt { place: "hub/middle", .. })));
    tree.written(2);
    for link in 3..100 {
        tree.adopt(link, name("first"), link, false).unwrap();
        tree.written(link);
        tree.lost(link, Reason::LinkLost);
        assert_eq!(tree.due(2), None);
    }
    tree.hear(1, &said).unwrap();
    assert_eq!(tree.due(2), None);
}

/// SHUTDOWN came before ADOPT.
#[test]
fn a_child_that_is_told_to_end_while_it_has_no_id_is_told_behind_it() {
    let mut tree = Tree::new(name("middle"), Limits::default());
    tree.join(1).unwrap();
    tree.hear(1, &TreeFrame::Adopt { id: 5, above: Above::default().below(1).unwrap(), place: "" }).unwrap();
    tree.adopt(7, name("child"), 70, false).unwrap();
    tree.adopt(8, name("board"), 80, true).unwrap();
    tree.pass(Instant::from_millis(1000));
    tree.shut_down(None, 9_000);
    tree.shut_down(Some(7), 2_000);
    tree.shut_down(None, 10_000);
    assert_eq!((tree.due(7), tree.due(8)), (None, None));
    assert_eq!(tree.due(1), Some(TreeFrame::Allocate(2)));
    tree.written(1);
    tree.pass(Instant::from_millis(1500));
    tree.hear(1, &TreeFrame::Grant { start: 10, count: 2 }).unwrap();
    assert!(matches!(tree.due(7), Some(TreeFrame::Adopt { id: 10, .. })));
    tree.written(7);
    // What is left of the time that is over first; a board stays.
    assert_eq!(tree.due(7), Some(TreeFrame::Shutdown { grace_ms: 1_500 }));
    tree.written(7);
    assert_eq!((tree.due(7), tree.due(8)), (None, None));
}
