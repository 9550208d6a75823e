//! What parents and children tell each other.

use super::fields::{Reader, Writer};
use super::text::PATH_MAX;
#[cfg(feature = "alloc")]
use super::text::is_path;
use super::{
    FrameError, KIND_LINK, LINK_ADD_ROUTE, LINK_ADOPT, LINK_ALLOCATE, LINK_DEL_ROUTE, LINK_GRANT,
    LINK_SHUTDOWN,
};
use crate::proto::Reason;
use crate::proto::hello::Name;

/// Most hops between the two ends of a circuit, and so the most nodes above another one.
pub const HOPS_MAX: u8 = 15;

/// What parents and children tell each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a frame of a later version must be handled, not skipped")]
pub enum TreeFrame<'a> {
    /// To a child: its id, and those of the nodes above it.
    Adopt {
        /// The child's own.
        id: u32,
        /// From the parent to the root.
        above: Above,
        /// The names of the nodes above, from the root to the parent, with `/` between. Empty where a path does not
        /// lead to the child, because another one has its name, or where the names have more than 128 bytes.
        place: &'a str,
    },
    /// To the parent: so many ids are wanted.
    Allocate(u32),
    /// To a child: these ids are its own to give; none where there are no more.
    Grant {
        /// The first.
        start: u32,
        /// How many.
        count: u32,
    },
    /// To the parent: a node is there.
    AddRoute {
        /// Its id.
        id: u32,
        /// The id of its parent.
        via: u32,
        /// Its name.
        name: &'a str,
    },
    /// To the parent: a node is gone, with all below it, and why; reason 0 is not said.
    DelRoute(u32, Reason),
    /// To a child: it is to end, and all below it.
    Shutdown {
        /// How long it may take, in milliseconds.
        grace_ms: u32,
    },
}

/// Ids of the nodes above one, from its parent to the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub struct Above {
    list: [u32; HOPS_MAX as usize],
    len: u8,
}

impl Above {
    /// As a slice; empty at the root.
    pub fn as_slice(&self) -> &[u32] {
        self.list.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// For the children of a node with this id, below these; `None` where the tree would be
    /// too deep.
    #[must_use]
    pub fn below(&self, id: u32) -> Option<Self> {
        let len = usize::from(self.len);
        let mut below = Self { list: [0; HOPS_MAX as usize], len: self.len + 1 };
        let (first, rest) = below.list.split_first_mut()?;
        *first = id;
        rest.get_mut(..len)?.copy_from_slice(self.as_slice());
        Some(below)
    }
}

impl<'a> Reader<'a> {
    /// Of a node, which is never 0.
    fn id(&mut self) -> u32 {
        let id = self.number();
        if id == 0 {
            self.fail(FrameError::Value);
        }
        id
    }

    /// Names of nodes. What has no allocator is no parent of anybody who would ask by names, and needs none.
    #[cfg(feature = "alloc")]
    fn place(&mut self) -> &'a str {
        let place = self.text(PATH_MAX);
        if !place.is_empty() && (!is_path(place) || place.starts_with('/')) {
            self.fail(FrameError::Text);
        }
        place
    }

    #[cfg(not(feature = "alloc"))]
    const fn place(&self) -> &'a str {
        ""
    }

    /// A frame of the tree, of one of its numbers.
    pub(crate) fn tree(&mut self, number: u32) -> TreeFrame<'a> {
        match number {
            LINK_ADOPT => {
                let id = self.id();
                let mut above = Above { list: [0; HOPS_MAX as usize], len: self.byte() };
                if above.len == 0 || above.len > HOPS_MAX {
                    self.fail(FrameError::Value);
                    above.len = 0;
                }
                for slot in above.list.iter_mut().take(usize::from(above.len)) {
                    *slot = self.id();
                }
                TreeFrame::Adopt { id, above, place: self.place() }
            }
            LINK_ALLOCATE => TreeFrame::Allocate(self.number()),
            LINK_GRANT => {
                let (start, count) = (self.number(), self.number());
                if count != 0 && (start == 0 || start.checked_add(count).is_none()) {
                    self.fail(FrameError::Value);
                }
                TreeFrame::Grant { start, count }
            }
            LINK_ADD_ROUTE => {
                let (id, via) = (self.id(), self.id());
                let name = self.text(Name::MAX_LEN);
                if Name::new(name).is_err() {
                    self.fail(FrameError::Text);
                }
                TreeFrame::AddRoute { id, via, name }
            }
            LINK_DEL_ROUTE => {
                let id = self.id();
                let reason = if self.rest.is_empty() { 0 } else { self.byte() };
                TreeFrame::DelRoute(id, Reason::new(reason))
            }
            _ => TreeFrame::Shutdown { grace_ms: self.number() },
        }
    }
}

impl Writer<'_> {
    pub(super) fn tree(&mut self, frame: &TreeFrame<'_>) -> Result<&mut Self, FrameError> {
        match *frame {
            TreeFrame::Adopt { id, ref above, place } => {
                self.head(LINK_ADOPT, KIND_LINK)?.number(id)?.byte(above.len)?;
                for &id in above.as_slice() {
                    self.number(id)?;
                }
                self.text(place, PATH_MAX)
            }
            TreeFrame::Allocate(count) => self.head(LINK_ALLOCATE, KIND_LINK)?.number(count),
            TreeFrame::Grant { start, count } => {
                self.head(LINK_GRANT, KIND_LINK)?.number(start)?.number(count)
            }
            TreeFrame::AddRoute { id, via, name } => {
                self.head(LINK_ADD_ROUTE, KIND_LINK)?.number(id)?.number(via)?.text(name, Name::MAX_LEN)
            }
            TreeFrame::DelRoute(id, reason) => {
                let frame = self.head(LINK_DEL_ROUTE, KIND_LINK)?.number(id)?;
                if reason.get() == 0 { Ok(frame) } else { frame.byte(reason.get()) }
            }
            TreeFrame::Shutdown { grace_ms } => self.head(LINK_SHUTDOWN, KIND_LINK)?.number(grace_ms),
        }
    }
}
