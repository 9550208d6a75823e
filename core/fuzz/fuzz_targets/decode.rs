//! Whatever decodes is encoded as it stood, and costs a small multiple of its bytes.
#![no_main]

use netchan::testing::fuzz;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let used = allocation_counter::measure(|| _ = fuzz::decode_only(data)).bytes_max;
    assert!(used <= fuzz::decode_budget(data), "{used} bytes held for {}", data.len());
    fuzz::decode(data);
});
