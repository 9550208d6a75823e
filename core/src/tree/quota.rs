//! How many ids may be used up, and how fast: in all, and over one link.
//!
//! An id is never given twice while a root lives, so what counts is how fast they go. Everything here is a
//! store that is full or empty at the beginning and fills again with time; whoever finds it empty is told so and comes
//! again later. All that a root gives in a second comes to 32 on average, which is 4 years for 2³² ids.
//!
//! - New children have a store of their own, so that no child that asks for ids keeps others from being adopted.
//! - All links have one *in common*, of which one link gets no more than its part. Who comes again and again with new
//!   links empties this one and no other.
//! - Each link has one of *its own*, which begins empty and is filled alike for all links that are there.
//!
//! What a link may have at once, and what all of them may, is less at each level: else one node far below could
//! use up what those above it have.

/// The unit of what is stored: a millionth of an id, which is what one id in a second comes to in a microsecond.
const PER_ID: u64 = 1_000_000;
/// New children in a second.
const ADOPTS: u64 = 16;
/// Ids granted in a second from what all links have in common.
const COMMON: u64 = 8;
/// Ids granted in a second from what links have for themselves, all of them together.
const OWN: u64 = 8;
/// One link alone has no more than such a part of that.
const PART: u64 = 4;
/// No level has less at once.
const LEAST: u32 = 64;
/// It is filled again in steps of so many microseconds.
pub(super) const STEP_US: u64 = 250_000;

/// What a link may have at once, at so many levels below the root.
fn of_link(most: u32, depth: u32) -> u32 {
    most.checked_shr(2 * depth).unwrap_or_default().max(LEAST.min(most))
}

/// What all links of a node may have at once, and as many again the children themselves: together what its
/// parent's link may have.
fn of_node(most: u32, depth: u32) -> u32 {
    match depth.checked_sub(1) {
        None => most.saturating_mul(16),
        Some(above) => (of_link(most, above) / 2).max(of_link(most, depth)),
    }
}

/// A store that is full at the beginning: what of it is used up.
#[derive(Debug, Clone, Copy, Default)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
struct Used(u64);

impl Used {
    const fn left(self, most: u32) -> u32 {
        ((most as u64 * PER_ID).saturating_sub(self.0) / PER_ID) as u32
    }

    const fn fill(&mut self, by: u64) {
        self.0 = self.0.saturating_sub(by);
    }

    const fn take(&mut self, count: u32) {
        self.0 += count as u64 * PER_ID;
    }
}

/// What a node may give.
#[derive(Debug, Clone, Copy, Default)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub(super) struct Quota {
    adopts: Used,
    common: Used,
}

/// What a link may have.
#[derive(Debug, Clone, Copy, Default)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub(super) struct Share {
    /// Its own.
    own: u64,
    /// So much it has had of what all have in common.
    had: u32,
}

impl Quota {
    /// How many children may be adopted now.
    pub(super) fn adopts(&self, most: u32, depth: u32) -> u32 {
        self.adopts.left(of_node(most, depth).max(LEAST))
    }

    /// One was.
    pub(super) const fn adopted(&mut self) {
        self.adopts.take(1);
    }

    /// How many ids may be granted now over a link.
    pub(super) fn grants(&self, share: &Share, most: u32, depth: u32) -> u32 {
        let part = of_link(most, depth).saturating_sub(share.had);
        let common = self.common.left(of_node(most, depth)).min(part);
        common.saturating_add(share.whole())
    }

    /// So many were.
    pub(super) fn granted(&mut self, share: &mut Share, count: u32) {
        let own = share.whole().min(count);
        share.own -= u64::from(own) * PER_ID;
        share.had = share.had.saturating_add(count - own);
        self.common.take(count - own);
    }

    /// So many microseconds have passed.
    pub(super) fn pass(&mut self, time: u64) {
        self.adopts.fill(time.saturating_mul(ADOPTS));
        self.common.fill(time.saturating_mul(COMMON));
    }
}

impl Share {
    /// The link is one of so many, and so many microseconds have passed.
    pub(super) fn pass(&mut self, time: u64, links: usize, most: u32, depth: u32) {
        let full = u64::from(of_link(most, depth)) * PER_ID;
        let part = time.saturating_mul(OWN) / (links as u64).max(PART);
        self.own = self.own.saturating_add(part).min(full);
    }

    /// How many whole ids are its own.
    const fn whole(&self) -> u32 {
        // No more than a u32 of them: that is what `pass` allows.
        (self.own / PER_ID) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_below_has_less_at_once_and_never_nothing() {
        let all: alloc::vec::Vec<_> =
            (0..5).map(|depth| (of_node(65_536, depth), of_link(65_536, depth))).collect();
        assert_eq!(all, [(1 << 20, 65_536), (32_768, 16_384), (8_192, 4_096), (2_048, 1_024), (512, 256)]);
        for depth in 5..40 {
            assert!(of_link(65_536, depth) == LEAST && of_node(65_536, depth) >= LEAST);
        }
        assert_eq!((of_link(66, 0), of_link(66, 1), of_link(5, 3)), (66, 64, 5));
    }

    #[test]
    fn what_is_a_links_own_is_used_before_what_all_have() {
        let (mut quota, mut share) = (Quota::default(), Share::default());
        assert_eq!(quota.grants(&share, 100, 0), 100);
        share.pass(10 * PER_ID, 1, 100, 0);
        assert_eq!(quota.grants(&share, 100, 0), 120);
        quota.granted(&mut share, 30);
        assert_eq!((share.whole(), share.had, quota.common.left(1600)), (0, 10, 1590));
        quota.pass(PER_ID);
        assert_eq!((quota.common.left(1600), share.had), (1598, 10));
        // However long it takes, there is never more than a link may have at once.
        share.pass(u64::MAX, 3, 100, 0);
        quota.pass(u64::MAX);
        assert_eq!((share.whole(), quota.common.left(1600)), (100, 1600));
    }

    #[test]
    fn many_links_share_alike() {
        let mut share = Share::default();
        share.pass(1000 * PER_ID, 4000, 100, 0);
        assert_eq!(share.whole(), 2);
    }
}
