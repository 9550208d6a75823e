//! Importers: how they come, how they go, and who is told.

use alloc::string::String;
use alloc::sync::Arc;

use super::{Entry, Fanout, Hub, Member, Seat, Signal};
use crate::host::circuit::Circuit;
use crate::host::events::LinkEvent;
use crate::host::inbox::Inbox;
use crate::host::sender::Account;
use crate::proto::{Dead, OpenFlags, Reason};

/// Most importers of an exclusive export that have left and have not been told.
const UNTOLD_MAX: usize = 16;

impl Hub {
    /// An importer is gone. Called with no lock held.
    fn tell_left(&self, importer: u64, circuit: &Circuit, account: Account) {
        if let Some(node) = self.node.upgrade() {
            let link = circuit.link.number;
            // Who has ended what it sent, and then hangs up, leaves in order.
            let is_orderly = |dead: &Dead| dead.reason == Reason::HungUp && circuit.has_ended();
            let dead = circuit.dead().filter(|dead| !is_orderly(dead));
            node.events.push(LinkEvent::Left {
                export: String::from(&*self.name),
                link,
                importer,
                account,
                dead,
            });
        }
    }

    /// Adds an importer: `accept` binds its circuit, told the member's index; it may not
    /// call back into the hub.
    pub(crate) fn join(
        self: &Arc<Self>,
        which: u8,
        accept: impl FnOnce(Member) -> Result<Arc<Circuit>, Reason>,
    ) -> Result<(), Reason> {
        let mut state = self.lock();
        if state.closed || state.withdrawn {
            return Err(Reason::Withdrawn);
        }
        if self.fanout == Fanout::Exclusive {
            let untold = state.members.iter().flatten().count();
            if state.count > 0 || untold >= UNTOLD_MAX {
                return Err(Reason::Busy);
            }
        }
        let places = state.members.len();
        let mut free = (state.free_from..places).filter(|place| state.members[*place].is_none());
        let index = free.next().unwrap_or(places);
        let ready = self.spec.flags.has(OpenFlags::RECEIVES).then(|| Arc::clone(&self.ready));
        let seat = ready.as_ref().map_or_else(|| Seat::only(index), |ready| ready.seat(index));
        let circuit = accept(Member { hub: Arc::downgrade(self), seat, ready })?;
        let (tx_gone, rx_gone) = (state.tx_gone, state.rx_gone);
        let joined = Arc::clone(&circuit);
        let node = self.node.upgrade();
        let importer = node.as_ref().map_or(0, |node| node.next_importer());
        let link = circuit.link.number;
        // Of a latest value who joins has seen none.
        let turn = if self.spec.flags.has(OpenFlags::LATEST) { 0 } else { state.turn };
        let entry = Entry { circuit, importer, which, turn, left: false, told: false, lost: false };
        let entry = Some(entry);
        match state.members.get_mut(index) {
            Some(slot) => *slot = entry,
            None => state.members.push(entry),
        }
        state.free_from = index + 1;
        state.count += 1;
        let waker = state.send_waker.take();
        drop(state);
        if tx_gone {
            joined.drop_tx();
        }
        if rx_gone {
            joined.drop_rx(&mut Inbox::default());
        }
        if let Some(node) = node {
            node.events.push(LinkEvent::Joined { export: String::from(&*self.name), link, importer });
        }
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Whether this end tells of each importer that leaves, before it goes on with the next.
    pub(super) fn tells_left(&self) -> bool {
        let flags = self.spec.flags;
        self.fanout == Fanout::Exclusive
            && flags.has(OpenFlags::RECEIVES)
            && !flags.has(OpenFlags::CALLS)
            && !flags.has(OpenFlags::LATEST)
    }

    pub(super) fn signal(&self, index: usize, signal: Signal) {
        let mut state = self.lock();
        let mut wakers = [None, None];
        if signal != Signal::Granted {
            wakers[0] = state.recv_waker.take();
        }
        if signal != Signal::Received {
            wakers[1] = state.send_waker.take();
        }
        let circuit = match state.members.get(index) {
            Some(Some(entry)) if signal == Signal::Over => Some(Arc::clone(&entry.circuit)),
            _ => None,
        };
        drop(state);
        if let Some(circuit) = circuit {
            self.see_off(index, &circuit);
        }
        for waker in wakers.into_iter().flatten() {
            waker.wake();
        }
    }

    /// An importer may be gone: its place is free for the next, and what it has sent and
    /// nobody has taken yet stays until the program receives it.
    pub(super) fn see_off(&self, index: usize, circuit: &Arc<Circuit>) {
        let receives = self.spec.flags.has(OpenFlags::RECEIVES);
        if !receives {
            if circuit.is_over() {
                self.remove(index, circuit);
            }
            return;
        }
        // Who only stops sending in a conversation still listens.
        if !circuit.has_left() && (self.is_conversation() || !circuit.has_ended()) {
            return;
        }
        let is_empty = circuit.is_empty();
        let mut state = self.lock();
        let tx_gone = state.tx_gone;
        let Some(entry) = state.entry(index, circuit) else { return };
        // One that has been told of and still listened is for a send to tell that it is gone.
        let is_told = entry.told && (tx_gone || !self.is_conversation());
        if is_told || is_empty && !self.tells_left() {
            drop(state);
            return self.remove(index, circuit);
        }
        if !core::mem::replace(&mut entry.left, true) {
            let importer = entry.importer;
            state.count -= 1;
            drop(state);
            self.tell_left(importer, circuit, circuit.account());
        }
    }

    pub(super) fn remove(&self, index: usize, circuit: &Arc<Circuit>) {
        let (account, dead) = (circuit.account(), circuit.dead());
        let mut state = self.lock();
        if state.entry(index, circuit).is_some() {
            let entry = state.members[index].take();
            state.free_from = state.free_from.min(index);
            while let Some(None) = state.members.last() {
                state.members.pop();
            }
            let left = entry.as_ref().filter(|entry| !entry.left).map(|entry| entry.importer);
            state.count -= usize::from(left.is_some());
            state.past = state.past.plus(account);
            if account.in_doubt + account.unsent > 0 && entry.as_ref().is_some_and(|entry| !entry.lost) {
                state.lost.get_or_insert_with(|| dead.unwrap_or(Dead::here(Reason::LinkLost)));
            }
            let waker = state.send_waker.take();
            drop(state);
            if let Some(importer) = left {
                self.tell_left(importer, circuit, account);
            }
            // Whoever has ended its half has left; what it has asked before is answered still.
            if self.spec.flags.has(OpenFlags::SENDS) {
                circuit.end_after_requests();
            }
            if self.spec.flags.has(OpenFlags::RECEIVES) {
                circuit.drop_rx(&mut Inbox::default());
            }
            // Its drop locks the link, so not under the hub's lock.
            drop(entry);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// An importer that is dead, and not seen off yet, has not taken all.
    pub(super) fn note_lost(&self, index: usize, circuit: &Arc<Circuit>, dead: Dead) {
        let mut state = self.lock();
        if let Some(entry) = state.entry(index, circuit).filter(|entry| !entry.lost) {
            entry.lost = true;
            state.lost.get_or_insert(dead);
        }
    }
}
