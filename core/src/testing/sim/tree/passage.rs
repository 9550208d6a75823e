//! What comes of circuits that pass through: events of their links, and how they are forgotten.

use alloc::vec::Vec;

use super::ledger::{Hop, Ledger};
use super::node::{Core, Rest, Use};
use super::transit::{Carried, Transit, Wanted};
use crate::proto::{Dead, Event, Handle, Reason, Side};
use crate::testing::Port;

impl Core {
    #[expect(clippy::too_many_arguments, reason = "what the event says")]
    pub(super) fn attach_transit(
        &mut self,
        port: &mut Port,
        rest: &mut Rest,
        ledger: &mut Ledger,
        (carrier, side, carrier_handle): (u32, Side, Handle),
        handle: Handle,
        ordinal: u32,
        wanted: Wanted,
    ) {
        let windows = wanted.floors(ledger.plan.floor, None);
        let own = self.transits.get_mut(&carrier).expect("a link names transits that there are");
        let links = [own.links[side as usize], own.links[side.other() as usize]];
        if !rest.reserve(windows[0]) {
            // The message would come without it: so neither comes.
            if let Some(splice) = &mut own.splice {
                splice.give_up(Dead::here(Reason::NoResources));
            }
            ledger.cause(own.fingerprint, Reason::NoResources, self.index);
            ledger.cause(wanted.fingerprint, Reason::NoResources, self.index);
            let (link, mut slots, _) = port.parts();
            link.kill(&mut slots, handle, Dead::here(Reason::NoResources), "");
            rest.forget(handle);
            self.pass_on(carrier, side);
            return self.pass_on(carrier, side.other());
        }
        let (link, mut slots, _) = port.parts();
        let at = link.values_in(&mut slots, carrier_handle);
        let child = self.add(Transit::new(links, &wanted, windows));
        ledger.passes(wanted.fingerprint, Hop { node: self.index, links });
        rest.set(handle, Use::Transit(child, Side::Left));
        let own = self.transits.get_mut(&carrier).expect("it was there");
        let left = handle;
        own.carried[side as usize].push_back(Carried { at, ordinal, wanted, left, transit: child });
        own.hold_next(side);
    }

    /// An event of a circuit that passes through.
    pub(super) fn take_transit(
        &mut self,
        port: &mut Port,
        rest: &mut Rest,
        ledger: &mut Ledger,
        id: u32,
        side: Side,
        event: &Event<'_>,
    ) {
        let own = self.transits.get_mut(&id).expect("a link names transits that there are");
        ledger.say(|| alloc::format!("node {}: {} {side:?} {event:?}", self.index, own.fingerprint));
        let (link, mut slots, _) = port.parts();
        let mut has_work = false;
        let is_dead = match own.parts() {
            Some((splice, mut rings)) => {
                splice.on_event(side, event, link, &mut slots, &mut rings);
                has_work = splice.has_work(side);
                splice.is_closed(side)
            }
            None => {
                if let Event::Dead(handle, frame) = *event {
                    own.cancelled = Some(frame.dead);
                    link.drained(&mut slots, handle);
                }
                own.cancelled.is_some()
            }
        };
        if has_work {
            self.pass_on(id, side);
        }
        if is_dead {
            self.forget_side(rest, ledger, id, side);
        }
        self.pass_on(id, side.other());
    }

    /// A transit has no place on a link any more.
    pub(super) fn forget_side(&mut self, rest: &mut Rest, ledger: &mut Ledger, id: u32, side: Side) {
        let Some(own) = self.transits.get_mut(&id) else { return };
        own.cells[side as usize] = false;
        rest.uses.retain(|(_, what)| *what != Use::Transit(id, side));
        rest.budget += own.windows[side as usize];
        self.drop_carried(ledger, id);
        self.forget_over(id);
    }

    pub(super) fn forget_over(&mut self, id: u32) {
        if self.transits.get(&id).is_some_and(Transit::is_over) {
            self.transits.remove(&id);
        }
    }

    /// Gives up the circuits of messages that will not go on.
    pub(super) fn drop_carried(&mut self, ledger: &mut Ledger, id: u32) {
        let Some(own) = self.transits.get_mut(&id) else { return };
        let carried: Vec<_> = own.carried.iter_mut().flat_map(|carried| carried.drain(..)).collect();
        for carried in carried {
            ledger.cause(carried.wanted.fingerprint, Reason::NotTaken, self.index);
            if let Some(child) = self.transits.get_mut(&carried.transit) {
                child.orphan(carried.wanted.flags, carried.left);
                self.forget_over(carried.transit);
                self.pass_on(carried.transit, Side::Left);
            }
        }
    }
}
