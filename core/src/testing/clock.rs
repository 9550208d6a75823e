//! The time of a test: real, or standing still until the test lets it pass.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::task::Waker;
use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use crate::proto::Instant;

/// A clock for boards on the host; clones show the same time.
#[derive(Clone)]
pub struct Clock(Kind);

#[derive(Clone)]
enum Kind {
    Real(std::time::Instant),
    Manual(Arc<Mutex<Manual>>),
}

struct Manual {
    now: Instant,
    /// Tasks that wait for a time.
    waiting: Vec<(Instant, Waker)>,
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

impl Clock {
    /// The machine's own, from zero now.
    pub fn real() -> Self {
        Self(Kind::Real(std::time::Instant::now()))
    }

    /// One that only [`Clock::pass`] moves, from zero.
    pub fn manual() -> Self {
        Self(Kind::Manual(Arc::new(Mutex::new(Manual { now: Instant::ZERO, waiting: Vec::new() }))))
    }

    /// What it shows, in the form that boards take.
    pub fn now(&self) -> Instant {
        match &self.0 {
            Kind::Real(began) => Instant::ZERO + began.elapsed(),
            Kind::Manual(manual) => manual.lock().unwrap_or_else(PoisonError::into_inner).now,
        }
    }

    /// Lets time pass, to the microsecond.
    ///
    /// # Panics
    ///
    /// When the clock is real, for nobody moves that.
    pub fn pass(&self, time: Duration) {
        let Kind::Manual(manual) = &self.0 else { panic!("real time passes by itself") };
        let mut manual = manual.lock().unwrap_or_else(PoisonError::into_inner);
        manual.now = manual.now + time;
        let now = manual.now;
        let due: Vec<_> = {
            let (due, later) =
                core::mem::take(&mut manual.waiting).into_iter().partition(|(at, _)| *at <= now);
            manual.waiting = later;
            due
        };
        drop(manual);
        due.into_iter().for_each(|(_, waker)| waker.wake());
    }

    #[cfg(feature = "embedded-io-v0_7")]
    pub(super) const fn is_real(&self) -> bool {
        matches!(self.0, Kind::Real(_))
    }
}

#[cfg(feature = "async")]
impl crate::board::Timer for Clock {
    fn now(&self) -> Instant {
        Self::now(self)
    }

    async fn until(&self, at: Instant) {
        match &self.0 {
            // The end of time is further away than any clock of a system goes, and no manual one comes there.
            _ if at == Instant::NEVER => core::future::pending().await,
            Kind::Real(began) => crate::host::transport::Alarm::at(*began + at.since(Instant::ZERO)).await,
            Kind::Manual(manual) => {
                core::future::poll_fn(|cx| {
                    let mut manual = manual.lock().unwrap_or_else(PoisonError::into_inner);
                    if manual.now >= at {
                        return core::task::Poll::Ready(());
                    }
                    // Once, however often this is polled.
                    if !manual.waiting.iter().any(|(then, waker)| *then == at && waker.will_wake(cx.waker()))
                    {
                        manual.waiting.push((at, cx.waker().clone()));
                    }
                    core::task::Poll::Pending
                })
                .await;
            }
        }
    }
}
