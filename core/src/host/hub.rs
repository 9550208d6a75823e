//! An export: one end at this node, any number of importers, who come and go.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt;
use core::task::Waker;

use super::circuit::{Arrival, Circuit, Refusal};
use super::error::SendCause;
use super::events::LinkEvent;
use super::export::{ExportOptions, Visibility};
use super::inbox::Inbox;
use super::node::NodeInner;
use super::sender::Account;
use super::spec::Spec;
use super::sync::{Mutex, MutexGuard, PoisonError};

use crate::proto::{Dead, OpenFlags, Reason};

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
/// Most importers of an exclusive export that have left and have not been told.
const UNTOLD_MAX: usize = 16;

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
    index: usize,
    /// Of an export that receives.
    ready: Option<Arc<Ready>>,
}

/// Members that may have something to receive, in the order in which it came.
///
/// Apart from the hub's state, for it is added to while the link is locked: whoever has seen what came later, on
/// another channel of that link, finds this too. Only the wake comes after the lock.
#[derive(Default)]
struct Ready(Mutex<VecDeque<usize>>);

impl Ready {
    fn lock(&self) -> MutexGuard<'_, VecDeque<usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One exported channel.
pub(crate) struct Hub {
    pub(crate) name: Arc<str>,
    pub(crate) spec: Spec,
    pub(crate) fanout: Fanout,
    pub(crate) limit: Option<u32>,
    pub(crate) visibility: Visibility,
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
            ready.lock().push_back(self.index);
        }
    }

    /// Called with no lock held.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(hub) = self.hub.upgrade() {
            hub.signal(self.index, signal);
        }
    }
}

impl Hub {
    pub(crate) fn new(name: Arc<str>, spec: Spec, options: ExportOptions, node: Weak<NodeInner>) -> Self {
        let ExportOptions { fanout, limit, visibility, doc } = options;
        let (state, ready, on_close) = (Mutex::default(), Arc::default(), Mutex::new(None));
        Self { name, spec, fanout, limit, visibility, doc, node, state, ready, on_close }
    }

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

    /// Whether the export is still there to have a newest value.
    pub(crate) fn set_newest(&self, message: Vec<u8>) -> bool {
        let mut state = self.lock();
        state.newest = Some(message);
        state.turn += 1;
        !state.closed
    }

    /// Offers the newest value to every importer that was not offered it; one that has no
    /// room gets the next.
    pub(crate) fn offer_newest(&self) {
        let len = {
            let state = self.lock();
            if state.newest.is_some() { state.members.len() } else { 0 }
        };
        for index in 0..len {
            let mut sent = None;
            loop {
                let (circuit, newest, turn) = {
                    let mut state = self.lock();
                    let State { members, newest, turn, .. } = &mut *state;
                    let (Some(Some(entry)), Some(newest)) = (members.get_mut(index), newest) else { break };
                    // Who was overtaken while it sent makes good what it has put last.
                    if sent.unwrap_or(entry.turn) == *turn {
                        break;
                    }
                    entry.turn = *turn;
                    (Arc::clone(&entry.circuit), newest.clone(), *turn)
                };
                // One that died is told and removed by its own signal.
                let _ = circuit.send_newest(newest);
                sent = Some(turn);
            }
        }
    }

    /// Takes the newest value of some importer.
    pub(crate) fn receive_newest(&self, waker: Option<&Waker>) -> Result<(Vec<u8>, u8), HubArrival> {
        // Dropped with nothing locked, here and below: it may own a task, and that this hub.
        let _old;
        loop {
            let (index, circuit, which) = {
                let mut state = self.lock();
                if state.closed {
                    return Err(HubArrival::Closed);
                }
                let Some(index) = self.ready.lock().pop_front() else {
                    _old = waker.and_then(|waker| state.recv_waker.replace(waker.clone()));
                    return Err(HubArrival::Nothing);
                };
                let Some(entry) = state.members.get(index).and_then(Option::as_ref) else { continue };
                (index, Arc::clone(&entry.circuit), entry.which)
            };
            match circuit.receive_newest(None) {
                Ok(newest) => {
                    self.look_again(index);
                    return Ok((newest, which));
                }
                Err(Arrival::Closed | Arrival::Dead(_)) => self.remove(index, &circuit),
                Err(_) => {}
            }
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
        if state.closed {
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
        let circuit = accept(Member { hub: Arc::downgrade(self), index, ready })?;
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
    fn tells_left(&self) -> bool {
        let flags = self.spec.flags;
        self.fanout == Fanout::Exclusive
            && flags.has(OpenFlags::RECEIVES)
            && !flags.has(OpenFlags::CALLS)
            && !flags.has(OpenFlags::LATEST)
    }

    /// One more sender holds the sending half: it is dropped with the last one.
    pub(crate) fn add_sender(&self) {
        self.lock().senders += 1;
    }

    fn signal(&self, index: usize, signal: Signal) {
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
    fn see_off(&self, index: usize, circuit: &Arc<Circuit>) {
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

    fn remove(&self, index: usize, circuit: &Arc<Circuit>) {
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

    /// Takes what some importer has sent: the inbox is exchanged.
    pub(crate) fn receive(&self, inbox: &mut Inbox, waker: Option<&Waker>) -> HubArrival {
        let _old;
        loop {
            let (index, circuit, which) = {
                let mut state = self.lock();
                if state.closed {
                    return HubArrival::Closed;
                }
                let Some(index) = self.ready.lock().pop_front() else {
                    _old = waker.and_then(|waker| state.recv_waker.replace(waker.clone()));
                    return HubArrival::Nothing;
                };
                let Some(entry) = state.members.get(index).and_then(Option::as_ref) else { continue };
                (index, Arc::clone(&entry.circuit), entry.which)
            };
            let is_chain = self.is_chain(which);
            if is_chain && circuit.holds_next() {
                continue;
            }
            let arrival = if is_chain { circuit.receive_next(inbox) } else { circuit.receive(inbox, None) };
            match arrival {
                Arrival::Messages => {
                    self.turn_to(index);
                    // It may have more, or its end, by the time this is taken.
                    return HubArrival::Messages { index, circuit, which };
                }
                Arrival::Nothing => {}
                end @ (Arrival::Closed | Arrival::Dead(_)) if self.tells_left() => {
                    if self.tell(index, &circuit) {
                        let Arrival::Dead(dead) = end else { return HubArrival::Left(None) };
                        return HubArrival::Left(Some(dead));
                    }
                }
                Arrival::Closed | Arrival::Dead(_) => self.remove(index, &circuit),
            }
        }
    }

    /// Registers who waits for messages, if they can come from this importer only.
    pub(crate) fn register_for_only(&self, circuit: &Arc<Circuit>, waker: &Waker) -> bool {
        let _old;
        let mut state = self.lock();
        let only = match &state.members[..] {
            [Some(entry)] => Arc::ptr_eq(&entry.circuit, circuit),
            _ => false,
        };
        if !only || state.closed || !self.ready.lock().is_empty() {
            return false;
        }
        if !state.recv_waker.as_ref().is_some_and(|other| other.will_wake(waker)) {
            _old = state.recv_waker.replace(waker.clone());
        }
        true
    }

    /// That an importer sends no more is told once: whether that is now. One that is gone has
    /// left with that; one that still listens in a conversation remains the one that is sent to.
    fn tell(&self, index: usize, circuit: &Arc<Circuit>) -> bool {
        let first = {
            let mut state = self.lock();
            let entry = state.entry(index, circuit).filter(|entry| !entry.told);
            entry.map(|entry| entry.told = true).is_some()
        };
        if first {
            self.turn_to(index);
        }
        let is_gone = !self.is_conversation() || circuit.has_left();
        if first && is_gone {
            self.remove(index, circuit);
        } else {
            self.see_off(index, circuit);
        }
        first
    }

    /// The program hears of this importer: what it sends is for nobody before it.
    fn turn_to(&self, index: usize) {
        if !self.is_conversation() {
            return;
        }
        let before: Vec<_> = {
            let state = self.lock();
            let there = state.members.iter().enumerate().filter(|(other, _)| *other != index);
            let there = there.filter_map(|(other, entry)| Some((other, entry.as_ref()?)));
            let told = there.filter(|(_, entry)| entry.told && entry.left);
            told.map(|(other, entry)| (other, Arc::clone(&entry.circuit))).collect()
        };
        for (other, circuit) in before {
            self.remove(other, &circuit);
        }
    }

    /// After a batch of a member is taken: look at it again, for its end may be there.
    pub(crate) fn look_again(&self, index: usize) {
        let mut ready = self.ready.lock();
        if self.tells_left() {
            // Its end comes before what the next importer has to say.
            ready.push_front(index);
        } else {
            ready.push_back(index);
        }
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

    /// An importer that is dead, and not seen off yet, has not taken all.
    fn note_lost(&self, index: usize, circuit: &Arc<Circuit>, dead: Dead) {
        let mut state = self.lock();
        if let Some(entry) = state.entry(index, circuit).filter(|entry| !entry.lost) {
            entry.lost = true;
            state.lost.get_or_insert(dead);
        }
    }

    /// The link that alone brings values, if there is just one.
    pub(crate) fn only_link(&self) -> Option<Arc<super::link::LinkCell>> {
        let state = self.lock();
        let mut links = state.members.iter().flatten().map(|entry| &entry.circuit.link);
        let first = links.next()?;
        links.all(|link| Arc::ptr_eq(link, first)).then(|| Arc::clone(first))
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

    /// The exported end was dropped: importers get an orderly end, or are told.
    pub(crate) fn close(&self) {
        let members = {
            let mut state = self.lock();
            state.closed = true;
            core::mem::take(&mut state.members)
        };
        if let Some(f) = self.on_close.lock().unwrap_or_else(PoisonError::into_inner).take() {
            f();
        }
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

/// What an export had to receive.
pub(crate) enum HubArrival {
    Messages {
        index: usize,
        circuit: Arc<Circuit>,
        which: u8,
    },
    Nothing,
    /// Of an exclusive export: an importer sends no more, and all of its values were received.
    /// Why, if it did not end in order.
    Left(Option<Dead>),
    Closed,
}
