//! A few bytes held in place: what `Text` and `Blob` are made of.

use core::fmt;

/// At most `N` bytes. The length is a `u16`, to be small on boards.
#[derive(Clone, Copy)]
pub(super) struct Inline<const N: usize> {
    bytes: [u8; N],
    len: u16,
}

impl<const N: usize> Inline<N> {
    pub(super) const fn new() -> Self {
        const { assert!(N <= u16::MAX as usize, "at most 65535 bytes can be held in place") };
        Self { bytes: [0; N], len: 0 }
    }

    /// Appends all of `bytes`, or nothing.
    pub(super) fn extend(&mut self, bytes: &[u8]) -> Result<(), Overflow> {
        let start = usize::from(self.len);
        let end = start.checked_add(bytes.len()).ok_or(Overflow)?;
        self.bytes.get_mut(start..end).ok_or(Overflow)?.copy_from_slice(bytes);
        self.len = u16::try_from(end).map_err(|_| Overflow)?;
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..usize::from(self.len)).unwrap_or_default()
    }
}

/// What was to be stored is longer than the place for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Overflow;

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("longer than the capacity")
    }
}

impl core::error::Error for Overflow {}
