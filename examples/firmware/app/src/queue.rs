//! Bytes between an interrupt and the main loop: one side puts, the other takes.

use core::sync::atomic::{AtomicU8, Ordering};

/// Up to `N` bytes less one; `N` is a power of two, 128 at most.
#[derive(Debug)]
pub struct Queue<const N: usize> {
    bytes: [AtomicU8; N],
    head: AtomicU8,
    tail: AtomicU8,
}

impl<const N: usize> Default for Queue<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Queue<N> {
    const MASK: u8 = {
        assert!(N.is_power_of_two() && N <= 128);
        N as u8 - 1
    };

    /// An empty one.
    pub const fn new() -> Self {
        Self { bytes: [const { AtomicU8::new(0) }; N], head: AtomicU8::new(0), tail: AtomicU8::new(0) }
    }

    /// How many bytes have room.
    pub fn room(&self) -> usize {
        let (head, tail) = (self.head.load(Ordering::Acquire), self.tail.load(Ordering::Relaxed));
        let len = tail.wrapping_sub(head) & Self::MASK;
        usize::from(Self::MASK - len)
    }

    /// Whether there was room for it.
    pub fn put(&self, byte: u8) -> bool {
        let tail = self.tail.load(Ordering::Relaxed);
        let next = tail.wrapping_add(1) & Self::MASK;
        let fits = next != self.head.load(Ordering::Acquire);
        if fits {
            self.bytes[usize::from(tail & Self::MASK)].store(byte, Ordering::Relaxed);
            self.tail.store(next, Ordering::Release);
        }
        fits
    }

    /// The next byte, if there is one.
    pub fn take(&self) -> Option<u8> {
        let head = self.head.load(Ordering::Relaxed);
        if head == self.tail.load(Ordering::Acquire) {
            return None;
        }
        let byte = self.bytes[usize::from(head & Self::MASK)].load(Ordering::Relaxed);
        self.head.store(head.wrapping_add(1) & Self::MASK, Ordering::Release);
        Some(byte)
    }
}
