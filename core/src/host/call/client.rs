//! The side that calls.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::task::{Context, Poll, Waker};
use std::time::Instant;

use super::calls::{Core, Pending, wake_all};
use super::{CallError, HEADER_MAX, KIND_OTHER, left_ms, request_head, short};
use crate::host::circuit::Refusal;
use crate::host::error::SendCause;
use crate::host::sender::Outgoing;
use crate::host::spec::{End, Imported, Spec};
use crate::host::wait::{Source, Wait, Waiting};
use crate::message::Message;
use crate::proto::{Dead, OpenFlags, Reason};

/// Calls a method: sends `Req`, gets `Rep`. Clones share one circuit.
///
/// Dropping the last one ends the circuit; calls that are under way keep it alive.
pub struct Client<Req, Rep> {
    core: Arc<Core>,
    types: PhantomData<fn(Req) -> Rep>,
}

impl<Req, Rep> Clone for Client<Req, Rep> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), types: PhantomData }
    }
}

impl<Req, Rep> fmt::Debug for Client<Req, Rep> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl<Req: Message + Send, Rep: Message + Send> Client<Req, Rep> {
    /// Calls the method. Calls run in the order in which they were first polled or waited
    /// for; as many may be under way as replies fit into the window.
    ///
    /// Dropping the operation cancels the call: the server is told.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub fn call(&self, request: Req) -> Wait<Calling<Req, Rep>> {
        Wait::new(Calling::new(Arc::clone(&self.core), request))
    }
}

impl<Req: Message + Send, Rep: Message + Send> End for Client<Req, Rep> {
    fn spec() -> Spec {
        Spec::both::<Rep, Req>(OpenFlags::CALLS, Req::NAME, Rep::MAX_LEN.map(|len| len + HEADER_MAX))
    }

    fn imported(end: Imported) -> Self {
        Self { core: Core::new(end, &Self::spec(), false), types: PhantomData }
    }
}

/// A call under way.
pub struct Calling<Req: Message, Rep> {
    core: Arc<Core>,
    state: State<Req>,
    deadline: Option<Instant>,
    reply: PhantomData<fn() -> Rep>,
}

enum State<Req> {
    /// With its encoding, once that was made.
    Unsent(Outgoing<Req>, Vec<u8>),
    Sent(u32),
    Over,
}

impl<Req: Message, Rep> Unpin for Calling<Req, Rep> {}

impl<Req: Message, Rep> fmt::Debug for Calling<Req, Rep> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Calling")
    }
}

impl<Req: Message + Send, Rep: Message + Send> Calling<Req, Rep> {
    pub(crate) const fn new(core: Arc<Core>, request: Req) -> Self {
        let state = State::Unsent(Outgoing::Value(request), Vec::new());
        Self { core, state, deadline: None, reply: PhantomData }
    }

    pub(crate) const fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Sends the request, and does not wait for the reply.
    pub(crate) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        if !matches!(self.state, State::Unsent(..)) {
            return Poll::Ready(Ok(()));
        }
        let sent = self.send(cx.waker());
        self.core.settle();
        match sent {
            None => {
                self.core.pump_if_idle();
                Poll::Pending
            }
            Some(Err(error)) => {
                self.state = State::Over;
                Poll::Ready(Err(error))
            }
            Some(Ok(id)) => {
                self.state = State::Sent(id);
                // Registers for the reply, and finds one that was faster.
                self.core.pump();
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Sends the request, or registers the waker.
    fn send(&mut self, waker: &Waker) -> Option<Result<u32, CallError>> {
        let State::Unsent(mut request, mut bytes) = core::mem::replace(&mut self.state, State::Over) else {
            return None;
        };
        // The program's code: before anything is locked, and it may panic.
        if let Err(error) = request.encode(&mut bytes) {
            let SendCause::Encode(error) = error.cause() else { return None };
            return Some(Err(CallError::Encode(error)));
        }
        let sent = self.send_encoded(&mut bytes, waker);
        if sent.is_none() {
            self.state = State::Unsent(request, bytes);
        }
        sent
    }

    fn send_encoded(&self, bytes: &mut Vec<u8>, waker: &Waker) -> Option<Result<u32, CallError>> {
        loop {
            let (id, told) = match self.core.begin(waker)? {
                Ok(begun) => begun,
                Err(dead) => return Some(Err(CallError::Dead(dead))),
            };
            let (head, at) = request_head(id, self.deadline.map_or(0, left_ms));
            bytes.splice(..0, head[..at].iter().copied());
            let Err(refusal) = self.core.circuit.0.send(bytes, Some(&self.core.waker())) else {
                return Some(Ok(id));
            };
            // Not sent: the next attempt finds its encoding, and gets another number.
            bytes.drain(..at.min(bytes.len()));
            match refusal {
                Refusal::Wait if self.core.give_up(id, Some((waker, told))) => return None,
                Refusal::Wait => continue,
                Refusal::TooLarge(limit) => {
                    self.core.give_up(id, None);
                    return Some(Err(CallError::TooLarge(limit)));
                }
                Refusal::Dead(dead) => {
                    self.core.give_up(id, None);
                    return Some(Err(CallError::Dead(dead)));
                }
            }
        }
    }
}

impl<Req: Message + Send, Rep: Message + Send> Waiting for Calling<Req, Rep> {
    type Output = Result<Rep, CallError>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.poll_sent(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {}
        }
        let State::Sent(id) = self.state else { return Poll::Pending };
        let mut calls = self.core.calls.lock();
        let (outcome, old) = match calls.pending.get_mut(&id) {
            Some(Pending::Waiting(waker)) => (None, waker.replace(cx.waker().clone())),
            Some(Pending::Replied(_)) => match calls.take_reply(id) {
                Some(Pending::Replied(reply)) => (Some(reply), None),
                _ => (None, None),
            },
            _ => (Some(Err(Dead::here(Reason::Cancelled))), None),
        };
        let room = if outcome.is_some() { calls.take_room() } else { Vec::new() };
        drop(calls);
        // May be the last hold on a task, which owns what locks the calls when it is dropped.
        drop(old);
        wake_all(room);
        self.core.settle();
        let Some(reply) = outcome else { return Poll::Pending };
        self.state = State::Over;
        Poll::Ready(match reply {
            Ok(bytes) => Rep::decode_owned(bytes).map_err(CallError::Decode),
            Err(dead) => Err(CallError::Dead(dead)),
        })
    }

    fn expire(&mut self) -> Self::Output {
        self.cancel();
        Err(CallError::Deadline)
    }

    fn deadline(&mut self, at: Instant) {
        self.deadline = Some(at);
    }

    fn source(&self) -> Option<Source<'_>> {
        Some((&self.core.circuit.0.link).into())
    }

    fn channel(&self) -> Arc<str> {
        Arc::clone(&self.core.circuit.0.name)
    }
}

impl<Req: Message, Rep> Calling<Req, Rep> {
    fn cancel(&mut self) {
        let State::Sent(id) = core::mem::replace(&mut self.state, State::Over) else { return };
        let mut calls = self.core.calls.lock();
        let is_waiting = matches!(calls.pending.get(&id), Some(Pending::Waiting(_)));
        let (old, room) = if is_waiting {
            (calls.pending.insert(id, Pending::Cancelled), Vec::new())
        } else {
            // Nobody else tells of the place that is free now.
            (calls.take_reply(id), calls.take_room())
        };
        drop(calls);
        // With the waker of a task that may own other calls.
        drop(old);
        wake_all(room);
        if is_waiting {
            self.core.circuit.0.send_short(short(id, &[KIND_OTHER]));
        }
        self.core.settle();
    }
}

impl<Req: Message, Rep> Drop for Calling<Req, Rep> {
    fn drop(&mut self) {
        self.cancel();
    }
}
