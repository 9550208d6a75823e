//! Time: signs of life, silence, and the link's own end.

use super::{Link, LinkState};
use crate::proto::hello::Name;
use crate::proto::{Fault, Instant, QUIET_MAX_MS, Reason};

/// Whose silence was announced.
const OURS: usize = 0;
const THEIRS: usize = 1;

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
        if let Some(millis) = self.quiet_heard.take() {
            self.quiet_until[THEIRS] = now.plus_millis(millis);
        }
        let silent = |millis| self.silent_since().plus_millis(millis) <= now;
        let fault = match self.state {
            LinkState::Hello if silent(self.config.hello_ms) => Fault::NoHello,
            LinkState::Up | LinkState::Leaving if silent(self.peer.dead_ms) => Fault::Unresponsive,
            LinkState::Down(fault) => return Err(fault),
            _ => {
                self.beat_due |= self.is_up() && self.beat_at() <= now;
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
            LinkState::Hello => self.silent_since().plus_millis(self.config.hello_ms),
            LinkState::Down(_) => Instant::NEVER,
            _ => {
                let dead = self.silent_since().plus_millis(self.peer.dead_ms);
                dead.min(self.beat_at())
            }
        }
    }

    /// Silence counts from then: the peer's last sign of life, or the end of a silence that either side has
    /// announced. Who was silent itself has heard nothing meanwhile.
    fn silent_since(&self) -> Instant {
        let [ours, theirs] = self.quiet_until;
        self.last_heard.max(ours).max(theirs)
    }

    /// A sign of life is due then; none to a peer that may not hear it.
    fn beat_at(&self) -> Instant {
        self.last_sent.plus_millis(self.beat_ms()).max(self.quiet_until[THEIRS])
    }

    /// We may be silent for so many milliseconds from now, [`QUIET_MAX_MS`] at most: the peer is told, and is
    /// not taken for dead meanwhile for what we could not hear. 0: not any more. Does nothing before the
    /// link is up.
    pub fn quiet(&mut self, millis: u32, now: Instant) {
        if self.is_up() {
            let millis = millis.min(QUIET_MAX_MS);
            self.quiet_due = Some(millis);
            self.quiet_ms = millis;
            self.quiet_until[OURS] = now.plus_millis(millis);
        }
    }

    /// The peer has just heard of the silence that was announced last: from now on it may last as long.
    pub fn quiet_heard(&mut self, now: Instant) {
        self.quiet_until[OURS] = now.plus_millis(self.quiet_ms);
    }

    /// How many notices of silence were written; `None` while one is still to be.
    pub const fn quiets_written(&self) -> Option<u32> {
        if self.quiet_due.is_none() { Some(self.quiets) } else { None }
    }

    /// Whether the peer has announced a silence that is not over.
    pub fn is_peer_quiet(&self, now: Instant) -> bool {
        let until = self.quiet_heard.map_or(self.quiet_until[THEIRS], |millis| now.plus_millis(millis));
        self.is_up() && until > now
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

    /// Who was turned away because another node was [expected](super::LinkConfig::expects).
    pub const fn stranger(&self) -> Option<Name> {
        self.stranger
    }

    pub(super) fn beat_ms(&self) -> u32 {
        (self.config.hear_ms / 2).max(1)
    }
}
