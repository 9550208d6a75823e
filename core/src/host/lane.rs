//! Short values in a burst pass the link's lock by: their sender stores them in a ring, and whoever locks the
//! link next takes them from there before anything else.
//!
//! A lane is open while somebody is on the way who will lock the link: the flusher was told, and no thread goes
//! to sleep without a look. Who takes the request away closes the lane *before* it takes what is in it, and the
//! sender looks *after* it has stored whether the lane is still open; if not, it locks the link itself. The
//! two may miss each other only for as long as a store takes to be seen, for the sender's side is no
//! read-modify-write, which would cost as much as the lock; so who has closed a lane looks once more a little later.
//!
//! One lane of a link is open at a time. Locking comes first everywhere, so accounts, credit and the order of
//! what one thread does on a link are as they would be without lanes. A sender takes its credit in advance (a
//! lease). Nobody else spends that circuit's credit: senders with clones have no lane, and what else one end
//! sends closes it first.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use std::time::Instant;

use super::cell::CellId;
use super::link::LinkState;
use super::slots::Slot;
use super::sync::{self, AtomicBool, AtomicU64, Ordering};
use crate::message::{Message, WORDS, Words};
use crate::proto::{Handle, Link};

/// Room of one lane, in words of 8 bytes.
#[cfg(not(loom))]
const ROOM: usize = 2048;
/// For two values: what runs full and goes round is tried, too.
#[cfg(loom)]
const ROOM: usize = (WORDS + 2).next_power_of_two();
const _: () = assert!(ROOM.is_power_of_two() && 1 + HEAD_MAX as usize + LONGEST <= 8 * WORDS);
/// More than one value takes, in bytes.
const ONE_MAX: u64 = 8 * (WORDS as u64 + 2);
/// Of the lower counts in a [`Progress`].
const MASK: u64 = (1 << 20) - 1;
/// The longest head of a value without its length, in bytes.
const HEAD_MAX: u32 = 5;
/// When a value is seen that was stored while its lane was closed: much longer than a processor keeps a store to
/// itself, and short beside what else a message takes.
pub(crate) const SEEN_AFTER: Duration = Duration::from_micros(50);
/// Lanes of one link; other senders take the lock for each value.
const LANES: usize = 16;
/// The longest value that travels like this, in bytes.
pub(crate) const LONGEST: usize = 48;

/// Whether it is time for the second look, which takes place now.
pub(crate) fn is_seen(look_at: &mut Option<Instant>, now: Instant) -> bool {
    let is_time = look_at.take_if(|at| *at <= now).is_some();
    if is_time {
        sync::time_has_come();
    }
    is_time
}

/// What a sender and its link share: bytes as they go to the wire.
#[repr(C)]
struct Ring {
    is_closed: AtomicBool,
    /// How far the sender has come, see [`Progress`].
    stored: AtomicU64,
    words: [AtomicU64; ROOM],
    /// How far the link has come, in bytes; written under its lock.
    taken: AtomicU64,
}

/// Bytes, values and what they cost in one word, so that they are seen together. Each counts round: 24, 20 and
/// 20 bits, of which a whole ring takes 15, 13 and 16.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Progress(u64);

/// A sender's side of its lane.
pub(crate) struct Lane {
    ring: Arc<Ring>,
    stored: Progress,
    /// How many bytes were ever stored.
    bytes: u64,
    /// Up to where there is room, as far as was looked.
    room_to: u64,
    /// The word in which the next value begins, and the bits of it that are taken.
    next: u64,
    bits: u32,
    /// What the values to come may cost, in bytes of credit.
    credit: u32,
    /// What stands before a value on the wire, with room for its length in the lowest byte.
    head: u64,
    head_len: u32,
}

/// The link's side of a lane.
pub(crate) struct Offramp {
    cell: CellId,
    ring: Arc<Ring>,
    /// What was taken.
    taken: Progress,
    /// How many bytes were ever taken.
    bytes: u64,
    /// What stands before the bytes of each value.
    head_len: u32,
}

/// Where a sender keeps its lane, for values of up to `longest` bytes.
pub(crate) struct LanePlace<'s> {
    pub(crate) lane: &'s mut Option<Box<Lane>>,
    pub(crate) longest: usize,
}

impl<'s> LanePlace<'s> {
    /// For values of this type, of a sender that is alone on its channel: clones would spend the same credit.
    pub(crate) fn of<T: Message>(lane: &'s mut Option<Box<Lane>>, slot: Option<&Slot>) -> Option<Self> {
        let longest = const { longest::<T>() }.filter(|_| slot.is_none())?;
        Some(Self { lane, longest })
    }
}

/// The longest encoding of a value of this type, where it is a short one.
pub(crate) const fn longest<T: Message>() -> Option<usize> {
    match T::MAX_LEN {
        Some(longest @ 0..=LONGEST) if !T::HAS_ENDS => Some(longest),
        _ => None,
    }
}

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It will be taken.
    Yes,
    /// It is in the ring, and the link is to be locked for it.
    YesButClosed,
    /// Nothing has happened.
    No,
}

impl Ring {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            is_closed: AtomicBool::new(true),
            stored: AtomicU64::new(0),
            words: core::array::from_fn(|_| AtomicU64::new(0)),
            taken: AtomicU64::new(0),
        })
    }

    #[inline]
    fn word(&self, at: usize) -> &AtomicU64 {
        &self.words[at % ROOM]
    }
}

/// Both sides of a new lane, which is closed. `head` stands before a value, behind the length of both.
fn pair(cell: CellId, head: u64, head_len: u32) -> (Lane, Offramp) {
    let ring = Ring::new();
    let (none, head_len) = (Progress(0), head_len + 1);
    let receiver = Offramp { cell, ring: Arc::clone(&ring), taken: none, bytes: 0, head_len };
    let sender = Lane {
        ring,
        stored: none,
        bytes: 0,
        room_to: 0,
        next: 0,
        bits: 0,
        credit: 0,
        head: head << 8,
        head_len,
    };
    (sender, receiver)
}

impl core::fmt::Debug for Lane {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Lane({} bytes)", self.bytes)
    }
}

impl Lane {
    /// Values of so much credit may come.
    fn open(&mut self, credit: u32) {
        self.credit = credit;
        self.ring.is_closed.store(false, Ordering::Release);
    }

    /// Closed: what comes next locks the link.
    pub(crate) fn close(&self) {
        self.ring.is_closed.store(true, Ordering::Release);
    }

    /// Stores a value, if the lane is open and has room.
    #[inline(always)]
    pub(crate) fn store<T: Message>(&mut self, value: &T) -> Stored {
        let Some(longest) = (const { longest::<T>() }) else { return Stored::No };
        let longest = longest as u32;
        let ring = &*self.ring;
        if ring.is_closed.load(Ordering::Acquire) || self.credit < Link::charge(longest) {
            return Stored::No;
        }
        if self.bytes + ONE_MAX > self.room_to {
            self.room_to = ring.taken.load(Ordering::Acquire) + (8 * ROOM) as u64;
            if self.bytes + ONE_MAX > self.room_to {
                return Stored::No;
            }
        }
        let from = (self.bytes / 8) as usize;
        let store = |at, word| ring.word(from.wrapping_add(at)).store(word, Ordering::Relaxed);
        let mut words = Words::new(store, self.next, self.bits);
        if words.put_low(self.head, self.head_len).and_then(|()| words.encode(value)).is_err() {
            return Stored::No;
        }
        let len = words.len();
        let payload = len - self.head_len;
        if payload > longest {
            return Stored::No;
        }
        (self.next, self.bits) = words.finish(len as u8 - 1);
        let cost = Link::charge(payload);
        self.bytes += u64::from(len);
        self.credit -= cost;
        self.stored = self.stored.plus(len, cost);
        ring.stored.store(self.stored.0, Ordering::Release);
        if ring.is_closed.load(Ordering::Acquire) { Stored::YesButClosed } else { Stored::Yes }
    }
}

impl Progress {
    /// One more value.
    #[inline]
    const fn plus(self, len: u32, cost: u32) -> Self {
        let bytes = (self.0 >> 40).wrapping_add(len as u64);
        let values = (self.0 >> 20) + 1;
        let cost = self.0.wrapping_add(cost as u64);
        Self(bytes << 40 | (values & MASK) << 20 | cost & MASK)
    }

    /// What has come since `other`.
    const fn since(self, other: Self, head_len: u32) -> Run {
        let len = ((self.0 >> 40).wrapping_sub(other.0 >> 40) & ((1 << 24) - 1)) as u32;
        let values = ((self.0 >> 20).wrapping_sub(other.0 >> 20) & MASK) as u32;
        let cost = (self.0.wrapping_sub(other.0) & MASK) as u32;
        Run { len, values, payload: len - values * head_len, cost }
    }
}

impl LinkState {
    /// Opens a sender's lane, where that is possible. The flusher was told.
    pub(crate) fn open_lane(&mut self, cell: CellId, handle: Handle, place: &mut LanePlace<'_>) {
        let LanePlace { lane, longest } = place;
        // One at a time: what is in two would be taken in another order than one thread has sent it.
        for other in self.lanes.iter().filter(|other| other.cell != cell) {
            self.may_be_unseen |= !other.ring.is_closed.swap(true, Ordering::AcqRel);
        }
        let Some(credit) = self.proto(|link, slots| link.lease(slots, handle, *longest)) else { return };
        let Self { link, lanes, output, .. } = self;
        // No more than the output may hold: a slow line's is short.
        let credit = credit.min(output.room() as u32);
        if credit < 4 * Link::charge(*longest as u32) {
            // Not worth while.
            return;
        }
        if lane.is_none() {
            let (head, head_len) = link.head(handle, 0).of_frame();
            if lanes.len() == LANES || head_len > HEAD_MAX {
                return;
            }
            let (sender, receiver) = pair(cell, head, head_len);
            lanes.push(receiver);
            **lane = Some(Box::new(sender));
        }
        if let Some(lane) = lane {
            lane.open(credit);
        }
    }

    /// Who was to come has come: values that are stored from now on lock the link.
    #[inline]
    pub(crate) fn close_lanes(&mut self) {
        if self.lanes.is_empty() {
            return;
        }
        for lane in &self.lanes {
            self.may_be_unseen |= !lane.ring.is_closed.swap(true, Ordering::AcqRel);
        }
        self.take_from_lanes();
    }

    /// The sender is gone, or its circuit; what is left in its lane was taken before.
    pub(crate) fn drop_lane(&mut self, cell: CellId) {
        self.lanes.retain(|lane| lane.cell != cell);
    }

    /// Takes over what senders have stored. Called whenever the link is locked.
    pub(crate) fn take_from_lanes(&mut self) {
        let mut lanes = core::mem::take(&mut self.lanes);
        for lane in &mut lanes {
            let stored = Progress(lane.ring.stored.load(Ordering::Acquire));
            if stored != lane.taken {
                self.take_from(lane, stored);
            }
        }
        self.lanes = lanes;
        if self.down.is_some() || self.output.is_full() {
            // The next value waits for room, or hears what has happened.
            for lane in &self.lanes {
                self.may_be_unseen |= !lane.ring.is_closed.swap(true, Ordering::AcqRel);
            }
        }
    }

    fn take_from(&mut self, lane: &mut Offramp, stored: Progress) {
        let out = &mut self.output.bytes;
        let start = out.len();
        let run = lane.take(stored, out);
        let Some(cell) = self.cells.get(lane.cell) else { return out.truncate(start) };
        cell.sent += u64::from(run.values);
        let handle = cell.handle.filter(|_| cell.dead.is_none());
        let sent = handle.is_some_and(|handle| {
            self.proto(|link, slots| link.sent_run(slots, handle, run.values, run.payload, run.cost))
        });
        if !sent {
            // The circuit has ended meanwhile: they count as unsent, and the next one hears why.
            if let Some(cell) = self.cells.get(lane.cell) {
                cell.unwritten += u64::from(run.values);
            }
            self.output.bytes.truncate(start);
            lane.ring.is_closed.store(true, Ordering::Release);
        }
    }
}

/// Values that were taken from a lane.
struct Run {
    /// Their bytes.
    len: u32,
    values: u32,
    /// Their bytes without heads.
    payload: u32,
    /// In bytes of credit.
    cost: u32,
}

impl Offramp {
    /// Appends what has come, as it goes to the wire.
    fn take(&mut self, stored: Progress, out: &mut Vec<u8>) -> Run {
        let run = stored.since(self.taken, self.head_len);
        let (from, to) = (self.bytes, self.bytes + u64::from(run.len));
        let end = out.len() + run.len as usize;
        let mut skip = (from % 8) as usize;
        out.reserve(run.len as usize + 8);
        for at in from / 8..to.div_ceil(8) {
            let word = self.ring.word(at as usize).load(Ordering::Relaxed).to_le_bytes();
            out.extend_from_slice(&word[core::mem::take(&mut skip)..]);
        }
        // The last word may hold less.
        out.truncate(end);
        self.taken = stored;
        self.bytes = to;
        self.ring.taken.store(to, Ordering::Release);
        run
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const HEAD: &[u8] = &[0xe1, 0x12];

    fn lane() -> (Lane, Offramp) {
        pair(0, u64::from_le_bytes([HEAD[0], HEAD[1], 0, 0, 0, 0, 0, 0]), 2)
    }

    /// As the wire has it.
    fn append<T: Message>(value: &T, out: &mut Vec<u8>) -> usize {
        let mut bytes = Vec::new();
        value.encode_to(&mut bytes).unwrap();
        out.push((HEAD.len() + bytes.len()) as u8);
        out.extend_from_slice(HEAD);
        out.extend_from_slice(&bytes);
        bytes.len()
    }

    #[test]
    fn what_comes_out_is_what_goes_to_the_wire_wherever_the_ring_goes_round() {
        let (mut sender, mut receiver) = lane();
        sender.open(u32::MAX);
        let (mut expected, mut out) = (Vec::new(), Vec::new());
        let (mut values, mut cost, mut payload) = (0, 0, 0);
        let (mut seen, mut paid, mut carried) = (0, 0, 0);
        let mut random = 1_u64;
        // Several times round, by values of all lengths, of which some are taken now and then.
        while expected.len() < 10 * 8 * ROOM {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let value = (random >> (random % 61), random as u8, random >> 40);
            if sender.store(&value) == Stored::Yes {
                let len = append(&value, &mut expected);
                (values, payload) = (values + 1, payload + len as u32);
                cost += Link::charge(len as u32);
            } else {
                assert!(expected.len() - out.len() > 8 * ROOM - ONE_MAX as usize, "it is full");
            }
            if random >> 57 == 0 || expected.len() - out.len() > 8 * ROOM - ONE_MAX as usize {
                let run = receiver.take(sender.stored, &mut out);
                (seen, paid, carried) = (seen + run.values, paid + run.cost, carried + run.payload);
                assert_eq!((seen, paid, carried), (values, cost, payload));
                assert!(out == expected, "after {values} values");
            }
        }
    }

    #[test]
    fn no_value_goes_beyond_the_lease() {
        let (mut sender, mut receiver) = lane();
        assert_eq!(sender.store(&1_u8), Stored::No, "a lane is closed at first");
        let cost = Link::charge(1);
        sender.open(3 * cost - 1);
        let stored: Vec<_> = (0..4).map(|n: u8| sender.store(&n)).collect();
        assert_eq!(stored, [Stored::Yes, Stored::Yes, Stored::No, Stored::No]);
        assert_eq!(receiver.take(sender.stored, &mut Vec::new()).cost, 2 * cost);
    }

    #[test]
    fn a_lane_that_is_closed_takes_nothing() {
        let (mut sender, mut receiver) = lane();
        sender.open(1000);
        assert_eq!(sender.store(&1_u64), Stored::Yes);
        sender.close();
        assert_eq!(sender.store(&2_u64), Stored::No);
        let mut out = Vec::new();
        assert_eq!(receiver.take(sender.stored, &mut out).values, 1);
        assert_eq!(out, [3, HEAD[0], HEAD[1], 1]);
    }
}
