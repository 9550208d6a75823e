//! What happens to a node's links and exports, for whoever wants to know.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::task::{Context, Poll, Waker};

use super::error::LinkError;
use super::node::NodeInner;
use super::peer::PeerInfo;
use super::sender::Account;
use super::sync::{Mutex, MutexGuard, PoisonError};
use super::wait::Waiting;
use crate::proto::{Dead, Reason};

/// Most events kept for a reader.
const EVENTS_MAX: usize = 256;
/// Of these, those of importers, who may come and go as often as they like, take no more
/// than this.
const IMPORTERS_MAX: usize = EVENTS_MAX / 2;

/// Something happened to a link, or to an export over it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkEvent {
    /// A link came up.
    Up {
        /// Its number on this node.
        link: u64,
        /// Who is at the other end.
        peer: PeerInfo,
    },
    /// A link is down. Everybody who waited on it has been told.
    Down {
        /// Its number on this node.
        link: u64,
        /// Why.
        error: LinkError,
    },
    /// A link that is kept up cannot be made now, and is tried again: [`Reconnect`](super::Reconnect), a served
    /// port. Told once for each cause, and anew after a session.
    Unreachable {
        /// The name of the node that was there, or the port.
        what: String,
        /// Why, and what can be done about it.
        error: String,
    },
    /// A node has come, somewhere below this one in the tree.
    NodeJoined {
        /// Its id.
        id: u32,
        /// The id of its parent.
        via: u32,
        /// Its name.
        name: String,
    },
    /// A node below this one is gone. Each circuit to it was told before.
    NodeLeft {
        /// The id that it had.
        id: u32,
        /// Its name.
        name: String,
        /// Why, as the node beside it has told: what its link ended with. Of a node that went with one above it, that one's. `None`
        /// where it was not told, as by a bridge board.
        reason: Option<Reason>,
    },
    /// A child has joined under a name that another child of this node has. It is there, and reached by its id; what is
    /// meant for the name goes to the other one, as before, until that has gone. Two nodes were given one name, or
    /// somebody tries to take the other one's place.
    NameTaken {
        /// Its id.
        id: u32,
        /// The name.
        name: String,
        /// The id of the child that has it.
        by: u32,
    },
    /// Somebody has imported a channel that this node exports.
    Joined {
        /// The export's name.
        export: String,
        /// Over which link: its `Up` says who it is.
        link: u64,
        /// A number of this importer, another one for each that ever comes to this node.
        importer: u64,
    },
    /// An importer has left, or was lost. There is none when it is the export that ends.
    Left {
        /// The export's name.
        export: String,
        /// Over which link.
        link: u64,
        /// The number that its `Joined` had.
        importer: u64,
        /// What became of the values that were sent to it. Of an export that only receives
        /// there are none.
        account: Account,
        /// Why; `None` if it has ended in order what it sent.
        dead: Option<Dead>,
    },
}

/// A bounded queue whose overflow counts and harms nothing.
pub(crate) struct Events {
    state: Mutex<State>,
}

struct State {
    queue: VecDeque<LinkEvent>,
    lost: u64,
    waker: Option<Waker>,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State { queue: VecDeque::new(), lost: 0, waker: None }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called with no lock held.
    pub(crate) fn push(&self, event: LinkEvent) {
        let most = match event {
            LinkEvent::Up { .. } | LinkEvent::Down { .. } => EVENTS_MAX,
            LinkEvent::Joined { .. }
            | LinkEvent::Left { .. }
            | LinkEvent::NodeJoined { .. }
            | LinkEvent::NodeLeft { .. }
            | LinkEvent::NameTaken { .. }
            | LinkEvent::Unreachable { .. } => IMPORTERS_MAX,
        };
        let mut state = self.lock();
        if state.queue.len() < most {
            state.queue.push_back(event)
        } else {
            state.lost += 1
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// So many events could not even be kept until they were told.
    pub(crate) fn miss(&self, count: u64) {
        self.lock().lost += count;
    }

    pub(crate) fn pop(&self, waker: Option<&Waker>) -> Option<LinkEvent> {
        let mut state = self.lock();
        let event = state.queue.pop_front();
        let old = match (&event, waker) {
            (None, Some(waker)) => state.waker.replace(waker.clone()),
            _ => None,
        };
        drop(state);
        // The drop of a waker is foreign code: not under the lock.
        drop(old);
        event
    }

    /// No more events will come: who waits is told.
    pub(crate) fn close(&self) {
        let waker = self.lock().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lock().lost
    }
}

/// The next event of a node's links and exports.
pub struct NextEvent {
    node: Arc<NodeInner>,
}

impl fmt::Debug for NextEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NextEvent")
    }
}

impl NextEvent {
    pub(crate) const fn new(node: Arc<NodeInner>) -> Self {
        Self { node }
    }
}

impl Waiting for NextEvent {
    type Output = Option<LinkEvent>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Before the look, so that the last event does not come between the two.
        let is_over = self.node.is_over();
        match self.node.events.pop(Some(cx.waker())) {
            Some(event) => Poll::Ready(Some(event)),
            None if is_over => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn expire(&mut self) -> Self::Output {
        None
    }
}
