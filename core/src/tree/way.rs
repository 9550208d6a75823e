//! Where an open leads, and who may have sent it.

use super::{LinkNumber, Tree};
use crate::proto::{HOPS_MAX, Reason, Route};

/// Where a circuit goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "here or onward")]
pub enum Way<'a> {
    /// It is for this node.
    Here(Origin),
    /// It goes on over this link.
    Onward {
        /// Which.
        link: LinkNumber,
        /// What the next hop is told; `None` where it is the end, and takes no part in the tree.
        route: Option<Route<'a>>,
    },
}

/// Who opens a circuit, as far as this node can know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what there is to know")]
pub struct Origin {
    /// Its id; 0 on a link that is none of the tree.
    pub id: u32,
    /// Where it stands.
    pub relative: Relative,
}

/// Where a node stands, seen from another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "there are no other places")]
pub enum Relative {
    /// A neighbour on a link that is none of the tree.
    Peer,
    /// Between here and the root.
    Above,
    /// Below.
    Below,
    /// Elsewhere in the tree: neither above nor below.
    Aside,
}

/// Why an open goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an honest mistake or a claim")]
pub enum NoWay {
    /// The opener is told so.
    Dead(Reason),
    /// The same, and the neighbour has claimed a source that cannot be behind it.
    Forged,
}

impl Tree {
    /// Where an open leads that came over `from`, or from this node itself. What comes from above
    /// never goes back there.
    ///
    /// # Errors
    ///
    /// [`NoWay`].
    pub fn way<'a>(&self, from: Option<LinkNumber>, route: Option<&Route<'a>>) -> Result<Way<'a>, NoWay> {
        let is_parent = from.is_some() && from == self.parent();
        let child = from.and_then(|link| self.child(link));
        let Some(origin) = self.origin(from, route)? else {
            // A link that is none of the tree: nothing behind this node can be reached over it.
            return match route {
                None => Ok(Way::Here(Origin { id: 0, relative: Relative::Peer })),
                Some(_) => Err(NoWay::Dead(Reason::NoRoute)),
            };
        };
        let Some(route) = route else { return Ok(Way::Here(origin)) };
        if route.hops >= HOPS_MAX {
            return Err(NoWay::Dead(Reason::HopLimit));
        }
        let to = if route.to == 0 { self.find(route.path) } else { Some(route.to) };
        if to == Some(self.id) {
            return Ok(Way::Here(origin));
        }
        let hops = if from.is_some() { route.hops + 1 } else { 0 };
        let entry = to.and_then(|to| self.routes.get(to));
        if let Some(entry) = entry {
            // Who has a node behind it and asks for it has just lost it.
            if Some(entry.link) == from {
                return Err(NoWay::Dead(Reason::NoRoute));
            }
            let ends = self.child(entry.link).is_some_and(|child| child.leaf);
            let onward = Route { from: origin.id, hops, to: entry.id, path: "" };
            return Ok(Way::Onward { link: entry.link, route: (!ends).then_some(onward) });
        }
        debug_assert!(from.is_none() || is_parent || child.is_some(), "a link of the tree");
        match &self.parent {
            // Ids of our own that are not there any more are not known above either.
            Some(parent) if !is_parent && parent.settled => {
                let (to, path) = if route.to == 0 { (0, route.path) } else { (route.to, "") };
                let onward = Route { from: origin.id, hops, to, path };
                Ok(Way::Onward { link: parent.link, route: Some(onward) })
            }
            _ => Err(NoWay::Dead(Reason::NoRoute)),
        }
    }

    /// Who opens; `None` for a link that is none of the tree.
    fn origin(&self, from: Option<LinkNumber>, route: Option<&Route<'_>>) -> Result<Option<Origin>, NoWay> {
        let Some(link) = from else {
            return Ok(Some(Origin { id: self.id, relative: Relative::Above }));
        };
        if let Some(child) = self.child(link) {
            let id = route.map_or(child.id, |route| route.from);
            let known = id == child.id || self.routes.get(id).is_some_and(|entry| entry.link == link);
            if !known && child.left_out && self.ids.owns(link, id) {
                // It is nobody's fault that it is not known here.
                return Err(NoWay::Dead(Reason::NoResources));
            }
            // One that was taken in a moment ago, and waits for its id, speaks for itself.
            if !known || child.leaf && route.is_some() {
                return Err(NoWay::Forged);
            }
            return Ok(Some(Origin { id, relative: Relative::Below }));
        }
        if Some(link) == self.parent() {
            let above = self.above.as_slice();
            let id = route.map_or_else(|| above.first().copied().unwrap_or_default(), |route| route.from);
            if id == self.id || self.routes.get(id).is_some() {
                return Err(NoWay::Forged);
            }
            let relative = if above.contains(&id) { Relative::Above } else { Relative::Aside };
            // What the parent opens before it has told us where we are is its own.
            let relative = if route.is_none() { Relative::Above } else { relative };
            return Ok(Some(Origin { id, relative }));
        }
        Ok(None)
    }
}
