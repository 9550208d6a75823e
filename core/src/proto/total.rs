//! Running totals: bytes granted, values taken. Compared across the wrap of 32 bits.

/// A total that only grows, modulo 2^32.
///
/// Two totals of one circuit never lie 2^31 or further apart, so their order is one
/// subtraction. A repeated or old total changes nothing, and there is no sum that a peer
/// could make overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Total(u32);

impl Total {
    /// Nothing yet.
    pub const ZERO: Self = Self(0);
    /// The furthest that two totals may lie apart.
    pub const MAX_DISTANCE: u32 = 1 << 30;

    /// From the wire.
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// For the wire.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// This total plus `n`.
    #[must_use]
    #[inline]
    pub const fn plus(self, n: u32) -> Self {
        Self(self.0.wrapping_add(n))
    }

    /// How far this total is ahead of `other`; meaningful when it is not behind.
    #[inline]
    pub const fn ahead_of(self, other: Self) -> u32 {
        self.0.wrapping_sub(other.0)
    }

    /// Whether this total is `other` or later.
    #[inline]
    pub const fn at_least(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0) < 1 << 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_holds_across_the_wrap() {
        let before = Total::new(u32::MAX - 3);
        let after = before.plus(10);
        assert!(after.at_least(before) && !before.at_least(after));
        assert_eq!(after.ahead_of(before), 10);
        assert!(before.at_least(before));
    }
}
