//! The bytes of a packet, before COBS: `control, sequence * 16 + acknowledgement, body, crc`.

use super::cobs;
use crate::proto::crc::crc32c;

/// What stands before the body.
pub(super) const HEAD_LEN: usize = 2;
/// The checksum behind it.
pub(super) const CRC_LEN: usize = 4;
/// A packet without its body, in bytes.
pub(super) const EMPTY_LEN: usize = HEAD_LEN + CRC_LEN;
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

/// The head of a packet: the lowest four bits of its two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    /// That of the packet in the upper half.
    numbers: u8,
}

/// The numbers of a packet, counted from the session's beginning. Both sides know them, so
/// four bits of each are sent and the rest is in the seed of the checksum: what the line
/// repeats after the four bits have gone round is refused, like anything of another session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    /// Of this packet; 0 where it has none.
    pub(super) sequence: u32,
    /// The next one that its sender expects.
    pub(super) ack: u32,
}

impl Numbers {
    /// The seed under that of the session and direction.
    pub(super) const fn seed(self, session: u32) -> u32 {
        session ^ (self.sequence >> 4 & 0xffff) ^ (self.ack >> 4) << 16
    }
}

/// Where in the count a number is of which only four bits are known, from `at` on.
pub(super) const fn ahead(bits: u8, at: u32) -> u32 {
    (bits as u32).wrapping_sub(at) & 0xf
}

impl Head {
    pub(super) const fn new(kind: Kind, numbers: Numbers) -> Self {
        Self { kind, numbers: (numbers.sequence as u8) << 4 | numbers.ack as u8 & 0xf }
    }

    pub(super) const fn sequence(self) -> u8 {
        self.numbers >> 4
    }

    pub(super) const fn ack(self) -> u8 {
        self.numbers & 0xf
    }

    pub(super) const fn bytes(self) -> [u8; HEAD_LEN] {
        [MARK | (self.kind as u8) << 4, self.numbers]
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
        Some(Self { kind, numbers: bytes[1] })
    }
}

/// Completes a packet, behind the place for its first code: its head goes before its body, and the checksum to the end. Then it
/// is encoded, if it is short; `again` if it has been before.
#[cfg_attr(not(feature = "std"), inline(never))]
pub(super) fn seal(seed: u32, head: Head, slot: &mut [u8], again: bool) {
    let is_short = cobs::is_short(slot.len());
    if again && is_short {
        cobs::decode(slot);
    }
    if let Some((covered, crc)) = slot.split_last_chunk_mut::<CRC_LEN>()
        && let Some((_, packet)) = covered.split_first_mut()
        && let Some(first) = packet.first_chunk_mut::<HEAD_LEN>()
    {
        *first = head.bytes();
        *crc = crc32c(seed, packet).to_le_bytes();
    }
    if is_short {
        cobs::encode(slot);
    }
}

/// The head of a packet, if it has the form of one.
pub(super) fn head(packet: &[u8]) -> Option<Head> {
    let (covered, _) = packet.split_last_chunk::<CRC_LEN>()?;
    let head = Head::parse(*covered.first_chunk()?)?;
    let empty = covered.len() == HEAD_LEN;
    (empty == matches!(head.kind, Kind::Ack | Kind::Nak)).then_some(head)
}

/// Whether the checksum of a packet fits.
pub(super) fn is_whole(packet: &[u8], seed: u32) -> bool {
    let parts = packet.split_last_chunk::<CRC_LEN>();
    parts.is_some_and(|(covered, sum)| crc32c(seed, covered).to_le_bytes() == *sum)
}

/// How far behind `at` a number is of which only four bits are known.
pub(super) const fn behind(bits: u8, at: u32) -> u32 {
    at.wrapping_sub(bits as u32) & 0xf
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::line::cobs::CODE_LEN;

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
            assert_eq!(head(packet), None);
        }
        let mut slot = [0; CODE_LEN + EMPTY_LEN];
        let head_of = Head::new(Kind::Data, Numbers { sequence: 1, ack: 2 });
        for again in [false, true] {
            seal(5, head_of, &mut slot, again);
            let mut sent = slot;
            assert_eq!(cobs::decode(&mut sent), sent.len());
            let packet = &sent[CODE_LEN..];
            assert!(is_whole(packet, 5) && head(packet).is_none(), "data without a body");
        }
    }

    #[test]
    fn what_comes_again_a_round_later_has_another_seed() {
        let seed = |sequence, ack| Numbers { sequence, ack }.seed(7);
        for n in [0, 5, 0xffff, 0xf_fff0] {
            assert_eq!(seed(n, 3), seed(n | 0xf, 3));
            assert_ne!(seed(n, 3), seed(n + 16, 3));
            assert_ne!(seed(3, n), seed(3, n + 16));
            assert_ne!(seed(n, n), seed(n + 16, n + 16));
        }
    }
}
