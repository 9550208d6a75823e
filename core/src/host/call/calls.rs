//! What the calls of one circuit share: their numbers, the room for their replies, and who waits.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::task::Waker;
use std::task::Wake;

use super::{CallError, is_error, reply_in};
use crate::host::circuit::{Arrival, Circuit};
use crate::host::inbox::{Inbox, Message as Arrived};
use crate::host::spec::{Imported, Spec};
use crate::host::sync::HashMap;
use crate::host::turn::Turn;
use crate::proto::{Dead, Link, Place, Reason};

/// What the calls of one circuit share.
pub(crate) struct Core {
    pub(super) circuit: Circuits,
    pub(super) calls: Turn<Calls>,
}

/// Why the first of a chain's calls has failed.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// Its reply says so: the encoding.
    Reply(Vec<u8>),
    Call(CallError),
}

/// Keeps the circuit, and ends it in order with the last call.
pub(super) struct Circuits(pub(super) Arc<Circuit>);

impl Drop for Circuits {
    fn drop(&mut self) {
        self.0.drop_tx();
        self.0.drop_rx(&mut Inbox::default());
    }
}

#[derive(Default)]
pub(super) struct Calls {
    next: u32,
    most: usize,
    pub(super) pending: HashMap<u32, Pending>,
    /// Calls that wait for credit, or for others to end.
    room: Vec<Waker>,
    /// How often those were told that there may be some.
    told: u64,
    inbox: Inbox,
    dead: Option<Dead>,
    is_chain: bool,
    /// Of a chain: why no call runs any more.
    failure: Option<Failure>,
    /// Replies that have come and were not taken by their calls: their room is free.
    answered: usize,
}

pub(super) enum Pending {
    Waiting(Option<Waker>),
    Replied(Result<Vec<u8>, Dead>),
    /// Given up here; its place is kept until the server has answered.
    Cancelled,
}

impl Core {
    pub(crate) fn new(end: Imported, spec: &Spec, is_chain: bool) -> Arc<Self> {
        let (limit, floor) = spec.room(end.limit);
        let most = (floor / Link::charge(limit)).max(1) as usize;
        let calls = Turn::new(Calls { most, is_chain, ..Calls::default() });
        Arc::new(Self { circuit: Circuits(end.circuit), calls })
    }

    /// Of a chain: why no call runs any more.
    pub(crate) fn failure(self: &Arc<Self>) -> Option<Failure> {
        let failure = self.calls.lock().failure.clone();
        self.settle();
        failure
    }

    /// Of a chain: a call could not even be made. The first cause stays.
    pub(crate) fn fail(self: &Arc<Self>, error: CallError) {
        self.calls.lock().failure.get_or_insert(Failure::Call(error));
        self.settle();
    }

    /// Gives what has come to the calls that wait for it.
    pub(super) fn pump(self: &Arc<Self>) {
        let waker = self.waker();
        let work = |calls: &mut Calls| {
            let mut wakers = calls.take_replies(&self.circuit.0, &waker);
            wakers.append(&mut calls.take_room());
            wakers
        };
        self.calls.run(work, wake_all);
    }

    /// After `calls` was locked and let go: does what others could not.
    pub(super) fn settle(self: &Arc<Self>) {
        if self.calls.was_missed() {
            self.pump();
        }
    }

    /// One waker for all calls of the circuit: it passes the word on to them.
    pub(super) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::new(Told(Arc::downgrade(self))))
    }

    /// A number for one more call, which a reply may have before its send returns; and how
    /// often those who wait were told so far. `None` where it has to wait for room.
    pub(super) fn begin(&self, waker: &Waker) -> Option<Result<(u32, u64), Dead>> {
        let mut calls = self.calls.lock();
        if let Some(dead) = calls.dead {
            return Some(Err(dead));
        }
        if calls.failure.is_some() {
            return Some(Err(Dead::here(Reason::ChainBroken)));
        }
        // Whoever makes a chain keeps its calls; a client's end one by one.
        let answered = if calls.is_chain { calls.answered } else { 0 };
        if calls.pending.len() >= calls.most + answered {
            calls.wait_for_room(waker);
            return None;
        }
        let Some(next) = calls.next.checked_add(1) else {
            return Some(Err(Dead::here(Reason::NoResources)));
        };
        calls.next = next;
        calls.pending.insert(next, Pending::Waiting(Some(waker.clone())));
        Some(Ok((next, calls.told)))
    }

    /// The call was not sent: its place is free. Registers who waits, unless those were told
    /// since the attempt began.
    pub(super) fn give_up(&self, id: u32, waits: Option<(&Waker, u64)>) -> bool {
        let mut calls = self.calls.lock();
        let place = calls.pending.remove(&id);
        let (room, waits) = match waits {
            Some((waker, told)) if told == calls.told => {
                calls.wait_for_room(waker);
                (Vec::new(), true)
            }
            Some(_) => (Vec::new(), false),
            None => (calls.take_room(), false),
        };
        drop(calls);
        drop(place);
        wake_all(room);
        waits
    }

    /// Registers for replies while a call waits for room.
    pub(super) fn pump_if_idle(self: &Arc<Self>) {
        let mut wakers = Vec::new();
        let mut calls = self.calls.lock();
        if !calls.pending.is_empty() {
            wakers = calls.take_replies(&self.circuit.0, &self.waker());
        }
        drop(calls);
        wake_all(wakers);
        self.settle();
    }
}

pub(super) fn wake_all(wakers: Vec<Waker>) {
    for waker in wakers {
        waker.wake();
    }
}

/// Woken by the link when replies have come, with no lock held. It does not keep the calls
/// alive: their circuit holds it, and they hold the circuit.
struct Told(Weak<Core>);

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(core) = self.0.upgrade() {
            core.pump();
        }
    }
}

impl Calls {
    fn wait_for_room(&mut self, waker: &Waker) {
        if !self.room.iter().any(|other| other.will_wake(waker)) {
            self.room.push(waker.clone());
        }
    }

    pub(super) fn take_room(&mut self) -> Vec<Waker> {
        self.told += 1;
        core::mem::take(&mut self.room)
    }

    fn take_replies(&mut self, circuit: &Arc<Circuit>, waker: &Waker) -> Vec<Waker> {
        let mut wakers = Vec::new();
        loop {
            while let Some(message) = self.inbox.next() {
                let bytes = match message {
                    Arrived::Small(bytes) => bytes.to_vec(),
                    Arrived::Owned(bytes) => bytes,
                };
                if let Some((id, reply)) = reply_in(bytes) {
                    if self.is_chain && self.failure.is_none() {
                        self.failure = failure_in(&reply);
                    }
                    wakers.extend(self.resolve(id, reply));
                }
                circuit.count_taken(&mut self.inbox);
            }
            let dead = match circuit.receive(&mut self.inbox, Some(waker)) {
                Arrival::Messages => continue,
                Arrival::Nothing => return wakers,
                Arrival::Closed => Dead { reason: Reason::Withdrawn, at: Place::Peer },
                Arrival::Dead(dead) => dead,
            };
            self.dead.get_or_insert(dead);
            for call in self.pending.values_mut() {
                if let Pending::Waiting(waker) = call {
                    wakers.extend(waker.take());
                    *call = Pending::Replied(Err(dead));
                }
            }
            return wakers;
        }
    }

    /// Puts a reply to its call: the waker of whoever waits for it.
    fn resolve(&mut self, id: u32, reply: Result<Vec<u8>, Dead>) -> Option<Waker> {
        match self.pending.get_mut(&id)? {
            Pending::Waiting(waker) => {
                let waker = waker.take();
                self.pending.insert(id, Pending::Replied(reply));
                self.answered += 1;
                waker
            }
            Pending::Cancelled => {
                self.pending.remove(&id);
                None
            }
            Pending::Replied(_) => None,
        }
    }

    /// The call takes its reply, or does not want it any more.
    pub(super) fn take_reply(&mut self, id: u32) -> Option<Pending> {
        let reply = self.pending.remove(&id);
        if matches!(reply, Some(Pending::Replied(_))) {
            self.answered = self.answered.saturating_sub(1);
        }
        reply
    }
}

/// Why a call of a chain has failed, if it has, and is not one that was not run for that.
fn failure_in(reply: &Result<Vec<u8>, Dead>) -> Option<Failure> {
    match reply {
        Ok(bytes) => is_error(bytes).then(|| Failure::Reply(bytes.clone())),
        Err(dead) if dead.reason == Reason::ChainBroken => None,
        Err(dead) => Some(Failure::Call(CallError::Dead(*dead))),
    }
}
