//! A value on its way into a buffer.

use alloc::vec::Vec;

use crate::host::carry::{Departing, Departure, Return};
use crate::host::error::{SendCause, SendError};
use crate::message::Message;

/// A value on its way into a buffer.
#[derive(Debug)]
pub(crate) enum Outgoing<T> {
    Value(T),
    /// Encoded; the value is kept to be given back.
    Encoded(T),
    /// The value was its encoding.
    Moved,
    Sent,
}

impl<T: Message> Outgoing<T> {
    /// Takes the channel ends out of the value, before it is encoded.
    pub(crate) fn detach(&mut self, ends: &mut Vec<Departing>) -> Result<(), SendError<T>> {
        let Self::Value(value) = self else { return Ok(()) };
        let mut departure = Departure::default();
        let result = value.visit_ends(&mut departure);
        *ends = departure.ends;
        result.map_err(|error| {
            self.attach(ends);
            SendError::new(self.give_back(&mut Vec::new()), SendCause::Ends(error))
        })
    }

    /// Puts them back.
    pub(crate) fn attach(&mut self, ends: &mut Vec<Departing>) {
        if let Self::Value(value) | Self::Encoded(value) = self
            && !ends.is_empty()
        {
            // Every end finds its own place again, so this cannot fail.
            let _ = value.visit_ends(&mut Return { ends });
        }
        ends.clear();
    }

    pub(crate) fn encode(&mut self, into: &mut Vec<u8>) -> Result<(), SendError<T>> {
        match core::mem::replace(self, Self::Sent) {
            Self::Value(value) => match value.into_owned_bytes() {
                Ok(bytes) => {
                    *into = bytes;
                    *self = Self::Moved;
                }
                Err(value) => {
                    into.clear();
                    if let Err(error) = value.encode_to(into) {
                        return Err(SendError::new(Some(value), SendCause::Encode(error)));
                    }
                    *self = Self::Encoded(value);
                }
            },
            other => *self = other,
        }
        Ok(())
    }

    pub(crate) fn give_back(&mut self, from: &mut Vec<u8>) -> Option<T> {
        match core::mem::replace(self, Self::Sent) {
            Self::Value(value) | Self::Encoded(value) => Some(value),
            Self::Moved => T::decode_owned(core::mem::take(from)).ok(),
            Self::Sent => None,
        }
    }
}

/// Room for an encoded message that is known to be short, on the stack. All of it is copied
/// whatever the message's length: a copy of constant length is a few instructions, where
/// another one is a call.
pub(crate) type Short = [u8; SHORT_ROOM];

/// Beyond the longest one, so that the encoder's own copies of constant length fit.
pub(crate) const SHORT_ROOM: usize = 64;
