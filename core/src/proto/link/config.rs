//! How a link is to be, and where it is in its life.

use crate::proto::framing::MAX_BEFORE_UP;
use crate::proto::hello::{Identity, LinkKind, Name};
use crate::proto::{Fault, LINE_PACKET_MIN, LineConfig};

/// How a link is to be.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
#[expect(clippy::exhaustive_structs, reason = "every field is a decision; `LinkConfig::stream` has defaults")]
pub struct LinkConfig {
    /// Who we are.
    pub identity: Identity,
    /// Peer or tree.
    pub kind: LinkKind,
    /// In a tree, be the parent.
    pub adopts: bool,
    /// Longest frame that we take, in bytes; the reader's buffer must hold it.
    pub packet: u32,
    /// How many circuits the peer may have open at a time.
    pub circuits: u32,
    /// Declare the peer dead after this silence, in milliseconds.
    pub dead_ms: u32,
    /// Be heard at least this often, in milliseconds.
    pub hear_ms: u32,
    /// Give up the bring-up after this time, in milliseconds.
    pub hello_ms: u32,
    /// Take opens that carry their message; others bring it behind them.
    pub bodies: bool,
    /// Want a checksum on every packet.
    pub crc: bool,
    /// On a lossy line, the packets that may be under way at a time; 0 on a reliable stream.
    pub window: u8,
    /// Payload bytes that may be written ahead of the peer's acknowledgement, at least
    /// 256 KiB, because acknowledgements come no more often; where small messages go along,
    /// no more than 20 KiB, and at least 12 KiB.
    pub flight: u32,
    /// Say hello first; a passive side waits for the peer's hello and answers it.
    pub active: bool,
    /// Whose link it is to be; another node is told goodbye before it can open anything.
    pub expects: Option<Name>,
}

impl LinkConfig {
    /// For a reliable stream on one machine: TCP on loopback, a pipe.
    pub const fn stream(identity: Identity) -> Self {
        Self {
            identity,
            kind: LinkKind::Peer,
            adopts: false,
            packet: 65 * 1024,
            circuits: 16 * 1024,
            dead_ms: 5_000,
            hear_ms: 1_250,
            hello_ms: 3_000,
            bodies: true,
            crc: false,
            window: 0,
            flight: 1024 * 1024,
            active: true,
            expects: None,
        }
    }

    /// For a link above a [`Line`](crate::proto::Line), whose packets have checksums of their own.
    pub const fn line(identity: Identity, line: &LineConfig, circuits: u32) -> Self {
        let dead_ms = line.dead_ms;
        Self {
            packet: line.packet as u32,
            circuits,
            dead_ms,
            hear_ms: dead_ms / 4,
            window: line.window,
            flight: 0,
            ..Self::stream(identity)
        }
    }

    /// The shortest packet that a peer may state, in bytes.
    pub(super) const fn packet_min(&self) -> u32 {
        if self.window == 0 { MAX_BEFORE_UP } else { LINE_PACKET_MIN as u32 }
    }
}

/// Where a link is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkState {
    /// Waiting for the peer's hello.
    Hello,
    /// Circuits can be opened.
    Up,
    /// We have said goodbye, or will as soon as there is room.
    Leaving,
    /// Over, and why.
    Down(Fault),
}
