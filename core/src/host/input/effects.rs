//! What is done after the link's lock is released.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::Waker;

use crate::host::cell::CellId;
use crate::host::hub::{Member, Signal};
use crate::host::link::LinkCell;
use crate::host::peer::PeerInfo;
use crate::host::transit::{Transit, Wanted};
use crate::proto::{OpenFlags, Route, Side, TreeFrame};
use crate::tree::Origin;

/// What the node above is to do about an open.
pub(crate) struct Offer {
    pub(crate) cell: CellId,
    pub(crate) flags: OpenFlags,
    pub(crate) wait_ms: u32,
    pub(crate) name: String,
    pub(crate) fingerprints: Vec<u64>,
    /// The opener's only message, where the open has brought it: 255 bytes at most.
    pub(crate) body: Option<Vec<u8>>,
    /// Where in a tree it leads.
    pub(crate) path: Option<Path>,
    /// The rest of what the opener asks for, where it is to be passed on.
    pub(crate) wanted: Option<Wanted>,
    /// Who opens it, once that is known.
    pub(crate) origin: Option<Origin>,
}

/// Where an open comes from in a tree, and where it leads: see [`Route`].
pub(crate) struct Path {
    from: u32,
    hops: u8,
    to: u32,
    path: String,
}

impl Path {
    pub(super) fn new(route: &Route<'_>) -> Self {
        Self { from: route.from, hops: route.hops, to: route.to, path: route.path.to_string() }
    }

    pub(crate) fn route(&self) -> Route<'_> {
        Route { from: self.from, hops: self.hops, to: self.to, path: &self.path }
    }
}

/// A frame of the tree, to be taken when the link is not locked any more.
pub(crate) struct TreeWord {
    frame: TreeFrame<'static>,
    /// The text that belongs to it.
    text: String,
}

impl TreeWord {
    pub(super) fn new(frame: &TreeFrame<'_>) -> Self {
        let (frame, text) = match *frame {
            TreeFrame::AddRoute { id, via, name } => (TreeFrame::AddRoute { id, via, name: "" }, name),
            TreeFrame::Adopt { id, above, place } => (TreeFrame::Adopt { id, above, place: "" }, place),
            TreeFrame::Allocate(count) => (TreeFrame::Allocate(count), ""),
            TreeFrame::Grant { start, count } => (TreeFrame::Grant { start, count }, ""),
            TreeFrame::DelRoute(id, reason) => (TreeFrame::DelRoute(id, reason), ""),
            TreeFrame::Shutdown { grace_ms } => (TreeFrame::Shutdown { grace_ms }, ""),
        };
        Self { frame, text: text.to_string() }
    }

    pub(crate) fn frame(&self) -> TreeFrame<'_> {
        match self.frame {
            TreeFrame::AddRoute { id, via, .. } => TreeFrame::AddRoute { id, via, name: &self.text },
            TreeFrame::Adopt { id, above, .. } => TreeFrame::Adopt { id, above, place: &self.text },
            frame => frame,
        }
    }
}

/// What the node above decides, in the order in which it came.
pub(crate) enum Asked {
    Offer(Offer),
    /// The peer does not wait any more for the answer to its open.
    GivenUp(CellId),
    /// A frame of the tree.
    Tree(TreeWord),
    /// What waited there is sent.
    Dry(CellId),
}

/// What is done after the link's lock is released.
#[derive(Default)]
pub(crate) struct Effects {
    pub(crate) wakers: Vec<Waker>,
    hubs: Vec<(Member, Signal)>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) up: Option<PeerInfo>,
    /// Circuits that pass through, and the sides that have something to do.
    pub(crate) transits: Vec<(Arc<Transit>, Side)>,
}

impl Effects {
    pub(crate) const fn new() -> Self {
        Self { wakers: Vec::new(), hubs: Vec::new(), asked: Vec::new(), up: None, transits: Vec::new() }
    }

    /// The transit has something to do on this side.
    pub(crate) fn pass_on(&mut self, transit: &Arc<Transit>, side: Side) {
        // Most of what comes in one go belongs to a few circuits.
        let is_it = |(other, there): &(Arc<Transit>, Side)| *there == side && Arc::ptr_eq(other, transit);
        if !self.transits.iter().rev().take(4).any(is_it) {
            self.transits.push((Arc::clone(transit), side));
        }
    }

    /// These have sent what waited, and go on.
    pub(crate) fn go_on_with(&mut self, dry: &mut Vec<CellId>) {
        if !dry.is_empty() {
            self.asked.extend(dry.drain(..).map(Asked::Dry));
        }
    }

    /// An export is told, if it is one whose circuit this is. That there is something to receive it knows at once.
    pub(crate) fn tell(&mut self, member: Option<&Member>, signal: Signal) {
        let Some(member) = member else { return };
        if signal != Signal::Granted {
            member.is_ready();
        }
        self.hubs.push((member.clone(), signal));
    }

    /// Runs them, with no lock held.
    #[inline]
    pub(crate) fn run(&mut self, link: &LinkCell) {
        // The usual cases: nothing, and one waiter.
        let rare = !self.asked.is_empty() || self.up.is_some() || !self.transits.is_empty();
        if self.hubs.is_empty() && !rare && self.wakers.len() < 2 {
            if let Some(waker) = self.wakers.pop() {
                waker.wake();
            }
            return;
        }
        self.run_all(link);
    }

    fn run_all(&mut self, link: &LinkCell) {
        if let Some(info) = self.up.take()
            && let Some(node) = link.node.upgrade()
        {
            node.link_up(link, info);
        }
        for (member, signal) in self.hubs.drain(..) {
            member.signal(signal);
        }
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
        for asked in self.asked.drain(..) {
            let Some(node) = link.node.upgrade() else { continue };
            match asked {
                Asked::Offer(offer) => node.offered(link, offer),
                Asked::GivenUp(cell) => node.given_up(link, cell),
                Asked::Tree(word) => node.heard_of_tree(link, &word.frame()),
                Asked::Dry(cell) => {
                    link.release_requests(cell);
                    node.go_on_with_list(link, cell);
                }
            }
        }
        for (transit, side) in self.transits.drain(..) {
            transit.work(side);
        }
    }
}
