//! Arbitrary bytes on a lossy line.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netchan::testing::fuzz::line(data));
