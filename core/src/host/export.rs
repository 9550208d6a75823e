//! What an export does beyond the default, and who may import it.

use alloc::sync::Arc;

use super::hub::Fanout;
use crate::tree::{Origin, Relative};

/// Who may import what a node exports. Everybody else is refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Visibility {
    /// Peers, and in a tree those above and below; not those aside.
    #[default]
    Line,
    /// Nobody: the export is not there for others yet.
    Local,
    /// Those above in the tree, the parent first of all.
    Parent,
    /// All nodes of the tree, and peers.
    Tree,
    /// The nodes with these ids, in the tree in which this node is when it exports. In another one the same ids are others':
    /// when this node joins a tree, or it or the root of its tree is cut off from what is above, they stand
    /// for nobody any more. Drop the export then, and export anew for the ids that are there now.
    Nodes(Arc<[u32]>),
}

impl Visibility {
    /// The nodes with these ids: [`Visibility::Nodes`].
    pub fn nodes(ids: &[u32]) -> Self {
        Self::Nodes(ids.into())
    }

    /// Whether this node may import it; `is_same_tree`: the tree is the one in which it was exported.
    pub(crate) fn shows(&self, origin: Origin, is_same_tree: bool) -> bool {
        match self {
            Self::Line => origin.relative != Relative::Aside,
            Self::Local => false,
            Self::Parent => origin.relative == Relative::Above,
            Self::Tree => true,
            Self::Nodes(ids) => is_same_tree && origin.id != 0 && ids.contains(&origin.id),
        }
    }
}

/// What an export does beyond the default.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ExportOptions {
    /// Who gets a value.
    pub fanout: Fanout,
    /// The longest message that a receiving end takes, in bytes, for types without a bound
    /// of their own; 64 KiB by default.
    pub limit: Option<u32>,
    /// Who may import it.
    pub visibility: Visibility,
    /// What it is, for people who look for it: they are told up to 1024 bytes, without control characters but tabs and
    /// ends of lines.
    pub doc: &'static str,
}

impl ExportOptions {
    /// With this fan-out.
    pub const fn fanout(fanout: Fanout) -> Self {
        Self { fanout, limit: None, visibility: Visibility::Line, doc: "" }
    }

    /// With a word on what it is, for people who look for it.
    #[must_use]
    pub const fn doc(mut self, doc: &'static str) -> Self {
        self.doc = doc;
        self
    }

    /// Visible to these.
    #[must_use]
    pub fn visible_to(mut self, visibility: Visibility) -> Self {
        self.visibility = visibility;
        self
    }

    /// With this limit of a message, in bytes.
    #[must_use]
    pub fn message_limit(mut self, bytes: u32) -> Self {
        self.limit = Some(bytes);
        self
    }
}
