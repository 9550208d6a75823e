//! A channel's circuit, as `spec/wire.md` has it: what a frame does to it, and which is due.
//!
//! The table of states there is the same as for hosts; here a state is a phase and a few bits of the
//! channel itself, so that a board keeps each thing once. Frames that are not checked any more
//! after our own DEAD are dropped.

use critical_section::CriticalSection;

use super::channel::{Channel, Phase, flag};
use super::driver::Heard;
use super::ending::Ending;
use super::lines::handle;
use super::short::Short;
use crate::proto::{
    CONTROL_ACCEPT, CONTROL_ASK, CONTROL_DEAD, CONTROL_DONE, CONTROL_END, KIND_CREDIT, KIND_DATA, KIND_FIRST,
    KIND_MORE, KIND_TAKEN, Reason, Total, charge,
};

/// Stand for the kinds without a code, where those with one are told apart.
pub(super) const CREDIT: u8 = 0x80 | KIND_CREDIT as u8;
pub(super) const TAKEN: u8 = 0x80 | KIND_TAKEN as u8;

/// A part of a message that is to be written now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outgoing {
    pub(super) offset: u16,
    pub(super) len: u16,
    /// Of how long a message.
    pub(super) message: u16,
}

/// The peer has broken the protocol.
const BROKEN: Result<(), Ending> = Err(Ending::BROKEN);

impl Channel {
    /// Takes a frame of the circuit: whether it has taken back one that was only offered.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn hear(&self, frame: &Heard) -> Result<bool, Ending> {
        let (code, [a, _, c]) = (frame.code, frame.numbers);
        if u32::from(self.next.get()) == frame.place + 1 {
            if code != CONTROL_DEAD {
                return Err(Ending::BROKEN);
            }
            self.next.set(0);
            if self.phase.get() == Phase::Idle {
                self.idle();
            }
            return Ok(true);
        }
        match self.phase.get() {
            Phase::Open if !self.has(flag::THEIRS) => self.hear_open(code, a, c)?,
            Phase::Killed if matches!(code, CONTROL_DEAD | CONTROL_DONE) => self.set(flag::THEIRS),
            Phase::Killed => {}
            _ => return Err(Ending::BROKEN),
        }
        Ok(false)
    }

    fn hear_open(&self, code: u8, a: u32, c: u32) -> Result<(), Ending> {
        let total = Total::new(a);
        let may_come = self.receives() && !self.has(flag::IN_END);
        match code {
            CREDIT if self.sends() => {
                // Where the next circuit waits, the number is of that one.
                if self.next.get() == 0 && total.at_least(Total::new(self.granted.get())) {
                    self.granted.set(a);
                }
                let ahead = total.ahead_of(Total::new(self.sent.get()));
                if ahead <= Total::MAX_DISTANCE || !total.at_least(Total::new(self.sent.get())) {
                    Ok(())
                } else {
                    BROKEN
                }
            }
            TAKEN if self.sends() => self.confirm(total),
            CONTROL_ASK if may_come => {
                self.set(flag::ASKED | flag::TELL);
                Ok(())
            }
            CONTROL_END if may_come && self.missing.get() == 0 => {
                let came = self.taken.get().wrapping_add(self.inbox.ready().into());
                // Before anything is set: one that counts wrong is no orderly end.
                if a != came {
                    return BROKEN;
                }
                self.set(flag::IN_END | flag::UNTOLD);
                Ok(())
            }
            CONTROL_DONE => {
                let is_over = (!self.sends() || self.has(flag::OUT_END)) && !may_come;
                let is_all = !self.sends() || self.is_latest() || a == self.begun();
                if !is_over || !is_all {
                    return BROKEN;
                }
                self.confirm(total)?;
                self.set(flag::THEIRS);
                if self.has(flag::MINE) {
                    self.idle();
                }
                Ok(())
            }
            CONTROL_DEAD => {
                self.confirm(Total::new(c))?;
                self.die(Ending::peer(Reason::new(a as u8)));
                self.phase.set(Phase::Answer);
                if self.has(flag::MINE) {
                    self.idle();
                }
                Ok(())
            }
            _ => BROKEN,
        }
    }

    fn confirm(&self, total: Total) -> Result<(), Ending> {
        if !self.sends() {
            return Ok(());
        }
        if !Total::new(self.begun()).at_least(total) {
            return BROKEN;
        }
        if total.at_least(Total::new(self.confirmed.get())) && !self.has(flag::UNTOLD_OUT) {
            self.confirmed.set(total.get());
        }
        Ok(())
    }

    /// A part of a message comes, of so many bytes: whether these are for the program. What it begins, if it is no more
    /// of one, has `total` bytes.
    pub(super) fn hear_data(
        &self,
        cs: CriticalSection<'_>,
        kind: u32,
        total: u32,
        len: u32,
    ) -> Result<bool, Ending> {
        if matches!(self.phase.get(), Phase::Killed | Phase::Gone) {
            return Ok(false);
        }
        if self.phase.get() != Phase::Open || self.has(flag::IN_END | flag::THEIRS) || !self.receives() {
            return Err(Ending::BROKEN);
        }
        let begins = kind != KIND_MORE;
        let missing = if begins { total } else { self.missing.get().into() };
        // A first part leaves something for others, and no part but a whole message is empty. It is asked before
        // anything begins: of a message of no bytes nothing is missing that would be forgotten at the circuit's end.
        let least = if kind == KIND_FIRST { len + 1 } else { len };
        if least > missing || len == 0 && kind != KIND_DATA {
            return Err(Ending::BROKEN);
        }
        if begins {
            if self.missing.get() > 0 || total > self.longest_in() {
                return Err(Ending::BROKEN);
            }
            let received = self.received.get().wrapping_add(charge(total));
            if !Total::new(self.promised.get()).at_least(Total::new(received)) {
                return Err(Ending::BROKEN);
            }
            self.received.set(received);
            self.coming.set(total as u16);
            self.missing.set(total as u16);
            self.inbox.begin(cs, total as u16);
        }
        Ok(true)
    }

    /// Bytes of the part that has been heard of, which is complete with the last of them; none, where meanwhile the
    /// program has given the circuit up.
    pub(super) fn hear_bytes(&self, cs: CriticalSection<'_>, bytes: &[u8]) {
        if self.phase.get() != Phase::Open {
            return;
        }
        let (len, missing) = (self.coming.get(), self.missing.get());
        self.inbox.put(cs, len, len - missing, bytes);
        self.missing.set(missing - bytes.len() as u16);
        if self.missing.get() > 0 {
            return;
        }
        self.inbox.complete();
        if self.is_latest()
            && self.inbox.ready() > 1
            && let Some(older) = self.inbox.first(cs)
        {
            self.inbox.pop(older);
            self.take();
        }
    }

    fn longest_in(&self) -> u32 {
        self.longest.get().into()
    }

    /// Bytes promised from the beginning: all there are, or those of one value where it takes the place of the one before.
    pub(super) fn window(&self) -> u32 {
        let all = self.inbox.capacity();
        if self.is_latest() { all / 2 } else { all }
    }

    /// Writes the frame that is due next: whether there is one.
    pub(super) fn next(&self, tells: u32, short: &mut Short) -> bool {
        let handle = handle(self.handle.get());
        let (code, value) = match self.phase.get() {
            Phase::Killed => return self.next_killed(short),
            Phase::Answer => {
                self.idle();
                (CONTROL_DONE, self.taken_in())
            }
            Phase::Idle if self.next.get() > 0 => return self.accept(short),
            Phase::Open => match self.next_open(tells) {
                Some(next) => next,
                None => return false,
            },
            _ => return false,
        };
        short.circuit(handle, code);
        short.number(value);
        true
    }

    fn next_open(&self, tells: u32) -> Option<(u8, u32)> {
        if self.receives() && !self.has(flag::IN_END) {
            let (window, received) = (self.window(), self.received.get());
            let used = self.inbox.used();
            // Of a latest value there is room for one beside the one that is there.
            let free = window.min(self.inbox.capacity() - used);
            let left = self.promised.get().wrapping_sub(received);
            let news = free.wrapping_sub(left) as i32;
            let is_starving = used == 0 && left < charge(self.longest_in());
            if 2 * news + i32::from(!self.is_answering()) > window as i32 || is_starving {
                let promise = received.wrapping_add(free);
                self.promised.set(promise);
                return Some((CREDIT, promise));
            }
        }
        if self.has(tells) {
            self.clear(flag::TELL | flag::NEWS);
            return Some((TAKEN, self.taken.get()));
        }
        if self.is_at_end() {
            self.set(flag::OUT_END);
            return Some((CONTROL_END, self.begun()));
        }
        let out_over = !self.sends() || self.has(flag::OUT_END);
        let in_over = !self.receives() || self.has(flag::IN_OVER);
        if out_over && in_over && !self.has(flag::MINE) {
            // It says what is taken, and nothing follows it.
            self.clear(flag::TELL | flag::NEWS);
            self.set(flag::MINE);
            if self.has(flag::THEIRS) {
                self.idle();
            }
            return Some((CONTROL_DONE, self.taken_in()));
        }
        None
    }

    /// Whether the peer is being answered: as many values have gone out as have been taken. Then it waits for answers, and as it
    /// has credit for another value, it may have the rest of it later: half as many frames.
    fn is_answering(&self) -> bool {
        self.begun.get().wrapping_add(self.outbox.ready().into()) >= self.taken.get()
    }

    /// Values of the peer that the program has taken.
    fn taken_in(&self) -> u32 {
        if self.receives() { self.taken.get() } else { 0 }
    }

    /// Our DEAD, unless our final frame is written already. A handle of ours is kept until the peer's.
    fn next_killed(&self, short: &mut Short) -> bool {
        let is_said = self.has(flag::MINE);
        if !is_said {
            short.dead(handle(self.handle.get()), Reason::new(self.reason.get()), self.taken_in(), 0);
        }
        if self.has(flag::IMPORT) && !self.has(flag::THEIRS) {
            self.phase.set(Phase::Gone);
        } else {
            self.idle();
        }
        !is_said
    }

    /// Accepts what was offered, as soon as the program knows of the end of the one before.
    fn accept(&self, short: &mut Short) -> bool {
        let place = self.next.get() - 1;
        let handle = handle(place);
        if self.has(flag::DROPPED) {
            self.next.set(0);
            self.idle();
            short.dead(handle, Reason::NoName, 0, 0);
            return true;
        }
        if !self.is_told() {
            return false;
        }
        self.next.set(0);
        self.begin(place);
        self.phase.set(Phase::Open);
        let which = self.next_which.get();
        self.which.set(which);
        self.promised.set(self.window());
        short.circuit(handle, CONTROL_ACCEPT);
        short.number((which >> 4).into());
        short.number(self.window());
        short.number(self.longest_in());
        true
    }

    /// Whether our END is due now.
    fn is_at_end(&self) -> bool {
        if !self.sends() || self.has(flag::OUT_END) {
            return false;
        }
        if self.is_server() && self.has(flag::IN_END) && self.has(flag::UNTOLD) && self.is_served() {
            self.clear(flag::UNTOLD);
            self.set(flag::IN_OVER);
        }
        let partner_left = self.has(flag::IN_OVER) && self.ends_with_partner();
        let is_empty = self.outbox.ready() == 0 || self.has(flag::STALE);
        let is_through = (self.has(flag::ENDING) || partner_left) && is_empty || self.has(flag::ENOUGH);
        is_through && !self.has(flag::SENDING)
    }

    /// The part of a message that may be written now, of at most `most` bytes, if it fits `room` bytes;
    /// what stands before it is put into `head`.
    pub(super) fn next_data(
        &self,
        cs: CriticalSection<'_>,
        head: &mut Short,
        most: u16,
        room: u16,
    ) -> Option<Outgoing> {
        let may_begin = !self.has(flag::STALE | flag::ENOUGH | flag::OUT_END | flag::THEIRS);
        let begins = !self.has(flag::SENDING);
        if self.phase.get() != Phase::Open || begins && !may_begin {
            return None;
        }
        let len = self.outbox.first(cs)?;
        let offset = if begins { 0 } else { self.offset.get() };
        let part = (len - offset).min(most);
        if part > room {
            return None;
        }
        if begins {
            let cost = charge(len.into());
            // One lossy value at a time is under way: it takes the whole window.
            let needed = if self.is_latest() { charge(self.limit.get().into()) } else { cost };
            let left = Total::new(self.granted.get()).ahead_of(Total::new(self.sent.get()));
            if left < needed || left > Total::MAX_DISTANCE {
                return None;
            }
            self.sent.set(self.sent.get().wrapping_add(cost));
            self.begun.set(self.begun.get().wrapping_add(1));
            self.set(flag::SENDING);
            if self.begun.get() == self.values.get() {
                self.set(flag::ENOUGH);
            }
        }
        self.offset.set(offset + part);
        let kind = match offset {
            0 if part == len => KIND_DATA,
            0 => KIND_FIRST,
            _ => KIND_MORE,
        };
        head.head(handle(self.handle.get()).into(), kind);
        if kind == KIND_FIRST {
            head.number(len.into());
        }
        Some(Outgoing { offset, len: part, message: len })
    }

    /// What was to be written now, of a message of so many bytes, is written: whether more may be due by that.
    pub(super) fn data_written(&self, message: u16) -> bool {
        // Meanwhile the program may have given the circuit up.
        if self.outbox.ready() == 0 {
            return false;
        }
        if self.offset.get() < message {
            return true;
        }
        self.clear(flag::SENDING);
        if self.is_latest() && self.outbox.ready() == 1 {
            // Kept for who imports later.
            self.set(flag::STALE);
        } else {
            self.outbox.pop(message);
        }
        // Our END may follow the last one.
        self.outbox.ready() > 0 || self.has(flag::ENDING | flag::ENOUGH | flag::IN_OVER)
    }
}
