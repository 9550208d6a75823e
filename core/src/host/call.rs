//! Methods: requests one way, replies the other, pipelined over one circuit.
//!
//! ```text
//! request = varint id, 0, varint deadline in ms (0: none), message      cancel = varint id, 1
//! reply   = varint id, 0, message                                       dead   = varint id, 1, reason
//! ```
//!
//! Ids count up and are never used again, so a late reply never reaches another call. Room
//! for the replies of all calls that may be under way is promised when the circuit opens.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::task::Wake;
use std::time::Instant;

use super::circuit::{Arrival, Circuit, Refusal};
use super::error::{RecvError, SendCause, SendError};
use super::inbox::{Inbox, Message as Arrived};
use super::named::{ChannelError, sentence};
use super::receiver::Inflow;
use super::sender::Outgoing;
use super::spec::{End, ExportEnd, Exported, Imported, Spec};
use super::sync::{self, AtomicBool, HashMap, Mutex, MutexGuard, Ordering, PoisonError};
use super::turn::Turn;
use super::wait::{Source, Wait, Waiting};
use crate::message::{DecodeError, EncodeError, Message};
use crate::proto::{Dead, Link, OpenFlags, Place, Reason, varint};

const KIND_MESSAGE: u8 = 0;
const KIND_OTHER: u8 = 1;
/// What stands before a message: id, kind, deadline.
pub(crate) const HEADER_MAX: usize = 2 * varint::MAX_LEN + 1;

/// Why a call has no reply.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// No reply will come: the handler is gone, the link is lost, and so on.
    Dead(Dead),
    /// The deadline passed first. The server is told, and a late reply is dropped.
    Deadline,
    /// The request is longer than the server's limit, in bytes.
    TooLarge(u32),
    /// The request cannot be encoded.
    Encode(EncodeError),
    /// The reply did not decode.
    Decode(DecodeError),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dead(dead) => fmt::Display::fmt(dead, f),
            Self::Deadline => f.write_str("the deadline passed before the reply came"),
            Self::TooLarge(limit) => write!(f, "request longer than the server's limit of {limit} bytes"),
            Self::Encode(error) => write!(f, "the request cannot be encoded: {error}"),
            Self::Decode(error) => write!(f, "the reply did not decode: {error}"),
        }
    }
}

impl fmt::Debug for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        sentence(f, self, self.advice())
    }
}

impl core::error::Error for CallError {}

impl ChannelError for CallError {
    fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Dead(dead) => dead.advice(),
            Self::Deadline => Dead::here(Reason::Deadline).advice(),
            Self::TooLarge(_) => Dead::here(Reason::TooLarge).advice(),
            Self::Decode(_) => Dead::here(Reason::DecodeFailed).advice(),
            Self::Encode(_) => None,
        }
    }
}

/// Calls a method: sends `Req`, gets `Rep`. Clones share one circuit.
///
/// Dropping the last one ends the circuit; calls that are under way keep it alive.
pub struct Client<Req, Rep> {
    core: Arc<Core>,
    types: PhantomData<fn(Req) -> Rep>,
}

/// What the calls of one circuit share.
pub(crate) struct Core {
    circuit: Circuits,
    calls: Turn<Calls>,
}

/// Why the first of a chain's calls has failed.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// Its reply says so: the encoding.
    Reply(Vec<u8>),
    Call(CallError),
}

/// Keeps the circuit, and ends it in order with the last call.
struct Circuits(Arc<Circuit>);

impl Drop for Circuits {
    fn drop(&mut self) {
        self.0.drop_tx();
        self.0.drop_rx(&mut Inbox::default());
    }
}

#[derive(Default)]
struct Calls {
    next: u32,
    most: usize,
    pending: HashMap<u32, Pending>,
    /// Calls that wait for credit, or for others to end.
    room: Vec<Waker>,
    /// How often those were told that there may be some.
    told: u64,
    inbox: Inbox,
    dead: Option<Dead>,
    is_chain: bool,
    /// Of a chain: why no call runs any more.
    failure: Option<Failure>,
    /// Replies that have come and were not taken by their calls: their room is free.
    answered: usize,
}

enum Pending {
    Waiting(Option<Waker>),
    Replied(Result<Vec<u8>, Dead>),
    /// Given up here; its place is kept until the server has answered.
    Cancelled,
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

impl Core {
    pub(crate) fn new(end: Imported, spec: &Spec, is_chain: bool) -> Arc<Self> {
        let (limit, floor) = spec.room(end.limit);
        let most = (floor / Link::charge(limit)).max(1) as usize;
        let calls = Turn::new(Calls { most, is_chain, ..Calls::default() });
        Arc::new(Self { circuit: Circuits(end.circuit), calls })
    }

    /// Of a chain: why no call runs any more.
    pub(crate) fn failure(self: &Arc<Self>) -> Option<Failure> {
        let failure = self.calls.lock().failure.clone();
        self.settle();
        failure
    }

    /// Of a chain: a call could not even be made. The first cause stays.
    pub(crate) fn fail(self: &Arc<Self>, error: CallError) {
        self.calls.lock().failure.get_or_insert(Failure::Call(error));
        self.settle();
    }

    /// Gives what has come to the calls that wait for it.
    fn pump(self: &Arc<Self>) {
        let waker = self.waker();
        let work = |calls: &mut Calls| {
            let mut wakers = calls.take_replies(&self.circuit.0, &waker);
            wakers.append(&mut calls.take_room());
            wakers
        };
        self.calls.run(work, wake_all);
    }

    /// After `calls` was locked and let go: does what others could not.
    fn settle(self: &Arc<Self>) {
        if self.calls.was_missed() {
            self.pump();
        }
    }

    /// One waker for all calls of the circuit: it passes the word on to them.
    fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::new(Told(Arc::downgrade(self))))
    }

    /// A number for one more call, which a reply may have before its send returns; and how
    /// often those who wait were told so far. `None` where it has to wait for room.
    fn begin(&self, waker: &Waker) -> Option<Result<(u32, u64), Dead>> {
        let mut calls = self.calls.lock();
        if let Some(dead) = calls.dead {
            return Some(Err(dead));
        }
        if calls.failure.is_some() {
            return Some(Err(Dead::here(Reason::ChainBroken)));
        }
        // Whoever makes a chain keeps its calls; a client's end one by one.
        let answered = if calls.is_chain { calls.answered } else { 0 };
        if calls.pending.len() >= calls.most + answered {
            calls.wait_for_room(waker);
            return None;
        }
        let Some(next) = calls.next.checked_add(1) else {
            return Some(Err(Dead::here(Reason::NoResources)));
        };
        calls.next = next;
        calls.pending.insert(next, Pending::Waiting(Some(waker.clone())));
        Some(Ok((next, calls.told)))
    }

    /// The call was not sent: its place is free. Registers who waits, unless those were told
    /// since the attempt began.
    fn give_up(&self, id: u32, waits: Option<(&Waker, u64)>) -> bool {
        let mut calls = self.calls.lock();
        let place = calls.pending.remove(&id);
        let (room, waits) = match waits {
            Some((waker, told)) if told == calls.told => {
                calls.wait_for_room(waker);
                (Vec::new(), true)
            }
            Some(_) => (Vec::new(), false),
            None => (calls.take_room(), false),
        };
        drop(calls);
        drop(place);
        wake_all(room);
        waits
    }
}

fn wake_all(wakers: Vec<Waker>) {
    for waker in wakers {
        waker.wake();
    }
}

/// Woken by the link when replies have come, with no lock held. It does not keep the calls
/// alive: their circuit holds it, and they hold the circuit.
struct Told(Weak<Core>);

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(core) = self.0.upgrade() {
            core.pump();
        }
    }
}

impl Calls {
    fn wait_for_room(&mut self, waker: &Waker) {
        if !self.room.iter().any(|other| other.will_wake(waker)) {
            self.room.push(waker.clone());
        }
    }

    fn take_room(&mut self) -> Vec<Waker> {
        self.told += 1;
        core::mem::take(&mut self.room)
    }

    fn take_replies(&mut self, circuit: &Arc<Circuit>, waker: &Waker) -> Vec<Waker> {
        let mut wakers = Vec::new();
        loop {
            while let Some(message) = self.inbox.next() {
                let bytes = match message {
                    Arrived::Small(bytes) => bytes.to_vec(),
                    Arrived::Owned(bytes) => bytes,
                };
                if let Some((id, reply)) = reply_in(bytes) {
                    if self.is_chain && self.failure.is_none() {
                        self.failure = failure_in(&reply);
                    }
                    wakers.extend(self.resolve(id, reply));
                }
                circuit.count_taken(&mut self.inbox);
            }
            let dead = match circuit.receive(&mut self.inbox, Some(waker)) {
                Arrival::Messages => continue,
                Arrival::Nothing => return wakers,
                Arrival::Closed => Dead { reason: Reason::Withdrawn, at: Place::Peer },
                Arrival::Dead(dead) => dead,
            };
            self.dead.get_or_insert(dead);
            for call in self.pending.values_mut() {
                if let Pending::Waiting(waker) = call {
                    wakers.extend(waker.take());
                    *call = Pending::Replied(Err(dead));
                }
            }
            return wakers;
        }
    }
}

/// What stands before a request: its number, and how long its caller waits, in milliseconds; 0: for ever.
pub(crate) fn request_head(id: u32, left_ms: u32) -> ([u8; HEADER_MAX], usize) {
    let mut head = [0; HEADER_MAX];
    let at = varint::put(&mut head, 0, id);
    head[at] = KIND_MESSAGE;
    let len = varint::put(&mut head, at + 1, left_ms);
    (head, len)
}

/// How long it is until then, as a request says it.
pub(crate) fn left_ms(until: Instant) -> u32 {
    let left = until.saturating_duration_since(sync::now()).as_millis();
    u32::try_from(left).unwrap_or(u32::MAX).max(1)
}

/// The call that a message answers, and its reply's encoding, or why there is none.
pub(crate) fn reply_in(mut bytes: Vec<u8>) -> Option<(u32, Result<Vec<u8>, Dead>)> {
    let (id, used) = varint::get(&bytes).ok()?;
    let reply = match bytes.get(used) {
        Some(&KIND_MESSAGE) => {
            bytes.drain(..=used);
            Ok(bytes)
        }
        _ => {
            let reason = bytes.get(used + 1).map_or(Reason::Protocol, |&reason| Reason::new(reason));
            Err(Dead { reason, at: Place::Peer })
        }
    };
    Some((id, reply))
}

/// Why a call of a chain has failed, if it has, and is not one that was not run for that.
fn failure_in(reply: &Result<Vec<u8>, Dead>) -> Option<Failure> {
    match reply {
        Ok(bytes) => is_error(bytes).then(|| Failure::Reply(bytes.clone())),
        Err(dead) if dead.reason == Reason::ChainBroken => None,
        Err(dead) => Some(Failure::Call(CallError::Dead(*dead))),
    }
}

/// Whether an encoded `Result` is an error.
fn is_error(bytes: &[u8]) -> bool {
    bytes.first() == Some(&1)
}

impl Calls {
    /// Puts a reply to its call: the waker of whoever waits for it.
    fn resolve(&mut self, id: u32, reply: Result<Vec<u8>, Dead>) -> Option<Waker> {
        match self.pending.get_mut(&id)? {
            Pending::Waiting(waker) => {
                let waker = waker.take();
                self.pending.insert(id, Pending::Replied(reply));
                self.answered += 1;
                waker
            }
            Pending::Cancelled => {
                self.pending.remove(&id);
                None
            }
            Pending::Replied(_) => None,
        }
    }

    /// The call takes its reply, or does not want it any more.
    fn take_reply(&mut self, id: u32) -> Option<Pending> {
        let reply = self.pending.remove(&id);
        if matches!(reply, Some(Pending::Replied(_))) {
            self.answered = self.answered.saturating_sub(1);
        }
        reply
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

impl Core {
    /// Registers for replies while a call waits for room.
    fn pump_if_idle(self: &Arc<Self>) {
        let mut wakers = Vec::new();
        let mut calls = self.calls.lock();
        if !calls.pending.is_empty() {
            wakers = calls.take_replies(&self.circuit.0, &self.waker());
        }
        drop(calls);
        wake_all(wakers);
        self.settle();
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

fn short(id: u32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = [0; varint::MAX_LEN];
    let len = varint::put(&mut bytes, 0, id);
    [&bytes[..len], rest].concat()
}

/// Serves a method: gets `Req`, replies with `Rep`.
///
/// Dropping it refuses what comes, and calls that were not taken are answered dead.
#[derive(Debug)]
pub struct Server<Req: Message, Rep: Message> {
    /// Decoded from with nothing locked.
    inflow: Inflow,
    shared: Arc<Mutex<Shared>>,
    peeked: Option<Result<Request<Req, Rep>, RecvError>>,
}

/// What a server and its requests share.
#[derive(Debug)]
struct Shared {
    /// Requests that are being handled, and whether their callers have given up.
    handled: HashMap<(usize, u32), Arc<AtomicBool>>,
    /// Of a server that was dropped: ends with the last request.
    inflow: Option<Inflow>,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<Req: Message + Send, Rep: Message + Send> Server<Req, Rep> {
    fn new(inflow: Inflow) -> Self {
        let shared = Arc::new(Mutex::new(Shared { handled: HashMap::default(), inflow: None }));
        Self { inflow, shared, peeked: None }
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
            let key = (Arc::as_ptr(&circuit) as usize, id);
            let Some((value, left_ms)) = request else {
                if let Some(cancelled) = lock(&self.shared).handled.get(&key) {
                    cancelled.store(true, Ordering::Release);
                }
                continue;
            };
            if is_chain && (circuit.is_chain_broken() || circuit.dead().is_some()) {
                circuit.send_short(short(id, &[KIND_OTHER, Reason::ChainBroken.get()]));
                circuit.end_request();
                continue;
            }
            let cancel = short(id, &[KIND_OTHER]);
            let is_cancel = |bytes: &[u8]| bytes == &cancel[..];
            let cancelled = Arc::new(AtomicBool::new(self.inflow.inbox().any(is_cancel)));
            lock(&self.shared).handled.insert(key, Arc::clone(&cancelled));
            let deadline = (left_ms > 0).then(|| sync::now() + Duration::from_millis(u64::from(left_ms)));
            let shared = Arc::clone(&self.shared);
            let reply = Reply { shared, circuit, id, cancelled, is_chain, open: true };
            return Ok(Request { value, deadline, reply, rep: PhantomData });
        }
    }

    /// Requests that are being handled hear of cancels before these are taken.
    fn note_cancels(&self) {
        let Some(circuit) = self.inflow.circuit_of_inbox() else { return };
        let shared = lock(&self.shared);
        if !shared.handled.is_empty() {
            self.inflow.inbox().any(|bytes| {
                if let Ok((id, used)) = varint::get(bytes)
                    && bytes[used..] == [KIND_OTHER]
                    && let Some(cancelled) = shared.handled.get(&(Arc::as_ptr(circuit) as usize, id))
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
        // Requests that are still handled can be answered.
        lock(&self.shared).inflow = Some(core::mem::replace(&mut self.inflow, Inflow::gone()));
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

    /// Replies. The room for it was reserved when the request was sent, so this waits only
    /// while the link is busy writing.
    ///
    /// Dropping the operation before it is ready means that the reply is not sent, and its
    /// caller hears `HandlerGone`, as after a deadline of the operation.
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
    shared: Arc<Mutex<Shared>>,
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
            || self.circuit.dead().is_some()
            || self.circuit.any(is_ours)
            // The server may have taken it over in between.
            || self.cancelled.load(Ordering::Acquire)
    }

    fn refuse(&mut self, reason: Reason) {
        if core::mem::replace(&mut self.open, false) {
            if self.is_chain {
                self.circuit.break_chain();
            }
            self.circuit.send_short(short(self.id, &[KIND_OTHER, reason.get()]));
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.refuse(if std::thread::panicking() { Reason::HandlerPanicked } else { Reason::HandlerGone });
        lock(&self.shared).handled.remove(&(Arc::as_ptr(&self.circuit) as usize, self.id));
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

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut bytes = Vec::new();
        if let Err(error) = self.value.encode(&mut bytes) {
            return Poll::Ready(Err(error));
        }
        let fails = self.reply.is_chain && Rep::IS_RESULT && is_error(&bytes);
        let head = short(self.reply.id, &[KIND_MESSAGE]);
        bytes.splice(..0, head.iter().copied());
        let sent = self.reply.circuit.send(&mut bytes, Some(cx.waker()));
        if sent.is_ok() {
            self.reply.open = false;
            if fails {
                self.reply.circuit.break_chain();
            }
            return Poll::Ready(Ok(()));
        }
        bytes.drain(..head.len().min(bytes.len()));
        let value = self.value.give_back(&mut bytes);
        let cause = match sent {
            Err(Refusal::TooLarge(limit)) => {
                self.reply.refuse(Reason::TooLarge);
                SendCause::TooLarge(limit)
            }
            Err(Refusal::Dead(dead)) => SendCause::Dead(dead),
            _ => {
                if let Some(value) = value {
                    self.value = Outgoing::Value(value);
                }
                return Poll::Pending;
            }
        };
        Poll::Ready(Err(SendError::new(value, cause).of(Arc::clone(&self.reply.circuit.name))))
    }

    fn expire(&mut self) -> Self::Output {
        let error = SendError::new(self.value.give_back(&mut Vec::new()), SendCause::Deadline);
        Err(error.of(Arc::clone(&self.reply.circuit.name)))
    }
}
