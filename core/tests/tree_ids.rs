//! Stories of ids that are used up: by honest nodes that come and go, and by others on purpose. Time is counted, and
//! nothing waits for it.

use std::time::Duration;

use netchan::proto::{Above, Instant, Name, Reason, TreeFrame};
use netchan::tree::{Heard, Limits, LinkNumber, Lost, Tree};

/// The link upward of each node here.
const UP: LinkNumber = 1;

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

/// One node below the other, from the root on, with the links between them and the time.
struct Line {
    trees: Vec<Tree>,
    /// The link of each to the next one.
    down: Vec<LinkNumber>,
    next_link: LinkNumber,
    now: Instant,
}

impl Line {
    fn new(nodes: usize) -> Self {
        let trees = vec![Tree::new(name("root"), Limits::default())];
        let mut line = Self { trees, down: Vec::new(), next_link: 10, now: Instant::ZERO };
        for _ in 1..nodes {
            assert!(line.extend());
        }
        line
    }

    fn link(&mut self) -> LinkNumber {
        self.next_link += 1;
        self.next_link
    }

    /// A new node comes below the last one: whether it is given an id.
    fn extend(&mut self) -> bool {
        let mut tree = Tree::new(name("bridge"), Limits::default());
        tree.pass(self.now);
        tree.join(UP).unwrap();
        let last = self.trees.len() - 1;
        let link = self.link();
        if self.trees[last].adopt(link, name("bridge"), link, false).is_err() {
            return false;
        }
        self.trees.push(tree);
        self.down.push(link);
        self.settle();
        if self.trees[last + 1].is_settled() {
            return true;
        }
        self.shorten();
        false
    }

    /// The last one goes.
    fn shorten(&mut self) {
        self.trees.pop();
        let link = self.down.pop().unwrap();
        self.trees.last_mut().unwrap().lost(link, Reason::LinkLost);
        self.settle();
    }

    /// A board comes to a node: its link and its id, if it is given one.
    fn board(&mut self, at: usize) -> Option<(LinkNumber, u32)> {
        let link = self.link();
        self.trees[at].adopt(link, name("board"), link, true).ok()?;
        self.settle();
        let id = self.trees[at].children().find(|(own, _)| *own == link).unwrap().1;
        if id != 0 {
            return Some((link, id));
        }
        assert_eq!(self.trees[at].turned_away(), Some(link), "it waits, and is told nothing");
        assert_eq!(self.trees[at].turned_away(), None);
        self.trees[at].lost(link, Reason::LinkLost);
        None
    }

    fn lost(&mut self, at: usize, link: LinkNumber) {
        assert_eq!(self.trees[at].lost(link, Reason::LinkLost), Lost::Child);
        self.settle();
    }

    /// A child that is no node of ours comes to a node.
    fn stranger(&mut self, at: usize) -> Option<LinkNumber> {
        let link = self.link();
        self.trees[at].adopt(link, name("mole"), link, false).ok()?;
        self.settle();
        while self.trees[at].due(link).is_some() {
            self.trees[at].written(link);
        }
        self.trees[at].children().any(|(own, id)| own == link && id != 0).then_some(link)
    }

    /// It asks for ids, and is answered: how many it has got.
    fn ask(&mut self, at: usize, link: LinkNumber, count: u32) -> u32 {
        self.trees[at].hear(link, &TreeFrame::Allocate(count)).unwrap();
        self.settle();
        loop {
            let due = self.trees[at].due(link).expect("an answer");
            let granted = if let TreeFrame::Grant { count, .. } = due { Some(count) } else { None };
            self.trees[at].written(link);
            if let Some(granted) = granted {
                return granted;
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        for tree in &mut self.trees {
            tree.pass(self.now);
        }
    }

    /// All that is to be said between them is said.
    fn settle(&mut self) {
        let mut quiet = false;
        while !quiet {
            quiet = true;
            for at in 0..self.down.len() {
                let (above, below) = self.trees.split_at_mut(at + 1);
                let (above, below, link) = (&mut above[at], &mut below[0], self.down[at]);
                while let Some(frame) = above.due(link) {
                    below.hear(UP, &frame).unwrap();
                    above.written(link);
                    quiet = false;
                }
                while let Some(frame) = below.due(UP) {
                    above.hear(link, &frame).unwrap();
                    below.written(UP);
                    quiet = false;
                }
            }
        }
        for tree in &mut self.trees {
            tree.changes();
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// It took 65 ids of the bridge above each time, and after 1023 times its board was adopted no more.
#[test]
fn a_bridge_that_comes_and_goes_for_days_has_its_board_adopted_each_time() {
    let mut line = Line::new(2);
    let mut last = 0;
    for flap in 0..100_000 {
        assert!(line.extend(), "flap {flap}");
        let (_, id) = line.board(2).unwrap_or_else(|| panic!("flap {flap}"));
        assert!(id > last, "{id} was given before");
        last = id;
        line.shorten();
        line.pass(2 * SECOND);
    }
    // What is asked for grows with what is used, so half of it is used at least.
    assert!(last < 2 * 2 * 100_000, "{last} ids");
}

/// After 65 472 times it was adopted no more.
#[test]
fn a_board_that_resets_for_days_is_adopted_each_time() {
    let mut line = Line::new(3);
    for reset in 0..300_000 {
        let (link, _) = line.board(2).unwrap_or_else(|| panic!("reset {reset}"));
        line.lost(2, link);
        line.pass(SECOND);
    }
}

/// Ids may be short then, but not for longer than the rush.
#[test]
fn a_board_that_resets_in_a_rush_is_refused_and_adopted_soon_after() {
    let mut line = Line::new(2);
    let (mut adopted, mut refused) = (0, 0);
    for _ in 0..200_000 {
        match line.board(1) {
            Some((link, _)) => {
                adopted += 1;
                line.lost(1, link);
            }
            None => refused += 1,
        }
        line.pass(Duration::from_millis(10));
    }
    assert!(adopted > 50_000 && refused > 50_000, "{adopted} and {refused}");
    line.pass(SECOND);
    assert!(line.board(1).is_some());
}

/// A node below that asks and asks once kept all others below its parent from being adopted.
#[test]
fn a_child_that_asks_without_end_keeps_nobody_from_being_adopted() {
    let mut line = Line::new(2);
    let hostile = line.stranger(1).unwrap();
    let mut got = 0;
    loop {
        match line.ask(1, hostile, 64) {
            0 => break,
            count => got += count,
        }
    }
    assert!((10_000..20_000).contains(&got), "{got}: a quarter of what its parent may have");
    let (board, _) = line.board(1).unwrap();
    line.lost(1, board);
    // It has others beside it that do the same, one after the other, until the bridge itself is refused; and goes on.
    for _ in 0..10 {
        if let Some(link) = line.stranger(1) {
            while line.ask(1, link, 64) > 0 {}
        }
    }
    for second in 0..2000 {
        for _ in 0..20 {
            line.pass(SECOND / 20);
            line.ask(1, hostile, 64);
        }
        let (board, _) = line.board(1).unwrap_or_else(|| panic!("second {second}"));
        line.lost(1, board);
    }
}

/// The one that asks most has no more than its turn.
#[test]
fn where_ids_are_short_those_who_ask_take_turns() {
    let mut line = Line::new(2);
    let (hostile, honest) = (line.stranger(1).unwrap(), line.stranger(1).unwrap());
    let others: Vec<_> = (0..20).map(|_| line.stranger(0).unwrap()).collect();
    // All that the root and the bridge have in common is gone.
    for link in others.iter().copied() {
        while line.ask(0, link, 64) > 0 {}
    }
    while line.ask(1, hostile, 64) > 0 {}
    let (mut times, mut got, mut boards) = (0, 0, 0);
    for second in 0..1000 {
        for _ in 0..20 {
            line.pass(SECOND / 20);
            line.ask(1, hostile, 64);
            for link in others.iter().copied() {
                line.ask(0, link, 64);
            }
        }
        if second % 5 == 0 {
            let count = line.ask(1, honest, 64);
            times += u32::from(count > 0);
            got += count;
            if let Some((link, _)) = line.board(1) {
                boards += 1;
                line.lost(1, link);
            }
        }
    }
    // The bridge's own part is 8 ids in a second for 21 links.
    assert!(times > 80 && boards > 80, "of 200 times {times} with {got} ids, and {boards} boards");
}

/// All 2³² ids were gone after 7 minutes of this: 65 473 in 6 ms.
#[test]
fn who_comes_again_and_again_uses_ids_up_in_years() {
    let mut line = Line::new(2);
    let honest = line.stranger(0).unwrap();
    let hours = 3;
    let mut at_once = 0;
    for tenth in 0..hours * 36_000 {
        if let Some(link) = line.stranger(0) {
            while line.ask(0, link, 64) > 0 {}
            line.lost(0, link);
        }
        if tenth == 100 {
            at_once = line.stranger(0).map(|link| line.trees[0].neighbour(link)).unwrap();
        }
        line.pass(SECOND / 10);
        if tenth > 0 && tenth % 600 == 0 {
            // Whoever has been there for a minute has had its part of it.
            assert!(line.ask(0, honest, 64) == 64, "minute {}", tenth / 600);
        }
    }
    line.pass(SECOND);
    let last = line.stranger(0).map(|link| line.trees[0].neighbour(link)).unwrap();
    assert!(at_once < 1 << 21, "{at_once} at once");
    let years = (1_u64 << 32) / u64::from((last - at_once) / hours) / 24 / 365;
    assert!(years >= 4, "{last} after {hours} hours: {years} years");
    // Nobody else has suffered.
    assert!(line.board(1).is_some() && line.board(0).is_some());
}

/// New children at a rate that no honest ones have are refused before there are none left for later.
#[test]
fn new_children_without_end_are_refused_at_last() {
    let mut line = Line::new(1);
    let mut adopted = 0_u32;
    while let Some((link, _)) = line.board(0) {
        adopted += 1;
        line.lost(0, link);
    }
    assert_eq!(adopted, 1 << 20);
    line.pass(SECOND);
    let soon = (0..100).filter(|_| line.board(0).is_some()).count();
    assert_eq!(soon, 16);
}

/// A parent that gives a node the last id there is, and goes: who waited below waited for ever.
#[test]
fn a_node_that_lives_on_without_ids_says_so() {
    let mut tree = Tree::new(name("middle"), Limits::default());
    tree.join(1).unwrap();
    let above = Above::default().below(1).unwrap();
    tree.hear(1, &TreeFrame::Adopt { id: u32::MAX, above, place: "" }).unwrap();
    tree.adopt(2, name("below"), 2, false).unwrap();
    assert!(matches!(tree.due(1), Some(TreeFrame::Allocate(1))));
    tree.written(1);
    tree.hear(1, &TreeFrame::Grant { start: 100, count: 1 }).unwrap();
    tree.written(2);
    tree.adopt(3, name("waits"), 3, false).unwrap();
    tree.hear(2, &TreeFrame::Allocate(4)).unwrap();
    assert_eq!(tree.turned_away(), None);
    assert_eq!(tree.lost(1, Reason::LinkLost), Lost::Parent);
    // The one hears that its link ends, the other one that there are none.
    assert_eq!((tree.turned_away(), tree.turned_away()), (Some(3), None));
    assert!(matches!(tree.due(2), Some(TreeFrame::Adopt { id: 100, .. })));
    tree.written(2);
    assert_eq!(tree.due(2), Some(TreeFrame::Grant { start: 0, count: 0 }));
    tree.written(2);
    assert_eq!(tree.lost(3, Reason::LinkLost), Lost::Child);
    assert_eq!(tree.adopt(4, name("late"), 4, true), Err(Reason::NoResources));
    // The next question is answered as well.
    tree.hear(2, &TreeFrame::Allocate(4)).unwrap();
    assert_eq!(tree.due(2), Some(TreeFrame::Grant { start: 0, count: 0 }));
}

/// The last ids there are.
#[test]
fn a_root_gives_its_last_ids_and_then_says_that_there_are_none() {
    let mut tree = Tree::new(name("old"), Limits::default());
    tree.join(1).unwrap();
    let above = Above::default().below(1).unwrap();
    tree.hear(1, &TreeFrame::Adopt { id: u32::MAX - 6, above, place: "" }).unwrap();
    tree.lost(1, Reason::LinkLost);
    tree.adopt(2, name("child"), 2, false).unwrap();
    tree.written(2);
    tree.hear(2, &TreeFrame::Allocate(64)).unwrap();
    assert_eq!(tree.due(2), Some(TreeFrame::Grant { start: u32::MAX - 4, count: 4 }));
    tree.written(2);
    assert_eq!(tree.adopt(3, name("late"), 3, true), Err(Reason::NoResources));
    tree.hear(2, &TreeFrame::Allocate(64)).unwrap();
    assert_eq!(tree.due(2), Some(TreeFrame::Grant { start: 0, count: 0 }));
}

/// A refusal from above is told to all below who wait.
#[test]
fn who_waits_for_an_id_from_above_is_told_that_there_is_none() {
    let mut tree = Tree::new(name("middle"), Limits::default());
    tree.join(1).unwrap();
    let above = Above::default().below(1).unwrap();
    tree.hear(1, &TreeFrame::Adopt { id: 40, above, place: "" }).unwrap();
    tree.adopt(2, name("waits"), 2, true).unwrap();
    tree.adopt(3, name("waits-too"), 3, false).unwrap();
    assert_eq!(tree.due(1), Some(TreeFrame::Allocate(2)));
    tree.written(1);
    assert_eq!(tree.hear(1, &TreeFrame::Grant { start: 0, count: 0 }), Ok(Heard::Exhausted));
    assert_eq!([(); 3].map(|()| tree.turned_away()), [Some(2), Some(3), None]);
    // What comes now is for others than those.
    tree.adopt(4, name("next"), 4, true).unwrap();
    assert!(matches!(tree.due(1), Some(TreeFrame::Allocate(_))));
    tree.written(1);
    tree.hear(1, &TreeFrame::Grant { start: 50, count: 3 }).unwrap();
    assert_eq!(tree.children().collect::<Vec<_>>(), [(2, 0), (3, 0), (4, 50)]);
}
