//! A point in time, given by the caller: the protocol reads no clock.

use core::time::Duration;

/// Microseconds since a moment that the caller chose and keeps for the life of the link.
///
/// Monotonic by contract; a step back is treated as no time having passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
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

    /// As [`Instant::since`], in microseconds: a [`Duration`] costs a board divisions of 64 bits.
    pub(crate) const fn micros_since(self, earlier: Self) -> u32 {
        let micros = self.0.saturating_sub(earlier.0);
        if micros > u32::MAX as u64 { u32::MAX } else { micros as u32 }
    }

    /// This moment plus `micros`, saturating.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) const fn plus_micros(self, micros: u32) -> Self {
        Self(self.0.saturating_add(micros as u64))
    }

    /// This moment plus `millis`, saturating.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) const fn plus_millis(self, millis: u32) -> Self {
        Self(self.0.saturating_add(millis as u64 * 1000))
    }
}

impl core::ops::Add<Duration> for Instant {
    type Output = Self;

    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(d.as_micros()).unwrap_or(u64::MAX)))
    }
}
