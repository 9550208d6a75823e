//! Arbitrary frames at a router.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netchan::testing::fuzz::splice(data));
