//! The encoding: postcard's wire format, read strictly and within a budget.
//!
//! Own code and not the postcard crate, because decoding has to refuse padded numbers and to bound depth
//! and memory, neither of which can be put around that crate from outside. A test compares the two.

mod decoder;
mod encoder;
#[cfg(not(feature = "alloc"))]
mod small;
#[cfg(feature = "alloc")]
mod strict;
mod varint;
#[cfg(feature = "std")]
mod words;

#[cfg(not(feature = "alloc"))]
use self::small::{Budget, Input};
#[cfg(feature = "alloc")]
use self::strict::{Budget, Input, heap};

pub use self::decoder::DecodeError;
pub use self::encoder::EncodeError;
#[cfg(feature = "std")]
pub(crate) use self::words::{WORDS, Words};

use self::decoder::Decoder;
use self::encoder::Encoder;
use super::Message;

pub(super) fn encode<T: Message>(value: &T, out: &mut [u8]) -> Result<usize, EncodeError> {
    let mut encoder = Encoder::new(encoder::Slice::new(out));
    value.serialize(&mut encoder)?;
    let (sink, parts) = encoder.finish();
    let encoded = sink.written()?;
    #[cfg(feature = "alloc")]
    fits_a_budget::<T>(parts, encoded)?;
    #[cfg(not(feature = "alloc"))]
    let _: usize = parts;
    Ok(encoded.len())
}

#[cfg(feature = "alloc")]
pub(super) fn encode_to<T: Message>(value: &T, out: &mut alloc::vec::Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let mut encoder = Encoder::new(&mut *out);
    let result = value.serialize(&mut encoder);
    let (_, parts) = encoder.finish();
    let result = result.and_then(|()| fits_a_budget::<T>(parts, out.get(start..).unwrap_or_default()));
    if result.is_err() {
        out.truncate(start);
    }
    result
}

#[inline(always)]
pub(super) fn decode<T: Message>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut decoder = Decoder::new(bytes, T::SHAPE.element(), size_of::<T>());
    let value = T::deserialize(&mut decoder)?;
    decoder.finish()?;
    Ok(value)
}

/// Refuses at the sender what every receiver would refuse.
///
/// `parts` counts what decoding may charge, none of it more than the type's largest element. Where even
/// that fits, as almost always, this is one multiplication, and nothing for types without lists. Else only
/// decoding gives the exact answer.
#[cfg(feature = "alloc")]
fn fits_a_budget<T: Message>(parts: usize, encoded: &[u8]) -> Result<(), EncodeError> {
    let most = parts.saturating_mul(T::SHAPE.element());
    if most > heap(encoded.len()) && matches!(decode::<T>(encoded), Err(DecodeError::Budget)) {
        return Err(EncodeError::Budget);
    }
    Ok(())
}
