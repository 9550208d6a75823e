//! What goes wrong with lines and nodes, by chance.

use alloc::vec::Vec;

use super::DEAD_US;
use super::net::At;
use super::world::World;
use crate::proto::{Instant, Reason};

/// A stall up to this long must go unnoticed.
const HARMLESS_US: u64 = 500_000;

impl World {
    /// Something goes wrong.
    pub(super) fn disturb(&mut self) {
        let plan = self.plan;
        let (line, node) = (self.rng.below(self.lines.len()), self.rng.below(plan.nodes));
        if plan.hostile && self.rng.one_in(3) {
            self.forge();
        }
        if plan.cuts && self.rng.one_in(12) {
            self.cut(line);
        }
        if plan.stalls && self.rng.one_in(8) {
            self.stall(line);
        }
        if plan.restarts && self.rng.one_in(20) {
            self.kill(node);
        }
        if plan.shutdowns && self.rng.one_in(20) && self.starts_at[node].is_none() && !self.leaf[node] {
            let grace = 50 + self.rng.below(400) as u32;
            self.nodes[node].core.tree.shut_down(None, grace);
            self.nodes[node].tell_tree(&mut self.ledger);
            self.pump(node);
        }
    }

    fn cut(&mut self, index: usize) {
        let (line, rng) = (&mut self.lines[index], &mut self.rng);
        if line.is_down() {
            return;
        }
        line.blamed = true;
        if line.lossy {
            // The plug is out for a while.
            let until = self.ledger.now + rng.below(2 * DEAD_US as usize) as u64;
            for wire in line.wires.iter_mut().filter_map(|wire| wire.lossy.as_mut()) {
                wire.cut();
                wire.unplugged_until = Instant::from_micros(until);
            }
            return;
        }
        line.wires.iter_mut().for_each(|wire| wire.cut(rng));
        line.down_since.get_or_insert(self.ledger.now);
        self.at_risk(index);
    }

    fn at_risk(&mut self, index: usize) {
        let line = &self.lines[index];
        for side in 0..2 {
            if let Some(number) = line.number(side) {
                self.ledger.at_risk(line.sides[side].node, number);
            }
        }
    }

    fn stall(&mut self, index: usize) {
        let now = self.now();
        let (line, rng) = (&mut self.lines[index], &mut self.rng);
        let free = line.stopped_since.is_none()
            && line.wires.iter().all(|wire| now > wire.stalled_until + HARMLESS_US);
        if line.lossy || !free || line.is_down() {
            return;
        }
        let stop = rng.one_in(3);
        let time = if stop { 1_000_000_000 } else { rng.below(HARMLESS_US as usize) as u64 };
        line.wires[rng.below(2)].stalled_until = now + time;
        if stop {
            line.blamed = true;
            line.stopped_since = Some(now);
            self.at_risk(index);
        }
    }

    /// A node's program is killed, and starts again after a while.
    pub(super) fn kill(&mut self, node: usize) {
        if self.starts_at[node].is_some() {
            return;
        }
        self.ledger.report.restarts += 1;
        self.starts_at[node] = Some(self.now() + 20_000 + self.rng.below(400_000) as u64);
        self.ends_at[node] = None;
        for index in 0..self.lines.len() {
            for side in 0..2 {
                let line = &mut self.lines[index];
                if line.sides[side].node != node {
                    continue;
                }
                let was_up = line.number(side).is_some();
                line.sides[side].at = At::Down(None);
                line.sides[side].retry_at = self.ledger.now;
                line.blamed = true;
                if !line.lossy {
                    line.wires[side].closed = true;
                    if was_up {
                        line.down_since.get_or_insert(self.ledger.now);
                    }
                }
            }
        }
        // Its programs are gone with it.
        for id in 0..self.ledger.ends.len() {
            if self.ledger.ends[id].as_ref().is_some_and(|end| end.node == node && end.is_live()) {
                let end = self.ledger.end(id);
                end.killed = true;
                end.over();
                end.inbox.clear();
                self.ledger.drop_waiting(id);
            }
        }
        self.nodes[node] = self.node(node);
    }

    /// A node has been told to end: all below it first.
    pub(super) fn shut_down(&mut self, node: usize, grace_ms: u32) {
        if self.ends_at[node].is_some() {
            return;
        }
        // A hostile parent may give any.
        let grace_ms = grace_ms.min(1000);
        let own = &mut self.nodes[node];
        own.core.tree.shut_down(None, grace_ms / 2);
        own.tell_tree(&mut self.ledger);
        self.ends_at[node] = Some(self.now() + u64::from(grace_ms) * 1000);
        self.pump(node);
    }

    /// Its time is over.
    pub(super) fn end(&mut self, node: usize) {
        self.ends_at[node] = None;
        let numbers: Vec<_> = self.nodes[node].links.iter().map(|link| link.rest.number).collect();
        for number in numbers {
            self.nodes[node].leave(number, Reason::Shutdown, &mut self.ledger);
        }
        self.pump(node);
        self.kill(node);
    }
}
