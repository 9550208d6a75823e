//! The bytes of a packet, before COBS: `control, sequence * 16 + acknowledgement, body, crc`.

use crate::proto::crc::{crc32c, crc32c_append};

/// What stands before the body.
pub(super) const HEAD_LEN: usize = 2;
/// The checksum behind it.
pub(super) const CRC_LEN: usize = 4;
/// A packet without its body, in bytes.
pub(super) const EMPTY_LEN: usize = HEAD_LEN + CRC_LEN;
/// The sequence is counted modulo this.
pub(super) const SEQUENCES: u8 = 16;
/// Seed of a hello's checksum: it belongs to no session.
pub(super) const HELLO_SEED: u32 = 0x6e63_686e;

/// Marks the first byte, which is thus no ASCII, no 0 and no 0xff: text, a BREAK and a
/// floating line are never taken for a packet. The bits beside the kind are for later.
const MARK: u8 = 0x80;

/// What a packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// The next in the sequence.
    Data = 0,
    /// Only acknowledges.
    Ack = 1,
    /// Acknowledges, and wants everything from there once more.
    Nak = 2,
    /// A hello, outside of any session.
    Hello = 3,
}

/// The head of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) sequence: u8,
    /// The next one that the sender of this packet expects.
    pub(super) ack: u8,
}

impl Head {
    pub(super) const fn bytes(self) -> [u8; HEAD_LEN] {
        [MARK | (self.kind as u8) << 4, self.sequence << 4 | self.ack]
    }

    pub(super) const fn parse(bytes: [u8; HEAD_LEN]) -> Option<Self> {
        if bytes[0] & 0xcf != MARK {
            return None;
        }
        let kind = match bytes[0] >> 4 & 3 {
            0 => Kind::Data,
            1 => Kind::Ack,
            2 => Kind::Nak,
            _ => Kind::Hello,
        };
        Some(Self { kind, sequence: bytes[1] >> 4, ack: bytes[1] & 0xf })
    }
}

/// A packet in its three pieces, so that a body need not be copied to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) head: [u8; HEAD_LEN],
    pub(super) body: &'a [u8],
    pub(super) crc: [u8; CRC_LEN],
}

impl Parts<'_> {
    pub(super) const fn len(&self) -> usize {
        EMPTY_LEN + self.body.len()
    }

    pub(super) fn get(&self, at: usize) -> u8 {
        let body_end = HEAD_LEN + self.body.len();
        if at < HEAD_LEN {
            self.head[at]
        } else if at < body_end {
            self.body[at - HEAD_LEN]
        } else {
            self.crc[at - body_end]
        }
    }
}

/// The checksum that stands behind a head and a body.
pub(super) fn sum(seed: u32, head: [u8; HEAD_LEN], body: &[u8]) -> [u8; CRC_LEN] {
    (!crc32c_append(crc32c_append(!seed, &head), body)).to_le_bytes()
}

/// The head of a packet, which has at least that and a checksum, if it is whole. `seed` of
/// the kind tells which checksum it must have; no seed, no packet.
pub(super) fn check(packet: &[u8], seed: impl FnOnce(Kind) -> Option<u32>) -> Option<Head> {
    let (covered, sum) = packet.split_last_chunk::<CRC_LEN>()?;
    let head = Head::parse(*covered.first_chunk()?)?;
    let only_head = covered.len() == HEAD_LEN;
    if only_head != matches!(head.kind, Kind::Ack | Kind::Nak) {
        return None;
    }
    (crc32c(seed(head.kind)?, covered).to_le_bytes() == *sum).then_some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_has_one_form_and_is_never_text_or_an_idle_line() {
        let mut heads = 0;
        for first in 0..=255 {
            for second in 0..=255 {
                if let Some(head) = Head::parse([first, second]) {
                    assert_eq!(head.bytes(), [first, second]);
                    assert!(!first.is_ascii() && first != 0xff);
                    heads += 1;
                }
            }
        }
        assert_eq!(heads, 4 * 256);
    }

    #[test]
    fn an_empty_packet_has_no_checksum_that_fits() {
        // What a CRC-32 says of nothing, with and without a head.
        for packet in [&[0, 0, 0, 0][..], &[0x80, 0, 0, 0, 0], &[]] {
            assert_eq!(check(packet, |_| Some(u32::MAX)), None);
        }
        let head = Head { kind: Kind::Data, sequence: 1, ack: 2 }.bytes();
        let sum = sum(5, head, &[]);
        assert_eq!(check(&[head[0], head[1], sum[0], sum[1], sum[2], sum[3]], |_| Some(5)), None, "no body");
    }
}
