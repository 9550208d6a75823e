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
    u64, put_u64, take_u64, take_long_u64, 10;
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
