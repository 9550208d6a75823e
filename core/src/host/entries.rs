//! What stands in the lists that a node gives of itself, and what of it is believed.
//!
//! Whoever asks prints these texts, to a terminal or into another language, and keeps them for as long as it likes; and whoever answers may
//! say anything. So each text is checked before there is an entry at all.

use alloc::string::{String, ToString};
use core::marker::PhantomData;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::hub::Hub;
use crate::Message;
use crate::proto::{Name, OpenFlags, Reason, TYPE_NAME_MAX, cut, has_control, is_channel_name};
use crate::tree::{Change, Entry, Tree};

/// Longest doc of an export that is told, in bytes.
const DOC_MAX: usize = 1024;
/// Most bytes of an entry: of an export with the longest texts, and some more.
pub(super) const ENTRY_MAX: u32 = 2048;

/// A node of the tree.
#[derive(Serialize, Message, Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeInfo {
    /// Its id, never given to another one while the root lives.
    pub id: u32,
    /// The id of its parent; 0 for a root.
    pub via: u32,
    /// Its name.
    pub name: String,
}

impl<'de> Deserialize<'de> for NodeInfo {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "NodeInfo")]
        struct Told {
            id: u32,
            via: u32,
            name: Checked<NodeName>,
        }
        let Told { id, via, name } = Told::deserialize(from)?;
        Ok(Self { id, via, name: name.text })
    }
}

impl NodeInfo {
    /// Of the node whose tree this is.
    pub(super) fn own(tree: &Tree, name: &str) -> Self {
        let via = tree.above().as_slice().first().copied().unwrap_or_default();
        Self { id: tree.id(), via, name: name.to_string() }
    }
}

impl From<Entry> for NodeInfo {
    fn from(entry: Entry) -> Self {
        Self { id: entry.id, via: entry.via, name: entry.name.as_str().to_string() }
    }
}

/// A node has come or gone.
#[derive(Serialize, Deserialize, Message, Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a node comes or goes; another type would be another message")]
pub enum NodeChange {
    /// It is there.
    Joined(NodeInfo),
    /// It is gone, and each circuit to it was told. Its `via` is 0. Each node below it that goes with it has a
    /// change of its own. The number is that of the [`Reason`], 0 where none was told: see [`NodeChange::reason`].
    Left(NodeInfo, u8),
    /// So many changes came in this place that there was no room for: more than 1024 at a time, or more than that
    /// while the watcher took none. What was told before may not be so any more: ask for the list again.
    Missed(u64),
}

impl NodeChange {
    /// Why the node is gone, as the node beside it has told: what its link ended with, or that of the node above it with which it
    /// went. `None` of any other change, and where it was not told, as by a bridge board.
    pub fn reason(&self) -> Option<Reason> {
        match *self {
            Self::Left(_, reason) if reason != 0 => Some(Reason::new(reason)),
            _ => None,
        }
    }

    /// What of a change is for those who watch.
    pub(super) fn of(change: &Change) -> Option<Self> {
        let info = |id, via, name: Name| NodeInfo { id, via, name: name.as_str().to_string() };
        Some(match *change {
            Change::Joined { id, via, name } => Self::Joined(info(id, via, name)),
            Change::Left { id, name, reason } => Self::Left(info(id, 0, name), reason.get()),
            Change::Missed(count) => Self::Missed(count),
            Change::NameTaken { .. } => return None,
        })
    }
}

/// A channel that a node exports.
#[derive(Serialize, Message, Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportInfo {
    /// Its name.
    pub name: String,
    /// What the exporter holds, and so what can be imported.
    pub end: EndKind,
    /// Readable name of the type of its values, cut to 64 bytes.
    pub type_name: String,
    /// What [`ExportOptions::doc`](super::ExportOptions::doc) says of it.
    pub doc: String,
    /// How many have imported it.
    pub importers: u32,
}

impl<'de> Deserialize<'de> for ExportInfo {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "ExportInfo")]
        struct Told {
            name: Checked<ChannelName>,
            end: EndKind,
            type_name: Checked<TypeName>,
            doc: Checked<Doc>,
            importers: u32,
        }
        let Told { name, end, type_name, doc, importers } = Told::deserialize(from)?;
        Ok(Self { name: name.text, end, type_name: type_name.text, doc: doc.text, importers })
    }
}

impl ExportInfo {
    pub(super) fn of(hub: &Hub) -> Self {
        // A type's name and a doc are whatever the program says.
        let doc = cut(hub.doc, DOC_MAX).chars().filter(|char| is_of_doc(*char)).collect();
        let type_name = cut(hub.spec.type_name, TYPE_NAME_MAX);
        let type_name = type_name.chars().filter(|char| !char.is_control()).collect();
        Self {
            name: hub.name.to_string(),
            end: EndKind::of(hub.spec.flags),
            type_name,
            doc,
            importers: hub.importers() as u32,
        }
    }
}

/// What the exporter of a channel holds.
#[derive(Serialize, Deserialize, Message, Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "another kind would be another message")]
pub enum EndKind {
    /// A `Sender` (or `ByteWriter`), imported as a `Receiver`.
    Sender,
    /// A `Receiver` (or `ByteReader`), imported as a `Sender`.
    Receiver,
    /// A `Duplex`, imported as its mirror.
    Duplex,
    /// A `Latest`, imported as a `Watch`.
    Latest,
    /// A `Watch`, imported as a `Latest`.
    Watch,
    /// A `Server`, imported as a `Client`.
    Server,
}

impl EndKind {
    fn of(flags: OpenFlags) -> Self {
        match (flags.has(OpenFlags::LATEST), flags.has(OpenFlags::CALLS), flags.has(OpenFlags::BOTH)) {
            (_, true, _) => Self::Server,
            (true, ..) if flags.has(OpenFlags::SENDS) => Self::Latest,
            (true, ..) => Self::Watch,
            (.., true) => Self::Duplex,
            _ if flags.has(OpenFlags::SENDS) => Self::Sender,
            _ => Self::Receiver,
        }
    }
}

/// A link of a node.
#[derive(Serialize, Message, Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkInfo {
    /// Id of the neighbour in the tree; 0 for a peer.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Whether it is the parent.
    pub is_parent: bool,
    /// Bytes of messages that have come over the link, modulo 2^32.
    pub bytes_in: u32,
    /// Bytes of messages that have gone over the link, modulo 2^32.
    pub bytes_out: u32,
    /// Circuits on the link.
    pub circuits: u32,
    /// Of these, so many carry what nodes tell of themselves, as this list.
    pub lists: u32,
    /// Of all, so many pass through the node.
    pub passing: u32,
    /// Bytes that wait: to be taken by the link's stream, begun messages of this node's own among them, and of circuits that
    /// pass through for the next link. Not what waits with its sender, for credit or for room.
    pub waiting: u64,
}

impl<'de> Deserialize<'de> for LinkInfo {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "LinkInfo")]
        struct Told {
            id: u32,
            name: Checked<NodeName>,
            is_parent: bool,
            bytes_in: u32,
            bytes_out: u32,
            circuits: u32,
            lists: u32,
            passing: u32,
            waiting: u64,
        }
        let Told { id, name, is_parent, bytes_in, bytes_out, circuits, lists, passing, waiting } =
            Told::deserialize(from)?;
        Ok(Self { id, name: name.text, is_parent, bytes_in, bytes_out, circuits, lists, passing, waiting })
    }
}

/// What a text of an entry must be.
trait Kind {
    const WHAT: &'static str;
    fn is_one(text: &str) -> bool;
}

struct NodeName;
struct ChannelName;
struct TypeName;
struct Doc;

impl Kind for NodeName {
    const WHAT: &'static str = "a name of a node";

    fn is_one(text: &str) -> bool {
        Name::new(text).is_ok()
    }
}

impl Kind for ChannelName {
    const WHAT: &'static str = "a name of a channel";

    fn is_one(text: &str) -> bool {
        is_channel_name(text, true)
    }
}

impl Kind for TypeName {
    const WHAT: &'static str = "a type's name of 64 bytes without control characters";

    fn is_one(text: &str) -> bool {
        text.len() <= TYPE_NAME_MAX && !has_control(text.as_bytes())
    }
}

impl Kind for Doc {
    const WHAT: &'static str = "1024 bytes of text with no control characters but tabs and ends of lines";

    fn is_one(text: &str) -> bool {
        text.len() <= DOC_MAX && text.chars().all(is_of_doc)
    }
}

fn is_of_doc(char: char) -> bool {
    !char.is_control() || matches!(char, '\n' | '\t')
}

/// A text that is such a one.
struct Checked<K> {
    text: String,
    kind: PhantomData<K>,
}

impl<'de, K: Kind> Deserialize<'de> for Checked<K> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if K::is_one(&text) { Ok(Self { text, kind: PhantomData }) } else { Err(D::Error::custom(K::WHAT)) }
    }
}
