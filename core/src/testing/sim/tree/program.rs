//! What the programs of the simulated nodes do.

use alloc::string::String;
use alloc::vec::Vec;

use super::end::{Stage, Value};
use super::ledger::{Ledger, Meant, value};
use super::node::{Node, Use, refuse_ends};
use crate::proto::{Blocked, Dead, Fingerprints, Open, OpenFlags, Reason, Route, Total};
use crate::testing::Rng;
use crate::tree::{LinkNumber, Way};

/// Whom a program asks for.
#[derive(Debug)]
pub(super) enum Target {
    /// The neighbour on this link.
    Neighbour(LinkNumber, usize),
    /// The node with this id.
    Id(u32),
    /// The node at this path, whose name is that of the node with this number.
    Path(String, usize),
}

/// Any flags.
pub(super) fn flags(rng: &mut Rng) -> OpenFlags {
    let flags = [OpenFlags::SENDS, OpenFlags::RECEIVES, OpenFlags::BOTH][rng.below(3)];
    if rng.one_in(6) { flags.with(OpenFlags::LATEST) } else { flags }
}

impl Node {
    /// Opens a circuit: its number, if it could be written. With a length, it is for one message of that length and
    /// the end, which go with the open if they may.
    pub(super) fn open(
        &mut self,
        target: &Target,
        flags: OpenFlags,
        only: Option<usize>,
        ledger: &mut Ledger,
    ) -> Option<usize> {
        let (index, life) = (self.core.index, self.core.life);
        let route = match target {
            Target::Neighbour(..) => None,
            Target::Id(to) => Some(Route { from: 0, hops: 0, to: *to, path: "" }),
            Target::Path(path, _) => Some(Route { from: 0, hops: 0, to: 0, path }),
        };
        let (number, route) = match (target, &route) {
            (Target::Neighbour(number, _), _) => (*number, None),
            (_, Some(route)) if !self.core.leaf => match self.core.tree.way(None, Some(route)) {
                Ok(Way::Onward { link, route }) => (link, route),
                _ => return None,
            },
            _ => return None,
        };
        let mut path = String::new();
        let route = route.map(|route| {
            path.push_str(route.path);
            (route.from, route.hops, route.to)
        });
        self.tell_tree(ledger);
        let window = ledger.plan.window;
        let (credit, limit) = if flags.has(OpenFlags::RECEIVES) { (window, window - 4) } else { (0, 0) };
        let meant = match target {
            Target::Neighbour(_, node) => Meant::Node(*node),
            Target::Id(id) => Meant::Id(*id),
            Target::Path(_, like) => Meant::Named(*like),
        };
        let link = self.link(number)?;
        if !link.port.is_up() {
            return None;
        }
        let circuit = ledger.open(index, life, flags, meant, Stage::Opening);
        let only = only.map(|len| value(circuit, true, 0, len));
        let open = Open {
            flags,
            wait_ms: 0,
            credit,
            limit,
            values: 0,
            name: "c",
            fingerprints: Fingerprints::new(Ledger::fingerprint(circuit), &[]),
            type_name: "t",
            route: route.map(|(from, hops, to)| Route { from, hops, to, path: &path }),
            body: only.as_deref(),
        };
        let (proto, mut slots, output) = link.port.parts();
        let end = ledger.end(2 * circuit);
        let mut opened = proto.open(&mut slots, &open, output);
        let has_gone = only.is_some() && opened != Err(Blocked::Invalid);
        if only.is_some() && !has_gone {
            opened = proto.open(&mut slots, &Open { body: None, ..open }, output);
        }
        match opened {
            Ok(handle) => {
                if let Some(bytes) = only {
                    (end.sent, end.ending, end.ended) = (1, true, has_gone);
                    match has_gone {
                        true => end.started = 1,
                        false => end.outbox.push_back(Value { bytes, ends: Vec::new() }),
                    }
                    ledger.report.brought += u32::from(has_gone);
                }
                let end = ledger.end(2 * circuit);
                (end.handle, end.link, end.window) = (Some(handle), number, credit);
                link.rest.bind(handle, Use::End(2 * circuit));
                ledger.goes_to(Ledger::fingerprint(circuit), link.rest.peer);
                ledger.report.opened += 1;
                Some(circuit)
            }
            Err(_) => {
                // The program is told at once.
                end.killed = true;
                end.over();
                None
            }
        }
    }

    /// Answers an open.
    pub(super) fn accept(&mut self, id: usize, ledger: &mut Ledger) {
        let window = ledger.plan.window;
        let end = ledger.end(id);
        let (Some(handle), Stage::Offered) = (end.handle, end.stage) else { return };
        let Some(link) = self.links.iter_mut().find(|link| link.rest.number == end.link) else { return };
        let (mut credit, limit) = if end.receives() { (window, window - 4) } else { (0, 0) };
        end.stage = Stage::Open;
        if let Some(bytes) = end.brought.take() {
            // It is all that comes.
            credit = crate::proto::Link::charge(bytes.len() as u32);
            end.take_brought(bytes);
        }
        end.window = credit;
        let (proto, mut slots, _) = link.port.parts();
        proto.accept(&mut slots, handle, 0, credit, limit);
        ledger.report.accepted += 1;
    }

    /// Gives a circuit up, or refuses it.
    pub(super) fn kill(&mut self, id: usize, reason: Reason, ledger: &mut Ledger) {
        let index = self.core.index;
        let end = ledger.end(id);
        let (Some(handle), false) = (end.handle, end.killed) else { return };
        let number = end.link;
        // One that it has heard the end of is only dropped.
        let is_news = end.dead.is_none();
        end.killed = true;
        let ends = end.drain_ends();
        end.over();
        if is_news {
            ledger.broken(id / 2, reason, index);
        }
        ledger.drop_waiting(id);
        let Some(link) = self.link(number) else { return };
        let (proto, mut slots, _) = link.port.parts();
        proto.kill(&mut slots, handle, Dead::here(reason), "");
        link.rest.forget(handle);
        self.refuse(number, &ends, ledger);
    }

    fn refuse(&mut self, number: LinkNumber, ends: &[usize], ledger: &mut Ledger) {
        let index = self.core.index;
        if let Some(link) = self.link(number) {
            refuse_ends(&mut link.port, &mut link.rest, ledger, index, ends);
        }
    }

    /// Asks to be told when everything begun so far is taken.
    pub(super) fn ask(&mut self, id: usize, ledger: &mut Ledger) {
        let end = ledger.end(id);
        let (Some(handle), Stage::Open, true) = (end.handle, end.stage, end.sends()) else { return };
        let (number, total) = (end.link, Total::new(end.started));
        if let Some(link) = self.link(number) {
            let (proto, mut slots, _) = link.port.parts();
            proto.ask(&mut slots, handle, total);
        }
    }

    /// Hands over a value, now and then with ends of new circuits in it.
    pub(super) fn send(&mut self, id: usize, rng: &mut Rng, ledger: &mut Ledger) {
        let (index, life) = (self.core.index, self.core.life);
        let end = ledger.end(id);
        let (Some(handle), number) = (end.handle, end.link) else { return };
        let Some(link) = self.link(number) else { return };
        let (proto, mut slots, _) = link.port.parts();
        let limit = proto.limit(&mut slots, handle) as usize;
        if limit < 4 {
            return;
        }
        let most = if ledger.plan.large && rng.one_in(6) { 6000 } else { 60 };
        let len = 4 + rng.below(most.min(limit - 3));
        let end = ledger.end(id);
        let bytes = value(id / 2, id & 1 == 0, end.sent, len);
        end.sent += 1;
        if end.is_latest() {
            end.dropped += end.outbox.len() as u32;
            end.outbox.clear();
            return end.outbox.push_back(Value { bytes, ends: Vec::new() });
        }
        let mut ends = Vec::new();
        // Where there are few handles, a message would wait for them that it keeps itself.
        if !ledger.plan.tight && rng.one_in(6) {
            for _ in 0..1 + rng.below(2) {
                let meant = ledger.circuits[id / 2].meant;
                let to = ledger.ends[id ^ 1].as_ref().map_or(meant, |far| Meant::Node(far.node));
                ends.push(ledger.open(index, life, flags(rng), to, Stage::Waiting));
                ledger.report.opened += 1;
                ledger.report.attached += 1;
            }
        }
        let end = ledger.end(id);
        let nth = end.sent - 1;
        end.outbox.push_back(Value { bytes, ends: ends.clone() });
        if !ends.is_empty() {
            ledger.circuits[id / 2].carried.push((id, nth, ends));
        }
    }

    /// Takes a value, or learns how the circuit has ended: whether there may be more.
    pub(super) fn take(&mut self, id: usize, keep: bool, ledger: &mut Ledger) -> bool {
        let end = ledger.end(id);
        let number = end.link;
        if let Some(value) = end.inbox.pop_front() {
            let (handle, nth, latest) = (end.handle, end.taken, end.is_latest());
            if !latest {
                end.taken += 1;
                let charge = crate::proto::Link::charge(value.bytes.len() as u32);
                end.held -= charge;
                let total = Total::new(end.taken);
                let now = end.asked.is_some_and(|asked| total.at_least(asked)) && end.asked.take().is_some();
                if let (Some(handle), Some(link)) = (handle, self.link(number)) {
                    let (proto, mut slots, _) = link.port.parts();
                    proto.taken(&mut slots, handle, total, now);
                    proto.consumed(&mut slots, handle, charge);
                }
            }
            ledger.report.taken += 1;
            ledger.check_value(id, if latest { 0 } else { nth }, &value.bytes, &value.ends);
            if !keep {
                self.refuse(number, &value.ends, ledger);
            }
            return true;
        }
        if end.in_end && !end.drained && end.receives() {
            end.drained = true;
            assert_eq!(end.taken, end.received, "closed before all was taken");
            let (handle, done) = (end.handle, end.done);
            if done {
                end.over();
            }
            if let (Some(handle), Some(link)) = (handle, self.link(number)) {
                let (proto, mut slots, _) = link.port.parts();
                proto.drained(&mut slots, handle);
                if done {
                    link.rest.forget(handle);
                }
            }
        }
        false
    }
}
