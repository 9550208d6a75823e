//! The sending end.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::Waker;
use std::sync::OnceLock;

use super::carry::{Carry, CarryPort, Departing};
use super::circuit::{Circuit, Refusal};
use super::error::{NAMELESS, SendCause, SendError};
use super::hub::{Fanout, Hub};
use super::lane::{Lane, LanePlace, Stored, longest};
use super::local;
use super::reopen::Kept;
use super::slots::{SENDERS_MAX, Slot};
use super::spec::{End, ExportEnd, Exported, Imported, ReopenEnd, Spec};
use super::wait::{Source, Wait};
use crate::message::{EndError, EndVisitor, Message, Shape};
use crate::proto::{Dead, OpenFlags, Reason};
pub use account::Account;
pub use draining::{DrainError, Draining};
pub(crate) use outgoing::{Outgoing, SHORT_ROOM, Short};
pub use sending::Sending;

mod account;
mod draining;
mod outgoing;
mod sending;

/// Sends values of type `T`.
///
/// Dropping it is the orderly end: values that were sent are still delivered, then the
/// receiver gets `Closed`.
#[derive(Debug)]
pub struct Sender<T: Message> {
    port: Port<T>,
    scratch: Vec<u8>,
    /// How many values may still be sent, where the import said so.
    left: Option<Arc<Bound>>,
    /// Where it waits, if it shares its channel.
    slot: OnceLock<Slot>,
    /// Where short values go in a burst.
    lane: Option<Box<Lane>>,
}

#[derive(Debug)]
enum Port<T> {
    Circuit(Arc<Circuit>),
    /// An import that goes on after its session.
    Kept(Box<Kept>),
    Hub(Arc<Hub>),
    Local(local::Tx<T>),
    /// Stands for an end that travels in a message.
    Moved(u32),
}

/// How many values may still be sent.
#[derive(Debug)]
struct Bound {
    /// That may begin.
    left: AtomicU64,
    /// That are not sent: with the last one the sender ends.
    unsent: AtomicU64,
}

impl Bound {
    const fn new(values: u64) -> Self {
        Self { left: AtomicU64::new(values), unsent: AtomicU64::new(values) }
    }

    fn begin(&self) -> bool {
        let less = |left: u64| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    /// Whether that was the last one.
    fn finish(&self, sent: bool) -> bool {
        if !sent {
            self.left.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        self.unsent.fetch_sub(1, Ordering::AcqRel) == 1
    }

    fn is_over(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }
}

impl<T: Message + Send> Sender<T> {
    pub(crate) const fn local(tx: local::Tx<T>) -> Self {
        Self { port: Port::Local(tx), scratch: Vec::new(), left: None, slot: OnceLock::new(), lane: None }
    }

    pub(crate) fn on(circuit: Arc<Circuit>, values: Option<u64>) -> Self {
        Self::bounded(Port::Circuit(circuit), values)
    }

    fn bounded(port: Port<T>, values: Option<u64>) -> Self {
        let left = values.map(|values| Arc::new(Bound::new(values)));
        Self { port, scratch: Vec::new(), left, slot: OnceLock::new(), lane: None }
    }

    /// Another sender into the same channel, for another thread or task: values of each
    /// stay in their order, and the channel ends in order when the last one is dropped.
    ///
    /// Every clone has a place of its own to wait; at most 64 share a channel. Account, drain
    /// and the number of `values(n)` are those of the channel, so of all clones together. A
    /// sender with clones cannot be sent in a message.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (mut ticks, mut received) = netchan::channel::<u32>(8);
    /// let mut more = ticks.try_clone()?;
    /// ticks.send(1).wait()?;
    /// drop(ticks); // not the end: there is another one
    /// more.send(2).wait()?;
    /// drop(more);
    /// assert_eq!(received.by_ref().collect::<Result<Vec<_>, _>>()?, [1, 2]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`CloneError`]: of imported and local senders only at the limit; those that reopen,
    /// and those that broadcast, cannot be cloned.
    pub fn try_clone(&self) -> Result<Self, CloneError> {
        let port = match &self.port {
            Port::Circuit(circuit) => Port::Circuit(Arc::clone(circuit)),
            Port::Local(tx) => Port::Local(tx.another()),
            Port::Hub(hub) => {
                // A broadcast sends one value at a time, so that all get all.
                if matches!(hub.fanout, Fanout::Broadcast | Fanout::BroadcastWaits) {
                    return Err(CloneError::Unsupported);
                }
                hub.add_sender();
                Port::Hub(Arc::clone(hub))
            }
            Port::Kept(_) | Port::Moved(_) => return Err(CloneError::Unsupported),
        };
        let Some(slot) = self.slot.get_or_init(Slot::first).another() else {
            match port {
                Port::Hub(hub) => hub.close_tx(),
                other => drop(other),
            }
            return Err(CloneError::Full);
        };
        // From now on others spend the same credit.
        self.close_lane();
        Ok(Self {
            port,
            scratch: Vec::new(),
            left: self.left.clone(),
            slot: OnceLock::from(slot),
            lane: None,
        })
    }

    /// The channel's name.
    pub(crate) fn channel(&self) -> Arc<str> {
        match &self.port {
            Port::Circuit(circuit) => Arc::clone(&circuit.name),
            Port::Kept(kept) => Arc::clone(&kept.name),
            Port::Hub(hub) => Arc::clone(&hub.name),
            Port::Local(_) | Port::Moved(_) => NAMELESS.into(),
        }
    }

    /// Who is woken when this waits.
    fn waker<'a>(&'a self, own: &'a Waker) -> &'a Waker {
        self.slot.get().map_or(own, |slot| slot.wait(own))
    }

    /// Sends a value as soon as there is credit for it.
    ///
    /// Into an export without importers it waits for one. Ready means accepted: the value
    /// goes out before anything that is sent later, and [`Sender::drain`] tells when it was
    /// taken. Dropping the operation before it is ready means that the value is not sent;
    /// [`Sender::reserve`] keeps it out of the operation.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the value. Of an end that reopens [`SendCause::Interrupted`], once
    /// for each session: the value was not sent, and can be sent again.
    #[inline]
    pub fn send(&mut self, value: T) -> Wait<Sending<'_, T>> {
        Wait::new(Sending { sender: self, value: Outgoing::Value(value), ends: Vec::new(), pending: false })
    }

    /// Sends a value if that is possible right now.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the value; its cause is `Full` or `NoImporter` where trying again
    /// may help.
    pub fn try_send(&self, value: T) -> Result<(), SendError<T>> {
        if !self.begin() {
            return Err(SendError::new(Some(value), SendCause::Closed).of(self.channel()));
        }
        let result = self.try_put(value);
        self.finish(result.is_ok());
        result.map_err(|error| error.of(self.channel()))
    }

    fn try_put(&self, value: T) -> Result<(), SendError<T>> {
        let mut value = match &self.port {
            Port::Local(tx) if tx.circuit().is_none() => {
                return tx.send(value, None).map_err(|(value, cause)| SendError::new(Some(value), cause));
            }
            _ => Outgoing::Value(value),
        };
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        if T::HAS_ENDS {
            value.detach(&mut ends)?;
        }
        value.encode(&mut bytes)?;
        self.put(&mut bytes, &mut ends, None).map_err(|cause| {
            value.attach(&mut ends);
            SendError::new(value.give_back(&mut bytes), cause.unwrap_or(SendCause::Full))
        })
    }

    /// Whether one more value may be sent; [`Sender::finish`] says whether it was.
    fn begin(&self) -> bool {
        self.left.as_ref().is_none_or(|left| left.begin())
    }

    fn finish(&self, sent: bool) {
        if let Some(left) = &self.left
            && left.finish(sent)
        {
            match &self.port {
                Port::Circuit(circuit) => circuit.drop_tx(),
                Port::Kept(kept) => kept.end(),
                _ => {}
            }
        }
    }

    /// Whether the longest value that the receiver takes could be sent now.
    pub(crate) fn has_room(&self, waker: &Waker) -> Result<bool, SendCause> {
        if self.left.as_ref().is_some_and(|left| left.is_over()) {
            return Err(SendCause::Closed);
        }
        let (longest, waker) = (T::MAX_LEN, self.waker(waker));
        match &self.port {
            Port::Circuit(circuit) => circuit.has_room(longest, waker).map_err(SendCause::Dead),
            Port::Kept(kept) => match kept
                .on_circuit(Some(waker), |circuit| circuit.has_room(longest, waker).map_err(Refusal::Dead))
            {
                Ok(room) => Ok(room),
                Err(None) => Ok(false),
                Err(Some(cause)) => Err(cause),
            },
            Port::Hub(hub) => hub.has_room(longest, waker),
            Port::Local(tx) => match tx.circuit() {
                Some(circuit) => circuit.has_room(longest, waker).map_err(SendCause::Dead),
                None => {
                    let room = tx.has_room(waker);
                    // The receiving half may have moved before that looked.
                    match tx.circuit() {
                        Some(circuit) => circuit.has_room(longest, waker).map_err(SendCause::Dead),
                        None => room,
                    }
                }
            },
            Port::Moved(_) => Err(SendCause::Dead(Dead::here(Reason::NotTaken))),
        }
    }

    /// Waits until everything sent so far was taken by the programs at the far ends; of an
    /// end that reopens, everything since it was interrupted last.
    ///
    /// An exported sender has many of them, and each counts, also one that has left: values
    /// that it was sent and has not taken stay in doubt, and are not sent to another. The
    /// drain then waits for the others, and fails once with the reason why the first one of
    /// them is gone. The next drain speaks of what is lost after that. What a broadcast has
    /// *dropped* was never sent, and fails no drain.
    ///
    /// Dropping the operation loses nothing.
    ///
    /// # Errors
    ///
    /// [`DrainError`] says what is missing, when the deadline passes, the channel dies, or
    /// an importer of the export has died with values in doubt.
    pub fn drain(&mut self) -> Wait<Draining<'_, T>> {
        Wait::new(Draining { sender: self })
    }

    /// What became of the values sent so far, of an end that reopens in all its sessions.
    pub fn account(&self) -> Account {
        match &self.port {
            Port::Circuit(circuit) => circuit.account(),
            Port::Kept(kept) => kept.account(),
            Port::Hub(hub) => hub.account(),
            Port::Local(tx) => {
                let moved = tx.circuit().map_or_else(Account::default, |circuit| circuit.account());
                tx.account().plus(moved)
            }
            Port::Moved(_) => Account::default(),
        }
    }

    /// How many have imported the channel now; 1 for an imported or local end that is alive.
    pub fn importers(&self) -> usize {
        match &self.port {
            Port::Circuit(circuit) => usize::from(circuit.dead().is_none()),
            Port::Kept(kept) => kept.present().map_or(0, |circuit| usize::from(circuit.dead().is_none())),
            Port::Hub(hub) => hub.importers(),
            Port::Local(tx) => match tx.circuit() {
                Some(circuit) => usize::from(circuit.dead().is_none()),
                None => usize::from(tx.is_open()),
            },
            Port::Moved(_) => 0,
        }
    }

    /// Sends encoded bytes; `Err(None)` has the waker registered.
    #[inline]
    fn put(
        &self,
        bytes: &mut Vec<u8>,
        ends: &mut Vec<Departing>,
        waker: Option<&Waker>,
    ) -> Result<(), Option<SendCause>> {
        self.close_lane();
        let (told, waker) = (Refusal::cause, waker.map(|waker| self.waker(waker)));
        match &self.port {
            Port::Circuit(circuit) if T::HAS_ENDS => circuit.send_carrying(bytes, ends, waker).map_err(told),
            Port::Circuit(circuit) => circuit.send(bytes, waker).map_err(told),
            Port::Kept(kept) => kept.on_circuit(waker, |circuit| circuit.send_carrying(bytes, ends, waker)),
            Port::Hub(hub) => hub.send(bytes, ends, waker).map_err(|refusal| refusal.cause(waker.is_some())),
            Port::Local(tx) => match tx.circuit() {
                // The receiving half has moved to another node.
                Some(circuit) => circuit.send_carrying(bytes, ends, waker).map_err(told),
                None => Err(Some(SendCause::Closed)),
            },
            Port::Moved(_) => Err(Some(SendCause::Dead(Dead::here(Reason::NotTaken)))),
        }
    }

    /// Whether [`Sender::put_short`] may send something.
    #[inline]
    pub(crate) fn puts_short(&self) -> bool {
        // Decided when this is compiled: for other types nothing of it is left.
        let is_short = const { longest::<T>().is_some() };
        is_short && self.left.is_none() && matches!(self.port, Port::Circuit(_) | Port::Hub(_))
    }

    /// What is sent next is sent under the link's lock, where the credit is.
    #[inline]
    fn close_lane(&self) {
        if let Some(lane) = &self.lane {
            lane.close();
        }
    }

    /// Sends a short value by the lane, where one is open.
    #[inline(always)]
    pub(crate) fn put_in_lane(&mut self, value: &T) -> bool {
        let Some(lane) = &mut self.lane else { return false };
        let stored = lane.store(value);
        if stored == Stored::YesButClosed
            && let Port::Circuit(circuit) = &self.port
        {
            circuit.send_stored();
        }
        stored != Stored::No
    }

    /// Sends an encoded value if it can go right now.
    #[inline]
    fn put_short(&mut self, message: &Short, len: usize) -> bool {
        self.close_lane();
        match &self.port {
            Port::Circuit(circuit) => {
                let lane = LanePlace::of::<T>(&mut self.lane, self.slot.get());
                circuit.send_short_now(message, len, lane)
            }
            Port::Hub(hub) => hub.send_short_now(message, len),
            Port::Kept(_) | Port::Local(_) | Port::Moved(_) => false,
        }
    }

    /// Gives an encoded value to the stream from where it lies, if nothing stands in the way.
    pub(crate) fn put_slice(&self, message: &[u8]) -> bool {
        self.close_lane();
        match &self.port {
            Port::Circuit(circuit) if self.left.is_none() => circuit.write_through(message),
            _ => false,
        }
    }

    /// Sends as many of these encoded values as can go right now, the first ones.
    pub(crate) fn put_batch(&mut self, batch: &[(Short, usize)]) -> usize {
        self.close_lane();
        match &self.port {
            Port::Circuit(circuit) => {
                let lane = LanePlace::of::<T>(&mut self.lane, self.slot.get());
                circuit.send_batch_now(batch, lane)
            }
            Port::Hub(hub) => hub.send_batch_now(batch),
            Port::Kept(_) | Port::Local(_) | Port::Moved(_) => 0,
        }
    }

    pub(crate) fn source(&self) -> Option<Source<'_>> {
        match &self.port {
            Port::Circuit(circuit) => Some((&circuit.link).into()),
            Port::Kept(kept) => kept.present().map(|circuit| Source::shared(Arc::clone(&circuit.link))),
            _ => None,
        }
    }
}

impl<T: Message> Drop for Sender<T> {
    fn drop(&mut self) {
        let is_last = self.slot.get().is_none_or(Slot::leave);
        match &self.port {
            Port::Circuit(_) if !is_last => {}
            Port::Circuit(circuit) => circuit.drop_tx(),
            Port::Kept(kept) => kept.end(),
            Port::Hub(hub) => hub.close_tx(),
            Port::Local(_) | Port::Moved(_) => {}
        }
    }
}

impl<T: Message + Send> End for Sender<T> {
    fn spec() -> Spec {
        Spec::sends::<T>(OpenFlags::NONE)
    }

    fn imported(end: Imported) -> Self {
        match end.reopen {
            None => Self::on(end.circuit, end.values),
            Some(reopen) => Self::bounded(Port::Kept(Kept::new(end.circuit, reopen)), end.values),
        }
    }
}

impl<T: Message + Send> ReopenEnd for Sender<T> {}

impl<T: Message + Send> ExportEnd for Sender<T> {
    fn exported(end: Exported) -> Self {
        Self { port: Port::Hub(end.hub), scratch: Vec::new(), left: None, slot: OnceLock::new(), lane: None }
    }
}

/// Why there is no further sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloneError {
    /// 64 senders share the channel already.
    Full,
    /// An end that reopens, that broadcasts, or that was sent in a message.
    Unsupported,
}

impl core::fmt::Display for CloneError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Full => write!(f, "{SENDERS_MAX} senders share the channel already"),
            Self::Unsupported => f.write_str("a sender that reopens or broadcasts cannot be cloned"),
        }
    }
}

impl core::error::Error for CloneError {}

impl<T: Message> serde::Serialize for Sender<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.port {
            Port::Moved(ordinal) => serializer.serialize_u32(ordinal),
            _ => Err(serde::ser::Error::custom("a channel end travels only in a message of a channel")),
        }
    }
}

impl<'de, T: Message> serde::Deserialize<'de> for Sender<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let port = Port::Moved(u32::deserialize(deserializer)?);
        Ok(Self { port, scratch: Vec::new(), left: None, slot: OnceLock::new(), lane: None })
    }
}

/// A sender can be sent in a message: it is then used at the other side. One of a local
/// channel, or an imported one; not an exported one, nor one with clones.
///
/// An imported one is served by the node that has sent it on, for as long as that and both of its
/// links live. Its account begins anew at the other side, and is that of any other sender: confirmed
/// is what the program at the far end has taken, and a death has the place of the node that gave up,
/// or of the one that serves where not all of them are in one tree. Values with channel ends inside do not go on: both
/// sides hear `NotTaken`, and so does whoever waits on those ends.
impl<T: Message + Send> Message for Sender<T> {
    const NAME: &'static str = "Sender";
    const SHAPE: Shape = Shape::end("sender", &[T::FINGERPRINT], 5);

    fn visit_ends(&mut self, visitor: &mut dyn EndVisitor) -> Result<(), EndError> {
        let is_alone = self.slot.get().is_none_or(Slot::is_alone);
        self.close_lane();
        let port = match core::mem::replace(&mut self.port, Port::Moved(0)) {
            Port::Moved(ordinal) => CarryPort::Ordinal(ordinal),
            Port::Local(tx) if is_alone && tx.circuit().is_none() => CarryPort::Local(Box::new(tx)),
            Port::Circuit(circuit) if is_alone && self.left.is_none() => {
                CarryPort::Circuit(circuit, 0, super::inbox::Inbox::default())
            }
            other => {
                self.port = other;
                CarryPort::Exported
            }
        };
        let mut carry = Carry { spec: Self::spec(), longest: T::MAX_LEN, port };
        let result = visitor.end(&mut carry);
        match carry.port {
            CarryPort::Ordinal(ordinal) => self.port = Port::Moved(ordinal),
            CarryPort::Local(half) => {
                if let Ok(tx) = half.into_any().downcast::<local::Tx<T>>() {
                    self.port = Port::Local(*tx);
                }
            }
            CarryPort::Circuit(circuit, _, _) => self.port = Port::Circuit(circuit),
            CarryPort::Exported => {}
        }
        result
    }
}
