//! What can go wrong, one small enum per operation; the names mean what they mean on hosts.

use core::fmt;

use crate::message::{DecodeError, EncodeError};
use crate::proto::Dead;

/// A value that was not sent, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct SendError<T> {
    /// The value, given back.
    pub value: T,
    /// Why.
    pub cause: SendCause,
}

/// Why a value was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SendCause {
    /// The outbox is full.
    Full,
    /// There is no importer now, or an import is not open.
    NoImporter,
    /// The value cannot be encoded.
    Encode(EncodeError),
    /// The value is longer than the peer takes.
    TooLarge,
    /// No answer will come.
    Dead(Dead),
    /// Of an export: the importer has left. Told once for each; the next one may be there.
    Left {
        /// Why.
        dead: Dead,
        /// What became of what was sent to it.
        account: Account,
    },
    /// Of an import: the session is over, and it goes on in the next one. Told once for each.
    Interrupted {
        /// Why.
        dead: Dead,
        /// What became of what was sent in it.
        account: Account,
    },
}

/// What became of the values sent to one importer, or in one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Account {
    /// Taken by the far end's program.
    pub confirmed: u32,
    /// Written, and not known to be taken.
    pub in_doubt: u32,
    /// Not written.
    pub unsent: u32,
    /// Replaced by newer ones before they were sent, where that was asked for.
    pub dropped: u32,
}

impl fmt::Display for SendCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("no room now"),
            Self::NoImporter => f.write_str("nobody has imported the channel"),
            Self::Encode(error) => write!(f, "cannot be encoded: {error}"),
            Self::TooLarge => f.write_str("longer than the peer takes"),
            Self::Dead(dead) => dead.fmt(f),
            Self::Left { dead, .. } => write!(f, "the importer has left: {dead}"),
            Self::Interrupted { dead, .. } => write!(f, "interrupted: {dead}"),
        }
    }
}

impl core::error::Error for SendCause {}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not sent: {}", self.cause)
    }
}

impl<T: fmt::Debug> core::error::Error for SendError<T> {}

/// Why no value was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RecvError {
    /// Nothing is there now.
    Empty,
    /// Of an import: the orderly end, for as long as the session lasts. In the next one it goes on.
    Closed,
    /// Of an import: no more values will come. For ever.
    Dead(Dead),
    /// A value did not decode; its circuit is dead.
    Decode(DecodeError),
    /// Of an import: the session is over, and it goes on in the next one. Told once for each.
    Interrupted {
        /// Why.
        dead: Dead,
        /// How many values of that session were received.
        taken: u32,
    },
    /// Of an export: this importer has left, all of its values were received, and the next one
    /// may come. Told once for each.
    Left {
        /// Why; `None` if it has ended in order.
        dead: Option<Dead>,
    },
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("nothing is there now"),
            Self::Closed => f.write_str("closed: all values were received"),
            Self::Dead(dead) => dead.fmt(f),
            Self::Decode(error) => write!(f, "a value did not decode: {error}"),
            Self::Interrupted { dead, taken } => write!(f, "interrupted after {taken} values: {dead}"),
            Self::Left { dead: None } => f.write_str("the importer has ended in order"),
            Self::Left { dead: Some(dead) } => write!(f, "the importer has left: {dead}"),
        }
    }
}

impl core::error::Error for RecvError {}

/// Why an export or an import is not in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ExportError {
    /// The name cannot be one: parts of `a-z 0-9 . _ -` with `/` between, at most 64 bytes. Those with `$` before a part are the
    /// system's own: they can be imported, and not exported.
    BadName,
    /// This node has a channel of this name already.
    Taken,
    /// The node's table or arena is full.
    Full,
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadName => "a channel's name has parts of a-z 0-9 . _ - with / between, 64 bytes at most",
            Self::Taken => "this node has a channel of this name already",
            Self::Full => "the node's table or arena is full",
        })
    }
}

impl core::error::Error for ExportError {}
