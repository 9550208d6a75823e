//! Channel ends inside messages: how an end leaves one node and arrives at another.
//!
//! Before a message that carries ends goes out, each of them gets a circuit of its own on
//! the same link (`ATTACH`), and the message holds only its ordinal. An end of a local
//! channel moves whole: its other half is bound to the circuit. An end that was imported
//! is served through this node, by a relay that copies messages, decodes nothing and confirms nothing by itself.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;
use core::task::Waker;

use super::cell::CellId;
use super::circuit::Circuit;
use super::inbox::Inbox;
use super::relay::Relay;
use super::spec::Spec;
use crate::message::{EndError, EndVisitor};
use crate::proto::OpenFlags;

/// Most ends in one message.
pub(crate) const ENDS_MAX: usize = 8;

/// An end while a visitor looks at it: what is inside, without its type.
pub(crate) struct Carry {
    pub(crate) spec: Spec,
    /// Longest value that passes through the end, where the type has a bound.
    pub(crate) longest: Option<usize>,
    pub(crate) port: CarryPort,
}

pub(crate) enum CarryPort {
    /// In a message: stands for the end.
    Ordinal(u32),
    /// Half of a local channel.
    Local(Box<dyn LocalHalf>),
    /// An imported end, with what was received and not yet taken.
    Circuit(Arc<Circuit>, u8, Inbox),
    /// An exported end: it belongs to its name.
    Exported,
}

/// The other half of a local channel is gone already.
pub(crate) struct Alone;

/// Half of a local channel, without its type.
pub(crate) trait LocalHalf: Any + Send {
    /// The end is about to move: what is queued, encoded. Nothing is added meanwhile.
    fn seal(&self) -> Result<Vec<Vec<u8>>, EndError>;

    /// The end stays after all.
    fn unseal(&self);

    /// The end has moved: its other half goes on with the circuit. Who waited there.
    fn bind(&self, circuit: &Arc<Circuit>) -> Result<Option<Waker>, Alone>;

    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

/// An end that is on its way out.
pub(crate) struct Departing {
    pub(crate) spec: Spec,
    pub(crate) longest: Option<usize>,
    pub(crate) port: Option<CarryPort>,
    /// Values that the local channel held, in order.
    pub(crate) queued: Vec<Vec<u8>>,
}

impl fmt::Debug for Departing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Departing")
    }
}

impl Departing {
    /// The end has a circuit: whoever is at its other half goes on with it.
    pub(crate) fn bind(&mut self, circuit: Arc<Circuit>) {
        match self.port.take() {
            Some(CarryPort::Local(half)) => {
                let receives = self.spec.flags.has(OpenFlags::RECEIVES);
                if receives {
                    circuit.send_first(core::mem::take(&mut self.queued));
                }
                match half.bind(&circuit) {
                    Ok(Some(waker)) => waker.wake(),
                    Ok(None) => {}
                    Err(Alone) if receives => circuit.drop_tx(),
                    Err(Alone) => circuit.drop_rx(&mut Inbox::default()),
                }
            }
            Some(CarryPort::Circuit(other, _, inbox)) => {
                if self.spec.flags.has(OpenFlags::SENDS) {
                    Relay::start(circuit, other, Inbox::default());
                } else {
                    Relay::start(other, circuit, inbox);
                }
            }
            _ => {}
        }
    }
}

/// Its message was neither sent nor given back: the operation was dropped half-way, and the end with it.
impl Drop for Departing {
    fn drop(&mut self) {
        let Some(CarryPort::Circuit(circuit, _, mut inbox)) = self.port.take() else { return };
        if self.spec.flags.has(OpenFlags::SENDS) {
            circuit.drop_tx();
        }
        if self.spec.flags.has(OpenFlags::RECEIVES) {
            circuit.drop_rx(&mut inbox);
        }
    }
}

/// Takes the ends out of a message that is to be sent.
#[derive(Default)]
pub(crate) struct Departure {
    pub(crate) ends: Vec<Departing>,
}

impl EndVisitor for Departure {
    fn end(&mut self, end: &mut dyn Any) -> Result<(), EndError> {
        let carry = end.downcast_mut::<Carry>().ok_or(EndError::Refused)?;
        if self.ends.len() >= ENDS_MAX {
            return Err(EndError::TooMany);
        }
        let queued = match &carry.port {
            CarryPort::Local(half) => half.seal()?,
            CarryPort::Circuit(..) => Vec::new(),
            CarryPort::Ordinal(_) | CarryPort::Exported => return Err(EndError::Refused),
        };
        let ordinal = CarryPort::Ordinal(self.ends.len() as u32);
        let port = Some(core::mem::replace(&mut carry.port, ordinal));
        self.ends.push(Departing { spec: carry.spec.clone(), longest: carry.longest, port, queued });
        Ok(())
    }
}

/// Puts the ends back into a message that was not sent.
pub(crate) struct Return<'e> {
    pub(crate) ends: &'e mut Vec<Departing>,
}

impl EndVisitor for Return<'_> {
    fn end(&mut self, end: &mut dyn Any) -> Result<(), EndError> {
        let carry = end.downcast_mut::<Carry>().ok_or(EndError::Refused)?;
        if let CarryPort::Ordinal(ordinal) = carry.port
            && let Some(port) = self.ends.get_mut(ordinal as usize).and_then(|end| end.port.take())
        {
            if let CarryPort::Local(half) = &port {
                half.unseal();
            }
            carry.port = port;
        }
        Ok(())
    }
}

/// An end that has come with a message, and waits for the message to be taken.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) ordinal: u32,
    pub(crate) cell: CellId,
    pub(crate) flags: OpenFlags,
    pub(crate) fingerprint: u64,
}

/// Puts live ends in the place of their ordinals.
pub(crate) struct Arriving<'a> {
    pub(crate) carrier: &'a Circuit,
    pub(crate) ends: &'a mut Vec<Attached>,
}

impl EndVisitor for Arriving<'_> {
    fn end(&mut self, end: &mut dyn Any) -> Result<(), EndError> {
        let carry = end.downcast_mut::<Carry>().ok_or(EndError::Refused)?;
        let CarryPort::Ordinal(ordinal) = carry.port else { return Err(EndError::Missing) };
        let at = self.ends.iter().position(|end| end.ordinal == ordinal).ok_or(EndError::Missing)?;
        let spec = &carry.spec;
        let which = spec.fingerprints.iter().position(|own| *own == self.ends[at].fingerprint);
        let (Some(which), true) = (which, self.ends[at].flags == spec.flags.flipped()) else {
            return Err(EndError::Missing);
        };
        let attached = self.ends.swap_remove(at);
        let circuit = self.carrier.accept_attached(&attached, spec, which as u8).ok_or(EndError::Missing)?;
        carry.port = CarryPort::Circuit(circuit, which as u8, Inbox::default());
        Ok(())
    }
}
