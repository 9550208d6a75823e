//! An import that goes on in the next session, after it has told of the loss.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::task::{Poll, Waker};
use std::time::Instant;

use super::circuit::{Circuit, Refusal};
use super::error::SendCause;
use super::link::LinkCell;
use super::peer::{IMPORT_WAIT, Request};
use super::sender::Account;
use super::sessions::Keeper;
use super::sync::{Mutex, MutexGuard, PoisonError};
use super::timer;
use super::wait::after;
use crate::proto::{Dead, Reason};

/// What an end needs to be opened again.
pub(crate) struct Reopen {
    sessions: Arc<Keeper>,
    waiter: u64,
    request: Request,
    /// Sessions up to this one are over, or the present one is it.
    session: u64,
    opening: Option<Opening>,
    /// Values that passed in earlier sessions.
    passed: u64,
}

/// An open in the present session.
struct Opening {
    circuit: Arc<Circuit>,
    until: Instant,
    timer: Option<timer::Entry>,
}

/// Why an end is not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unopened {
    /// The peer was given up, or this side has ended it.
    Dead(Dead),
    /// The peer is back and refuses what it had accepted.
    Refused(Dead),
}

impl fmt::Debug for Reopen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reopen").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Drop for Reopen {
    fn drop(&mut self) {
        self.sessions.forget_waiter(self.waiter);
    }
}

impl Reopen {
    /// For an import that stands in the present session.
    pub(crate) fn new(sessions: Arc<Keeper>, session: u64, request: Request) -> Box<Self> {
        let waiter = sessions.waiter();
        Box::new(Self { sessions, waiter, request, session, opening: None, passed: 0 })
    }

    /// The channel's name.
    pub(crate) const fn name(&self) -> &Arc<str> {
        &self.request.name
    }

    /// Whether the circuit died with its session, and another one may come.
    pub(crate) fn is_interrupted(&self, circuit: &Circuit) -> bool {
        circuit.died_with_link() && self.sessions.over().is_none()
    }

    /// So many values have passed in the session that is over; `false` if those are all
    /// that were asked for.
    pub(crate) fn count(&mut self, values: u64) -> bool {
        self.passed += values;
        self.request.values.is_none_or(|all| self.passed < all)
    }

    /// The circuit in a later session, and the version that was chosen.
    pub(crate) fn poll(&mut self, waker: Option<&Waker>) -> Poll<Result<(Arc<Circuit>, u8), Unopened>> {
        loop {
            let Some(Opening { circuit, until, timer }) = &mut self.opening else {
                let (link, number) = match self.sessions.after(self.session, self.waiter, waker) {
                    Ok(Some(session)) => session,
                    Ok(None) => return Poll::Pending,
                    Err(dead) => return Poll::Ready(Err(Unopened::Dead(dead))),
                };
                self.session = number;
                self.open(&link)?;
                continue;
            };
            match circuit.opened(waker.unwrap_or(Waker::noop())) {
                Some(Ok(which)) => {
                    let circuit = Arc::clone(circuit);
                    self.opening = None;
                    return Poll::Ready(Ok((circuit, which)));
                }
                // Nothing has passed in that session, so there is nothing to tell.
                Some(Err(_)) if circuit.died_with_link() => self.opening = None,
                Some(Err((dead, _))) => {
                    self.opening = None;
                    return Poll::Ready(Err(Unopened::Refused(dead)));
                }
                None if super::sync::now() >= *until => {
                    self.opening = None;
                    return Poll::Ready(Err(Unopened::Refused(Dead::here(Reason::Deadline))));
                }
                None => {
                    if let Some(waker) = waker {
                        *timer = Some(timer::Entry::new(*until, waker));
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    fn open(&mut self, link: &Arc<LinkCell>) -> Result<(), Unopened> {
        let until = after(IMPORT_WAIT);
        let mut request = self.request.clone();
        request.values = request.values.map(|all| all.saturating_sub(self.passed));
        match request.open(link, until, None) {
            Ok(circuit) => self.opening = Some(Opening { circuit, until, timer: None }),
            // Lost again before it was used: there may be another one.
            Err(_) if link.is_down() => {}
            Err(error) => return Err(Unopened::Refused(error.dead())),
        }
        Ok(())
    }
}

/// A sending end that reopens, behind a lock, for values may be sent through `&self`.
/// Its lock stands before a link's.
pub(crate) struct Kept {
    pub(crate) name: Arc<str>,
    state: Mutex<State>,
}

struct State {
    circuit: Option<Arc<Circuit>>,
    reopen: Box<Reopen>,
    /// Of earlier sessions.
    past: Account,
    over: Option<SendCause>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

impl Kept {
    pub(crate) fn new(circuit: Arc<Circuit>, reopen: Box<Reopen>) -> Box<Self> {
        let name = Arc::clone(reopen.name());
        let state = State { circuit: Some(circuit), reopen, past: Account::default(), over: None };
        Box::new(Self { name, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The circuit to send on, alive a moment ago; `Err(None)` has the waker registered.
    /// An interruption is told once.
    pub(crate) fn circuit(&self, waker: Option<&Waker>) -> Result<Arc<Circuit>, Option<SendCause>> {
        let mut guard = self.lock();
        let state = &mut *guard;
        if let Some(over) = state.over {
            return Err(Some(over));
        }
        if let Some(circuit) = &state.circuit {
            let Some(dead) = circuit.dead() else { return Ok(Arc::clone(circuit)) };
            if !state.reopen.is_interrupted(circuit) {
                state.over = Some(SendCause::Dead(dead));
                return Err(state.over);
            }
            let account = circuit.account();
            state.past = state.past.plus(account);
            let old = state.circuit.take();
            drop(guard);
            // The last to hold it locks its link.
            drop(old);
            return Err(Some(SendCause::Interrupted { dead, account }));
        }
        match state.reopen.poll(waker) {
            Poll::Pending => Err(None),
            Poll::Ready(Ok((circuit, _))) => {
                state.circuit = Some(Arc::clone(&circuit));
                Ok(circuit)
            }
            Poll::Ready(Err(unopened)) => {
                state.over = Some(match unopened {
                    Unopened::Dead(dead) => SendCause::Dead(dead),
                    Unopened::Refused(dead) => SendCause::NotReopened(dead),
                });
                Err(state.over)
            }
        }
    }

    /// Does something on the circuit. A circuit that turns out to be dead is looked at again:
    /// it may have been interrupted.
    pub(crate) fn on_circuit<R>(
        &self,
        waker: Option<&Waker>,
        f: impl FnOnce(&Circuit) -> Result<R, Refusal>,
    ) -> Result<R, Option<SendCause>> {
        let circuit = self.circuit(waker)?;
        f(&circuit).map_err(|refusal| match refusal {
            Refusal::Dead(_) => self.circuit(waker).err().unwrap_or_else(|| refusal.cause()),
            refusal => refusal.cause(),
        })
    }

    /// Nothing more is sent: the orderly end.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.over = Some(SendCause::Closed);
        if let Some(circuit) = &state.circuit {
            circuit.drop_tx();
        }
    }

    /// The circuit of the present session, without a look at whether it lives.
    pub(crate) fn present(&self) -> Option<Arc<Circuit>> {
        self.lock().circuit.clone()
    }

    /// Of all sessions.
    pub(crate) fn account(&self) -> Account {
        let state = self.lock();
        let present = state.circuit.as_ref().map_or_else(Account::default, |circuit| circuit.account());
        state.past.plus(present)
    }
}
