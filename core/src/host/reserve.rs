//! Room first, value later: a send that can be given up without losing the value.

use alloc::sync::Arc;
use core::task::{Context, Poll};

use super::error::{NAMELESS, SendCause, SendError};
use super::sender::Sender;
use super::wait::{Source, Wait, Waiting};
use crate::message::Message;

/// The right to send one value now, from [`Sender::reserve`].
///
/// Dropping it gives the room back.
#[derive(Debug)]
pub struct Permit<'s, T: Message + Send> {
    sender: &'s mut Sender<T>,
}

impl<T: Message + Send> Permit<'_, T> {
    /// Sends the value without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the value: when the channel has died meanwhile, or the value is
    /// too long.
    pub fn send(self, value: T) -> Result<(), SendError<T>> {
        self.sender.try_send(value)
    }
}

impl<T: Message + Send> Sender<T> {
    /// Waits until one value of any length that the receiver takes could be sent at once.
    ///
    /// Dropping the operation loses nothing, since the value is not part of it: where a
    /// send may be given up (a `select`, a deadline), reserve first.
    ///
    /// # Errors
    ///
    /// As [`Sender::send`], without a value to give back.
    pub fn reserve(&mut self) -> Wait<Reserving<'_, T>> {
        Wait::new(Reserving { sender: Some(self) })
    }
}

/// Room being waited for.
#[derive(Debug)]
pub struct Reserving<'s, T: Message + Send> {
    sender: Option<&'s mut Sender<T>>,
}

impl<'s, T: Message + Send> Waiting for Reserving<'s, T> {
    type Output = Result<Permit<'s, T>, SendCause>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(sender) = self.sender.take() else { return Poll::Pending };
        match sender.has_room(cx.waker()) {
            Ok(true) => Poll::Ready(Ok(Permit { sender })),
            Ok(false) => {
                self.sender = Some(sender);
                Poll::Pending
            }
            Err(cause) => {
                // Still asked for the channel's name.
                self.sender = Some(sender);
                Poll::Ready(Err(cause))
            }
        }
    }

    fn expire(&mut self) -> Self::Output {
        match &self.sender {
            Some(sender) if sender.importers() == 0 => Err(SendCause::NoImporter),
            _ => Err(SendCause::Deadline),
        }
    }

    fn source(&self) -> Option<Source<'_>> {
        self.sender.as_ref().and_then(|sender| sender.source())
    }

    fn channel(&self) -> Arc<str> {
        self.sender.as_ref().map_or_else(|| NAMELESS.into(), |sender| sender.channel())
    }
}
