//! How a link is to be, and where it is in its life.

use crate::proto::Fault;
use crate::proto::hello::{Identity, LinkKind};

/// How a link is to be.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
#[expect(clippy::exhaustive_structs, reason = "every field is a decision; `LinkConfig::stream` has defaults")]
pub struct LinkConfig {
    /// Who we are.
    pub identity: Identity,
    /// Peer or tree.
    pub kind: LinkKind,
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
    /// Want a checksum on every packet.
    pub crc: bool,
    /// Payload bytes that may be written ahead of the peer's acknowledgement, at least
    /// 256 KiB, because acknowledgements come no more often; where small messages go along,
    /// no more than 64 KiB, and at least 32 KiB.
    pub flight: u32,
    /// Say hello first; a passive side waits for the peer's hello and answers it.
    pub active: bool,
}

impl LinkConfig {
    /// For a reliable stream on one machine: TCP on loopback, a pipe.
    pub const fn stream(identity: Identity) -> Self {
        Self {
            identity,
            kind: LinkKind::Peer,
            packet: 65 * 1024,
            circuits: 16 * 1024,
            dead_ms: 5_000,
            hear_ms: 1_250,
            hello_ms: 3_000,
            crc: false,
            flight: 1024 * 1024,
            active: true,
        }
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
