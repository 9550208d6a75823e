//! Where a node without an operating system takes the nonces of its bring-ups from.

use super::crc::crc32c;

/// Gives a number for each bring-up, different from all before.
///
/// The session's number comes from both sides' nonces, so it is fresh if one side's is: a
/// board may do with a poor source where its peer has a good one. What is not promised when
/// both are poor: that a packet of an earlier session, left over in some buffer, is refused.
pub trait NonceSource {
    /// The nonce of the next bring-up.
    fn nonce(&mut self) -> u64;
}

/// A random number generator, or whatever else gives a number at each call.
impl<F: FnMut() -> u64> NonceSource for F {
    fn nonce(&mut self) -> u64 {
        self()
    }
}

/// Nonces from a counter: for a board without random numbers, but with a word of memory that
/// lasts.
///
/// It costs one write to flash for each start of the program, or for each `2^32` bring-ups. With
/// a `start` that is the same each time, every start repeats the same nonces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CounterNonce {
    uid: u64,
    start: u32,
    count: u32,
}

impl CounterNonce {
    /// For the node `uid`, in its start number `start`: the caller counts these in flash.
    pub const fn new(uid: u64, start: u32) -> Self {
        Self { uid, start, count: 0 }
    }
}

impl NonceSource for CounterNonce {
    fn nonce(&mut self) -> u64 {
        self.count = self.count.wrapping_add(1);
        // Two nodes that count alike must not look like one line that is looped.
        let who = crc32c(0, &self.uid.to_le_bytes());
        u64::from(self.start ^ who) << 32 | u64::from(self.count ^ who.rotate_left(16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_repeats_no_nonce_within_a_start_nor_in_the_next_nor_on_another_board() {
        let nonces = |uid, start| {
            let mut source = CounterNonce::new(uid, start);
            core::array::from_fn::<u64, 50, _>(|_| source.nonce())
        };
        let mut all = [nonces(1, 1), nonces(1, 2), nonces(2, 1), nonces(2, 2)].concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 200);
    }

    #[test]
    fn a_closure_is_a_source() {
        let mut n = 0;
        let mut source = || {
            n += 1;
            n
        };
        assert_eq!((NonceSource::nonce(&mut source), NonceSource::nonce(&mut source)), (1, 2));
    }
}
