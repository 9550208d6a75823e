//! The latest value: lossy by choice, for things that are sampled.

use core::fmt;
use core::marker::PhantomData;

use super::channel::{Sent, Shared};
use super::error::{Account, RecvError, SendCause};
use super::receiver::recv;
use super::scratch;
use super::section::with;
use super::sender::{has_parts, put, release};
use super::spec::{Bound, End, ExportEnd, Spec, longest};
#[cfg(feature = "async")]
use super::wait;
use crate::message::Message;
use crate::proto::OpenFlags;

/// Publishes the latest value of something. The other end is a [`Watch`].
///
/// Setting never waits: an older value that was not sent is dropped for the newer one, and
/// counted. Who imports later gets the newest value at once.
pub struct Latest<T> {
    channel: &'static Shared,
    value: PhantomData<fn(T)>,
}

impl<T: Message> Latest<T> {
    /// Publishes a newer value, from wherever it is, an interrupt too.
    ///
    /// # Errors
    ///
    /// [`SendCause::Encode`].
    pub fn set(&self, value: &T) -> Result<(), SendCause> {
        scratch::with(const { longest::<T>() }, |bytes| match value.encode(bytes) {
            Ok(len) => {
                let bytes = bytes.get(..len).unwrap_or_default();
                replace(self.channel, bytes, const { has_parts(longest::<T>()) });
                Ok(())
            }
            Err(error) => Err(SendCause::Encode(error)),
        })
    }

    /// What became of the values; `confirmed` counts those that were replaced at the other side by
    /// newer ones too.
    pub fn account(&self) -> Account {
        with(|cs| self.channel.borrow(cs).account())
    }
}

#[cfg_attr(not(feature = "std"), inline(never))]
fn replace(channel: &'static Shared, bytes: &[u8], has_parts: bool) {
    put(channel, bytes, has_parts, |it, cs| {
        it.make_room(cs);
        Sent::Done
    });
}

impl<T> Drop for Latest<T> {
    fn drop(&mut self) {
        release(self.channel);
    }
}

impl<T> fmt::Debug for Latest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Latest")
    }
}

impl<T: Message> End for Latest<T> {
    const SPEC: Spec = Spec::sends::<T>(OpenFlags::LATEST);

    fn bound(channel: Bound) -> Self {
        Self { channel: channel.0, value: PhantomData }
    }
}

impl<T: Message> ExportEnd for Latest<T> {}

/// Sees the latest value of something. The other end is a [`Latest`].
///
/// Dropping it hangs up.
pub struct Watch<T> {
    channel: &'static Shared,
    value: PhantomData<fn() -> T>,
}

impl<T: Message> Watch<T> {
    /// A value newer than the last one that was received here, if there is one.
    ///
    /// # Errors
    ///
    /// As [`Receiver::try_recv`](super::Receiver::try_recv).
    pub fn try_changed(&mut self) -> Result<T, RecvError> {
        recv(self.channel)
    }

    /// A value newer than the last one that was received here, as soon as there is one.
    ///
    /// Cancel-safe: dropped before it is ready, it has taken nothing.
    ///
    /// # Errors
    ///
    /// As [`Watch::try_changed`], but not [`RecvError::Empty`].
    #[cfg(feature = "async")]
    pub async fn changed(&mut self) -> Result<T, RecvError> {
        let channel = self.channel;
        wait::recv(channel, || recv(channel)).await
    }
}

impl<T> Drop for Watch<T> {
    fn drop(&mut self) {
        release(self.channel);
    }
}

impl<T> fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

impl<T: Message> End for Watch<T> {
    const SPEC: Spec = Spec::receives::<T>(OpenFlags::LATEST);

    fn bound(channel: Bound) -> Self {
        Self { channel: channel.0, value: PhantomData }
    }
}

impl<T: Message> ExportEnd for Watch<T> {}
