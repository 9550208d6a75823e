//! Where a simulated router keeps what passes: bytes that are compared and copied with it.

use alloc::collections::VecDeque;

use crate::proto::Store;

/// Bytes that wait, no more than a length that is checked.
#[derive(Debug, Clone, Hash, Default)]
pub struct Queue {
    bytes: VecDeque<u8>,
    most: usize,
}

impl Queue {
    /// With room for so many bytes.
    pub fn new(most: usize) -> Self {
        Self { bytes: VecDeque::new(), most }
    }

    /// The room, in bytes.
    pub fn room(&self) -> usize {
        self.most
    }

    /// Changes the room.
    pub fn set_room(&mut self, most: usize) {
        self.most = most;
    }
}

impl Store for Queue {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        assert!(self.bytes.len() <= self.most, "no more came than was granted");
    }

    fn slices(&self, n: usize) -> (&[u8], &[u8]) {
        let (a, b) = self.bytes.as_slices();
        let first = n.min(a.len());
        (&a[..first], &b[..(n - first).min(b.len())])
    }

    fn pop(&mut self, n: usize) {
        self.bytes.drain(..n);
    }
}
