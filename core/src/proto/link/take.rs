//! Messages that have come in: what the program has taken, and what is granted for it.

use super::{ACK_EVERY, ACK_EVERY_BESIDE, BESIDE, Event, Link, SMALL_MAX};
use crate::proto::circuit::{Final, Phase, Slots, charge, due};
use crate::proto::frame::{Handle, Part};
use crate::proto::{Fault, Total};

impl Link {
    /// Messages of `charged` bytes of credit in all have left the inbox: their room is free. If nothing
    /// that has come is left: how many bytes the sender could still send before it heard of this.
    pub fn consumed(&mut self, slots: &mut Slots<'_>, handle: Handle, charged: u32) -> Option<u32> {
        let slot = self.slot(slots, handle)?;
        slot.consumed = slot.consumed.plus(charged);
        debug_assert!(slot.received.at_least(slot.consumed), "no more is free than was taken");
        let left = (slot.consumed == slot.received).then(|| slot.promised.ahead_of(slot.received));
        self.grant(slots, handle);
        left
    }

    /// As [`Link::taken`] and [`Link::consumed`] in one. If nothing that has come is left:
    /// how many bytes the sender could still send before it heard of this.
    #[cfg(feature = "std")]
    pub(crate) fn took(
        &mut self,
        slots: &mut Slots<'_>,
        handle: Handle,
        total: Total,
        charged: u32,
    ) -> Option<u32> {
        self.taken(slots, handle, total, false);
        self.consumed(slots, handle, charged)
    }

    /// Changes how many bytes are promised ahead; what was promised stays so, and a message
    /// of the limit still fits.
    pub fn set_window(&mut self, slots: &mut Slots<'_>, handle: Handle, window: u32) {
        if let Some(slot) = self.slot(slots, handle) {
            slot.window = window.max(charge(slot.limit_in)).min(Total::MAX_DISTANCE);
            self.grant(slots, handle);
        }
    }

    /// The program has taken `total` values in all. `now` reports it without waiting for
    /// the next grant, as an answer to [`Event::Asked`].
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub fn taken(&mut self, slots: &mut Slots<'_>, handle: Handle, total: Total, now: bool) {
        let Some(slot) = self.slot(slots, handle) else { return };
        if slot.phase != Phase::Open || !slot.direction.receives() || !total.at_least(slot.taken) {
            return;
        }
        slot.taken = total;
        // A peer that has said `DONE` still waits for this; one that has said `DEAD` does not.
        let wanted = slot.theirs != Final::Dead && slot.mine == Final::None;
        if now && wanted && slot.taken != slot.taken_told {
            slot.due |= due::TAKEN;
            self.mark(slots, handle);
        }
    }

    /// The local queue of a circuit is empty after [`Event::End`] or [`Event::Dead`], and
    /// the program has been told.
    pub fn drained(&mut self, slots: &mut Slots<'_>, handle: Handle) {
        let Some(slot) = self.slot(slots, handle) else { return };
        if slot.killed || !slot.in_ended && !slot.is_final() {
            return;
        }
        slot.in_drained = true;
        slot.settle();
        self.mark(slots, handle);
        self.free_if_over(slots, handle);
    }

    /// Promises what has become free, unless it is too little to be worth a frame. An empty
    /// inbox that a message of the limit would not fit always says so: its sender may wait.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn grant(&mut self, slots: &mut Slots<'_>, handle: Handle) {
        let up = self.is_up();
        let Some(slot) = self.slot(slots, handle) else { return };
        let promise = slot.consumed.plus(slot.window);
        let wanted = slot.phase == Phase::Open && !slot.is_final() && !slot.killed && !slot.in_ended;
        if !up || !wanted || !slot.direction.receives() || !promise.at_least(slot.promised) {
            return;
        }
        let news = promise.ahead_of(slot.promised);
        let left = slot.promised.ahead_of(slot.received);
        let starving = slot.consumed == slot.received && left < charge(slot.limit_in);
        if news == 0 || news < slot.window / 2 && !starving {
            return;
        }
        slot.promised = promise;
        slot.due |= due::CREDIT;
        if slot.taken != slot.taken_told {
            slot.due |= due::TAKEN;
        }
        self.mark(slots, handle);
    }

    /// Takes the whole messages of one circuit that stand one after the other at the start of
    /// `input`, each with a length and a head of one byte: how many bytes that was. `None`
    /// where there is none, or anything else to be said about the first.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn handle_run(
        &mut self,
        slots: &mut Slots<'_>,
        handle: Handle,
        input: &[u8],
    ) -> Option<usize> {
        if !self.is_up() || self.crc_seed().is_some() {
            return None;
        }
        let run = self.known(slots, handle).ok()?.on_run(input)?;
        self.heard = true;
        self.count_in(run.payload, true);
        Some(run.bytes)
    }

    #[cfg_attr(feature = "std", inline)]
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn on_data<'i>(
        &mut self,
        slots: &mut Slots<'_>,
        handle: Handle,
        part: Part,
        bytes: &'i [u8],
    ) -> Result<Event<'i>, Fault> {
        let len = bytes.len() as u32;
        let for_program = self.known(slots, handle)?.on_data(part, len)?;
        self.count_in(len, part == Part::Whole && len <= SMALL_MAX);
        Ok(if for_program { Event::Data(handle, part, bytes) } else { Event::Nothing })
    }

    /// So many bytes of messages have come.
    #[inline]
    fn count_in(&mut self, len: u32, small: bool) {
        self.bytes_in = self.bytes_in.plus(len);
        if small {
            self.small_in_at = self.bytes_in;
        }
        // As the sender sees it, which waits for no more than this.
        let is_mixed = self.bytes_in.ahead_of(self.small_in_at) < BESIDE;
        let every = if is_mixed { ACK_EVERY_BESIDE } else { ACK_EVERY };
        if self.bytes_in.ahead_of(self.bytes_in_told) >= every {
            self.ack_due = true;
        }
    }
}
