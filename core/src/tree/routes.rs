//! The nodes below, and what of them is still to be said upward.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::Entry;

#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
struct Known {
    id: u32,
    via: u32,
    link: u64,
    name: crate::proto::Name,
    told: bool,
}

impl Known {
    const fn entry(&self) -> Entry {
        Entry { id: self.id, via: self.via, link: self.link, name: self.name }
    }
}

/// In the order of their ids.
#[derive(Debug, Clone, Default)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub(super) struct Routes {
    list: Vec<Known>,
    /// Ids of nodes that the parent has been told of and that are gone.
    gone: Vec<u32>,
    /// How many the parent has not been told of.
    untold: usize,
    /// All in the list before this one have been told.
    told_to: usize,
}

impl Routes {
    /// Nodes, and those whose end is still to be told.
    pub(super) fn len(&self) -> usize {
        self.list.len() + self.gone.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Entry> {
        self.list.iter().map(Known::entry)
    }

    pub(super) fn get(&self, id: u32) -> Option<Entry> {
        let at = self.list.binary_search_by_key(&id, |known| known.id).ok()?;
        Some(self.list[at].entry())
    }

    pub(super) fn name(&self, id: u32) -> Option<&str> {
        let at = self.list.binary_search_by_key(&id, |known| known.id).ok()?;
        Some(self.list[at].name.as_str())
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        let Entry { id, via, link, name } = entry;
        if let Err(at) = self.list.binary_search_by_key(&id, |known| known.id) {
            self.list.insert(at, Known { id, via, link, name, told: false });
            self.untold += 1;
            self.told_to = self.told_to.min(at);
        }
    }

    /// Removes a node and all below it, and returns them. Where the parent has been told of the
    /// first one it is to hear of its end, and knows what that means for the others.
    pub(super) fn remove(&mut self, id: u32, has_parent: bool) -> Vec<Entry> {
        let Ok(at) = self.list.binary_search_by_key(&id, |known| known.id) else { return Vec::new() };
        if has_parent && self.list[at].told {
            self.gone.push(id);
        }
        // Ids are given from above to below, but blocks are asked for again later: a child may well
        // have a lower id than its parent. Then it goes in the next pass, and there are no more of them than a
        // tree is deep.
        let (mut ids, mut removed) = (BTreeSet::from([id]), Vec::new());
        let Self { list, untold, .. } = self;
        loop {
            let before = removed.len();
            list.retain(|known| {
                let goes = known.id == id || ids.contains(&known.via);
                if goes {
                    ids.insert(known.id);
                    removed.push(known.entry());
                    *untold -= usize::from(!known.told);
                }
                !goes
            });
            if removed.len() == before {
                break;
            }
        }
        self.told_to = 0;
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
        for known in &mut self.list {
            known.told = false;
        }
        self.untold = self.list.len();
        self.told_to = 0;
    }

    /// One that is gone, and that is still to be told.
    pub(super) fn gone(&self) -> Option<u32> {
        self.gone.last().copied()
    }

    pub(super) fn gone_told(&mut self) {
        self.gone.pop();
    }

    /// One that is still to be told, and whose parent is known above.
    pub(super) fn untold(&self, own: u32) -> Option<Entry> {
        if self.untold == 0 {
            return None;
        }
        let known_above = |via| via == own || self.is_told(via);
        self.list[self.told_to..].iter().find(|known| !known.told && known_above(known.via)).map(Known::entry)
    }

    pub(super) fn told(&mut self, id: u32) {
        if let Ok(at) = self.list.binary_search_by_key(&id, |known| known.id)
            && !core::mem::replace(&mut self.list[at].told, true)
        {
            self.untold -= 1;
            let rest = &self.list[self.told_to..];
            self.told_to += rest.iter().take_while(|known| known.told).count();
        }
    }

    fn is_told(&self, id: u32) -> bool {
        self.list.binary_search_by_key(&id, |known| known.id).is_ok_and(|at| self.list[at].told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Name;

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
            let id = routes.untold(1)?.id;
            routes.told(id);
            Some(id)
        })
        .collect()
    }

    #[test]
    fn what_is_below_goes_too_whatever_its_id() {
        // 9 is below 20, which is below 10; 5 is below 9.
        let mut routes = routes([(10, 1), (20, 10), (9, 20), (5, 9), (11, 1), (12, 11)]);
        let removed: Vec<_> = routes.remove(10, false).iter().map(|entry| entry.id).collect();
        assert_eq!(removed, [10, 20, 9, 5], "each after the one above it");
        assert_eq!(routes.iter().map(|entry| entry.id).collect::<Vec<_>>(), [11, 12]);
        assert!(routes.remove(10, false).is_empty());
        assert_eq!(tell(&mut routes), [11, 12]);
        assert!(routes.untold(1).is_none());
    }

    #[test]
    fn each_is_told_once_and_after_the_one_above_it() {
        let mut routes = routes([(10, 1), (5, 10), (30, 5)]);
        assert_eq!(tell(&mut routes), [10, 5, 30]);
        routes.insert(Entry { id: 7, via: 30, link: 7, name: Name::new("node").unwrap() });
        assert_eq!(tell(&mut routes), [7]);
        routes.forget_told();
        assert_eq!(tell(&mut routes), [10, 5, 30, 7]);
        let gone: Vec<_> = routes.remove(5, true).iter().map(|entry| entry.id).collect();
        assert_eq!((gone, routes.gone()), (alloc::vec![5, 30, 7], Some(5)));
        assert!(tell(&mut routes).is_empty());
    }

    /// A child that has filled the table and goes costs no more than a few looks at each node.
    #[test]
    fn a_full_table_is_cleared_in_few_passes() {
        let mut routes = routes((0..16 * 1024).map(|n| (n + 2, 1 + n / 4)));
        assert_eq!(routes.remove(2, false).len() + routes.len(), 16 * 1024);
    }
}
