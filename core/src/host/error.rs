//! What can go wrong, one small enum per operation.

use alloc::string::String;
use core::fmt;
use std::io;

use crate::message::{DecodeError, EncodeError, EndError};
use crate::proto::{Blocked, Dead, Fault, Place, Reason};

/// Why a link ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkError {
    /// The stream ended without a goodbye.
    Closed,
    /// The stream failed.
    Io(io::ErrorKind),
    /// The peer broke the protocol, fell silent, or said goodbye.
    Fault(Fault),
    /// This side ended it.
    Local(Reason),
}

impl LinkError {
    /// What everybody on the link is told.
    pub const fn dead(self) -> Dead {
        match self {
            Self::Closed | Self::Io(_) => Dead::here(Reason::LinkLost),
            Self::Fault(Fault::Goodbye(reason)) => Dead { reason, at: Place::Peer },
            Self::Fault(fault) => Dead::here(fault.reason()),
            Self::Local(reason) => Dead::here(reason),
        }
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the stream ended without a goodbye"),
            Self::Io(kind) => write!(f, "the stream failed: {kind}"),
            Self::Fault(fault) => fmt::Display::fmt(fault, f),
            Self::Local(reason) => write!(f, "ended by this side: {reason}"),
        }
    }
}

impl core::error::Error for LinkError {}

/// A value that was not sent, and why. Converts with `?` into boxed errors.
pub struct SendError<T> {
    value: Option<T>,
    cause: SendCause,
}

/// Why a value was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendCause {
    /// No credit, no room, or an earlier message is still being written.
    Full,
    /// The export has no importer now.
    NoImporter,
    /// The deadline passed first.
    Deadline,
    /// Longer than the receiver's limit, in bytes.
    TooLarge(u32),
    /// The value cannot be encoded.
    Encode(EncodeError),
    /// A channel end inside the value cannot travel.
    Ends(EndError),
    /// The receiver has hung up, or no answer will come.
    Dead(Dead),
    /// The end was closed here, or its N values are sent.
    Closed,
}

impl<T> SendError<T> {
    pub(crate) const fn new(value: Option<T>, cause: SendCause) -> Self {
        Self { value, cause }
    }

    /// Why.
    pub const fn cause(&self) -> SendCause {
        self.cause
    }

    /// The value, given back.
    pub fn into_value(self) -> Option<T> {
        self.value
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").field("cause", &self.cause).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not sent: {}", self.cause)
    }
}

impl<T> core::error::Error for SendError<T> {}

impl core::error::Error for SendCause {}

impl fmt::Display for SendCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("no room now"),
            Self::NoImporter => f.write_str("nobody has imported the channel"),
            Self::Deadline => f.write_str("the deadline passed"),
            Self::TooLarge(limit) => write!(f, "longer than the receiver's limit of {limit} bytes"),
            Self::Encode(error) => write!(f, "cannot be encoded: {error}"),
            Self::Ends(error) => write!(f, "a channel end cannot travel: {error}"),
            Self::Dead(dead) => fmt::Display::fmt(dead, f),
            Self::Closed => f.write_str("the sending end is closed"),
        }
    }
}

/// Why no value was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// Nothing is there now; only from `try_recv`.
    Empty,
    /// The orderly end: all values were received. For ever.
    Closed,
    /// Loss: no more values will come. For ever.
    Dead(Dead),
    /// The deadline passed first.
    Deadline,
    /// A value did not decode; the channel is dead from now on.
    Decode(DecodeError),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("nothing is there now"),
            Self::Closed => f.write_str("closed: all values were received"),
            Self::Dead(dead) => fmt::Display::fmt(dead, f),
            Self::Deadline => f.write_str("the deadline passed"),
            Self::Decode(error) => write!(f, "a value did not decode: {error}"),
        }
    }
}

impl core::error::Error for RecvError {}

/// Why an import failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportError {
    /// The name cannot be one: parts of `a-z 0-9 . _ -` with `/` between, at most 64 bytes.
    BadName,
    /// An import of no values, which could never end: `values(0)`.
    NoValues,
    /// Nothing was exported under this name in time.
    NoName,
    /// Exported for the same direction, or as another kind of channel. Each kind of end has
    /// its counterpart: `Sender` and `Receiver`, `Latest` and `Watch`, `Server` and `Client`,
    /// a `Duplex` and its mirror, a `ByteWriter` and a `ByteReader`.
    WrongDirection,
    /// Exported with another type.
    TypeDiffers {
        /// The type asked for.
        wanted: &'static str,
        /// The type exported.
        exported: String,
    },
    /// Refused, or the link is down.
    Dead(Dead),
    /// The peer, or this side's own limits, allow no more channels on the link.
    NoResources,
    /// The deadline passed first.
    Deadline,
}

impl ImportError {
    pub(crate) fn new(dead: Dead, wanted: &'static str, exported: String) -> Self {
        match dead.reason {
            Reason::NoName => Self::NoName,
            Reason::WrongDirection => Self::WrongDirection,
            Reason::TypeDiffers => Self::TypeDiffers { wanted, exported },
            Reason::NoResources => Self::NoResources,
            _ => Self::Dead(dead),
        }
    }

    pub(crate) const fn blocked(blocked: Blocked) -> Self {
        match blocked {
            Blocked::NoSlot { .. } | Blocked::NoRoom => Self::NoResources,
            Blocked::Invalid => Self::BadName,
            // What is left means that the link is leaving or down.
            _ => Self::Dead(Dead::here(Reason::Shutdown)),
        }
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName => {
                f.write_str("a channel's name has parts of a-z 0-9 . _ - with / between, 64 bytes at most")
            }
            Self::NoValues => f.write_str("an import of no values: ask for at least one"),
            Self::NoName => f.write_str("nothing is exported under this name"),
            Self::WrongDirection => f.write_str(
                "exported for another direction, or as another kind: a Sender is imported as a Receiver, \
                 a Latest as a Watch, a Server as a Client",
            ),
            Self::TypeDiffers { wanted, exported } => {
                write!(f, "types differ: imported as {wanted}, exported as {exported}")
            }
            Self::Dead(dead) => fmt::Display::fmt(dead, f),
            Self::NoResources => f.write_str("no room for another channel on this link"),
            Self::Deadline => f.write_str("the deadline passed before the import was answered"),
        }
    }
}

impl core::error::Error for ImportError {}

/// Why an export failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExportError {
    /// The name cannot be one: parts of `a-z 0-9 . _ -` with `/` between, at most 64 bytes.
    BadName,
    /// This node exports the name already.
    Taken,
    /// The node has as many exports as it may.
    Full,
    /// The node was shut down.
    Shutdown,
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadName => "a channel's name has parts of a-z 0-9 . _ - with / between, 64 bytes at most",
            Self::Taken => "this node exports the name already",
            Self::Full => "the node has as many exports as it may",
            Self::Shutdown => "the node was shut down",
        })
    }
}

impl core::error::Error for ExportError {}
