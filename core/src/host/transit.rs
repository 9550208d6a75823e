//! Circuits that pass through this node: what comes from one link goes on over another.
//!
//! A transit has a cell on each of its links, and stands between them as a leaf: it is locked while
//! one of the two is, never while both are. What comes is put into a ring under the lock of the
//! link that it came from; after that lock is released the other link is locked, and takes from the
//! ring what it has credit and room for. So no link waits for the other one, and what a link may
//! send is bounded by what this node has promised it.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt;

use super::carry::ENDS_MAX;
use super::cell::{Cell, CellId};
use super::chunks::{Chunks, Lying};
use super::input::{Effects, Offer};
use super::link::{LinkCell, LinkState};
use super::node::NodeInner;
use super::peer::WINDOW_MAX;
use super::shares::Source;
use super::sync::{Mutex, MutexGuard, PoisonError};
use crate::proto::{
    Blocked, Dead, Event, Fingerprints, Fragment, Handle, Link, Open, OpenFlags, Reason, Rings, Route, Side,
    Sink, Slots, Splice, Store, Total, crc32c_append,
};

/// What a direction may hold at least, in bytes, whatever the length of its messages.
const WINDOW_MIN: u32 = 4 * 1024;
/// So often one link's work may lead to work on the other one.
const TURNS: usize = 4;
/// Parts of this length are not copied, in bytes.
const LONG: usize = 4 * 1024;
/// In no more pieces than so many.
pub(crate) const PIECES: usize = 4;

/// What an opener has asked for beyond what this node would look at for itself.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) credit: u32,
    pub(crate) limit: u32,
    pub(crate) values: u32,
    pub(crate) type_name: String,
}

impl Wanted {
    pub(crate) fn new(open: &Open<'_>) -> Self {
        let Open { credit, limit, values, type_name, .. } = *open;
        Self { credit, limit, values, type_name: type_name.to_string() }
    }
}

/// A circuit that passes through.
pub(crate) struct Transit {
    links: [Weak<LinkCell>; 2],
    /// For whom is held what goes on from either side: from the left it is the circuit itself, on the right.
    from: [Source; 2],
    is_list: bool,
    state: Mutex<State>,
}

struct State {
    /// None until the circuit is opened on the right.
    splice: Option<Splice>,
    rings: [Chunks; 2],
    cells: [Option<CellId>; 2],
    windows: [u32; 2],
    /// The link on this side goes on with it when its stream has taken what is there (`kept_transits`).
    kept: [bool; 2],
    /// Circuits for channel ends inside messages that come from a side, each to be opened before its
    /// message.
    carried: [VecDeque<Carried>; 2],
    /// The opener has gone before it was opened on the right, and why.
    cancelled: Option<Dead>,
}

/// A circuit for a channel end inside a message.
struct Carried {
    /// Number of the message.
    at: Total,
    ordinal: u32,
    flags: OpenFlags,
    fingerprints: Vec<u64>,
    wait_ms: u32,
    wanted: Wanted,
    left_handle: Handle,
    transit: Arc<Transit>,
}

/// Which side of which transit a cell is.
#[derive(Clone)]
pub(crate) struct Passage {
    pub(crate) transit: Arc<Transit>,
    side: Side,
}

impl fmt::Debug for Transit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transit")
    }
}

/// Adds to what waits to be written, as long as that is not too much.
struct Limited<'a> {
    out: &'a mut Vec<u8>,
    full_at: usize,
}

impl Sink for Limited<'_> {
    fn room(&self) -> usize {
        self.full_at.saturating_sub(self.out.len())
    }

    fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }
}

/// What is to be promised at least to the left and to the right. How long the messages of the opener
/// may be is for the acceptor to say.
fn floors(flags: OpenFlags, wanted: &Wanted, body: Option<&[u8]>) -> [u32; 2] {
    let floor = |flows: bool, limit: u32| {
        if flows { WINDOW_MIN.max(Link::charge(limit).saturating_mul(2)) } else { 0 }
    };
    [
        // What the open has brought is all that comes.
        body.map_or_else(|| floor(flags.has(OpenFlags::SENDS), 0), |body| Link::charge(body.len() as u32)),
        floor(flags.has(OpenFlags::RECEIVES), wanted.limit.min(wanted.credit)),
    ]
}

impl Passage {
    /// For whom the cell holds a share of its link: one on the left is its own peer's.
    pub(crate) fn holds_for(&self) -> Option<Source> {
        (self.side == Side::Right).then_some(self.transit.source())
    }

    /// Bytes that have come from this side and wait for the other one.
    pub(crate) fn held(&self) -> u64 {
        let own = self.transit.lock();
        own.splice.as_ref().map_or(0, |splice| splice.held(self.side).into())
    }
}

impl Transit {
    fn new(
        links: [Weak<LinkCell>; 2],
        from: [Source; 2],
        is_list: bool,
        left: CellId,
        windows: [u32; 2],
    ) -> Arc<Self> {
        Arc::new(Self {
            links,
            from,
            is_list,
            state: Mutex::new(State {
                splice: None,
                rings: [Chunks::default(), Chunks::default()],
                cells: [Some(left), None],
                windows,
                kept: [false; 2],
                carried: [VecDeque::new(), VecDeque::new()],
                cancelled: None,
            }),
        })
    }

    /// For whom it holds what it holds of the link on the right.
    const fn source(&self) -> Source {
        self.from[Side::Left as usize]
    }

    /// For one of its sides.
    fn cell(self: &Arc<Self>, side: Side, window: u32) -> Cell {
        Cell {
            transit: Some(Passage { transit: Arc::clone(self), side }),
            reserved: window,
            window,
            window_max: WINDOW_MAX.max(window),
            rx_gone: true,
            is_list: self.is_list && side == Side::Right,
            tells: self.is_list,
            ..Cell::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does on one link what the other one's events call for, and the other way round, until nothing is
    /// left to do. Called with nothing locked.
    pub(crate) fn work(self: &Arc<Self>, mut side: Side) {
        // What goes on gives credit back, and an end may follow. What stays to be done after that waits for
        // room on its link, which then goes on by itself (`kept_transits`), or for an event.
        for _ in 0..TURNS {
            let Some(link) = self.links[side as usize].upgrade() else { return };
            let mut effects = Effects::new();
            let mut state = link.lock();
            let again = state.down.is_none() && state.work_transit(self, side, &mut effects);
            link.flush(state);
            effects.run(&link);
            if !again {
                return;
            }
            side = side.other();
        }
    }
}

impl State {
    /// The circuit is opened on the right.
    fn opened(&mut self, state: &mut LinkState, id: CellId, flags: OpenFlags, left: Handle, nodes: [u32; 2]) {
        let Some(right) = state.cells.get(id).and_then(|cell| cell.handle) else { return };
        let mut splice = Splice::new(flags, (left, nodes[0]), (right, nodes[1]), self.windows);
        if let Some(dead) = self.cancelled {
            splice.lost(Side::Left, dead);
        }
        self.splice = Some(splice);
        self.cells[Side::Right as usize] = Some(id);
    }

    /// The splice and its rings, once the circuit is opened on both sides.
    fn parts(&mut self) -> Option<(&mut Splice, Rings<'_>)> {
        let [from_left, from_right] = &mut self.rings;
        Some((self.splice.as_mut()?, Rings { from_left, from_right }))
    }

    /// The next message that something goes before is held back until that is done.
    fn hold_next(&mut self, side: Side) {
        let next = self.carried[side as usize].front().map(|next| next.at);
        if let Some(splice) = &mut self.splice {
            splice.hold(side, next);
        }
    }

    /// Whether the next message to `side` is one that circuits are to be opened for.
    fn is_turn(&self, side: Side) -> bool {
        let next = self.carried[side.other() as usize].front().map(|next| next.at);
        next.is_some() && next == self.splice.as_ref().and_then(|splice| splice.gone_on(side.other()))
    }

    /// Ids of the nodes on the way of what comes from the other side and goes to `side`.
    fn nodes(&self, transit: &Transit, side: Side) -> [u32; 2] {
        [side.other(), side].map(|side| {
            let link = transit.links[side as usize].upgrade();
            link.map_or(0, |link| link.neighbour.load(super::sync::Ordering::Relaxed))
        })
    }

    /// Gives up the circuits of messages that will not go on.
    fn drop_carried(&mut self, effects: &mut Effects) {
        for carried in self.carried.iter_mut().flat_map(|carried| carried.drain(..)) {
            effects.pass_on(&carried.transit, Side::Left);
            carried.transit.lock().orphan(carried.flags, carried.left_handle);
        }
    }

    /// It was to be opened behind a message that does not come.
    fn orphan(&mut self, flags: OpenFlags, left: Handle) {
        let mut splice = Splice::new(flags, (left, 0), (Handle::new(0), 0), self.windows);
        splice.lost(Side::Right, Dead::here(Reason::NotTaken));
        if let Some(dead) = self.cancelled {
            splice.lost(Side::Left, dead);
        }
        self.splice = Some(splice);
    }
}

impl NodeInner {
    /// Opens on `right` what was offered on `left`, and splices the two.
    pub(crate) fn pass_on(
        &self,
        left: &Arc<LinkCell>,
        offer: &Offer,
        right: &Arc<LinkCell>,
        route: Option<Route<'_>>,
        from: [Source; 2],
    ) {
        let Some(wanted) = &offer.wanted else { return };
        let body = offer.body.as_deref();
        let [from_left, from_right] = floors(offer.flags, wanted, body);
        let links = [Arc::downgrade(left), Arc::downgrade(right)];
        let is_list = super::directory::is_list(&offer.name);
        let transit = Transit::new(links, from, is_list, offer.cell, [from_left, from_right]);
        let from = transit.source();
        let left_handle = {
            let mut state = left.lock();
            let waits = |cell: &mut Cell| cell.handle.filter(|_| cell.dead.is_none());
            let Some(handle) = state.cells.get(offer.cell).and_then(waits) else {
                return state.remove(offer.cell);
            };
            if from_left > state.share || !state.reserve(from_left) {
                return self.turn_away(left, state, offer, Reason::NoResources);
            }
            if let Some(cell) = state.cells.get(offer.cell) {
                *cell = Cell { handle: cell.handle, ..transit.cell(Side::Left, from_left) };
            }
            handle
        };
        let opened = {
            let mut state = right.lock();
            // A death of the opener that comes from now on finds the splice.
            let mut own = transit.lock();
            if let Some(dead) = own.cancelled {
                // Its node may be gone by now, and its route with it: nobody is asked in its name.
                Err(dead.reason)
            } else if state.down.is_some() {
                Err(Reason::NoRoute)
            } else if state.output.is_flooded() || !state.reserve_passing(from, from_right, is_list) {
                Err(Reason::NoResources)
            } else {
                let open = Open {
                    flags: offer.flags,
                    wait_ms: offer.wait_ms,
                    credit: wanted.credit,
                    limit: wanted.limit,
                    values: wanted.values,
                    name: &offer.name,
                    fingerprints: Fingerprints::new(offer.fingerprints[0], &offer.fingerprints[1..]),
                    type_name: &wanted.type_name,
                    route,
                    body,
                };
                let cell = || transit.cell(Side::Right, from_right);
                let of = |link: &LinkCell| link.neighbour.load(super::sync::Ordering::Relaxed);
                let onward = Splice::onward(&open, from_right);
                let opened = match state.open(&onward, cell()) {
                    // A peer that takes no messages in opens, or too short a packet: it goes behind.
                    Err(Blocked::Invalid) if body.is_some() => {
                        state.open(&Open { body: None, ..onward }, cell()).map(|id| (id, false))
                    }
                    opened => opened.map(|id| (id, true)),
                };
                match opened {
                    Ok((id, has_gone)) => {
                        own.opened(&mut state, id, offer.flags, left_handle, [of(left), of(right)]);
                        if let (Some(body), Some((splice, mut rings))) = (body, own.parts()) {
                            splice.came_with_open(body, has_gone, &mut rings);
                        }
                        Ok(())
                    }
                    Err(blocked) => {
                        state.release_passing(from, from_right, is_list);
                        // A name and a path that no frame can carry together.
                        let invalid = matches!(blocked, Blocked::Invalid);
                        Err(if invalid { Reason::TooLarge } else { Reason::NoResources })
                    }
                }
            }
        };
        match opened {
            Ok(()) => transit.work(Side::Right),
            Err(reason) => {
                let state = left.lock();
                // One that was given up meanwhile has no cell any more, and its number may be another's.
                let is_there = transit.lock().cells[Side::Left as usize].is_some();
                if is_there {
                    self.turn_away(left, state, offer, reason);
                }
            }
        }
    }

    /// Refuses an open, and says which node it is that refuses it.
    pub(crate) fn turn_away(
        &self,
        link: &LinkCell,
        mut state: MutexGuard<'_, LinkState>,
        offer: &Offer,
        reason: Reason,
    ) {
        let cell = offer.cell;
        if state.output.is_flooded() {
            // A peer that only asks and does not read is answered in state bits alone.
            state.kill(cell, reason, "");
        } else if let Some(handle) = state.cells.get(cell).and_then(|cell| cell.handle) {
            let name = self.identity.name;
            state.proto_out(|link, slots, out| {
                link.refuse(slots, handle, Dead::here(reason), name.as_str(), out);
            });
        }
        state.remove(cell);
        link.flush(state);
        link.note_refusal(offer);
    }
}

impl LinkState {
    /// An event of a circuit that passes through. `owned` are its bytes, where they have a buffer of their own.
    pub(crate) fn take_transit(
        &mut self,
        id: CellId,
        event: &Event<'_>,
        owned: Option<&Arc<Vec<u8>>>,
        effects: &mut Effects,
    ) {
        let Some(passage) = self.cells.get(id).and_then(|cell| cell.transit.clone()) else { return };
        let Passage { transit, side } = passage;
        let mut own = transit.lock();
        if let Some(owned) = owned {
            own.rings[side as usize].offer(Arc::clone(owned));
        }
        let is_dead = match own.parts() {
            Some((splice, mut rings)) => {
                self.proto(|link, slots| splice.on_event(side, event, link, slots, &mut rings));
                if splice.has_work(side) {
                    effects.pass_on(&transit, side);
                }
                splice.is_closed(side)
            }
            None => {
                // Nothing but the opener's death comes before an answer.
                if let Event::Dead(handle, frame) = *event {
                    own.cancelled = Some(frame.dead);
                    self.proto(|link, slots| link.drained(slots, handle));
                }
                own.cancelled.is_some()
            }
        };
        if is_dead {
            own.cells[side as usize] = None;
            self.remove(id);
            own.drop_carried(effects);
        }
        drop(own);
        effects.pass_on(&transit, side.other());
    }

    /// Short messages of a circuit that passes through, one behind the other as they came.
    pub(crate) fn take_transit_run(&mut self, id: CellId, run: &[u8], effects: &mut Effects) {
        let Some(Passage { transit, side }) = self.cells.get(id).and_then(|cell| cell.transit.clone()) else {
            return;
        };
        let mut own = transit.lock();
        if let Some((splice, mut rings)) = own.parts() {
            splice.on_run(side, run, &mut rings);
        }
        drop(own);
        effects.pass_on(&transit, side.other());
    }

    /// A circuit for a channel end inside the next message of one that passes through: it goes the same
    /// way.
    pub(crate) fn attach_transit(
        &mut self,
        carrier: &Passage,
        at: Total,
        (cell, handle): (CellId, Handle),
        ordinal: u32,
        open: &Open<'_>,
        effects: &mut Effects,
    ) {
        let wanted = Wanted::new(open);
        let windows = floors(open.flags, &wanted, None);
        let Passage { transit, side } = carrier;
        let mut own = transit.lock();
        let way = [&transit.links[*side as usize], &transit.links[side.other() as usize]].map(Weak::clone);
        let from = [*side, side.other()].map(|side| transit.from[side as usize]);
        let child = Transit::new(way, from, false, cell, windows);
        // No honest peer puts more before one message, or leaves the message away.
        let before = own.carried[*side as usize].iter().rev().take_while(|other| other.at == at).count();
        if before >= ENDS_MAX || windows[0] > self.share || !self.reserve(windows[0]) {
            // The message would come without it: so neither comes.
            if let Some(splice) = &mut own.splice {
                splice.give_up(Dead::here(Reason::NoResources));
            }
            drop(own);
            effects.pass_on(transit, *side);
            effects.pass_on(transit, side.other());
            self.kill(cell, Reason::NoResources, "");
            return self.remove(cell);
        }
        if let Some(cell) = self.cells.get(cell) {
            *cell = Cell { handle: cell.handle, ..child.cell(Side::Left, windows[0]) };
        }
        own.carried[*side as usize].push_back(Carried {
            at,
            ordinal,
            flags: open.flags,
            fingerprints: open.fingerprints.as_slice().to_vec(),
            wait_ms: open.wait_ms,
            wanted,
            left_handle: handle,
            transit: child,
        });
        own.hold_next(*side);
    }

    /// Opens on this link what goes before the next message, if its turn has come.
    fn open_carried(&mut self, own: &mut State, side: Side, neighbour: [u32; 2], effects: &mut Effects) {
        let from = side.other() as usize;
        loop {
            let Some(splice) = &own.splice else { return };
            let (begins, carrier) = (splice.gone_on(side.other()), splice.handle(side));
            let Some(next) = own.carried[from].front().filter(|next| Some(next.at) == begins) else { return };
            let mut child = next.transit.lock();
            let window = child.windows[1];
            let open = Open {
                flags: next.flags,
                wait_ms: next.wait_ms,
                credit: next.wanted.credit,
                limit: next.wanted.limit,
                values: next.wanted.values,
                name: "",
                fingerprints: Fingerprints::new(next.fingerprints[0], &next.fingerprints[1..]),
                type_name: &next.wanted.type_name,
                route: None,
                body: None,
            };
            let cell = next.transit.cell(Side::Right, window);
            let source = next.transit.source();
            if self.output.is_flooded() || !self.reserve_passing(source, window, false) {
                drop(child);
                if let Some(splice) = &mut own.splice {
                    splice.give_up(Dead::here(Reason::NoResources));
                }
                return;
            }
            match self.attach(carrier, next.ordinal, &Splice::onward(&open, window), cell) {
                Ok(id) => {
                    child.opened(self, id, next.flags, next.left_handle, neighbour);
                    if child.cancelled.is_some() {
                        effects.pass_on(&next.transit, Side::Right);
                    }
                    drop(child);
                    own.carried[from].pop_front();
                }
                // Not open yet, or an earlier message is still being written: the next look goes on.
                Err(Blocked::Busy | Blocked::NotOpen | Blocked::NoRoom) => {
                    return self.release_passing(source, window, false);
                }
                Err(_) => {
                    drop(child);
                    self.release_passing(source, window, false);
                    if let Some(splice) = &mut own.splice {
                        splice.give_up(Dead::here(Reason::NoResources));
                    }
                    return;
                }
            }
        }
    }

    /// Does on this link what is to be done: whether the other one has something to do then.
    pub(crate) fn work_transit(&mut self, transit: &Arc<Transit>, side: Side, effects: &mut Effects) -> bool {
        let mut own = transit.lock();
        let Some(id) = own.cells[side as usize] else { return false };
        let full_at = self.output.bytes.len() + self.output.room();
        if !self.reserve_for_accept(&mut own, id, side)
            && let Some(splice) = &mut own.splice
        {
            // Both sides hear of it.
            splice.give_up(Dead::here(Reason::NoResources));
        }
        let from = side.other() as usize;
        let mut once_more = true;
        loop {
            let carried = own.carried[from].len();
            if carried > 0 {
                let nodes = own.nodes(transit, side);
                self.open_carried(&mut own, side, nodes, effects);
                own.hold_next(side.other());
            }
            let Some((splice, mut rings)) = own.parts() else { return false };
            let flooded = self.output.is_flooded();
            self.proto_out(|link, slots, out| {
                let mut sink = Limited { out, full_at };
                splice.work(side, link, slots, &mut rings, &mut sink);
                if splice.has_work(side) && link.has_control() && !flooded {
                    // Values may wait for our own answer to be written, and no event tells of that.
                    link.control(slots, sink.out);
                    splice.work(side, link, slots, &mut rings, &mut sink);
                }
            });
            // What has gone on or was written may have been what the next one waits for that carries ends.
            let opened = own.carried[from].len() < carried;
            if flooded || !own.is_turn(side) || !opened && !core::mem::take(&mut once_more) {
                break;
            }
            self.proto_out(|link, slots, out| link.control(slots, out));
        }
        let Some((splice, _)) = own.parts() else { return false };
        let (closed, eager) = (splice.is_closed(side), splice.is_eager(side));
        let again = splice.has_work(side.other());
        if !closed
            && splice.has_work(side)
            && !self.output.bytes.is_empty()
            && !core::mem::replace(&mut own.kept[side as usize], true)
        {
            // Goes on when the stream has taken what is there: full or not, there was too little room.
            self.kept_transits.push_back((Arc::clone(transit), side));
        }
        if closed {
            own.cells[side as usize] = None;
            self.remove(id);
            own.drop_carried(effects);
        } else if eager {
            self.widen_transit(&mut own, id, side);
        }
        again
    }

    /// Goes on with those that found too little room, for as long as there is some. Thousands may wait here, so each look
    /// costs what it writes.
    pub(crate) fn work_kept_transits(&mut self, effects: &mut Effects) {
        // One that finds too little again waits behind the others.
        for _ in 0..self.kept_transits.len() {
            if self.output.is_full() {
                return;
            }
            let Some((transit, side)) = self.kept_transits.pop_front() else { return };
            transit.lock().kept[side as usize] = false;
            if self.work_transit(&transit, side, effects) {
                effects.pass_on(&transit, side.other());
            }
        }
    }

    /// An answer says how long the messages may be that come from the opener: room for two of them is
    /// reserved before it is passed on. `false` where there is none.
    fn reserve_for_accept(&mut self, own: &mut State, id: CellId, side: Side) -> bool {
        let Some(limit) = own.splice.as_ref().and_then(|splice| splice.accepts(side)) else { return true };
        let window = own.windows[side as usize];
        if window == 0 {
            return true;
        }
        let more = Link::charge(limit).saturating_mul(2).saturating_sub(window);
        if more == 0 {
            return true;
        }
        let fits = window.saturating_add(more) <= self.share && self.reserve(more);
        if fits && let Some(cell) = self.cells.get(id) {
            cell.reserved += more;
            cell.window += more;
            cell.window_max = cell.window_max.max(cell.window);
            own.windows[side as usize] += more;
            if let Some(splice) = &mut own.splice {
                splice.promise(side, window + more);
            }
        }
        fits
    }

    /// Doubles the window of a circuit that drains, while there is a pool.
    fn widen_transit(&mut self, own: &mut State, id: CellId, side: Side) {
        let Some(more) = self.lend(id) else { return };
        own.windows[side as usize] += more;
        let window = own.windows[side as usize];
        if let Some(splice) = &mut own.splice {
            self.proto(|link, slots: &mut Slots<'_>| splice.widen(side, window, link, slots));
        }
    }

    /// Writes a part of a message that passes through: its head into the outgoing buffer, and its bytes behind it, or
    /// as pieces that go out from where they lie.
    pub(crate) fn put_transit(
        &mut self,
        passage: &Passage,
        part: &Fragment,
        effects: &mut Effects,
    ) -> Vec<Lying> {
        let Passage { transit, side } = passage;
        let mut pieces = None;
        {
            let mut own = transit.lock();
            let out = &mut self.output.bytes;
            out.extend_from_slice(part.head.as_slice());
            let crc = self.link.crc_seed();
            let store = &mut own.rings[side.other() as usize];
            if crc.is_none() && part.len >= LONG {
                pieces = store.take(part.len, PIECES);
            }
            if pieces.is_none() {
                let mut sum = crc.map(|seed| crc32c_append(!seed, part.head.frame()));
                let mut left = part.len;
                while left > 0 {
                    let (a, b) = store.slices(left);
                    let n = a.len() + b.len();
                    if n == 0 {
                        break;
                    }
                    out.extend_from_slice(a);
                    out.extend_from_slice(b);
                    sum = sum.map(|sum| crc32c_append(crc32c_append(sum, a), b));
                    store.pop(n);
                    left -= n;
                }
                if let Some(sum) = sum {
                    out.extend_from_slice(&(!sum).to_le_bytes());
                }
            }
            if let Some(splice) = &mut own.splice {
                splice.passed(*side, part);
            }
        }
        self.work_transit(transit, *side, effects);
        effects.pass_on(transit, side.other());
        pieces.unwrap_or_default()
    }

    /// The link is down: the other side of what passed through is to be told.
    pub(crate) fn lose_transits(&mut self, mut dead: Dead, effects: &mut Effects) {
        if super::shot::is_refusal(dead.reason) {
            // For whoever has sent a message with its open that would say that it has not arrived.
            dead.reason = Reason::LinkLost;
        }
        for (id, passage) in self.cells.transits() {
            let mut own = passage.transit.lock();
            own.cells[passage.side as usize] = None;
            match &mut own.splice {
                Some(splice) => splice.lost(passage.side, dead),
                None => own.cancelled = Some(dead),
            }
            own.drop_carried(effects);
            drop(own);
            self.cells.remove(id);
            effects.pass_on(&passage.transit, passage.side.other());
        }
        self.kept_transits.clear();
    }
}
