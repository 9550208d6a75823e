//! What a node tells of itself to whoever asks: the nodes below it, its exports, its links.
//!
//! These are channels as any other, under names that begin with `$`. A list is sent as it is when somebody asks for
//! it, by the link's own thread or task, and ends; so it needs no program that answers, and none that hangs can
//! stop it.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::export::{ExportOptions, Visibility};
use super::hub::Fanout;
use super::input::Offer;
use super::link::LinkCell;
use super::node::{Node, NodeInner, refuse};
use super::peer::{Import, Peer};
use super::receiver::Receiver;
use super::remote::Remote;
use super::sender::Sender;
use super::sync::PoisonError;
use crate::Message;
use crate::proto::{OpenFlags, Reason, Relation};
use crate::tree::{Change, Origin};

/// The channel on which a node lists the nodes below it.
pub(crate) const NODES: &str = "$nodes";
const EXPORTS: &str = "$exports";
const LINKS: &str = "$links";
/// The channel on which a node tells of nodes that come and go below it.
const CHANGES: &str = "$changes";

/// Lists that are being sent on one link at a time: for one more the oldest is given up, `TooSlow`. An importer that
/// takes what comes has its list in a few round trips.
const LISTS_MAX: usize = 8;
/// Lists that are being sent to one node; more are refused, `Busy`.
const LISTS_OF_ONE: usize = 4;

/// A node of the tree.
#[derive(Serialize, Deserialize, Message, Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeInfo {
    /// Its id, never given to another one while the root lives.
    pub id: u32,
    /// The id of its parent; 0 for a root.
    pub via: u32,
    /// Its name.
    pub name: String,
}

/// A node has come or gone.
#[derive(Serialize, Deserialize, Message, Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a node comes or goes; another type would be another message")]
pub enum NodeChange {
    /// It is there.
    Joined(NodeInfo),
    /// It is gone, and each circuit to it was told. What it has said of nodes below it is told by itself.
    Left(NodeInfo),
}

/// A channel that a node exports.
#[derive(Serialize, Deserialize, Message, Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportInfo {
    /// Its name.
    pub name: String,
    /// What the exporter holds, and so what can be imported.
    pub end: EndKind,
    /// Readable name of the type of its values.
    pub type_name: String,
    /// What [`ExportOptions::doc`] says of it.
    pub doc: String,
    /// How many have imported it.
    pub importers: u32,
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

/// A link of a node.
#[derive(Serialize, Deserialize, Message, Debug, Clone, PartialEq, Eq)]
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
    /// Of these, so many pass through the node.
    pub passing: u32,
    /// Bytes that wait: to be written to the link, and of circuits that pass through for the next one.
    pub waiting: u64,
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

/// What can be asked of a node beside its own channels.
macro_rules! questions {
    ($of:ty) => {
        impl $of {
            /// The nodes below it, itself first, in the order of their ids. The list ends in order.
            ///
            /// ```no_run
            /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
            /// # let node = netchan::Node::new("dashboard");
            /// for info in &mut node.remote("/").nodes().wait()? {
            ///     let info = info?;
            ///     println!("{} {} below {}", info.id, info.name, info.via);
            /// }
            /// # Ok(())
            /// # }
            /// ```
            pub fn nodes(&self) -> Import<Receiver<NodeInfo>> {
                self.import(NODES)
            }

            /// The nodes that come and go below it, from now on. Ask for the list after that, and nothing is
            /// missed in between. Who does not take them misses some, which ends nothing.
            pub fn changes(&self) -> Import<Receiver<NodeChange>> {
                self.import(CHANGES)
            }

            /// What it exports and this node may import, in the order of the names. The list ends in
            /// order. Boards have none: `NoName`.
            pub fn exports(&self) -> Import<Receiver<ExportInfo>> {
                self.import(EXPORTS)
            }

            /// Its links, with what passes over them and what waits. The list ends in order. Boards have none: `NoName`.
            pub fn links(&self) -> Import<Receiver<LinkInfo>> {
                self.import(LINKS)
            }
        }
    };
}

questions!(Remote);
questions!(Peer);

impl NodeInner {
    /// This node, and those below.
    pub(crate) fn list_nodes(&self) -> Vec<NodeInfo> {
        let tree = self.tree();
        let own = NodeInfo {
            id: tree.id(),
            via: tree.above().as_slice().first().copied().unwrap_or_default(),
            name: self.identity.name.as_str().to_string(),
        };
        let info = |entry: crate::tree::Entry| NodeInfo {
            id: entry.id,
            via: entry.via,
            name: entry.name.as_str().to_string(),
        };
        core::iter::once(own).chain(tree.nodes().map(info)).collect()
    }

    pub(crate) fn list_links(&self) -> Vec<LinkInfo> {
        let mut list: Vec<_> = self
            .links()
            .iter()
            .filter_map(|link| {
                let state = link.lock();
                let name = state.peer.as_ref()?.name.clone();
                let is_parent = state.link.relation() == Relation::Parent;
                let (bytes_in, bytes_out) = state.link.payload();
                let transits = state.cells.transits();
                let passing = transits.iter().map(|(_, passage)| passage.held()).sum::<u64>();
                Some(LinkInfo {
                    id: link.neighbour.load(super::sync::Ordering::Relaxed),
                    name,
                    is_parent,
                    bytes_in: bytes_in.get(),
                    bytes_out: bytes_out.get(),
                    circuits: state.cells.len() as u32,
                    passing: transits.len() as u32,
                    waiting: state.output.bytes.len() as u64 + passing,
                })
            })
            .collect();
        list.sort_by_key(|info| (!info.is_parent, info.id));
        list
    }

    fn list_exports(&self, origin: Origin) -> Vec<ExportInfo> {
        let mut list: Vec<_> = self
            .hubs()
            .iter()
            .filter(|hub| !hub.name.starts_with('$') && hub.visibility.shows(origin))
            .map(|hub| ExportInfo {
                name: hub.name.to_string(),
                end: EndKind::of(hub.spec.flags),
                type_name: hub.spec.type_name.to_string(),
                doc: hub.doc.to_string(),
                importers: hub.importers() as u32,
            })
            .collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }

    /// Answers an open of one of the system's own names, if it is one.
    pub(crate) fn answer_system(&self, link: &Arc<LinkCell>, offer: &Offer, origin: Origin) -> bool {
        match &*offer.name {
            NODES => self.send_list(link, offer, origin, || self.list_nodes()),
            EXPORTS => self.send_list(link, offer, origin, || self.list_exports(origin)),
            LINKS => self.send_list(link, offer, origin, || self.list_links()),
            CHANGES => {
                self.watch_changes();
                return false;
            }
            _ => return false,
        }
        true
    }

    /// A list goes its way: the link sends it as credit comes, and forgets it.
    fn send_list<T: Message>(
        &self,
        link: &Arc<LinkCell>,
        offer: &Offer,
        origin: Origin,
        list: impl FnOnce() -> Vec<T>,
    ) {
        if offer.flags != OpenFlags::RECEIVES {
            return refuse(link, offer, Reason::WrongDirection, "");
        }
        let Some(which) = offer.fingerprints.iter().position(|print| *print == T::FINGERPRINT.get()) else {
            return refuse(link, offer, Reason::TypeDiffers, T::NAME);
        };
        let encode = |value: &T| {
            let mut bytes = Vec::new();
            value.encode_to(&mut bytes).ok().map(|()| bytes)
        };
        let has_enough =
            |lists: &[(usize, u32)]| lists.iter().filter(|(_, of)| *of == origin.id).count() >= LISTS_OF_ONE;
        if has_enough(&link.lock().lists) {
            return refuse(link, offer, Reason::Busy, "");
        }
        // Looks at other links, so before this one is locked.
        let list = list();
        let mut state = link.lock();
        let waits = |cell: &mut Cell| cell.handle.filter(|_| cell.dead.is_none());
        let Some(handle) = state.cells.get(offer.cell).and_then(waits) else {
            return state.remove(offer.cell);
        };
        if has_enough(&state.lists) || state.output.is_flooded() {
            drop(state);
            return refuse(link, offer, Reason::Busy, "");
        }
        if state.lists.len() >= LISTS_MAX {
            let (oldest, _) = state.lists[0];
            state.kill(oldest, Reason::TooSlow, "");
            state.remove(oldest);
        }
        state.lists.push((offer.cell, origin.id));
        if let Some(cell) = state.cells.get(offer.cell) {
            cell.backlog = list.iter().filter_map(encode).collect();
            (cell.opened, cell.sends, cell.orphan, cell.end_after, cell.is_list) =
                (true, true, true, true, true);
        }
        state.proto_out(|link, slots, out| {
            link.accept(slots, handle, which as u8, 0, 0);
            link.control(slots, out);
        });
        state.send_waiting(offer.cell);
        link.flush(state);
    }

    /// From now on somebody watches.
    fn watch_changes(&self) {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if changes.is_none() {
            let options = ExportOptions::fanout(Fanout::Broadcast).visible_to(Visibility::Tree);
            *changes = self.publish::<Sender<NodeChange>>(CHANGES, options).ok().map(Arc::new);
        }
    }

    /// Tells those who watch.
    pub(crate) fn tell_change(&self, change: &Change) {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(sender) = changes else { return };
        // A broadcast misses those who are slow, and counts them.
        let _ = sender.try_send(match *change {
            Change::Joined { id, via, name } => {
                NodeChange::Joined(NodeInfo { id, via, name: name.as_str().to_string() })
            }
            Change::Left { id, name } => {
                NodeChange::Left(NodeInfo { id, via: 0, name: name.as_str().to_string() })
            }
        });
    }
}

impl Node {
    /// The nodes below, in the order of their ids: children, their children, and so on. Of the whole tree:
    /// `node.remote("/").nodes()`.
    pub fn nodes(&self) -> Vec<NodeInfo> {
        let mut nodes = self.inner().list_nodes();
        nodes.remove(0);
        nodes
    }

    /// This node's links, with what passes over them and what waits.
    pub fn links(&self) -> Vec<LinkInfo> {
        self.inner().list_links()
    }
}
