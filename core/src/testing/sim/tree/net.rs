//! The lines between nodes: what they are like, and who is on them.

use alloc::vec::Vec;

use super::wire::Wire;
use super::{DEAD_US, Plan};
use crate::proto::{Instant, LineConfig, LinkConfig, LinkKind};
use crate::testing::{Faults, Port, Rng, identity};
use crate::tree::LinkNumber;

const DEAD_MS: u32 = (DEAD_US / 1000) as u32;

/// What the two ends of a line are to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tie {
    /// End 0 is the parent of end 1.
    Tree,
    /// The same, and end 1 takes no part in the tree.
    Leaf,
    /// Neither.
    Peer,
}

/// What is at an end of a line.
#[derive(Debug)]
pub(super) enum At {
    /// A link of this number.
    Up(LinkNumber),
    /// None; what is left of the last one.
    Down(Option<alloc::boxed::Box<Port>>),
}

/// One end of a line.
#[derive(Debug)]
pub(super) struct LineSide {
    pub(super) node: usize,
    pub(super) at: At,
    /// When time is to be looked at.
    pub(super) wake: u64,
    /// On a line that loses bytes each side starts over by itself.
    pub(super) retry_at: u64,
}

/// A line: wire 0 comes from end 0.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) tie: Tie,
    pub(super) sides: [LineSide; 2],
    pub(super) wires: [Wire; 2],
    pub(super) lossy: bool,
    /// Something was done to it, or to one of its nodes, that may end its session.
    pub(super) blamed: bool,
    /// When one side was found down, or was cut off.
    pub(super) down_since: Option<u64>,
    /// When a direction stopped for longer than the dead-time.
    pub(super) stopped_since: Option<u64>,
    /// Its node has another parent, or its tree has no room: it is tried seldom.
    pub(super) rejected: bool,
}

impl Line {
    pub(super) fn new(plan: &Plan, tie: Tie, nodes: [usize; 2], rng: &mut Rng) -> Self {
        let lossy = plan.lossy && rng.one_in(3);
        let slow = plan.slow && rng.one_in(2);
        let faults = faults(rng);
        let wires = [(); 2].map(|()| if lossy { Wire::line(faults, rng) } else { Wire::stream(slow, rng) });
        let first = rng.below(40_000) as u64;
        let sides =
            nodes.map(|node| LineSide { node, at: At::Down(None), wake: u64::MAX, retry_at: 1 + first });
        Self {
            tie,
            sides,
            wires,
            lossy,
            blamed: false,
            down_since: None,
            stopped_since: None,
            rejected: false,
        }
    }

    pub(super) fn number(&self, side: usize) -> Option<LinkNumber> {
        match self.sides[side].at {
            At::Up(number) => Some(number),
            At::Down(_) => None,
        }
    }

    pub(super) fn is_down(&self) -> bool {
        self.number(0).is_none() && self.number(1).is_none()
    }

    /// A port for one of its ends: a new one, or what is left of the line that was there.
    pub(super) fn port(&mut self, plan: &Plan, side: usize, life: u64, nonce: u64, now: Instant) -> Port {
        let node = self.sides[side].node;
        let mut identity = identity(&name(plan, node), node as u64 + 1);
        identity.boot = life;
        let kind = match (self.tie, side) {
            (Tie::Peer, _) => LinkKind::Peer,
            (Tie::Leaf, 1) => LinkKind::Either,
            _ => LinkKind::Tree,
        };
        let adopts = side == 0 && self.tie != Tie::Peer;
        let circuits = if plan.tight { 4 } else { 48 };
        // Boards take no messages in opens, and nor do some others.
        let bodies = kind != LinkKind::Either && !(plan.plain && node.is_multiple_of(3));
        if self.lossy {
            let line = line();
            let config = LinkConfig {
                kind,
                adopts,
                bodies,
                hello_ms: 1500,
                ..LinkConfig::line(identity, &line, circuits)
            };
            return match core::mem::replace(&mut self.sides[side].at, At::Down(None)) {
                At::Down(Some(port)) if port.line.is_some() => port.again(config, nonce, now),
                _ => Port::on_line(config, line, nonce, now),
            };
        }
        let config = LinkConfig {
            kind,
            adopts,
            bodies,
            circuits,
            packet: if plan.large { 1024 } else { 256 },
            dead_ms: DEAD_MS,
            hear_ms: DEAD_MS / 4,
            hello_ms: 1500,
            crc: plan.crc,
            flight: 0,
            ..LinkConfig::stream(identity)
        };
        Port::new(config, nonce, now)
    }

    /// How much may gather on its links, in bytes.
    pub(super) fn full_at(&self) -> usize {
        // As the host's node has it for lines.
        let line = line();
        if self.lossy { usize::from(line.packet) * usize::from(line.window.max(2) / 2) } else { 1024 }
    }

    /// When something happens on it.
    pub(super) fn next(&self) -> u64 {
        let retry = |n: usize| {
            let side = &self.sides[n];
            match side.at {
                At::Up(_) => side.wake,
                At::Down(Some(_)) if self.lossy => side.retry_at.min(side.wake),
                At::Down(_) if self.lossy || self.is_down() => side.retry_at,
                At::Down(_) => u64::MAX,
            }
        };
        let wires = self.wires[0].next().min(self.wires[1].next());
        wires.min(retry(0)).min(retry(1))
    }
}

/// The name of a node; some may share one.
pub(super) fn name(plan: &Plan, node: usize) -> alloc::string::String {
    alloc::format!("n{}", node % plan.names)
}

fn line() -> LineConfig {
    LineConfig { dead_ms: DEAD_MS, ..LineConfig::uart(1_000_000, 20, 240, 4) }
}

/// A tree of nodes, each with its parent, and what the lines are.
pub(super) fn lines(plan: &Plan, rng: &mut Rng) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut leaves = alloc::vec![false; plan.nodes];
    let deep = rng.one_in(3);
    for node in 1..plan.nodes {
        let parent = loop {
            let parent = if deep && !rng.one_in(4) { node - 1 } else { rng.below(node) };
            if !leaves[parent] {
                break parent;
            }
        };
        leaves[node] = node > 1 && rng.one_in(7);
        let tie = if leaves[node] { Tie::Leaf } else { Tie::Tree };
        lines.push(Line::new(plan, tie, [parent, node], rng));
        // Another one that would be its parent.
        if plan.rivals && node == plan.nodes - 1 && !leaves[node] {
            let rival = rng.below(node);
            if rival != parent && !leaves[rival] {
                lines.push(Line::new(plan, Tie::Tree, [rival, node], rng));
            }
        }
    }
    if plan.nodes > 2 && rng.one_in(3) {
        let (a, b) = (rng.below(plan.nodes), rng.below(plan.nodes));
        if a != b && !leaves[a] && !leaves[b] {
            lines.push(Line::new(plan, Tie::Peer, [a, b], rng));
        }
    }
    lines
}

fn faults(rng: &mut Rng) -> Faults {
    let mut rate = |once_in: usize| if rng.one_in(3) { (once_in / 4 + rng.below(once_in)) as u32 } else { 0 };
    Faults {
        flip: rate(1000),
        burst: rate(3000),
        lose: rate(3000),
        insert: rate(3000),
        duplicate: rate(4000),
        truncate: rate(4000),
        ..Faults::default()
    }
}
