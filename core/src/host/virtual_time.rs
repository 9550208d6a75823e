//! A thread of its own time: what runs on it asks for no clock and no random number but the test's, and its deadlines
//! pass when the test says so. So one seed is one course of events, also where whole nodes run.
//!
//! Such a thread does all itself: what a node would start a thread for must not happen on it.

use core::cell::RefCell;
use core::marker::PhantomData;
use core::time::Duration;
use std::sync::OnceLock;
use std::time::Instant;

use super::timer;

struct State {
    passed: Duration,
    random: u64,
    turn: usize,
}

std::thread_local! {
    static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
}

/// For as long as it lives this thread has its own time.
#[derive(Debug)]
pub(crate) struct VirtualTime(PhantomData<*const ()>);

impl VirtualTime {
    /// From now on.
    ///
    /// # Panics
    ///
    /// When this thread has one already.
    pub(crate) fn new() -> Self {
        STATE.with_borrow_mut(|state| {
            assert!(state.is_none(), "this thread has its own time already");
            *state = Some(State { passed: Duration::ZERO, random: 0, turn: 0 });
        });
        Self(PhantomData)
    }

    /// How much has passed.
    pub(crate) fn passed(&self) -> Duration {
        STATE.with_borrow(|state| state.as_ref().map_or(Duration::ZERO, |state| state.passed))
    }

    /// Goes on to this moment, and wakes those whose deadline has come.
    pub(crate) fn go_to(&self, at: Duration) {
        STATE.with_borrow_mut(|state| {
            if let Some(state) = state {
                state.passed = state.passed.max(at);
            }
        });
        timer::wake_due();
    }

    /// The next deadline.
    pub(crate) fn next(&self) -> Option<Duration> {
        timer::next().map(|at| at.saturating_duration_since(start()))
    }
}

impl Drop for VirtualTime {
    fn drop(&mut self) {
        timer::forget();
        STATE.take();
    }
}

fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

pub(super) fn is_on() -> bool {
    STATE.with_borrow(Option::is_some)
}

/// What time it is, on such a thread.
#[inline]
pub(super) fn now() -> Option<Instant> {
    STATE.with_borrow(|state| state.as_ref().map(|state| start() + state.passed))
}

/// A number that differs from call to call and not from run to run, on such a thread.
pub(super) fn random() -> Option<u64> {
    STATE.with_borrow_mut(|state| {
        let state = state.as_mut()?;
        state.random += 1;
        Some(state.random.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    })
}

/// Another number each time, on such a thread.
pub(super) fn turn() -> Option<usize> {
    STATE.with_borrow_mut(|state| {
        let state = state.as_mut()?;
        state.turn += 1;
        Some(state.turn - 1)
    })
}
