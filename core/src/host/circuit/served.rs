//! What a relay asks and tells of the two circuits that it stands between.

use core::task::Waker;

use super::{Circuit, set};
use crate::host::sync::Ordering;
use crate::proto::{Dead, Place, Total};

/// What has become of what was sent on a circuit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outlook {
    /// Values that the far program has taken.
    pub(crate) confirmed: u64,
    /// Why no more are taken.
    pub(crate) dead: Option<Dead>,
    /// The other side has taken all, and the end.
    pub(crate) done: bool,
    /// Nothing of it waits here any more.
    pub(crate) is_written: bool,
}

impl Circuit {
    /// The end that received here has moved on: from now on only [`Circuit::tell_taken`] counts what is taken. How many
    /// values were taken before.
    pub(crate) fn begin_relay(&self) -> u64 {
        self.with(|cell| {
            cell.is_relayed = true;
            // A question that is open is passed on as well.
            cell.was_asked = cell.ask.is_some();
        });
        self.taken()
    }

    /// How many values were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.with(|cell| cell.sent).unwrap_or_default()
    }

    /// What has become of what was sent; registers the waker for when that changes.
    pub(crate) fn outlook(&self, waker: &Waker) -> Outlook {
        let outlook = self.with(|cell| {
            let outlook = Outlook {
                confirmed: cell.confirmed,
                dead: cell.dead,
                done: cell.done,
                is_written: cell.outbox.is_none(),
            };
            (outlook, set(&mut cell.send_waker, waker))
        });
        // The waker of before is not dropped under the lock.
        outlook.map_or_else(
            || Outlook { confirmed: 0, dead: Some(self.gone()), done: false, is_written: true },
            |(outlook, _)| outlook,
        )
    }

    /// The far program has taken `total` values: whoever has sent them here is told at once, for whoever told us was asked
    /// or had credit to give back.
    pub(crate) fn tell_taken(&self, total: u64) {
        let mut state = self.link.lock();
        self.taken.set(total);
        if let Some(handle) = state.cells.get(self.id).and_then(|cell| cell.handle) {
            state.proto(|link, slots| link.taken(slots, handle, Total::new(total as u32), true));
            state.answer_ask(self.id);
        }
        self.link.flush(state);
    }

    /// What whoever sends here has asked to be told since this was asked last; registers the waker.
    pub(crate) fn question(&self, waker: &Waker) -> Option<Total> {
        let question = self.with(|cell| {
            let is_new = core::mem::take(&mut cell.was_asked);
            (cell.ask.filter(|_| is_new), set(&mut cell.recv_waker, waker))
        });
        question?.0
    }

    /// Asks to be told as soon as so many values are taken. `false` where the circuit is not open yet; whoever waits for
    /// that with [`Circuit::outlook`] is woken.
    pub(crate) fn ask(&self, total: Total) -> bool {
        let mut state = self.link.lock();
        let Some(cell) = state.cells.get(self.id) else { return true };
        let (opened, handle) = (cell.opened, cell.handle);
        if let Some(handle) = handle.filter(|_| opened) {
            state.proto(|link, slots| link.ask(slots, handle, total));
            self.link.flush(state);
        }
        opened || handle.is_none()
    }

    /// Gives the circuit up for what has become of another one.
    pub(crate) fn give_up(&self, dead: Dead) {
        let mut state = self.link.lock();
        if let Some(cell) = state.cells.get(self.id) {
            cell.dead.get_or_insert(dead);
            // Something is lost, so it is no orderly end any more.
            cell.ended = false;
            cell.outbox = None;
            let mut ends = cell.inbox.drain_ends();
            ends.append(&mut cell.attached);
            let (handle, total) = (cell.handle, Total::new(cell.taken.get() as u32));
            if let Some(handle) = handle {
                state.proto(|link, slots| {
                    link.taken(slots, handle, total, false);
                    link.kill(slots, handle, dead, "");
                });
            }
            state.forget(self.id);
            state.refuse_attached(ends);
        }
        self.link.flush(state);
    }

    /// A death of this circuit, as it is told to those at `other`. Outside of a tree nodes are not known by numbers: there
    /// it is this node that says it.
    pub(crate) fn dead_for(&self, dead: Dead, other: &Self) -> Dead {
        let [here, there] = [self, other].map(|circuit| circuit.link.neighbour.load(Ordering::Relaxed));
        let at = match dead.at {
            _ if here == 0 || there == 0 => Place::Here,
            Place::Peer => Place::Node(here),
            at => at,
        };
        Dead { at, ..dead }
    }
}
