//! COBS: no byte of a packet is 0, so a 0 always ends one, whatever came before.
//!
//! Both directions need no buffer but the packet's own, and go on where they were, so a board's UART may take as
//! few bytes at a time as it likes. What they know they keep in registers over as many bytes as there are.

use crate::proto::put::put;

/// Longest run of bytes behind one code.
const RUN_MAX: usize = 254;

/// What bytes complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fed {
    /// Nothing yet: all of them are taken.
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
    /// Bytes of the packet; one more than there is room for if they are too many.
    len: u16,
    /// Bytes left of the run.
    run: u8,
    /// The last code stood for a 0, unless it was the last of all.
    zero: bool,
}

impl Decoder {
    /// Between two packets.
    pub(super) const NEW: Self = Self { len: 0, run: 0, zero: false };

    /// Takes bytes up to a delimiter; `out` holds the packet that is coming in.
    pub(super) fn feed(&mut self, input: &mut &[u8], out: &mut [u8]) -> Fed {
        let (mut len, mut run, mut zero) = (usize::from(self.len), u32::from(self.run), self.zero);
        let mut bytes = input.iter();
        let mut fed = Fed::More;
        for &first in bytes.by_ref() {
            let mut byte = first;
            if byte == 0 {
                fed = if len > out.len() {
                    Fed::Oversize
                } else if run > 0 {
                    Fed::Broken
                } else if zero || len > 0 {
                    Fed::Packet(len)
                } else {
                    Fed::Nothing
                };
                (len, zero, run) = (0, false, 0);
                break;
            }
            if run == 0 {
                // A code, and the 0 that the one before stood for.
                run = u32::from(byte);
                let is_first = !core::mem::replace(&mut zero, byte != 0xff);
                byte = 0;
                if is_first {
                    run -= 1;
                    continue;
                }
            }
            run -= 1;
            if let Some(place) = out.get_mut(len) {
                *place = byte;
            }
            len += 1;
        }
        *input = bytes.as_slice();
        (self.len, self.run, self.zero) = (len.min(out.len() + 1) as u16, run as u8, zero);
        fed
    }
}

/// A packet to bytes.
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
#[repr(C)]
pub(super) struct Encoder {
    is_on: bool,
    /// The byte behind the run is a 0, which the code has said already, or the end.
    zero: bool,
    /// The next byte of the packet, the end of its run, and that of the packet.
    at: u16,
    stop: u16,
    end: u16,
}

impl Encoder {
    /// Nothing is left.
    pub(super) const DONE: Self = Self { is_on: false, zero: false, at: 0, stop: 0, end: 0 };

    /// For the packet that stands there.
    pub(super) const fn new(at: u16, end: u16) -> Self {
        Self { is_on: true, zero: false, at, stop: at, end }
    }

    /// Writes only the delimiter yet: nobody wants the rest.
    pub(super) const fn cut(&mut self) {
        (self.at, self.stop) = (self.end, self.end);
        self.zero = true;
    }

    /// Whether the delimiter has been written.
    pub(super) const fn is_done(&self) -> bool {
        !self.is_on
    }

    /// Writes as many bytes as there are, the delimiter behind the last, or as fit: how many. It is not done before.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn fill(&mut self, bytes: &[u8], out: &mut [u8]) -> usize {
        let (len, mut room) = (out.len(), out);
        loop {
            let at = usize::from(self.at);
            let n = usize::from(self.stop - self.at).min(room.len());
            put(&mut room, bytes.get(at..at + n).unwrap_or_default());
            self.at += n as u16;
            let Some((code, rest)) = core::mem::take(&mut room).split_first_mut() else { return len };
            room = rest;
            let at = usize::from(self.at) + usize::from(self.zero);
            let Some(left) = bytes.get(at..self.end.into()) else {
                self.is_on = false;
                *code = 0;
                return len - room.len();
            };
            let run = left.iter().take(RUN_MAX).take_while(|byte| **byte != 0).count();
            (self.at, self.stop) = (at as u16, (at + run) as u16);
            self.zero = run < RUN_MAX || run == left.len();
            *code = run as u8 + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;

    fn encode(body: &[u8]) -> Vec<u8> {
        let packet = [&[0x80, 0x01], body, &[0, 1, 2, 0]].concat();
        let whole = drained(&packet, usize::MAX);
        for step in [1, 2, 7] {
            assert_eq!(drained(&packet, step), whole);
        }
        whole
    }

    /// What is written into rooms of so many bytes.
    fn drained(packet: &[u8], step: usize) -> Vec<u8> {
        let mut encoder = Encoder::new(0, packet.len() as u16);
        let mut bytes = Vec::new();
        let mut room = vec![0; step.min(2 * packet.len() + 2)];
        while !encoder.is_done() {
            let n = encoder.fill(packet, &mut room);
            assert!(n == room.len() || encoder.is_done());
            bytes.extend(&room[..n]);
        }
        bytes
    }

    /// What all of it completes.
    fn feed(decoder: &mut Decoder, bytes: &[u8], out: &mut [u8]) -> Vec<Fed> {
        let (mut input, mut all) = (bytes, Vec::new());
        while !input.is_empty() {
            all.push(decoder.feed(&mut input, out));
        }
        all
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
                for step in [1, 3, bytes.len()] {
                    let (mut out, mut decoder) = (vec![0; len + 6], Decoder::NEW);
                    let fed: Vec<Fed> =
                        bytes.chunks(step).flat_map(|part| feed(&mut decoder, part, &mut out)).collect();
                    let (last, before) = fed.split_last().expect("a packet is not empty");
                    assert!(before.iter().all(|fed| *fed == Fed::More));
                    assert_eq!(*last, Fed::Packet(len + 6));
                    assert_eq!(
                        (&out[..2], &out[2..len + 2], &out[len + 2..]),
                        (&[0x80, 1][..], &body[..], &[0, 1, 2, 0][..])
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_too_long_is_skipped_up_to_its_delimiter() {
        let (mut out, mut decoder) = ([0; 8], Decoder::NEW);
        assert_eq!(feed(&mut decoder, &[0xff; 100_000], &mut out), [Fed::More]);
        assert_eq!(
            feed(&mut decoder, &[0, 0, 2, 7, 0, 3, 7, 0], &mut out),
            [Fed::Oversize, Fed::Nothing, Fed::Packet(1), Fed::Broken]
        );
    }
}
