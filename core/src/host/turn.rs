//! Work that is done by whoever has the lock: a waker that finds it taken leaves a note, and
//! does not wait.

use super::sync::{AtomicBool, Ordering, PoisonError, TryLockError, TryMutex, TryMutexGuard};

/// State under a lock that wakers only try.
pub(crate) struct Turn<T> {
    state: TryMutex<T>,
    /// Somebody found it locked and wants the work done again.
    again: AtomicBool,
}

impl<T> Turn<T> {
    pub(crate) fn new(state: T) -> Self {
        Self { state: TryMutex::new(state), again: AtomicBool::new(false) }
    }

    /// For those who may wait. After they have let go they ask [`Turn::was_missed`].
    pub(crate) fn lock(&self) -> TryMutexGuard<'_, T> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody came while it was locked: the work is left to whoever held it.
    pub(crate) fn was_missed(&self) -> bool {
        self.again.load(Ordering::SeqCst)
    }

    /// Works under the lock, and does `after` with it let go; once more for each who came
    /// meanwhile. Where another holds it, that one does it.
    pub(crate) fn run<R>(&self, mut work: impl FnMut(&mut T) -> R, mut after: impl FnMut(R)) {
        loop {
            self.again.store(false, Ordering::SeqCst);
            let state = self.try_lock().or_else(|| {
                // Who holds it looks at the flag after it has let go.
                self.again.store(true, Ordering::SeqCst);
                self.try_lock()
            });
            let Some(mut state) = state else { return };
            let result = work(&mut state);
            drop(state);
            after(result);
            if !self.was_missed() {
                return;
            }
        }
    }

    fn try_lock(&self) -> Option<TryMutexGuard<'_, T>> {
        match self.state.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}
