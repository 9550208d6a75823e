//! An announced silence: before a flash erase, or whatever else stops the board for a while.

use core::time::Duration;

use super::{Circuits, Driver};
use crate::board::short::Short;
use crate::proto::time::Stamp;
use crate::proto::{Instant, LINK_QUIET, QUIET_MAX_MS};

/// The longest silence that can be announced at a time.
pub const QUIET_MAX: Duration = Duration::from_millis(QUIET_MAX_MS as u64);

/// A silence that is being announced, made by [`Driver::quiet`].
///
/// Feed and drain it in the driver's place until it [is heard](Self::is_heard); then be silent, and come
/// [back](Self::back). Dropped instead, it leaves the peer in the belief that the board is silent, and what the board did not hear
/// counts as the peer's silence.
#[derive(Debug)]
#[must_use = "nothing is announced until it is drained"]
pub struct Quiet<'d, 'm> {
    pub(super) driver: &'d mut Driver<'m>,
    millis: u32,
    /// When the silence is over, and the packet that says so.
    said: Option<(Stamp, u32)>,
    is_heard: bool,
}

impl<'m> Driver<'m> {
    /// Announces that the board may be silent and deaf for `time`, at most [`QUIET_MAX`], which is what a longer one is cut to. Say a
    /// little more than is needed.
    ///
    /// From when the peer has heard of it, it sends nothing that could be lost, and does not take the board for dead until the time
    /// is over. A board that stays away for longer is dead on time.
    ///
    /// ```
    /// # use core::time::Duration;
    /// # use netchan::board::Driver;
    /// # use netchan::proto::Instant;
    /// # fn erase_flash() {}
    /// # fn f(line: &mut Driver<'_>, received: &[u8], now: impl Fn() -> Instant, send: impl Fn(&[u8])) {
    /// let mut quiet = line.quiet(Duration::from_secs(20));
    /// while !quiet.is_heard() {
    ///     quiet.feed(received, now());
    ///     let mut out = [0; 16];
    ///     let n = quiet.drain(&mut out, now());
    ///     send(&out[..n]);
    /// }
    /// erase_flash();
    /// quiet.back(now());
    /// # }
    /// ```
    pub fn quiet(&mut self, time: Duration) -> Quiet<'_, 'm> {
        let millis = time.min(QUIET_MAX).as_micros().div_ceil(1000) as u32;
        Quiet { driver: self, millis, said: None, is_heard: false }
    }
}

impl Quiet<'_, '_> {
    /// Takes bytes that have come in.
    pub fn feed(&mut self, input: &[u8], now: Instant) {
        self.driver.feed(input, now);
        self.note_heard();
    }

    /// Called on every way that bytes come in by.
    fn note_heard(&mut self) {
        let arq = &self.driver.circuits.arq;
        if let Some((until, packet)) = &mut self.said
            && !self.is_heard
            && arq.is_acknowledged(*packet)
        {
            // Its time begins to count when the peer's does, however long the notice took.
            *until = arq.now.plus_millis(self.millis);
            self.is_heard = true;
        }
    }

    /// Fills `out` with bytes for the line: how many.
    pub fn drain(&mut self, out: &mut [u8], now: Instant) -> usize {
        self.fill(now);
        let it = &mut self.driver.circuits;
        it.arq.drain(it.tx, out, &mut || ())
    }

    pub(super) fn fill(&mut self, now: Instant) {
        let it = &mut self.driver.circuits;
        it.set_time(now);
        it.tick();
        self.note_heard();
        let it = &mut self.driver.circuits;
        if !it.link.is_up {
            // What was said to a session is not known to the next.
            self.said = None;
        }
        if self.said.is_some() {
            // Nothing follows, so that there is room for the word that we are back.
            return;
        }
        if it.link.is_up && it.say_quiet(self.millis) {
            self.said = Some((it.arq.now.plus_millis(self.millis), it.arq.open_packet()));
        } else {
            it.tell();
        }
    }

    /// When [`Quiet::drain`] has something to do at the latest, if nothing happens before.
    pub fn deadline(&self, now: Instant) -> Instant {
        self.driver.deadline(now)
    }

    /// Whether the silence may begin: the peer has acknowledged the notice, or there is no session. It is so within twice the line's
    /// dead-time, if the peer is not silent itself.
    pub fn is_heard(&self) -> bool {
        let it = &self.driver.circuits;
        !it.link.is_up || self.said.is_some_and(|(_, packet)| it.arq.is_acknowledged(packet))
    }

    /// The board is back: the session goes on, and the peer is told that it need not wait any longer.
    pub fn back(self, now: Instant) {
        let it = &mut self.driver.circuits;
        if !it.link.is_up {
            return;
        }
        if let Some((until, _)) = self.said {
            // That nothing was heard is excused for as long as it was announced, and no longer.
            it.arq.now = Stamp::of(now).min(until);
            it.arq.resume();
            it.set_time(now);
            it.tick();
            // Where that cannot be said the peer goes on when the announced time is over.
            it.say_quiet(0);
        }
    }
}

impl Circuits<'_> {
    fn say_quiet(&mut self, millis: u32) -> bool {
        let mut short = Short::new();
        short.link(LINK_QUIET);
        short.number(millis);
        self.put_frame(&mut short)
    }
}
