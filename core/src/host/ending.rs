//! How a node ends that is told to from above, or has lost its parent: those below it first, then itself, then its
//! process if that was asked for. The program has no part in it, so none that hangs can stop it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::time::Instant;

use super::down::Down;
use super::linger::{Arriving, Closing, PARTING};
use super::link::LinkCell;
use super::node::NodeInner;
use super::sync::{self, MutexGuard, PoisonError};
use super::timer;
use super::wait::{Wait, Waiting, after};
use crate::proto::{Reason, Relation, Route};
use crate::tree::Way;

/// What a process that ends may do in its last functions, before it is ended the hard way.
const EXIT: Duration = Duration::from_millis(500);
/// What a child that obeys needs beside its time, for its own links' goodbyes.
const GOODBYES: Duration = PARTING.saturating_mul(3);

/// Why a node ends without its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It was told to from above.
    Told,
    ParentLost,
}

/// Why a node is not told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShutDownError {
    /// It is no child of this node, and a node is told to end by its parent alone.
    NotAChild,
    /// It is a board that has no nodes below it, which stays and goes on with whoever adopts it next.
    Stays,
    /// It is not there, or its link is down.
    NotThere,
}

impl fmt::Display for ShutDownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAChild => {
                "not told to end: it is no child of this node, and its parent alone may tell it"
            }
            Self::Stays => "not told to end: it is a board, and stays",
            Self::NotThere => "not told to end: it is not there",
        })
    }
}

impl core::error::Error for ShutDownError {}

/// Until when a node is to have ended, once it is to end, and who waits for that.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    until: Option<Instant>,
    waker: Option<Waker>,
}

/// Waits for something, or until so much of the time is over in which the node is to end. That may become less.
struct Within<'n, W> {
    what: Option<W>,
    node: &'n NodeInner,
    /// Half of the time from then on; else all of it.
    half_from: Option<Instant>,
    timer: Option<(Instant, timer::Entry)>,
}

impl<W: Waiting> Waiting for Within<'_, W> {
    type Output = ();

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.what.as_mut().is_some_and(|what| what.poll(cx).is_ready()) {
            return Poll::Ready(());
        }
        let until = self.node.ends_at(Some(cx.waker()));
        let at = self.half_from.map_or(until, |from| from + until.saturating_duration_since(from) / 2);
        if sync::now() >= at {
            return Poll::Ready(());
        }
        match &self.timer {
            Some((set, timer)) if *set == at => timer.refresh(cx.waker()),
            _ => self.timer = Some((at, timer::Entry::new(at, cx.waker()))),
        }
        Poll::Pending
    }

    fn expire(&mut self) {}
}

impl NodeInner {
    fn ending(&self) -> MutexGuard<'_, Ending> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the node is to have ended; the waker is told when that comes nearer.
    fn ends_at(&self, waker: Option<&Waker>) -> Instant {
        let mut ending = self.ending();
        let old = waker.and_then(|waker| ending.waker.replace(waker.clone()));
        let until = ending.until;
        drop(ending);
        drop(old);
        until.unwrap_or_else(sync::now)
    }

    /// Waits for this, for no longer than the node may take; with `half_from` for half of that from then on.
    fn wait_within<W: Waiting>(&self, what: Option<W>, half_from: Option<Instant>) {
        Wait::new(Within { what, node: self, half_from, timer: None }).wait();
    }

    /// Tells all children to end, with those below them; boards stay.
    pub(crate) fn shut_down_children(&self, grace: Duration) {
        // Also those that are up and have no place in the tree yet: they are told as soon as they have.
        for link in self.links() {
            if matches!(link.lock().link.relation(), Relation::Child { leaf: false }) {
                link.end_by(ends_by(grace));
            }
        }
        self.tree_now().shut_down(None, in_millis(grace));
        self.tell_tree();
    }

    /// Tells the child at the other end of a link to end, with those below it.
    pub(crate) fn shut_down_child(&self, link: &Arc<LinkCell>, grace: Duration) -> Result<(), ShutDownError> {
        if link.is_down() {
            return Err(ShutDownError::NotThere);
        }
        let relation = link.lock().link.relation();
        match relation {
            Relation::Child { leaf: false } => {}
            Relation::Child { leaf: true } => return Err(ShutDownError::Stays),
            Relation::Parent | Relation::Peer => return Err(ShutDownError::NotAChild),
        }
        // Before the tree is told: where the link has no place there yet, it looks for this when it has; and who takes
        // its place does when it takes it.
        if !link.end_by(ends_by(grace)) {
            return Err(ShutDownError::NotThere);
        }
        self.tree_now().shut_down(Some(link.number), in_millis(grace));
        self.tell_tree();
        Ok(())
    }

    /// A child has its place: if it has been told to end before, or the one has whose place it takes, it is told now.
    pub(super) fn tell_late_child(&self, link: &LinkCell, before: Option<Instant>) {
        if let Some(at) = before {
            link.end_by(at);
        }
        let ends_by = link.lock().ends_by;
        if let Some(at) = ends_by {
            let grace = at.saturating_duration_since(sync::now()).saturating_sub(GOODBYES);
            self.tree_now().shut_down(Some(link.number), in_millis(grace));
        }
    }

    /// The same for the child that a route leads to.
    pub(crate) fn shut_down_at(&self, route: &Route<'_>, grace: Duration) -> Result<(), ShutDownError> {
        let mut before = None;
        loop {
            let link = self.child_at(route)?;
            match self.shut_down_child(&link, grace) {
                // Another one may have taken its place.
                Err(ShutDownError::NotThere) if before != Some(link.number) => before = Some(link.number),
                told => return told,
            }
        }
    }

    /// The link to the child that a route leads to.
    fn child_at(&self, route: &Route<'_>) -> Result<Arc<LinkCell>, ShutDownError> {
        let link = {
            let tree = self.tree();
            let (link, to) = match tree.way(None, Some(route)) {
                Ok(Way::Here(_)) => return Err(ShutDownError::NotAChild),
                Ok(Way::Onward { link, route }) => (link, route.map(|route| route.to)),
                Err(_) => return Err(ShutDownError::NotThere),
            };
            if tree.parent() == Some(link) || to.is_some_and(|to| to != tree.neighbour(link)) {
                return Err(ShutDownError::NotAChild);
            }
            link
        };
        self.link(link).ok_or(ShutDownError::NotThere)
    }

    /// Links to the children that can be told to end; boards stay.
    fn children_that_end(&self) -> Vec<Arc<LinkCell>> {
        let children: Vec<_> = self.tree().children().filter_map(|(number, _)| self.link(number)).collect();
        let ends =
            |link: &Arc<LinkCell>| !matches!(link.lock().link.relation(), Relation::Child { leaf: true });
        children.into_iter().filter(ends).collect()
    }

    /// This node ends, and all below it, in so much time at the most. The program has no part in it. Of several times the
    /// one that ends first counts.
    pub(crate) fn end_in(&self, grace: Duration, cause: Cause) {
        let Some(node) = self.own.upgrade() else { return };
        let until = after(grace);
        let mut ending = self.ending();
        let before = ending.until;
        // A node that ends loses its parent by that.
        if before.is_some_and(|before| before <= until || cause == Cause::ParentLost) {
            return;
        }
        ending.until = Some(until);
        let waker = ending.waker.take();
        drop(ending);
        if before.is_some() {
            // It is at it already, and so are those below.
            self.tell_children(grace);
            for link in self.links() {
                link.leave_sooner(until);
            }
            if let Some(waker) = waker {
                waker.wake();
            }
            return;
        }
        if self.config.ends_process {
            watch_over(&node, cause);
        }
        let end = move || {
            node.end_children_first(cause);
            if node.config.ends_process {
                node.wait_within(None::<Closing>, None);
                end_process(cause);
            }
        };
        if sync::Builder::new().name("netchan-end".into()).stack_size(256 * 1024).spawn(end).is_err() {
            // Without a thread there is no time to be given.
            for link in self.withdraw().links {
                link.leave(Reason::Shutdown);
            }
            if self.config.ends_process {
                end_process(cause);
            }
        }
    }

    /// Tells the children to end in half of this time, so that they have gone when this node does.
    fn tell_children(&self, left: Duration) {
        self.tree_now().shut_down(None, in_millis(left / 2));
        self.tell_tree();
    }

    /// Children first, then the rest. Where nobody above has told, nobody below is: they lose their parent, and
    /// end by that, or were told to live on.
    fn end_children_first(self: &Arc<Self>, cause: Cause) {
        let left = || self.ends_at(None).saturating_duration_since(sync::now());
        if cause == Cause::Told {
            let from = sync::now();
            self.tell_children(left());
            for link in self.children_that_end() {
                self.wait_within(Some(Down::new(link)), Some(from));
            }
            // The last of a log, for instance, on its way through those above.
            self.wait_within(Some(Arriving::new(self.links())), Some(sync::now()));
        }
        // Those that the program has told to leave, with more time than there is.
        for link in self.links() {
            link.leave_sooner(self.ends_at(None));
        }
        let linger = left();
        Wait::new(Closing::new(self, linger, true)).timeout(linger.saturating_add(3 * PARTING)).wait();
    }
}

/// When the link to a child ends that is told to end in so much time, and has not.
fn ends_by(grace: Duration) -> Instant {
    after(grace.saturating_add(GOODBYES))
}

fn in_millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// Ends the process when its time is over, should the thread that ends the node hang: that one wakes whoever waits, and a
/// waker is the program's code.
fn watch_over(node: &Arc<NodeInner>, cause: Cause) {
    let node = Arc::clone(node);
    let watch = move || {
        loop {
            let at = node.ends_at(None) + 4 * PARTING;
            let now = sync::now();
            if now >= at {
                end_process(cause);
            }
            // It may become less.
            sync::park_until(at.min(now + EXIT));
        }
    };
    // Without a thread the other one does it alone.
    let _ = sync::Builder::new().name("netchan-watch".into()).stack_size(64 * 1024).spawn(watch);
}

/// Ends this process, whatever hangs in it.
fn end_process(cause: Cause) -> ! {
    // What runs at the end of a process may hang as well, behind the same lock.
    let abort = || {
        let at = sync::now() + EXIT;
        while sync::now() < at {
            sync::park_until(at);
        }
        std::process::abort();
    };
    let _ = sync::Builder::new().name("netchan-exit".into()).stack_size(64 * 1024).spawn(abort);
    std::process::exit(match cause {
        Cause::Told => 0,
        Cause::ParentLost => 1,
    })
}
