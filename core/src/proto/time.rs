//! A point in time, given by the caller: the protocol reads no clock.

use core::time::Duration;

/// Microseconds since a moment that the caller chose and keeps for the life of the link.
///
/// Monotonic by contract; a step back is treated as no time having passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Instant(u64);

impl Instant {
    /// The caller's moment zero.
    pub const ZERO: Self = Self(0);
    /// Later than any other.
    pub const NEVER: Self = Self(u64::MAX);

    /// From microseconds.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// From milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1000)
    }

    /// Microseconds since the caller's zero.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Time passed since `earlier`, zero when it is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Which stretch of time it is in, of 2^28 microseconds or four and a half minutes; it wraps after 203 days.
    #[cfg(feature = "board")]
    pub(crate) const fn stretch(self) -> u16 {
        (self.0 >> 28) as u16
    }

    /// This moment plus `millis`, saturating.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) const fn plus_millis(self, millis: u32) -> Self {
        Self(self.0.saturating_add(millis as u64 * 1000))
    }
}

/// The lowest half of an [`Instant`], for timers of at most half an hour: on a board it takes half the
/// code and half the memory, and comparing two is one subtraction, also when it wraps after 71 minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub(crate) struct Stamp(u32);

impl Stamp {
    pub(crate) const ZERO: Self = Self(0);

    pub(crate) const fn of(now: Instant) -> Self {
        Self(now.0 as u32)
    }

    pub(crate) const fn plus_micros(self, micros: u32) -> Self {
        Self(self.0.wrapping_add(micros))
    }

    pub(crate) const fn plus_millis(self, millis: u32) -> Self {
        self.plus_micros(millis.wrapping_mul(1000))
    }

    /// Whether it is now, or was before.
    pub(crate) const fn is_over(self, now: Self) -> bool {
        self.micros_until(now) >= 0
    }

    /// Which period of a quarter of a second it is in, or of 2^18 microseconds to be exact.
    #[cfg(feature = "board")]
    pub(crate) const fn period(self) -> u8 {
        (self.0 >> 18) as u8
    }

    /// The earlier of two.
    pub(crate) const fn min(self, other: Self) -> Self {
        if self.is_over(other) { self } else { other }
    }

    /// Microseconds from `earlier`.
    pub(crate) const fn micros_since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Microseconds up to `later`; negative when that was before.
    pub(crate) const fn micros_until(self, later: Self) -> i32 {
        later.0.wrapping_sub(self.0) as i32
    }

    /// The moment itself, which is near `now`.
    pub(crate) const fn near(self, now: Instant) -> Instant {
        let ahead = Self::of(now).micros_until(self);
        Instant(now.0.saturating_add_signed(ahead as i64))
    }
}

impl core::ops::Add<Duration> for Instant {
    type Output = Self;

    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(d.as_micros()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_keeps_its_order_when_it_wraps() {
        for start in [0, 5_000_000, (1 << 32) - 1000, 1 << 32, (3 << 32) - 1] {
            let now = Instant::from_micros(start);
            let later = now.plus_millis(2);
            let (stamp, then) = (Stamp::of(now), Stamp::of(now).plus_millis(2));
            assert_eq!(then, Stamp::of(later));
            assert!(stamp.is_over(then) && !then.is_over(stamp) && then.is_over(then));
            assert_eq!((stamp.min(then), then.min(stamp)), (stamp, stamp));
            assert_eq!(then.micros_since(stamp), 2000);
            assert_eq!((then.near(now), stamp.near(later)), (later, now));
        }
    }
}
