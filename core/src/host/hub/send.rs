//! What is sent into an export, and to whom of its importers it goes.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::Waker;

use super::{Fanout, Hub};
use crate::host::carry::Departing;
use crate::host::circuit::{Circuit, Refusal};
use crate::host::error::SendCause;
use crate::host::sender::Short;
use crate::message::EndError;
use crate::proto::{Dead, OpenFlags, Reason};

/// Why an export takes no value now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HubRefusal {
    Wait,
    Ends,
    NoImporter,
    TooLarge(u32),
    Left(Dead),
    Closed,
}

impl HubRefusal {
    /// For the program; `None` where it waits. Somebody who can wait does so for an importer.
    pub(crate) const fn cause(self, waits: bool) -> Option<SendCause> {
        Some(match self {
            Self::Wait => return None,
            Self::NoImporter if waits => return None,
            Self::NoImporter => SendCause::NoImporter,
            Self::TooLarge(limit) => SendCause::TooLarge(limit),
            Self::Ends => SendCause::Ends(EndError::Refused),
            Self::Left(dead) => SendCause::Left { dead },
            Self::Closed => SendCause::Dead(Dead::here(Reason::Shutdown)),
        })
    }
}

impl Hub {
    /// Sends a value as the fan-out says. `Err(Wait)` has the waker registered.
    pub(crate) fn send(
        &self,
        message: &mut Vec<u8>,
        ends: &mut Vec<Departing>,
        waker: Option<&Waker>,
    ) -> Result<(), HubRefusal> {
        if self.tells_left() {
            return self.send_to_partner(|circuit| circuit.send_carrying(message, ends, waker), waker);
        }
        if let Fanout::WorkQueue | Fanout::Exclusive = self.fanout
            && ends.is_empty()
            && self.send_to_next(message)
        {
            return Ok(());
        }
        let _old;
        let (len, start) = {
            let mut state = self.lock();
            if state.closed {
                return Err(HubRefusal::Closed);
            }
            _old = waker.and_then(|waker| state.send_waker.replace(waker.clone()));
            if state.count == 0 {
                return Err(HubRefusal::NoImporter);
            }
            (state.members.len(), state.next)
        };
        match self.fanout {
            Fanout::WorkQueue | Fanout::Exclusive => self.send_to_one(message, ends, waker, len, start),
            // An end has one place: it cannot go to all.
            Fanout::Broadcast | Fanout::BroadcastWaits if !ends.is_empty() => Err(HubRefusal::Ends),
            Fanout::Broadcast | Fanout::BroadcastWaits => self.send_to_all(message, waker, len),
        }
    }

    /// Of those who have come, the first that has not left with the program told: nobody else
    /// is sent to meanwhile.
    pub(super) fn send_to_partner<R>(
        &self,
        send: impl FnOnce(&Circuit) -> Result<R, Refusal>,
        waker: Option<&Waker>,
    ) -> Result<R, HubRefusal> {
        let _old;
        let (index, circuit) = {
            let mut state = self.lock();
            if state.closed {
                return Err(HubRefusal::Closed);
            }
            _old = waker.and_then(|waker| state.send_waker.replace(waker.clone()));
            let there = state.members.iter().enumerate();
            let there = there.filter_map(|(index, entry)| Some((index, entry.as_ref()?)));
            let Some((index, entry)) = there.min_by_key(|(_, entry)| entry.importer) else {
                return Err(HubRefusal::NoImporter);
            };
            (index, Arc::clone(&entry.circuit))
        };
        send(&circuit).map_err(|refusal| match refusal {
            Refusal::Wait => HubRefusal::Wait,
            Refusal::TooLarge(limit) => HubRefusal::TooLarge(limit),
            Refusal::Dead(dead) => {
                // Where receiving does not tell it any more, it is told with this.
                let told = {
                    let mut state = self.lock();
                    state.rx_gone || state.entry(index, &circuit).is_some_and(|entry| entry.told)
                };
                if told {
                    self.remove(index, &circuit);
                } else {
                    self.see_off(index, &circuit);
                }
                HubRefusal::Left(dead)
            }
        })
    }

    /// Sends to the importer whose turn it is, if it has room: the usual case, for which
    /// nobody has to be registered first.
    fn send_to_next(&self, message: &mut Vec<u8>) -> bool {
        self.with_next(|circuit| usize::from(circuit.send(message, None).is_ok())) == 1
    }

    /// Sends a short value to the importer whose turn it is, if nothing stands in the way;
    /// else nothing has happened.
    pub(crate) fn send_short_now(&self, message: &Short, len: usize) -> bool {
        self.is_for_one() && self.with_next(|circuit| circuit.send_short_now(message, len, None).into()) == 1
    }

    /// As [`Hub::send_short_now`], for many to the only importer: how many were sent. Among
    /// several each value is for the next that has room.
    pub(crate) fn send_batch_now(&self, batch: &[(Short, usize)]) -> usize {
        if self.is_for_one() && self.lock().members.len() == 1 {
            self.with_next(|circuit| circuit.send_batch_now(batch, None))
        } else {
            0
        }
    }

    /// Whether each value goes to one importer.
    const fn is_for_one(&self) -> bool {
        matches!(self.fanout, Fanout::WorkQueue | Fanout::Exclusive)
    }

    #[inline]
    fn with_next(&self, send: impl FnOnce(&Circuit) -> usize) -> usize {
        let (index, circuit, turns) = {
            let state = self.lock();
            if state.closed || state.count == 0 || state.members.len() > 1 && self.tells_left() {
                return 0;
            }
            let index = if state.next < state.members.len() { state.next } else { 0 };
            let Some(entry) = &state.members[index] else { return 0 };
            (index, Arc::clone(&entry.circuit), state.next != index + 1 && state.members.len() > 1)
        };
        let sent = send(&circuit);
        if sent > 0 && turns {
            self.lock().next = index + 1;
        }
        sent
    }

    fn send_to_one(
        &self,
        message: &mut Vec<u8>,
        ends: &mut Vec<Departing>,
        waker: Option<&Waker>,
        len: usize,
        start: usize,
    ) -> Result<(), HubRefusal> {
        let mut refusal = HubRefusal::NoImporter;
        for i in 0..len {
            let index = (start + i) % len;
            let Some(circuit) = self.member(index) else { continue };
            match circuit.send_carrying(message, ends, waker) {
                Ok(()) => {
                    self.lock().next = index + 1;
                    return Ok(());
                }
                Err(Refusal::Wait) => refusal = HubRefusal::Wait,
                Err(Refusal::TooLarge(limit)) if refusal == HubRefusal::NoImporter => {
                    refusal = HubRefusal::TooLarge(limit);
                }
                Err(Refusal::TooLarge(_)) => {}
                Err(Refusal::Dead(_)) if !self.spec.flags.has(OpenFlags::RECEIVES) => {
                    self.remove(index, &circuit);
                }
                Err(Refusal::Dead(_)) => self.see_off(index, &circuit),
            }
        }
        Err(refusal)
    }

    fn send_to_all(&self, message: &[u8], waker: Option<&Waker>, len: usize) -> Result<(), HubRefusal> {
        let turn = self.lock().turn + 1;
        let mut waits = false;
        for index in 0..len {
            let circuit = match self.lock().members.get_mut(index).and_then(Option::as_mut) {
                Some(entry) if entry.turn < turn => Arc::clone(&entry.circuit),
                _ => continue,
            };
            let mut copy = message.to_vec();
            match circuit.send(&mut copy, waker.filter(|_| self.fanout == Fanout::BroadcastWaits)) {
                Ok(()) => {}
                Err(Refusal::Wait) if self.fanout == Fanout::BroadcastWaits => {
                    waits = true;
                    continue;
                }
                Err(Refusal::Dead(_)) => {
                    self.remove(index, &circuit);
                    continue;
                }
                Err(Refusal::Wait | Refusal::TooLarge(_)) => {
                    circuit.with(|cell| cell.dropped += 1);
                }
            }
            if let Some(entry) = self.lock().members.get_mut(index).and_then(Option::as_mut) {
                entry.turn = turn;
            }
        }
        if waits {
            return Err(HubRefusal::Wait);
        }
        self.lock().turn = turn;
        Ok(())
    }

    /// The deadline of a broadcast that waits has passed: those who did not take the value are out.
    pub(crate) fn drop_slow(&self) -> bool {
        if self.fanout != Fanout::BroadcastWaits {
            return false;
        }
        let (turn, len) = {
            let state = self.lock();
            (state.turn + 1, state.members.len())
        };
        let mut sent = false;
        for index in 0..len {
            let slow = match self.lock().members.get(index).and_then(Option::as_ref) {
                Some(entry) if entry.turn < turn => Arc::clone(&entry.circuit),
                Some(_) => {
                    sent = true;
                    continue;
                }
                None => continue,
            };
            slow.kill(Reason::TooSlow, "");
            self.remove(index, &slow);
        }
        self.lock().turn = turn;
        sent
    }

    /// A broadcast was given up half-way: those who did not get the value have missed it.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        let turn = state.turn + 1;
        if state.members.iter().flatten().any(|entry| entry.turn == turn) {
            state.turn = turn;
        }
    }
}
