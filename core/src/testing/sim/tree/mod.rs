//! Trees of two to twelve nodes: ids, routes and circuits over many hops, with links of every kind, faults, and
//! hostile nodes among them. The laws are the oracle at every step.

mod acts;
mod end;
mod faults;
mod flow;
mod hostile;
mod ledger;
mod net;
mod node;
mod opens;
mod oracle;
mod passage;
mod place;
mod program;
mod transit;
mod wire;
mod world;

use super::say_seed;
use crate::testing::Rng;
use world::World;

/// Silence after which a peer is dead.
const DEAD_US: u64 = 1_000_000;

/// What a run was like. Two runs of one seed give equal reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TreeReport {
    /// Hash of every byte delivered and when.
    pub trace: u64,
    /// Nodes.
    pub nodes: u32,
    /// Circuits opened.
    pub opened: u32,
    /// Of these, those that were accepted at their other end.
    pub accepted: u32,
    /// Of these, inside messages.
    pub attached: u32,
    /// Of those opened, such as carried their only message.
    pub brought: u32,
    /// Opens that a node on the way has refused.
    pub refused: u32,
    /// Values taken by programs.
    pub taken: u32,
    /// Links that ended.
    pub lost: u32,
    /// Links that ended because their parent had joined a tree.
    pub renumbered: u32,
    /// Links that ended because there was no id for the child.
    pub turned_away: u32,
    /// Nodes that were started again.
    pub restarts: u32,
    /// Claims that were found out.
    pub strikes: u32,
    /// Frames that no honest node would have written.
    pub forged: u32,
    /// Frames delivered.
    pub frames: u32,
}

impl core::ops::AddAssign for TreeReport {
    fn add_assign(&mut self, other: Self) {
        self.trace = self.trace.rotate_left(1).wrapping_add(other.trace);
        self.nodes = self.nodes.saturating_add(other.nodes);
        self.opened = self.opened.saturating_add(other.opened);
        self.accepted = self.accepted.saturating_add(other.accepted);
        self.attached = self.attached.saturating_add(other.attached);
        self.brought = self.brought.saturating_add(other.brought);
        self.refused = self.refused.saturating_add(other.refused);
        self.taken = self.taken.saturating_add(other.taken);
        self.lost = self.lost.saturating_add(other.lost);
        self.renumbered = self.renumbered.saturating_add(other.renumbered);
        self.turned_away = self.turned_away.saturating_add(other.turned_away);
        self.restarts = self.restarts.saturating_add(other.restarts);
        self.strikes = self.strikes.saturating_add(other.strikes);
        self.forged = self.forged.saturating_add(other.forged);
        self.frames = self.frames.saturating_add(other.frames);
    }
}

/// Which faults a run has, and how its nodes behave.
#[derive(Debug, Clone, Copy)]
struct Plan {
    nodes: usize,
    /// So many names among them.
    names: usize,
    /// Lines are cut.
    cuts: bool,
    /// Lines stop for a while, or for good, in one direction.
    stalls: bool,
    /// Nodes are killed, and start again.
    restarts: bool,
    /// Nodes are told to end from above.
    shutdowns: bool,
    /// Some of the lines lose and alter bytes.
    lossy: bool,
    /// Some of the streams are slow.
    slow: bool,
    /// One of the nodes writes frames that no honest one would.
    hostile: bool,
    /// One of the nodes has two who may be its parent.
    rivals: bool,
    /// Little room for routes, ids and circuits.
    tight: bool,
    /// Some of the nodes take no messages in opens.
    plain: bool,
    /// Packets of streams have checksums.
    crc: bool,
    /// Messages of many parts.
    large: bool,
    /// What a program's end takes, in bytes.
    window: u32,
    /// What a transit promises at least, in bytes.
    floor: u32,
    /// What may be reserved on a link, in bytes.
    budget: u32,
    /// Steps of programs.
    steps: u32,
}

impl Plan {
    /// Each fault is there or not by the seed, so that they meet in every combination.
    fn new(rng: &mut Rng) -> Self {
        let nodes = match rng.below(8) {
            0..5 => 2 + rng.below(4),
            5 | 6 => 4 + rng.below(5),
            _ => 6 + rng.below(7),
        };
        let large = rng.one_in(4);
        let tight = rng.one_in(6);
        Self {
            nodes,
            names: if rng.one_in(4) { 1 + nodes / 2 } else { nodes },
            cuts: rng.one_in(2),
            stalls: rng.one_in(4),
            restarts: rng.one_in(4),
            shutdowns: rng.one_in(8),
            lossy: rng.one_in(4),
            slow: rng.one_in(3),
            hostile: nodes > 2 && rng.one_in(4),
            rivals: nodes > 3 && rng.one_in(6),
            tight,
            plain: rng.one_in(2),
            crc: rng.one_in(4),
            large,
            window: 64 + rng.below(if large { 8000 } else { 400 }) as u32,
            floor: 64 << rng.below(4),
            budget: if tight { 4 * 1024 } else { 256 * 1024 },
            steps: 20 + rng.below(80) as u32,
        }
    }
}

/// Runs one seed of a tree.
///
/// # Panics
///
/// When a law is broken. The message does not name the seed: [`TreeGuard`] does.
pub fn run_tree(seed: u64) -> TreeReport {
    run(seed, false)
}

/// As [`run_tree`], and tells on the standard error output what happens.
///
/// # Panics
///
/// As [`run_tree`].
pub fn trace_tree(seed: u64) -> TreeReport {
    run(seed, true)
}

fn run(seed: u64, verbose: bool) -> TreeReport {
    let mut rng = Rng::new(seed);
    let plan = Plan::new(&mut rng);
    let mut world = World::new(plan, rng);
    world.ledger.verbose = verbose;
    world.ledger.say(|| alloc::format!("{plan:?}"));
    for _ in 0..plan.steps {
        world.step();
    }
    world.calm();
    world.report()
}

/// Says on panic which seed of [`run_tree`] was running, and how to run it alone.
#[derive(Debug)]
pub struct TreeGuard(pub u64);

impl Drop for TreeGuard {
    fn drop(&mut self) {
        say_seed(self.0, "");
    }
}
