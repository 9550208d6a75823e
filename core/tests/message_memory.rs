//! What decoding may allocate, measured.

#![cfg(feature = "alloc")]

use std::collections::BTreeMap;

use allocation_counter::measure;
use netchan::{Bytes, DecodeError, EncodeError, Message};
use serde::{Deserialize, Serialize};

/// What `Message::decode` promises, with what growing vectors and map nodes hold in reserve.
fn bound(len: usize) -> u64 {
    3 * (4096 + 32 * len as u64)
}

/// Decodes, checks the most memory held at once, and gives only the error.
fn decode<T: Message>(bytes: &[u8]) -> Option<DecodeError> {
    let mut error = None;
    let used = measure(|| error = T::decode(bytes).err()).bytes_max;
    assert!(used <= bound(bytes.len()), "{used} bytes held while decoding {} into {}", bytes.len(), T::NAME);
    error
}

/// A list of as many elements as there are zeros after its length.
fn zeros(count: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    count.encode_to(&mut bytes).unwrap();
    bytes.resize(bytes.len() + count as usize, 0);
    bytes
}

type Sparse = Option<[u64; 16]>;

#[derive(Serialize, Deserialize, Message, Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "so large that a list of them is refused")]
enum Large {
    Idle,
    Full([[u64; 32]; 8]),
}

#[test]
fn sparse_lists_are_refused_before_they_are_large() {
    let bytes = zeros(64 * 1024);
    assert_eq!(decode::<Vec<Sparse>>(&bytes), Some(DecodeError::Budget));
    assert_eq!(decode::<Vec<Large>>(&bytes), Some(DecodeError::Budget));
    assert_eq!(decode::<Vec<Box<Large>>>(&bytes), Some(DecodeError::Budget), "boxes count");
    assert_eq!(decode::<Vec<Option<Box<Large>>>>(&bytes), None, "absent boxes do not");
    assert_eq!(decode::<Vec<(u8, Box<(u8, Large)>)>>(&bytes), Some(DecodeError::Budget));
    assert_eq!(decode::<BTreeMap<u8, Large>>(&bytes), Some(DecodeError::Budget));
}

#[test]
fn a_length_from_the_peer_allocates_nothing() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0x0f];
    assert!(decode::<Vec<()>>(&huge).is_some());
    assert!(decode::<Vec<u64>>(&huge).is_some());
    assert!(decode::<Vec<[(); 3]>>(&huge).is_some());
    assert!(decode::<BTreeMap<(), ()>>(&huge).is_some());
    assert!(decode::<String>(&huge).is_some());
    assert!(decode::<(Bytes,)>(&huge).is_some());
    // Lists in lists, each of which claims as much as it may.
    let claims = [0xff, 0x1f].repeat(1000);
    assert!(decode::<Vec<Vec<Vec<Vec<Vec<Vec<Vec<Vec<Large>>>>>>>>>(&claims).is_some());
    assert!(decode::<Vec<Vec<()>>>(&claims).is_some());
}

#[test]
fn lists_of_small_things_are_taken_however_small_they_were() {
    let bytes = zeros(64 * 1024);
    assert_eq!(decode::<Vec<u64>>(&bytes), None);
    assert_eq!(decode::<Vec<u128>>(&bytes), None);
    assert_eq!(decode::<Vec<Option<u64>>>(&bytes), None);
    assert_eq!(decode::<Vec<String>>(&bytes), None);
    assert_eq!(decode::<Vec<Option<Bytes>>>(&bytes), None);
    assert_eq!(decode::<Vec<Vec<u8>>>(&bytes), None);
    assert_eq!(decode::<Vec<()>>(&[100]), None);
    assert_eq!(decode::<Vec<Sparse>>(&zeros(30)), None, "a few large ones are always taken");
}

#[test]
fn what_would_be_refused_is_not_sent() {
    let mut out = Vec::new();
    assert_eq!(vec![Sparse::None; 1000].encode_to(&mut out), Err(EncodeError::Budget));
    assert_eq!(vec![(); 10_000].encode_to(&mut out), Err(EncodeError::Budget));
    assert_eq!(vec![Box::new(Large::Idle); 1000].encode_to(&mut out), Err(EncodeError::Budget));
    assert!(out.is_empty());
    assert_eq!(vec![Some([1u64 << 40; 16]); 1000].encode_to(&mut out), Ok(()));
    assert_eq!(decode::<Vec<Sparse>>(&out), None);
    out.clear();
    // Each of these is charged less than the largest, so the estimate alone would refuse them.
    let mixed = (vec![Large::Idle; 1], vec![0u8; 2000]);
    assert_eq!(mixed.encode_to(&mut out), Ok(()));
    assert_eq!(decode::<(Vec<Large>, Vec<u8>)>(&out), None);
}

#[test]
fn a_flat_struct_allocates_nothing() {
    let mut out = Vec::with_capacity(64);
    let used = measure(|| {
        (1u64, u64::MAX, Some(1.5f32), 'x').encode_to(&mut out).unwrap();
        assert!(<(u64, u64, Option<f32>, char)>::decode(&out).is_ok());
    });
    assert_eq!(used.count_total, 0);
}
