//! A picture of a tree: who is below whom, what passes, and what waits.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::fmt::Write;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::time::Instant;

use super::directory::{LinkInfo, NODES, NodeInfo};
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
/// Most entries of a list.
const ENTRIES_MAX: usize = 64 * 1024;

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
    /// What came is no list, or one of more than 65536 links.
    Broken,
}

impl fmt::Display for Untold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoList => f.write_str("tells of no links"),
            Self::Late => f.write_str("no answer in time"),
            Self::Dead(dead) => write!(f, "no answer: {dead}"),
            Self::Broken => f.write_str("its answer is no list of links"),
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
            for link in links {
                let same = |other: &&LinkInfo| other.id == link.id && other.name == link.name;
                if let Some(then) = before.links.get(node).and_then(|links| links.iter().find(same)) {
                    let rates = [rate(link.bytes_in, then.bytes_in), rate(link.bytes_out, then.bytes_out)];
                    self.rates.insert((*node, link.id), rates);
                }
            }
        }
        self
    }

    /// The links between nodes and their parents, as the lower end tells of them, else the upper one.
    fn edge(&self, node: &NodeInfo) -> String {
        let up = self.links.get(&node.id).and_then(|links| links.iter().find(|link| link.is_parent));
        let down =
            || self.links.get(&node.via).and_then(|links| links.iter().find(|link| link.id == node.id));
        let Some((link, key, is_up)) = up
            .map(|link| (link, (node.id, link.id), true))
            .or_else(|| Some((down()?, (node.via, node.id), false)))
        else {
            return String::new();
        };
        // Its own questions are in no picture.
        let mut text = format!("{} circuits", link.circuits.saturating_sub(link.lists));
        if let Some([came, went]) = self.rates.get(&key) {
            let (up, down) = if is_up { (went, came) } else { (came, went) };
            let _ = write!(text, ", {} up, {} down", Bytes(*up, "/s"), Bytes(*down, "/s"));
        }
        if link.waiting > 0 {
            let _ = write!(text, ", {} waiting", Bytes(link.waiting, ""));
        }
        text
    }

    /// What is said of a node beside its name: that it did not answer, and why. That a board tells nothing is as it is to be.
    fn silence(&self, id: u32) -> Option<&Untold> {
        self.untold.get(&id).filter(|why| **why != Untold::NoList)
    }

    fn children(&self, of: u32) -> impl Iterator<Item = &NodeInfo> {
        self.nodes.iter().filter(move |node| node.via == of && node.id != of)
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
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Some(root) = self.nodes.first() {
            let _ = writeln!(text, "{} ({}){}", root.name, root.id, self.note(root.id));
            self.text_below(root.id, "", 0, &mut text);
        }
        text
    }

    fn note(&self, id: u32) -> String {
        self.silence(id).map_or_else(String::new, |why| format!("  [{why}]"))
    }

    fn text_below(&self, id: u32, indent: &str, depth: usize, text: &mut String) {
        // What a node tells of others is not to be trusted to be a tree.
        if depth > usize::from(crate::proto::HOPS_MAX) {
            return;
        }
        let mut children = self.children(id).peekable();
        while let Some(node) = children.next() {
            let (branch, below) =
                if children.peek().is_some() { ("├─", "│  ") } else { ("└─", "   ") };
            let edge = self.edge(node);
            let space = if edge.is_empty() { "" } else { "  " };
            let note = self.note(node.id);
            let _ = writeln!(text, "{indent}{branch} {} ({}){space}{edge}{note}", node.name, node.id);
            self.text_below(node.id, &format!("{indent}{below}"), depth + 1, text);
        }
    }

    /// For Graphviz's `dot`. A node that did not answer is dashed, and says why.
    pub fn graphviz(&self) -> String {
        let mut text = String::from("digraph tree {\n    node [shape=box];\n");
        for node in &self.nodes {
            let (note, style) = match self.silence(node.id) {
                Some(why) => (format!("\\n{why}"), ", style=dashed"),
                None => Default::default(),
            };
            let _ = writeln!(text, "    n{} [label=\"{} ({}){note}\"{style}];", node.id, node.name, node.id);
        }
        for node in self.nodes.iter().skip(1) {
            let _ = writeln!(text, "    n{} -> n{} [label=\"{}\"];", node.via, node.id, self.edge(node));
        }
        text.push_str("}\n");
        text
    }

    /// For Mermaid. A node that did not answer says why.
    pub fn mermaid(&self) -> String {
        let mut text = String::from("graph TD\n");
        for node in &self.nodes {
            let note = self.silence(node.id).map_or_else(String::new, |why| format!("<br/>{why}"));
            let _ = writeln!(text, "    n{}[\"{} ({}){note}\"]", node.id, node.name, node.id);
        }
        for node in self.nodes.iter().skip(1) {
            let edge = self.edge(node);
            let label = if edge.is_empty() { String::new() } else { format!("|\"{edge}\"|") };
            let _ = writeln!(text, "    n{} -->{label} n{}", node.via, node.id);
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
    /// Of more than 65536 nodes there is none. A node costs about 100 bytes here, and a link as much.
    ///
    /// # Errors
    ///
    /// Why there is no list of the nodes: the root is gone, refuses, does not answer in time, or its list broke off.
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
    let mut nodes = all(&mut list, until).await.map_err(|error| {
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
    let mut to_ask = nodes.iter().map(|info| info.id);
    let mut asked: Vec<(u32, Asking<Told>)> = Vec::new();
    core::future::poll_fn(|cx| {
        loop {
            while asked.len() < AT_ONCE
                && let Some(id) = to_ask.next()
            {
                asked.push((id, Box::pin(links_of(node.clone(), id, until))));
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

async fn links_of(node: Node, id: u32, until: Instant) -> Told {
    let time = left(until) / 2;
    if time < LEAST {
        return Err(Untold::Late);
    }
    let until = sync::now() + time;
    let mut list =
        node.remote_id(id).links().timeout(time).await.map_err(|error| Untold::from((*error).clone()))?;
    Ok(all(&mut list, until).await?)
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(sync::now())
}

/// The whole list, if it comes in time and is no longer than a list may be; else what it is not, [`RecvError::Empty`].
async fn all<T: crate::Message + Send>(list: &mut Receiver<T>, until: Instant) -> Result<Vec<T>, RecvError> {
    let mut all = Vec::new();
    loop {
        match list.recv().timeout(left(until)).await {
            Ok(_) if all.len() >= ENTRIES_MAX => return Err(RecvError::Empty),
            Ok(item) => all.push(item),
            Err(RecvError::Closed) => return Ok(all),
            Err(error) => return Err(error),
        }
    }
}
