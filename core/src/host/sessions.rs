//! A neighbour whose link is made again when it is lost: one session after the other.
//!
//! A transport asks [`Redial`] when to dial, and gives it the links that it has made; ends
//! that reopen wait here for the next session. Neither knows of the other.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::time::Instant;

use super::down::Down;
use super::events::LinkEvent;
use super::link::LinkCell;
use super::node::{Node, WeakNode};
use super::peer::Peer;
use super::sync::{self, Mutex, MutexGuard, PoisonError};
use super::timer;
use super::wait::{Wait, Waiting, after};
use crate::proto::{Dead, Reason};

/// How a lost link is made again.
///
/// ```
/// use std::time::Duration;
///
/// let patient = netchan::Reconnect::new().give_up_after(Duration::from_secs(3600));
/// assert_eq!(patient.longest_pause, Duration::from_secs(5));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reconnect {
    /// The pause before the first attempt. 50 ms by default. Each pause is shortened at
    /// random by up to half, so that those who lost the same peer do not come back at once.
    pub first_pause: Duration,
    /// Each pause is twice the one before, up to this. 5 s by default. A session that was
    /// shorter than this is not taken for a success: the pauses go on growing.
    pub longest_pause: Duration,
    /// How long after a loss attempts begin. 60 s by default. Then whoever waits for the
    /// peer is told that it is dead; with [`Duration::MAX`] only their own deadlines end
    /// their waits.
    pub give_up_after: Duration,
}

impl Reconnect {
    /// The defaults.
    pub const fn new() -> Self {
        Self {
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(5),
            give_up_after: Duration::from_secs(60),
        }
    }

    /// Sets [`first_pause`](Self::first_pause) and [`longest_pause`](Self::longest_pause).
    #[must_use]
    pub const fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        self.first_pause = first;
        self.longest_pause = longest;
        self
    }

    /// Sets [`give_up_after`](Self::give_up_after).
    #[must_use]
    pub const fn give_up_after(mut self, limit: Duration) -> Self {
        self.give_up_after = limit;
        self
    }
}

impl Default for Reconnect {
    fn default() -> Self {
        Self::new()
    }
}

/// The sessions with one neighbour. A leaf lock: no link is locked under it.
pub(crate) struct Sessions {
    state: Mutex<State>,
}

struct State {
    /// The present session's, or the last one's.
    link: Arc<LinkCell>,
    /// Counts sessions, from 1.
    number: u64,
    /// No session will come any more.
    over: Option<Dead>,
    waiters: Vec<(u64, Waker)>,
    next_waiter: u64,
    dialer: Option<Waker>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}

/// Held by whoever wants further sessions: with the last one dialing ends.
#[derive(Debug)]
pub(crate) struct Keeper(Arc<Sessions>);

impl core::ops::Deref for Keeper {
    type Target = Sessions;

    fn deref(&self) -> &Sessions {
        &self.0
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.end(Dead::here(Reason::Cancelled));
    }
}

impl Sessions {
    fn new(link: Arc<LinkCell>) -> Self {
        let state = State { link, number: 1, over: None, waiters: Vec::new(), next_waiter: 0, dialer: None };
        Self { state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The link of the present session, or of the last one.
    pub(crate) fn link(&self) -> Arc<LinkCell> {
        Arc::clone(&self.lock().link)
    }

    /// A number for [`Sessions::after`].
    pub(crate) fn waiter(&self) -> u64 {
        let mut state = self.lock();
        state.next_waiter += 1;
        state.next_waiter
    }

    pub(crate) fn forget_waiter(&self, waiter: u64) {
        let mut state = self.lock();
        let at = state.waiters.iter().position(|(own, _)| *own == waiter);
        let waker = at.map(|at| state.waiters.swap_remove(at));
        drop(state);
        // The drop of a waker is foreign code: not under the lock.
        drop(waker);
    }

    /// A session later than this one, with its number; `None` has the waker registered.
    pub(crate) fn after(
        &self,
        session: u64,
        waiter: u64,
        waker: Option<&Waker>,
    ) -> Result<Option<(Arc<LinkCell>, u64)>, Dead> {
        let mut state = self.lock();
        if state.number > session && !state.link.is_down() {
            return Ok(Some((Arc::clone(&state.link), state.number)));
        }
        if let Some(dead) = state.over {
            return Err(dead);
        }
        let old = waker.and_then(|waker| match state.waiters.iter_mut().find(|(own, _)| *own == waiter) {
            Some((_, stored)) if stored.will_wake(waker) => None,
            Some((_, stored)) => Some(core::mem::replace(stored, waker.clone())),
            None => {
                state.waiters.push((waiter, waker.clone()));
                None
            }
        });
        drop(state);
        drop(old);
        Ok(None)
    }

    pub(crate) fn over(&self) -> Option<Dead> {
        self.lock().over
    }

    /// No session will come any more: whoever waits for one is told. The first cause stays.
    pub(crate) fn end(&self, dead: Dead) {
        let mut state = self.lock();
        state.over.get_or_insert(dead);
        let waiters = core::mem::take(&mut state.waiters);
        let dialer = state.dialer.take();
        drop(state);
        for waker in waiters.into_iter().map(|(_, waker)| waker).chain(dialer) {
            waker.wake();
        }
    }

    /// A new session; `false` when nobody wants it any more.
    fn renew(&self, link: Arc<LinkCell>) -> bool {
        let mut state = self.lock();
        if state.over.is_some() {
            return false;
        }
        state.number += 1;
        let old = core::mem::replace(&mut state.link, link);
        let waiters = core::mem::take(&mut state.waiters);
        drop(state);
        drop(old);
        for (_, waker) in waiters {
            waker.wake();
        }
        true
    }

    fn set_dialer(&self, waker: &Waker) {
        let old = self.lock().dialer.replace(waker.clone());
        drop(old);
    }
}

/// For a transport: when the link to a peer has to be made again, and who waits for it.
///
/// The transport has a thread or a task that does no more than this:
///
/// ```
/// use netchan::host::transport::Redial;
/// use netchan::{LinkError, Node, Peer};
///
/// async fn keep(mut redial: Redial, connect: impl AsyncFn(&Node) -> Result<Peer, LinkError>) {
///     while let Some(node) = redial.due().await {
///         match connect(&node).await {
///             Ok(peer) => {
///                 redial.made(peer);
///             }
///             Err(error) => redial.failed(&node, &error),
///         }
///     }
/// }
/// ```
///
/// Dropping it is giving up: ends that wait for the peer are told that it is dead.
pub struct Redial {
    sessions: Arc<Sessions>,
    node: WeakNode,
    policy: Reconnect,
    /// The peer's: whoever answers with another one is somebody else.
    name: String,
    attempts: Attempts,
    phase: Phase,
    /// The next pause.
    pause: Duration,
    /// Ends it with the node, which holds this weakly.
    _stop: Arc<dyn Fn() + Send + Sync>,
}

enum Phase {
    Up {
        since: Instant,
        down: Down,
    },
    Lost {
        dead: Dead,
        until: Instant,
        /// The next attempt; `None` while one is under way.
        due: Option<(Instant, Option<timer::Entry>)>,
    },
}

impl fmt::Debug for Redial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redial").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Redial {
    /// Keeps up the link to this peer. The peer that it returns is the same neighbour in
    /// this and all later sessions; dialing ends with the last clone of it, with the last
    /// end that reopens, with [`Peer::close`], or with the node.
    pub fn new(node: &Node, peer: Peer, policy: Reconnect) -> (Self, Peer) {
        let sessions = Arc::new(Sessions::new(Arc::clone(&peer.link)));
        let own = Arc::downgrade(&sessions);
        let stop: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
            if let Some(sessions) = own.upgrade() {
                sessions.end(Dead::here(Reason::Shutdown));
            }
        });
        if !node.inner().add_listener(&stop) {
            stop();
        }
        let redial = Self {
            sessions: Arc::clone(&sessions),
            node: node.downgrade(),
            policy,
            name: peer.info().name.clone(),
            attempts: Attempts::new(peer.info().name.clone()),
            phase: Phase::Up { since: sync::now(), down: Down::new(Arc::clone(&peer.link)) },
            pause: policy.first_pause,
            _stop: stop,
        };
        (redial, peer.kept(Arc::new(Keeper(sessions))))
    }

    /// Waits until the link is to be made again. `None` when it never is any more: the
    /// peer was given up, nobody wants it, or the node is shut.
    ///
    /// Dropping the operation loses nothing.
    pub fn due(&mut self) -> Wait<Due<'_>> {
        Wait::new(Due { redial: self })
    }

    /// A link was made: whoever waits for the peer goes on with it. `false`, and the link is
    /// closed, if nobody waits any more, or if it is a node of another name that answers.
    pub fn made(&mut self, peer: Peer) -> bool {
        if peer.info().name != self.name || !self.sessions.renew(Arc::clone(&peer.link)) {
            peer.close();
            return false;
        }
        self.phase = Phase::Up { since: sync::now(), down: Down::new(Arc::clone(&peer.link)) };
        self.attempts.succeeded();
        true
    }

    /// The link could not be made: the cause is an event of the node ([`LinkEvent::Unreachable`]).
    ///
    /// [`LinkEvent::Unreachable`]: super::LinkEvent::Unreachable
    pub fn failed(&mut self, node: &Node, error: &dyn fmt::Debug) {
        self.attempts.failed(node, error);
    }

    /// The next pause, and the one after it is longer.
    fn next_pause(&mut self) -> Duration {
        let whole = self.pause.min(self.policy.longest_pause);
        self.pause = whole.saturating_mul(2);
        let half = u64::try_from(whole.as_nanos() / 2).unwrap_or(u64::MAX);
        whole - Duration::from_nanos(sync::random().checked_rem(half).unwrap_or(0))
    }
}

impl Drop for Redial {
    fn drop(&mut self) {
        let dead = match self.phase {
            Phase::Up { .. } => Dead::here(Reason::LinkLost),
            Phase::Lost { dead, .. } => dead,
        };
        self.sessions.end(dead);
    }
}

/// For a transport that tries again and again: the node's reader of events hears why it is in vain, each cause once
/// ([`LinkEvent::Unreachable`](super::LinkEvent::Unreachable)).
#[derive(Debug)]
pub struct Attempts {
    what: String,
    told: String,
}

impl Attempts {
    /// Of a link to `what`: a node's name, or a port.
    pub const fn new(what: String) -> Self {
        Self { what, told: String::new() }
    }

    /// An attempt was in vain.
    pub fn failed(&mut self, node: &Node, error: &dyn fmt::Debug) {
        // The form that says what to do.
        let error = format!("{error:?}");
        if error != self.told {
            self.told.clone_from(&error);
            node.inner().events.push(LinkEvent::Unreachable { what: self.what.clone(), error });
        }
    }

    /// The link is up: the next cause is told, be it the same.
    pub fn succeeded(&mut self) {
        self.told.clear();
    }
}

/// Waits for the next attempt.
#[derive(Debug)]
pub struct Due<'r> {
    redial: &'r mut Redial,
}

impl Waiting for Due<'_> {
    type Output = Option<Node>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Node>> {
        let this = &mut *self.redial;
        // Before the look, so that no end comes between the two.
        this.sessions.set_dialer(cx.waker());
        loop {
            if this.sessions.over().is_some() {
                return Poll::Ready(None);
            }
            let now = sync::now();
            match &mut this.phase {
                Phase::Up { since, down } => {
                    let Poll::Ready(error) = down.poll(cx) else { return Poll::Pending };
                    if now.saturating_duration_since(*since) >= this.policy.longest_pause {
                        this.pause = this.policy.first_pause;
                    }
                    let until = after(this.policy.give_up_after);
                    this.phase = Phase::Lost { dead: error.dead(), until, due: None };
                }
                Phase::Lost { dead, until, .. } if now >= *until => {
                    this.sessions.end(*dead);
                    return Poll::Ready(None);
                }
                Phase::Lost { until, due: Some((at, timer)), .. } => {
                    if now < *at {
                        *timer = Some(timer::Entry::new((*at).min(*until), cx.waker()));
                        return Poll::Pending;
                    }
                    let node = this.node.upgrade();
                    if node.is_none() {
                        this.sessions.end(Dead::here(Reason::Shutdown));
                    }
                    if let Phase::Lost { due, .. } = &mut this.phase {
                        *due = None;
                    }
                    return Poll::Ready(node);
                }
                Phase::Lost { .. } => {
                    let pause = this.next_pause();
                    if let Phase::Lost { due, .. } = &mut this.phase {
                        *due = Some((after(pause), None));
                    }
                }
            }
        }
    }

    fn expire(&mut self) -> Option<Node> {
        None
    }
}
