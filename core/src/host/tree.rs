//! This node's place in a tree: what comes of links that tie parents and children.
//!
//! The tree itself ([`Tree`]) is one of the node's tables. It decides; what is to be written for it is
//! put into a link's buffer while it is locked, so that routes stand before the opens that they
//! enable, and flushed when nothing is locked any more.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::ending::Cause;
use super::error::LinkError;
use super::events::LinkEvent;
use super::input::Offer;
use super::link::LinkCell;
use super::node::NodeInner;
use super::sync::{MutexGuard, Ordering, PoisonError, TryLockError};
use crate::proto::{Fault, Reason, Relation, Route, TreeFrame};
use crate::tree::{Change, Heard, Lost, NoWay, Origin, Strike, Tree, Way};

/// What becomes of an open.
pub(crate) enum Led {
    /// It is for this node.
    Here(Origin),
    /// It was passed on, or refused.
    Away,
}

impl NodeInner {
    pub(crate) fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A link is up. Called with nothing locked.
    pub(crate) fn tie(&self, link: &LinkCell, name: &str) {
        let relation = link.lock().link.relation();
        let number = link.number;
        let mut renumbered = Vec::new();
        let refused = match relation {
            Relation::Peer => return,
            Relation::Child { leaf } => match crate::proto::Name::new(name) {
                Ok(name) => self.tree().adopt(number, name, leaf),
                Err(_) => Err(Reason::Protocol),
            },
            Relation::Parent => self.tree().join(number).map(|children| renumbered = children),
        };
        for child in renumbered {
            if let Some(child) = self.link(child) {
                child.leave(Reason::Renumbered);
            }
        }
        if let Err(reason) = refused {
            link.leave(reason);
        }
        self.number_links();
        self.tell_tree();
        if link.is_down() {
            // It was before it was known here.
            self.untie(link);
        }
    }

    /// A link is down. Called with nothing locked.
    pub(crate) fn untie(&self, link: &LinkCell) {
        let lost = self.tree().lost(link.number);
        if lost == Lost::Nothing {
            return;
        }
        self.number_links();
        self.tell_tree();
        // One that its own program has shut ends as that has said.
        if lost == Lost::Parent && link.ends_node && !self.is_shut() {
            self.end_in(self.config.linger, Cause::ParentLost);
        }
    }

    /// A frame of the tree has come. Called with nothing locked.
    pub(crate) fn heard_of_tree(&self, link: &LinkCell, frame: &TreeFrame<'_>) {
        let heard = self.tree().hear(link.number, frame);
        if matches!(frame, TreeFrame::Adopt { .. } | TreeFrame::Grant { .. }) {
            self.number_links();
        }
        let too_deep: Vec<_> = {
            let tree = self.tree();
            if tree.is_too_deep() { tree.children().map(|(link, _)| link).collect() } else { Vec::new() }
        };
        for child in too_deep.into_iter().filter_map(|number| self.link(number)) {
            child.leave(Reason::HopLimit);
        }
        match heard {
            Ok(Heard::Nothing) => {}
            Ok(Heard::Settled) => {
                let wakers = core::mem::take(&mut link.lock().up_wakers);
                for waker in wakers {
                    waker.wake();
                }
            }
            Ok(Heard::Exhausted) => {
                let waiting: Vec<_> =
                    self.tree().children().filter(|(_, id)| *id == 0).map(|(link, _)| link).collect();
                for child in waiting.into_iter().filter_map(|number| self.link(number)) {
                    child.leave(Reason::NoResources);
                }
            }
            Ok(Heard::Shutdown(grace_ms)) => {
                self.end_in(Duration::from_millis(u64::from(grace_ms)), Cause::Told)
            }
            Err(Strike { out }) => {
                self.strikes.fetch_add(1, Ordering::Relaxed);
                self.end_struck(link, out);
            }
        }
        self.tell_tree();
    }

    /// Where an open leads that has come over `link`.
    pub(crate) fn lead(&self, link: &Arc<LinkCell>, offer: &Offer) -> Led {
        let route = offer.path.as_ref().map(super::input::Path::route);
        let way = self.tree().way(Some(link.number), route.as_ref());
        match way {
            Ok(Way::Here(origin)) => return Led::Here(origin),
            Ok(Way::Onward { link: right, route }) => {
                // Routes come before the opens that they enable.
                self.tell_tree();
                match self.link(right) {
                    Some(right) if !right.is_down() => self.pass_on(link, offer, &right, route),
                    _ => self.turn_away(link, link.lock(), offer.cell, Reason::NoRoute),
                }
            }
            Err(NoWay::Dead(reason)) => self.turn_away(link, link.lock(), offer.cell, reason),
            Err(NoWay::Forged) => {
                let Strike { out } = self.tree().strike(link.number);
                self.strikes.fetch_add(1, Ordering::Relaxed);
                self.turn_away(link, link.lock(), offer.cell, Reason::Refused);
                self.end_struck(link, out);
            }
        }
        Led::Away
    }

    /// Over which link a node is reached, and what is said to it.
    pub(crate) fn way_to<R>(
        &self,
        route: Route<'_>,
        open: impl FnOnce(&Arc<LinkCell>, Option<Route<'_>>) -> Result<R, super::ImportError>,
    ) -> Result<R, super::ImportError> {
        let no_route = |reason| super::ImportError::Dead(crate::proto::Dead::here(reason));
        let (link, onward) = match self.tree().way(None, Some(&route)) {
            Ok(Way::Onward { link, route }) => (link, route),
            Ok(Way::Here(_)) | Err(NoWay::Forged) => return Err(no_route(Reason::NoRoute)),
            Err(NoWay::Dead(reason)) => return Err(no_route(reason)),
        };
        self.tell_tree();
        let link = self.link(link).ok_or_else(|| no_route(Reason::NoRoute))?;
        open(&link, onward)
    }

    /// Whether this link leads to the parent, and this node has its place below it.
    pub(crate) fn is_settled(&self, link: &LinkCell) -> bool {
        let tree = self.tree();
        tree.parent() == Some(link.number) && tree.is_settled()
    }

    /// Ends a link whose peer has claimed too much.
    fn end_struck(&self, link: &LinkCell, out: bool) {
        if out {
            let mut state = link.lock();
            state.link.fail(Fault::Strikes);
            link.last_words(state);
            link.fail(LinkError::Fault(Fault::Strikes));
        }
    }

    /// The links know the ids of the nodes at their other ends.
    fn number_links(&self) {
        let tree = self.tree();
        for number in tree.children().map(|(number, _)| number).chain(tree.parent()) {
            if let Some(link) = self.link(number) {
                link.neighbour.store(tree.neighbour(number), Ordering::Relaxed);
            }
        }
    }

    /// Says to each link what is to be said, and tells those who watch what has changed. Called with
    /// nothing locked.
    pub(crate) fn tell_tree(&self) {
        let mut written = Vec::new();
        {
            let mut tree = self.tree();
            let due: Vec<_> = tree.due_links().collect();
            for number in due {
                let Some(link) = self.link(number) else { continue };
                let mut state = link.lock();
                // What has no room is said in the next tick.
                while !state.output.is_flooded()
                    && let Some(frame) = tree.due(number)
                    && state.proto_out(|link, _, out| link.put_tree(&frame, out))
                {
                    tree.written(number);
                }
                drop(state);
                written.push(link);
            }
        }
        for link in written {
            link.flush(link.lock());
        }
        self.tell_changes();
    }

    /// Tells those who watch what has changed, in its order.
    fn tell_changes(&self) {
        // Whoever is at it looks again when he has left.
        while self.tree().has_changes() {
            let turn = match self.telling.try_lock() {
                Ok(turn) => turn,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            loop {
                let Some(change) = self.tree().change() else { break };
                self.tell_change(&change);
                self.events.push(match change {
                    Change::Joined { id, via, name } => {
                        LinkEvent::NodeJoined { id, via, name: name.as_str().into() }
                    }
                    Change::Left { id, name } => LinkEvent::NodeLeft { id, name: name.as_str().into() },
                });
            }
            drop(turn);
        }
    }
}
