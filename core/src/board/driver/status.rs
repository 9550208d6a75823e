//! What a main loop asks: for its watchdog, and before it sleeps. What is not asked costs nothing.

use core::time::Duration;

use super::{Circuits, Driver, SLEPT};
use crate::board::channel::{Channel, Phase, flag};
use crate::board::lines::Here;
use crate::board::section::with;
use crate::proto::time::Stamp;
use crate::proto::{Dead, Instant};

impl Driver<'_> {
    /// When [`Driver::drain`] has something to do at the latest, if nothing happens before: no byte comes, and no end does
    /// anything. So long a board may sleep that is woken by its UART.
    ///
    /// While there is a session this is never further away than the next sign of life, an eighth of the line's dead-time. A board that
    /// has slept for a quarter of an hour or more has no session any more, and something to do at once.
    pub fn deadline(&self, now: Instant) -> Instant {
        if self.circuits.slept(now) >= SLEPT {
            return now;
        }
        self.circuits.next_at().map_or(Instant::NEVER, |at| at.near(now))
    }

    /// Whether there is a session.
    pub fn is_up(&self) -> bool {
        self.circuits.link.is_up
    }

    /// Why the last session ended.
    pub fn ended(&self) -> Option<Dead> {
        self.circuits.ended.map(Dead::from)
    }

    /// How long nothing was heard from the peer; `None` without a session.
    ///
    /// Where the board has slept for a quarter of an hour or more this is how long at least. The peer is heard four times in its dead-time at least. What is heard proves its line's loop, and not its program.
    pub fn silence(&self, now: Instant) -> Option<Duration> {
        let it = &self.circuits;
        let slept = it.slept(now);
        if it.link.is_up && slept >= SLEPT {
            // A stretch is half a second longer, and of seconds nothing is divided.
            return Some(Duration::from_secs(u64::from(slept - 1) * 268));
        }
        // A time before the last byte is no silence. 32 bits are enough, and spare a board a division of 64.
        let micros = it.arq.last_in().micros_until(Stamp::of(now)).max(0);
        it.link.is_up.then(|| Duration::from_micros(u64::from(micros.unsigned_abs())))
    }

    /// Whether there is something that the peer has not acknowledged yet: values in outboxes, and the answers that the
    /// protocol owes. Without a session there is nothing.
    ///
    /// A board that is about to switch its line off waits until there is none. How long that takes is up to the peer, whose program may
    /// take no values, so it should not wait for ever.
    pub fn has_unsent(&self) -> bool {
        self.circuits.link.is_up && self.circuits.has_unsent()
    }
}

impl Circuits<'_> {
    /// When something is to be done, if nothing happens before.
    pub(super) fn next_at(&self) -> Option<Stamp> {
        // What was refused is asked for again. Once it may be, it waits for nothing but room.
        let open = (!self.open_at.is_over(self.arq.now)).then_some(self.open_at);
        [self.arq.deadline(), self.deadline(), open].into_iter().flatten().reduce(Stamp::min)
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.arq.is_idle()
            || self.arq.has_output()
            || self.refusals.iter().any(|&due| due != 0)
            || self.channels.iter().any(|channel| with(|cs| channel.borrow(cs).has_unsent(self.here)))
            || {
                #[cfg(feature = "bridge")]
                let passing = self.has_unsent_passages();
                #[cfg(not(feature = "bridge"))]
                let passing = false;
                passing
            }
    }
}

impl Channel {
    fn has_unsent(&self, here: Here) -> bool {
        match self.phase.get() {
            _ if !self.is_at(here) => false,
            Phase::Killed | Phase::Answer => true,
            Phase::Open => {
                let is_ending = self.has(flag::ENDING) && !self.has(flag::OUT_END);
                self.has(flag::NEWS | flag::TELL)
                    || is_ending
                    || self.outbox.ready() > 0 && !self.has(flag::STALE)
            }
            _ => false,
        }
    }
}
