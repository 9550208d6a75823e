//! Who waits for the end of a link. A wait that is dropped leaves nothing behind: one may be begun for every value that a
//! program waits for beside it.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::task::{Context, Poll, Waker};

use super::error::LinkError;
use super::link::LinkCell;
use super::wait::Waiting;
use crate::proto::Reason;

/// Those who are told when a link is down, by number.
#[derive(Default)]
pub(crate) struct DownWakers {
    wakers: BTreeMap<u64, Waker>,
    last: u64,
}

impl DownWakers {
    /// Stores a waker in its place, which it gets with the first one. What was there is to be dropped with nothing locked.
    #[must_use]
    fn set(&mut self, place: &mut Option<u64>, waker: &Waker) -> Option<Waker> {
        let number = *place.get_or_insert_with(|| {
            self.last += 1;
            self.last
        });
        match self.wakers.get(&number) {
            Some(stored) if stored.will_wake(waker) => None,
            _ => self.wakers.insert(number, waker.clone()),
        }
    }

    /// All of them: the link is down.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Waker> + use<> {
        core::mem::take(&mut self.wakers).into_values()
    }
}

/// Waits for the end of a link.
#[derive(Debug)]
pub struct Down {
    link: Arc<LinkCell>,
    /// Its place among those who are told.
    place: Option<u64>,
}

impl Down {
    pub(crate) const fn new(link: Arc<LinkCell>) -> Self {
        Self { link, place: None }
    }

    pub(crate) const fn link(&self) -> &Arc<LinkCell> {
        &self.link
    }

    fn forget(&mut self) {
        let Some(place) = self.place.take() else { return };
        let waker = self.link.lock().down_wakers.wakers.remove(&place);
        // It may be the last hold on a task, so with nothing locked.
        drop(waker);
    }
}

impl Waiting for Down {
    type Output = LinkError;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<LinkError> {
        let mut state = self.link.lock();
        if let Some(error) = state.down {
            return Poll::Ready(error);
        }
        let old = state.down_wakers.set(&mut self.place, cx.waker());
        drop(state);
        drop(old);
        Poll::Pending
    }

    fn expire(&mut self) -> LinkError {
        self.forget();
        self.link.down().unwrap_or(LinkError::Local(Reason::Deadline))
    }
}

impl Drop for Down {
    fn drop(&mut self) {
        self.forget();
    }
}
