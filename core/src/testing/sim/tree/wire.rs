//! Bytes under way between two nodes: in time, with a rate and room, or on a line that loses and alters them.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::proto::Instant;
use crate::testing::{Faults, FaultyWire, Rng};

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Wire {
    queue: VecDeque<(u64, Vec<u8>)>,
    under_way: usize,
    free_at: u64,
    /// How long a byte takes, in microseconds, and how many may be under way.
    pub(super) byte_us: u64,
    pub(super) room: usize,
    pub(super) latency_us: u64,
    /// Nothing arrives before.
    pub(super) stalled_until: u64,
    /// No bytes follow those under way.
    pub(super) closed: bool,
    /// One that loses and alters bytes, instead of all that.
    pub(super) lossy: Option<FaultyWire>,
}

impl Wire {
    /// Of a stream: fast, or slow with little room.
    pub(super) fn stream(slow: bool, rng: &mut Rng) -> Self {
        let latency_us = rng.below(if slow { 20_000 } else { 3_000 }) as u64;
        let (byte_us, room) = if slow { (20, 1024) } else { (0, 64 * 1024) };
        Self { byte_us, room, latency_us, ..Self::default() }
    }

    pub(super) fn line(faults: Faults, rng: &mut Rng) -> Self {
        let mut lossy = FaultyWire::new(faults, rng.next());
        (lossy.byte_ns, lossy.latency_us) = (10_000, rng.below(10_000) as u64);
        Self { lossy: Some(lossy), ..Self::default() }
    }

    /// Nothing of an earlier session is under way any more.
    pub(super) fn restart(&mut self) {
        self.queue.clear();
        (self.under_way, self.free_at, self.stalled_until, self.closed) = (0, 0, 0, false);
    }

    /// Takes of `output` what has room.
    pub(super) fn push(&mut self, now: u64, output: &mut Vec<u8>, words: bool, rng: &mut Rng) -> bool {
        let room = if words { usize::MAX } else { self.room.saturating_sub(self.under_way) };
        let n = output.len().min(room);
        if self.closed {
            output.clear();
        }
        if n == 0 || self.closed {
            return false;
        }
        let bytes: Vec<u8> = output.drain(..n).collect();
        self.under_way += n;
        let jitter = rng.below(1000) as u64;
        self.free_at = self.free_at.max(now + self.latency_us + jitter) + n as u64 * self.byte_us;
        self.queue.push_back((self.free_at, bytes));
        true
    }

    /// When something arrives.
    pub(super) fn next(&self) -> u64 {
        match &self.lossy {
            Some(wire) => wire.deadline().as_micros(),
            None => self.queue.front().map_or(u64::MAX, |&(at, _)| at.max(self.stalled_until)),
        }
    }

    /// Bytes that have arrived, in pieces that have nothing to do with frames.
    pub(super) fn pop(&mut self, now: u64, rng: &mut Rng) -> Option<Vec<u8>> {
        if let Some(wire) = &mut self.lossy {
            let bytes = wire.pull(Instant::from_micros(now));
            return (!bytes.is_empty()).then_some(bytes);
        }
        let (at, bytes) = self.queue.front_mut()?;
        if *at > now || now < self.stalled_until {
            return None;
        }
        let piece = if rng.one_in(4) && bytes.len() > 1 {
            let cut = 1 + rng.below(bytes.len() - 1);
            let rest = bytes.split_off(cut);
            core::mem::replace(bytes, rest)
        } else {
            self.queue.pop_front()?.1
        };
        self.under_way -= piece.len();
        Some(piece)
    }

    /// Whether the end of the stream has arrived.
    pub(super) fn is_at_end(&self, now: u64) -> bool {
        self.closed && self.queue.is_empty() && now >= self.stalled_until
    }

    /// It breaks: some of what is under way may still arrive, cut at any byte.
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
        self.under_way = self.queue.iter().map(|(_, bytes)| bytes.len()).sum();
    }

    pub(super) fn heal(&mut self) {
        if let Some(wire) = &mut self.lossy {
            wire.heal();
        }
    }
}
