//! The latest value: lossy by choice, for things that are sampled.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};

use super::circuit::{Arrival, Circuit, Refusal};
use super::error::{RecvError, SendCause, SendError};
use super::hub::{Hub, HubArrival};
use super::inbox::Message as Arrived;
use super::receiver::decode;
use super::sender::{Account, Outgoing};
use super::spec::{End, ExportEnd, Exported, Imported, Spec};
use super::wait::{Source, Wait, Waiting};
use crate::message::Message;
use crate::proto::{Dead, OpenFlags, Reason};

/// Publishes the latest value of something. The other end is a [`Watch`].
///
/// Setting never waits: where there is no room yet, an older value that was not sent is
/// dropped for the newer one, and counted. Who imports later gets the newest value at once.
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
    /// # Errors
    ///
    /// [`SendError`] with the value, when it cannot be encoded, is longer than the
    /// watcher's limit, or the channel is dead.
    pub fn set(&self, value: T) -> Result<(), SendError<T>> {
        let mut value = Outgoing::Value(value);
        let mut bytes = Vec::new();
        value.encode(&mut bytes)?;
        match &self.port {
            Port::Hub(hub) => {
                if !hub.set_newest(bytes.clone()) {
                    let dead = Dead::here(Reason::Shutdown);
                    return Err(SendError::new(value.give_back(&mut bytes), SendCause::Dead(dead)));
                }
                hub.send_newest(&bytes);
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
/// Dropping it hangs up.
#[derive(Debug)]
pub struct Watch<T: Message> {
    port: Port,
    which: u8,
    over: Option<RecvError>,
    peeked: Option<Result<T, RecvError>>,
    value: core::marker::PhantomData<fn() -> T>,
}

impl<T: Message + Send> Watch<T> {
    /// Waits for a value newer than the last one that was received here.
    ///
    /// Dropping the operation loses nothing.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`] at the orderly end, [`RecvError::Dead`] at a loss; for ever.
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

    pub(crate) fn is_ready(&mut self, waker: &Waker) -> bool {
        if self.peeked.is_none() {
            match self.take(Some(waker)) {
                Err(RecvError::Empty) => {}
                result => self.peeked = Some(result),
            }
        }
        self.peeked.is_some()
    }

    pub(crate) fn take(&mut self, waker: Option<&Waker>) -> Result<T, RecvError> {
        if let Some(peeked) = self.peeked.take() {
            return peeked;
        }
        if let Some(over) = self.over {
            return Err(over);
        }
        let (bytes, which) = match &self.port {
            Port::Circuit(circuit) => match circuit.receive_newest(waker) {
                Ok(bytes) => (bytes, self.which),
                Err(Arrival::Closed) => return self.end(RecvError::Closed),
                Err(Arrival::Dead(dead)) => return self.end(RecvError::Dead(dead)),
                Err(_) => return Err(RecvError::Empty),
            },
            Port::Hub(hub) => match hub.receive_newest(waker) {
                Ok(newest) => newest,
                Err(HubArrival::Closed) => return self.end(RecvError::Dead(Dead::here(Reason::Shutdown))),
                Err(_) => return Err(RecvError::Empty),
            },
        };
        decode(Arrived::Owned(bytes), which).map_err(|error| {
            if let Port::Circuit(circuit) = &self.port {
                circuit.kill(Reason::DecodeFailed, "");
                self.over = Some(RecvError::Dead(Dead::here(Reason::DecodeFailed)));
            }
            RecvError::Decode(error)
        })
    }

    fn end(&mut self, over: RecvError) -> Result<T, RecvError> {
        self.over = Some(over);
        Err(over)
    }

    pub(crate) fn source(&self) -> Option<Source<'_>> {
        match &self.port {
            Port::Circuit(circuit) => Some((&circuit.link).into()),
            Port::Hub(hub) => hub.only_link().map(Source::shared),
        }
    }
}

impl<T: Message> Drop for Watch<T> {
    fn drop(&mut self) {
        match &self.port {
            Port::Circuit(circuit) => circuit.drop_rx(&mut super::inbox::Inbox::default()),
            Port::Hub(hub) => hub.close(),
        }
    }
}

impl<T: Message + Send> End for Watch<T> {
    fn spec() -> Spec {
        Spec::receives::<T>(OpenFlags::LATEST)
    }

    fn imported(end: Imported) -> Self {
        Self {
            port: Port::Circuit(end.circuit),
            which: end.which,
            over: None,
            peeked: None,
            value: core::marker::PhantomData,
        }
    }
}

impl<T: Message + Send> ExportEnd for Watch<T> {
    fn exported(end: Exported) -> Self {
        Self {
            port: Port::Hub(end.hub),
            which: 0,
            over: None,
            peeked: None,
            value: core::marker::PhantomData,
        }
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
}
