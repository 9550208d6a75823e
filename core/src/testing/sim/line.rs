//! A line between two parties: bytes under way, with latency and faults.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::proto::Instant;
use crate::testing::{Faults, FaultyWire, Rng};

/// One direction of a line.
#[derive(Debug, Default)]
pub(super) struct Wire {
    queue: VecDeque<(u64, Vec<u8>)>,
    /// Nothing arrives before.
    pub(super) stalled_until: u64,
    last: u64,
    /// No bytes follow those under way.
    pub(super) closed: bool,
    /// One that loses and alters bytes, instead of all that.
    pub(super) lossy: Option<FaultyWire>,
}

impl Wire {
    pub(super) fn push(&mut self, now: u64, bytes: Vec<u8>, rng: &mut Rng) {
        if let Some(wire) = &mut self.lossy {
            return wire.push(Instant::from_micros(now), &bytes);
        }
        if bytes.is_empty() || self.closed {
            return;
        }
        let latency = rng.below(30_000) as u64;
        self.last = self.last.max(now + latency);
        self.queue.push_back((self.last, bytes));
    }

    /// Bytes that have arrived, in pieces that have nothing to do with frames.
    pub(super) fn pop(&mut self, now: u64, rng: &mut Rng) -> Option<Vec<u8>> {
        if let Some(wire) = &mut self.lossy {
            let bytes = wire.pull(Instant::from_micros(now));
            return (!bytes.is_empty()).then_some(bytes);
        }
        if now < self.stalled_until {
            return None;
        }
        let (at, bytes) = self.queue.front_mut()?;
        if *at > now {
            return None;
        }
        if rng.one_in(3) && bytes.len() > 1 {
            let cut = 1 + rng.below(bytes.len() - 1);
            let rest = bytes.split_off(cut);
            return Some(core::mem::replace(bytes, rest));
        }
        self.queue.pop_front().map(|(_, bytes)| bytes)
    }

    /// Whether the end of the stream has arrived.
    pub(super) fn is_at_end(&self, now: u64) -> bool {
        self.closed && self.queue.is_empty() && now >= self.stalled_until
    }

    /// Flips one bit of what is under way: whether there was anything.
    pub(super) fn flip(&mut self, rng: &mut Rng) -> bool {
        let n = rng.below(self.queue.len());
        let Some((_, bytes)) = self.queue.get_mut(n) else { return false };
        let at = rng.below(bytes.len());
        bytes[at] ^= 1 << rng.below(8);
        true
    }

    /// The line breaks: some of what is under way may still arrive, at any byte.
    pub(super) fn cut(&mut self, rng: &mut Rng) {
        self.closed = true;
        self.queue.truncate(rng.below(self.queue.len() + 1));
        if let Some((_, bytes)) = self.queue.back_mut() {
            let len = rng.below(bytes.len() + 1);
            bytes.truncate(len);
            if len == 0 {
                self.queue.pop_back();
            }
        }
    }
}

/// Who is at an end of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Party {
    Node(usize),
    Router(usize),
}

/// Both directions: wire 0 comes from end 0.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) ends: [Party; 2],
    pub(super) wires: [Wire; 2],
    /// When one end was found down.
    pub(super) down_since: Option<u64>,
    /// When a direction stopped for longer than the dead-time.
    pub(super) stopped_since: Option<u64>,
    /// A bit was flipped in this session.
    pub(super) flipped: bool,
    /// On a lossy line, when its ends ceased to be in one session.
    pub(super) apart_since: Option<u64>,
}

impl Line {
    pub(super) fn new(ends: [Party; 2]) -> Self {
        Self {
            ends,
            wires: Default::default(),
            down_since: None,
            stopped_since: None,
            flipped: false,
            apart_since: None,
        }
    }

    /// Both wires lose and alter bytes from now on.
    pub(super) fn lossy(mut self, faults: Faults, rng: &mut Rng) -> Self {
        for wire in &mut self.wires {
            let mut lossy = FaultyWire::new(faults, rng.next());
            (lossy.byte_ns, lossy.latency_us) = (10_000, rng.below(20_000) as u64);
            wire.lossy = Some(lossy);
        }
        self
    }

    /// Nothing goes wrong any more on lossy wires.
    pub(super) fn heal(&mut self) {
        self.wires.iter_mut().filter_map(|wire| wire.lossy.as_mut()).for_each(FaultyWire::heal);
    }
}
