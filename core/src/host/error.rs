//! What can go wrong, one small enum per operation.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use std::io;

use super::named::{ChannelError, sentence};
use super::sender::Account;
use crate::message::{DecodeError, EncodeError, EndError};
use crate::proto::{Blocked, Dead, Fault, Name, Place, Reason};

/// Stands for the name of a channel inside this process.
pub(crate) const NAMELESS: &str = "(local)";

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
    /// Another node than the expected one has answered, this one. It was told goodbye, and could open nothing.
    OtherNode(Name),
}

impl LinkError {
    /// What everybody on the link is told.
    pub const fn dead(self) -> Dead {
        match self {
            Self::Closed | Self::Io(_) => Dead::here(Reason::LinkLost),
            Self::Fault(Fault::Goodbye(reason)) => Dead { reason, at: Place::Peer },
            Self::Fault(fault) => Dead::here(fault.reason()),
            Self::Local(reason) => Dead::here(reason),
            Self::OtherNode(_) => Dead::here(Reason::Refused),
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
            Self::OtherNode(name) => write!(f, "another node has answered, `{name}`"),
        }
    }
}

impl core::error::Error for LinkError {}

/// A value that was not sent, into which channel, and why. Converts with `?` into boxed
/// errors.
pub struct SendError<T> {
    value: Option<T>,
    cause: SendCause,
    channel: Option<Arc<str>>,
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
    /// The session is over, and this end goes on in the next one; told once for each. Only
    /// of an end imported with [`reopen`](super::Import::reopen).
    Interrupted {
        /// Why.
        dead: Dead,
        /// What became of the values of that session. Nothing of it is sent again.
        account: Account,
    },
    /// The peer is back, and does not accept this end any more: the name or the type is
    /// another one, or it has no room. For ever.
    NotReopened(Dead),
    /// Of an exclusive export: the importer that this value was for has left. The end goes on
    /// with the next one as soon as receiving has told so ([`RecvError::Left`]); where it has
    /// told so already, or the end that receives was dropped, at once.
    Left {
        /// Why.
        dead: Dead,
    },
}

impl<T> SendError<T> {
    pub(crate) const fn new(value: Option<T>, cause: SendCause) -> Self {
        Self { value, cause, channel: None }
    }

    /// With the channel's name.
    #[cold]
    pub(crate) fn of(self, channel: Arc<str>) -> Self {
        Self { channel: Some(channel), ..self }
    }

    /// The same without a value.
    pub(crate) fn without_value<U>(&self) -> SendError<U> {
        SendError { value: None, cause: self.cause, channel: self.channel.clone() }
    }

    /// The name of the channel, as it was imported or exported.
    pub fn channel(&self) -> &str {
        self.channel.as_deref().unwrap_or(NAMELESS)
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
        sentence(f, self, self.advice())
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "channel `{}`: not sent: {}", self.channel(), self.cause)
    }
}

impl<T> ChannelError for SendError<T> {
    fn advice(&self) -> Option<&'static str> {
        self.cause.advice()
    }
}

impl<T> core::error::Error for SendError<T> {}

impl core::error::Error for SendCause {}

impl ChannelError for SendCause {
    fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Full => Some("wait with `send`, or try again later"),
            Self::NoImporter => Some("a send waits for one when it is given the time"),
            Self::Deadline => Dead::here(Reason::Deadline).advice(),
            Self::TooLarge(_) => Dead::here(Reason::TooLarge).advice(),
            Self::Dead(dead) | Self::NotReopened(dead) => dead.advice(),
            Self::Interrupted { .. } => Some("nothing is sent twice by itself; send again to go on"),
            Self::Left { .. } => Some("receive until that is told: then the next importer has its turn"),
            Self::Encode(_) | Self::Ends(_) | Self::Closed => None,
        }
    }
}

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
            Self::Interrupted { dead, account } => {
                let Account { confirmed, in_doubt, unsent, .. } = account;
                write!(
                    f,
                    "interrupted after {confirmed} values, {in_doubt} in doubt, {unsent} unsent: {dead}"
                )
            }
            Self::NotReopened(dead) => write!(f, "the peer is back without this channel: {dead}"),
            Self::Left { dead } => write!(f, "the importer that this was for has left: {dead}"),
        }
    }
}

/// Why no value was received.
#[derive(Clone, Copy, PartialEq, Eq)]
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
    /// The session is over, and this end goes on in the next one; told once for each, after
    /// all values of it that are complete. Only of an end imported with
    /// [`reopen`](super::Import::reopen).
    Interrupted {
        /// Why.
        dead: Dead,
        /// How many values of that session were received here. What its sender counts as in
        /// doubt or unsent will not come.
        taken: u64,
    },
    /// The peer is back, and does not accept this end any more: the name or the type is
    /// another one, or it has no room. For ever.
    NotReopened(Dead),
    /// Of an exclusive export: this importer has left, all of its values were received, and
    /// what is received next is the next one's. Told once for each importer. One that has only
    /// ended what it sends to a `Duplex` keeps its place, and is sent to, until it is gone.
    Left {
        /// Why; `None` if it has ended in order.
        dead: Option<Dead>,
    },
}

impl RecvError {
    /// Whether it is told once, and not for ever.
    pub(crate) const fn is_told_once(&self) -> bool {
        matches!(self, Self::Interrupted { .. } | Self::Left { .. })
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("nothing is there now"),
            Self::Closed => f.write_str("closed: all values were received"),
            Self::Dead(dead) => fmt::Display::fmt(dead, f),
            Self::Deadline => f.write_str("the deadline passed"),
            Self::Decode(error) => write!(f, "a value did not decode: {error}"),
            Self::Interrupted { dead, taken } => write!(f, "interrupted after {taken} values: {dead}"),
            Self::NotReopened(dead) => write!(f, "the peer is back without this channel: {dead}"),
            Self::Left { dead: None } => f.write_str("the importer has ended in order"),
            Self::Left { dead: Some(dead) } => write!(f, "the importer has left: {dead}"),
        }
    }
}

impl fmt::Debug for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        sentence(f, self, self.advice())
    }
}

impl core::error::Error for RecvError {}

impl ChannelError for RecvError {
    fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Empty => Some("wait with `.wait()`, `.timeout(..)` or `.await`"),
            Self::Dead(dead) | Self::NotReopened(dead) => dead.advice(),
            Self::Deadline => Dead::here(Reason::Deadline).advice(),
            Self::Decode(_) => Dead::here(Reason::DecodeFailed).advice(),
            Self::Interrupted { .. } => Some("values may be missing; receive again to go on"),
            Self::Left { .. } => Some("receive again to go on with the next importer"),
            Self::Closed => None,
        }
    }
}

/// Why an import failed.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportError {
    /// The name cannot be one: parts of `a-z 0-9 . _ -` with `/` between, at most 64 bytes.
    BadName,
    /// An import of no values, which could never end: `values(0)`.
    NoValues,
    /// Nothing was exported under this name in time.
    NoName,
    /// To be reopened, from a peer that its transport does not connect to again.
    NoReconnect,
    /// The path, or the id, is that of the node that asks. What it exports it has in its hands already; only what it tells
    /// of itself (`nodes`, `exports`, `links`, `changes`) it may ask itself.
    Itself,
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

    /// As the ends say it that are opened again.
    pub(crate) const fn dead(&self) -> Dead {
        match self {
            Self::Dead(dead) => *dead,
            Self::NoName | Self::BadName | Self::NoValues | Self::NoReconnect => Dead::peer(Reason::NoName),
            Self::Itself => Dead::here(Reason::Refused),
            Self::WrongDirection => Dead::peer(Reason::WrongDirection),
            Self::TypeDiffers { .. } => Dead::peer(Reason::TypeDiffers),
            Self::NoResources => Dead::here(Reason::NoResources),
            Self::Deadline => Dead::here(Reason::Deadline),
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
            Self::NoReconnect => f.write_str(
                "nothing to reopen on: the link to this peer is not made again; connect with `.reconnect(..)`",
            ),
            Self::Itself => f.write_str(
                "that is this node itself: use the end that `export` has given, or both of `netchan::channel`",
            ),
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

impl fmt::Debug for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        sentence(f, self, self.advice())
    }
}

impl core::error::Error for ImportError {}

impl ChannelError for ImportError {
    fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Deadline => Some("check that the peer exports it, or allow more time with `.timeout(..)`"),
            // What they say is the advice.
            Self::BadName | Self::NoValues | Self::NoReconnect | Self::Itself | Self::WrongDirection => None,
            Self::NoName | Self::TypeDiffers { .. } | Self::Dead(_) | Self::NoResources => {
                self.dead().advice()
            }
        }
    }
}

/// Why an export failed.
#[derive(Clone, Copy, PartialEq, Eq)]
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

impl fmt::Debug for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        sentence(f, self, self.advice())
    }
}

impl core::error::Error for ExportError {}

impl ChannelError for ExportError {
    fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Taken => Some("drop the end that holds the name, or choose another one"),
            _ => None,
        }
    }
}
