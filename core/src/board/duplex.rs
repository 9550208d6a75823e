//! Both directions on one circuit.

use core::fmt;
use core::marker::PhantomData;

use super::channel::{Sent, Shared};
use super::error::{Account, RecvError, SendError};
use super::receiver::recv;
use super::section::with;
use super::sender::{release, send};
use super::spec::{Bound, End, ExportEnd, Spec};
#[cfg(feature = "async")]
use super::wait;
use crate::message::Message;
use crate::proto::OpenFlags;

/// Receives `In` and sends `Out`; the other side holds it the other way round.
///
/// Dropping it hangs up.
pub struct Duplex<In, Out> {
    channel: &'static Shared,
    types: PhantomData<fn(Out) -> In>,
}

impl<In: Message, Out: Message> Duplex<In, Out> {
    /// The next value, if it is there.
    ///
    /// # Errors
    ///
    /// As [`Receiver::try_recv`](super::Receiver::try_recv).
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub fn try_recv(&mut self) -> Result<In, RecvError> {
        recv(self.channel)
    }

    /// The next value, as soon as it is there.
    ///
    /// Cancel-safe: dropped before it is ready, it has taken nothing.
    ///
    /// # Errors
    ///
    /// As [`Duplex::try_recv`], but not [`RecvError::Empty`].
    #[cfg(feature = "async")]
    pub async fn recv(&mut self) -> Result<In, RecvError> {
        let channel = self.channel;
        wait::recv(channel, || recv(channel)).await
    }

    /// Sends a value as soon as there are a partner and room.
    ///
    /// Cancel-safe: dropped before it is ready, it has sent nothing, and the value is dropped with it.
    ///
    /// # Errors
    ///
    /// As [`Duplex::try_send`], but neither [`SendCause::Full`](super::SendCause::Full) nor
    /// [`SendCause::NoImporter`](super::SendCause::NoImporter).
    #[cfg(feature = "async")]
    pub async fn send(&mut self, value: Out) -> Result<(), SendError<Out>> {
        wait::send(self.channel, value).await
    }

    /// Sends a value, and does not wait.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the value.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub fn try_send(&self, value: Out) -> Result<(), SendError<Out>> {
        let sent = send(self.channel, &value);
        if sent == Sent::Done {
            return Ok(());
        }
        Err(SendError { value, cause: sent.cause(self.channel) })
    }

    /// What became of what was sent to the present partner, or to the last one.
    pub fn account(&self) -> Account {
        with(|cs| self.channel.borrow(cs).account())
    }
}

impl<In, Out> Drop for Duplex<In, Out> {
    fn drop(&mut self) {
        release(self.channel);
    }
}

impl<In, Out> fmt::Debug for Duplex<In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Duplex")
    }
}

impl<In: Message, Out: Message> End for Duplex<In, Out> {
    const SPEC: Spec = Spec::both::<In, Out>(OpenFlags::NONE, In::NAME);

    fn bound(channel: Bound) -> Self {
        Self { channel: channel.0, types: PhantomData }
    }
}

impl<In: Message, Out: Message> ExportEnd for Duplex<In, Out> {}
