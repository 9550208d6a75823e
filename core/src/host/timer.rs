//! Deadlines of futures: one thread per process, started by the first deadline, which
//! sleeps exactly until the next one.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::task::Waker;
use std::time::Instant;

use super::sync::{self, AtomicBool, Condvar, Mutex, MutexGuard, Ordering, PoisonError};

type Key = (Instant, u64);

#[derive(Default)]
struct Timers {
    entries: BTreeMap<Key, (Waker, Option<Arc<AtomicBool>>)>,
    next: u64,
}

#[derive(Default)]
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
        let mut timers = lock(shared());
        let old =
            timers.entries.get_mut(&self.key).map(|stored| core::mem::replace(&mut stored.0, waker.clone()));
        drop(timers);
        // The drop of a waker is foreign code: not under the lock.
        drop(old);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut timers = lock(shared());
        let old = timers.entries.remove(&self.key);
        drop(timers);
        drop(old);
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, Timers> {
    shared.timers.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(not(loom))]
fn shared() -> &'static Shared {
    #[cfg(feature = "testing")]
    if super::virtual_time::is_on() {
        return OWN.with(|own| *own);
    }
    static SHARED: std::sync::OnceLock<Arc<Shared>> = std::sync::OnceLock::new();
    SHARED.get_or_init(|| {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("netchan-timer".into()).spawn(move || run(&own));
        // Without a thread no deadline of a future can be kept: that is worth a stop.
        thread.expect("the operating system can start one thread for deadlines");
        shared
    })
}

#[cfg(not(loom))]
fn run(shared: &Shared) {
    let mut timers = lock(shared);
    loop {
        timers = step(shared, timers);
    }
}

#[cfg(all(not(loom), feature = "testing"))]
std::thread_local! {
    /// Of a thread that has its own time.
    static OWN: &'static Shared = alloc::boxed::Box::leak(alloc::boxed::Box::default());
}

/// The next deadline on this thread, which has its own time.
#[cfg(all(not(loom), feature = "testing"))]
pub(crate) fn next() -> Option<Instant> {
    lock(shared()).entries.first_key_value().map(|(key, _)| key.0)
}

/// Wakes those on this thread, which has its own time, whose deadline has come.
#[cfg(all(not(loom), feature = "testing"))]
pub(crate) fn wake_due() {
    let shared = shared();
    let now = sync::now();
    while next().is_some_and(|at| at <= now) {
        drop(step(shared, lock(shared)));
    }
}

/// Forgets all deadlines of this thread, which has its own time.
#[cfg(all(not(loom), feature = "testing"))]
pub(crate) fn forget() {
    let entries = core::mem::take(&mut lock(shared()).entries);
    drop(entries);
}

/// Wakes whose time has come, or sleeps.
fn step<'a>(shared: &'a Shared, mut timers: MutexGuard<'a, Timers>) -> MutexGuard<'a, Timers> {
    let now = sync::now();
    let Some((&key, _)) = timers.entries.first_key_value() else {
        return shared.changed.wait(timers).unwrap_or_else(PoisonError::into_inner);
    };
    if key.0 > now {
        let left = key.0 - now;
        return shared.changed.wait_timeout(timers, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    sync::time_has_come();
    let entry = timers.entries.remove(&key);
    drop(timers);
    if let Some((waker, flag)) = entry {
        if let Some(flag) = flag {
            flag.store(true, Ordering::Release);
        }
        waker.wake();
    }
    lock(shared)
}

#[cfg(loom)]
fn shared() -> &'static Shared {
    sync::lazy_static! {
        static ref SHARED: Shared = Shared::default();
    }
    &SHARED
}

/// The timer's thread, until `is_over`.
#[cfg(loom)]
pub(crate) fn run_until(is_over: impl Fn() -> bool) {
    let shared = shared();
    let mut timers = lock(shared);
    while !is_over() {
        timers = step(shared, timers);
    }
}

/// Lets time pass, and wakes the timer's thread for it.
#[cfg(loom)]
pub(crate) fn pass(time: core::time::Duration) {
    sync::pass(time);
    let shared = shared();
    drop(lock(shared));
    shared.changed.notify_one();
}
