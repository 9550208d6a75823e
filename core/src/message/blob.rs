//! Bytes of bounded length, held in place.

use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::{Deref, DerefMut};

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use super::inline::Inline;
use super::{Accepted, DecodeError, EncodeError, Message, Overflow, Shape};

/// At most `N` bytes, without a heap; `N` is at most 65535. RAM: `N` and 2 bytes.
///
/// As a message of its own it is sent as it is, with no length before it, and a receiver of it also takes
/// what a sender of `Bytes` sends, as far as it fits. As a field it is its length and its bytes.
#[derive(Clone, Copy)]
pub struct Blob<const N: usize>(Inline<N>);

impl<const N: usize> Blob<N> {
    /// No bytes.
    pub const fn new() -> Self {
        Self(Inline::new())
    }

    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// If they do not fit; nothing is appended then.
    pub fn extend(&mut self, bytes: &[u8]) -> Result<(), Overflow> {
        self.0.extend(bytes)
    }

    /// Removes all bytes.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl<const N: usize> Message for Blob<N> {
    const NAME: &'static str = "blob";
    const SHAPE: Shape = Shape::bounded("blob", N);
    const MAX_LEN: Option<usize> = Some(N);
    const ACCEPTED: &'static [Accepted<Self>] = &[Accepted {
        fingerprint: super::BYTES.fingerprint(),
        name: "bytes",
        max_len: Some(N),
        decode: Self::decode,
    }];

    fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        out.get_mut(..self.len()).ok_or(EncodeError::Full)?.copy_from_slice(self);
        Ok(self.len())
    }

    #[cfg(feature = "alloc")]
    fn encode_to(&self, out: &mut alloc::vec::Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(self);
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::try_from(bytes).map_err(|Overflow| DecodeError::TooLong)
    }
}

impl<const N: usize> Serialize for Blob<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Blob<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(Visitor)
    }
}

struct Visitor<const N: usize>;

impl<const N: usize> de::Visitor<'_> for Visitor<N> {
    type Value = Blob<N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {N} bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Blob<N>, E> {
        Blob::try_from(bytes).map_err(|Overflow| E::invalid_length(bytes.len(), &self))
    }
}

impl<const N: usize> TryFrom<&[u8]> for Blob<N> {
    type Error = Overflow;

    fn try_from(bytes: &[u8]) -> Result<Self, Overflow> {
        let mut blob = Self::new();
        blob.extend(bytes)?;
        Ok(blob)
    }
}

impl<const N: usize> Default for Blob<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Deref for Blob<N> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl<const N: usize> DerefMut for Blob<N> {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0.as_mut_slice()
    }
}

impl<const N: usize> AsRef<[u8]> for Blob<N> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<const N: usize> PartialEq for Blob<N> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<const N: usize> Eq for Blob<N> {}

impl<const N: usize> PartialOrd for Blob<N> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const N: usize> Ord for Blob<N> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(other)
    }
}

impl<const N: usize> Hash for Blob<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl<const N: usize> fmt::Debug for Blob<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({})", self.escape_ascii())
    }
}
