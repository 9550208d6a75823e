//! Messages on their way out: credit, turns, flight.

use super::{ACK_EVERY, ACK_EVERY_BESIDE, BESIDE, Blocked, Fragment, Link, LinkState, SMALL_MAX, Start};
use crate::proto::Total;
use crate::proto::circuit::{Slots, due};
use crate::proto::frame::{Handle, Head, Part};
use crate::proto::framing::CRC_LEN;

/// Longest fragment of a message, in bytes.
const QUANTUM: u32 = 64 * 1024;
/// The same where small messages go along: what one may have to wait for.
const QUANTUM_BESIDE: u32 = 4 * 1024;
/// What may be unacknowledged where small messages go along, in bytes: they queue behind it
/// in the stream, and the peer has to read it before them.
const FLIGHT_BESIDE: u32 = 20 * 1024;
/// Room that a data frame's head and trailer take from the peer's packet size.
const HEAD_ROOM: u32 = Head::MAX_LEN as u32;

impl Link {
    /// Begins a message of `len` bytes, or says why it must wait. Its credit is taken now.
    ///
    /// # Errors
    ///
    /// [`Blocked`]; nothing has changed then.
    #[cfg_attr(feature = "std", inline(always))]
    pub fn start(&mut self, slots: &mut Slots<'_>, handle: Handle, len: usize) -> Result<Start, Blocked> {
        let straight = self.begin(slots, handle, len)?;
        Ok(if straight { Start::Straight(self.head(handle, len)) } else { Start::Queued })
    }

    /// As [`Link::start`]: whether the message goes straight, with [`Link::head`] before it.
    #[cfg_attr(feature = "std", inline)]
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn begin(
        &mut self,
        slots: &mut Slots<'_>,
        handle: Handle,
        len: usize,
    ) -> Result<bool, Blocked> {
        let straight_max = self.quantum().min(SMALL_MAX) as usize;
        let (len, last) = self.charge_message(slots, handle, len)?;
        let straight = len as usize <= straight_max;
        if straight {
            if last {
                self.mark(slots, handle);
            }
            self.bytes_out = self.bytes_out.plus(len);
            self.small_out_at = self.bytes_out;
            self.sent = true;
        } else {
            self.queue(slots, handle, len, len);
        }
        Ok(straight)
    }

    /// How many bytes of credit are there for messages of up to `longest` bytes, if nothing but credit could stand
    /// in the way of one: they may be put together elsewhere then, and told of with [`Link::sent_run`].
    #[cfg(feature = "std")]
    pub(crate) fn lease(&self, slots: &mut Slots<'_>, handle: Handle, longest: usize) -> Option<u32> {
        let up = self.state == LinkState::Up && self.crc_seed().is_none();
        let slot = self.slot(slots, handle)?;
        let short = longest <= self.quantum().min(SMALL_MAX).min(slot.limit_out) as usize;
        let plain = short && !slot.latest && slot.values_left == 0;
        (plain && slot.cost(up, 0).is_ok()).then(|| slot.granted.ahead_of(slot.sent))
    }

    /// So many short messages of `payload` bytes in all were begun, within a lease of credit. `false` if none may
    /// be sent any more; nothing has changed then.
    #[cfg(feature = "std")]
    pub(crate) fn sent_run(
        &mut self,
        slots: &mut Slots<'_>,
        handle: Handle,
        values: u32,
        payload: u32,
        cost: u32,
    ) -> bool {
        let up = self.state == LinkState::Up;
        let Some(slot) = self.slot(slots, handle) else { return false };
        if !up || !slot.can_send() || slot.granted.ahead_of(slot.sent) < cost {
            return false;
        }
        slot.sent = slot.sent.plus(cost);
        slot.values_out = slot.values_out.plus(values);
        self.bytes_out = self.bytes_out.plus(payload);
        self.small_out_at = self.bytes_out;
        self.sent = true;
        true
    }

    /// What stands before a whole message of `len` bytes.
    #[cfg_attr(feature = "std", inline)]
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn head(&self, handle: Handle, len: usize) -> Head {
        Head::new(handle, Part::Whole, len, self.trailer())
    }

    /// Begins a message of `len` bytes, at least one, that the caller does not hold yet:
    /// [`Link::supply`] says how many bytes have come, and [`Link::fragment`] asks for them.
    ///
    /// # Errors
    ///
    /// [`Blocked`]; nothing has changed then.
    pub fn relay(&mut self, slots: &mut Slots<'_>, handle: Handle, len: usize) -> Result<(), Blocked> {
        if len == 0 {
            return Err(Blocked::Invalid);
        }
        let (len, _) = self.charge_message(slots, handle, len)?;
        self.queue(slots, handle, len, 0);
        Ok(())
    }

    /// `more` bytes of the message that [`Link::relay`] began have come.
    pub fn supply(&mut self, slots: &mut Slots<'_>, handle: Handle, more: usize) {
        let Some(slot) = self.slot(slots, handle) else { return };
        let missing = (slot.out_left - slot.out_have) as usize;
        slot.out_have += more.min(missing) as u32;
        self.push_ready(slots, handle);
    }

    /// Whether [`Link::start`] would take a message of `len` bytes now.
    ///
    /// # Errors
    ///
    /// [`Blocked`], as `start` would say it.
    pub fn could_start(&self, slots: &mut Slots<'_>, handle: Handle, len: usize) -> Result<(), Blocked> {
        let up = self.state == LinkState::Up;
        self.slot(slots, handle).ok_or(Blocked::NotOpen)?.cost(up, len).map(|_| ())
    }

    /// Whether [`Link::fragment`] may have something to write.
    #[inline]
    pub fn has_fragment(&self) -> bool {
        self.ready.head != Handle::NONE && self.may_fragment()
    }

    fn may_fragment(&self) -> bool {
        // Never less than what the peer acknowledges at once.
        let flight = if self.is_mixed() {
            self.config.flight.clamp(ACK_EVERY_BESIDE, FLIGHT_BESIDE)
        } else {
            self.config.flight.max(ACK_EVERY)
        };
        let may = self.is_up() && !self.is_left();
        may && self.bytes_out.ahead_of(self.bytes_out_acked) < flight
    }

    /// Whether a large message of `len` bytes that began now would be written whole, at once.
    #[cfg(feature = "std")]
    pub(crate) fn takes_whole(&self, len: usize) -> bool {
        let most = if self.is_mixed() { QUANTUM_BESIDE } else { QUANTUM };
        let large = self.quantum().min(SMALL_MAX) as usize;
        let turn = self.ready.head == Handle::NONE && self.may_fragment();
        turn && len > large && len <= self.quantum().min(most) as usize
    }

    /// Whether small messages have gone out lately.
    fn is_mixed(&self) -> bool {
        self.bytes_out.ahead_of(self.small_out_at) < BESIDE
    }

    /// The next part of a queued message that is to be written, in turn among circuits;
    /// `None` when there is none, or too much is unacknowledged. What is returned must be
    /// written before anything else is asked of the link.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub fn fragment(&mut self, slots: &mut Slots<'_>) -> Option<Fragment> {
        let most = if self.is_mixed() { QUANTUM_BESIDE } else { QUANTUM };
        let (quantum, trailer) = (self.quantum().min(most), self.trailer());
        while self.has_fragment() {
            let handle = self.pop_ready(slots)?;
            let slot = self.slot(slots, handle)?;
            if slot.out_have == 0 {
                continue;
            }
            let (total, offset) = (slot.out_total, slot.out_total - slot.out_left);
            let len = slot.out_have.min(quantum);
            let part = match offset {
                0 if len == total => Part::Whole,
                0 => Part::First(total),
                _ => Part::More,
            };
            slot.out_left -= len;
            slot.out_have -= len;
            let last = slot.out_left == 0;
            if last {
                self.mark(slots, handle);
            } else {
                self.push_ready(slots, handle);
            }
            self.bytes_out = self.bytes_out.plus(len);
            if part == Part::Whole && len <= SMALL_MAX {
                // One that a router passes on: the receiver counts it as small, too.
                self.small_out_at = self.bytes_out;
            }
            self.sent = true;
            let head = Head::new(handle, part, len as usize, trailer);
            return Some(Fragment { handle, head, offset: offset as usize, len: len as usize, last });
        }
        None
    }

    /// Asks to be told as soon as the far end's program has taken `total` values.
    pub fn ask(&mut self, slots: &mut Slots<'_>, handle: Handle, total: Total) {
        let Some(slot) = self.slot(slots, handle) else { return };
        // After our `DONE` nothing may follow; the peer's own `DONE` brings the total.
        if !slot.can_send() {
            return;
        }
        slot.ask = total;
        slot.due |= due::ASK;
        self.mark(slots, handle);
    }

    /// No more values from this side. Those begun are still written.
    pub fn end(&mut self, slots: &mut Slots<'_>, handle: Handle) {
        let Some(slot) = self.slot(slots, handle) else { return };
        if !slot.can_send() {
            return;
        }
        slot.ending = true;
        slot.due |= due::END;
        self.mark(slots, handle);
    }

    /// Takes the credit for a message that may begin now.
    #[inline]
    pub(super) fn charge_message(
        &mut self,
        slots: &mut Slots<'_>,
        handle: Handle,
        len: usize,
    ) -> Result<(u32, bool), Blocked> {
        let up = self.state == LinkState::Up;
        let slot = self.slot(slots, handle).ok_or(Blocked::NotOpen)?;
        let cost = slot.cost(up, len)?;
        slot.sent = slot.sent.plus(cost);
        slot.values_out = slot.values_out.plus(1);
        let last = slot.values_left == 1;
        slot.values_left = slot.values_left.saturating_sub(1);
        if last {
            // Not written before the message is: a queued one holds it back.
            slot.ending = true;
            slot.due |= due::END;
        }
        Ok((len as u32, last))
    }

    pub(super) fn queue(&mut self, slots: &mut Slots<'_>, handle: Handle, len: u32, have: u32) {
        if let Some(slot) = self.slot(slots, handle) {
            slot.out_total = len;
            slot.out_left = len;
            slot.out_have = have;
            self.push_ready(slots, handle);
        }
    }

    #[inline]
    pub(super) fn trailer(&self) -> usize {
        if self.peer.crc { CRC_LEN } else { 0 }
    }

    #[inline]
    pub(super) fn quantum(&self) -> u32 {
        QUANTUM.min(self.peer.packet.saturating_sub(HEAD_ROOM))
    }

    /// Puts a circuit into the queue of those with message bytes to write, unless it is
    /// there already or has none.
    pub(super) fn push_ready(&mut self, slots: &mut Slots<'_>, handle: Handle) {
        let Some(slot) = self.slot(slots, handle) else { return };
        if slot.in_ready || slot.out_have == 0 {
            return;
        }
        slot.in_ready = true;
        slot.next_ready = Handle::NONE;
        let tail = core::mem::replace(&mut self.ready.tail, handle);
        match self.slot(slots, tail) {
            Some(last) if tail != Handle::NONE => last.next_ready = handle,
            _ => self.ready.head = handle,
        }
    }

    pub(super) fn pop_ready(&mut self, slots: &mut Slots<'_>) -> Option<Handle> {
        let handle = self.ready.head;
        if handle == Handle::NONE {
            return None;
        }
        let slot = self.slot(slots, handle)?;
        slot.in_ready = false;
        let next = slot.next_ready;
        self.ready.head = next;
        if next == Handle::NONE {
            self.ready.tail = Handle::NONE;
        }
        Some(handle)
    }
}
