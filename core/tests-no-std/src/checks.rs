//! What is checked on a board: a function and a line in [`ALL`] each.

use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering};

use netchan::testing::bare;

/// A check's name and its body, which says what is wrong.
pub type Check = (&'static str, fn() -> Result<(), &'static str>);

pub const ALL: &[Check] = &[
    ("statics_hold_their_initial_values", statics_hold_their_initial_values),
    ("two_links_exchange_values", two_links_exchange_values),
    ("a_noisy_line_delivers_all_in_order", a_noisy_line_delivers_all_in_order),
    #[cfg(feature = "planted-failure")]
    ("a_planted_failure", || Err("planted")),
];

fn two_links_exchange_values() -> Result<(), &'static str> {
    if bare::exchange(100) == Some(100) { Ok(()) } else { Err("not all came, or not in order") }
}

fn a_noisy_line_delivers_all_in_order() -> Result<(), &'static str> {
    if bare::exchange_on_line(100) == Some(100) { Ok(()) } else { Err("not all came, or not in order") }
}

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
