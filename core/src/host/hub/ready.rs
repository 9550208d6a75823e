//! Importers of an export that may have something to receive, in the order in which it came.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::host::sync::{Mutex, MutexGuard, PoisonError};

/// Members by their places in the hub. Each stands here once at the most: so importers that come and go while the
/// program does not receive take no more than there were at a time.
///
/// Apart from the hub's state, for it is added to while the link is locked: whoever has seen what came later, on
/// another channel of that link, finds this too. Only the wake comes after the lock.
#[derive(Default)]
pub(super) struct Ready(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    order: VecDeque<usize>,
    /// By place: whether it stands in the order.
    stands: Vec<bool>,
}

impl Queue {
    /// Notes that it stands in the order now: whether it did before.
    fn stands(&mut self, place: usize) -> bool {
        if self.stands.len() <= place {
            self.stands.resize(place + 1, false);
        }
        core::mem::replace(&mut self.stands[place], true)
    }
}

impl Ready {
    /// What this member has to give comes after what is here already.
    pub(super) fn push(&self, place: usize) {
        let mut queue = self.lock();
        if !queue.stands(place) {
            queue.order.push_back(place);
        }
    }

    /// What this member has to give comes before all else. Looks through the order.
    pub(super) fn push_first(&self, place: usize) {
        let mut queue = self.lock();
        if queue.stands(place) {
            queue.order.retain(|other| *other != place);
        }
        queue.order.push_front(place);
    }

    /// The next one to look at. It may be gone, and another one in its place.
    pub(super) fn pop(&self) -> Option<usize> {
        let mut queue = self.lock();
        let place = queue.order.pop_front()?;
        queue.stands[place] = false;
        Some(place)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().order.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Ready;

    #[test]
    fn importers_that_come_and_go_stand_there_once_for_each_place() {
        let ready = Ready::default();
        for n in 0..100_000 {
            ready.push(n % 3);
        }
        let queue = ready.lock();
        assert_eq!(queue.order, [0, 1, 2]);
        assert!(queue.order.capacity() < 100, "{} places", queue.order.capacity());
    }

    #[test]
    fn one_that_was_looked_at_stands_behind_the_others() {
        let ready = Ready::default();
        for place in [0, 1, 0] {
            ready.push(place);
        }
        assert_eq!(ready.pop(), Some(0));
        ready.push(0);
        assert_eq!([ready.pop(), ready.pop(), ready.pop()], [Some(1), Some(0), None]);
        assert!(ready.is_empty());
    }

    #[test]
    fn one_that_comes_first_stands_nowhere_else() {
        let ready = Ready::default();
        for place in [0, 1, 2] {
            ready.push(place);
        }
        ready.push_first(2);
        assert_eq!([0; 4].map(|_| ready.pop()), [Some(2), Some(0), Some(1), None]);
    }
}
