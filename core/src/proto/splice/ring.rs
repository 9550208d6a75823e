//! A ring over borrowed bytes.

use super::Store;

/// Bytes that wait in a ring, which a router without an allocator lends. It holds as many as it is long.
#[derive(Debug)]
pub struct Ring<'a> {
    bytes: &'a mut [u8],
    head: usize,
    len: usize,
}

impl<'a> Ring<'a> {
    /// An empty one.
    pub const fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, head: 0, len: 0 }
    }
}

impl Store for Ring<'_> {
    fn push(&mut self, bytes: &[u8]) {
        let size = self.bytes.len();
        let fits = bytes.len().min(size - self.len);
        debug_assert_eq!(fits, bytes.len(), "no more came than was granted");
        if fits == 0 {
            return;
        }
        let at = (self.head + self.len) % size;
        let first = fits.min(size - at);
        self.bytes[at..at + first].copy_from_slice(&bytes[..first]);
        self.bytes[..fits - first].copy_from_slice(&bytes[first..fits]);
        self.len += fits;
    }

    fn slices(&self, n: usize) -> (&[u8], &[u8]) {
        let n = n.min(self.len);
        let first = n.min(self.bytes.len() - self.head);
        (&self.bytes[self.head..self.head + first], &self.bytes[..n - first])
    }

    fn pop(&mut self, n: usize) {
        let n = n.min(self.len);
        self.len -= n;
        // One form for an empty ring.
        self.head = if self.len == 0 { 0 } else { (self.head + n) % self.bytes.len() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in_at_any_place_of_the_ring() {
        let mut store = [0; 7];
        let mut ring = Ring::new(&mut store);
        let (mut put, mut got, mut len) = (0u8, 0u8, 0);
        for step in 0..1000 {
            let n = (step % 7 + 1).min(7 - len);
            let bytes: [u8; 7] = core::array::from_fn(|i| put.wrapping_add(i as u8));
            ring.push(&bytes[..n]);
            put = put.wrapping_add(n as u8);
            len += n;
            let want = (step % 5 + 1).min(len);
            let (a, b) = ring.slices(want);
            assert_eq!(a.len() + b.len(), want);
            for byte in a.iter().chain(b) {
                assert_eq!(*byte, got);
                got = got.wrapping_add(1);
            }
            ring.pop(want);
            len -= want;
        }
    }
}
