//! What is received at an export, from whichever importer has sent something.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::Waker;

use super::{Hub, Seat};
use crate::host::circuit::{Arrival, Circuit};
use crate::host::inbox::Inbox;
use crate::host::link::LinkCell;
use crate::proto::Dead;

/// What an export had to receive.
pub(crate) enum HubArrival {
    Messages {
        seat: Seat,
        circuit: Arc<Circuit>,
        which: u8,
    },
    Nothing,
    /// Of an exclusive export: an importer sends no more, and all of its values were received.
    /// Why, if it did not end in order.
    Left(Option<Dead>),
    Closed,
}

impl Hub {
    /// Takes what some importer has sent: the inbox is exchanged.
    pub(crate) fn receive(&self, inbox: &mut Inbox, waker: Option<&Waker>) -> HubArrival {
        let _old;
        loop {
            let (seat, circuit, which) = {
                let mut state = self.lock();
                if state.closed {
                    return HubArrival::Closed;
                }
                let Some(seat) = self.ready.pop() else {
                    _old = waker.and_then(|waker| state.recv_waker.replace(waker.clone()));
                    return HubArrival::Nothing;
                };
                let Some(entry) = state.members.get(seat.place()).and_then(Option::as_ref) else { continue };
                (seat, Arc::clone(&entry.circuit), entry.which)
            };
            let is_chain = self.is_chain(which);
            if is_chain && circuit.holds_next() {
                continue;
            }
            let arrival = if is_chain { circuit.receive_next(inbox) } else { circuit.receive(inbox, None) };
            match arrival {
                Arrival::Messages => {
                    self.turn_to(seat.place());
                    // It may have more, or its end, by the time this is taken.
                    return HubArrival::Messages { seat, circuit, which };
                }
                Arrival::Nothing => {}
                end @ (Arrival::Closed | Arrival::Dead(_)) if self.tells_left() => {
                    if self.tell(seat.place(), &circuit) {
                        let Arrival::Dead(dead) = end else { return HubArrival::Left(None) };
                        return HubArrival::Left(Some(dead));
                    }
                }
                Arrival::Closed | Arrival::Dead(_) => self.remove(seat.place(), &circuit),
            }
        }
    }

    /// Takes the newest value of some importer.
    pub(crate) fn receive_newest(&self, waker: Option<&Waker>) -> Result<(Vec<u8>, u8), HubArrival> {
        // Dropped with nothing locked, here and below: it may own a task, and that this hub.
        let _old;
        loop {
            let (seat, circuit, which) = {
                let mut state = self.lock();
                if state.closed {
                    return Err(HubArrival::Closed);
                }
                let Some(seat) = self.ready.pop() else {
                    _old = waker.and_then(|waker| state.recv_waker.replace(waker.clone()));
                    return Err(HubArrival::Nothing);
                };
                let Some(entry) = state.members.get(seat.place()).and_then(Option::as_ref) else { continue };
                (seat, Arc::clone(&entry.circuit), entry.which)
            };
            match circuit.receive_newest(None) {
                Ok(newest) => {
                    self.look_again(seat);
                    return Ok((newest, which));
                }
                Err(Arrival::Closed | Arrival::Dead(_)) => self.remove(seat.place(), &circuit),
                Err(_) => {}
            }
        }
    }

    /// Registers who waits for messages, if they can come from this importer only.
    pub(crate) fn register_for_only(&self, circuit: &Arc<Circuit>, waker: &Waker) -> bool {
        let _old;
        let mut state = self.lock();
        let only = match &state.members[..] {
            [Some(entry)] => Arc::ptr_eq(&entry.circuit, circuit),
            _ => false,
        };
        if !only || state.closed || !self.ready.is_empty() {
            return false;
        }
        if !state.recv_waker.as_ref().is_some_and(|other| other.will_wake(waker)) {
            _old = state.recv_waker.replace(waker.clone());
        }
        true
    }

    /// That an importer sends no more is told once: whether that is now. One that is gone has
    /// left with that; one that still listens in a conversation remains the one that is sent to.
    fn tell(&self, index: usize, circuit: &Arc<Circuit>) -> bool {
        let first = {
            let mut state = self.lock();
            let entry = state.entry(index, circuit).filter(|entry| !entry.told);
            entry.map(|entry| entry.told = true).is_some()
        };
        if first {
            self.turn_to(index);
        }
        let is_gone = !self.is_conversation() || circuit.has_left();
        if first && is_gone {
            self.remove(index, circuit);
        } else {
            self.see_off(index, circuit);
        }
        first
    }

    /// The program hears of this importer: what it sends is for nobody before it.
    fn turn_to(&self, index: usize) {
        if !self.is_conversation() {
            return;
        }
        let before: Vec<_> = {
            let state = self.lock();
            let there = state.members.iter().enumerate().filter(|(other, _)| *other != index);
            let there = there.filter_map(|(other, entry)| Some((other, entry.as_ref()?)));
            let told = there.filter(|(_, entry)| entry.told && entry.left);
            told.map(|(other, entry)| (other, Arc::clone(&entry.circuit))).collect()
        };
        for (other, circuit) in before {
            self.remove(other, &circuit);
        }
    }

    /// After a batch of a member is taken: look at it again, for its end may be there.
    pub(crate) fn look_again(&self, seat: Seat) {
        if self.tells_left() {
            // Its end comes before what the next importer has to say.
            self.ready.push_first(seat);
        } else {
            self.ready.push(seat);
        }
    }

    /// The link that alone brings values, if there is just one.
    pub(crate) fn only_link(&self) -> Option<Arc<LinkCell>> {
        let state = self.lock();
        let mut links = state.members.iter().flatten().map(|entry| &entry.circuit.link);
        let first = links.next()?;
        links.all(|link| Arc::ptr_eq(link, first)).then(|| Arc::clone(first))
    }
}
