//! A channel inside one process: same ends, no encoding.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::task::Waker;

use super::carry::{Alone, LocalHalf};
use super::circuit::Circuit;
use super::error::{RecvError, SendCause};
use super::inbox::Inbox;
use super::receiver::Receiver;
use super::sender::{Account, Sender};
use super::sync::{Mutex, MutexGuard, PoisonError};
use crate::message::{EndError, Message};
use crate::proto::{Dead, Reason};

/// A channel inside this process with room for `capacity` values (at least 1). Values are
/// moved, not encoded; everything else is as with an imported channel.
pub fn channel<T: Message + Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let (tx, rx) = halves(capacity);
    (Sender::local(tx), Receiver::local(rx))
}

/// The two halves of a channel.
pub(crate) fn halves<T>(capacity: usize) -> (Tx<T>, Rx<T>) {
    let shared = Arc::new(Mutex::new(State {
        queue: VecDeque::new(),
        capacity: capacity.max(1),
        senders: 1,
        rx_open: true,
        sent: 0,
        taken: 0,
        send_waker: None,
        recv_waker: None,
        sealed: false,
        tx_moved: false,
        rx_moved: false,
        circuit: None,
    }));
    (Tx { shared: Arc::clone(&shared) }, Rx { shared })
}

#[derive(Debug)]
struct State<T> {
    queue: VecDeque<T>,
    capacity: usize,
    /// How many hold the sending half: it closes with the last one.
    senders: usize,
    rx_open: bool,
    sent: u64,
    taken: u64,
    send_waker: Option<Waker>,
    recv_waker: Option<Waker>,
    /// One end is about to move: nothing is added.
    sealed: bool,
    tx_moved: bool,
    rx_moved: bool,
    /// One end has moved to another node: the other goes on with this.
    circuit: Option<Arc<Circuit>>,
}

#[derive(Debug)]
pub(crate) struct Tx<T> {
    shared: Arc<Mutex<State<T>>>,
}

#[derive(Debug)]
pub(crate) struct Rx<T> {
    shared: Arc<Mutex<State<T>>>,
}

fn lock<T>(shared: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Tx<T> {
    /// One more holds the sending half.
    pub(crate) fn another(&self) -> Self {
        lock(&self.shared).senders += 1;
        Self { shared: Arc::clone(&self.shared) }
    }

    pub(crate) fn send(&self, value: T, waker: Option<&Waker>) -> Result<(), (T, SendCause)> {
        let mut state = lock(&self.shared);
        if !state.rx_open && state.circuit.is_none() {
            return Err((value, SendCause::Dead(Dead::here(Reason::HungUp))));
        }
        if state.sealed || state.circuit.is_some() || state.queue.len() >= state.capacity {
            let old = waker.and_then(|waker| state.send_waker.replace(waker.clone()));
            drop(state);
            // It may own a task, and that the other end: not under the lock.
            drop(old);
            return Err((value, SendCause::Full));
        }
        state.queue.push_back(value);
        state.sent += 1;
        let waker = state.recv_waker.take();
        drop(state);
        wake(waker);
        Ok(())
    }

    /// Adds to what waits, or puts something else in the place of the last; `false` where the receiver is gone, or at
    /// another node.
    pub(crate) fn amend(&self, f: impl FnOnce(&mut VecDeque<T>)) -> bool {
        let mut state = lock(&self.shared);
        if !state.rx_open || state.sealed || state.circuit.is_some() {
            return false;
        }
        let before = state.queue.len() as u64;
        f(&mut state.queue);
        state.sent = state.sent + state.queue.len() as u64 - before;
        let waker = state.recv_waker.take();
        drop(state);
        wake(waker);
        true
    }

    pub(crate) fn has_room(&self, waker: &Waker) -> Result<bool, SendCause> {
        let mut state = lock(&self.shared);
        if !state.rx_open {
            return Err(SendCause::Dead(Dead::here(Reason::HungUp)));
        }
        let room = !state.sealed && state.queue.len() < state.capacity;
        let old = if room { None } else { state.send_waker.replace(waker.clone()) };
        drop(state);
        drop(old);
        Ok(room)
    }

    pub(crate) fn account(&self) -> Account {
        let state = lock(&self.shared);
        Account { confirmed: state.taken, in_doubt: state.sent - state.taken, ..Account::default() }
    }

    pub(crate) fn is_open(&self) -> bool {
        lock(&self.shared).rx_open
    }

    pub(crate) fn drained(&self, waker: &Waker) -> Result<bool, Dead> {
        let mut state = lock(&self.shared);
        if state.sent == state.taken {
            return Ok(true);
        }
        if !state.rx_open {
            return Err(Dead::here(Reason::HungUp));
        }
        let old = state.send_waker.replace(waker.clone());
        drop(state);
        drop(old);
        Ok(false)
    }
}

impl<T> Drop for Tx<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.shared);
        state.senders -= 1;
        if state.senders > 0 {
            return;
        }
        // The receiver may be at another node by now.
        let circuit = if state.tx_moved { None } else { state.circuit.take() };
        let waker = state.recv_waker.take();
        drop(state);
        wake(waker);
        if let Some(circuit) = circuit {
            circuit.drop_tx();
        }
    }
}

impl<T> Rx<T> {
    pub(crate) fn recv(&self, waker: Option<&Waker>) -> Result<T, RecvError> {
        let mut state = lock(&self.shared);
        if let Some(value) = state.queue.pop_front() {
            state.taken += 1;
            let waker = state.send_waker.take();
            drop(state);
            wake(waker);
            return Ok(value);
        }
        if state.circuit.is_some() {
            return Err(RecvError::Empty);
        }
        if state.senders == 0 {
            return Err(RecvError::Closed);
        }
        let old = waker.and_then(|waker| state.recv_waker.replace(waker.clone()));
        drop(state);
        drop(old);
        Err(RecvError::Empty)
    }
}

impl<T> Rx<T> {
    pub(crate) fn is_ready(&self, waker: &Waker) -> bool {
        let mut state = lock(&self.shared);
        let ready = !state.queue.is_empty() || state.senders == 0 && state.circuit.is_none();
        let old = if ready { None } else { state.recv_waker.replace(waker.clone()) };
        drop(state);
        drop(old);
        ready
    }
}

impl<T> Drop for Rx<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.shared);
        state.rx_open = false;
        // The sender may be at another node by now.
        let circuit = if state.rx_moved { None } else { state.circuit.take() };
        // Their drops may be the user's code: not under the lock.
        let (queue, waker) = (core::mem::take(&mut state.queue), state.send_waker.take());
        drop(state);
        drop(queue);
        wake(waker);
        if let Some(circuit) = circuit {
            circuit.drop_rx(&mut Inbox::default());
        }
    }
}

impl<T> Tx<T> {
    /// The circuit to go on with, after the receiving half has moved.
    pub(crate) fn circuit(&self) -> Option<Arc<Circuit>> {
        lock(&self.shared).circuit.clone()
    }
}

impl<T> Rx<T> {
    /// The circuit to go on with, after the sending half has moved.
    pub(crate) fn take_circuit(&self) -> Option<Arc<Circuit>> {
        lock(&self.shared).circuit.take()
    }
}

/// The sending half moves: the receiver takes what is queued, and goes on with the circuit.
impl<T: Message + Send> LocalHalf for Tx<T> {
    fn seal(&self) -> Result<Vec<Vec<u8>>, EndError> {
        Ok(Vec::new())
    }

    fn unseal(&self) {}

    fn bind(&self, circuit: &Arc<Circuit>) -> Result<Option<Waker>, Alone> {
        let mut state = lock(&self.shared);
        state.tx_moved = true;
        if !state.rx_open {
            return Err(Alone);
        }
        state.circuit = Some(Arc::clone(circuit));
        Ok(state.recv_waker.take())
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// The receiving half moves: what is queued goes first, and the sender goes on with the circuit.
impl<T: Message + Send> LocalHalf for Rx<T> {
    fn seal(&self) -> Result<Vec<Vec<u8>>, EndError> {
        let values = {
            let mut state = lock(&self.shared);
            state.sealed = true;
            core::mem::take(&mut state.queue)
        };
        // The program's code, so not under the lock. Nobody adds meanwhile.
        let encode = |value: &T| {
            let mut bytes = Vec::new();
            value.encode_to(&mut bytes).map(|()| bytes).map_err(|_| EndError::Refused)
        };
        let queued: Result<Vec<_>, _> = values.iter().map(encode).collect();
        lock(&self.shared).queue = values;
        if queued.is_err() {
            self.unseal();
        }
        queued
    }

    fn unseal(&self) {
        let mut state = lock(&self.shared);
        state.sealed = false;
        let waker = state.send_waker.take();
        drop(state);
        wake(waker);
    }

    fn bind(&self, circuit: &Arc<Circuit>) -> Result<Option<Waker>, Alone> {
        let mut state = lock(&self.shared);
        state.rx_moved = true;
        if state.senders == 0 {
            return Err(Alone);
        }
        state.circuit = Some(Arc::clone(circuit));
        // The circuit's account goes on with them.
        state.sent -= state.queue.len() as u64;
        let queue = core::mem::take(&mut state.queue);
        let waker = state.send_waker.take();
        drop(state);
        drop(queue);
        Ok(waker)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
