//! A circuit that passes through: its two accounts, and what has come from one line and waits for the other.
//!
//! It is what [`Splice`](crate::proto::Splice) is on hosts, over the accounts of a link without the link. Each end is touched
//! by the driver of its own line only, but for what it is to do next (`todo`), which the other one notes; so between two critical sections a
//! driver finds its end as it has left it. What waits stays in its room until both ends are over, so that a death that comes while a
//! part is being copied spoils nothing: the part goes out whole, and the DEAD behind it.

use critical_section::CriticalSection;

use super::super::circuit::{CREDIT, TAKEN};
use super::super::driver::Heard;
use super::super::ending::Ending;
use super::super::lines::{Here, Place, handle};
use super::super::ring::{Byte, Ring};
use super::super::short::Short;
use crate::proto::{
    Accept, Blocked, CONTROL_ACCEPT, CONTROL_ASK, CONTROL_DEAD, CONTROL_DONE, CONTROL_END, CircuitPhase,
    Dead, DeadFrame, Direction, Fault, Final, KIND_DATA, KIND_FIRST, KIND_MORE, Open, OpenFlags, Part,
    Place as At, Reason, Slot, Total, charge, due, limit_in,
};

/// What stands before each message that waits: its length.
const LEN_BYTES: u16 = 2;
/// Longest text of a death that is passed on, in bytes.
pub(in crate::board) const DETAIL_MAX: usize = 64;

mod todo {
    pub(super) const ACCEPT: u8 = 1;
    pub(super) const TAKEN: u8 = 2;
    pub(super) const ASK: u8 = 4;
    pub(super) const DRAIN: u8 = 8;
    pub(super) const KILL: u8 = 16;
}

/// The end that the neighbour has opened; the other one is opened by this node.
pub(in crate::board) const LEFT: usize = 0;
pub(in crate::board) const RIGHT: usize = 1;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Free,
    /// What is to be asked for on the right is being put into its room.
    Taken,
    /// It is there.
    Asked,
    /// The right has been asked.
    Open,
}

/// A circuit that passes through. All of it is zero while there is none.
pub(in crate::board) struct Passage {
    stage: Stage,
    /// Bytes in its room of what the right is to be asked for, or of what a refusal says.
    text_len: u8,
    ends: [End; 2],
    /// By the end that they come from.
    flows: [Flow; 2],
}

/// One of its ends.
struct End {
    todo: u8,
    line: u8,
    which: u8,
    /// It has a handle on its line.
    is_used: bool,
    /// What comes from it concerns nobody any more.
    is_closed: bool,
    is_done: bool,
    is_drained: bool,
    place: Place,
    /// Id of the node on that line; 0 where it has none.
    node: u32,
    limit: u32,
    taken: Total,
    ask: Total,
    dead: Dead,
    slot: Slot,
}

/// Values that come from one end and go to the other.
struct Flow {
    ring: Ring,
    /// Bytes that have gone on, as they are charged, and that are not granted again yet.
    freed: u32,
    /// Values that have gone on.
    values: Total,
    has_ended: bool,
    is_end_told: bool,
}

/// What is due on an end.
pub(in crate::board) enum Due {
    Nothing,
    /// The frame is in the `Short`.
    Frame,
    /// The frame is in the `Short`, and so many bytes of its room follow.
    Text(u8),
}

impl Passage {
    /// A free one.
    pub(super) const fn new() -> Self {
        Self {
            stage: Stage::Free,
            text_len: 0,
            ends: [const { End::ZERO }; 2],
            flows: [Flow::new(), Flow::new()],
        }
    }

    pub(in crate::board) fn is_used(&self) -> bool {
        self.stage != Stage::Free
    }

    /// Takes it for a circuit: whether it was free.
    pub(in crate::board) fn take(&mut self) -> bool {
        let is_free = self.stage == Stage::Free;
        if is_free {
            self.stage = Stage::Taken;
        }
        is_free
    }

    /// It is not needed after all.
    pub(in crate::board) fn give_back(&mut self) {
        self.stage = Stage::Free;
    }

    /// What is promised to the right for a circuit with so much room: the credit and the limit of the onward OPEN.
    pub(in crate::board) fn promise(open: &Open<'_>, room: usize) -> (u32, u32) {
        let [_, from_right] = windows(open.flags, room);
        let window = window(from_right, open.flags, open.limit.min(open.credit));
        let credit = window.min(Total::MAX_DISTANCE);
        (credit, limit_in(credit, open.limit))
    }

    /// The accounts of both ends of a circuit.
    pub(in crate::board) fn slots(open: &Open<'_>, room: usize) -> Result<[Slot; 2], Fault> {
        let (credit, limit) = Self::promise(open, room);
        Ok([Slot::offered(open)?, Slot::opening(&Open { credit, limit, ..*open })])
    }

    /// The neighbour on the left has opened it, and the right is to be asked with the `text_len` bytes that are in its room. All of
    /// it is much for one critical section, and nobody else touches it before the last step: so each end is made in a step of its own.
    pub(in crate::board) fn begin_end(&mut self, side: usize, slot: Slot, (place, node): (Place, u32)) {
        if let Some(end) = self.ends.get_mut(side) {
            end.reset();
            (end.place, end.node, end.line) = (place, node, (place >> 8) as u8);
            end.is_used = side == LEFT;
            end.slot = slot;
        }
    }

    /// The last step.
    pub(in crate::board) fn begin(&mut self, flags: OpenFlags, room: &'static [Byte], text_len: u8) {
        let [from_left, from_right] = windows(flags, room.len());
        let (first, second) = room.split_at_checked(from_left).unwrap_or_default();
        let [left, right] = &mut self.flows;
        left.begin(first);
        right.begin(second.get(..from_right).unwrap_or_default());
        (self.stage, self.text_len) = (Stage::Asked, text_len);
    }

    /// Which end has this handle of a line.
    pub(in crate::board) fn side_of(&self, place: u32) -> Option<usize> {
        if self.stage == Stage::Free {
            return None;
        }
        self.ends.iter().position(|end| end.is_used && u32::from(end.place) == place)
    }

    /// Whether an end is on this line.
    pub(in crate::board) fn is_on(&self, here: Here, side: usize) -> bool {
        self.stage != Stage::Free
            && self.stage != Stage::Taken
            && self.ends.get(side).is_some_and(|end| end.is_used && here.has(end.place))
    }

    /// How long what is to be asked for on this line is, if it is to be.
    pub(in crate::board) fn wants_open(&self, here: Here) -> Option<u8> {
        let is_here = here.index() == usize::from(self.ends[RIGHT].line);
        (self.stage == Stage::Asked && is_here).then_some(self.text_len)
    }

    /// The right is being asked.
    pub(in crate::board) fn opened(&mut self, place: Place) {
        self.stage = Stage::Open;
        self.ends[RIGHT].place = place;
        self.ends[RIGHT].is_used = true;
    }

    /// The right has been asked: its room is free.
    pub(in crate::board) fn asked(&mut self) {
        self.text_len = 0;
    }

    /// The right cannot be asked.
    pub(in crate::board) fn refuse(&mut self, reason: Reason) {
        self.text_len = 0;
        self.lose(RIGHT, Dead::here(reason));
    }

    /// The line of an end is down, or will not have it: the other end is told.
    fn lose(&mut self, side: usize, dead: Dead) {
        let [left, right] = &mut self.ends;
        let (own, other) = if side == LEFT { (left, right) } else { (right, left) };
        own.is_closed = true;
        own.todo = 0;
        let at = own.place(dead.at);
        if self.stage == Stage::Asked {
            // The right has not heard of it, and will not.
            self.stage = Stage::Open;
            self.text_len = 0;
            if side == LEFT {
                other.is_closed = true;
            }
        }
        if !other.is_closed {
            other.dead = Dead { at, ..dead };
            other.todo = todo::KILL;
        }
    }

    /// The session of a line is over.
    pub(in crate::board) fn lose_line(&mut self, here: Here, end: Ending) {
        for side in [LEFT, RIGHT] {
            let is_asked = side == RIGHT && self.wants_open(here).is_some();
            if !self.is_on(here, side) && !is_asked {
                continue;
            }
            if self.ends.get(side).is_some_and(|end| !end.is_closed) {
                self.text_len = 0;
                self.lose(side, end.into());
            }
            if let Some(end) = self.ends.get_mut(side) {
                end.is_used = false;
                end.slot = Slot::ZERO;
            }
        }
        self.rest();
    }

    /// The line on which the text of a refusal is told that comes on this side, where there is room for it: that of the OPEN, which
    /// was answered by it.
    pub(in crate::board) fn text_goes_to(&self, side: usize) -> Option<u8> {
        let end = self.ends.get(side)?;
        let is_refused = end.slot.phase == CircuitPhase::Opening && !end.slot.killed;
        is_refused.then_some(self.ends[LEFT].line)
    }

    /// Takes a frame of the circuit on this side. What it notes for the other one is the driver's there.
    pub(in crate::board) fn hear(
        &mut self,
        side: usize,
        frame: &Heard,
        text_len: usize,
    ) -> Result<(), Ending> {
        let (code, [a, b, c]) = (frame.code, frame.numbers);
        let total = Total::new(a);
        let [left, right] = &mut self.ends;
        let (own, other) = if side == LEFT { (left, right) } else { (right, left) };
        let [from_left, from_right] = &mut self.flows;
        let (from_own, from_other) =
            if side == LEFT { (from_left, from_right) } else { (from_right, from_left) };
        let is_opening = own.slot.phase == CircuitPhase::Opening;
        match code {
            CONTROL_ACCEPT => {
                if a > 3 {
                    return Err(Ending::BROKEN);
                }
                let accept = Accept { which: a as u8, credit: b, limit: c };
                if own.slot.on_accept(&accept).map_err(broken)? {
                    other.which = a as u8;
                    other.limit = own.slot.limit_out;
                    other.todo |= todo::ACCEPT;
                }
            }
            CREDIT => {
                // What it is good for is looked up when data are to be written.
                own.slot.on_credit(total).map_err(broken)?;
            }
            TAKEN => {
                if own.slot.on_taken(total).map_err(broken)? {
                    other.taken = total;
                    other.todo |= todo::TAKEN;
                }
            }
            CONTROL_ASK => {
                if own.slot.on_ask().map_err(broken)? {
                    other.ask = total;
                    other.todo |= todo::ASK;
                }
            }
            CONTROL_END => {
                if own.slot.on_end(total).map_err(broken)? {
                    if own.is_drained {
                        // The other side was through before: of a circuit of so many values it knows the last.
                        drained(&mut own.slot);
                    }
                    from_own.has_ended = true;
                }
            }
            CONTROL_DONE => {
                if own.slot.on_done(total).map_err(broken)? {
                    own.is_done = true;
                    own.close_if_through();
                    // The far end has taken all: so has this node, as the other side sees it.
                    if other.slot.direction.receives() {
                        other.taken = from_other.values;
                        other.todo |= todo::DRAIN;
                    }
                }
            }
            CONTROL_DEAD => {
                let dead =
                    Dead { reason: Reason::new(a as u8), at: if b == 0 { At::Peer } else { At::Node(b) } };
                let news = own.slot.on_dead(&DeadFrame { dead, taken: Total::new(c), detail: "" });
                if news.map_err(broken)? {
                    drained(&mut own.slot);
                    other.taken = Total::new(c);
                    self.lose(side, dead);
                    // Its room is free before it is open, and the text of a refusal goes there.
                    self.text_len = if is_opening { text_len.min(DETAIL_MAX) as u8 } else { 0 };
                }
            }
            _ => return Err(Ending::BROKEN),
        }
        self.rest();
        Ok(())
    }

    /// A part of a message comes, of so many bytes: whether these are to be kept. What it begins, if it is no more of
    /// one, has `total` bytes.
    pub(in crate::board) fn hear_data(
        &mut self,
        cs: CriticalSection<'_>,
        side: usize,
        (kind, total, len): (u32, u32, u32),
    ) -> Result<bool, Ending> {
        let (Some(end), Some(flow)) = (self.ends.get_mut(side), self.flows.get_mut(side)) else {
            return Ok(false);
        };
        let part = match kind {
            KIND_DATA => Part::Whole,
            KIND_FIRST => Part::First(total),
            _ => Part::More,
        };
        let is_kept = end.slot.on_data(part, len).map_err(broken)? && !end.is_closed;
        if is_kept && kind != KIND_MORE {
            flow.ring.append(cs, &(total as u16).to_le_bytes());
        }
        Ok(is_kept)
    }

    /// Bytes of the part that has been heard of.
    pub(in crate::board) fn hear_bytes(&self, cs: CriticalSection<'_>, side: usize, bytes: &[u8]) {
        if let Some(flow) = self.flows.get(side) {
            flow.ring.append(cs, bytes);
        }
    }

    /// Writes the frame that is due on this side, for which there is room: with a text of at most `room` bytes.
    pub(in crate::board) fn next(&mut self, side: usize, short: &mut Short, room: usize) -> Due {
        let text_len = usize::from(self.text_len);
        let [left, right] = &mut self.ends;
        let end = if side == LEFT { left } else { right };
        let [from_left, from_right] = &mut self.flows;
        let (from_own, from_other) =
            if side == LEFT { (from_left, from_right) } else { (from_right, from_left) };
        let todo = core::mem::take(&mut end.todo);
        let slot = &mut end.slot;
        if todo & todo::KILL != 0 {
            if text_len > room {
                end.todo = todo;
                return Due::Nothing;
            }
            end.is_closed = true;
            taken(slot, end.taken, false);
            slot.kill(end.dead, "");
        }
        if !slot.killed {
            if todo & todo::ACCEPT != 0 && slot.phase == CircuitPhase::Offered && !slot.is_final() {
                slot.phase = CircuitPhase::Open;
                slot.which = end.which;
                let window = window_of(slot, from_own.ring.capacity(), end.limit);
                slot.window = window;
                slot.limit_in = limit_in(window, end.limit);
                slot.promised = Total::new(window);
                slot.due |= due::ACCEPT;
            }
            if todo & todo::ASK != 0 && slot.can_send() {
                slot.ask = end.ask;
                slot.due |= due::ASK;
            }
            if todo & todo::TAKEN != 0 {
                taken(slot, end.taken, true);
            }
            let freed = core::mem::take(&mut from_own.freed);
            if freed > 0 {
                slot.consumed = slot.consumed.plus(freed);
                grant(slot);
            }
            if todo & todo::DRAIN != 0 {
                taken(slot, end.taken, false);
                drained(slot);
                end.is_drained = true;
                end.is_closed |= end.is_done;
            }
            let may_end = from_other.has_ended && !from_other.is_end_told && from_other.ring.used() == 0;
            if may_end && !end.is_closed && slot.out_left == 0 {
                from_other.is_end_told = true;
                if slot.can_send() {
                    slot.ending = true;
                    slot.due |= due::END;
                }
            }
        }
        let due = end.write(short, text_len);
        if matches!(due, Due::Text(_)) {
            self.text_len = 0;
        }
        self.rest();
        due
    }

    /// The part of a message that may be written now on this side, of at most `most` bytes, if it fits `room` bytes; what
    /// stands before it is put into `head`.
    pub(in crate::board) fn next_data(
        &mut self,
        cs: CriticalSection<'_>,
        side: usize,
        head: &mut Short,
        (most, room): (u16, u16),
    ) -> Option<u16> {
        let flow = self.flows.get_mut(1 - side)?;
        let end = self.ends.get_mut(side)?;
        let slot = &mut end.slot;
        if end.todo & todo::KILL != 0 || end.is_closed || slot.killed {
            return None;
        }
        if slot.out_left > 0 {
            let part = slot.out_left.min(flow.ring.used()).min(most.into());
            if part == 0 || part > u32::from(room) {
                return None;
            }
            head.head(handle(end.place).into(), KIND_MORE);
            return Some(part as u16);
        }
        if flow.ring.used() < LEN_BYTES.into() {
            return None;
        }
        let mut len = [0; LEN_BYTES as usize];
        flow.ring.peek(cs, 0, &mut len);
        let len = u32::from(u16::from_le_bytes(len));
        let here = flow.ring.used() - u32::from(LEN_BYTES);
        let part = len.min(here).min(most.into());
        if part > room.into() || part == 0 && len > 0 {
            return None;
        }
        let cost = match slot.cost(true, len as usize) {
            Ok(cost) => cost,
            Err(Blocked::TooLarge(_)) => {
                // Only a peer that breaks the promise of its own limit brings us here.
                end.dead = Dead::here(Reason::TooLarge);
                end.todo = todo::KILL;
                return None;
            }
            Err(_) => return None,
        };
        slot.sent = slot.sent.plus(cost);
        slot.values_out = slot.values_out.plus(1);
        if slot.values_left == 1 {
            slot.ending = true;
            slot.due |= due::END;
            flow.is_end_told = true;
        }
        slot.values_left = slot.values_left.saturating_sub(1);
        flow.ring.discard(LEN_BYTES);
        flow.freed += cost - len;
        slot.out_total = len;
        slot.out_left = len;
        let kind = if part == len { KIND_DATA } else { KIND_FIRST };
        head.head(handle(end.place).into(), kind);
        if kind == KIND_FIRST {
            head.number(len);
        }
        Some(part as u16)
    }

    /// Bytes of the part that is being written.
    pub(in crate::board) fn read(&self, cs: CriticalSection<'_>, side: usize, offset: u16, out: &mut [u8]) {
        if let Some(flow) = self.flows.get(1 - side) {
            flow.ring.peek(cs, offset, out);
        }
    }

    /// The part is written: its room is free.
    pub(in crate::board) fn written(&mut self, side: usize, part: u16) {
        let (Some(flow), Some(end)) = (self.flows.get_mut(1 - side), self.ends.get_mut(side)) else { return };
        flow.ring.discard(part);
        flow.freed += u32::from(part);
        end.slot.out_left -= u32::from(part).min(end.slot.out_left);
        if end.slot.out_left == 0 {
            flow.values = flow.values.plus(1);
        }
    }

    /// Whether something waits that the neighbour on this line has to be told.
    pub(in crate::board) fn has_unsent(&self, here: Here) -> bool {
        let [from_left, from_right] = &self.flows;
        [(LEFT, from_right), (RIGHT, from_left)].into_iter().any(|(side, flow)| {
            let Some(end) = self.ends.get(side) else { return false };
            let is_owed = end.todo != 0 || end.slot.owes() || !end.is_closed && flow.ring.used() > 0;
            self.is_on(here, side) && is_owed
        })
    }

    /// Ends that are over give their handles back, and with both of them the passage is free.
    fn rest(&mut self) {
        for end in &mut self.ends {
            if end.is_used && end.slot.is_over() {
                end.is_used = false;
                end.is_closed = true;
            }
        }
        let is_over = self.ends.iter().all(|end| !end.is_used);
        if self.stage == Stage::Open && is_over {
            self.stage = Stage::Free;
        }
    }
}

impl Flow {
    fn begin(&mut self, room: &'static [Byte]) {
        self.ring.clear();
        self.ring.bind(room);
        (self.freed, self.values) = (0, Total::ZERO);
        (self.has_ended, self.is_end_told) = (false, false);
    }

    const fn new() -> Self {
        Self { ring: Ring::new(), freed: 0, values: Total::ZERO, has_ended: false, is_end_told: false }
    }
}

impl End {
    const ZERO: Self = Self {
        todo: 0,
        line: 0,
        which: 0,
        is_used: false,
        is_closed: false,
        is_done: false,
        is_drained: false,
        place: 0,
        node: 0,
        limit: 0,
        taken: Total::ZERO,
        ask: Total::ZERO,
        dead: Dead::here(Reason::new(0)),
        slot: Slot::ZERO,
    };

    /// A place that this end's neighbour speaks of, as the other end's is to hear it.
    fn place(&self, at: At) -> At {
        match at {
            At::Peer if self.node != 0 => At::Node(self.node),
            At::Peer => At::Here,
            at => at,
        }
    }

    /// All but what is set anew in any case.
    fn reset(&mut self) {
        (self.todo, self.which, self.limit) = (0, 0, 0);
        (self.is_closed, self.is_done, self.is_drained) = (false, false, false);
        (self.taken, self.ask) = (Total::ZERO, Total::ZERO);
    }

    fn close_if_through(&mut self) {
        self.is_closed |= self.is_done && (self.is_drained || !self.slot.direction.receives());
    }

    /// Writes the frame that is due.
    fn write(&mut self, short: &mut Short, text_len: usize) -> Due {
        let (slot, handle) = (&mut self.slot, handle(self.place));
        if !self.is_used {
            return Due::Nothing;
        }
        if slot.mine == Final::Dead {
            let place = match slot.dead.at {
                At::Here | At::Peer => 0,
                At::Node(id) => id,
            };
            short.circuit(handle, CONTROL_DEAD);
            short.byte(slot.dead.reason.get());
            short.number(place);
            short.number(slot.taken.get());
            short.number(text_len as u32);
            slot.mine = Final::Sent;
            return Due::Text(text_len as u8);
        }
        // From the lowest, which is ACCEPT, to END, which waits for the message before it.
        let owed = if slot.out_left > 0 { slot.due & !due::END } else { slot.due };
        let bit = owed & owed.wrapping_neg();
        slot.due &= !bit;
        let (code, value) = match bit {
            due::ACCEPT => {
                short.circuit(handle, CONTROL_ACCEPT);
                short.number(slot.which.into());
                short.number(slot.promised.get());
                short.number(slot.limit_in);
                return Due::Frame;
            }
            due::CREDIT => (CREDIT, slot.promised),
            due::TAKEN => {
                slot.taken_told = slot.taken;
                (TAKEN, slot.taken)
            }
            due::ASK => (CONTROL_ASK, slot.ask),
            due::END => {
                slot.ended = true;
                slot.settle();
                (CONTROL_END, slot.values_out)
            }
            _ if slot.mine == Final::Done => {
                slot.mine = Final::Sent;
                (CONTROL_DONE, slot.taken)
            }
            _ => return Due::Nothing,
        };
        short.circuit(handle, code);
        short.number(value.get());
        Due::Frame
    }
}

fn broken(_: Fault) -> Ending {
    Ending::BROKEN
}

/// The bytes of room for what comes from the left, and from the right.
fn windows(flags: OpenFlags, room: usize) -> [usize; 2] {
    match Direction::of_opener(flags) {
        Direction::Sends => [room, 0],
        Direction::Receives => [0, room],
        Direction::Both => [room / 2, room / 2],
    }
}

/// What is promised where there is so much room. Of latest values no more than one is on its way.
fn window(room: usize, flags: OpenFlags, limit: u32) -> u32 {
    let room = room as u32;
    if flags.has(OpenFlags::LATEST) { room.min(charge(limit)) } else { room }
}

fn window_of(slot: &Slot, room: u32, limit: u32) -> u32 {
    match slot.direction.receives() {
        false => 0,
        true if slot.latest => room.min(charge(limit)),
        true => room,
    }
}

/// The far end's program has taken so many values.
#[cfg_attr(not(feature = "std"), inline(never))]
fn taken(slot: &mut Slot, total: Total, now: bool) {
    let is_open = slot.phase == CircuitPhase::Open && slot.direction.receives();
    if !is_open || !total.at_least(slot.taken) {
        return;
    }
    slot.taken = total;
    // A peer that has said DONE still waits for this; one that has said DEAD does not.
    let is_wanted = slot.theirs != Final::Dead && slot.mine == Final::None;
    if now && is_wanted && slot.taken != slot.taken_told {
        slot.due |= due::TAKEN;
    }
}

/// All that has come is taken, or nobody will.
#[cfg_attr(not(feature = "std"), inline(never))]
fn drained(slot: &mut Slot) {
    if !slot.killed && (slot.in_ended || slot.is_final()) {
        slot.in_drained = true;
        slot.settle();
    }
}

/// Promises what has become free, unless it is too little to be worth a frame; where the sender may wait for it, always.
fn grant(slot: &mut Slot) {
    let promise = slot.consumed.plus(slot.window);
    let is_wanted =
        slot.phase == CircuitPhase::Open && !slot.is_final() && !slot.in_ended && slot.direction.receives();
    if !is_wanted || !promise.at_least(slot.promised) {
        return;
    }
    let news = promise.ahead_of(slot.promised);
    let left = slot.promised.ahead_of(slot.received);
    let is_starving = slot.consumed == slot.received && left < charge(slot.limit_in);
    if news == 0 || news < slot.window / 2 && !is_starving {
        return;
    }
    slot.promised = promise;
    slot.due |= due::CREDIT;
    if slot.taken != slot.taken_told {
        slot.due |= due::TAKEN;
    }
}
