//! Older versions of a message that a receiver still takes.

use core::fmt;

use super::{DecodeError, Fingerprint, Message};

/// An older type that decodes into `T`; made by `#[netchan(also = ReadingV1)]`.
pub struct Accepted<T> {
    /// What a sender of the older type offers.
    pub fingerprint: Fingerprint,
    /// The older type's name, for errors.
    pub name: &'static str,
    /// The older type's longest encoding, `None` where it has no bound.
    pub max_len: Option<usize>,
    /// Decodes the older type and converts it.
    pub decode: fn(&[u8]) -> Result<T, DecodeError>,
}

impl<T> Accepted<T> {
    /// The entry for `Old`, through its `Into<T>`.
    pub const fn version<Old: Message + Into<T>>() -> Self {
        Self {
            fingerprint: Old::FINGERPRINT,
            name: Old::NAME,
            max_len: Old::MAX_LEN,
            decode: |bytes| Old::decode(bytes).map(Into::into),
        }
    }
}

// By hand: a derive would ask the same of `T`, which appears only as a result.
impl<T> Clone for Accepted<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Accepted<T> {}

impl<T> fmt::Debug for Accepted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Accepted({} {})", self.name, self.fingerprint)
    }
}
