//! A ring over borrowed bytes: only its positions are kept here.

/// Where the bytes stand in a ring.
#[derive(Debug, Clone, Copy, Default)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub(super) struct Ring {
    head: u32,
    len: u32,
}

impl Ring {
    pub(super) const fn len(self) -> u32 {
        self.len
    }

    /// Appends `bytes`, for which there is room: the link has checked them against what was
    /// promised, and no more is promised than the ring holds.
    pub(super) fn push(&mut self, ring: &mut [u8], bytes: &[u8]) {
        let size = ring.len() as u32;
        let fits = bytes.len().min((size - self.len) as usize);
        debug_assert_eq!(fits, bytes.len(), "no more came than was granted");
        if fits == 0 {
            return;
        }
        let at = ((self.head + self.len) % size) as usize;
        let first = fits.min(ring.len() - at);
        ring[at..at + first].copy_from_slice(&bytes[..first]);
        ring[..fits - first].copy_from_slice(&bytes[first..fits]);
        self.len += fits as u32;
        // The positions of an empty ring are told apart by nobody: `pop` brings them home.
        self.head %= size;
    }

    /// Copies what it holds into another ring, at its beginning.
    pub(super) fn relocate(&mut self, from: &[u8], to: &mut [u8]) {
        let (a, b) = self.slices(from, self.len as usize);
        let Some((first, rest)) = to.split_at_mut_checked(a.len()) else { return };
        first.copy_from_slice(a);
        if let Some(second) = rest.get_mut(..b.len()) {
            second.copy_from_slice(b);
        }
        self.head = 0;
    }

    pub(super) fn pop(&mut self, n: u32) {
        self.len -= n;
        self.head = if self.len == 0 { 0 } else { self.head + n };
    }

    /// The first `n` bytes, or all there are, in two pieces.
    pub(super) fn slices(self, ring: &[u8], n: usize) -> (&[u8], &[u8]) {
        if ring.is_empty() {
            return (&[], &[]);
        }
        let n = n.min(self.len as usize);
        let at = self.head as usize % ring.len();
        let first = n.min(ring.len() - at);
        (&ring[at..at + first], &ring[..n - first])
    }

    /// The number at the front, if there is one.
    pub(super) fn peek_u32(self, ring: &[u8]) -> Option<u32> {
        let (a, b) = self.slices(ring, 4);
        let mut bytes = [0; 4];
        if a.len() + b.len() < bytes.len() {
            return None;
        }
        bytes[..a.len()].copy_from_slice(a);
        bytes[a.len()..].copy_from_slice(b);
        Some(u32::from_le_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in_at_any_place_of_the_ring() {
        let mut store = [0; 7];
        let mut ring = Ring::default();
        let (mut put, mut got) = (0u8, 0u8);
        for step in 0..1000 {
            let n = (step % 7 + 1).min(7 - ring.len());
            let bytes: [u8; 7] = core::array::from_fn(|i| put.wrapping_add(i as u8));
            ring.push(&mut store, &bytes[..n as usize]);
            put = put.wrapping_add(n as u8);
            let want = (step % 5 + 1).min(ring.len());
            let (a, b) = ring.slices(&store, want as usize);
            for byte in a.iter().chain(b) {
                assert_eq!(*byte, got);
                got = got.wrapping_add(1);
            }
            ring.pop(want);
        }
    }
}
