//! Of a method: requests that are being handled, and what is to be when they are not any more.

use super::Circuit;
use crate::host::cell::CellId;
use crate::host::hub::Signal;
use crate::host::inbox::Inbox;
use crate::host::link::LinkCell;
use crate::host::sync::{AtomicU64, Ordering};

/// Of a method: how many requests are being handled, above three bits of what is to be when they are not any more.
#[derive(Default)]
pub(super) struct Requests(AtomicU64);

impl Requests {
    /// What is sent ends.
    const ENDING: u64 = 1;
    /// Of a chain: there may be a next one.
    const HELD: u64 = 2;
    /// Of a chain: one has failed, and no other runs.
    const BROKEN: u64 = 4;
    const ONE: u64 = 8;
}

impl Circuit {
    /// A request has come that will be answered.
    pub(crate) fn begin_request(&self) {
        self.requests.0.fetch_add(Requests::ONE, Ordering::AcqRel);
    }

    /// A request was answered.
    pub(crate) fn end_request(&self) {
        let before = self.requests.0.fetch_sub(Requests::ONE, Ordering::AcqRel);
        if before >= 2 * Requests::ONE {
            return;
        }
        if before & Requests::HELD != 0 {
            self.requests.0.fetch_and(!Requests::HELD, Ordering::AcqRel);
            if let Some(member) = self.with(|cell| cell.member.clone()).flatten() {
                member.is_ready();
                member.signal(Signal::Received);
            }
        }
        if before & Requests::ENDING != 0 {
            self.drop_tx();
        }
    }

    /// Of a chain: whether its next request has to wait. Its hub is told when it has not any more.
    pub(crate) fn holds_next(&self) -> bool {
        let before = self.requests.0.fetch_or(Requests::HELD, Ordering::AcqRel);
        let is_held = before >= Requests::ONE;
        if !is_held {
            // Whoever asks is the only one who begins requests.
            self.requests.0.fetch_and(!Requests::HELD, Ordering::AcqRel);
        }
        is_held
    }

    /// Of a chain: no request that comes runs any more.
    pub(crate) fn break_chain(&self) {
        self.requests.0.fetch_or(Requests::BROKEN, Ordering::AcqRel);
    }

    pub(crate) fn is_chain_broken(&self) -> bool {
        self.requests.0.load(Ordering::Acquire) & Requests::BROKEN != 0
    }

    /// The sending half ends as soon as no request is being handled.
    pub(crate) fn end_after_requests(&self) {
        if self.requests.0.fetch_or(Requests::ENDING, Ordering::AcqRel) < Requests::ONE {
            self.drop_tx();
        }
    }
}

impl Circuit {
    /// Whether a reply waits for room. It is so for as long as nobody has looked, too.
    #[inline]
    pub(crate) fn holds_requests(&self) -> bool {
        self.taken.is_held()
    }

    /// Puts back the requests that were not taken, if a reply waits for room: others are served meanwhile.
    #[cold]
    pub(crate) fn put_back(&self, inbox: &mut Inbox) {
        let mut state = self.link.lock();
        match state.cells.get(self.id) {
            Some(cell) if cell.keeps_replies() => {
                cell.inbox.put_before(inbox);
                // Whoever lets them go tells of them.
                cell.announced = true;
            }
            _ => self.taken.set_held(false),
        }
    }
}

impl LinkCell {
    /// The replies that waited have gone: further requests are taken. Called with nothing locked.
    pub(crate) fn release_requests(&self, id: CellId) {
        let mut state = self.lock();
        let Some(cell) = state.cells.get(id) else { return };
        if !cell.taken.is_held() || !cell.backlog.is_empty() {
            return;
        }
        cell.taken.set_held(false);
        let (waker, member) = (cell.recv_waker.take(), cell.member.clone());
        if let Some(member) = &member {
            member.is_ready();
        }
        drop(state);
        if let Some(member) = member {
            member.signal(Signal::Received);
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
