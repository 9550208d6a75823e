//! What kind of node a specimen is.

use core::time::Duration;

use crate::proto::{LineConfig, Reason};

/// What the link to a specimen goes over.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_enums, reason = "the wire has two kinds of links")]
pub enum Medium {
    /// A stream that loses nothing: `spec/wire.md`, section 2.
    Stream,
    /// A lossy line: section 12.
    Line(LineConfig),
}

/// What kind of node a specimen is: the medium, and what it leaves out of that which the wire lets a node leave out.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::exhaustive_structs,
    reason = "every field is a decision; `host` and `board` have those of this crate's nodes"
)]
pub struct Specimen {
    /// What the link goes over.
    pub medium: Medium,
    /// Takes its peer for dead after so much silence, if that has not announced more: at least 200 ms. The suite waits for several
    /// of these in one check.
    pub dead: Duration,
    /// Knows which circuits are over, and so ends the link for a frame that is for none. Otherwise it drops what comes for a handle of the peer
    /// that is free.
    pub remembers: bool,
    /// Looks at all that a frame says, also where it makes no use of it: bytes behind the last field, and ACK. Otherwise it takes no notice.
    pub is_strict: bool,
    /// Tells within half a second, unasked, how many values its program has taken. Otherwise when it is asked, with credit, and at the end.
    pub tells_unasked: bool,
    /// Opens may wait for an export that is not there yet. Otherwise they are refused at once.
    pub waits: bool,
    /// Takes opens that carry their message. Otherwise it refuses them, or ends the link.
    pub takes_posts: bool,
    /// Imports [`FEED`](super::contract::FEED) and [`REPORT`](super::contract::REPORT) in each session. Otherwise it opens nothing.
    pub imports: bool,
    /// What an importer of [`DOUBLE`](super::contract::DOUBLE) hears for which there is no room, when others have taken it all: `NoResources`, or
    /// `Busy` where an export has one importer at a time.
    pub no_room: Reason,
}

impl Specimen {
    /// A host of this crate, that imports.
    pub const fn host(medium: Medium, dead: Duration) -> Self {
        Self {
            medium,
            dead,
            remembers: true,
            is_strict: true,
            tells_unasked: false,
            waits: true,
            takes_posts: true,
            imports: true,
            no_room: Reason::NoResources,
        }
    }

    /// A board of this crate.
    pub const fn board(line: LineConfig) -> Self {
        Self {
            medium: Medium::Line(line),
            dead: Duration::from_millis(line.dead_ms as u64),
            remembers: false,
            is_strict: false,
            tells_unasked: true,
            waits: false,
            takes_posts: false,
            imports: true,
            no_room: Reason::Busy,
        }
    }

    pub(super) const fn line(&self) -> Option<LineConfig> {
        match self.medium {
            Medium::Stream => None,
            Medium::Line(line) => Some(line),
        }
    }

    pub(super) const fn dead_ms(&self) -> u32 {
        self.dead.as_millis() as u32
    }
}
