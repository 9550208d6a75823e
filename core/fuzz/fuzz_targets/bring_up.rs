//! The bring-up ends, and never without an echo.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netchan::testing::fuzz::bring_up(data));
