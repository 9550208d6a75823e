//! One message to a name, without an end of its own.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::task::{Context, Poll};
use core::time::Duration;

use super::LinkError;
use super::error::{ImportError, SendCause};
use super::named::{ChannelError, sentence};
use super::peer::{IMPORT_WAIT, Request, Sent, Way};
use super::sender::{Outgoing, Sender};
use super::shot::{Shot, Stage};
use super::spec::End;
use super::wait::{Source, Timeout, Wait, Waiting, after};
use crate::message::{EndError, Message};
use crate::proto::{Dead, Reason};

/// A message that was not taken, or of which that is not known; and why.
pub struct PostError<T> {
    value: Option<T>,
    // Small beside the value.
    why: Box<(Arc<str>, PostCause)>,
}

/// Why nobody is known to have taken a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PostCause {
    /// It cannot be encoded, is too long, has channel ends that cannot travel, or the way was lost before it went.
    /// Nothing has arrived.
    NotSent(SendCause),
    /// It was refused, there or on the way, or the deadline passed before it could go. Nothing has arrived.
    Refused(ImportError),
    /// It has gone, and then this came in place of the word that it was taken. It may have been taken or not.
    Lost(Dead),
}

impl<T> PostError<T> {
    /// The name that it was sent to.
    pub fn channel(&self) -> &str {
        &self.why.0
    }

    /// Why.
    pub fn cause(&self) -> &PostCause {
        &self.why.1
    }

    /// Whether it may have been taken all the same.
    pub fn may_have_arrived(&self) -> bool {
        matches!(self.cause(), PostCause::Lost(_))
    }

    /// The value, given back, unless it may have been taken.
    pub fn into_value(self) -> Option<T> {
        self.value
    }
}

impl<T> fmt::Display for PostError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "channel `{}`: {}", self.why.0, self.why.1)
    }
}

impl<T> fmt::Debug for PostError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        sentence(f, self, self.advice())
    }
}

impl<T> core::error::Error for PostError<T> {}

impl<T> ChannelError for PostError<T> {
    fn advice(&self) -> Option<&'static str> {
        self.cause().advice()
    }
}

impl fmt::Display for PostCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(cause) => write!(f, "not sent: {cause}"),
            Self::Refused(error) => write!(f, "not taken: {error}"),
            Self::Lost(dead) => write!(f, "perhaps not taken: {dead}"),
        }
    }
}

impl core::error::Error for PostCause {}

impl ChannelError for PostCause {
    fn advice(&self) -> Option<&'static str> {
        match self {
            Self::NotSent(cause) => cause.advice(),
            Self::Refused(error) => error.advice(),
            Self::Lost(dead) => dead.advice(),
        }
    }
}

/// One message to a name; from [`Peer::post`](super::Peer::post) and [`Remote::post`](super::Remote::post).
#[must_use = "nothing happens until `.wait()`, `.timeout(d)` or `.await`"]
pub struct Post<T: Message>(Posting<T>);

impl<T: Message> fmt::Debug for Post<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Post({})", self.0.shot.request.name)
    }
}

impl<T: Message + Send> Post<T> {
    pub(crate) fn new(way: Way, name: &str, value: T) -> Self {
        let shot = Shot::new(way, Request::new(Sender::<T>::spec(), name));
        Self(Posting { shot, value: Outgoing::Value(value) })
    }

    /// Blocks until the message is taken, at most 5 seconds and a little.
    ///
    /// # Errors
    ///
    /// [`PostError`].
    pub fn wait(self) -> Result<(), PostError<T>> {
        self.timeout(IMPORT_WAIT).wait()
    }

    /// Waits at most `limit` for the export to appear and for its program to take the message.
    pub fn timeout(mut self, limit: Duration) -> Timeout<Posting<T>> {
        self.0.shot.until = after(limit);
        Wait::new(self.0).timeout(limit)
    }

    /// Sends it now or never, and lets it go.
    pub(crate) fn go(self) -> Result<(), PostError<T>> {
        let Self(mut posting) = self;
        posting.prepare()?;
        if !posting.shot.ends.is_empty() {
            // They need circuits of their own, and these an open one.
            return Err(posting.failed(PostCause::NotSent(SendCause::Ends(EndError::Refused))));
        }
        match posting.shot.open(None) {
            Ok(Some((circuit, sent))) => {
                if sent == Sent::Not {
                    circuit.send_when_open(core::mem::take(&mut posting.shot.bytes));
                }
                Ok(())
            }
            Ok(None) => Err(posting.failed(PostCause::Refused(ImportError::Dead(LinkError::Closed.dead())))),
            Err(error) => Err(posting.failed(PostCause::Refused(error))),
        }
    }
}

impl<T: Message + Send> IntoFuture for Post<T> {
    type Output = Result<(), PostError<T>>;
    type IntoFuture = Timeout<Posting<T>>;

    fn into_future(self) -> Self::IntoFuture {
        self.timeout(IMPORT_WAIT)
    }
}

/// A message under way. Dropped before it is accepted, it is taken back, unless it was taken in between; later that is
/// left to the far program.
pub struct Posting<T: Message> {
    shot: Shot,
    value: Outgoing<T>,
}

impl<T: Message> Unpin for Posting<T> {}

impl<T: Message> fmt::Debug for Posting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Posting({})", self.shot.request.name)
    }
}

impl<T: Message> Drop for Posting<T> {
    fn drop(&mut self) {
        self.shot.cancel(false);
    }
}

impl<T: Message> Posting<T> {
    /// Encodes the message, the first time: the program's code, with nothing locked.
    fn prepare(&mut self) -> Result<(), PostError<T>> {
        let Self { shot, value } = self;
        let detached = if T::HAS_ENDS { value.detach(&mut shot.ends) } else { Ok(()) };
        detached.and_then(|()| value.encode(&mut shot.bytes)).map_err(|error| PostError {
            why: Box::new((Arc::clone(&shot.request.name), PostCause::NotSent(error.cause()))),
            value: error.into_value(),
        })
    }

    fn failed(&mut self, cause: PostCause) -> PostError<T> {
        let Self { shot, value } = self;
        let value = if matches!(cause, PostCause::Lost(_)) {
            None
        } else {
            value.attach(&mut shot.ends);
            value.give_back(&mut shot.bytes)
        };
        shot.cancel(false);
        PostError { value, why: Box::new((Arc::clone(&shot.request.name), cause)) }
    }
}

impl<T: Message + Send> Waiting for Posting<T> {
    type Output = Result<(), PostError<T>>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if matches!(self.value, Outgoing::Value(_)) {
            self.prepare()?;
        }
        let settled = match self.shot.poll(cx.waker()) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(circuit)) => circuit.settled(cx.waker()),
            Poll::Ready(Err(cause)) => return Poll::Ready(Err(self.failed(cause))),
        };
        match settled {
            None => Poll::Pending,
            Some(Ok(())) => {
                self.shot.stage = Stage::Over;
                Poll::Ready(Ok(()))
            }
            Some(Err(dead)) => Poll::Ready(Err(self.failed(PostCause::Lost(dead)))),
        }
    }

    fn expire(&mut self) -> Self::Output {
        let cause = if self.shot.cancel(false) {
            PostCause::Lost(Dead::here(Reason::Deadline))
        } else {
            PostCause::Refused(ImportError::Deadline)
        };
        Err(self.failed(cause))
    }

    fn source(&self) -> Option<Source<'_>> {
        self.shot.source()
    }

    fn channel(&self) -> Arc<str> {
        Arc::clone(&self.shot.request.name)
    }
}
