//! Channel ends that a message carries: each gets a circuit of its own.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::Waker;

use super::{Circuit, Refusal};
use crate::host::carry::{Attached, Departing};
use crate::host::cell::{Cell, CellId};
use crate::host::link::LinkState;
use crate::host::peer::WINDOW_MAX;
use crate::host::spec::Spec;
use crate::proto::{Blocked, Dead, Fingerprints, Handle, Open, OpenFlags, Reason, Start};

impl Circuit {
    /// Sends a message that carries channel ends: each gets a circuit of its own first.
    pub(crate) fn send_carrying(
        &self,
        message: &mut Vec<u8>,
        ends: &mut Vec<Departing>,
        waker: Option<&Waker>,
    ) -> Result<(), Refusal> {
        if ends.is_empty() {
            return self.send(message, waker);
        }
        if let Some(waker) = waker
            && !self.has_room(Some(message.len()), waker).map_err(Refusal::Dead)?
        {
            return Err(Refusal::Wait);
        }
        let mut circuits = Vec::new();
        let result = self.attach_and_send(message, ends, &mut circuits);
        match result {
            Ok(()) => {
                for (end, circuit) in ends.iter_mut().zip(circuits) {
                    end.bind(circuit);
                }
                ends.clear();
            }
            // Their drop tells the peer, and locks the link: not before it is let go.
            Err(_) => drop(circuits),
        }
        result
    }

    fn attach_and_send(
        &self,
        message: &mut Vec<u8>,
        ends: &[Departing],
        circuits: &mut Vec<Arc<Self>>,
    ) -> Result<(), Refusal> {
        let mut guard = self.link.lock();
        let state = &mut *guard;
        let Some(cell) = state.cells.get(self.id) else { return Err(Refusal::Dead(state.gone())) };
        if let Some(dead) = cell.dead {
            return Err(Refusal::Dead(dead));
        }
        let Some(handle) = cell.handle else { return Err(Refusal::Dead(state.gone())) };
        // Nothing is attached for a message that could not follow at once.
        match state.proto(|link, slots| link.could_start(slots, handle, message.len())) {
            Ok(()) => {}
            Err(Blocked::TooLarge(limit)) => return Err(Refusal::TooLarge(limit)),
            Err(Blocked::Credit | Blocked::Busy) => return Err(Refusal::Wait),
            Err(_) => return Err(Refusal::Dead(state.going())),
        }
        // All or none: what is attached belongs to the next message, whichever that is.
        let floors = ends.iter().map(|end| u64::from(spec_here(end).room(None).1)).sum();
        if !state.could_reserve(floors) || !state.proto(|link, slots| link.has_handles(slots, ends.len())) {
            return Err(Refusal::Dead(Dead::here(Reason::NoResources)));
        }
        for (ordinal, end) in ends.iter().enumerate() {
            let id = attach(state, handle, ordinal as u32, end)
                .ok_or(Refusal::Dead(Dead::here(Reason::NoResources)))?;
            circuits.push(Arc::new(Self::new(&self.link, state, id, self.name_inside())));
        }
        match state.proto(|link, slots| link.start(slots, handle, message.len())) {
            Ok(Start::Straight(head)) => state.write(&head, message),
            Ok(Start::Queued) => {
                if let Some(cell) = state.cells.get(self.id) {
                    cell.outbox = Some(Arc::new(core::mem::take(message)));
                }
            }
            Err(_) => return Err(Refusal::Wait),
        }
        if let Some(cell) = state.cells.get(self.id) {
            cell.sent += 1;
        }
        self.link.flush(guard);
        Ok(())
    }

    /// What an end is called that travels in a message of this circuit.
    fn name_inside(&self) -> Arc<str> {
        alloc::format!("(sent over {})", self.name).into()
    }

    /// Accepts an end that came with a message of this circuit.
    pub(crate) fn accept_attached(&self, end: &Attached, spec: &Spec, which: u8) -> Option<Arc<Self>> {
        let mut guard = self.link.lock();
        let state = &mut *guard;
        let (limit, floor) = spec.room(None);
        let cell = state.cells.get(end.cell)?;
        if cell.dead.is_some() {
            // It died on the way: the program hears of that where it uses the end.
            cell.opened = true;
            return Some(Arc::new(Self::new(&self.link, state, end.cell, self.name_inside())));
        }
        let handle = cell.handle;
        let Some(handle) = handle.filter(|_| state.reserve(floor)) else {
            state.kill(end.cell, Reason::NoResources, "");
            state.remove(end.cell);
            self.link.flush(guard);
            return None;
        };
        let cell = state.cells.get(end.cell)?;
        cell.opened = true;
        cell.which = which;
        cell.window = floor;
        cell.window_max = WINDOW_MAX.max(floor);
        cell.reserved = floor;
        cell.receives = spec.flags.has(OpenFlags::RECEIVES);
        cell.sends = spec.flags.has(OpenFlags::SENDS);
        state.proto_out(|link, slots, out| {
            link.accept(slots, handle, 0, floor, limit);
            link.control(slots, out);
        });
        let circuit = Arc::new(Self::new(&self.link, state, end.cell, self.name_inside()));
        self.link.flush(guard);
        Some(circuit)
    }

    /// Ends that came with a message, and that the program has not taken.
    pub(crate) fn refuse_attached(&self, ends: Vec<Attached>) {
        if !ends.is_empty() {
            let mut state = self.link.lock();
            state.refuse_attached(ends);
            self.link.flush(state);
        }
    }
}

/// What this side takes and sends on the circuit of an end that goes.
fn spec_here(end: &Departing) -> Spec {
    let longest = end.longest.and_then(|len| u32::try_from(len).ok());
    Spec { flags: end.spec.flags.flipped(), longest, ..end.spec.clone() }
}

/// Opens a circuit for an end in the next message of `carrier`; `None` where there is no room.
fn attach(state: &mut LinkState, carrier: Handle, ordinal: u32, end: &Departing) -> Option<CellId> {
    let ours = spec_here(end);
    let (limit, floor) = ours.room(None);
    if !state.reserve(floor) {
        return None;
    }
    let open = Open {
        flags: ours.flags,
        wait_ms: 0,
        credit: floor,
        limit,
        values: 0,
        name: "",
        fingerprints: Fingerprints::new(ours.fingerprints[0], &[]),
        type_name: ours.type_name,
        route: None,
        body: None,
    };
    let cell = Cell {
        window: floor,
        window_max: WINDOW_MAX.max(floor),
        reserved: floor,
        receives: ours.flags.has(OpenFlags::RECEIVES),
        sends: ours.flags.has(OpenFlags::SENDS),
        ..Cell::default()
    };
    let attached = state.attach(carrier, ordinal, &open, cell).ok();
    if attached.is_none() {
        state.release(floor);
    }
    attached
}
