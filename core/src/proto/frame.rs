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

use super::hello::{Hello, Name};
use super::varint::{self, VarintError};
use super::{Dead, Place, Reason, Total};

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
/// Longest name of an export, in bytes.
pub(crate) const NAME_MAX: usize = 64;
/// Longest readable type name on the wire, in bytes; longer ones are cut.
pub(crate) const TYPE_NAME_MAX: usize = 64;
/// Most hops between the two ends of a circuit, and so the most nodes above another one.
pub const HOPS_MAX: u8 = 15;
/// Longest path of a node's name, in bytes: parts with `/` between.
pub(crate) const PATH_MAX: usize = 128;
/// Most fingerprints in an open.
pub(crate) const FINGERPRINTS_MAX: usize = 4;
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

/// Which part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "these are all the parts a message can have")]
pub enum Part {
    /// All of it.
    Whole,
    /// Its beginning, and its whole length in bytes.
    First(u32),
    /// More of it.
    More,
}

/// What an opener asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "its fields are the frame's; later ones stand in the tail")]
pub struct Open<'a> {
    /// Direction and kind.
    pub flags: OpenFlags,
    /// How long the opener waits for the export to appear, in milliseconds; 0: not at all.
    pub wait_ms: u32,
    /// Bytes granted to the acceptor from the start.
    pub credit: u32,
    /// Longest message that the opener takes, in bytes.
    pub limit: u32,
    /// The opener takes this many values and then wants an orderly end; 0: no such limit.
    pub values: u32,
    /// Full name of the export.
    pub name: &'a str,
    /// One to four accepted fingerprints.
    pub fingerprints: Fingerprints,
    /// Readable name of the opener's type.
    pub type_name: &'a str,
    /// Where in the tree the circuit leads; `None` between neighbours.
    pub route: Option<Route<'a>>,
    /// The opener's only message, at most 255 bytes: the open carries it, and is the end behind it as well.
    pub body: Option<&'a [u8]>,
}

/// Where an open comes from in a tree, and where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "its fields are the frame's; later ones stand in the tail")]
pub struct Route<'a> {
    /// Id of the node that opens.
    pub from: u32,
    /// Links that it has passed before this one.
    pub hops: u8,
    /// Id of the node that it is for; 0 where the path says it.
    pub to: u32,
    /// Names of nodes with `/` between, at most 128 bytes; empty where the id says it.
    pub path: &'a str,
}

/// What parents and children tell each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a frame of a later version must be handled, not skipped")]
pub enum TreeFrame<'a> {
    /// To a child: its id, and those of the nodes above it.
    Adopt {
        /// The child's own.
        id: u32,
        /// From the parent to the root.
        above: Above,
    },
    /// To the parent: so many ids are wanted.
    Allocate(u32),
    /// To a child: these ids are its own to give; none where there are no more.
    Grant {
        /// The first.
        start: u32,
        /// How many.
        count: u32,
    },
    /// To the parent: a node is there.
    AddRoute {
        /// Its id.
        id: u32,
        /// The id of its parent.
        via: u32,
        /// Its name.
        name: &'a str,
    },
    /// To the parent: a node is gone, and all below it.
    DelRoute(u32),
    /// To a child: it is to end, and all below it.
    Shutdown {
        /// How long it may take, in milliseconds.
        grace_ms: u32,
    },
}

/// Ids of the nodes above one, from its parent to the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub struct Above {
    list: [u32; HOPS_MAX as usize],
    len: u8,
}

impl Above {
    /// As a slice; empty at the root.
    pub fn as_slice(&self) -> &[u32] {
        self.list.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// For the children of a node with this id, below these; `None` where the tree would be
    /// too deep.
    #[must_use]
    pub fn below(&self, id: u32) -> Option<Self> {
        let len = usize::from(self.len);
        let mut below = Self { list: [0; HOPS_MAX as usize], len: self.len + 1 };
        let (first, rest) = below.list.split_first_mut()?;
        *first = id;
        rest.get_mut(..len)?.copy_from_slice(self.as_slice());
        Some(below)
    }
}

/// One to four fingerprints, in the opener's order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprints {
    list: [u64; FINGERPRINTS_MAX],
    len: u8,
}

impl Fingerprints {
    /// From a list; those beyond four are left out.
    pub fn new(first: u64, others: &[u64]) -> Self {
        let mut list = [first, 0, 0, 0];
        let n = others.len().min(FINGERPRINTS_MAX - 1);
        list[1..=n].copy_from_slice(&others[..n]);
        Self { list, len: n as u8 + 1 }
    }

    /// As a slice, never empty.
    pub fn as_slice(&self) -> &[u64] {
        self.list.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// Direction and kind of a circuit, as its opener sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFlags(u8);

impl OpenFlags {
    /// Nothing set: a plain stream of values, before its direction is added.
    pub const NONE: Self = Self(0);
    /// The opener sends.
    pub const SENDS: Self = Self(1);
    /// The opener receives.
    pub const RECEIVES: Self = Self(2);
    /// Both directions.
    pub const BOTH: Self = Self(3);
    /// Latest value only; older ones may be dropped.
    pub const LATEST: Self = Self(4);
    /// Calls: requests one way, replies the other.
    pub const CALLS: Self = Self(8);
    /// On the wire only: the open carries the opener's only message. [`Open::body`] says it otherwise.
    const BODY: u8 = 16;
    const KNOWN: u8 = 0x0f;

    /// These and those.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The same kind, seen from the other side.
    #[must_use]
    pub const fn flipped(self) -> Self {
        Self(self.0 & !3 | (self.0 & 1) << 1 | (self.0 & 2) >> 1)
    }

    /// For the wire.
    pub const fn get(self) -> u8 {
        self.0
    }

    const fn parse(byte: u8) -> Result<Self, FrameError> {
        if byte & !Self::KNOWN != 0 || byte & 3 == 0 {
            return Err(FrameError::Value);
        }
        Ok(Self(byte))
    }
}

/// The acceptor's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "its fields are the frame's; later ones stand in the tail")]
pub struct Accept {
    /// Index of the chosen fingerprint in the open's list.
    pub which: u8,
    /// Bytes granted to the opener from the start.
    pub credit: u32,
    /// Longest message that the acceptor takes, in bytes.
    pub limit: u32,
}

/// A dead notice. It has no field in which to ask for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "its fields are the frame's; later ones stand in the tail")]
pub struct DeadFrame<'a> {
    /// Reason and place. On the wire, place 0 is the sender of the frame.
    pub dead: Dead,
    /// Values taken at the far end before it died.
    pub taken: Total,
    /// For instance the type that is exported. At most 64 bytes.
    pub detail: &'a str,
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

/// Whether `name` can be the name of a channel: parts of `[a-z0-9._-]` with `/` between, at most 64 bytes; with `system`
/// also those that have `$` before a part, which are the system's own.
pub(crate) fn is_channel_name(name: &str, system: bool) -> bool {
    let mut before = b'/';
    for byte in name.bytes() {
        let may_be = match byte {
            b'/' => is_inside(before),
            b'$' => before == b'/' && system,
            // Those with `/` are `-` to `9`.
            _ => matches!(byte, b'-'..=b'9' | b'_' | b'a'..=b'z'),
        };
        if !may_be {
            return false;
        }
        before = byte;
    }
    is_inside(before) && name.len() <= NAME_MAX
}

/// Whether a part of a name may end here.
const fn is_inside(byte: u8) -> bool {
    !matches!(byte, b'/' | b'$')
}

/// Whether a text can be the path to a node: names with `/` between, and one before them where it
/// begins at the root.
pub(crate) fn is_path(path: &str) -> bool {
    let parts = path.strip_prefix('/').unwrap_or(path);
    path.len() <= PATH_MAX && (parts.split('/').all(|name| Name::new(name).is_ok()) || path == "/")
}

/// Whether a text has characters that no text on the wire has: those below U+0020, and U+007F to U+009F.
pub(crate) fn has_control(text: &[u8]) -> bool {
    let mut before = 0;
    text.iter().any(|&byte| {
        // The upper ones are two bytes, of which the first is this.
        let upper = core::mem::replace(&mut before, byte) == 0xc2 && byte < 0xa0;
        byte < 0x20 || byte == 0x7f || upper
    })
}

/// `text` cut to at most `max` bytes at a character.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Takes fields off the start of a frame. After the first error all that it gives is empty, so that the
/// caller looks once, at the end: a fifth of the code that a look at each field takes.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    error: Option<FrameError>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Self { rest, error: None }
    }

    /// The first error.
    pub(crate) fn error(&self) -> Option<FrameError> {
        self.error
    }

    /// Whether all fields were there; what is left is a tail of a later version.
    pub(crate) fn check(&self) -> Result<(), FrameError> {
        self.error.map_or(Ok(()), Err)
    }

    /// As [`Reader::check`], of a frame without a tail.
    pub(crate) fn check_end(&self) -> Result<(), FrameError> {
        self.check()?;
        if self.rest.is_empty() { Ok(()) } else { Err(FrameError::Trailing) }
    }

    #[cold]
    fn fail(&mut self, error: FrameError) {
        self.error = self.error.or(Some(error));
        self.rest = &[];
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.raw(1).first().copied().unwrap_or_default()
    }

    pub(crate) fn number(&mut self) -> u32 {
        match varint::get(self.rest) {
            Ok((value, used)) => {
                self.rest = self.rest.get(used..).unwrap_or_default();
                value
            }
            Err(error) => {
                self.fail(error.into());
                0
            }
        }
    }

    /// How long a silence is announced, in milliseconds.
    pub(crate) fn quiet(&mut self) -> u32 {
        let millis = self.number();
        if millis > QUIET_MAX_MS {
            self.fail(FrameError::Value);
        }
        millis
    }

    pub(crate) fn total(&mut self) -> Total {
        Total::new(self.number())
    }

    fn raw(&mut self, len: usize) -> &'a [u8] {
        if let Some((raw, rest)) = self.rest.split_at_checked(len) {
            self.rest = rest;
            return raw;
        }
        self.fail(FrameError::Truncated);
        &[]
    }

    fn text(&mut self, max: usize) -> &'a str {
        let len = usize::from(self.byte());
        if len > max {
            self.fail(FrameError::Text);
        }
        let raw = self.raw(len);
        match core::str::from_utf8(raw) {
            Ok(text) if !has_control(raw) => text,
            _ => {
                self.fail(FrameError::Text);
                ""
            }
        }
    }

    pub(crate) fn open(&mut self) -> Open<'a> {
        let flags = self.byte();
        self.open_as(flags)
    }

    /// The fields behind the flags.
    fn open_as(&mut self, flags: u8) -> Open<'a> {
        let flags = OpenFlags::parse(flags).unwrap_or_else(|error| {
            self.fail(error);
            OpenFlags::NONE
        });
        let (wait_ms, credit) = (self.number(), self.number());
        let (limit, values) = (self.number(), self.number());
        let name = self.text(NAME_MAX);
        if !name.is_empty() && !is_channel_name(name, true) {
            self.fail(FrameError::Text);
        }
        let len = self.byte();
        if len == 0 || usize::from(len) > FINGERPRINTS_MAX {
            self.fail(FrameError::Value);
        }
        let mut list = [0; FINGERPRINTS_MAX];
        for slot in list.iter_mut().take(usize::from(len)) {
            *slot = self.raw(8).first_chunk().map_or(0, |&raw| u64::from_le_bytes(raw));
        }
        let type_name = self.text(TYPE_NAME_MAX);
        let fingerprints = Fingerprints { list, len: len.min(FINGERPRINTS_MAX as u8) };
        Open { flags, wait_ms, credit, limit, values, name, fingerprints, type_name, route: None, body: None }
    }

    /// As [`Reader::open`], of one with a name (only an attached end has none), and with what says where in a
    /// tree it leads.
    #[cfg(feature = "bridge")]
    pub(crate) fn routed_open(&mut self) -> Open<'a> {
        let flags = self.byte();
        self.routed_open_as(flags)
    }

    fn routed_open_as(&mut self, flags: u8) -> Open<'a> {
        let open = self.open_as(flags);
        if open.name.is_empty() {
            self.fail(FrameError::Text);
        }
        if self.rest.is_empty() {
            return open;
        }
        let from = self.number();
        if from == 0 {
            // What a later version may have to say, or a message.
            return open;
        }
        let (hops, to) = (self.byte(), self.number());
        let path = self.text(PATH_MAX);
        if (to == 0) == path.is_empty() || !path.is_empty() && !is_path(path) {
            self.fail(FrameError::Value);
        }
        Open { route: Some(Route { from, hops, to, path }), ..open }
    }

    /// As [`Reader::routed_open`], of one that may carry its opener's only message.
    pub(crate) fn carrying_open(&mut self) -> Open<'a> {
        let flags = self.byte();
        let open = self.routed_open_as(flags & !OpenFlags::BODY);
        if flags & OpenFlags::BODY == 0 {
            return open;
        }
        // Of a latest value there is no last one.
        if !open.flags.has(OpenFlags::SENDS) || open.flags.has(OpenFlags::LATEST) {
            self.fail(FrameError::Value);
        }
        let len = self.byte();
        Open { body: Some(self.raw(usize::from(len))), ..open }
    }

    /// Of a node, which is never 0.
    fn id(&mut self) -> u32 {
        let id = self.number();
        if id == 0 {
            self.fail(FrameError::Value);
        }
        id
    }

    /// A frame of the tree, of one of its numbers.
    pub(crate) fn tree(&mut self, number: u32) -> TreeFrame<'a> {
        match number {
            LINK_ADOPT => {
                let id = self.id();
                let mut above = Above { list: [0; HOPS_MAX as usize], len: self.byte() };
                if above.len == 0 || above.len > HOPS_MAX {
                    self.fail(FrameError::Value);
                    above.len = 0;
                }
                for slot in above.list.iter_mut().take(usize::from(above.len)) {
                    *slot = self.id();
                }
                TreeFrame::Adopt { id, above }
            }
            LINK_ALLOCATE => TreeFrame::Allocate(self.number()),
            LINK_GRANT => {
                let (start, count) = (self.number(), self.number());
                if count != 0 && (start == 0 || start.checked_add(count).is_none()) {
                    self.fail(FrameError::Value);
                }
                TreeFrame::Grant { start, count }
            }
            LINK_ADD_ROUTE => {
                let (id, via) = (self.id(), self.id());
                let name = self.text(Name::MAX_LEN);
                if Name::new(name).is_err() {
                    self.fail(FrameError::Text);
                }
                TreeFrame::AddRoute { id, via, name }
            }
            LINK_DEL_ROUTE => TreeFrame::DelRoute(self.id()),
            _ => TreeFrame::Shutdown { grace_ms: self.number() },
        }
    }

    pub(crate) fn accept(&mut self) -> Accept {
        let which = self.byte();
        if usize::from(which) >= FINGERPRINTS_MAX {
            self.fail(FrameError::Value);
        }
        Accept { which, credit: self.number(), limit: self.number() }
    }

    pub(crate) fn dead(&mut self) -> DeadFrame<'a> {
        let reason = Reason::new(self.byte());
        let at = match self.number() {
            0 => Place::Peer,
            id => Place::Node(id),
        };
        DeadFrame { dead: Dead { reason, at }, taken: self.total(), detail: self.text(TYPE_NAME_MAX) }
    }
}

struct Writer<'o> {
    out: &'o mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn head(&mut self, number: u32, kind: u32) -> Result<&mut Self, FrameError> {
        if number > HANDLE_MAX {
            return Err(FrameError::Value);
        }
        self.number(number << 3 | kind)
    }

    fn control(&mut self, handle: Handle, what: u8) -> Result<&mut Self, FrameError> {
        self.head(handle.0, KIND_CONTROL)?.byte(what)
    }

    fn byte(&mut self, byte: u8) -> Result<&mut Self, FrameError> {
        self.raw(&[byte])
    }

    fn number(&mut self, value: u32) -> Result<&mut Self, FrameError> {
        let mut bytes = [0; varint::MAX_LEN];
        let len = varint::put(&mut bytes, 0, value);
        self.raw(&bytes[..len])
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<&mut Self, FrameError> {
        let end = self.at + bytes.len();
        self.out.get_mut(self.at..end).ok_or(FrameError::Truncated)?.copy_from_slice(bytes);
        self.at = end;
        Ok(self)
    }

    fn text(&mut self, text: &str, max: usize) -> Result<&mut Self, FrameError> {
        if text.len() > max || has_control(text.as_bytes()) {
            return Err(FrameError::Text);
        }
        self.byte(text.len() as u8)?.raw(text.as_bytes())
    }

    fn open(&mut self, open: &Open<'_>) -> Result<&mut Self, FrameError> {
        if !open.name.is_empty() && !is_channel_name(open.name, true) {
            return Err(FrameError::Text);
        }
        let body = if open.body.is_some() { OpenFlags::BODY } else { 0 };
        self.byte(open.flags.get() | body)?
            .number(open.wait_ms)?
            .number(open.credit)?
            .number(open.limit)?
            .number(open.values)?;
        self.text(open.name, NAME_MAX)?.byte(open.fingerprints.len)?;
        for fingerprint in open.fingerprints.as_slice() {
            self.raw(&fingerprint.to_le_bytes())?;
        }
        self.text(cut(open.type_name, TYPE_NAME_MAX), TYPE_NAME_MAX)
    }

    /// Behind an open: where in a tree it leads, and the message that it carries.
    fn route(&mut self, open: &Open<'_>) -> Result<&mut Self, FrameError> {
        match (open.route, open.body) {
            (Some(route), _) => self.way(&route)?,
            (None, Some(_)) => self.number(0)?,
            (None, None) => self,
        };
        let Some(body) = open.body else { return Ok(self) };
        let fits = open.flags.has(OpenFlags::SENDS) && !open.flags.has(OpenFlags::LATEST);
        match u8::try_from(body.len()) {
            Ok(len) if fits => self.byte(len)?.raw(body),
            _ => Err(FrameError::Value),
        }
    }

    fn way(&mut self, route: &Route<'_>) -> Result<&mut Self, FrameError> {
        if route.from == 0
            || (route.to == 0) == route.path.is_empty()
            || !route.path.is_empty() && !is_path(route.path)
        {
            return Err(FrameError::Value);
        }
        self.number(route.from)?.byte(route.hops)?.number(route.to)?.text(route.path, PATH_MAX)
    }

    fn tree(&mut self, frame: &TreeFrame<'_>) -> Result<&mut Self, FrameError> {
        match *frame {
            TreeFrame::Adopt { id, ref above } => {
                self.head(LINK_ADOPT, KIND_LINK)?.number(id)?.byte(above.len)?;
                for &id in above.as_slice() {
                    self.number(id)?;
                }
                Ok(self)
            }
            TreeFrame::Allocate(count) => self.head(LINK_ALLOCATE, KIND_LINK)?.number(count),
            TreeFrame::Grant { start, count } => {
                self.head(LINK_GRANT, KIND_LINK)?.number(start)?.number(count)
            }
            TreeFrame::AddRoute { id, via, name } => {
                self.head(LINK_ADD_ROUTE, KIND_LINK)?.number(id)?.number(via)?.text(name, Name::MAX_LEN)
            }
            TreeFrame::DelRoute(id) => self.head(LINK_DEL_ROUTE, KIND_LINK)?.number(id),
            TreeFrame::Shutdown { grace_ms } => self.head(LINK_SHUTDOWN, KIND_LINK)?.number(grace_ms),
        }
    }

    fn dead(&mut self, dead: &DeadFrame<'_>) -> Result<&mut Self, FrameError> {
        let place = match dead.dead.at {
            Place::Here | Place::Peer => 0,
            Place::Node(id) => id,
        };
        self.byte(dead.dead.reason.get())?.number(place)?.number(dead.taken.get())?;
        // A notice always goes out; a text that cannot is left out.
        let detail = if has_control(dead.detail.as_bytes()) { "" } else { dead.detail };
        self.text(cut(detail, TYPE_NAME_MAX), TYPE_NAME_MAX)
    }
}

/// The first bytes of a data record: the length for the framing, then the frame's head.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// One more than the longest, which is 15: copies of 16 bytes are one move.
    bytes: [u8; Self::MAX_LEN + 1],
    len: u8,
    frame_at: u8,
}

impl Head {
    /// The longest head in bytes.
    pub const MAX_LEN: usize = 3 * varint::MAX_LEN;

    /// For a data frame with `payload` bytes; `trailer` is what the framing adds after it.
    ///
    /// In line wherever a host uses it, so that it stays in registers.
    #[cfg_attr(feature = "std", inline(always))]
    pub(crate) fn new(handle: Handle, part: Part, payload: usize, trailer: usize) -> Self {
        let (kind, total) = match part {
            Part::Whole => (KIND_DATA, None),
            Part::First(len) => (KIND_FIRST, Some(len)),
            Part::More => (KIND_MORE, None),
        };
        let head = handle.0 << 3 | kind;
        let more = total.map_or(0, varint::len);
        let length = (varint::len(head) + more + payload + trailer) as u32;
        #[cfg(feature = "std")]
        return Self::packed(length, head, total);
        #[cfg(not(feature = "std"))]
        Self::put(length, head, total)
    }

    /// Put together in a register, for a host: what is stored byte by byte and read as words at once holds
    /// its processor up.
    #[cfg(feature = "std")]
    #[inline(always)]
    fn packed(length: u32, head: u32, total: Option<u32>) -> Self {
        let (mut word, frame_at) = {
            let (packed, len) = varint::pack(length);
            (u128::from(packed), len)
        };
        let mut len = frame_at;
        for number in core::iter::once(head).chain(total) {
            let (packed, n) = varint::pack(number);
            word |= u128::from(packed) << (8 * len);
            len += n;
        }
        Self { bytes: word.to_le_bytes(), len: len as u8, frame_at: frame_at as u8 }
    }

    /// The same byte by byte, for a board, where that is a fifth of the code.
    #[cfg(any(test, not(feature = "std")))]
    fn put(length: u32, head: u32, total: Option<u32>) -> Self {
        let mut bytes = [0; Self::MAX_LEN + 1];
        let frame_at = varint::put(&mut bytes, 0, length);
        let mut len = varint::put(&mut bytes, frame_at, head);
        if let Some(total) = total {
            len = varint::put(&mut bytes, len, total);
        }
        Self { bytes, len: len as u8, frame_at: frame_at as u8 }
    }

    /// All of it: what comes before the payload.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }

    /// Appends all of it.
    #[cfg(feature = "std")]
    #[inline(always)]
    pub(crate) fn append_to(&self, out: &mut alloc::vec::Vec<u8>) {
        let end = out.len() + self.len as usize;
        // A copy of constant length is one move, where another one is a call.
        out.extend_from_slice(&self.bytes);
        out.truncate(end);
    }

    /// The frame's head without its length, lowest byte first, and how many bytes that is. Of a whole message.
    #[cfg(feature = "std")]
    pub(crate) fn of_frame(&self) -> (u64, u32) {
        let frame = self.frame();
        let word = frame.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        (word, frame.len() as u32)
    }

    /// The part that belongs to the frame, as the checksum sees it.
    pub fn frame(&self) -> &[u8] {
        &self.bytes[self.frame_at as usize..self.len as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_and_a_host_write_the_same_head() {
        for number in [0, 1, 0x7f, 0x80, 0x4000, 0x20_0000, 0x1000_0000, u32::MAX] {
            for total in [None, Some(number), Some(!number)] {
                let (host, board) = (Head::packed(number, !number, total), Head::put(number, !number, total));
                assert_eq!((host.as_slice(), host.frame()), (board.as_slice(), board.frame()));
            }
        }
    }

    #[test]
    fn texts_without_control_characters_are_those_that_have_none() {
        for char in (0..0x300).chain(0x2000..0x2100).filter_map(char::from_u32) {
            let text = std::format!("a{char}b{char}");
            assert_eq!(has_control(text.as_bytes()), char.is_control(), "{char:?}");
        }
    }

    #[test]
    fn names_of_exports_have_parts() {
        let good = ["a", "a/b", "$sys/log", "a/$b", "0.9_-z", "a/b/c"];
        let bad =
            ["", "/", "a/", "/a", "a//b", "$", "a/$", "$$a", "a$", "A", "a b", "\u{e4}", &"a".repeat(65)];
        for system in [false, true] {
            let is_good = |name: &&str| is_channel_name(name, system) == (system || !name.contains('$'));
            assert!(good.iter().all(is_good));
            assert!(!bad.iter().any(|name| is_channel_name(name, system)));
        }
    }
}
