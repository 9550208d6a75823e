//! The sending half of a session: go-back-N over a ring of packets.
//!
//! ```text
//! first          sent       high    queued        all counted from `first`, in packets
//!   | acknowledged? | again? | new   | open: takes records
//! ```

use super::packet::{ahead, behind};
use super::rtt::Rtt;
use super::{LineConfig, WINDOW_MAX};
use crate::proto::{Fault, Instant};

/// So often the oldest packet is sent again without any answer.
const TRIES_MAX: u8 = 8;
/// Waits do not double beyond this, or four times the shortest wait of a slow line.
const WAIT_MAX_US: u32 = 1_000_000;

/// A packet that is to be sent now.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub(super) struct Pick {
    pub(super) slot: u8,
    pub(super) sequence: u32,
    pub(super) len: u16,
    again: bool,
}

/// Keeps what has not been acknowledged: accounts here, bytes with the caller.
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub(super) struct Sender {
    /// Longest body that both sides take.
    packet: u16,
    window: u8,
    give_up_ms: u32,
    wait_min_us: u32,
    /// Number of the first packet, and its slot.
    sequence: u32,
    first: u8,
    sent: u8,
    high: u8,
    queued: u8,
    open: u16,
    lens: [u16; WINDOW_MAX as usize],

    /// After a timeout only the first packet is sent, until something is heard of it.
    probing: bool,
    tries: u8,
    timer: Instant,
    /// When the oldest packet was sent first, or the one before it acknowledged.
    progress: Instant,
    /// The packet whose round trip is measured, counted from `first`.
    timed: Option<u8>,
    timed_at: Instant,
    rtt: Rtt,
}

impl Sender {
    pub(super) const fn new(config: &LineConfig, packet: u16) -> Self {
        Self {
            packet,
            window: match config.window {
                0 => 1,
                WINDOW_MAX.. => WINDOW_MAX,
                window => window,
            },
            give_up_ms: config.dead_ms,
            wait_min_us: config.wait_us,
            sequence: 0,
            first: 0,
            sent: 0,
            high: 0,
            queued: 0,
            open: 0,
            lens: [0; WINDOW_MAX as usize],
            probing: false,
            tries: 0,
            timer: Instant::NEVER,
            progress: Instant::ZERO,
            timed: None,
            timed_at: Instant::ZERO,
            rtt: Rtt::NEW,
        }
    }

    /// Length of the longest record that [`Sender::begin`] would take. `busy` is the slot
    /// whose bytes are just being written: it is not filled anew, even if it is acknowledged.
    pub(super) fn room(&self, busy: Option<u8>) -> usize {
        if self.can_open(self.queued + 1, busy) || self.open == 0 && self.can_open(self.queued, busy) {
            usize::from(self.packet)
        } else if self.can_open(self.queued, busy) {
            usize::from(self.packet - self.open)
        } else {
            0
        }
    }

    /// Finds a packet with room for a record: whether there is one.
    pub(super) fn begin(&mut self, len: usize, busy: Option<u8>) -> bool {
        if self.can_open(self.queued, busy) && usize::from(self.open) + len <= usize::from(self.packet) {
            return true;
        }
        let next = self.open > 0 && self.can_open(self.queued + 1, busy) && len <= usize::from(self.packet);
        if next {
            self.close();
        }
        next
    }

    /// Puts bytes of a record into the packet that [`Sender::begin`] has found.
    pub(super) fn put(&mut self, bytes: &[u8], tx: &mut [u8], stride: usize) {
        let from = usize::from(self.slot(self.queued)) * stride + usize::from(self.open);
        if let Some(room) = tx.get_mut(from..from + bytes.len()) {
            room.copy_from_slice(bytes);
            self.open += bytes.len() as u16;
        }
    }

    /// The packet that is to be sent now, if there is one.
    pub(super) fn pick(&mut self, now: Instant) -> Option<Pick> {
        if self.probing && self.sent > 0 {
            return None;
        }
        if self.sent == self.queued {
            if self.open == 0 {
                return None;
            }
            self.close();
        }
        if self.high == 0 {
            self.progress = now;
        }
        let (offset, slot) = (self.sent, self.slot(self.sent));
        self.sent += 1;
        let again = self.sent <= self.high;
        self.high = self.high.max(self.sent);
        self.timer = Instant::NEVER;
        let sequence = self.sequence.wrapping_add(u32::from(offset));
        Some(Pick { slot, sequence, len: self.lens[usize::from(slot)], again })
    }

    /// The packet has been written to its end: whether it was one of those sent before.
    pub(super) fn written(&mut self, pick: Pick, now: Instant) -> bool {
        if !pick.again && self.timed.is_none() && self.sent == self.high && self.high > 0 {
            self.timed = Some(self.high - 1);
            self.timed_at = now;
        }
        if self.high > 0 {
            self.timer = now.plus_micros(self.wait_us());
        }
        pick.again
    }

    /// Which packet the peer expects whose number ends in these four bits; `None` if it has
    /// not been sent. An acknowledgement never falls back, for the line keeps the order.
    pub(super) fn number(&self, bits: u8) -> Option<u32> {
        let ahead = ahead(bits, self.sequence);
        (ahead <= u32::from(self.high)).then(|| self.sequence.wrapping_add(ahead))
    }

    /// Which packet of ours it is, sent lately, whose number ends in these four bits.
    pub(super) fn sent_number(&self, bits: u8) -> u32 {
        let end = self.sequence.wrapping_add(u32::from(self.high)).wrapping_sub(1);
        end.wrapping_sub(behind(bits, end))
    }

    /// The peer expects this packet next: all before have come.
    pub(super) fn on_ack(&mut self, ack: u32, now: Instant) {
        let n = ack.wrapping_sub(self.sequence).min(u32::from(self.high)) as u8;
        if n == 0 {
            return;
        }
        // Only what was sent once tells how long its answer took.
        if let Some(timed) = self.timed {
            if timed < n {
                self.rtt.sample(now.micros_since(self.timed_at));
            }
            self.timed = timed.checked_sub(n);
        }
        self.first = self.slot(n);
        self.sequence = ack;
        self.high -= n;
        self.queued -= n;
        self.sent = self.sent.saturating_sub(n);
        self.probing = false;
        self.tries = 0;
        self.progress = now;
        self.timer = if self.high > 0 { now.plus_micros(self.wait_us()) } else { Instant::NEVER };
    }

    /// The peer misses what it expects: everything from there is sent again, unless that has
    /// just begun. Whether it is.
    pub(super) fn on_nak(&mut self, ack: u32, busy: Option<u8>, now: Instant) -> bool {
        self.on_ack(ack, now);
        let back = self.high > 0 && (self.sent != 1 || busy != Some(self.first));
        if back {
            self.go_back();
            self.probing = false;
        }
        back
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Instant, writing: bool) -> Result<(), Fault> {
        if self.high > 0 && self.give_up_at() <= now {
            return Err(Fault::Unacknowledged);
        }
        if self.timer <= now && !writing {
            self.tries += 1;
            if self.tries > TRIES_MAX {
                return Err(Fault::Unacknowledged);
            }
            self.go_back();
            self.probing = true;
        }
        Ok(())
    }

    pub(super) fn deadline(&self) -> Instant {
        if self.high == 0 { Instant::NEVER } else { self.timer.min(self.give_up_at()) }
    }

    /// Whether everything has been acknowledged.
    pub(super) const fn is_idle(&self) -> bool {
        self.queued == 0 && self.open == 0
    }

    /// Whether [`Sender::pick`] has something.
    pub(super) const fn has_packet(&self) -> bool {
        let more = self.sent < self.queued || self.open > 0;
        more && !(self.probing && self.sent > 0)
    }

    fn go_back(&mut self) {
        self.sent = 0;
        self.timed = None;
        self.timer = Instant::NEVER;
    }

    fn close(&mut self) {
        self.lens[usize::from(self.slot(self.queued))] = core::mem::take(&mut self.open);
        self.queued += 1;
    }

    fn can_open(&self, offset: u8, busy: Option<u8>) -> bool {
        offset < self.window && busy != Some(self.slot(offset))
    }

    fn slot(&self, offset: u8) -> u8 {
        (self.first + offset) % self.window
    }

    fn give_up_at(&self) -> Instant {
        self.progress.plus_millis(self.give_up_ms)
    }

    /// How long to wait for an acknowledgement.
    fn wait_us(&self) -> u32 {
        // Nothing known yet: the line may have latency of its own.
        let least = self.wait_min_us;
        let wait = self.rtt.timeout().unwrap_or_else(|| least.saturating_add(100_000)).max(least);
        let most = WAIT_MAX_US.max(least.saturating_mul(4));
        wait.saturating_mul(1 << self.tries.min(8)).min(most)
    }
}
