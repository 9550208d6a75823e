//! Short values put together in registers, a word at a time, for who stores words.
//!
//! Bytes that are stored in pieces of one length and read in pieces of another hold a processor up until they have
//! left its store buffer; and what is shared between threads without a lock is words.

use super::encoder::{EncodeError, Encoder, Sink};
use super::varint;
use crate::message::Message;

/// The most words that one value takes, with what stands before it.
pub(crate) const WORDS: usize = 8;

/// Bytes in words, the first one lowest, behind those that stand in the first word already.
///
/// `F` stores a word at its place, counted from the first one.
pub(crate) struct Words<F> {
    store: F,
    /// How many are complete.
    full: usize,
    /// The first one, once it is.
    first: u64,
    /// The next one, and how many bits of it are there: less than 64.
    next: u64,
    bits: u32,
    /// How many there were at the start.
    start: u32,
}

impl<F: FnMut(usize, u64)> Words<F> {
    /// Begins behind the `bits` bits of the word `next`.
    #[inline(always)]
    pub(crate) const fn new(store: F, next: u64, bits: u32) -> Self {
        Self { store, full: 0, first: 0, next, bits, start: bits }
    }

    /// Appends an encoded value.
    ///
    /// # Errors
    ///
    /// That of the value's `encode`; `Full` where it does not fit.
    #[inline(always)]
    pub(crate) fn encode<T: Message>(&mut self, value: &T) -> Result<(), EncodeError> {
        if const { T::BY_SERDE && T::SHAPE.element() == 0 } {
            return value.serialize(&mut Encoder::new(self));
        }
        let mut bytes = [0; 8 * WORDS];
        let len = value.encode(&mut bytes)?;
        Sink::put(&mut &mut *self, bytes.get(..len).unwrap_or_default())
    }

    /// How many bytes were appended.
    #[inline(always)]
    pub(crate) const fn len(&self) -> u32 {
        (64 * self.full as u32 + self.bits - self.start) / 8
    }

    /// Adds `byte` to the first byte that was appended, which is 0, and gives the last word, which is not full.
    #[inline(always)]
    pub(crate) fn finish(mut self, byte: u8) -> (u64, u32) {
        let byte = u64::from(byte) << self.start;
        if self.full == 0 {
            self.next |= byte;
        } else {
            (self.store)(0, self.first | byte);
        }
        (self.store)(self.full, self.next);
        (self.next, self.bits)
    }

    /// Puts the `len` lowest bytes of `bytes`, at most eight; the others are zero.
    #[inline(always)]
    pub(crate) fn put_low(&mut self, bytes: u64, len: u32) -> Result<(), EncodeError> {
        let word = self.next | bytes << self.bits;
        let bits = self.bits + 8 * len;
        if bits < 64 {
            self.next = word;
            self.bits = bits;
            return Ok(());
        }
        if self.full == WORDS {
            return Err(EncodeError::Full);
        }
        if self.full == 0 {
            self.first = word;
        }
        (self.store)(self.full, word);
        self.full += 1;
        // In two steps, for all 64 at once would be no shift at all.
        self.next = bytes >> 1 >> (63 - self.bits);
        self.bits = bits - 64;
        Ok(())
    }

    /// A number of more than 56 bits: eight bytes that go on, and one or two more.
    #[inline(never)]
    fn put_large(&mut self, value: u64) -> Result<(), EncodeError> {
        let (bytes, _) = varint::pack_low(value & (u64::MAX >> 8));
        self.put_low(bytes | 0x8080_8080_8080_8080, 8)?;
        let high = value >> 56;
        if high < 0x80 {
            return self.put_low(high, 1);
        }
        self.put_low(high & 0x7f | 0x80 | 1 << 8, 2)
    }
}

impl<F: FnMut(usize, u64)> Sink for &mut Words<F> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.put_low(u64::from_le_bytes(word), chunk.len() as u32)?;
        }
        Ok(())
    }

    #[inline]
    fn put_byte(&mut self, byte: u8) -> Result<(), EncodeError> {
        self.put_low(byte.into(), 1)
    }

    #[inline]
    fn put_u16(&mut self, value: u16) -> Result<(), EncodeError> {
        self.put_u64(value.into())
    }

    #[inline]
    fn put_u32(&mut self, value: u32) -> Result<(), EncodeError> {
        self.put_u64(value.into())
    }

    #[inline(always)]
    fn put_u64(&mut self, value: u64) -> Result<(), EncodeError> {
        if value >> 56 != 0 {
            return self.put_large(value);
        }
        let (bytes, len) = varint::pack_low(value);
        self.put_low(bytes, len)
    }

    #[inline]
    fn put_start<const N: usize>(&mut self, bytes: &[u8; N], len: usize) -> Result<(), EncodeError> {
        match <[u8; 8]>::try_from(&bytes[..]) {
            Ok(word) if len == 8 => self.put_low(u64::from_le_bytes(word), 8),
            _ => self.put(bytes.get(..len).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    use crate::message::Blob;

    /// Encodes behind so many bytes of ones, and compares with the ordinary encoding.
    fn check<T: Message>(value: &T) {
        let mut bytes = [0; 64];
        let len = value.encode(&mut bytes).unwrap();
        for before in 0..8 {
            let mut put = [0_u64; WORDS + 1];
            let next = 0x0101_0101_0101_0101 & ((1 << (8 * before)) - 1);
            let mut words = Words::new(|at, word| put[at] = word, next, 8 * before);
            words.put_low(0, 1).unwrap();
            words.encode(value).unwrap();
            assert_eq!(words.len() as usize, 1 + len);
            let (last, bits) = words.finish(7);
            let before = before as usize;
            let end = before + 1 + len;
            assert_eq!((last, bits as usize), (put[end / 8], 8 * (end % 8)));
            let put: Vec<u8> = put.iter().flat_map(|word| word.to_le_bytes()).collect();
            assert!(put[..before].iter().all(|&byte| byte == 1));
            assert_eq!((put[before], &put[before + 1..end]), (7, &bytes[..len]));
        }
    }

    #[test]
    fn words_hold_what_the_encoder_writes() {
        let mut numbers = vec![0_u64, u64::MAX];
        numbers.extend((1..64).flat_map(|bits| [(1 << bits) - 1, 1 << bits, (1 << bits) + 1]));
        for &a in &numbers {
            check(&a);
            check(&(a as i64));
            for &b in &numbers {
                check(&(a, b as u32, b as u8));
                check(&[b, a]);
                check(&(Some(a as u16), b, a as i32));
            }
        }
        check(&(1.5_f32, -2.25_f64, 'é', true));
        check(&(7_u8, u128::MAX, i128::MIN));
        check(&Blob::<40>::try_from(&[9; 33][..]).unwrap());
        check(&());
    }

    #[test]
    fn a_value_that_is_too_long_is_refused() {
        let mut words = Words::new(|_, _| {}, 0, 16);
        assert_eq!(words.encode(&[1.0_f64; 9]), Err(EncodeError::Full));
    }
}
