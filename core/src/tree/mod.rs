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
//! before each       -> Tree::pass, with the time; behind each, Tree::turned_away
//! something changed -> Tree::due(link), Tree::written: frames to be written, those of routes before the
//!                      opens that they enable
//! ```
//!
//! Memory is bounded by [`Limits`]: one entry for each node below, and one for each link. What is
//! still to be said upward is a mark at the entry it is about, never a queue.

mod due;
mod grant;
mod ids;
mod path;
mod quota;
mod routes;
mod strikes;
mod way;

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use crate::proto::{Above, HOPS_MAX, Instant, Name, Reason, TreeFrame};
use ids::Ids;
use quota::{Quota, Share};
use routes::Routes;

pub use strikes::{FORGOTTEN_MS, REFUSALS_MAX, Refusals, STRIKES_MAX, Strike, Strikes};
pub use way::{NoWay, Origin, Relative, Way};

/// A link, by the number that its node has for it.
pub type LinkNumber = u64;

/// The id of a root that has never been anything else.
pub const FIRST_ID: u32 = 1;

/// How much a tree may hold.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
#[expect(clippy::exhaustive_structs, reason = "every field is a decision")]
pub struct Limits {
    /// Nodes below this one. Each costs about 260 bytes.
    pub nodes: usize,
    /// Ids that may be granted over one link of a root at once; of a node below it a quarter for each level, 64 at least. None of
    /// them is ever given again. Beyond that a link has its part of 8 ids in each second, a quarter at most, and of what
    /// all links have in common: sixteen times as many at once at a root, and 8 in each second. As many again may be new
    /// children at once, and 16 in each second.
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
    /// Counts the trees that this node has been in.
    era: u64,
    above: Above,
    /// The names of the nodes from the root to this one; empty where no path leads here.
    place: String,
    parent: Option<Parent>,
    children: Vec<Child>,
    routes: Routes,
    ids: Ids,
    quota: Quota,
    now: Instant,
    /// Until then stores were filled.
    filled: Instant,
    /// Counts who is given ids; and when that was a new child.
    turn: u64,
    adopts_turn: u64,
    /// Nodes that have come and gone, for those who watch.
    changes: VecDeque<Change>,
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
    asked: u32,
    /// So many were granted.
    granted: u32,
    /// The last time there were fewer than asked for.
    is_short: bool,
    strikes: Strikes,
}

/// A link downward.
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
struct Child {
    link: LinkNumber,
    /// 0 while there is none to give.
    id: u32,
    turned_away: TurnedAway,
    name: Name,
    uid: u64,
    leaf: bool,
    adopt_due: bool,
    /// It has asked for so many.
    wants: u32,
    share: Share,
    /// So many were granted over it, in so many runs.
    granted: u32,
    runs: u32,
    /// When it last was, and until when it is kept in mind that it was refused.
    turn: u64,
    hungry_until: Option<Instant>,
    grant_due: Option<(u32, u32)>,
    shutdown_due: Option<u32>,
    /// It was told to end by then before there was an id for it: that is said behind it.
    ends_at: Option<Instant>,
    /// There was no room for a route of its.
    left_out: bool,
    strikes: Strikes,
}

/// Whether there is no id for a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
enum TurnedAway {
    No,
    /// There is none, and nobody has been told.
    Due,
    Told,
}

/// A node has come or gone, somewhere below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
#[expect(clippy::exhaustive_enums, reason = "a node comes or goes, or nobody was told")]
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
        /// Why, as the node beside it has said; 0 where that has not.
        reason: Reason,
    },
    /// A child has joined under a name that another child has: it is reached by its id alone until that one has gone.
    NameTaken {
        /// Its id.
        id: u32,
        /// The name.
        name: Name,
        /// Who has it.
        by: u32,
    },
    /// So many changes came here that there was no room for.
    Missed(u64),
}

/// Most changes that wait for somebody to look. One more stands for all that there was no room for.
const CHANGES_MAX: usize = 1024;

/// What a frame of the tree means to the node above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "what is not handled would be lost")]
pub enum Heard {
    /// Nothing beyond what [`Tree::due`] says.
    Nothing,
    /// This node has its place: [`Tree::id`] is its id now.
    Settled,
    /// There are no more ids for now: [`Tree::turned_away`] says whose links are to end.
    Exhausted,
    /// This node is to end, and all below it, in so many milliseconds.
    Shutdown(u32),
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
            era: 0,
            above: Above::default(),
            place: name.as_str().to_string(),
            parent: None,
            children: Vec::new(),
            routes: Routes::default(),
            ids: Ids::root(FIRST_ID + 1),
            quota: Quota::default(),
            now: Instant::ZERO,
            filled: Instant::ZERO,
            turn: 0,
            adopts_turn: 0,
            changes: VecDeque::new(),
        }
    }

    /// This node's id. It is another one after each [`Heard::Settled`].
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Another number for each tree that this node is in: with another root, or none above it. An id that it has heard of in
    /// one may be anybody's in the next.
    pub const fn era(&self) -> u64 {
        self.era
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

    /// It is so late. Ids may be given only so fast, so and strikes are forgotten, so this is said before each of
    /// [`Tree::adopt`], [`Tree::hear`], [`Tree::strike`] and [`Tree::lost`]; the moment zero is the caller's.
    pub fn pass(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let time = self.now.as_micros() - self.filled.as_micros();
        if time < quota::STEP_US {
            return;
        }
        self.filled = self.now;
        self.quota.pass(time);
        let (most, depth) = (self.limits.ids_per_link, self.depth());
        let takes_part = |child: &&mut Child| !child.leaf;
        let links = self.children.iter_mut().filter(takes_part).count();
        for child in self.children.iter_mut().filter(takes_part) {
            child.share.pass(time, links, most, depth);
        }
    }

    /// A child for which there is no id: its link is to end, with the reason `NoResources`. Each is said once.
    pub fn turned_away(&mut self) -> Option<LinkNumber> {
        let child = self.children.iter_mut().find(|child| child.turned_away == TurnedAway::Due)?;
        child.turned_away = TurnedAway::Told;
        Some(child.link)
    }

    /// The links to children, with their ids; 0 where one waits for it.
    pub fn children(&self) -> impl Iterator<Item = (LinkNumber, u32)> {
        self.children.iter().map(|child| (child.link, child.id))
    }

    /// The nodes below, in the order of their ids.
    pub fn nodes(&self) -> impl Iterator<Item = Entry> {
        self.routes.iter()
    }

    /// Of these, those with higher ids than this one.
    pub fn nodes_after(&self, id: u32) -> impl Iterator<Item = Entry> {
        self.routes.after(id)
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

    /// The changes below that nobody has looked at, in their order. Of more than 1024 the last ones are one
    /// [`Change::Missed`].
    pub fn changes(&mut self) -> VecDeque<Change> {
        core::mem::take(&mut self.changes)
    }

    /// Whether somebody has yet to look at a change.
    pub fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// A child's link is up. A leaf takes no part and hears nothing; others are told their id as
    /// soon as there is one.
    ///
    /// The same node come back, by its uid, takes the place of what it was: the earlier link, which this returns, is to end
    /// with the reason `Superseded`, and is forgotten here. Another one of the same name is there beside the first,
    /// without the name. So is a leaf: a board starts over on its own line, and two that run one program, with one uid in
    /// it, are two.
    ///
    /// # Errors
    ///
    /// `HopLimit` where the tree would be too deep, `NoResources` where it would be too large, or where
    /// there is no id for now: the link is to end with that reason.
    pub fn adopt(
        &mut self,
        link: LinkNumber,
        name: Name,
        uid: u64,
        leaf: bool,
    ) -> Result<Option<LinkNumber>, Reason> {
        if self.above.below(self.id).is_none() {
            return Err(Reason::HopLimit);
        }
        let is_same = |child: &Child| !leaf && !child.leaf && child.name == name && child.uid == uid;
        let before = self.children.iter().position(is_same);
        let waiting = self.children.iter().filter(|child| child.waits()).count();
        // Who takes the place of another needs no other one, but an id.
        if before.is_none() && self.room() <= waiting {
            return Err(Reason::NoResources);
        }
        let adopts = self.quota.adopts(self.limits.ids_per_link, self.depth());
        if adopts as usize <= waiting || self.ids.is_root() && self.ids.left() == 0 {
            return Err(Reason::NoResources);
        }
        let before = before.map(|at| self.part(at, Reason::Superseded));
        self.children.push(Child {
            link,
            id: 0,
            turned_away: TurnedAway::No,
            name,
            uid,
            leaf,
            adopt_due: false,
            wants: 0,
            share: Share::default(),
            granted: 0,
            runs: 0,
            turn: self.turn,
            hungry_until: None,
            grant_due: None,
            shutdown_due: None,
            ends_at: None,
            left_out: false,
            strikes: Strikes::default(),
        });
        self.serve();
        Ok(before)
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
            self.changed(Change::Left { id: entry.id, name: entry.name, reason: Reason::Renumbered });
        }
        self.ids = Ids::none();
        self.place.clear();
        self.era += 1;
        self.quota = Quota::default();
        self.parent = Some(Parent {
            link,
            settled: false,
            want: 0,
            asked: 0,
            granted: 0,
            is_short: false,
            strikes: Strikes::default(),
        });
        Ok(links)
    }

    /// A link is down, and why.
    pub fn lost(&mut self, link: LinkNumber, reason: Reason) -> Lost {
        if self.parent() == Some(link) {
            let settled = self.is_settled();
            self.parent = None;
            self.era += 1;
            self.above = Above::default();
            self.place = self.name.as_str().to_string();
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
        self.part(at, reason);
        Lost::Child
    }

    /// This child is gone, with all below it: what its link was.
    fn part(&mut self, at: usize, reason: Reason) -> LinkNumber {
        let child = self.children.swap_remove(at);
        self.ids.forget(child.link);
        if child.id == 0 {
            return child.link;
        }
        let named = |tree: &Self| tree.routes.named(tree.id, child.name.as_str());
        let was_named = named(self) == Some(child.id);
        self.remove(child.id, reason);
        // A path leads to the next one of that name now, which is told so.
        let next = named(self).filter(|_| was_named);
        for next in self.children.iter_mut().filter(|child| Some(child.id) == next) {
            next.adopt_due |= !next.leaf;
        }
        child.link
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
            TreeFrame::Adopt { id, above, place } => {
                let Some(parent) = self.parent.as_mut().filter(|parent| parent.link == link) else {
                    return Ok(Heard::Nothing);
                };
                if parent.settled && id != self.id {
                    return Err(self.strike(link));
                }
                let news = !core::mem::replace(&mut parent.settled, true);
                if news || above.as_slice().last() != self.above.as_slice().last() {
                    self.era += 1;
                }
                let before = (self.id, self.above, core::mem::take(&mut self.place));
                self.id = id;
                self.above = above;
                self.place = self.place_below(place);
                self.ids.seen(id);
                if before != (self.id, self.above, self.place.clone()) {
                    // Those below are told where they are now.
                    for child in &mut self.children {
                        child.adopt_due |= child.id != 0 && !child.leaf;
                    }
                }
                self.serve();
                Ok(if news { Heard::Settled } else { Heard::Nothing })
            }
            TreeFrame::Grant { start, count } => {
                let asked = self.parent.as_mut().filter(|parent| parent.link == link);
                let Some(parent) = asked.filter(|parent| parent.asked > 0) else {
                    return Err(self.strike(link));
                };
                let known = |id: u32| id >= start && id - start < count;
                if known(self.id)
                    || self.above.as_slice().iter().any(|&id| known(id))
                    || count > 0 && self.ids.has_any(start, count)
                {
                    // Somebody has them already: two nodes here would have one id.
                    return Err(self.strike(link));
                }
                parent.is_short = count < parent.asked;
                parent.granted = parent.granted.saturating_add(count);
                parent.asked = 0;
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
            TreeFrame::DelRoute(id, reason) => {
                let Some(child) = self.child(link) else { return Err(self.strike(link)) };
                if id == child.id || !self.ids.owns(link, id) {
                    return Err(self.strike(link));
                }
                // One that there was no room for is not known here.
                self.remove(id, reason);
                Ok(Heard::Nothing)
            }
        }
    }

    /// A child is told to end in so many milliseconds, or all of them are.
    pub fn shut_down(&mut self, link: Option<LinkNumber>, grace_ms: u32) {
        let is_meant = |child: &&mut Child| !child.leaf && link.is_none_or(|link| link == child.link);
        let at = self.now + Duration::from_millis(u64::from(grace_ms));
        for child in self.children.iter_mut().filter(is_meant) {
            // Of several times the one that is over first counts.
            if child.id == 0 {
                child.ends_at = Some(child.ends_at.map_or(at, |before| before.min(at)));
            } else {
                child.shutdown_due = Some(child.shutdown_due.map_or(grace_ms, |due| due.min(grace_ms)));
            }
        }
    }

    /// The peer has claimed what is not its to claim.
    pub fn strike(&mut self, link: LinkNumber) -> Strike {
        let now = self.now;
        let strikes = match self.parent.as_mut().filter(|parent| parent.link == link) {
            Some(parent) => Some(&mut parent.strikes),
            None => self.child_mut(link).map(|child| &mut child.strikes),
        };
        strikes.map_or(Strike { out: false }, |strikes| strikes.add(now))
    }

    fn add_route(&mut self, link: LinkNumber, id: u32, via: u32, name: &str) -> Result<Heard, Strike> {
        let (Some(child), Ok(name)) = (self.child(link), Name::new(name)) else {
            return Err(self.strike(link));
        };
        let theirs = self.ids.owns(link, id) && id != child.id && self.routes.get(id).is_none();
        let below = via == child.id || self.routes.get(via).is_some_and(|entry| entry.link == link);
        // No honest tree is so deep, for who is at its end adopts nobody.
        let is_too_deep = self.routes.depth(via) >= HOPS_MAX.into();
        if !theirs || !below || is_too_deep {
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

    /// How many nodes there are above.
    fn depth(&self) -> u32 {
        self.above.as_slice().len() as u32
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
        let Entry { id, via, name, .. } = entry;
        let first = self.routes.named(via, name.as_str()).filter(|_| via == self.id);
        self.routes.insert(entry);
        self.changed(Change::Joined { id, via, name });
        if let Some(by) = first {
            self.changed(Change::NameTaken { id, name, by });
        }
    }

    /// The node is gone, and all below it.
    fn remove(&mut self, id: u32, reason: Reason) {
        for entry in self.routes.remove(id, reason, self.parent.is_some()) {
            self.changed(Change::Left { id: entry.id, name: entry.name, reason });
        }
    }

    fn changed(&mut self, change: Change) {
        if self.changes.len() < CHANGES_MAX {
            self.changes.push_back(change);
        } else if let Some(Change::Missed(count)) = self.changes.back_mut() {
            *count += 1;
        } else {
            self.changes.push_back(Change::Missed(1));
        }
    }

    fn child(&self, link: LinkNumber) -> Option<&Child> {
        self.children.iter().find(|child| child.link == link)
    }

    fn child_mut(&mut self, link: LinkNumber) -> Option<&mut Child> {
        self.children.iter_mut().find(|child| child.link == link)
    }
}

impl Child {
    /// It waits for its id.
    fn waits(&self) -> bool {
        self.id == 0 && self.turned_away == TurnedAway::No
    }
}
