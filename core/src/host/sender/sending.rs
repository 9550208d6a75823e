//! Sending one value.

use alloc::vec::Vec;
use core::task::{Context, Poll};

use super::{Outgoing, Port, SHORT_ROOM, Sender};
use crate::host::carry::Departing;
use crate::host::error::{SendCause, SendError};
use crate::host::wait::{Source, Waiting};
use crate::message::Message;

/// A value being sent.
#[derive(Debug)]
pub struct Sending<'s, T: Message + Send> {
    pub(crate) sender: &'s mut Sender<T>,
    pub(crate) value: Outgoing<T>,
    /// Channel ends that were taken out of the value.
    pub(super) ends: Vec<Departing>,
    pub(super) pending: bool,
}

impl<T: Message + Send> Unpin for Sending<'_, T> {}

impl<'s, T: Message + Send> Sending<'s, T> {
    /// Of no value yet.
    pub(crate) const fn nothing(sender: &'s mut Sender<T>) -> Self {
        Self { sender, value: Outgoing::Sent, ends: Vec::new(), pending: false }
    }

    /// Whether no value is being sent.
    pub(crate) const fn is_idle(&self) -> bool {
        matches!(self.value, Outgoing::Sent)
    }

    /// The deadline has passed before the value could be sent.
    pub(crate) fn too_late(&mut self) -> SendError<T> {
        self.not_sent(SendCause::Deadline)
    }

    fn not_sent(&mut self, cause: SendCause) -> SendError<T> {
        self.value.attach(&mut self.ends);
        let value = self.value.give_back(&mut self.sender.scratch);
        SendError::new(value, cause).of(self.sender.channel())
    }

    /// A short value that can go right now, by the link's lock.
    #[inline(never)]
    fn by_lock(&mut self) -> Option<Result<(), SendError<T>>> {
        if !self.sender.puts_short() {
            return None;
        }
        let Outgoing::Value(value) = &self.value else { return None };
        // Encoded before the lock is taken: `Serialize` is the program's code.
        let mut message = [0; SHORT_ROOM];
        let len = value.encode(&mut message).ok()?;
        self.sender.put_short(&message, len).then(|| {
            self.value = Outgoing::Sent;
            Ok(())
        })
    }

    #[inline]
    fn poll_put(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        if let Port::Local(tx) = &self.sender.port
            && tx.circuit().is_none()
        {
            let Outgoing::Value(value) = core::mem::replace(&mut self.value, Outgoing::Sent) else {
                return Poll::Ready(Ok(()));
            };
            return match tx.send(value, Some(self.sender.waker(cx.waker()))) {
                Ok(()) => Poll::Ready(Ok(())),
                Err((value, SendCause::Full)) => {
                    self.value = Outgoing::Value(value);
                    if tx.circuit().is_some() { self.poll_put(cx) } else { Poll::Pending }
                }
                Err((value, cause)) => Poll::Ready(Err(SendError::new(Some(value), cause))),
            };
        }
        if T::HAS_ENDS
            && let Err(error) = self.value.detach(&mut self.ends)
        {
            return Poll::Ready(Err(error));
        }
        let mut bytes = core::mem::take(&mut self.sender.scratch);
        let encoded = self.value.encode(&mut bytes);
        let result =
            encoded.and_then(|()| match self.sender.put(&mut bytes, &mut self.ends, Some(cx.waker())) {
                Ok(()) => Ok(true),
                Err(None) => Ok(false),
                Err(Some(cause)) => Err({
                    self.value.attach(&mut self.ends);
                    SendError::new(self.value.give_back(&mut bytes), cause)
                }),
            });
        self.sender.scratch = bytes;
        match result {
            Ok(true) => {
                self.pending = false;
                self.value = Outgoing::Sent;
                Poll::Ready(Ok(()))
            }
            Ok(false) => {
                self.pending = true;
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl<T: Message + Send> Waiting for Sending<'_, T> {
    type Output = Result<(), SendError<T>>;

    #[inline(always)]
    fn now(&mut self) -> Option<Self::Output> {
        if let Outgoing::Value(value) = &self.value
            && self.sender.put_in_lane(value)
        {
            self.value = Outgoing::Sent;
            return Some(Ok(()));
        }
        self.by_lock()
    }

    #[inline]
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(output) = self.now() {
            return Poll::Ready(output);
        }
        if !self.sender.begin() {
            let value = self.value.give_back(&mut self.sender.scratch);
            return Poll::Ready(Err(SendError::new(value, SendCause::Closed).of(self.sender.channel())));
        }
        let result = self.poll_put(cx);
        self.sender.finish(matches!(result, Poll::Ready(Ok(()))));
        result.map_err(|error| error.of(self.sender.channel()))
    }

    fn expire(&mut self) -> Self::Output {
        let cause = match &self.sender.port {
            Port::Hub(hub) if hub.importers() == 0 => SendCause::NoImporter,
            Port::Hub(hub) if hub.drop_slow() => {
                self.pending = false;
                self.value = Outgoing::Sent;
                return Ok(());
            }
            _ => SendCause::Deadline,
        };
        Err(self.not_sent(cause))
    }

    fn source(&self) -> Option<Source<'_>> {
        self.sender.source()
    }
}

impl<T: Message + Send> Drop for Sending<'_, T> {
    fn drop(&mut self) {
        if self.pending
            && let Port::Hub(hub) = &self.sender.port
        {
            hub.abandon();
        }
    }
}
