//! What a value is decoded from, and the memory that it may take: what is wrong is an error at once.

use super::{DecodeError, varint};
use crate::message::MAX_DEPTH;

/// Heap bytes that decoding may spend on anything, however few bytes arrived: lists of a few large elements.
const FLOOR: usize = 4096;

/// Heap bytes that decoding may spend for each byte that arrived. Enough for lists of any numbers and
/// strings and of options of these, whose elements take up to 24 bytes of memory for one on the wire.
const FACTOR: usize = 32;

/// Heap bytes that a value of so many encoded bytes may take.
pub(super) const fn heap(len: usize) -> usize {
    len.saturating_mul(FACTOR).saturating_add(FLOOR)
}

/// What a value may still take.
pub(super) struct Budget {
    /// How many levels more values may nest.
    depth: usize,
    /// Heap bytes that may still be taken. serde tells no types, but the size of what each visitor
    /// makes: that of elements is charged in lists, that of anything else where it exceeds `cover`.
    heap: usize,
    /// Bytes already paid for, in which the value at hand lies. What does not fit there is in a box.
    cover: usize,
    /// Heap bytes that vectors may still be made to allocate ahead of their elements.
    ahead: usize,
    /// No list element of the type is larger than this; 0 if that is not known.
    element: usize,
}

impl Budget {
    #[inline]
    pub(super) fn new(len: usize, element: usize, size: usize) -> Self {
        Self { depth: MAX_DEPTH, heap: heap(len), cover: size, ahead: heap(len), element }
    }

    #[inline]
    pub(super) fn charge(&mut self, size: usize) -> Result<(), DecodeError> {
        self.heap = self.heap.checked_sub(size).ok_or(DecodeError::Budget)?;
        Ok(())
    }

    /// Accounts for a value of this size: within what is paid for, or in a box that is charged.
    #[inline]
    pub(super) fn place(&mut self, size: usize) -> Result<(), DecodeError> {
        self.charge(size.saturating_sub(self.cover))?;
        self.cover = self.cover.saturating_sub(size);
        Ok(())
    }

    /// So many bytes are paid for.
    #[inline]
    pub(super) fn cover(&mut self, size: usize) {
        self.cover = size;
    }

    /// A value of this size has parts, which are decoded next: what [`Budget::leave`] is to be told.
    #[inline]
    pub(super) fn enter(&mut self, size: usize) -> Result<usize, DecodeError> {
        self.place(size)?;
        self.depth = self.depth.checked_sub(1).ok_or(DecodeError::Depth)?;
        Ok(core::mem::replace(&mut self.cover, size))
    }

    #[inline]
    pub(super) fn leave(&mut self, outer: usize) {
        self.cover = outer;
        self.depth += 1;
    }

    /// The start of a list of `len`: how many elements may be allocated for at once.
    pub(super) fn plan(&mut self, len: usize) -> Result<usize, DecodeError> {
        if len > self.heap {
            return Err(DecodeError::Budget);
        }
        let planned = len.min(self.ahead.checked_div(self.element).unwrap_or_default());
        self.ahead -= planned * self.element;
        Ok(planned)
    }
}

/// The bytes that are left.
pub(super) struct Input<'de>(&'de [u8]);

impl<'de> Input<'de> {
    #[inline]
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        Self(bytes)
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        let (&byte, rest) = self.0.split_first().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(byte)
    }

    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        varint::take_u16(&mut self.0)
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        varint::take_u32(&mut self.0)
    }

    #[inline(always)]
    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        varint::take_u64(&mut self.0)
    }

    #[inline]
    pub(super) fn u128(&mut self) -> Result<u128, DecodeError> {
        varint::take_u128(&mut self.0)
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (&bytes, rest) = self.0.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(bytes)
    }

    #[inline]
    pub(super) fn bytes(&mut self, len: usize) -> Result<&'de [u8], DecodeError> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(bytes)
    }

    #[inline]
    pub(super) fn finish(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }
}
