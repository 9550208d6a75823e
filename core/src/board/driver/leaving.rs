//! The orderly goodbye: before a deep sleep, a restart, an update.

use super::{Circuits, Driver};
use crate::board::ending::Ending;
use crate::board::short::Short;
use crate::proto::{Instant, LINK_GOODBYE, Reason};

/// How a session ends that is left.
const GONE: Ending = Ending::here(Reason::Shutdown);

/// A line that is being left, made by [`Driver::leave`].
///
/// Feed and drain it in the driver's place until it [is done](Self::is_done). Dropping it ends the session in any case. A
/// program that goes on with its driver begins a new session.
#[derive(Debug)]
#[must_use = "nothing is said until it is drained"]
pub struct Leaving<'d, 'm> {
    pub(super) driver: &'d mut Driver<'m>,
    until: Instant,
    is_said: bool,
}

impl<'m> Driver<'m> {
    /// Leaves in order: what was sent is still delivered, until then at the latest; after that the peer hears
    /// `Shutdown`, and what has not reached it is told to its senders. With `until` in the past nothing more is delivered than
    /// what has begun: as last words before a restart.
    pub fn leave(&mut self, until: Instant) -> Leaving<'_, 'm> {
        // With what programs have taken, of which the peer is not told otherwise.
        self.circuits.tell_news();
        Leaving { driver: self, until, is_said: false }
    }
}

impl Leaving<'_, '_> {
    /// Takes bytes that have come in.
    pub fn feed(&mut self, input: &[u8], now: Instant) {
        self.driver.feed(input, now);
        self.settle();
    }

    /// Fills `out` with bytes for the line: how many.
    pub fn drain(&mut self, out: &mut [u8], now: Instant) -> usize {
        self.fill(now);
        let it = &mut self.driver.circuits;
        if it.link.is_up { it.arq.drain(it.tx, out, &mut || ()) } else { 0 }
    }

    pub(super) fn fill(&mut self, now: Instant) {
        let it = &mut self.driver.circuits;
        it.set_time(now);
        it.tick();
        if self.is_said && it.arq.is_idle() {
            it.fail(GONE);
        }
        if self.is_said || !it.link.is_up {
            return self.settle();
        }
        let is_over = self.until <= now;
        if !is_over {
            it.tell();
        }
        self.is_said = (is_over || !it.has_unsent()) && it.say_goodbye();
        if self.is_said {
            it.lose(GONE);
        }
    }

    /// A peer that has heard the goodbye may say hello before it acknowledges it: it was we who left.
    fn settle(&mut self) {
        let it = &mut self.driver.circuits;
        if self.is_said && !it.link.is_up {
            it.ended = Some(GONE);
        }
    }

    /// When [`Leaving::drain`] has something to do at the latest, if nothing happens before.
    pub fn deadline(&self, now: Instant) -> Instant {
        let at = self.driver.deadline(now);
        self.due_at().map_or(at, |due| at.min(due))
    }

    /// When the goodbye is said whatever waits.
    pub(super) fn due_at(&self) -> Option<Instant> {
        (!self.is_said).then_some(self.until)
    }

    /// Whether the peer has taken the goodbye, or is not there.
    pub fn is_done(&self) -> bool {
        !self.driver.circuits.link.is_up
    }
}

impl Drop for Leaving<'_, '_> {
    fn drop(&mut self) {
        if self.driver.circuits.link.is_up {
            self.driver.circuits.fail(GONE);
        }
    }
}

impl Circuits<'_> {
    fn say_goodbye(&mut self) -> bool {
        let mut short = Short::new();
        short.link(LINK_GOODBYE);
        // Of one byte, as all reasons of ours.
        short.number(Reason::Shutdown.get().into());
        self.put_frame(&mut short)
    }
}
