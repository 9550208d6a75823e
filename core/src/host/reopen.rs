//! An import that goes on in the next session, or when its node is back in the tree, after it has told of the loss.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
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

/// A sending end that reopens, for values may be sent through `&self`. Its lock is a leaf: the way is looked for, and
/// circuits are looked at, with it let go.
pub(crate) struct Kept {
    pub(crate) name: Arc<str>,
    state: Mutex<State>,
}

struct State {
    circuit: Option<Arc<Circuit>>,
    /// Away while somebody looks for the way with it. Only that one changes the circuit.
    reopen: Option<Box<Reopen>>,
    /// Who came meanwhile, and looks again when it is back.
    waiting: Vec<Waker>,
    /// Of earlier sessions.
    past: Account,
    over: Option<SendCause>,
}

/// The right to look for the way, which goes back also when a waker panics meanwhile.
struct Search<'k> {
    kept: &'k Kept,
    reopen: Option<Box<Reopen>>,
}

impl Drop for Search<'_> {
    fn drop(&mut self) {
        let mut state = self.kept.lock();
        state.reopen = self.reopen.take();
        let waiting = core::mem::take(&mut state.waiting);
        drop(state);
        for waker in waiting {
            waker.wake();
        }
    }
}

/// What a search has come to.
enum Found {
    Open(Arc<Circuit>),
    /// The waker is registered.
    Nothing,
    Interrupted {
        dead: Dead,
        account: Account,
    },
    Over(SendCause),
}

impl Search<'_> {
    /// Goes on from the circuit that stood when it began. Called with nothing locked.
    fn go_on(&mut self, circuit: Option<&Arc<Circuit>>, waker: Option<&Waker>) -> Found {
        let Some(reopen) = &mut self.reopen else { return Found::Nothing };
        let Some(circuit) = circuit else {
            return match reopen.poll(waker) {
                Poll::Pending => Found::Nothing,
                Poll::Ready(Ok((circuit, _))) => Found::Open(circuit),
                Poll::Ready(Err(Unopened::Dead(dead))) => Found::Over(SendCause::Dead(dead)),
                Poll::Ready(Err(Unopened::Refused(dead))) => Found::Over(SendCause::NotReopened(dead)),
            };
        };
        match circuit.dead() {
            // Another one has opened it meanwhile.
            None => Found::Open(Arc::clone(circuit)),
            Some(dead) if reopen.is_interrupted(circuit) => {
                Found::Interrupted { dead, account: circuit.account() }
            }
            Some(dead) => Found::Over(SendCause::Dead(dead)),
        }
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

impl Kept {
    pub(crate) fn new(circuit: Arc<Circuit>, reopen: Box<Reopen>) -> Box<Self> {
        let name = Arc::clone(reopen.name());
        let state = State {
            circuit: Some(circuit),
            reopen: Some(reopen),
            waiting: Vec::new(),
            past: Account::default(),
            over: None,
        };
        Box::new(Self { name, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The circuit to send on, alive a moment ago; `Err(None)` has the waker registered.
    /// An interruption is told once.
    pub(crate) fn circuit(&self, waker: Option<&Waker>) -> Result<Arc<Circuit>, Option<SendCause>> {
        let (over, present) = {
            let state = self.lock();
            (state.over, state.circuit.clone())
        };
        match (over, present) {
            (Some(over), _) => Err(Some(over)),
            (None, Some(circuit)) if circuit.dead().is_none() => Ok(circuit),
            _ => self.search(waker),
        }
    }

    /// Says that the circuit is dead, or looks for another one. One does that at a time.
    fn search(&self, waker: Option<&Waker>) -> Result<Arc<Circuit>, Option<SendCause>> {
        let mut state = self.lock();
        if let Some(over) = state.over {
            return Err(Some(over));
        }
        let Some(reopen) = state.reopen.take() else {
            if let Some(waker) = waker
                && !state.waiting.iter().any(|other| other.will_wake(waker))
            {
                state.waiting.push(waker.clone());
            }
            return Err(None);
        };
        let old = state.circuit.clone();
        drop(state);
        let mut search = Search { kept: self, reopen: Some(reopen) };
        let found = search.go_on(old.as_ref(), waker);
        self.settle(found)
    }

    /// Takes in what a search has found, which is not over yet.
    fn settle(&self, found: Found) -> Result<Arc<Circuit>, Option<SendCause>> {
        let mut state = self.lock();
        match found {
            Found::Open(circuit) => {
                state.circuit = Some(Arc::clone(&circuit));
                let over = state.over;
                drop(state);
                match over {
                    None => Ok(circuit),
                    Some(over) => {
                        // The end came meanwhile.
                        circuit.drop_tx();
                        Err(Some(over))
                    }
                }
            }
            Found::Nothing => Err(None),
            Found::Interrupted { dead, account } => {
                state.past = state.past.plus(account);
                state.circuit = None;
                Err(Some(SendCause::Interrupted { dead, account }))
            }
            Found::Over(cause) => Err(Some(*state.over.get_or_insert(cause))),
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
            Refusal::Dead(_) => match self.circuit(waker) {
                Err(cause) => cause,
                // It is interrupted as soon as its link has said goodbye.
                Ok(circuit) if circuit.is_ending(waker) => None,
                Ok(_) => self.circuit(waker).err().unwrap_or_else(|| refusal.cause()),
            },
            refusal => refusal.cause(),
        })
    }

    /// Nothing more is sent: the orderly end.
    pub(crate) fn end(&self) {
        let circuit = {
            let mut state = self.lock();
            state.over = Some(SendCause::Closed);
            state.circuit.clone()
        };
        if let Some(circuit) = circuit {
            circuit.drop_tx();
        }
    }

    /// The circuit of the present session, without a look at whether it lives.
    pub(crate) fn present(&self) -> Option<Arc<Circuit>> {
        self.lock().circuit.clone()
    }

    /// Of all sessions.
    pub(crate) fn account(&self) -> Account {
        let (past, present) = {
            let state = self.lock();
            (state.past, state.circuit.clone())
        };
        past.plus(present.map_or_else(Account::default, |circuit| circuit.account()))
    }
}
