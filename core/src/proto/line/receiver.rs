//! The receiving half of a session: what is next, and what is to be acknowledged.

use super::packet::ahead;
use crate::proto::Instant;

/// An acknowledgement waits this long for a packet to go along with, in milliseconds.
pub(super) const ACK_DELAY_MS: u32 = 5;

/// It needs no packet but the one that is coming in: what is not next is dropped.
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub(super) struct Receiver {
    next: u32,
    /// The gap before the next packet has been told: one NAK each.
    told: bool,
    nak: bool,
    unacked: u8,
    /// Acknowledge at once after so many.
    every: u8,
    ack_at: Instant,
}

impl Receiver {
    /// Expects the first packet of a peer that has up to `window` under way.
    pub(super) const fn new(window: u8) -> Self {
        let every = if window < 4 { 1 } else { window / 2 };
        Self { next: 0, told: false, nak: false, unacked: 0, every, ack_at: Instant::NEVER }
    }

    /// Number of the packet that is next, which acknowledges all before.
    pub(super) const fn next(&self) -> u32 {
        self.next
    }

    /// Which packet it is whose number ends in these four bits: one before or behind the next.
    pub(super) const fn number(&self, bits: u8) -> u32 {
        let ahead = ahead(bits, self.next);
        self.next.wrapping_add(ahead).wrapping_sub(if ahead < 8 { 0 } else { 16 })
    }

    /// A valid packet: whether it is the next one.
    pub(super) fn take(&mut self, sequence: u32, now: Instant) -> bool {
        let ahead = sequence.wrapping_sub(self.next);
        if ahead == 0 {
            self.next = self.next.wrapping_add(1);
            self.told = false;
            self.nak = false;
            self.unacked = self.unacked.saturating_add(1);
            if self.unacked >= self.every {
                self.ack_now();
            } else {
                self.ack_at = self.ack_at.min(now.plus_millis(ACK_DELAY_MS));
            }
            return true;
        }
        if ahead < 8 {
            self.miss();
        } else {
            // A copy: its sender has not heard that it came.
            self.ack_now();
        }
        false
    }

    /// A packet is missing, or came broken.
    pub(super) const fn miss(&mut self) {
        if !self.told {
            self.told = true;
            self.nak = true;
        }
    }

    pub(super) const fn ack_now(&mut self) {
        self.ack_at = Instant::ZERO;
    }

    pub(super) const fn owes_nak(&self) -> bool {
        self.nak
    }

    pub(super) fn owes_ack(&self, now: Instant) -> bool {
        self.ack_at <= now
    }

    /// An acknowledgement goes out, in whatever packet.
    pub(super) const fn acked(&mut self) {
        self.unacked = 0;
        self.ack_at = Instant::NEVER;
    }

    /// A NAK goes out.
    pub(super) const fn naked(&mut self) {
        self.nak = false;
        self.acked();
    }

    /// When an acknowledgement is due, or a NAK where one may be sent.
    pub(super) fn deadline(&self, may_nak: bool) -> Instant {
        if may_nak && self.nak { Instant::ZERO } else { self.ack_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_gap_has_one_nak() {
        let mut receiver = Receiver::new(7);
        assert!(receiver.take(0, Instant::ZERO));
        for sequence in [2, 3, 4, 5, 6, 7] {
            assert!(!receiver.take(sequence, Instant::ZERO));
            assert_eq!(receiver.owes_nak(), sequence == 2);
            if receiver.owes_nak() {
                receiver.naked();
            }
        }
        assert!(receiver.take(1, Instant::ZERO) && !receiver.owes_nak());
        assert!(!receiver.take(3, Instant::ZERO) && receiver.owes_nak(), "the next gap has its own");
    }

    #[test]
    fn a_copy_is_acknowledged_again_at_once() {
        let mut receiver = Receiver::new(7);
        assert!(receiver.take(0, Instant::from_millis(1)));
        assert!(!receiver.owes_ack(Instant::from_millis(1)), "it waits for company");
        assert!(receiver.owes_ack(Instant::from_millis(1 + u64::from(ACK_DELAY_MS))));
        receiver.acked();
        for copy in [0, 15, 9].map(|bits| receiver.number(bits)) {
            assert!(!receiver.take(copy, Instant::from_millis(1)) && !receiver.owes_nak());
            assert!(receiver.owes_ack(Instant::from_millis(1)));
            receiver.acked();
        }
    }
}
