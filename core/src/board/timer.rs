//! Time, for tasks.

use core::future::Future;

use crate::proto::Instant;

/// What gives the time to a line that is [run](super::Driver::run) by a task. With embassy-time it is
///
/// ```text
/// impl Timer for EmbassyTime {
///     fn now(&self) -> Instant {
///         Instant::from_micros(embassy_time::Instant::now().as_micros())
///     }
///
///     async fn until(&self, at: Instant) {
///         embassy_time::Timer::at(embassy_time::Instant::from_micros(at.as_micros())).await;
///     }
/// }
/// ```
pub trait Timer {
    /// The time now.
    fn now(&self) -> Instant;

    /// Waits until then; for ever, at [`Instant::NEVER`]. Dropping it before has no effect.
    fn until(&self, at: Instant) -> impl Future<Output = ()>;
}

impl<T: Timer> Timer for &T {
    fn now(&self) -> Instant {
        (**self).now()
    }

    fn until(&self, at: Instant) -> impl Future<Output = ()> {
        (**self).until(at)
    }
}
