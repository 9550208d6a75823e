//! How a circuit is given up, and when its handle is free.

use super::Link;
use crate::proto::circuit::{Final, Phase, Slot, Slots};
use crate::proto::control::{Sink, put_dead};
use crate::proto::frame::{DeadFrame, Handle, cut};
use crate::proto::{Dead, Place};

impl Link {
    /// Gives a circuit up, or refuses an offered one: unsent frames are discarded, and the
    /// peer is told why. The caller forgets the handle.
    pub fn kill(&mut self, slots: &mut Slots<'_>, handle: Handle, dead: Dead, detail: &'static str) {
        let Some(slot) = self.slot(slots, handle) else { return };
        if slot.phase == Phase::Free || slot.killed {
            return;
        }
        slot.kill(dead, detail);
        self.mark(slots, handle);
        self.free_if_over(slots, handle);
    }

    /// As [`Link::kill`], with a text of the caller's that is written at once. Where it finds
    /// no room the notice follows without it.
    pub fn refuse(
        &mut self,
        slots: &mut Slots<'_>,
        handle: Handle,
        dead: Dead,
        detail: &str,
        sink: &mut dyn Sink,
    ) {
        let (up, crc, detail) = (self.is_up(), self.crc_seed(), cut(detail, self.detail_max()));
        let Some(slot) = self.slot(slots, handle) else { return };
        if slot.phase == Phase::Free || slot.killed {
            return;
        }
        slot.kill(dead, "");
        if slot.mine == Final::Dead && !slot.in_dirty && up {
            let frame = DeadFrame { dead: sent_place(dead), taken: slot.taken, detail };
            if put_dead(sink, handle, &frame, crc) {
                slot.mine = Final::Sent;
                self.sent = true;
            }
        }
        self.mark(slots, handle);
        self.free_if_over(slots, handle);
    }

    pub(super) fn free_if_over(&mut self, slots: &mut Slots<'_>, handle: Handle) {
        let ours = handle.parity() != self.peer.parity;
        let Some(slot) = self.slot(slots, handle) else { return };
        if slot.phase == Phase::Free || !slot.is_over() {
            return;
        }
        slot.reset(Slot::new());
        if ours {
            slot.next_dirty = self.free;
            self.free = handle;
        }
    }
}

/// A notice as the receiver of the frame sees it.
pub(super) const fn sent_place(dead: Dead) -> Dead {
    match dead.at {
        Place::Here => Dead::peer(dead.reason),
        _ => dead,
    }
}
