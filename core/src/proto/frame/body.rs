//! Bodies: the bytes of messages, and what stands before them.

use super::{Handle, KIND_DATA, KIND_FIRST, KIND_MORE};
use crate::proto::varint;

/// Which part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "these are all the parts a message can have")]
pub enum Part {
    /// All of it.
    Whole,
    /// Its beginning, and its whole length in bytes.
    First(u32),
    /// More of it.
    More,
}

/// The first bytes of a data record: the length for the framing, then the frame's head.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// One more than the longest, which is 15: copies of 16 bytes are one move.
    bytes: [u8; Self::MAX_LEN + 1],
    len: u8,
    frame_at: u8,
}

impl Head {
    /// The longest head in bytes.
    pub const MAX_LEN: usize = 3 * varint::MAX_LEN;

    /// For a data frame with `payload` bytes; `trailer` is what the framing adds after it.
    ///
    /// In line wherever a host uses it, so that it stays in registers.
    #[cfg_attr(feature = "std", inline(always))]
    pub(crate) fn new(handle: Handle, part: Part, payload: usize, trailer: usize) -> Self {
        let (kind, total) = match part {
            Part::Whole => (KIND_DATA, None),
            Part::First(len) => (KIND_FIRST, Some(len)),
            Part::More => (KIND_MORE, None),
        };
        let head = handle.0 << 3 | kind;
        let more = total.map_or(0, varint::len);
        let length = (varint::len(head) + more + payload + trailer) as u32;
        #[cfg(feature = "std")]
        return Self::packed(length, head, total);
        #[cfg(not(feature = "std"))]
        Self::put(length, head, total)
    }

    /// Put together in a register, for a host: what is stored byte by byte and read as words at once holds
    /// its processor up.
    #[cfg(feature = "std")]
    #[inline(always)]
    fn packed(length: u32, head: u32, total: Option<u32>) -> Self {
        let (mut word, frame_at) = {
            let (packed, len) = varint::pack(length);
            (u128::from(packed), len)
        };
        let mut len = frame_at;
        for number in core::iter::once(head).chain(total) {
            let (packed, n) = varint::pack(number);
            word |= u128::from(packed) << (8 * len);
            len += n;
        }
        Self { bytes: word.to_le_bytes(), len: len as u8, frame_at: frame_at as u8 }
    }

    /// The same byte by byte, for a board, where that is a fifth of the code.
    #[cfg(any(test, not(feature = "std")))]
    fn put(length: u32, head: u32, total: Option<u32>) -> Self {
        let mut bytes = [0; Self::MAX_LEN + 1];
        let frame_at = varint::put(&mut bytes, 0, length);
        let mut len = varint::put(&mut bytes, frame_at, head);
        if let Some(total) = total {
            len = varint::put(&mut bytes, len, total);
        }
        Self { bytes, len: len as u8, frame_at: frame_at as u8 }
    }

    /// All of it: what comes before the payload.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }

    /// Appends all of it.
    #[cfg(feature = "std")]
    #[inline(always)]
    pub(crate) fn append_to(&self, out: &mut alloc::vec::Vec<u8>) {
        let end = out.len() + self.len as usize;
        // A copy of constant length is one move, where another one is a call.
        out.extend_from_slice(&self.bytes);
        out.truncate(end);
    }

    /// The frame's head without its length, lowest byte first, and how many bytes that is. Of a whole message.
    #[cfg(feature = "std")]
    pub(crate) fn of_frame(&self) -> (u64, u32) {
        let frame = self.frame();
        let word = frame.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        (word, frame.len() as u32)
    }

    /// The part that belongs to the frame, as the checksum sees it.
    pub fn frame(&self) -> &[u8] {
        &self.bytes[self.frame_at as usize..self.len as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_and_a_host_write_the_same_head() {
        for number in [0, 1, 0x7f, 0x80, 0x4000, 0x20_0000, 0x1000_0000, u32::MAX] {
            for total in [None, Some(number), Some(!number)] {
                let (host, board) = (Head::packed(number, !number, total), Head::put(number, !number, total));
                assert_eq!((host.as_slice(), host.frame()), (board.as_slice(), board.frame()));
            }
        }
    }
}
