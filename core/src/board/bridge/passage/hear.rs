//! What comes on a side of a passage, and what of it the other side is to do.

use critical_section::CriticalSection;

use super::{DETAIL_MAX, LEFT, Passage, drained, todo};
use crate::board::circuit::{CREDIT, TAKEN};
use crate::board::driver::Heard;
use crate::board::ending::Ending;
use crate::proto::{
    Accept, CONTROL_ACCEPT, CONTROL_ASK, CONTROL_DEAD, CONTROL_DONE, CONTROL_END, CircuitPhase, Dead,
    DeadFrame, Fault, KIND_DATA, KIND_FIRST, KIND_MORE, Part, Place, Reason, Total,
};

impl Passage {
    /// The line on which the text of a refusal is told that comes on this side, where there is room for it: that of the OPEN, which
    /// was answered by it.
    pub(in crate::board) fn text_goes_to(&self, side: usize) -> Option<u8> {
        let end = self.ends.get(side)?;
        let is_refused = end.slot.phase == CircuitPhase::Opening && !end.slot.killed;
        is_refused.then_some(self.ends[LEFT].line)
    }

    /// Takes a frame of the circuit on this side. What it notes for the other one is the driver's there.
    pub(in crate::board) fn hear(
        &mut self,
        side: usize,
        frame: &Heard,
        text_len: usize,
    ) -> Result<(), Ending> {
        let (code, [a, b, c]) = (frame.code, frame.numbers);
        let total = Total::new(a);
        let [left, right] = &mut self.ends;
        let (own, other) = if side == LEFT { (left, right) } else { (right, left) };
        let [from_left, from_right] = &mut self.flows;
        let (from_own, from_other) =
            if side == LEFT { (from_left, from_right) } else { (from_right, from_left) };
        let is_opening = own.slot.phase == CircuitPhase::Opening;
        match code {
            CONTROL_ACCEPT => {
                if a > 3 {
                    return Err(Ending::BROKEN);
                }
                let accept = Accept { which: a as u8, credit: b, limit: c };
                if own.slot.on_accept(&accept).map_err(broken)? {
                    other.which = a as u8;
                    other.limit = own.slot.limit_out;
                    other.todo |= todo::ACCEPT;
                }
            }
            CREDIT => {
                // What it is good for is looked up when data are to be written.
                own.slot.on_credit(total).map_err(broken)?;
            }
            TAKEN => {
                if own.slot.on_taken(total).map_err(broken)? {
                    other.taken = total;
                    other.todo |= todo::TAKEN;
                }
            }
            CONTROL_ASK => {
                if own.slot.on_ask().map_err(broken)? {
                    other.ask = total;
                    other.todo |= todo::ASK;
                }
            }
            CONTROL_END => {
                if own.slot.on_end(total).map_err(broken)? {
                    if own.is_drained {
                        // The other side was through before: of a circuit of so many values it knows the last.
                        drained(&mut own.slot);
                    }
                    from_own.has_ended = true;
                }
            }
            CONTROL_DONE => {
                if own.slot.on_done(total).map_err(broken)? {
                    own.is_done = true;
                    own.close_if_through();
                    // The far end has taken all: so has this node, as the other side sees it.
                    if other.slot.direction.receives() {
                        other.taken = from_other.values;
                        other.todo |= todo::DRAIN;
                    }
                }
            }
            CONTROL_DEAD => {
                let dead = Dead {
                    reason: Reason::new(a as u8),
                    at: if b == 0 { Place::Peer } else { Place::Node(b) },
                };
                let news = own.slot.on_dead(&DeadFrame { dead, taken: Total::new(c), detail: "" });
                if news.map_err(broken)? {
                    drained(&mut own.slot);
                    other.taken = Total::new(c);
                    self.lose(side, dead);
                    // Its room is free before it is open, and the text of a refusal goes there.
                    self.text_len = if is_opening { text_len.min(DETAIL_MAX) as u8 } else { 0 };
                }
            }
            _ => return Err(Ending::BROKEN),
        }
        self.rest();
        Ok(())
    }

    /// A part of a message comes, of so many bytes: whether these are to be kept. What it begins, if it is no more of
    /// one, has `total` bytes.
    pub(in crate::board) fn hear_data(
        &mut self,
        cs: CriticalSection<'_>,
        side: usize,
        (kind, total, len): (u32, u32, u32),
    ) -> Result<bool, Ending> {
        let (Some(end), Some(flow)) = (self.ends.get_mut(side), self.flows.get_mut(side)) else {
            return Ok(false);
        };
        let part = match kind {
            KIND_DATA => Part::Whole,
            KIND_FIRST => Part::First(total),
            _ => Part::More,
        };
        let is_kept = end.slot.on_data(part, len).map_err(broken)? && !end.is_closed;
        if is_kept && kind != KIND_MORE {
            flow.ring.append(cs, &(total as u16).to_le_bytes());
        }
        Ok(is_kept)
    }

    /// Bytes of the part that has been heard of.
    pub(in crate::board) fn hear_bytes(&self, cs: CriticalSection<'_>, side: usize, bytes: &[u8]) {
        if let Some(flow) = self.flows.get(side) {
            flow.ring.append(cs, bytes);
        }
    }
}

fn broken(_: Fault) -> Ending {
    Ending::BROKEN
}
