//! Waiting until all that was sent is confirmed.

use alloc::sync::Arc;
use core::task::{Context, Poll};

use super::{Account, Port, Sender};
use crate::host::named::{ChannelError, sentence};
use crate::host::wait::{Source, Waiting};
use crate::message::Message;
use crate::proto::{Dead, Reason};

/// What is missing: a drain that did not complete.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainError {
    /// What became of the values, of all importers since the export where there are many.
    pub account: Account,
    /// Why some will not be confirmed; `None` when the deadline passed.
    pub dead: Option<Dead>,
}

impl core::fmt::Display for DrainError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Account { in_doubt, unsent, .. } = self.account;
        write!(f, "not drained: {in_doubt} values in doubt, {unsent} unsent, ")?;
        match self.dead {
            Some(dead) => write!(f, "{dead}"),
            None => f.write_str("the deadline passed"),
        }
    }
}

impl core::fmt::Debug for DrainError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        sentence(f, self, self.advice())
    }
}

impl core::error::Error for DrainError {}

impl ChannelError for DrainError {
    fn advice(&self) -> Option<&'static str> {
        self.dead.unwrap_or(Dead::here(Reason::Deadline)).advice()
    }
}

/// Waits for confirmation.
#[derive(Debug)]
pub struct Draining<'s, T: Message + Send> {
    pub(super) sender: &'s mut Sender<T>,
}

impl<T: Message + Send> Waiting for Draining<'_, T> {
    type Output = Result<(), DrainError>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let waker = self.sender.waker(cx.waker());
        let drained = match &self.sender.port {
            Port::Circuit(circuit) => circuit.drained(waker),
            // What was sent before an interruption was told is accounted for there.
            Port::Kept(kept) => kept.present().map_or(Ok(true), |circuit| circuit.drained(waker)),
            Port::Hub(hub) => hub.drained(waker),
            Port::Local(tx) => match tx.circuit() {
                Some(circuit) => circuit.drained(waker),
                None => {
                    let drained = tx.drained(waker);
                    // The receiving half may have moved before that looked.
                    match tx.circuit() {
                        Some(circuit) => circuit.drained(waker),
                        None => drained,
                    }
                }
            },
            Port::Moved(_) => Err(Dead::here(Reason::NotTaken)),
        };
        match drained {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => Poll::Pending,
            Err(dead) => Poll::Ready(Err(DrainError { account: self.sender.account(), dead: Some(dead) })),
        }
    }

    fn expire(&mut self) -> Self::Output {
        Err(DrainError { account: self.sender.account(), dead: None })
    }

    fn source(&self) -> Option<Source<'_>> {
        self.sender.source()
    }

    fn channel(&self) -> Arc<str> {
        self.sender.channel()
    }
}
