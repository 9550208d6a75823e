//! Ids: which of them are a node's own to give, and over which link the others were granted.

use alloc::vec::Vec;

use super::LinkNumber;

/// No more are asked for at a time.
pub(super) const BLOCK: u32 = 64;

/// A run of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub(super) struct Block {
    start: u32,
    count: u32,
}

impl Block {
    const fn has(self, id: u32) -> bool {
        id >= self.start && id - self.start < self.count
    }

    const fn end(self) -> u32 {
        self.start.saturating_add(self.count)
    }
}

/// What may be given, and what was.
#[derive(Debug, Clone, Default)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub(super) struct Ids {
    /// Granted to this node and not yet given on.
    free: Vec<Block>,
    /// At a root: the next one. The last one there is, `u32::MAX`, is never given.
    next: Option<u32>,
    /// The highest that was ever seen here.
    highest: u32,
    /// In their order.
    pub(super) given: Vec<(Block, LinkNumber)>,
}

impl Ids {
    /// A root counts from here.
    pub(super) fn root(next: u32) -> Self {
        Self { next: Some(next), highest: next - 1, ..Self::default() }
    }

    /// A node that has to ask.
    pub(super) fn none() -> Self {
        Self::default()
    }

    /// The node is a root from now on. It counts on behind all that it knows of, so that none
    /// comes twice.
    pub(super) fn crown(&mut self) {
        self.next = Some(self.highest.saturating_add(1));
        self.free.clear();
    }

    /// This id is somebody's.
    pub(super) fn seen(&mut self, id: u32) {
        self.highest = self.highest.max(id);
    }

    /// Whether nobody can be asked for more.
    pub(super) const fn is_root(&self) -> bool {
        self.next.is_some()
    }

    /// How many there are to be given.
    pub(super) fn left(&self) -> u32 {
        match self.next {
            Some(next) => u32::MAX - next,
            None => self.free.iter().fold(0, |sum, block| sum.saturating_add(block.count)),
        }
    }

    /// These were granted from above.
    pub(super) fn add(&mut self, start: u32, count: u32) {
        let block = Block { start, count };
        self.highest = self.highest.max(block.end().saturating_sub(1));
        self.free.push(block);
    }

    /// Whether any of these is here already: free, or given.
    pub(super) fn has_any(&self, start: u32, count: u32) -> bool {
        let asked = Block { start, count };
        let meets = |block: &Block| block.start < asked.end() && start < block.end();
        let given = self.given.partition_point(|(block, _)| block.end() <= start);
        self.free.iter().any(meets) || self.given.get(given).is_some_and(|(block, _)| meets(block))
    }

    /// The next `count` of them in a row, or as many as there are.
    pub(super) fn take(&mut self, count: u32) -> Option<(u32, u32)> {
        if let Some(next) = self.next {
            let count = count.min(u32::MAX - next);
            let after = next + count;
            self.next = Some(after);
            self.highest = self.highest.max(after - 1);
            return (count > 0).then_some((next, count));
        }
        // The smallest run that has enough, so that long ones stay; else the longest.
        let runs = || self.free.iter().enumerate();
        let enough = runs().filter(|(_, block)| block.count >= count).min_by_key(|(_, block)| block.count);
        let (at, _) = enough.or_else(|| runs().max_by_key(|(_, block)| block.count))?;
        let block = &mut self.free[at];
        let (start, count) = (block.start, count.min(block.count));
        block.start += count;
        block.count -= count;
        if block.count == 0 {
            self.free.swap_remove(at);
        }
        Some((start, count))
    }

    /// These belong to the link from now on. Whether that is one run more to be remembered: one behind the
    /// other, as they mostly come, they are one.
    pub(super) fn give(&mut self, link: LinkNumber, start: u32, count: u32) -> bool {
        let at = self.given.partition_point(|(block, _)| block.start < start);
        if let Some((before, owner)) = at.checked_sub(1).map(|before| &mut self.given[before])
            && *owner == link
            && before.end() == start
        {
            before.count += count;
            return false;
        }
        self.given.insert(at, (Block { start, count }, link));
        true
    }

    /// Whether an id was granted over this link.
    pub(super) fn owns(&self, link: LinkNumber, id: u32) -> bool {
        let at = self.given.partition_point(|(block, _)| block.end() <= id);
        self.given.get(at).is_some_and(|(block, owner)| *owner == link && block.has(id))
    }

    /// The link is gone. What was granted over it is not granted again.
    pub(super) fn forget(&mut self, link: LinkNumber) {
        self.given.retain(|(_, owner)| *owner != link);
    }
}
