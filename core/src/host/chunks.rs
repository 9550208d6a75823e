//! Bytes that wait on their way through this node, in pieces that need not be copied again.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use crate::proto::Store;

/// What short messages gather in, in bytes.
const CHUNK: usize = 4 * 1024;
/// The first of them, in bytes: most circuits never hold more.
const CHUNK_MIN: usize = 256;

/// Bytes as they lie in a buffer.
pub(crate) type Lying = (Arc<Vec<u8>>, Range<usize>);

/// First in, first out. What comes as a buffer of its own is passed on as that, and goes out from where it lies.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    queue: VecDeque<Chunk>,
    /// What is pushed next, if it is these very bytes.
    owned: Option<Arc<Vec<u8>>>,
}

#[derive(Debug)]
struct Chunk {
    bytes: Arc<Vec<u8>>,
    from: usize,
}

impl Chunk {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.from..]
    }
}

impl Chunks {
    /// These bytes are about to be pushed, and may be kept without a copy.
    pub(crate) fn offer(&mut self, owned: Arc<Vec<u8>>) {
        self.owned = Some(owned);
    }

    /// Takes the first `n` bytes, which are there, out as they lie: at most `most` pieces, or none at all.
    pub(crate) fn take(&mut self, n: usize, most: usize) -> Option<Vec<Lying>> {
        let mut pieces = Vec::new();
        let mut left = n;
        for chunk in self.queue.iter().filter(|chunk| !chunk.rest().is_empty()) {
            if left == 0 {
                break;
            }
            if pieces.len() >= most {
                return None;
            }
            let len = left.min(chunk.rest().len());
            pieces.push((Arc::clone(&chunk.bytes), chunk.from..chunk.from + len));
            left -= len;
        }
        self.pop(n);
        Some(pieces)
    }
}

impl Store for Chunks {
    fn push(&mut self, bytes: &[u8]) {
        if let Some(owned) = self.owned.take_if(|owned| core::ptr::eq(&***owned, bytes)) {
            self.queue.push_back(Chunk { bytes: owned, from: 0 });
            return;
        }
        let queued = self.queue.len();
        if let Some(last) = self.queue.back_mut()
            && let Some(tail) = Arc::get_mut(&mut last.bytes)
        {
            if last.from == tail.len() {
                tail.clear();
                last.from = 0;
            }
            // Whole or not at all, so that short ones stay together.
            if tail.capacity() - tail.len() >= bytes.len() {
                return tail.extend_from_slice(bytes);
            }
        }
        let mut tail = Vec::with_capacity(bytes.len().max(if queued == 0 { CHUNK_MIN } else { CHUNK }));
        tail.extend_from_slice(bytes);
        self.queue.push_back(Chunk { bytes: Arc::new(tail), from: 0 });
    }

    fn slices(&self, n: usize) -> (&[u8], &[u8]) {
        let mut pieces = self.queue.iter().map(Chunk::rest).filter(|rest| !rest.is_empty());
        let (a, b) = (pieces.next().unwrap_or_default(), pieces.next().unwrap_or_default());
        let first = n.min(a.len());
        (&a[..first], &b[..(n - first).min(b.len())])
    }

    fn pop(&mut self, n: usize) {
        let mut left = n;
        while let Some(first) = self.queue.front_mut() {
            let len = left.min(first.rest().len());
            first.from += len;
            left -= len;
            // The last one stays for what comes next, unless it is large.
            let is_empty = first.rest().is_empty();
            if !is_empty || self.queue.len() == 1 && self.queue[0].bytes.capacity() <= CHUNK {
                return;
            }
            self.queue.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    /// All that is there, without taking it.
    fn read(chunks: &mut Chunks, n: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < n {
            let (a, b) = chunks.slices(n - all.len());
            assert!(!a.is_empty(), "at least one byte, where there are any");
            let len = a.len() + b.len();
            all.extend_from_slice(a);
            all.extend_from_slice(b);
            chunks.pop(len);
        }
        all
    }

    #[test]
    fn bytes_come_out_as_they_went_in_whether_copied_or_not() {
        let mut chunks = Chunks::default();
        let (mut put, mut got) = (0u8, 0u8);
        let mut held = 0;
        for step in 0..4000usize {
            let n = [1, 4, 7, 300, 5000, 0][step % 6];
            let bytes: Vec<u8> = (0..n).map(|i| put.wrapping_add(i as u8)).collect();
            put = put.wrapping_add(n as u8);
            if step % 4 == 0 && n > 0 {
                let owned = Arc::new(bytes);
                chunks.offer(Arc::clone(&owned));
                chunks.push(&owned);
            } else {
                chunks.push(&bytes);
            }
            held += n;
            let want = [3, 900, 2, 4000, 0, 1, 700][step % 7].min(held);
            let out = if step % 3 == 0 {
                match chunks.take(want, 3) {
                    Some(pieces) => {
                        pieces.iter().flat_map(|(bytes, range)| bytes[range.clone()].to_vec()).collect()
                    }
                    None => read(&mut chunks, want),
                }
            } else {
                read(&mut chunks, want)
            };
            assert_eq!(out.len(), want);
            for byte in out {
                assert_eq!(byte, got);
                got = got.wrapping_add(1);
            }
            held -= want;
        }
    }

    #[test]
    fn a_buffer_that_is_passed_on_is_not_copied() {
        let mut chunks = Chunks::default();
        let owned = Arc::new(vec![7; 100_000]);
        chunks.push(&[1, 2, 3, 4]);
        chunks.offer(Arc::clone(&owned));
        chunks.push(&owned);
        chunks.pop(4);
        let pieces = chunks.take(100_000, 1).unwrap();
        assert!(Arc::ptr_eq(&pieces[0].0, &owned));
        assert_eq!(pieces[0].1, 0..100_000);
        drop(pieces);
        assert_eq!(Arc::strong_count(&owned), 1, "nothing holds on to it");
    }
}
