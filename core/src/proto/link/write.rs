//! The control frames that are due.

use super::close::sent_place;
use super::{Link, LinkState, Queue};
use crate::proto::circuit::{Final, Slots, due};
use crate::proto::control::{Short, Sink, put_dead, put_frame, put_hello};
use crate::proto::frame::{
    Accept, CONTROL_ASK, CONTROL_DONE, CONTROL_END, CONTROL_FRAME_MAX, DeadFrame, Frame, Handle, KIND_CREDIT,
    KIND_TAKEN, LINK_ACK, LINK_BEAT, LINK_GOODBYE, LINK_PING, LINK_PONG, LINK_QUIET, TYPE_NAME_MAX,
    TreeFrame, cut,
};
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
                let bits = bits || self.quiet_due.is_some();
                last_words || bits || self.dirty.head != Handle::NONE
            }
        }
    }

    /// Whether all that [`Link::control`] has to write is an acknowledgement.
    pub fn owes_only_ack(&self) -> bool {
        let bits = self.beat_due || self.ping_due || self.pong_due || self.quiet_due.is_some();
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
            if let Some(reason) = self.bye_due {
                let mut bye = Short::link(LINK_GOODBYE);
                bye.byte(reason.get());
                if bye.put(sink, self.crc_seed()) {
                    self.bye_due = None;
                    self.sent = true;
                }
            }
        }
    }

    /// Writes the frames of the link itself: whether there was room for all.
    pub(super) fn link_frames(&mut self, sink: &mut dyn Sink) -> bool {
        if self.hello_due {
            let id = self.config.identity;
            let hello = Hello {
                oldest: PROTOCOL_VERSION,
                newest: PROTOCOL_VERSION,
                crc: self.config.crc,
                kind: self.config.kind,
                adopts: self.config.adopts,
                bodies: self.config.bodies,
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
            if !put_hello(sink, &hello) {
                return false;
            }
            self.hello_due = false;
            self.sent = true;
        }
        if !self.is_up() {
            return true;
        }
        if self.ack_due {
            let told = self.bytes_in;
            if !self.sign(sink, LINK_ACK, Some(told.get())) {
                return false;
            }
            self.bytes_in_told = told;
            self.ack_due = false;
        }
        if self.ping_due {
            self.ping_due = !self.sign(sink, LINK_PING, None);
        }
        if self.pong_due {
            self.pong_due = !self.sign(sink, LINK_PONG, None);
        }
        if let Some(millis) = self.quiet_due {
            if !self.sign(sink, LINK_QUIET, Some(millis)) {
                return false;
            }
            self.quiet_due = None;
            self.quiets = self.quiets.wrapping_add(1);
        }
        if self.beat_due {
            // Anything written since is as good a sign of life.
            self.beat_due = !self.sent && !self.sign(sink, LINK_BEAT, None);
        }
        !self.ping_due && !self.pong_due && !self.beat_due
    }

    /// Writes a frame of the tree: whether there was room.
    pub fn put_tree(&mut self, frame: &TreeFrame<'_>, sink: &mut dyn Sink) -> bool {
        // Our echo goes before anything else.
        let ready = self.state == LinkState::Up && (!self.hello_due || self.link_frames(sink));
        let frame = self.fitting(*frame);
        let fits = ready && put_frame(sink, &Frame::Tree(frame), self.crc_seed());
        self.sent |= fits;
        fits
    }

    /// Without the names above where a lossy line has shorter packets than they need: a child that does not know them
    /// finds its neighbours by other paths.
    #[cfg(feature = "alloc")]
    fn fitting<'a>(&self, frame: TreeFrame<'a>) -> TreeFrame<'a> {
        match frame {
            TreeFrame::Adopt { id, above, .. }
                if Frame::Tree(frame).write(&mut [0; CONTROL_FRAME_MAX][..self.control_max()]).is_err() =>
            {
                TreeFrame::Adopt { id, above, place: "" }
            }
            frame => frame,
        }
    }

    #[cfg(not(feature = "alloc"))]
    const fn fitting<'a>(&self, frame: TreeFrame<'a>) -> TreeFrame<'a> {
        frame
    }

    /// Writes a frame of the link: whether there was room.
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn sign(&mut self, sink: &mut dyn Sink, number: u32, value: Option<u32>) -> bool {
        let mut sign = Short::link(number);
        if let Some(value) = value {
            sign.number(value);
        }
        let fits = sign.put(sink, self.crc_seed());
        self.sent |= fits;
        fits
    }

    /// Writes what the first circuit in the queue owes: whether there was room for all.
    pub(super) fn circuit_frames(&mut self, slots: &mut Slots<'_>, sink: &mut dyn Sink) -> bool {
        let (handle, crc, detail_max) = (self.dirty.head, self.crc_seed(), self.detail_max());
        let Some(slot) = self.slot(slots, handle) else {
            self.dirty = Queue::EMPTY;
            return true;
        };
        if slot.mine == Final::Dead {
            let detail = cut(slot.detail.unwrap_or_default(), detail_max);
            let frame = DeadFrame { dead: sent_place(slot.dead), taken: slot.taken, detail };
            if !put_dead(sink, handle, &frame, crc) {
                return false;
            }
            slot.mine = Final::Sent;
        }
        loop {
            // From the lowest, which is `ACCEPT`, to `END`, which waits for the message before it.
            let due = if slot.out_left > 0 { slot.due & !due::END } else { slot.due };
            let bit = due & due.wrapping_neg();
            if bit == 0 {
                break;
            }
            let (mut short, total) = match bit {
                due::ACCEPT => {
                    let (credit, limit) = (slot.promised.get(), slot.limit_in);
                    (Short::accept(handle, &Accept { which: slot.which, credit, limit }), None)
                }
                due::CREDIT => (Short::new(handle.get(), KIND_CREDIT), Some(slot.promised)),
                due::TAKEN => (Short::new(handle.get(), KIND_TAKEN), Some(slot.taken)),
                due::ASK => (Short::control(handle, CONTROL_ASK), Some(slot.ask)),
                _ => (Short::control(handle, CONTROL_END), Some(slot.values_out)),
            };
            if let Some(total) = total {
                short.number(total.get());
            }
            if !short.put(sink, crc) {
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
            let mut done = Short::control(handle, CONTROL_DONE);
            done.number(slot.taken.get());
            if !done.put(sink, crc) {
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
