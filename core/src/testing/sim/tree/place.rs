//! A node's place in the tree: what comes of links that tie parents and children, and of what they say.

use alloc::vec::Vec;

use super::ledger::Ledger;
use super::node::{Core, Link, Node, Rest, Word};
use crate::proto::{Instant, Name, Reason, Relation, TreeFrame};
use crate::tree::{Heard, LinkNumber, Strike};

impl Node {
    pub(super) fn tie(&mut self, number: LinkNumber, name: Name, ledger: &mut Ledger) {
        if self.core.leaf {
            return;
        }
        let Some(link) = self.link(number) else { return };
        let relation = link.port.link.relation();
        self.core.tree.pass(Instant::from_micros(ledger.now));
        let mut renumbered = Vec::new();
        let refused = match relation {
            Relation::Peer => return,
            // Lines end on both sides here, so nobody comes back before it has gone.
            Relation::Child { leaf } => self.core.tree.adopt(number, name, number, leaf).map(drop),
            Relation::Parent => self.core.tree.join(number).map(|children| {
                self.core.given.clear();
                renumbered = children;
            }),
        };
        for child in renumbered {
            ledger.report.renumbered += 1;
            self.leave(child, Reason::Renumbered, ledger);
        }
        if let Err(reason) = refused {
            self.leave(number, reason, ledger);
        }
        self.turn_away_children(ledger);
        self.tell_tree(ledger);
    }

    pub(super) fn heard_of_tree(&mut self, number: LinkNumber, word: &Word, ledger: &mut Ledger) {
        self.core.tree.pass(Instant::from_micros(ledger.now));
        let heard = self.core.tree.hear(number, &word.frame());
        ledger.say(|| alloc::format!("node {} hears on {number} {word:?}: {heard:?}", self.core.index));
        match heard {
            Ok(Heard::Nothing | Heard::Exhausted) => {}
            Ok(Heard::Settled) => {
                let id = self.core.tree.id();
                ledger.ids[self.core.index].push(id);
            }
            Ok(Heard::Shutdown(grace_ms)) => self.core.shutdown = Some(grace_ms),
            Err(Strike { out }) => self.struck(number, out, &|| alloc::format!("{word:?}"), ledger),
        }
        self.turn_away_children(ledger);
        self.tell_tree(ledger);
        self.check_routes(number);
    }

    /// Ends the links of children for which there is no id.
    pub(super) fn turn_away_children(&mut self, ledger: &mut Ledger) {
        while let Some(child) = self.core.tree.turned_away() {
            ledger.report.turned_away += 1;
            self.leave(child, Reason::NoResources, ledger);
        }
    }

    /// Routes over a link are of ids that were given over it.
    fn check_routes(&mut self, number: LinkNumber) {
        let Some(at) = self.at(number) else { return };
        let Self { links, core, .. } = self;
        let own = core.tree.children().find(|(link, _)| *link == number).map_or(0, |(_, id)| id);
        if core.tree.due(number).is_some() {
            // It is given more than it has heard of.
            return;
        }
        let given = &links[at].rest.given;
        for entry in core.tree.nodes().filter(|entry| entry.link == number) {
            let theirs = entry.id == own || given.iter().any(|run| (run.0..run.1).contains(&entry.id));
            assert!(
                theirs,
                "node {} knows a route to {} that is not its child's to claim",
                core.index, entry.id
            );
        }
    }

    pub(super) fn struck(
        &mut self,
        number: LinkNumber,
        out: bool,
        why: &dyn Fn() -> alloc::string::String,
        ledger: &mut Ledger,
    ) {
        let index = self.core.index;
        let Some(link) = self.link(number) else { return };
        let honest = !ledger.hostile[index] && !ledger.hostile[link.rest.peer];
        assert!(!honest, "node {index} holds a claim of node {} for forged: {}", link.rest.peer, why());
        ledger.report.strikes += 1;
        if out {
            link.port.link.fail(crate::proto::Fault::Strikes);
            link.port.fault = Some(crate::proto::Fault::Strikes);
            self.after_fault(number, ledger);
        }
    }

    /// Says to each link what is to be said.
    pub(super) fn tell_tree(&mut self, ledger: &mut Ledger) {
        let due: Vec<_> = self.core.tree.due_links().collect();
        let Self { links, core, .. } = self;
        for number in due {
            let Some(Link { port, rest }) = links.iter_mut().find(|link| link.rest.number == number) else {
                continue;
            };
            let (link, _, output) = port.parts();
            // What has no room is said in the next tick.
            while output.len() < 4 * rest.full_at
                && let Some(frame) = core.tree.due(number)
                && link.put_tree(&frame, output)
            {
                let given = match frame {
                    TreeFrame::Adopt { id, .. } => Some((id, 1)),
                    TreeFrame::Grant { start, count } if count > 0 => Some((start, count)),
                    _ => None,
                };
                core.tree.written(number);
                if let Some((start, count)) = given {
                    core.give(rest, start, count);
                }
            }
        }
        for Link { rest, .. } in links {
            rest.neighbour = core.tree.neighbour(rest.number);
            let known = &mut ledger.ids[rest.peer];
            if rest.neighbour != 0 && !known.contains(&rest.neighbour) {
                known.push(rest.neighbour);
            }
        }
        drop(core.tree.changes());
    }
}

impl Core {
    /// What a neighbour was given is nobody else's, now and later.
    fn give(&mut self, rest: &mut Rest, start: u32, count: u32) {
        let end = start + count;
        for &(from, to, link) in &self.given {
            let again = link == rest.number && from <= start && end <= to;
            assert!(again || end <= from || to <= start, "id {start} of node {} is given twice", self.index);
        }
        if !rest.given.contains(&(start, end)) {
            rest.given.push((start, end));
            self.given.push((start, end, rest.number));
        }
    }
}
