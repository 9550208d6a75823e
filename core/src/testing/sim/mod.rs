//! Deterministic simulation: two or three nodes, virtual time, seeded faults, and the laws as
//! the oracle at every step.
//!
//! One seed decides everything: which faults there are, how the programs behave, when bytes
//! arrive. A seed that fails is a test; run it alone with `cargo xtask sim --seed`.

mod corruption;
#[cfg(not(loom))]
mod host;
mod ledger;
mod line;
mod lossy;
mod programs;
mod tree;
mod world;

use core::hash::Hasher;

use super::{Faults, Rng};
use world::World;

#[cfg(not(loom))]
pub use host::{HostGuard, HostReport, run_host, trace_host};
pub use tree::{TreeGuard, TreeReport, run_tree, trace_tree};

/// What a run was like. Two runs of one seed give equal reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Report {
    /// Hash of every byte delivered and when.
    pub trace: u64,
    /// Circuits opened.
    pub opened: u32,
    /// Values handed over to be sent.
    pub sent: u32,
    /// Values taken by a program.
    pub taken: u32,
    /// Sessions that a fault ended.
    pub lost: u32,
    /// Frames delivered.
    pub frames: u32,
}

/// What a run of two lines was like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LineReport {
    /// Hash of every byte delivered and when.
    pub trace: u64,
    /// Bytes delivered.
    pub bytes: u64,
    /// Numbers heard.
    pub heard: u32,
    /// Faults of the wires.
    pub faults: u64,
    /// Packets sent again in the last sessions.
    pub resent: u64,
    /// Sessions that ended.
    pub lost: u32,
    /// Silences that were announced, heard and kept.
    pub silences: u32,
}

/// What became of packets that were altered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CorruptionReport {
    /// Errors of one to five bits.
    pub injected: u64,
    /// Of these, errors beside the packet, which was taken as it was sent.
    pub spared: u64,
    /// Taken as something else than was sent: undetected.
    pub altered: u64,
}

/// Which faults a run has, and how its programs behave.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Plan {
    /// A router stands between the nodes.
    pub routed: bool,
    /// Packets have checksums, and bits flip.
    pub flips: bool,
    /// Packets have checksums.
    pub crc: bool,
    /// Lines are cut, with the bytes under way lost or cut short.
    pub cuts: bool,
    /// Lines stop for a while, or for good.
    pub stalls: bool,
    /// One node writes frames that no honest one would.
    pub hostile: bool,
    /// A program takes values seldom.
    pub slow: bool,
    /// Messages of many fragments.
    pub large: bool,
    /// Smallest packets.
    pub narrow: bool,
    /// The lines lose and alter bytes, and the links repair it.
    pub lossy: Option<Faults>,
    /// Steps with faults; as many without follow.
    pub steps: u32,
}

impl Plan {
    /// Each fault is there or not by the seed, so that they meet in every combination.
    pub fn new(rng: &mut Rng) -> Self {
        let lossy = rng.one_in(3).then(|| lossy::faults(rng));
        let hostile = rng.one_in(6) && lossy.is_none();
        let flips = rng.one_in(4) && lossy.is_none();
        Self {
            routed: rng.one_in(2),
            flips,
            crc: flips || rng.one_in(4) && lossy.is_none(),
            cuts: rng.one_in(3) && lossy.is_none(),
            stalls: rng.one_in(3) && lossy.is_none(),
            hostile,
            lossy,
            slow: rng.one_in(3),
            large: rng.one_in(3),
            narrow: rng.one_in(3),
            steps: 60 + rng.below(120) as u32,
        }
    }
}

/// Runs one seed.
///
/// # Panics
///
/// When a law is broken. The message does not name the seed: [`Guard`] does.
pub fn run(seed: u64) -> Report {
    let mut rng = Rng::new(seed);
    let plan = Plan::new(&mut rng);
    let mut world = World::new(plan, rng);
    for _ in 0..plan.steps {
        world.step(true);
    }
    world.calm();
    world.report()
}

/// Runs one seed of two lines on faulty wires, with nothing above them.
///
/// # Panics
///
/// As [`run`].
pub fn run_line(seed: u64) -> LineReport {
    lossy::run(seed)
}

/// Alters packets of a lossy line by one to five bits each, `errors` times, and gives them to its receiver:
/// payloads of 8, 32 and 200 bytes, with few and with many zeros, which COBS treats in its own way.
///
/// # Panics
///
/// When a packet that was not altered is refused.
pub fn run_corruption(seed: u64, errors: u64) -> CorruptionReport {
    corruption::run(seed, errors)
}

/// Says on panic which seed was running, and how to run it alone.
#[derive(Debug)]
pub struct Guard(pub u64);

/// As [`Guard`], for a seed of [`run_line`].
#[derive(Debug)]
pub struct LineGuard(pub u64);

impl Drop for LineGuard {
    fn drop(&mut self) {
        say_seed(self.0, " --lines");
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        say_seed(self.0, " --pairs");
    }
}

fn say_seed(seed: u64, what: &str) {
    if std::thread::panicking() {
        let mut err = std::io::stderr();
        let _ = std::io::Write::write_fmt(
            &mut err,
            format_args!("seed {seed} failed: cargo xtask sim{what} --seed {seed}\n"),
        );
    }
}

/// FNV-1a, the same on every machine.
#[derive(Debug, Clone)]
struct Trace(u64);

impl Trace {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Trace {
    fn write(&mut self, bytes: &[u8]) {
        // Eight at a time is enough to tell traces apart, and quicker.
        for chunk in bytes.chunks(8) {
            let word = chunk.iter().fold(0u64, |word, &byte| word << 8 | u64::from(byte));
            self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
