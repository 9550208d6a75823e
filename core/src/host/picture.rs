//! A picture of a tree: who is below whom, what passes, and what waits.
//!
//! Whoever answers may say anything: its texts are checked as they come ([`entries`](super::entries)), what is kept of it has a bound, and no
//! picture takes longer than its nodes and links are many, whatever is said to be below what.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::fmt::Write;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::time::Instant;

use super::directory::NODES;
use super::entries::{LinkInfo, NodeInfo};
use super::error::{ImportError, RecvError};
use super::named::Named;
use super::node::Node;
use super::receiver::Receiver;
use super::sync;
use super::wait::{Wait, Waiting};
use crate::proto::{Dead, Reason};

/// How long a picture may take, if its caller does not say.
const PATIENCE: Duration = Duration::from_secs(5);
/// So many nodes are asked at a time: fewer than the lists that a bridge far below the root passes up for one child.
const AT_ONCE: usize = 8;
/// With less time than this nobody is asked.
const LEAST: Duration = Duration::from_millis(10);
/// Most nodes of a picture.
const NODES_MAX: usize = 64 * 1024;
/// Most links that are kept of one node beside one to each of its children, and most of all nodes together.
const LINKS_OF_ONE: usize = 4 * 1024;
const LINKS_MAX: usize = 4 * NODES_MAX;

/// A tree as it was at a moment; from [`Node::picture`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Picture {
    /// All nodes, the root first.
    pub nodes: Vec<NodeInfo>,
    /// The links of each node that told of them, by the node's id.
    pub links: BTreeMap<u32, Vec<LinkInfo>>,
    /// Why the other ones did not, by the node's id.
    pub untold: BTreeMap<u32, Untold>,
    taken: Instant,
    rates: BTreeMap<(u32, u32), [u64; 2]>,
}

/// Why a [`Picture`] is without the links of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Untold {
    /// It is a board, or another node that has no such list.
    NoList,
    /// The time was over before its whole list had come.
    Late,
    /// It has refused, or something on the way to it is gone.
    Dead(Dead),
    /// What came is no list.
    Broken,
    /// It tells of more links than a picture keeps, see [`Node::picture`].
    TooMany,
}

impl fmt::Display for Untold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoList => f.write_str("tells of no links"),
            Self::Late => f.write_str("no answer in time"),
            Self::Dead(dead) => write!(f, "no answer: {dead}"),
            Self::Broken => f.write_str("its answer is no list of links"),
            Self::TooMany => f.write_str("tells of too many links"),
        }
    }
}

impl From<ImportError> for Untold {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Deadline => Self::Late,
            ImportError::NoName => Self::NoList,
            ImportError::TypeDiffers { .. } | ImportError::WrongDirection => Self::Broken,
            error => Self::Dead(error.dead()),
        }
    }
}

impl From<RecvError> for Untold {
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::Deadline => Self::Late,
            RecvError::Dead(dead) => Self::Dead(dead),
            RecvError::Empty => Self::TooMany,
            _ => Self::Broken,
        }
    }
}

impl Picture {
    /// The same with rates: what has passed since an earlier one.
    #[must_use]
    pub fn since(mut self, before: &Self) -> Self {
        let micros = self.taken.saturating_duration_since(before.taken).as_micros().max(1) as u64;
        let rate = |now: u32, then: u32| u64::from(now.wrapping_sub(then)) * 1_000_000 / micros;
        for (node, links) in &self.links {
            let earlier = before.links.get(node).into_iter().flatten();
            let earlier: BTreeMap<_, _> = earlier.map(|link| ((link.id, &link.name), link)).collect();
            for link in links {
                if let Some(then) = earlier.get(&(link.id, &link.name)) {
                    let rates = [rate(link.bytes_in, then.bytes_in), rate(link.bytes_out, then.bytes_out)];
                    self.rates.insert((*node, link.id), rates);
                }
            }
        }
        self
    }

    /// What is said of a node beside its name: that it did not answer, and why. That a board tells nothing is as it is to be.
    fn silence(&self, id: u32) -> Option<&Untold> {
        self.untold.get(&id).filter(|why| **why != Untold::NoList)
    }

    /// As text, a line for each node.
    ///
    /// ```text
    /// hub (1)
    /// ├─ bridge (2)  3 circuits, 1.2 kB/s up, 80 B/s down
    /// │  └─ board-7 (3)  2 circuits
    /// ├─ desk (4)  1 circuits
    /// └─ shed (5)  1 circuits  [no answer in time]
    /// ```
    ///
    /// Nodes that are not below the root, by what it has told, are counted in a last line.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let Some(root) = self.nodes.first() else { return text };
        let _ = writeln!(text, "{} ({}){}", root.name, root.id, self.note(root.id));
        let drawn = 1 + self.text_below(&Index::new(self), root.id, "", 0, &mut text);
        if drawn < self.nodes.len() {
            let _ = writeln!(text, "and {} that are not below it", self.nodes.len() - drawn);
        }
        text
    }

    fn note(&self, id: u32) -> String {
        self.silence(id).map_or_else(String::new, |why| format!("  [{why}]"))
    }

    /// The nodes below one, of which it gives the number.
    fn text_below(&self, index: &Index<'_>, id: u32, indent: &str, depth: usize, text: &mut String) -> usize {
        // What a node tells of others is not to be trusted to be a tree.
        if depth > usize::from(crate::proto::HOPS_MAX) {
            return 0;
        }
        let mut drawn = 0;
        let mut children = index.children(id).iter().peekable();
        while let Some(node) = children.next() {
            let (branch, below) =
                if children.peek().is_some() { ("├─", "│  ") } else { ("└─", "   ") };
            let edge = index.edge(node);
            let space = if edge.is_empty() { "" } else { "  " };
            let note = self.note(node.id);
            let _ = writeln!(text, "{indent}{branch} {} ({}){space}{edge}{note}", node.name, node.id);
            drawn += 1 + self.text_below(index, node.id, &format!("{indent}{below}"), depth + 1, text);
        }
        drawn
    }

    /// For Graphviz's `dot`. A node that did not answer is dashed, and says why.
    pub fn graphviz(&self) -> String {
        let index = Index::new(self);
        let mut text = String::from("digraph tree {\n    node [shape=box];\n");
        for node in &self.nodes {
            let (note, style) = match self.silence(node.id) {
                Some(why) => (format!("\\n{why}"), ", style=dashed"),
                None => Default::default(),
            };
            let _ = writeln!(text, "    n{} [label=\"{} ({}){note}\"{style}];", node.id, node.name, node.id);
        }
        for node in self.nodes.iter().skip(1) {
            let _ = writeln!(text, "    n{} -> n{} [label=\"{}\"];", node.via, node.id, index.edge(node));
        }
        text.push_str("}\n");
        text
    }

    /// For Mermaid. A node that did not answer says why.
    pub fn mermaid(&self) -> String {
        let index = Index::new(self);
        let mut text = String::from("graph TD\n");
        for node in &self.nodes {
            let note = self.silence(node.id).map_or_else(String::new, |why| format!("<br/>{why}"));
            let _ = writeln!(text, "    n{}[\"{} ({}){note}\"]", node.id, node.name, node.id);
        }
        for node in self.nodes.iter().skip(1) {
            let edge = index.edge(node);
            let label = if edge.is_empty() { String::new() } else { format!("|\"{edge}\"|") };
            let _ = writeln!(text, "    n{} -->{label} n{}", node.via, node.id);
        }
        text
    }
}

/// What is looked up while a picture is drawn.
struct Index<'p> {
    picture: &'p Picture,
    /// All nodes but the root, which is below nobody whatever it says.
    children: BTreeMap<u32, Vec<&'p NodeInfo>>,
    /// By the node's id.
    up: BTreeMap<u32, &'p LinkInfo>,
    /// By the node's id and that of its neighbour.
    down: BTreeMap<(u32, u32), &'p LinkInfo>,
}

impl<'p> Index<'p> {
    fn new(picture: &'p Picture) -> Self {
        let (mut children, mut up, mut down) =
            (BTreeMap::<_, Vec<_>>::new(), BTreeMap::new(), BTreeMap::new());
        for node in picture.nodes.iter().skip(1) {
            children.entry(node.via).or_default().push(node);
        }
        for (node, links) in &picture.links {
            for link in links {
                if link.is_parent {
                    up.entry(*node).or_insert(link);
                }
                down.entry((*node, link.id)).or_insert(link);
            }
        }
        Self { picture, children, up, down }
    }

    fn children(&self, of: u32) -> &[&'p NodeInfo] {
        self.children.get(&of).map_or(&[], Vec::as_slice)
    }

    /// The link between a node and its parent, as the lower end tells of it, else the upper one.
    fn edge(&self, node: &NodeInfo) -> String {
        let up = self.up.get(&node.id).map(|link| (link, (node.id, link.id), true));
        let down = || Some((self.down.get(&(node.via, node.id))?, (node.via, node.id), false));
        let Some((link, key, is_up)) = up.or_else(down) else { return String::new() };
        // Its own questions are in no picture.
        let mut text = format!("{} circuits", link.circuits.saturating_sub(link.lists));
        if let Some([came, went]) = self.picture.rates.get(&key) {
            let (up, down) = if is_up { (went, came) } else { (came, went) };
            let _ = write!(text, ", {} up, {} down", Bytes(*up, "/s"), Bytes(*down, "/s"));
        }
        if link.waiting > 0 {
            let _ = write!(text, ", {} waiting", Bytes(link.waiting, ""));
        }
        text
    }
}

/// So many bytes, for people.
struct Bytes(u64, &'static str);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(n, per) = *self;
        match n {
            0..1_000 => write!(f, "{n} B{per}"),
            1_000..1_000_000 => write!(f, "{}.{} kB{per}", n / 1_000, n % 1_000 / 100),
            _ => write!(f, "{}.{} MB{per}", n / 1_000_000, n % 1_000_000 / 100_000),
        }
    }
}

/// A picture that is being taken.
pub struct Picturing {
    node: Node,
    /// The whole of it is to be there then.
    until: Option<Instant>,
    future: Option<Asking<Result<Picture, Named<ImportError>>>>,
}

impl fmt::Debug for Picturing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Picturing")
    }
}

impl Waiting for Picturing {
    type Output = Result<Picture, Named<ImportError>>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { node, until, future } = self;
        let begin =
            || -> Asking<_> { Box::pin(take(node.clone(), until.unwrap_or_else(|| sync::now() + PATIENCE))) };
        future.get_or_insert_with(begin).as_mut().poll(cx)
    }

    fn expire(&mut self) -> Self::Output {
        Err(Named::new(NODES.into(), ImportError::Deadline))
    }

    fn deadline(&mut self, at: Instant) {
        self.until = Some(at);
    }
}

impl Node {
    /// A picture of the whole tree: its root is asked for all nodes, and each of these for its links, eight at a time. It
    /// takes 5 seconds at the most, or what [`timeout`](Wait::timeout) says: one that answers later, or not at all, is there
    /// without its links, and [`Picture::untold`] says why. It has half of the time that is left when it is asked, so that
    /// a few silent ones keep nobody else from being asked.
    ///
    /// Whoever answers is not believed: what is no name of a node ends its list, and so does a list that is too long. Of more than 65536 nodes
    /// there is no picture. Of one node as many links are kept as it has children, and 4096 more; and 262144 of all
    /// nodes together, first come, first kept. A node whose list is longer is there without its links, as [`Untold::TooMany`].
    /// A node costs about 150 bytes here, and a link as much: 50 MiB at the most.
    ///
    /// # Errors
    ///
    /// Why there is no list of the nodes: the root is gone, refuses, does not answer in time, or its list broke off
    /// (`DecodeFailed` where something in it is no node), or has too many (`NoResources`).
    pub fn picture(&self) -> Wait<Picturing> {
        Wait::new(Picturing { node: self.clone(), until: None, future: None })
    }
}

/// What a node tells of its links.
type Told = Result<Vec<LinkInfo>, Untold>;
/// Somebody who is being asked.
type Asking<T> = Pin<Box<dyn Future<Output = T> + Send>>;

async fn take(node: Node, until: Instant) -> Result<Picture, Named<ImportError>> {
    // Over before the links are looked at, so that it is not seen on them.
    let mut list = node.remote("/").nodes().timeout(left(until)).await?;
    let mut nodes = all(&mut list, until, |n| n < NODES_MAX).await.map_err(|error| {
        let error = match error {
            RecvError::Deadline => ImportError::Deadline,
            RecvError::Dead(dead) => ImportError::Dead(dead),
            RecvError::Decode(_) => ImportError::Dead(Dead::here(Reason::DecodeFailed)),
            _ => ImportError::NoResources,
        };
        Named::new(NODES.into(), error)
    })?;
    drop(list);
    // The root is first, whatever its id.
    nodes.sort_by_key(|info| (info.via != 0, info.id));
    // A node that says so twice is there once.
    let mut seen = BTreeSet::new();
    nodes.retain(|info| seen.insert(info.id));
    let taken = sync::now();
    let (mut links, mut untold) = (BTreeMap::new(), BTreeMap::new());
    let mut children = BTreeMap::<u32, usize>::new();
    for info in &nodes {
        *children.entry(info.via).or_default() += 1;
    }
    let kept = Arc::new(AtomicUsize::new(0));
    let mut to_ask = nodes.iter().map(|info| info.id);
    let mut asked: Vec<(u32, Asking<Told>)> = Vec::new();
    core::future::poll_fn(|cx| {
        loop {
            while asked.len() < AT_ONCE
                && let Some(id) = to_ask.next()
            {
                let most = LINKS_OF_ONE + children.get(&id).copied().unwrap_or_default();
                let room = Room { most, taken: 0, kept: Arc::clone(&kept) };
                asked.push((id, Box::pin(links_of(node.clone(), id, until, room))));
            }
            let before = asked.len();
            asked.retain_mut(|(id, asking)| match asking.as_mut().poll(cx) {
                Poll::Pending => true,
                Poll::Ready(Ok(list)) => links.insert(*id, list).is_some(),
                Poll::Ready(Err(why)) => untold.insert(*id, why).is_some(),
            });
            if before == 0 {
                return Poll::Ready(());
            }
            if asked.len() == before {
                return Poll::Pending;
            }
        }
    })
    .await;
    Ok(Picture { nodes, links, untold, taken, rates: BTreeMap::new() })
}

/// Room for the links of a node.
struct Room {
    /// How many may be kept of it.
    most: usize,
    taken: usize,
    /// How many are kept of all nodes together.
    kept: Arc<AtomicUsize>,
}

impl Room {
    /// Whether there is room for one more.
    fn take(&mut self) -> bool {
        self.taken += 1;
        self.kept.fetch_add(1, Ordering::Relaxed) < LINKS_MAX && self.taken <= self.most
    }

    /// What is not kept leaves its room to others.
    fn give_back(self) {
        self.kept.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

async fn links_of(node: Node, id: u32, until: Instant, mut room: Room) -> Told {
    let time = left(until) / 2;
    if time < LEAST {
        return Err(Untold::Late);
    }
    let until = sync::now() + time;
    let mut list =
        node.remote_id(id).links().timeout(time).await.map_err(|error| Untold::from((*error).clone()))?;
    let all = all(&mut list, until, |_| room.take()).await;
    if all.is_err() {
        room.give_back();
    }
    Ok(all?)
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(sync::now())
}

/// The whole list, if it comes in time and there is room for all of it, which is asked with how many there are; else what it is not, [`RecvError::Empty`].
async fn all<T: crate::Message + Send>(
    list: &mut Receiver<T>,
    until: Instant,
    mut has_room: impl FnMut(usize) -> bool,
) -> Result<Vec<T>, RecvError> {
    let mut all = Vec::new();
    loop {
        match list.recv().timeout(left(until)).await {
            Ok(_) if !has_room(all.len()) => return Err(RecvError::Empty),
            Ok(item) => all.push(item),
            Err(RecvError::Closed) => return Ok(all),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::string::ToString;

    use super::*;

    fn node(id: u32, via: u32) -> NodeInfo {
        NodeInfo { id, via, name: "n".to_string() }
    }

    fn link(id: u32) -> LinkInfo {
        let name = "n".to_string();
        LinkInfo {
            id,
            name,
            is_parent: false,
            bytes_in: id,
            bytes_out: 0,
            circuits: 7,
            lists: 0,
            passing: 0,
            waiting: 0,
        }
    }

    fn picture(nodes: Vec<NodeInfo>, links: BTreeMap<u32, Vec<LinkInfo>>) -> Picture {
        Picture { nodes, links, untold: BTreeMap::new(), taken: sync::now(), rates: BTreeMap::new() }
    }

    /// Each node and each link was looked for among all: for so many that took minutes.
    #[test]
    fn a_picture_of_as_many_as_there_may_be_is_drawn_in_a_moment() {
        let last = NODES_MAX as u32;
        let star = || {
            let nodes = (1..=last).map(|id| node(id, u32::from(id > 1))).collect();
            picture(nodes, BTreeMap::from([(1, (2..=last).rev().map(link).collect())]))
        };
        let begun = sync::now();
        let picture = star().since(&star());
        for (text, lines) in [(picture.text(), 0), (picture.graphviz(), last + 2), (picture.mermaid(), last)]
        {
            assert_eq!(text.lines().count() as u32, last + lines);
            assert_eq!(text.matches("7 circuits, 0 B/s").count() as u32, last - 1);
        }
        let took = sync::now() - begun;
        assert!(took < Duration::from_secs(10), "{took:?}");
    }

    /// The nodes of a ring were drawn eight times, with all that is below them.
    #[test]
    fn what_is_no_tree_is_drawn_once_and_the_rest_is_counted() {
        let ring = picture(
            [node(1, 2), node(2, 1), node(3, 1), node(4, 2), node(5, 5), node(6, 9)].into(),
            BTreeMap::new(),
        );
        let expected = "n (1)\n├─ n (2)\n│  └─ n (4)\n└─ n (3)\nand 2 that are not below it\n";
        assert_eq!(ring.text(), expected);
        let chain = picture((1..=100).map(|id| node(id, id - 1)).collect(), BTreeMap::new());
        assert_eq!(chain.text().lines().count(), 18);
        assert!(chain.text().ends_with("\nand 83 that are not below it\n"), "{}", chain.text());
    }

    #[test]
    fn links_are_kept_of_each_node_and_of_all_up_to_a_bound() {
        let kept = Arc::new(AtomicUsize::new(0));
        let room = |most| Room { most, taken: 0, kept: Arc::clone(&kept) };
        let takes = |room: &mut Room| (0..).take_while(|_| room.take()).count();
        let mut one = room(5);
        assert_eq!(takes(&mut one), 5);
        one.give_back();
        let mut all = room(usize::MAX);
        assert_eq!(takes(&mut all), LINKS_MAX);
        assert_eq!(takes(&mut room(5)), 0);
        all.give_back();
    }
}
