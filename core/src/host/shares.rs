//! What circuits that pass through hold of the link that they go on over, by the link that they come from.
//!
//! Nobody is to use up what all need, however many circuits come from there. So one link's circuits together may hold half
//! as much as is free then, and so a third of another link at the most: whoever comes next still finds the most of what there is, and a
//! share of his own. What comes from above comes from the whole tree, and may hold as much as is free. An eighth is for
//! the node itself, and for the peer at that link.
//!
//! What goes up is one link's at the next node. So of that link less is for what passes through the deeper the node is, from all of
//! it at the root towards half: the share of one child is smaller than that of its parent one hop on, where it would use up
//! its siblings' as well.

use super::sync::HashMap;

/// So much of a link is not for what passes through: one part of so many.
const OWN: u64 = 8;
/// A peer that takes fewer circuits than this is a board: it has one for each channel, which is one importer's at a time.
const FEW_CIRCUITS: u32 = 64;
/// Where any circuits may pass, so many may: half of a third of them is one.
const LEAST: u32 = 6;
/// Lists that are being sent on one link at a time: for one more the oldest is given up, `TooSlow`. An importer that
/// takes what comes has its list in a few round trips.
pub(crate) const LISTS_MAX: usize = 64;

/// Where circuits come from, on their way over another link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Source {
    /// Number of the link.
    pub(crate) link: u64,
    /// It is the one to the parent.
    pub(crate) is_above: bool,
    /// Where they go on to the parent: how deep in the tree this node is.
    pub(crate) depth: u32,
}

/// What is held of a link, or could be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Of its budget for floors, in bytes.
    pub(crate) bytes: u64,
    pub(crate) circuits: u64,
    /// Of these, so many are lists.
    pub(crate) lists: u64,
}

impl Held {
    /// One circuit.
    pub(crate) fn one(bytes: u32, is_list: bool) -> Self {
        Self { bytes: bytes.into(), circuits: 1, lists: is_list.into() }
    }

    fn each(self, other: Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            bytes: f(self.bytes, other.bytes),
            circuits: f(self.circuits, other.circuits),
            lists: f(self.lists, other.lists),
        }
    }
}

impl Source {
    /// Whether of `whole` so much may be held for this source, where `all` is what is held for all of them then.
    fn may_hold(self, own: u64, all: u64, whole: u64) -> bool {
        let passing = whole - whole / OWN;
        let most = passing / 2 + ((passing / 2) >> self.depth.min(63));
        let free = most.saturating_sub(all);
        if self.is_above { own <= free } else { own <= free / 2 }
    }
}

/// Who holds how much of one link.
#[derive(Debug)]
pub(crate) struct Shares {
    /// So many circuits at the most.
    circuits: u64,
    /// By the number of the link that it is held for; none stays for which nothing is held.
    of: HashMap<u64, Held>,
    all: Held,
}

impl Shares {
    /// Of a link over which so many circuits may go on that come from others.
    pub(crate) fn new(circuits: u32) -> Self {
        // Of fewer a child far below the root has none.
        let circuits = if circuits == 0 { 0 } else { circuits.max(LEAST) };
        Self { circuits: circuits.into(), of: HashMap::default(), all: Held::default() }
    }

    /// Takes so much of `whole`, if it is within the share of this source.
    pub(crate) fn take(&mut self, source: Source, more: Held, whole: Held) -> bool {
        let add = |a, b| a + b;
        let own = self.of.get(&source.link).copied().unwrap_or_default().each(more, add);
        let all = self.all.each(more, add);
        // What may pass is all of it but for the node's own part.
        let circuits = whole.circuits.min(self.circuits + self.circuits / (OWN - 1));
        let has_few = whole.circuits < FEW_CIRCUITS.into();
        let fits = (more.bytes == 0 || source.may_hold(own.bytes, all.bytes, whole.bytes))
            && all.circuits <= self.circuits
            && (has_few || source.may_hold(own.circuits, all.circuits, circuits))
            && (more.lists == 0 || source.may_hold(own.lists, all.lists, LISTS_MAX as u64));
        if fits {
            self.of.insert(source.link, own);
            self.all = all;
        }
        fits
    }

    /// Whether nothing is held.
    #[cfg(all(feature = "testing", not(loom)))]
    pub(crate) fn is_empty(&self) -> bool {
        self.of.is_empty() && self.all == Held::default()
    }

    /// Gives back what was taken.
    pub(crate) fn give_back(&mut self, link: u64, less: Held) {
        self.all = self.all.each(less, u64::saturating_sub);
        if let Some(own) = self.of.get_mut(&link) {
            *own = own.each(less, u64::saturating_sub);
            if *own == Held::default() {
                self.of.remove(&link);
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use alloc::vec::Vec;

    use super::{Held, LEAST, Shares, Source};

    const WHOLE: Held = Held { bytes: 64 << 20, circuits: 16 * 1024, lists: 0 };

    fn child(link: u64) -> Source {
        Source { link, is_above: false, depth: 0 }
    }

    /// How many circuits of so many bytes it gets.
    fn fill(shares: &mut Shares, source: Source, bytes: u32) -> u64 {
        let mut n = 0;
        while shares.take(source, Held::one(bytes, false), WHOLE) {
            n += 1;
        }
        n
    }

    #[test]
    fn one_link_gets_a_third_and_the_next_ones_a_third_of_what_is_left() {
        let mut shares = Shares::new(16 * 1024);
        let got: Vec<_> = (0..20).map(|link| fill(&mut shares, child(link), 4096)).collect();
        assert_eq!(got[..4], [4778, 3186, 2124, 1416]);
        assert!(got[19] > 0, "{got:?}");
        assert!(got.iter().sum::<u64>() < 14 * 1024);
        // Who has given up what he had finds a third of it again, now that the others have the rest.
        for _ in 0..got[1] {
            shares.give_back(1, Held::one(4096, false));
        }
        assert!(fill(&mut shares, child(1), 4096) >= got[1] / 3);
        for (link, n) in got.iter().enumerate() {
            for _ in 0..*n * 2 {
                shares.give_back(link as u64, Held::one(4096, false));
            }
        }
        assert_eq!((shares.all, shares.of.len()), (Held::default(), 0));
    }

    #[test]
    fn a_child_gets_less_than_its_parent_one_hop_on() {
        let mut before = u64::MAX;
        for depth in 0..8 {
            let got = fill(&mut Shares::new(16 * 1024), Source { depth, ..child(1) }, 4096);
            assert!(got < before, "{got} at {depth}");
            // And the longest messages that pass at all.
            assert!(fill(&mut Shares::new(16 * 1024), Source { depth, ..child(1) }, 8 << 20) > 0);
            before = got;
        }
        let above = Source { is_above: true, ..child(1) };
        assert!(
            fill(&mut Shares::new(16 * 1024), above, 4096)
                > fill(&mut Shares::new(16 * 1024), child(1), 4096)
        );
    }

    #[test]
    fn a_node_that_is_to_pass_few_shares_those_out() {
        for (most, first) in [(0, 0), (LEAST, 2), (30, 10), (300, 100)] {
            let mut shares = Shares::new(most);
            assert_eq!(fill(&mut shares, child(1), 100), first, "of {most}");
            let above = Source { is_above: true, ..child(2) };
            assert_eq!(fill(&mut shares, above, 100), (u64::from(most) - first) / 2);
        }
        // Also where the peer has few to be shared at all.
        let (mut shares, whole) = (Shares::new(1), Held { circuits: 63, ..WHOLE });
        assert_eq!(
            (0..63).filter(|_| shares.take(child(1), Held::one(100, false), whole)).count(),
            LEAST as usize
        );
    }

    #[test]
    fn all_channels_of_a_board_may_be_one_importers() {
        let whole = Held { circuits: 4, ..WHOLE };
        let mut shares = Shares::new(16 * 1024);
        assert!((0..4).all(|_| shares.take(child(1), Held::one(100, false), whole)));
    }

    #[test]
    fn lists_have_a_share_of_their_own() {
        let mut shares = Shares::new(16 * 1024);
        let lists = (0..100).filter(|_| shares.take(child(1), Held::one(0, true), WHOLE)).count();
        assert_eq!(lists, 18);
        assert!(shares.take(child(2), Held::one(0, true), WHOLE));
        assert!(shares.take(child(1), Held::one(0, false), WHOLE));
    }
}
