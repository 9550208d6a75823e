//! How a thread sleeps, and how it is woken: parked, or reading a link in person.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::AtomicUsize;
use core::task::Waker;
use std::task::Wake;
use std::time::Instant;

use super::link::LinkCell;
use super::sync::{self, AtomicU8, Mutex, Ordering, PoisonError, Thread};

const AWAKE: u8 = 0;
const NOTIFIED: u8 = 1;
const PARKED: u8 = 2;
/// In a blocking read of a link: unparking would not reach it.
const LEADING: u8 = 3;

/// A thread's place to sleep.
pub(crate) struct Parker {
    state: AtomicU8,
    thread: Thread,
    /// The link that the thread has read last. A leaf lock, held for a clone only.
    leads: Mutex<Weak<LinkCell>>,
    /// Its address, for the thread itself: no lock where it reads the same one again. The
    /// weak reference keeps another link from getting that address.
    leads_at: AtomicUsize,
}

sync::thread_local! {
    static PARKER: (Arc<Parker>, Waker) = {
        let parker = Arc::new(Parker::new());
        let waker = Waker::from(Arc::clone(&parker));
        (parker, waker)
    };
}

impl Parker {
    fn new() -> Self {
        Self {
            state: AtomicU8::new(AWAKE),
            thread: sync::current(),
            leads: Mutex::new(Weak::new()),
            leads_at: AtomicUsize::new(0),
        }
    }

    /// Runs `f` with this thread's parker and the waker that ends its sleep.
    pub(crate) fn with<R>(f: impl FnOnce(&Arc<Self>, &Waker) -> R) -> R {
        // Thread-locals are gone while a thread ends: then a parker of the moment serves.
        let mut f = Some(f);
        let done = PARKER.try_with(|(parker, waker)| f.take().map(|f| f(parker, waker)));
        if let Ok(Some(result)) = done {
            return result;
        }
        let parker = Arc::new(Self::new());
        let waker = Waker::from(Arc::clone(&parker));
        f.take().expect("the closure ran only if a result was returned above")(&parker, &waker)
    }

    /// Takes a notification that has come.
    pub(crate) fn take_notified(&self) -> bool {
        self.state.load(Ordering::Relaxed) == NOTIFIED
            && self.state.swap(AWAKE, Ordering::Acquire) == NOTIFIED
    }

    /// Sleeps until woken or until `deadline`.
    pub(crate) fn park(&self, deadline: Option<Instant>) {
        if self.state.compare_exchange(AWAKE, PARKED, Ordering::Acquire, Ordering::Acquire).is_err() {
            self.state.store(AWAKE, Ordering::Relaxed);
            return;
        }
        loop {
            match deadline {
                None => sync::park(),
                Some(at) => sync::park_until(at),
            }
            let woken = self.state.load(Ordering::Acquire) == NOTIFIED;
            if woken || deadline.is_some_and(|at| sync::now() >= at) {
                self.state.swap(AWAKE, Ordering::Acquire);
                return;
            }
        }
    }

    /// Announces a blocking read; `false` when a notification is there already.
    pub(crate) fn begin_lead(&self) -> bool {
        // Read before it is written: a notification is the usual end of a wait.
        self.state.load(Ordering::Relaxed) != NOTIFIED
            && self.state.compare_exchange(AWAKE, LEADING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The read has returned. A notification that came meanwhile stays.
    pub(crate) fn end_lead(&self) {
        let _ = self.state.compare_exchange(LEADING, AWAKE, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Says which link this thread is about to read, so that a waker can interrupt the read.
    pub(crate) fn set_leads(&self, link: &Arc<LinkCell>) {
        let at = Arc::as_ptr(link).addr();
        if self.leads_at.load(Ordering::Relaxed) != at {
            self.leads_at.store(at, Ordering::Relaxed);
            *self.leads.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(link);
        }
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        match self.state.swap(NOTIFIED, Ordering::AcqRel) {
            PARKED => self.thread.unpark(),
            LEADING => {
                let link = self.leads.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
                if let Some(link) = link {
                    link.interrupt();
                }
            }
            _ => {}
        }
    }
}

/// A waker that unparks a plain thread.
pub(crate) fn unparker(thread: Thread) -> Waker {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    Waker::from(Arc::new(Unpark(thread)))
}
