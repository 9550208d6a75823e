//! The bring-up packet. Its layout never changes; later versions append a tail.

use core::fmt;

use super::crc::crc32c;
use super::frame::FrameError;

/// The version of the protocol that this code speaks.
pub const PROTOCOL_VERSION: u8 = 1;

const MAGIC: [u8; 4] = *b"nchn";
/// Bytes before the name.
const FIXED_LEN: usize = 62;
const CRC_LEN: usize = 4;
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

/// A node's readable name: 1 to 32 bytes of `[a-z0-9._-]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name {
    bytes: [u8; Self::MAX_LEN],
    len: u8,
}

/// Not a node's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

    /// As text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len as usize]).unwrap_or_default()
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
    let mut nonces = [0; 16];
    nonces[..8].copy_from_slice(&one.max(other).to_le_bytes());
    nonces[8..].copy_from_slice(&one.min(other).to_le_bytes());
    crc32c(0, &nonces)
}

impl<'a> Hello<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let (body, crc) = bytes.split_last_chunk::<CRC_LEN>().ok_or(FrameError::Truncated)?;
        if body.len() < FIXED_LEN || body[..4] != MAGIC {
            return Err(FrameError::Value);
        }
        if crc32c(CRC_SEED, body) != u32::from_le_bytes(*crc) {
            return Err(FrameError::Value);
        }
        let u32_at = |at: usize| body[at..at + 4].iter().rev().fold(0, |v, &b| v << 8 | u32::from(b));
        let u64_at = |at: usize| body[at..at + 8].iter().rev().fold(0, |v, &b| v << 8 | u64::from(b));
        let name_len = usize::from(body[FIXED_LEN - 1]);
        let name = body.get(FIXED_LEN..FIXED_LEN + name_len).ok_or(FrameError::Truncated)?;
        let name = core::str::from_utf8(name).map_err(|_| FrameError::Text)?;
        Name::new(name).map_err(|_| FrameError::Text)?;
        Ok(Self {
            oldest: body[4],
            newest: body[5],
            crc: body[6] & 1 == 1,
            kind: match body[7] {
                1 => LinkKind::Peer,
                2 => LinkKind::Tree,
                3 => LinkKind::Either,
                _ => return Err(FrameError::Value),
            },
            window: body[8],
            packet: u32_at(9),
            circuits: u32_at(13),
            dead_ms: u32_at(17),
            hear_ms: u32_at(21),
            // Four bytes are kept for what every version may need: 25..29.
            nonce: u64_at(29),
            echo: u64_at(37),
            boot: u64_at(45),
            uid: u64_at(53),
            name,
        })
    }

    pub(crate) fn write(&self, out: &mut [u8]) -> Result<usize, FrameError> {
        let mut at = 0;
        let mut put = |bytes: &[u8]| append(out, &mut at, bytes);
        put(&MAGIC);
        put(&[self.oldest, self.newest, u8::from(self.crc), self.kind as u8, self.window]);
        for value in [self.packet, self.circuits, self.dead_ms, self.hear_ms, 0] {
            put(&value.to_le_bytes());
        }
        for value in [self.nonce, self.echo, self.boot, self.uid] {
            put(&value.to_le_bytes());
        }
        put(&[self.name.len() as u8]);
        put(self.name.as_bytes());
        let body = out.get(..at).ok_or(FrameError::Truncated)?;
        let crc = crc32c(CRC_SEED, body);
        append(out, &mut at, &crc.to_le_bytes());
        if at <= out.len() { Ok(at) } else { Err(FrameError::Truncated) }
    }
}

/// Puts bytes at a place that moves on, also where there is no room for them.
#[cfg_attr(not(feature = "std"), inline(never))]
fn append(out: &mut [u8], at: &mut usize, bytes: &[u8]) {
    let end = *at + bytes.len();
    if let Some(room) = out.get_mut(*at..end) {
        room.copy_from_slice(bytes);
    }
    *at = end;
}
