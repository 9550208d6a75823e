//! Frames: their bytes and their meaning.
//!
//! ```text
//! frame = head payload      head = varint(number * 8 + kind)
//! kind 0 LINK     number: 0 HELLO, 1 BEAT, 2 ACK, 3 GOODBYE, 4 PING, 5 PONG, 6 QUIET, 7 to 12 the tree's
//! kind 1 DATA     number: handle      payload: a whole message
//! kind 2 FIRST    varint message length, first bytes
//! kind 3 MORE     further bytes; the last ones complete the length
//! kind 4 CREDIT   varint total of bytes granted
//! kind 5 TAKEN    varint total of values taken by the program
//! kind 6 CONTROL  one byte: 1 OPEN, 2 ACCEPT, 3 ASK, 4 END, 5 DEAD, 6 DONE, 7 ATTACH
//! ```

use core::fmt;

use super::hello::Hello;
use super::varint::{self, VarintError};
use super::{Reason, Total};
pub use answer::{Accept, DeadFrame};
pub use body::{Head, Part};
pub(crate) use fields::Reader;
use fields::Writer;
pub use open::{Fingerprints, Open, OpenFlags, Route};
#[cfg(feature = "alloc")]
pub(crate) use text::PATH_MAX;
#[cfg(any(feature = "std", feature = "board"))]
pub(crate) use text::is_channel_name;
#[cfg(feature = "std")]
pub(crate) use text::is_path;
pub(crate) use text::{TYPE_NAME_MAX, cut, has_control};
pub use tree::{Above, HOPS_MAX, TreeFrame};

mod answer;
mod body;
mod fields;
mod open;
mod text;
mod tree;

pub(crate) const KIND_LINK: u32 = 0;
pub(crate) const KIND_DATA: u32 = 1;
pub(crate) const KIND_FIRST: u32 = 2;
pub(crate) const KIND_MORE: u32 = 3;
pub(crate) const KIND_CREDIT: u32 = 4;
pub(crate) const KIND_TAKEN: u32 = 5;
pub(crate) const KIND_CONTROL: u32 = 6;

pub(crate) const LINK_HELLO: u32 = 0;
pub(crate) const LINK_BEAT: u32 = 1;
pub(crate) const LINK_ACK: u32 = 2;
pub(crate) const LINK_GOODBYE: u32 = 3;
pub(crate) const LINK_PING: u32 = 4;
pub(crate) const LINK_PONG: u32 = 5;
pub(crate) const LINK_QUIET: u32 = 6;
pub(crate) const LINK_ADOPT: u32 = 7;
pub(crate) const LINK_ALLOCATE: u32 = 8;
pub(crate) const LINK_GRANT: u32 = 9;
pub(crate) const LINK_ADD_ROUTE: u32 = 10;
pub(crate) const LINK_DEL_ROUTE: u32 = 11;
pub(crate) const LINK_SHUTDOWN: u32 = 12;

pub(crate) const CONTROL_OPEN: u8 = 1;
pub(crate) const CONTROL_ACCEPT: u8 = 2;
pub(crate) const CONTROL_ASK: u8 = 3;
pub(crate) const CONTROL_END: u8 = 4;
pub(crate) const CONTROL_DEAD: u8 = 5;
pub(crate) const CONTROL_DONE: u8 = 6;
pub(crate) const CONTROL_ATTACH: u8 = 7;

/// The longest silence that can be announced, in milliseconds.
pub const QUIET_MAX_MS: u32 = 30_000;
/// No control frame is longer, and none but OPEN, ATTACH and HELLO is longer than 96.
pub(crate) const CONTROL_FRAME_MAX: usize = 256;
/// Largest handle: three bits of the head's varint are the kind.
const HANDLE_MAX: u32 = u32::MAX >> 3;

/// The number of a circuit on one link. Both ends use the same; its parity says who opened it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(u32);

impl Handle {
    pub(crate) const NONE: Self = Self(u32::MAX);

    /// From the wire.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// For the wire.
    pub const fn get(self) -> u32 {
        self.0
    }

    pub(crate) const fn from_index(index: usize, parity: u32) -> Self {
        Self((index as u32) << 1 | parity)
    }

    /// Of a whole message, by the byte before it.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) const fn of_data(head: u8) -> Option<Self> {
        if head & 7 == KIND_DATA as u8 { Some(Self(head as u32 >> 3)) } else { None }
    }

    #[inline]
    pub(crate) const fn index(self) -> usize {
        (self.0 >> 1) as usize
    }

    #[inline]
    pub(crate) const fn parity(self) -> u32 {
        self.0 & 1
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// A frame with its meaning. Texts and payloads are borrowed from the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a frame of a later version must be handled, not skipped")]
pub enum Frame<'a> {
    /// Bring-up.
    Hello(Hello<'a>),
    /// A sign of life.
    Beat,
    /// Total of payload bytes read from the link.
    Ack(Total),
    /// The link ends in order.
    Goodbye(Reason),
    /// Answer at once.
    Ping,
    /// The answer.
    Pong,
    /// Its sender may be silent for so many milliseconds, at most [`QUIET_MAX_MS`]; 0: not any more.
    Quiet(u32),
    /// Of the tree.
    Tree(TreeFrame<'a>),
    /// Message bytes.
    Data(Handle, Part, &'a [u8]),
    /// Bytes that the next hop has promised to take.
    Credit(Handle, Total),
    /// Values that the far end's program has taken.
    Taken(Handle, Total),
    /// Opens a circuit.
    Open(Handle, Open<'a>),
    /// A circuit was accepted.
    Accept(Handle, Accept),
    /// Report `taken` as soon as it reaches this total.
    Ask(Handle, Total),
    /// No more values; the total that was sent.
    End(Handle, Total),
    /// No answer will come.
    Dead(Handle, DeadFrame<'a>),
    /// This side is through with the circuit; the total of values taken here.
    Done(Handle, Total),
    /// Opens a circuit for a channel end inside the next message of the first handle.
    Attach(Handle, Handle, u32, Open<'a>),
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FrameError {
    /// It ends too early.
    Truncated,
    /// A number is not canonical.
    Number,
    /// Bytes are left over.
    Trailing,
    /// Unknown kind.
    Kind,
    /// A field has a value that it cannot have.
    Value,
    /// A text is too long, not UTF-8, or has characters that names do not have.
    Text,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "truncated",
            Self::Number => "a number is not canonical",
            Self::Trailing => "bytes left over",
            Self::Kind => "unknown kind",
            Self::Value => "a field has an impossible value",
            Self::Text => "a text is too long or has characters that it cannot have",
        })
    }
}

impl core::error::Error for FrameError {}

impl From<VarintError> for FrameError {
    fn from(error: VarintError) -> Self {
        match error {
            VarintError::Truncated => Self::Truncated,
            VarintError::NotCanonical => Self::Number,
        }
    }
}

impl<'a> Frame<'a> {
    /// Parses one whole frame.
    ///
    /// # Errors
    ///
    /// [`FrameError`]; nothing is ever read beyond `bytes`, and nothing panics.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let (head, used) = varint::get(bytes)?;
        let (number, rest) = (head >> 3, bytes.get(used..).unwrap_or_default());
        let handle = Handle(number);
        match head & 7 {
            KIND_DATA => Ok(Self::Data(handle, Part::Whole, rest)),
            KIND_FIRST => {
                let (len, used) = varint::get(rest)?;
                Ok(Self::Data(handle, Part::First(len), rest.get(used..).unwrap_or_default()))
            }
            KIND_MORE => Ok(Self::Data(handle, Part::More, rest)),
            _ => Self::parse_control(head, rest),
        }
    }

    fn parse_control(head: u32, rest: &'a [u8]) -> Result<Self, FrameError> {
        let mut r = Reader::new(rest);
        let handle = Handle(head >> 3);
        let kind = head & 7;
        // Some frames may have a tail that this version does not know.
        let mut tail = false;
        let frame = match kind {
            KIND_CREDIT => Self::Credit(handle, r.total()),
            KIND_TAKEN => Self::Taken(handle, r.total()),
            KIND_LINK => match head >> 3 {
                LINK_HELLO => return Hello::parse(rest).map(Self::Hello),
                LINK_BEAT => Self::Beat,
                LINK_PING => Self::Ping,
                LINK_PONG => Self::Pong,
                LINK_QUIET => Self::Quiet(r.quiet()),
                LINK_ACK => Self::Ack(r.total()),
                LINK_GOODBYE => Self::Goodbye(Reason::new(r.byte())),
                number @ LINK_ADOPT..=LINK_SHUTDOWN => {
                    tail = true;
                    Self::Tree(r.tree(number))
                }
                _ => return Err(FrameError::Kind),
            },
            KIND_CONTROL => {
                let code = r.byte();
                tail = !matches!(code, CONTROL_ASK | CONTROL_END | CONTROL_DONE);
                match code {
                    CONTROL_ASK => Self::Ask(handle, r.total()),
                    CONTROL_END => Self::End(handle, r.total()),
                    CONTROL_DONE => Self::Done(handle, r.total()),
                    CONTROL_OPEN => Self::Open(handle, r.carrying_open()),
                    CONTROL_ACCEPT => Self::Accept(handle, r.accept()),
                    CONTROL_DEAD => Self::Dead(handle, r.dead()),
                    CONTROL_ATTACH => {
                        let end = Handle(r.number());
                        Self::Attach(handle, end, r.number(), r.open())
                    }
                    _ => return Err(r.error.unwrap_or(FrameError::Kind)),
                }
            }
            _ => return Err(FrameError::Kind),
        };
        match r.error {
            Some(error) => Err(error),
            None if !tail && !r.rest.is_empty() => Err(FrameError::Trailing),
            None => Ok(frame),
        }
    }

    /// Writes the frame, without framing, and returns its length.
    ///
    /// # Errors
    ///
    /// [`FrameError::Truncated`] when `out` is too short; [`FrameError::Value`] and
    /// [`FrameError::Text`] for what [`Frame::parse`] would refuse.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, FrameError> {
        let mut w = Writer { out, at: 0 };
        match *self {
            Self::Hello(ref hello) => {
                w.head(LINK_HELLO, KIND_LINK)?;
                let at = w.at;
                return Ok(at + hello.write(&mut w.out[at..])?);
            }
            Self::Beat => w.head(LINK_BEAT, KIND_LINK)?,
            Self::Ping => w.head(LINK_PING, KIND_LINK)?,
            Self::Pong => w.head(LINK_PONG, KIND_LINK)?,
            Self::Quiet(millis) if millis > QUIET_MAX_MS => return Err(FrameError::Value),
            Self::Quiet(millis) => w.head(LINK_QUIET, KIND_LINK)?.number(millis)?,
            Self::Ack(total) => w.head(LINK_ACK, KIND_LINK)?.number(total.get())?,
            Self::Goodbye(reason) => w.head(LINK_GOODBYE, KIND_LINK)?.byte(reason.get())?,
            Self::Tree(ref frame) => w.tree(frame)?,
            Self::Data(handle, part, bytes) => match part {
                Part::Whole => w.head(handle.0, KIND_DATA)?.raw(bytes)?,
                Part::First(len) => w.head(handle.0, KIND_FIRST)?.number(len)?.raw(bytes)?,
                Part::More => w.head(handle.0, KIND_MORE)?.raw(bytes)?,
            },
            Self::Credit(handle, total) => w.head(handle.0, KIND_CREDIT)?.number(total.get())?,
            Self::Taken(handle, total) => w.head(handle.0, KIND_TAKEN)?.number(total.get())?,
            Self::Ask(handle, total) => w.control(handle, CONTROL_ASK)?.number(total.get())?,
            Self::End(handle, total) => w.control(handle, CONTROL_END)?.number(total.get())?,
            Self::Done(handle, total) => w.control(handle, CONTROL_DONE)?.number(total.get())?,
            Self::Open(_, ref open) if open.name.is_empty() => return Err(FrameError::Text),
            Self::Open(handle, ref open) => w.control(handle, CONTROL_OPEN)?.open(open)?.route(open)?,
            Self::Accept(handle, accept) => w
                .control(handle, CONTROL_ACCEPT)?
                .byte(accept.which)?
                .number(accept.credit)?
                .number(accept.limit)?,
            Self::Dead(handle, ref dead) => w.control(handle, CONTROL_DEAD)?.dead(dead)?,
            Self::Attach(_, _, _, Open { body: Some(_), .. }) => return Err(FrameError::Value),
            Self::Attach(handle, end, ordinal, ref open) => {
                w.control(handle, CONTROL_ATTACH)?.number(end.0)?.number(ordinal)?.open(open)?
            }
        };
        Ok(w.at)
    }
}
