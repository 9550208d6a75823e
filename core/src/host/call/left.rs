//! What a server leaves behind that goes while some of its requests are handled: whoever calls
//! meanwhile is refused at once.

use alloc::sync::{Arc, Weak};
use core::task::Waker;
use std::task::Wake;

use super::server::Shared;
use super::{KIND_MESSAGE, KIND_OTHER, short};
use crate::host::error::RecvError;
use crate::host::inbox::Message as Arrived;
use crate::host::receiver::Inflow;
use crate::host::turn::Turn;
use crate::message::DecodeError;
use crate::proto::{Reason, varint};

/// What still comes for a server that is gone.
pub(super) struct Left {
    inflow: Turn<Inflow>,
    waker: Waker,
}

/// Woken when something has come, with no lock held. It keeps nothing alive: the last request does.
struct Refuse(Weak<Shared>);

impl Wake for Refuse {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(shared) = self.0.upgrade()
            && let Some(left) = shared.left.get()
        {
            left.refuse(&shared);
        }
    }
}

impl Left {
    /// From now on all that comes is refused.
    pub(super) fn begin(shared: &Arc<Shared>, inflow: Inflow) {
        let waker = Waker::from(Arc::new(Refuse(Arc::downgrade(shared))));
        let left = shared.left.get_or_init(|| Self { inflow: Turn::new(inflow), waker });
        left.refuse(shared);
    }

    fn refuse(&self, shared: &Shared) {
        self.inflow.run(|inflow| while refuse_next(inflow, &self.waker, shared) {}, |()| ());
    }
}

/// Refuses the next that has come: whether there was one. None of the program's code runs here.
fn refuse_next(inflow: &mut Inflow, waker: &Waker, shared: &Shared) -> bool {
    inflow.put_back();
    let next = inflow.next(Some(waker), |message, circuit, _, _| {
        let bytes = match &message {
            Arrived::Small(bytes) => bytes,
            Arrived::Owned(bytes) => bytes.as_slice(),
        };
        let (id, used) = varint::get(bytes).map_err(|_| DecodeError::Varint)?;
        match bytes.get(used) {
            Some(&kind @ (KIND_MESSAGE | KIND_OTHER)) => Ok((id, kind, Arc::clone(circuit))),
            _ => Err(DecodeError::Truncated),
        }
    });
    let (id, kind, circuit) = match next {
        Ok(next) => next,
        // That circuit has ended with it, and no other.
        Err(error) => return matches!(error, RecvError::Decode(_)),
    };
    if kind == KIND_OTHER {
        shared.cancel(&circuit, id);
        return true;
    }
    let mut reason = Reason::HungUp;
    if inflow.is_chain() {
        if circuit.is_chain_broken() {
            reason = Reason::ChainBroken;
        }
        circuit.break_chain();
    }
    // One that is gone hears nothing.
    let _ = circuit.reply(&mut short(id, &[KIND_OTHER, reason.get()]));
    true
}
