//! What a hostile node writes among its honest frames: claims of the tree that are not its to make, and frames
//! of circuits that come near those in use.

use alloc::string::String;
use alloc::vec::Vec;

use super::node::Link;
use super::world::World;
use crate::proto::{
    Above, Fingerprints, Frame, HOPS_MAX, Handle, Open, OpenFlags, Part, Reason, Route, TreeFrame,
};
use crate::testing::{Port, Rng};

/// So many at a time, where it floods.
const FLOOD: usize = 40;

impl World {
    /// The hostile node writes something on one of its links.
    pub(super) fn forge(&mut self) {
        let Some(node) = self.ledger.hostile.iter().position(|hostile| *hostile) else { return };
        let (ids, rng) = (self.ids(), &mut self.rng);
        let links = &mut self.nodes[node].links;
        if links.is_empty() {
            return;
        }
        let at = rng.below(links.len());
        let Link { port, rest } = &mut links[at];
        if !port.is_up() {
            return;
        }
        // A circuit that is open, or was a moment ago.
        let handles: Vec<Handle> = rest.uses.iter().map(|&(handle, _)| handle).collect();
        let handle = if handles.is_empty() { None } else { Some(handles[rng.below(handles.len())]) };
        let times = if rng.one_in(8) { FLOOD } else { 1 + rng.below(3) };
        let kind = rng.below(9);
        for _ in 0..times {
            match kind {
                // More than was granted, sooner or later.
                8 => {
                    let Some(handle) = handle else { return };
                    port.forge(&Frame::Data(handle, Part::Whole, &[0x5a; 48][..rng.below(48)]));
                }
                // The frames of one link, as between two nodes that know nothing of trees.
                0 => super::super::programs::forge(port, rng),
                1..4 => forge_open(port, rng, &ids),
                _ => forge_tree(port, rng, &ids),
            }
        }
        self.ledger.report.forged += times as u32;
        self.pump(node);
    }

    /// The ids that there are, and some that are nobody's.
    fn ids(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self.ledger.ids.iter().flatten().copied().collect();
        ids.extend([70, 90, 130, 1000, u32::MAX - 1]);
        ids
    }
}

/// An open with a source that may be anybody, to anybody, over as many hops as it likes.
fn forge_open(port: &mut Port, rng: &mut Rng, ids: &[u32]) {
    let id = |rng: &mut Rng| ids[rng.below(ids.len())];
    let path: String =
        ["n0", "n1/n2", "/n3", "n1/n1/n1/n1/n1/n1/n1/n1/n1/n1/n1/n1/n1/n1/n1", "/"][rng.below(5)].into();
    let to = if rng.one_in(2) { id(rng) } else { 0 };
    let hops = if rng.one_in(3) { HOPS_MAX } else { rng.below(16) as u8 };
    let route = Route { from: id(rng), hops, to, path: if to == 0 { &path } else { "" } };
    let flags = super::program::flags(rng);
    let brings = rng.one_in(3) && flags.has(OpenFlags::SENDS) && !flags.has(OpenFlags::LATEST);
    let open = Open {
        flags,
        wait_ms: 0,
        credit: rng.below(5000) as u32,
        limit: rng.below(3000) as u32,
        values: 0,
        name: "forged",
        // Nobody's circuit.
        fingerprints: Fingerprints::new(7, &[]),
        type_name: "",
        route: Some(route),
        body: brings.then_some(&[0x5a; 60][..rng.below(60)]),
    };
    // As an honest link does it, so that it is the claim that is judged; or with any handle.
    if rng.one_in(4) {
        return port.forge(&Frame::Open(Handle::new(rng.below(40) as u32), open));
    }
    let (link, mut slots, output) = port.parts();
    let _ = link.open(&mut slots, &open, output);
}

/// A frame of the tree.
fn forge_tree(port: &mut Port, rng: &mut Rng, ids: &[u32]) {
    let (id, via) = (ids[rng.below(ids.len())], ids[rng.below(ids.len())]);
    let above = Above::default().below(via).unwrap_or_default();
    let frame = match rng.below(12) {
        0 => TreeFrame::Adopt { id, above, place: ["", "n0", "n0/n1"][rng.below(3)] },
        1 => TreeFrame::Grant { start: id, count: 1 + rng.below(80) as u32 },
        2 => TreeFrame::Shutdown { grace_ms: rng.below(300) as u32 },
        3 => TreeFrame::Allocate(rng.below(100_000) as u32),
        4..9 => TreeFrame::AddRoute { id: id.saturating_add(rng.below(64) as u32), via, name: "forged" },
        _ => TreeFrame::DelRoute(id, Reason::LinkLost),
    };
    port.forge(&Frame::Tree(frame));
}
