//! From values to bytes: serde's serializer.

use core::fmt::{self, Write};

use serde::ser::{self, Serialize};

use super::varint;

/// Why a value could not be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum EncodeError {
    /// So much memory for so few bytes that every receiver would refuse it: a long list of large elements
    /// that are almost all absent.
    Budget,
    /// The buffer is too short.
    Full,
    /// The type's `Serialize` does something that this encoding has no form for, such as a list of
    /// unknown length, or it failed by itself.
    Unsupported,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Budget => "a list too sparse to be decoded within bounds",
            Self::Full => "buffer too short for the encoded value",
            Self::Unsupported => "the type serializes in a way that this encoding has no form for",
        })
    }
}

impl core::error::Error for EncodeError {}

impl ser::Error for EncodeError {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Unsupported
    }
}

/// Where encoded bytes go.
pub(super) trait Sink {
    fn put(&mut self, bytes: &[u8]) -> Result<(), EncodeError>;

    fn put_byte(&mut self, byte: u8) -> Result<(), EncodeError>;

    fn put_u16(&mut self, value: u16) -> Result<(), EncodeError>;

    fn put_u32(&mut self, value: u32) -> Result<(), EncodeError>;

    #[inline]
    fn put_u64(&mut self, value: u64) -> Result<(), EncodeError> {
        if value < 0x80 {
            return self.put_byte(value as u8);
        }
        let mut bytes = [0; 10];
        let len = varint::put_u64(value, &mut bytes);
        self.put_start(&bytes, len)
    }

    /// Puts the first `len` of `bytes`. Room for all of them is no condition, but makes it fast: a copy
    /// of known length is one or two instructions.
    fn put_start<const N: usize>(&mut self, bytes: &[u8; N], len: usize) -> Result<(), EncodeError>;
}

#[cfg(feature = "alloc")]
macro_rules! number {
    ($sink:ident, $value:ident, $put:ident, $max_len:literal) => {{
        if $value < 0x80 {
            return $sink.put_byte($value as u8);
        }
        let mut bytes = [0; $max_len];
        let len = varint::$put($value, &mut bytes);
        $sink.put_start(&bytes, len)
    }};
}

/// A slice that is filled from the front.
pub(super) struct Slice<'a> {
    pub(super) bytes: &'a mut [u8],
    pub(super) len: usize,
}

impl<'a> Slice<'a> {
    pub(super) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, len: 0 }
    }

    /// What was put, if it had room. Only here for boards, which takes less code than at each piece.
    #[inline]
    pub(super) fn written(self) -> Result<&'a [u8], EncodeError> {
        self.bytes.get(..self.len).ok_or(EncodeError::Full)
    }
}

#[cfg(feature = "alloc")]
impl Sink for Slice<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let room = self.bytes.get_mut(self.len..).and_then(|rest| rest.get_mut(..bytes.len()));
        room.ok_or(EncodeError::Full)?.copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }

    #[inline]
    fn put_byte(&mut self, byte: u8) -> Result<(), EncodeError> {
        *self.bytes.get_mut(self.len).ok_or(EncodeError::Full)? = byte;
        self.len += 1;
        Ok(())
    }

    #[inline]
    fn put_start<const N: usize>(&mut self, bytes: &[u8; N], len: usize) -> Result<(), EncodeError> {
        if let Some(room) = self.bytes.get_mut(self.len..).and_then(|rest| rest.first_chunk_mut::<N>()) {
            *room = *bytes;
            self.len += len;
            return Ok(());
        }
        self.put(bytes.get(..len).unwrap_or_default())
    }

    #[inline]
    fn put_u16(&mut self, value: u16) -> Result<(), EncodeError> {
        number!(self, value, put_u16, 3)
    }

    #[inline]
    fn put_u32(&mut self, value: u32) -> Result<(), EncodeError> {
        number!(self, value, put_u32, 5)
    }
}

#[cfg(feature = "alloc")]
impl Sink for &mut alloc::vec::Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    fn put_byte(&mut self, byte: u8) -> Result<(), EncodeError> {
        self.push(byte);
        Ok(())
    }

    #[inline]
    fn put_start<const N: usize>(&mut self, bytes: &[u8; N], len: usize) -> Result<(), EncodeError> {
        let end = self.len() + len;
        self.extend_from_slice(bytes);
        self.truncate(end);
        Ok(())
    }

    #[inline]
    fn put_u16(&mut self, value: u16) -> Result<(), EncodeError> {
        number!(self, value, put_u16, 3)
    }

    #[inline]
    fn put_u32(&mut self, value: u32) -> Result<(), EncodeError> {
        number!(self, value, put_u32, 5)
    }
}

/// serde's serializer for this encoding.
pub(super) struct Encoder<S> {
    sink: S,
    /// How many things were encoded that decoding may charge to its budget.
    parts: usize,
}

impl<S> Encoder<S> {
    #[inline]
    pub(super) fn new(sink: S) -> Self {
        Self { sink, parts: 0 }
    }

    #[inline]
    pub(super) fn finish(self) -> (S, usize) {
        (self.sink, self.parts)
    }

    #[inline]
    fn count(&mut self, parts: usize) -> &mut Self {
        if !cfg!(feature = "alloc") {
            // Nobody asks: what a board receives takes no heap.
            return self;
        }
        self.parts = self.parts.saturating_add(parts);
        self
    }
}

macro_rules! varints {
    ($($method:ident, $number:ty, $max_len:literal, $put:ident $(, $fold:ident)?;)*) => {$(
        #[inline]
        fn $method(self, value: $number) -> Result<(), EncodeError> {
            $(let value = varint::$fold(value);)?
            if value < 0x80 {
                return self.sink.put_byte(value as u8);
            }
            let mut bytes = [0; $max_len];
            let len = varint::$put(value, &mut bytes);
            self.sink.put_start(&bytes, len)
        }
    )*};
}

impl<S: Sink> Encoder<S> {
    #[inline]
    fn put_len(&mut self, len: usize) -> Result<(), EncodeError> {
        #[cfg(target_pointer_width = "64")]
        return ser::Serializer::serialize_u64(self, len as u64);
        #[cfg(not(target_pointer_width = "64"))]
        self.sink.put_u32(len as u32)
    }
}

impl<S: Sink> ser::Serializer for &mut Encoder<S> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    varints! {
        serialize_u128, u128, 19, put_u128;
        serialize_i128, i128, 19, put_u128, fold_i128;
    }

    #[cfg_attr(feature = "std", inline(always))]
    #[cfg_attr(not(feature = "std"), inline)]
    fn serialize_u16(self, value: u16) -> Result<(), EncodeError> {
        self.sink.put_u16(value)
    }

    #[cfg_attr(feature = "std", inline(always))]
    #[cfg_attr(not(feature = "std"), inline)]
    fn serialize_u32(self, value: u32) -> Result<(), EncodeError> {
        self.sink.put_u32(value)
    }

    #[cfg_attr(feature = "std", inline(always))]
    #[cfg_attr(not(feature = "std"), inline)]
    fn serialize_u64(self, value: u64) -> Result<(), EncodeError> {
        self.sink.put_u64(value)
    }

    #[cfg_attr(feature = "std", inline(always))]
    #[cfg_attr(not(feature = "std"), inline)]
    fn serialize_i64(self, value: i64) -> Result<(), EncodeError> {
        self.sink.put_u64(varint::fold_i64(value))
    }

    #[cfg_attr(feature = "std", inline(always))]
    #[cfg_attr(not(feature = "std"), inline)]
    fn serialize_i16(self, value: i16) -> Result<(), EncodeError> {
        self.sink.put_u16(varint::fold_i16(value))
    }

    #[cfg_attr(feature = "std", inline(always))]
    #[cfg_attr(not(feature = "std"), inline)]
    fn serialize_i32(self, value: i32) -> Result<(), EncodeError> {
        self.sink.put_u32(varint::fold_i32(value))
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<(), EncodeError> {
        self.sink.put_byte(value.into())
    }

    #[inline]
    fn serialize_i8(self, value: i8) -> Result<(), EncodeError> {
        self.sink.put_byte(value as u8)
    }

    #[inline]
    fn serialize_u8(self, value: u8) -> Result<(), EncodeError> {
        self.sink.put_byte(value)
    }

    #[inline]
    fn serialize_f32(self, value: f32) -> Result<(), EncodeError> {
        self.sink.put_start(&value.to_bits().to_le_bytes(), 4)
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<(), EncodeError> {
        self.sink.put_start(&value.to_bits().to_le_bytes(), 8)
    }

    fn serialize_char(self, value: char) -> Result<(), EncodeError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), EncodeError> {
        self.serialize_bytes(value.as_bytes())
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<(), EncodeError> {
        self.count(1).put_len(value.len())?;
        self.sink.put(value)
    }

    #[inline]
    fn serialize_none(self) -> Result<(), EncodeError> {
        self.count(1).sink.put_byte(0)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        self.count(1).sink.put_byte(1)?;
        value.serialize(self)
    }

    #[inline]
    fn serialize_unit(self) -> Result<(), EncodeError> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_struct(self, _: &'static str) -> Result<(), EncodeError> {
        self.count(1);
        Ok(())
    }

    #[inline]
    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Result<(), EncodeError> {
        self.count(1).serialize_u32(index)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        value.serialize(self.count(1))
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.count(1).serialize_u32(index)?;
        value.serialize(self)
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Self, EncodeError> {
        let len = len.ok_or(EncodeError::Unsupported)?;
        // The list itself, which may be in a box, and each element.
        self.count(1).count(len).put_len(len)?;
        Ok(self)
    }

    #[inline]
    fn serialize_tuple(self, _: usize) -> Result<Self, EncodeError> {
        Ok(self.count(1))
    }

    #[inline]
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, EncodeError> {
        Ok(self.count(1))
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, EncodeError> {
        self.count(1).serialize_u32(index)?;
        Ok(self)
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Self, EncodeError> {
        let len = len.ok_or(EncodeError::Unsupported)?;
        self.count(1).count(len).count(len).put_len(len)?;
        Ok(self)
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, EncodeError> {
        Ok(self.count(1))
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, EncodeError> {
        self.count(1).serialize_u32(index)?;
        Ok(self)
    }

    /// Formats twice, as the length goes first: slower, but needs no buffer.
    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), EncodeError> {
        let mut length = Length(0);
        write!(length, "{value}").map_err(|_| EncodeError::Unsupported)?;
        self.count(1).put_len(length.0)?;
        let mut pieces = Pieces { sink: &mut self.sink, left: length.0, error: EncodeError::Unsupported };
        write!(pieces, "{value}").map_err(|_| pieces.error)?;
        // A `Display` that says something else the second time would garble what follows.
        if pieces.left == 0 { Ok(()) } else { Err(EncodeError::Unsupported) }
    }
}

struct Length(usize);

impl Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.checked_add(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}

struct Pieces<'a, S> {
    sink: &'a mut S,
    left: usize,
    error: EncodeError,
}

impl<S: Sink> Write for Pieces<'_, S> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.left = self.left.checked_sub(text.len()).ok_or(fmt::Error)?;
        self.sink.put(text.as_bytes()).map_err(|error| {
            self.error = error;
            fmt::Error
        })
    }
}

macro_rules! parts {
    ($($serialize:ident, $method:ident $(, $key:ty)?;)*) => {$(
        impl<S: Sink> ser::$serialize for &mut Encoder<S> {
            type Ok = ();
            type Error = EncodeError;

            #[cfg_attr(feature = "std", inline(always))]
            #[cfg_attr(not(feature = "std"), inline)]
            fn $method<T: Serialize + ?Sized>(&mut self, $(_: $key,)? value: &T) -> Result<(), EncodeError> {
                value.serialize(&mut **self)
            }

            #[inline]
            fn end(self) -> Result<(), EncodeError> {
                Ok(())
            }
        }
    )*};
}

parts! {
    SerializeSeq, serialize_element;
    SerializeTuple, serialize_element;
    SerializeTupleStruct, serialize_field;
    SerializeTupleVariant, serialize_field;
    SerializeStruct, serialize_field, &'static str;
    SerializeStructVariant, serialize_field, &'static str;
}

impl<S: Sink> ser::SerializeMap for &mut Encoder<S> {
    type Ok = ();
    type Error = EncodeError;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), EncodeError> {
        key.serialize(&mut **self)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        value.serialize(&mut **self)
    }

    #[inline]
    fn end(self) -> Result<(), EncodeError> {
        Ok(())
    }
}
