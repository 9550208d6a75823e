//! Importers of an export that may have something to receive, in the order in which it came.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::host::sync::{Mutex, MutexGuard, PoisonError};

/// A member's place in its hub, and which of those that have had it one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat {
    place: u32,
    tenant: u32,
}

impl Seat {
    /// Of a place that nobody is looked for at.
    pub(crate) const fn only(place: usize) -> Self {
        Self::new(place, 0)
    }

    /// A node has far fewer importers than numbers: see `Config`.
    const fn new(place: usize, tenant: u32) -> Self {
        Self { place: place as u32, tenant }
    }

    pub(crate) const fn place(self) -> usize {
        self.place as usize
    }
}

/// Members by their seats. Each stands here once at the most, and those that are gone are swept out: so importers that
/// come and go while the program does not receive take no more than there were at a time.
///
/// Apart from the hub's state, for it is added to while the link is locked: whoever has seen what came later, on
/// another channel of that link, finds this too. Only the wake comes after the lock.
#[derive(Default)]
pub(super) struct Ready(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    /// With seats that no longer stand here: of who is gone.
    order: VecDeque<Seat>,
    places: Vec<Place>,
    standing: usize,
}

#[derive(Default, Clone)]
struct Place {
    tenant: u32,
    stands: bool,
}

/// So many seats of who is gone are not worth a sweep.
const SWEEP: usize = 16;

impl Queue {
    /// Notes whether it stands in the order now: whether that is news. Never of one that is gone.
    fn stands(&mut self, seat: Seat, now: bool) -> bool {
        let Some(place) = self.places.get_mut(seat.place()).filter(|place| place.tenant == seat.tenant)
        else {
            return false;
        };
        let is_news = core::mem::replace(&mut place.stands, now) != now;
        match (is_news, now) {
            (false, _) => {}
            (true, true) => self.standing += 1,
            (true, false) => self.standing -= 1,
        }
        is_news
    }

    fn sweep(&mut self) {
        if self.order.len() > 2 * self.standing + SWEEP {
            let Self { order, places, .. } = self;
            order.retain(|seat| {
                let place = &places[seat.place()];
                place.stands && place.tenant == seat.tenant
            });
        }
    }
}

impl Ready {
    /// Somebody new has this place. It does not take the turn of who had it before.
    pub(super) fn seat(&self, place: usize) -> Seat {
        let mut queue = self.lock();
        if queue.places.len() <= place {
            queue.places.resize(place + 1, Place::default());
        }
        let tenant = queue.places[place].tenant;
        queue.stands(Seat::new(place, tenant), false);
        let seat = Seat::new(place, tenant.wrapping_add(1));
        queue.places[place].tenant = seat.tenant;
        seat
    }

    /// What this member has to give comes after what is here already.
    pub(super) fn push(&self, seat: Seat) {
        let mut queue = self.lock();
        if queue.stands(seat, true) {
            queue.order.push_back(seat);
            queue.sweep();
        }
    }

    /// What this member has to give comes before all else. Looks through the order.
    pub(super) fn push_first(&self, seat: Seat) {
        let mut queue = self.lock();
        if queue.stands(seat, false) {
            queue.order.retain(|other| *other != seat);
        }
        if queue.stands(seat, true) {
            queue.order.push_front(seat);
        }
    }

    /// The next one to look at. It may have left since.
    pub(super) fn pop(&self) -> Option<Seat> {
        let mut queue = self.lock();
        loop {
            let seat = queue.order.pop_front()?;
            if queue.stands(seat, false) {
                return Some(seat);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().standing == 0
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Ready, Seat};

    fn three(ready: &Ready) -> [Seat; 3] {
        [0, 1, 2].map(|place| ready.seat(place))
    }

    #[test]
    fn importers_that_come_and_go_take_no_more_than_there_are_at_a_time() {
        let ready = Ready::default();
        for n in 0..100_000 {
            let seat = ready.seat(n % 3);
            ready.push(seat);
            ready.push(seat);
        }
        let places = [0; 4].map(|_| ready.pop().map(Seat::place));
        assert_eq!(places, [Some(1), Some(2), Some(0), None]);
        let capacity = ready.lock().order.capacity();
        assert!(capacity < 100, "{capacity} places");
    }

    #[test]
    fn who_comes_new_does_not_take_the_turn_of_who_had_the_place() {
        let ready = Ready::default();
        let [first, second, _] = three(&ready);
        ready.push(first);
        ready.push(second);
        let new = ready.seat(first.place());
        ready.push(new);
        // Late: it is gone.
        ready.push(first);
        ready.push_first(first);
        assert_eq!([0; 3].map(|_| ready.pop()), [Some(second), Some(new), None]);
        assert!(ready.is_empty());
    }

    #[test]
    fn one_that_was_looked_at_stands_behind_the_others() {
        let ready = Ready::default();
        let [first, second, _] = three(&ready);
        for seat in [first, second, first] {
            ready.push(seat);
        }
        assert_eq!(ready.pop(), Some(first));
        ready.push(first);
        assert_eq!([ready.pop(), ready.pop(), ready.pop()], [Some(second), Some(first), None]);
        assert!(ready.is_empty());
    }

    #[test]
    fn one_that_comes_first_stands_nowhere_else() {
        let ready = Ready::default();
        let [first, second, third] = three(&ready);
        for seat in [first, second, third] {
            ready.push(seat);
        }
        ready.push_first(third);
        assert_eq!([0; 4].map(|_| ready.pop()), [Some(third), Some(first), Some(second), None]);
    }
}
