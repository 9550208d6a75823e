//! Stories of one node's tree: what it makes of what its neighbours say.

use netchan::proto::{Above, Name, Reason, Route, TreeFrame};
use netchan::tree::{Limits, NoWay, Tree, Way};

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

fn add(id: u32, via: u32) -> TreeFrame<'static> {
    TreeFrame::AddRoute { id, via, name: "x" }
}

/// A root with room for so many nodes, with a child behind link 7 that has the id 2 and the ids from 3 on.
fn root(nodes: usize) -> Tree {
    let mut tree = Tree::new(name("root"), Limits { nodes, ..Limits::default() });
    tree.adopt(7, name("child"), false).unwrap();
    tree.written(7);
    tree.hear(7, &TreeFrame::Allocate(64)).unwrap();
    assert_eq!(tree.due(7), Some(TreeFrame::Grant { start: 3, count: 64 }));
    tree.written(7);
    tree
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
    tree.hear(7, &TreeFrame::DelRoute(3)).unwrap();
    tree.hear(7, &add(6, 4)).unwrap();
}

/// A parent's grant once could hold the child's own id: then a node below had the same, and what was meant for it
/// came to the child.
#[test]
fn a_grant_of_ids_that_somebody_has_is_a_strike() {
    let mut tree = Tree::new(name("middle"), Limits::default());
    tree.join(1).unwrap();
    let above = Above::default().below(1).unwrap();
    tree.hear(1, &TreeFrame::Adopt { id: 40, above }).unwrap();
    tree.adopt(2, name("below"), false).unwrap();
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
