//! The encoding: round trips, the same bytes as postcard, and what a decoder must refuse.

#![cfg(feature = "alloc")]

use std::collections::BTreeMap;

use netchan::message::{Accepted, EndError, EndVisitor, Shape};
use netchan::{Blob, Bytes, DecodeError, EncodeError, Message, Text};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Message, Debug, Clone, PartialEq)]
struct Numbers {
    a: (u8, u16, u32, u64, u128),
    b: (i8, i16, i32, i64, i128),
    c: [f32; 2],
    d: f64,
    e: bool,
    f: char,
}

#[derive(Serialize, Deserialize, Message, Debug, Clone, PartialEq)]
struct Id(u32);

#[derive(Serialize, Deserialize, Message, Debug, Clone, PartialEq)]
struct Unit;

#[derive(Serialize, Deserialize, Message, Debug, Clone, PartialEq)]
enum Event<T> {
    Idle,
    One(Id),
    Two(T, u8),
    Named { ticks: Vec<T>, r#type: Option<String>, unit: Unit },
}

#[derive(Serialize, Deserialize, Message, Debug, Clone, PartialEq)]
struct Everything {
    numbers: Box<Numbers>,
    events: Vec<Event<Option<i16>>>,
    map: BTreeMap<u16, Result<String, ()>>,
    text: Text<16>,
    blob: Blob<16>,
    bytes: Bytes,
}

prop_compose! {
    fn numbers()(
        a in any::<(u8, u16, u32, u64, u128)>(), b in any::<(i8, i16, i32, i64, i128)>(),
        c in prop::array::uniform2(-1e9f32..1e9), d in -1e9f64..1e9, e in any::<bool>(), f in any::<char>(),
        shift in 0u32..128,
    ) -> Numbers {
        // Shifted, so that short and long numbers are equally likely.
        let a = (a.0, a.1 >> (shift / 8), a.2 >> (shift / 4), a.3 >> (shift / 2), a.4 >> shift);
        let b = (b.0, b.1 >> (shift / 8), b.2 >> (shift / 4), b.3 >> (shift / 2), b.4 >> shift);
        Numbers { a, b, c, d, e, f }
    }
}

fn event() -> impl Strategy<Value = Event<Option<i16>>> {
    prop_oneof![
        Just(Event::Idle),
        any::<u32>().prop_map(|id| Event::One(Id(id))),
        any::<(Option<i16>, u8)>().prop_map(|(a, b)| Event::Two(a, b)),
        (prop::collection::vec(any::<Option<i16>>(), 0..5), prop::option::of(".{0,6}"))
            .prop_map(|(ticks, r#type)| Event::Named { ticks, r#type, unit: Unit }),
    ]
}

prop_compose! {
    fn everything()(
        numbers in numbers(), events in prop::collection::vec(event(), 0..4),
        map in prop::collection::btree_map(any::<u16>(), prop::result::maybe_ok(".{0,6}", Just(())), 0..4),
        text in "[a-z]{0,16}",
        blob in prop::collection::vec(any::<u8>(), 0..16), bytes in prop::collection::vec(any::<u8>(), 0..16),
    ) -> Everything {
        Everything {
            numbers: Box::new(numbers), events, map, text: text.parse().unwrap(),
            blob: Blob::try_from(&blob[..]).unwrap(), bytes: bytes.into(),
        }
    }
}

fn encoded<T: Message>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode_to(&mut bytes).expect("the value can be encoded");
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..<_>::default() })]

    #[test]
    fn every_value_comes_back_and_has_the_bytes_that_postcard_gives_it(value in everything()) {
        let bytes = encoded(&value);
        prop_assert_eq!(&bytes, &postcard::to_allocvec(&value).unwrap());
        prop_assert_eq!(Everything::decode(&bytes), Ok(value.clone()));

        let mut exact = vec![0; bytes.len()];
        prop_assert_eq!(value.encode(&mut exact), Ok(bytes.len()));
        prop_assert_eq!(&exact, &bytes);
        let short = bytes.len() - 1;
        prop_assert_eq!(value.encode(&mut exact[..short]), Err(EncodeError::Full));
    }

    #[test]
    fn a_cut_value_is_refused_and_so_is_a_longer_one(value in everything()) {
        let mut bytes = encoded(&value);
        for len in 0..bytes.len() {
            prop_assert!(Everything::decode(&bytes[..len]).is_err());
        }
        bytes.push(0);
        prop_assert_eq!(Everything::decode(&bytes), Err(DecodeError::Trailing));
    }

    #[test]
    fn a_flipped_bit_gives_another_value_or_an_error(value in everything()) {
        let mut bytes = encoded(&value);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = Everything::decode(&bytes) {
                // `-0.0 == 0.0` and NaN aside, one value has one encoding.
                prop_assert!(other != value || other.numbers.d == 0.0 || other.numbers.c.contains(&0.0));
            }
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn whatever_is_decoded_is_encoded_as_it_was(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        fn check<T: Message>(bytes: &[u8]) {
            if let Ok(value) = T::decode(bytes) {
                assert_eq!(encoded(&value), bytes);
            }
        }
        check::<Numbers>(&bytes);
        check::<Event<u64>>(&bytes);
        check::<Vec<(i32, Option<bool>)>>(&bytes);
        check::<Vec<String>>(&bytes);
        check::<(u16, u128, char)>(&bytes[..bytes.len().min(8)]);
        check::<Option<Text<8>>>(&bytes[..bytes.len().min(4)]);
        let _ = Everything::decode(&bytes);
    }

    #[test]
    fn a_number_of_any_length_is_the_one_that_postcard_reads(number in any::<u128>(), shift in 0u32..128) {
        let number = number >> shift;
        prop_assert_eq!(encoded(&number), postcard::to_allocvec(&number).unwrap());
        prop_assert_eq!(u128::decode(&encoded(&number)), Ok(number));
        prop_assert_eq!(encoded(&(number as i64)), postcard::to_allocvec(&(number as i64)).unwrap());
        prop_assert_eq!(i64::decode(&encoded(&(number as i64))), Ok(number as i64));
    }
}

#[test]
fn a_padded_or_oversized_number_is_refused() {
    assert_eq!(u16::decode(&[0x80, 0x00]), Err(DecodeError::Varint));
    assert_eq!(u16::decode(&[0xff, 0xff, 0x04]), Err(DecodeError::Varint), "17 bits");
    assert_eq!(u16::decode(&[0xff, 0xff, 0x83, 0x00]), Err(DecodeError::Varint));
    assert_eq!(u32::decode(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(u32::MAX));
    assert_eq!(u32::decode(&[0xff, 0xff, 0xff, 0xff, 0x1f]), Err(DecodeError::Varint));
    assert_eq!(u64::decode(&[0xff; 10]), Err(DecodeError::Varint));
    assert_eq!(u64::decode(&[0xff; 9]), Err(DecodeError::Truncated));
    assert_eq!(String::decode(&[0x81, 0x00, b'a']), Err(DecodeError::Varint), "lengths too");
}

#[test]
fn a_value_that_the_type_does_not_have_is_refused() {
    assert_eq!(bool::decode(&[2]), Err(DecodeError::Value));
    assert_eq!(Option::<u8>::decode(&[2, 0]), Err(DecodeError::Value));
    assert_eq!(Event::<u8>::decode(&[4]), Err(DecodeError::Value));
    assert_eq!(char::decode(&[2, b'a', b'b']), Err(DecodeError::Value));
    assert_eq!(char::decode(&[0]), Err(DecodeError::Value));
    assert_eq!(String::decode(&[1, 0xff]), Err(DecodeError::Utf8));
    assert_eq!(Text::<2>::decode(&[3, b'a', b'b', b'c']), Err(DecodeError::TooLong));
    assert_eq!(<(Blob<2>,)>::decode(&[3, 1, 2, 3]), Err(DecodeError::TooLong));
}

#[test]
fn bytes_of_one_struct_are_not_taken_for_another_of_other_numbers() {
    // postcard alone reads the first as {599, 2, true} of (u16, u8, bool).
    assert_ne!(<(i16, u8, bool)>::FINGERPRINT, <(u16, u8, bool)>::FINGERPRINT);
}

#[test]
fn bytes_are_sent_as_they_are_and_moved_both_ways() {
    let bytes = Bytes::from(vec![1, 2, 3]);
    assert_eq!(encoded(&bytes), [1, 2, 3]);
    let before = bytes.as_ptr();
    let buffer = bytes.into_owned_bytes().unwrap();
    let back = Bytes::decode_owned(buffer).unwrap();
    assert_eq!(back.as_ptr(), before);

    let blob = Blob::<4>::try_from(&[1, 2, 3][..]).unwrap();
    assert_eq!(encoded(&blob), [1, 2, 3]);
    assert_eq!(Blob::<4>::decode(&[1, 2, 3]), Ok(blob));
    assert_eq!(Blob::<2>::decode(&[1, 2, 3]), Err(DecodeError::TooLong));
    assert_eq!(Blob::<2>::ACCEPTED[0].fingerprint, Bytes::FINGERPRINT);
}

#[test]
fn nothing_is_left_in_the_vector_after_an_error() {
    struct Odd;
    impl Serialize for Odd {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::{Error, SerializeTuple};
            serializer.serialize_tuple(1)?.serialize_element(&7u8)?;
            Err(S::Error::custom("odd"))
        }
    }
    impl<'de> Deserialize<'de> for Odd {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Ok(Self)
        }
    }
    impl Message for Odd {
        const NAME: &'static str = "Odd";
        const SHAPE: Shape = Shape::leaf("odd", None);
    }
    let mut out = vec![1];
    assert_eq!(Odd.encode_to(&mut out), Err(EncodeError::Unsupported));
    assert_eq!(out, [1]);
}

#[derive(Serialize, Deserialize, Message)]
#[netchan(name = "Reading")]
struct ReadingV1 {
    celsius: i16,
}

#[derive(Serialize, Deserialize, Message, Debug, PartialEq)]
#[netchan(also = ReadingV1)]
struct Reading {
    millikelvin: u32,
}

impl From<ReadingV1> for Reading {
    fn from(old: ReadingV1) -> Self {
        Self { millikelvin: ((i32::from(old.celsius) * 1000) + 273_150) as u32 }
    }
}

#[test]
fn an_older_version_is_decoded_and_converted() {
    let [older]: &[Accepted<Reading>] = Reading::ACCEPTED else { panic!("one older version") };
    assert_eq!(older.fingerprint, ReadingV1::FINGERPRINT);
    assert_eq!((older.name, older.max_len), ("Reading", Some(3)));
    let bytes = encoded(&ReadingV1 { celsius: 20 });
    assert_eq!((older.decode)(&bytes), Ok(Reading { millikelvin: 293_150 }));
}

/// Stands for a channel end: an ordinal on the wire.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct End(u8);

impl Message for End {
    const NAME: &'static str = "End";
    const SHAPE: Shape = Shape::end("sender", &[u8::FINGERPRINT], 1);

    fn visit_ends(&mut self, visitor: &mut dyn EndVisitor) -> Result<(), EndError> {
        visitor.end(self)
    }
}

#[derive(Serialize, Deserialize, Message, Debug, PartialEq)]
enum Offer {
    None,
    Some { name: String, ends: (End, Option<End>), more: Vec<End>, by_name: BTreeMap<u8, [End; 2]> },
    Last(Result<End, Box<End>>),
}

#[test]
fn ends_are_visited_in_the_order_of_the_fields() {
    struct Number(u8);
    impl EndVisitor for Number {
        fn end(&mut self, end: &mut dyn core::any::Any) -> Result<(), EndError> {
            let end = end.downcast_mut::<End>().ok_or(EndError::Refused)?;
            *end = End(self.0);
            self.0 += 1;
            if self.0 > 6 { Err(EndError::TooMany) } else { Ok(()) }
        }
    }
    let end = || End(99);
    let mut offer = Offer::Some {
        name: "x".into(),
        ends: (end(), Some(end())),
        more: vec![end()],
        by_name: BTreeMap::from([(1, [end(), end()])]),
    };
    const { assert!(Offer::HAS_ENDS && !Reading::HAS_ENDS) };
    let mut visitor = Number(0);
    offer.visit_ends(&mut visitor).unwrap();
    assert_eq!(
        offer,
        Offer::Some {
            name: "x".into(),
            ends: (End(0), Some(End(1))),
            more: vec![End(2)],
            by_name: BTreeMap::from([(1, [End(3), End(4)])]),
        }
    );
    Offer::Last(Err(Box::new(end()))).visit_ends(&mut visitor).unwrap();
    assert_eq!(Offer::Last(Ok(end())).visit_ends(&mut visitor), Err(EndError::TooMany));
    Offer::None.visit_ends(&mut visitor).unwrap();
}
