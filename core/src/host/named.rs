//! Errors that say which channel they are of, and what can be done.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::error::Error;
use core::fmt;
use core::ops::Deref;
use core::task::{Context, Poll};
use std::time::Instant;

use super::ask::AskError;
use super::call::CallError;
use super::error::{ImportError, RecvError, SendCause};
use super::sender::DrainError;
use super::wait::{Source, Waiting};
use crate::proto::{Dead, Reason};

/// An error of a channel that knows what can be done about it.
pub trait ChannelError: Error {
    /// What a program, or the one who runs it, can do; `None` where nothing is to be said.
    fn advice(&self) -> Option<&'static str>;
}

/// An error with the name of its channel.
///
/// Imports and loops over receivers yield it; for other operations, whose errors are small
/// and `Copy`, ask for it with [`Wait::named`](super::Wait::named). Both `Display` and
/// `Debug` are sentences, so that a `main` that returns it prints what one needs to know:
///
/// ```
/// # use netchan::{Dead, Reason};
/// # let (sender, mut ticks) = netchan::channel::<u32>(1);
/// # drop(sender);
/// let error = ticks.recv().named().wait().unwrap_err();
/// assert_eq!(error.to_string(), "channel `(local)`: closed: all values were received");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Named<E> {
    // Small, for it travels beside values.
    inner: Box<(Arc<str>, E)>,
}

impl<E> Named<E> {
    pub(crate) fn new(channel: Arc<str>, error: E) -> Self {
        Self { inner: Box::new((channel, error)) }
    }

    /// The name of the channel, as it was imported or exported.
    pub fn channel(&self) -> &str {
        &self.inner.0
    }

    /// The error alone.
    pub fn into_inner(self) -> E {
        self.inner.1
    }
}

impl<E> Deref for Named<E> {
    type Target = E;

    fn deref(&self) -> &E {
        &self.inner.1
    }
}

impl<E: PartialEq> PartialEq<E> for Named<E> {
    fn eq(&self, other: &E) -> bool {
        **self == *other
    }
}

impl<E: fmt::Display> fmt::Display for Named<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "channel `{}`: {}", self.inner.0, self.inner.1)
    }
}

impl<E: ChannelError> fmt::Debug for Named<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        sentence(f, self, self.advice())
    }
}

impl<E: ChannelError> Error for Named<E> {}

macro_rules! without_name {
    ($($error:ty),*) => {
        $(impl From<Named<$error>> for $error {
            fn from(named: Named<$error>) -> Self {
                named.into_inner()
            }
        })*
    };
}

// For `?` in functions whose own error has no name.
without_name!(Dead, AskError, CallError, DrainError, ImportError, RecvError, SendCause);

/// What `main` prints of an error that it returns.
pub(crate) fn sentence(
    f: &mut fmt::Formatter<'_>,
    what: &dyn fmt::Display,
    advice: Option<&str>,
) -> fmt::Result {
    write!(f, "{what}")?;
    advice.map_or(Ok(()), |advice| write!(f, " ({advice})"))
}

impl ChannelError for Dead {
    fn advice(&self) -> Option<&'static str> {
        Some(match self.reason {
            Reason::LinkLost | Reason::PeerRestarted | Reason::LinkReset => {
                "connect again, or let it be done: `.reconnect(..)` when connecting, `.reopen()` when importing"
            }
            Reason::Unresponsive => {
                "the peer or the network hangs; how long to wait is `Config::dead_time`, and `.reconnect(..)` \
                 connects again"
            }
            Reason::Shutdown => "that node was shut down: connect again when it is back",
            Reason::NoName => "check the name, and that the peer exports it",
            Reason::WrongDirection => "one side holds a Sender where the other holds a Receiver",
            Reason::TypeDiffers => "build both sides with the same type, or accept the older one with `also`",
            Reason::Busy => "one importer at a time: try again when the other has left",
            Reason::NoResources => "a limit of `Config` is reached, here or at the peer",
            Reason::TooLarge => "raise `message_limit` at the receiving side",
            Reason::TooSlow => "take the values faster, or import with a larger `window`",
            Reason::DecodeFailed => "both sides must have the same type, with the same serde attributes",
            Reason::Protocol => "is something else than netchan at the other end?",
            Reason::Deadline => "allow more time with `.timeout(..)`",
            Reason::HungUp => "the other end was dropped",
            Reason::Withdrawn => "the exported end was dropped",
            Reason::HandlerGone => "the server dropped the request without a reply",
            Reason::ChainBroken => "begin a new chain",
            Reason::HandlerPanicked => "see the server's own messages",
            _ => return None,
        })
    }
}

/// The output of an operation that can fail.
pub trait Outcome {
    #[doc(hidden)]
    type Value;
    #[doc(hidden)]
    type Error: ChannelError;
    #[doc(hidden)]
    fn named(self, channel: Arc<str>) -> Result<Self::Value, Named<Self::Error>>;
}

impl<T, E: ChannelError> Outcome for Result<T, E> {
    type Value = T;
    type Error = E;

    fn named(self, channel: Arc<str>) -> Result<T, Named<E>> {
        self.map_err(|error| Named::new(channel, error))
    }
}

/// An operation whose error will have the channel's name.
#[derive(Debug)]
pub struct Naming<W> {
    what: W,
}

impl<W> Naming<W> {
    pub(crate) const fn new(what: W) -> Self {
        Self { what }
    }
}

impl<W: Waiting<Output: Outcome>> Waiting for Naming<W> {
    type Output = Result<<W::Output as Outcome>::Value, Named<<W::Output as Outcome>::Error>>;

    fn now(&mut self) -> Option<Self::Output> {
        let output = self.what.now()?;
        Some(output.named(self.what.channel()))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.what.poll(cx).map(|output| output.named(self.what.channel()))
    }

    fn expire(&mut self) -> Self::Output {
        let output = self.what.expire();
        output.named(self.what.channel())
    }

    fn deadline(&mut self, at: Instant) {
        self.what.deadline(at);
    }

    fn source(&self) -> Option<Source<'_>> {
        self.what.source()
    }

    fn channel(&self) -> Arc<str> {
        self.what.channel()
    }
}
