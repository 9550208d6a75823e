//! SHA-256 that runs at compile time.
//!
//! Type fingerprints are constants, so the hash has to be a `const fn`; no crate that we may depend on
//! offers one without unsafe code. Speed does not matter here, and no secret ever passes through it.

/// A running hash. Everything is `const`, by value, so that it fits a builder that lives in a constant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sha256 {
    state: [u32; 8],
    block: [u8; 64],
    len: u64,
}

impl Sha256 {
    pub(super) const fn new() -> Self {
        Self { state: START, block: [0; 64], len: 0 }
    }

    /// The hash with `bytes` appended.
    pub(super) const fn with(mut self, bytes: &[u8]) -> Self {
        let mut at = 0;
        while at < bytes.len() {
            self.block[(self.len % 64) as usize] = bytes[at];
            self.len += 1;
            if self.len.is_multiple_of(64) {
                self.state = compress(self.state, &self.block);
            }
            at += 1;
        }
        self
    }

    /// The whole digest, as its eight big-endian words.
    pub(super) const fn finish(self) -> [u32; 8] {
        let bits = self.len * 8;
        let mut padded = self.with(&[0x80]);
        while padded.len % 64 != 56 {
            padded = padded.with(&[0]);
        }
        padded.with(&bits.to_be_bytes()).state
    }
}

const fn compress(start: [u32; 8], block: &[u8; 64]) -> [u32; 8] {
    let mut w = [0u32; 64];
    let mut t = 0;
    while t < 16 {
        w[t] = u32::from_be_bytes([block[4 * t], block[4 * t + 1], block[4 * t + 2], block[4 * t + 3]]);
        t += 1;
    }
    while t < 64 {
        let s0 = w[t - 15].rotate_right(7) ^ w[t - 15].rotate_right(18) ^ (w[t - 15] >> 3);
        let s1 = w[t - 2].rotate_right(17) ^ w[t - 2].rotate_right(19) ^ (w[t - 2] >> 10);
        w[t] = w[t - 16].wrapping_add(s0).wrapping_add(w[t - 7]).wrapping_add(s1);
        t += 1;
    }

    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = start;
    t = 0;
    while t < 64 {
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = (e & f) ^ (!e & g);
        let t1 = h.wrapping_add(s1).wrapping_add(choice).wrapping_add(ROUND[t]).wrapping_add(w[t]);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let majority = (a & b) ^ (a & c) ^ (b & c);
        (h, g, f, e) = (g, f, e, d.wrapping_add(t1));
        (d, c, b, a) = (c, b, a, t1.wrapping_add(s0.wrapping_add(majority)));
        t += 1;
    }

    let mut state = start;
    let end = [a, b, c, d, e, f, g, h];
    t = 0;
    while t < 8 {
        state[t] = state[t].wrapping_add(end[t]);
        t += 1;
    }
    state
}

const START: [u32; 8] =
    [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];

#[rustfmt::skip]
const ROUND: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

#[cfg(test)]
mod tests {
    use super::Sha256;

    #[test]
    fn agrees_with_the_published_vectors() {
        let empty = Sha256::new().finish();
        assert_eq!(empty[0], 0xe3b0c442);
        assert_eq!(empty[7], 0x7852b855);
        let abc = Sha256::new().with(b"abc").finish();
        assert_eq!(abc[0], 0xba7816bf);
        assert_eq!(abc[7], 0xf20015ad);
        // 56 bytes: the length no longer fits the first block.
        let two_blocks =
            Sha256::new().with(b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq").finish();
        assert_eq!(two_blocks[0], 0x248d6a61);
        assert_eq!(two_blocks[7], 0x19db06c1);
    }

    #[test]
    fn does_not_depend_on_how_the_input_is_cut() {
        let whole = Sha256::new().with(&[7; 200]).finish();
        let cut = Sha256::new().with(&[7; 63]).with(&[7; 2]).with(&[7; 135]).finish();
        assert_eq!(whole, cut);
    }
}
