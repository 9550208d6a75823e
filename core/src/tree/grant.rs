//! Who is given ids, and how many: new children, and those who ask for the nodes below them. Where there are too few they
//! take turns, and more are asked for above.

use alloc::vec::Vec;
use core::time::Duration;

use super::{Child, Entry, Tree, TurnedAway, ids};

/// Where ids are short, so many are kept for each who has had none for longer.
const KEPT: u32 = 4;
/// For so long they are kept for a link that was refused.
const HUNGRY_MS: u64 = 10_000;
/// A link has at least such a part of what it had before with each grant, and no more than so many grants that are
/// not one behind the other: what is remembered of it is bounded. It is 256 KiB at most,
/// and 92 where it asked for 64 Ki ids one by one.
const RUN_PART: u32 = 1024;
const RUNS_MAX: u32 = 16 * 1024;

impl Tree {
    /// Gives ids to those who wait for them, or asks for more.
    pub(super) fn serve(&mut self) {
        if !self.is_settled() {
            return;
        }
        self.serve_adopts();
        self.serve_grants();
    }

    fn serve_adopts(&mut self) {
        let (most, depth) = (self.limits.ids_per_link, self.depth());
        let (mut missing, hungry) = (0, self.hungry());
        for at in 0..self.children.len() {
            let Child { link, name, .. } = self.children[at];
            if !self.children[at].waits() {
                continue;
            }
            if self.quota.adopts(most, depth) == 0 || self.ids.is_root() && self.ids.left() == 0 {
                self.children[at].turned_away = TurnedAway::Due;
                continue;
            }
            let kept = kept_for(hungry, self.adopts_turn);
            let given = (self.ids.left() > kept).then(|| self.ids.take(1)).flatten();
            let Some((given, _)) = given else {
                missing += 1;
                continue;
            };
            self.quota.adopted();
            self.ids.give(link, given, 1);
            self.turn += 1;
            self.adopts_turn = self.turn;
            let child = &mut self.children[at];
            child.id = given;
            child.turn = self.turn;
            child.adopt_due = !child.leaf;
            if let Some(at) = child.ends_at.take() {
                child.shutdown_due = Some(u32::try_from(at.since(self.now).as_millis()).unwrap_or(u32::MAX));
            }
            self.insert(Entry { id: given, via: self.id, link, name });
        }
        if missing > 0 {
            self.want(missing + kept_for(hungry, self.adopts_turn));
        }
    }

    fn serve_grants(&mut self) {
        let (most, depth) = (self.limits.ids_per_link, self.depth());
        let mut asking: Vec<_> =
            (0..self.children.len()).filter(|&at| self.children[at].wants != 0).collect();
        let hungry = self.hungry();
        let adopts = self.is_short().then_some(self.adopts_turn);
        // Who has had none for longest comes first.
        asking.sort_by_key(|&at| self.children[at].turn);
        for at in asking {
            let Child { link, wants, share, granted, runs, turn, .. } = self.children[at];
            let least = (granted / RUN_PART).max(1);
            let count = wants.min(ids::BLOCK).max(least).min(self.quota.grants(&share, most, depth));
            let kept = kept_for(adopts, turn) + kept_for(hungry, turn);
            let left = self.ids.left().saturating_sub(kept);
            let grant = if count < least || runs >= RUNS_MAX || left < least && self.ids.is_root() {
                (0, 0)
            } else if left < least {
                self.want(count + kept);
                continue;
            } else if let Some((start, count)) = self.ids.take(count.min(left)) {
                self.turn += 1;
                let child = &mut self.children[at];
                self.quota.granted(&mut child.share, count);
                child.granted = child.granted.saturating_add(count);
                child.runs += u32::from(self.ids.give(link, start, count));
                (child.turn, child.hungry_until) = (self.turn, None);
                (start, count)
            } else {
                (0, 0)
            };
            self.children[at].wants = 0;
            self.children[at].grant_due = Some(grant);
        }
    }

    /// Where ids are short: when that link was given some that was refused since and has had none for longest.
    fn hungry(&self) -> Option<u64> {
        let is_hungry = |child: &&Child| child.hungry_until.is_some_and(|until| self.now < until);
        let children = self.is_short().then_some(&self.children)?;
        children.iter().filter(is_hungry).map(|child| child.turn).min()
    }

    fn is_short(&self) -> bool {
        self.parent.as_ref().is_some_and(|parent| parent.is_short)
    }

    /// There are to be so many ids here: what is missing is to be asked for. It is little at first, and as many as there
    /// were already later.
    pub(super) fn want(&mut self, count: u32) {
        let missing = count.saturating_sub(self.ids.left());
        if let Some(parent) = &mut self.parent
            && parent.asked == 0
        {
            parent.want = parent.want.max(missing).max(parent.granted).clamp(1, ids::BLOCK);
        }
    }

    /// There are no more ids: those who wait for them hear so.
    pub(super) fn turn_down(&mut self) {
        for child in &mut self.children {
            if child.waits() {
                child.turned_away = TurnedAway::Due;
            }
            if core::mem::take(&mut child.wants) != 0 {
                child.grant_due = Some((0, 0));
                child.hungry_until = Some(self.now + Duration::from_millis(HUNGRY_MS));
            }
        }
    }
}

/// So many ids are to stay for one whose turn it is rather than that of this one.
fn kept_for(other: Option<u64>, turn: u64) -> u32 {
    if other.is_some_and(|other| other < turn) { KEPT } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::super::Limits;
    use super::*;
    use crate::proto::{Name, TreeFrame};

    #[test]
    fn what_is_remembered_of_links_that_ask_little_by_little_is_bounded() {
        let name = Name::new("node").unwrap();
        let mut tree = Tree::new(name, Limits::default());
        for link in [7, 8] {
            tree.adopt(link, name, link, false).unwrap();
            tree.written(link);
        }
        let mut granted = 0;
        loop {
            for link in [7, 8] {
                tree.hear(link, &TreeFrame::Allocate(1)).unwrap();
                let Some(TreeFrame::Grant { count, .. }) = tree.due(link) else { panic!("no answer") };
                granted += count;
                tree.written(link);
            }
            if granted > 2 * 65_000 {
                break;
            }
        }
        let runs = tree.ids.given.len() / 2;
        assert!((5_800..5_888).contains(&runs), "{runs}");
        let child = tree.child(7).unwrap();
        assert!((child.runs as usize).abs_diff(runs) <= 1, "{}: its id is one more", child.runs);
        assert_eq!(size_of_val(&tree.ids.given[0]) * 5_888, 92 * 1024);
    }
}
