//! Leaving in order: what was sent reaches the peer before the link ends.

use core::task::Waker;
use std::time::{Duration, Instant};

use super::error::LinkError;
use super::link::{LinkCell, LinkState};
use super::parker::Parker;
use crate::proto::Reason;

/// How long the peer may take to close its side after a goodbye.
const PARTING: Duration = Duration::from_millis(500);

impl LinkCell {
    /// Says goodbye as soon as what is queued is written, at `until` at the latest, and
    /// closes. Returns how many values were left.
    pub(crate) fn linger(&self, until: Instant) -> u64 {
        self.wait_until(until, LinkState::is_written);
        let left = self.lock().cells.iter_mut().filter(|cell| cell.outbox.is_some()).count();
        self.leave(Reason::Shutdown);
        let parting = Instant::now() + PARTING;
        self.wait_until(parting, |state| state.link.is_left() && state.output.is_idle());
        self.io.stream().finish();
        // A close with unread bytes would reset the stream and lose what is on the way.
        self.wait_until(parting, |_| false);
        self.fail(LinkError::Local(Reason::Shutdown));
        left as u64
    }

    /// Says goodbye after what is already in the buffer; the peer then ends the link.
    pub(crate) fn leave(&self, reason: Reason) {
        let mut state = self.lock();
        if state.peer.is_none() {
            drop(state);
            return self.fail(LinkError::Local(reason));
        }
        state.link.goodbye(reason);
        self.flush(state);
    }

    /// Sleeps until the link is down, `done`, or `until`.
    fn wait_until(&self, until: Instant, mut done: impl FnMut(&mut LinkState) -> bool) {
        Parker::with(|parker, waker: &Waker| {
            loop {
                let mut state = self.lock();
                if state.down.is_some() || done(&mut state) || Instant::now() >= until {
                    return;
                }
                state.down_wakers.push(waker.clone());
                state.output.wait_for_room(waker);
                self.flush(state);
                parker.park(Some(until));
            }
        });
    }
}

impl LinkState {
    /// Whether all values are in the peer's hands or its kernel's.
    fn is_written(&mut self) -> bool {
        self.output.is_idle()
            && !self.link.has_control()
            && self.cells.iter_mut().all(|cell| cell.outbox.is_none())
    }
}
