//! A node elsewhere in the tree: what is imported from it is spliced by the nodes on the way.

use alloc::string::{String, ToString};
use alloc::sync::{Arc, Weak};
use core::fmt;
use core::time::Duration;

use super::ask::Ask;
use super::ending::ShutDownError;
use super::error::ImportError;
use super::link::LinkCell;
use super::node::{Node, NodeInner};
use super::peer::{From, Import, Way};
use super::post::{Post, PostError};
use super::spec::End;
use crate::message::Message;
use crate::proto::{Dead, Place, Reason, Route};

/// A node of the same tree, by its path or its id; from [`Node::remote`]. Nothing is asked of it before
/// something is imported, so there is none that cannot be made, and it costs nothing.
#[derive(Clone)]
pub struct Remote {
    node: Weak<NodeInner>,
    to: To,
}

#[derive(Clone)]
enum To {
    Id(u32),
    Path(Arc<str>),
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.to {
            To::Id(id) => f.debug_tuple("Remote").field(id).finish(),
            To::Path(path) => f.debug_tuple("Remote").field(path).finish(),
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.to {
            To::Id(id) => write!(f, "node {id}"),
            To::Path(path) => f.write_str(path),
        }
    }
}

impl Remote {
    /// Binds to what the node exports under `name`, as [`Peer::import`](super::Peer::import): the turbofish
    /// names what *you* hold.
    ///
    /// The open travels hop by hop, in one round trip of the whole way. Each node on it promises room of
    /// its own, so a slow end holds up nobody else. When anything on the way is gone the end is dead
    /// at once, with the reason and the id of the node that gave up. Import again then: by a path you
    /// find the node also after it has been given another id.
    pub fn import<E: End>(&self, name: &str) -> Import<E> {
        Import::new(From::Remote(self.clone()), name)
    }

    /// Sends one message to what the node exports under `name` as a `Receiver`, as
    /// [`Peer::post`](super::Peer::post).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let node = netchan::Node::new("desk");
    /// node.remote("bridge/board-7").post("heater", true).wait()?; // the board's program has taken it
    /// let level: i16 = node.remote("bridge/board-7").ask("calibrate", 3_u8).wait()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn post<T: Message + Send>(&self, name: &str, value: T) -> Post<T> {
        Post::new(Way::new(From::Remote(self.clone())), name, value)
    }

    /// As [`Remote::post`], without waiting for anything: it goes now, and nobody hears what becomes of it. For their order
    /// see [`Peer::try_post`](super::Peer::try_post).
    ///
    /// # Errors
    ///
    /// [`PostError`], when it cannot go now. Nothing has been sent then.
    pub fn try_post<T: Message + Send>(&self, name: &str, value: T) -> Result<(), PostError<T>> {
        self.post(name, value).go()
    }

    /// Calls what the node exports under `name` as a `Server`, once, as [`Peer::ask`](super::Peer::ask).
    pub fn ask<Req: Message + Send, Rep: Message + Send>(&self, name: &str, request: Req) -> Ask<Req, Rep> {
        Ask::new(Way::new(From::Remote(self.clone())), name, request)
    }

    /// Tells the node, if it is a child of this one, to end with all below it, and nobody else: as
    /// [`Node::shut_down_below`], of one child.
    ///
    /// Those below it are told first by it, each with half of the time that is left, and all who wait on any of them hear `Shutdown`.
    /// If it has not ended after `grace` and 1.5 s, its link ends with that reason. Of several times the one that is over first
    /// counts. If it comes anew meanwhile, and takes the place of its earlier self, it is told again, and has the time that is left. Does not block.
    ///
    /// # Errors
    ///
    /// [`ShutDownError`]: it is not there, is a board, or is no child of this node, whose parent alone may tell it.
    pub fn shut_down(&self, grace: Duration) -> Result<(), ShutDownError> {
        let node = self.node.upgrade().filter(|node| !node.is_shut()).ok_or(ShutDownError::NotThere)?;
        let route = self.route().map_err(|_| ShutDownError::NotThere)?;
        node.shut_down_at(&route, grace)
    }

    /// The node that asks, if it is the one that is asked.
    pub(crate) fn own(&self) -> Option<Arc<NodeInner>> {
        let node = self.node.upgrade().filter(|node| !node.is_shut())?;
        self.route().ok().filter(|route| node.is_own(route))?;
        Some(node)
    }

    fn route(&self) -> Result<Route<'_>, ImportError> {
        let (to, path) = match &self.to {
            To::Id(id) => (*id, ""),
            To::Path(path) => (0, &**path),
        };
        if to == 0 && !crate::proto::is_path(path) {
            return Err(ImportError::BadName);
        }
        Ok(Route { from: 0, hops: 0, to, path })
    }

    /// Whether this node is shut, or gone.
    pub(crate) fn is_over(&self) -> bool {
        self.node.upgrade().is_none_or(|node| node.is_shut())
    }

    pub(crate) fn open<R>(
        &self,
        open: impl FnOnce(&Arc<LinkCell>, Option<Route<'_>>) -> Result<R, ImportError>,
    ) -> Result<R, ImportError> {
        let node = self.node.upgrade().ok_or(ImportError::Dead(Dead::here(Reason::Shutdown)))?;
        node.way_to(self.route()?, open)
    }
}

impl Node {
    /// A node of the same tree. A path has names of nodes with `/` between: `bridge/board-7` is the
    /// child `board-7` of the child `bridge`. It is looked up from here, then from this node's parent, and
    /// so on to the root; a path that begins with `/` is looked up at the root alone. Each node's own name is that before
    /// it is a child's, and of two children of one name it is the first one's
    /// ([`LinkEvent::NameTaken`](super::LinkEvent::NameTaken)).
    ///
    /// A node may ask itself what it tells of itself (`nodes`, `exports`, `links`, `changes`). To import from
    /// itself, or to post to or ask itself, is [`ImportError::Itself`].
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let node = netchan::Node::new("dashboard");
    /// use netchan::Receiver;
    ///
    /// let board = node.remote("bridge/board-7");
    /// let mut temp = board.import::<Receiver<i32>>("temp").wait()?;
    /// println!("{}", temp.recv().wait()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn remote(&self, path: &str) -> Remote {
        Remote { node: Arc::downgrade(self.inner()), to: To::Path(path.into()) }
    }

    /// As [`Node::remote`], by its id.
    pub fn remote_id(&self, id: u32) -> Remote {
        Remote { node: Arc::downgrade(self.inner()), to: To::Id(id) }
    }

    /// This node's id in its tree: 1 where it is alone, or the root from the beginning. It changes when the
    /// node joins a tree.
    pub fn id(&self) -> u32 {
        self.inner().tree().id()
    }

    /// The ids of the nodes above, from the parent to the root; none at the root.
    pub fn above(&self) -> alloc::vec::Vec<u32> {
        self.inner().tree().above().as_slice().to_vec()
    }

    /// The path from here to a node below, for [`Node::remote`].
    pub fn path_of(&self, id: u32) -> Option<String> {
        self.inner().tree().path_of(id)
    }

    /// A death in words, with the name of the node that gave up where this node knows it: its own, its
    /// neighbours', and those below.
    pub fn describe(&self, dead: &Dead) -> String {
        let name = match dead.at {
            Place::Node(id) => self.name_of(id),
            _ => None,
        };
        match name {
            Some(name) => alloc::format!("dead: {} (says {name})", dead.reason),
            None => dead.to_string(),
        }
    }

    fn name_of(&self, id: u32) -> Option<String> {
        let inner = self.inner();
        let (own, below, parent) = {
            let tree = inner.tree();
            let parent = tree.parent().filter(|_| tree.above().as_slice().first() == Some(&id));
            (tree.id() == id, tree.path_of(id), parent)
        };
        if own {
            return Some(self.name().to_string());
        }
        below.or_else(|| Some(inner.link(parent?)?.lock().peer.as_ref()?.name.clone()))
    }

    /// Tells all nodes below to end, and those below them first: their programs' waits yield `Shutdown`,
    /// and their links end. Neither a program that hangs nor one that does not look stops it: what moves
    /// the bytes obeys. A child that has not ended after `grace` and the 1.5 s that links have for their goodbyes
    /// is left alone: its link ends with the reason `Shutdown`, and all behind it are gone for this tree. Boards
    /// stay, and go on with whoever adopts them next. One child alone is told by [`Peer::shut_down`](super::Peer::shut_down)
    /// or [`Remote::shut_down`].
    ///
    /// What a node has sent before its link ends reaches its parent, and its children have ended by then: so the last records
    /// of a log arrive. What it has sent to others, over bridges, it waits to see taken, for half of its time at the most;
    /// what was not is *in doubt* in its accounts. Does not block.
    pub fn shut_down_below(&self, grace: Duration) {
        self.inner().shut_down_children(grace);
    }

    /// How many routes, ids or sources neighbours have claimed that were not theirs, and how often more than 4096 opens of a
    /// neighbour itself were refused within a second. One is forgotten in 10 seconds; eight of one link that are not end it.
    pub fn strikes(&self) -> u64 {
        self.inner().strikes.load(super::sync::Ordering::Relaxed)
    }
}
