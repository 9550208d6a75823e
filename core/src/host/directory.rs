//! What a node tells of itself to whoever asks: the nodes below it, its exports, its links.
//!
//! These are channels as any other, under names that begin with `$`. A list is made in parts, as fast as it is taken,
//! by the link's own thread or task, and ends; so it needs no program that answers, and none that hangs can
//! stop it.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::cell::{Cell, CellId};
pub(super) use super::entries::NodeInfo;
use super::entries::{ENTRY_MAX, ExportInfo, LinkInfo, NodeChange};
use super::hub::Hub;
use super::input::Offer;
use super::link::{LinkCell, LinkState};
use super::list::List;
use super::local::{Tx, halves};
use super::node::{Node, NodeInner, refuse};
use super::peer::{Import, Peer};
use super::receiver::Receiver;
use super::remote::Remote;
use super::shares::LISTS_MAX;
use super::sync::{MutexGuard, Ordering, PoisonError};
use crate::Message;
use crate::proto::{OpenFlags, Reason, Relation};
use crate::tree::{Change, Origin, Relative};

/// The channel on which a node lists the nodes below it.
pub(crate) const NODES: &str = "$nodes";
const EXPORTS: &str = "$exports";
const LINKS: &str = "$links";
/// The channel on which a node tells of nodes that come and go below it.
const CHANGES: &str = "$changes";

/// Lists that are being sent to one node; more are refused, `Busy`, and so are those that a neighbour asks for faster than
/// they are made for it ([`Pace`](super::list::Pace)).
const LISTS_OF_ONE: usize = 4;
/// Those of one node who are told of changes; more are refused, `Busy`. How many there are on a link says
/// [`Config`](super::Config).
const WATCHERS_OF_ONE: usize = 4;
/// Changes that wait for one who watches. One more stands for all that there was no room for.
const CHANGES_MAX: usize = 1024;

/// Whether what is exported under this name is what a node tells of itself, to so many at a time.
pub(crate) fn is_list(name: &str) -> bool {
    matches!(name, NODES | EXPORTS | LINKS | CHANGES)
}

/// Somebody at the other end of a link who is told of changes.
#[derive(Debug)]
pub(crate) struct Watcher {
    pub(crate) cell: CellId,
    /// Id of the node that it is.
    of: u32,
    /// The last that waits to be sent stands for so many changes that there was no room for.
    missed: u64,
}

impl Watcher {
    /// One more change waits to be sent.
    fn note(&mut self, waiting: &mut VecDeque<Vec<u8>>, change: &NodeChange) {
        let change = fit(waiting, &mut self.missed, change);
        waiting.extend(encoded(&change));
    }
}

/// One of this node's own program who is told of changes.
#[derive(Debug)]
pub(crate) struct OwnWatcher {
    tx: Tx<NodeChange>,
    /// The last that waits stands for so many changes that there was no room for.
    missed: u64,
    /// How many it still wants, if it has said so.
    left: Option<u64>,
}

impl OwnWatcher {
    /// Whether it watches on.
    fn tell(&mut self, changes: &[NodeChange]) -> bool {
        let Self { tx, missed, left } = self;
        let is_there = tx.amend(|waiting| {
            for change in changes {
                if *left == Some(0) {
                    break;
                }
                let before = waiting.len();
                let change = fit(waiting, missed, change);
                waiting.push_back(change);
                let more = waiting.len() - before;
                *left = left.map(|left| left - more as u64);
            }
        });
        is_there && *left != Some(0)
    }
}

/// What is to wait behind the changes that wait: this one, or, without room for it, a last one that stands for all that
/// there was no room for. The one before of that kind is taken away.
fn fit<T>(waiting: &mut VecDeque<T>, missed: &mut u64, change: &NodeChange) -> NodeChange {
    if waiting.len() < CHANGES_MAX {
        *missed = 0;
        return change.clone();
    }
    if *missed > 0 {
        waiting.pop_back();
    }
    *missed += match change {
        NodeChange::Missed(more) => *more,
        NodeChange::Joined(_) | NodeChange::Left(..) => 1,
    };
    NodeChange::Missed(*missed)
}

/// A list that a node gives its own program.
fn listed<T: Message + Send>(list: Vec<T>, most: Option<u64>) -> Receiver<T> {
    let (tx, rx) = halves(list.len());
    let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    tx.amend(|waiting| waiting.extend(list.into_iter().take(most)));
    Receiver::local(rx)
}

fn encoded<T: Message>(value: &T) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    value.encode_to(&mut bytes).ok().map(|()| bytes)
}

/// What can be asked of a node beside its own channels.
macro_rules! questions {
    ($of:ty) => {
        impl $of {
            /// The nodes below it, itself first, in the order of their ids. The list ends in order. A
            /// peer is told of the node itself alone, as one without a parent.
            ///
            /// Of one node four lists may be under way at a time. And for one neighbour a node makes 256 parts of lists in
            /// a second, with up to 4096 in store: 128 nodes or exports are a part, and so are links with 1024 circuits. Who
            /// asks for more is refused, `Busy`, and may ask again a moment later.
            ///
            /// Whoever answers may say anything. So of this list and the ones below each text is checked: a node's name is one, a
            /// channel's too, a type's name and a doc have no control characters but the doc's tabs and ends of lines. What is
            /// none ends the list there, [`RecvError::Decode`](crate::RecvError::Decode), and so it may be printed as it
            /// is. What an entry says is otherwise believed, and how many come is for the program to look at.
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
                    .message_limit(ENTRY_MAX)
                    .or_own(|node, most| listed(node.list_nodes(), most))
            }

            /// The nodes that come and go below it, from now on. Ask for the list after that, and nothing is
            /// missed in between. For who does not take them 1024 wait, about 64 KiB there; what comes then is counted, and
            /// told as [`NodeChange::Missed`] in its place. Of one node four may watch at a time, and
            /// [`watchers_per_link`](super::Config::watchers_per_link) over one link there; more are refused, `Busy`. Peers are
            /// refused, `Refused`.
            pub fn changes(&self) -> Import<Receiver<NodeChange>> {
                self.import(CHANGES).message_limit(ENTRY_MAX).or_own(NodeInner::watch)
            }

            /// What it exports and this node may import, in the order of the names. The list ends in
            /// order. Boards have none: `NoName`.
            pub fn exports(&self) -> Import<Receiver<ExportInfo>> {
                self.import(EXPORTS)
                    .message_limit(ENTRY_MAX)
                    .or_own(|node, most| listed(node.list_exports(), most))
            }

            /// Its links, with what passes over them and what waits; to a peer the one to it alone. The list ends in
            /// order. Boards have none: `NoName`.
            pub fn links(&self) -> Import<Receiver<LinkInfo>> {
                self.import(LINKS)
                    .message_limit(ENTRY_MAX)
                    .or_own(|node, most| listed(node.list_links(), most))
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
        let mut list = Vec::from([NodeInfo::own(&tree, self.identity.name.as_str())]);
        list.extend(tree.nodes().map(NodeInfo::from));
        list
    }

    pub(crate) fn list_links(&self) -> Vec<LinkInfo> {
        let mut list: Vec<_> = self.links().iter().filter_map(|link| self.link_info(link)).collect();
        list.sort_by_key(|info| (!info.is_parent, info.id));
        list
    }

    pub(super) fn link_info(&self, link: &LinkCell) -> Option<LinkInfo> {
        let mut state = link.lock();
        let name = state.peer.as_ref()?.name.clone();
        let is_parent = state.link.relation() == Relation::Parent;
        let (bytes_in, bytes_out) = state.link.payload();
        let transits = state.cells.transits();
        let passing = transits.iter().map(|(_, passage)| passage.held()).sum::<u64>();
        Some(LinkInfo {
            id: link.neighbour.load(Ordering::Relaxed),
            name,
            is_parent,
            bytes_in: bytes_in.get(),
            bytes_out: bytes_out.get(),
            circuits: state.cells.len() as u32,
            lists: state.cells.iter_mut().filter(|cell| cell.tells).count() as u32,
            passing: transits.len() as u32,
            waiting: state.waiting() + passing,
        })
    }

    pub(super) fn export_info(hub: &Hub) -> ExportInfo {
        ExportInfo::of(hub)
    }

    /// All that this node exports.
    fn list_exports(&self) -> Vec<ExportInfo> {
        let mut hubs = self.hubs();
        hubs.retain(|hub| !hub.name.starts_with('$'));
        hubs.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        hubs.iter().map(|hub| Self::export_info(hub)).collect()
    }

    /// Answers an open of one of the system's own names, if it is one. A peer sees nothing behind this node: neither its
    /// place in a tree nor other links.
    pub(crate) fn answer_system(&self, link: &Arc<LinkCell>, offer: &Offer, origin: Origin) -> bool {
        let is_peer = origin.relative == Relative::Peer;
        let only = is_peer.then_some(link.number);
        match &*offer.name {
            NODES => self.send_list::<NodeInfo>(link, offer, origin, |node| List::nodes(node, origin)),
            EXPORTS => self.send_list::<ExportInfo>(link, offer, origin, |node| List::exports(node, origin)),
            LINKS => self.send_list::<LinkInfo>(link, offer, origin, |node| List::links(node, origin, only)),
            CHANGES if is_peer => refuse(link, offer, Reason::Refused, "not visible from there"),
            CHANGES => self.send_changes(link, offer, origin),
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
        list: impl FnOnce(&Self) -> List,
    ) {
        let has_enough =
            |lists: &[(CellId, u32)]| lists.iter().filter(|(_, of)| *of == origin.id).count() >= LISTS_OF_ONE;
        let now = self.now();
        let (of_one, in_a_time) = {
            let mut state = link.lock();
            (has_enough(&state.lists), !state.list_pace.allows(origin.id, now))
        };
        if of_one || in_a_time {
            let detail = if of_one { "four lists at a time" } else { "too many lists in a short time" };
            return refuse(link, offer, Reason::Busy, detail);
        }
        // Looks at the node's tables, so before this link is locked.
        let mut list = list(self);
        // Also where nothing comes of it.
        link.lock().list_pace.take(origin.id, list.cost());
        self.send_system::<T>(link, offer, |state| {
            if has_enough(&state.lists) {
                return None;
            }
            if state.lists.len() >= LISTS_MAX {
                let (oldest, _) = state.lists[0];
                state.kill(oldest, Reason::TooSlow, "");
                state.remove(oldest);
            }
            state.lists.push((offer.cell, origin.id));
            Some(Some(list))
        });
    }

    /// From now on this one is told of changes, as credit comes.
    fn send_changes(&self, link: &Arc<LinkCell>, offer: &Offer, origin: Origin) {
        // Before it is among those who are told, so that whoever has a change looks for them.
        self.is_watched.store(true, Ordering::SeqCst);
        let most = self.config.watchers_per_link as usize;
        self.send_system::<NodeChange>(link, offer, |state| {
            let of_one = state.watchers.iter().filter(|watcher| watcher.of == origin.id).count();
            if of_one >= WATCHERS_OF_ONE || state.watchers.len() >= most {
                return None;
            }
            state.watchers.push(Watcher { cell: offer.cell, of: origin.id, missed: 0 });
            Some(None)
        });
    }

    /// Accepts what is asked of the node itself, if `take` finds room for it; a list is made from there on.
    fn send_system<T: Message>(
        &self,
        link: &Arc<LinkCell>,
        offer: &Offer,
        take: impl FnOnce(&mut LinkState) -> Option<Option<List>>,
    ) {
        if offer.flags != OpenFlags::RECEIVES {
            return refuse(link, offer, Reason::WrongDirection, "");
        }
        let Some(which) = offer.fingerprints.iter().position(|print| *print == T::FINGERPRINT.get()) else {
            return refuse(link, offer, Reason::TypeDiffers, T::NAME);
        };
        let mut state = link.lock();
        let waits = |cell: &mut Cell| cell.handle.filter(|_| cell.dead.is_none());
        let Some(handle) = state.cells.get(offer.cell).and_then(waits) else {
            return state.remove(offer.cell);
        };
        let taken = if state.output.is_flooded() { None } else { take(&mut state) };
        let Some(list) = taken else {
            drop(state);
            return refuse(link, offer, Reason::Busy, "");
        };
        if let Some(cell) = state.cells.get(offer.cell) {
            cell.list_number = list.as_ref().map_or(0, |list| list.number);
            cell.list = list;
            (cell.opened, cell.sends, cell.orphan) = (true, true, true);
            (cell.is_list, cell.tells) = (true, true);
        }
        state.proto_out(|link, slots, out| {
            link.accept(slots, handle, which as u8, 0, 0);
            link.control(slots, out);
        });
        link.flush(state);
        self.go_on_with_list(link, offer.cell);
    }

    /// From now on this node's own program is told of changes, of so many at the most.
    fn watch(&self, most: Option<u64>) -> Receiver<NodeChange> {
        let (tx, rx) = halves(CHANGES_MAX + 1);
        self.keep_watchers(alloc::vec![OwnWatcher { tx, missed: 0, left: most }]);
        Receiver::local(rx)
    }

    fn own_watchers(&self) -> MutexGuard<'_, Vec<OwnWatcher>> {
        self.own_watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep_watchers(&self, mut watchers: Vec<OwnWatcher>) {
        self.own_watchers().append(&mut watchers);
        if self.is_shut() {
            // Perhaps after those that there were have been told. Their drop wakes them, with nothing locked.
            let over = core::mem::take(&mut *self.own_watchers());
            drop(over);
        }
    }

    /// Tells those of this node's own program who watch. Called with nothing locked, by one at a time.
    pub(crate) fn tell_own_watchers(&self, changes: &VecDeque<Change>) {
        // They are woken with nothing locked.
        let mut watchers = core::mem::take(&mut *self.own_watchers());
        if watchers.is_empty() {
            return;
        }
        let changes: Vec<_> = changes.iter().filter_map(NodeChange::of).collect();
        watchers.retain_mut(|watcher| watcher.tell(&changes));
        self.keep_watchers(watchers);
    }

    /// Tells those who watch. Called with nothing locked.
    pub(crate) fn tell_watchers(&self, changes: &VecDeque<Change>) {
        if changes.is_empty() || !self.is_watched.load(Ordering::SeqCst) {
            return;
        }
        let changes: Vec<_> = changes.iter().filter_map(NodeChange::of).collect();
        for link in self.links() {
            let mut state = link.lock();
            if state.down.is_some() || state.watchers.is_empty() {
                continue;
            }
            let mut watchers = core::mem::take(&mut state.watchers);
            for watcher in &mut watchers {
                if let Some(cell) = state.cells.get(watcher.cell) {
                    changes.iter().for_each(|change| watcher.note(&mut cell.backlog, change));
                }
            }
            let cells: Vec<_> = watchers.iter().map(|watcher| watcher.cell).collect();
            state.watchers = watchers;
            cells.into_iter().for_each(|cell| state.send_waiting(cell));
            link.flush(state);
        }
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
