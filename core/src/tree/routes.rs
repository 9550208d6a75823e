//! The nodes below, and what of them is still to be said upward.

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
        // have a lower id than its parent, so one pass is not enough.
        let mut removed = Vec::new();
        self.take(at, &mut removed);
        let mut looked_at = 0;
        while let Some(parent) = removed.get(looked_at).map(|entry: &Entry| entry.id) {
            looked_at += 1;
            while let Some(at) = self.list.iter().position(|known| known.via == parent) {
                self.take(at, &mut removed);
            }
        }
        removed
    }

    fn take(&mut self, at: usize, removed: &mut Vec<Entry>) {
        let known = self.list.remove(at);
        self.untold -= usize::from(!known.told);
        removed.push(known.entry());
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
        self.list.iter().find(|known| !known.told && known_above(known.via)).map(Known::entry)
    }

    pub(super) fn told(&mut self, id: u32) {
        if let Ok(at) = self.list.binary_search_by_key(&id, |known| known.id)
            && !core::mem::replace(&mut self.list[at].told, true)
        {
            self.untold -= 1;
        }
    }

    fn is_told(&self, id: u32) -> bool {
        self.list.binary_search_by_key(&id, |known| known.id).is_ok_and(|at| self.list[at].told)
    }
}
