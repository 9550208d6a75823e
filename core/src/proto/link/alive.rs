//! Time: signs of life, silence, and the link's own end.

use super::{Link, LinkState};
use crate::proto::{Fault, Instant, Reason};

impl Link {
    /// Time has passed. Call it when [`Link::deadline`] is reached, or at any steady pace.
    ///
    /// # Errors
    ///
    /// [`Fault::Unresponsive`] or [`Fault::NoHello`]; the link is down then.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub fn tick(&mut self, now: Instant) -> Result<(), Fault> {
        // The bring-up has one deadline; chatter does not move it.
        if core::mem::take(&mut self.heard) && self.state != LinkState::Hello {
            self.last_heard = now;
        }
        if core::mem::take(&mut self.sent) {
            self.last_sent = now;
        }
        let silent = |millis| self.last_heard.plus_millis(millis) <= now;
        let fault = match self.state {
            LinkState::Hello if silent(self.config.hello_ms) => Fault::NoHello,
            LinkState::Up | LinkState::Leaving if silent(self.peer.dead_ms) => Fault::Unresponsive,
            LinkState::Down(fault) => return Err(fault),
            _ => {
                let quiet = self.last_sent.plus_millis(self.beat_ms()) <= now;
                self.beat_due |= self.is_up() && quiet;
                return Ok(());
            }
        };
        self.fail(fault);
        Err(fault)
    }

    /// When to call [`Link::tick`] at the latest.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub fn deadline(&self) -> Instant {
        match self.state {
            LinkState::Hello => self.last_heard.plus_millis(self.config.hello_ms),
            LinkState::Down(_) => Instant::NEVER,
            _ => {
                let dead = self.last_heard.plus_millis(self.peer.dead_ms);
                dead.min(self.last_sent.plus_millis(self.beat_ms()))
            }
        }
    }

    /// Takes the link down for what the framing below found. Where the link was up,
    /// [`Link::control`] then has one goodbye to write, so that the peer hears why.
    pub fn fail(&mut self, fault: Fault) {
        if matches!(self.state, LinkState::Down(_)) {
            return;
        }
        let left = self.is_left() || matches!(fault, Fault::Goodbye(_));
        self.bye_due = if self.is_up() && !left { Some(fault.reason()) } else { None };
        self.state = LinkState::Down(fault);
    }

    /// Asks the peer for a sign of life now.
    pub fn ping(&mut self) {
        self.ping_due = self.is_up();
    }

    /// Ends the link in order: control frames that are due go first, and nothing follows.
    pub fn goodbye(&mut self, reason: Reason) {
        match self.state {
            LinkState::Up => {
                self.state = LinkState::Leaving;
                self.bye_due = Some(reason);
            }
            LinkState::Hello => {
                self.hello_due = false;
                self.state = LinkState::Down(Fault::Goodbye(reason));
            }
            LinkState::Leaving | LinkState::Down(_) => {}
        }
    }

    /// There is no room for the link: the peer's hello will be answered with ours and a
    /// goodbye. Changes nothing once the link is up.
    pub fn turn_away(&mut self, reason: Reason) {
        self.no_room = Some(reason);
    }

    pub(super) fn beat_ms(&self) -> u32 {
        (self.config.hear_ms / 2).max(1)
    }
}
