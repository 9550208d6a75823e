//! Bytes of any length that pass through channels without a copy.

use alloc::vec::Vec;
use core::fmt;
use core::ops::{Deref, DerefMut};

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use super::{DecodeError, EncodeError, Message, Shape};

/// Bytes of any length.
///
/// As a message of its own it is sent as it is, with no length before it, and the buffer is moved, not
/// copied. As a field it is its length and its bytes, copied in one piece; `Vec<u8>`, for comparison,
/// goes byte by byte. On boards without a heap there is [`Blob`](super::Blob).
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(Vec<u8>);

impl Bytes {
    /// Wraps a buffer, without a copy.
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The buffer, without a copy.
    pub fn into_vec(mut self) -> Vec<u8> {
        core::mem::take(&mut self.0)
    }
}

#[cfg(feature = "std")]
impl Drop for Bytes {
    /// Large buffers serve the next large message.
    #[inline]
    fn drop(&mut self) {
        if self.0.capacity() >= super::spare::MIN {
            super::spare::keep(core::mem::take(&mut self.0));
        }
    }
}

impl Message for Bytes {
    const NAME: &'static str = "bytes";
    const SHAPE: Shape = super::BYTES;

    fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        out.get_mut(..self.len()).ok_or(EncodeError::Full)?.copy_from_slice(self);
        Ok(self.len())
    }

    fn encode_to(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(self);
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self(bytes.to_vec()))
    }

    fn decode_owned(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        Ok(Self(bytes))
    }

    fn into_owned_bytes(self) -> Result<Vec<u8>, Self> {
        Ok(self.into_vec())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(Visitor)
    }
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
        Ok(Bytes(bytes.to_vec()))
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
        Ok(Bytes(bytes))
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<Bytes> for Vec<u8> {
    fn from(bytes: Bytes) -> Self {
        bytes.into_vec()
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Bytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.0.escape_ascii())
    }
}
