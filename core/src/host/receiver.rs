//! The receiving end.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};

use super::carry::{Arriving, Attached, Carry, CarryPort};
use super::circuit::{Arrival, Circuit};
use super::error::{NAMELESS, RecvError};
use super::hub::{Hub, HubArrival, Seat};
use super::inbox::{Inbox, Message as Arrived};
use super::local;
use super::named::Named;
use super::reopen::{Reopen, Unopened};
use super::select::is_something;
use super::spec::{End, ExportEnd, Exported, Imported, ReopenEnd, Spec};
use super::wait::{Source, Wait, Waiting};
use crate::message::{DecodeError, EndError, EndVisitor, Message, Shape};
use crate::proto::{Dead, OpenFlags, Reason};

/// Receives values of type `T`.
///
/// Dropping it hangs up: the sender is told, and values that were not received are counted
/// as in doubt at its end.
#[derive(Debug)]
pub struct Receiver<T: Message> {
    port: Port<T>,
}

#[derive(Debug)]
enum Port<T> {
    Remote(Inflow),
    Local(local::Rx<T>),
    /// Stands for an end that travels in a message.
    Moved(u32),
}

/// Encoded messages from one circuit or from all importers of an export, taken one by one.
#[derive(Debug)]
pub(crate) struct Inflow {
    from: From,
    inbox: Inbox,
    /// Where the present messages come from, and how they decode.
    member: Option<(Seat, Arc<Circuit>, u8)>,
    /// Of an export with this one importer: its circuit tells us itself of what comes.
    is_direct: bool,
    /// What is told next: for ever, or once.
    over: Option<RecvError>,
    /// How an import goes on after its session.
    reopen: Option<Box<Reopen>>,
}

#[derive(Debug)]
enum From {
    Circuit(Arc<Circuit>),
    Hub(Arc<Hub>),
    /// The circuit has moved on.
    Gone,
}

impl Inflow {
    pub(crate) fn circuit(circuit: Arc<Circuit>, which: u8) -> Self {
        let member = Some((Seat::only(0), Arc::clone(&circuit), which));
        let from = From::Circuit(circuit);
        Self { from, inbox: Inbox::default(), member, is_direct: false, over: None, reopen: None }
    }

    pub(crate) fn with_inbox(circuit: Arc<Circuit>, which: u8, inbox: Inbox) -> Self {
        let mut inflow = Self::circuit(circuit, which);
        inflow.inbox = inbox;
        inflow
    }

    /// The circuit and what was received, of an import; gives the rest back.
    fn into_circuit(mut self) -> Result<(Arc<Circuit>, u8, Inbox), Box<Self>> {
        let (From::Circuit(circuit), None) = (&self.from, &self.reopen) else {
            return Err(Box::new(self));
        };
        let circuit = Arc::clone(circuit);
        let which = self.member.as_ref().map_or(0, |(_, _, which)| *which);
        let inbox = core::mem::take(&mut self.inbox);
        self.from = From::Gone;
        Ok((circuit, which, inbox))
    }

    /// Nothing comes of it, and nothing ends with it.
    pub(crate) const fn gone() -> Self {
        Self {
            from: From::Gone,
            inbox: Inbox::new(),
            member: None,
            is_direct: false,
            over: None,
            reopen: None,
        }
    }

    /// Whether what is taken next is a request of a chain.
    pub(crate) fn is_chain(&self) -> bool {
        let (From::Hub(hub), Some((_, _, which))) = (&self.from, &self.member) else { return false };
        hub.is_chain(*which)
    }

    /// Requests of a circuit that keeps a reply are put back, and wait there for it to go.
    #[inline]
    pub(crate) fn put_back(&mut self) {
        if let Some((_, circuit, _)) = &self.member
            && circuit.holds_requests()
            && !self.inbox.is_empty()
        {
            circuit.put_back(&mut self.inbox);
        }
    }

    /// Nobody is to come any more; those who are there stay.
    pub(crate) fn withdraw(&self) {
        if let From::Hub(hub) = &self.from {
            hub.withdraw();
        }
    }

    /// Where the messages in the inbox have come from.
    pub(crate) fn circuit_of_inbox(&self) -> Option<&Arc<Circuit>> {
        self.member.as_ref().map(|(_, circuit, _)| circuit)
    }

    pub(crate) fn hub(hub: Arc<Hub>) -> Self {
        let from = From::Hub(hub);
        Self { from, inbox: Inbox::default(), member: None, is_direct: false, over: None, reopen: None }
    }

    /// Makes sure that a message is there, or says why none is.
    #[inline]
    fn fill(&mut self, waker: Option<&Waker>) -> Result<(), RecvError> {
        if !self.inbox.is_empty() { Ok(()) } else { self.refill(waker) }
    }

    #[inline(never)]
    fn refill(&mut self, waker: Option<&Waker>) -> Result<(), RecvError> {
        if let Some(over) = self.over {
            return Err(over);
        }
        if let (From::Gone, Some(reopen)) = (&self.from, &mut self.reopen) {
            let (circuit, which) = match reopen.poll(waker) {
                Poll::Ready(Ok(opened)) => opened,
                Poll::Pending => return Err(RecvError::Empty),
                Poll::Ready(Err(unopened)) => {
                    let over = match unopened {
                        Unopened::Dead(dead) => RecvError::Dead(dead),
                        Unopened::Refused(dead) => RecvError::NotReopened(dead),
                    };
                    self.over = Some(over);
                    return Err(over);
                }
            };
            self.member = Some((Seat::only(0), Arc::clone(&circuit), which));
            self.from = From::Circuit(circuit);
        }
        let arrival = match &self.from {
            From::Gone => Arrival::Dead(Dead::here(Reason::Closed)),
            From::Circuit(circuit) => circuit.receive(&mut self.inbox, waker),
            From::Hub(hub) => {
                let is_chain = self.member.as_ref().is_some_and(|(_, _, which)| hub.is_chain(*which));
                if let (Some((_, circuit, _)), Some(waker)) = (&self.member, waker)
                    && !is_chain
                    && hub.register_for_only(circuit, waker)
                {
                    self.is_direct = true;
                    match circuit.receive_directly(&mut self.inbox, waker) {
                        Arrival::Messages => return Ok(()),
                        Arrival::Nothing => return Err(RecvError::Empty),
                        // Its end is for the hub to see to.
                        Arrival::Closed | Arrival::Dead(_) => {}
                    }
                }
                if let Some((seat, circuit, _)) = self.member.take() {
                    // The credit of what was taken is its own, whoever comes next. What a
                    // circuit had told us itself it tells the hub from now on.
                    if circuit.give_back(&mut self.inbox) | core::mem::take(&mut self.is_direct) | is_chain {
                        hub.look_again(seat);
                    }
                    drop(circuit);
                }
                match hub.receive(&mut self.inbox, waker) {
                    HubArrival::Messages { seat, circuit, which } => {
                        self.member = Some((seat, circuit, which));
                        Arrival::Messages
                    }
                    HubArrival::Nothing => Arrival::Nothing,
                    HubArrival::Left(dead) => {
                        let left = RecvError::Left { dead };
                        self.over = Some(left);
                        return Err(left);
                    }
                    HubArrival::Closed => Arrival::Dead(Dead::here(Reason::Shutdown)),
                }
            }
        };
        let over = match arrival {
            Arrival::Messages => return Ok(()),
            Arrival::Nothing => return Err(RecvError::Empty),
            Arrival::Closed => RecvError::Closed,
            Arrival::Dead(dead) => self.interrupt(dead).unwrap_or(RecvError::Dead(dead)),
        };
        self.over = Some(over);
        Err(over)
    }

    /// The session is over: what is told of it, if this end goes on in the next one.
    fn interrupt(&mut self, dead: Dead) -> Option<RecvError> {
        let (From::Circuit(circuit), Some(reopen)) = (&self.from, &mut self.reopen) else { return None };
        if !reopen.is_interrupted(circuit) {
            return None;
        }
        let taken = circuit.taken();
        circuit.drop_rx(&mut self.inbox);
        if !reopen.count(taken) {
            return Some(RecvError::Closed);
        }
        self.member = None;
        self.from = From::Gone;
        Some(RecvError::Interrupted { dead, taken })
    }

    /// The program is told: what is to be told once is told now.
    #[cold]
    fn told(&mut self, error: RecvError) -> RecvError {
        if error.is_told_once() {
            self.over = None;
        }
        error
    }

    /// Takes the next message: `f` gets it, where it is from, and how it decodes.
    pub(crate) fn next<R>(
        &mut self,
        waker: Option<&Waker>,
        f: impl FnOnce(Arrived<'_>, &Arc<Circuit>, u8, &mut Vec<Attached>) -> Result<R, DecodeError>,
    ) -> Result<R, RecvError> {
        if let Err(error) = self.fill(waker) {
            return Err(self.told(error));
        }
        let Self { inbox, member, .. } = self;
        let Some((_, circuit, which)) = member else { return Err(RecvError::Empty) };
        let guard = OnUnwind(circuit);
        let mut ends = Vec::new();
        let result = if inbox.next_carries() {
            let Some((message, carried)) = inbox.next_carrying() else { return Err(RecvError::Empty) };
            ends = carried;
            f(Arrived::Owned(message), circuit, *which, &mut ends)
        } else {
            let Some(message) = inbox.next() else { return Err(RecvError::Empty) };
            f(message, circuit, *which, &mut ends)
        };
        core::mem::forget(guard);
        if !ends.is_empty() {
            circuit.refuse_attached(ends);
        }
        match result {
            Ok(value) => {
                circuit.count_taken(inbox);
                Ok(value)
            }
            Err(error) => Err(self.undecodable(error)),
        }
    }

    /// The next value where it is at hand, short and of this version, and carries no ends: in the program's own
    /// loop it stays in registers.
    #[inline(always)]
    pub(crate) fn next_short<T: Message>(&mut self) -> Option<Result<T, RecvError>> {
        let Self { inbox, member: Some((_, circuit, 0)), .. } = self else { return None };
        let message = inbox.next_short()?;
        let guard = OnUnwind(circuit);
        let result = T::decode(message);
        core::mem::forget(guard);
        match result {
            Ok(value) => {
                circuit.count_taken(inbox);
                Some(Ok(value))
            }
            Err(error) => Some(Err(self.undecodable(error))),
        }
    }

    /// As [`Inflow::next`], for values that carry no ends: all of it becomes part of the
    /// program's own loop.
    #[inline(always)]
    pub(crate) fn next_plain<T: Message>(&mut self, waker: Option<&Waker>) -> Result<T, RecvError> {
        if let Err(error) = self.fill(waker) {
            return Err(self.told(error));
        }
        if self.inbox.next_carries() {
            return self.next(waker, |message, _, which, _| decode(message, which));
        }
        let Self { inbox, member, .. } = self;
        let (Some((_, circuit, which)), Some(message)) = (member, inbox.next()) else {
            return Err(RecvError::Empty);
        };
        let guard = OnUnwind(circuit);
        let result = decode(message, *which);
        core::mem::forget(guard);
        match result {
            Ok(value) => {
                circuit.count_taken(inbox);
                Ok(value)
            }
            Err(error) => Err(self.undecodable(error)),
        }
    }

    /// The value ends its circuit, and nothing else: other importers go on.
    #[cold]
    fn undecodable(&mut self, error: DecodeError) -> RecvError {
        if let Some((_, circuit, _)) = &self.member {
            circuit.kill(Reason::DecodeFailed, "");
            circuit.refuse_attached(self.inbox.drain_ends());
        }
        self.inbox.recycle();
        if matches!(self.from, From::Circuit(_)) {
            self.over = Some(RecvError::Dead(Dead::here(Reason::DecodeFailed)));
        }
        RecvError::Decode(error)
    }

    pub(crate) fn source(&self) -> Option<Source<'_>> {
        match &self.from {
            From::Circuit(circuit) => Some((&circuit.link).into()),
            From::Hub(hub) => hub.only_link().map(Source::shared),
            From::Gone => None,
        }
    }

    /// The channel's name.
    pub(crate) fn channel(&self) -> Arc<str> {
        match (&self.from, &self.reopen) {
            (From::Circuit(circuit), _) => Arc::clone(&circuit.name),
            (From::Hub(hub), _) => Arc::clone(&hub.name),
            (From::Gone, Some(reopen)) => Arc::clone(reopen.name()),
            (From::Gone, None) => NAMELESS.into(),
        }
    }

    pub(crate) const fn inbox(&self) -> &Inbox {
        &self.inbox
    }
}

/// A decoder that panics has taken a value and not delivered it: that ends the circuit.
struct OnUnwind<'c>(&'c Circuit);

impl Drop for OnUnwind<'_> {
    fn drop(&mut self) {
        self.0.kill(Reason::DecodeFailed, "");
    }
}

impl Drop for Inflow {
    fn drop(&mut self) {
        match &self.from {
            From::Circuit(circuit) => circuit.drop_rx(&mut self.inbox),
            From::Gone => {}
            From::Hub(hub) => {
                if let Some((_, circuit, _)) = self.member.take()
                    && !self.inbox.is_empty()
                {
                    circuit.drop_rx(&mut self.inbox);
                }
                hub.close_rx();
            }
        }
    }
}

#[inline(always)]
pub(crate) fn decode<T: Message>(message: Arrived<'_>, which: u8) -> Result<T, DecodeError> {
    match (which, message) {
        (0, Arrived::Small(bytes)) => T::decode(bytes),
        (0, Arrived::Owned(bytes)) => T::decode_owned(bytes),
        (older, Arrived::Small(bytes)) => decode_older(bytes, older),
        (older, Arrived::Owned(bytes)) => decode_older(&bytes, older),
    }
}

#[cold]
fn decode_older<T: Message>(bytes: &[u8], which: u8) -> Result<T, DecodeError> {
    let version = T::ACCEPTED.get(usize::from(which) - 1).expect("the version was in our own list");
    (version.decode)(bytes)
}

impl<T: Message + Send> Receiver<T> {
    pub(crate) const fn local(rx: local::Rx<T>) -> Self {
        Self { port: Port::Local(rx) }
    }

    pub(crate) fn on(circuit: Arc<Circuit>, which: u8) -> Self {
        Self { port: Port::Remote(Inflow::circuit(circuit, which)) }
    }

    /// Receives the next value.
    ///
    /// Dropping the operation loses nothing.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`] at the orderly end, [`RecvError::Dead`] at a loss; both come
    /// after all values that are complete, and for ever. [`RecvError::Interrupted`] of an end
    /// that reopens, once for each session. [`RecvError::Left`] of an exclusive export, once
    /// for each importer.
    #[inline]
    pub fn recv(&mut self) -> Wait<Receiving<'_, T>> {
        Wait::new(Receiving { receiver: self })
    }

    /// Receives the next value, `None` at the orderly end (of an exclusive export at each
    /// importer's, and the next call goes on with the next one): for loops,
    /// `while let Some(tick) = ticks.next().await`.
    ///
    /// # Errors
    ///
    /// [`Dead`] at a loss, for ever; of an end that reopens, once at an interruption too.
    #[expect(clippy::should_implement_trait, reason = "the same word awaited; the trait's blocks")]
    pub fn next(&mut self) -> Wait<Next<'_, T>> {
        Wait::new(Next { receiver: self })
    }

    /// Receives a value if one is there.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] if none is, else as [`Receiver::recv`].
    pub fn try_recv(&mut self) -> Result<T, RecvError> {
        self.take(None)
    }

    #[inline(always)]
    pub(crate) fn take(&mut self, waker: Option<&Waker>) -> Result<T, RecvError> {
        match &mut self.port {
            Port::Remote(inflow) if !T::HAS_ENDS => inflow.next_plain(waker),
            _ => self.take_other(waker),
        }
    }

    fn take_other(&mut self, waker: Option<&Waker>) -> Result<T, RecvError> {
        match &mut self.port {
            Port::Remote(inflow) => inflow.next(waker, |message, circuit, which, ends| {
                let mut value = decode::<T>(message, which)?;
                let mut arriving = Arriving { carrier: circuit, ends };
                value.visit_ends(&mut arriving).map_err(|_| DecodeError::Value)?;
                Ok(value)
            }),
            Port::Local(rx) => match rx.recv(waker) {
                Err(RecvError::Empty) => match rx.take_circuit() {
                    // The sending half has moved to another node.
                    Some(circuit) => {
                        self.port = Port::Remote(Inflow::circuit(circuit, 0));
                        self.take(waker)
                    }
                    None => Err(RecvError::Empty),
                },
                result => result,
            },
            Port::Moved(_) => Err(RecvError::Dead(Dead::here(Reason::NotTaken))),
        }
    }

    pub(crate) fn is_ready(&mut self, waker: &Waker) -> bool {
        match &mut self.port {
            Port::Remote(inflow) => is_something(inflow.fill(Some(waker))),
            Port::Local(rx) => {
                if rx.is_ready(waker) {
                    return true;
                }
                match rx.take_circuit() {
                    Some(circuit) => {
                        self.port = Port::Remote(Inflow::circuit(circuit, 0));
                        self.is_ready(waker)
                    }
                    None => false,
                }
            }
            Port::Moved(_) => true,
        }
    }

    fn channel(&self) -> Arc<str> {
        match &self.port {
            Port::Remote(inflow) => inflow.channel(),
            Port::Local(_) | Port::Moved(_) => NAMELESS.into(),
        }
    }

    #[cold]
    fn named(&self, dead: Dead) -> Named<Dead> {
        Named::new(self.channel(), dead)
    }

    pub(crate) fn source(&self) -> Option<Source<'_>> {
        match &self.port {
            Port::Remote(inflow) => inflow.source(),
            Port::Local(_) | Port::Moved(_) => None,
        }
    }
}

impl<T: Message + Send> End for Receiver<T> {
    fn spec() -> Spec {
        Spec::receives::<T>(OpenFlags::NONE)
    }

    fn imported(end: Imported) -> Self {
        let mut inflow = Inflow::circuit(end.circuit, end.which);
        inflow.reopen = end.reopen;
        Self { port: Port::Remote(inflow) }
    }
}

impl<T: Message + Send> ReopenEnd for Receiver<T> {}

impl<T: Message + Send> ExportEnd for Receiver<T> {
    fn exported(end: Exported) -> Self {
        Self { port: Port::Remote(Inflow::hub(end.hub)) }
    }
}

/// Blocks for each value; ends at the orderly end, and yields a loss as an error for ever.
impl<T: Message + Send> Iterator for Receiver<T> {
    type Item = Result<T, Named<Dead>>;

    fn next(&mut self) -> Option<Self::Item> {
        Self::next(self).wait()
    }
}

/// A value being received.
#[derive(Debug)]
pub struct Receiving<'r, T: Message> {
    receiver: &'r mut Receiver<T>,
}

impl<T: Message + Send> Waiting for Receiving<'_, T> {
    type Output = Result<T, RecvError>;

    #[inline(always)]
    fn now(&mut self) -> Option<Self::Output> {
        match &mut self.receiver.port {
            Port::Remote(inflow) if !T::HAS_ENDS => inflow.next_short(),
            _ => None,
        }
    }

    #[inline(always)]
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(output) = self.now() {
            return Poll::Ready(output);
        }
        match self.receiver.take(Some(cx.waker())) {
            Err(RecvError::Empty) => Poll::Pending,
            result => Poll::Ready(result),
        }
    }

    fn expire(&mut self) -> Self::Output {
        Err(RecvError::Deadline)
    }

    fn source(&self) -> Option<Source<'_>> {
        self.receiver.source()
    }

    fn channel(&self) -> Arc<str> {
        self.receiver.channel()
    }
}

/// As [`Receiving`], for loops.
#[derive(Debug)]
pub struct Next<'r, T: Message> {
    receiver: &'r mut Receiver<T>,
}

impl<T: Message + Send> Waiting for Next<'_, T> {
    type Output = Option<Result<T, Named<Dead>>>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let dead = match self.receiver.take(Some(cx.waker())) {
            Ok(value) => return Poll::Ready(Some(Ok(value))),
            Err(RecvError::Empty) => return Poll::Pending,
            Err(RecvError::Closed | RecvError::Left { dead: None }) => return Poll::Ready(None),
            Err(
                RecvError::Left { dead: Some(dead) }
                | RecvError::Dead(dead)
                | RecvError::Interrupted { dead, .. }
                | RecvError::NotReopened(dead),
            ) => dead,
            Err(RecvError::Decode(_)) => Dead::here(Reason::DecodeFailed),
            Err(RecvError::Deadline) => Dead::here(Reason::Deadline),
        };
        Poll::Ready(Some(Err(self.receiver.named(dead))))
    }

    fn expire(&mut self) -> Self::Output {
        Some(Err(self.receiver.named(Dead::here(Reason::Deadline))))
    }

    fn source(&self) -> Option<Source<'_>> {
        self.receiver.source()
    }
}

impl<T: Message> serde::Serialize for Receiver<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.port {
            Port::Moved(ordinal) => serializer.serialize_u32(ordinal),
            _ => Err(serde::ser::Error::custom("a channel end travels only in a message of a channel")),
        }
    }
}

impl<'de, T: Message> serde::Deserialize<'de> for Receiver<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u32::deserialize(deserializer).map(|ordinal| Self { port: Port::Moved(ordinal) })
    }
}

/// A receiver can be sent in a message: it is then used at the other side. One of a local
/// channel, or an imported one; not an exported one.
///
/// An imported one is served by the node that has sent it on, for as long as that and both of its
/// links live. What goes through it counts as taken when the program at the other side has taken it, and a death has
/// the place of the node that gave up, or of the one that serves where not all of them are in one tree. Values with
/// channel ends inside do not go on: both sides hear `NotTaken`, and so does whoever waits on those ends.
impl<T: Message + Send> Message for Receiver<T> {
    const NAME: &'static str = "Receiver";
    const SHAPE: Shape = Shape::end("receiver", &[T::FINGERPRINT], 5);

    fn visit_ends(&mut self, visitor: &mut dyn EndVisitor) -> Result<(), EndError> {
        let port = match core::mem::replace(&mut self.port, Port::Moved(0)) {
            Port::Moved(ordinal) => CarryPort::Ordinal(ordinal),
            Port::Local(rx) => CarryPort::Local(Box::new(rx)),
            Port::Remote(inflow) => match inflow.into_circuit() {
                Ok((circuit, which, inbox)) => CarryPort::Circuit(circuit, which, inbox),
                Err(inflow) => {
                    self.port = Port::Remote(*inflow);
                    CarryPort::Exported
                }
            },
        };
        let mut carry = Carry { spec: Self::spec(), longest: T::MAX_LEN, port };
        let result = visitor.end(&mut carry);
        match carry.port {
            CarryPort::Ordinal(ordinal) => self.port = Port::Moved(ordinal),
            CarryPort::Local(half) => {
                if let Ok(rx) = half.into_any().downcast::<local::Rx<T>>() {
                    self.port = Port::Local(*rx);
                }
            }
            CarryPort::Circuit(circuit, which, inbox) => {
                self.port = Port::Remote(Inflow::with_inbox(circuit, which, inbox));
            }
            CarryPort::Exported => {}
        }
        result
    }
}
