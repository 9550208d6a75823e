//! The bring-up packet. Its layout never changes; later versions append a tail.

use core::fmt;

use super::crc::{crc32c, crc32c_append};
use super::frame::FrameError;
use super::put::put;

/// The version of the protocol that this code speaks.
pub const PROTOCOL_VERSION: u8 = 1;

const MAGIC: [u8; 4] = *b"nchn";
/// Bytes before the name.
const FIXED_LEN: usize = 62;
const CRC_LEN: usize = 4;
const FLAG_CRC: u8 = 1;
const FLAG_ADOPTS: u8 = 2;
const FLAG_BODIES: u8 = 4;
/// The longest that this version writes, in bytes.
pub(crate) const HELLO_MAX: usize = FIXED_LEN + Name::MAX_LEN + CRC_LEN;
/// A hello has its checksum whatever the link agrees on later, with a seed of its own.
const CRC_SEED: u32 = 0x6e63_686e;

/// What kind of link a node wants to its neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkKind {
    /// Both neighbours see each other's exports, and nothing behind.
    Peer = 1,
    /// Parent and child of a tree.
    Tree = 2,
    /// The other side chooses.
    Either = 3,
}

/// What the peer is, once both have said what they want.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(clippy::exhaustive_enums, reason = "a neighbour is one of these")]
pub enum Relation {
    /// A peer: nothing behind it can be reached.
    #[default]
    Peer,
    /// Our parent in a tree.
    Parent,
    /// Our child in a tree.
    Child {
        /// It takes no part in the tree, and does not hear of it: a board, for instance.
        leaf: bool,
    },
}

/// A node's readable name: 1 to 32 bytes of `[a-z0-9._-]`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    bytes: [u8; Self::MAX_LEN],
    len: u8,
}

/// Not a node's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NameError;

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a node's name has 1 to 32 characters of a-z 0-9 . _ -")
    }
}

impl core::error::Error for NameError {}

impl Name {
    /// The longest name in bytes.
    pub const MAX_LEN: usize = 32;

    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`NameError`] when it is empty, too long or has other characters.
    pub const fn new(name: &str) -> Result<Self, NameError> {
        let from = name.as_bytes();
        if from.is_empty() || from.len() > Self::MAX_LEN {
            return Err(NameError);
        }
        let mut bytes = [0; Self::MAX_LEN];
        let mut i = 0;
        while i < from.len() {
            if !matches!(from[i], b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-') {
                return Err(NameError);
            }
            bytes[i] = from[i];
            i += 1;
        }
        Ok(Self { bytes, len: from.len() as u8 })
    }

    /// The name of a constant: `const NAME: Name = Name::literal("thermometer");`.
    ///
    /// # Panics
    ///
    /// When it is no name: in a constant, that is when it is compiled.
    pub const fn literal(name: &'static str) -> Self {
        match Self::new(name) {
            Ok(name) => name,
            Err(_) => panic!("a node's name has 1 to 32 characters of a-z 0-9 . _ -"),
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// As the bytes of the text.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who a node is. Nothing of it is defaulted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a board must state all of it")]
pub struct Identity {
    /// Readable name.
    pub name: Name,
    /// The node's own number, the same in every session.
    pub uid: u64,
    /// Another number after every restart of the program.
    pub boot: u64,
}

/// A hello with its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "its layout never changes")]
pub struct Hello<'a> {
    /// Oldest version spoken.
    pub oldest: u8,
    /// Newest version spoken.
    pub newest: u8,
    /// Wants a checksum on every packet.
    pub crc: bool,
    /// Kind of link wanted.
    pub kind: LinkKind,
    /// In a tree, this side is the parent.
    pub adopts: bool,
    /// Takes opens that carry their message.
    pub bodies: bool,
    /// Retransmission window of a lossy line, in packets; 0 on a reliable stream.
    pub window: u8,
    /// Longest frame taken, in bytes.
    pub packet: u32,
    /// How many circuits the other side may have open at a time.
    pub circuits: u32,
    /// Declared dead after this silence, in milliseconds.
    pub dead_ms: u32,
    /// Will be heard at least this often, in milliseconds.
    pub hear_ms: u32,
    /// Random number of this bring-up.
    pub nonce: u64,
    /// The other side's nonce, 0 while unknown.
    pub echo: u64,
    /// Changes when the program restarts.
    pub boot: u64,
    /// Stays when the program restarts.
    pub uid: u64,
    /// Readable name.
    pub name: &'a str,
}

/// The number of the session between two bring-ups, the same on both sides.
pub(crate) fn session_number(one: u64, other: u64) -> u32 {
    let higher = crc32c_append(!0, &one.max(other).to_le_bytes());
    !crc32c_append(higher, &one.min(other).to_le_bytes())
}

impl<'a> Hello<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let (hello, name) = Self::parse_unnamed(bytes)?;
        let name = core::str::from_utf8(name).map_err(|_| FrameError::Text)?;
        Name::new(name).map_err(|_| FrameError::Text)?;
        Ok(Self { name, ..hello })
    }

    /// All but the name, and its bytes, which are not looked at.
    fn parse_unnamed(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), FrameError> {
        let (fixed, rest) = fixed(bytes)?;
        let name = rest.get(..usize::from(fixed[FIXED_LEN - 1])).ok_or(FrameError::Truncated)?;
        let hello = Self {
            oldest: fixed[4],
            newest: fixed[5],
            crc: fixed[6] & FLAG_CRC != 0,
            adopts: fixed[6] & FLAG_ADOPTS != 0,
            bodies: fixed[6] & FLAG_BODIES != 0,
            kind: match fixed[7] {
                1 => LinkKind::Peer,
                2 => LinkKind::Tree,
                3 => LinkKind::Either,
                _ => return Err(FrameError::Value),
            },
            window: fixed[8],
            packet: u32_at::<9>(fixed),
            circuits: u32_at::<13>(fixed),
            dead_ms: u32_at::<17>(fixed),
            hear_ms: u32_at::<21>(fixed),
            // Four bytes are kept for what every version may need: 25..29.
            nonce: u64_at::<29>(fixed),
            echo: u64_at::<37>(fixed),
            boot: u64_at::<45>(fixed),
            uid: u64_at::<53>(fixed),
            name: "",
        };
        Ok((hello, name))
    }

    pub(crate) fn write(&self, out: &mut [u8]) -> Result<usize, FrameError> {
        self.write_named(self.name.as_bytes(), out)
    }

    /// With this name instead of its own.
    #[cfg_attr(feature = "board", inline)]
    pub(crate) fn write_named(&self, name: &[u8], out: &mut [u8]) -> Result<usize, FrameError> {
        let len = FIXED_LEN + name.len();
        let (hello, rest) = out.split_at_mut_checked(len).ok_or(FrameError::Truncated)?;
        let crc = rest.first_chunk_mut::<CRC_LEN>().ok_or(FrameError::Truncated)?;
        let (fixed, mut room) = hello.split_first_chunk_mut::<FIXED_LEN>().ok_or(FrameError::Truncated)?;
        fixed[..4].copy_from_slice(&MAGIC);
        fixed[4] = self.oldest;
        fixed[5] = self.newest;
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        fixed[6] = flag(self.crc, FLAG_CRC) | flag(self.adopts, FLAG_ADOPTS) | flag(self.bodies, FLAG_BODIES);
        fixed[7] = self.kind as u8;
        fixed[8] = self.window;
        let low = |value: u64| value as u32;
        let high = |value: u64| (value >> 32) as u32;
        // One loop and not a statement for each, which on a board would be twice the code.
        let words: [u32; 13] = [
            self.packet,
            self.circuits,
            self.dead_ms,
            self.hear_ms,
            0,
            low(self.nonce),
            high(self.nonce),
            low(self.echo),
            high(self.echo),
            low(self.boot),
            high(self.boot),
            low(self.uid),
            high(self.uid),
        ];
        for (out, word) in fixed[9..].chunks_exact_mut(4).zip(words) {
            out.copy_from_slice(&word.to_le_bytes());
        }
        fixed[FIXED_LEN - 1] = name.len() as u8;
        put(&mut room, name);
        *crc = crc32c(CRC_SEED, hello).to_le_bytes();
        Ok(len + CRC_LEN)
    }
}

/// The part of fixed length, and what is behind it.
fn fixed(bytes: &[u8]) -> Result<(&[u8; FIXED_LEN], &[u8]), FrameError> {
    let (body, crc) = bytes.split_last_chunk::<CRC_LEN>().ok_or(FrameError::Truncated)?;
    let (fixed, rest) = body.split_first_chunk::<FIXED_LEN>().ok_or(FrameError::Value)?;
    if fixed[..4] != MAGIC || crc32c(CRC_SEED, body) != u32::from_le_bytes(*crc) {
        return Err(FrameError::Value);
    }
    Ok((fixed, rest))
}

/// What a board needs to know of a hello.
#[cfg(feature = "board")]
pub(crate) struct Brief {
    pub(crate) fits: bool,
    pub(crate) window: u8,
    pub(crate) packet: u32,
    pub(crate) circuits: u32,
    pub(crate) hear_ms: u32,
    pub(crate) nonce: u64,
    pub(crate) echo: u64,
    pub(crate) boot: u64,
}

#[cfg(feature = "board")]
impl Brief {
    #[inline]
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (fixed, _) = fixed(bytes).ok()?;
        let speaks = fixed[4] <= PROTOCOL_VERSION && fixed[5] >= PROTOCOL_VERSION;
        Some(Self {
            // A peer link, or one that may be that.
            fits: speaks && fixed[7] & LinkKind::Peer as u8 != 0 && fixed[8] > 0,
            window: fixed[8],
            packet: u32_at::<9>(fixed),
            circuits: u32_at::<13>(fixed),
            hear_ms: u32_at::<21>(fixed),
            nonce: u64_at::<29>(fixed),
            echo: u64_at::<37>(fixed),
            boot: u64_at::<45>(fixed),
        })
    }
}

const fn u32_at<const AT: usize>(bytes: &[u8; FIXED_LEN]) -> u32 {
    u32::from_le_bytes([bytes[AT], bytes[AT + 1], bytes[AT + 2], bytes[AT + 3]])
}

const fn u64_at<const AT: usize>(bytes: &[u8; FIXED_LEN]) -> u64 {
    u64::from_le_bytes([
        bytes[AT],
        bytes[AT + 1],
        bytes[AT + 2],
        bytes[AT + 3],
        bytes[AT + 4],
        bytes[AT + 5],
        bytes[AT + 6],
        bytes[AT + 7],
    ])
}
