//! Something that is waited for while something else goes on, in turns that end now and then.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

/// Waits for `done`, and takes one turn after the other meanwhile. What `done` has begun outlasts the turns: it is given up by none of them.
///
/// Not cancel-safe, unless both are. A turn that is always over at once should wait a moment, or nobody else has his.
pub(crate) async fn meanwhile<T>(done: impl Future<Output = T>, mut turn: impl AsyncFnMut()) -> T {
    let mut done = pin!(done);
    loop {
        let mut turn = pin!(turn());
        let result = poll_fn(|cx| match done.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => turn.as_mut().poll(cx).map(|()| None),
        });
        if let Some(result) = result.await {
            return result;
        }
    }
}
