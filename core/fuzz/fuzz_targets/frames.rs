//! What parses is written as it stood.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netchan::testing::fuzz::frames(data));
