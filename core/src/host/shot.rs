//! The only message of a circuit, on its way: as a post, or as a question.
//!
//! It is a circuit like any other: opened, one message, the end. Where the message is short all three go in one
//! frame, the open; else they go one after the other, and whoever asks for it does not see the difference.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Poll, Waker};
use std::time::Instant;

use super::carry::Departing;
use super::circuit::Circuit;
use super::error::ImportError;
use super::peer::{Request, Sent, Way};
use super::post::PostCause;
use super::sync;
use super::wait::Source;
use crate::proto::{Dead, Reason};

/// A message on its way, whatever comes back.
pub(crate) struct Shot {
    pub(crate) way: Way,
    pub(crate) request: Request,
    pub(crate) until: Instant,
    /// Its encoding, until it has gone.
    pub(crate) bytes: Vec<u8>,
    /// Channel ends inside it.
    pub(crate) ends: Vec<Departing>,
    pub(crate) stage: Stage,
}

pub(crate) enum Stage {
    New,
    Opening(Arc<Circuit>, Sent),
    /// Nothing more is to be sent.
    Gone(Arc<Circuit>),
    Over,
}

impl Shot {
    pub(crate) fn new(way: Way, request: Request) -> Self {
        Self { way, request, until: sync::now(), bytes: Vec::new(), ends: Vec::new(), stage: Stage::New }
    }

    /// Goes as far as it can: the circuit, as soon as the message has gone and was accepted.
    pub(crate) fn poll(&mut self, waker: &Waker) -> Poll<Result<Arc<Circuit>, PostCause>> {
        loop {
            match &self.stage {
                Stage::New => match self.open(Some(waker)) {
                    Ok(Some((circuit, sent))) => self.stage = Stage::Opening(circuit, sent),
                    Ok(None) => return Poll::Pending,
                    Err(error) => return Poll::Ready(Err(PostCause::Refused(error))),
                },
                Stage::Opening(circuit, sent) => {
                    let circuit = Arc::clone(circuit);
                    match circuit.opened(waker) {
                        None => return Poll::Pending,
                        // A link may end for a reason for which opens are refused.
                        Some(Err((dead, _)))
                            if *sent == Sent::WithOpen
                                && (!is_refusal(dead.reason) || circuit.died_with_link()) =>
                        {
                            return Poll::Ready(Err(PostCause::Lost(dead)));
                        }
                        Some(Err((dead, detail))) => {
                            let error = ImportError::new(dead, self.request.type_name(), detail);
                            return Poll::Ready(Err(PostCause::Refused(error)));
                        }
                        Some(Ok(_)) if *sent == Sent::WithOpen => {}
                        Some(Ok(_)) => {
                            match circuit.send_carrying(&mut self.bytes, &mut self.ends, Some(waker)) {
                                Ok(()) => circuit.drop_tx(),
                                Err(refusal) => {
                                    let cause = refusal.cause().map(|cause| Err(PostCause::NotSent(cause)));
                                    return cause.map_or(Poll::Pending, Poll::Ready);
                                }
                            }
                        }
                    }
                    self.stage = Stage::Gone(circuit);
                }
                Stage::Gone(circuit) => return Poll::Ready(Ok(Arc::clone(circuit))),
                Stage::Over => return Poll::Ready(Err(PostCause::Lost(Dead::here(Reason::Closed)))),
            }
        }
    }

    pub(crate) fn open(
        &mut self,
        waker: Option<&Waker>,
    ) -> Result<Option<(Arc<Circuit>, Sent)>, ImportError> {
        let Self { way, request, until, bytes, ends, .. } = self;
        let body = ends.is_empty().then_some(&bytes[..]);
        let opened = way.open(waker, |link, route| {
            // Who does not wait for room does not add to a heap.
            if waker.is_none() && link.lock().output.is_flooded() {
                return Err(ImportError::NoResources);
            }
            request.open_with(link, *until, route, body)
        })?;
        Ok(opened.map(|(opened, _)| opened))
    }

    /// Nobody waits any more. One that was accepted is left to be taken, or is cancelled as well: whether it may have
    /// arrived.
    pub(crate) fn cancel(&mut self, accepted_too: bool) -> bool {
        match core::mem::replace(&mut self.stage, Stage::Over) {
            Stage::New | Stage::Over => false,
            Stage::Opening(circuit, sent) => {
                circuit.kill(Reason::Cancelled, "");
                sent == Sent::WithOpen
            }
            Stage::Gone(circuit) => {
                if accepted_too {
                    circuit.kill(Reason::Cancelled, "");
                }
                true
            }
        }
    }

    pub(crate) fn source(&self) -> Option<Source<'_>> {
        match &self.stage {
            Stage::Opening(circuit, _) | Stage::Gone(circuit) => Some((&circuit.link).into()),
            Stage::New | Stage::Over => None,
        }
    }
}

/// Whether only an open is refused so, so that nothing has arrived.
pub(super) const fn is_refusal(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::NoName
            | Reason::WrongDirection
            | Reason::TypeDiffers
            | Reason::NoResources
            | Reason::Busy
            | Reason::Refused
            | Reason::TooLarge
            | Reason::NoRoute
            | Reason::HopLimit
            | Reason::Withdrawn
    )
}
