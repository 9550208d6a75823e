//! How a circuit begins.

use super::{Blocked, Link, LinkState};
use crate::proto::circuit::{Phase, Slot, Slots, due, limit_in};
use crate::proto::control::{Sink, put_frame};
use crate::proto::frame::{CONTROL_FRAME_MAX, Frame, Handle, Open, TYPE_NAME_MAX, cut};
use crate::proto::{Fault, Total};

/// An `OPEN` before its type name is cut, in bytes: all of its texts may be of their longest.
const OPEN_MAX: usize = 3 * CONTROL_FRAME_MAX;

impl Link {
    /// Opens a circuit: writes the `OPEN` and returns its handle. The `credit` and `limit`
    /// of `open` are what this side promises to take; the limit is cut to what the credit holds.
    ///
    /// # Errors
    ///
    /// [`Blocked::NoSlot`] (let `slots.mine` grow, unless it is the peer's limit),
    /// [`Blocked::NoRoom`], [`Blocked::NotOpen`] before the bring-up, [`Blocked::Invalid`], also where the open
    /// carries its message and that is too long beside the rest, or the peer takes none so: send it behind the open.
    pub fn open(
        &mut self,
        slots: &mut Slots<'_>,
        open: &Open<'_>,
        sink: &mut dyn Sink,
    ) -> Result<Handle, Blocked> {
        self.open_frame(slots, open, sink, Frame::Open)
    }

    /// Opens a circuit for a channel end that travels in the next message of `carrier`.
    ///
    /// # Errors
    ///
    /// As [`Link::open`]; [`Blocked::Busy`] while an earlier message is still being written.
    pub fn attach(
        &mut self,
        slots: &mut Slots<'_>,
        carrier: Handle,
        ordinal: u32,
        open: &Open<'_>,
        sink: &mut dyn Sink,
    ) -> Result<Handle, Blocked> {
        let slot = self.slot(slots, carrier).ok_or(Blocked::NotOpen)?;
        if !slot.can_send() {
            return Err(Blocked::NotOpen);
        }
        if slot.is_busy() {
            return Err(Blocked::Busy);
        }
        self.open_frame(slots, open, sink, |handle, open| Frame::Attach(carrier, handle, ordinal, open))
    }

    /// Whether the peer has room for so many more circuits of this side.
    #[cfg(feature = "std")]
    pub(crate) fn has_handles(&self, slots: &Slots<'_>, wanted: usize) -> bool {
        let fresh = self.peer.circuits.saturating_sub(self.fresh) as usize;
        let mut free = self.free;
        (fresh..wanted).all(|_| {
            let Some(slot) = slots.mine.get(free.index()).filter(|_| free != Handle::NONE) else {
                return false;
            };
            free = slot.next_dirty;
            true
        })
    }

    /// Accepts an offered circuit: promises to take `window` bytes, in messages of at most
    /// `limit` bytes (both 0 where this side only sends). The limit is cut to what the
    /// window holds. Where the open carries its message, that and its end have come with it: the window holds it.
    pub fn accept(&mut self, slots: &mut Slots<'_>, handle: Handle, which: u8, window: u32, limit: u32) {
        let Some(slot) = self.slot(slots, handle) else { return };
        if slot.phase != Phase::Offered || slot.is_final() || slot.killed {
            return;
        }
        slot.phase = Phase::Open;
        slot.which = which;
        // What the open has brought is there already.
        let there = slot.received.ahead_of(Total::ZERO);
        slot.window = window.min(Total::MAX_DISTANCE).max(there);
        slot.limit_in = limit_in(slot.window, limit);
        slot.promised = Total::new(slot.window);
        slot.due |= due::ACCEPT;
        self.mark(slots, handle);
    }

    pub(super) fn open_frame<'f>(
        &mut self,
        slots: &mut Slots<'_>,
        open: &Open<'f>,
        sink: &mut dyn Sink,
        frame: impl Fn(Handle, Open<'f>) -> Frame<'f>,
    ) -> Result<Handle, Blocked> {
        if self.state != LinkState::Up {
            return Err(Blocked::NotOpen);
        }
        if open.credit > Total::MAX_DISTANCE || open.body.is_some() && !self.peer.bodies {
            return Err(Blocked::Invalid);
        }
        let reused = self.free != Handle::NONE;
        let handle = if reused {
            self.free
        } else if self.fresh >= self.peer.circuits {
            return Err(Blocked::NoSlot { theirs: true });
        } else if self.fresh as usize >= slots.mine.len() {
            return Err(Blocked::NoSlot { theirs: false });
        } else {
            Handle::from_index(self.fresh as usize, 1 - self.peer.parity)
        };
        let type_name = cut(open.type_name, TYPE_NAME_MAX);
        let mut open = Open { limit: limit_in(open.credit, open.limit), type_name, ..*open };
        let most = self.control_max();
        let len = frame(handle, open).write(&mut [0; OPEN_MAX]).map_err(|_| Blocked::Invalid)?;
        // A lossy line may have short packets; the readable type name is what can be spared.
        let spare = open.type_name.len().saturating_sub(len.saturating_sub(most));
        open.type_name = cut(open.type_name, spare);
        let frame = frame(handle, open);
        if frame.write(&mut [0; CONTROL_FRAME_MAX][..most]).is_err() {
            return Err(Blocked::Invalid);
        }
        // Our echo goes before anything else.
        if self.hello_due && !self.link_frames(sink) || !put_frame(sink, &frame, self.crc_seed()) {
            return Err(Blocked::NoRoom);
        }
        self.sent = true;
        let slot = &mut slots.mine[handle.index()];
        if reused {
            self.free = slot.next_dirty;
        } else {
            self.fresh += 1;
        }
        slot.reset(Slot::opening(&open));
        Ok(handle)
    }

    pub(super) fn on_open(
        &mut self,
        slots: &mut Slots<'_>,
        handle: Handle,
        open: &Open<'_>,
    ) -> Result<(), Fault> {
        if handle.parity() != self.peer.parity || handle.index() >= self.config.circuits as usize {
            return Err(Fault::BadOpen);
        }
        let takes_bodies = self.config.bodies;
        let slot = self.slot(slots, handle).ok_or(Fault::BadOpen)?;
        if slot.phase != Phase::Free || open.body.is_some() && !takes_bodies {
            return Err(Fault::BadOpen);
        }
        slot.reset(Slot::offered(open)?);
        Ok(())
    }
}
