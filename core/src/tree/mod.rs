//! Who is where in a tree: ids, routes and paths, sans-I/O.
//!
//! One [`Tree`] belongs to a node, whatever links it has. It hears of links that come up and go,
//! takes the tree's frames, and says where an open leads and what is to be written to whom. It
//! knows links by number only, and does no I/O.
//!
//! ```text
//! a link is up      -> Tree::adopt (a child), Tree::join (the parent)
//! a frame came      -> Tree::hear
//! an open came      -> Tree::way, with where it came from
//! a link is down    -> Tree::lost
//! something changed -> Tree::due(link), Tree::written: frames to be written, those of routes before the
//!                      opens that they enable
//! ```
//!
//! Memory is bounded by [`Limits`]: one entry for each node below, and one for each link. What is
//! still to be said upward is a mark at the entry it is about, never a queue.

mod due;
mod ids;
mod path;
mod routes;
mod way;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::proto::{Above, Name, Reason, TreeFrame};
use ids::Ids;
use routes::Routes;

pub use way::{NoWay, Origin, Relative, Way};

/// A link, by the number that its node has for it.
pub type LinkNumber = u64;

/// The id of a root that has never been anything else.
pub const FIRST_ID: u32 = 1;
/// So many routes, ids or sources that were not the peer's to claim end its link.
pub const STRIKES_MAX: u8 = 8;

/// How much a tree may hold.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
#[expect(clippy::exhaustive_structs, reason = "every field is a decision")]
pub struct Limits {
    /// Nodes below this one. Each costs about 80 bytes.
    pub nodes: usize,
    /// Ids that may be granted over one link. None of them comes back before the link ends.
    pub ids_per_link: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { nodes: 16 * 1024, ids_per_link: 64 * 1024 }
    }
}

/// What a node knows of its tree.
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub struct Tree {
    name: Name,
    limits: Limits,
    id: u32,
    above: Above,
    parent: Option<Parent>,
    children: Vec<Child>,
    routes: Routes,
    ids: Ids,
    /// Nodes that have come and gone, for those who watch.
    changes: VecDeque<Change>,
    changes_lost: u64,
}

/// The link upward.
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
struct Parent {
    link: LinkNumber,
    /// The parent has given us our id.
    settled: bool,
    /// So many ids are to be asked for, and were: there is one question at a time.
    want: u32,
    asked: bool,
    strikes: u8,
}

/// A link downward.
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
struct Child {
    link: LinkNumber,
    /// 0 while there is none to give.
    id: u32,
    name: Name,
    leaf: bool,
    adopt_due: bool,
    /// It has asked for so many.
    wants: u32,
    grant_due: Option<(u32, u32)>,
    shutdown_due: Option<u32>,
    /// There was no room for a route of its.
    left_out: bool,
    strikes: u8,
}

/// A node has come or gone, somewhere below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
#[expect(clippy::exhaustive_enums, reason = "a node comes or goes")]
pub enum Change {
    /// It is there.
    Joined {
        /// Its id.
        id: u32,
        /// Its parent's.
        via: u32,
        /// Its name.
        name: Name,
    },
    /// It is gone.
    Left {
        /// Its id.
        id: u32,
        /// The name it had.
        name: Name,
    },
}

/// Most changes that wait for somebody to look.
const CHANGES_MAX: usize = 1024;

/// What a frame of the tree means to the node above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "what is not handled would be lost")]
pub enum Heard {
    /// Nothing beyond what [`Tree::due`] says.
    Nothing,
    /// This node has its place: [`Tree::id`] is its id now.
    Settled,
    /// There are no more ids: the links to children that wait for one, with the id 0, are to end with
    /// the reason `NoResources`.
    Exhausted,
    /// This node is to end, and all below it, in so many milliseconds.
    Shutdown(u32),
}

/// What a peer claimed was not its to claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "there is one thing to know")]
pub struct Strike {
    /// It was one too many: the link is to end.
    pub out: bool,
}

/// What the loss of a link means.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "what is not handled would be lost")]
pub enum Lost {
    /// It was no link of the tree.
    Nothing,
    /// It was the parent's: this node is its own root now.
    Parent,
    /// It was a child's.
    Child,
}

/// A node of the tree, as one above it knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what a route says")]
pub struct Entry {
    /// Its id.
    pub id: u32,
    /// Its parent's.
    pub via: u32,
    /// Over which link it is reached.
    pub link: LinkNumber,
    /// Its name.
    pub name: Name,
}

impl Tree {
    /// Of a node that is alone: its own root.
    pub fn new(name: Name, limits: Limits) -> Self {
        Self {
            name,
            limits,
            id: FIRST_ID,
            above: Above::default(),
            parent: None,
            children: Vec::new(),
            routes: Routes::default(),
            ids: Ids::root(FIRST_ID + 1),
            changes: VecDeque::new(),
            changes_lost: 0,
        }
    }

    /// This node's id. It is another one after each [`Heard::Settled`].
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// The ids of the nodes above, from the parent to the root.
    pub const fn above(&self) -> &Above {
        &self.above
    }

    /// The link to the parent.
    pub fn parent(&self) -> Option<LinkNumber> {
        self.parent.as_ref().map(|parent| parent.link)
    }

    /// Whether this node has its place: it is a root, or has been given its id.
    pub fn is_settled(&self) -> bool {
        self.parent.as_ref().is_none_or(|parent| parent.settled)
    }

    /// The links to children, with their ids; 0 where one waits for it.
    pub fn children(&self) -> impl Iterator<Item = (LinkNumber, u32)> {
        self.children.iter().map(|child| (child.link, child.id))
    }

    /// The nodes below, in the order of their ids.
    pub fn nodes(&self) -> impl Iterator<Item = Entry> {
        self.routes.iter()
    }

    /// The node below with this id.
    pub fn node(&self, id: u32) -> Option<Entry> {
        self.routes.get(id)
    }

    /// Id of the neighbour at the other end of a link of the tree; 0 where it has none.
    pub fn neighbour(&self, link: LinkNumber) -> u32 {
        if self.parent() == Some(link) {
            return self.above.as_slice().first().copied().unwrap_or_default();
        }
        self.child(link).map_or(0, |child| child.id)
    }

    /// The next change below that nobody has looked at; 1024 are kept.
    pub fn change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// Whether somebody has yet to look at a change.
    pub fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// How many changes were not kept.
    pub const fn changes_lost(&self) -> u64 {
        self.changes_lost
    }

    /// A child's link is up. A leaf takes no part and hears nothing; others are told their id as
    /// soon as there is one.
    ///
    /// # Errors
    ///
    /// `HopLimit` where the tree would be too deep, `NoResources` where it would be too large:
    /// the link is to end with that reason.
    pub fn adopt(&mut self, link: LinkNumber, name: Name, leaf: bool) -> Result<(), Reason> {
        if self.above.below(self.id).is_none() {
            return Err(Reason::HopLimit);
        }
        if self.room() <= self.children.iter().filter(|child| child.id == 0).count() {
            return Err(Reason::NoResources);
        }
        if self.parent.is_none() && self.ids.is_dry() {
            return Err(Reason::NoResources);
        }
        self.children.push(Child {
            link,
            id: 0,
            name,
            leaf,
            adopt_due: false,
            wants: 0,
            grant_due: None,
            shutdown_due: None,
            left_out: false,
            strikes: 0,
        });
        self.serve();
        Ok(())
    }

    /// The parent's link is up. The links that this returns are those of children: they are to end
    /// with the reason `Renumbered`, and are forgotten here.
    ///
    /// # Errors
    ///
    /// `AlreadyJoined` where there is a parent: the new link is to end.
    pub fn join(&mut self, link: LinkNumber) -> Result<Vec<LinkNumber>, Reason> {
        if self.parent.is_some() {
            return Err(Reason::AlreadyJoined);
        }
        let links = self.children.drain(..).map(|child| child.link).collect();
        for entry in self.routes.clear() {
            self.changed(Change::Left { id: entry.id, name: entry.name });
        }
        self.ids = Ids::none();
        self.parent = Some(Parent { link, settled: false, want: 0, asked: false, strikes: 0 });
        Ok(links)
    }

    /// A link is down.
    pub fn lost(&mut self, link: LinkNumber) -> Lost {
        if self.parent() == Some(link) {
            let settled = self.is_settled();
            self.parent = None;
            self.above = Above::default();
            self.routes.forget_told();
            if settled {
                // What was given out below stays so.
                self.ids.crown();
            } else {
                self.id = FIRST_ID;
                self.ids = Ids::root(FIRST_ID + 1);
            }
            for child in &mut self.children {
                // Those that it has told where they are hear that they are nearer to the root.
                child.adopt_due = child.id != 0 && !child.leaf;
            }
            self.serve();
            return Lost::Parent;
        }
        let Some(at) = self.children.iter().position(|child| child.link == link) else {
            return Lost::Nothing;
        };
        let child = self.children.swap_remove(at);
        self.ids.forget(link);
        if child.id != 0 {
            self.remove(child.id);
        }
        Lost::Child
    }

    /// Takes a frame of the tree. Nothing has changed where it was not the peer's to send.
    ///
    /// # Errors
    ///
    /// [`Strike`] for a route that is not the peer's to claim.
    pub fn hear(&mut self, link: LinkNumber, frame: &TreeFrame<'_>) -> Result<Heard, Strike> {
        if self.parent() != Some(link) && self.child(link).is_none() {
            // Sent before its end was heard of: a link that is being ended claims nothing any more.
            return Ok(Heard::Nothing);
        }
        match *frame {
            TreeFrame::Adopt { id, above } => {
                let Some(parent) = self.parent.as_mut().filter(|parent| parent.link == link) else {
                    return Ok(Heard::Nothing);
                };
                if parent.settled && id != self.id {
                    return Err(self.strike(link));
                }
                let news = !core::mem::replace(&mut parent.settled, true);
                self.id = id;
                self.above = above;
                self.ids.seen(id);
                // Those below are told where they are now.
                for child in &mut self.children {
                    child.adopt_due |= child.id != 0 && !child.leaf;
                }
                self.serve();
                Ok(if news { Heard::Settled } else { Heard::Nothing })
            }
            TreeFrame::Grant { start, count } => {
                let asked = self.parent.as_mut().filter(|parent| parent.link == link);
                let Some(parent) = asked.filter(|parent| parent.asked) else {
                    return Err(self.strike(link));
                };
                let known = |id: u32| id >= start && id - start < count;
                if known(self.id)
                    || self.above.as_slice().iter().any(|&id| known(id))
                    || self.ids.has_any(start, count)
                {
                    // Somebody has them already: two nodes here would have one id.
                    return Err(self.strike(link));
                }
                parent.asked = false;
                if count == 0 {
                    self.turn_down();
                    return Ok(Heard::Exhausted);
                }
                self.ids.add(start, count);
                self.serve();
                Ok(Heard::Nothing)
            }
            TreeFrame::Shutdown { grace_ms } => {
                if self.parent() != Some(link) {
                    return Ok(Heard::Nothing);
                }
                Ok(Heard::Shutdown(grace_ms))
            }
            TreeFrame::Allocate(count) => {
                let Some(child) = self.child_mut(link) else { return Err(self.strike(link)) };
                if child.id == 0 || child.wants != 0 || child.grant_due.is_some() || count == 0 {
                    // One question at a time, and none before it has its own.
                    return Err(self.strike(link));
                }
                child.wants = count;
                self.serve();
                Ok(Heard::Nothing)
            }
            TreeFrame::AddRoute { id, via, name } => self.add_route(link, id, via, name),
            TreeFrame::DelRoute(id) => {
                let Some(child) = self.child(link) else { return Err(self.strike(link)) };
                if id == child.id || !self.ids.owns(link, id) {
                    return Err(self.strike(link));
                }
                // One that there was no room for is not known here.
                self.remove(id);
                Ok(Heard::Nothing)
            }
        }
    }

    /// A child is told to end in so many milliseconds, or all of them are.
    pub fn shut_down(&mut self, link: Option<LinkNumber>, grace_ms: u32) {
        for child in self.children.iter_mut().filter(|child| link.is_none_or(|link| link == child.link)) {
            child.shutdown_due = (!child.leaf).then_some(grace_ms);
        }
    }

    /// The peer has claimed what is not its to claim.
    pub fn strike(&mut self, link: LinkNumber) -> Strike {
        let strikes = match self.parent.as_mut().filter(|parent| parent.link == link) {
            Some(parent) => Some(&mut parent.strikes),
            None => self.child_mut(link).map(|child| &mut child.strikes),
        };
        let Some(strikes) = strikes else { return Strike { out: false } };
        *strikes = strikes.saturating_add(1);
        Strike { out: *strikes >= STRIKES_MAX }
    }

    fn add_route(&mut self, link: LinkNumber, id: u32, via: u32, name: &str) -> Result<Heard, Strike> {
        let (Some(child), Ok(name)) = (self.child(link), Name::new(name)) else {
            return Err(self.strike(link));
        };
        let theirs = self.ids.owns(link, id) && id != child.id && self.routes.get(id).is_none();
        let below = via == child.id || self.routes.get(via).is_some_and(|entry| entry.link == link);
        if !theirs || !below {
            // Below a node that there was no room for, it is not known either.
            let unknown = theirs && child.left_out && self.ids.owns(link, via);
            return if unknown { Ok(Heard::Nothing) } else { Err(self.strike(link)) };
        }
        if self.room() > 0 {
            self.insert(Entry { id, via, link, name });
        } else if let Some(child) = self.child_mut(link) {
            child.left_out = true;
        }
        Ok(Heard::Nothing)
    }

    /// Gives ids to those who wait for them, or asks for more.
    fn serve(&mut self) {
        if !self.is_settled() {
            return;
        }
        for at in 0..self.children.len() {
            let Child { link, id, wants, name, .. } = self.children[at];
            if id == 0 {
                let Some(given) = self.ids.take(1) else { return self.want(ids::BLOCK) };
                self.ids.give(link, given, 1);
                let child = &mut self.children[at];
                child.id = given;
                child.adopt_due = !child.leaf;
                self.insert(Entry { id: given, via: self.id, link, name });
            } else if wants != 0 {
                let count = wants.min(ids::BLOCK);
                let grant = if self.ids.given(link).saturating_add(count) > self.limits.ids_per_link {
                    (0, 0)
                } else if let Some((start, count)) = self.ids.take_most(count) {
                    self.ids.give(link, start, count);
                    (start, count)
                } else if self.ids.is_exhausted() {
                    (0, 0)
                } else {
                    self.want(ids::BLOCK.max(count));
                    continue;
                };
                self.children[at].wants = 0;
                self.children[at].grant_due = Some(grant);
            }
        }
    }

    /// More ids are to be asked for.
    fn want(&mut self, count: u32) {
        if let Some(parent) = &mut self.parent
            && !parent.asked
        {
            parent.want = parent.want.max(count);
        }
    }

    /// There are no more ids: those who wait for them hear so.
    fn turn_down(&mut self) {
        for child in &mut self.children {
            if core::mem::take(&mut child.wants) != 0 {
                child.grant_due = Some((0, 0));
            }
        }
    }

    /// Whether the nodes above are so many that there can be none below.
    pub fn is_too_deep(&self) -> bool {
        self.above.below(self.id).is_none()
    }

    /// How many more nodes below may be known.
    fn room(&self) -> usize {
        self.limits.nodes.saturating_sub(self.routes.len())
    }

    fn insert(&mut self, entry: Entry) {
        self.routes.insert(entry);
        self.changed(Change::Joined { id: entry.id, via: entry.via, name: entry.name });
    }

    /// The node is gone, and all below it.
    fn remove(&mut self, id: u32) {
        for entry in self.routes.remove(id, self.parent.is_some()) {
            self.changed(Change::Left { id: entry.id, name: entry.name });
        }
    }

    fn changed(&mut self, change: Change) {
        if self.changes.len() < CHANGES_MAX {
            self.changes.push_back(change);
        } else {
            self.changes_lost += 1;
        }
    }

    fn child(&self, link: LinkNumber) -> Option<&Child> {
        self.children.iter().find(|child| child.link == link)
    }

    fn child_mut(&mut self, link: LinkNumber) -> Option<&mut Child> {
        self.children.iter_mut().find(|child| child.link == link)
    }
}
