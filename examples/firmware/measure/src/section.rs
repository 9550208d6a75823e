//! Critical sections that count their instructions. There are no interrupts here, so nothing has to be kept out.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::clock;

struct Counted;

critical_section::set_impl!(Counted);

/// Whether they are counted: else taking one costs as little as it does on a board.
static IS_ON: AtomicBool = AtomicBool::new(false);
/// How many are open, one in another.
static DEPTH: AtomicU32 = AtomicU32::new(0);
static SINCE: AtomicU32 = AtomicU32::new(0);
/// In ticks of the clock.
static LONGEST: AtomicU32 = AtomicU32::new(0);

// SAFETY: one core and no interrupts: whoever runs is alone.
unsafe impl critical_section::Impl for Counted {
    unsafe fn acquire() {
        if IS_ON.load(Ordering::Relaxed) {
            begin();
        }
    }

    unsafe fn release((): ()) {
        if IS_ON.load(Ordering::Relaxed) {
            end();
        }
    }
}

#[inline(never)]
fn begin() {
    let depth = DEPTH.load(Ordering::Relaxed);
    DEPTH.store(depth + 1, Ordering::Relaxed);
    if depth == 0 {
        SINCE.store(clock::now(), Ordering::Relaxed);
    }
}

#[inline(never)]
fn end() {
    let now = clock::now();
    let depth = DEPTH.load(Ordering::Relaxed) - 1;
    DEPTH.store(depth, Ordering::Relaxed);
    if depth == 0 {
        let took = clock::ticks(SINCE.load(Ordering::Relaxed), now);
        LONGEST.store(LONGEST.load(Ordering::Relaxed).max(took), Ordering::Relaxed);
    }
}

/// Instructions of the longest one that `work` takes, with the few between it and the clock.
pub(crate) fn longest<T>(work: impl FnOnce() -> T) -> (u32, T) {
    LONGEST.store(0, Ordering::Relaxed);
    IS_ON.store(true, Ordering::Relaxed);
    let result = work();
    IS_ON.store(false, Ordering::Relaxed);
    (clock::instructions(LONGEST.load(Ordering::Relaxed)), result)
}
