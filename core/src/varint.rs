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

/// Bytes that are read from their start, for boards: what cannot be read is 0 or empty, and remembered, so that one
/// question at the end is enough.
#[cfg(any(feature = "board", not(feature = "alloc")))]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    pub(crate) rest: &'a [u8],
    pub(crate) is_broken: bool,
}

#[cfg(any(feature = "board", not(feature = "alloc")))]
impl<'a> Cursor<'a> {
    pub(crate) const fn new(rest: &'a [u8]) -> Self {
        Self { rest, is_broken: false }
    }

    /// A number; one that is not canonical is broken.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn number(&mut self) -> u32 {
        let (mut value, mut shift, mut bytes) = (0, 0, self.rest.iter());
        loop {
            let byte = bytes.next().map_or(0x80, |byte| u32::from(*byte));
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                if shift > 0 && (byte == 0 || byte << shift >> shift != byte) {
                    self.is_broken = true;
                }
                break;
            }
            shift += 7;
            if shift > 28 {
                self.is_broken = true;
                break;
            }
        }
        self.rest = bytes.as_slice();
        value
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn byte(&mut self) -> u8 {
        if let Some((&byte, rest)) = self.rest.split_first() {
            self.rest = rest;
            return byte;
        }
        self.is_broken = true;
        0
    }

    pub(crate) fn bytes(&mut self, len: usize) -> &'a [u8] {
        if let Some((bytes, rest)) = self.rest.split_at_checked(len) {
            self.rest = rest;
            return bytes;
        }
        self.is_broken = true;
        &[]
    }

    /// Bytes with their length before them, in one byte.
    #[cfg(feature = "board")]
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn text(&mut self) -> &'a [u8] {
        let len = self.byte();
        self.bytes(len.into())
    }
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

    #[cfg(feature = "board")]
    #[test]
    fn a_board_reads_numbers_as_a_host_does() {
        let mut bytes = [0; 6];
        for pattern in 0..4_u32.pow(6) {
            for (at, byte) in bytes.iter_mut().enumerate() {
                *byte = [0, 0x80, 0x7f, 0x8f][(pattern >> (2 * at) & 3) as usize];
            }
            bytes[4] = [0x0f, 0x10, bytes[4], bytes[4]][(pattern & 3) as usize];
            for len in 0..=bytes.len() {
                let mut cursor = Cursor::new(&bytes[..len]);
                let value = cursor.number();
                let read = (!cursor.is_broken).then(|| (value, len - cursor.rest.len()));
                assert_eq!(read, get(&bytes[..len]).ok(), "{:x?}", &bytes[..len]);
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
