//! Any pieces of a stream give the same frames.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netchan::testing::fuzz::framing(data));
