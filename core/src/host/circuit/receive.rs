//! What the program takes from a circuit, and the credit that goes back for it.

use alloc::vec::Vec;
use core::task::Waker;

use super::{Circuit, set};
use crate::host::cell::Cell;
use crate::host::inbox::Inbox;
use crate::proto::Dead;

/// What an inbox had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    Messages,
    /// The waker is registered.
    Nothing,
    Closed,
    Dead(Dead),
}

impl Circuit {
    /// The newest value, once.
    pub(crate) fn receive_newest(&self, waker: Option<&Waker>) -> Result<Vec<u8>, Arrival> {
        let mut state = self.link.lock();
        let Some(cell) = state.cells.get(self.id) else { return Err(Arrival::Dead(state.gone())) };
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
        let Some(cell) = state.cells.get(self.id) else { return Arrival::Dead(state.gone()) };
        cell.announced = announced;
        let mut old = None;
        let arrival = if cell.one_by_one && cell.keeps_replies() {
            // Whoever lets its requests go tells of them.
            cell.announced = true;
            old = waker.and_then(|waker| set(&mut cell.recv_waker, waker));
            Arrival::Nothing
        } else if !cell.inbox.is_empty() {
            if core::mem::take(&mut cell.one_by_one) && !one {
                cell.inbox.move_next(inbox);
                cell.one_by_one = !cell.inbox.is_empty();
            } else if one {
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
            if !cell.is_relayed {
                state.drained(self.id);
            }
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
    /// more will come, or more is there already, so that nobody else will say to look at the
    /// circuit again.
    pub(crate) fn give_back(&self, inbox: &mut Inbox) -> bool {
        let charged = core::mem::take(&mut inbox.charged);
        let mut state = self.link.lock();
        if charged > 0 {
            state.report(self.id, charged);
        }
        let is_over = |cell: &mut Cell| cell.ended || cell.dead.is_some() || cell.one_by_one;
        let over = state.cells.get(self.id).is_none_or(is_over);
        self.link.flush_but_ack(state);
        over
    }
}
