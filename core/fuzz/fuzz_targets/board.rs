//! Hostile records at a board, and an honest session after them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netchan::testing::fuzz::board(data));
