//! COBS: no byte of a packet is 0, so a 0 always ends one, whatever came before.
//!
//! Both directions need no buffer but the packet's own, and go on where they were, so a board's UART may take as
//! few bytes at a time as it likes. A packet is encoded and decoded where it stands, with a place for its first code before it: the
//! other codes take the places of its zeros. Only one with runs that are too long for that has more codes than zeros.

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

/// Bytes to packets: they gather as they come, and are decoded where they are when the last one is there.
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub(super) struct Decoder {
    /// Bytes that have come; one more than there is room for if they are too many.
    len: u16,
}

impl Decoder {
    /// Between two packets.
    pub(super) const NEW: Self = Self { len: 0 };

    /// Takes bytes up to a delimiter. A packet that they complete stands in `out` behind the place for a code.
    pub(super) fn feed(&mut self, input: &mut &[u8], out: &mut [u8]) -> Fed {
        let mut len = usize::from(self.len);
        let mut bytes = input.iter();
        let mut is_over = false;
        for &byte in bytes.by_ref() {
            if byte == 0 {
                is_over = true;
                break;
            }
            if let Some(place) = out.get_mut(len) {
                *place = byte;
            }
            len += 1;
        }
        *input = bytes.as_slice();
        if !is_over {
            self.len = len.min(out.len() + 1) as u16;
            return Fed::More;
        }
        self.len = 0;
        match out.get_mut(..len) {
            None => Fed::Oversize,
            Some([]) => Fed::Nothing,
            Some(bytes) => place(bytes).map_or(Fed::Broken, Fed::Packet),
        }
    }
}

/// Decodes what has come where it is: how long a packet stands behind the first byte, if it is one.
fn place(bytes: &mut [u8]) -> Option<usize> {
    #[cfg(feature = "std")]
    if !is_short(bytes.len()) {
        return compact(bytes);
    }
    (decode(bytes) == bytes.len()).then_some(bytes.len() - CODE_LEN)
}

/// The same of what may have codes that stand for no 0: what is behind them moves up.
#[cfg(feature = "std")]
fn compact(bytes: &mut [u8]) -> Option<usize> {
    let (mut from, mut to, mut code) = (0, CODE_LEN, usize::from(*bytes.first()?));
    loop {
        let end = from + code;
        if end > bytes.len() {
            return None;
        }
        bytes.copy_within(from + 1..end, to);
        to += code - 1;
        let Some(next) = bytes.get(end).copied() else { return Some(to - CODE_LEN) };
        if code <= RUN_MAX {
            bytes[to] = 0;
            to += 1;
        }
        (from, code) = (end, next.into());
    }
}

/// What stands before a packet that is encoded where it is: the place of its first code.
pub(super) const CODE_LEN: usize = 1;
/// The longest packet that is encoded where it is: each code in it stands for a 0, and none of them is the highest.
pub(super) const PLACE_MAX: usize = RUN_MAX - 1;

/// How long a packet of this length is at most when it is encoded, without its delimiter.
pub(super) const fn encoded_len(len: usize) -> usize {
    CODE_LEN + len + len / RUN_MAX
}

/// Whether a packet, with the place before it, is encoded where it is. On a board there are no others.
pub(super) const fn is_short(len: usize) -> bool {
    !cfg!(feature = "std") || len <= CODE_LEN + PLACE_MAX
}

/// Encodes a packet where it stands, with a place for the first code before it: each 0 becomes the code of the run
/// behind it.
#[cfg_attr(not(feature = "std"), inline(never))]
pub(super) fn encode(bytes: &mut [u8]) {
    if let Some(first) = bytes.first_mut() {
        *first = 0;
    }
    let mut code = 1;
    for byte in bytes.iter_mut().rev() {
        if *byte == 0 {
            *byte = code;
            code = 0;
        }
        code += 1;
    }
}

/// And back, where all codes stand for a 0: they become that again. Where the last run ends, which for a packet is its end.
#[cfg_attr(not(feature = "std"), inline(never))]
pub(super) fn decode(bytes: &mut [u8]) -> usize {
    let mut at = 0;
    while let Some(byte) = bytes.get_mut(at) {
        // None of them is 0, and nothing here goes on for ever if one is.
        at += usize::from(*byte).max(1);
        *byte = 0;
    }
    at
}

/// A packet to bytes. It is encoded already, or too long for that, which no board has.
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
#[repr(C)]
pub(super) struct Encoder {
    is_on: bool,
    #[cfg(feature = "std")]
    raw: Option<Raw>,
    /// The next byte of the packet, and how many are left.
    at: u16,
    left: u16,
}

/// Of a packet that is not encoded: its runs are looked for on the way.
#[cfg(feature = "std")]
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
struct Raw {
    /// Bytes left of the run, and 1 if there is a 0 behind it that its code says, or the end.
    run: u8,
    zero: u8,
}

impl Encoder {
    /// Nothing is left.
    pub(super) const DONE: Self = Self {
        is_on: false,
        #[cfg(feature = "std")]
        raw: None,
        at: 0,
        left: 0,
    };

    /// For what stands there, so long: the place for a code, and the packet.
    pub(super) const fn new(at: u16, len: u16) -> Self {
        #[cfg(feature = "std")]
        if !is_short(len as usize) {
            const SKIP: u16 = CODE_LEN as u16;
            return Self { is_on: true, raw: Some(Raw { run: 0, zero: 0 }), at: at + SKIP, left: len - SKIP };
        }
        Self {
            is_on: true,
            #[cfg(feature = "std")]
            raw: None,
            at,
            left: len,
        }
    }

    /// Writes only the delimiter yet: nobody wants the rest.
    pub(super) const fn cut(&mut self) {
        self.left = 0;
        #[cfg(feature = "std")]
        if let Some(raw) = &mut self.raw {
            *raw = Raw { run: 0, zero: 1 };
        }
    }

    /// Whether the delimiter has been written.
    pub(super) const fn is_done(&self) -> bool {
        !self.is_on
    }

    /// Writes as many bytes as there are, the delimiter behind the last, or as fit: how many. It is not done before.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn fill(&mut self, bytes: &[u8], out: &mut [u8]) -> usize {
        #[cfg(feature = "std")]
        if let Some(raw) = &mut self.raw {
            return raw.fill((&mut self.is_on, &mut self.at, &mut self.left), bytes, out);
        }
        let (at, n) = (usize::from(self.at), usize::from(self.left).min(out.len()));
        let mut room = out;
        put(&mut room, bytes.get(at..at + n).unwrap_or_default());
        self.at += n as u16;
        self.left -= n as u16;
        let Some(place) = room.first_mut() else { return n };
        *place = 0;
        self.is_on = false;
        n + 1
    }
}

#[cfg(feature = "std")]
impl Raw {
    fn fill(
        &mut self,
        (is_on, at, left): (&mut bool, &mut u16, &mut u16),
        bytes: &[u8],
        out: &mut [u8],
    ) -> usize {
        let mut n = 0;
        while let Some(place) = out.get_mut(n) {
            n += 1;
            let skip = if self.run > 0 { 1 } else { u16::from(self.zero) };
            let rest = bytes.get(usize::from(*at)..).unwrap_or_default();
            if *left < skip {
                *is_on = false;
                *place = 0;
                break;
            }
            (*at, *left) = (*at + skip, *left - skip);
            if self.run > 0 {
                self.run -= 1;
                *place = rest.first().copied().unwrap_or_default();
                continue;
            }
            let ahead = rest.get(usize::from(skip)..).unwrap_or_default();
            let ahead = ahead.get(..usize::from(*left)).unwrap_or(ahead);
            let run = ahead.iter().take(RUN_MAX).take_while(|byte| **byte != 0).count();
            // The highest code says nothing of what is behind its run.
            *self = Self { run: run as u8, zero: u8::from(run < RUN_MAX) };
            *place = run as u8 + 1;
        }
        n
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;

    fn encoded(body: &[u8]) -> Vec<u8> {
        let plain = [&[7, 0x80, 0x01], body, &[0, 1, 2, 0]].concat();
        let mut slot = plain.clone();
        if is_short(slot.len()) {
            encode(&mut slot);
        }
        let whole = drained(&slot, usize::MAX);
        for step in [1, 2, 7] {
            assert_eq!(drained(&slot, step), whole);
        }
        if is_short(slot.len()) {
            assert_eq!(decode(&mut slot), plain.len(), "before it is sent again");
            assert_eq!(slot[CODE_LEN..], plain[CODE_LEN..]);
        }
        whole
    }

    /// What is written into rooms of so many bytes.
    fn drained(slot: &[u8], step: usize) -> Vec<u8> {
        let mut encoder = Encoder::new(0, slot.len() as u16);
        let mut bytes = Vec::new();
        let mut room = vec![0; step.min(2 * slot.len() + 2)];
        while !encoder.is_done() {
            let n = encoder.fill(slot, &mut room);
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
                let bytes = encoded(&body);
                assert_eq!(bytes.iter().position(|&byte| byte == 0), Some(bytes.len() - 1));
                assert!(bytes.len() <= encoded_len(len + 6) + 1, "{len} bytes become {}", bytes.len());
                for step in [1, 3, bytes.len()] {
                    let (mut out, mut decoder) = (vec![0; encoded_len(len + 6)], Decoder::NEW);
                    let fed: Vec<Fed> =
                        bytes.chunks(step).flat_map(|part| feed(&mut decoder, part, &mut out)).collect();
                    let (last, before) = fed.split_last().expect("a packet is not empty");
                    assert!(before.iter().all(|fed| *fed == Fed::More));
                    assert_eq!(*last, Fed::Packet(len + 6));
                    let packet = [&[0x80, 1], &body[..], &[0, 1, 2, 0]].concat();
                    assert_eq!(out[CODE_LEN..][..packet.len()], packet);
                }
            }
        }
    }

    #[test]
    fn codes_that_lead_behind_the_end_are_no_packet_however_long_it_is() {
        for len in [1, 2, 100, PLACE_MAX, RUN_MAX, 300, 600] {
            let mut bytes = vec![1; len];
            assert_eq!(place(&mut bytes.clone()), Some(len - CODE_LEN), "nothing but zeros");
            bytes[len - 1] = 2;
            assert_eq!(place(&mut bytes), None);
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
