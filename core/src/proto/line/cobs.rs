//! COBS: no byte of a packet is 0, so a 0 always ends one, whatever came before.
//!
//! Both directions go byte by byte, in no buffer but the packet's own, so a board's UART may take as
//! few bytes at a time as it likes.

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
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
#[repr(C)]
pub(super) struct Encoder {
    run: u8,
    /// The byte behind the run is a 0, which the code has said already.
    zero: bool,
    last: bool,
    is_on: bool,
    /// The next byte of the packet, and the end of it.
    at: u16,
    end: u16,
}

impl Encoder {
    /// Nothing is left.
    pub(super) const DONE: Self = Self { run: 0, zero: false, last: false, is_on: false, at: 0, end: 0 };

    /// For the packet that stands there.
    pub(super) const fn new(at: u16, end: u16) -> Self {
        Self { run: 0, zero: false, last: false, is_on: true, at, end }
    }

    /// Writes only the delimiter yet: nobody wants the rest.
    pub(super) const fn cut(&mut self) {
        self.run = 0;
        self.last = true;
    }

    /// Whether the delimiter has been written.
    pub(super) const fn is_done(&self) -> bool {
        !self.is_on
    }

    /// The next byte, the delimiter behind the last.
    pub(super) fn next(&mut self, bytes: &[u8]) -> u8 {
        if self.run > 0 {
            let byte = bytes.get(usize::from(self.at));
            self.run -= 1;
            self.at += 1;
            return byte.copied().unwrap_or_default();
        }
        if self.last {
            self.is_on = false;
            return 0;
        }
        self.at += u16::from(self.zero);
        let left = bytes.get(usize::from(self.at)..usize::from(self.end)).unwrap_or_default();
        let run = left.iter().take(RUN_MAX).take_while(|byte| **byte != 0).count();
        self.run = run as u8;
        self.zero = run < RUN_MAX;
        self.last = run == left.len();
        self.run + 1
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;

    fn encode(body: &[u8]) -> Vec<u8> {
        let packet = [&[0x80, 0x01], body, &[0, 1, 2, 0]].concat();
        let mut encoder = Encoder::new(0, packet.len() as u16);
        let mut bytes = Vec::new();
        while !encoder.is_done() {
            bytes.push(encoder.next(&packet));
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
