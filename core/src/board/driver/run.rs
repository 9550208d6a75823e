//! The line in a task, over a UART with the traits of embedded-io-async.
//!
//! Reading, writing and time wait each for itself: a write that does not end stops neither what comes in nor the
//! dead-time. All of it is one future, which is polled whenever one of them, or an end, has something.

use core::cell::{Cell, RefCell};
use core::convert::Infallible;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use embedded_io_async_v0_7::{Read, Write};

use super::{Circuits, Driver, Leaving, Quiet};
use crate::board::Timer;
use crate::board::section::with;
use crate::proto::Instant;
use crate::proto::time::Stamp;

use super::hear::CHUNK;

/// What is overdue and cannot be written is looked at again after this time, in milliseconds.
const AGAIN_MS: u32 = 1;

/// Why a line is not run any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RunError<R, W> {
    /// What was read from has ended.
    Ended,
    /// Reading has failed.
    Read(R),
    /// Writing has failed.
    Write(W),
}

impl<R: fmt::Display, W: fmt::Display> fmt::Display for RunError<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("the line's input has ended"),
            Self::Read(error) => write!(f, "reading from the line failed: {error}"),
            Self::Write(error) => write!(f, "writing to the line failed: {error}"),
        }
    }
}

impl<R, W> core::error::Error for RunError<R, W> where Self: fmt::Debug + fmt::Display {}

impl Driver<'_> {
    /// Moves the line's bytes, as a task of its own, for as long as the UART works.
    ///
    /// It takes about 100 bytes beside what the UART and the timer need. Dropping it leaves the session as it
    /// is, and loses bytes that were read or written only in part: they are sent again, when it is
    /// run again. So a program that wants to announce a silence or to leave drops it first. One that does not go on drops the
    /// driver too, as a task does that owns it: then the board's ends are told, and the peer finds after the dead-time that nobody
    /// answers.
    ///
    /// # Errors
    ///
    /// [`RunError`]. Errors that only say that bytes were lost, as that of an overrun, need no more than to run the line again.
    pub async fn run<R: Read, W: Write>(
        &mut self,
        rx: R,
        tx: W,
        timer: impl Timer,
    ) -> Result<Infallible, RunError<R::Error, W::Error>> {
        match run(self, rx, tx, timer).await {
            Ok(()) => Err(RunError::Ended),
            Err(error) => Err(error),
        }
    }
}

impl Quiet<'_, '_> {
    /// As [`Driver::run`], until it [is heard](Self::is_heard) and nothing is being written any more.
    ///
    /// # Errors
    ///
    /// [`RunError`].
    pub async fn run<R: Read, W: Write>(
        &mut self,
        rx: R,
        tx: W,
        timer: impl Timer,
    ) -> Result<(), RunError<R::Error, W::Error>> {
        run(self, rx, tx, timer).await
    }
}

impl Leaving<'_, '_> {
    /// As [`Driver::run`], until it [is done](Self::is_done).
    ///
    /// # Errors
    ///
    /// [`RunError`].
    pub async fn run<R: Read, W: Write>(
        &mut self,
        rx: R,
        tx: W,
        timer: impl Timer,
    ) -> Result<(), RunError<R::Error, W::Error>> {
        run(self, rx, tx, timer).await
    }
}

/// What has a line's bytes moved.
trait Line<'m> {
    fn driver(&mut self) -> &mut Driver<'m>;
    /// Fills `out` with bytes for the line: how many.
    fn drain(&mut self, out: &mut [u8], now: Instant) -> usize;
    /// Whether that is all.
    fn is_done(&self) -> bool {
        false
    }
    /// When it has something to do, whatever the line has.
    fn due(&self) -> Option<Instant> {
        None
    }
}

impl<'m> Line<'m> for Driver<'m> {
    fn driver(&mut self) -> &mut Self {
        self
    }

    fn drain(&mut self, out: &mut [u8], now: Instant) -> usize {
        Self::drain(self, out, now)
    }
}

impl<'m> Line<'m> for Quiet<'_, 'm> {
    fn driver(&mut self) -> &mut Driver<'m> {
        self.driver
    }

    fn drain(&mut self, out: &mut [u8], now: Instant) -> usize {
        Self::drain(self, out, now)
    }

    fn is_done(&self) -> bool {
        self.is_heard()
    }
}

impl<'m> Line<'m> for Leaving<'_, 'm> {
    fn driver(&mut self) -> &mut Driver<'m> {
        self.driver
    }

    fn drain(&mut self, out: &mut [u8], now: Instant) -> usize {
        Self::drain(self, out, now)
    }

    fn is_done(&self) -> bool {
        Self::is_done(self)
    }

    fn due(&self) -> Option<Instant> {
        self.due_at()
    }
}

async fn run<'m, R: Read, W: Write>(
    line: &mut impl Line<'m>,
    mut rx: R,
    mut tx: W,
    timer: impl Timer,
) -> Result<(), RunError<R::Error, W::Error>> {
    let it = &line.driver().circuits;
    let waiter = it.common.drivers.get(it.here.index());
    let line = RefCell::new(line);
    // Nobody holds it while another is polled, so it is always there.
    let feed = |bytes: &[u8], now| {
        if let Ok(mut line) = line.try_borrow_mut() {
            line.driver().feed(bytes, now);
        }
    };
    let drain = |bytes: &mut [u8], now| line.try_borrow_mut().map_or(0, |mut line| line.drain(bytes, now));
    let pass = |is_writing, now| {
        line.try_borrow_mut().map_or(now, |mut line| {
            let due = line.due();
            line.driver().circuits.pass(is_writing, due, now)
        })
    };

    let reading = async {
        let mut bytes = [0; CHUNK];
        loop {
            match rx.read(&mut bytes).await {
                Ok(0) => return RunError::Ended,
                Ok(n) => feed(bytes.get(..n).unwrap_or_default(), timer.now()),
                Err(error) => return RunError::Read(error),
            }
        }
    };
    let is_writing = Cell::new(false);
    let writing = async {
        let mut bytes = [0; CHUNK];
        loop {
            let n = drain(&mut bytes, timer.now());
            let bytes = bytes.get(..n).unwrap_or_default();
            let result = if n == 0 && !is_writing.get() {
                once_again().await;
                Ok(())
            } else if n == 0 {
                let flushed = tx.flush().await;
                is_writing.set(false);
                flushed
            } else {
                is_writing.set(true);
                tx.write_all(bytes).await
            };
            if let Err(error) = result {
                return RunError::Write(error);
            }
        }
    };
    let (mut reading, mut writing, mut alarm) = (pin!(reading), pin!(writing), pin!(None));
    let mut alarm_at = Instant::NEVER;
    poll_fn(|cx| {
        let waker = Some(cx.waker().clone());
        drop(with(|cs| waiter.and_then(|waiter| waiter.replace(cs, waker))));
        // Without a session nobody waits for what is being written.
        let is_done = || {
            line.try_borrow_mut()
                .is_ok_and(|mut line| line.is_done() && (!is_writing.get() || !line.driver().is_up()))
        };
        // Whoever runs it again after each error still hears what time brings.
        let ended = |end| {
            pass(is_writing.get(), timer.now());
            Poll::Ready(if is_done() { Ok(()) } else { Err(end) })
        };
        if let Poll::Ready(end) = reading.as_mut().poll(cx) {
            return ended(end);
        }
        loop {
            if let Poll::Ready(end) = writing.as_mut().poll(cx) {
                return ended(end);
            }
            if is_done() {
                return Poll::Ready(Ok(()));
            }
            let at = pass(is_writing.get(), timer.now());
            if alarm.is_none() || at != alarm_at {
                alarm.set(Some(timer.until(at)));
                alarm_at = at;
            }
            let is_over = alarm.as_mut().as_pin_mut().is_none_or(|alarm| alarm.poll(cx).is_ready());
            if !is_over {
                return Poll::Pending;
            }
            alarm.set(None);
        }
    })
    .await
}

impl Circuits<'_> {
    /// Time has passed: when to come again, at `due` at the latest. While a write is under way only what does not need
    /// one is waited for.
    fn pass(&mut self, is_writing: bool, due: Option<Instant>, now: Instant) -> Instant {
        self.set_time(now);
        self.tick();
        let next = if is_writing { self.give_up_at() } else { self.next_at() };
        let due = due.filter(|_| !is_writing).unwrap_or(Instant::NEVER);
        let at = next.map_or(Instant::NEVER, |at| Stamp::near(at, now)).min(due);
        if at <= now { now.plus_millis(AGAIN_MS) } else { at }
    }
}

/// Waits until the task is polled next, for whatever reason.
async fn once_again() {
    let mut is_first = true;
    poll_fn(|_| if core::mem::take(&mut is_first) { Poll::Pending } else { Poll::Ready(()) }).await;
}
