//! What the board's program `update` waits for while its line runs, in turns that an error of the UART ends.

#[path = "../firmware/programs/src/update/meanwhile.rs"]
mod meanwhile;

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use meanwhile::meanwhile;

/// Polls it so often at the most.
fn within<T>(polls: u32, task: impl Future<Output = T>) -> Option<T> {
    let mut task = pin!(task);
    (0..polls).find_map(|_| match task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    })
}

/// Comes back when it is polled next.
async fn once_again() {
    let mut is_first = true;
    std::future::poll_fn(|_| if std::mem::take(&mut is_first) { Poll::Pending } else { Poll::Ready(()) })
        .await;
}

#[test]
fn an_order_that_was_taken_outlasts_errors_of_the_uart() {
    let mut orders = VecDeque::from([1, 2, 3]);
    let turns = Cell::new(0);
    for wanted in 1..=3 {
        let order = async {
            // Taken at once, and obeyed for a while.
            let order = orders.pop_front();
            for _ in 0..5 {
                once_again().await;
            }
            order
        };
        let run = async || {
            turns.set(turns.get() + 1);
            once_again().await;
        };
        assert_eq!(within(20, meanwhile(order, run)), Some(Some(wanted)));
    }
    assert!(turns.get() >= 6, "{turns:?}: turns ended meanwhile");
}
