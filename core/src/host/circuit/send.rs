//! What is sent on a circuit: now, as soon as there is room, or not.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::Waker;

use super::{Circuit, set};
use crate::host::error::SendCause;
use crate::host::lane::LanePlace;
use crate::host::link::{LinkState, Started};
use crate::host::output::Urgency;
use crate::host::sender::Short;
use crate::proto::{Blocked, Dead, Handle, Reason, Start};

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

impl Circuit {
    /// Sends one message, or says why not. A large one is taken out of `message`.
    #[inline]
    pub(crate) fn send(&self, message: &mut Vec<u8>, waker: Option<&Waker>) -> Result<(), Refusal> {
        self.send_or(message, |state, _, waits_for_room, _| {
            let old = match waker {
                Some(waker) if waits_for_room => {
                    state.output.wait_for_room(waker);
                    None
                }
                Some(waker) => state.cells.get(self.id).and_then(|cell| set(&mut cell.send_waker, waker)),
                None => None,
            };
            (Err(Refusal::Wait), old)
        })
    }

    /// Sends a reply, or keeps it until there is room: whoever replies does not wait for that. Until all of them have
    /// gone no further request is taken, so the replies that are kept are those to what was in hand then.
    #[inline]
    pub(crate) fn reply(&self, message: &mut Vec<u8>) -> Result<(), SendCause> {
        let sent = self.send_or(message, |state, handle, _, message| {
            let limit = state.proto(|link, slots| link.limit(slots, handle));
            if message.len() > limit as usize {
                return (Err(Refusal::TooLarge(limit)), None);
            }
            if let Some(cell) = state.cells.get(self.id) {
                cell.backlog.push_back(core::mem::take(message));
                cell.one_by_one = true;
                cell.taken.set_held(true);
            }
            state.send_waiting(self.id);
            (Ok(()), None)
        });
        sent.map_err(|refusal| refusal.cause().unwrap_or(SendCause::Full))
    }

    /// Sends one message; where it cannot go now, `wait` says what then. It is told whether there is no room in the
    /// link's buffer; the waker that it returns is dropped with nothing locked.
    #[inline(always)]
    fn send_or(
        &self,
        message: &mut Vec<u8>,
        wait: impl FnOnce(&mut LinkState, Handle, bool, &mut Vec<u8>) -> (Result<(), Refusal>, Option<Waker>),
    ) -> Result<(), Refusal> {
        let mut guard = self.link.lock();
        let state = &mut *guard;
        let Some(cell) = state.cells.get(self.id) else { return Err(Refusal::Dead(state.gone())) };
        if let Some(dead) = cell.dead {
            return Err(Refusal::Dead(dead));
        }
        let Some(handle) = cell.handle else { return Err(Refusal::Dead(state.gone())) };
        // Or an end that moves: not taken at the other side yet, or values go first.
        let is_next = cell.opened && cell.backlog.is_empty();
        let is_full = is_next && state.output.is_full();
        let mut started = Err(Blocked::Busy);
        if is_next && !is_full {
            started = state.start(handle, message);
            if matches!(started, Err(Blocked::Busy)) {
                // What goes first may be our accept: no event would wake us after it.
                state.proto_out(|link, slots, out| link.control(slots, out));
                started = state.start(handle, message);
            }
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
                let (result, old) = wait(state, handle, is_full, message);
                self.link.flush(guard);
                drop(old);
                result
            }
            Err(Blocked::TooLarge(limit)) => Err(Refusal::TooLarge(limit)),
            Err(_) => Err(Refusal::Dead(state.going())),
        }
    }

    /// Whether it lives for no longer than its link, which says goodbye: the waker is woken when that is over. Not where this
    /// side has closed the link.
    pub(crate) fn is_ending(&self, waker: Option<&Waker>) -> bool {
        let mut state = self.link.lock();
        let is_closed = state.parting() == Some(Reason::Closed);
        if state.down.is_some() || state.link.stays() || is_closed {
            return false;
        }
        let Some(cell) = state.cells.get(self.id).filter(|cell| cell.dead.is_none()) else { return false };
        let old = waker.and_then(|waker| set(&mut cell.send_waker, waker));
        drop(state);
        drop(old);
        true
    }

    /// Whether a message of this length (of the receiver's limit, if it has no bound) could
    /// be sent now; registers the waker if not.
    pub(crate) fn has_room(&self, longest: Option<usize>, waker: &Waker) -> Result<bool, Dead> {
        let mut guard = self.link.lock();
        let state = &mut *guard;
        let Some(cell) = state.cells.get(self.id) else { return Err(state.gone()) };
        if let Some(dead) = cell.dead {
            return Err(dead);
        }
        let Some(handle) = cell.handle else { return Err(state.gone()) };
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
            Err(_) => Err(state.going()),
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

    /// Sends the newest value: one that could not go out before is dropped for it. One that is longer than the
    /// receiver takes changes nothing.
    pub(crate) fn send_newest(&self, message: Vec<u8>) -> Result<(), Refusal> {
        let mut guard = self.link.lock();
        let state = &mut *guard;
        let Some(cell) = state.cells.get(self.id) else { return Err(Refusal::Dead(state.gone())) };
        if let Some(dead) = cell.dead {
            return Err(Refusal::Dead(dead));
        }
        let Some(handle) = cell.handle else { return Err(Refusal::Dead(state.gone())) };
        let limit = state.proto(|link, slots| link.limit(slots, handle));
        if message.len() > limit as usize {
            return Err(Refusal::TooLarge(limit));
        }
        if let Some(cell) = state.cells.get(self.id) {
            cell.dropped += u64::from(cell.unsent.replace(message).is_some());
        }
        state.send_waiting(self.id);
        self.link.push(guard, Urgency::Burst);
        Ok(())
    }
}
