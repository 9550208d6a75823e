//! Tasks that wait: an end for its channel, and the line's driver for all of them.
//!
//! Each waits in one place, so a waker is all that is kept of it. Who waits registers first and looks then; whoever
//! changes something wakes after that. So no wake is lost, and one too many costs a look.

use core::cell::Cell;
use core::fmt;
use core::future::poll_fn;
use core::task::{Poll, Waker};

use critical_section::{CriticalSection, Mutex};

use super::channel::{Sent, Shared};
use super::error::{RecvError, SendError};
#[cfg(feature = "two-lines")]
use super::lines::Here;
#[cfg(feature = "bridge")]
use super::node::Common;
use super::section::with;
use super::sender;
use crate::message::Message;

/// Where one task waits, or none.
pub(super) struct Waiter(Mutex<Cell<Option<Waker>>>);

impl Waiter {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Cell::new(None)))
    }

    /// Another task waits here. The one before is returned, for dropping a waker is foreign code, and no critical
    /// section's business.
    #[must_use]
    pub(super) fn replace(&self, cs: CriticalSection<'_>, waker: Option<Waker>) -> Option<Waker> {
        self.0.borrow(cs).replace(waker)
    }

    fn take(&self, cs: CriticalSection<'_>) -> Option<Waker> {
        self.0.borrow(cs).take()
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiter")
    }
}

/// Something has changed that the channel's end may wait for.
pub(super) fn wake_end(channel: &'static Shared) {
    let waker = with(|cs| channel.borrow(cs).end.take(cs));
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Something has changed that the line may have to be told.
pub(super) fn wake_driver(channel: &'static Shared) {
    let Some(drivers) = with(|cs| channel.borrow(cs).driver.get()) else { return };
    for driver in drivers {
        if let Some(waker) = with(|cs| driver.take(cs)) {
            waker.wake();
        }
    }
}

/// The line `here` has done something to the channel: where that has set it free for an importer on the other line, who
/// waits, the driver there is to let him in.
#[cfg(feature = "two-lines")]
pub(super) fn wake_other(channel: &'static Shared, here: Here) {
    if with(|cs| channel.borrow(cs).is_other(here)) {
        wake_driver(channel);
    }
}

/// The line `here` has heard or said something that the other lines may have to tell.
#[cfg(feature = "bridge")]
pub(super) fn wake_line(common: &Common, here: Here) {
    for (driver, index) in common.drivers.iter().zip(0..) {
        let waker = if index == here.index() { None } else { with(|cs| driver.take(cs)) };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Tries again whenever the channel has changed, until there is a result.
pub(super) async fn until<R>(channel: &'static Shared, mut attempt: impl FnMut() -> Option<R>) -> R {
    poll_fn(|cx| {
        let waker = Some(cx.waker().clone());
        drop(with(|cs| channel.borrow(cs).end.replace(cs, waker)));
        attempt().map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// Receives as soon as there is something.
pub(super) async fn recv<T>(
    channel: &'static Shared,
    mut attempt: impl FnMut() -> Result<T, RecvError>,
) -> Result<T, RecvError> {
    until(channel, || match attempt() {
        Err(RecvError::Empty) => None,
        result => Some(result),
    })
    .await
}

/// Sends as soon as there are an importer and room.
pub(super) async fn send<T: Message>(channel: &'static Shared, value: T) -> Result<(), SendError<T>> {
    // Between two attempts the future owns the value, so that it is `Send` where the value is.
    let mut waiting = Some(value);
    until(channel, move || {
        let value = waiting.take()?;
        match sender::send(channel, &value) {
            Sent::Done => Some(Ok(())),
            Sent::Full | Sent::NoImporter => {
                waiting = Some(value);
                None
            }
            sent => Some(Err(SendError { value, cause: sent.cause(channel) })),
        }
    })
    .await
}
