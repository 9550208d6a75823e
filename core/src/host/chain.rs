//! Calls of one method that build on each other: they go out without waiting for replies, and after the first that fails
//! none runs any more.
//!
//! A chain is a circuit of its own, so whose calls belong together needs no number: the exporter runs the requests of
//! that circuit one after the other, and keeps one bit of it, which goes with the circuit. The first error itself is
//! kept where it is wanted, at the caller, who hears it in order before it hears that others did not run.

use alloc::sync::Arc;
use core::fmt;
use core::marker::PhantomData;
use core::task::{Context, Poll};
use core::time::Duration;
use std::time::Instant;

use super::call::{CallError, Calling, Core, Failure, HEADER_MAX};
use super::named::{ChannelError, sentence};
use super::spec::{End, Imported, Spec};
use super::wait::{Source, Timeout, Wait, Waiting};
use crate::message::{DecodeError, Message};
use crate::proto::Reason;

/// Calls a method that replies with a `Result`, one call after the other, until one fails.
///
/// Imported from whoever exports a `Server<Req, Result<T, E>>`, on a host (a board refuses it, `TypeDiffers`). Each chain stands
/// for itself, and for itself runs in strict order: a call begins when the one before has been answered with `Ok`. A call
/// *fails* when its reply is an `Err`, and when it gets none: its handler drops it or panics, its reply is too long, or it
/// cannot be sent from here. Those that come after that one, and those that are under way, are
/// not run and get its error. Import another chain to begin anew.
///
/// As many calls may be under way as replies fit into the window: 3 where these have no bound, 16
/// where they have one, or the import a [`message_limit`](super::Import::message_limit), of up to 16 000 bytes, and more of short
/// ones. A further one waits until one is answered. When the caller is gone, what it
/// has sent and what has not begun does not run. Dropping the chain ends it in order, when the last of its calls is answered or dropped.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let board: netchan::Peer = todo!();
/// use netchan::Chain;
///
/// let mut steps = board.import::<Chain<String, u32, String>>("steps").wait()?;
/// let erased = steps.call("erase".into()).wait()?; // sent, and not waited for
/// let written = steps.call("write".into()).wait()?;
/// let started = steps.call("start".into()).wait()?;
/// match started.wait() {
///     Ok(version) => println!("version {version} runs"),
///     Err(error) => println!("{error}"), // of whichever was the first
/// }
/// # Ok(())
/// # }
/// ```
pub struct Chain<Req, T, E> {
    core: Arc<Core>,
    types: PhantomData<fn(Req) -> Result<T, E>>,
}

impl<Req, T, E> fmt::Debug for Chain<Req, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chain")
    }
}

impl<Req, T, E> Chain<Req, T, E>
where
    Req: Message + Send,
    T: Message + Send,
    E: Message + Send,
{
    /// Sends the next call. Yields as soon as it has gone, which takes room for its reply: the reply itself is waited
    /// for with what this yields.
    ///
    /// Dropping the operation before it is ready sends nothing.
    ///
    /// # Errors
    ///
    /// [`ChainError`]: it could not be sent. Nor will any later one.
    pub fn call(&mut self, request: Req) -> Wait<Chaining<'_, Req, T, E>> {
        let call = Some(Calling::new(Arc::clone(&self.core), request));
        Wait::new(Chaining { call, chain: PhantomData })
    }

    /// Whether a call has failed: none runs any more.
    pub fn is_broken(&self) -> bool {
        self.core.failure().is_some()
    }
}

impl<Req, T, E> End for Chain<Req, T, E>
where
    Req: Message + Send,
    T: Message + Send,
    E: Message + Send,
{
    fn spec() -> Spec {
        let longest = <Result<T, E>>::MAX_LEN.map(|len| len + HEADER_MAX);
        Spec::chain::<Result<T, E>, Req>(Req::NAME, longest)
    }

    fn imported(end: Imported) -> Self {
        Self { core: Core::new(end, &Self::spec(), true), types: PhantomData }
    }
}

/// Why a call of a chain has no result.
#[derive(Clone, PartialEq, Eq)]
pub struct ChainError<E> {
    cause: ChainCause<E>,
    is_skipped: bool,
}

/// Why a call has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChainCause<E> {
    /// The method's own error.
    Failed(E),
    /// It has no reply.
    Call(CallError),
}

impl<E> ChainError<E> {
    /// Why this call has failed, or the first one before it that has.
    pub const fn cause(&self) -> &ChainCause<E> {
        &self.cause
    }

    /// The cause alone.
    pub fn into_cause(self) -> ChainCause<E> {
        self.cause
    }

    /// Whether this call was not run, because an earlier one has failed.
    pub const fn is_skipped(&self) -> bool {
        self.is_skipped
    }
}

impl<E: Message> ChainError<E> {
    /// Of a call that has come to this; `T` is the type of its result.
    fn new<T: Message>(core: &Arc<Core>, error: CallError) -> Self {
        let is_skipped = matches!(error, CallError::Dead(dead) if dead.reason == Reason::ChainBroken);
        let first = if is_skipped { core.failure() } else { None };
        let cause = match first {
            None => ChainCause::Call(error),
            Some(Failure::Call(first)) => ChainCause::Call(first),
            Some(Failure::Reply(bytes)) => match <Result<T, E>>::decode_owned(bytes) {
                Ok(Err(error)) => ChainCause::Failed(error),
                Ok(Ok(_)) => ChainCause::Call(error),
                Err(error) => ChainCause::Call(CallError::Decode(error)),
            },
        };
        Self { cause, is_skipped }
    }
}

impl<E: fmt::Display> fmt::Display for ChainError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_skipped {
            f.write_str("not run, because an earlier call of the chain has failed: ")?;
        }
        match &self.cause {
            ChainCause::Failed(error) => fmt::Display::fmt(error, f),
            ChainCause::Call(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for ChainError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_skipped {
            f.write_str("not run, because an earlier call of the chain has failed: ")?;
        }
        match &self.cause {
            ChainCause::Failed(error) => fmt::Debug::fmt(error, f),
            ChainCause::Call(error) => sentence(f, error, error.advice()),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for ChainError<E> {}

impl<E: fmt::Debug + fmt::Display> ChannelError for ChainError<E> {
    fn advice(&self) -> Option<&'static str> {
        match &self.cause {
            ChainCause::Failed(_) => None,
            ChainCause::Call(error) => error.advice(),
        }
    }
}

/// A call of a chain that is being sent.
pub struct Chaining<'c, Req: Message, T, E> {
    call: Option<Calling<Req, Result<T, E>>>,
    chain: PhantomData<&'c mut Chain<Req, T, E>>,
}

impl<Req: Message, T, E> Unpin for Chaining<'_, Req, T, E> {}

impl<Req: Message, T, E> fmt::Debug for Chaining<'_, Req, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chaining")
    }
}

impl<Req, T, E> Waiting for Chaining<'_, Req, T, E>
where
    Req: Message + Send,
    T: Message + Send,
    E: Message + Send,
{
    type Output = Result<ChainCall<Req, T, E>, ChainError<E>>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(call) = &mut self.call else { return Poll::Pending };
        match call.poll_sent(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => match self.call.take() {
                Some(call) => Poll::Ready(Ok(ChainCall { call })),
                None => Poll::Pending,
            },
            Poll::Ready(Err(error)) => {
                let core = call.core();
                let error = ChainError::new::<T>(core, error);
                if let (false, ChainCause::Call(error)) = (error.is_skipped, &error.cause) {
                    core.fail(*error);
                }
                Poll::Ready(Err(error))
            }
        }
    }

    fn expire(&mut self) -> Self::Output {
        // It has not gone, and may be tried again.
        Err(ChainError { cause: ChainCause::Call(CallError::Deadline), is_skipped: false })
    }

    fn source(&self) -> Option<Source<'_>> {
        self.call.as_ref()?.source()
    }

    fn channel(&self) -> Arc<str> {
        self.call.as_ref().map_or_else(|| "".into(), Waiting::channel)
    }
}

/// A call of a chain that has gone. Dropping it cancels the call: the server is told, and the chain goes on behind it if the
/// server replies all the same; a request that it drops, as one may when
/// [`is_cancelled`](super::Request::is_cancelled) says so, has failed, and breaks the chain.
#[must_use = "the reply is waited for with `.wait()`, `.timeout(d)` or `.await`"]
pub struct ChainCall<Req: Message, T, E> {
    call: Calling<Req, Result<T, E>>,
}

impl<Req: Message, T, E> Unpin for ChainCall<Req, T, E> {}

impl<Req: Message, T, E> fmt::Debug for ChainCall<Req, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChainCall")
    }
}

impl<Req, T, E> ChainCall<Req, T, E>
where
    Req: Message + Send,
    T: Message + Send,
    E: Message + Send,
{
    /// Blocks until the reply is there.
    ///
    /// # Errors
    ///
    /// [`ChainError`].
    pub fn wait(self) -> Result<T, ChainError<E>> {
        Wait::new(self).wait()
    }

    /// Waits at most `limit` for the reply. The call is cancelled then, as by a drop.
    pub fn timeout(self, limit: Duration) -> Timeout<Self> {
        Wait::new(self).timeout(limit)
    }
}

impl<Req, T, E> IntoFuture for ChainCall<Req, T, E>
where
    Req: Message + Send,
    T: Message + Send,
    E: Message + Send,
{
    type Output = Result<T, ChainError<E>>;
    type IntoFuture = Wait<Self>;

    fn into_future(self) -> Wait<Self> {
        Wait::new(self)
    }
}

impl<Req, T, E> Waiting for ChainCall<Req, T, E>
where
    Req: Message + Send,
    T: Message + Send,
    E: Message + Send,
{
    type Output = Result<T, ChainError<E>>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = match self.call.poll(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(result) => result,
        };
        Poll::Ready(match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(ChainError { cause: ChainCause::Failed(error), is_skipped: false }),
            Err(error) => Err(ChainError::new::<T>(self.call.core(), error)),
        })
    }

    fn expire(&mut self) -> Self::Output {
        let error = match self.call.expire() {
            Err(error) => error,
            Ok(_) => CallError::Decode(DecodeError::Truncated),
        };
        Err(ChainError { cause: ChainCause::Call(error), is_skipped: false })
    }

    fn deadline(&mut self, _at: Instant) {}

    fn source(&self) -> Option<Source<'_>> {
        self.call.source()
    }

    fn channel(&self) -> Arc<str> {
        self.call.channel()
    }
}
