//! LEB128 integers of up to 32 bits, canonical: one value has one encoding.

/// The longest encoding in bytes.
pub const MAX_LEN: usize = 5;

/// Why bytes are not a varint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum VarintError {
    /// The bytes end before the number does.
    Truncated,
    /// Longer than needed, or more than 32 bits.
    NotCanonical,
}

/// Appends `value` to `out` at `at` and returns the next position.
///
/// What finds no room is left out; callers size their arrays by [`MAX_LEN`].
#[cfg_attr(feature = "std", inline)]
#[cfg_attr(not(feature = "std"), inline(never))]
pub fn put(out: &mut [u8], mut at: usize, mut value: u32) -> usize {
    loop {
        let more = if value < 0x80 { 0 } else { 0x80 };
        if let Some(slot) = out.get_mut(at) {
            *slot = value as u8 & 0x7f | more;
        }
        at += 1;
        value >>= 7;
        if more == 0 {
            return at;
        }
    }
}

/// What [`put`] writes for `value`, as a number whose lowest byte is the first, and its length.
///
/// For what is put together in a register: bytes that are stored one by one and read as
/// words at once hold the processor up.
#[inline]
pub const fn pack(value: u32) -> (u64, usize) {
    if value < 0x80 {
        return (value as u64, 1);
    }
    let (v, n) = (value as u64, len(value));
    let sevens =
        v & 0x7f | (v & 0x3f80) << 1 | (v & 0x1f_c000) << 2 | (v & 0xfe0_0000) << 3 | (v & 0xf000_0000) << 4;
    let all_but_last = (1 << (8 * (n - 1))) - 1;
    (sevens | 0x80_8080_8080 & all_but_last, n)
}

/// How many bytes [`put`] writes for `value`.
#[cfg_attr(feature = "std", inline)]
#[cfg_attr(not(feature = "std"), inline(never))]
pub const fn len(value: u32) -> usize {
    match value {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x001f_ffff => 3,
        0x0020_0000..=0x0fff_ffff => 4,
        _ => 5,
    }
}

/// Reads a number at the start of `bytes`: its value and its length.
///
/// # Errors
///
/// [`VarintError::Truncated`] when more bytes are needed.
#[cfg_attr(feature = "std", inline)]
#[cfg_attr(not(feature = "std"), inline(never))]
pub fn get(bytes: &[u8]) -> Result<(u32, usize), VarintError> {
    match bytes.first() {
        Some(&byte) if byte < 0x80 => Ok((u32::from(byte), 1)),
        Some(_) => get_long(bytes),
        None => Err(VarintError::Truncated),
    }
}

fn get_long(bytes: &[u8]) -> Result<(u32, usize), VarintError> {
    let mut value = 0;
    for (i, &byte) in bytes.iter().take(MAX_LEN).enumerate() {
        if i == MAX_LEN - 1 && byte > 0x0f {
            return Err(VarintError::NotCanonical);
        }
        value |= u32::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return match byte {
                0 => Err(VarintError::NotCanonical),
                _ => Ok((value, i + 1)),
            };
        }
    }
    Err(VarintError::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_returns_and_says_its_length() {
        let edges =
            [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, 0x1f_ffff, 0x20_0000, 0xfff_ffff, 0x1000_0000, u32::MAX];
        for value in edges {
            let mut out = [0; MAX_LEN];
            let end = put(&mut out, 0, value);
            assert_eq!(end, len(value));
            assert_eq!(get(&out[..end]), Ok((value, end)));
            let (packed, n) = pack(value);
            assert_eq!((&packed.to_le_bytes()[..n], packed >> (8 * n)), (&out[..end], 0));
            for cut in 0..end {
                assert_eq!(get(&out[..cut]), Err(VarintError::Truncated), "{value} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_second_encoding_of_a_number_is_refused() {
        assert_eq!(get(&[0x80, 0x00]), Err(VarintError::NotCanonical));
        assert_eq!(get(&[0xff, 0x80, 0x00]), Err(VarintError::NotCanonical));
        assert_eq!(get(&[0xff, 0xff, 0xff, 0xff, 0x10]), Err(VarintError::NotCanonical));
        assert_eq!(get(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), Err(VarintError::NotCanonical));
    }
}
