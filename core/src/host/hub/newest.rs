//! Of a latest value: what each importer is offered, also those who join later.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Hub, State};
use crate::host::circuit::Refusal;

impl Hub {
    /// Whether the export is still there to have a newest value.
    pub(crate) fn set_newest(&self, message: Vec<u8>) -> bool {
        let mut state = self.lock();
        state.newest = Some(message);
        state.turn += 1;
        !state.closed
    }

    /// Offers the newest value to every importer that was not offered it; one that has no
    /// room gets the next. For whom it is too long it is dropped.
    pub(crate) fn offer_newest(&self) {
        let len = {
            let state = self.lock();
            if state.newest.is_some() { state.members.len() } else { 0 }
        };
        for index in 0..len {
            let mut sent = None;
            loop {
                let (circuit, newest, turn, is_first) = {
                    let mut state = self.lock();
                    let State { members, newest, turn, .. } = &mut *state;
                    let (Some(Some(entry)), Some(newest)) = (members.get_mut(index), newest) else { break };
                    // Who was overtaken while it sent makes good what it has put last.
                    if sent.unwrap_or(entry.turn) == *turn {
                        break;
                    }
                    // Who has overtaken us has counted it.
                    let is_first = core::mem::replace(&mut entry.turn, *turn) != *turn;
                    (Arc::clone(&entry.circuit), newest.clone(), *turn, is_first)
                };
                match circuit.send_newest(newest) {
                    Err(Refusal::TooLarge(_)) if is_first => {
                        circuit.with(|cell| cell.dropped += 1);
                    }
                    // One that died is told and removed by its own signal.
                    _ => {}
                }
                sent = Some(turn);
            }
        }
    }
}
