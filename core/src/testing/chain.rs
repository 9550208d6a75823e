//! Two nodes with a router between them, on wires that lose nothing.

use super::{Node, Pair, Router};
use crate::proto::{Instant, LinkConfig};

/// Two nodes and a router.
#[derive(Debug, Clone)]
pub struct Chain {
    /// Behind the router's link 0.
    pub a: Node,
    /// In the middle.
    pub r: Router,
    /// Behind the router's link 1.
    pub b: Node,
    /// The virtual time.
    pub now: Instant,
}

impl Chain {
    /// Three nodes whose links are up.
    ///
    /// # Panics
    ///
    /// When they do not come up.
    pub fn up() -> Self {
        Self::with(|_| {})
    }

    /// Three nodes whose links are up, all with what `change` makes of the configuration.
    ///
    /// # Panics
    ///
    /// When they do not come up.
    pub fn with(change: impl Fn(&mut LinkConfig)) -> Self {
        let now = Instant::from_millis(1);
        let config = |name, number| {
            let mut config = Pair::config(name, number);
            change(&mut config);
            config
        };
        let mut chain = Self {
            a: Node::new(config("a", 1), 0xa11c_e000, now),
            r: Router::new(config("r", 3), [0x7000, 0xf000_0000], now),
            b: Node::new(config("b", 2), 0xb0b0_0000, now),
            now,
        };
        chain.run();
        assert!(chain.a.port.is_up() && chain.b.port.is_up());
        chain
    }

    /// Moves bytes until nothing moves any more.
    ///
    /// # Panics
    ///
    /// When it never comes to rest.
    pub fn run(&mut self) {
        for _ in 0..10_000 {
            self.a.pump();
            self.b.pump();
            self.r.pump();
            let take = core::mem::take;
            let (from_a, from_b) = (take(&mut self.a.port.output), take(&mut self.b.port.output));
            let (to_a, to_b) = (take(&mut self.r.ports[0].output), take(&mut self.r.ports[1].output));
            if from_a.is_empty() && from_b.is_empty() && to_a.is_empty() && to_b.is_empty() {
                return;
            }
            self.r.receive(0, &from_a);
            self.r.receive(1, &from_b);
            self.a.receive(&to_a);
            self.b.receive(&to_b);
            let (held, room) = self.r.held();
            assert!(held <= room, "the router holds {held} of {room}");
        }
        panic!("the chain never comes to rest");
    }

    /// Nothing is open and nothing is queued, and no link has failed.
    ///
    /// # Panics
    ///
    /// When it is not so.
    pub fn assert_quiet(&self) {
        for fault in [self.a.port.fault, self.b.port.fault, self.r.ports[0].fault, self.r.ports[1].fault] {
            assert_eq!(fault, None);
        }
        assert!(self.a.is_quiet(), "left open or queued: {:#?}", self.a);
        assert!(self.b.is_quiet(), "left open or queued: {:#?}", self.b);
        assert!(self.r.is_quiet(), "left open or queued: {:#?}", self.r);
    }
}
