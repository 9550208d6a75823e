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

    /// Length of the longest record that [`Sender::begin`] would take.
    pub(super) const fn room(&self) -> usize {
        if self.queued + 1 < self.window || self.queued < self.window && self.open == 0 {
            self.packet as usize
        } else if self.queued < self.window {
            (self.packet - self.open) as usize
        } else {
            0
        }
    }

    /// Finds a packet with room for a record: whether there is one. It may be one whose bytes
    /// are just being written once more although they have been acknowledged. They are spoilt
    /// then, which its checksum tells; nobody waits for them.
    pub(super) fn begin(&mut self, len: usize) -> bool {
        let fits = len <= self.room();
        if fits && usize::from(self.open) + len > usize::from(self.packet) {
            self.close();
        }
        fits
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(dead_ms: u32) -> Sender {
        let config = LineConfig { packet: 64, window: 4, wait_us: 50_000, dead_ms };
        let mut sender = Sender::new(&config, 64);
        let mut tx = [0; 256];
        for _ in 0..3 {
            assert!(sender.begin(40));
            sender.put(&[1; 40], &mut tx, 64);
        }
        sender
    }

    fn send(sender: &mut Sender, now: Instant) -> Option<Pick> {
        let pick = sender.pick(now)?;
        sender.written(pick, now);
        Some(pick)
    }

    #[test]
    fn what_is_never_acknowledged_is_sent_eight_times_again_one_packet_at_a_time() {
        let mut sender = sender(3_600_000);
        let mut now = Instant::from_millis(1);
        let first: u32 = core::iter::from_fn(|| send(&mut sender, now)).map(|pick| pick.sequence).sum();
        assert_eq!(first, 1 + 2);
        let mut again = 0;
        loop {
            now = sender.deadline();
            if sender.tick(now, false).is_err() {
                break;
            }
            let pick = send(&mut sender, now).expect("the oldest");
            assert_eq!((pick.sequence, pick.again), (0, true));
            assert!(send(&mut sender, now).is_none(), "until it is heard of");
            again += 1;
        }
        assert_eq!(again, 8);
    }

    #[test]
    fn without_progress_for_the_dead_time_the_line_is_lost_even_if_nothing_is_written() {
        let mut sender = sender(2000);
        let start = Instant::from_millis(1000);
        assert!(sender.pick(start).is_some(), "it never leaves");
        assert_eq!(sender.tick(Instant::from_millis(2999), true), Ok(()));
        assert_eq!(sender.deadline(), Instant::from_millis(3000));
        assert_eq!(sender.tick(sender.deadline(), true), Err(Fault::Unacknowledged));
    }

    #[test]
    fn waits_double_and_only_what_was_sent_once_tells_how_long_they_should_be() {
        let mut sender = sender(3_600_000);
        let start = Instant::from_millis(1);
        send(&mut sender, start);
        let unknown = sender.deadline().micros_since(start);
        assert_eq!(unknown, 150_000);
        sender.tick(sender.deadline(), false).unwrap();
        send(&mut sender, start);
        assert_eq!(sender.deadline().micros_since(start), 2 * unknown);
        // The answer to which of the two? It tells nothing.
        sender.on_ack(1, Instant::from_millis(2));
        assert_eq!(sender.rtt.timeout(), None);
        send(&mut sender, start);
        assert_eq!(sender.deadline().micros_since(start), unknown, "and the waits are short again");
        sender.on_ack(2, Instant::from_millis(41));
        assert_eq!(sender.rtt.timeout(), Some(120_000));
    }

    #[test]
    fn a_nak_sends_again_all_from_there_unless_that_has_just_begun() {
        let mut sender = sender(2000);
        let now = Instant::from_millis(1);
        while send(&mut sender, now).is_some() {}
        assert!(sender.on_nak(1, None, now));
        let pick = sender.pick(now).unwrap();
        assert_eq!((pick.sequence, pick.again), (1, true));
        assert!(!sender.on_nak(1, Some(pick.slot), now), "it is on its way");
        sender.written(pick, now);
        assert_eq!(send(&mut sender, now).unwrap().sequence, 2);
        assert!(send(&mut sender, now).is_none());
        assert_eq!(sender.number(1 + 3), None, "that was never sent");
        sender.on_ack(sender.number(3).unwrap(), now);
        assert!(sender.is_idle() && sender.deadline() == Instant::NEVER);
    }
}
