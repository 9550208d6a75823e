//! From bytes to values: serde's deserializer, strict and within a budget.

use core::fmt;

use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};

use super::{Budget, Input, varint};

/// What is wrong with bytes that should have been an encoded value.
///
/// The peer's doing, or a line's that no checksum guards; after it the channel is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DecodeError {
    /// The value would take far more memory than its bytes took on the wire.
    Budget,
    /// Values nest deeper than `MAX_DEPTH`.
    Depth,
    /// Text or bytes are longer than the type's capacity.
    TooLong,
    /// Bytes are left over after the value.
    Trailing,
    /// The bytes end before the value does.
    Truncated,
    /// The type's `Deserialize` asks for something that this encoding does not tell.
    Unsupported,
    /// Text is not UTF-8.
    Utf8,
    /// No such value: a `bool` of 2, an unknown variant.
    Value,
    /// A number is padded, or too large for its type.
    Varint,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Budget => "value takes far more memory than it had bytes",
            Self::Depth => "values nest too deep",
            Self::TooLong => "text or bytes longer than their capacity",
            Self::Trailing => "bytes left over after the value",
            Self::Truncated => "bytes end before the value does",
            Self::Unsupported => "the type deserializes in a way that this encoding does not support",
            Self::Utf8 => "text is not UTF-8",
            Self::Value => "no such value in this type",
            Self::Varint => "number padded or too large for its type",
        })
    }
}

impl core::error::Error for DecodeError {}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Value
    }

    fn invalid_length(_: usize, _: &dyn de::Expected) -> Self {
        Self::TooLong
    }
}

/// serde's deserializer for this encoding.
pub(super) struct Decoder<'de> {
    input: Input<'de>,
    budget: Budget,
}

impl<'de> Decoder<'de> {
    /// A decoder of one value that takes `size` bytes in place, and of which no list element is larger than
    /// `element`.
    #[inline]
    pub(super) fn new(input: &'de [u8], element: usize, size: usize) -> Self {
        Self { budget: Budget::new(input.len(), element, size), input: Input::new(input) }
    }

    #[inline]
    pub(super) fn finish(self) -> Result<(), DecodeError> {
        self.input.finish()
    }

    #[inline]
    fn take_len(&mut self) -> Result<usize, DecodeError> {
        #[cfg(target_pointer_width = "64")]
        let len = self.input.u64()?;
        // On a small machine no buffer holds more.
        #[cfg(not(target_pointer_width = "64"))]
        let len = self.input.u32()?;
        usize::try_from(len).map_err(|_| DecodeError::Truncated)
    }

    #[inline]
    fn take_bytes(&mut self) -> Result<&'de [u8], DecodeError> {
        let len = self.take_len()?;
        self.input.bytes(len)
    }

    #[inline]
    fn take_str(&mut self) -> Result<&'de str, DecodeError> {
        core::str::from_utf8(self.take_bytes()?).map_err(|_| DecodeError::Utf8)
    }

    /// Decodes a value of type `T` that has parts, one level down.
    #[inline]
    fn nest<T>(&mut self, parts: impl FnOnce(&mut Self) -> Result<T, DecodeError>) -> Result<T, DecodeError> {
        let outer = self.budget.enter(size_of::<T>())?;
        let value = parts(self)?;
        self.budget.leave(outer);
        Ok(value)
    }
}

macro_rules! numbers {
    ($($method:ident, $visit:ident, $take:ident $(, $unfold:ident)?;)*) => {$(
        #[cfg_attr(feature = "std", inline(always))]
        #[cfg_attr(not(feature = "std"), inline)]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            let value = self.input.$take()?;
            $(let value = varint::$unfold(value);)?
            visitor.$visit(value)
        }
    )*};
}

macro_rules! unsupported {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, DecodeError> {
            Err(DecodeError::Unsupported)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for &mut Decoder<'de> {
    type Error = DecodeError;

    unsupported!(deserialize_any deserialize_identifier deserialize_ignored_any);

    numbers! {
        deserialize_u64, visit_u64, u64;
        deserialize_u128, visit_u128, u128;
        deserialize_i64, visit_i64, u64, unfold_i64;
        deserialize_i128, visit_i128, u128, unfold_i128;
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_u16(self.input.u16()?)
    }

    #[inline]
    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_u32(self.input.u32()?)
    }

    #[inline]
    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_i16(varint::unfold_i16(self.input.u16()?))
    }

    #[inline]
    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_i32(varint::unfold_i32(self.input.u32()?))
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.input.byte()? {
            0 => visitor.visit_bool(false),
            1 => visitor.visit_bool(true),
            _ => Err(DecodeError::Value),
        }
    }

    #[inline]
    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_i8(self.input.byte()? as i8)
    }

    #[inline]
    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_u8(self.input.byte()?)
    }

    #[inline]
    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_f32(f32::from_le_bytes(self.input.array()?))
    }

    #[inline]
    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_f64(f64::from_le_bytes(self.input.array()?))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let mut chars = self.take_str()?.chars();
        match (chars.next(), chars.next()) {
            (Some(char), None) => visitor.visit_char(char),
            _ => Err(DecodeError::Value),
        }
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.budget.place(size_of::<V::Value>())?;
        visitor.visit_borrowed_str(self.take_str()?)
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.budget.place(size_of::<V::Value>())?;
        visitor.visit_borrowed_bytes(self.take_bytes()?)
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_bytes(visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.nest(|decoder| match decoder.input.byte()? {
            0 => visitor.visit_none(),
            1 => visitor.visit_some(decoder),
            _ => Err(DecodeError::Value),
        })
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.nest(|decoder| visitor.visit_newtype_struct(decoder))
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.nest(|decoder| {
            let left = decoder.take_len()?;
            let planned = decoder.budget.plan(left)?;
            visitor.visit_seq(Elements { decoder, left, planned, paid: 0 })
        })
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.nest(|decoder| visitor.visit_seq(Fields { decoder, left: len }))
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_tuple(len, visitor)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.nest(|decoder| {
            let left = decoder.take_len()?;
            let planned = decoder.budget.plan(left)?;
            visitor.visit_map(Elements { decoder, left, planned, paid: 0 })
        })
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.nest(|decoder| visitor.visit_enum(Variant { decoder }))
    }
}

/// The fields of a struct or tuple.
struct Fields<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
    left: usize,
}

impl<'de> de::SeqAccess<'de> for Fields<'_, 'de> {
    type Error = DecodeError;

    // In line, so that a short value is put together in registers.
    #[inline(always)]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DecodeError> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        seed.deserialize(&mut *self.decoder).map(Some)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The elements of a list, or the entries of a map.
struct Elements<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
    left: usize,
    planned: usize,
    /// The size that has been charged for each element, those to come included.
    paid: usize,
}

impl<'de> Elements<'_, 'de> {
    /// Decodes an element, one of `count` that are still to come.
    #[inline]
    fn element<S: DeserializeSeed<'de>>(&mut self, seed: S, count: usize) -> Result<S::Value, DecodeError> {
        // At least one, so that a list of what takes neither memory nor bytes is not endless.
        let size = size_of::<S::Value>().max(1);
        if size > self.paid {
            self.decoder.budget.charge(count.saturating_mul(size - self.paid))?;
            self.paid = size;
        }
        self.decoder.budget.cover(size);
        seed.deserialize(&mut *self.decoder)
    }
}

impl<'de> de::SeqAccess<'de> for Elements<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DecodeError> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        self.element(seed, left + 1).map(Some)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.planned)
    }
}

impl<'de> de::MapAccess<'de> for Elements<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, DecodeError> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        // Each entry pays for itself: keys and values differ in size.
        self.paid = 0;
        self.element(seed, 1).map(Some)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, DecodeError> {
        self.paid = 0;
        self.element(seed, 1)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.planned)
    }
}

/// The variant of an enum: its index, then its parts.
struct Variant<'a, 'de> {
    decoder: &'a mut Decoder<'de>,
}

impl<'de> de::EnumAccess<'de> for Variant<'_, 'de> {
    type Error = DecodeError;
    type Variant = Self;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), DecodeError> {
        let index = self.decoder.input.u32()?;
        let name = seed.deserialize(IntoDeserializer::<DecodeError>::into_deserializer(index))?;
        Ok((name, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn unit_variant(self) -> Result<(), DecodeError> {
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, DecodeError> {
        seed.deserialize(self.decoder)
    }

    // The parts belong to the enum's own level and lie in its own bytes.
    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_seq(Fields { decoder: self.decoder, left: len })
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.tuple_variant(fields.len(), visitor)
    }
}
