//! From the ends to bytes: who finds the writer idle writes at once, and whoever comes
//! meanwhile is carried along.
//!
//! A lone message is written by the thread that sends it. In a burst a write for each
//! message would cost more than all the rest, so a message that follows another one
//! closely, with nothing heard from the peer in between, is left to the flusher (the
//! link's writing thread or task), together with all that gather until it runs. A thread
//! that is about to wait writes what is left first. How long a thread lets a stream gather
//! stands in `lead.rs`.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::task::Waker;
use core::time::Duration;
use std::io::{self, IoSlice};
use std::time::Instant;

use super::error::LinkError;
use super::hub::Signal;
use super::input::Effects;
use super::link::{LinkCell, LinkState};
use super::sync::{self, MutexGuard, Ordering};
use super::transit::PIECES;
use crate::message::spare;
use crate::proto::{Head, crc32c_append};

/// Two writes closer than this, with nothing heard in between, are a burst.
const BURST: Duration = Duration::from_micros(100);
/// A sender that finds this much waiting writes it itself, in bytes.
const WRITE_AT: usize = 64 * 1024;
/// No more than this gathers in the outgoing buffer; senders wait, in bytes.
const FULL_AT: usize = 128 * 1024;
/// So much gathers only when answers are asked for and not read, in bytes.
const FLOODED_AT: usize = 4 * FULL_AT;
/// Parts of one vectored write.
const SLICES: usize = 32;

/// Whether bytes may wait for company.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// By a sender: they may.
    Burst,
    /// Write now.
    Now,
}

/// What waits to be written on one link.
pub(crate) struct Output {
    /// Frames of the straight path and control frames, in order.
    pub(crate) bytes: Vec<u8>,
    spare: Vec<u8>,
    /// A thread is writing; it looks again before it leaves.
    writing: bool,
    /// What the stream did not take; the flusher goes on with it.
    stuck: Option<Batch>,
    /// Of that, what the flusher has in hand, in bytes: its write may block.
    in_hand: usize,
    /// What is left of the last words of a link that has broken.
    words: Vec<u8>,
    /// The flusher was told.
    flush_pending: bool,
    /// Wakes the flusher.
    pub(crate) flusher: Option<Waker>,
    /// Something came from the peer since the last write.
    pub(crate) heard: bool,
    last_write: Option<Instant>,
    room_wakers: Vec<Waker>,
    /// No more than this gathers; senders wait, in bytes.
    full_at: usize,
    /// Parts of large messages in one write, in bytes: what a small one may have to wait for.
    parts_max: usize,
}

/// Bytes of one write: gathered frames, with parts of large messages in between.
#[derive(Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
    done: usize,
}

struct Piece {
    /// Where in the gathered bytes the piece belongs.
    at: usize,
    message: Arc<Vec<u8>>,
    range: Range<usize>,
}

impl Output {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            spare: Vec::new(),
            writing: false,
            stuck: None,
            in_hand: 0,
            words: Vec::new(),
            flush_pending: false,
            flusher: None,
            heard: true,
            last_write: None,
            room_wakers: Vec::new(),
            full_at: FULL_AT,
            parts_max: usize::MAX,
        }
    }

    /// For a slow line that takes so many bytes in a packet and has so many packets under way.
    /// What waits behind them waits with the senders, who can still think better of it.
    pub(crate) fn on_line(packet: u32, window: u8) -> Self {
        // As much again may wait for the line to take it.
        let full_at = packet as usize * usize::from(window.max(2) / 2);
        Self { full_at, parts_max: packet as usize, ..Self::new() }
    }

    /// Whether a sender has to wait for room.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= self.full_at
    }

    /// How much more may gather, in bytes.
    pub(crate) fn room(&self) -> usize {
        self.full_at.saturating_sub(self.bytes.len())
    }

    /// Whether no honest peer could have let so much gather.
    pub(crate) fn is_flooded(&self) -> bool {
        self.bytes.len() >= FLOODED_AT
    }

    /// Whether a sender's bytes go out without its doing: the flusher was told.
    #[inline]
    pub(crate) fn is_carried(&self) -> bool {
        self.flush_pending && self.bytes.len() < WRITE_AT
    }

    pub(crate) fn wait_for_room(&mut self, waker: &Waker) {
        if !self.room_wakers.iter().any(|other| other.will_wake(waker)) {
            self.room_wakers.push(waker.clone());
        }
    }

    pub(crate) fn wake_all(&mut self, wakers: &mut Vec<Waker>) {
        wakers.append(&mut self.room_wakers);
        wakers.extend(self.flusher.take());
    }

    /// Whether nothing waits to be written.
    pub(crate) fn is_idle(&self) -> bool {
        self.bytes.is_empty() && self.stuck.is_none() && !self.writing
    }

    /// Whether the flusher has to wait for the stream to take more.
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.is_some()
    }

    /// Whether it does no harm to let more gather.
    pub(crate) fn may_gather(&self) -> bool {
        !self.bytes.is_empty() && self.bytes.len() < WRITE_AT && self.room_wakers.is_empty()
    }

    pub(crate) const fn has_flush_request(&self) -> bool {
        self.flush_pending
    }

    pub(crate) fn take_stuck(&mut self) -> Option<Batch> {
        let batch = self.stuck.take();
        self.writing |= batch.is_some();
        self.in_hand = batch.as_ref().map_or(0, Batch::left);
        batch
    }

    /// Bytes that the stream has not taken.
    fn waiting(&self) -> usize {
        self.bytes.len() + self.in_hand + self.stuck.as_ref().map_or(0, Batch::left)
    }
}

impl Batch {
    /// The bytes that are left of one that has no parts of large messages.
    fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.drain(..self.done.min(self.bytes.len()));
        self.bytes
    }

    /// The bytes that are left, as slices.
    pub(crate) fn slices<'b>(&'b self, into: &mut Vec<IoSlice<'b>>) {
        into.clear();
        let mut skip = self.done;
        let mut from = 0;
        let ends = core::iter::once((self.bytes.len(), None));
        for (at, piece) in self.pieces.iter().map(|piece| (piece.at, Some(piece))).chain(ends) {
            let inline = &self.bytes[from..at];
            let shared = piece.map_or(&[][..], |piece| &piece.message[piece.range.clone()]);
            from = at;
            for part in [inline, shared] {
                let skipped = skip.min(part.len());
                skip -= skipped;
                if skipped < part.len() && into.len() < SLICES {
                    into.push(IoSlice::new(&part[skipped..]));
                }
            }
        }
    }

    #[inline]
    fn len(&self) -> usize {
        if self.pieces.is_empty() {
            return self.bytes.len();
        }
        self.bytes.len() + self.pieces.iter().map(|piece| piece.range.len()).sum::<usize>()
    }

    /// What is not written of it.
    fn left(&self) -> usize {
        self.len() - self.done
    }

    /// Whether all of it is written, after one more write.
    fn wrote(&mut self, result: io::Result<usize>) -> io::Result<bool> {
        match result {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                self.done += n;
                Ok(self.done >= self.len())
            }
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Ok(false),
                _ => Err(error),
            },
        }
    }
}

impl LinkState {
    /// The flusher has come: whether it was told to, and whether it has to come once more, a little later, for
    /// values that may have missed this look.
    pub(crate) fn take_flush_request(&mut self) -> (bool, bool) {
        self.close_lanes();
        (core::mem::take(&mut self.output.flush_pending), core::mem::take(&mut self.may_be_unseen))
    }

    /// Moves everything that may be written now into one batch; `None` if there is nothing.
    fn gather(&mut self, effects: &mut Effects) -> Option<Batch> {
        self.work_kept_transits(effects);
        self.add_due();
        let pieces = if self.link.has_fragment() { self.pieces(effects) } else { Vec::new() };
        if self.output.bytes.is_empty() && pieces.is_empty() {
            return None;
        }
        Some(Batch { bytes: self.output.take_bytes(), pieces, done: 0 })
    }

    /// Whether a message of `len` bytes could be written as a whole, now, and right after what
    /// is due.
    pub(crate) fn may_write_through(&mut self, len: usize) -> bool {
        let output = &self.output;
        if output.writing || output.stuck.is_some() || output.is_full() || self.down.is_some() {
            return false;
        }
        self.add_due();
        self.link.crc_seed().is_none() && self.link.takes_whole(len)
    }

    /// Small frames that have waited, and control frames.
    #[inline]
    fn add_due(&mut self) {
        self.send_kept();
        if self.link.has_control() {
            self.proto_out(|link, slots, out| link.control(slots, out));
        }
    }

    /// The parts of large messages whose turn it is; their heads go into the outgoing buffer.
    fn pieces(&mut self, effects: &mut Effects) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut bytes = 0;
        while let Some(part) = self.proto(|link, slots| link.fragment(slots)) {
            let Some((id, cell)) = self.cell_of(part.handle) else { continue };
            if let Some(passage) = cell.transit.clone() {
                // Its bytes come right behind its head, before whatever goes on after it.
                let at = self.output.bytes.len() + part.head.as_slice().len();
                for (message, range) in self.put_transit(&passage, &part, effects) {
                    pieces.push(Piece { at, message, range });
                }
                bytes += part.len;
                let many = (pieces.len() + PIECES) * 2 + 1 >= SLICES;
                if many || self.output.is_full() || bytes >= self.output.parts_max {
                    break;
                }
                continue;
            }
            let Some(message) = &cell.outbox else { continue };
            let (message, range) = (Arc::clone(message), part.offset..part.offset + part.len);
            if part.last {
                cell.outbox = None;
                effects.wakers.extend(cell.send_waker.take());
                effects.tell(cell.member.as_ref(), Signal::Granted);
            }
            self.output.bytes.extend_from_slice(part.head.as_slice());
            if let Some(seed) = self.link.crc_seed() {
                // The checksum stands behind the payload, so the payload stands in line.
                self.output.bytes.extend_from_slice(&message[range.clone()]);
                let crc = crc32c_append(crc32c_append(!seed, part.head.frame()), &message[range]);
                self.output.bytes.extend_from_slice(&(!crc).to_le_bytes());
            } else {
                pieces.push(Piece { at: self.output.bytes.len(), message, range });
            }
            if part.last {
                self.send_waiting(id);
            }
            bytes += part.len;
            if pieces.len() * 2 + 1 >= SLICES || bytes >= self.output.parts_max {
                break;
            }
        }
        pieces
    }

    /// Bytes of frames and of this node's own messages that wait to be written.
    pub(crate) fn waiting(&mut self) -> u64 {
        let (mut begun, mut behind) = (Vec::new(), 0);
        for cell in self.cells.iter_mut().filter(|cell| cell.dead.is_none()) {
            let Some(handle) = cell.handle else { continue };
            if cell.outbox.is_some() {
                begun.push(handle);
            }
            behind += cell.backlog.iter().chain(&cell.unsent).map(Vec::len).sum::<usize>();
        }
        let left = self.proto(|link, slots| {
            begun.into_iter().map(|handle| u64::from(link.left(slots, handle))).sum::<u64>()
        });
        (self.output.waiting() + behind) as u64 + left
    }

    /// Whether nothing is to be written but an acknowledgement, which may wait a moment: the
    /// credit for the same message will come along with it.
    pub(crate) fn owes_only_ack(&self) -> bool {
        self.link.owes_only_ack() && self.output.bytes.is_empty() && !self.link.has_fragment()
    }

    #[inline]
    fn has_output(&self) -> bool {
        let kept = !self.kept_transits.is_empty() && !self.output.is_full();
        !self.output.bytes.is_empty() || self.link.has_control() || self.link.has_fragment() || kept
    }

    /// Whether a sender should write now rather than leave it to the flusher.
    fn writes_now(&self) -> bool {
        let output = &self.output;
        output.heard
            || output.bytes.len() >= WRITE_AT
            || output.flusher.is_none()
            // Read only where nothing is pending yet: once a batch, not once a message.
            || output.last_write.is_none_or(|at| sync::now() - at > BURST)
    }
}

impl LinkCell {
    /// Writes what is due, without waiting.
    pub(crate) fn flush(&self, state: MutexGuard<'_, LinkState>) {
        self.push(state, Urgency::Now);
    }

    /// Sees to it that what was added is written soon.
    pub(crate) fn push(&self, mut state: MutexGuard<'_, LinkState>, urgency: Urgency) {
        if urgency == Urgency::Now {
            // Whoever stores a value after this and goes to sleep is to know that it is not written.
            state.close_lanes();
        }
        let output = &state.output;
        if output.writing || output.stuck.is_some() {
            return;
        }
        if urgency == Urgency::Burst && output.is_carried() {
            return self.leave_over();
        }
        if !state.has_output() || state.down.is_some() {
            return;
        }
        if urgency == Urgency::Burst && !state.writes_now() {
            state.output.flush_pending = true;
            self.leave_over();
            let waker = state.output.flusher.clone();
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
            return;
        }
        state.output.writing = true;
        self.left_over.store(false, Ordering::Relaxed);
        state.close_lanes();
        self.write_out(state);
    }

    /// Something is left to be written by whoever comes next, at the latest by a thread that
    /// is about to wait, or by the driver. Called under the lock.
    pub(crate) fn leave_over(&self) {
        self.left_over.store(true, Ordering::Relaxed);
    }

    /// As [`LinkCell::flush`], but leaves an acknowledgement over.
    #[inline]
    pub(crate) fn flush_but_ack(&self, state: MutexGuard<'_, LinkState>) {
        if !state.has_output() {
            // The usual case.
        } else if state.owes_only_ack() {
            self.leave_over();
        } else {
            self.flush(state);
        }
    }

    /// On a link that has broken: what the stream takes at once of the reason why. What it leaves is for the link's task, if it has one.
    pub(crate) fn last_words(&self, mut state: MutexGuard<'_, LinkState>) {
        // What waits for another thread to write it is this side's hello, as long as the link is not up: that is said still.
        let has_hello = state.output.stuck.is_some() && state.peer.is_none();
        if state.output.writing || state.output.stuck.is_some() != has_hello {
            return;
        }
        if !has_hello && !state.link.has_control() {
            return;
        }
        let mut bytes = state.output.stuck.take().map(Batch::into_bytes).unwrap_or_default();
        state.proto_out(|link, slots, out| link.control(slots, out));
        bytes.append(&mut state.output.bytes);
        state.output.writing = true;
        drop(state);
        // The link fails with its first cause, whatever becomes of this.
        let taken = self.io.stream().last_words(&bytes).min(bytes.len());
        bytes.drain(..taken);
        let mut state = self.lock();
        state.output.writing = false;
        state.output.words = bytes;
    }

    /// What the stream has left of the last words.
    pub(crate) fn take_words(&self) -> Vec<u8> {
        core::mem::take(&mut self.lock().output.words)
    }

    /// Writes until nothing is left or the stream takes no more. `writing` is set.
    fn write_out<'a>(&'a self, mut state: MutexGuard<'a, LinkState>) {
        // The usual case first: small frames alone, nobody waits for room, and the stream
        // takes them all.
        state.add_due();
        if !state.link.has_fragment() && !state.output.bytes.is_empty() {
            let mut bytes = state.output.take_bytes();
            drop(state);
            let result = self.io.stream().try_write(&[IoSlice::new(&bytes)]);
            state = self.lock();
            state.output.has_written();
            if matches!(result, Ok(n) if n == bytes.len()) {
                bytes.clear();
                state.output.keep(bytes);
                let is_done = state.output.room_wakers.is_empty() && state.leave.is_none();
                if is_done && state.dry.is_empty() && !state.has_output() {
                    state.output.writing = false;
                    return;
                }
            } else {
                let mut batch = Batch { bytes, ..Batch::default() };
                let result = batch.wrote(result).map(|all| if all { None } else { Some(batch) });
                return self.end_write(state, Effects::new(), result);
            }
        }
        self.write_all(state);
    }

    /// Writes what is due, and a message from where it lies: see
    /// [`LinkState::may_write_through`].
    pub(crate) fn write_through<'a>(
        &'a self,
        mut state: MutexGuard<'a, LinkState>,
        head: &Head,
        message: &[u8],
    ) {
        state.output.writing = true;
        self.left_over.store(false, Ordering::Relaxed);
        head.append_to(&mut state.output.bytes);
        let mut bytes = state.output.take_bytes();
        drop(state);
        let result = self.io.stream().try_write(&[IoSlice::new(&bytes), IoSlice::new(message)]);
        state = self.lock();
        state.output.has_written();
        if matches!(result, Ok(n) if n == bytes.len() + message.len()) {
            bytes.clear();
            state.output.keep(bytes);
            return self.write_all(state);
        }
        let piece = Piece { at: bytes.len(), message: Arc::new(message.to_vec()), range: 0..message.len() };
        let mut batch = Batch { bytes, pieces: alloc::vec![piece], done: 0 };
        let result = batch.wrote(result).map(|all| if all { None } else { Some(batch) });
        self.end_write(state, Effects::new(), result);
    }

    fn write_all<'a>(&'a self, mut state: MutexGuard<'a, LinkState>) {
        let mut effects = Effects::new();
        let result = loop {
            let Some(mut batch) = state.gather(&mut effects) else { break Ok(None) };
            drop(state);
            let result = write_batch(&mut batch, |slices| self.io.stream().try_write(slices));
            state = self.lock();
            state.output.has_written();
            match result {
                Ok(true) => state.output.recycle(batch),
                Ok(false) => break Ok(Some(batch)),
                Err(error) => break Err(error),
            }
        };
        self.end_write(state, effects, result);
    }

    /// This thread writes no more: what is left, if anything, is for the flusher.
    fn end_write(
        &self,
        mut state: MutexGuard<'_, LinkState>,
        mut effects: Effects,
        result: io::Result<Option<Batch>>,
    ) {
        let error = match result {
            Ok(None) => None,
            Ok(left) => {
                state.output.stuck = left;
                effects.wakers.extend(state.output.flusher.clone());
                None
            }
            Err(error) => Some(error),
        };
        state.output.writing = false;
        if !state.output.is_full() {
            effects.wakers.append(&mut state.output.room_wakers);
        }
        if state.leave.is_some() {
            effects.wakers.extend(state.output.flusher.clone());
        }
        effects.go_on_with(&mut state.dry);
        drop(state);
        effects.run(self);
        if let Some(error) = error {
            self.fail(LinkError::Io(error.kind()));
        }
    }

    /// The flusher goes on with what the stream did not take: `Ok(false)` if it takes no
    /// more now.
    pub(crate) fn write_stuck(
        &self,
        write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        let Some(mut batch) = self.lock().output.take_stuck() else { return Ok(true) };
        let result = write_batch(&mut batch, write);
        let mut state = self.lock();
        state.output.in_hand = 0;
        match result {
            Ok(true) => {
                state.output.recycle(batch);
                // Still `writing`: goes on with what has gathered.
                self.write_out(state);
                Ok(true)
            }
            Ok(false) => {
                state.output.stuck = Some(batch);
                state.output.writing = false;
                Ok(false)
            }
            Err(error) => {
                state.output.writing = false;
                Err(error)
            }
        }
    }
}

impl Output {
    #[inline]
    fn take_bytes(&mut self) -> Vec<u8> {
        let spare = core::mem::take(&mut self.spare);
        core::mem::replace(&mut self.bytes, spare)
    }

    /// The first write after something was heard is an answer, not a burst: in a
    /// conversation the clock is never read.
    #[inline]
    fn has_written(&mut self) {
        let answers = core::mem::replace(&mut self.heard, false);
        self.last_write = (!answers).then(sync::now);
    }

    fn recycle(&mut self, batch: Batch) {
        for piece in batch.pieces {
            // Of a message that has passed through, the buffer serves the next one.
            if let Ok(buffer) = Arc::try_unwrap(piece.message) {
                spare::keep(buffer);
            }
        }
        let mut bytes = batch.bytes;
        bytes.clear();
        self.keep(bytes);
    }

    #[inline]
    fn keep(&mut self, bytes: Vec<u8>) {
        if bytes.capacity() <= 2 * FULL_AT {
            self.spare = bytes;
        }
    }
}

/// Whether all of the batch was written.
fn write_batch(
    batch: &mut Batch,
    mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
) -> io::Result<bool> {
    loop {
        let result = if batch.pieces.is_empty() {
            write(&[IoSlice::new(&batch.bytes[batch.done..])])
        } else {
            let mut slices = Vec::new();
            batch.slices(&mut slices);
            write(&slices)
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Ok(false);
            }
            result => {
                if batch.wrote(result)? {
                    return Ok(true);
                }
            }
        }
    }
}
