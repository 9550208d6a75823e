//! A circuit as the program's ends hold it.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::task::Waker;

use super::carry::{Attached, Departing};
use super::cell::{Cell, CellId, TakenWord};
use super::error::SendCause;
use super::hub::Signal;
use super::inbox::Inbox;
use super::lane::LanePlace;
use super::link::{LinkCell, LinkState, Started};
use super::output::Urgency;
use super::peer::WINDOW_MAX;
use super::sender::{Account, Short};
use super::spec::Spec;
use super::sync::{AtomicU64, Ordering};
use crate::proto::{Blocked, Dead, Fingerprints, Handle, Link, Open, OpenFlags, Place, Reason, Start, Total};

/// Most short messages that wait for credit on one circuit: more than calls may be under way.
const SHORTS_MAX: usize = 16 * 1024;

/// Why a circuit takes no value now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The waker is registered.
    Wait,
    TooLarge(u32),
    Dead(Dead),
}

impl Refusal {
    /// For the program; `None` where it waits.
    pub(crate) const fn cause(self) -> Option<SendCause> {
        match self {
            Self::Wait => None,
            Self::TooLarge(limit) => Some(SendCause::TooLarge(limit)),
            Self::Dead(dead) => Some(SendCause::Dead(dead)),
        }
    }
}

/// What an inbox had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    Messages,
    /// The waker is registered.
    Nothing,
    Closed,
    Dead(Dead),
}

/// One circuit, shared by the ends on it. The last one to go releases it.
pub(crate) struct Circuit {
    pub(crate) link: Arc<LinkCell>,
    /// The channel's, for errors.
    pub(crate) name: Arc<str>,
    id: CellId,
    taken: Arc<TakenWord>,
    requests: Requests,
}

/// Of a method: how many requests are being handled, above three bits of what is to be when they are not any more.
#[derive(Default)]
struct Requests(AtomicU64);

impl Requests {
    /// What is sent ends.
    const ENDING: u64 = 1;
    /// Of a chain: there may be a next one.
    const HELD: u64 = 2;
    /// Of a chain: one has failed, and no other runs.
    const BROKEN: u64 = 4;
    const ONE: u64 = 8;
}

impl fmt::Debug for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Circuit({}.{})", self.link.number, self.id)
    }
}

impl Circuit {
    pub(crate) fn new(link: &Arc<LinkCell>, state: &mut LinkState, id: CellId, name: Arc<str>) -> Self {
        let taken = state.cells.get(id).map(|cell| Arc::clone(&cell.taken)).unwrap_or_default();
        Self { link: Arc::clone(link), name, id, taken, requests: Requests::default() }
    }

    /// A request has come that will be answered.
    pub(crate) fn begin_request(&self) {
        self.requests.0.fetch_add(Requests::ONE, Ordering::AcqRel);
    }

    /// A request was answered.
    pub(crate) fn end_request(&self) {
        let before = self.requests.0.fetch_sub(Requests::ONE, Ordering::AcqRel);
        if before >= 2 * Requests::ONE {
            return;
        }
        if before & Requests::HELD != 0 {
            self.requests.0.fetch_and(!Requests::HELD, Ordering::AcqRel);
            if let Some(member) = self.with(|cell| cell.member.clone()).flatten() {
                member.is_ready();
                member.signal(Signal::Received);
            }
        }
        if before & Requests::ENDING != 0 {
            self.drop_tx();
        }
    }

    /// Of a chain: whether its next request has to wait. Its hub is told when it has not any more.
    pub(crate) fn holds_next(&self) -> bool {
        let before = self.requests.0.fetch_or(Requests::HELD, Ordering::AcqRel);
        let is_held = before >= Requests::ONE;
        if !is_held {
            // Whoever asks is the only one who begins requests.
            self.requests.0.fetch_and(!Requests::HELD, Ordering::AcqRel);
        }
        is_held
    }

    /// Of a chain: no request that comes runs any more.
    pub(crate) fn break_chain(&self) {
        self.requests.0.fetch_or(Requests::BROKEN, Ordering::AcqRel);
    }

    pub(crate) fn is_chain_broken(&self) -> bool {
        self.requests.0.load(Ordering::Acquire) & Requests::BROKEN != 0
    }

    /// The sending half ends as soon as no request is being handled.
    pub(crate) fn end_after_requests(&self) {
        if self.requests.0.fetch_or(Requests::ENDING, Ordering::AcqRel) < Requests::ONE {
            self.drop_tx();
        }
    }

    /// Whether the far program has taken all that was sent; `None` registers the waker.
    pub(crate) fn settled(&self, waker: &Waker) -> Option<Result<(), Dead>> {
        let settled = self.with(|cell| match cell.dead {
            _ if cell.done || cell.confirmed == cell.sent => (Some(Ok(())), None),
            Some(dead) => (Some(Err(dead)), None),
            None => (None, set(&mut cell.send_waker, waker)),
        });
        // The one before may be the last hold on a task: not dropped under the lock.
        settled.map_or_else(|| Some(Err(gone())), |(settled, _)| settled)
    }

    /// Sends one message, or says why not. A large one is taken out of `message`.
    #[inline]
    pub(crate) fn send(&self, message: &mut Vec<u8>, waker: Option<&Waker>) -> Result<(), Refusal> {
        let mut guard = self.link.lock();
        let state = &mut *guard;
        let Some(cell) = state.cells.get(self.id) else { return Err(Refusal::Dead(gone())) };
        if let Some(dead) = cell.dead {
            return Err(Refusal::Dead(dead));
        }
        let Some(handle) = cell.handle else { return Err(Refusal::Dead(gone())) };
        if !cell.opened || !cell.backlog.is_empty() {
            // An end that moves: not taken at the other side yet, or values go first.
            let old = waker.and_then(|waker| set(&mut cell.send_waker, waker));
            self.link.flush(guard);
            drop(old);
            return Err(Refusal::Wait);
        }
        if state.output.is_full() {
            if let Some(waker) = waker {
                state.output.wait_for_room(waker);
            }
            self.link.flush(guard);
            return Err(Refusal::Wait);
        }
        let mut started = state.start(handle, message);
        if matches!(started, Err(Blocked::Busy)) {
            // What goes first may be our accept: no event would wake us after it.
            state.proto_out(|link, slots, out| link.control(slots, out));
            started = state.start(handle, message);
        }
        match started {
            Ok(Started::Written) => {
                if let Some(cell) = state.cells.get(self.id) {
                    cell.sent += 1;
                }
                self.link.push(guard, Urgency::Burst);
                Ok(())
            }
            Ok(Started::Queued) => {
                if let Some(cell) = state.cells.get(self.id) {
                    cell.sent += 1;
                    cell.outbox = Some(Arc::new(core::mem::take(message)));
                }
                self.link.flush(guard);
                Ok(())
            }
            Err(Blocked::Credit | Blocked::Busy) => {
                let cell = state.cells.get(self.id).zip(waker);
                let old = cell.and_then(|(cell, waker)| set(&mut cell.send_waker, waker));
                self.link.flush(guard);
                drop(old);
                Err(Refusal::Wait)
            }
            Err(Blocked::TooLarge(limit)) => Err(Refusal::TooLarge(limit)),
            Err(_) => Err(Refusal::Dead(Dead::here(Reason::Closed))),
        }
    }

    /// Whether a message of this length (of the receiver's limit, if it has no bound) could
    /// be sent now; registers the waker if not.
    pub(crate) fn has_room(&self, longest: Option<usize>, waker: &Waker) -> Result<bool, Dead> {
        let mut guard = self.link.lock();
        let state = &mut *guard;
        let Some(cell) = state.cells.get(self.id) else { return Err(gone()) };
        if let Some(dead) = cell.dead {
            return Err(dead);
        }
        let handle = cell.handle.ok_or_else(gone)?;
        if !cell.opened || !cell.backlog.is_empty() {
            let old = set(&mut cell.send_waker, waker);
            self.link.flush(guard);
            drop(old);
            return Ok(false);
        }
        if state.output.is_full() {
            state.output.wait_for_room(waker);
            self.link.flush(guard);
            return Ok(false);
        }
        let could = state.proto(|link, slots| {
            let limit = link.limit(slots, handle) as usize;
            link.could_start(slots, handle, longest.map_or(limit, |longest| longest.min(limit)))
        });
        match could {
            Ok(()) => Ok(true),
            Err(Blocked::Credit | Blocked::Busy) => {
                let old = state.cells.get(self.id).and_then(|cell| set(&mut cell.send_waker, waker));
                self.link.flush(guard);
                drop(old);
                Ok(false)
            }
            Err(_) => Err(Dead::here(Reason::Closed)),
        }
    }

    /// Sends a short message if nothing stands in the way; else nothing has happened.
    /// Those that follow it in a burst may take the lane.
    pub(crate) fn send_short_now(&self, message: &Short, len: usize, lane: Option<LanePlace<'_>>) -> bool {
        let mut state = self.link.lock();
        let sent = state.append_short(self.id, message, len);
        // In a burst this is all: who has been told to flush carries the message along.
        if sent && !state.output.is_carried() {
            self.link.push(state, Urgency::Burst);
        } else if sent {
            self.carried(&mut state, lane);
        }
        sent
    }

    /// The flusher is on its way and carries along what was sent: what follows may take the lane.
    fn carried(&self, state: &mut LinkState, lane: Option<LanePlace<'_>>) {
        // A thread that goes to sleep writes it first.
        self.link.leave_over();
        if let Some(mut lane) = lane
            && let Some(handle) = state.cells.get(self.id).and_then(|cell| cell.handle)
        {
            state.open_lane(self.id, handle, &mut lane);
        }
    }

    /// What was stored in a lane that is closed goes its way.
    #[cold]
    pub(crate) fn send_stored(&self) {
        let state = self.link.lock();
        self.link.push(state, Urgency::Burst);
    }

    /// Writes a large message from where it lies, if it can go whole and at once; else
    /// nothing has happened.
    pub(crate) fn write_through(&self, message: &[u8]) -> bool {
        let mut guard = self.link.lock();
        let state = &mut *guard;
        // Whoever stores a value after this and goes to sleep is to know that it is not written.
        state.close_lanes();
        let Some(cell) = state.cells.get(self.id) else { return false };
        let (None, Some(handle)) = (cell.dead, cell.handle) else { return false };
        if !cell.opened || !cell.backlog.is_empty() || !state.may_write_through(message.len()) {
            return false;
        }
        let Ok(Start::Queued) = state.proto(|link, slots| link.start(slots, handle, message.len())) else {
            return false;
        };
        let Some(part) = state.proto(|link, slots| link.fragment(slots)) else { return false };
        debug_assert!(part.last && part.len == message.len(), "was asked before");
        if let Some(cell) = state.cells.get(self.id) {
            cell.sent += 1;
        }
        self.link.write_through(guard, &part.head, message);
        true
    }

    /// As [`Circuit::send_short_now`], for many under one lock: how many were sent.
    pub(crate) fn send_batch_now(&self, batch: &[(Short, usize)], lane: Option<LanePlace<'_>>) -> usize {
        let mut state = self.link.lock();
        let sent =
            batch.iter().take_while(|(message, len)| state.append_short(self.id, message, *len)).count();
        if sent > 0 && !state.output.is_carried() {
            self.link.push(state, Urgency::Burst);
        } else if sent > 0 {
            self.carried(&mut state, lane);
        }
        sent
    }

    /// Sends a message that carries channel ends: each gets a circuit of its own first.
    pub(crate) fn send_carrying(
        &self,
        message: &mut Vec<u8>,
        ends: &mut Vec<Departing>,
        waker: Option<&Waker>,
    ) -> Result<(), Refusal> {
        if ends.is_empty() {
            return self.send(message, waker);
        }
        if let Some(waker) = waker
            && !self.has_room(Some(message.len()), waker).map_err(Refusal::Dead)?
        {
            return Err(Refusal::Wait);
        }
        let mut circuits = Vec::new();
        let result = self.attach_and_send(message, ends, &mut circuits);
        match result {
            Ok(()) => {
                for (end, circuit) in ends.iter_mut().zip(circuits) {
                    end.bind(circuit);
                }
                ends.clear();
            }
            // Their drop tells the peer, and locks the link: not before it is let go.
            Err(_) => drop(circuits),
        }
        result
    }

    fn attach_and_send(
        &self,
        message: &mut Vec<u8>,
        ends: &[Departing],
        circuits: &mut Vec<Arc<Self>>,
    ) -> Result<(), Refusal> {
        let mut guard = self.link.lock();
        let state = &mut *guard;
        let Some(cell) = state.cells.get(self.id) else { return Err(Refusal::Dead(gone())) };
        if let Some(dead) = cell.dead {
            return Err(Refusal::Dead(dead));
        }
        let handle = cell.handle.ok_or_else(|| Refusal::Dead(gone()))?;
        // Nothing is attached for a message that could not follow at once.
        match state.proto(|link, slots| link.could_start(slots, handle, message.len())) {
            Ok(()) => {}
            Err(Blocked::TooLarge(limit)) => return Err(Refusal::TooLarge(limit)),
            Err(Blocked::Credit | Blocked::Busy) => return Err(Refusal::Wait),
            Err(_) => return Err(Refusal::Dead(Dead::here(Reason::Closed))),
        }
        // All or none: what is attached belongs to the next message, whichever that is.
        let floors = ends.iter().map(|end| u64::from(spec_here(end).room(None).1)).sum();
        if !state.could_reserve(floors) || !state.proto(|link, slots| link.has_handles(slots, ends.len())) {
            return Err(Refusal::Dead(Dead::here(Reason::NoResources)));
        }
        for (ordinal, end) in ends.iter().enumerate() {
            let id = attach(state, handle, ordinal as u32, end)
                .ok_or(Refusal::Dead(Dead::here(Reason::NoResources)))?;
            circuits.push(Arc::new(Self::new(&self.link, state, id, self.name_inside())));
        }
        match state.proto(|link, slots| link.start(slots, handle, message.len())) {
            Ok(Start::Straight(head)) => state.write(&head, message),
            Ok(Start::Queued) => {
                if let Some(cell) = state.cells.get(self.id) {
                    cell.outbox = Some(Arc::new(core::mem::take(message)));
                }
            }
            Err(_) => return Err(Refusal::Wait),
        }
        if let Some(cell) = state.cells.get(self.id) {
            cell.sent += 1;
        }
        self.link.flush(guard);
        Ok(())
    }

    /// What an end is called that travels in a message of this circuit.
    fn name_inside(&self) -> Arc<str> {
        alloc::format!("(sent over {})", self.name).into()
    }

    /// Accepts an end that came with a message of this circuit.
    pub(crate) fn accept_attached(&self, end: &Attached, spec: &Spec, which: u8) -> Option<Arc<Self>> {
        let mut guard = self.link.lock();
        let state = &mut *guard;
        let (limit, floor) = spec.room(None);
        let cell = state.cells.get(end.cell)?;
        if cell.dead.is_some() {
            // It died on the way: the program hears of that where it uses the end.
            cell.opened = true;
            return Some(Arc::new(Self::new(&self.link, state, end.cell, self.name_inside())));
        }
        let handle = cell.handle;
        let Some(handle) = handle.filter(|_| state.reserve(floor)) else {
            state.kill(end.cell, Reason::NoResources, "");
            state.remove(end.cell);
            self.link.flush(guard);
            return None;
        };
        let cell = state.cells.get(end.cell)?;
        cell.opened = true;
        cell.which = which;
        cell.window = floor;
        cell.window_max = WINDOW_MAX.max(floor);
        cell.reserved = floor;
        cell.receives = spec.flags.has(OpenFlags::RECEIVES);
        cell.sends = spec.flags.has(OpenFlags::SENDS);
        state.proto_out(|link, slots, out| {
            link.accept(slots, handle, 0, floor, limit);
            link.control(slots, out);
        });
        let circuit = Arc::new(Self::new(&self.link, state, end.cell, self.name_inside()));
        self.link.flush(guard);
        Some(circuit)
    }

    /// Ends that came with a message, and that the program has not taken.
    pub(crate) fn refuse_attached(&self, ends: Vec<Attached>) {
        if !ends.is_empty() {
            let mut state = self.link.lock();
            state.refuse_attached(ends);
            self.link.flush(state);
        }
    }

    /// Sends these before anything else.
    pub(crate) fn send_first(&self, messages: Vec<Vec<u8>>) {
        let mut state = self.link.lock();
        if let Some(cell) = state.cells.get(self.id) {
            cell.backlog.extend(messages);
        }
        state.send_waiting(self.id);
        self.link.flush(state);
    }

    /// Sends this and the end as soon as the circuit is open, without anybody who would wait for it.
    pub(crate) fn send_when_open(&self, message: Vec<u8>) {
        let mut state = self.link.lock();
        if let Some(cell) = state.cells.get(self.id) {
            cell.backlog.push_back(message);
            (cell.tx_gone, cell.end_after) = (true, true);
        }
        state.send_waiting(self.id);
        self.link.flush(state);
    }

    /// Why nothing can be sent any more; registers the waker for when that comes.
    pub(crate) fn dead_or_register(&self, waker: &Waker) -> Option<Dead> {
        let registered = self.with(|cell| match cell.dead {
            None => (None, set(&mut cell.send_waker, waker)),
            dead => (dead, None),
        });
        registered.map_or_else(|| Some(gone()), |(dead, _)| dead)
    }

    /// Sends the newest value: one that could not go out before is dropped for it.
    pub(crate) fn send_newest(&self, message: Vec<u8>) -> Result<(), Refusal> {
        let mut guard = self.link.lock();
        let state = &mut *guard;
        let Some(cell) = state.cells.get(self.id) else { return Err(Refusal::Dead(gone())) };
        if let Some(dead) = cell.dead {
            return Err(Refusal::Dead(dead));
        }
        let handle = cell.handle.ok_or_else(|| Refusal::Dead(gone()))?;
        cell.dropped += u64::from(cell.unsent.replace(message).is_some());
        let len = cell.unsent.as_ref().map_or(0, Vec::len);
        let limit = state.proto(|link, slots| link.limit(slots, handle));
        if len > limit as usize {
            if let Some(cell) = state.cells.get(self.id) {
                cell.unsent = None;
            }
            return Err(Refusal::TooLarge(limit));
        }
        state.send_waiting(self.id);
        self.link.push(guard, Urgency::Burst);
        Ok(())
    }

    /// The newest value, once.
    pub(crate) fn receive_newest(&self, waker: Option<&Waker>) -> Result<Vec<u8>, Arrival> {
        let mut state = self.link.lock();
        let Some(cell) = state.cells.get(self.id) else { return Err(Arrival::Dead(gone())) };
        cell.announced = false;
        if let Some(newest) = cell.newest.take() {
            return Ok(newest);
        }
        if let Some(dead) = cell.dead {
            return Err(Arrival::Dead(dead));
        }
        if cell.ended {
            state.drained(self.id);
            self.link.flush(state);
            return Err(Arrival::Closed);
        }
        let old = waker.and_then(|waker| set(&mut cell.recv_waker, waker));
        self.link.flush(state);
        drop(old);
        Err(Arrival::Nothing)
    }

    /// Sends a short message now or as soon as there is room, without a wait. Its room at
    /// the other side was reserved.
    pub(crate) fn send_short(&self, message: Vec<u8>) {
        let mut state = self.link.lock();
        let Some(cell) = state.cells.get(self.id) else { return };
        if cell.dead.is_none() && cell.handle.is_some() {
            cell.backlog.push_back(message);
            // An honest caller has room for all that it asks for.
            if cell.backlog.len() > SHORTS_MAX {
                cell.dead = Some(Dead::here(Reason::NoResources));
                cell.backlog.clear();
                state.kill(self.id, Reason::NoResources, "");
            } else {
                state.send_waiting(self.id);
            }
        }
        self.link.flush(state);
    }

    /// Whether a message that is here and not yet taken is like this.
    pub(crate) fn any(&self, is: impl FnMut(&[u8]) -> bool) -> bool {
        self.with(|cell| cell.inbox.any(is)).unwrap_or(false)
    }

    /// One value of this circuit was taken by the program.
    #[inline]
    pub(crate) fn count_taken(&self, inbox: &mut Inbox) {
        let asked = self.taken.count();
        if asked || inbox.owes_report() {
            self.report_taken(inbox);
        }
    }

    #[cold]
    fn report_taken(&self, inbox: &mut Inbox) {
        let mut state = self.link.lock();
        state.report(self.id, core::mem::take(&mut inbox.charged));
        state.answer_ask(self.id);
        self.link.flush_but_ack(state);
    }

    /// Exchanges an inbox that the program has emptied for what has come meanwhile.
    pub(crate) fn receive(&self, inbox: &mut Inbox, waker: Option<&Waker>) -> Arrival {
        self.receive_as(inbox, waker, false, false)
    }

    /// As [`Circuit::receive`], for the only importer of an export: the hub is not told of
    /// messages as long as this is how they are received.
    pub(crate) fn receive_directly(&self, inbox: &mut Inbox, waker: &Waker) -> Arrival {
        self.receive_as(inbox, Some(waker), true, false)
    }

    /// As [`Circuit::receive`], of one message only; what else has come stays where it is.
    pub(crate) fn receive_next(&self, inbox: &mut Inbox) -> Arrival {
        self.receive_as(inbox, None, false, true)
    }

    fn receive_as(&self, inbox: &mut Inbox, waker: Option<&Waker>, announced: bool, one: bool) -> Arrival {
        let mut guard = self.link.lock();
        let state = &mut *guard;
        let charged = core::mem::take(&mut inbox.charged);
        if charged > 0 {
            state.report(self.id, charged);
            state.answer_ask(self.id);
        }
        inbox.recycle();
        let Some(cell) = state.cells.get(self.id) else { return Arrival::Dead(gone()) };
        cell.announced = announced;
        let mut old = None;
        let arrival = if !cell.inbox.is_empty() {
            if one {
                cell.inbox.move_next(inbox);
                // Whoever has taken one looks again in any case: what comes meanwhile need not say so.
                cell.announced = true;
            } else {
                core::mem::swap(&mut cell.inbox, inbox);
            }
            inbox.report_at = cell.report_at();
            Arrival::Messages
        } else if cell.ended {
            // Before a death: what came after the end concerns the other direction alone.
            state.drained(self.id);
            Arrival::Closed
        } else if let Some(dead) = cell.dead {
            Arrival::Dead(dead)
        } else {
            old = waker.and_then(|waker| set(&mut cell.recv_waker, waker));
            Arrival::Nothing
        };
        // The program is about to take the messages, and to come back for more: or else the
        // driver will look within milliseconds.
        if arrival == Arrival::Messages {
            self.link.flush_but_ack(guard);
        } else {
            self.link.flush(guard);
        }
        drop(old);
        arrival
    }

    /// Credit goes back for what was taken from an inbox that is now empty. `true` if no
    /// more will come, so that nobody else will say to look at the circuit again.
    pub(crate) fn give_back(&self, inbox: &mut Inbox) -> bool {
        let charged = core::mem::take(&mut inbox.charged);
        let mut state = self.link.lock();
        if charged > 0 {
            state.report(self.id, charged);
        }
        let over = state.cells.get(self.id).is_none_or(|cell| cell.ended || cell.dead.is_some());
        self.link.flush_but_ack(state);
        over
    }

    /// The program cannot decode what came: the circuit ends, nothing else.
    pub(crate) fn kill(&self, reason: Reason, detail: &'static str) {
        let mut state = self.link.lock();
        if let Some(cell) = state.cells.get(self.id) {
            cell.dead.get_or_insert_with(|| Dead::here(reason));
            // Something is lost, so it is no orderly end any more.
            cell.ended = false;
        }
        state.kill(self.id, reason, detail);
        self.link.flush(state);
    }

    /// The sending half was dropped: an orderly end.
    pub(crate) fn drop_tx(&self) {
        let mut state = self.link.lock();
        let Some(cell) = state.cells.get(self.id) else { return };
        cell.tx_gone = true;
        state.drop_lane(self.id);
        let Some(cell) = state.cells.get(self.id) else { return };
        if !cell.opened || !cell.backlog.is_empty() || cell.unsent.is_some() {
            cell.end_after = true;
        } else if let Some(handle) = cell.handle {
            state.proto(|link, slots| link.end(slots, handle));
        }
        state.hang_up(self.id);
        self.link.flush(state);
    }

    /// The receiving half was dropped: what was not taken is not taken any more.
    pub(crate) fn drop_rx(&self, inbox: &mut Inbox) {
        let mut state = self.link.lock();
        state.refuse_attached(inbox.drain_ends());
        let Some(cell) = state.cells.get(self.id) else { return };
        cell.rx_gone = true;
        let partial = cell.partial.take();
        cell.untaken |= !inbox.is_empty() || !cell.inbox.is_empty() || partial.is_some();
        if !cell.untaken && cell.ended {
            state.drained(self.id);
        } else if !cell.sends {
            cell.dead.get_or_insert(Dead::here(Reason::HungUp));
            state.kill(self.id, Reason::HungUp, "");
        } else {
            // The sending half goes on, or its last values do. Until they are written the
            // peer cannot be told, but its sends do not wait for room in vain.
            let mut ends = cell.inbox.drain_ends();
            ends.append(&mut cell.attached);
            let partial = partial.map_or(0, |(_, len)| Link::charge(len as u32));
            let charged = cell.inbox.discard().wrapping_add(inbox.discard()).wrapping_add(partial);
            state.refuse_attached(ends);
            state.discard(self.id, charged);
            state.hang_up(self.id);
        }
        self.link.flush(state);
    }

    /// Whether the accept has come, and with which fingerprint.
    pub(crate) fn opened(&self, waker: &Waker) -> Option<Result<u8, (Dead, String)>> {
        let mut state = self.link.lock();
        let cell = state.cells.get(self.id)?;
        if cell.opened {
            return Some(Ok(cell.which));
        }
        if let Some(dead) = cell.dead {
            return Some(Err((dead, core::mem::take(&mut cell.detail))));
        }
        let old = set(&mut cell.recv_waker, waker);
        self.link.flush(state);
        drop(old);
        None
    }

    /// How many values were confirmed, are in doubt, and were never written.
    pub(crate) fn account(&self) -> Account {
        let mut state = self.link.lock();
        let Some(cell) = state.cells.get(self.id) else { return Account::default() };
        let begun = u64::from(cell.outbox.is_some());
        Account {
            confirmed: cell.confirmed,
            in_doubt: (cell.sent - cell.confirmed).saturating_sub(begun + cell.unwritten),
            // The newest value may wait, too.
            unsent: begun + cell.unwritten + u64::from(cell.unsent.is_some()) + cell.backlog.len() as u64,
            dropped: cell.dropped,
        }
    }

    /// Whether everything sent so far is taken; asks for it and registers the waker.
    pub(crate) fn drained(&self, waker: &Waker) -> Result<bool, Dead> {
        let mut state = self.link.lock();
        let Some(cell) = state.cells.get(self.id) else { return Err(gone()) };
        if cell.confirmed == cell.sent && cell.backlog.is_empty() {
            return Ok(true);
        }
        if let Some(dead) = cell.dead {
            return Err(dead);
        }
        let old = set(&mut cell.send_waker, waker);
        let (handle, total) = (cell.handle, Total::new(cell.sent as u32));
        if let Some(handle) = handle {
            state.proto(|link, slots| link.ask(slots, handle, total));
        }
        self.link.flush(state);
        drop(old);
        Ok(false)
    }

    /// Changes the cell under the link's lock.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Cell) -> R) -> Option<R> {
        self.link.lock().cells.get(self.id).map(f)
    }

    pub(crate) fn dead(&self) -> Option<Dead> {
        self.with(|cell| cell.dead).flatten()
    }

    /// Whether it is the end of the link that has killed it, and nothing before.
    pub(crate) fn died_with_link(&self) -> bool {
        let mut state = self.link.lock();
        let Some(down) = state.down else { return false };
        state.cells.get(self.id).is_some_and(|cell| cell.dead == Some(down.dead()))
    }

    /// How many values the program has taken.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.get()
    }

    /// Whether the other side is gone, or has ended all that it sends and takes.
    pub(crate) fn has_left(&self) -> bool {
        self.with(|cell| cell.dead.is_some() || cell.done || cell.handle.is_none()).unwrap_or(true)
    }

    /// Whether the other side sends no more.
    pub(crate) fn has_ended(&self) -> bool {
        self.with(|cell| cell.ended).unwrap_or(true)
    }

    /// Whether the program has taken all that has come, also what lies in its own inbox.
    pub(crate) fn is_empty(&self) -> bool {
        let mut state = self.link.lock();
        let Some(cell) = state.cells.get(self.id) else { return true };
        if !cell.inbox.is_empty() || cell.newest.is_some() {
            return false;
        }
        let taken = Total::new(cell.taken.get() as u32);
        match cell.handle {
            Some(handle) => state.proto(|link, slots| link.received(slots, handle)) == taken,
            None => true,
        }
    }

    /// Whether both halves are over.
    pub(crate) fn is_over(&self) -> bool {
        self.with(|cell| cell.dead.is_some() || cell.done && cell.inbox.is_empty() || cell.handle.is_none())
            .unwrap_or(true)
    }
}

impl Drop for Circuit {
    fn drop(&mut self) {
        // Nobody waits any more. Declared first, so dropped last: not under the lock.
        let _wakers;
        let mut state = self.link.lock();
        let Some(cell) = state.cells.get(self.id) else { return };
        _wakers = [cell.recv_waker.take(), cell.send_waker.take()];
        if cell.handle.is_none() {
            state.remove(self.id);
            return;
        }
        if !cell.opened && !cell.end_after || !cell.sends && !cell.rx_gone {
            // An open that was never answered, or an end that was never made of it.
            state.kill(self.id, Reason::Cancelled, "");
            state.remove(self.id);
        } else {
            cell.orphan = true;
            cell.member = None;
        }
        self.link.flush(state);
    }
}

/// What this side takes and sends on the circuit of an end that goes.
fn spec_here(end: &Departing) -> Spec {
    let longest = end.longest.and_then(|len| u32::try_from(len).ok());
    Spec { flags: end.spec.flags.flipped(), longest, ..end.spec.clone() }
}

/// Opens a circuit for an end in the next message of `carrier`; `None` where there is no room.
fn attach(state: &mut LinkState, carrier: Handle, ordinal: u32, end: &Departing) -> Option<CellId> {
    let ours = spec_here(end);
    let (limit, floor) = ours.room(None);
    if !state.reserve(floor) {
        return None;
    }
    let open = Open {
        flags: ours.flags,
        wait_ms: 0,
        credit: floor,
        limit,
        values: 0,
        name: "",
        fingerprints: Fingerprints::new(ours.fingerprints[0], &[]),
        type_name: ours.type_name,
        route: None,
        body: None,
    };
    let cell = Cell {
        window: floor,
        window_max: WINDOW_MAX.max(floor),
        reserved: floor,
        receives: ours.flags.has(OpenFlags::RECEIVES),
        sends: ours.flags.has(OpenFlags::SENDS),
        ..Cell::default()
    };
    let attached = state.attach(carrier, ordinal, &open, cell).ok();
    if attached.is_none() {
        state.release(floor);
    }
    attached
}

fn gone() -> Dead {
    Dead { reason: Reason::LinkLost, at: Place::Here }
}

/// Registers a waker. The one before is to be dropped when the lock is let go: it may be the
/// last hold on a task, which owns ends of this link.
#[must_use]
fn set(slot: &mut Option<Waker>, waker: &Waker) -> Option<Waker> {
    match slot {
        Some(stored) if stored.will_wake(waker) => None,
        slot => slot.replace(waker.clone()),
    }
}
