//! What programs do, by chance.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::end::Stage;
use super::net::{self, Line, Tie};
use super::program::{Target, flags};
use super::world::World;
use crate::proto::{OpenFlags, Reason};

impl World {
    /// A call of some program.
    pub(super) fn act(&mut self) {
        let live: Vec<usize> = (0..self.ledger.ends.len())
            .filter(|&id| {
                self.ledger.ends[id].as_ref().is_some_and(|end| end.is_live() || !end.inbox.is_empty())
            })
            .collect();
        if live.len() < 16 && self.rng.one_in(3) || live.is_empty() {
            return self.open();
        }
        let id = live[self.rng.below(live.len())];
        let Some(end) = &self.ledger.ends[id] else { return };
        let node = end.node;
        let sends = end.sends() && end.stage == Stage::Open && !end.ending && end.dead.is_none();
        let stage = end.stage;
        let reason = [Reason::HungUp, Reason::Refused, Reason::Cancelled, Reason::Busy][self.rng.below(4)];
        let Self { nodes, rng, ledger, .. } = self;
        let own = &mut nodes[node];
        match (stage, rng.below(24)) {
            (Stage::Waiting, _) => {}
            (Stage::Offered | Stage::Opening | Stage::Open, 0) => own.kill(id, reason, ledger),
            (Stage::Offered, _) => own.accept(id, ledger),
            (Stage::Open, 1) => ledger.end(id).ending = true,
            (Stage::Open, 2) => own.ask(id, ledger),
            (Stage::Open, 3..13) if sends => own.send(id, rng, ledger),
            (_, 13..) => {
                let keep = !rng.one_in(5);
                own.take(id, keep, ledger);
            }
            _ => {}
        }
        self.pump(node);
    }

    /// A program opens a circuit to somebody.
    fn open(&mut self) {
        let from = self.rng.below(self.plan.nodes);
        if self.starts_at[from].is_some() || self.ends_at[from].is_some() {
            return;
        }
        let to = self.rng.below(self.plan.nodes);
        let target = match self.rng.below(5) {
            0 => {
                let links = &self.nodes[from].links;
                if links.is_empty() {
                    return;
                }
                let link = &links[self.rng.below(links.len())].rest;
                Target::Neighbour(link.number, link.peer)
            }
            1 | 2 => {
                let ids = &self.ledger.ids[to];
                Target::Id(ids[ids.len() - 1])
            }
            _ => Target::Path(self.path(to), to),
        };
        let flags = flags(&mut self.rng);
        let only = flags.has(OpenFlags::SENDS) && !flags.has(OpenFlags::LATEST) && self.rng.one_in(3);
        // No longer than any limit.
        let only = only.then(|| 4 + self.rng.below(57));
        self.nodes[from].open(&target, flags, only, &mut self.ledger);
        self.pump(from);
    }

    /// The names on the way to a node: from the root, from some node above it, or its own.
    fn path(&mut self, to: usize) -> String {
        let mut names = alloc::vec![net::name(&self.plan, to)];
        let mut at = to;
        let kind = self.rng.below(3);
        // 0: only its own; 1: of some that are above it; 2: of all.
        let depth = [0, 1 + self.rng.below(2), usize::MAX][kind];
        while names.len() <= depth {
            let above = |line: &&Line| line.sides[1].node == at && line.tie != Tie::Peer;
            let Some(line) = self.lines.iter().find(above) else { break };
            at = line.sides[0].node;
            names.push(net::name(&self.plan, at));
        }
        names.reverse();
        // `/` alone is whoever is the root by then.
        if kind == 2 && names.len() > 1 {
            return format!("/{}", names[1..].join("/"));
        }
        names.join("/")
    }
}
