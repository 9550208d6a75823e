//! Leaving in order: what was sent reaches the peer before the link ends.
//!
//! The link's own flusher (its writing thread, or its task) goes through the steps, so
//! that nobody has to block for them; whoever wants to know waits for the link's end.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Context, Poll};
use core::time::Duration;
use std::time::Instant;

use super::cell::{Cell, UnderWay};
use super::down::Down;
use super::error::LinkError;
use super::hub::Hub;
use super::link::{Io, LinkCell, LinkState};
use super::node::{NodeInner, Withdrawn};
use super::sync;
use super::wait::{Waiting, after};
use crate::proto::{self, Dead, Reason};

/// How long the peer may take to close its side after a goodbye.
pub(crate) const PARTING: Duration = Duration::from_millis(500);

/// A link on its way out.
pub(crate) struct Leave {
    phase: Phase,
    /// What the peer and everybody on this side is told.
    reason: Reason,
    /// When the present phase ends at the latest.
    at: Instant,
    /// Keeps the node's tables, and so its clock, for as long as this takes.
    _node: Arc<NodeInner>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// What was sent is being written.
    Draining,
    /// The goodbye is being written.
    Parting,
    /// Our direction is closed; the peer closes its own.
    Finished,
}

/// Where a link is on its way out.
pub(crate) struct LeaveStep {
    /// When the flusher has to look again.
    pub(crate) at: Instant,
    /// The stream is to be finished.
    pub(crate) finished: bool,
}

impl LinkCell {
    /// Begins to leave: says goodbye as soon as what is queued is written, at `until` at
    /// the latest, and closes.
    pub(crate) fn leave_until(&self, node: &Arc<NodeInner>, until: Instant) {
        let mut state = self.lock();
        if state.down.is_some() || state.leave.is_some() {
            return;
        }
        if state.peer.is_none() {
            drop(state);
            return self.fail(LinkError::Local(Reason::Shutdown));
        }
        let reason = Reason::Shutdown;
        state.leave = Some(Leave { phase: Phase::Draining, reason, at: until, _node: Arc::clone(node) });
        let flusher = state.output.flusher.clone();
        drop(state);
        if let Some(flusher) = flusher {
            flusher.wake();
        }
    }

    /// Has to be through with what was queued by then, if it is leaving and had more time for that.
    pub(crate) fn leave_sooner(&self, until: Instant) {
        let mut state = self.lock();
        let Some(leave) = state.leave.as_mut().filter(|leave| leave.phase == Phase::Draining) else { return };
        leave.at = leave.at.min(until);
        let flusher = state.output.flusher.clone();
        drop(state);
        if let Some(flusher) = flusher {
            flusher.wake();
        }
    }

    /// The child at the other end has to have gone by then, or its link ends. Of several times the first one counts. `false`
    /// where the link is on its way out by itself.
    pub(super) fn end_by(&self, at: Instant) -> bool {
        let mut state = self.lock();
        if !state.link.stays() {
            return false;
        }
        state.ends_by = Some(state.ends_by.map_or(at, |before| before.min(at)));
        let flusher = state.output.flusher.clone();
        drop(state);
        if let Some(flusher) = flusher {
            flusher.wake();
        }
        true
    }

    /// Ends it, where its time to leave is over: whoever drives it does not run. Else says how many values it has not
    /// written yet.
    fn end_overdue(&self) -> u64 {
        let mut state = self.lock();
        let is_overdue = state.leave.as_ref().is_none_or(|leave| leave.at <= sync::now());
        if state.down.is_none() && !is_overdue {
            return if state.is_draining() { state.count_unsent() } else { state.unsent };
        }
        drop(state);
        self.end_at_once()
    }

    /// Ends it now: how many values it had not written.
    fn end_at_once(&self) -> u64 {
        self.fail(LinkError::Local(Reason::Shutdown));
        self.lock().unsent
    }

    /// Goes on with leaving, if the link is, and ends the link to a child that has had its time: called by its flusher.
    pub(crate) fn leave_step(&self, now: Instant) -> Option<LeaveStep> {
        let mut state = self.lock();
        if state.down.is_some() {
            return None;
        }
        if let Some(at) = state.ends_by.filter(|_| state.leave.is_none()) {
            if now < at {
                return Some(LeaveStep { at, finished: false });
            }
            // Nobody waits for a child that does not obey.
            drop(state);
            self.leave(Reason::Shutdown);
            state = self.lock();
            if state.down.is_some() {
                return None;
            }
        }
        loop {
            let (phase, reason, at) =
                state.leave.as_ref().map(|leave| (leave.phase, leave.reason, leave.at))?;
            let over = now >= at;
            let next = match phase {
                Phase::Draining if over || state.is_written() && self.is_delivered(&state) => {
                    // What was stored by now is still written; what comes later is refused.
                    state.close_lanes();
                    state.unsent = state.count_unsent();
                    state.report_totals();
                    state.link.goodbye(reason);
                    Phase::Parting
                }
                Phase::Parting if over || state.link.is_left() && state.output.is_idle() => {
                    drop(state);
                    self.io.stream().finish();
                    state = self.lock();
                    // A close with unread bytes would reset the stream and lose what is on the way.
                    Phase::Finished
                }
                Phase::Finished if over => {
                    drop(state);
                    self.fail(LinkError::Local(reason));
                    return None;
                }
                phase => return Some(LeaveStep { at, finished: phase == Phase::Finished }),
            };
            if let Some(leave) = &mut state.leave {
                leave.phase = next;
                leave.at = now + PARTING;
            }
            if next == Phase::Parting {
                self.flush(state);
                state = self.lock();
            }
        }
    }

    /// Whether the stream keeps nothing back; the flusher is woken when it does not any more.
    fn is_delivered(&self, state: &LinkState) -> bool {
        self.io.stream().is_delivered(state.output.flusher.as_ref())
    }

    /// The flusher goes, and the link with it: what the stream takes at once is written.
    pub(crate) fn leave_at_once(&self) {
        let Some(at) = self.lock().leave.as_ref().map(|leave| leave.at) else { return };
        self.flush(self.lock());
        self.leave_step(at);
    }

    /// Says goodbye after what is already in the buffer. The peer then ends the link; one
    /// that does not is not waited for.
    pub(crate) fn leave(&self, reason: Reason) {
        let node = self.node.upgrade();
        let mut state = self.lock();
        if state.down.is_some() || state.leave.is_some() {
            return;
        }
        let Some(node) = node.filter(|_| state.peer.is_some()) else {
            drop(state);
            return self.fail(LinkError::Local(reason));
        };
        state.close_lanes();
        state.unsent = state.count_unsent();
        state.report_totals();
        state.link.goodbye(reason);
        let at = sync::now() + PARTING;
        state.leave = Some(Leave { phase: Phase::Parting, reason, at, _node: node });
        let flusher = state.output.flusher.clone();
        self.flush(state);
        if let Some(flusher) = flusher {
            flusher.wake();
        }
    }
}

impl LinkState {
    /// Whether all values are in the peer's hands or its kernel's.
    fn is_written(&mut self) -> bool {
        self.output.is_idle() && !self.link.has_control() && self.count_unsent() == 0
    }

    /// Tells the peer how much of each channel was taken, so that its last account is right.
    fn report_totals(&mut self) {
        let totals: Vec<_> = self
            .cells
            .iter_mut()
            .filter(|cell| cell.receives)
            .filter_map(|cell| Some((cell.handle?, proto::Total::new(cell.taken.get() as u32))))
            .collect();
        for (handle, total) in totals {
            self.proto(|link, slots| link.taken(slots, handle, total, true));
        }
    }

    /// Values that are not written yet.
    pub(crate) fn count_unsent(&mut self) -> u64 {
        let waiting = |cell: &mut Cell| {
            let waits =
                cell.backlog.len() + usize::from(cell.outbox.is_some()) + usize::from(cell.unsent.is_some());
            if cell.handle.is_some() && cell.dead.is_none() { waits as u64 } else { 0 }
        };
        self.cells.iter_mut().map(waiting).sum()
    }

    /// Why this side has said goodbye, if it has.
    pub(crate) fn parting(&self) -> Option<Reason> {
        let leave = self.leave.as_ref().filter(|leave| leave.phase != Phase::Draining)?;
        Some(leave.reason)
    }

    /// Why nothing can be sent any more on a link that is up no longer, or is on its way out.
    pub(crate) fn going(&self) -> Dead {
        Dead::here(self.parting().unwrap_or(Reason::Closed))
    }

    /// Whether nothing of what was sent has been given up or written yet.
    pub(crate) fn is_draining(&self) -> bool {
        self.leave.as_ref().is_some_and(|leave| leave.phase == Phase::Draining)
    }
}

/// Waits until the far ends have taken what was sent to them before, where it is under way behind a neighbour: a router
/// that loses a link gives up what has come over it and not gone on yet.
#[derive(Debug)]
pub(crate) struct Arriving {
    links: Vec<(Arc<LinkCell>, Vec<UnderWay>)>,
}

impl Arriving {
    pub(crate) fn new(links: Vec<Arc<LinkCell>>) -> Self {
        let under_way = |link: Arc<LinkCell>| {
            let mut state = link.lock();
            let cells = state.cells.under_way();
            for cell in &cells {
                state.proto(|link, slots| link.ask(slots, cell.handle, cell.total()));
            }
            link.flush(state);
            (link, cells)
        };
        Self { links: links.into_iter().map(under_way).collect() }
    }
}

impl Waiting for Arriving {
    type Output = ();

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.links.retain_mut(|(link, cells)| {
            let mut state = link.lock();
            cells.retain(|cell| cell.is_under_way(&mut state.cells));
            if !cells.is_empty() && !state.taken_wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                state.taken_wakers.push(cx.waker().clone());
            }
            !cells.is_empty()
        });
        if self.links.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn expire(&mut self) {}
}

/// Waits until a node has left.
#[derive(Debug)]
pub struct Closing {
    node: Arc<NodeInner>,
    linger: Duration,
    /// Links that tasks drive are waited for, too.
    tasks: bool,
    started: Option<Leaving>,
    unsent: u64,
}

#[derive(Debug)]
struct Leaving {
    links: Vec<Down>,
    hubs: Vec<Arc<Hub>>,
    /// The links have the time that this one gives.
    is_first: bool,
}

impl Closing {
    pub(crate) fn new(node: &Arc<NodeInner>, linger: Duration, tasks: bool) -> Self {
        Self { node: Arc::clone(node), linger, tasks, started: None, unsent: 0 }
    }

    fn start(&mut self) -> Leaving {
        let Withdrawn { mut links, hubs, unsent, is_first } = self.node.withdraw();
        self.unsent += unsent;
        let until = after(self.linger);
        for link in &links {
            link.leave_until(&self.node, until);
        }
        if !self.tasks {
            links.retain(|link| matches!(link.io, Io::Blocking(_)));
        }
        Leaving { links: links.into_iter().map(Down::new).collect(), hubs, is_first }
    }

    fn finish(&mut self) -> u64 {
        for hub in self.started.iter_mut().flat_map(|leaving| leaving.hubs.drain(..)) {
            hub.shut();
        }
        self.unsent
    }
}

impl Waiting for Closing {
    type Output = u64;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<u64> {
        if self.started.is_none() {
            self.started = Some(self.start());
        }
        let Some(leaving) = &mut self.started else { return Poll::Pending };
        leaving.links.retain_mut(|down| {
            let is_up = down.poll(cx).is_pending();
            if !is_up {
                self.unsent += down.link().lock().unsent;
            }
            is_up
        });
        if leaving.links.is_empty() { Poll::Ready(self.finish()) } else { Poll::Pending }
    }

    fn expire(&mut self) -> u64 {
        if let Some(leaving) = &mut self.started {
            for down in core::mem::take(&mut leaving.links) {
                let link = down.link();
                // Whoever drives them does not run, and nobody waits for that; or another one gives them more time.
                self.unsent += if leaving.is_first { link.end_at_once() } else { link.end_overdue() };
            }
        }
        self.finish()
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.finish();
    }
}
