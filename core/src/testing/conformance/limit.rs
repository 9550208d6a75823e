//! How long a check may take, whatever its specimen does.

use alloc::string::String;
use core::time::Duration;

use super::Failure;
use crate::proto::Instant;

/// The end of a check's time, and what is waited for just now.
///
/// Whoever waits has a deadline of his own. This one is for a specimen that always says something, and never what would end the check.
pub(super) struct Limit {
    bound: Duration,
    until: Instant,
    during: String,
}

impl Limit {
    pub(super) fn new(now: Instant, bound: Duration) -> Self {
        Self { bound, until: now + bound, during: "the beginning".into() }
    }

    /// This is waited for from now on.
    pub(super) fn waits_for(&mut self, what: &str) {
        self.during = what.into();
    }

    /// What there is for all of it.
    pub(super) const fn bound(&self) -> Duration {
        self.bound
    }

    /// That there is time left: nothing is moved without asking this.
    pub(super) fn check(&self, now: Instant) -> Result<(), Failure> {
        if now > self.until {
            return Err(Failure::Late { during: self.during.clone(), bound: self.bound });
        }
        Ok(())
    }
}
