//! One link on a host: the protocol's state, the circuits' bytes and the stream, under one
//! short lock. Wakers and hubs are told after the lock is released.

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::task::Waker;
use core::time::Duration;
use std::io;
use std::time::Instant;

use super::behind::Behind;
use super::cell::{Cell, CellId, Cells};
use super::directory::Watcher;
use super::down::DownWakers;
use super::error::LinkError;
use super::hub::Signal;
use super::input::{Effects, Offer, Reader};
use super::lane::Offramp;
use super::linger::Leave;
use super::list::{List, Pace};
use super::node::NodeInner;
use super::output::Output;
use super::parker::Parker;
use super::peer::PeerInfo;
use super::sender::Short;
use super::shares::{Held, Shares, Source as Origin};
use super::stream::{BlockingStream, Stream};
use super::sync::{AtomicBool, AtomicU32, Mutex, MutexGuard, Ordering, PoisonError, TryMutex};
use super::transit::Transit;
use super::wait::Source;
use crate::proto::{
    self, Blocked, Dead, Fault, Handle, Head, LinkConfig, Open, Reason, Side, Slot, Slots, Start,
    crc32c_append,
};
use crate::tree::{Refusals, Strikes};

const NO_CELL: CellId = CellId::MAX;
/// No circuit that passes through reserves more than one of so many shares of a link's memory.
const SHARES: u64 = 8;

/// The stream under a link, and who moves its bytes.
pub(crate) enum Io {
    /// Threads that may block.
    Blocking(alloc::boxed::Box<dyn BlockingStream>),
    /// A task of an async runtime.
    Task(alloc::boxed::Box<dyn Stream>),
}

impl Io {
    pub(crate) fn stream(&self) -> &dyn Stream {
        match self {
            Self::Blocking(stream) => &**stream,
            Self::Task(stream) => &**stream,
        }
    }
}

/// Memory that a link may promise to its peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// For the floors of all circuits, in bytes.
    pub(crate) floors: u64,
    /// Lent to circuits that drain, in bytes.
    pub(crate) pool: u64,
}

pub(crate) struct LinkCell {
    state: Mutex<LinkState>,
    /// Who holds it reads the stream.
    pub(crate) reader: TryMutex<Reader>,
    pub(crate) io: Io,
    pub(crate) node: Weak<NodeInner>,
    pub(crate) number: u64,
    /// Id of the node at the other end, in a tree; 0 where it has none.
    pub(crate) neighbour: AtomicU32,
    /// It is a link to a parent, and this node ends with it.
    pub(crate) ends_node: bool,
    is_down: AtomicBool,
    /// It has one of the places in the node.
    pub(crate) has_place: AtomicBool,
    /// A thread has read the link in person lately: the driver holds back.
    pub(crate) led: AtomicBool,
    /// Something was left to be written by whoever comes next.
    pub(crate) left_over: AtomicBool,
}

pub(crate) struct LinkState {
    pub(crate) link: proto::Link,
    mine: Vec<Slot>,
    theirs: Vec<Slot>,
    mine_cells: Vec<CellId>,
    theirs_cells: Vec<CellId>,
    pub(crate) cells: Cells,
    pub(crate) output: Output,
    /// Cells with something to send that found the outgoing buffer full.
    kept: Vec<CellId>,
    /// The same of circuits that pass through.
    pub(crate) kept_transits: VecDeque<(Arc<Transit>, Side)>,
    /// Where senders in a burst leave short values.
    pub(crate) lanes: Vec<Offramp>,
    /// One of them was closed, and a value may turn up in it: the flusher is to look again, a little later.
    pub(crate) may_be_unseen: bool,
    /// Circuits whose question how many values are taken is looked at again.
    pub(crate) asked: Vec<CellId>,
    /// Told when the bring-up is complete, or has failed.
    pub(crate) up_wakers: Vec<Waker>,
    /// Told when the far end of any circuit has taken something, and when the link is down.
    pub(crate) taken_wakers: Vec<Waker>,
    /// Told when the link is down.
    pub(crate) down_wakers: DownWakers,
    pub(crate) peer: Option<PeerInfo>,
    /// Of a link of the tree.
    pub(crate) behind: Behind,
    pub(crate) down: Option<LinkError>,
    /// The reader has come to the end, and ends the link as soon as it has done what came before that.
    pub(crate) at_end: bool,
    /// On its way out.
    pub(crate) leave: Option<Leave>,
    /// When a child that was told to end has to have gone.
    pub(crate) ends_by: Option<Instant>,
    /// Values that were not written when the link left.
    pub(crate) unsent: u64,
    budget: Budget,
    /// What it was at first, for floors.
    floors: u64,
    /// What one circuit that passes through may reserve of it, in bytes.
    pub(crate) share: u32,
    /// What circuits hold that have come from other links.
    shares: Shares,
    pub(crate) circuits: u32,
    /// Lists that the node sends of itself, and the id of the node that each is for; first the one that has not gone on for
    /// longest.
    pub(crate) lists: Vec<(CellId, u32)>,
    /// Cells whose backlog is sent, and that go on then: lists of which more is made, and methods of which further
    /// requests are taken.
    pub(crate) dry: Vec<CellId>,
    /// Of the peer's own opens, and the strikes of one that is no part of the tree.
    refusals: Refusals,
    pub(crate) strikes: Strikes,
    /// How fast more lists are made for the peer.
    pub(crate) list_pace: Pace,
    /// Those who are told of nodes that come and go.
    pub(crate) watchers: Vec<Watcher>,
}

/// What became of a message that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Started {
    /// It is in the buffer.
    Written,
    /// It is to be kept, and asked for in parts.
    Queued,
}

impl LinkState {
    /// The protocol and its tables, together.
    #[inline]
    pub(crate) fn proto<R>(&mut self, f: impl FnOnce(&mut proto::Link, &mut Slots<'_>) -> R) -> R {
        f(&mut self.link, &mut Slots { mine: &mut self.mine, theirs: &mut self.theirs })
    }

    /// As [`LinkState::proto`], with the outgoing buffer.
    pub(crate) fn proto_out<R>(
        &mut self,
        f: impl FnOnce(&mut proto::Link, &mut Slots<'_>, &mut Vec<u8>) -> R,
    ) -> R {
        let slots = &mut Slots { mine: &mut self.mine, theirs: &mut self.theirs };
        f(&mut self.link, slots, &mut self.output.bytes)
    }

    #[inline]
    fn place(&mut self, handle: Handle) -> Option<&mut CellId> {
        let cells = if self.link.is_mine(handle) { &mut self.mine_cells } else { &mut self.theirs_cells };
        cells.get_mut(handle.index())
    }

    #[inline]
    pub(crate) fn cell_of(&mut self, handle: Handle) -> Option<(CellId, &mut Cell)> {
        let id = *self.place(handle)?;
        self.cells.get(id).map(|cell| (id, cell))
    }

    /// The handle is no longer ours to use.
    pub(crate) fn forget(&mut self, id: CellId) {
        let Some(cell) = self.cells.get(id) else { return };
        if let Some(handle) = cell.handle.take()
            && let Some(place) = self.place(handle)
        {
            *place = NO_CELL;
        }
    }

    fn bind(&mut self, handle: Handle, cell: Cell) -> CellId {
        let id = self.cells.insert(Cell { handle: Some(handle), ..cell });
        let index = handle.index();
        let cells = if self.link.is_mine(handle) { &mut self.mine_cells } else { &mut self.theirs_cells };
        if cells.len() <= index {
            cells.resize(index + 1, NO_CELL);
        }
        cells[index] = id;
        id
    }

    /// Opens a circuit and gives it a cell.
    pub(crate) fn open(&mut self, open: &Open<'_>, cell: Cell) -> Result<CellId, Blocked> {
        if self.link.has_control() {
            // The last hello may still be due: nothing may be opened before it is written.
            self.proto_out(|link, slots, out| link.control(slots, out));
        }
        if self.link.has_control() {
            // Whoever was given up leaves its place before the next one asks for it.
            self.proto_out(|link, slots, out| link.control(slots, out));
        }
        loop {
            match self.proto_out(|link, slots, out| link.open(slots, open, out)) {
                Ok(handle) => return Ok(self.bind(handle, cell)),
                Err(Blocked::NoSlot { theirs: false }) => grow(&mut self.mine, u32::MAX),
                Err(blocked) => return Err(blocked),
            }
        }
    }

    /// Opens a circuit for a channel end in the next message of `carrier`.
    pub(crate) fn attach(
        &mut self,
        carrier: Handle,
        ordinal: u32,
        open: &Open<'_>,
        cell: Cell,
    ) -> Result<CellId, Blocked> {
        loop {
            match self.proto_out(|link, slots, out| link.attach(slots, carrier, ordinal, open, out)) {
                Ok(handle) => return Ok(self.bind(handle, cell)),
                Err(Blocked::NoSlot { theirs: false }) => grow(&mut self.mine, u32::MAX),
                Err(blocked) => return Err(blocked),
            }
        }
    }

    /// The peer has opened a circuit: a cell for it, until the node has decided.
    pub(crate) fn offered(&mut self, handle: Handle, name: &str) -> CellId {
        if handle.index() + 1 >= self.theirs.len() {
            grow(&mut self.theirs, self.circuits);
        }
        self.bind(handle, Cell { tells: super::directory::is_list(name), ..Cell::default() })
    }

    /// Reserves room for a circuit's floor.
    pub(crate) fn reserve(&mut self, bytes: u32) -> bool {
        let fits = self.budget.floors >= u64::from(bytes);
        if fits {
            self.budget.floors -= u64::from(bytes);
        }
        fits
    }

    /// Whether so much could be reserved.
    pub(crate) const fn could_reserve(&self, bytes: u64) -> bool {
        self.budget.floors >= bytes
    }

    /// Gives back what [`LinkState::reserve`] has reserved for a circuit that was not made.
    pub(crate) fn release(&mut self, bytes: u32) {
        self.budget.floors += u64::from(bytes);
    }

    /// Reserves room for a circuit that has come from another link and goes on over this one.
    pub(crate) fn reserve_passing(&mut self, from: Origin, bytes: u32, is_list: bool) -> bool {
        let whole = Held { bytes: self.floors, circuits: self.link.circuits().into(), lists: 0 };
        let one = Held::one(bytes, is_list);
        bytes <= self.share
            && self.could_reserve(bytes.into())
            && self.shares.take(from, one, whole)
            && self.reserve(bytes)
    }

    /// Gives back what [`LinkState::reserve_passing`] has reserved for a circuit that was not made.
    pub(crate) fn release_passing(&mut self, from: Origin, bytes: u32, is_list: bool) {
        self.shares.give_back(from.link, Held::one(bytes, is_list));
        self.release(bytes);
    }

    /// Whether of its memory nothing is promised to anybody, where so much may be lent.
    #[cfg(all(feature = "testing", not(loom)))]
    pub(crate) fn promises_nothing(&self, lend: u64) -> bool {
        self.budget.floors == self.floors && self.budget.pool == lend && self.shares.is_empty()
    }

    /// Drops a cell and gives its reservation back.
    pub(crate) fn remove(&mut self, id: CellId) {
        self.forget(id);
        self.drop_lane(id);
        if let Some(mut cell) = self.cells.remove(id) {
            let ends = core::mem::take(&mut cell.attached);
            self.refuse_attached(ends);
            self.refuse_attached(cell.inbox.drain_ends());
            if cell.is_list {
                self.lists.retain(|(list, _)| *list != id);
                self.watchers.retain(|watcher| watcher.cell != id);
            }
            if let Some(from) = cell.transit.as_ref().and_then(super::transit::Passage::holds_for) {
                self.shares.give_back(from.link, Held::one(cell.reserved, cell.is_list));
            }
            self.budget.floors += u64::from(cell.reserved);
            self.budget.pool += u64::from(cell.window.saturating_sub(cell.reserved));
        }
    }

    /// The program has taken what it took: credit goes back, and grows while there is a pool.
    pub(crate) fn report(&mut self, id: CellId, charged: u32) {
        let Some(cell) = self.cells.get(id) else { return };
        let Some(handle) = cell.handle else { return };
        let total = proto::Total::new(cell.taken.get() as u32);
        let (window, max) = (cell.window, cell.window_max);
        let left = self.proto(|link, slots| link.took(slots, handle, total, charged));
        // Who has taken all that came, while the sender has used half of what it may or
        // more, can use a larger window.
        if window < max && left.is_some_and(|left| left <= window / 2) {
            self.widen(id, handle);
        }
    }

    /// Doubles a circuit's window, while there is a pool.
    #[cold]
    fn widen(&mut self, id: CellId, handle: Handle) {
        if self.lend(id).is_some()
            && let Some(window) = self.cells.get(id).map(|cell| cell.window)
        {
            self.proto(|link, slots| link.set_window(slots, handle, window));
        }
    }

    /// Lends a circuit as much again as it has, out of the pool: how much, in bytes.
    pub(crate) fn lend(&mut self, id: CellId) -> Option<u32> {
        let cell = self.cells.get(id)?;
        let more = cell.window.min(cell.window_max.saturating_sub(cell.window));
        if more == 0 || u64::from(more) > self.budget.pool {
            return None;
        }
        cell.window += more;
        self.budget.pool -= u64::from(more);
        Some(more)
    }

    /// What is not there any more of so many bytes.
    #[cfg(loom)]
    pub(crate) const fn in_use(&self, floors: u64, pool: u64) -> u64 {
        floors + pool - self.budget.floors - self.budget.pool
    }

    /// Sends what was kept because there was no credit: the newest value, and what belongs
    /// to calls.
    pub(crate) fn send_waiting(&mut self, id: CellId) {
        loop {
            let Some(cell) = self.cells.get(id) else { return };
            let (Some(handle), short) = (cell.handle, cell.backlog.front().map(Vec::len)) else { return };
            let Some(len) = short.or_else(|| cell.unsent.as_ref().map(Vec::len)) else {
                if cell.list.is_some() {
                    return self.cells.note(&mut self.dry, id);
                }
                if cell.opened && core::mem::take(&mut cell.end_after) {
                    self.proto(|link, slots| link.end(slots, handle));
                }
                return self.hang_up(id);
            };
            if self.output.is_full() {
                // Goes on when the stream has taken what is there.
                if !core::mem::replace(&mut cell.kept, true) {
                    self.cells.note(&mut self.kept, id);
                }
                return;
            }
            let start = match self.proto(|link, slots| link.start(slots, handle, len)) {
                Ok(start) => start,
                Err(Blocked::TooLarge(_)) => return self.give_up(id, Reason::TooLarge),
                Err(_) => return,
            };
            let Some(cell) = self.cells.get(id) else { return };
            let message = if short.is_some() { cell.backlog.pop_front() } else { cell.unsent.take() };
            let Some(message) = message else { return };
            cell.sent += 1;
            let goes_on = cell.taken.is_held() && cell.backlog.is_empty();
            match start {
                Start::Straight(head) => self.write(&head, &message),
                Start::Queued => cell.outbox = Some(Arc::new(message)),
            }
            if goes_on {
                self.cells.note(&mut self.dry, id);
            }
        }
    }

    /// A list of which all that was made is sent, to make more of.
    pub(crate) fn list_to_go_on_with(&mut self, id: CellId) -> Option<List> {
        let cell = self.cells.get(id)?;
        let goes_on = cell.handle.is_some() && cell.dead.is_none() && cell.backlog.is_empty();
        if goes_on { cell.list.take() } else { None }
    }

    /// Begins a message: a short one is in the buffer then, a long one is to be queued.
    #[inline]
    pub(crate) fn start(&mut self, handle: Handle, message: &[u8]) -> Result<Started, Blocked> {
        // By reference: moving bytes that were just written one by one stalls a processor.
        match &self.proto(|link, slots| link.start(slots, handle, message.len())) {
            Ok(Start::Straight(head)) => {
                self.write(head, message);
                Ok(Started::Written)
            }
            Ok(Start::Queued) => Ok(Started::Queued),
            Err(blocked) => Err(*blocked),
        }
    }

    /// Goes on with what was kept because the outgoing buffer was full.
    #[inline]
    pub(crate) fn send_kept(&mut self) {
        if !self.kept.is_empty() && !self.output.is_full() {
            self.send_all_kept();
        }
    }

    fn send_all_kept(&mut self) {
        for id in core::mem::take(&mut self.kept) {
            if let Some(cell) = self.cells.get(id) {
                cell.kept = false;
                self.send_waiting(id);
            }
        }
    }

    /// Puts a short message into the outgoing buffer; `false` where that is not possible
    /// right now, and nothing has changed then.
    #[inline]
    pub(crate) fn append_short(&mut self, id: CellId, message: &Short, len: usize) -> bool {
        // The fields apart, so that the cell is looked up once.
        let Self { link, mine, theirs, cells, output, .. } = self;
        let Some(cell) = cells.get(id) else { return false };
        let (None, Some(handle)) = (cell.dead, cell.handle) else { return false };
        if output.is_full() || link.crc_seed().is_some() || !cell.backlog.is_empty() {
            return false;
        }
        match link.begin(&mut Slots { mine, theirs }, handle, len) {
            Ok(true) => {
                link.head(handle, len).append_to(&mut output.bytes);
                let end = output.bytes.len() + len;
                output.bytes.extend_from_slice(message);
                output.bytes.truncate(end);
            }
            Ok(false) => cell.outbox = Some(Arc::new(message[..len].to_vec())),
            Err(_) => return false,
        }
        cell.sent += 1;
        true
    }

    /// Puts a message of the straight path into the outgoing buffer.
    #[inline]
    pub(crate) fn write(&mut self, head: &Head, message: &[u8]) {
        let out = &mut self.output.bytes;
        head.append_to(out);
        out.extend_from_slice(message);
        if let Some(seed) = self.link.crc_seed() {
            let crc = crc32c_append(crc32c_append(!seed, head.frame()), message);
            self.output.bytes.extend_from_slice(&(!crc).to_le_bytes());
        }
    }

    /// All of it is taken and the program has been told of the end.
    pub(crate) fn drained(&mut self, id: CellId) {
        let Some(cell) = self.cells.get(id) else { return };
        let (Some(handle), done) = (cell.handle, cell.done) else { return };
        cell.drained = true;
        let total = proto::Total::new(cell.taken.get() as u32);
        self.proto(|link, slots| {
            link.taken(slots, handle, total, false);
            link.drained(slots, handle);
        });
        if done {
            self.forget(id);
        }
    }

    /// Credit goes back for what came and nobody will take: it does not count as taken.
    pub(crate) fn discard(&mut self, id: CellId, charged: u32) {
        let Some(handle) = self.cells.get(id).and_then(|cell| cell.handle) else { return };
        if charged > 0 {
            self.proto(|link, slots| link.consumed(slots, handle, charged));
        }
    }

    /// Where both halves are gone and the peer still has what it sends open: it is told as
    /// soon as our own last value and its end are written. A notice would discard them.
    pub(crate) fn hang_up(&mut self, id: CellId) {
        let Some(cell) = self.cells.get(id) else { return };
        let written = cell.opened && cell.outbox.is_none() && cell.backlog.is_empty();
        let through = !cell.receives || cell.ended && !cell.untaken;
        if !(cell.tx_gone && cell.rx_gone && written) || through || cell.handle.is_none() {
            return;
        }
        let orphan = cell.orphan;
        cell.dead.get_or_insert(Dead::here(Reason::HungUp));
        self.proto_out(|link, slots, out| link.control(slots, out));
        self.kill(id, Reason::HungUp, "");
        if orphan {
            self.remove(id);
        }
    }

    /// What waits cannot go: whoever waits on the circuit hears of it.
    fn give_up(&mut self, id: CellId, reason: Reason) {
        let Some(cell) = self.cells.get(id) else { return };
        cell.dead.get_or_insert_with(|| Dead::here(reason));
        cell.backlog.clear();
        let orphan = cell.orphan;
        self.kill(id, reason, "");
        if orphan {
            self.remove(id);
        }
    }

    /// Why nothing is to be done on a circuit that has no end of its own to tell: it had ended in order when the link was lost.
    pub(crate) const fn gone(&self) -> Dead {
        match self.down {
            Some(error) => error.dead(),
            None => Dead::here(Reason::LinkLost),
        }
    }

    /// Gives a circuit up.
    pub(crate) fn kill(&mut self, id: CellId, reason: Reason, detail: &'static str) {
        let Some(cell) = self.cells.get(id) else { return };
        cell.outbox = None;
        let total = proto::Total::new(cell.taken.get() as u32);
        if let Some(handle) = cell.handle {
            self.proto(|link, slots| {
                link.taken(slots, handle, total, false);
                link.kill(slots, handle, Dead::here(reason), detail);
            });
        }
        self.forget(id);
    }
}

fn grow(slots: &mut Vec<Slot>, limit: u32) {
    let len = (slots.len() * 2).max(8).min(limit as usize);
    slots.resize(len.max(slots.len()), Slot::new());
}

impl LinkCell {
    pub(crate) fn new(
        node: &Arc<NodeInner>,
        io: Io,
        config: LinkConfig,
        nonce: u64,
        budget: Budget,
        ends_node: bool,
    ) -> Self {
        let mut theirs = Vec::new();
        grow(&mut theirs, config.circuits);
        let number = node.next_link();
        Self {
            state: Mutex::new(LinkState {
                link: proto::Link::new(config, nonce, node.now()),
                mine: Vec::new(),
                theirs,
                mine_cells: Vec::new(),
                theirs_cells: Vec::new(),
                cells: Cells::default(),
                output: match config.window {
                    0 => Output::new(),
                    window => Output::on_line(config.packet, window),
                },
                kept: Vec::new(),
                kept_transits: VecDeque::new(),
                lanes: Vec::new(),
                may_be_unseen: false,
                asked: Vec::new(),
                up_wakers: Vec::new(),
                taken_wakers: Vec::new(),
                down_wakers: DownWakers::default(),
                peer: None,
                behind: Behind::default(),
                down: None,
                at_end: false,
                leave: None,
                ends_by: None,
                unsent: 0,
                budget,
                floors: budget.floors,
                share: u32::try_from(budget.floors / SHARES).unwrap_or(u32::MAX),
                shares: Shares::new(node.config.passing_per_link),
                circuits: config.circuits,
                lists: Vec::new(),
                dry: Vec::new(),
                refusals: Refusals::default(),
                strikes: Strikes::default(),
                list_pace: Pace::default(),
                watchers: Vec::new(),
            }),
            reader: TryMutex::new(Reader::new()),
            io,
            node: Arc::downgrade(node),
            number,
            neighbour: AtomicU32::new(0),
            ends_node,
            is_down: AtomicBool::new(false),
            has_place: AtomicBool::new(false),
            led: AtomicBool::new(false),
            left_over: AtomicBool::new(false),
        }
    }

    /// What senders have left in their lanes is part of the state then.
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, LinkState> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.lanes.is_empty() {
            state.take_from_lanes();
        }
        state
    }

    /// An open was refused. Called with nothing locked.
    pub(crate) fn note_refusal(&self, offer: &Offer) {
        let is_its_own = match &offer.path {
            None => true,
            Some(path) => path.route().from == self.neighbour.load(Ordering::Relaxed),
        };
        if is_its_own
            && let Some(node) = self.node.upgrade()
            && self.lock().refusals.add(node.now())
        {
            node.strike_for_flood(self);
        }
    }

    pub(crate) fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Acquire)
    }

    /// Ends the link: every circuit on it is dead, and everybody who waits is told. The
    /// first cause stays.
    pub(crate) fn fail(&self, error: LinkError) {
        let mut effects = Effects::default();
        let mut state = self.lock();
        if state.down.is_some() {
            return;
        }
        // Nobody locks the link for them any more.
        state.close_lanes();
        let error = self.io.stream().explain(error);
        // After our goodbye the stream's end is what we asked for, and so is that the peer begins anew, as boards do at once.
        let error = match (error, state.parting()) {
            (LinkError::Closed | LinkError::Io(_) | LinkError::Fault(Fault::Restarted(_)), Some(reason)) => {
                LinkError::Local(reason)
            }
            _ => error,
        };
        state.down = Some(error);
        if state.is_draining() {
            state.unsent = state.count_unsent();
        }
        // May be the last to hold the node, so not dropped under the lock.
        let leave = state.leave.take();
        let dead = error.dead();
        state.lose_transits(dead, &mut effects);
        let LinkState { cells, up_wakers, taken_wakers, down_wakers, output, .. } = &mut *state;
        for cell in cells.iter_mut() {
            cell.handle = None;
            cell.outbox = None;
            // What has ended in order stays so; its queue is still delivered.
            let in_order = cell.ended && cell.receives && cell.sent == cell.confirmed;
            if !(cell.done || in_order) {
                cell.dead.get_or_insert(dead);
            }
            cell.wake_all(&mut effects.wakers);
            effects.tell(cell.member.as_ref(), Signal::Over);
        }
        effects.wakers.append(up_wakers);
        effects.wakers.append(taken_wakers);
        let down_wakers = down_wakers.take();
        output.wake_all(&mut effects.wakers);
        state.mine_cells.clear();
        state.theirs_cells.clear();
        self.is_down.store(true, Ordering::Release);
        drop(state);
        self.io.stream().close();
        effects.run(self);
        if let Some(node) = self.node.upgrade() {
            node.link_down(self, error);
        }
        // Who dials anew finds a node that has left the tree.
        for waker in down_wakers {
            waker.wake();
        }
        drop(leave);
    }

    /// Why the link is down, if it is.
    pub(crate) fn down(&self) -> Option<LinkError> {
        if self.is_down() { self.lock().down } else { None }
    }

    /// The transport's end of stream or error.
    pub(crate) fn io_ended(&self, result: &io::Result<usize>) {
        match result {
            Ok(_) => self.fail(LinkError::Closed),
            Err(error) => self.fail(LinkError::Io(error.kind())),
        }
    }

    /// Lets the protocol look at the clock.
    pub(crate) fn tick(&self) {
        let Some(node) = self.node.upgrade() else { return self.fail(LinkError::Local(Reason::Shutdown)) };
        let mut state = self.lock();
        // An open that came before a goodbye would find its circuit dead, and its message be lost.
        if state.down.is_some() || state.at_end {
            return;
        }
        state.look_at_asked();
        let result = state.link.tick(node.now());
        match result {
            Ok(()) => {
                let is_tied = state.link.relation() != proto::Relation::Peer;
                self.flush(state);
                if is_tied {
                    // What there was no room for.
                    node.tell_tree();
                }
            }
            Err(fault) => {
                drop(state);
                self.fail(fault.into());
            }
        }
    }

    /// How often [`LinkCell::tick`] is to be called: often enough that a silent peer is
    /// noticed within a quarter of the dead-time beyond it, and that this side is heard as often as
    /// it has promised, however patient its peer is.
    pub(crate) fn tick_every(&self) -> Duration {
        let state = self.lock();
        let ms = match state.link.dead_ms() {
            0 => 1_000,
            ms => ms.min(state.link.hear_ms().saturating_mul(4)),
        };
        drop(state);
        Duration::from_millis(u64::from(ms / 16).max(5))
    }

    /// Blocks until bytes of `source` may have ended a wait. `false` where the thread cannot
    /// read the link itself and has to park.
    pub(crate) fn wait_on(
        source: Option<Source<'_>>,
        parker: &Arc<Parker>,
        deadline: Option<Instant>,
    ) -> bool {
        source.is_some_and(|source| Self::lead(source.link(), parker, deadline))
    }

    /// Wakes the thread that reads this link in person although no bytes have come: asks
    /// the peer for a sign of life, whose arrival ends the read.
    pub(crate) fn interrupt(&self) {
        let mut state = self.lock();
        state.link.ping();
        self.flush(state);
    }
}

impl LinkState {
    /// Why the link is down, for people.
    pub(crate) fn explain(&self, fault: Fault) -> LinkError {
        match (fault, self.link.stranger()) {
            (Fault::TurnedAway(_), Some(name)) => LinkError::OtherNode(name),
            _ => fault.into(),
        }
    }
}

impl From<Fault> for LinkError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TurnedAway(reason) => Self::Local(reason),
            fault => Self::Fault(fault),
        }
    }
}
