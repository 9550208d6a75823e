//! A circuit that passes through a node, driven as the host's nodes do it.

use alloc::collections::VecDeque;

use crate::proto::{Dead, Handle, Link as Proto, Open, OpenFlags, Reason, Rings, Side, Splice, Total};
use crate::testing::Queue;
use crate::tree::LinkNumber;

/// What an opener has asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) flags: OpenFlags,
    pub(super) credit: u32,
    pub(super) limit: u32,
    pub(super) fingerprint: u64,
}

impl Wanted {
    pub(super) fn new(open: &Open<'_>) -> Self {
        let Open { flags, credit, limit, .. } = *open;
        Self { flags, credit, limit, fingerprint: open.fingerprints.as_slice()[0] }
    }

    /// What is to be promised at least to the left and to the right. What an open has brought is all that comes.
    pub(super) fn floors(&self, least: u32, body: Option<&[u8]>) -> [u32; 2] {
        let floor = |flows: bool, limit: u32| {
            if flows { least.max(Proto::charge(limit).saturating_mul(2)) } else { 0 }
        };
        let limit = self.limit.min(self.credit);
        let from_left = body.map(|body| Proto::charge(body.len() as u32));
        [
            from_left.unwrap_or_else(|| floor(self.flags.has(OpenFlags::SENDS), 0)),
            floor(self.flags.has(OpenFlags::RECEIVES), limit),
        ]
    }
}

/// A circuit for a channel end inside a message, to be opened before that.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) at: Total,
    pub(super) ordinal: u32,
    pub(super) wanted: Wanted,
    pub(super) left: Handle,
    pub(super) transit: u32,
}

/// A circuit that passes through.
#[derive(Debug)]
pub(super) struct Transit {
    pub(super) links: [LinkNumber; 2],
    /// None until the circuit is opened on the right.
    pub(super) splice: Option<Splice>,
    pub(super) rings: [Queue; 2],
    /// Whether it has a place on each link, and what is reserved for it there.
    pub(super) cells: [bool; 2],
    pub(super) windows: [u32; 2],
    pub(super) carried: [VecDeque<Carried>; 2],
    /// The opener has gone before it was opened on the right, and why.
    pub(super) cancelled: Option<Dead>,
    pub(super) fingerprint: u64,
}

impl Transit {
    pub(super) fn new(links: [LinkNumber; 2], wanted: &Wanted, windows: [u32; 2]) -> Self {
        Self {
            links,
            splice: None,
            rings: windows.map(|window| Queue::new(window as usize)),
            cells: [true, false],
            windows,
            carried: [VecDeque::new(), VecDeque::new()],
            cancelled: None,
            fingerprint: wanted.fingerprint,
        }
    }

    pub(super) fn opened(&mut self, flags: OpenFlags, handles: [Handle; 2], nodes: [u32; 2]) {
        let [left, right] = [0, 1].map(|n| (handles[n], nodes[n]));
        let mut splice = Splice::new(flags, left, right, self.windows);
        if let Some(dead) = self.cancelled {
            splice.lost(Side::Left, dead);
        }
        self.splice = Some(splice);
        self.cells[1] = true;
    }

    /// It was to be opened behind a message that does not come.
    pub(super) fn orphan(&mut self, flags: OpenFlags, left: Handle) {
        let mut splice = Splice::new(flags, (left, 0), (Handle::new(0), 0), self.windows);
        splice.lost(Side::Right, Dead::here(Reason::NotTaken));
        if let Some(dead) = self.cancelled {
            splice.lost(Side::Left, dead);
        }
        self.splice = Some(splice);
    }

    pub(super) fn parts(&mut self) -> Option<(&mut Splice, Rings<'_>)> {
        let [from_left, from_right] = &mut self.rings;
        Some((self.splice.as_mut()?, Rings { from_left, from_right }))
    }

    /// The next message that something goes before is held back until that is done.
    pub(super) fn hold_next(&mut self, side: Side) {
        let next = self.carried[side as usize].front().map(|next| next.at);
        if let Some(splice) = &mut self.splice {
            splice.hold(side, next);
        }
    }

    /// Whether the next message to `side` is one that circuits are to be opened for.
    pub(super) fn is_turn(&self, side: Side) -> bool {
        let next = self.carried[side.other() as usize].front().map(|next| next.at);
        next.is_some() && next == self.splice.as_ref().and_then(|splice| splice.gone_on(side.other()))
    }

    /// What may come from `side` from now on.
    pub(super) fn set_room(&mut self, side: Side) {
        self.rings[side as usize].set_room(self.windows[side as usize] as usize);
    }

    /// Whether nobody knows it any more.
    pub(super) fn is_over(&self) -> bool {
        self.cells == [false; 2] && self.splice.is_some()
    }
}
