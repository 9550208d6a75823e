//! Hellos on a line that loses some: repeated until the peer speaks under the session.
//!
//! The line reads the hellos that pass it, ours and the peer's. When the peer's echoes our
//! nonce both sides' nonces are known, and with them the session's checksums. From then on it
//! takes session packets, and with the first of them it knows that the peer is as far. Until
//! then it sends none but acknowledgements, so that nothing has to be kept for a peer that
//! cannot read it, and the buffer for packets holds the hello.

use crate::proto::hello::{Hello, session_number};
use crate::proto::{Fault, Instant, framing};

/// The first repetition comes after this time, and each further one after twice as long.
const REPEAT_MS: u16 = 100;
/// No longer than this.
const REPEAT_MAX_MS: u16 = 800;

/// Where a session's beginning is.
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub(super) struct BringUp {
    /// Nonce of our hello; 0 while there is none.
    own: u64,
    /// The peer's, once its hello has echoed ours.
    peer: u64,
    /// Bytes of our hello's record; they stand at the start of the buffer for packets.
    pub(super) len: u16,
    /// The hello is sent at this time, and then again.
    repeat_at: Instant,
    wait_ms: u16,
    /// The peer has spoken under the session.
    pub(super) confirmed: bool,
    pub(super) seeds: Option<Seeds>,
}

/// A session's checksums. Each direction has its own, so that what is echoed is not taken
/// for the peer's.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub(super) struct Seeds {
    pub(super) out: u32,
    pub(super) inward: u32,
}

/// What a hello of the peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// The link has to see it.
    News,
    /// So it has, and it completes the bring-up: the peer's window and packet.
    Up(u8, u32),
    /// A copy of the one that did so.
    Copy,
    /// Our own.
    Echo,
    /// None at all.
    Broken,
}

impl BringUp {
    pub(super) const fn new() -> Self {
        Self {
            own: 0,
            peer: 0,
            len: 0,
            repeat_at: Instant::NEVER,
            wait_ms: REPEAT_MS,
            confirmed: false,
            seeds: None,
        }
    }

    /// Our hello has been written, or written anew.
    pub(super) fn say(&mut self, record: &[u8]) {
        self.own = parse(record).map_or(0, |hello| hello.nonce);
        self.len = record.len() as u16;
        self.repeat_at = Instant::ZERO;
        self.wait_ms = REPEAT_MS;
    }

    /// Whether our hello is to be sent now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.deadline() <= now
    }

    /// When our hello is to be sent.
    pub(super) fn deadline(&self) -> Instant {
        if self.len == 0 || self.confirmed { Instant::NEVER } else { self.repeat_at }
    }

    /// Our hello goes out.
    pub(super) fn sent(&mut self, now: Instant) {
        self.repeat_at = now.plus_millis(u32::from(self.wait_ms));
        self.wait_ms = (self.wait_ms * 2).min(REPEAT_MAX_MS);
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
        if self.seeds.is_some() {
            return if echoed && hello.nonce == self.peer { Heard::Copy } else { Heard::News };
        }
        if !echoed {
            return Heard::News;
        }
        let session = session_number(self.own, hello.nonce);
        let (out, inward) = if self.own > hello.nonce { (session, !session) } else { (!session, session) };
        self.seeds = Some(Seeds { out, inward });
        self.peer = hello.nonce;
        Heard::Up(hello.window, hello.packet)
    }
}

/// The hello in a record, which has nothing behind it.
fn parse(record: &[u8]) -> Result<Hello<'_>, Fault> {
    match framing::next(record, record.len() as u32, None)? {
        framing::Step::Frame([0, hello @ ..], used) if used == record.len() => Ok(Hello::parse(hello)?),
        _ => Err(Fault::NotNetchan),
    }
}
