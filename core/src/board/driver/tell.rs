//! What the channels want of the link: opens, answers, values, ends.

use super::Circuits;
use super::hear::{CHUNK, refusal};
#[cfg(feature = "two-lines")]
use crate::board::channel::Phase;
use crate::board::channel::{Channel, Shared, flag};
use crate::board::circuit::Outgoing;
use crate::board::lines::Here;
use crate::board::section::with;
use crate::board::short::Short;
use crate::board::{wake_end, wake_other};
use crate::proto::{CONTROL_DONE, LINE_PACKET_MIN, Reason, put};
use crate::varint;

/// What a record of a short frame takes at most, with its length.
const SHORT_MAX: usize = Short::MAX_LEN + 1;
/// Longest readable name of a type in a refusal: it fits every packet.
const DETAIL_MAX: usize = LINE_PACKET_MIN as usize - SHORT_MAX;
/// What stands before a part of a message at most: the record's length, the handle, the message's length.
const HEAD_MAX: u16 = 2 + 2 + 3;

impl Circuits<'_> {
    pub(super) fn tell(&mut self) {
        #[cfg(feature = "bridge")]
        if self.attend() {
            return;
        }
        let short = &mut Short::new();
        if !self.tell_link(short) {
            return;
        }
        for index in 0..self.refusals.len() {
            self.tell_refusal(index, short);
        }
        #[cfg(feature = "bridge")]
        self.tell_tree(short);
        // One message of each in turn, until nothing more fits.
        let mut more = true;
        while more {
            more = false;
            for channel in self.channels {
                more |= self.tell_channel(channel, short);
            }
            #[cfg(feature = "bridge")]
            {
                more |= self.tell_passages(short);
            }
        }
        let period = self.arq.now.period();
        if self.link.told_in != period && self.arq.room() >= SHORT_MAX {
            self.link.told_in = period;
        }
    }

    /// What programs have taken is told next, whenever it was told last.
    pub(super) const fn tell_news(&mut self) {
        self.link.told_in = self.arq.now.period().wrapping_add(1);
    }

    /// Writes a record, all of it or nothing: whether it fitted.
    pub(super) fn put_frame(&mut self, short: &mut Short) -> bool {
        self.record(short, 0).is_some()
    }

    /// Whether there is room for a record of that beginning and so many bytes more.
    pub(super) fn has_room(&self, short: &Short, more: usize) -> bool {
        let len = short.bytes().len() + more;
        len + 1 + usize::from(len > 0x7f) <= self.arq.room()
    }

    /// Writes the beginning of a record, if there is room for it all: what is to be filled of it, so many bytes.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn record(&mut self, short: &Short, more: usize) -> Option<&mut [u8]> {
        let head = short.bytes();
        let len = head.len() + more;
        let at = self.arq.record(len + 1 + usize::from(len > 0x7f), self.tx)?;
        self.link.last_out = self.arq.now;
        let at = varint::put(self.tx, at, len as u32);
        let mut room = self.tx.get_mut(at..at + len)?;
        put(&mut room, head);
        Some(room)
    }

    /// Writes what a circuit is to be told that no channel has.
    fn tell_refusal(&mut self, index: usize, short: &mut Short) {
        let Some(&due) = self.refusals.get(index).filter(|due| **due != 0) else { return };
        let handle = (index << 1) as u8 | self.link.parity;
        let mut detail: &[u8] = &[];
        if due == refusal::DONE {
            short.circuit(handle, CONTROL_DONE);
            short.number(0);
        } else {
            let mut reason = Reason::new(due);
            if due & refusal::TYPE != 0 {
                reason = Reason::TypeDiffers;
                let channel = self.channels.get(usize::from(due ^ refusal::TYPE));
                let spec = channel.and_then(|channel| with(|cs| channel.borrow(cs).spec.get()));
                let name = spec.map_or("", |spec| spec.type_name).as_bytes();
                detail = name.get(..name.len().min(DETAIL_MAX)).unwrap_or_default();
            }
            // Whose room it is that is not there.
            #[cfg(feature = "bridge")]
            if reason == Reason::NoResources {
                let name = self.identity.name.as_bytes();
                detail = name.get(..name.len().min(DETAIL_MAX)).unwrap_or_default();
            }
            short.dead(handle, reason, 0, detail.len());
        }
        if let Some(mut room) = self.record(short, detail.len()) {
            put(&mut room, detail);
            if let Some(due) = self.refusals.get_mut(index) {
                *due = 0;
            }
        }
    }

    /// Writes what a channel has to say, and one of its messages: whether there may be more.
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn tell_channel(&mut self, channel: &'static Shared, short: &mut Short) -> bool {
        // Where it is is asked each time: when one circuit is over the next one may be the other line's.
        let (here, common) = (self.here, self.common);
        let is_new = self.link.told_in != self.arq.now.period();
        let tells = if is_new { flag::TELL | flag::NEWS } else { flag::TELL };
        while self.arq.room() >= SHORT_MAX {
            let (is_due, imports) =
                with(|cs| (channel.borrow(cs).next_at(here, tells, short), common.imports.borrow(cs).get()));
            if is_due {
                self.put_frame(short);
                // It may have been the answer to an importer, or the last word to one before another line's.
                wake_end(channel);
                wake_other(channel, here);
                continue;
            }
            if let Some(imports) = imports {
                (imports.tell)(self, channel, short);
            }
            break;
        }
        self.send(channel, short)
    }

    /// Writes a message, or a part of one: whether more may follow.
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn send(&mut self, channel: &'static Shared, short: &mut Short) -> bool {
        let room = self.arq.room().saturating_sub(HEAD_MAX.into()) as u16;
        let most = self.link.packet.saturating_sub(HEAD_MAX);
        let out = with(|cs| {
            let channel = channel.borrow(cs);
            if channel.is_at(self.here) { channel.next_data(cs, short, most, room) } else { None }
        });
        let Some(Outgoing { mut offset, len, message }) = out else { return false };
        for chunk in self.record(short, len.into()).unwrap_or_default().chunks_mut(CHUNK) {
            with(|cs| channel.borrow(cs).outbox.read(cs, offset, chunk));
            offset += chunk.len() as u16;
        }
        let more = with(|cs| channel.borrow(cs).data_written(message));
        wake_end(channel);
        more
    }
}

impl Channel {
    fn next_at(&self, here: Here, tells: u32, short: &mut Short) -> bool {
        self.is_at(here) && self.next(tells, short)
    }

    /// Whether the line has something to do with it now: its circuit, the next one, or the import that it will be.
    #[cfg(feature = "two-lines")]
    pub(super) fn is_at(&self, here: Here) -> bool {
        let is_free = self.phase.get() == Phase::Idle && !self.has(flag::IMPORT);
        here.has(if is_free { self.next.get().wrapping_sub(1) } else { self.handle.get() })
    }

    /// Whether it is free for an importer who waits on the other line.
    #[cfg(all(feature = "async", feature = "two-lines"))]
    pub(in crate::board) fn is_other(&self, here: Here) -> bool {
        self.phase.get() == Phase::Idle && self.next.get() > 0 && !self.is_at(here)
    }

    #[cfg(not(feature = "two-lines"))]
    pub(super) const fn is_at(&self, _: Here) -> bool {
        true
    }
}
