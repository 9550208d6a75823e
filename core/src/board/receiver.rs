//! The receiving end.

use core::fmt;
use core::marker::PhantomData;

use super::channel::{Channel, LONG, NONE, Reading, Shared};
use super::error::RecvError;
use super::scratch;
use super::section::with;
use super::sender::{release, undecodable};
use super::spec::{Bound, End, ExportEnd, Spec, longest_accepted};
#[cfg(feature = "async")]
use super::wait;
use super::wake_driver;
use crate::message::{DecodeError, Message};
use crate::proto::OpenFlags;

/// Receives values of type `T`.
///
/// Dropping it hangs up: the sender is told.
pub struct Receiver<T> {
    channel: &'static Shared,
    value: PhantomData<fn() -> T>,
}

impl<T: Message> Receiver<T> {
    /// The next value, if it is there.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] if none is; how the session or the importer ended, once; what is for this session,
    /// [`RecvError::Closed`]; and what is for ever, [`RecvError::Dead`].
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub fn try_recv(&mut self) -> Result<T, RecvError> {
        recv(self.channel)
    }

    /// The next value, as soon as it is there.
    ///
    /// Cancel-safe: dropped before it is ready, it has taken nothing.
    ///
    /// # Errors
    ///
    /// As [`Receiver::try_recv`], but not [`RecvError::Empty`].
    #[cfg(feature = "async")]
    pub async fn recv(&mut self) -> Result<T, RecvError> {
        let channel = self.channel;
        wait::recv(channel, || recv(channel)).await
    }
}

/// Takes the next message and decodes it.
pub(super) fn recv<T: Message>(channel: &'static Shared) -> Result<T, RecvError> {
    scratch::with(const { longest_accepted::<T>() }, |bytes| {
        let taken = take(channel, bytes);
        if taken == NONE {
            return Err(ended(channel));
        }
        let bytes = bytes.get(..usize::from(taken as u16)).unwrap_or_default();
        decode((taken >> 16) as u8, bytes).map_err(|error| {
            undecodable(channel);
            RecvError::Decode(error)
        })
    })
}

/// Decodes what a sender has sent whose type is our own, or one of the older ones.
fn decode<T: Message>(which: u8, bytes: &[u8]) -> Result<T, DecodeError> {
    if T::ACCEPTED.is_empty() || which == 0 {
        return T::decode(bytes);
    }
    match T::ACCEPTED.get(usize::from(which) - 1) {
        Some(older) => (older.decode)(bytes),
        None => Err(DecodeError::Value),
    }
}

/// Takes the next message: its length in the lower half, and which version of its type it is in the upper one, so that
/// both come back in a register; or [`NONE`].
#[cfg_attr(not(feature = "std"), inline(never))]
fn take(channel: &'static Shared, bytes: &mut [u8]) -> u32 {
    let mut taken = with(|cs| {
        let channel = channel.borrow(cs);
        tagged(channel, channel.recv(cs, bytes))
    });
    if taken == LONG {
        taken = take_parts(channel, bytes);
    }
    // Credit may be due.
    if taken != NONE {
        wake_driver(channel);
    }
    taken
}

/// As [`take`], of a message of several parts. Programs without such link nothing of it.
#[cfg_attr(not(feature = "std"), inline(never))]
fn take_parts(channel: &'static Shared, bytes: &mut [u8]) -> u32 {
    let mut read = Reading::default();
    loop {
        let taken = with(|cs| {
            let channel = channel.borrow(cs);
            tagged(channel, channel.recv_part(cs, bytes, &mut read))
        });
        if taken != LONG {
            return taken;
        }
    }
}

/// A length, with the version of its type.
fn tagged(channel: &Channel, taken: u32) -> u32 {
    if taken >= LONG { taken } else { taken | u32::from(channel.which.get() & 0xf) << 16 }
}

fn ended(channel: &'static Shared) -> RecvError {
    let why = with(|cs| channel.borrow(cs).ended_in());
    // The next importer may come in.
    if why != RecvError::Empty {
        wake_driver(channel);
    }
    why
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        release(self.channel);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver")
    }
}

impl<T: Message> End for Receiver<T> {
    const SPEC: Spec = Spec::receives::<T>(OpenFlags::NONE);

    fn bound(channel: Bound) -> Self {
        Self { channel: channel.0, value: PhantomData }
    }
}

impl<T: Message> ExportEnd for Receiver<T> {}
