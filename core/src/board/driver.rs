//! The node's end of its line: bytes, time, and what they mean for the channels.
//!
//! ```text
//! feed    bytes -> Arq -> frames -> link, circuits -> inboxes
//! drain   outboxes, circuits, link -> frames -> Arq -> bytes
//! ```
//!
//! It runs in one place, a main loop or a task, and enters critical sections only to look at one channel or
//! to copy a part of one message.

mod hear;
mod import;
mod leaving;
mod link;
#[cfg(feature = "embedded-io-v0_7")]
mod poll;
mod quiet;
#[cfg(feature = "embedded-io-async-v0_7")]
mod run;
mod status;
mod tell;
#[cfg(feature = "bridge")]
mod transit;

pub(super) use hear::Heard;
pub(super) use import::Imports;
pub use leaving::Leaving;
pub use quiet::{QUIET_MAX, Quiet};
#[cfg(feature = "embedded-io-async-v0_7")]
pub use run::RunError;

use core::fmt;

#[cfg(feature = "bridge")]
use super::bridge::Transit;
use super::channel::{Channel, Phase, Shared, flag};
use super::config::Config;
use super::ending::Ending;
use super::lines::Here;
use super::node::Common;
use super::section::with;
use super::{wake_end, wake_other};
use crate::proto::time::Stamp;
use crate::proto::{Arq, Came, Instant, Name, NonceSource, Reason, body};
use crate::varint::Cursor;
use link::Link;

/// What a driver works in: packets of the line.
///
/// RAM: [`Config::line_bytes`], which the application gives it as `LINE_BYTES`.
// Aligned as what else is set to zero, so that one of the usual functions for it is linked less: 32 bytes.
#[repr(C, align(8))]
pub struct Memory<const LINE_BYTES: usize> {
    bytes: [u8; LINE_BYTES],
    config: &'static Config,
}

impl<const LINE_BYTES: usize> Memory<LINE_BYTES> {
    /// For a node of this config: `Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG)`.
    ///
    /// # Panics
    ///
    /// When the size is not that of the config.
    pub const fn new(config: &'static Config) -> Self {
        assert!(LINE_BYTES == config.line_bytes());
        Self { config, bytes: [0; LINE_BYTES] }
    }

    pub(super) const fn parts(&mut self) -> (&'static Config, &mut [u8]) {
        (self.config, &mut self.bytes)
    }
}

impl<const LINE_BYTES: usize> fmt::Debug for Memory<LINE_BYTES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

/// Who a node is. Nothing of it is defaulted.
#[expect(clippy::exhaustive_structs, reason = "a board must state all of it")]
pub struct Identity<'m> {
    /// Readable name: `&NAME`, with `const NAME: Name = Name::literal("thermometer");`.
    pub name: &'static Name,
    /// The node's own number, the same in every session.
    pub uid: u64,
    /// Another number after every restart of the program.
    pub boot: u64,
    /// Where the numbers come from that keep its sessions apart: random ones, or a counter in flash.
    pub nonces: &'m mut dyn NonceSource,
}

impl fmt::Debug for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (uid, boot) = (self.uid, self.boot);
        f.debug_struct("Identity")
            .field("name", self.name)
            .field("uid", &uid)
            .field("boot", &boot)
            .finish_non_exhaustive()
    }
}

/// A driver that was not run for so many stretches of time has no session any more: these are 13 minutes at least, and no dead-time
/// with an announced silence is as long; and 18 at most, with both of which a [`Stamp`] is still right.
const SLEPT: u16 = 4;
/// What is more is a step back, of two days at most.
const STEP_BACK: u16 = u16::MAX - 640;

/// Moves bytes and time between a line and a node: made by [`Node::line`](super::Node::line).
///
/// It makes a new session by itself whenever one ends.
///
/// Dropping it takes the link down: the board's ends are told at once, with `LinkLost`, as of any session that ends, and go on
/// with the node's next driver. The peer finds that nobody answers; [`Driver::leave`] tells it before.
pub struct Driver<'m> {
    rx: &'m mut [u8],
    circuits: Circuits<'m>,
}

/// All of it but the packet that comes in.
pub(super) struct Circuits<'m> {
    link: Link,
    arq: Arq,
    tx: &'m mut [u8],
    /// Circuits of the peer that no channel has, and what they are to be told: see `hear.rs`.
    refusals: &'m mut [u8],
    channels: &'static [Shared],
    common: &'static Common,
    identity: Identity<'m>,
    here: Here,
    /// Imports are opened from this time on.
    open_at: Stamp,
    /// In which stretch of time it was run last.
    stretch: u16,
    ended: Option<Ending>,
    /// What passes through, where it is a bridge, and why the session is being ended by it; 0: it is not.
    #[cfg(feature = "bridge")]
    transit: Option<Transit>,
    #[cfg(feature = "bridge")]
    parting: Reason,
}

impl fmt::Debug for Driver<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (is_up, ended) = (self.is_up(), self.ended());
        f.debug_struct("Driver").field("is_up", &is_up).field("ended", &ended).finish_non_exhaustive()
    }
}

impl<'m> Driver<'m> {
    pub(super) fn new(
        (channels, common, here): (&'static [Shared], &'static Common, Here),
        (config, bytes): (&'static Config, &'m mut [u8]),
        identity: Identity<'m>,
    ) -> Self {
        let (rx, bytes) = bytes.split_at_mut_checked(config.line.rx_len()).unwrap_or_default();
        let (tx, refusals) = bytes.split_at_mut_checked(config.line.tx_len()).unwrap_or_default();
        // Nothing is called here that takes its address: so it is built where the caller wants it, and not moved.
        let mut driver = Self {
            rx,
            circuits: Circuits {
                link: Link::NEW,
                arq: Arq::ZERO,
                tx,
                refusals,
                channels,
                common,
                identity,
                here,
                open_at: Stamp::ZERO,
                stretch: 0,
                ended: None,
                #[cfg(feature = "bridge")]
                transit: None,
                #[cfg(feature = "bridge")]
                parting: Reason::new(0),
            },
        };
        driver.circuits.arq.config = config.line;
        driver
    }

    /// Takes bytes that have come in, as many as there are.
    pub fn feed(&mut self, mut input: &[u8], now: Instant) {
        self.circuits.set_time(now);
        while !input.is_empty() {
            self.circuits.feed(&mut input, self.rx);
        }
    }

    /// Fills `out` with bytes for the line, as many as there are: how many. What is written counts
    /// as sent. Call it whenever the line takes bytes, and when [`Driver::deadline`] is reached.
    pub fn drain(&mut self, out: &mut [u8], now: Instant) -> usize {
        let it = &mut self.circuits;
        it.fill(now);
        it.arq.drain(it.tx, out, &mut || ())
    }
}

/// Where a program never drops it, as in a main loop without end, nothing of this is linked.
impl Drop for Driver<'_> {
    fn drop(&mut self) {
        self.circuits.lose(Ending::here(Reason::LinkLost));
    }
}

impl Circuits<'_> {
    /// What is done now is done at this time.
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn set_time(&mut self, now: Instant) {
        let has_slept = self.slept(now) >= SLEPT;
        self.stretch = now.stretch();
        self.arq.now = Stamp::of(now);
        // Of one that was not run for so long no stamp says any more what is over.
        if has_slept {
            self.fail(Ending::here(Reason::Unresponsive));
        } else if self.link.own == 0 {
            // The node may have had a driver before this one.
            self.fail(Ending::here(Reason::LinkReset));
        }
    }

    /// How many stretches ago it was run last. A step back is no time, unless it is one of days.
    fn slept(&self, now: Instant) -> u16 {
        let stretches = now.stretch().wrapping_sub(self.stretch);
        if stretches > STEP_BACK { 0 } else { stretches }
    }

    /// Time has passed, and packets are filled with what is to be said.
    fn fill(&mut self, now: Instant) {
        self.set_time(now);
        self.tick();
        self.tell();
    }

    /// Takes bytes up to the end of a packet, or all.
    fn feed(&mut self, input: &mut &[u8], rx: &mut [u8]) {
        let came = self.arq.take(input, rx);
        let (Came::Hello(len) | Came::Data(len)) = came else {
            if matches!(came, Came::Broken(_) | Came::Oversize) {
                self.arq.miss();
            }
            return;
        };
        let records = Cursor::new(rx.get(body(len)).unwrap_or_default());
        let is_hello = matches!(came, Came::Hello(_));
        let heard = if is_hello { self.hear_hello(records.rest) } else { self.hear_records(records) };
        if let Err(end) = heard {
            self.fail(end);
        }
    }

    /// The session is over, and another bring-up begins.
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn fail(&mut self, end: Ending) {
        // A peer that has heard our goodbye may say hello before it acknowledges it.
        #[cfg(feature = "bridge")]
        let end = match core::mem::replace(&mut self.parting, Reason::new(0)) {
            reason if reason.get() == 0 => end,
            reason => Ending::here(reason),
        };
        self.lose(end);
        if self.link.is_up {
            self.ended = Some(end);
        }
        self.arq.restart();
        self.link = Link::NEW;
        self.link.own = self.identity.nonces.nonce().max(1);
        self.refusals.fill(0);
        self.open_at = self.arq.now;
    }
}

impl Circuits<'_> {
    /// The circuits are over.
    fn lose(&self, end: Ending) {
        for channel in self.channels {
            with(|cs| channel.borrow(cs).lose(self.here, end));
            wake_end(channel);
            wake_other(channel, self.here);
        }
        #[cfg(feature = "bridge")]
        self.lose_passages(end);
    }
}

impl Channel {
    /// The session of a line is over.
    fn lose(&self, here: Here, end: Ending) {
        if here.has(self.next.get().wrapping_sub(1)) {
            self.next.set(0);
        }
        // Without a circuit an export is on no line.
        let is_here =
            here.has(self.handle.get()) || self.phase.get() == Phase::Idle && !self.has(flag::IMPORT);
        if !is_here {
            return;
        }
        self.clear(flag::REFUSED);
        let is_open = self.phase.get() == Phase::Open;
        if is_open {
            self.die(end);
        }
        // What has ended in order before is over with its session too, if nothing else is to be told of it.
        if is_open || self.has(flag::IN_END) && !self.has(flag::UNTOLD_OUT) {
            self.set(flag::LOST);
        }
        self.idle();
    }
}
