//! Length framing for reliable byte streams: `varint length, frame, [crc32c]`.
//!
//! The length covers frame and checksum. Any error ends the link: a reliable stream that
//! is out of step is not read on.

use super::Fault;
use super::crc::crc32c;
#[cfg(feature = "std")]
use super::frame::{Frame, Handle, Part};
use super::varint::{self, VarintError};

/// Longest frame before the link is up, in bytes.
pub const MAX_BEFORE_UP: u32 = 256;
/// What a checksum adds, in bytes.
pub const CRC_LEN: usize = 4;

/// What stands at the start of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a frame is there or it is not")]
pub enum Step<'a> {
    /// A whole frame, and how many bytes it took with its framing.
    Frame(&'a [u8], usize),
    /// Not yet whole: at least this many bytes are missing.
    Need(usize),
}

/// Looks for a frame at the start of `input`.
///
/// # Errors
///
/// [`Fault::Oversize`] before anything is stored, [`Fault::Corrupt`], or a length that is
/// no canonical number.
#[inline]
pub fn next(input: &[u8], max: u32, crc: Option<u32>) -> Result<Step<'_>, Fault> {
    let (len, used) = match varint::get(input) {
        Ok(found) => found,
        Err(VarintError::Truncated) => return Ok(Step::Need(1)),
        Err(VarintError::NotCanonical) => return Err(Fault::BadLength),
    };
    let trailer = if crc.is_some() { CRC_LEN } else { 0 };
    if len > max.saturating_add(trailer as u32) {
        return Err(Fault::Oversize { len, max });
    }
    let len = len as usize;
    if len <= trailer {
        return Err(Fault::BadLength);
    }
    let Some(packet) = input.get(used..used + len) else {
        return Ok(Step::Need(used + len - input.len()));
    };
    let Some(seed) = crc else { return Ok(Step::Frame(packet, used + len)) };
    let (frame, sum) = packet.split_at(len - trailer);
    if crc32c(seed, frame).to_le_bytes() != *sum {
        return Err(Fault::Corrupt);
    }
    Ok(Step::Frame(frame, used + len))
}

/// The message that has begun at the start of `input`, if that is a whole one in a data
/// frame without checksum: its circuit, its length, and where in `input` it begins.
///
/// Its length is within the limit if [`next`] has said how much of it is missing.
#[cfg(feature = "std")]
pub(crate) fn begun(input: &[u8]) -> Option<(Handle, usize, usize)> {
    let (len, used) = varint::get(input).ok()?;
    match Frame::parse(input.get(used..)?) {
        Ok(Frame::Data(handle, Part::Whole, bytes)) => {
            let at = input.len() - bytes.len();
            Some((handle, (len as usize).checked_sub(at - used)?, at))
        }
        _ => None,
    }
}

/// The circuit of the short message that begins at the start of `input`, if that is what
/// stands there.
#[cfg(feature = "std")]
#[inline]
pub(crate) fn small(input: &[u8]) -> Option<Handle> {
    match *input {
        [len, head, ..] if (1..0x80).contains(&len) && head < 0x80 => Handle::of_data(head),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_four_gigabytes_is_refused_before_anything_is_stored() {
        let input = [0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(next(&input, 1024, None), Err(Fault::Oversize { len: u32::MAX, max: 1024 }));
    }

    #[test]
    fn an_empty_packet_is_refused() {
        assert_eq!(next(&[0], 1024, None), Err(Fault::BadLength));
        assert_eq!(next(&[4, 0, 0, 0, 0], 1024, Some(0)), Err(Fault::BadLength));
    }

    #[test]
    fn a_cut_packet_says_how_much_is_missing() {
        assert_eq!(next(&[], 9, None), Ok(Step::Need(1)));
        assert_eq!(next(&[3, 1], 9, None), Ok(Step::Need(2)));
        assert_eq!(next(&[3, 1, 2, 3, 4], 9, None), Ok(Step::Frame(&[1, 2, 3], 4)));
    }
}
