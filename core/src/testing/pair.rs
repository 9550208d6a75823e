//! Two nodes, a virtual wire between them, and a virtual clock.

use alloc::vec::Vec;

use super::{Node, identity};
use crate::proto::{Instant, LinkConfig};

/// Two nodes and a wire that loses nothing.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Says hello first.
    pub a: Node,
    /// The other one.
    pub b: Node,
    /// The virtual time.
    pub now: Instant,
    /// Bytes move in pieces of this length.
    pub chunk: usize,
}

impl Pair {
    /// A configuration for tests: few circuits.
    pub fn config(name: &str, number: u64) -> LinkConfig {
        LinkConfig { circuits: 4, ..LinkConfig::stream(identity(name, number)) }
    }

    /// Two nodes before their bring-up.
    pub fn new(a: LinkConfig, b: LinkConfig) -> Self {
        let now = Instant::from_millis(1);
        Self { a: Node::new(a, 0xa11c_e000, now), b: Node::new(b, 0xb0b0_0000, now), now, chunk: usize::MAX }
    }

    /// Two nodes whose link is up.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn up() -> Self {
        let mut pair = Self::new(Self::config("a", 1), Self::config("b", 2));
        pair.run();
        assert!(pair.a.port.is_up() && pair.b.port.is_up());
        pair
    }

    /// Moves bytes both ways until nothing moves any more.
    ///
    /// # Panics
    ///
    /// When it never comes to rest.
    pub fn run(&mut self) {
        for _ in 0..10_000 {
            self.a.pump();
            self.b.pump();
            if !self.step() {
                return;
            }
        }
        panic!("the pair never comes to rest");
    }

    /// Moves the bytes that are written now: whether there were any.
    pub fn step(&mut self) -> bool {
        let to_b = self.a.port.transmit();
        let to_a = self.b.port.transmit();
        deliver(&mut self.b, &to_b, self.chunk);
        deliver(&mut self.a, &to_a, self.chunk);
        !to_a.is_empty() || !to_b.is_empty()
    }

    /// Moves the bytes that `a` has written.
    pub fn a_to_b(&mut self) -> Vec<u8> {
        self.a.pump();
        let bytes = self.a.port.transmit();
        deliver(&mut self.b, &bytes, self.chunk);
        bytes
    }

    /// Moves the bytes that `b` has written.
    pub fn b_to_a(&mut self) -> Vec<u8> {
        self.b.pump();
        let bytes = self.b.port.transmit();
        deliver(&mut self.a, &bytes, self.chunk);
        bytes
    }

    /// Lets time pass, in steps of a quarter second, with the wire at work.
    pub fn pass(&mut self, millis: u64) {
        for _ in 0..millis / 250 {
            self.now = Instant::from_micros(self.now.as_micros() + 250_000);
            self.a.tick(self.now);
            self.b.tick(self.now);
            self.run();
        }
    }

    /// Nothing is open and nothing is queued, and no link has failed.
    ///
    /// # Panics
    ///
    /// When it is not so.
    pub fn assert_quiet(&self) {
        for node in [&self.a, &self.b] {
            assert_eq!(node.port.fault, None);
            assert!(node.is_quiet(), "left open or queued: {node:#?}");
            assert_eq!(node.port.pending_input(), 0);
        }
    }
}

fn deliver(node: &mut Node, bytes: &[u8], chunk: usize) {
    for piece in bytes.chunks(chunk.max(1)) {
        node.receive(piece);
    }
}
