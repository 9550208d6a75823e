//! Hellos on a line that loses some: how a session begins.
//!
//! The line reads the hellos that pass it, ours and the peer's. When the peer's echoes our
//! nonce both sides' nonces are known, and with them the session's checksums. From then on it
//! takes session packets, and with the first of them it knows that the peer is as far. Until
//! then it sends none but acknowledgements, so that nothing has to be kept for a peer that
//! cannot read it, and the buffer for packets holds the hello.

use super::arq::seed;
use crate::proto::hello::{Hello, session_number};
use crate::proto::{Fault, framing};

/// Where a session's beginning is.
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub(super) struct BringUp {
    /// Nonce of our hello; 0 while there is none.
    own: u64,
    /// The peer's, once its hello has echoed ours.
    peer: u64,
}

/// What a hello of the peer is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Heard {
    /// The link has to see it.
    News,
    /// So it has, and it completes the bring-up: our seed, the peer's window and packet.
    Up(u32, u8, u32),
    /// A copy of the one that did so.
    Copy,
    /// Our own.
    Echo,
    /// None at all.
    Broken,
}

impl BringUp {
    pub(super) const fn new() -> Self {
        Self { own: 0, peer: 0 }
    }

    /// Our hello has been written, or written anew.
    pub(super) fn say(&mut self, record: &[u8]) {
        self.own = parse(record).map_or(0, |hello| hello.nonce);
    }

    /// What the record in a packet with a hello means.
    pub(super) fn hear(&mut self, record: &[u8]) -> Heard {
        let Ok(hello) = parse(record) else { return Heard::Broken };
        if self.own == 0 {
            return Heard::News;
        }
        if hello.nonce == self.own {
            return Heard::Echo;
        }
        let echoed = hello.echo == self.own;
        if self.peer != 0 {
            return if echoed && hello.nonce == self.peer { Heard::Copy } else { Heard::News };
        }
        if !echoed {
            return Heard::News;
        }
        self.peer = hello.nonce;
        let session = session_number(self.own, hello.nonce);
        Heard::Up(seed(session, self.own > hello.nonce), hello.window, hello.packet)
    }
}

/// The hello in a record, which has nothing behind it.
fn parse(record: &[u8]) -> Result<Hello<'_>, Fault> {
    match framing::next(record, record.len() as u32, None)? {
        framing::Step::Frame([0, hello @ ..], used) if used == record.len() => Ok(Hello::parse(hello)?),
        _ => Err(Fault::NotNetchan),
    }
}
