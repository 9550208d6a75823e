//! How far the program is, for the peer that has asked: at once, at the total it waits for, and at the end.

use alloc::vec::Vec;

use super::effects::Effects;
use crate::host::cell::CellId;
use crate::host::link::LinkState;
use crate::proto::{Handle, Total};

impl LinkState {
    pub(super) fn take_ask(&mut self, handle: Handle, total: Total, effects: &mut Effects) {
        let Some((id, cell)) = self.cell_of(handle) else { return };
        cell.ask = Some(total);
        if cell.is_relayed {
            cell.was_asked = true;
            effects.wakers.extend(cell.recv_waker.take());
        }
        // How far it is now, and again when it is there: a drain that gives up can then say
        // what is missing.
        let now = Total::new(cell.taken.set_asked() as u32);
        self.proto(|link, slots| link.taken(slots, handle, now, true));
        self.asked(id);
    }

    pub(super) fn take_end(&mut self, handle: Handle) {
        let values = self.proto(|link, slots| link.values_in(slots, handle));
        let Some((id, cell)) = self.cell_of(handle) else { return };
        cell.ended = true;
        // A sender that has ended cannot ask any more; it is told all the same.
        cell.ask = Some(values);
        cell.taken.set_asked();
        if cell.rx_gone && !cell.untaken {
            self.drained(id);
        }
        self.asked(id);
    }

    /// The newest value replaces the one before, and its room is free at once.
    pub(super) fn take_newest(&mut self, id: CellId, message: Vec<u8>) {
        let Some(cell) = self.cells.get(id) else { return };
        let charged = crate::proto::Link::charge(message.len() as u32);
        cell.newest = Some(message);
        cell.taken.count();
        self.report(id, charged);
        self.answer_ask(id);
    }

    /// Reports what the program has taken, if that is what the peer asked for.
    pub(crate) fn answer_ask(&mut self, id: CellId) {
        let Some(cell) = self.cells.get(id) else { return };
        let (Some(handle), Some(ask)) = (cell.handle, cell.ask) else { return };
        let total = Total::new(cell.taken.get() as u32);
        if total.at_least(ask) {
            cell.ask = None;
            cell.taken.clear_asked();
            self.proto(|link, slots| link.taken(slots, handle, total, true));
        }
    }

    /// As [`LinkState::answer_ask`], for a question that has just come: if it has to wait, it
    /// may have crossed the last value, so it is looked at again in the next two ticks, of
    /// which the second comes surely later than what was crossed.
    fn asked(&mut self, id: CellId) {
        self.answer_ask(id);
        if let Some(cell) = self.cells.get(id).filter(|cell| cell.ask.is_some())
            && core::mem::replace(&mut cell.looks, 2) == 0
        {
            self.cells.note(&mut self.asked, id);
        }
    }

    /// Looks again at questions that may have crossed the last value.
    pub(crate) fn look_at_asked(&mut self) {
        for id in core::mem::take(&mut self.asked) {
            self.answer_ask(id);
            if let Some(cell) = self.cells.get(id) {
                cell.looks = if cell.ask.is_some() { cell.looks.saturating_sub(1) } else { 0 };
                if cell.looks > 0 {
                    self.asked.push(id);
                }
            }
        }
    }
}
