//! What a bridge board knows of its tree: its own place, and the boards behind it.
//!
//! It is what [`tree`](crate::tree) is on hosts, with tables of a fixed size. What is to be said to a neighbour is looked up
//! here, never queued: so a board behind it that comes and goes makes nothing grow. Which line it is about says a line's index, 0 for the one
//! upward.

use super::super::lines::LINES;
#[cfg(feature = "async")]
use super::super::node::Common;
use super::super::short::Short;
use crate::proto::{HOPS_MAX, LINK_ADD_ROUTE, LINK_ALLOCATE, LINK_DEL_ROUTE, Name, Reason};

/// The line upward.
pub(in crate::board) const UP: usize = 0;
/// So many ids are asked for at a time.
const BLOCK: u32 = 16;
/// The id of a root that has never been anything else.
const FIRST_ID: u32 = 1;
/// So many claims that are not the peer's to make end its session.
const STRIKES_MAX: u8 = 8;

/// What a board knows of its tree; all zero before its first line is made.
pub(in crate::board) struct Tree {
    id: u32,
    /// Ids of the nodes above, from the parent to the root.
    above: [u32; HOPS_MAX as usize],
    above_len: u8,
    is_settled: bool,
    /// Ids are to be asked for, and were.
    wants: bool,
    has_asked: bool,
    is_root: bool,
    /// Ids that may be given: the next one, and how many there are from there on.
    next: u32,
    count: u32,
    /// The highest that was ever seen here.
    highest: u32,
    /// The node above has asked us to end, and gives us so many milliseconds.
    shutdown: Option<u32>,
    /// Where the tasks of the lines wait.
    #[cfg(feature = "async")]
    common: Option<&'static Common>,
    lines: [Line; LINES],
}

/// A line of the bridge.
struct Line {
    /// There is a session.
    is_up: bool,
    /// With a node of the tree.
    is_tree: bool,
    /// Its node was told of upward.
    is_told: bool,
    strikes: u8,
    /// Why the session is to end; 0: it is not.
    end: Reason,
    /// Longest body of a packet that both take.
    packet: u16,
    /// Id of the child there; 0 while there is none to give.
    id: u32,
    /// Id of one that was there, and whose end is to be told upward.
    gone: u32,
    name_len: u8,
    name: [u8; Name::MAX_LEN],
}

/// What an OPEN says of its way.
#[derive(Debug, Clone, Copy)]
pub(in crate::board) struct Route {
    pub(in crate::board) from: u32,
    pub(in crate::board) hops: u8,
    /// 0: a path says it.
    pub(in crate::board) to: u32,
}

/// Where an OPEN leads.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::board) enum Way {
    #[default]
    Here,
    /// Over that line, to the node at its other end.
    Onward {
        line: u8,
        node: u32,
        packet: u16,
    },
    Dead(Reason),
    /// The neighbour claims a source that is not behind it; that may have been once too often.
    Forged,
}

/// What a frame of the tree has come to say.
#[derive(Debug, Clone, Copy)]
pub(in crate::board) enum TreeHeard {
    /// This board's id, and those of the nodes above, from the parent to the root: so many.
    Adopt(u32, [u32; HOPS_MAX as usize], u8),
    Grant(u32, u32),
    Shutdown(u32),
}

impl Tree {
    pub(super) const ZERO: Self = {
        const LINE: Line = Line {
            is_up: false,
            is_tree: false,
            is_told: false,
            strikes: 0,
            end: Reason::new(0),
            packet: 0,
            id: 0,
            gone: 0,
            name_len: 0,
            name: [0; Name::MAX_LEN],
        };
        Self {
            id: 0,
            above: [0; HOPS_MAX as usize],
            above_len: 0,
            is_settled: false,
            wants: false,
            has_asked: false,
            is_root: false,
            next: 0,
            count: 0,
            highest: 0,
            shutdown: None,
            #[cfg(feature = "async")]
            common: None,
            lines: [LINE; LINES],
        }
    };

    /// A line of it is made: it is a root, if it has been nothing yet.
    pub(in crate::board) const fn start(&mut self) {
        if self.id == 0 {
            self.id = FIRST_ID;
            self.highest = FIRST_ID;
            self.is_root = true;
        }
    }

    pub(super) const fn id(&self) -> u32 {
        self.id
    }

    /// Id of the node at the other end of a line of the tree; 0 where it has none.
    pub(in crate::board) fn neighbour(&self, line: usize) -> u32 {
        match line {
            UP if self.is_settled => self.above.first().copied().unwrap_or_default(),
            UP => 0,
            _ => self.lines.get(line).map_or(0, |line| line.id),
        }
    }

    /// The session of a line has begun: `child` is the name of the board there, if it is one of the tree.
    pub(in crate::board) fn up(&mut self, index: usize, is_tree: bool, packet: u16, name: &[u8]) {
        let Some(line) = self.lines.get_mut(index) else { return };
        (line.is_up, line.is_tree, line.packet, line.strikes) = (true, is_tree, packet, 0);
        line.end = if self.shutdown.is_some() { Reason::Shutdown } else { Reason::new(0) };
        line.is_told = false;
        line.name_len = name.len() as u8;
        for (to, from) in line.name.iter_mut().zip(name) {
            *to = *from;
        }
        if index == UP && is_tree {
            self.join();
        }
        self.serve();
    }

    /// There is no room for what the node on a line would have below it.
    pub(in crate::board) fn turn_away(&mut self, index: usize) {
        if let Some(line) = self.lines.get_mut(index) {
            (line.is_tree, line.id, line.end) = (false, 0, Reason::NoResources);
        }
    }

    /// The session of the line upward has begun. The boards behind are to come again, for they will have other ids.
    fn join(&mut self) {
        self.is_root = false;
        self.is_settled = false;
        (self.wants, self.has_asked, self.count) = (false, false, 0);
        for line in self.lines.iter_mut().skip(UP + 1) {
            (line.gone, line.id, line.is_told) = (0, 0, false);
            if line.is_up && line.is_tree {
                line.end = Reason::Renumbered;
            }
        }
    }

    /// The session of a line is over.
    pub(in crate::board) fn down(&mut self, index: usize) {
        let Some(line) = self.lines.get_mut(index) else { return };
        if !core::mem::take(&mut line.is_up) {
            return;
        }
        line.end = Reason::new(0);
        if !line.is_tree {
            return;
        }
        if index != UP {
            if line.is_told {
                line.gone = line.id;
            }
            line.id = 0;
            return;
        }
        // It keeps its id, if it had one, and counts on behind all that it knows of, so that none comes twice.
        if !self.is_settled {
            self.id = FIRST_ID;
        }
        self.is_settled = false;
        self.is_root = true;
        self.above_len = 0;
        for line in &mut self.lines {
            (line.is_told, line.gone) = (false, 0);
        }
        self.serve();
    }

    /// Takes a frame of the tree: whether the neighbour may say it. What is not its to say is not done.
    pub(in crate::board) fn hear(&mut self, index: usize, heard: &TreeHeard) -> bool {
        if index != UP {
            // Those behind this board are leaves, which say nothing.
            return false;
        }
        match *heard {
            TreeHeard::Adopt(id, above, len) => {
                if self.is_settled && id != self.id {
                    return !self.strike(index);
                }
                (self.above, self.above_len) = (above, len);
                self.id = id;
                self.highest = self.highest.max(id);
                self.is_settled = true;
            }
            TreeHeard::Grant(start, count) => {
                let has = |id: u32| id >= start && id - start < count;
                let above = self.above.get(..usize::from(self.above_len)).unwrap_or_default();
                let is_known = has(self.id)
                    || above.iter().any(|&id| has(id))
                    || self.lines.iter().any(|line| line.id != 0 && has(line.id));
                if !core::mem::take(&mut self.has_asked) || is_known {
                    return !self.strike(index);
                }
                if count == 0 {
                    // There are no more: who waits for one hears so.
                    for line in self.lines.iter_mut().skip(UP + 1) {
                        if line.is_waiting() {
                            line.end = Reason::NoResources;
                        }
                    }
                    return true;
                }
                (self.next, self.count) = (start, count);
                self.highest = self.highest.max(start + (count - 1));
            }
            TreeHeard::Shutdown(millis) => {
                self.shutdown = Some(millis);
                for line in self.lines.iter_mut().skip(UP + 1) {
                    if line.is_up {
                        line.end = Reason::Shutdown;
                    }
                }
            }
        }
        self.serve();
        true
    }

    /// The neighbour has claimed what is not its to claim: whether once too often.
    pub(in crate::board) fn strike(&mut self, index: usize) -> bool {
        let Some(line) = self.lines.get_mut(index) else { return false };
        line.strikes = line.strikes.saturating_add(1);
        line.strikes >= STRIKES_MAX
    }

    /// Gives ids to the boards that wait for one, or asks for more.
    fn serve(&mut self) {
        if !self.is_root && !self.is_settled {
            return;
        }
        for line in self.lines.iter_mut().skip(UP + 1) {
            if !line.is_waiting() {
                continue;
            }
            if self.is_root {
                match self.highest.checked_add(1) {
                    Some(id) => (line.id, self.highest) = (id, id),
                    // All are given: it hears so, and does not wait for one.
                    None => line.end = Reason::NoResources,
                }
            } else if self.count > 0 {
                line.id = self.next;
                self.next += 1;
                self.count -= 1;
            } else {
                self.wants = true;
            }
        }
    }

    /// Writes what is to be said upward next, if there is room for a record of that length: how long the name is that follows, which is in
    /// `name`. With that it counts as said, for a line's driver may come between this and the next step of the upper one: what becomes of a
    /// board there is said later.
    pub(in crate::board) fn next(
        &mut self,
        short: &mut Short,
        name: &mut [u8; Name::MAX_LEN],
        room: usize,
    ) -> Option<usize> {
        if !self.is_settled {
            return None;
        }
        // The length of such a record has one byte.
        let fits = |short: &Short, name_len: usize| short.bytes().len() + name_len < room;
        for line in &mut self.lines {
            if line.gone != 0 {
                short.link(LINK_DEL_ROUTE);
                short.number(line.gone);
                if !fits(short, 0) {
                    return None;
                }
                line.gone = 0;
                // The next one there has waited for that.
                self.serve();
                return Some(0);
            }
            if line.id != 0 && !line.is_told {
                let name_len = usize::from(line.name_len);
                short.link(LINK_ADD_ROUTE);
                short.number(line.id);
                short.number(self.id);
                short.number(name_len as u32);
                if !fits(short, name_len) {
                    return None;
                }
                line.is_told = true;
                *name = line.name;
                return Some(name_len);
            }
        }
        if !self.wants || self.has_asked {
            return None;
        }
        short.link(LINK_ALLOCATE);
        short.number(BLOCK);
        let is_said = fits(short, 0);
        if is_said {
            (self.wants, self.has_asked) = (false, true);
        }
        is_said.then_some(0)
    }

    /// Where an OPEN leads that has come over this line.
    pub(in crate::board) fn way(&self, index: usize, route: Route) -> Way {
        if !self.lines.get(index).is_some_and(|line| line.is_tree) {
            return Way::Dead(Reason::NoRoute);
        }
        let is_below =
            |id: u32| self.lines.iter().skip(UP + 1).position(|line| line.id == id && id != 0 && line.is_up);
        if index != UP || route.from == self.id || is_below(route.from).is_some() {
            return Way::Forged;
        }
        if route.hops >= HOPS_MAX {
            return Way::Dead(Reason::HopLimit);
        }
        if route.to == self.id {
            return Way::Here;
        }
        let Some((line, at)) =
            is_below(route.to).and_then(|at| self.lines.get(at + 1).zip(u8::try_from(at + 1).ok()))
        else {
            return Way::Dead(Reason::NoRoute);
        };
        Way::Onward { line: at, node: line.id, packet: line.packet }
    }

    /// Longest body of a packet on a line.
    pub(in crate::board) fn packet(&self, line: usize) -> u16 {
        self.lines.get(line).map_or(0, |line| line.packet)
    }

    /// Why the session of a line is to end, if it is to.
    pub(in crate::board) fn end_of(&self, index: usize) -> Option<Reason> {
        let line = self.lines.get(index)?;
        if index == UP {
            // After all behind this board.
            let is_last = self.lines.iter().skip(UP + 1).all(|line| !line.is_up);
            return (self.shutdown.is_some() && is_last).then_some(Reason::Shutdown);
        }
        (line.end.get() != 0).then_some(line.end)
    }

    /// Whether the lines rest, because the node above wanted this board to end.
    pub(in crate::board) const fn shutdown(&self) -> Option<u32> {
        self.shutdown
    }

    pub(super) const fn resume(&mut self) {
        self.shutdown = None;
    }

    /// The node that the lines are of: its tasks are found here.
    #[cfg(feature = "async")]
    pub(in crate::board) const fn is_of(&mut self, common: &'static Common) {
        self.common = Some(common);
    }

    /// Where the tasks of its lines wait, once there is one.
    #[cfg(feature = "async")]
    pub(super) const fn common(&self) -> Option<&'static Common> {
        self.common
    }
}

impl Line {
    /// Whether the board there waits for its id.
    fn is_waiting(&self) -> bool {
        self.is_up && self.is_tree && self.id == 0 && self.gone == 0 && self.end.get() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_for_which_no_id_is_left_hears_so() {
        let mut tree = Tree::ZERO;
        tree.start();
        tree.highest = u32::MAX - 1;
        tree.up(UP + 1, true, 64, b"last");
        assert_eq!((tree.lines[UP + 1].id, tree.lines[UP + 1].end.get()), (u32::MAX, 0));
        tree.lines[UP + 1].id = 0;
        tree.up(UP + 1, true, 64, b"one-more");
        assert_eq!((tree.lines[UP + 1].id, tree.lines[UP + 1].end), (0, Reason::NoResources));
        assert!(!tree.lines[UP + 1].is_waiting());
    }
}
