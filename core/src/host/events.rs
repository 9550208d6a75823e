//! What happens to a node's links, for whoever wants to know.

use alloc::collections::VecDeque;

use super::error::LinkError;
use super::peer::PeerInfo;
use super::sync::{Mutex, PoisonError};

/// Most events kept for a reader.
const EVENTS_MAX: usize = 256;

/// Something happened to a link.
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
}

/// A bounded queue whose overflow counts and harms nothing.
pub(crate) struct Events {
    queue: Mutex<(VecDeque<LinkEvent>, u64)>,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self { queue: Mutex::new((VecDeque::new(), 0)) }
    }

    pub(crate) fn push(&self, event: LinkEvent) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.0.len() < EVENTS_MAX { queue.0.push_back(event) } else { queue.1 += 1 }
    }

    pub(crate) fn pop(&self) -> Option<LinkEvent> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).0.pop_front()
    }

    pub(crate) fn lost(&self) -> u64 {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}
