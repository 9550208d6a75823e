//! Numbers of variable length: seven bits per byte, least first, the top bit set on all but the last.

use super::DecodeError;

macro_rules! varint {
    ($($number:ty, $put:ident, $take:ident, $take_long:ident, $max_len:literal;)*) => {$(
        /// Writes `value` to the start of `out` and gives the length.
        #[inline]
        pub(super) fn $put(mut value: $number, out: &mut [u8; $max_len]) -> usize {
            if cfg!(target_pointer_width = "64") && $max_len <= 10 {
                let (bytes, len) = pack(value as u64);
                *out = bytes.to_le_bytes().first_chunk().copied().unwrap_or([0; $max_len]);
                return len;
            }
            for (at, byte) in out.iter_mut().enumerate() {
                *byte = value as u8;
                if value < 0x80 {
                    return at + 1;
                }
                *byte |= 0x80;
                value >>= 7;
            }
            $max_len
        }

        /// Takes a number off the start of `input`.
        #[inline]
        pub(super) fn $take(input: &mut &[u8]) -> Result<$number, DecodeError> {
            let (&first, rest) = input.split_first().ok_or(DecodeError::Truncated)?;
            if first < 0x80 {
                *input = rest;
                return Ok(first.into());
            }
            let (value, len) = $take_long(input);
            if len == 0 {
                return Err(fault(input, $max_len));
            }
            *input = input.get(len..).unwrap_or_default();
            Ok(value)
        }

        /// The number at the start of `input` and its length, which is 0 if it is not valid.
        ///
        /// Counted by a constant range, which is unrolled, and with a result that fits registers: twice as
        /// fast as an iterator over the bytes.
        #[inline]
        fn $take_long(input: &[u8]) -> ($number, usize) {
            //= spec/types.md#numbers
            //# A decoder MUST refuse a number whose last byte is zero, unless it is the only one, and one
            //# that does not fit its type.
            const LAST: u8 = (<$number>::MAX >> (7 * ($max_len - 1))) as u8;
            let mut value = 0;
            for at in 0..$max_len {
                let Some(&byte) = input.get(at) else { break };
                value |= <$number>::from(byte & 0x7f) << (7 * at);
                if byte < 0x80 {
                    let padded = byte == 0 && at > 0;
                    let too_large = at == $max_len - 1 && byte > LAST;
                    return if padded || too_large { (0, 0) } else { (value, at + 1) };
                }
            }
            (0, 0)
        }
    )*};
}

#[cfg(feature = "alloc")]
varint! {
    u16, put_u16, take_u16, take_long_u16, 3;
    u32, put_u32, take_u32, take_long_u32, 5;
}

varint! {
    u64, put_u64, take_any_u64, take_long_u64, 10;
    u128, put_u128, take_u128, take_long_u128, 19;
}

/// The encoding of `value` as a number, its first byte lowest, and its length.
///
/// Put together in a register, without a loop: bytes stored one by one and then copied as a
/// word hold the processor up until they have left its store buffer.
#[inline]
fn pack(value: u64) -> (u128, usize) {
    let mut low = value & ((1 << 56) - 1);
    // Halves of 28 bits, then quarters of 14, then bytes of 7.
    low = (low & 0x00ff_ffff_f000_0000) << 4 | low & 0x0fff_ffff;
    low = (low & 0x0fff_c000_0fff_c000) << 2 | low & 0x0000_3fff_0000_3fff;
    low = (low & 0x3f80_3f80_3f80_3f80) << 1 | low & 0x007f_007f_007f_007f;
    let bits = 64 - (value | 1).leading_zeros();
    let len = bits.div_ceil(7);
    let high = value >> 56 & 0x7f | (value >> 63) << 8;
    let all_but_last = (1 << (8 * (len - 1))) - 1;
    let more = 0x0080_8080_8080_8080_8080_u128 & all_but_last;
    (u128::from(low) | u128::from(high) << 64 | more, len as usize)
}

#[cfg(not(feature = "std"))]
pub(super) use self::take_any_u64 as take_u64;

/// Takes a number off the start of `input`. In the program's own loop, but for what is unusual.
#[cfg(feature = "std")]
#[inline(always)]
pub(super) fn take_u64(input: &mut &[u8]) -> Result<u64, DecodeError> {
    match take_word(input) {
        Some(value) => Ok(value),
        None => take_other_u64(input),
    }
}

#[cfg(feature = "std")]
#[inline(never)]
fn take_other_u64(input: &mut &[u8]) -> Result<u64, DecodeError> {
    take_any_u64(input)
}

/// A number that takes one byte, or two to eight where as many are left that eight can be read at once. `None`
/// where anything is unusual.
#[cfg(feature = "std")]
#[inline(always)]
fn take_word(input: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = input.split_first()?;
    if first < 0x80 {
        *input = rest;
        return Some(first.into());
    }
    let word = u64::from_le_bytes(*input.first_chunk()?);
    let ends = !word & 0x8080_8080_8080_8080;
    if ends == 0 {
        return None;
    }
    // All bytes up to the first one that ends a number, which is not the very first.
    let number = word & (ends ^ ends.wrapping_sub(1));
    let len = ends.trailing_zeros() as usize / 8 + 1;
    if number >> (8 * (len - 1)) == 0 {
        return None;
    }
    *input = input.get(len..)?;
    let sevens = number & 0x007f_007f_007f_007f | (number & 0x7f00_7f00_7f00_7f00) >> 1;
    let sevens = sevens & 0x0000_3fff_0000_3fff | (sevens & 0x3fff_0000_3fff_0000) >> 2;
    Some(sevens & 0x0fff_ffff | (sevens & 0x0fff_ffff_0000_0000) >> 4)
}

/// As [`pack`], for a value of at most 56 bits.
#[cfg(feature = "std")]
#[inline]
pub(super) const fn pack_low(value: u64) -> (u64, u32) {
    let mut low = (value & 0x00ff_ffff_f000_0000) << 4 | value & 0x0fff_ffff;
    low = (low & 0x0fff_c000_0fff_c000) << 2 | low & 0x0000_3fff_0000_3fff;
    low = (low & 0x3f80_3f80_3f80_3f80) << 1 | low & 0x007f_007f_007f_007f;
    // As many bytes as the highest one that is not zero.
    let len = 8 - (low | 1).leading_zeros() / 8;
    let all_but_last = (1 << (8 * (len - 1))) - 1;
    (low | 0x8080_8080_8080_8080 & all_but_last, len)
}

/// What is wrong with the number at the start of `input`, of a type that has up to `max_len` bytes.
#[cold]
fn fault(input: &[u8], max_len: usize) -> DecodeError {
    let goes_on = input.iter().take(max_len).all(|&byte| byte >= 0x80);
    if goes_on && input.len() < max_len { DecodeError::Truncated } else { DecodeError::Varint }
}

macro_rules! zigzag {
    ($($signed:ty, $unsigned:ty, $fold:ident, $unfold:ident;)*) => {$(
        /// Folds the sign into the lowest bit, so that small negative numbers stay short.
        #[inline]
        pub(super) fn $fold(value: $signed) -> $unsigned {
            ((value << 1) ^ (value >> (<$signed>::BITS - 1))) as $unsigned
        }

        #[inline]
        pub(super) fn $unfold(value: $unsigned) -> $signed {
            (value >> 1) as $signed ^ -((value & 1) as $signed)
        }
    )*};
}

zigzag! {
    i16, u16, fold_i16, unfold_i16;
    i32, u32, fold_i32, unfold_i32;
    i64, u64, fold_i64, unfold_i64;
    i128, u128, fold_i128, unfold_i128;
}
