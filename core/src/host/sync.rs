//! What threads share and how they sleep: the standard library's, or loom's under
//! `cfg(loom)`, where every order of events is tried. Only this file names both.

#[cfg(loom)]
pub(crate) use modelled::*;
#[cfg(not(loom))]
pub(crate) use real::*;
pub(crate) use std::sync::{PoisonError, TryLockError};

#[cfg(not(loom))]
mod real {
    use core::time::Duration;
    use std::time::Instant;

    pub(crate) use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
    #[cfg(not(feature = "testing"))]
    pub(crate) use std::collections::HashMap;
    pub(crate) use std::sync::{Condvar, Mutex, Mutex as TryMutex, MutexGuard, MutexGuard as TryMutexGuard};
    pub(crate) use std::thread::{Builder, Thread, current, park};
    pub(crate) use std::thread_local;

    /// In the same order in each run, which a simulation needs.
    #[cfg(feature = "testing")]
    pub(crate) type HashMap<K, V> =
        std::collections::HashMap<K, V, core::hash::BuildHasherDefault<std::hash::DefaultHasher>>;

    #[inline]
    pub(crate) fn now() -> Instant {
        #[cfg(feature = "testing")]
        if let Some(now) = super::super::virtual_time::now() {
            return now;
        }
        Instant::now()
    }

    /// A time that was waited for is over: long enough for all to be seen that was done before.
    #[inline]
    pub(crate) fn time_has_come() {}

    /// Sleeps until unparked, until `at`, or for no reason.
    pub(crate) fn park_until(at: Instant) {
        std::thread::park_timeout(at.saturating_duration_since(now()));
    }

    /// A short sleep that nobody ends early.
    pub(crate) fn nap(time: Duration) {
        std::thread::park_timeout(time);
    }

    /// Another number each time.
    pub(crate) fn turn() -> usize {
        use core::sync::atomic::AtomicUsize;
        #[cfg(feature = "testing")]
        if let Some(turn) = super::super::virtual_time::turn() {
            return turn;
        }
        static TURN: AtomicUsize = AtomicUsize::new(0);
        TURN.fetch_add(1, Ordering::Relaxed)
    }

    /// A number that differs from run to run and node to node. Not for secrets.
    pub(crate) fn random() -> u64 {
        use core::hash::{BuildHasher, Hasher};
        #[cfg(feature = "testing")]
        if let Some(random) = super::super::virtual_time::random() {
            return random;
        }
        // The standard library's own seed, which comes from the system's random numbers.
        let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
        hasher.write_u32(std::process::id());
        hasher.finish()
    }
}

/// The same run of a model has to go the same way each time, so time and random numbers are
/// the model's own. A sleep with a deadline lasts until somebody ends it: a wake that is
/// lost is a deadlock, which loom reports.
#[cfg(loom)]
mod modelled {
    use alloc::sync::Arc;
    use alloc::vec::Vec;
    use core::cell::{Cell, RefCell};
    use core::hash::BuildHasherDefault;
    use core::ops::{Deref, DerefMut};
    use core::time::Duration;
    use std::hash::DefaultHasher;
    use std::sync::{LockResult, OnceLock, TryLockError, TryLockResult};
    use std::time::Instant;

    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
    pub(crate) use loom::thread::Builder;
    pub(crate) use loom::{lazy_static, thread_local};

    pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

    // All threads of a model run on one thread of the system.
    std::thread_local! {
        static PASSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
        static TURN: Cell<usize> = const { Cell::new(0) };
        static RANDOM: Cell<u64> = const { Cell::new(0) };
        static SLEEPERS: RefCell<Vec<(Instant, Thread)>> = const { RefCell::new(Vec::new()) };
    }

    /// A lock that is tried. Loom's own makes who tries wait, where another comes first.
    #[derive(Default)]
    pub(crate) struct TryMutex<T> {
        is_held: Mutex<bool>,
        freed: Condvar,
        data: std::sync::Mutex<T>,
    }

    pub(crate) struct TryMutexGuard<'a, T> {
        lock: &'a TryMutex<T>,
        data: Option<std::sync::MutexGuard<'a, T>>,
    }

    impl<T> TryMutex<T> {
        pub(crate) fn new(data: T) -> Self {
            Self { is_held: Mutex::new(false), freed: Condvar::new(), data: std::sync::Mutex::new(data) }
        }

        pub(crate) fn lock(&self) -> LockResult<TryMutexGuard<'_, T>> {
            let mut is_held = self.is_held.lock().unwrap();
            while *is_held {
                is_held = self.freed.wait(is_held).unwrap();
            }
            *is_held = true;
            Ok(TryMutexGuard { lock: self, data: Some(self.data.lock().unwrap()) })
        }

        pub(crate) fn try_lock(&self) -> TryLockResult<TryMutexGuard<'_, T>> {
            let mut is_held = self.is_held.lock().unwrap();
            if *is_held {
                return Err(TryLockError::WouldBlock);
            }
            *is_held = true;
            Ok(TryMutexGuard { lock: self, data: Some(self.data.lock().unwrap()) })
        }
    }

    impl<T> Deref for TryMutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.data.as_ref().unwrap()
        }
    }

    impl<T> DerefMut for TryMutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.data.as_mut().unwrap()
        }
    }

    impl<T> Drop for TryMutexGuard<'_, T> {
        fn drop(&mut self) {
            self.data = None;
            *self.lock.is_held.lock().unwrap() = false;
            self.lock.freed.notify_one();
        }
    }

    thread_local! {
        static CURRENT: Thread = Thread::default();
    }

    /// A thread's token to go on. Loom's own is lost when it comes while the thread waits
    /// for a lock.
    #[derive(Clone, Default)]
    pub(crate) struct Thread(Arc<Token>);

    #[derive(Default)]
    struct Token {
        is_there: Mutex<bool>,
        came: Condvar,
    }

    impl Thread {
        pub(crate) fn unpark(&self) {
            *self.0.is_there.lock().unwrap() = true;
            self.0.came.notify_one();
        }
    }

    pub(crate) fn current() -> Thread {
        CURRENT.with(Thread::clone)
    }

    pub(crate) fn park() {
        let Thread(token) = current();
        let mut is_there = token.is_there.lock().unwrap();
        while !*is_there {
            is_there = token.came.wait(is_there).unwrap();
        }
        *is_there = false;
    }

    /// Before each run of a model.
    pub(crate) fn reset() {
        PASSED.set(Duration::ZERO);
        TURN.set(0);
        RANDOM.set(0);
        SLEEPERS.take();
    }

    pub(crate) fn now() -> Instant {
        static START: OnceLock<Instant> = OnceLock::new();
        *START.get_or_init(Instant::now) + PASSED.get()
    }

    loom::lazy_static! {
        static ref CLOCK: AtomicU64 = AtomicU64::new(0);
    }

    /// What was done before the time passed is seen after it. The clock alone does not say that here.
    pub(crate) fn time_has_come() {
        CLOCK.fetch_add(1, Ordering::AcqRel);
    }

    /// Lets time pass: sleeps whose end has come end.
    pub(crate) fn pass(time: Duration) {
        time_has_come();
        PASSED.set(PASSED.get() + time);
        let now = now();
        let due: Vec<_> =
            SLEEPERS.with_borrow_mut(|list| list.extract_if(.., |(at, _)| *at <= now).collect());
        for (_, thread) in due {
            thread.unpark();
        }
    }

    pub(crate) fn park_until(at: Instant) {
        if now() >= at {
            return time_has_come();
        }
        SLEEPERS.with_borrow_mut(|list| list.push((at, current())));
        park();
        let own = current();
        SLEEPERS.with_borrow_mut(|list| list.retain(|(_, thread)| !Arc::ptr_eq(&thread.0, &own.0)));
    }

    pub(crate) fn nap(_: Duration) {
        loom::thread::yield_now();
    }

    pub(crate) fn turn() -> usize {
        TURN.replace(TURN.get() + 1)
    }

    pub(crate) fn random() -> u64 {
        RANDOM.set(RANDOM.get() + 1);
        RANDOM.get() * 0x9e37_79b9_7f4a_7c15
    }
}
