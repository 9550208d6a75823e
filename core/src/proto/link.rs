//! One link: bring-up, the table of circuits, liveness, and what is to be written next.

mod alive;
mod bring_up;
mod close;
mod config;
mod event;
mod hear;
mod open;
mod send;
mod take;
mod write;

use crate::proto::circuit::{Slot, Slots, charge};
use crate::proto::frame::{Handle, Part};
use crate::proto::framing::MAX_BEFORE_UP;
use crate::proto::hello::{Name, Relation};
use crate::proto::{Fault, Instant, Reason, Total};

pub use config::{LinkConfig, LinkState};
pub use event::{Blocked, Event, Fragment, Start};

/// An acknowledgement is due after this many payload bytes, in a stream of large messages.
const ACK_EVERY: u32 = 256 * 1024;
/// The same where small messages go along.
const ACK_EVERY_BESIDE: u32 = 12 * 1024;
/// So many bytes after the last small message none is expected any more.
const BESIDE: u32 = 1024 * 1024;
/// Messages up to this length are small: they go straight into the link's buffer, while
/// longer ones take turns.
pub(super) const SMALL_MAX: u32 = 4 * 1024;

/// The sans-I/O state of one link. It knows no other link, holds no payload, and is driven
/// by one owner at a time.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "testing"), derive(Clone, Hash))]
pub struct Link {
    config: LinkConfig,
    state: LinkState,
    nonce: u64,
    hello_due: bool,
    echoed: bool,
    beat_due: bool,
    ping_due: bool,
    pong_due: bool,
    ack_due: bool,
    /// That we may be silent for so many milliseconds is to be said.
    quiet_due: Option<u32>,
    /// How often it was, and for how long the last time.
    quiets: u32,
    quiet_ms: u32,
    /// The peer has said so, and no tick has come since.
    quiet_heard: Option<u32>,
    /// Until when silence is no death: ours, the peer's.
    quiet_until: [Instant; 2],
    bye_due: Option<Reason>,
    /// Why the peer's hello is answered with a goodbye.
    no_room: Option<Reason>,
    /// Who has answered in place of the one that was expected.
    stranger: Option<Name>,
    peer: Peer,
    session: u32,

    last_heard: Instant,
    last_sent: Instant,
    heard: bool,
    sent: bool,

    bytes_in: Total,
    bytes_in_told: Total,
    bytes_out: Total,
    bytes_out_acked: Total,
    /// `bytes_in` and `bytes_out` after the last small message: both sides see the same.
    small_in_at: Total,
    small_out_at: Total,

    free: Handle,
    fresh: u32,
    dirty: Queue,
    ready: Queue,
}

/// What the peer's hello said.
#[derive(Debug, Clone, Copy, Default)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
struct Peer {
    nonce: u64,
    boot: u64,
    packet: u32,
    circuits: u32,
    dead_ms: u32,
    parity: u32,
    crc: bool,
    bodies: bool,
    relation: Relation,
}

/// A queue of slots, linked through them.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
struct Queue {
    head: Handle,
    tail: Handle,
}

impl Queue {
    const EMPTY: Self = Self { head: Handle::NONE, tail: Handle::NONE };
}

impl Link {
    /// A link before its bring-up. `nonce` is a random number of this bring-up.
    pub const fn new(config: LinkConfig, nonce: u64, now: Instant) -> Self {
        Self {
            hello_due: config.active,
            config,
            state: LinkState::Hello,
            nonce: if nonce == 0 { 1 } else { nonce },
            echoed: false,
            beat_due: false,
            ping_due: false,
            pong_due: false,
            ack_due: false,
            quiet_due: None,
            quiets: 0,
            quiet_ms: 0,
            quiet_heard: None,
            quiet_until: [Instant::ZERO; 2],
            bye_due: None,
            no_room: None,
            stranger: None,
            peer: Peer {
                nonce: 0,
                boot: 0,
                packet: 0,
                circuits: 0,
                dead_ms: 0,
                parity: 0,
                crc: false,
                bodies: false,
                relation: Relation::Peer,
            },
            session: 0,
            last_heard: now,
            last_sent: now,
            heard: false,
            sent: false,
            bytes_in: Total::ZERO,
            bytes_in_told: Total::ZERO,
            bytes_out: Total::ZERO,
            bytes_out_acked: Total::ZERO,
            small_in_at: Total::ZERO,
            small_out_at: Total::ZERO,
            free: Handle::NONE,
            fresh: 0,
            dirty: Queue::EMPTY,
            ready: Queue::EMPTY,
        }
    }

    /// Takes one frame. After an error the link is down, and every circuit on it is dead
    /// with the error's [`reason`](Fault::reason).
    ///
    /// # Errors
    ///
    /// [`Fault`] for whatever an honest peer never sends, and for a goodbye.
    #[cfg_attr(feature = "std", inline)]
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub fn handle<'i>(&mut self, slots: &mut Slots<'_>, frame: &'i [u8]) -> Result<Event<'i>, Fault> {
        if let LinkState::Down(fault) = self.state {
            return Err(fault);
        }
        let event = match self.hear(slots, frame) {
            Err(Fault::Frame(_)) if self.state == LinkState::Hello && frame.first() != Some(&0) => {
                Err(Fault::NotNetchan)
            }
            event => event,
        };
        self.heard = true;
        if let Err(fault) = event {
            self.fail(fault);
        }
        event
    }

    /// As [`Link::handle`], for a data frame whose message the caller has put elsewhere than
    /// behind its head.
    ///
    /// # Errors
    ///
    /// As [`Link::handle`].
    pub fn handle_whole<'i>(
        &mut self,
        slots: &mut Slots<'_>,
        handle: Handle,
        message: &'i [u8],
    ) -> Result<Event<'i>, Fault> {
        if let LinkState::Down(fault) = self.state {
            return Err(fault);
        }
        let event = self.expect_up().and_then(|()| self.on_data(slots, handle, Part::Whole, message));
        self.heard = true;
        if let Err(fault) = event {
            self.fail(fault);
        }
        event
    }

    /// Whether this side opened, or would open, the handle.
    #[inline]
    pub const fn is_mine(&self, handle: Handle) -> bool {
        handle.parity() != self.peer.parity
    }

    /// Where the link is in its life.
    pub const fn state(&self) -> LinkState {
        self.state
    }

    /// Whether it is up, and no goodbye has been said.
    pub const fn stays(&self) -> bool {
        matches!(self.state, LinkState::Up)
    }

    /// Whether the goodbye has been written.
    pub const fn is_left(&self) -> bool {
        matches!(self.state, LinkState::Leaving) && self.bye_due.is_none()
    }

    /// Seed of the packets' checksum, once the link is up and if it has one.
    #[inline]
    pub const fn crc_seed(&self) -> Option<u32> {
        if self.peer.crc && !matches!(self.state, LinkState::Hello) { Some(self.session) } else { None }
    }

    /// Longest frame that may arrive now, in bytes.
    #[inline]
    pub const fn max_frame(&self) -> u32 {
        // On a line the peer may start over at any time, and its hello may be longer than the packets.
        let may_be_hello = matches!(self.state, LinkState::Hello)
            || self.config.window != 0 && self.config.packet < MAX_BEFORE_UP;
        if may_be_hello { MAX_BEFORE_UP } else { self.config.packet }
    }

    /// Bytes of messages that have come and gone in this session.
    pub const fn payload(&self) -> (Total, Total) {
        (self.bytes_in, self.bytes_out)
    }

    /// How many circuits the peer allows us to have open.
    pub const fn circuits(&self) -> u32 {
        self.peer.circuits
    }

    /// What the peer is, once the link is up.
    pub const fn relation(&self) -> Relation {
        self.peer.relation
    }

    /// Number of this session, from both sides' nonces.
    pub const fn session(&self) -> u32 {
        self.session
    }

    /// The silence after which the peer is declared dead, in milliseconds.
    pub const fn dead_ms(&self) -> u32 {
        self.peer.dead_ms
    }

    /// How often this side has promised to be heard, in milliseconds.
    pub const fn hear_ms(&self) -> u32 {
        self.config.hear_ms
    }

    /// Values sent, and values known to be taken by the far end's program.
    pub fn totals(&self, slots: &mut Slots<'_>, handle: Handle) -> (Total, Total) {
        self.slot(slots, handle).map_or((Total::ZERO, Total::ZERO), |slot| (slot.values_out, slot.confirmed))
    }

    /// Values that have arrived whole.
    pub fn values_in(&self, slots: &mut Slots<'_>, handle: Handle) -> Total {
        self.slot(slots, handle).map_or(Total::ZERO, |slot| slot.values_in)
    }

    /// Values that have arrived whole.
    pub fn received(&self, slots: &mut Slots<'_>, handle: Handle) -> Total {
        self.slot(slots, handle).map_or(Total::ZERO, |slot| slot.values_in)
    }

    /// How long a message of the receiver's limit may be, in bytes; 0 before it is open.
    pub fn limit(&self, slots: &mut Slots<'_>, handle: Handle) -> u32 {
        self.slot(slots, handle).map_or(0, |slot| slot.limit_out)
    }

    /// How many bytes of the message that was begun are not written yet.
    pub fn left(&self, slots: &mut Slots<'_>, handle: Handle) -> u32 {
        self.slot(slots, handle).map_or(0, |slot| slot.out_left)
    }

    /// What a message of `len` bytes is charged, in bytes of credit.
    #[inline]
    pub const fn charge(len: u32) -> u32 {
        charge(len)
    }

    #[inline]
    fn is_up(&self) -> bool {
        matches!(self.state, LinkState::Up | LinkState::Leaving)
    }

    #[cfg_attr(feature = "std", inline)]
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn slot<'s>(&self, slots: &'s mut Slots<'_>, handle: Handle) -> Option<&'s mut Slot> {
        let table = if handle.parity() == self.peer.parity { &mut *slots.theirs } else { &mut *slots.mine };
        table.get_mut(handle.index())
    }
}
