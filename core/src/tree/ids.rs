//! Ids: which of them are a node's own to give, and over which link the others were granted.

use alloc::vec::Vec;

use super::LinkNumber;

/// So many are asked for, and granted, at a time.
pub(super) const BLOCK: u32 = 64;

/// A run of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
struct Block {
    start: u32,
    count: u32,
}

impl Block {
    const fn has(self, id: u32) -> bool {
        id >= self.start && id - self.start < self.count
    }
}

/// What may be given, and what was.
#[derive(Debug, Clone, Default)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub(super) struct Ids {
    /// Granted to this node and not yet given on.
    free: Vec<Block>,
    /// At a root: the next one.
    next: Option<u32>,
    /// The highest that was ever seen here.
    highest: u32,
    given: Vec<(LinkNumber, Block)>,
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
        self.next = self.highest.checked_add(1);
        self.free.clear();
    }

    /// This id is somebody's.
    pub(super) fn seen(&mut self, id: u32) {
        self.highest = self.highest.max(id);
    }

    /// Whether a root has none left.
    pub(super) fn is_dry(&self) -> bool {
        self.next.is_none_or(|next| next == u32::MAX)
    }

    /// These were granted from above.
    pub(super) fn add(&mut self, start: u32, count: u32) {
        self.highest = self.highest.max(start + (count - 1));
        self.free.push(Block { start, count });
    }

    /// Whether any of these is here already: free, or given.
    pub(super) fn has_any(&self, start: u32, count: u32) -> bool {
        let end = start.saturating_add(count);
        let meets = |block: &Block| block.start < end && start < block.start.saturating_add(block.count);
        self.free.iter().any(meets) || self.given.iter().any(|(_, block)| meets(block))
    }

    /// The next `count` of them, in a row.
    pub(super) fn take(&mut self, count: u32) -> Option<u32> {
        if let Some(next) = self.next {
            let after = next.checked_add(count)?;
            self.next = Some(after);
            self.highest = after - 1;
            return Some(next);
        }
        let at = self.free.iter().position(|block| block.count >= count)?;
        let block = &mut self.free[at];
        let start = block.start;
        block.start += count;
        block.count -= count;
        if block.count == 0 {
            self.free.swap_remove(at);
        }
        Some(start)
    }

    /// The next `count` of them in a row, or as many as there are.
    pub(super) fn take_most(&mut self, count: u32) -> Option<(u32, u32)> {
        if let Some(start) = self.take(count) {
            return Some((start, count));
        }
        let most = self.free.iter().map(|block| block.count).max()?.min(count);
        Some((self.take(most)?, most))
    }

    /// Whether nobody can be asked for more, and there are none.
    pub(super) fn is_exhausted(&self) -> bool {
        self.next.is_some()
    }

    /// These belong to the link from now on.
    pub(super) fn give(&mut self, link: LinkNumber, start: u32, count: u32) {
        let block = Block { start, count };
        // One behind the other, as they mostly come, they are one run.
        let last = self.given.iter_mut().rev().find(|(owner, _)| *owner == link);
        match last {
            Some((_, last)) if last.start + last.count == start => last.count += count,
            _ => self.given.push((link, block)),
        }
    }

    /// Whether an id was granted over this link.
    pub(super) fn owns(&self, link: LinkNumber, id: u32) -> bool {
        self.given.iter().any(|(owner, block)| *owner == link && block.has(id))
    }

    /// How many were granted over this link.
    pub(super) fn given(&self, link: LinkNumber) -> u32 {
        self.given.iter().filter(|(owner, _)| *owner == link).map(|(_, block)| block.count).sum()
    }

    /// The link is gone. What was granted over it is not granted again.
    pub(super) fn forget(&mut self, link: LinkNumber) {
        self.given.retain(|(owner, _)| *owner != link);
    }
}
