//! What is to be written to whom: looked up, never queued.

use super::{LinkNumber, Tree};
use crate::proto::TreeFrame;

impl Tree {
    /// The next frame that is to be written to this link; [`Tree::written`] says that it was.
    pub fn due(&self, link: LinkNumber) -> Option<TreeFrame<'_>> {
        if let Some(parent) = self.parent.as_ref().filter(|parent| parent.link == link) {
            if !parent.settled {
                return None;
            }
            if let Some((id, reason)) = self.routes.gone() {
                return Some(TreeFrame::DelRoute(id, reason));
            }
            if let Some(entry) = self.routes.untold() {
                // The entry is found again by its id, where its name stays.
                let name = self.routes.name(entry.id)?;
                return Some(TreeFrame::AddRoute { id: entry.id, via: entry.via, name });
            }
            return (parent.want > 0 && parent.asked == 0).then_some(TreeFrame::Allocate(parent.want));
        }
        let child = self.child(link)?;
        if child.adopt_due {
            let above = self.above.below(self.id)?;
            // Of two children of one name a path leads to the first.
            let is_named = self.routes.named(self.id, child.name.as_str()) == Some(child.id);
            return Some(TreeFrame::Adopt {
                id: child.id,
                above,
                place: if is_named { &self.place } else { "" },
            });
        }
        if let Some((start, count)) = child.grant_due {
            return Some(TreeFrame::Grant { start, count });
        }
        child.shutdown_due.map(|grace_ms| TreeFrame::Shutdown { grace_ms })
    }

    /// What [`Tree::due`] has said for this link was written.
    pub fn written(&mut self, link: LinkNumber) {
        let (gone, untold) = (self.routes.gone().is_some(), self.routes.untold().map(|entry| entry.id));
        if let Some(parent) = self.parent.as_mut().filter(|parent| parent.link == link) {
            match untold {
                _ if gone => self.routes.gone_told(),
                Some(id) => self.routes.told(id),
                None => {
                    parent.asked = core::mem::take(&mut parent.want);
                }
            }
            return;
        }
        let Some(child) = self.child_mut(link) else { return };
        if child.adopt_due {
            child.adopt_due = false;
        } else if child.grant_due.is_some() {
            child.grant_due = None;
        } else {
            child.shutdown_due = None;
        }
    }

    /// The links with something to be written.
    pub fn due_links(&self) -> impl Iterator<Item = LinkNumber> {
        let owed = |child: &&super::Child| {
            child.adopt_due || child.grant_due.is_some() || child.shutdown_due.is_some()
        };
        let children = self.children.iter().filter(owed).map(|child| child.link);
        self.parent().into_iter().filter(|link| self.due(*link).is_some()).chain(children)
    }
}
