//! What goes out: which packet is next, and its bytes.

use super::Line;
use super::cobs::Encoder;
use super::packet::{self, CRC_LEN, HEAD_LEN, HELLO_SEED, Head, Kind, Numbers, Parts};
use super::sender::Pick;
use crate::proto::Instant;

/// A delimiter of our own ends what noise has begun, after a pause of this many milliseconds.
const PAUSE_MS: u32 = 10;

const HELLO_HEAD: [u8; HEAD_LEN] = Head::new(Kind::Hello, Numbers { sequence: 0, ack: 0 }).bytes();

/// A packet that is being written.
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub(super) struct Writing {
    pub(super) what: What,
    head: [u8; HEAD_LEN],
    crc: [u8; CRC_LEN],
    /// Where its body is in `tx`.
    body: (u16, u16),
    /// The delimiter before it is still to come.
    lead: bool,
    pub(super) encoder: Encoder,
}

#[derive(Debug, Clone, Copy)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub(super) enum What {
    Data(Pick),
    Other,
}

impl Line {
    /// What is to be sent first: what the peer's sender waits for, then packets, which
    /// acknowledge as well, then an acknowledgement alone.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn pick(&mut self, tx: &[u8], now: Instant) -> Option<Writing> {
        let (what, kind, sequence, body) = if self.bring_up.is_due(now) {
            self.bring_up.sent(now);
            (What::Other, Kind::Hello, 0, (0, self.bring_up.len))
        } else if self.may_nak() && self.receiver.owes_nak() {
            self.receiver.naked();
            (What::Other, Kind::Nak, 0, (0, 0))
        } else if let Some(pick) = self.sender.pick(now) {
            let from = u16::from(pick.slot) * self.config.packet;
            (What::Data(pick), Kind::Data, pick.sequence, (from, from + pick.len))
        } else if self.is_up() && self.receiver.owes_ack(now) {
            (What::Other, Kind::Ack, 0, (0, 0))
        } else {
            return None;
        };
        let (seed, head) = match self.bring_up.seeds {
            Some(seeds) if kind != Kind::Hello => {
                self.receiver.acked();
                let numbers = Numbers { sequence, ack: self.receiver.next() };
                (numbers.seed(seeds.out), Head::new(kind, numbers).bytes())
            }
            _ => (HELLO_SEED, HELLO_HEAD),
        };
        let bytes = tx.get(usize::from(body.0)..usize::from(body.1)).unwrap_or_default();
        let crc = packet::sum(seed, head, bytes);
        let lead = self.last_out.is_none_or(|last| last.plus_millis(PAUSE_MS) < now);
        Some(Writing { what, head, crc, body, lead, encoder: Encoder::default() })
    }
}

impl Writing {
    pub(super) fn fill(&mut self, tx: &[u8], out: &mut [u8]) -> usize {
        let lead = usize::from(core::mem::take(&mut self.lead) && !out.is_empty());
        out[..lead].fill(0);
        let body = tx.get(usize::from(self.body.0)..usize::from(self.body.1)).unwrap_or_default();
        let parts = Parts { head: self.head, body, crc: self.crc };
        lead + self.encoder.fill(&parts, &mut out[lead..])
    }
}
