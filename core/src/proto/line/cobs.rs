//! COBS: no byte of a packet is 0, so a 0 always ends one, whatever came before.
//!
//! Both directions go byte by byte: the decoder needs no buffer but the packet's own, the
//! encoder none at all, so a board's UART may take as few bytes at a time as it likes.

use super::packet::Parts;

/// Longest run of bytes behind one code.
const RUN_MAX: usize = 254;

/// What a byte completes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fed {
    /// Nothing yet.
    More,
    /// A packet of so many bytes.
    Packet(usize),
    /// A delimiter behind another.
    Nothing,
    /// A packet that was cut, or bytes that were none.
    Broken,
    /// More bytes than the buffer holds; they were skipped.
    Oversize,
}

/// Bytes to packets.
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub(super) struct Decoder {
    len: u16,
    /// Bytes left of the run.
    run: u8,
    /// The last code stood for a 0, unless it was the last of all.
    zero: bool,
    full: bool,
}

impl Decoder {
    /// Between two packets.
    pub(super) const NEW: Self = Self { len: 0, run: 0, zero: false, full: false };

    /// Takes one byte; `out` holds the packet that is coming in.
    pub(super) fn feed(&mut self, byte: u8, out: &mut [u8]) -> Fed {
        if byte == 0 {
            let it = core::mem::replace(self, Self::NEW);
            return match it {
                Self { full: true, .. } => Fed::Oversize,
                Self { run: 0, zero: false, len: 0, .. } => Fed::Nothing,
                Self { run: 0, .. } => Fed::Packet(usize::from(it.len)),
                _ => Fed::Broken,
            };
        }
        if self.run > 0 {
            self.run -= 1;
            self.push(byte, out);
        } else {
            if self.zero {
                self.push(0, out);
            }
            self.zero = byte != 0xff;
            self.run = byte - 1;
        }
        Fed::More
    }

    fn push(&mut self, byte: u8, out: &mut [u8]) {
        match out.get_mut(usize::from(self.len)) {
            Some(slot) if self.len < u16::MAX => {
                *slot = byte;
                self.len += 1;
            }
            _ => self.full = true,
        }
    }
}

/// A packet to bytes.
#[derive(Debug, Clone, Default)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub(super) struct Encoder {
    at: u16,
    run: u8,
    /// The byte behind the run is a 0, which the code has said already.
    zero: bool,
    last: bool,
    done: bool,
}

impl Encoder {
    /// Writes the next bytes into `out`, and the delimiter behind the last: how many.
    pub(super) fn fill(&mut self, parts: &Parts<'_>, out: &mut [u8]) -> usize {
        let mut n = 0;
        while n < out.len() && !self.done {
            out[n] = self.next(parts);
            n += 1;
        }
        n
    }

    /// Writes only the delimiter yet: nobody wants the rest.
    pub(super) const fn cut(&mut self) {
        self.run = 0;
        self.last = true;
    }

    /// Whether the delimiter has been written.
    pub(super) const fn is_done(&self) -> bool {
        self.done
    }

    fn next(&mut self, parts: &Parts<'_>) -> u8 {
        if self.run > 0 {
            let byte = parts.get(usize::from(self.at));
            self.run -= 1;
            self.at += 1;
            return byte;
        }
        if self.last {
            self.done = true;
            return 0;
        }
        let (from, len) = (usize::from(self.at) + usize::from(self.zero), parts.len());
        let mut end = from;
        while end < len && end - from < RUN_MAX && parts.get(end) != 0 {
            end += 1;
        }
        self.at = from as u16;
        self.run = (end - from) as u8;
        self.zero = end - from < RUN_MAX;
        self.last = end == len;
        self.run + 1
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;

    fn encode(body: &[u8]) -> Vec<u8> {
        let parts = Parts { head: [0x80, 0x01], body, crc: [0, 1, 2, 0] };
        let mut encoder = Encoder::default();
        let mut bytes = Vec::new();
        // One byte at a time: the slowest of drivers.
        while !encoder.is_done() {
            let mut byte = [0];
            assert_eq!(encoder.fill(&parts, &mut byte), 1);
            bytes.push(byte[0]);
        }
        bytes
    }

    #[test]
    fn what_is_encoded_decodes_and_has_no_zero_but_the_last() {
        let patterns: [fn(usize) -> u8; 4] =
            [|_| 0, |_| 1, |i| (i % 255) as u8 + 1, |i| if i % 100 == 99 { 0 } else { i as u8 | 1 }];
        for len in (0..20).chain(240..270).chain(500..520) {
            for pattern in patterns {
                let body: Vec<u8> = (0..len).map(pattern).collect();
                let bytes = encode(&body);
                assert_eq!(bytes.iter().position(|&byte| byte == 0), Some(bytes.len() - 1));
                assert!(
                    bytes.len() <= len + 6 + 2 + (len + 6) / RUN_MAX,
                    "{len} bytes become {}",
                    bytes.len()
                );
                let (mut out, mut decoder) = (vec![0; len + 6], Decoder::NEW);
                for &byte in &bytes[..bytes.len() - 1] {
                    assert_eq!(decoder.feed(byte, &mut out), Fed::More);
                }
                assert_eq!(decoder.feed(0, &mut out), Fed::Packet(len + 6));
                assert_eq!(
                    (&out[..2], &out[2..len + 2], &out[len + 2..]),
                    (&[0x80, 1][..], &body[..], &[0, 1, 2, 0][..])
                );
            }
        }
    }

    #[test]
    fn what_is_too_long_is_skipped_up_to_its_delimiter() {
        let (mut out, mut decoder) = ([0; 8], Decoder::NEW);
        for _ in 0..100_000 {
            assert_eq!(decoder.feed(0xff, &mut out), Fed::More);
        }
        assert_eq!(decoder.feed(0, &mut out), Fed::Oversize);
        assert_eq!(decoder.feed(0, &mut out), Fed::Nothing);
        assert_eq!(
            [2, 7, 0].map(|byte| decoder.feed(byte, &mut out)),
            [Fed::More, Fed::More, Fed::Packet(1)]
        );
        assert_eq!([3, 7, 0].map(|byte| decoder.feed(byte, &mut out)), [Fed::More, Fed::More, Fed::Broken]);
    }
}
