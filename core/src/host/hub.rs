//! An export: one end at this node, any number of importers, who come and go.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt;
use core::task::Waker;

use super::circuit::{Circuit, Refusal};
use super::error::SendCause;
use super::export::{ExportOptions, Visibility};
use super::inbox::Inbox;
use super::node::NodeInner;
use super::sender::Account;
use super::spec::Spec;
use super::sync::{Mutex, MutexGuard, PoisonError};
use crate::proto::{Dead, OpenFlags, Reason};
use ready::Ready;
pub(crate) use ready::Seat;
pub(crate) use receive::HubArrival;

mod members;
mod newest;
mod ready;
mod receive;
mod send;

/// Who gets a value that is sent into an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Fanout {
    /// Each value goes to one importer: the next that has room.
    #[default]
    WorkQueue,
    /// Every importer gets every value; one without room misses it, which is counted as
    /// *dropped* in the sender's account.
    Broadcast,
    /// Every importer gets every value; one without room is waited for until the send's
    /// deadline, and is then dead, `TooSlow`.
    BroadcastWaits,
    /// One importer at a time; others are refused, `Busy`. Always so for a `Duplex`.
    ///
    /// An end that receives tells where one importer ends and the next begins: after all of
    /// its values [`RecvError::Left`](crate::RecvError::Left) once, and then the next one's.
    /// Until that was told a `Duplex` sends to nobody else
    /// ([`SendCause::Left`](crate::SendCause::Left)), so no answer reaches the next importer
    /// in place of the one who has asked. At most 16 importers that have left wait to be
    /// told; until then the next is `Busy`.
    ///
    /// The importer of a `Duplex` that drops its sending half alone still listens, and keeps
    /// its place: `Left` is told where its values end, and what is sent then is for it. When it
    /// is gone that is told again, to the first value that was for it: with `SendCause::Left`,
    /// unless something of the next importer was received before.
    Exclusive,
}

/// Place of the fingerprint of chains among those that a method takes.
const CHAIN: u8 = 1;

/// What happened to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Received,
    Granted,
    Over,
}

/// A circuit's place in its hub.
#[derive(Clone)]
pub(crate) struct Member {
    hub: Weak<Hub>,
    seat: Seat,
    /// Of an export that receives.
    ready: Option<Arc<Ready>>,
}

/// One exported channel.
pub(crate) struct Hub {
    pub(crate) name: Arc<str>,
    pub(crate) spec: Spec,
    pub(crate) fanout: Fanout,
    pub(crate) limit: Option<u32>,
    pub(crate) visibility: Visibility,
    /// In which of the trees that the node has been in it was exported.
    pub(crate) era: u64,
    pub(crate) doc: &'static str,
    node: Weak<NodeInner>,
    state: Mutex<State>,
    ready: Arc<Ready>,
    /// Takes the name back when the end is dropped.
    on_close: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

#[derive(Default)]
struct State {
    members: Vec<Option<Entry>>,
    /// No place before this one is free, so that ten thousand need not be looked through.
    free_from: usize,
    count: usize,
    recv_waker: Option<Waker>,
    send_waker: Option<Waker>,
    next: usize,
    /// Number of the value that a broadcast is sending.
    turn: u64,
    closed: bool,
    /// No more importers come.
    withdrawn: bool,
    /// Halves that this node's program has dropped.
    tx_gone: bool,
    rx_gone: bool,
    /// How many further senders hold the sending half.
    senders: usize,
    /// Of a latest-value export: for those who join later.
    newest: Option<Vec<u8>>,
    /// Of those who have left.
    past: Account,
    /// Why values are in doubt that no drain has spoken of yet.
    lost: Option<Dead>,
}

impl State {
    fn circuits(&self) -> Vec<(usize, Arc<Circuit>)> {
        let of =
            |(index, entry): (usize, &Option<Entry>)| Some((index, Arc::clone(&entry.as_ref()?.circuit)));
        self.members.iter().enumerate().filter_map(of).collect()
    }

    /// The member at `index`, if it is still this one.
    fn entry(&mut self, index: usize, circuit: &Arc<Circuit>) -> Option<&mut Entry> {
        self.members.get_mut(index)?.as_mut().filter(|entry| Arc::ptr_eq(&entry.circuit, circuit))
    }
}

struct Entry {
    circuit: Arc<Circuit>,
    /// Its number on this node.
    importer: u64,
    which: u8,
    turn: u64,
    /// Its importer is gone. What it has sent is still to be taken, or its end to be told.
    left: bool,
    /// The program knows that no more will come.
    told: bool,
    /// What it has not taken is in [`State::lost`].
    lost: bool,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Member {
    /// It may have something to receive. Called with the link locked.
    pub(crate) fn is_ready(&self) {
        if let Some(ready) = &self.ready {
            ready.push(self.seat);
        }
    }

    /// Called with no lock held.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(hub) = self.hub.upgrade() {
            hub.signal(self.seat.place(), signal);
        }
    }
}

impl Hub {
    pub(crate) fn new(name: Arc<str>, spec: Spec, options: ExportOptions, node: Weak<NodeInner>) -> Self {
        let ExportOptions { fanout, limit, visibility, doc } = options;
        let (state, ready, on_close) = (Mutex::default(), Arc::default(), Mutex::new(None));
        let era = node.upgrade().map_or(0, |node| node.tree().era());
        Self { name, spec, fanout, limit, visibility, era, doc, node, state, ready, on_close }
    }

    pub(crate) fn set_on_close(&self, f: impl FnOnce() + Send + 'static) {
        *self.on_close.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(f));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether its program talks with one importer at a time: it is told where the next
    /// one's values begin. (Calls say themselves whose they are.)
    const fn is_conversation(&self) -> bool {
        self.spec.flags.has(OpenFlags::BOTH) && !self.spec.flags.has(OpenFlags::CALLS)
    }

    /// Whether an importer with this fingerprint has its requests run one after the other, until one fails.
    pub(crate) const fn is_chain(&self, which: u8) -> bool {
        which == CHAIN && self.spec.flags.has(OpenFlags::CALLS)
    }

    /// One more sender holds the sending half: it is dropped with the last one.
    pub(crate) fn add_sender(&self) {
        self.lock().senders += 1;
    }

    fn member(&self, index: usize) -> Option<Arc<Circuit>> {
        self.lock().members.get(index)?.as_ref().map(|entry| Arc::clone(&entry.circuit))
    }

    /// How many have imported the channel now.
    pub(crate) fn importers(&self) -> usize {
        self.lock().count
    }

    /// Accounts of all importers, present and past.
    pub(crate) fn account(&self) -> Account {
        let (mut sum, len) = {
            let state = self.lock();
            (state.past, state.members.len())
        };
        for index in 0..len {
            if let Some(circuit) = self.member(index) {
                sum = sum.plus(circuit.account());
            }
        }
        sum
    }

    /// Whether some importer (of a broadcast: every one) could take the longest value now.
    pub(crate) fn has_room(&self, longest: Option<usize>, waker: &Waker) -> Result<bool, SendCause> {
        if self.tells_left() {
            let room = self.send_to_partner(
                |circuit| circuit.has_room(longest, waker).map_err(Refusal::Dead),
                Some(waker),
            );
            return room.or_else(|refusal| refusal.cause(true).map_or(Ok(false), Err));
        }
        let _old;
        let len = {
            let mut state = self.lock();
            if state.closed {
                return Err(SendCause::Dead(Dead::here(Reason::Shutdown)));
            }
            _old = state.send_waker.replace(waker.clone());
            state.members.len()
        };
        let all = matches!(self.fanout, Fanout::Broadcast | Fanout::BroadcastWaits);
        let (mut some, mut every) = (false, true);
        for index in 0..len {
            if let Some(circuit) = self.member(index) {
                let room = circuit.has_room(longest, waker).unwrap_or(false);
                some |= room;
                every &= room;
            }
        }
        Ok(some && (every || !all))
    }

    /// Whether all importers have taken all that was sent to them. Where one has died with
    /// values in doubt the answer is its death, once, and after the others have taken theirs.
    pub(crate) fn drained(&self, waker: &Waker) -> Result<bool, Dead> {
        let _old;
        let len = {
            let mut state = self.lock();
            _old = state.send_waker.replace(waker.clone());
            state.members.len()
        };
        let mut all = true;
        for index in 0..len {
            let Some(circuit) = self.member(index) else { continue };
            match circuit.drained(waker) {
                Ok(drained) => all &= drained,
                Err(dead) => self.note_lost(index, &circuit, dead),
            }
        }
        if !all {
            return Ok(false);
        }
        match self.lock().lost.take() {
            Some(dead) => Err(dead),
            None => Ok(true),
        }
    }

    /// The sending half of the exported end was dropped: importers get an orderly end, also
    /// those who come later. With the last half the export closes.
    pub(crate) fn close_tx(&self) {
        let circuits = {
            let mut state = self.lock();
            if state.senders > 0 {
                state.senders -= 1;
                return;
            }
            state.tx_gone = true;
            (self.is_conversation() && !state.rx_gone).then(|| state.circuits())
        };
        let Some(circuits) = circuits else { return self.close() };
        for (index, circuit) in circuits {
            circuit.drop_tx();
            // That it is gone is not for a send to tell any more.
            self.see_off(index, &circuit);
        }
    }

    /// The receiving half of the exported end was dropped: what importers send is not taken,
    /// also from those who come later. With the last half the export closes.
    pub(crate) fn close_rx(&self) {
        let circuits = {
            let mut state = self.lock();
            state.rx_gone = true;
            (self.is_conversation() && !state.tx_gone).then(|| state.circuits())
        };
        let Some(circuits) = circuits else { return self.close() };
        for (index, circuit) in circuits {
            circuit.drop_rx(&mut Inbox::default());
            self.see_off(index, &circuit);
        }
    }

    /// The name is free for another export, and nobody joins this one. Who has joined stays.
    pub(crate) fn withdraw(&self) {
        self.lock().withdrawn = true;
        let f = self.on_close.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(f) = f {
            f();
        }
    }

    /// The exported end was dropped: importers get an orderly end, or are told.
    pub(crate) fn close(&self) {
        let members = {
            let mut state = self.lock();
            state.closed = true;
            core::mem::take(&mut state.members)
        };
        self.withdraw();
        for entry in members.into_iter().flatten() {
            if self.spec.flags.has(OpenFlags::SENDS) {
                entry.circuit.drop_tx();
            }
            if self.spec.flags.has(OpenFlags::RECEIVES) {
                entry.circuit.drop_rx(&mut Inbox::default());
            }
        }
    }

    /// The node is shut down: whoever waits on the export is told.
    pub(crate) fn shut(&self) {
        let mut state = self.lock();
        state.closed = true;
        let wakers = [state.recv_waker.take(), state.send_waker.take()];
        drop(state);
        for waker in wakers.into_iter().flatten() {
            waker.wake();
        }
    }
}
