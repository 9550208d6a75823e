//! Room on the stack for one encoded message, so that encoding and decoding happen in no critical
//! section and in nobody's arena.

/// The longest message that a board's channel may have, in bytes.
pub(super) const MESSAGE_MAX: usize = 2048;

/// Runs `f` with at least `len` bytes. Where `len` is a constant, as it is for every type, one of
/// the rooms is left of this.
#[inline(always)]
pub(super) fn with<R>(len: usize, f: impl FnOnce(&mut [u8]) -> R) -> R {
    match len {
        0..=16 => f(&mut [0; 16]),
        17..=32 => f(&mut [0; 32]),
        33..=64 => f(&mut [0; 64]),
        65..=128 => f(&mut [0; 128]),
        129..=256 => f(&mut [0; 256]),
        257..=512 => f(&mut [0; 512]),
        513..=1024 => f(&mut [0; 1024]),
        _ => f(&mut [0; MESSAGE_MAX]),
    }
}
