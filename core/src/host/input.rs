//! From bytes to the ends: frames are decoded in place, under one lock per read.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::cell::Cell;
use super::error::LinkError;
use super::hub::Signal;
use super::inbox::BIG;
use super::link::{LinkCell, LinkState};
use crate::message::spare;
use crate::proto::framing::{self, Step};
use crate::proto::{Event, Fault, Handle, Part, Reason};
pub(crate) use effects::{Effects, Offer, Path};
pub(crate) use reader::Reader;
use reader::{Large, READ_LEN};

mod asked;
mod effects;
mod event;
mod reader;

/// A message of which this much is still missing is read to where it stays, in bytes.
const IN_PLACE: usize = 8 * 1024;

impl LinkCell {
    /// Handles what the reader holds. Never waits: not for room to write, nor for another link.
    pub(crate) fn process(&self, reader: &mut Reader) {
        if !self.take_in(reader) {
            self.flush(self.lock());
        }
    }

    /// As [`LinkCell::process`], for a thread that waits for what comes: `false` where an
    /// acknowledgement is left to it, to be written before it waits on.
    pub(crate) fn take_in(&self, reader: &mut Reader) -> bool {
        let large = match reader.large {
            None => None,
            Some(_) => match reader.take_large() {
                None => return true,
                large => large,
            },
        };
        let mut is_large = large.is_some();
        let mut begin_large = false;
        let Reader { buffer, from, to, is_up, effects, .. } = reader;
        // Let go after the link, for it may be the last hold on the node.
        let node = if *is_up { None } else { self.node.upgrade() };
        let mut state = self.lock();
        if state.down.is_some() {
            return true;
        }
        if node.as_ref().is_some_and(|node| node.is_full()) {
            state.link.turn_away(Reason::NoResources);
        }
        state.output.heard = true;
        let mut fault = large.and_then(|large| state.take_large(large, effects).err());
        while fault.is_none() && *from < *to {
            let input = &buffer[*from..*to];
            if let Some(used) = state.take_run(input, effects) {
                *from += used;
                is_large = false;
                continue;
            }
            match framing::next(input, state.link.max_frame(), state.link.crc_seed()) {
                Ok(Step::Need(missing)) => {
                    // With a checksum the whole frame is looked at, and stands in line.
                    if state.link.crc_seed().is_none() && missing >= IN_PLACE {
                        is_large = true;
                        begin_large = true;
                    }
                    break;
                }
                Ok(Step::Frame(frame, used)) => {
                    *from += used;
                    is_large = used > IN_PLACE;
                    if let Err(error) = state.take_frame(frame, effects) {
                        fault = Some(error);
                        break;
                    }
                }
                Err(error) => {
                    // So that the peer hears why.
                    state.link.fail(error);
                    fault = Some(error);
                    break;
                }
            }
        }
        if effects.up.is_some() {
            *is_up = true;
            buffer.resize(buffer.len().max(READ_LEN), 0);
        }
        if let Some(fault) = fault {
            let end = End { link: self, error: state.explain(fault) };
            state.at_end = true;
            self.last_words(state);
            effects.run(self);
            drop(end);
            return true;
        }
        if state.leave.is_some() {
            effects.wakers.extend(state.output.flusher.clone());
        }
        let acked = !state.owes_only_ack();
        effects.go_on_with(&mut state.dry);
        self.flush_but_ack(state);
        reader.passed |= !effects.transits.is_empty();
        // Only what is large is worth a look at whether there is more.
        let gathered =
            if reader.gathers && is_large { core::mem::take(&mut effects.transits) } else { Vec::new() };
        effects.run(self);
        effects.transits = gathered;
        reader.expects_large = is_large;
        if begin_large {
            reader.begin_large();
        }
        acked
    }
}

/// Ends the link when it is dropped: also where somebody's waker panics.
struct End<'a> {
    link: &'a LinkCell,
    error: LinkError,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.link.fail(self.error);
    }
}

impl Cell {
    /// Whoever waits for a message is to look.
    #[inline]
    fn tell_of_message(&mut self, effects: &mut Effects) {
        if self.recv_waker.is_some() {
            effects.wakers.extend(self.recv_waker.take());
        }
        if !self.announced && self.member.is_some() {
            self.announced = true;
            effects.tell(self.member.as_ref(), Signal::Received);
        }
    }
}

impl LinkState {
    fn take_large(&mut self, large: Large, effects: &mut Effects) -> Result<(), Fault> {
        let Large { handle, bytes, .. } = large;
        let event = self.proto(|link, slots| link.handle_whole(slots, handle, &bytes))?;
        if matches!(event, Event::Data(..)) {
            self.take_data(handle, Part::Whole, &[], Some(bytes), effects);
        }
        Ok(())
    }

    /// Takes the small messages of one circuit that stand at the start of `input`, one after
    /// the other: how many bytes that was. `None` where anything is unusual; nothing has
    /// happened then.
    #[inline]
    fn take_run(&mut self, input: &[u8], effects: &mut Effects) -> Option<usize> {
        let handle = framing::small(input)?;
        let (id, cell) = self.cell_of(handle)?;
        if cell.rx_gone || cell.is_latest || !cell.attached.is_empty() {
            cell.transit.as_ref()?;
            let used = self.proto(|link, slots| link.handle_run(slots, handle, input))?;
            self.take_transit_run(id, &input[..used], effects);
            return Some(used);
        }
        let used = self.proto(|link, slots| link.handle_run(slots, handle, input))?;
        let cell = self.cells.get(id)?;
        cell.inbox.push_run(&input[..used]);
        cell.tell_of_message(effects);
        Some(used)
    }

    #[inline]
    fn take_frame(&mut self, frame: &[u8], effects: &mut Effects) -> Result<(), Fault> {
        let event = self.proto(|link, slots| link.handle(slots, frame))?;
        match event {
            Event::Data(handle, part, bytes) => self.take_data(handle, part, bytes, None, effects),
            event => self.take_event(event, effects),
        }
        Ok(())
    }

    #[inline]
    fn take_data(
        &mut self,
        handle: Handle,
        part: Part,
        bytes: &[u8],
        owned: Option<Vec<u8>>,
        effects: &mut Effects,
    ) {
        let Some((id, cell)) = self.cell_of(handle) else { return };
        if cell.rx_gone {
            if cell.transit.is_some() {
                let owned = owned.map(Arc::new);
                let bytes = owned.as_deref().map_or(bytes, Vec::as_slice);
                return self.take_transit(id, &Event::Data(handle, part, bytes), owned.as_ref(), effects);
            }
            // The other half is still in use, and no frame ends this direction alone.
            cell.untaken = true;
            let len = match part {
                Part::Whole => owned.map_or(bytes.len(), |message| message.len()) as u32,
                Part::First(len) => len,
                Part::More => return,
            };
            return self.discard(id, crate::proto::Link::charge(len));
        }
        match (part, &mut cell.partial) {
            (Part::Whole, _) if cell.is_latest => {
                self.take_newest(id, owned.unwrap_or_else(|| bytes.to_vec()));
            }
            (Part::Whole, _) if !cell.attached.is_empty() => {
                let ends = core::mem::take(&mut cell.attached);
                cell.inbox.push_carrying(owned.unwrap_or_else(|| bytes.to_vec()), ends);
            }
            (Part::Whole, _) => match owned {
                Some(message) => cell.inbox.push_owned(message),
                None => cell.inbox.push(bytes),
            },
            (Part::First(len), partial) => {
                // Within the credit that was granted, so the peer has not chosen this size alone.
                let mut message = spare::take(len as usize);
                message.extend_from_slice(bytes);
                *partial = Some((message, len as usize));
                return;
            }
            (Part::More, Some((message, len))) => {
                message.extend_from_slice(bytes);
                if message.len() < *len {
                    return;
                }
                let message = core::mem::take(message);
                cell.partial = None;
                if cell.is_latest {
                    self.take_newest(id, message);
                } else if !cell.attached.is_empty() {
                    let ends = core::mem::take(&mut cell.attached);
                    cell.inbox.push_carrying(message, ends);
                } else if message.len() > BIG {
                    cell.inbox.push_owned(message);
                } else {
                    cell.inbox.push(&message);
                }
            }
            (Part::More, None) => return,
        }
        if let Some(cell) = self.cells.get(id) {
            cell.tell_of_message(effects);
        }
    }
}
