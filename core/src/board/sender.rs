//! The sending end.

use core::fmt;
use core::marker::PhantomData;

use critical_section::CriticalSection;

use super::channel::{Channel, Sent, Shared, flag};
use super::error::{Account, SendError};
use super::ring::PART;
use super::scratch;
use super::section::with;
use super::spec::{Bound, End, ExportEnd, Spec, longest};
#[cfg(feature = "async")]
use super::wait;
use super::wake_driver;
use crate::message::Message;
use crate::proto::{OpenFlags, Reason};

/// Sends values of type `T`.
///
/// Dropping it is the orderly end: values that were sent are still delivered, then the receiver
/// gets `Closed`.
pub struct Sender<T> {
    channel: &'static Shared,
    value: PhantomData<fn(T)>,
}

impl<T: Message> Sender<T> {
    /// Sends a value from wherever it is, an interrupt too, and does not wait.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the value.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub fn try_send(&self, value: T) -> Result<(), SendError<T>> {
        let sent = send(self.channel, &value);
        if sent == Sent::Done {
            return Ok(());
        }
        Err(SendError { value, cause: sent.cause(self.channel) })
    }

    /// Sends a value as soon as there are an importer and room.
    ///
    /// Cancel-safe: dropped before it is ready, it has sent nothing, and the value is dropped with it.
    ///
    /// # Errors
    ///
    /// As [`Sender::try_send`], but neither [`SendCause::Full`](super::SendCause::Full) nor
    /// [`SendCause::NoImporter`](super::SendCause::NoImporter).
    #[cfg(feature = "async")]
    pub async fn send(&mut self, value: T) -> Result<(), SendError<T>> {
        wait::send(self.channel, value).await
    }

    /// What became of what was sent to the present importer, or to the last one.
    pub fn account(&self) -> Account {
        with(|cs| self.channel.borrow(cs).account())
    }
}

#[cfg(feature = "log")]
impl<T> Sender<T> {
    /// Never to be dropped: its channel.
    pub(super) const fn keep(self) -> &'static Shared {
        let channel = self.channel;
        core::mem::forget(self);
        channel
    }
}

/// Encodes a value and puts it into the outbox.
pub(super) fn send<T: Message>(channel: &'static Shared, value: &T) -> Sent {
    scratch::with(const { longest::<T>() }, |bytes| match value.encode(bytes) {
        Ok(len) => {
            send_bytes(channel, bytes.get(..len).unwrap_or_default(), const { has_parts(longest::<T>()) })
        }
        Err(error) => Sent::of(error),
    })
}

// What does not depend on the type of the value is a function of its own, so that each type has as little as
// possible of it, and so is what only says why there is none.

#[cfg_attr(not(feature = "std"), inline(never))]
pub(super) fn send_bytes(channel: &'static Shared, bytes: &[u8], has_parts: bool) -> Sent {
    put(channel, bytes, has_parts, |it, _| it.may_send(bytes.len() as u16))
}

/// Whether messages of up to so many bytes may have several parts. It is a constant of each type, so a program whose types are all short links
/// nothing of what only long ones need.
pub(super) const fn has_parts(longest: usize) -> bool {
    longest > PART
}

/// Puts a message into the outbox, part by part, if it `may` be: what came of that. Who else puts one meanwhile puts it behind this one.
pub(super) fn put(
    channel: &'static Shared,
    message: &[u8],
    has_parts: bool,
    may: impl FnOnce(&Channel, CriticalSection<'_>) -> Sent,
) -> Sent {
    let mut place = 0;
    let sent = with(|cs| {
        let it = channel.borrow(cs);
        let sent = may(it, cs);
        if sent == Sent::Done {
            place = it.put(cs, message, has_parts);
        }
        sent
    });
    if sent == Sent::Done {
        if has_parts && message.len() > PART {
            put_rest(channel, message, place);
        }
        wake_driver(channel);
    }
    sent
}

#[cfg_attr(not(feature = "std"), inline(never))]
fn put_rest(channel: &'static Shared, message: &[u8], place: u32) {
    for offset in (PART..message.len()).step_by(PART) {
        if !with(|cs| channel.borrow(cs).put_part(cs, message, place, offset)) {
            return;
        }
    }
}

/// The program drops an end.
pub(super) fn release(channel: &'static Shared) {
    with(|cs| channel.borrow(cs).release());
    wake_driver(channel);
}

/// A value that came did not decode: its circuit is dead.
#[cfg_attr(not(feature = "std"), inline(never))]
pub(super) fn undecodable(channel: &'static Shared) {
    with(|cs| {
        let channel = channel.borrow(cs);
        channel.kill(Reason::DecodeFailed);
        channel.clear(flag::UNTOLD_OUT);
    });
    wake_driver(channel);
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        release(self.channel);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl<T: Message> End for Sender<T> {
    const SPEC: Spec = Spec::sends::<T>(OpenFlags::NONE);

    fn bound(channel: Bound) -> Self {
        Self { channel: channel.0, value: PhantomData }
    }
}

impl<T: Message> ExportEnd for Sender<T> {}
