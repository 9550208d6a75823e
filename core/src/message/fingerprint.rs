//! Fingerprints: 64 bits that stand for a type on the wire.

use core::fmt;

/// Stands for a message type: equal only where name, fields, variants and their order are equal.
///
/// Both ends of a channel compare fingerprints before the first value, whole and never shortened. It is
/// the start of a SHA-256 over the type's canonical form, see `spec/types.md`. It guards against mistakes,
/// not against forgery: who wants to lie about a type may simply send another type's fingerprint, which is
/// why decoding is strict and bounded as well.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// A fingerprint from its number, as it was received.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number that goes on the wire, little-endian.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({:016x})", self.0)
    }
}
