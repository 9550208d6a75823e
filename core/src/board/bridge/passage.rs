//! A circuit that passes through: its two accounts, and what has come from one line and waits for the other.
//!
//! It is what [`Splice`](crate::proto::Splice) is on hosts, over the accounts of a link without the link. Each end is touched
//! by the driver of its own line only, but for what it is to do next (`todo`), which the other one notes; so between two critical sections a
//! driver finds its end as it has left it. What waits stays in its room until both ends are over, so that a death that comes while a
//! part is being copied spoils nothing: the part goes out whole, and the DEAD behind it.
//!
//! Here is how one begins and is over; what a side hears is in `hear.rs`, what it is told in `tell.rs`.

mod hear;
mod tell;

pub(in crate::board) use tell::Due;

use crate::board::ending::Ending;
use crate::board::lines::{Here, Place};
use crate::board::ring::{Byte, Ring};
use crate::proto::{
    Dead, Direction, Fault, Open, OpenFlags, Place as At, Reason, Slot, Total, charge, limit_in,
};

/// Longest text of a death that is passed on, in bytes.
pub(in crate::board) const DETAIL_MAX: usize = 64;

/// What an end is to do next.
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
    /// Which one it is of the circuits that it has been taken for.
    turn: u16,
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

/// What the right is to be asked for.
pub(in crate::board) struct Wish {
    turn: u16,
    /// Bytes in the passage's room.
    pub(in crate::board) text_len: u8,
}

impl Passage {
    /// A free one.
    pub(super) const fn new() -> Self {
        Self {
            stage: Stage::Free,
            turn: 0,
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
            self.turn = self.turn.wrapping_add(1);
        }
        is_free
    }

    /// It is not needed after all.
    pub(in crate::board) fn give_back(&mut self) {
        self.stage = Stage::Free;
        self.ends[LEFT].is_used = false;
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

    /// What is to be asked for on this line, if anything is.
    pub(in crate::board) fn wish(&self, here: Here) -> Option<Wish> {
        let is_here = here.index() == usize::from(self.ends[RIGHT].line);
        let wish = Wish { turn: self.turn, text_len: self.text_len };
        (self.stage == Stage::Asked && is_here).then_some(wish)
    }

    /// The opener may have gone since the wish was heard, and the passage may be another circuit's.
    fn is_wished(&self, wish: &Wish) -> bool {
        self.stage == Stage::Asked && self.turn == wish.turn
    }

    /// The right is about to be asked: whether it still is to be. What it is to be asked for stays in the room, whatever becomes of
    /// the left, for the right has an end from here on, and its driver is at work.
    pub(in crate::board) fn opened(&mut self, wish: &Wish, place: Place) -> bool {
        let is_wished = self.is_wished(wish);
        if is_wished {
            (self.stage, self.text_len) = (Stage::Open, 0);
            self.ends[RIGHT].place = place;
            self.ends[RIGHT].is_used = true;
        }
        is_wished
    }

    /// The right cannot be asked.
    pub(in crate::board) fn refuse(&mut self, wish: &Wish, reason: Reason) {
        if self.is_wished(wish) {
            self.text_len = 0;
            self.lose(RIGHT, Dead::here(reason));
        }
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
            let is_asked = side == RIGHT && self.wish(here).is_some();
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

/// All that has come is taken, or nobody will.
#[cfg_attr(not(feature = "std"), inline(never))]
fn drained(slot: &mut Slot) {
    if !slot.killed && (slot.in_ended || slot.is_final()) {
        slot.in_drained = true;
        slot.settle();
    }
}
