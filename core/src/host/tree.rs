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
use super::shares::Source;
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

    /// With the time said to it, for what uses up ids.
    pub(super) fn tree_now(&self) -> MutexGuard<'_, Tree> {
        let now = self.now();
        let mut tree = self.tree();
        tree.pass(now);
        tree
    }

    /// Ends the links of children for which there is no id. Called with nothing locked.
    fn turn_away_children(&self) {
        while let Some(child) = { self.tree().turned_away() } {
            if let Some(child) = self.link(child) {
                child.leave(Reason::NoResources);
            }
        }
    }

    /// A link is up. Called with nothing locked.
    pub(crate) fn tie(&self, link: &LinkCell, name: &str) {
        let (relation, uid) = {
            let state = link.lock();
            (state.link.relation(), state.peer.as_ref().map_or(0, |peer| peer.uid))
        };
        let number = link.number;
        let (mut renumbered, mut superseded) = (Vec::new(), None);
        let refused = match relation {
            Relation::Peer => return,
            Relation::Child { leaf } => match crate::proto::Name::new(name) {
                Ok(name) => self.tree_now().adopt(number, name, uid, leaf).map(|before| superseded = before),
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
        self.turn_away_children();
        let mut ends_by = None;
        if let Some(before) = superseded.and_then(|number| self.link(number)) {
            // Whoever waits for what it was is told at once: there is nobody who would answer a goodbye. From then on nobody tells it to end.
            let mut state = before.lock();
            ends_by = state.ends_by;
            state.link.goodbye(Reason::Superseded);
            before.last_words(state);
            before.fail(LinkError::Local(Reason::Superseded));
        }
        self.tell_late_child(link, ends_by);
        self.tell_tree();
        if link.is_down() {
            // It was before it was known here.
            let reason = link.down().map_or(Reason::LinkLost, |error| error.dead().reason);
            self.untie(link, reason);
        }
    }

    /// A link is down. Called with nothing locked.
    pub(crate) fn untie(&self, link: &LinkCell, reason: Reason) {
        let lost = self.tree_now().lost(link.number, reason);
        if lost == Lost::Nothing {
            return;
        }
        self.number_links();
        self.turn_away_children();
        self.tell_tree();
        // One that its own program has shut ends as that has said.
        if lost == Lost::Parent && link.ends_node && !self.is_shut() {
            self.end_in(self.config.linger, Cause::ParentLost);
        }
    }

    /// A frame of the tree has come. Called with nothing locked.
    pub(crate) fn heard_of_tree(&self, link: &LinkCell, frame: &TreeFrame<'_>) {
        let heard = self.tree_now().hear(link.number, frame);
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
            Ok(Heard::Nothing | Heard::Exhausted) => {}
            Ok(Heard::Settled) => {
                let wakers = core::mem::take(&mut link.lock().up_wakers);
                for waker in wakers {
                    waker.wake();
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
        self.turn_away_children();
        self.tell_tree();
    }

    /// Where an open leads that has come over `link`.
    pub(crate) fn lead(&self, link: &Arc<LinkCell>, offer: &Offer) -> Led {
        let route = offer.path.as_ref().map(super::input::Path::route);
        let (way, parent, depth) = {
            let tree = self.tree();
            let way = tree.way(Some(link.number), route.as_ref());
            (way, tree.parent(), tree.above().as_slice().len() as u32)
        };
        match way {
            Ok(Way::Here(origin)) => return Led::Here(origin),
            Ok(Way::Onward { link: right, route }) => {
                // Routes come before the opens that they enable.
                self.tell_tree();
                match self.link(right) {
                    Some(right) if !right.is_down() => {
                        let source = |of: &LinkCell, over: &LinkCell| Source {
                            link: of.number,
                            is_above: parent == Some(of.number),
                            depth: if parent == Some(over.number) { depth } else { 0 },
                        };
                        let from = [source(link, &right), source(&right, link)];
                        self.pass_on(link, offer, &right, route, from);
                    }
                    _ => self.turn_away(link, link.lock(), offer, Reason::NoRoute),
                }
            }
            Err(NoWay::Dead(reason)) => self.turn_away(link, link.lock(), offer, reason),
            Err(NoWay::Forged) => {
                let Strike { out } = self.tree_now().strike(link.number);
                self.strikes.fetch_add(1, Ordering::Relaxed);
                self.turn_away(link, link.lock(), offer, Reason::Refused);
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
            Ok(Way::Here(_)) => return Err(super::ImportError::Itself),
            Err(NoWay::Forged) => return Err(no_route(Reason::NoRoute)),
            Err(NoWay::Dead(reason)) => return Err(no_route(reason)),
        };
        self.tell_tree();
        let link = self.link(link).ok_or_else(|| no_route(Reason::NoRoute))?;
        open(&link, onward)
    }

    /// Whether a route leads to this node itself.
    pub(crate) fn is_own(&self, route: &Route<'_>) -> bool {
        matches!(self.tree().way(None, Some(route)), Ok(Way::Here(_)))
    }

    /// Whether this link leads to the parent, and this node has its place below it.
    pub(crate) fn is_settled(&self, link: &LinkCell) -> bool {
        let tree = self.tree();
        tree.parent() == Some(link.number) && tree.is_settled()
    }

    /// Opens of the peer itself that are refused have become a flood. Called with nothing locked.
    pub(crate) fn strike_for_flood(&self, link: &LinkCell) {
        self.strikes.fetch_add(1, Ordering::Relaxed);
        let is_peer = link.lock().link.relation() == Relation::Peer;
        let Strike { out } =
            if is_peer { link.lock().strikes.add(self.now()) } else { self.tree_now().strike(link.number) };
        self.end_struck(link, out);
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
                    state.behind.note(&frame);
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
            let changes = self.tree().changes();
            self.tell_watchers(&changes);
            self.tell_own_watchers(&changes);
            for change in changes {
                match change {
                    Change::Joined { id, via, name } => {
                        self.events.push(LinkEvent::NodeJoined { id, via, name: name.as_str().into() });
                    }
                    Change::Left { id, name, reason } => {
                        let reason = Some(reason).filter(|reason| reason.get() != 0);
                        self.events.push(LinkEvent::NodeLeft { id, name: name.as_str().into(), reason });
                    }
                    Change::NameTaken { id, name, by } => {
                        self.events.push(LinkEvent::NameTaken { id, name: name.as_str().into(), by });
                    }
                    Change::Missed(count) => self.events.miss(count),
                }
            }
            drop(turn);
        }
    }
}
