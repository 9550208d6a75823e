//! Opens that wait for an export that is not there yet.

use alloc::collections::BTreeSet;
use alloc::sync::Weak;
use alloc::vec::Vec;
use std::time::Instant;

use super::cell::CellId;
use super::input::Offer;
use super::link::LinkCell;
use super::sync::HashMap;
use super::timer;

/// Most opens of one node that may wait: of a peer, or of one behind a link of the tree. In all they are no more than the
/// link has circuits, of which the nodes on the way let everybody have a share.
const OF_ONE: u32 = 64;

/// An open whose export is not there yet.
pub(crate) struct Waiting {
    pub(crate) link: Weak<LinkCell>,
    pub(crate) offer: Offer,
    pub(crate) until: Instant,
    pub(crate) _timer: timer::Entry,
}

/// A link's number, and a cell there.
type Key = (u64, CellId);

/// All of a node's. What happens to one of them takes no look at the others.
#[derive(Default)]
pub(crate) struct WaitingOpens {
    /// With the order in which they came.
    all: HashMap<Key, (u64, Waiting)>,
    /// How many are one node's, behind one link.
    of_one: HashMap<(u64, u32), u32>,
    due: BTreeSet<(Instant, Key)>,
    came: u64,
}

impl Waiting {
    /// Whose it is, behind its link.
    fn origin(&self) -> u32 {
        self.offer.origin.map_or(0, |origin| origin.id)
    }
}

impl WaitingOpens {
    /// Whether there is room for one more of this node behind this link.
    pub(crate) fn may_wait(&self, link: u64, offer: &Offer) -> bool {
        let origin = offer.origin.map_or(0, |origin| origin.id);
        self.of_one.get(&(link, origin)).is_none_or(|n| *n < OF_ONE)
    }

    pub(crate) fn add(&mut self, link: u64, waiting: Waiting) {
        let key = (link, waiting.offer.cell);
        // No cell waits twice; if it did, it would not be counted twice.
        drop(self.remove(key));
        *self.of_one.entry((link, waiting.origin())).or_default() += 1;
        self.due.insert((waiting.until, key));
        self.came += 1;
        self.all.insert(key, (self.came, waiting));
    }

    /// One that does not wait any more.
    pub(crate) fn take(&mut self, link: u64, cell: CellId) -> Option<Waiting> {
        self.remove((link, cell)).map(|(_, waiting)| waiting)
    }

    /// Those who have waited long enough.
    pub(crate) fn take_late(&mut self, now: Instant) -> Vec<Waiting> {
        let mut late = Vec::new();
        while let Some((until, key)) = self.due.first().copied()
            && until <= now
        {
            match self.remove(key) {
                Some((_, waiting)) => late.push(waiting),
                None => {
                    self.due.pop_first();
                }
            }
        }
        late
    }

    /// Those who wait for this export, in the order in which they came. Looks at all.
    pub(crate) fn take_named(&mut self, name: &str) -> Vec<Waiting> {
        self.take_all(|_, waiting| waiting.offer.name == name)
    }

    /// A link is gone, and nobody is there to be answered.
    pub(crate) fn forget_link(&mut self, link: u64) -> Vec<Waiting> {
        self.take_all(|(of, _), _| of == link)
    }

    fn take_all(&mut self, is_it: impl Fn(Key, &Waiting) -> bool) -> Vec<Waiting> {
        let those = self.all.iter().filter(|(key, (_, waiting))| is_it(**key, waiting));
        let mut keys: Vec<_> = those.map(|(key, (came, _))| (*came, *key)).collect();
        keys.sort_unstable();
        keys.into_iter().filter_map(|(_, key)| self.remove(key)).map(|(_, waiting)| waiting).collect()
    }

    fn remove(&mut self, key: Key) -> Option<(u64, Waiting)> {
        let (came, waiting) = self.all.remove(&key)?;
        self.due.remove(&(waiting.until, key));
        let of_one = (key.0, waiting.origin());
        if let Some(n) = self.of_one.get_mut(&of_one) {
            *n -= 1;
            if *n == 0 {
                self.of_one.remove(&of_one);
            }
        }
        Some((came, waiting))
    }
}
