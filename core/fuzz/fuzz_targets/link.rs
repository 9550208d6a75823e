//! Arbitrary frames on a link with circuits.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netchan::testing::fuzz::link(data));
