//! Which ids of the tree are behind a link: what is said of others from there is not believed.

use alloc::vec::Vec;

use crate::proto::{Place, Relation, TreeFrame};

/// The ids that were given over a link of the tree. Whoever is below its lower end has one of them, and keeps it for
/// as long as the link lasts.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    /// Runs of ids, as first and last one, in their order. The tree knows them too, but is locked before links are.
    given: Vec<(u32, u32)>,
}

impl Behind {
    /// A frame that goes down.
    pub(crate) fn note(&mut self, frame: &TreeFrame<'_>) {
        let (start, count) = match *frame {
            TreeFrame::Adopt { id, .. } => (id, 1),
            TreeFrame::Grant { start, count } => (start, count),
            _ => return,
        };
        if count == 0 || self.has(start) {
            // Where it is in the tree is said again with the same id.
            return;
        }
        let last = start.saturating_add(count - 1);
        let at = self.given.partition_point(|(first, _)| *first < start);
        match at.checked_sub(1).and_then(|before| self.given.get_mut(before)) {
            Some((_, end)) if end.checked_add(1) == Some(start) => *end = last,
            _ => self.given.insert(at, (start, last)),
        }
    }

    fn has(&self, id: u32) -> bool {
        let at = self.given.partition_point(|(_, last)| *last < id);
        self.given.get(at).is_some_and(|(first, _)| *first <= id)
    }

    /// Who gave up, as far as the peer at this end of such a link can know it; else it was the peer itself.
    pub(crate) fn believed(&self, relation: Relation, at: Place) -> Place {
        let Place::Node(id) = at else { return at };
        let knows = match relation {
            Relation::Peer | Relation::Child { leaf: true } => false,
            Relation::Child { leaf: false } => self.has(id),
            // What is below here it hears from here.
            Relation::Parent => !self.has(id),
        };
        if knows { at } else { Place::Peer }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Behind;
    use crate::proto::{Above, Place, Reason, Relation, TreeFrame};

    #[test]
    fn a_child_speaks_for_those_below_it_and_a_parent_for_all_others() {
        let mut behind = Behind::default();
        for _ in 0..1000 {
            behind.note(&TreeFrame::Adopt { id: 7, above: Above::default(), place: "" });
        }
        // What is left of an earlier block may come after a later one.
        behind.note(&TreeFrame::Grant { start: u32::MAX - 1, count: 2 });
        behind.note(&TreeFrame::Grant { start: 64, count: 64 });
        behind.note(&TreeFrame::Grant { start: 128, count: 64 });
        behind.note(&TreeFrame::DelRoute(3, Reason::LinkLost));
        assert_eq!(behind.given.len(), 3);
        let child = Relation::Child { leaf: false };
        for (id, is_below) in [(7, true), (64, true), (191, true), (u32::MAX, true), (8, false), (192, false)]
        {
            let [from_child, from_parent] =
                [child, Relation::Parent].map(|relation| behind.believed(relation, Place::Node(id)));
            let (yes, no) = (Place::Node(id), Place::Peer);
            assert_eq!((from_child, from_parent), if is_below { (yes, no) } else { (no, yes) }, "{id}");
            for relation in [Relation::Peer, Relation::Child { leaf: true }] {
                assert_eq!(behind.believed(relation, Place::Node(id)), Place::Peer);
            }
        }
    }
}
