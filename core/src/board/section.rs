//! The critical sections of ends and of the driver, behind each of which a test may have an interrupt come, as on a board it may between any.

#[cfg(feature = "testing")]
use alloc::boxed::Box;
#[cfg(feature = "testing")]
use core::cell::RefCell;

#[cfg(not(feature = "testing"))]
pub(super) use critical_section::with;

/// As [`critical_section::with`].
#[cfg(feature = "testing")]
pub(super) fn with<R>(section: impl FnOnce(critical_section::CriticalSection<'_>) -> R) -> R {
    let result = critical_section::with(section);
    let handler = DUE.with_borrow_mut(|due| match due.take() {
        Some((0, handler)) => Some(handler),
        Some((sections, handler)) => {
            *due = Some((sections - 1, handler));
            None
        }
        None => None,
    });
    if let Some(handler) = handler {
        handler();
    }
    result
}

/// What is to be run, and after how many critical sections.
#[cfg(feature = "testing")]
type Due = Option<(u32, Box<dyn FnOnce()>)>;

#[cfg(feature = "testing")]
std::thread_local! {
    static DUE: RefCell<Due> = const { RefCell::new(None) };
}

/// Runs `handler` once, behind the critical section of a board's node on this thread that follows `sections` others. What was to
/// be run before, and has not been, is dropped.
#[cfg(feature = "testing")]
pub fn interrupt_after(sections: u32, handler: impl FnOnce() + 'static) {
    let before = DUE.replace(Some((sections, Box::new(handler))));
    drop(before);
}

/// Whether it is still to come.
#[cfg(feature = "testing")]
pub fn is_interrupt_due() -> bool {
    DUE.with_borrow(Option::is_some)
}
