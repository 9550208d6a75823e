//! The time of embassy, by the clock's interrupt: microseconds, of which there are a thousand at a time.

use core::cell::RefCell;
use core::task::Waker;

use critical_section::{Mutex, with};
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

use super::clock;

struct Time(Mutex<RefCell<Queue>>);

embassy_time_driver::time_driver_impl!(static TIME: Time = Time(Mutex::new(RefCell::new(Queue::new()))));

impl Driver for Time {
    fn now(&self) -> u64 {
        u64::from(clock::millis()) * 1000
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        // The next tick looks, whatever it is for.
        with(|cs| self.0.borrow_ref_mut(cs).schedule_wake(at, waker));
    }
}

/// Wakes whoever waits for a time that has come. To be called in each millisecond.
pub(super) fn wake() {
    with(|cs| TIME.0.borrow_ref_mut(cs).next_expiration(TIME.now()));
}
