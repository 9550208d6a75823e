//! Serves an end that has moved on to another node: copies messages from one circuit to
//! another, in the threads that bring them, and decodes nothing.
//!
//! Credit comes back for what has gone on, so what waits here is within what was promised. *Taken*
//! it is when the far program has taken it: totals, questions, the end and a death pass in both
//! directions as they do at a bridge.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::Waker;
use std::task::Wake;

use super::circuit::{Arrival, Circuit, Refusal};
use super::inbox::{Inbox, Message};
use super::turn::Turn;
use crate::proto::{Dead, Reason, Total};

/// Holds one message at the most; credit on both sides bounds the rest. Kept alive by the
/// wakers that it leaves with its circuits.
pub(crate) struct Relay {
    from: Arc<Circuit>,
    to: Arc<Circuit>,
    /// Values of `from` that were taken, and of `to` that were sent, before the end moved on.
    before: [u64; 2],
    state: Turn<State>,
}

struct State {
    inbox: Inbox,
    pending: Option<Vec<u8>>,
    stage: Stage,
    /// So many values of `from` are known to be taken.
    taken: u64,
    /// That is to be asked on `to`, as `from` has counted it.
    question: Option<Total>,
}

enum Stage {
    /// Values come and go on.
    Open,
    /// All have gone on, and their end behind them: the far program is to take them.
    Ended,
    /// No more come, for this reason: the far side hears of it behind what has come.
    Lost(Dead),
    Over,
}

impl Relay {
    /// Begins to copy. Called with no lock held.
    pub(crate) fn start(from: Arc<Circuit>, to: Arc<Circuit>, inbox: Inbox) {
        let before = [from.begin_relay(), to.sent()];
        let state = State { inbox, pending: None, stage: Stage::Open, taken: before[0], question: None };
        Arc::new(Self { from, to, before, state: Turn::new(state) }).pump();
    }

    fn pump(self: &Arc<Self>) {
        let waker = Waker::from(Arc::clone(self));
        self.state.run(|state| while self.step(state, &waker) {}, |()| {});
    }

    /// Does what there is to do: whether there is more. Whatever comes later finds the waker.
    fn step(&self, state: &mut State, waker: &Waker) -> bool {
        if matches!(state.stage, Stage::Over) {
            return false;
        }
        let there = self.to.outlook(waker);
        self.confirm(state, there.confirmed);
        if let Some(dead) = there.dead {
            self.refuse(state, dead);
            return false;
        }
        match state.stage {
            Stage::Ended if there.done => {
                // All of it is taken, so this is the orderly end.
                self.from.drop_rx(&mut state.inbox);
                self.close(state);
            }
            Stage::Open => {
                let goes_on = self.copy(state, waker);
                self.pass_question(state, waker);
                return goes_on;
            }
            Stage::Lost(dead) if there.is_written => {
                self.to.give_up(dead);
                self.close(state);
            }
            Stage::Ended | Stage::Lost(_) | Stage::Over => {}
        }
        false
    }

    /// Whoever sends hears how much the far program has taken.
    fn confirm(&self, state: &mut State, confirmed: u64) {
        let [taken, sent] = self.before;
        let taken = taken + confirmed.saturating_sub(sent);
        if taken > state.taken {
            state.taken = taken;
            self.from.tell_taken(taken);
        }
    }

    /// Copies until it has to wait; `true` where no more comes.
    fn copy(&self, state: &mut State, waker: &Waker) -> bool {
        loop {
            if let Some(message) = &mut state.pending {
                match self.to.send(message, Some(waker)) {
                    Ok(()) => {
                        state.pending = None;
                        if state.inbox.owes_report() {
                            self.from.give_back(&mut state.inbox);
                        }
                    }
                    Err(Refusal::Wait) => return false,
                    Err(Refusal::TooLarge(_)) => return self.cannot(state, Reason::TooLarge),
                    Err(Refusal::Dead(dead)) => {
                        let there = self.to.outlook(waker);
                        // What was taken until then counts.
                        self.confirm(state, there.confirmed);
                        // A link that has heard its end takes no more, and says why in a moment: that wakes.
                        if let Some(dead) = there.dead.or_else(|| there.done.then_some(dead)) {
                            self.refuse(state, dead);
                        }
                        return false;
                    }
                }
                continue;
            }
            if state.inbox.next_carries() {
                // The ends came to this node, and what they carry is not known here.
                return self.cannot(state, Reason::NotTaken);
            }
            if let Some(message) = state.inbox.next() {
                state.pending = Some(match message {
                    Message::Small(bytes) => bytes.to_vec(),
                    Message::Owned(bytes) => bytes,
                });
                continue;
            }
            state.stage = match self.from.receive(&mut state.inbox, Some(waker)) {
                Arrival::Messages => continue,
                Arrival::Nothing => return false,
                Arrival::Closed => {
                    self.to.drop_tx();
                    Stage::Ended
                }
                Arrival::Dead(dead) => Stage::Lost(self.from.dead_for(dead, &self.to)),
            };
            return true;
        }
    }

    /// A question that has come is asked at the far side, as soon as that can be asked.
    fn pass_question(&self, state: &mut State, waker: &Waker) {
        if !matches!(state.stage, Stage::Open) {
            // An end asks by itself.
            return;
        }
        if let Some(question) = self.from.question(waker) {
            state.question = Some(question);
        }
        let [taken, sent] = self.before.map(|count| Total::new(count as u32));
        if let Some(question) = state.question
            && self.to.ask(sent.plus(question.ahead_of(taken)))
        {
            state.question = None;
        }
    }

    /// What has come cannot go on: whoever sends hears of it at once, the far side behind what it was sent.
    fn cannot(&self, state: &mut State, reason: Reason) -> bool {
        let dead = Dead::here(reason);
        self.drop_from(state, dead);
        state.stage = Stage::Lost(dead);
        true
    }

    /// The far side takes no more.
    fn refuse(&self, state: &mut State, dead: Dead) {
        self.drop_from(state, self.to.dead_for(dead, &self.from));
        self.close(state);
    }

    fn drop_from(&self, state: &mut State, dead: Dead) {
        self.from.give_up(dead);
        self.from.refuse_attached(state.inbox.drain_ends());
        state.inbox = Inbox::default();
        state.pending = None;
    }

    /// The circuits keep no waker of a relay that is over: it would keep them.
    fn close(&self, state: &mut State) {
        state.stage = Stage::Over;
        for circuit in [&self.from, &self.to] {
            let wakers = circuit.with(|cell| [cell.recv_waker.take(), cell.send_waker.take()]);
            drop(wakers);
        }
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
