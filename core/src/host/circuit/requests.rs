//! Of a method: requests that are being handled, and what is to be when they are not any more.

use super::Circuit;
use crate::host::hub::Signal;
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
