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
use std::time::Instant;

use super::directory::{LinkInfo, NODES, NodeInfo};
use super::error::{ImportError, RecvError};
use super::named::Named;
use super::node::Node;
use super::receiver::Receiver;
use super::sync;
use super::wait::{Wait, Waiting};

/// How long a node may take to tell of its links.
const PATIENCE: core::time::Duration = core::time::Duration::from_secs(2);
/// Most entries of a list.
const ENTRIES_MAX: usize = 64 * 1024;

/// A tree as it was at a moment; from [`Node::picture`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Picture {
    /// All nodes, the root first.
    pub nodes: Vec<NodeInfo>,
    /// The links of each node that told of them, by the node's id. Boards do not.
    pub links: BTreeMap<u32, Vec<LinkInfo>>,
    taken: Instant,
    rates: BTreeMap<(u32, u32), [u64; 2]>,
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
        let mut text = format!("{} circuits", link.circuits);
        if let Some([came, went]) = self.rates.get(&key) {
            let (up, down) = if is_up { (went, came) } else { (came, went) };
            let _ = write!(text, ", {} up, {} down", Bytes(*up, "/s"), Bytes(*down, "/s"));
        }
        if link.waiting > 0 {
            let _ = write!(text, ", {} waiting", Bytes(link.waiting, ""));
        }
        text
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
    /// └─ desk (4)  1 circuits
    /// ```
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Some(root) = self.nodes.first() {
            let _ = writeln!(text, "{} ({})", root.name, root.id);
            self.text_below(root.id, "", 0, &mut text);
        }
        text
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
            let _ = writeln!(text, "{indent}{branch} {} ({}){space}{edge}", node.name, node.id);
            self.text_below(node.id, &format!("{indent}{below}"), depth + 1, text);
        }
    }

    /// For Graphviz's `dot`.
    pub fn graphviz(&self) -> String {
        let mut text = String::from("digraph tree {\n    node [shape=box];\n");
        for node in &self.nodes {
            let _ = writeln!(text, "    n{} [label=\"{} ({})\"];", node.id, node.name, node.id);
        }
        for node in self.nodes.iter().skip(1) {
            let _ = writeln!(text, "    n{} -> n{} [label=\"{}\"];", node.via, node.id, self.edge(node));
        }
        text.push_str("}\n");
        text
    }

    /// For Mermaid.
    pub fn mermaid(&self) -> String {
        let mut text = String::from("graph TD\n");
        for node in &self.nodes {
            let _ = writeln!(text, "    n{}[\"{} ({})\"]", node.id, node.name, node.id);
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
    future: Pin<Box<dyn Future<Output = Result<Picture, Named<ImportError>>> + Send>>,
}

impl fmt::Debug for Picturing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Picturing")
    }
}

impl Waiting for Picturing {
    type Output = Result<Picture, Named<ImportError>>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.future.as_mut().poll(cx)
    }

    fn expire(&mut self) -> Self::Output {
        Err(Named::new(NODES.into(), ImportError::Deadline))
    }
}

impl Node {
    /// A picture of the whole tree: its root is asked for all nodes, and each node for its links. One that does
    /// not answer within 2 seconds, or that is a board, is there without them.
    pub fn picture(&self) -> Wait<Picturing> {
        let node = self.clone();
        Wait::new(Picturing { future: Box::pin(take(node)) })
    }
}

async fn take(node: Node) -> Result<Picture, Named<ImportError>> {
    let mut nodes = if node.above().is_empty() {
        node.inner().list_nodes()
    } else {
        all(&mut node.remote("/").nodes().await?, sync::now() + PATIENCE).await.unwrap_or_default()
    };
    // The root is first, whatever its id.
    nodes.sort_by_key(|info| (info.via != 0, info.id));
    // A node that says so twice is there once.
    let mut seen = BTreeSet::new();
    nodes.retain(|info| seen.insert(info.id));
    let taken = sync::now();
    let mut links = BTreeMap::new();
    for info in &nodes {
        if info.id == node.id() {
            links.insert(info.id, node.links());
            continue;
        }
        let until = sync::now() + PATIENCE;
        if let Ok(mut list) = node.remote_id(info.id).links().timeout(PATIENCE).await
            && let Ok(list) = all(&mut list, until).await
        {
            links.insert(info.id, list);
        }
    }
    Ok(Picture { nodes, links, taken, rates: BTreeMap::new() })
}

/// The whole list, if it comes in time and is no longer than a list may be.
async fn all<T: crate::Message + Send>(list: &mut Receiver<T>, until: Instant) -> Result<Vec<T>, RecvError> {
    let mut all = Vec::new();
    loop {
        match list.recv().timeout(until.saturating_duration_since(sync::now())).await {
            Ok(_) if all.len() >= ENTRIES_MAX => return Err(RecvError::Deadline),
            Ok(item) => all.push(item),
            Err(RecvError::Closed) => return Ok(all),
            Err(error) => return Err(error),
        }
    }
}
