//! Programs that stay: one who watches the tree, and ends that reopen whatever happens on the way.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use core::time::Duration;
use std::time::Instant;

use super::programs::{Item, SINK, TICKS, pad};
use super::tasks::{pass, within};
use super::visitor::{LIMIT, asks_too_much};
use super::world::World;
use crate::host::{Account, Node, NodeChange, Receiver, RecvError, SendCause, Sender, sync};
use crate::testing::Rng;

/// The root is a node as all are, and never has another place.
const ROOT: usize = 0;

/// Keeps up what it knows of the tree by what it is told, and at last knows all that there is.
pub(super) async fn watches_tree(world: Rc<World>, me: usize, node: Node) {
    let fails = |since, what: &str, error: &dyn core::fmt::Debug| {
        world.ledger().excuse(&[me, ROOT], since, what, error);
    };
    while !world.is_over() {
        pass(Duration::from_millis(20)).await;
        if me != ROOT && node.above().is_empty() {
            continue; // its own tree
        }
        let since = sync::now();
        let root = node.remote("/");
        let mut changes = match root.changes().timeout(LIMIT).await {
            Ok(changes) => changes,
            Err(error) => {
                if !asks_too_much(error.dead()) {
                    fails(since, "a watch", &error);
                }
                continue;
            }
        };
        let Some(mut known) = knows(&node, |error| fails(since, "a list for a watch", &error)).await else {
            continue;
        };
        loop {
            match within(Duration::from_secs(1), changes.recv()).await {
                Some(Ok(NodeChange::Joined(info))) => drop(known.insert(info.id, info.name)),
                Some(Ok(NodeChange::Left(info, _))) => drop(known.remove(&info.id)),
                // There was no room for some.
                Some(Ok(NodeChange::Missed(_))) => break,
                Some(Err(error)) => {
                    fails(since, "changes", &error);
                    break;
                }
                None if world.is_over() => {
                    let root = world.node(ROOT);
                    let there: BTreeMap<_, _> =
                        root.nodes().into_iter().map(|info| (info.id, info.name)).collect();
                    known.remove(&root.id());
                    assert_eq!(known, there, "{me} has watched the tree, and knows another one");
                    world.ledger().report.watched += 1;
                    return;
                }
                None => {}
            }
        }
    }
}

/// All nodes there are, by a list.
async fn knows(node: &Node, fails: impl Fn(&dyn core::fmt::Debug)) -> Option<BTreeMap<u32, String>> {
    let mut list = match node.remote("/").nodes().timeout(LIMIT).await {
        Ok(list) => list,
        Err(error) => {
            if !asks_too_much(error.dead()) {
                fails(&error);
            }
            return None;
        }
    };
    let mut known = BTreeMap::new();
    loop {
        match list.recv().timeout(LIMIT).await {
            Ok(info) => drop(known.insert(info.id, info.name)),
            Err(RecvError::Closed) => return Some(known),
            Err(error) => {
                fails(&error);
                return None;
            }
        }
    }
}

/// Ends that reopen at a node below the root, wherever that is then.
pub(super) struct Lasting {
    pub(super) world: Rc<World>,
    pub(super) me: usize,
    pub(super) to: usize,
    pub(super) node: Node,
    pub(super) rng: Rng,
}

impl Lasting {
    fn fails(&self, since: Instant, what: &str, error: &dyn core::fmt::Debug) {
        self.world.ledger().excuse(&[self.me, self.to], since, what, error);
    }

    fn is_interrupted(&self) {
        self.world.ledger().report.interrupted += 1;
    }

    /// Hears what it is sent in each session, in order, and of each loss once.
    pub(super) async fn keeps_listening(self) {
        let Some(path) = self.world.path(self.to) else { return };
        let mut since = sync::now();
        let import = self.node.remote(&path).import::<Receiver<u32>>(TICKS).reopen();
        let mut ticks = match import.timeout(LIMIT).await {
            Ok(ticks) => ticks,
            Err(error) => return self.fails(since, "an import that waits for its node", &error),
        };
        let (mut last, mut taken) = (None, 0);
        loop {
            match ticks.recv().timeout(LIMIT).await {
                Ok(n) => {
                    assert!(last.replace(n).is_none_or(|last| last < n), "{n} after {last:?}");
                    taken += 1;
                    since = sync::now();
                    if self.world.is_over() {
                        return;
                    }
                }
                Err(ref error @ RecvError::Interrupted { taken: told, .. }) => {
                    assert_eq!(told, taken, "of one session");
                    self.fails(since, "a session of an import", error);
                    self.is_interrupted();
                    (last, taken, since) = (None, 0, sync::now());
                }
                Err(error) => panic!("an import of {} at {} has not reopened: {error}", self.me, self.to),
            }
        }
    }

    /// Sends in each session, and has an account of each that adds up, and of all together.
    pub(super) async fn keeps_sending(mut self) {
        let Some(path) = self.world.path(self.to) else { return };
        let (world, nodes, since) = (Rc::clone(&self.world), [self.me, self.to], sync::now());
        let import = self.node.remote(&path).import::<Sender<Item>>(SINK).reopen();
        let mut sender = match import.timeout(LIMIT).await {
            Ok(sender) => sender,
            Err(error) => return self.fails(since, "an import that waits for its node", &error),
        };
        let (mut stream, mut earlier) = (world.ledger().stream(&nodes), Account::default());
        while !world.is_over() {
            let item = (stream, world.ledger().begins(stream), pad(&world, &mut self.rng));
            let result = sender.send(item).timeout(LIMIT).await;
            world.ledger().was_sent(stream, result.is_ok());
            match result.map_err(|error| (error.cause(), format!("{error}"))) {
                Ok(()) => {}
                Err((SendCause::Interrupted { account, .. }, error)) => {
                    world.ledger().ends(stream, account, Some(&error));
                    self.is_interrupted();
                    earlier = earlier.plus(account);
                    stream = world.ledger().stream(&nodes);
                }
                Err((_, error)) => {
                    panic!("an import of {} at {} has not reopened: {error}", self.me, self.to)
                }
            }
            pass(Duration::from_millis(self.rng.below(60) as u64)).await;
        }
        // The loss of a session in which nothing was sent since is told as well.
        match sender.drain().timeout(LIMIT).await {
            Ok(()) => world.ledger().is_drained(stream),
            Err(error) => panic!("{} cannot drain what it has sent to {}: {error}", self.me, self.to),
        }
        let all = sender.account();
        let rest = Account {
            confirmed: all.confirmed - earlier.confirmed,
            in_doubt: all.in_doubt - earlier.in_doubt,
            unsent: all.unsent - earlier.unsent,
            ..all
        };
        world.ledger().ends(stream, rest, None);
    }
}
