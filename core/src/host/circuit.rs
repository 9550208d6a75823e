//! A circuit as the program's ends hold it.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::task::Waker;

use super::cell::{Cell, CellId, TakenWord};
use super::inbox::Inbox;
use super::link::{LinkCell, LinkState};
use super::sender::Account;
use crate::proto::{Dead, Link, Reason, Total};
pub(crate) use receive::Arrival;
use requests::Requests;
pub(crate) use send::Refusal;

mod attach;
mod receive;
mod requests;
mod send;
mod served;

/// One circuit, shared by the ends on it. The last one to go releases it.
pub(crate) struct Circuit {
    pub(crate) link: Arc<LinkCell>,
    /// The channel's, for errors.
    pub(crate) name: Arc<str>,
    id: CellId,
    taken: Arc<TakenWord>,
    requests: Requests,
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

    /// Whether the far program has taken all that was sent; `None` registers the waker.
    pub(crate) fn settled(&self, waker: &Waker) -> Option<Result<(), Dead>> {
        let settled = self.with(|cell| match cell.dead {
            _ if cell.done || cell.confirmed == cell.sent => (Some(Ok(())), None),
            Some(dead) => (Some(Err(dead)), None),
            None => (None, set(&mut cell.send_waker, waker)),
        });
        // The one before may be the last hold on a task: not dropped under the lock.
        settled.map_or_else(|| Some(Err(self.gone())), |(settled, _)| settled)
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
        let Some(cell) = state.cells.get(self.id) else { return Err(state.gone()) };
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

    /// Why it is not there any more. Called with nothing locked.
    fn gone(&self) -> Dead {
        self.link.lock().gone()
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

/// Registers a waker. The one before is to be dropped when the lock is let go: it may be the
/// last hold on a task, which owns ends of this link.
#[must_use]
fn set(slot: &mut Option<Waker>, waker: &Waker) -> Option<Waker> {
    match slot {
        Some(stored) if stored.will_wake(waker) => None,
        slot => slot.replace(waker.clone()),
    }
}
