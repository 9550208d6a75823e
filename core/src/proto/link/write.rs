//! The control frames that are due.

use super::close::sent_place;
use super::{Link, LinkState, Queue};
use crate::proto::circuit::{Final, Slots, due};
use crate::proto::control::{Sink, put_frame};
use crate::proto::frame::{Accept, CONTROL_FRAME_MAX, DeadFrame, Frame, Handle, TYPE_NAME_MAX, cut};
use crate::proto::hello::{Hello, PROTOCOL_VERSION};

impl Link {
    /// Whether [`Link::control`] has something to write.
    #[inline]
    pub fn has_control(&self) -> bool {
        let last_words = self.hello_due || self.bye_due.is_some();
        match self.state {
            LinkState::Down(_) => last_words,
            LinkState::Leaving if self.bye_due.is_none() => false,
            _ => {
                let bits = self.ack_due || self.beat_due || self.ping_due || self.pong_due;
                last_words || bits || self.dirty.head != Handle::NONE
            }
        }
    }

    /// Whether all that [`Link::control`] has to write is an acknowledgement.
    pub fn owes_only_ack(&self) -> bool {
        let bits = self.beat_due || self.ping_due || self.pong_due;
        self.ack_due && self.is_up() && self.bye_due.is_none() && !bits && self.dirty.head == Handle::NONE
    }

    /// Writes the control frames that are due, as many as fit. On a link that is down these
    /// are its last words: the hello that says which versions we speak, or a goodbye.
    pub fn control(&mut self, slots: &mut Slots<'_>, sink: &mut dyn Sink) {
        if self.has_control() && self.link_frames(sink) {
            while self.dirty.head != Handle::NONE && self.is_up() {
                if !self.circuit_frames(slots, sink) {
                    return;
                }
            }
            if let Some(reason) = self.bye_due
                && put_frame(sink, &Frame::Goodbye(reason), self.crc_seed())
            {
                self.bye_due = None;
                self.sent = true;
            }
        }
    }

    /// Writes the frames of the link itself: whether there was room for all.
    pub(super) fn link_frames(&mut self, sink: &mut dyn Sink) -> bool {
        let crc = self.crc_seed();
        if self.hello_due {
            let id = self.config.identity;
            let hello = Hello {
                oldest: PROTOCOL_VERSION,
                newest: PROTOCOL_VERSION,
                crc: self.config.crc,
                kind: self.config.kind,
                window: self.config.window,
                packet: self.config.packet,
                circuits: self.config.circuits,
                dead_ms: self.config.dead_ms,
                hear_ms: self.config.hear_ms,
                nonce: self.nonce,
                echo: self.peer.nonce,
                boot: id.boot,
                uid: id.uid,
                name: id.name.as_str(),
            };
            // The bring-up has its own checksum and is never under the session's.
            if !put_frame(sink, &Frame::Hello(hello), None) {
                return false;
            }
            self.hello_due = false;
            self.sent = true;
        }
        if !self.is_up() {
            return true;
        }
        if self.ack_due {
            if !put_frame(sink, &Frame::Ack(self.bytes_in), self.crc_seed()) {
                return false;
            }
            self.bytes_in_told = self.bytes_in;
            self.ack_due = false;
            self.sent = true;
        }
        for (due, frame) in [(&mut self.ping_due, Frame::Ping), (&mut self.pong_due, Frame::Pong)] {
            if *due && matches!(self.state, LinkState::Up | LinkState::Leaving) {
                if !put_frame(sink, &frame, crc) {
                    return false;
                }
                *due = false;
                self.sent = true;
            }
        }
        if self.beat_due {
            // Anything written since is as good a sign of life.
            if !self.sent && !put_frame(sink, &Frame::Beat, self.crc_seed()) {
                return false;
            }
            self.beat_due = false;
            self.sent = true;
        }
        true
    }

    /// Writes what the first circuit in the queue owes: whether there was room for all.
    pub(super) fn circuit_frames(&mut self, slots: &mut Slots<'_>, sink: &mut dyn Sink) -> bool {
        let (handle, crc, detail_max) = (self.dirty.head, self.crc_seed(), self.detail_max());
        let Some(slot) = self.slot(slots, handle) else {
            self.dirty = Queue::EMPTY;
            return true;
        };
        if slot.mine == Final::Dead {
            let detail = cut(slot.detail, detail_max);
            let frame = DeadFrame { dead: sent_place(slot.dead), taken: slot.taken, detail };
            if !put_frame(sink, &Frame::Dead(handle, frame), crc) {
                return false;
            }
            slot.mine = Final::Sent;
        }
        for bit in [due::ACCEPT, due::CREDIT, due::TAKEN, due::ASK, due::END] {
            if slot.due & bit == 0 || bit == due::END && slot.out_left > 0 {
                continue;
            }
            let frame = match bit {
                due::ACCEPT => {
                    let accept =
                        Accept { which: slot.which, credit: slot.promised.get(), limit: slot.limit_in };
                    Frame::Accept(handle, accept)
                }
                due::CREDIT => Frame::Credit(handle, slot.promised),
                due::TAKEN => Frame::Taken(handle, slot.taken),
                due::ASK => Frame::Ask(handle, slot.ask),
                _ => Frame::End(handle, slot.values_out),
            };
            if !put_frame(sink, &frame, crc) {
                return false;
            }
            slot.due &= !bit;
            if bit == due::TAKEN {
                slot.taken_told = slot.taken;
            }
            if bit == due::END {
                slot.ended = true;
                slot.settle();
            }
        }
        if slot.mine == Final::Done {
            if !put_frame(sink, &Frame::Done(handle, slot.taken), crc) {
                return false;
            }
            slot.mine = Final::Sent;
        }
        slot.in_dirty = false;
        let next = slot.next_dirty;
        self.dirty.head = next;
        if next == Handle::NONE {
            self.dirty.tail = Handle::NONE;
        }
        self.sent = true;
        self.free_if_over(slots, handle);
        true
    }

    /// Longest control frame, in bytes: with its length it fits the peer's packet.
    pub(super) fn control_max(&self) -> usize {
        const LENGTH: usize = 2;
        (self.peer.packet as usize).saturating_sub(LENGTH).min(CONTROL_FRAME_MAX)
    }

    /// Longest text of a `DEAD`, in bytes.
    pub(super) fn detail_max(&self) -> usize {
        /// All of the frame but its text.
        const REST: usize = 18;
        self.control_max().saturating_sub(REST).min(TYPE_NAME_MAX)
    }

    /// Puts a circuit into the queue of those that owe a frame.
    pub(super) fn mark(&mut self, slots: &mut Slots<'_>, handle: Handle) {
        let Some(slot) = self.slot(slots, handle) else { return };
        if slot.in_dirty || !slot.owes() {
            return;
        }
        slot.in_dirty = true;
        slot.next_dirty = Handle::NONE;
        let tail = core::mem::replace(&mut self.dirty.tail, handle);
        match self.slot(slots, tail) {
            Some(last) if tail != Handle::NONE => last.next_dirty = handle,
            _ => self.dirty.head = handle,
        }
    }
}
