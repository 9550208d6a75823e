//! What is checked on a board: a function and a line in [`ALL`] each.

use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering};

// Linked even while no check names it: what it needs and a board lacks would be missing here.
use netchan as _;

/// A check's name and its body, which says what is wrong.
pub type Check = (&'static str, fn() -> Result<(), &'static str>);

pub const ALL: &[Check] = &[
    ("statics_hold_their_initial_values", statics_hold_their_initial_values),
    #[cfg(feature = "planted-failure")]
    ("a_planted_failure", || Err("planted")),
];

/// Every node lives in a `static`, so all else rests on the start-up code.
fn statics_hold_their_initial_values() -> Result<(), &'static str> {
    static ZERO: AtomicU32 = AtomicU32::new(0);
    static MARK: AtomicU32 = AtomicU32::new(0x6e65_7463);
    let zero = black_box(&ZERO).fetch_add(1, Ordering::Relaxed);
    let mark = black_box(&MARK).fetch_add(1, Ordering::Relaxed);
    if zero != 0 {
        return Err(".bss is not zeroed");
    }
    if mark != 0x6e65_7463 {
        return Err(".data is not copied");
    }
    Ok(())
}
