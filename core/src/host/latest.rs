//! The latest value: lossy by choice, for things that are sampled.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};

use super::circuit::{Arrival, Circuit, Refusal};
use super::error::{NAMELESS, RecvError, SendCause, SendError};
use super::hub::{Hub, HubArrival};
use super::inbox::{Inbox, Message as Arrived};
use super::receiver::decode;
use super::reopen::{Reopen, Unopened};
use super::sender::{Account, Outgoing};
use super::spec::{End, ExportEnd, Exported, Imported, ReopenEnd, Spec};
use super::wait::{Source, Wait, Waiting};
use crate::message::{DecodeError, Message};
use crate::proto::{Dead, OpenFlags, Reason};

/// Publishes the latest value of something. The other end is a [`Watch`].
///
/// Setting never waits: where there is no room yet, an older value that was not sent is
/// dropped for the newer one, and counted. Who imports later gets the newest value at once, if it takes one so long.
#[derive(Debug)]
pub struct Latest<T: Message> {
    port: Port,
    value: core::marker::PhantomData<fn(T)>,
}

#[derive(Debug)]
enum Port {
    Circuit(Arc<Circuit>),
    Hub(Arc<Hub>),
}

impl<T: Message + Send> Latest<T> {
    /// Publishes a newer value.
    ///
    /// Of an export, a watcher whose [`message_limit`](super::Import::message_limit) is shorter than the value misses
    /// it: that is *dropped* in the [account](Self::account), and no error. The others get it, and the one keeps the last that
    /// it could take.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the value, when it cannot be encoded, the channel is dead, or, of an import, it is longer
    /// than the watcher's limit; an older value that has not gone yet then still goes.
    pub fn set(&self, value: T) -> Result<(), SendError<T>> {
        self.put(value).map_err(|error| {
            error.of(match &self.port {
                Port::Circuit(circuit) => Arc::clone(&circuit.name),
                Port::Hub(hub) => Arc::clone(&hub.name),
            })
        })
    }

    fn put(&self, value: T) -> Result<(), SendError<T>> {
        let mut value = Outgoing::Value(value);
        let mut bytes = Vec::new();
        value.encode(&mut bytes)?;
        match &self.port {
            Port::Hub(hub) => {
                if !hub.set_newest(bytes.clone()) {
                    let dead = Dead::here(Reason::Shutdown);
                    return Err(SendError::new(value.give_back(&mut bytes), SendCause::Dead(dead)));
                }
                hub.offer_newest();
                Ok(())
            }
            Port::Circuit(circuit) => circuit.send_newest(bytes).map_err(|refusal| {
                let cause = match refusal {
                    Refusal::TooLarge(limit) => SendCause::TooLarge(limit),
                    Refusal::Dead(dead) => SendCause::Dead(dead),
                    Refusal::Wait => SendCause::Full,
                };
                SendError::new(value.give_back(&mut Vec::new()), cause)
            }),
        }
    }

    /// What became of the values; `confirmed` counts those that were replaced at the other
    /// side by newer ones too.
    pub fn account(&self) -> Account {
        match &self.port {
            Port::Circuit(circuit) => circuit.account(),
            Port::Hub(hub) => hub.account(),
        }
    }

    /// How many watch now.
    pub fn importers(&self) -> usize {
        match &self.port {
            Port::Circuit(circuit) => usize::from(circuit.dead().is_none()),
            Port::Hub(hub) => hub.importers(),
        }
    }
}

impl<T: Message> Drop for Latest<T> {
    fn drop(&mut self) {
        match &self.port {
            Port::Circuit(circuit) => circuit.drop_tx(),
            Port::Hub(hub) => hub.close(),
        }
    }
}

impl<T: Message + Send> End for Latest<T> {
    fn spec() -> Spec {
        Spec::sends::<T>(OpenFlags::LATEST)
    }

    fn imported(end: Imported) -> Self {
        Self { port: Port::Circuit(end.circuit), value: core::marker::PhantomData }
    }
}

impl<T: Message + Send> ExportEnd for Latest<T> {
    fn exported(end: Exported) -> Self {
        Self { port: Port::Hub(end.hub), value: core::marker::PhantomData }
    }
}

/// Sees the latest value of something. The other end is a [`Latest`].
///
/// Keeps the newest value, encoded, for [`get`](Self::get). Dropping it hangs up.
#[derive(Debug)]
pub struct Watch<T: Message> {
    port: WatchPort,
    which: u8,
    /// A value that has come and was not received yet, and its version.
    unseen: Option<(Vec<u8>, u8)>,
    /// The one that was received last.
    seen: Option<(Vec<u8>, u8)>,
    /// What is told next: for ever, or once.
    over: Option<RecvError>,
    reopen: Option<Box<Reopen>>,
    value: core::marker::PhantomData<fn() -> T>,
}

#[derive(Debug)]
enum WatchPort {
    Circuit(Arc<Circuit>),
    Hub(Arc<Hub>),
    /// Between two sessions.
    Away,
}

impl<T: Message + Send> Watch<T> {
    const fn new(port: WatchPort, which: u8, reopen: Option<Box<Reopen>>) -> Self {
        let value = core::marker::PhantomData;
        Self { port, which, unseen: None, seen: None, over: None, reopen, value }
    }

    /// Waits for a value newer than the last one that was received here.
    ///
    /// Dropping the operation loses nothing.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`] at the orderly end, [`RecvError::Dead`] at a loss; for ever.
    /// [`RecvError::Interrupted`] of a watch that reopens, once for each session.
    pub fn changed(&mut self) -> Wait<Changing<'_, T>> {
        Wait::new(Changing { watch: self })
    }

    /// A value newer than the last one that was received here, if there is one.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] if there is none, else as [`Watch::changed`].
    pub fn try_changed(&mut self) -> Result<T, RecvError> {
        self.take(None)
    }

    /// The current value: the newest that has come, whether it was received before or not;
    /// `None` before the first. It stays after the end of the channel.
    ///
    /// Receives nothing: a value that [`changed`](Self::changed) has not yielded yet is still
    /// yielded. Decodes the value each time.
    ///
    /// ```no_run
    /// # fn f(station: &netchan::Peer) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut load = station.import::<netchan::Watch<f32>>("load").wait()?;
    /// load.changed().wait()?; // there is one now
    /// println!("{:?}", load.get()?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`RecvError::Decode`] when it does not decode; the channel is dead then.
    pub fn get(&mut self) -> Result<Option<T>, RecvError> {
        // How it ended is for `changed` to tell.
        let _ = self.fetch(None);
        match self.unseen.as_ref().or(self.seen.as_ref()) {
            None => Ok(None),
            Some((bytes, which)) => match decode(Arrived::Small(bytes), *which) {
                Ok(value) => Ok(Some(value)),
                Err(error) => Err(self.undecodable(error)),
            },
        }
    }

    pub(crate) fn is_ready(&mut self, waker: &Waker) -> bool {
        !matches!(self.fetch(Some(waker)), Err(RecvError::Empty))
    }

    pub(crate) fn take(&mut self, waker: Option<&Waker>) -> Result<T, RecvError> {
        if let Err(error) = self.fetch(waker) {
            if error.is_told_once() {
                self.over = None;
            }
            return Err(error);
        }
        let Some((bytes, which)) = self.unseen.take() else { return Err(RecvError::Empty) };
        let value = decode(Arrived::Small(&bytes), which).map_err(|error| self.undecodable(error))?;
        self.seen = Some((bytes, which));
        Ok(value)
    }

    /// Sees to it that the newest value is at hand, or says why none is.
    fn fetch(&mut self, waker: Option<&Waker>) -> Result<(), RecvError> {
        let newest = match self.over {
            Some(over) => Err(over),
            None => self.newest(waker),
        };
        match newest {
            Ok(newest) => self.unseen = Some(newest),
            // The end comes after the last value.
            Err(_) if self.unseen.is_some() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn newest(&mut self, waker: Option<&Waker>) -> Result<(Vec<u8>, u8), RecvError> {
        if let (WatchPort::Away, Some(reopen)) = (&self.port, &mut self.reopen) {
            let over = match reopen.poll(waker) {
                Poll::Pending => return Err(RecvError::Empty),
                Poll::Ready(Ok((circuit, which))) => {
                    self.port = WatchPort::Circuit(circuit);
                    self.which = which;
                    None
                }
                Poll::Ready(Err(Unopened::Dead(dead))) => Some(RecvError::Dead(dead)),
                Poll::Ready(Err(Unopened::Refused(dead))) => Some(RecvError::NotReopened(dead)),
            };
            if let Some(over) = over {
                return self.end(over);
            }
        }
        match &self.port {
            WatchPort::Circuit(circuit) => match circuit.receive_newest(waker) {
                Ok(bytes) => Ok((bytes, self.which)),
                Err(Arrival::Closed) => self.end(RecvError::Closed),
                Err(Arrival::Dead(dead)) => self.lost(dead),
                Err(_) => Err(RecvError::Empty),
            },
            WatchPort::Hub(hub) => match hub.receive_newest(waker) {
                Ok(newest) => Ok(newest),
                Err(HubArrival::Closed) => self.end(RecvError::Dead(Dead::here(Reason::Shutdown))),
                Err(_) => Err(RecvError::Empty),
            },
            WatchPort::Away => self.end(RecvError::Dead(Dead::here(Reason::Closed))),
        }
    }

    fn end<R>(&mut self, over: RecvError) -> Result<R, RecvError> {
        self.over = Some(over);
        Err(over)
    }

    /// The circuit is dead: for ever, or until the next session.
    fn lost<R>(&mut self, dead: Dead) -> Result<R, RecvError> {
        let (WatchPort::Circuit(circuit), Some(reopen)) = (&self.port, &mut self.reopen) else {
            return self.end(RecvError::Dead(dead));
        };
        if !reopen.is_interrupted(circuit) {
            return self.end(RecvError::Dead(dead));
        }
        let taken = circuit.taken();
        if !reopen.count(taken) {
            return self.end(RecvError::Closed);
        }
        circuit.drop_rx(&mut Inbox::default());
        self.port = WatchPort::Away;
        self.end(RecvError::Interrupted { dead, taken })
    }

    /// The value ends its circuit, and nothing else: other importers go on.
    #[cold]
    fn undecodable(&mut self, error: DecodeError) -> RecvError {
        if let WatchPort::Circuit(circuit) = &self.port {
            circuit.kill(Reason::DecodeFailed, "");
            self.over = Some(RecvError::Dead(Dead::here(Reason::DecodeFailed)));
        }
        (self.unseen, self.seen) = (None, None);
        RecvError::Decode(error)
    }

    pub(crate) fn source(&self) -> Option<Source<'_>> {
        match &self.port {
            WatchPort::Circuit(circuit) => Some((&circuit.link).into()),
            WatchPort::Hub(hub) => hub.only_link().map(Source::shared),
            WatchPort::Away => None,
        }
    }
}

impl<T: Message> Drop for Watch<T> {
    fn drop(&mut self) {
        match &self.port {
            WatchPort::Circuit(circuit) => circuit.drop_rx(&mut Inbox::default()),
            WatchPort::Hub(hub) => hub.close(),
            WatchPort::Away => {}
        }
    }
}

impl<T: Message + Send> End for Watch<T> {
    fn spec() -> Spec {
        Spec::receives::<T>(OpenFlags::LATEST)
    }

    fn imported(end: Imported) -> Self {
        Self::new(WatchPort::Circuit(end.circuit), end.which, end.reopen)
    }
}

impl<T: Message + Send> ReopenEnd for Watch<T> {}

impl<T: Message + Send> ExportEnd for Watch<T> {
    fn exported(end: Exported) -> Self {
        Self::new(WatchPort::Hub(end.hub), 0, None)
    }
}

/// A newer value being waited for.
#[derive(Debug)]
pub struct Changing<'w, T: Message> {
    watch: &'w mut Watch<T>,
}

impl<T: Message + Send> Waiting for Changing<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.watch.take(Some(cx.waker())) {
            Err(RecvError::Empty) => Poll::Pending,
            result => Poll::Ready(result),
        }
    }

    fn expire(&mut self) -> Self::Output {
        Err(RecvError::Deadline)
    }

    fn source(&self) -> Option<Source<'_>> {
        self.watch.source()
    }

    fn channel(&self) -> Arc<str> {
        match (&self.watch.port, &self.watch.reopen) {
            (WatchPort::Circuit(circuit), _) => Arc::clone(&circuit.name),
            (WatchPort::Hub(hub), _) => Arc::clone(&hub.name),
            (WatchPort::Away, Some(reopen)) => Arc::clone(reopen.name()),
            (WatchPort::Away, None) => NAMELESS.into(),
        }
    }
}
