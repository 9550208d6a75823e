//! What a node writes: control frames, its programs' messages, and those that pass through.

use alloc::vec::Vec;

use super::end::Stage;
use super::ledger::Ledger;
use super::node::{Core, Link, Node, Rest, Use};
use super::transit::Transit;
use crate::proto::{Blocked, Dead, Fingerprints, Fragment, Link as Proto, Open, Reason, Side, Splice, Start};
use crate::testing::{Limited, Port};
use crate::tree::LinkNumber;

/// So often one link's work may lead to work on the other one, as on hosts.
const TURNS: usize = 4;

impl Node {
    /// Does on one link what the other one's events call for, and the other way round, until nothing is
    /// left to do.
    pub(super) fn work(&mut self, id: u32, mut side: Side, ledger: &mut Ledger) {
        for _ in 0..TURNS {
            let Some(own) = self.core.transits.get(&id) else { return };
            let number = own.links[side as usize];
            let Some(at) = self.at(number) else { return };
            let Self { links, core, .. } = self;
            let Link { port, rest } = &mut links[at];
            let again = core.work_transit(port, rest, ledger, id, side);
            self.flush(number, ledger);
            if !again {
                return;
            }
            side = side.other();
        }
    }

    /// Writes what may be written now, until enough waits for the stream.
    pub(super) fn flush(&mut self, number: LinkNumber, ledger: &mut Ledger) {
        let Some(at) = self.at(number) else { return };
        let Self { links, core, .. } = self;
        let Link { port, rest } = &mut links[at];
        for (transit, side) in core::mem::take(&mut rest.kept) {
            if core.work_transit(port, rest, ledger, transit, side) {
                core.pass_on(transit, side.other());
            }
        }
        let ends: Vec<usize> = rest.uses.iter().filter_map(|&(_, what)| end_of(what)).collect();
        for id in ends {
            while port.output.len() < rest.full_at && core.start(port, rest, ledger, id) {}
        }
        port.control();
        while port.output.len() < rest.full_at
            && let Some(part) = port.fragment()
        {
            match rest.use_of(part.handle) {
                Some(Use::Transit(id, side)) => core.put_transit(port, rest, ledger, (id, side), &part),
                Some(Use::End(id)) => put_end(port, ledger, id, &part),
                _ => panic!("a part of a circuit that the node has forgotten"),
            }
        }
    }
}

const fn end_of(what: Use) -> Option<usize> {
    match what {
        Use::End(id) => Some(id),
        _ => None,
    }
}

/// Writes a part of a message of a program.
fn put_end(port: &mut Port, ledger: &mut Ledger, id: usize, part: &Fragment) {
    let end = ledger.end(id);
    let value = end.writing.as_ref().expect("a message was begun");
    port.data(part.head, [&value[part.offset..][..part.len], &[]]);
    if part.last {
        assert_eq!(value.len(), part.offset + part.len, "the last part completes it");
        end.writing = None;
    }
}

impl Core {
    /// Does on this link what is to be done: whether the other one has something to do then.
    pub(super) fn work_transit(
        &mut self,
        port: &mut Port,
        rest: &mut Rest,
        ledger: &mut Ledger,
        id: u32,
        side: Side,
    ) -> bool {
        let index = self.index;
        let Some(own) = self.transits.get_mut(&id) else { return false };
        if !own.cells[side as usize] {
            return false;
        }
        if !reserve_for_accept(own, rest, side)
            && let Some(splice) = &mut own.splice
        {
            // Both sides hear of it.
            splice.give_up(Dead::here(Reason::NoResources));
            ledger.cause(own.fingerprint, Reason::NoResources, index);
        }
        let from = side.other() as usize;
        let mut once_more = true;
        loop {
            let Some(own) = self.transits.get_mut(&id) else { return false };
            let carried = own.carried[from].len();
            if carried > 0 {
                self.open_carried(port, rest, ledger, id, side);
            }
            let Some(own) = self.transits.get_mut(&id) else { return false };
            own.hold_next(side.other());
            let fingerprint = own.fingerprint;
            let Some((splice, mut rings)) = own.parts() else { return false };
            let (link, mut slots, out) = port.parts();
            ledger.say(|| alloc::format!("node {index}: {fingerprint} {side:?} work {splice:?}"));
            splice.work(side, link, &mut slots, &mut rings, &mut Limited::new(out, rest.full_at));
            if splice.has_work(side) && link.has_control() {
                // Values may wait for our own answer to be written, and no event tells of that.
                link.control(&mut slots, out);
                splice.work(side, link, &mut slots, &mut rings, &mut Limited::new(out, rest.full_at));
            }
            // What has gone on or was written may have been what the next one waits for that carries ends.
            let opened = own.carried[from].len() < carried;
            if !own.is_turn(side) || !opened && !core::mem::take(&mut once_more) {
                break;
            }
            link.control(&mut slots, out);
        }
        let Some((splice, _)) = self.transits.get_mut(&id).and_then(Transit::parts) else { return false };
        let (closed, eager) = (splice.is_closed(side), splice.is_eager(side));
        let again = splice.has_work(side.other());
        let is_full = port.output.len() >= rest.full_at;
        if !closed && splice.has_work(side) && is_full && !rest.kept.contains(&(id, side)) {
            // Goes on when the stream has taken what is there.
            rest.kept.push((id, side));
        }
        if closed {
            self.forget_side(rest, ledger, id, side);
        } else if eager {
            self.widen(port, rest, id, side);
        }
        again
    }

    /// Doubles the window of a circuit that drains, while there is a pool.
    fn widen(&mut self, port: &mut Port, rest: &mut Rest, id: u32, side: Side) {
        let Some(own) = self.transits.get_mut(&id) else { return };
        let more = own.windows[side as usize];
        if more == 0 || more > 8 * 1024 || !rest.reserve(more) {
            return;
        }
        own.windows[side as usize] += more;
        own.set_room(side);
        let window = own.windows[side as usize];
        if let Some(splice) = &mut own.splice {
            let (link, mut slots, _) = port.parts();
            splice.widen(side, window, link, &mut slots);
        }
    }

    /// Opens on this link what goes before the next message, if its turn has come.
    fn open_carried(&mut self, port: &mut Port, rest: &mut Rest, ledger: &mut Ledger, id: u32, side: Side) {
        let (index, from) = (self.index, side.other() as usize);
        loop {
            let Some(own) = self.transits.get_mut(&id) else { return };
            let Some(splice) = &own.splice else { return };
            let (begins, carrier) = (splice.gone_on(side.other()), splice.handle(side));
            let Some(next) = own.carried[from].front().filter(|next| Some(next.at) == begins) else { return };
            let (child, ordinal, wanted, left) = (next.transit, next.ordinal, next.wanted, next.left);
            let window = self.transits.get(&child).map_or(0, |child| child.windows[1]);
            let open = Open {
                flags: wanted.flags,
                wait_ms: 0,
                credit: wanted.credit,
                limit: wanted.limit,
                values: 0,
                name: "",
                fingerprints: Fingerprints::new(wanted.fingerprint, &[]),
                type_name: "t",
                route: None,
                body: None,
            };
            let opened = if rest.reserve(window) {
                let (link, mut slots, output) = port.parts();
                let opened =
                    link.attach(&mut slots, carrier, ordinal, &Splice::onward(&open, window), output);
                rest.budget += if opened.is_err() { window } else { 0 };
                opened
            } else {
                Err(Blocked::NoSlot { theirs: true })
            };
            match opened {
                Ok(handle) => {
                    rest.bind(handle, Use::Transit(child, Side::Right));
                    ledger.goes_to(wanted.fingerprint, rest.peer);
                    let neighbours = [self.neighbour(child, 0), rest.neighbour];
                    if let Some(child) = self.transits.get_mut(&child) {
                        child.opened(wanted.flags, [left, handle], neighbours);
                    }
                    self.pass_on(child, Side::Right);
                    if let Some(own) = self.transits.get_mut(&id) {
                        own.carried[from].pop_front();
                    }
                }
                // Not open yet, or an earlier message is still being written: the next look goes on.
                Err(Blocked::Busy | Blocked::NotOpen | Blocked::NoRoom) => return,
                Err(_) => {
                    if let Some(own) = self.transits.get_mut(&id)
                        && let Some(splice) = &mut own.splice
                    {
                        splice.give_up(Dead::here(Reason::NoResources));
                        ledger.cause(own.fingerprint, Reason::NoResources, index);
                    }
                    return;
                }
            }
        }
    }

    fn neighbour(&self, transit: u32, side: usize) -> u32 {
        self.transits.get(&transit).map_or(0, |own| self.tree.neighbour(own.links[side]))
    }

    /// Writes a part of a message that passes through.
    fn put_transit(
        &mut self,
        port: &mut Port,
        rest: &mut Rest,
        ledger: &mut Ledger,
        (id, side): (u32, Side),
        part: &Fragment,
    ) {
        let own = self.transits.get_mut(&id).expect("a link names transits that there are");
        let (splice, mut rings) = own.parts().expect("it is open");
        let (a, b) = splice.bytes(side, part, &mut rings);
        assert_eq!(a.len() + b.len(), part.len, "a part of which not all is there");
        port.data(part.head, [a, b]);
        splice.written(side, part, &mut rings);
        self.work_transit(port, rest, ledger, id, side);
        self.pass_on(id, side.other());
    }

    /// Begins the next message of a program, or its end: whether there was one that may begin.
    fn start(&mut self, port: &mut Port, rest: &mut Rest, ledger: &mut Ledger, id: usize) -> bool {
        let end = ledger.end(id);
        let (Some(handle), Stage::Open, None) = (end.handle, end.stage, end.dead) else { return false };
        let (link, mut slots, output) = port.parts();
        let Some(value) = end.outbox.front() else {
            if end.ending && !end.ended && end.sends() {
                end.ended = true;
                link.end(&mut slots, handle);
                return true;
            }
            return false;
        };
        let len = value.bytes.len();
        if link.could_start(&mut slots, handle, len).is_err() {
            return false;
        }
        let ends = value.ends.clone();
        for (ordinal, number) in ends.into_iter().enumerate() {
            let window = ledger.plan.window;
            let child = ledger.end(2 * number);
            if child.stage != Stage::Waiting {
                continue;
            }
            let receives = child.receives();
            let (credit, limit) = if receives { (window, window - 4) } else { (0, 0) };
            let open = Open {
                flags: child.flags,
                wait_ms: 0,
                credit,
                limit,
                values: 0,
                name: "",
                fingerprints: Fingerprints::new(Ledger::fingerprint(number), &[]),
                type_name: "t",
                route: None,
                body: None,
            };
            let Ok(opened) = link.attach(&mut slots, handle, ordinal as u32, &open, output) else {
                return false;
            };
            child.stage = Stage::Opening;
            (child.handle, child.link, child.window) = (Some(opened), rest.number, credit);
            rest.bind(opened, Use::End(2 * number));
            ledger.goes_to(Ledger::fingerprint(number), rest.peer);
        }
        let Ok(start) = link.start(&mut slots, handle, len) else { return false };
        let end = ledger.end(id);
        let Some(value) = end.outbox.pop_front() else { return false };
        end.started += 1;
        match start {
            Start::Straight(head) => port.data(head, [&value.bytes, &[]]),
            Start::Queued => end.writing = Some(value.bytes),
        }
        true
    }
}

/// An answer says how long the messages may be that come from the opener: room for two of them is reserved
/// before it is passed on. `false` where there is none.
fn reserve_for_accept(own: &mut Transit, rest: &mut Rest, side: Side) -> bool {
    let Some(limit) = own.splice.as_ref().and_then(|splice| splice.accepts(side)) else { return true };
    let window = own.windows[side as usize];
    let more = Proto::charge(limit).saturating_mul(2).saturating_sub(window);
    if window == 0 || more == 0 {
        return true;
    }
    let fits = rest.reserve(more);
    if fits {
        own.windows[side as usize] += more;
        own.set_room(side);
        if let Some(splice) = &mut own.splice {
            splice.promise(side, window + more);
        }
    }
    fits
}
