//! Deadlines of futures: one thread per process, started by the first deadline, which
//! sleeps exactly until the next one.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

type Key = (Instant, u64);

#[derive(Default)]
struct Timers {
    entries: BTreeMap<Key, (Waker, Option<Arc<AtomicBool>>)>,
    next: u64,
}

struct Shared {
    timers: Mutex<Timers>,
    changed: Condvar,
}

/// A registered deadline; dropping it takes it back.
#[derive(Debug)]
pub(crate) struct Entry {
    key: Key,
}

impl Entry {
    pub(crate) fn new(at: Instant, waker: &Waker) -> Self {
        Self::flagged(at, waker, None)
    }

    /// Also raises a flag, before the wake: who is often polled looks at that rather than
    /// at the clock.
    pub(crate) fn flagged(at: Instant, waker: &Waker, flag: Option<Arc<AtomicBool>>) -> Self {
        let shared = shared();
        let mut timers = lock(shared);
        let key = (at, timers.next);
        timers.next += 1;
        timers.entries.insert(key, (waker.clone(), flag));
        if timers.entries.first_key_value().is_some_and(|(first, _)| *first == key) {
            shared.changed.notify_one();
        }
        Self { key }
    }

    /// The task has moved: wake this one instead.
    pub(crate) fn refresh(&self, waker: &Waker) {
        if let Some(stored) = lock(shared()).entries.get_mut(&self.key) {
            stored.0.clone_from(waker);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        lock(shared()).entries.remove(&self.key);
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, Timers> {
    shared.timers.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Arc<Shared>> = OnceLock::new();
    SHARED.get_or_init(|| {
        let shared = Arc::new(Shared { timers: Mutex::default(), changed: Condvar::new() });
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("netchan-timer".into()).spawn(move || run(&own));
        // Without a thread no deadline of a future can be kept: that is worth a stop.
        thread.expect("the operating system can start one thread for deadlines");
        shared
    })
}

fn run(shared: &Shared) {
    let mut timers = lock(shared);
    loop {
        let now = Instant::now();
        let Some((&key, _)) = timers.entries.first_key_value() else {
            timers = shared.changed.wait(timers).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        if key.0 > now {
            let left = key.0 - now;
            timers = shared.changed.wait_timeout(timers, left).unwrap_or_else(PoisonError::into_inner).0;
            continue;
        }
        if let Some((waker, flag)) = timers.entries.remove(&key) {
            drop(timers);
            if let Some(flag) = flag {
                flag.store(true, Ordering::Release);
            }
            waker.wake();
            timers = lock(shared);
        }
    }
}
