//! Fuzzing of typed decoding: types of many shapes, arbitrary bytes.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::Message;
use crate::message::{Blob, Bytes, DecodeError, EncodeError, Text};

#[derive(Serialize, Deserialize, Message, Debug, PartialEq)]
struct Numbers {
    a: (u8, u16, u32, u64, u128),
    b: (i8, i16, i32, i64, i128),
    c: [f32; 2],
    d: f64,
    e: bool,
    f: char,
}

#[derive(Serialize, Deserialize, Message, Debug, PartialEq)]
struct Id(u32);

#[derive(Serialize, Deserialize, Message, Debug, PartialEq)]
struct Pair(i16, String);

#[derive(Serialize, Deserialize, Message, Debug, PartialEq)]
struct Unit;

#[derive(Serialize, Deserialize, Message, Debug, PartialEq)]
enum Event<T> {
    Idle,
    One(Id),
    Two(T, u8),
    Named { ticks: Vec<T>, label: Option<String>, unit: Unit },
    Never(Result<T, Pair>),
}

#[derive(Serialize, Deserialize, Message, Debug, PartialEq)]
struct Everything {
    numbers: Box<Numbers>,
    events: Vec<Event<Option<i16>>>,
    outcome: Result<Pair, ()>,
    text: Text<16>,
    blob: Blob<16>,
    bytes: Bytes,
    grid: [[u16; 2]; 3],
}

#[derive(Serialize, Deserialize, Message, Debug, PartialEq)]
struct Mapped {
    names: BTreeMap<u16, Result<String, ()>>,
    nested: BTreeMap<String, Vec<BTreeMap<bool, Unit>>>,
}

/// So large that a long list of it is refused.
#[derive(Serialize, Deserialize, Message, Debug, PartialEq)]
enum Large {
    Idle,
    Full(Box<[[u64; 32]; 8]>),
    Sparse(Option<[u64; 16]>),
}

#[derive(Serialize, Deserialize, Message, Debug, PartialEq)]
struct ReadingV1 {
    celsius: i16,
}

#[derive(Serialize, Deserialize, Message, Debug, PartialEq)]
#[netchan(also = ReadingV1)]
struct Reading {
    sensor: u8,
    celsius: Option<f32>,
}

impl From<ReadingV1> for Reading {
    fn from(old: ReadingV1) -> Self {
        Self { sensor: 0, celsius: Some(f32::from(old.celsius)) }
    }
}

type V<T> = Vec<T>;
/// As deep as a type may be.
type Deep = V<V<V<V<V<V<V<V<V<V<V<V<V<V<V<V<u8>>>>>>>>>>>>>>>>;

/// What else holds of a type's encodings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Of every value there is one, and it says itself where it ends.
    One,
    /// Entries of a map are taken in any order.
    Map,
    /// All bytes are a value, up to the capacity.
    Raw,
}

struct Kind {
    /// Everything that has to hold of these bytes.
    check: fn(&[u8]),
    /// Decodes them, and nothing else.
    decode: fn(&[u8]) -> Option<DecodeError>,
    form: Form,
}

macro_rules! kinds {
    ($($type:ty: $form:ident),* $(,)?) => {
        &[$(Kind {
            check: |bytes| check::<$type>(bytes, Form::$form),
            decode: |bytes| <$type>::decode(bytes).err(),
            form: Form::$form,
        }),*]
    };
}

const LIST: &[Kind] = kinds! {
    u8: One, u64: One, i128: One, f64: One, bool: One, char: One, (): One, String: One, Id: One, Unit: One,
    Text<5>: One, Blob<5>: Raw, Bytes: Raw, (Blob<300>, Bytes): One, Pair: One, Numbers: One, Reading: One,
    Option<Option<bool>>: One, Result<u32, String>: One, [u16; 32]: One, Vec<()>: One, Vec<u128>: One,
    Vec<Vec<()>>: One, Vec<String>: One, Event<u8>: One, Event<String>: One, Vec<Event<Id>>: One,
    Everything: One, Vec<Everything>: One, Vec<Large>: One, Vec<Option<Box<Large>>>: One,
    Vec<(u8, Box<(u8, Large)>)>: One, Deep: One, BTreeMap<u8, u8>: Map, BTreeMap<(), ()>: Map, Mapped: Map,
    Vec<BTreeMap<u8, Large>>: Map,
};

/// How many types there are: the first byte of an input chooses one, modulo this.
pub const KINDS: usize = LIST.len();

fn kind(data: &[u8]) -> Option<(&'static Kind, &[u8])> {
    let (&which, bytes) = data.split_first()?;
    Some((&LIST[usize::from(which) % LIST.len()], bytes))
}

/// Whatever decodes is written as it stood, and decodes to the same value; nothing is left
/// over, and nothing less is enough.
pub fn decode(data: &[u8]) {
    if let Some((kind, bytes)) = kind(data) {
        (kind.check)(bytes);
    }
}

/// Decodes, and nothing else: for who counts what that allocates. Gives the error.
pub fn decode_only(data: &[u8]) -> Option<DecodeError> {
    let (kind, bytes) = kind(data)?;
    (kind.decode)(bytes)
}

/// The most that decoding these may hold at once, in bytes: what [`Message::decode`] promises,
/// with what growing vectors hold in reserve; and a map has room for eleven entries as soon
/// as it has one.
pub fn decode_budget(data: &[u8]) -> u64 {
    let Some((kind, bytes)) = kind(data) else { return 0 };
    let reserve = if kind.form == Form::Map { 12 } else { 3 };
    reserve * (4096 + 32 * bytes.len() as u64)
}

fn check<T: Message + PartialEq + Debug>(bytes: &[u8], form: Form) {
    for older in T::ACCEPTED {
        let _ = (older.decode)(bytes);
    }
    let owned = T::decode_owned(bytes.to_vec());
    let value = match T::decode(bytes) {
        Ok(value) => value,
        Err(error) => {
            assert_eq!(owned.err(), Some(error), "owned bytes decode alike");
            return;
        }
    };
    assert!(owned.is_ok_and(|owned| same(&owned, &value)), "owned bytes decode alike");
    let mut out = Vec::new();
    match value.encode_to(&mut out) {
        Ok(()) => {}
        // Entries that stood twice are gone, and with them the budget that they brought.
        Err(EncodeError::Budget) if form == Form::Map => return,
        Err(error) => panic!("{value:?} decoded, and cannot be encoded: {error}"),
    }
    if form == Form::Map {
        assert!(out.len() <= bytes.len(), "{value:?} has grown");
    } else {
        assert_eq!(out, bytes, "one value has one form: {value:?}");
    }
    assert!(T::MAX_LEN.is_none_or(|most| out.len() <= most), "longer than its longest");
    let again = T::decode(&out).unwrap_or_else(|error| panic!("{value:?}: {error}"));
    assert!(same(&again, &value), "{again:?} was {value:?}");

    let mut exact = vec![0; out.len()];
    assert_eq!(value.encode(&mut exact), Ok(out.len()));
    assert_eq!(exact, out, "both ways to encode agree");
    if let Some(short) = out.len().checked_sub(1) {
        assert_eq!(value.encode(&mut exact[..short]), Err(EncodeError::Full));
        if form != Form::Raw {
            assert!(T::decode(&out[..short]).is_err(), "a part of {value:?} is not a value");
        }
    }
    if form != Form::Raw {
        out.push(0);
        assert!(T::decode(&out).is_err(), "something follows {value:?}");
    }
}

/// Numbers that are none are not equal to themselves.
fn same<T: PartialEq + Debug>(a: &T, b: &T) -> bool {
    a == b || alloc::format!("{a:?}") == alloc::format!("{b:?}")
}
