//! What a side of a passage is told: the frame that is due, or a part of the message that waits.

use critical_section::CriticalSection;

use super::{End, LEFT, Passage, RIGHT, drained, todo};
use crate::board::circuit::{CREDIT, TAKEN};
use crate::board::lines::{Here, handle};
use crate::board::short::Short;
use crate::proto::{
    Blocked, CONTROL_ACCEPT, CONTROL_ASK, CONTROL_DEAD, CONTROL_DONE, CONTROL_END, CircuitPhase, Dead, Final,
    KIND_DATA, KIND_FIRST, KIND_MORE, Place, Reason, Slot, Total, charge, due, limit_in,
};

/// What stands before each message that waits: its length.
const LEN_BYTES: u16 = 2;

/// What is due on an end.
pub(in crate::board) enum Due {
    Nothing,
    /// The frame is in the `Short`.
    Frame,
    /// The frame is in the `Short`, and so many bytes of its room follow.
    Text(u8),
}

impl Passage {
    /// Writes the frame that is due on this side, for which there is room: with a text of at most `room` bytes.
    pub(in crate::board) fn next(&mut self, side: usize, short: &mut Short, room: usize) -> Due {
        let text_len = usize::from(self.text_len);
        let [left, right] = &mut self.ends;
        let end = if side == LEFT { left } else { right };
        let [from_left, from_right] = &mut self.flows;
        let (from_own, from_other) =
            if side == LEFT { (from_left, from_right) } else { (from_right, from_left) };
        let todo = core::mem::take(&mut end.todo);
        let slot = &mut end.slot;
        if todo & todo::KILL != 0 {
            if text_len > room {
                end.todo = todo;
                return Due::Nothing;
            }
            end.is_closed = true;
            taken(slot, end.taken, false);
            slot.kill(end.dead, "");
        }
        if !slot.killed {
            if todo & todo::ACCEPT != 0 && slot.phase == CircuitPhase::Offered && !slot.is_final() {
                slot.phase = CircuitPhase::Open;
                slot.which = end.which;
                let window = window_of(slot, from_own.ring.capacity(), end.limit);
                slot.window = window;
                slot.limit_in = limit_in(window, end.limit);
                slot.promised = Total::new(window);
                slot.due |= due::ACCEPT;
            }
            if todo & todo::ASK != 0 && slot.can_send() {
                slot.ask = end.ask;
                slot.due |= due::ASK;
            }
            if todo & todo::TAKEN != 0 {
                taken(slot, end.taken, true);
            }
            let freed = core::mem::take(&mut from_own.freed);
            if freed > 0 {
                slot.consumed = slot.consumed.plus(freed);
                grant(slot);
            }
            if todo & todo::DRAIN != 0 {
                taken(slot, end.taken, false);
                drained(slot);
                end.is_drained = true;
                end.is_closed |= end.is_done;
            }
            let may_end = from_other.has_ended && !from_other.is_end_told && from_other.ring.used() == 0;
            if may_end && !end.is_closed && slot.out_left == 0 {
                from_other.is_end_told = true;
                if slot.can_send() {
                    slot.ending = true;
                    slot.due |= due::END;
                }
            }
        }
        let due = end.write(short, text_len);
        if matches!(due, Due::Text(_)) {
            self.text_len = 0;
        }
        self.rest();
        due
    }

    /// The part of a message that may be written now on this side, of at most `most` bytes, if it fits `room` bytes; what
    /// stands before it is put into `head`.
    pub(in crate::board) fn next_data(
        &mut self,
        cs: CriticalSection<'_>,
        side: usize,
        head: &mut Short,
        (most, room): (u16, u16),
    ) -> Option<u16> {
        let flow = self.flows.get_mut(1 - side)?;
        let end = self.ends.get_mut(side)?;
        let slot = &mut end.slot;
        if end.todo & todo::KILL != 0 || end.is_closed || slot.killed {
            return None;
        }
        if slot.out_left > 0 {
            let part = slot.out_left.min(flow.ring.used()).min(most.into());
            if part == 0 || part > u32::from(room) {
                return None;
            }
            head.head(handle(end.place).into(), KIND_MORE);
            return Some(part as u16);
        }
        if flow.ring.used() < LEN_BYTES.into() {
            return None;
        }
        let mut len = [0; LEN_BYTES as usize];
        flow.ring.peek(cs, 0, &mut len);
        let len = u32::from(u16::from_le_bytes(len));
        let here = flow.ring.used() - u32::from(LEN_BYTES);
        let part = len.min(here).min(most.into());
        if part > room.into() || part == 0 && len > 0 {
            return None;
        }
        let cost = match slot.cost(true, len as usize) {
            Ok(cost) => cost,
            Err(Blocked::TooLarge(_)) => {
                // Only a peer that breaks the promise of its own limit brings us here.
                end.dead = Dead::here(Reason::TooLarge);
                end.todo = todo::KILL;
                return None;
            }
            Err(_) => return None,
        };
        slot.sent = slot.sent.plus(cost);
        slot.values_out = slot.values_out.plus(1);
        if slot.values_left == 1 {
            slot.ending = true;
            slot.due |= due::END;
            flow.is_end_told = true;
        }
        slot.values_left = slot.values_left.saturating_sub(1);
        flow.ring.discard(LEN_BYTES);
        flow.freed += cost - len;
        slot.out_total = len;
        slot.out_left = len;
        let kind = if part == len { KIND_DATA } else { KIND_FIRST };
        head.head(handle(end.place).into(), kind);
        if kind == KIND_FIRST {
            head.number(len);
        }
        Some(part as u16)
    }

    /// Bytes of the part that is being written.
    pub(in crate::board) fn read(&self, cs: CriticalSection<'_>, side: usize, offset: u16, out: &mut [u8]) {
        if let Some(flow) = self.flows.get(1 - side) {
            flow.ring.peek(cs, offset, out);
        }
    }

    /// The part is written: its room is free.
    pub(in crate::board) fn written(&mut self, side: usize, part: u16) {
        let (Some(flow), Some(end)) = (self.flows.get_mut(1 - side), self.ends.get_mut(side)) else { return };
        flow.ring.discard(part);
        flow.freed += u32::from(part);
        end.slot.out_left -= u32::from(part).min(end.slot.out_left);
        if end.slot.out_left == 0 {
            flow.values = flow.values.plus(1);
        }
    }

    /// Whether something waits that the neighbour on this line has to be told.
    pub(in crate::board) fn has_unsent(&self, here: Here) -> bool {
        let [from_left, from_right] = &self.flows;
        [(LEFT, from_right), (RIGHT, from_left)].into_iter().any(|(side, flow)| {
            let Some(end) = self.ends.get(side) else { return false };
            let is_owed = end.todo != 0 || end.slot.owes() || !end.is_closed && flow.ring.used() > 0;
            self.is_on(here, side) && is_owed
        })
    }
}

impl End {
    /// Writes the frame that is due.
    fn write(&mut self, short: &mut Short, text_len: usize) -> Due {
        let (slot, handle) = (&mut self.slot, handle(self.place));
        if !self.is_used {
            return Due::Nothing;
        }
        if slot.mine == Final::Dead {
            let place = match slot.dead.at {
                Place::Here | Place::Peer => 0,
                Place::Node(id) => id,
            };
            short.circuit(handle, CONTROL_DEAD);
            short.byte(slot.dead.reason.get());
            short.number(place);
            short.number(slot.taken.get());
            short.number(text_len as u32);
            slot.mine = Final::Sent;
            return Due::Text(text_len as u8);
        }
        // From the lowest, which is ACCEPT, to END, which waits for the message before it.
        let owed = if slot.out_left > 0 { slot.due & !due::END } else { slot.due };
        let bit = owed & owed.wrapping_neg();
        slot.due &= !bit;
        let (code, value) = match bit {
            due::ACCEPT => {
                short.circuit(handle, CONTROL_ACCEPT);
                short.number(slot.which.into());
                short.number(slot.promised.get());
                short.number(slot.limit_in);
                return Due::Frame;
            }
            due::CREDIT => (CREDIT, slot.promised),
            due::TAKEN => {
                slot.taken_told = slot.taken;
                (TAKEN, slot.taken)
            }
            due::ASK => (CONTROL_ASK, slot.ask),
            due::END => {
                slot.ended = true;
                slot.settle();
                (CONTROL_END, slot.values_out)
            }
            _ if slot.mine == Final::Done => {
                slot.mine = Final::Sent;
                (CONTROL_DONE, slot.taken)
            }
            _ => return Due::Nothing,
        };
        short.circuit(handle, code);
        short.number(value.get());
        Due::Frame
    }
}

fn window_of(slot: &Slot, room: u32, limit: u32) -> u32 {
    match slot.direction.receives() {
        false => 0,
        true if slot.latest => room.min(charge(limit)),
        true => room,
    }
}

/// The far end's program has taken so many values.
#[cfg_attr(not(feature = "std"), inline(never))]
fn taken(slot: &mut Slot, total: Total, now: bool) {
    let is_open = slot.phase == CircuitPhase::Open && slot.direction.receives();
    if !is_open || !total.at_least(slot.taken) {
        return;
    }
    slot.taken = total;
    // A peer that has said DONE still waits for this; one that has said DEAD does not.
    let is_wanted = slot.theirs != Final::Dead && slot.mine == Final::None;
    if now && is_wanted && slot.taken != slot.taken_told {
        slot.due |= due::TAKEN;
    }
}

/// Promises what has become free, unless it is too little to be worth a frame; where the sender may wait for it, always.
fn grant(slot: &mut Slot) {
    let promise = slot.consumed.plus(slot.window);
    let is_wanted =
        slot.phase == CircuitPhase::Open && !slot.is_final() && !slot.in_ended && slot.direction.receives();
    if !is_wanted || !promise.at_least(slot.promised) {
        return;
    }
    let news = promise.ahead_of(slot.promised);
    let left = slot.promised.ahead_of(slot.received);
    let is_starving = slot.consumed == slot.received && left < charge(slot.limit_in);
    if news == 0 || news < slot.window / 2 && !is_starving {
        return;
    }
    slot.promised = promise;
    slot.due |= due::CREDIT;
    if slot.taken != slot.taken_told {
        slot.due |= due::TAKEN;
    }
}
