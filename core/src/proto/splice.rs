//! A circuit through a router: two handles, and the bytes that have come from one link and
//! wait for the other.
//!
//! A splice touches one link at a time, holds no bytes itself and allocates nothing: the
//! router lends it two stores, each with room for what it has promised to take. Messages go on
//! in the pieces in which they come, without being put together.
//!
//! ```text
//! event of a link   -> Splice::on_event(side, ...)   notes what the other side is to do
//! has_work(side)    -> Splice::work(side, ...)       does it: accept, credit, totals, ends, death
//! Link::fragment    -> Splice::bytes, Splice::written
//! is_closed(side)   -> the router forgets that handle
//! ```

use super::circuit::{Direction, charge, limit_in};
use super::framing::CRC_LEN;
use super::link::SMALL_MAX;
use super::{
    Blocked, Dead, Event, Fragment, Handle, Head, Link, Open, OpenFlags, Part, Place, Reason, Sink, Slots,
    Start, Total, crc32c_append,
};
pub use ring::Ring;

mod ring;

/// What a ring keeps before each message: its length.
const LEN_BYTES: u32 = 4;
/// Longest message with a length of one byte before it, in bytes.
#[cfg(feature = "std")]
const SHORT_MAX: usize = 0x7e;
/// Longest text of a death that is passed on, in bytes.
const DETAIL_MAX: usize = 64;

/// One of the two links of a splice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a splice has two sides")]
pub enum Side {
    /// The link on which the circuit was offered.
    Left,
    /// The link on which the router opened it.
    Right,
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

/// Where the bytes of one direction wait, first in, first out. A [`Ring`] is one; a router with an allocator may
/// have better ones.
pub trait Store {
    /// Appends bytes, for which there is room: the link has checked them against what was promised. Up to
    /// four of them stay together.
    fn push(&mut self, bytes: &[u8]);

    /// The first `n` bytes, or the first of them, in two pieces: at least one where there are any.
    fn slices(&self, n: usize) -> (&[u8], &[u8]);

    /// The first `n` bytes are not needed any more; there are as many.
    fn pop(&mut self, n: usize);
}

/// The room of a splice, lent by the router.
pub struct Rings<'a> {
    /// Values that come from the left.
    pub from_left: &'a mut dyn Store,
    /// Values that come from the right.
    pub from_right: &'a mut dyn Store,
}

impl core::fmt::Debug for Rings<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Rings")
    }
}

impl Rings<'_> {
    fn from(&mut self, side: Side) -> &mut dyn Store {
        match side {
            Side::Left => self.from_left,
            Side::Right => self.from_right,
        }
    }
}

/// A circuit that goes on over another link.
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub struct Splice {
    ends: [End; 2],
    flows: [Flow; 2],
    windows: [u32; 2],
    /// What a death says beside its reason.
    detail: [u8; DETAIL_MAX],
    detail_len: u8,
}

mod todo {
    pub(super) const ACCEPT: u8 = 1;
    pub(super) const TAKEN: u8 = 2;
    pub(super) const ASK: u8 = 4;
    pub(super) const DRAIN: u8 = 8;
    pub(super) const KILL: u8 = 16;
    pub(super) const SEND: u8 = 32;
}

/// What is to be done on one link.
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
struct End {
    handle: Handle,
    /// Id of the node on that link, 0 where nodes have none.
    node: u32,
    direction: Direction,
    todo: u8,
    which: u8,
    limit: u32,
    taken: Total,
    ask: Total,
    dead: Dead,
    done: bool,
    drained: bool,
    closed: bool,
}

/// Values that come from one side and go to the other.
#[derive(Debug, Clone, Default)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
struct Flow {
    /// Bytes in the store.
    held: u32,
    /// Of the message that goes out: bytes not yet written, and those that the link knows of.
    left: u32,
    supplied: u32,
    /// Room that has become free and is not yet granted again.
    freed: u32,
    /// Values that have gone on.
    values: Total,
    ended: bool,
    end_told: bool,
    /// The message of this number is not to begin: something goes before it.
    hold: Option<Total>,
    /// All that came has gone on, and the sender had used half of its credit or more.
    eager: bool,
}

impl Splice {
    /// Joins a circuit that was offered on the left to one that the router has opened on the
    /// right with [`Splice::onward`]. The nodes' ids name who gave up; 0 where they have none.
    /// `windows` is what is promised to the left and to the right, in bytes; no ring is ever to hold
    /// more.
    pub fn new(
        flags: OpenFlags,
        (left, left_node): (Handle, u32),
        (right, right_node): (Handle, u32),
        windows: [u32; 2],
    ) -> Self {
        let end = |handle, node, direction| End {
            handle,
            node,
            direction,
            todo: 0,
            which: 0,
            limit: 0,
            taken: Total::ZERO,
            ask: Total::ZERO,
            dead: Dead::here(Reason::Closed),
            done: false,
            drained: false,
            closed: false,
        };
        let left = end(left, left_node, Direction::of_acceptor(flags));
        let right = end(right, right_node, Direction::of_opener(flags));
        Self {
            ends: [left, right],
            flows: [Flow::default(), Flow::default()],
            windows,
            detail: [0; DETAIL_MAX],
            detail_len: 0,
        }
    }

    /// What the router asks for on the right: as the opener, but with its own window, in bytes.
    #[must_use]
    pub fn onward<'o>(open: &Open<'o>, window: u32) -> Open<'o> {
        let credit = window.min(Total::MAX_DISTANCE);
        Open { credit, limit: limit_in(credit, open.limit), ..*open }
    }

    /// The open on the left has brought the opener's only message, and its end. `has_gone`: the router's own open on
    /// the right carries them as well. Otherwise the message waits here until the right side accepts.
    pub fn came_with_open(&mut self, body: &[u8], has_gone: bool, rings: &mut Rings<'_>) {
        let flow = &mut self.flows[Side::Left as usize];
        flow.ended = true;
        if has_gone {
            flow.values = flow.values.plus(1);
            flow.end_told = true;
        } else {
            let ring = rings.from(Side::Left);
            flow.push(ring, &(body.len() as u32).to_le_bytes());
            flow.push(ring, body);
            self.ends[Side::Right as usize].todo |= todo::SEND;
        }
    }

    /// Takes an event of the link on `side`, and notes what the other side is to do.
    pub fn on_event(
        &mut self,
        side: Side,
        event: &Event<'_>,
        link: &mut Link,
        slots: &mut Slots<'_>,
        rings: &mut Rings<'_>,
    ) {
        let (here, there) = (side as usize, side.other() as usize);
        match *event {
            Event::Accepted(handle, which) => {
                self.ends[there].which = which;
                self.ends[there].limit = link.limit(slots, handle);
                self.ends[there].todo |= todo::ACCEPT;
            }
            Event::Data(_, part, bytes) => {
                let (flow, ring) = (&mut self.flows[here], rings.from(side));
                match part {
                    Part::Whole => flow.push(ring, &(bytes.len() as u32).to_le_bytes()),
                    Part::First(len) => flow.push(ring, &len.to_le_bytes()),
                    Part::More => {}
                }
                flow.push(ring, bytes);
                self.ends[there].todo |= todo::SEND;
            }
            Event::Granted(_) => self.ends[here].todo |= todo::SEND,
            Event::Taken(_, total) => {
                self.ends[there].taken = total;
                self.ends[there].todo |= todo::TAKEN;
            }
            Event::Asked(_, total) => {
                self.ends[there].ask = total;
                self.ends[there].todo |= todo::ASK;
            }
            Event::End(handle) => {
                if self.ends[here].drained {
                    // The other side was through before: of a circuit of so many values it knows the last.
                    link.drained(slots, handle);
                }
                self.flows[here].ended = true;
                self.ends[there].todo |= todo::SEND;
            }
            Event::Done(_) => {
                self.ends[here].done = true;
                self.ends[here].close_if_through();
                // The far end has taken all: so has this node, as the other side sees it.
                if self.ends[there].direction.receives() {
                    self.ends[there].taken = self.flows[there].values;
                    self.ends[there].todo |= todo::DRAIN;
                }
            }
            Event::Dead(handle, frame) => {
                link.drained(slots, handle);
                self.ends[there].taken = frame.taken;
                self.lost(side, frame.dead);
                let cut = super::frame::cut(frame.detail, DETAIL_MAX);
                self.detail_len = cut.len() as u8;
                self.detail[..cut.len()].copy_from_slice(cut.as_bytes());
            }
            Event::Nothing | Event::Up(_) | Event::Tree(_) | Event::Open(..) | Event::Attach(..) => {}
        }
    }

    /// Takes whole short messages that have come one behind the other, each with a byte of length and a byte
    /// of head before it, as [`Event::Data`] would bring them one by one.
    #[cfg(feature = "std")]
    pub(crate) fn on_run(&mut self, side: Side, run: &[u8], rings: &mut Rings<'_>) {
        let (flow, store) = (&mut self.flows[side as usize], rings.from(side));
        let mut rest = run;
        while let [len, _, behind @ ..] = rest {
            let Some((message, next)) = behind.split_at_checked(usize::from(len.saturating_sub(1))) else {
                break;
            };
            // With its length before it, in one piece.
            let mut bytes = [0; LEN_BYTES as usize + SHORT_MAX];
            let Some(room) = bytes.get_mut(LEN_BYTES as usize..LEN_BYTES as usize + message.len()) else {
                break;
            };
            room.copy_from_slice(message);
            bytes[..LEN_BYTES as usize].copy_from_slice(&(message.len() as u32).to_le_bytes());
            flow.push(store, &bytes[..LEN_BYTES as usize + message.len()]);
            rest = next;
        }
        self.ends[side.other() as usize].todo |= todo::SEND;
    }

    /// The link on `side` is down, or will not have the circuit: the other side is told.
    pub fn lost(&mut self, side: Side, dead: Dead) {
        let end = &mut self.ends[side as usize];
        end.closed = true;
        end.todo = 0;
        let at = end.place(dead.at);
        let other = &mut self.ends[side.other() as usize];
        if !other.closed {
            other.dead = Dead { at, ..dead };
            other.todo = todo::KILL;
        }
        self.flows = [Flow::default(), Flow::default()];
    }

    /// Whether [`Splice::work`] has something to do on `side`.
    pub fn has_work(&self, side: Side) -> bool {
        let end = &self.ends[side as usize];
        !end.closed && (end.todo != 0 || self.flows[side as usize].freed > 0)
    }

    /// Does on the link of `side` what the other side's events call for. Where the sink is
    /// full or credit is missing it stays to be done.
    pub fn work(
        &mut self,
        side: Side,
        link: &mut Link,
        slots: &mut Slots<'_>,
        rings: &mut Rings<'_>,
        sink: &mut dyn Sink,
    ) {
        let here = side as usize;
        let end = &mut self.ends[here];
        if end.closed {
            return;
        }
        let (handle, due) = (end.handle, core::mem::take(&mut end.todo));
        if due & todo::KILL != 0 {
            end.closed = true;
            link.taken(slots, handle, end.taken, false);
            let text = &self.detail[..usize::from(self.detail_len)];
            link.refuse(slots, handle, end.dead, core::str::from_utf8(text).unwrap_or_default(), sink);
            return;
        }
        if due & todo::ACCEPT != 0 {
            let window = if end.direction.receives() { self.windows[here] } else { 0 };
            link.accept(slots, handle, end.which, window, end.limit);
        }
        if due & todo::ASK != 0 {
            link.ask(slots, handle, end.ask);
        }
        if due & todo::TAKEN != 0 {
            link.taken(slots, handle, end.taken, true);
        }
        let freed = core::mem::take(&mut self.flows[here].freed);
        if freed > 0 {
            let left = link.consumed(slots, handle, freed);
            self.flows[here].eager |= left.is_some_and(|left| left <= self.windows[here] / 2);
        }
        if due & todo::DRAIN != 0 {
            link.taken(slots, handle, end.taken, false);
            link.drained(slots, handle);
            end.drained = true;
            end.close_if_through();
        }
        if !self.ends[here].closed {
            self.forward(side, link, slots, rings, sink);
        }
    }

    /// The bytes of a fragment that the link on `side` asks for, in two pieces, from a store that gives all of
    /// them.
    pub fn bytes<'r>(
        &self,
        side: Side,
        fragment: &Fragment,
        rings: &'r mut Rings<'_>,
    ) -> (&'r [u8], &'r [u8]) {
        rings.from(side.other()).slices(fragment.len)
    }

    /// The fragment has been written to the link on `side`: its room is free.
    pub fn written(&mut self, side: Side, fragment: &Fragment, rings: &mut Rings<'_>) {
        rings.from(side.other()).pop(fragment.len);
        self.passed(side, fragment);
    }

    /// As [`Splice::written`], of bytes that the router has taken out of the store itself.
    pub fn passed(&mut self, side: Side, fragment: &Fragment) {
        let flow = &mut self.flows[side.other() as usize];
        let len = fragment.len as u32;
        if flow.supplied < len || flow.held < len {
            // Given up a moment ago, and the link has not heard of it: what it knows of goes out, and counts no more.
            return;
        }
        flow.held -= len;
        flow.left -= len;
        flow.supplied -= len;
        flow.freed += len;
        if flow.left == 0 {
            flow.values = flow.values.plus(1);
            self.ends[side as usize].todo |= todo::SEND;
        }
    }

    /// Whether what comes from `side` would flow better through a larger window, since the last call.
    pub fn is_eager(&mut self, side: Side) -> bool {
        core::mem::take(&mut self.flows[side as usize].eager)
    }

    /// The longest message that is to be taken from `side`, in bytes, where an answer is to be passed on
    /// there that has not been yet, and any are still to come.
    pub fn accepts(&self, side: Side) -> Option<u32> {
        let (end, flow) = (&self.ends[side as usize], &self.flows[side as usize]);
        (end.todo & todo::ACCEPT != 0 && !flow.ended).then_some(end.limit)
    }

    /// As [`Splice::widen`], before an answer was passed on.
    pub fn promise(&mut self, side: Side, window: u32) {
        let own = &mut self.windows[side as usize];
        *own = window.max(*own);
    }

    /// The message of this number among those that come from `side`, counted from 0, is not to begin on
    /// the other side: circuits for channel ends inside it are to be opened there first. `None` lets all begin.
    pub fn hold(&mut self, side: Side, message: Option<Total>) {
        self.flows[side as usize].hold = message;
        self.ends[side.other() as usize].todo |= todo::SEND;
    }

    /// How many messages that come from `side` have gone on; `None` in the middle of one.
    pub fn gone_on(&self, side: Side) -> Option<Total> {
        let flow = &self.flows[side as usize];
        (flow.left == 0).then_some(flow.values)
    }

    /// The router gives the circuit up: both sides are told.
    pub fn give_up(&mut self, dead: Dead) {
        for end in &mut self.ends {
            if !end.closed {
                end.dead = dead;
                end.todo = todo::KILL;
            }
        }
        self.flows = [Flow::default(), Flow::default()];
    }

    /// What is promised to the link on `side` from now on, in bytes: never less than before.
    pub fn widen(&mut self, side: Side, window: u32, link: &mut Link, slots: &mut Slots<'_>) {
        let own = &mut self.windows[side as usize];
        *own = window.max(*own);
        link.set_window(slots, self.ends[side as usize].handle, *own);
    }

    /// Whether the handle on `side` is to be forgotten.
    pub fn is_closed(&self, side: Side) -> bool {
        self.ends[side as usize].closed
    }

    /// The handle on `side`.
    pub fn handle(&self, side: Side) -> Handle {
        self.ends[side as usize].handle
    }

    /// Bytes held of values that come from `side`.
    pub fn held(&self, side: Side) -> u32 {
        self.flows[side as usize].held
    }

    /// Passes on to `side` what the other side has sent, as far as credit goes.
    fn forward(
        &mut self,
        side: Side,
        link: &mut Link,
        slots: &mut Slots<'_>,
        rings: &mut Rings<'_>,
        sink: &mut dyn Sink,
    ) {
        let handle = self.ends[side as usize].handle;
        let flow = &mut self.flows[side.other() as usize];
        let ring = rings.from(side.other());
        while flow.left == 0 && flow.hold != Some(flow.values) {
            let Some(len) = flow.peek_len(ring) else { break };
            // One that is here as a whole, and short, goes at once; of others the parts take turns. So does one
            // that there is no room for: on a slow line there may never be so much.
            let whole = flow.held - LEN_BYTES >= len && (len == 0 || fits_whole(len, sink));
            let begun = if whole {
                put_whole(link, slots, handle, len, sink)
            } else {
                link.relay(slots, handle, len as usize).map(|()| None)
            };
            match begun {
                Ok(Some(head)) => {
                    flow.pop(ring, LEN_BYTES);
                    flow.put(head.as_slice(), head.frame(), len, ring, link.crc_seed(), sink);
                    flow.freed += charge(len);
                    flow.values = flow.values.plus(1);
                    continue;
                }
                Ok(None) => {}
                // The credit to come, or the next look, goes on.
                Err(Blocked::Credit) => return,
                Err(Blocked::TooLarge(_)) => {
                    // One that came with the open, before anybody knew the limit.
                    return self.give_up(Dead::here(Reason::TooLarge));
                }
                Err(_) => {
                    self.ends[side as usize].todo |= todo::SEND;
                    return;
                }
            }
            flow.pop(ring, LEN_BYTES);
            flow.freed += charge(len) - len;
            flow.left = len;
            flow.supplied = if whole { len } else { 0 };
        }
        if flow.left > 0 {
            let have = flow.held.min(flow.left);
            link.supply(slots, handle, (have - flow.supplied) as usize);
            flow.supplied = have;
        } else if flow.ended && !flow.end_told && flow.held == 0 {
            // Not before a message that is held back.
            flow.end_told = true;
            link.end(slots, handle);
        }
    }
}

impl End {
    /// A place that this side's neighbour speaks of, as the other side's is to hear it.
    fn place(&self, at: Place) -> Place {
        match at {
            Place::Peer if self.node != 0 => Place::Node(self.node),
            Place::Peer => Place::Here,
            at => at,
        }
    }

    fn close_if_through(&mut self) {
        self.closed |= self.done && (self.drained || !self.direction.receives());
    }
}

impl Flow {
    fn push(&mut self, store: &mut dyn Store, bytes: &[u8]) {
        store.push(bytes);
        self.held += bytes.len() as u32;
    }

    fn pop(&mut self, store: &mut dyn Store, n: u32) {
        store.pop(n as usize);
        self.held -= n;
    }

    /// How long the next message is, if there is one.
    fn peek_len(&self, store: &dyn Store) -> Option<u32> {
        if self.held < LEN_BYTES {
            return None;
        }
        let (a, b) = store.slices(LEN_BYTES as usize);
        let mut bytes = [0; LEN_BYTES as usize];
        for (to, from) in bytes.iter_mut().zip(a.iter().chain(b)) {
            *to = *from;
        }
        Some(u32::from_le_bytes(bytes))
    }

    /// Writes a message that is here as a whole.
    fn put(
        &mut self,
        head: &[u8],
        frame: &[u8],
        len: u32,
        store: &mut dyn Store,
        crc: Option<u32>,
        sink: &mut dyn Sink,
    ) {
        sink.put(head);
        let mut sum = crc.map(|seed| crc32c_append(!seed, frame));
        let mut left = len;
        while left > 0 {
            let (a, b) = store.slices(left as usize);
            sink.put(a);
            sink.put(b);
            sum = sum.map(|sum| crc32c_append(crc32c_append(sum, a), b));
            let n = (a.len() + b.len()) as u32;
            debug_assert!(n > 0, "what is held is in the store");
            if n == 0 {
                break;
            }
            self.pop(store, n);
            left -= n;
        }
        if let Some(sum) = sum {
            sink.put(&(!sum).to_le_bytes());
        }
    }
}

/// Whether a message of that length, if it goes straight, has room.
fn fits_whole(len: u32, sink: &dyn Sink) -> bool {
    sink.room() >= Head::MAX_LEN + len.min(SMALL_MAX) as usize + CRC_LEN
}

/// Begins a message that is here as a whole. With a head it is to be written at once, for which
/// there is room then.
fn put_whole(
    link: &mut Link,
    slots: &mut Slots<'_>,
    handle: Handle,
    len: u32,
    sink: &dyn Sink,
) -> Result<Option<Head>, Blocked> {
    if !fits_whole(len, sink) {
        return Err(Blocked::NoRoom);
    }
    Ok(match link.start(slots, handle, len as usize)? {
        Start::Straight(head) => Some(head),
        Start::Queued => None,
    })
}
