//! A list that a node sends of itself, made in parts: who asks for a long one and does not take it costs no more than a
//! part of it, whatever is under a lock. And who takes whatever comes and asks again has only so many parts made in a second.

use alloc::sync::Arc;
use alloc::vec::{IntoIter, Vec};

use super::cell::CellId;
use super::directory::NodeInfo;
use super::hub::Hub;
use super::link::LinkCell;
use super::node::NodeInner;
use crate::Message;
use crate::proto::Instant;
use crate::tree::{Origin, Relative};

/// Entries of a part: of nodes and of exports.
const PART: usize = 128;
/// Circuits of links that are looked at for a part, or one link with more.
const CIRCUITS: usize = 1024;

/// To look so many up costs as much as a part.
const LOOKS: usize = 1024;
/// Parts that may be made for a neighbour and all nodes behind it as soon as its link is up, that come to these in a
/// second, and that there are at the most.
const FIRST: i64 = 256;
const IN_A_SECOND: i64 = 256;
const MOST: i64 = 4096;
/// Of so many nodes behind a neighbour it is known what each has had.
const TAKERS_MAX: usize = 32;
const SECOND_US: i64 = 1_000_000;
const FORGETS_EVERY_US: i64 = 10_000;

/// How many more parts of lists are made for a neighbour and the nodes behind it. A list that was begun is made to its end:
/// what is missing then the next ones wait for.
///
/// One node that asks without end has less than all there is: it may have had half as much lately as is left for the others.
/// So there is always something left for one that asks now and then, whoever else asks on the same link.
#[derive(Debug)]
pub(crate) struct Pace {
    /// In millionths of a part.
    left: i64,
    filled: Instant,
    /// When it was forgotten last what they have had.
    forgotten: Instant,
    takers: Vec<Taker>,
}

/// A node and what it has had lately.
#[derive(Debug, Clone, Copy)]
struct Taker {
    id: u32,
    /// In millionths of a part; of what it has had, about half is forgotten in each second.
    had: i64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { left: FIRST * 1_000_000, filled: Instant::ZERO, forgotten: Instant::ZERO, takers: Vec::new() }
    }
}

impl Pace {
    /// Whether there is something left for another list for this node.
    pub(super) fn allows(&mut self, id: u32, now: Instant) -> bool {
        self.fill(now);
        let had = self.takers.iter().find(|taker| taker.id == id).map_or(0, |taker| taker.had);
        self.left > 0 && had <= self.left / 2
    }

    fn fill(&mut self, now: Instant) {
        let micros = now.as_micros().saturating_sub(self.filled.as_micros()).min(1 << 40) as i64;
        self.filled = self.filled.max(now);
        self.left = (self.left + micros * IN_A_SECOND).min(MOST * 1_000_000);
        // Not at each look, of which there may be so many that each would round it off.
        let since = now.as_micros().saturating_sub(self.forgotten.as_micros()).min(1 << 40) as i64;
        if since < FORGETS_EVERY_US {
            return;
        }
        self.forgotten = now;
        for taker in &mut self.takers {
            let half = taker.had >> (since / SECOND_US).min(62);
            taker.had = half - half * (since % SECOND_US) / (2 * SECOND_US);
        }
        // Less than a part is nothing.
        self.takers.retain(|taker| taker.had >= 1_000_000);
    }

    /// So much was made for this node.
    pub(super) fn take(&mut self, id: u32, parts: u32) {
        if parts == 0 {
            return;
        }
        let had = i64::from(parts) * 1_000_000;
        self.left = self.left.saturating_sub(had);
        if let Some(taker) = self.takers.iter_mut().find(|taker| taker.id == id) {
            taker.had = taker.had.saturating_add(had);
        } else if self.takers.len() < TAKERS_MAX {
            self.takers.push(Taker { id, had });
        } else if let Some(least) = self.takers.iter_mut().min_by_key(|taker| taker.had) {
            // Where very many ask it is the one that has had least of which nothing is known.
            *least = Taker { id, had: had.max(least.had) };
        }
    }
}

/// What is still to be made of a list.
pub(crate) struct List {
    /// The node that it is for.
    of: u32,
    /// No other list of the node has it, so that one is known again.
    pub(super) number: u64,
    /// What it has cost that its neighbour's pace has not been told of, in parts.
    cost: u32,
    rest: Rest,
}

enum Rest {
    /// Nodes below with higher ids than this; before them the node itself.
    Nodes(Option<u32>),
    /// For a peer, which sees nothing behind the node: the node itself, if that is still to come.
    Own(bool),
    /// Numbers of links.
    Links(IntoIter<u64>),
    /// Names of exports.
    Exports(IntoIter<Arc<str>>, Origin),
}

impl List {
    pub(super) fn nodes(node: &NodeInner, origin: Origin) -> Self {
        let is_peer = origin.relative == Relative::Peer;
        let rest = if is_peer { Rest::Own(true) } else { Rest::Nodes(None) };
        Self::new(node, origin, rest, 0)
    }

    /// That has taken a look at so many of something.
    fn new(node: &NodeInner, origin: Origin, rest: Rest, looked: usize) -> Self {
        let cost = 1 + (looked / LOOKS) as u32;
        Self { of: origin.id, number: node.next_importer(), cost, rest }
    }

    /// All links, or this one: the parent's first, then in the order of the neighbours' ids.
    pub(super) fn links(node: &NodeInner, origin: Origin, only: Option<u64>) -> Self {
        let parent = node.tree().parent();
        let mut links = node.links();
        links.retain(|link| only.is_none_or(|number| number == link.number));
        links.sort_by_key(|link| {
            let id = link.neighbour.load(super::sync::Ordering::Relaxed);
            (Some(link.number) != parent, id, link.number)
        });
        let numbers: Vec<_> = links.iter().map(|link| link.number).collect();
        let looked = numbers.len();
        Self::new(node, origin, Rest::Links(numbers.into_iter()), looked)
    }

    /// Those that may be imported from there, in the order of their names.
    pub(super) fn exports(node: &NodeInner, origin: Origin) -> Self {
        let mut names: Vec<_> = node.hubs().iter().map(|hub| Arc::clone(&hub.name)).collect();
        names.retain(|name| !name.starts_with('$'));
        names.sort_unstable();
        let looked = names.len();
        Self::new(node, origin, Rest::Exports(names.into_iter(), origin), looked)
    }

    /// What it has cost since it was asked last, in parts.
    pub(super) const fn cost(&mut self) -> u32 {
        core::mem::replace(&mut self.cost, 0)
    }

    /// The next part, encoded; an empty one is the end.
    fn part(&mut self, node: &NodeInner) -> Vec<Vec<u8>> {
        let mut part = Vec::new();
        self.cost += 1;
        match &mut self.rest {
            Rest::Nodes(after) => {
                let tree = node.tree();
                let own = after.is_none().then(|| NodeInfo::own(&tree, node.identity.name.as_str()));
                let below = tree.nodes_after(after.unwrap_or_default()).take(PART);
                let list: Vec<_> = own.into_iter().chain(below.map(NodeInfo::from)).collect();
                drop(tree);
                *after = Some(match (after.is_some(), list.last()) {
                    (_, None) => return part,
                    // The node itself, whose id says nothing of the others.
                    (false, Some(_)) if list.len() == 1 => 0,
                    (_, Some(last)) => last.id,
                });
                list.iter().for_each(|info| add(&mut part, info));
            }
            Rest::Own(is_due) => {
                if core::mem::take(is_due) {
                    let own = NodeInfo::own(&node.tree(), node.identity.name.as_str());
                    add(&mut part, &NodeInfo { via: 0, ..own });
                }
            }
            Rest::Links(rest) => {
                let mut circuits = 0;
                while circuits < CIRCUITS
                    && let Some(number) = rest.next()
                {
                    // One that is gone by now, or is not up, is not in the list.
                    let Some(info) = node.link(number).and_then(|link| node.link_info(&link)) else {
                        continue;
                    };
                    circuits += 1 + info.circuits as usize;
                    add(&mut part, &info);
                }
                self.cost += (circuits / CIRCUITS) as u32;
            }
            Rest::Exports(rest, origin) => {
                let era = node.tree().era();
                let is_shown = |hub: &Arc<Hub>| hub.visibility.shows(*origin, hub.era == era);
                while part.len() < PART
                    && let Some(name) = rest.next()
                {
                    let Some(hub) = node.hub(&name).filter(is_shown) else { continue };
                    add(&mut part, &NodeInner::export_info(&hub));
                }
            }
        }
        part
    }
}

fn add(part: &mut Vec<Vec<u8>>, value: &impl Message) {
    let mut bytes = Vec::new();
    if value.encode_to(&mut bytes).is_ok() {
        part.push(bytes);
    }
}

impl NodeInner {
    /// Makes more of a list, for as long as what was made can be sent at once. Called with nothing locked.
    pub(crate) fn go_on_with_list(&self, link: &LinkCell, id: CellId) {
        loop {
            let Some(mut list) = link.lock().list_to_go_on_with(id) else { return };
            let part = list.part(self);
            let mut state = link.lock();
            state.list_pace.take(list.of, list.cost());
            // One that was given up meanwhile has no cell any more, and its number may be another's.
            let Some(cell) = state.cells.get(id).filter(|cell| cell.list_number == list.number) else {
                return;
            };
            cell.end_after = part.is_empty();
            cell.backlog.extend(part);
            cell.list = (!cell.end_after).then_some(list);
            // Where there are too many, one that does not go on makes room.
            state.lists.sort_by_key(|(list, _)| *list == id);
            state.send_waiting(id);
            state.dry.retain(|dry| *dry != id);
            link.flush(state);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use core::time::Duration;

    use super::{FIRST, IN_A_SECOND, Instant, MOST, Pace, TAKERS_MAX};

    #[test]
    fn who_asks_without_end_has_so_many_parts_in_a_second_and_who_asks_now_and_then_all() {
        let (mut pace, mut now, mut made) = (Pace::default(), Instant::ZERO, 0);
        for _ in 0..100_000 {
            while pace.allows(2, now) {
                pace.take(2, 7);
                made += 7;
            }
            now = now + Duration::from_millis(1);
        }
        // What it leaves to others is less than what comes in four seconds.
        let most = FIRST + 100 * IN_A_SECOND;
        assert!((most - 4 * IN_A_SECOND..most + 7).contains(&made), "{made} parts in 100 s");
        // A long list is a debt.
        pace.take(2, 3 * IN_A_SECOND as u32 + pace.left as u32 / 1_000_000);
        assert!(!pace.allows(3, now + Duration::from_millis(2900)));
        assert!(pace.allows(3, now + Duration::from_millis(3100)));
        // However long nobody asks, there is an end to what he may have at once.
        now = now + Duration::from_secs(1 << 32);
        let mut made = 0;
        while pace.allows(2, now) {
            pace.take(2, 1);
            made += 1;
        }
        assert_eq!(made, MOST / 3 + 1);
    }

    #[test]
    fn who_asks_now_and_then_has_what_it_asks_for_whoever_asks_without_end_on_the_same_link() {
        let (mut pace, mut now) = (Pace::default(), Instant::ZERO);
        for ms in 0..100_000_u32 {
            // Ten of them, and what they ask for is long.
            for greedy in 10..20 {
                if pace.allows(greedy, now) {
                    pace.take(greedy, 16);
                }
            }
            if ms % 1000 == 999 {
                assert!(pace.allows(7, now), "{pace:?}");
                pace.take(7, 2);
            }
            now = now + Duration::from_millis(1);
        }
    }

    #[test]
    fn what_a_node_has_had_is_forgotten_however_often_it_asks() {
        let mut pace = Pace::default();
        pace.take(7, 40);
        for us in 0..1_000_000 {
            pace.allows(7, Instant::from_micros(us));
        }
        assert!((20_000_000..25_000_000).contains(&pace.takers[0].had), "{pace:?}");
    }

    /// What is remembered is bounded, and with it who can be told from others.
    #[test]
    fn of_very_many_that_ask_the_greediest_are_remembered() {
        let mut pace = Pace::default();
        pace.fill(Instant::from_micros(60_000_000));
        pace.take(1, 100);
        for id in 2..200 {
            pace.take(id, 1);
        }
        assert_eq!(pace.takers.len(), TAKERS_MAX);
        assert!(pace.takers.iter().any(|taker| taker.id == 1));
    }
}
