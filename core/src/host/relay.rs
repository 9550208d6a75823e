//! Serves an end that has moved on to another node: copies messages from one circuit to
//! another, in the threads that bring them, and decodes nothing.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::Waker;
use std::task::Wake;

use super::circuit::{Arrival, Circuit, Refusal};
use super::inbox::{Inbox, Message};
use super::turn::Turn;
use crate::proto::Reason;

/// Holds one message at the most; credit on both sides bounds the rest. Kept alive by the
/// wakers that it leaves with its circuits.
pub(crate) struct Relay {
    from: Arc<Circuit>,
    to: Arc<Circuit>,
    state: Turn<State>,
}

struct State {
    inbox: Inbox,
    pending: Option<Vec<u8>>,
    over: bool,
}

impl Relay {
    /// Begins to copy. Called with no lock held.
    pub(crate) fn start(from: Arc<Circuit>, to: Arc<Circuit>, inbox: Inbox) {
        let state = Turn::new(State { inbox, pending: None, over: false });
        Arc::new(Self { from, to, state }).pump();
    }

    fn pump(self: &Arc<Self>) {
        let waker = Waker::from(Arc::clone(self));
        let work = |state: &mut State| {
            if !state.over {
                self.copy(state, &waker);
            }
        };
        self.state.run(work, |()| {});
    }

    /// Copies until it has to wait, or one side is over.
    fn copy(&self, state: &mut State, waker: &Waker) {
        loop {
            if let Some(message) = &mut state.pending {
                match self.to.send(message, Some(waker)) {
                    Ok(()) => {
                        state.pending = None;
                        self.from.count_taken(&mut state.inbox);
                    }
                    Err(Refusal::Wait) => return,
                    Err(Refusal::TooLarge(_)) => return self.end(state, Reason::TooLarge),
                    Err(Refusal::Dead(dead)) => return self.end(state, dead.reason),
                }
                continue;
            }
            if let Some(message) = state.inbox.next() {
                state.pending = Some(match message {
                    Message::Small(bytes) => bytes.to_vec(),
                    Message::Owned(bytes) => bytes,
                });
                continue;
            }
            match self.from.receive(&mut state.inbox, Some(waker)) {
                Arrival::Messages => {}
                Arrival::Nothing => {
                    // Hears of the other side's end as well.
                    if let Some(dead) = self.to.dead_or_register(waker) {
                        self.end(state, dead.reason);
                    }
                    return;
                }
                Arrival::Closed => {
                    state.over = true;
                    self.from.drop_rx(&mut state.inbox);
                    self.to.drop_tx();
                    return self.let_go();
                }
                Arrival::Dead(dead) => return self.end(state, dead.reason),
            }
        }
    }

    /// The circuits keep no waker of a relay that is over: it would keep them.
    fn let_go(&self) {
        for circuit in [&self.from, &self.to] {
            let wakers = circuit.with(|cell| [cell.recv_waker.take(), cell.send_waker.take()]);
            drop(wakers);
        }
    }

    fn end(&self, state: &mut State, reason: Reason) {
        state.over = true;
        self.from.kill(reason, "");
        self.to.kill(reason, "");
        self.let_go();
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.pump();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.pump();
    }
}
