//! The receiving half of a session: what is next, and what is to be acknowledged.

use super::packet::ahead;
use crate::proto::time::Stamp;

/// An acknowledgement waits this long for a packet to go along with, in milliseconds.
pub(super) const ACK_DELAY_MS: u32 = 5;

/// It needs no packet but the one that is coming in: what is not next is dropped. All of it is zero
/// before [`Receiver::restart`].
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
#[repr(C)]
pub(super) struct Receiver {
    /// The gap before the next packet has been told: one NAK each.
    is_told: bool,
    nak: bool,
    unacked: u8,
    /// Acknowledge at once after so many.
    every: u8,
    /// An acknowledgement is due, at once or then.
    ack_due: bool,
    next: u32,
    /// When packets are not acknowledged.
    ack_at: Stamp,
}

impl Receiver {
    pub(super) const ZERO: Self = Self {
        next: 0,
        is_told: false,
        nak: false,
        unacked: 0,
        every: 0,
        ack_due: false,
        ack_at: Stamp::ZERO,
    };

    /// The session begins: the first packet of a peer is expected that has up to `window` under way.
    pub(super) const fn restart(&mut self, window: u8) {
        self.is_told = false;
        self.nak = false;
        self.every = if window < 4 { 1 } else { window / 2 };
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
    pub(super) fn take(&mut self, sequence: u32, now: Stamp) -> bool {
        let ahead = sequence.wrapping_sub(self.next);
        if ahead == 0 {
            self.next = self.next.wrapping_add(1);
            self.is_told = false;
            self.nak = false;
            if self.unacked == 0 {
                self.ack_at = now.plus_millis(ACK_DELAY_MS);
            }
            self.unacked = self.unacked.saturating_add(1);
            self.ack_due |= self.unacked >= self.every;
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
        if !self.is_told {
            self.is_told = true;
            self.nak = true;
        }
    }

    pub(super) const fn ack_now(&mut self) {
        self.ack_due = true;
    }

    pub(super) const fn owes_nak(&self) -> bool {
        self.nak
    }

    pub(super) fn owes_ack(&self, now: Stamp) -> bool {
        self.ack_due || self.unacked > 0 && self.ack_at.is_over(now)
    }

    /// An acknowledgement goes out, in whatever packet; it may be a NAK.
    pub(super) const fn told(&mut self, nak: bool) {
        self.unacked = 0;
        self.ack_due = false;
        self.nak &= !nak;
    }

    /// When an acknowledgement is due.
    pub(super) fn deadline(&self, now: Stamp) -> Option<Stamp> {
        if self.ack_due { Some(now) } else { (self.unacked > 0).then_some(self.ack_at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Stamp = Stamp::ZERO.plus_millis(1);

    fn receiver() -> Receiver {
        let mut receiver = Receiver::ZERO;
        receiver.restart(7);
        receiver
    }

    #[test]
    fn one_gap_has_one_nak() {
        let mut receiver = receiver();
        assert!(receiver.take(0, Stamp::ZERO));
        for sequence in [2, 3, 4, 5, 6, 7] {
            assert!(!receiver.take(sequence, Stamp::ZERO));
            assert_eq!(receiver.owes_nak(), sequence == 2);
            if receiver.owes_nak() {
                receiver.told(true);
            }
        }
        assert!(receiver.take(1, Stamp::ZERO) && !receiver.owes_nak());
        assert!(!receiver.take(3, Stamp::ZERO) && receiver.owes_nak(), "the next gap has its own");
    }

    #[test]
    fn a_copy_is_acknowledged_again_at_once() {
        let mut receiver = receiver();
        assert!(receiver.take(0, AT));
        assert!(!receiver.owes_ack(AT), "it waits for company");
        assert!(receiver.owes_ack(AT.plus_millis(ACK_DELAY_MS)));
        receiver.told(false);
        for copy in [0, 15, 9].map(|bits| receiver.number(bits)) {
            assert!(!receiver.take(copy, AT) && !receiver.owes_nak());
            assert!(receiver.owes_ack(AT));
            receiver.told(false);
        }
    }
}
