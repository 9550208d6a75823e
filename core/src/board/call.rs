//! Methods: requests one way, replies the other, over one circuit.
//!
//! ```text
//! request = varint id, 0, varint deadline in ms (0: none), message      cancel = varint id, 1
//! reply   = varint id, 0, message                                       dead   = varint id, 1, reason
//! ```

use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;

use super::channel::{LONG, NONE, Reading, Sent, Shared};
use super::error::{RecvError, SendCause, SendError};
use super::scratch;
use super::section::with;
#[cfg(feature = "async")]
use super::sender::send_bytes;
use super::sender::{has_parts, put, release, undecodable};
use super::spec::{Bound, CALL_HEAD_MAX, End, ExportEnd, Spec, longest};
#[cfg(feature = "async")]
use super::wait;
use super::{wake_driver, wake_end};
use crate::message::{DecodeError, Message};
use crate::proto::{Dead, OpenFlags, Place, Reason, charge, varint};

const KIND_MESSAGE: u8 = 0;
const KIND_OTHER: u8 = 1;

/// Puts a number and a kind before what stands in `bytes` behind the place for them, with so many bytes of 0 in between:
/// all of it is one message, for copying it is done with interrupts off.
fn headed(bytes: &mut [u8], id: u32, kind: u8, zeros: usize, len: usize) -> &[u8] {
    let from = CALL_HEAD_MAX - varint::len(id) - 1 - zeros;
    let at = varint::put(bytes, from, id);
    // Not by its index: that would link what panics.
    if let Some(place) = bytes.get_mut(at) {
        *place = kind;
    }
    bytes.get(from..CALL_HEAD_MAX + len).unwrap_or_default()
}

/// Encodes a message behind the place for its head: its length.
fn encode<T: Message>(value: &T, bytes: &mut [u8]) -> Result<usize, SendCause> {
    value.encode(bytes.get_mut(CALL_HEAD_MAX..).unwrap_or_default()).map_err(SendCause::Encode)
}

/// Answers the calls of a method.
///
/// Dropping it refuses what comes.
pub struct Server<Req, Rep> {
    channel: &'static Shared,
    types: PhantomData<fn(Req) -> Rep>,
}

impl<Req: Message, Rep: Message> Server<Req, Rep> {
    /// The next request, if it is there and there is room for its reply.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] if not; [`RecvError::Decode`], once, of a caller whose circuit is dead
    /// now. It never sees the end of one caller as its own.
    pub fn try_recv(&mut self) -> Result<Request<Req, Rep>, RecvError> {
        scratch::with(const { longest::<Req>() + CALL_HEAD_MAX }, |bytes| {
            let taken = take(self.channel, const { longest::<Rep>() + CALL_HEAD_MAX }, bytes)?;
            // From here on it is answered, whatever becomes of it.
            let reply =
                Reply { channel: self.channel, taken, longest: const { longest::<Rep>() + CALL_HEAD_MAX } };
            match Req::decode(bytes.get(taken.from..taken.to).unwrap_or_default()) {
                Ok(value) => Ok(Request { value, reply, types: PhantomData }),
                Err(error) => {
                    undecodable(self.channel);
                    Err(RecvError::Decode(error))
                }
            }
        })
    }

    /// The next request, as soon as it is there and there is room for its reply.
    ///
    /// Cancel-safe: dropped before it is ready, it has taken nothing.
    ///
    /// # Errors
    ///
    /// As [`Server::try_recv`], but not [`RecvError::Empty`].
    #[cfg(feature = "async")]
    pub async fn recv(&mut self) -> Result<Request<Req, Rep>, RecvError> {
        let channel = self.channel;
        wait::recv(channel, || self.try_recv()).await
    }
}

/// A request that has left the inbox.
#[derive(Debug, Clone, Copy)]
struct Taken {
    id: u32,
    circuit: u16,
    deadline_ms: u32,
    from: usize,
    to: usize,
}

fn take(channel: &'static Shared, longest_reply: usize, bytes: &mut [u8]) -> Result<Taken, RecvError> {
    let mut read = Reading::default();
    loop {
        let (taken, circuit) = with(|cs| {
            let channel = channel.borrow(cs);
            // Where its caller is gone meanwhile, so is what was kept, and another request may be there.
            let may_begin = || channel.inbox.ready() > 0 && channel.keep(longest_reply as u16);
            let taken = if channel.is_reading(&read) || may_begin() {
                channel.recv_part(cs, bytes, &mut read)
            } else {
                NONE
            };
            (taken, channel.circuit())
        });
        let len = match taken {
            NONE => return Err(RecvError::Empty),
            LONG => continue,
            len => len as usize,
        };
        read = Reading::default();
        wake_driver(channel);
        let request = bytes.get(..len).unwrap_or_default();
        match parse(request) {
            Some((id, Some((deadline_ms, from)))) => {
                return Ok(Taken { id, circuit, deadline_ms, from, to: len });
            }
            // The call that is not wanted any more has been answered, or will be.
            Some((_, None)) => {
                with(|cs| channel.borrow(cs).unkeep(longest_reply as u16, circuit));
            }
            None => {
                undecodable(channel);
                return Err(RecvError::Decode(DecodeError::Value));
            }
        }
    }
}

/// Id, deadline, and where the message begins; nothing of a cancellation but the id.
fn parse(bytes: &[u8]) -> Option<(u32, Option<(u32, usize)>)> {
    let (id, used) = varint::get(bytes).ok()?;
    if *bytes.get(used)? == KIND_OTHER {
        return Some((id, None));
    }
    let at = used + 1;
    let (deadline_ms, used) = varint::get(bytes.get(at..)?).ok()?;
    Some((id, Some((deadline_ms, at + used))))
}

impl<Req, Rep> Drop for Server<Req, Rep> {
    fn drop(&mut self) {
        release(self.channel);
    }
}

impl<Req, Rep> fmt::Debug for Server<Req, Rep> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}

impl<Req: Message, Rep: Message> End for Server<Req, Rep> {
    const SPEC: Spec = Spec::both::<Req, Rep>(OpenFlags::CALLS, Req::NAME);

    fn bound(channel: Bound) -> Self {
        Self { channel: channel.0, types: PhantomData }
    }
}

impl<Req: Message, Rep: Message> ExportEnd for Server<Req, Rep> {}

/// One request. Dropped without a reply, its caller hears `HandlerGone`.
pub struct Request<Req, Rep> {
    value: Req,
    reply: Reply,
    types: PhantomData<fn(Rep)>,
}

impl<Req, Rep: Message> Request<Req, Rep> {
    /// Replies, in the room that was kept for it.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the reply, when it cannot be encoded, or the caller is gone.
    pub fn reply(self, value: Rep) -> Result<(), SendError<Rep>> {
        let reply = &self.reply;
        let sent = scratch::with(const { longest::<Rep>() + CALL_HEAD_MAX }, |bytes| {
            let has_parts = const { has_parts(longest::<Rep>() + CALL_HEAD_MAX) };
            encode(&value, bytes).map(|len| reply.send(KIND_MESSAGE, bytes, len, has_parts))
        });
        // One that cannot be encoded is dropped here, and its caller is told. Else nothing is kept for it any more.
        let result = sent.and_then(|sent| {
            core::mem::forget(self.reply);
            sent
        });
        result.map_err(|cause| SendError { value, cause })
    }

    /// The time that the caller waits, in milliseconds from when it has asked; 0: for ever.
    pub const fn deadline_ms(&self) -> u32 {
        self.reply.taken.deadline_ms
    }
}

impl<Req, Rep> Deref for Request<Req, Rep> {
    type Target = Req;

    fn deref(&self) -> &Req {
        &self.value
    }
}

impl<Req: fmt::Debug, Rep> fmt::Debug for Request<Req, Rep> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Request").field(&self.value).finish()
    }
}

/// The right to answer one request.
struct Reply {
    channel: &'static Shared,
    taken: Taken,
    /// What was kept for it.
    longest: usize,
}

impl Reply {
    fn send(&self, kind: u8, bytes: &mut [u8], len: usize, has_parts: bool) -> Result<(), SendCause> {
        let message = headed(bytes, self.taken.id, kind, 0, len);
        let sent = put(self.channel, message, has_parts, |it, _| {
            let may = it.may_reply(self.longest as u16, self.taken.circuit);
            if may { Sent::Done } else { Sent::Ended }
        });
        // What was kept beyond the reply may be what the next request waits for.
        wake_end(self.channel);
        if sent == Sent::Done { Ok(()) } else { Err(SendCause::Dead(Dead::here(Reason::Closed))) }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        // Where the caller is gone, nobody is left to be told.
        let mut bytes = [0; CALL_HEAD_MAX + 1];
        bytes[CALL_HEAD_MAX] = Reason::HandlerGone.get();
        let _ = self.send(KIND_OTHER, &mut bytes, 1, false);
    }
}

/// Calls a method: sends `Req`, gets `Rep`.
///
/// Dropping it hangs up.
pub struct Client<Req, Rep> {
    channel: &'static Shared,
    /// The last call's number, and how many have no answer.
    last: u32,
    pending: u16,
    types: PhantomData<fn(Req) -> Rep>,
}

/// Which call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CallId(u32);

/// Why a call has no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CallError {
    /// Nothing has come now.
    Empty,
    /// No reply to this call will come: its handler is gone.
    Refused(CallId, Dead),
    /// No reply to any call under way will come; told once, and later calls are heard of again, if
    /// it was the session that ended.
    Dead(Dead),
    /// A reply did not decode; the circuit is dead.
    Decode(DecodeError),
    /// The request was not sent.
    NotSent(SendCause),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("nothing has come now"),
            Self::Refused(_, dead) | Self::Dead(dead) => dead.fmt(f),
            Self::Decode(error) => write!(f, "the reply did not decode: {error}"),
            Self::NotSent(cause) => write!(f, "not sent: {cause}"),
        }
    }
}

impl core::error::Error for CallError {}

impl<Req: Message, Rep: Message> Client<Req, Rep> {
    /// Begins a call, and does not wait. As many may be under way as there is room for replies.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the request.
    pub fn try_call(&mut self, request: Req) -> Result<CallId, SendError<Req>> {
        let result = scratch::with(const { longest::<Req>() + CALL_HEAD_MAX }, |bytes| {
            let len = encode(&request, bytes)?;
            let has_parts = const { has_parts(longest::<Req>() + CALL_HEAD_MAX) };
            self.put(const { longest::<Rep>() + CALL_HEAD_MAX }, bytes, len, has_parts)
        });
        result.map_err(|cause| SendError { value: request, cause })
    }

    /// The next reply, of whichever call it is.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub fn try_reply(&mut self) -> Result<(CallId, Rep), CallError> {
        scratch::with(const { longest::<Rep>() + CALL_HEAD_MAX }, |bytes| {
            let (id, from, to) = self.take(bytes)?;
            match Rep::decode(bytes.get(from..to).unwrap_or_default()) {
                Ok(reply) => Ok((id, reply)),
                Err(error) => {
                    undecodable(self.channel);
                    Err(CallError::Decode(error))
                }
            }
        })
    }
}

#[cfg(feature = "async")]
impl<Req: Message, Rep: Message> Client<Req, Rep> {
    /// Calls: sends the request as soon as there are a server and room, and waits for the reply. Replies to calls that were begun
    /// before are dropped meanwhile.
    ///
    /// Cancel-safe: dropped before it is ready, the call is cancelled. The server is told, if there is room for it,
    /// and a late reply reaches no other call.
    ///
    /// # Errors
    ///
    /// [`CallError`], but not [`CallError::Empty`]; [`CallError::Refused`] is of this call.
    pub async fn call(&mut self, request: Req) -> Result<Rep, CallError> {
        let channel = self.channel;
        let mut waiting = Some(request);
        let id = wait::until(channel, || {
            loop {
                match self.try_call(waiting.take()?) {
                    Ok(id) => return Some(Ok(id)),
                    Err(SendError { value, cause: SendCause::Full | SendCause::NoImporter }) => {
                        waiting = Some(value);
                    }
                    Err(SendError { cause, .. }) => return Some(Err(CallError::NotSent(cause))),
                }
                // What is full may be so of replies that nobody fetches. Whoever makes room himself is not woken for it.
                match self.try_reply() {
                    Err(CallError::Empty) => return None,
                    Err(CallError::Dead(dead)) => return Some(Err(CallError::Dead(dead))),
                    _ => {}
                }
            }
        })
        .await?;
        let cancel = Cancel { channel, id };
        let result = wait::until(channel, || {
            loop {
                match self.try_reply() {
                    Err(CallError::Empty) => return None,
                    Ok((of, reply)) if of == id => return Some(Ok(reply)),
                    Ok(_) => {}
                    Err(CallError::Refused(of, _)) if of != id => {}
                    Err(error) => return Some(Err(error)),
                }
            }
        })
        .await;
        core::mem::forget(cancel);
        result
    }
}

/// Tells the server that nobody waits for this call any more.
#[cfg(feature = "async")]
struct Cancel {
    channel: &'static Shared,
    id: CallId,
}

#[cfg(feature = "async")]
impl Drop for Cancel {
    fn drop(&mut self) {
        let mut bytes = [0; CALL_HEAD_MAX];
        let message = headed(&mut bytes, self.id.0, KIND_OTHER, 0, 0);
        // Without room the server answers for nothing, and the reply is dropped when it comes.
        let _ = send_bytes(self.channel, message, false);
    }
}

impl<Req, Rep> Client<Req, Rep> {
    fn put(
        &mut self,
        longest_reply: usize,
        bytes: &mut [u8],
        len: usize,
        has_parts: bool,
    ) -> Result<CallId, SendCause> {
        let id = self.last.wrapping_add(1);
        // Behind the kind stands no deadline: a byte of 0.
        let message = headed(bytes, id, KIND_MESSAGE, 1, len);
        let pending = self.pending;
        let sent = put(self.channel, message, has_parts, |it, _| {
            let room = (it.inbox.capacity() / charge(longest_reply as u32)) as usize;
            if usize::from(pending) >= room { Sent::Full } else { it.may_send(message.len() as u16) }
        });
        if sent != Sent::Done {
            return Err(sent.cause(self.channel));
        }
        self.last = id;
        self.pending += 1;
        Ok(CallId(id))
    }

    fn take(&mut self, bytes: &mut [u8]) -> Result<(CallId, usize, usize), CallError> {
        let mut read = Reading::default();
        let taken = loop {
            let taken = with(|cs| {
                let channel = self.channel.borrow(cs);
                match channel.recv_part(cs, bytes, &mut read) {
                    NONE => Err(channel.ended_in()),
                    taken => Ok(taken),
                }
            });
            if taken != Ok(LONG) {
                break taken;
            }
        };
        if !matches!(taken, Err(RecvError::Empty)) {
            wake_driver(self.channel);
        }
        let len = match taken {
            Ok(len) => len as usize,
            Err(RecvError::Empty) => return Err(CallError::Empty),
            Err(error) => {
                self.pending = 0;
                return Err(CallError::Dead(match error {
                    RecvError::Dead(dead) | RecvError::Interrupted { dead, .. } => dead,
                    _ => Dead::peer(Reason::Withdrawn),
                }));
            }
        };
        self.pending = self.pending.saturating_sub(1);
        let reply = bytes.get(..len).unwrap_or_default();
        let parsed = varint::get(reply).ok().and_then(|(id, used)| Some((id, used + 1, *reply.get(used)?)));
        match parsed {
            Some((id, from, KIND_MESSAGE)) => Ok((CallId(id), from, len)),
            Some((id, from, _)) => {
                let reason = reply.get(from).map_or(Reason::Protocol, |&reason| Reason::new(reason));
                Err(CallError::Refused(CallId(id), Dead { reason, at: Place::Peer }))
            }
            None => {
                undecodable(self.channel);
                Err(CallError::Decode(DecodeError::Value))
            }
        }
    }
}

impl<Req, Rep> Drop for Client<Req, Rep> {
    fn drop(&mut self) {
        release(self.channel);
    }
}

impl<Req, Rep> fmt::Debug for Client<Req, Rep> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl<Req: Message, Rep: Message> End for Client<Req, Rep> {
    const SPEC: Spec = Spec::both::<Rep, Req>(OpenFlags::CALLS, Req::NAME);

    fn bound(channel: Bound) -> Self {
        Self { channel: channel.0, last: 0, pending: 0, types: PhantomData }
    }
}
