//! Several senders on one channel: each has a place of its own to wait.
//!
//! What they wait for has room for one waker: it gets one that wakes them all. It keeps no
//! channel alive, for the channel holds it.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::task::Waker;
use std::task::Wake;

use super::sync::{Mutex, MutexGuard, PoisonError};

/// Most senders that share one channel.
pub(crate) const SENDERS_MAX: usize = 64;

struct Slots {
    list: Mutex<Vec<Place>>,
}

enum Place {
    Free,
    Taken(Option<Waker>),
}

impl Slots {
    fn lock(&self) -> MutexGuard<'_, Vec<Place>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Slots {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let wakers: Vec<_> = {
            let mut list = self.lock();
            let taken = list.iter_mut().filter_map(|place| match place {
                Place::Free => None,
                Place::Taken(waker) => waker.take(),
            });
            taken.collect()
        };
        for waker in wakers {
            waker.wake();
        }
    }
}

/// The place of one sender.
pub(crate) struct Slot {
    slots: Arc<Slots>,
    index: usize,
    /// Wakes all of them.
    shared: Waker,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&self.index).finish()
    }
}

impl Slot {
    /// Of the sender that is cloned first.
    pub(crate) fn first() -> Self {
        let slots = Arc::new(Slots { list: Mutex::new(vec![Place::Taken(None)]) });
        let shared = Waker::from(Arc::clone(&slots));
        Self { slots, index: 0, shared }
    }

    /// One more, if there is room.
    pub(crate) fn another(&self) -> Option<Self> {
        let mut list = self.slots.lock();
        let index = match list.iter().position(|place| matches!(place, Place::Free)) {
            Some(index) => {
                list[index] = Place::Taken(None);
                index
            }
            None if list.len() < SENDERS_MAX => {
                list.push(Place::Taken(None));
                list.len() - 1
            }
            None => return None,
        };
        drop(list);
        Some(Self { slots: Arc::clone(&self.slots), index, shared: self.shared.clone() })
    }

    /// This one waits: what is to be registered in its place.
    pub(crate) fn wait(&self, waker: &Waker) -> &Waker {
        let old = core::mem::replace(&mut self.slots.lock()[self.index], Place::Taken(Some(waker.clone())));
        // The drop of a waker is foreign code: not under the lock.
        drop(old);
        &self.shared
    }

    /// Leaves: whether it was the last one.
    pub(crate) fn leave(&self) -> bool {
        let mut list = self.slots.lock();
        let old = core::mem::replace(&mut list[self.index], Place::Free);
        let last = list.iter().all(|place| matches!(place, Place::Free));
        drop(list);
        drop(old);
        last
    }

    /// Whether there is no other.
    pub(crate) fn is_alone(&self) -> bool {
        self.slots.lock().iter().filter(|place| matches!(place, Place::Taken(_))).count() == 1
    }
}
