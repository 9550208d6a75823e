//! Large buffers that a thread keeps for the next large message.
//!
//! A program that takes 64 KiB messages and drops each makes a common allocator give the
//! memory back to the system and ask for it again every time, with a page fault for every
//! 4 KiB of it: that costs as much as reading them.
//!
//! Where one thread reads messages and another writes them on, the buffers gather at the second one: what it
//! has too many of goes into a store that all threads share.

use alloc::vec::Vec;
use core::cell::RefCell;
use std::sync::{Mutex, PoisonError};

/// How many a thread keeps: as many as may wait in an inbox, of the length of a part.
const KEPT: usize = 16;
/// Buffers below this are no trouble to an allocator, in bytes.
pub(super) const MIN: usize = 16 * 1024;
/// Larger ones are not kept, in bytes: a thread keeps no more than `KEPT` times this, 2 MiB; and all of them
/// together as much again.
const MAX: usize = 128 * 1024;

/// What threads have too many of.
static SHARED: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

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
    let own = SPARES.try_with(|spares| pick(&mut spares.borrow_mut(), len));
    own.ok().flatten().or_else(|| pick(&mut SHARED.lock().unwrap_or_else(PoisonError::into_inner), len))
}

fn pick(spares: &mut Vec<Vec<u8>>, len: usize) -> Option<Vec<u8>> {
    let at = spares.iter().rposition(|spare| spare.capacity() >= len)?;
    Some(spares.swap_remove(at))
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
            return spares.push(buffer);
        }
        drop(spares);
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.len() < KEPT {
            shared.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded() {
        for _ in 0..4 * KEPT {
            keep(Vec::with_capacity(MAX));
            keep(Vec::with_capacity(MAX + 1));
            keep(Vec::with_capacity(MIN - 1));
        }
        let kept = SPARES.with_borrow(|spares| spares.iter().map(Vec::capacity).collect::<Vec<_>>());
        assert_eq!(kept, [MAX; KEPT]);
        let shared = SHARED.lock().unwrap().iter().map(Vec::capacity).collect::<Vec<_>>();
        assert!(shared.len() <= KEPT && shared.iter().all(|capacity| (MIN..=MAX).contains(capacity)));
    }

    #[test]
    fn what_one_thread_has_too_many_of_another_takes() {
        std::thread::spawn(|| {
            for _ in 0..2 * KEPT {
                keep(Vec::with_capacity(MAX));
            }
        })
        .join()
        .unwrap();
        // Other tests take some of them, but not all.
        assert!(spare(MAX).is_some());
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
