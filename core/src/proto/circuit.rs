//! One circuit on one link: what each side may still send, and who owes what.
//!
//! The table of states is in `spec/wire.md`. In short: each side sends one final frame,
//! `DONE` or `DEAD`. A side is done when its own values have ended (`END` sent, or it
//! sends none) and the other side's have ended and been taken. A handle is free when both
//! finals have passed and nothing of it is left in a local queue.

use super::frame::{Accept, DeadFrame, Handle, Open, OpenFlags, Part};
use super::{Blocked, Dead, Fault, Reason, Total};

/// What a value occupies in an inbox beside its bytes.
const CHARGE_EXTRA: u32 = 4;
/// The least that a value is charged, so that empty ones are not free.
const CHARGE_MIN: u32 = 8;

/// What a message of `len` bytes is charged, in bytes of credit.
#[inline]
pub(crate) const fn charge(len: u32) -> u32 {
    let charge = len.saturating_add(CHARGE_EXTRA);
    if charge < CHARGE_MIN { CHARGE_MIN } else { charge }
}

/// The longest message that fits a window, at most `limit`: what is promised can be received.
#[inline]
pub(crate) const fn limit_in(window: u32, limit: u32) -> u32 {
    let fits = if window < CHARGE_MIN { 0 } else { window - CHARGE_EXTRA };
    if limit < fits { limit } else { fits }
}

/// Which way values flow, as this side sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "there are no other directions")]
pub enum Direction {
    /// This side sends.
    Sends,
    /// This side receives.
    Receives,
    /// Both.
    Both,
}

impl Direction {
    /// As the opener's flags say it, for the opener.
    pub const fn of_opener(flags: OpenFlags) -> Self {
        if flags.has(OpenFlags::BOTH) {
            Self::Both
        } else if flags.has(OpenFlags::SENDS) {
            Self::Sends
        } else {
            Self::Receives
        }
    }

    /// For the acceptor of an open with these flags.
    pub const fn of_acceptor(flags: OpenFlags) -> Self {
        match Self::of_opener(flags) {
            Self::Sends => Self::Receives,
            Self::Receives => Self::Sends,
            Self::Both => Self::Both,
        }
    }

    pub(crate) const fn sends(self) -> bool {
        matches!(self, Self::Sends | Self::Both)
    }

    pub(crate) const fn receives(self) -> bool {
        matches!(self, Self::Receives | Self::Both)
    }
}

/// The two tables of a link: circuits that this side opened, and those the peer opened.
///
/// Borrowed, so that a board lends an array and a host a vector that it lets grow. A slot
/// costs 128 bytes at most.
#[derive(Debug)]
pub struct Slots<'a> {
    /// Opened by this side.
    pub mine: &'a mut [Slot],
    /// Opened by the peer; its length should be the `circuits` that the hello promised, or
    /// grow towards it.
    pub theirs: &'a mut [Slot],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Phase {
    #[default]
    Free,
    /// We sent OPEN.
    Opening,
    /// The peer sent OPEN; the node above decides.
    Offered,
    Open,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Final {
    #[default]
    None,
    Done,
    Dead,
    Sent,
}

/// Control frames that a circuit owes its peer: bits, so that no peer can make a queue grow.
pub(crate) mod due {
    pub(crate) const ACCEPT: u8 = 1;
    pub(crate) const CREDIT: u8 = 2;
    pub(crate) const TAKEN: u8 = 4;
    pub(crate) const ASK: u8 = 8;
    pub(crate) const END: u8 = 16;
}

/// The state of one circuit. Filled and read by [`Link`](super::Link) only.
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub struct Slot {
    pub(crate) phase: Phase,
    pub(crate) direction: Direction,
    pub(crate) latest: bool,
    /// Our final frame.
    pub(crate) mine: Final,
    /// The peer's final frame, once it has passed: `Done` or `Dead`.
    pub(crate) theirs: Final,
    /// We gave up; the peer's frames are dropped until its final.
    pub(crate) killed: bool,
    pub(crate) due: u8,
    pub(crate) in_dirty: bool,
    pub(crate) in_ready: bool,
    /// The version of the type in which values come or go; of one that we are opening how many were offered.
    pub(crate) which: u8,

    // Sending half.
    /// END was asked for by the program.
    pub(crate) ending: bool,
    /// END has been written.
    pub(crate) ended: bool,
    pub(crate) granted: Total,
    pub(crate) sent: Total,
    pub(crate) values_out: Total,
    pub(crate) confirmed: Total,
    pub(crate) limit_out: u32,
    /// The peer wants an end after this many more values; 0: no limit.
    pub(crate) values_left: u32,
    pub(crate) out_total: u32,
    pub(crate) out_left: u32,
    /// Bytes of the message under way that the caller holds and that are not yet written.
    pub(crate) out_have: u32,
    pub(crate) ask: Total,

    // Receiving half.
    pub(crate) in_ended: bool,
    pub(crate) in_drained: bool,
    pub(crate) window: u32,
    pub(crate) limit_in: u32,
    pub(crate) promised: Total,
    pub(crate) received: Total,
    pub(crate) consumed: Total,
    pub(crate) values_in: Total,
    pub(crate) in_left: u32,
    pub(crate) taken: Total,
    pub(crate) taken_told: Total,

    pub(crate) dead: Dead,
    pub(crate) detail: Option<&'static str>,
    pub(crate) next_dirty: Handle,
    pub(crate) next_ready: Handle,
}

impl Default for Slot {
    fn default() -> Self {
        Self::new()
    }
}

/// Messages taken in one go.
#[cfg(feature = "std")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// What they took of the input.
    pub(crate) bytes: usize,
    /// Their own bytes.
    pub(crate) payload: u32,
}

impl Slot {
    /// A free slot.
    pub const fn new() -> Self {
        Self {
            phase: Phase::Free,
            direction: Direction::Both,
            latest: false,
            mine: Final::None,
            theirs: Final::None,
            killed: false,
            due: 0,
            in_dirty: false,
            in_ready: false,
            which: 0,
            ending: false,
            ended: false,
            granted: Total::ZERO,
            sent: Total::ZERO,
            values_out: Total::ZERO,
            confirmed: Total::ZERO,
            limit_out: 0,
            values_left: 0,
            out_total: 0,
            out_left: 0,
            out_have: 0,
            ask: Total::ZERO,
            in_ended: false,
            in_drained: false,
            window: 0,
            limit_in: 0,
            promised: Total::ZERO,
            received: Total::ZERO,
            consumed: Total::ZERO,
            values_in: Total::ZERO,
            in_left: 0,
            taken: Total::ZERO,
            taken_told: Total::ZERO,
            dead: Dead::here(Reason::Closed),
            detail: None,
            next_dirty: Handle::NONE,
            next_ready: Handle::NONE,
        }
    }

    /// A free slot of which all is zero, so that a board's table of them takes no flash. It is not one of a [`Link`](super::Link).
    #[cfg(feature = "bridge")]
    pub(crate) const ZERO: Self = Self {
        direction: Direction::Sends,
        dead: Dead::here(Reason::new(0)),
        next_dirty: Handle::new(0),
        next_ready: Handle::new(0),
        ..Self::new()
    };

    /// Whether no circuit uses it.
    pub const fn is_free(&self) -> bool {
        matches!(self.phase, Phase::Free)
    }

    pub(crate) fn opening(open: &Open<'_>) -> Self {
        Self {
            phase: Phase::Opening,
            direction: Direction::of_opener(open.flags),
            latest: open.flags.has(OpenFlags::LATEST),
            which: open.fingerprints.as_slice().len() as u8,
            window: open.credit,
            limit_in: limit_in(open.credit, open.limit),
            promised: Total::new(open.credit),
            // Its message and its end are written with it.
            ending: open.body.is_some(),
            ended: open.body.is_some(),
            values_out: Total::new(open.body.is_some().into()),
            sent: Total::new(open.body.map_or(0, |body| charge(body.len() as u32))),
            ..Self::new()
        }
    }

    pub(crate) fn offered(open: &Open<'_>) -> Result<Self, Fault> {
        if open.credit > Total::MAX_DISTANCE {
            return Err(Fault::BadTotal);
        }
        Ok(Self {
            phase: Phase::Offered,
            direction: Direction::of_acceptor(open.flags),
            latest: open.flags.has(OpenFlags::LATEST),
            granted: Total::new(open.credit),
            limit_out: open.limit,
            values_left: open.values,
            // Its message and its end have come with it.
            in_ended: open.body.is_some(),
            values_in: Total::new(open.body.is_some().into()),
            received: Total::new(open.body.map_or(0, |body| charge(body.len() as u32))),
            ..Self::new()
        })
    }

    pub(crate) fn on_accept(&mut self, accept: &Accept) -> Result<bool, Fault> {
        if self.phase != Phase::Opening || self.is_final() {
            return Err(Fault::WrongState);
        }
        // What was not offered cannot be chosen.
        if accept.which >= self.which {
            return Err(Fault::WrongState);
        }
        // What the open has brought is within what is promised.
        if accept.credit > Total::MAX_DISTANCE || accept.credit < self.sent.ahead_of(Total::ZERO) {
            return Err(Fault::BadTotal);
        }
        self.phase = Phase::Open;
        self.which = accept.which;
        self.granted = Total::new(accept.credit);
        self.limit_out = accept.limit;
        self.settle();
        Ok(!self.killed)
    }

    /// Whether the bytes are for the program; they are dropped when it has given up.
    #[inline]
    pub(crate) fn on_data(&mut self, part: Part, len: u32) -> Result<bool, Fault> {
        if !self.hears() || self.in_ended || !self.direction.receives() {
            return Err(Fault::WrongState);
        }
        let begins = match part {
            Part::Whole => Some(len),
            Part::First(total) if total > len && len > 0 => Some(total),
            Part::First(_) => return Err(Fault::BadLength),
            Part::More => None,
        };
        if let Some(total) = begins {
            if self.in_left != 0 || total > self.limit_in {
                return Err(Fault::BadLength);
            }
            self.received = self.received.plus(charge(total));
            if !self.promised.at_least(self.received) {
                return Err(Fault::OverCredit);
            }
            self.in_left = total - len;
        } else {
            if len == 0 || len > self.in_left {
                return Err(Fault::BadLength);
            }
            self.in_left -= len;
        }
        if self.in_left == 0 {
            self.values_in = self.values_in.plus(1);
        }
        Ok(!self.killed)
    }

    /// Whole messages one after the other at the start of `input`, all with the same head of
    /// one byte and a length of one byte: as many as there are, within what was promised.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) fn on_run(&mut self, input: &[u8]) -> Option<Run> {
        let usual = self.hears() && !self.in_ended && self.direction.receives() && !self.killed;
        if !usual || self.in_left != 0 {
            return None;
        }
        let head = *input.get(1)?;
        let mut run = Run { bytes: 0, payload: 0 };
        let (mut received, mut values) = (self.received, 0);
        while let [len, next, ..] = input[run.bytes..]
            && next == head
            && (1..0x80).contains(&len)
            && run.bytes + usize::from(len) < input.len()
        {
            let payload = u32::from(len) - 1;
            let after = received.plus(charge(payload));
            if payload > self.limit_in || !self.promised.at_least(after) {
                // Whatever is wrong with it is told where frames are taken one by one.
                break;
            }
            received = after;
            values += 1;
            run.payload += payload;
            run.bytes += usize::from(len) + 1;
        }
        if values == 0 {
            return None;
        }
        self.received = received;
        self.values_in = self.values_in.plus(values);
        Some(run)
    }

    /// Whether the grant is news.
    pub(crate) fn on_credit(&mut self, total: Total) -> Result<bool, Fault> {
        self.expect_sending()?;
        if !total.at_least(self.granted) {
            return Ok(false);
        }
        if total.ahead_of(self.sent) > Total::MAX_DISTANCE {
            return Err(Fault::BadTotal);
        }
        let news = total != self.granted && !self.killed;
        self.granted = total;
        Ok(news)
    }

    /// Whether the count is news.
    pub(crate) fn on_taken(&mut self, total: Total) -> Result<bool, Fault> {
        self.expect_sending()?;
        self.confirm(total)
    }

    /// A question may overtake the values that it asks about, so its total is not judged.
    pub(crate) fn on_ask(&self) -> Result<bool, Fault> {
        if !self.hears() || self.in_ended || !self.direction.receives() {
            return Err(Fault::WrongState);
        }
        Ok(!self.killed)
    }

    pub(crate) fn on_end(&mut self, values: Total) -> Result<bool, Fault> {
        if !self.hears() || self.in_ended || !self.direction.receives() {
            return Err(Fault::WrongState);
        }
        if self.in_left != 0 || values != self.values_in {
            return Err(Fault::BadTotal);
        }
        self.in_ended = true;
        Ok(!self.killed)
    }

    /// Whether the program is still to be told.
    pub(crate) fn on_done(&mut self, taken: Total) -> Result<bool, Fault> {
        if self.is_final() || self.phase == Phase::Free {
            return Err(Fault::WrongState);
        }
        // `DONE` answers a `DEAD` that we have really written, or closes both halves in order.
        let answers = self.killed && self.mine == Final::Sent;
        if !answers {
            let out_over = !self.direction.sends() || self.ended;
            let in_over = !self.direction.receives() || self.in_ended;
            let is_open = self.phase == Phase::Open && self.due & due::ACCEPT == 0;
            if !is_open || !out_over || !in_over {
                return Err(Fault::WrongState);
            }
            // Of a lossy circuit only the newest value need be taken.
            if self.direction.sends() && !self.latest && taken != self.values_out {
                return Err(Fault::BadTotal);
            }
            self.confirm(taken)?;
        }
        self.theirs = Final::Done;
        Ok(!self.killed)
    }

    /// Whether the program is still to be told.
    pub(crate) fn on_dead(&mut self, dead: &DeadFrame<'_>) -> Result<bool, Fault> {
        if self.is_final() || self.phase == Phase::Free {
            return Err(Fault::WrongState);
        }
        if self.direction.sends() && !self.killed {
            self.confirm(dead.taken)?;
        }
        self.theirs = Final::Dead;
        self.stop_sending();
        self.settle();
        Ok(!self.killed)
    }

    /// The program wants no more of it.
    pub(crate) fn kill(&mut self, dead: Dead, detail: &'static str) {
        self.killed = true;
        // Who is through before its answer is written was brought all with the open: both are still written.
        let answer = if self.mine == Final::Done { self.due & due::ACCEPT } else { 0 };
        self.stop_sending();
        self.due = answer;
        if self.mine == Final::None {
            // A dead notice is answered by `DONE`, never by another. But `DONE` alone says
            // that all was taken, so a peer that is through in order hears of our giving up.
            self.mine = if self.theirs == Final::Dead { Final::Done } else { Final::Dead };
            self.dead = dead;
            self.detail = Some(detail);
        }
    }

    /// Decides whether our `DONE` is due, after any step that may have completed a half.
    pub(crate) fn settle(&mut self) {
        if self.mine != Final::None || self.phase == Phase::Free {
            return;
        }
        let open = self.phase == Phase::Open;
        let over = match self.theirs {
            Final::Dead => !open || self.in_over(),
            _ => open && self.in_over() && (!self.direction.sends() || self.ended),
        };
        if over {
            self.mine = Final::Done;
        }
    }

    /// Both finals have passed, and the program has nothing more to take. The queue of those
    /// with a message to write may still name the slot; it outlives the circuit.
    pub(crate) fn is_over(&self) -> bool {
        self.mine == Final::Sent
            && self.is_final()
            && !self.in_dirty
            && (self.killed || self.in_over() || self.phase != Phase::Open)
    }

    /// Makes room for the next circuit of this handle.
    pub(crate) fn reset(&mut self, next: Self) {
        *self = Self { in_ready: self.in_ready, next_ready: self.next_ready, ..next };
    }

    /// A message may begin here, now or later.
    #[inline]
    pub(crate) fn can_send(&self) -> bool {
        self.phase == Phase::Open
            && self.direction.sends()
            && !self.ending
            && !self.killed
            && self.theirs == Final::None
    }

    /// What a message of `len` bytes costs, if it can begin now.
    #[inline]
    pub(crate) fn cost(&self, up: bool, len: usize) -> Result<u32, Blocked> {
        if !up || !self.can_send() {
            return Err(Blocked::NotOpen);
        }
        if len > self.limit_out as usize {
            return Err(Blocked::TooLarge(self.limit_out));
        }
        if self.is_busy() {
            return Err(Blocked::Busy);
        }
        let cost = charge(len as u32);
        // One lossy value at a time is under way: it takes the whole window.
        let needed = if self.latest { charge(self.limit_out) } else { cost };
        if self.granted.ahead_of(self.sent) < needed { Err(Blocked::Credit) } else { Ok(cost) }
    }

    /// Something must be written before the next message may begin.
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        self.out_left > 0 || self.due & due::ACCEPT != 0
    }

    /// The peer's final frame has passed.
    #[inline]
    pub(crate) fn is_final(&self) -> bool {
        self.theirs != Final::None
    }

    /// The peer may send more than a final: it knows that the circuit is open.
    #[inline]
    fn hears(&self) -> bool {
        self.phase == Phase::Open && !self.is_final() && self.due & due::ACCEPT == 0
    }

    fn in_over(&self) -> bool {
        !self.direction.receives() || self.in_drained
    }

    fn stop_sending(&mut self) {
        self.out_left = 0;
        self.out_have = 0;
        self.due = 0;
    }

    pub(crate) fn owes(&self) -> bool {
        let end_waits = self.due & due::END != 0 && self.out_left > 0;
        let bits = if end_waits { self.due & !due::END } else { self.due };
        bits != 0 || matches!(self.mine, Final::Done | Final::Dead)
    }

    fn expect_sending(&self) -> Result<(), Fault> {
        if !self.hears() || !self.direction.sends() {
            return Err(Fault::WrongState);
        }
        Ok(())
    }

    fn confirm(&mut self, total: Total) -> Result<bool, Fault> {
        if !total.at_least(self.confirmed) {
            return Ok(false);
        }
        if !self.values_out.at_least(total) {
            return Err(Fault::BadTotal);
        }
        let news = total != self.confirmed && !self.killed;
        self.confirmed = total;
        Ok(news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_costs_what_its_documentation_says() {
        assert!(size_of::<Slot>() <= 128);
    }

    #[cfg(feature = "std")]
    fn receiving(credit: u32) -> Slot {
        Slot {
            phase: Phase::Open,
            direction: Direction::of_opener(OpenFlags::RECEIVES),
            limit_in: 10,
            promised: Total::new(credit),
            ..Slot::new()
        }
    }

    #[cfg(feature = "std")]
    #[test]
    fn a_run_leaves_the_same_account_as_its_messages_one_by_one() {
        const HEAD: u8 = 1;
        let lens = [0_u8, 3, 10, 4];
        let mut input = std::vec::Vec::new();
        for len in lens {
            input.extend_from_slice(&[len + 1, HEAD]);
            input.resize(input.len() + usize::from(len), 0x81);
        }
        let whole = input.len();
        // What ends a run: a cut message, one that is too long, of another circuit, empty, or
        // with a longer head, and the credit.
        let ends: [&[u8]; 6] = [&[], &[5, HEAD, 1], &[12, HEAD], &[2, 9, 1], &[0, HEAD], &[0x81, 1]];
        for end in ends {
            input.truncate(whole);
            input.extend_from_slice(end);
            for (credit, fits) in [(1000, 4), (38, 4), (37, 3), (16, 2), (15, 1), (8, 1), (7, 0)] {
                let (mut one_by_one, mut at_once) = (receiving(credit), receiving(credit));
                for len in &lens[..fits] {
                    assert_eq!(one_by_one.on_data(Part::Whole, u32::from(*len)), Ok(true));
                }
                let run = at_once.on_run(&input);
                let bytes: u8 = lens[..fits].iter().map(|len| len + 2).sum();
                assert_eq!(run.map_or(0, |run| run.bytes), usize::from(bytes), "{credit} {end:?}");
                assert_eq!(run.map_or(0, |run| run.payload), u32::from(bytes) - 2 * fits as u32);
                assert_eq!(at_once.received, one_by_one.received);
                assert_eq!(at_once.values_in, one_by_one.values_in);
            }
        }
    }

    #[cfg(feature = "std")]
    #[test]
    fn nothing_is_a_run_for_a_circuit_that_does_not_simply_receive() {
        let input = [2, 1, 0];
        assert!(receiving(100).on_run(&input).is_some());
        let others = [
            Slot { phase: Phase::Free, ..receiving(100) },
            Slot { direction: Direction::of_opener(OpenFlags::SENDS), ..receiving(100) },
            Slot { in_ended: true, ..receiving(100) },
            Slot { in_left: 1, ..receiving(100) },
            Slot { killed: true, ..receiving(100) },
        ];
        for mut slot in others {
            assert!(slot.on_run(&input).is_none(), "{slot:?}");
        }
    }
}
