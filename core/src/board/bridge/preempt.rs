//! Two drivers of one bridge, of which one runs in an interrupt: it comes between any two critical sections of the other.

use core::cell::RefCell;
use std::boxed::Box;
use std::thread_local;

use critical_section::CriticalSection;

/// After so many critical sections there is this interrupt.
struct Interrupt {
    after: usize,
    handler: Box<dyn FnOnce()>,
}

thread_local! {
    static INTERRUPT: RefCell<Option<Interrupt>> = const { RefCell::new(None) };
}

/// As the function that it stands for; and behind it is an interrupt, if one is due.
pub(in crate::board) fn with<R>(f: impl FnOnce(CriticalSection<'_>) -> R) -> R {
    let result = critical_section::with(f);
    let due = INTERRUPT.with_borrow_mut(|interrupt| {
        let it = interrupt.as_mut()?;
        if it.after > 0 {
            it.after -= 1;
            return None;
        }
        interrupt.take()
    });
    if let Some(interrupt) = due {
        (interrupt.handler)();
    }
    result
}

/// Does something that is interrupted after so many critical sections: whether it came to that.
fn interrupted(after: usize, handler: impl FnOnce() + 'static, f: impl FnOnce()) -> bool {
    INTERRUPT.set(Some(Interrupt { after, handler: Box::new(handler) }));
    f();
    INTERRUPT.take().is_none()
}

#[cfg(test)]
mod tests {
    use core::cell::{Cell, RefCell};
    use std::boxed::Box;
    use std::collections::BTreeSet;
    use std::rc::Rc;
    use std::vec::Vec;

    use super::interrupted;
    use crate::board::{Bridge, Config, Driver, Identity, Memory, Node as Board};
    use crate::proto::{
        Above, CounterNonce, Fingerprints, Frame, Instant, LineConfig, LinkConfig, LinkKind, Name, Open,
        OpenFlags, Reason, Route, TreeFrame,
    };
    use crate::testing::{Node, Port, Stage, TreeTold, identity};

    const WIDE: LineConfig = LineConfig::uart(115_200, 2, 240, 4);
    const NARROW: LineConfig = LineConfig::uart(115_200, 2, 64, 2);
    const CONFIG: Config = Config::new(WIDE).bridge(1, 300);
    const DOWN: Config = CONFIG.over(NARROW);
    type Passing = Bridge<{ CONFIG.circuits() }, { CONFIG.room() }>;
    type Relay = Board<{ CONFIG.channels() }, { CONFIG.bytes() }>;

    /// A line of the bridge, and the node at its other end.
    struct Line {
        driver: Driver<'static>,
        node: Node,
        now: Rc<Cell<u64>>,
    }

    impl Line {
        fn now(&self) -> Instant {
            self.now.set(self.now.get() + 500);
            Instant::from_micros(self.now.get())
        }

        /// What the node has to say comes to the bridge.
        fn feed(&mut self) {
            let now = self.now();
            self.node.tick(now);
            self.node.pump();
            let bytes = self.node.port.transmit_some(512);
            self.driver.feed(&bytes, now);
        }

        /// What the bridge has to say comes to the node.
        fn drain(&mut self) {
            let mut bytes = [0; 512];
            let n = self.driver.drain(&mut bytes, self.now());
            self.node.receive(&bytes[..n]);
        }

        /// Both, until nobody has anything more to say.
        fn run(&mut self) {
            for _ in 0..20 {
                self.feed();
                self.drain();
            }
        }

        /// In the node's place is another one, and the line is up again.
        fn replace(&mut self, boot: u64) {
            self.node = node("other", boot, NARROW, self.now());
            self.run();
            assert!(self.node.port.is_up(), "{:?}", self.driver);
        }

        fn circuits(&self) -> Vec<(&str, Stage)> {
            self.node.circuits.iter().map(|circuit| (&*circuit.name, circuit.stage)).collect()
        }
    }

    fn node(name: &str, boot: u64, line: LineConfig, now: Instant) -> Node {
        let mut who = identity(name, 7);
        who.boot = boot;
        let config = LinkConfig {
            kind: LinkKind::Either,
            adopts: name == "above",
            hello_ms: 600_000,
            ..LinkConfig::line(who, &line, 8)
        };
        let mut node = Node::new(config, boot, now);
        node.port = Port::on_line(config, line, boot << 32 | 0x77, now);
        node
    }

    /// A bridge, a parent above and a leaf below.
    struct World {
        bridge: &'static Passing,
        above: Rc<RefCell<Line>>,
        below: Rc<RefCell<Line>>,
        /// Ids that the parent knows, and those that it has known.
        routes: BTreeSet<u32>,
        gone: BTreeSet<u32>,
    }

    /// The bridge's id, and the first of those that it may give.
    const ID: u32 = 10;
    const FIRST: u32 = 11;

    fn leak<T>(value: T) -> &'static mut T {
        Box::leak(Box::new(value))
    }

    impl World {
        /// Both lines are up, and the parent has given ids: what is to be said of the leaf is yet to be said.
        fn adopted() -> Self {
            let (board, bridge) = (&*leak(Relay::new(&CONFIG)), &*leak(Passing::new(&CONFIG)));
            let who = |side| {
                let name = leak(Name::literal("relay-board"));
                Identity { name, uid: 5, boot: 1, nonces: leak(CounterNonce::new(side, 1)) }
            };
            let up = board.up_line(bridge, leak(Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG)), who(1));
            let down = board.down_line(bridge, leak(Memory::<{ DOWN.line_bytes() }>::new(&DOWN)), who(2));
            let now = Rc::new(Cell::new(0));
            let line = |driver, node| Rc::new(RefCell::new(Line { driver, node, now: now.clone() }));
            let above = line(up, node("above", 1, WIDE, Instant::ZERO));
            let below = line(down, node("leaf", 2, NARROW, Instant::ZERO));
            let mut world = Self { bridge, above, below, routes: BTreeSet::new(), gone: BTreeSet::new() };
            {
                let mut above = world.above.borrow_mut();
                above.run();
                let tree = Above::default().below(1).expect("one is not too deep");
                above.node.port.forge(&Frame::Tree(TreeFrame::Adopt { id: ID, above: tree, place: "" }));
                above.run();
                world.below.borrow_mut().run();
                above.run();
                assert!(matches!(above.node.told[..], [TreeTold::Allocate(_)]), "{:?}", above.node.told);
                above.node.told.clear();
                above.node.port.forge(&Frame::Tree(TreeFrame::Grant { start: FIRST, count: 8 }));
                above.feed();
            }
            world.tree();
            world
        }

        /// The same, and the parent knows of the leaf.
        fn new() -> Self {
            let mut world = Self::adopted();
            world.settle();
            assert_eq!(world.routes, [FIRST].into());
            world
        }

        /// What the parent was told of the tree fits together.
        fn tree(&mut self) {
            for told in core::mem::take(&mut self.above.borrow_mut().node.told) {
                match told {
                    TreeTold::AddRoute(id, ID) => {
                        assert!(!self.gone.contains(&id) && self.routes.insert(id), "{id} comes twice");
                    }
                    TreeTold::DelRoute(id) => {
                        assert!(self.routes.remove(&id), "{id} was never told");
                        self.gone.insert(id);
                    }
                    told => panic!("{told:?}"),
                }
            }
        }

        /// All that is due is done, and nobody has broken the protocol.
        fn settle(&mut self) {
            for _ in 0..4 {
                for line in [&self.above, &self.below] {
                    let line = &mut *line.borrow_mut();
                    line.run();
                    let faults = (line.node.port.fault, line.driver.ended().map(|dead| dead.reason));
                    assert!(!matches!(faults, (Some(_), _) | (_, Some(Reason::Protocol))), "{faults:?}");
                }
                self.tree();
            }
        }
    }

    /// Opens a channel of the leaf.
    fn open(line: &mut Line, name: &str, flags: OpenFlags) -> usize {
        let open = Open {
            flags,
            wait_ms: 0,
            credit: 64,
            limit: 60,
            values: 0,
            name,
            fingerprints: Fingerprints::new(7, &[]),
            type_name: "test",
            route: Some(Route { from: 1, hops: 0, to: FIRST, path: "" }),
            body: None,
        };
        line.node.open_as(&open).expect("there is room")
    }

    /// Interrupts it after each of its critical sections in turn, until there are no more.
    fn at_each(mut run: impl FnMut(usize) -> bool) {
        let sections = (0..).take_while(|&after| run(after)).count();
        assert!(sections > 2, "{sections} sections are none to come between");
    }

    #[test]
    fn an_opener_that_goes_while_the_leaf_is_asked_leaves_nothing_open() {
        at_each(|after| {
            let mut world = World::new();
            let first = open(&mut world.above.borrow_mut(), "first", OpenFlags::RECEIVES);
            world.above.borrow_mut().feed();
            let above = world.above.clone();
            let goes = move || {
                let line = &mut *above.borrow_mut();
                line.node.kill(first, Reason::Cancelled);
                line.run();
            };
            let is_interrupted = interrupted(after, goes, || world.below.borrow_mut().drain());
            world.settle();
            if is_interrupted {
                assert_eq!(world.bridge.in_use(), 0, "after {after} sections");
                assert!(world.below.borrow().node.port.is_quiet(), "after {after} sections");
            }
            is_interrupted
        });
    }

    #[test]
    fn a_passage_that_is_taken_again_while_the_leaf_is_asked_is_not_the_one_before() {
        at_each(|after| {
            let mut world = World::new();
            let first = open(&mut world.above.borrow_mut(), "first", OpenFlags::RECEIVES);
            world.above.borrow_mut().feed();
            let above = world.above.clone();
            let goes = move || {
                let line = &mut *above.borrow_mut();
                line.node.kill(first, Reason::Cancelled);
                line.run();
                open(line, "the-second-channel", OpenFlags::BOTH);
                line.run();
            };
            let is_interrupted = interrupted(after, goes, || world.below.borrow_mut().drain());
            world.settle();
            let (above, below) = (world.above.borrow(), world.below.borrow());
            // Where the first one was under way it holds the only passage, and the second one is refused.
            let [_, of_above @ ..] = &above.circuits()[..] else { panic!("nobody has asked") };
            let of_below = below.circuits();
            let second = [("the-second-channel", Stage::Open)];
            let refused = [("the-second-channel", Stage::Over)];
            let was = [("first", Stage::Over)];
            match (of_above, &of_below[..]) {
                (above, below) if above == second && below == second => assert_eq!(world.bridge.in_use(), 1),
                (above, below) if above == refused && below == was => assert_eq!(world.bridge.in_use(), 0),
                (&[], _) if !is_interrupted => assert_eq!(of_below, [("first", Stage::Open)]),
                _ => panic!("after {after} sections: {of_above:?}, {of_below:?}"),
            }
            is_interrupted
        });
    }

    #[test]
    fn another_leaf_is_not_asked_for_what_was_wanted_of_the_one_before() {
        at_each(|after| {
            let mut world = World::new();
            open(&mut world.above.borrow_mut(), "first", OpenFlags::RECEIVES);
            let below = world.below.clone();
            let comes = move || below.borrow_mut().replace(3);
            let is_interrupted = interrupted(after, comes, || world.above.borrow_mut().feed());
            world.settle();
            let (above, below) = (world.above.borrow(), world.below.borrow());
            if is_interrupted {
                assert_eq!(below.circuits(), [], "after {after} sections");
                assert_eq!(above.circuits(), [("first", Stage::Over)], "after {after} sections");
                assert_eq!(world.bridge.in_use(), 0);
            }
            is_interrupted
        });
    }

    #[test]
    fn a_leaf_that_goes_while_it_is_told_of_is_told_to_be_gone() {
        at_each(|after| {
            let mut world = World::adopted();
            let below = world.below.clone();
            let comes = move || below.borrow_mut().replace(3);
            let is_interrupted = interrupted(after, comes, || world.above.borrow_mut().drain());
            world.settle();
            let there = if is_interrupted { FIRST + 1 } else { FIRST };
            assert_eq!(world.routes, [there].into(), "after {after} sections");
            is_interrupted
        });
    }
}
