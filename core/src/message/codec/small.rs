//! Reading and writing where there is no heap, and where size counts: every number through one function, and
//! errors told once, at the end.
//!
//! Nothing that is decoded here grows with what is read, so what cannot be read is 0, and the value is refused
//! when it is complete. A struct then takes half the code to decode.

use super::encoder::{EncodeError, Sink, Slice};
use super::{DecodeError, varint as strict};
use crate::varint::{self, Cursor};

/// The bytes that are left.
pub(super) struct Input<'de>(Cursor<'de>);

impl<'de> Input<'de> {
    #[inline]
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        Self(Cursor::new(bytes))
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.0.byte())
    }

    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        let value = self.0.number();
        self.0.is_broken |= value > u16::MAX.into();
        Ok(value as u16)
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(self.0.number())
    }

    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        strict::take_u64(&mut self.0.rest)
    }

    pub(super) fn u128(&mut self) -> Result<u128, DecodeError> {
        strict::take_u128(&mut self.0.rest)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        Ok(self.0.bytes(N).first_chunk().copied().unwrap_or([0; N]))
    }

    #[inline]
    pub(super) fn bytes(&mut self, len: usize) -> Result<&'de [u8], DecodeError> {
        Ok(self.0.bytes(len))
    }

    #[inline]
    pub(super) fn finish(self) -> Result<(), DecodeError> {
        match self.0 {
            Cursor { is_broken: false, rest: [] } => Ok(()),
            Cursor { is_broken: false, .. } => Err(DecodeError::Trailing),
            Cursor { rest: [], .. } => Err(DecodeError::Truncated),
            _ => Err(DecodeError::Varint),
        }
    }
}

/// Nothing is counted: there is no heap to be spent, and without one no type contains itself, so that how deep
/// it nests was checked when it was compiled.
pub(super) struct Budget;

impl Budget {
    #[inline]
    pub(super) fn new(_: usize, _: usize, _: usize) -> Self {
        Self
    }

    #[inline]
    pub(super) fn charge(&mut self, _: usize) -> Result<(), DecodeError> {
        Ok(())
    }

    #[inline]
    pub(super) fn place(&mut self, _: usize) -> Result<(), DecodeError> {
        Ok(())
    }

    #[inline]
    pub(super) fn cover(&mut self, _: usize) {}

    #[inline]
    pub(super) fn enter(&mut self, _: usize) -> Result<usize, DecodeError> {
        Ok(0)
    }

    #[inline]
    pub(super) fn leave(&mut self, _: usize) {}

    /// Lists are of types with a heap.
    #[inline]
    pub(super) fn plan(&mut self, _: usize) -> Result<usize, DecodeError> {
        Err(DecodeError::Budget)
    }
}

/// What finds no room is counted, and missed by [`Slice::written`].
impl Sink for Slice<'_> {
    #[inline(never)]
    fn put(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let room = self.bytes.get_mut(self.len..).and_then(|rest| rest.get_mut(..bytes.len()));
        if let Some(room) = room {
            room.copy_from_slice(bytes);
        }
        self.len = self.len.saturating_add(bytes.len());
        Ok(())
    }

    #[inline]
    fn put_byte(&mut self, byte: u8) -> Result<(), EncodeError> {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
        }
        self.len += 1;
        Ok(())
    }

    #[inline]
    fn put_start<const N: usize>(&mut self, bytes: &[u8; N], len: usize) -> Result<(), EncodeError> {
        self.put(bytes.get(..len).unwrap_or_default())
    }

    #[inline]
    fn put_u16(&mut self, value: u16) -> Result<(), EncodeError> {
        self.put_u32(value.into())
    }

    #[inline]
    fn put_u32(&mut self, value: u32) -> Result<(), EncodeError> {
        self.len = varint::put(self.bytes, self.len, value);
        Ok(())
    }
}
