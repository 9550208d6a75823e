//! The node's end of its line: bytes, time, and what they mean for the channels.
//!
//! ```text
//! feed    bytes -> Line -> Link -> events -> inboxes
//! drain   channels -> Link -> Line -> bytes
//! ```
//!
//! It runs in one place, a main loop or a task, and enters critical sections only to look at one channel or
//! to copy a part of one message.

mod hear;
mod tell;

use core::fmt;

use critical_section::with;

use super::channel::{Phase, Shared};
use super::config::Config;
use crate::proto::{
    Dead, Fault, Handle, Identity, Instant, Line, LineConfig, Link, LinkConfig, LinkState, NonceSource,
    Place, Sink, Slot, Slots,
};

/// After the end of a session its last words have this long, in milliseconds.
const LAST_WORDS_MS: u32 = 200;
/// What the peer has refused is asked for again after this time, in milliseconds.
const AGAIN_MS: u32 = 1000;

/// What a driver works in: circuits of the link, and packets of the line.
///
/// RAM: 128 bytes for each circuit, and [`Config::line_bytes`].
pub struct Memory<const CIRCUITS: usize, const LINE_BYTES: usize> {
    config: Config,
    slots: [Slot; CIRCUITS],
    bytes: [u8; LINE_BYTES],
}

impl<const CIRCUITS: usize, const LINE_BYTES: usize> Memory<CIRCUITS, LINE_BYTES> {
    const SLOTS: [Slot; CIRCUITS] = [const { Slot::new() }; CIRCUITS];

    /// For a node of this config: `Memory::<{ CONFIG.circuits() }, { CONFIG.line_bytes() }>::new(&CONFIG)`.
    ///
    /// # Panics
    ///
    /// When the sizes are not those of the config.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub const fn new(config: &Config) -> Self {
        assert!(CIRCUITS == config.circuits() && LINE_BYTES == config.line_bytes());
        Self { config: *config, slots: Self::SLOTS, bytes: [0; LINE_BYTES] }
    }

    pub(super) const fn parts(&mut self) -> Parts<'_> {
        Parts { config: &self.config, slots: &mut self.slots, bytes: &mut self.bytes }
    }
}

impl<const CIRCUITS: usize, const LINE_BYTES: usize> fmt::Debug for Memory<CIRCUITS, LINE_BYTES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

/// A memory without its sizes.
pub(super) struct Parts<'m> {
    config: &'m Config,
    slots: &'m mut [Slot],
    bytes: &'m mut [u8],
}

/// Moves bytes and time between a line and a node: made by [`Node::line`](super::Node::line).
///
/// It makes a new session by itself whenever one ends. Dropping it ends nothing: the peer finds that
/// nobody answers.
pub struct Driver<'m> {
    line: Line,
    rx: &'m mut [u8],
    tx: &'m mut [u8],
    circuits: Circuits<'m>,
    nonces: &'m mut dyn NonceSource,
    /// The session is over: the next one begins then.
    again_at: Option<Instant>,
    fault: Option<Fault>,
}

/// Opens the circuit of an import.
pub(super) type Opener = fn(&mut Circuits<'_>, &'static Shared, &mut dyn Sink);

/// The link, its circuits and the channels that they belong to.
pub(super) struct Circuits<'m> {
    link: Link,
    mine: &'m mut [Slot],
    theirs: &'m mut [Slot],
    channels: &'static [Shared],
    /// Imports are opened from this time on.
    open_at: Instant,
}

impl fmt::Debug for Driver<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("link", &self.circuits.link.state()).finish_non_exhaustive()
    }
}

impl<'m> Driver<'m> {
    pub(super) fn new(
        channels: &'static [Shared],
        parts: Parts<'m>,
        identity: Identity,
        nonces: &'m mut dyn NonceSource,
        now: Instant,
    ) -> Self {
        let config: &LineConfig = &parts.config.line;
        let (rx, tx) = parts.bytes.split_at_mut(config.rx_len());
        let (mine, theirs) = parts.slots.split_at_mut(parts.config.imports());
        let link = LinkConfig::line(identity, config, theirs.len() as u32);
        let mut driver = Self {
            line: Line::new(*config),
            rx,
            tx,
            circuits: Circuits {
                link: Link::new(link, nonces.nonce(), now),
                mine,
                theirs,
                channels,
                open_at: now,
            },
            nonces,
            again_at: None,
            fault: None,
        };
        // The node may have had a driver before this one.
        driver.circuits.lose(Dead::here(crate::proto::Reason::LinkReset));
        driver
    }

    /// Takes bytes that have come in, as many as there are.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub fn feed(&mut self, mut input: &[u8], now: Instant) {
        loop {
            let event = match self.line.next(self.rx, &mut input, now) {
                Ok(None) => return,
                // What follows the end of a session is acknowledged still, and no more.
                Ok(Some(_)) | Err(_) if self.again_at.is_some() => continue,
                Ok(Some(frame)) => self.circuits.hear(frame, now),
                Err(fault) => Err(fault),
            };
            if let Err(fault) = event {
                self.fail(fault, now);
            }
        }
    }

    /// Fills `out` with bytes for the line, as many as there are: how many. What is written counts
    /// as sent. Call it whenever the line takes bytes, and when [`Driver::deadline`] is reached.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub fn drain(&mut self, out: &mut [u8], now: Instant) -> usize {
        self.tick(now);
        if self.again_at.is_none() {
            let mut sink = self.line.sink(self.tx);
            self.circuits.tell(&mut sink, now);
        }
        self.line.drain(self.tx, out, now)
    }

    /// When [`Driver::drain`] has something to do at the latest, if nothing happens before.
    pub fn deadline(&self) -> Instant {
        let line = self.line.deadline();
        line.min(self.again_at.unwrap_or_else(|| self.circuits.link.deadline()))
    }

    /// Whether there is a session.
    pub fn is_up(&self) -> bool {
        self.circuits.link.state() == LinkState::Up
    }

    /// Why the last session ended, or why there is none yet.
    pub const fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// What the line has seen in this session.
    pub const fn counts(&self) -> &crate::proto::LineCounts {
        self.line.counts()
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    fn tick(&mut self, now: Instant) {
        if let Some(again_at) = self.again_at {
            // Nobody waits for last words that have been taken.
            if again_at <= now || self.line.is_idle() {
                self.restart(now);
            }
            return;
        }
        let lost = self.line.tick(now).and_then(|()| self.circuits.link.tick(now));
        if let Err(fault) = lost {
            self.fail(self.line.explain(fault), now);
        }
    }

    /// The session is over.
    fn fail(&mut self, fault: Fault, now: Instant) {
        self.fault = Some(fault);
        let at = if matches!(fault, Fault::Goodbye(_)) { Place::Peer } else { Place::Here };
        self.circuits.lose(Dead { reason: fault.reason(), at });
        self.circuits.link.fail(fault);
        let mut sink = self.line.sink(self.tx);
        self.circuits.control(&mut sink);
        // A peer that has started anew does not wait for last words.
        let words = !matches!(fault, Fault::Restarted(_) | Fault::Unacknowledged | Fault::Unresponsive);
        if words && !self.line.is_idle() {
            self.again_at = Some(now.plus_millis(LAST_WORDS_MS));
        } else {
            self.restart(now);
        }
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    fn restart(&mut self, now: Instant) {
        self.again_at = None;
        self.line.restart();
        let circuits = &mut self.circuits;
        circuits.link.restart(self.nonces.nonce(), now);
        for slot in circuits.mine.iter_mut().chain(circuits.theirs.iter_mut()) {
            *slot = Slot::new();
        }
        circuits.open_at = now;
    }
}

impl Circuits<'_> {
    /// Every circuit is dead.
    fn lose(&mut self, dead: Dead) {
        for channel in self.channels {
            with(|cs| {
                let channel = channel.borrow(cs);
                channel.forget_refusal();
                if channel.phase.get() != Phase::Idle {
                    channel.die(dead);
                }
            });
        }
    }

    fn control(&mut self, sink: &mut dyn Sink) {
        let mut slots = Slots { mine: self.mine, theirs: self.theirs };
        self.link.control(&mut slots, sink);
    }

    /// The channel of a circuit.
    fn find(&self, handle: Handle) -> Option<&'static Shared> {
        self.channels.iter().find(|channel| {
            with(|cs| {
                let channel = channel.borrow(cs);
                channel.phase.get() != Phase::Idle && channel.handle.get() == handle.get()
            })
        })
    }
}
