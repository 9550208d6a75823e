//! Whole nodes of the host, with everything that a program uses, in a tree: their links are tasks on one thread, time is the
//! test's, and one seed says in which order the tasks run, how bytes come, what the programs do and what goes wrong.
//!
//! The simulation of trees beside this one has a runtime of its own, twenty times as fast; here the runtime that users have is
//! what is tested: its circuits, calls, relays, shares, reopening and passing on.

mod lasting;
mod ledger;
mod programs;
mod tasks;
mod visitor;
mod wire;
mod world;

use core::time::Duration;

use super::super::Rng;

use ledger::Ledger;

/// What a run was like. Two runs of one seed give equal reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct HostReport {
    /// Of all bytes that arrived.
    pub trace: u64,
    /// Nodes.
    pub nodes: u32,
    /// Values that were sent.
    pub sent: u32,
    /// Values, messages and requests that were taken.
    pub taken: u32,
    /// Messages and requests of which their sender was told something.
    pub shots: u32,
    /// What failed, near a fault.
    pub failed: u32,
    /// Links that were lost.
    pub lost: u32,
    /// Nodes that were killed.
    pub killed: u32,
    /// Operations that were dropped half-way.
    pub dropped: u32,
    /// Sessions that an end has outlived.
    pub interrupted: u32,
    /// Nodes that have watched the tree to the end, and knew it.
    pub watched: u32,
    /// Pictures that were taken.
    pub pictures: u32,
}

impl core::ops::AddAssign for HostReport {
    fn add_assign(&mut self, other: Self) {
        self.trace ^= other.trace;
        self.nodes += other.nodes;
        self.sent += other.sent;
        self.taken += other.taken;
        self.shots += other.shots;
        self.failed += other.failed;
        self.lost += other.lost;
        self.killed += other.killed;
        self.dropped += other.dropped;
        self.interrupted += other.interrupted;
        self.watched += other.watched;
        self.pictures += other.pictures;
    }
}

/// What goes wrong, and how the programs are.
#[derive(Debug, Clone, Copy)]
struct Plan {
    nodes: usize,
    /// Links are cut.
    cuts: bool,
    /// Links stop, for less than it takes to be noticed, or more.
    stalls: bool,
    /// Nodes are killed, and start again.
    kills: bool,
    /// Programs take their time.
    slow: bool,
    /// Messages are long.
    large: bool,
    /// Operations are dropped half-way.
    hasty: bool,
    /// Some programs stay: they watch the tree, or hold ends that reopen.
    lasting: bool,
    /// Until the faults stop.
    time: Duration,
}

impl Plan {
    fn new(rng: &mut Rng) -> Self {
        Self {
            nodes: 2 + rng.below(5),
            cuts: rng.one_in(2),
            stalls: rng.one_in(3),
            kills: rng.one_in(4),
            slow: rng.one_in(3),
            large: rng.one_in(3),
            hasty: rng.one_in(3),
            lasting: rng.one_in(3),
            time: Duration::from_millis(1_500 + rng.below(5_000) as u64),
        }
    }
}

/// Runs one seed.
///
/// # Panics
///
/// When a law is broken.
pub fn run_host(seed: u64) -> HostReport {
    world::run(seed, false)
}

/// The same, and tells what happens.
///
/// # Panics
///
/// When a law is broken.
pub fn trace_host(seed: u64) -> HostReport {
    world::run(seed, true)
}

/// Names the seed when a run of it panics.
#[derive(Debug)]
pub struct HostGuard(pub u64);

impl Drop for HostGuard {
    fn drop(&mut self) {
        super::say_seed(self.0, " --hosts");
    }
}
