//! After the faults: everything works or is closed, and nothing is left.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::end::Stage;
use super::net::{Line, Tie};
use super::program::Target;
use super::world::World;
use crate::proto::OpenFlags;
use crate::tree::Entry;

/// Rest is reached within so many steps of 25 ms.
const STEPS: usize = 1200;

impl World {
    /// Faults are over: every circuit that still can comes to its end, and every other has been told.
    pub(super) fn calm(&mut self) {
        self.healed_at = Some(self.now());
        for line in 0..self.lines.len() {
            self.lines[line].wires.iter_mut().for_each(super::wire::Wire::heal);
        }
        for node in 0..self.plan.nodes {
            if self.ledger.hostile[node] {
                self.kill(node);
            }
        }
        self.rest("after the faults");
        self.try_all();
        self.rest("after all was tried");
        self.check_leaks();
    }

    fn rest(&mut self, when: &str) {
        for _ in 0..STEPS {
            self.wind_down();
            self.pass(25_000);
            if self.unrest(false).is_none() {
                return;
            }
        }
        panic!("no rest {when}: {}", self.unrest(true).unwrap_or_default());
    }

    /// Everything that programs still owe: answers, takes, ends.
    fn wind_down(&mut self) {
        for id in 0..self.ledger.ends.len() {
            let Some(end) = &self.ledger.ends[id] else { continue };
            if !end.is_live() && end.inbox.is_empty() {
                continue;
            }
            let node = end.node;
            let own = &mut self.nodes[node];
            own.accept(id, &mut self.ledger);
            self.ledger.end(id).ending = true;
            while own.take(id, true, &mut self.ledger) {}
            self.pump(node);
        }
    }

    /// What is not at rest, if anything: in words, where they are wanted.
    fn unrest(&self, tell: bool) -> Option<String> {
        let told = |what: &dyn Fn() -> String| Some(if tell { what() } else { String::new() });
        if self.starts_at.iter().chain(&self.ends_at).any(Option::is_some) {
            return told(&|| "a node is away".into());
        }
        for end in self.ledger.ends.iter().flatten() {
            let tainted = self.ledger.circuits[end.circuit].tainted && self.ledger.hostile[end.node];
            if end.is_live() && !tainted {
                let circuit = &self.ledger.circuits[end.circuit];
                return told(&|| format!("{end:?} is open: {circuit:?}"));
            }
        }
        for (index, line) in self.lines.iter().enumerate() {
            if self.is_retired(line) {
                if !line.is_down() {
                    return told(&|| format!("a hostile node's line is not down: {line:?}"));
                }
            } else if !line.rejected
                && (!self.is_in_one_session(index)
                    || line.stopped_since.is_some()
                    || line.down_since.is_some())
            {
                return told(&|| format!("a line is not up: {line:?}"));
            }
        }
        for node in self.nodes.iter().filter(|node| !self.ledger.hostile[node.core.index]) {
            let due: Vec<_> = node.core.tree.due_links().collect();
            if !due.is_empty() || !node.core.tree.is_settled() {
                return told(&|| format!("the tree of node {} is not told: {due:?}", node.core.index));
            }
            let mut waiting = node.core.tree.children().filter(|(_, id)| *id == 0);
            if let Some((link, _)) = waiting.next() {
                return told(&|| format!("the child of node {} on {link} waits for its id", node.core.index));
            }
            if !node.core.transits.is_empty() || !node.core.work.is_empty() {
                let transits = &node.core.transits;
                return told(&|| format!("circuits pass node {} still: {transits:?}", node.core.index));
            }
            let above = self.above(node.core.index);
            if node.core.tree.above().as_slice() != above {
                let known = node.core.tree.above();
                return told(&|| format!("node {} is below {above:?}, and knows {known:?}", node.core.index));
            }
            for link in &node.links {
                if !link.rest.uses.is_empty() || !link.port.is_quiet() {
                    return told(&|| format!("a link of node {} is not at rest: {link:?}", node.core.index));
                }
            }
            if !self.plan.tight
                && self.below(node.core.index) != node.core.tree.nodes().map(bare).collect::<Vec<_>>()
            {
                let known: Vec<_> = node.core.tree.nodes().collect();
                let below = self.below(node.core.index);
                return told(&|| format!("node {} knows {known:?}, and {below:?} is true", node.core.index));
            }
        }
        None
    }

    fn is_retired(&self, line: &Line) -> bool {
        line.sides.iter().any(|side| self.ledger.hostile[side.node])
    }

    /// The nodes that are really below one, with their ids and their parents', in the order of ids.
    fn below(&self, root: usize) -> Vec<(u32, u32)> {
        let mut below = Vec::new();
        let mut todo = alloc::vec![root];
        while let Some(node) = todo.pop() {
            let own = &self.nodes[node];
            if self.leaf[node] {
                continue;
            }
            for (number, id) in own.core.tree.children() {
                let Some(at) = own.at(number) else { continue };
                below.push((id, own.core.tree.id()));
                todo.push(own.links[at].rest.peer);
            }
        }
        below.sort_unstable();
        below
    }

    /// The ids of the nodes that are really above one.
    fn above(&self, node: usize) -> Vec<u32> {
        let (mut above, mut at) = (Vec::new(), node);
        while let Some(parent) = self.nodes[at].core.tree.parent()
            && let Some(link) = self.nodes[at].at(parent)
        {
            at = self.nodes[at].links[link].rest.peer;
            above.push(self.nodes[at].core.tree.id());
        }
        above
    }

    /// Each node reaches each other one of its tree, by its id.
    fn try_all(&mut self) {
        if self.plan.tight {
            return;
        }
        for _ in 0..4 {
            let (from, to) = (self.rng.below(self.plan.nodes), self.rng.below(self.plan.nodes));
            if from == to || self.root_of(from) != self.root_of(to) || self.leaf[from] || self.leaf[to] {
                continue;
            }
            let target = Target::Id(self.nodes[to].core.tree.id());
            let opened = self.nodes[from].open(&target, OpenFlags::BOTH, None, &mut self.ledger);
            let number = opened.unwrap_or_else(|| panic!("node {from} finds no way to node {to}"));
            self.pump(from);
            self.wait(|world| {
                world.ledger.ends[2 * number + 1].is_some()
                    || world.ledger.ends[2 * number].as_ref().is_some_and(|end| !end.is_live())
            });
            let far = self.ledger.ends[2 * number + 1].as_ref();
            assert!(
                far.is_some_and(|far| far.node == to && far.stage == Stage::Offered),
                "{from} to {to}: {far:?}"
            );
            self.nodes[to].accept(2 * number + 1, &mut self.ledger);
            self.pump(to);
            self.wait(|world| {
                world.ledger.ends[2 * number].as_ref().is_some_and(|end| end.stage != Stage::Opening)
            });
            for (end, node) in [(2 * number, from), (2 * number + 1, to)] {
                let Self { nodes, rng, ledger, .. } = self;
                nodes[node].send(end, rng, ledger);
                self.pump(node);
            }
            self.wait(|world| {
                let has = |id: usize| world.ledger.ends[id].as_ref().is_some_and(|end| !end.inbox.is_empty());
                has(2 * number) && has(2 * number + 1)
            });
            for (end, node) in [(2 * number, from), (2 * number + 1, to)] {
                let took = self.nodes[node].take(end, true, &mut self.ledger);
                assert!(took, "a value of circuit {number} does not come to node {node}");
                self.pump(node);
            }
            for (end, node) in [(2 * number, from), (2 * number + 1, to)] {
                self.nodes[node].ask(end, &mut self.ledger);
                self.pump(node);
            }
            let is_confirmed = |world: &Self| {
                let all = world.ledger.ends[2 * number..2 * number + 2].iter().flatten();
                all.filter(|end| end.confirmed == end.started).count() == 2
            };
            self.wait(is_confirmed);
            assert!(is_confirmed(self), "who asks whether a value of circuit {number} was taken is not told");
        }
    }

    /// Until something is so, for as long as it may take.
    fn wait(&mut self, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..250 {
            if is_so(self) {
                return;
            }
            self.pass(20_000);
        }
    }

    fn root_of(&self, node: usize) -> usize {
        let mut at = node;
        while !self.leaf[at]
            && let Some(parent) = self.nodes[at].core.tree.parent()
            && let Some(link) = self.nodes[at].at(parent)
        {
            at = self.nodes[at].links[link].rest.peer;
        }
        if self.leaf[at] {
            let line = self.lines.iter().find(|line| line.sides[1].node == at && line.tie == Tie::Leaf);
            return line.map_or(at, |line| self.root_of(line.sides[0].node));
        }
        at
    }

    /// All that was reserved is free again, and ids are told apart.
    fn check_leaks(&self) {
        for node in self.nodes.iter().filter(|node| !self.ledger.hostile[node.core.index]) {
            for link in &node.links {
                let index = node.core.index;
                assert_eq!(link.rest.budget, self.plan.budget, "node {index} has lost room on a link");
                assert!(link.rest.kept.is_empty(), "node {index} keeps what is over");
            }
            let mut ids: Vec<u32> = node.core.tree.nodes().map(|entry| entry.id).collect();
            ids.push(node.core.tree.id());
            ids.sort_unstable();
            assert!(ids.windows(2).all(|two| two[0] != two[1]), "two nodes have one id: {ids:?}");
        }
    }
}

const fn bare(entry: Entry) -> (u32, u32) {
    (entry.id, entry.via)
}
