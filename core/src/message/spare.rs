//! Large buffers that a thread keeps for the next large message.
//!
//! A program that takes 64 KiB messages and drops each makes a common allocator give the
//! memory back to the system and ask for it again every time, with a page fault for every
//! 4 KiB of it: that costs as much as reading them.

use alloc::vec::Vec;
use core::cell::RefCell;

/// How many a thread keeps: as many as may wait in an inbox, of the length of a part.
const KEPT: usize = 16;
/// Buffers below this are no trouble to an allocator, in bytes.
pub(super) const MIN: usize = 16 * 1024;
/// Larger ones are not kept, in bytes: a thread keeps no more than `KEPT` times this, 2 MiB.
const MAX: usize = 128 * 1024;

std::thread_local! {
    static SPARES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with room for `len` bytes.
pub(crate) fn take(len: usize) -> Vec<u8> {
    let mut buffer = spare(len).unwrap_or_else(|| Vec::with_capacity(len));
    buffer.clear();
    buffer
}

/// A buffer of `len` bytes, whatever they are: no time goes into clearing one that is
/// about to be read into.
pub(crate) fn take_filled(len: usize) -> Vec<u8> {
    let mut buffer = spare(len).unwrap_or_default();
    if buffer.is_empty() {
        return alloc::vec![0; len];
    }
    buffer.resize(len, 0);
    buffer
}

fn spare(len: usize) -> Option<Vec<u8>> {
    if !(MIN..=MAX).contains(&len) {
        return None;
    }
    let spare = SPARES.try_with(|spares| {
        let mut spares = spares.borrow_mut();
        let at = spares.iter().rposition(|spare| spare.capacity() >= len)?;
        Some(spares.swap_remove(at))
    });
    spare.ok().flatten()
}

/// Keeps a buffer that is not needed any more, or drops it.
pub(crate) fn keep(buffer: Vec<u8>) {
    if !(MIN..=MAX).contains(&buffer.capacity()) {
        return;
    }
    // A thread that ends keeps nothing.
    let _ = SPARES.try_with(|spares| {
        let mut spares = spares.borrow_mut();
        if spares.len() < KEPT {
            spares.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded() {
        for _ in 0..2 * KEPT {
            keep(Vec::with_capacity(MAX));
            keep(Vec::with_capacity(MAX + 1));
            keep(Vec::with_capacity(MIN - 1));
        }
        let kept = SPARES.with_borrow(|spares| spares.iter().map(Vec::capacity).collect::<Vec<_>>());
        assert_eq!(kept, [MAX; KEPT]);
    }

    #[test]
    fn a_buffer_comes_back_empty_and_long_enough() {
        keep(alloc::vec![7; MIN]);
        assert!(take(MIN + 1).capacity() > MIN);
        let spare = take(MIN);
        assert!(spare.is_empty() && spare.capacity() >= MIN);
        keep(spare);
        assert_eq!(take_filled(MIN).len(), MIN);
        assert!(SPARES.with_borrow(Vec::is_empty));
    }
}
