//! The side that answers.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::OnceLock;
use std::time::Instant;

use super::left::Left;
use super::{HEADER_MAX, KIND_MESSAGE, KIND_OTHER, is_error, short};
use crate::host::circuit::Circuit;
use crate::host::error::{RecvError, SendCause, SendError};
use crate::host::inbox::Message as Arrived;
use crate::host::receiver::Inflow;
use crate::host::sender::Outgoing;
use crate::host::spec::{End, ExportEnd, Exported, Imported, Spec};
use crate::host::sync::{self, AtomicBool, HashMap, Mutex, MutexGuard, Ordering, PoisonError};
use crate::host::wait::{Source, Wait, Waiting};
use crate::message::{DecodeError, Message};
use crate::proto::{OpenFlags, Reason, varint};

/// Serves a method: gets `Req`, replies with `Rep`.
///
/// Dropping it refuses what comes: the name is free again, and calls that were not taken, or
/// come later, are answered dead, `HungUp`. Requests that are in hand can still be replied to;
/// with the last of them its circuits end.
#[derive(Debug)]
pub struct Server<Req: Message, Rep: Message> {
    /// Decoded from with nothing locked.
    inflow: Inflow,
    shared: Arc<Shared>,
    peeked: Option<Result<Request<Req, Rep>, RecvError>>,
}

/// Requests that are being handled, by circuit and number, and whether their callers have given up.
type Handled = HashMap<(usize, u32), Arc<AtomicBool>>;

/// What a server and its requests share.
#[derive(Default)]
pub(super) struct Shared {
    handled: Mutex<Handled>,
    /// Of a server that was dropped: ends with the last request.
    pub(super) left: OnceLock<Left>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    fn handled(&self) -> MutexGuard<'_, Handled> {
        self.handled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call was given up: whoever handles it is told.
    pub(super) fn cancel(&self, circuit: &Arc<Circuit>, id: u32) {
        if let Some(cancelled) = self.handled().get(&(Arc::as_ptr(circuit) as usize, id)) {
            cancelled.store(true, Ordering::Release);
        }
    }
}

impl<Req: Message + Send, Rep: Message + Send> Server<Req, Rep> {
    fn new(inflow: Inflow) -> Self {
        Self { inflow, shared: Arc::default(), peeked: None }
    }

    /// Receives the next request.
    ///
    /// Dropping the operation loses nothing.
    ///
    /// # Errors
    ///
    /// [`RecvError`]; an exported server never sees the end of one caller as its own.
    pub fn recv(&mut self) -> Wait<Serving<'_, Req, Rep>> {
        Wait::new(Serving { server: self })
    }

    /// Receives a request if one is there.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] if none is, else as [`Server::recv`].
    pub fn try_recv(&mut self) -> Result<Request<Req, Rep>, RecvError> {
        self.take(None)
    }

    pub(crate) fn is_ready(&mut self, waker: &Waker) -> bool {
        if self.peeked.is_none() {
            match self.take(Some(waker)) {
                Err(RecvError::Empty) => {}
                result => self.peeked = Some(result),
            }
        }
        self.peeked.is_some()
    }

    fn take(&mut self, waker: Option<&Waker>) -> Result<Request<Req, Rep>, RecvError> {
        if let Some(peeked) = self.peeked.take() {
            return peeked;
        }
        loop {
            self.inflow.put_back();
            let is_new = self.inflow.inbox().is_empty();
            let next = self.inflow.next(waker, |message, circuit, _, _| {
                let bytes = match &message {
                    Arrived::Small(bytes) => bytes,
                    Arrived::Owned(bytes) => bytes.as_slice(),
                };
                let parsed = parse::<Req>(bytes)?;
                if parsed.1.is_some() {
                    // Before it counts as taken, when its caller may be through: the reply is still to come.
                    circuit.begin_request();
                }
                Ok((parsed, Arc::clone(circuit)))
            });
            if is_new {
                self.note_cancels();
            }
            let is_chain = self.inflow.is_chain();
            let ((id, request), circuit) = next?;
            let Some((value, left_ms)) = request else {
                self.shared.cancel(&circuit, id);
                continue;
            };
            if is_chain && (circuit.is_chain_broken() || circuit.dead().is_some()) {
                let _ = circuit.reply(&mut short(id, &[KIND_OTHER, Reason::ChainBroken.get()]));
                circuit.end_request();
                continue;
            }
            let cancel = short(id, &[KIND_OTHER]);
            let is_cancel = |bytes: &[u8]| bytes == &cancel[..];
            let cancelled = Arc::new(AtomicBool::new(self.inflow.inbox().any(is_cancel)));
            let key = (Arc::as_ptr(&circuit) as usize, id);
            self.shared.handled().insert(key, Arc::clone(&cancelled));
            let deadline = (left_ms > 0).then(|| sync::now() + Duration::from_millis(u64::from(left_ms)));
            let shared = Arc::clone(&self.shared);
            let reply = Reply { shared, circuit, id, cancelled, is_chain, open: true };
            return Ok(Request { value, deadline, reply, rep: PhantomData });
        }
    }

    /// Requests that are being handled hear of cancels before these are taken.
    fn note_cancels(&self) {
        let Some(circuit) = self.inflow.circuit_of_inbox() else { return };
        let handled = self.shared.handled();
        if !handled.is_empty() {
            self.inflow.inbox().any(|bytes| {
                if let Ok((id, used)) = varint::get(bytes)
                    && bytes[used..] == [KIND_OTHER]
                    && let Some(cancelled) = handled.get(&(Arc::as_ptr(circuit) as usize, id))
                {
                    cancelled.store(true, Ordering::Release);
                }
                false
            });
        }
    }
}

impl<Req: Message, Rep: Message> Drop for Server<Req, Rep> {
    fn drop(&mut self) {
        self.peeked = None;
        let inflow = core::mem::replace(&mut self.inflow, Inflow::gone());
        if Arc::strong_count(&self.shared) > 1 {
            // Requests that are still handled can be answered.
            inflow.withdraw();
            Left::begin(&self.shared, inflow);
        }
    }
}

type Parsed<Req> = (u32, Option<(Req, u32)>);

fn parse<Req: Message>(bytes: &[u8]) -> Result<Parsed<Req>, DecodeError> {
    let (id, used) = varint::get(bytes).map_err(|_| DecodeError::Varint)?;
    match bytes.get(used) {
        Some(&KIND_MESSAGE) => {
            let at = used + 1;
            let (left_ms, used) = varint::get(&bytes[at..]).map_err(|_| DecodeError::Varint)?;
            Ok((id, Some((Req::decode(&bytes[at + used..])?, left_ms))))
        }
        Some(&KIND_OTHER) if bytes.len() == used + 1 => Ok((id, None)),
        _ => Err(DecodeError::Truncated),
    }
}

impl<Req: Message + Send, Rep: Message + Send> End for Server<Req, Rep> {
    fn spec() -> Spec {
        let longest = Req::MAX_LEN.map(|len| len + HEADER_MAX);
        let spec = Spec::both::<Req, Rep>(OpenFlags::CALLS, Req::NAME, longest);
        if Rep::IS_RESULT { spec.or_chain::<Req, Rep>() } else { spec }
    }

    fn imported(end: Imported) -> Self {
        Self::new(Inflow::circuit(end.circuit, end.which))
    }
}

impl<Req: Message + Send, Rep: Message + Send> ExportEnd for Server<Req, Rep> {
    fn exported(end: Exported) -> Self {
        Self::new(Inflow::hub(end.hub))
    }
}

/// A request being waited for.
#[derive(Debug)]
pub struct Serving<'s, Req: Message, Rep: Message> {
    server: &'s mut Server<Req, Rep>,
}

impl<Req: Message + Send, Rep: Message + Send> Waiting for Serving<'_, Req, Rep> {
    type Output = Result<Request<Req, Rep>, RecvError>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.server.take(Some(cx.waker())) {
            Err(RecvError::Empty) => Poll::Pending,
            result => Poll::Ready(result),
        }
    }

    fn expire(&mut self) -> Self::Output {
        Err(RecvError::Deadline)
    }

    fn source(&self) -> Option<Source<'_>> {
        self.server.inflow.source()
    }

    fn channel(&self) -> Arc<str> {
        self.server.inflow.channel()
    }
}

/// One request. Dropped without a reply, its caller hears `HandlerGone`, or
/// `HandlerPanicked` where that is why.
pub struct Request<Req, Rep> {
    value: Req,
    deadline: Option<Instant>,
    reply: Reply,
    rep: PhantomData<fn(Rep)>,
}

impl<Req: fmt::Debug, Rep> fmt::Debug for Request<Req, Rep> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Request").field(&self.value).finish()
    }
}

impl<Req, Rep> core::ops::Deref for Request<Req, Rep> {
    type Target = Req;

    fn deref(&self) -> &Req {
        &self.value
    }
}

impl<Req, Rep: Message + Send> Request<Req, Rep> {
    /// When the caller stops waiting, if it has said so. Not adjusted for the time the
    /// request spent under way.
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether the caller has given up, or is gone.
    pub fn is_cancelled(&self) -> bool {
        self.reply.is_cancelled()
    }

    /// Replies. It never blocks: ready at the first poll, the reply goes out after those
    /// before it to the same caller.
    ///
    /// What the link does not take yet, or its caller has no room for, is kept here, and until
    /// all of that has gone no further request of this caller is taken; others are served
    /// meanwhile. So for each importer no more is kept than the replies to what was in hand,
    /// each as long as the importer takes at the most: of a server that replies to one request
    /// after the other that is one reply, beside the one that is being written.
    ///
    /// Dropping the operation before it is polled means that the reply is not sent, and its
    /// caller hears `HandlerGone`.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the reply, when the caller is gone or the reply is too long; the
    /// caller of one that is too long hears `TooLarge`.
    pub fn reply(self, value: Rep) -> Wait<Replying<Rep>> {
        Wait::new(Replying { value: Outgoing::Value(value), reply: self.reply })
    }
}

/// The right to answer one request.
struct Reply {
    shared: Arc<Shared>,
    circuit: Arc<Circuit>,
    id: u32,
    cancelled: Arc<AtomicBool>,
    /// If it is an error, the next of its circuit do not run.
    is_chain: bool,
    open: bool,
}

impl Reply {
    fn is_cancelled(&self) -> bool {
        let cancel = short(self.id, &[KIND_OTHER]);
        let is_ours = |bytes: &[u8]| bytes == &cancel[..];
        self.cancelled.load(Ordering::Acquire)
            // One that asks once has ended in order before its link is lost, and is not dead by that.
            || self.circuit.has_left()
            || self.circuit.any(is_ours)
            // The server may have taken it over in between.
            || self.cancelled.load(Ordering::Acquire)
    }

    fn refuse(&mut self, reason: Reason) {
        if core::mem::replace(&mut self.open, false) {
            if self.is_chain {
                self.circuit.break_chain();
            }
            // One that is gone hears nothing.
            let _ = self.circuit.reply(&mut short(self.id, &[KIND_OTHER, reason.get()]));
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.refuse(if std::thread::panicking() { Reason::HandlerPanicked } else { Reason::HandlerGone });
        self.shared.handled().remove(&(Arc::as_ptr(&self.circuit) as usize, self.id));
        self.circuit.end_request();
    }
}

/// A reply being sent.
pub struct Replying<Rep> {
    value: Outgoing<Rep>,
    reply: Reply,
}

impl<Rep> Unpin for Replying<Rep> {}

impl<Rep> fmt::Debug for Replying<Rep> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Replying")
    }
}

impl<Rep: Message + Send> Waiting for Replying<Rep> {
    type Output = Result<(), SendError<Rep>>;

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<Self::Output> {
        let mut bytes = Vec::new();
        if let Err(error) = self.value.encode(&mut bytes) {
            return Poll::Ready(Err(error));
        }
        let fails = self.reply.is_chain && Rep::IS_RESULT && is_error(&bytes);
        let head = short(self.reply.id, &[KIND_MESSAGE]);
        bytes.splice(..0, head.iter().copied());
        let Err(cause) = self.reply.circuit.reply(&mut bytes) else {
            self.reply.open = false;
            if fails {
                self.reply.circuit.break_chain();
            }
            return Poll::Ready(Ok(()));
        };
        bytes.drain(..head.len().min(bytes.len()));
        let value = self.value.give_back(&mut bytes);
        if let SendCause::TooLarge(_) = cause {
            self.reply.refuse(Reason::TooLarge);
        }
        Poll::Ready(Err(SendError::new(value, cause).of(Arc::clone(&self.reply.circuit.name))))
    }

    fn expire(&mut self) -> Self::Output {
        let error = SendError::new(self.value.give_back(&mut Vec::new()), SendCause::Deadline);
        Err(error.of(Arc::clone(&self.reply.circuit.name)))
    }
}
