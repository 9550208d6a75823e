//! One call of a method, without a client of its own.

use alloc::sync::Arc;
use core::fmt;
use core::marker::PhantomData;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use super::call::{CallError, Client, left_ms, reply_in, request_head};
use super::circuit::{Arrival, Circuit};
use super::error::{ImportError, SendCause};
use super::inbox::{Inbox, Message as Arrived};
use super::named::{ChannelError, Named, sentence};
use super::peer::{IMPORT_WAIT, Request, Way};
use super::post::PostCause;
use super::sender::Outgoing;
use super::shot::{Shot, Stage};
use super::spec::End;
use super::wait::{Source, Timeout, Wait, Waiting, after};
use crate::message::Message;
use crate::proto::{Dead, Place, Reason};

/// The number of the only call of a circuit.
const CALL: u32 = 1;

/// Why a question has no reply.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AskError {
    /// It was refused, there or on the way, or the deadline passed before it could go. Nobody has heard it.
    Refused(ImportError),
    /// As of any other call. Where it is dead, or the deadline has passed, it may have been heard or not.
    Call(CallError),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => fmt::Display::fmt(error, f),
            Self::Call(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl fmt::Debug for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        sentence(f, self, self.advice())
    }
}

impl core::error::Error for AskError {}

impl ChannelError for AskError {
    fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Refused(error) => error.advice(),
            Self::Call(error) => error.advice(),
        }
    }
}

/// One call of a name; from [`Peer::ask`](super::Peer::ask) and [`Remote::ask`](super::Remote::ask).
#[must_use = "nothing happens until `.wait()`, `.timeout(d)` or `.await`"]
pub struct Ask<Req: Message, Rep>(Asking<Req, Rep>);

impl<Req: Message, Rep> fmt::Debug for Ask<Req, Rep> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ask({})", self.0.shot.request.name)
    }
}

impl<Req: Message + Send, Rep: Message + Send> Ask<Req, Rep> {
    pub(crate) fn new(way: Way, name: &str, request: Req) -> Self {
        let shot = Shot::new(way, Request::new(Client::<Req, Rep>::spec(), name).single(None));
        let request = Outgoing::Value(request);
        Self(Asking { shot, request, inbox: Inbox::new(), reply: PhantomData })
    }

    /// The longest reply that is taken, in bytes, for types without a bound of their own; 64 KiB by default. So much
    /// is reserved.
    pub fn message_limit(mut self, bytes: u32) -> Self {
        let name = Arc::clone(&self.0.shot.request.name);
        self.0.shot.request = Request::new(Client::<Req, Rep>::spec(), &name).single(Some(bytes));
        self
    }

    /// Blocks until the reply is there, at most 5 seconds and a little.
    ///
    /// # Errors
    ///
    /// [`AskError`].
    pub fn wait(self) -> Result<Rep, Named<AskError>> {
        self.timeout(IMPORT_WAIT).wait()
    }

    /// Waits at most `limit`, for the export to appear and for the reply. The server can see that.
    pub fn timeout(mut self, limit: Duration) -> Timeout<Asking<Req, Rep>> {
        self.0.shot.until = after(limit);
        Wait::new(self.0).timeout(limit)
    }
}

impl<Req: Message + Send, Rep: Message + Send> IntoFuture for Ask<Req, Rep> {
    type Output = Result<Rep, Named<AskError>>;
    type IntoFuture = Timeout<Asking<Req, Rep>>;

    fn into_future(self) -> Self::IntoFuture {
        self.timeout(IMPORT_WAIT)
    }
}

/// A question under way. Dropping it cancels the call: the server is told.
pub struct Asking<Req: Message, Rep> {
    shot: Shot,
    request: Outgoing<Req>,
    inbox: Inbox,
    reply: PhantomData<fn() -> Rep>,
}

impl<Req: Message, Rep> Unpin for Asking<Req, Rep> {}

impl<Req: Message, Rep> fmt::Debug for Asking<Req, Rep> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Asking({})", self.shot.request.name)
    }
}

impl<Req: Message, Rep> Drop for Asking<Req, Rep> {
    fn drop(&mut self) {
        self.shot.cancel(true);
    }
}

impl<Req: Message, Rep: Message> Asking<Req, Rep> {
    fn prepare(&mut self) -> Result<(), AskError> {
        let Self { shot, request, .. } = self;
        if let Err(error) = request.encode(&mut shot.bytes) {
            let SendCause::Encode(error) = error.cause() else { return Ok(()) };
            return Err(AskError::Call(CallError::Encode(error)));
        }
        let (head, len) = request_head(CALL, left_ms(shot.until));
        shot.bytes.splice(..0, head[..len].iter().copied());
        Ok(())
    }

    /// What has come of it, once it has gone.
    fn receive(&mut self, circuit: &Arc<Circuit>, waker: &Waker) -> Option<Result<Rep, CallError>> {
        loop {
            while let Some(message) = self.inbox.next() {
                let bytes = match message {
                    Arrived::Small(bytes) => bytes.to_vec(),
                    Arrived::Owned(bytes) => bytes,
                };
                circuit.count_taken(&mut self.inbox);
                if let Some((CALL, reply)) = reply_in(bytes) {
                    let reply = reply.map_err(CallError::Dead);
                    return Some(reply.and_then(|bytes| Rep::decode_owned(bytes).map_err(CallError::Decode)));
                }
            }
            match circuit.receive(&mut self.inbox, Some(waker)) {
                Arrival::Messages => {}
                Arrival::Nothing => return None,
                Arrival::Closed => {
                    let dead = Dead { reason: Reason::Withdrawn, at: Place::Peer };
                    return Some(Err(CallError::Dead(dead)));
                }
                Arrival::Dead(dead) => return Some(Err(CallError::Dead(dead))),
            }
        }
    }

    fn named(&self, error: AskError) -> Named<AskError> {
        Named::new(Arc::clone(&self.shot.request.name), error)
    }
}

impl<Req: Message + Send, Rep: Message + Send> Waiting for Asking<Req, Rep> {
    type Output = Result<Rep, Named<AskError>>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if matches!(self.request, Outgoing::Value(_)) {
            self.prepare().map_err(|error| self.named(error))?;
        }
        let circuit = match self.shot.poll(cx.waker()) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(circuit)) => circuit,
            Poll::Ready(Err(cause)) => {
                self.shot.cancel(true);
                return Poll::Ready(Err(self.named(cause.into())));
            }
        };
        let Some(reply) = self.receive(&circuit, cx.waker()) else { return Poll::Pending };
        self.shot.stage = Stage::Over;
        circuit.drop_rx(&mut self.inbox);
        Poll::Ready(reply.map_err(|error| self.named(AskError::Call(error))))
    }

    fn expire(&mut self) -> Self::Output {
        let may_be_heard = self.shot.cancel(true);
        Err(self.named(if may_be_heard {
            AskError::Call(CallError::Deadline)
        } else {
            AskError::Refused(ImportError::Deadline)
        }))
    }

    fn source(&self) -> Option<Source<'_>> {
        self.shot.source()
    }

    fn channel(&self) -> Arc<str> {
        Arc::clone(&self.shot.request.name)
    }
}

impl From<PostCause> for AskError {
    fn from(cause: PostCause) -> Self {
        match cause {
            PostCause::Refused(error) => Self::Refused(error),
            PostCause::Lost(dead) | PostCause::NotSent(SendCause::Dead(dead)) => {
                Self::Call(CallError::Dead(dead))
            }
            PostCause::NotSent(SendCause::TooLarge(limit)) => Self::Call(CallError::TooLarge(limit)),
            PostCause::NotSent(SendCause::Encode(error)) => Self::Call(CallError::Encode(error)),
            PostCause::NotSent(_) => Self::Call(CallError::Dead(Dead::here(Reason::Cancelled))),
        }
    }
}
