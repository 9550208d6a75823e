//! What the peer says of circuits: who is told, and what stays of them.

use alloc::string::ToString;

use super::effects::{Asked, Effects, Offer, Path, TreeWord};
use crate::host::carry::{Attached, ENDS_MAX};
use crate::host::cell::CellId;
use crate::host::hub::Signal;
use crate::host::link::LinkState;
use crate::host::peer::PeerInfo;
use crate::host::transit::Wanted;
use crate::proto::{DeadFrame, Event, Handle, Open, Reason, Relation};

impl LinkState {
    pub(super) fn take_event(&mut self, mut event: Event<'_>, effects: &mut Effects) {
        if let Event::Dead(_, frame) = &mut event {
            frame.dead.at = self.behind.believed(self.link.relation(), frame.dead.at);
        }
        if let Event::Accepted(handle, _)
        | Event::Granted(handle)
        | Event::Taken(handle, _)
        | Event::Asked(handle, _)
        | Event::End(handle)
        | Event::Done(handle)
        | Event::Dead(handle, _) = event
            && let Some((id, cell)) = self.cell_of(handle)
            && cell.transit.is_some()
        {
            return self.take_transit(id, &event, None, effects);
        }
        let (handle, signal) = match event {
            Event::Up(hello) => {
                let info = PeerInfo::new(&hello);
                self.peer = Some(info.clone());
                effects.up = Some(info);
                effects.wakers.append(&mut self.up_wakers);
                return;
            }
            Event::Open(handle, open) => {
                let cell = self.offered(handle, open.name);
                let wanted = open.route.map(|_| Wanted::new(&open));
                effects.asked.push(Asked::Offer(Offer {
                    path: open.route.as_ref().map(Path::new),
                    origin: None,
                    wanted,
                    cell,
                    flags: open.flags,
                    wait_ms: open.wait_ms,
                    name: open.name.to_string(),
                    fingerprints: open.fingerprints.as_slice().to_vec(),
                    body: open.body.map(<[u8]>::to_vec),
                }));
                return;
            }
            Event::Tree(frame) => {
                if self.link.relation() == Relation::Parent {
                    self.behind.note(&frame);
                }
                return effects.asked.push(Asked::Tree(TreeWord::new(&frame)));
            }
            Event::Accepted(handle, which) => {
                if let Some((id, cell)) = self.cell_of(handle) {
                    cell.opened = true;
                    cell.which = which;
                    effects.wakers.extend(cell.send_waker.take());
                    self.send_waiting(id);
                }
                (handle, Signal::Received)
            }
            Event::Granted(handle) => {
                if let Some((id, _)) = self.cell_of(handle) {
                    self.send_waiting(id);
                }
                (handle, Signal::Granted)
            }
            Event::Taken(handle, total) => {
                if let Some((_, cell)) = self.cell_of(handle) {
                    cell.confirm(total);
                }
                effects.wakers.append(&mut self.taken_wakers);
                (handle, Signal::Granted)
            }
            Event::Asked(handle, total) => return self.take_ask(handle, total, effects),
            Event::End(handle) => {
                self.take_end(handle);
                (handle, Signal::Over)
            }
            Event::Done(handle) => return self.take_done(handle, effects),
            Event::Dead(handle, dead) => return self.take_dead(handle, &dead, effects),
            Event::Attach(carrier, handle, ordinal, open) => {
                return self.take_attach(carrier, handle, ordinal, &open, effects);
            }
            _ => return,
        };
        let Some((_, cell)) = self.cell_of(handle) else { return };
        if signal != Signal::Received {
            effects.wakers.extend(cell.send_waker.take());
        }
        if signal != Signal::Granted {
            effects.wakers.extend(cell.recv_waker.take());
        }
        effects.tell(cell.member.as_ref(), signal);
    }

    /// The only message of an opener, and its end, which have come with an open that is accepted now.
    pub(crate) fn take_body(&mut self, id: CellId, handle: Handle, body: &[u8]) {
        if let Some(cell) = self.cells.get(id) {
            cell.inbox.push(body);
            cell.announced = true;
        }
        self.take_end(handle);
    }

    fn take_done(&mut self, handle: Handle, effects: &mut Effects) {
        effects.wakers.append(&mut self.taken_wakers);
        let Some((id, cell)) = self.cell_of(handle) else { return };
        cell.done = true;
        cell.confirmed = cell.sent;
        let (over, orphan) = (!cell.receives || cell.rx_gone || cell.drained, cell.orphan);
        cell.wake_all(&mut effects.wakers);
        effects.tell(cell.member.as_ref(), Signal::Over);
        if over {
            self.forget(id);
        }
        if orphan {
            self.remove(id);
        }
    }

    fn take_dead(&mut self, handle: Handle, dead: &DeadFrame<'_>, effects: &mut Effects) {
        let offered = !self.link.is_mine(handle);
        effects.wakers.append(&mut self.taken_wakers);
        let Some((id, cell)) = self.cell_of(handle) else { return };
        if offered && !cell.opened {
            effects.asked.push(Asked::GivenUp(id));
        }
        cell.dead = Some(dead.dead);
        cell.detail = dead.detail.to_string();
        cell.confirm(dead.taken);
        cell.outbox = None;
        cell.partial = None;
        cell.wake_all(&mut effects.wakers);
        effects.tell(cell.member.as_ref(), Signal::Over);
        // The queue lives in the cell, so the handle is free at once.
        let orphan = cell.orphan;
        // Their message will not come any more.
        let ends = core::mem::take(&mut cell.attached);
        self.refuse_attached(ends);
        self.proto(|link, slots| link.drained(slots, handle));
        self.forget(id);
        if orphan {
            self.remove(id);
        }
    }

    fn take_attach(
        &mut self,
        carrier: Handle,
        handle: Handle,
        ordinal: u32,
        open: &Open<'_>,
        effects: &mut Effects,
    ) {
        let cell = self.offered(handle, "");
        if let Some(passage) = self.cell_of(carrier).and_then(|(_, cell)| cell.transit.clone()) {
            let at = self.proto(|link, slots| link.values_in(slots, carrier));
            return self.attach_transit(&passage, at, (cell, handle), ordinal, open, effects);
        }
        let fingerprint = open.fingerprints.as_slice().first().copied().unwrap_or_default();
        let attached = Attached { ordinal, cell, flags: open.flags, fingerprint };
        let may_keep = self.cells.len() <= 2 * self.circuits as usize;
        match self.cell_of(carrier) {
            // Ends that died on the way stay until their message is taken, without a handle
            // that would count: so it is the cells that are counted.
            Some((_, carrier)) if may_keep && !carrier.rx_gone && carrier.attached.len() < ENDS_MAX => {
                carrier.attached.push(attached);
            }
            _ => self.refuse_attached([attached]),
        }
    }

    /// Nobody will take these ends: whoever has sent them is told.
    pub(crate) fn refuse_attached(&mut self, ends: impl IntoIterator<Item = Attached>) {
        for end in ends {
            self.kill(end.cell, Reason::NotTaken, "");
            self.remove(end.cell);
        }
    }
}
