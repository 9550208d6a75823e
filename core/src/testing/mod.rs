//! What tests of netchan are made of: virtual nodes, wires and clocks.
//!
//! [`bare`] needs no allocator and runs on boards too, and so does what boards need of [`conformance`]; the rest is for hosts.

pub mod bare;
pub mod conformance;

#[cfg(feature = "testing")]
mod chain;
#[cfg(feature = "testing")]
mod circuit;
#[cfg(feature = "testing")]
mod clock;
#[cfg(feature = "testing")]
mod faulty;
#[cfg(feature = "testing")]
pub mod fuzz;
#[cfg(feature = "testing")]
mod line_end;
#[cfg(feature = "testing")]
mod line_pair;
#[cfg(feature = "testing")]
mod node;
#[cfg(feature = "testing")]
mod pair;
#[cfg(feature = "testing")]
mod port;
#[cfg(feature = "testing")]
mod rng;
#[cfg(feature = "testing")]
mod router;
#[cfg(feature = "testing")]
pub mod sim;
#[cfg(feature = "testing")]
mod store;
#[cfg(feature = "testing")]
mod typed;
#[cfg(feature = "testing")]
mod wire;
#[cfg(all(feature = "testing", feature = "embedded-io-v0_7"))]
mod wire_io;

#[cfg(all(feature = "testing", feature = "board"))]
pub use crate::board::section::{interrupt_after, is_interrupt_due};
#[cfg(feature = "testing")]
pub use chain::Chain;
#[cfg(feature = "testing")]
pub use circuit::{Account, Circuit, Outcome, Stage};
#[cfg(feature = "testing")]
pub use clock::Clock;
#[cfg(feature = "testing")]
pub use faulty::{Faults, FaultyLine, FaultyWire, Happened};
#[cfg(feature = "testing")]
pub use line_end::LineEnd;
#[cfg(feature = "testing")]
pub use line_pair::LinePair;
#[cfg(feature = "testing")]
pub use node::{Node, Policy, TreeTold};
#[cfg(feature = "testing")]
pub use pair::Pair;
#[cfg(feature = "testing")]
pub use port::{Limited, OneFrame, Port, identity};
#[cfg(feature = "testing")]
pub use rng::Rng;
#[cfg(feature = "testing")]
pub use router::Router;
#[cfg(feature = "testing")]
pub use store::Queue;
#[cfg(feature = "testing")]
pub use wire::{WireEnd, WireError, wire, wire_at};
