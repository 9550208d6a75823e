//! Fingerprints and limits: what must differ, what must not, and the vectors of `spec/types.txt`.

#![cfg(feature = "alloc")]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use netchan::{Blob, Bytes, Message, Text};
use serde::{Deserialize, Serialize};

macro_rules! messages {
    ($($module:ident { $($item:item)* })*) => {$(
        mod $module {
            #![allow(dead_code, unused_imports, unreachable_pub, reason = "only their types are compared")]
            use super::*;
            $(#[derive(Serialize, Deserialize, Message)] $item)*
        }
    )*};
}

messages! {
    plain { pub struct Frame { x: u8, hz: u16 } pub enum Mode { Off, On(u8) } }
    inner_only_x { pub struct Item { x: u8 } pub struct Frame { items: Vec<Item>, hz: u16 } }
    inner_x_and_hz { pub struct Item { x: u8, hz: u16 } pub struct Frame { items: Vec<Item> } }
    other_order { pub struct Frame { hz: u16, x: u8 } pub enum Mode { On(u8), Off } }
    other_name { pub struct Picture { x: u8, hz: u16 } pub enum State { Off, On(u8) } }
    other_parts { pub struct Frame { x: u8, khz: u16 } pub enum Mode { Off, Lit(u8) } }
    optional { pub struct Frame { x: Option<u8>, hz: u16 } pub enum Mode { Off, On(Option<u8>) } }
    other_type { pub struct Frame { x: i8, hz: u16 } pub enum Mode { Off, On(i8) } }
    unnamed { pub struct Frame(u8, u16); pub enum Mode { Off, On { level: u8 } } }
    moved { pub struct Frame { x: u8 } pub enum Mode { Off(u8), On } }
    // Text that would read the same if names were not delimited.
    glued { pub struct Frame { xhz: u8 } pub struct Fram { exhz: u8 } }
    pair_first { pub struct A { x: (u8, u16), y: u8 } }
    pair_last { pub struct A { x: u8, y: (u16, u8) } }
    renamed {
        #[netchan(name = "Frame")]
        pub struct Whatever { #[netchan(name = "x")] a: u8, #[serde(rename = "b")] hz: u16 }
        #[netchan(name = "Mode")]
        pub enum Anything { Off, #[netchan(name = "On")] Lit(u8) }
    }
}

fn print<T: Message>() -> u64 {
    T::FINGERPRINT.get()
}

#[test]
fn a_field_inside_the_items_is_not_a_field_beside_them() {
    assert_ne!(print::<inner_only_x::Frame>(), print::<inner_x_and_hz::Frame>());
    assert_ne!(print::<pair_first::A>(), print::<pair_last::A>());
}

#[test]
fn structs_that_differ_anywhere_have_different_fingerprints() {
    let all = [
        print::<plain::Frame>(),
        print::<other_order::Frame>(),
        print::<other_name::Picture>(),
        print::<other_parts::Frame>(),
        print::<optional::Frame>(),
        print::<other_type::Frame>(),
        print::<unnamed::Frame>(),
        print::<moved::Frame>(),
        print::<glued::Frame>(),
        print::<glued::Fram>(),
        print::<inner_only_x::Frame>(),
        print::<(u8, u16)>(),
    ];
    assert_all_differ(&all);
}

#[test]
fn enums_that_differ_anywhere_have_different_fingerprints() {
    let all = [
        print::<plain::Mode>(),
        print::<other_order::Mode>(),
        print::<other_name::State>(),
        print::<other_parts::Mode>(),
        print::<optional::Mode>(),
        print::<other_type::Mode>(),
        print::<unnamed::Mode>(),
        print::<moved::Mode>(),
    ];
    assert_all_differ(&all);
}

#[test]
fn types_that_share_an_encoding_have_different_fingerprints() {
    let all = [
        print::<u8>(),
        print::<i8>(),
        print::<bool>(),
        print::<u64>(),
        print::<i64>(),
        print::<f64>(),
        print::<String>(),
        print::<Text<8>>(),
        print::<Text<9>>(),
        print::<Bytes>(),
        print::<Blob<8>>(),
        print::<Vec<u8>>(),
        print::<(u8,)>(),
        print::<[u8; 1]>(),
        print::<[u8; 2]>(),
        print::<(u8, u8)>(),
        print::<Option<u8>>(),
        print::<Option<Option<u8>>>(),
        print::<Result<u8, ()>>(),
        print::<Result<(), u8>>(),
        print::<Vec<(u8, u16)>>(),
        print::<BTreeMap<u8, u16>>(),
        print::<()>(),
        print::<char>(),
    ];
    assert_all_differ(&all);
}

#[test]
fn what_only_this_machine_sees_does_not_count() {
    assert_eq!(print::<renamed::Whatever>(), print::<plain::Frame>());
    assert_eq!(print::<renamed::Anything>(), print::<plain::Mode>());
    assert_eq!(print::<Box<plain::Frame>>(), print::<plain::Frame>());
}

fn assert_all_differ(all: &[u64]) {
    for (at, one) in all.iter().enumerate() {
        assert!(!all[..at].contains(one), "number {at} has the fingerprint of an earlier one");
    }
}

#[derive(Serialize, Deserialize, Message)]
struct Reading {
    sensor: u16,
    celsius: Option<f32>,
}

#[derive(Serialize, Deserialize, Message)]
enum Command {
    Stop,
    Move(i16, i16),
    Say { text: Text<12>, times: u8 },
}

#[derive(Serialize, Deserialize, Message)]
struct Log {
    readings: Vec<Reading>,
    notes: BTreeMap<u8, String>,
    raw: Bytes,
    last: Result<Box<Command>, (bool, char)>,
}

#[derive(Serialize, Deserialize, Message)]
struct Metres(f64);

#[derive(Serialize, Deserialize, Message)]
struct Nothing;

/// All of `spec/types.txt` but its comments, as this code has it.
fn vectors() -> String {
    let mut text = String::new();
    macro_rules! types {
        ($($type:ty),* $(,)?) => {$(
            let max_len = <$type>::MAX_LEN.map_or("-".into(), |len| len.to_string());
            let name = stringify!($type).replace(' ', "");
            writeln!(text, "type {name} {} {max_len}", <$type>::FINGERPRINT).unwrap();
        )*};
    }
    macro_rules! values {
        ($($type:ty: $($value:expr),*;)*) => {$($(
            let value: $type = $value;
            let mut bytes = Vec::new();
            value.encode_to(&mut bytes).unwrap();
            let name = stringify!($type).replace(' ', "");
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let shown = stringify!($value).split_whitespace().collect::<Vec<_>>().join(" ");
            writeln!(text, "value {name} {} # {shown}", if hex.is_empty() { "-" } else { &hex }).unwrap();
        )*)*};
    }
    types! {
        (), bool, char, f32, f64, i8, i16, i32, i64, i128, u8, u16, u32, u64, u128, String, Bytes,
        Text<12>, Blob<200>, Option<u8>, Result<u8, bool>, [u16; 3], Vec<u8>, BTreeMap<u8, String>,
        (u8, u16), Reading, Command, Log, Metres, Nothing,
    }
    values! {
        bool: false, true;
        u8: 255;
        i8: -1;
        u16: 0, 127, 128, u16::MAX;
        i16: -1, 1, i16::MIN;
        u32: u32::MAX;
        u64: 300, u64::MAX;
        i64: i64::MIN;
        u128: u128::MAX;
        f32: 1.5;
        f64: -0.0;
        char: 'a', '€';
        String: "grün".into();
        Bytes: vec![1, 2, 3].into();
        Blob<200>: Blob::try_from(&[1, 2, 3][..]).unwrap();
        Text<12>: "ab".parse().unwrap();
        Option<u8>: None, Some(7);
        Result<u8, bool>: Ok(7), Err(true);
        [u16; 3]: [1, 2, 300];
        Vec<u8>: vec![], vec![1, 2, 3];
        BTreeMap<u8, String>: BTreeMap::from([(1, "a".into()), (2, "".into())]);
        (u8, u16): (1, 1000);
        Reading: Reading { sensor: 300, celsius: None }, Reading { sensor: 1, celsius: Some(21.5) };
        Command: Command::Stop, Command::Move(-3, 3), Command::Say { text: "hey".parse().unwrap(), times: 2 };
        Log: Log {
            readings: vec![Reading { sensor: 2, celsius: None }],
            notes: BTreeMap::from([(9, "ok".into())]),
            raw: vec![0, 255].into(),
            last: Ok(Box::new(Command::Stop))
        };
        Metres: Metres(2.0);
        Nothing: Nothing;
    }
    text
}

#[test]
fn the_vectors_of_the_specification_hold() {
    let file = include_str!("../../spec/types.txt");
    let specified: Vec<_> = file.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let ours = vectors();
    for (at, line) in ours.lines().enumerate() {
        assert_eq!(specified.get(at), Some(&line), "\nthis code has:\n{ours}");
    }
    assert_eq!(specified.len(), ours.lines().count());
}

#[test]
fn limits_are_exact() {
    assert_eq!(Reading::MAX_LEN, Some(3 + 1 + 4));
    assert_eq!(Command::MAX_LEN, Some(1 + 13 + 1));
    assert_eq!(Log::MAX_LEN, None);
    assert_eq!(<Option<Text<128>>>::MAX_LEN, Some(1 + 2 + 128));
    assert_eq!(Blob::<128>::MAX_LEN, Some(128), "as a message of its own it has no length before it");
    assert_eq!(Log::SHAPE.depth(), 4, "struct, list, struct, option");
    const { assert!(!Log::HAS_ENDS) };
}
