//! An import that goes on in the next session, or when its node is back in the tree, after it has told of the loss.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::time::Instant;

use super::circuit::{Circuit, Refusal};
use super::error::SendCause;
use super::peer::{IMPORT_WAIT, Request};
use super::remote::Remote;
use super::sender::Account;
use super::sessions::Keeper;
use super::sync::{Mutex, MutexGuard, PoisonError};
use super::timer;
use super::wait::after;
use crate::proto::{Dead, Reason};

/// How long it is until a node that is away is looked for again, at first and at the most.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What an end needs to be opened again.
pub(crate) struct Reopen {
    at: Again,
    request: Request,
    opening: Option<Opening>,
    /// Values that passed in earlier sessions.
    passed: u64,
}

/// Where an end is opened again.
enum Again {
    /// On a link that is made again.
    Link {
        sessions: Arc<Keeper>,
        waiter: u64,
        /// Sessions up to this one are over, or the present one is it.
        session: u64,
    },
    /// At a node of the tree, wherever that is then.
    Node { remote: Remote, pauses: Pauses },
}

/// Pauses between looks for a node that is away. Nobody tells of one that comes back elsewhere in the tree.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    last: Duration,
    until: Option<Instant>,
    timer: Option<timer::Entry>,
}

impl Pauses {
    /// It was not there.
    pub(super) fn begin(&mut self) {
        self.last = (self.last * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        self.until = Some(after(self.last));
    }

    /// Whether the pause is over; if not, the waker is woken when it is.
    pub(super) fn is_over(&mut self, waker: Option<&Waker>) -> bool {
        match self.until {
            Some(until) if super::sync::now() < until => {
                if let Some(waker) = waker {
                    self.timer = Some(timer::Entry::new(until, waker));
                }
                false
            }
            _ => {
                (self.until, self.timer) = (None, None);
                true
            }
        }
    }
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
        f.debug_struct("Reopen").field("passed", &self.passed).finish_non_exhaustive()
    }
}

impl Drop for Reopen {
    fn drop(&mut self) {
        if let Again::Link { sessions, waiter, .. } = &self.at {
            sessions.forget_waiter(*waiter);
        }
    }
}

impl Reopen {
    /// For an import that stands in the present session.
    pub(crate) fn on_link(sessions: Arc<Keeper>, session: u64, request: Request) -> Box<Self> {
        let waiter = sessions.waiter();
        Self::new(Again::Link { sessions, waiter, session }, request)
    }

    /// For an import of a node that is there.
    pub(crate) fn at_node(remote: Remote, request: Request) -> Box<Self> {
        Self::new(Again::Node { remote, pauses: Pauses::default() }, request)
    }

    fn new(at: Again, request: Request) -> Box<Self> {
        Box::new(Self { at, request, opening: None, passed: 0 })
    }

    /// The channel's name.
    pub(crate) const fn name(&self) -> &Arc<str> {
        &self.request.name
    }

    /// Whether the circuit died with its session, and another one may come.
    pub(crate) fn is_interrupted(&self, circuit: &Circuit) -> bool {
        match &self.at {
            Again::Link { sessions, .. } => circuit.died_with_link() && sessions.over().is_none(),
            Again::Node { remote, .. } => {
                circuit.dead().is_some_and(|dead| may_pass(dead.reason)) && !remote.is_over()
            }
        }
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
                if self.begin(waker)?.is_pending() {
                    return Poll::Pending;
                }
                continue;
            };
            match circuit.opened(waker.unwrap_or(Waker::noop())) {
                Some(Ok(which)) => {
                    let circuit = Arc::clone(circuit);
                    self.opening = None;
                    if let Again::Node { pauses, .. } = &mut self.at {
                        *pauses = Pauses::default();
                    }
                    return Poll::Ready(Ok((circuit, which)));
                }
                Some(Err((dead, _))) => {
                    let died_with_link = circuit.died_with_link();
                    self.opening = None;
                    match &mut self.at {
                        // Nothing has passed in that session, so there is nothing to tell.
                        Again::Link { .. } if died_with_link => {}
                        Again::Node { pauses, .. } if may_pass(dead.reason) => pauses.begin(),
                        _ => return Poll::Ready(Err(Unopened::Refused(dead))),
                    }
                }
                None if super::sync::now() >= *until => {
                    self.opening = None;
                    match &mut self.at {
                        // Something on the way may have fallen silent, which is found out later than this.
                        Again::Node { pauses, .. } => pauses.begin(),
                        Again::Link { .. } => {
                            return Poll::Ready(Err(Unopened::Refused(Dead::here(Reason::Deadline))));
                        }
                    }
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

    /// Begins to open it, or waits until that is of use.
    fn begin(&mut self, waker: Option<&Waker>) -> Result<Poll<()>, Unopened> {
        let until = after(IMPORT_WAIT);
        let mut request = self.request.clone();
        request.values = request.values.map(|all| all.saturating_sub(self.passed));
        let opened = match &mut self.at {
            Again::Link { sessions, waiter, session } => {
                let (link, number) = match sessions.after(*session, *waiter, waker) {
                    Ok(Some(session)) => session,
                    Ok(None) => return Ok(Poll::Pending),
                    Err(dead) => return Err(Unopened::Dead(dead)),
                };
                *session = number;
                match request.open(&link, until, None) {
                    // Lost again before it was used: there may be another one.
                    Err(_) if link.is_down() => return Ok(Poll::Ready(())),
                    opened => opened,
                }
            }
            Again::Node { remote, pauses } => {
                if remote.is_over() {
                    return Err(Unopened::Dead(Dead::here(Reason::Shutdown)));
                }
                if !pauses.is_over(waker) {
                    return Ok(Poll::Pending);
                }
                match remote.open(|link, route| request.open(link, until, route)) {
                    Err(error) if may_pass(error.dead().reason) => {
                        pauses.begin();
                        return Ok(Poll::Ready(()));
                    }
                    opened => opened,
                }
            }
        };
        let circuit = opened.map_err(|error| Unopened::Refused(error.dead()))?;
        self.opening = Some(Opening { circuit, until, timer: None });
        Ok(Poll::Ready(()))
    }
}

/// Whether a death says that something on the way is gone, and not that the far end has ended or refused it.
pub(super) const fn may_pass(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::LinkLost
            | Reason::LinkReset
            | Reason::PeerRestarted
            | Reason::Unresponsive
            | Reason::Protocol
            | Reason::Shutdown
            | Reason::NoRoute
            | Reason::NoResources
            | Reason::Superseded
            | Reason::Renumbered
            | Reason::Closed
    )
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
