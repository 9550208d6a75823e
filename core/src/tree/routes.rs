//! The nodes below, and what of them is still to be said upward.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Bound;

use super::Entry;
use crate::proto::{Name, Reason};

/// The first name there may be, in their order.
const FIRST: Name = Name::literal("-");

#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
struct Known {
    via: u32,
    link: u64,
    name: Name,
    /// How many links lead to it from here.
    depth: u32,
    /// Who is there longer has a lower one.
    order: u64,
    told: bool,
}

impl Known {
    const fn entry(&self, id: u32) -> Entry {
        Entry { id, via: self.via, link: self.link, name: self.name }
    }
}

/// Whatever a peer says of one of them costs no more than a few looks, however many there are.
#[derive(Debug, Clone, Default)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub(super) struct Routes {
    by_id: BTreeMap<u32, Known>,
    /// The ids by the node above, the name, and the order.
    below: BTreeMap<(u32, Name, u64), u32>,
    /// Ids of nodes that the parent has been told of and that are gone, and why.
    gone: Vec<(u32, Reason)>,
    /// Ids of those that the parent has not been told of, by their order: so each node above knows of two with one
    /// name, in this order too, and of a node before those below it.
    untold: BTreeMap<u64, u32>,
    next_order: u64,
}

impl Routes {
    /// Nodes, and those whose end is still to be told.
    pub(super) fn len(&self) -> usize {
        self.by_id.len() + self.gone.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Entry> {
        self.by_id.iter().map(|(id, known)| known.entry(*id))
    }

    /// Those with higher ids than this.
    pub(super) fn after(&self, id: u32) -> impl Iterator<Item = Entry> {
        let ids = (Bound::Excluded(id), Bound::Unbounded);
        self.by_id.range(ids).map(|(id, known)| known.entry(*id))
    }

    pub(super) fn get(&self, id: u32) -> Option<Entry> {
        Some(self.by_id.get(&id)?.entry(id))
    }

    pub(super) fn name(&self, id: u32) -> Option<&str> {
        Some(self.by_id.get(&id)?.name.as_str())
    }

    /// How many links lead to it: none to a node that is not below.
    pub(super) fn depth(&self, id: u32) -> u32 {
        self.by_id.get(&id).map_or(0, |known| known.depth)
    }

    /// The node of this name below that one: of several the one that is there longest.
    pub(super) fn named(&self, via: u32, name: &str) -> Option<u32> {
        let name = Name::new(name).ok()?;
        self.below.range((via, name, 0)..=(via, name, u64::MAX)).next().map(|(_, id)| *id)
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        let Entry { id, via, link, name } = entry;
        if self.by_id.contains_key(&id) {
            return;
        }
        let (depth, order) = (1 + self.depth(via), self.next_order);
        self.next_order += 1;
        self.by_id.insert(id, Known { via, link, name, depth, order, told: false });
        self.below.insert((via, name, order), id);
        self.untold.insert(order, id);
    }

    /// Removes a node and all below it, and returns them, each after the one above it. Where the parent has been told of the
    /// first one it is to hear of its end, and knows what that means for the others.
    pub(super) fn remove(&mut self, id: u32, reason: Reason, has_parent: bool) -> Vec<Entry> {
        let Some(known) = self.by_id.get(&id) else { return Vec::new() };
        if has_parent && known.told {
            self.gone.push((id, reason));
        }
        let (mut removed, mut next) = (alloc::vec![known.entry(id)], 0);
        while let Some(Entry { id, .. }) = removed.get(next).copied() {
            next += 1;
            let below = self.below.range((id, FIRST, 0)..).take_while(|((via, ..), _)| *via == id);
            removed.extend(below.filter_map(|(_, id)| Some(self.by_id.get(id)?.entry(*id))));
            if let Some(known) = self.by_id.remove(&id) {
                self.below.remove(&(known.via, known.name, known.order));
                self.untold.remove(&known.order);
            }
        }
        removed
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) -> Vec<Entry> {
        let entries = self.iter().collect();
        *self = Self::default();
        entries
    }

    /// There is nobody above any more who has been told.
    pub(super) fn forget_told(&mut self) {
        self.gone.clear();
        for known in self.by_id.values_mut() {
            known.told = false;
        }
        self.untold = self.by_id.iter().map(|(id, known)| (known.order, *id)).collect();
    }

    /// One that is gone, and that is still to be told.
    pub(super) fn gone(&self) -> Option<(u32, Reason)> {
        self.gone.last().copied()
    }

    pub(super) fn gone_told(&mut self) {
        self.gone.pop();
    }

    /// The next one that is still to be told.
    pub(super) fn untold(&self) -> Option<Entry> {
        self.get(*self.untold.first_key_value()?.1)
    }

    pub(super) fn told(&mut self, id: u32) {
        if let Some(known) = self.by_id.get_mut(&id) {
            known.told = true;
            self.untold.remove(&known.order);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOST: Reason = Reason::LinkLost;

    fn routes(of: impl IntoIterator<Item = (u32, u32)>) -> Routes {
        let mut routes = Routes::default();
        for (id, via) in of {
            routes.insert(Entry { id, via, link: 7, name: Name::new("node").unwrap() });
        }
        routes
    }

    /// Tells all that can be told, in its order.
    fn tell(routes: &mut Routes) -> Vec<u32> {
        core::iter::from_fn(|| {
            let id = routes.untold()?.id;
            routes.told(id);
            Some(id)
        })
        .collect()
    }

    #[test]
    fn what_is_below_goes_too_whatever_its_id() {
        // 9 is below 20, which is below 10; 5 is below 9.
        let mut routes = routes([(10, 1), (20, 10), (9, 20), (5, 9), (11, 1), (12, 11)]);
        let removed: Vec<_> = routes.remove(10, LOST, false).iter().map(|entry| entry.id).collect();
        assert_eq!(removed, [10, 20, 9, 5], "each after the one above it");
        assert_eq!(routes.iter().map(|entry| entry.id).collect::<Vec<_>>(), [11, 12]);
        assert!(routes.remove(10, LOST, false).is_empty());
        assert_eq!(tell(&mut routes), [11, 12]);
        assert!(routes.untold().is_none());
    }

    #[test]
    fn each_is_told_once_and_after_the_one_above_it() {
        let mut routes = routes([(10, 1), (5, 10), (30, 5)]);
        assert_eq!(tell(&mut routes), [10, 5, 30]);
        routes.insert(Entry { id: 7, via: 30, link: 7, name: Name::new("node").unwrap() });
        assert_eq!(tell(&mut routes), [7]);
        routes.forget_told();
        assert_eq!(tell(&mut routes), [10, 5, 30, 7]);
        let gone: Vec<_> = routes.remove(5, LOST, true).iter().map(|entry| entry.id).collect();
        assert_eq!((gone, routes.gone()), (alloc::vec![5, 30, 7], Some((5, LOST))));
        assert!(tell(&mut routes).is_empty());
    }

    /// Ids are granted in blocks: who comes later may have a lower one.
    #[test]
    fn of_two_of_one_name_the_one_that_is_there_longer_is_meant() {
        let mut routes = routes([(10, 1), (7, 1), (5, 7), (12, 1), (3, 1)]);
        assert_eq!((routes.named(1, "node"), routes.named(7, "node")), (Some(10), Some(5)));
        assert_eq!(tell(&mut routes), [10, 7, 5, 12, 3], "as those above are to know them");
        routes.remove(10, LOST, false);
        assert_eq!(routes.named(1, "node"), Some(7));
        routes.forget_told();
        assert_eq!(tell(&mut routes), [7, 5, 12, 3]);
        assert_eq!((routes.named(1, "other"), routes.named(1, "no name")), (None, None));
    }

    #[test]
    fn a_name_leads_to_nobody_behind_the_end_of_its_node() {
        let mut routes = routes([(10, 1), (11, 10), (12, 11)]);
        routes.remove(11, LOST, false);
        assert_eq!([1, 10, 11].map(|via| routes.named(via, "node")), [Some(10), None, None]);
        routes.clear();
        assert_eq!(routes.named(1, "node"), None);
    }

    /// Whatever their ids: with one pass for each level this is minutes.
    #[test]
    fn a_full_table_is_cleared_at_once_however_deep_it_is() {
        let mut routes =
            routes((1..=100_000).map(|n| (100_001 - n, if n == 1 { 200_000 } else { 100_002 - n })));
        assert_eq!(routes.depth(1), 100_000);
        assert_eq!(routes.remove(100_000, LOST, false).len(), 100_000);
        assert_eq!((routes.len(), routes.below.len(), routes.untold.len()), (0, 0, 0));
    }
}
