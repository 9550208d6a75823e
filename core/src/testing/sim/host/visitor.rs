//! Programs that use what other nodes export, in every way there is.

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::Any;
use core::future::Future;
use core::time::Duration;
use std::time::Instant;

use super::ledger::Verdict;
use super::programs::{
    CALLS, CHAINS, EXPORTS, Item, LETTERS, LEVEL, Letter, ORDERS, Order, SINK, TICKS, answer, fails, pad,
};
use super::tasks::{pass, within};
use super::world::World;
use crate::host::{
    AskError, CallError, Chain, ChainCause, Client, ExportInfo, Import, LinkInfo, Node, NodeInfo, Receiver,
    RecvError, Remote, Sender, Untold, Watch, channel, sync,
};
use crate::message::Message;
use crate::proto::{Dead, Reason};
use crate::testing::Rng;

/// Nothing takes longer than that, whatever happens.
pub(super) const LIMIT: Duration = Duration::from_secs(40);
/// Nobody waits for longer, so here somebody waits for ever.
const FOR_EVER: Duration = Duration::from_secs(60);
/// How many kinds of things a visitor does.
pub(super) const KINDS: usize = 11;

/// One who visits other nodes.
pub(super) struct Visitor {
    pub(super) world: Rc<World>,
    pub(super) me: usize,
    pub(super) node: Node,
    pub(super) rng: Rng,
    pub(super) kept: Vec<Box<dyn Any>>,
}

impl Visitor {
    /// Does something, again and again, until it is told to stop.
    pub(super) async fn goes_on(mut self) {
        while !self.world.is_over() {
            let time = Duration::from_millis(self.rng.below(200) as u64);
            pass(time).await;
            let kind = self.rng.below(KINDS);
            let to = self.other(&[self.me]);
            if self.world.plan.hasty && self.rng.one_in(6) {
                // What it has begun is what the ledger knows of it: sent or not, taken once or never.
                let limit = Duration::from_micros(self.rng.below(60_000) as u64);
                if within(limit, self.does(kind, to)).await.is_none() {
                    let me = self.me;
                    let mut ledger = self.world.ledger();
                    ledger.report.dropped += 1;
                    ledger.tell(|| format!("{me} drops {kind} at {to}"));
                }
            } else {
                self.does_in_time(kind, to).await;
            }
            if !self.kept.is_empty() && self.rng.one_in(3) {
                let which = self.rng.below(self.kept.len());
                drop(self.kept.swap_remove(which));
            }
        }
    }

    /// Does one thing, which ends.
    pub(super) async fn does_in_time(&mut self, kind: usize, to: usize) {
        let me = self.me;
        self.world.ledger().tell(|| format!("{me} does {kind} at {to}"));
        let done = within(FOR_EVER, self.does(kind, to)).await;
        assert!(done.is_some(), "{me} waits for ever: {kind} at {to}");
    }

    /// A node that is none of these.
    fn other(&mut self, not: &[usize]) -> usize {
        loop {
            let to = self.rng.below(self.world.plan.nodes);
            if !not.contains(&to) {
                return to;
            }
        }
    }

    fn remote(&mut self, to: usize) -> Remote {
        match self.world.path(to) {
            Some(path) if self.rng.one_in(2) => self.node.remote(&path),
            _ => self.node.remote_id(self.world.node(to).id()),
        }
    }

    async fn does(&mut self, kind: usize, to: usize) {
        match kind {
            0 => self.streams(to).await,
            1 => self.orders(to).await,
            2 => self.orders_for_another(to).await,
            3 => self.posts(to).await,
            4 => self.asks(to).await,
            5 => self.calls(to).await,
            6 => self.chains(to).await,
            7 => self.listens(to).await,
            8 => self.watches(to).await,
            9 => self.lists(to).await,
            _ => self.pictures(to).await,
        }
    }

    fn fails(&self, nodes: &[usize], since: Instant, what: &str, error: &dyn core::fmt::Debug) {
        self.world.ledger().excuse(nodes, since, what, error);
    }

    async fn streams(&mut self, to: usize) {
        let (world, nodes, since) = (Rc::clone(&self.world), [self.me, to], sync::now());
        let import = self.remote(to).import::<Sender<Item>>(SINK).timeout(LIMIT).await;
        let mut sender = match import {
            Ok(sender) => sender,
            Err(error) => return self.fails(&nodes, since, "an import", &error),
        };
        let stream = Streaming { world: &world, number: world.ledger().stream(&nodes), is_sending: false };
        if let Some(sender) = self.sends(stream, &mut sender).await.then_some(sender)
            && self.rng.one_in(3)
        {
            self.kept.push(Box::new(sender));
        }
    }

    /// Whether all went well.
    async fn sends(&mut self, mut stream: Streaming<'_>, sender: &mut Sender<Item>) -> bool {
        for _ in 0..self.rng.below(12) {
            let item = (stream.number, stream.begins(), pad(&self.world, &mut self.rng));
            let result = sender.send(item).timeout(LIMIT).await;
            stream.was_sent(result.is_ok());
            if let Err(error) = result {
                self.world.ledger().ends(stream.number, sender.account(), Some(&error));
                return false;
            }
        }
        if self.rng.one_in(2) {
            match sender.drain().timeout(LIMIT).await {
                Ok(()) => self.world.ledger().is_drained(stream.number),
                Err(error) => {
                    self.world.ledger().ends(stream.number, sender.account(), Some(&error));
                    return false;
                }
            }
        }
        self.world.ledger().ends(stream.number, sender.account(), None);
        true
    }

    async fn orders(&mut self, to: usize) {
        let (world, nodes, since) = (Rc::clone(&self.world), [self.me, to], sync::now());
        let (answers, mut items) = channel(1 + self.rng.below(5));
        let (stream, count) = (world.ledger().stream(&nodes), self.rng.below(12) as u32);
        let order: Order = (stream, count, answers);
        let _hangs_up = HangsUp { world: &world, stream };
        if let Err(error) = self.remote(to).post(ORDERS, order).timeout(LIMIT).await {
            return self.fails(&nodes, since, "an order", &error);
        }
        for _ in 0..count + 1 {
            if self.rng.one_in(30) {
                return; // enough
            }
            match items.recv().timeout(LIMIT).await {
                Ok((of, number, _)) => {
                    assert_eq!(of, stream, "another one's items");
                    world.ledger().takes(stream, number);
                }
                Err(RecvError::Closed) => return world.ledger().hears_end(stream),
                Err(error) => return self.fails(&nodes, since, "what was ordered", &error),
            }
        }
    }

    /// A third node is to get it, through this one.
    async fn orders_for_another(&mut self, to: usize) {
        if self.world.plan.nodes < 3 {
            return;
        }
        let third = self.other(&[self.me, to]);
        let (world, nodes, since) = (Rc::clone(&self.world), [self.me, to, third], sync::now());
        let sink = match self.remote(third).import::<Sender<Item>>(SINK).timeout(LIMIT).await {
            Ok(sink) => sink,
            Err(error) => return self.fails(&nodes, since, "an import", &error),
        };
        let order: Order = (world.ledger().stream(&nodes), self.rng.below(12) as u32, sink);
        if let Err(error) = self.remote(to).post(ORDERS, order).timeout(LIMIT).await {
            self.fails(&nodes, since, "an order", &error);
        }
    }

    async fn posts(&mut self, to: usize) {
        let (nodes, since) = ([self.me, to], sync::now());
        let shot = self.world.ledger().shot();
        let letter: Letter = (shot, pad(&self.world, &mut self.rng));
        let remote = self.remote(to);
        if self.rng.one_in(4) {
            let verdict =
                if remote.try_post(LETTERS, letter).is_ok() { Verdict::InDoubt } else { Verdict::Refused };
            return self.world.ledger().is_told(shot, verdict);
        }
        let verdict = match remote.post(LETTERS, letter).timeout(LIMIT).await {
            Ok(()) => Verdict::Taken,
            Err(error) => {
                self.fails(&nodes, since, "a message", &error);
                if error.may_have_arrived() { Verdict::InDoubt } else { Verdict::Refused }
            }
        };
        self.world.ledger().is_told(shot, verdict);
    }

    async fn asks(&mut self, to: usize) {
        let (nodes, since) = ([self.me, to], sync::now());
        let shot = self.world.ledger().shot();
        let letter: Letter = (shot, pad(&self.world, &mut self.rng));
        let asked = self.remote(to).ask::<Letter, Letter>(CALLS, letter).timeout(LIMIT).await;
        let verdict = match asked {
            Ok(reply) => {
                assert_eq!(reply.0, answer(shot), "another one's reply");
                Verdict::Taken
            }
            Err(error) => {
                self.fails(&nodes, since, "a question", &error);
                if matches!(*error, AskError::Refused(_)) { Verdict::Refused } else { Verdict::InDoubt }
            }
        };
        self.world.ledger().is_told(shot, verdict);
    }

    async fn calls(&mut self, to: usize) {
        let (nodes, since) = ([self.me, to], sync::now());
        let import = self.remote(to).import::<Client<Letter, Letter>>(CALLS).timeout(LIMIT).await;
        let client = match import {
            Ok(client) => client,
            Err(error) => return self.fails(&nodes, since, "an import", &error),
        };
        let calls: Vec<_> = (0..self.rng.below(6))
            .map(|_| {
                let shot = self.world.ledger().shot();
                let letter: Letter = (shot, pad(&self.world, &mut self.rng));
                (shot, client.call(letter).timeout(LIMIT))
            })
            .collect();
        let calls: Vec<_> = calls.into_iter().map(|(shot, call)| (shot, Some(call))).collect();
        for (shot, verdict) in all(calls).await {
            let verdict = match verdict {
                Ok(reply) => {
                    assert_eq!(reply.0, answer(shot), "another one's reply");
                    Verdict::Taken
                }
                Err(error) => {
                    self.fails(&nodes, since, "a call", &error);
                    if matches!(error, CallError::TooLarge(_)) { Verdict::Refused } else { Verdict::InDoubt }
                }
            };
            self.world.ledger().is_told(shot, verdict);
        }
        if self.rng.one_in(3) {
            self.kept.push(Box::new(client));
        }
    }

    async fn chains(&mut self, to: usize) {
        let (nodes, since) = ([self.me, to], sync::now());
        let import = self.remote(to).import::<Chain<u32, u32, u32>>(CHAINS).timeout(LIMIT).await;
        let mut chain = match import {
            Ok(chain) => chain,
            Err(error) => return self.fails(&nodes, since, "an import", &error),
        };
        let mut calls = Vec::new();
        for _ in 0..self.rng.below(6) {
            let shot = self.world.ledger().shot();
            match chain.call(shot).timeout(LIMIT).await {
                Ok(call) => calls.push((shot, Some(call.timeout(LIMIT)))),
                Err(error) if error.is_skipped() => self.world.ledger().is_told(shot, Verdict::Refused),
                Err(error) => {
                    self.fails(&nodes, since, "a call of a chain", &error);
                    break;
                }
            }
        }
        let mut is_broken = false;
        for (shot, result) in all(calls).await {
            let verdict = match result {
                Ok(reply) => {
                    assert!(!is_broken && !fails(shot) && reply == answer(shot), "{shot}: {reply}");
                    Verdict::Taken
                }
                Err(error) if error.is_skipped() => {
                    assert!(is_broken, "{shot} was skipped, and none before it has failed");
                    Verdict::Refused
                }
                Err(error) => match error.cause() {
                    ChainCause::Failed(reply) => {
                        assert!(!is_broken && fails(shot) && *reply == answer(shot), "{shot}: {reply}");
                        is_broken = true;
                        Verdict::Taken
                    }
                    ChainCause::Call(_) => {
                        is_broken = true;
                        self.fails(&nodes, since, "a chain", &error);
                        Verdict::InDoubt
                    }
                },
            };
            self.world.ledger().is_told(shot, verdict);
        }
    }

    async fn listens(&mut self, to: usize) {
        let (nodes, since) = ([self.me, to], sync::now());
        let mut ticks = match self.remote(to).import::<Receiver<u32>>(TICKS).timeout(LIMIT).await {
            Ok(ticks) => ticks,
            Err(error) => return self.fails(&nodes, since, "an import", &error),
        };
        let mut last = None;
        for _ in 0..self.rng.below(8) {
            match ticks.recv().timeout(LIMIT).await {
                Ok(n) => assert!(last.replace(n).is_none_or(|last| last < n), "{n} after {last:?}"),
                Err(error) => return self.fails(&nodes, since, "ticks", &error),
            }
        }
        if self.rng.one_in(2) {
            self.kept.push(Box::new(ticks));
        }
    }

    async fn watches(&mut self, to: usize) {
        let (nodes, since) = ([self.me, to], sync::now());
        let mut level = match self.remote(to).import::<Watch<u32>>(LEVEL).timeout(LIMIT).await {
            Ok(level) => level,
            Err(error) => return self.fails(&nodes, since, "an import", &error),
        };
        let mut last = None;
        for _ in 0..self.rng.below(8) {
            match level.changed().timeout(LIMIT).await {
                Ok(n) => assert!(last.replace(n).is_none_or(|last| last < n), "{n} after {last:?}"),
                Err(error) => return self.fails(&nodes, since, "a level", &error),
            }
        }
        if self.rng.one_in(2) {
            self.kept.push(Box::new(level));
        }
    }

    async fn lists(&mut self, to: usize) {
        let remote = self.remote(to);
        match self.rng.below(3) {
            0 => drop(self.list::<NodeInfo>(to, remote.nodes()).await),
            1 => drop(self.list::<LinkInfo>(to, remote.links()).await),
            _ => {
                let Some(exports) = self.list::<ExportInfo>(to, remote.exports()).await else { return };
                let names: Vec<_> = exports.iter().map(|info| &*info.name).collect();
                assert_eq!(names, EXPORTS, "what {to} exports");
            }
        }
    }

    /// The whole of it.
    async fn list<T: Message + Send>(&self, to: usize, import: Import<Receiver<T>>) -> Option<Vec<T>> {
        let (nodes, since, mut whole) = ([self.me, to], sync::now(), Vec::new());
        let mut list = match import.timeout(LIMIT).await {
            Ok(list) => list,
            Err(error) => {
                if !asks_too_much(error.dead()) {
                    self.fails(&nodes, since, "a list", &error);
                }
                return None;
            }
        };
        loop {
            match list.recv().timeout(LIMIT).await {
                Ok(entry) => whole.push(entry),
                Err(RecvError::Closed) => return Some(whole),
                Err(error) => {
                    self.fails(&nodes, since, "a list", &error);
                    return None;
                }
            }
        }
    }

    /// Of its own tree, while it is not in the whole one.
    async fn pictures(&mut self, to: usize) {
        if self.world.is_over() && to != (self.me + 1) % self.world.plan.nodes {
            return; // one at last is enough
        }
        let (since, is_whole) = (sync::now(), self.world.is_over());
        let everybody: Vec<_> = (0..self.world.plan.nodes).collect();
        let picture = match self.node.picture().timeout(LIMIT).await {
            Ok(picture) => picture,
            Err(error) if asks_too_much(error.dead()) => return,
            Err(error) => return self.fails(&everybody, since, "a picture", &error),
        };
        assert_eq!(picture.links.len() + picture.untold.len(), picture.nodes.len(), "{picture:?}");
        for (id, why) in &picture.untold {
            if !matches!(*why, Untold::Dead(dead) if asks_too_much(dead)) {
                self.fails(&everybody, since, "a part of a picture", &(id, why));
            }
        }
        // Each once, whatever came and went meanwhile.
        let drawn = picture.text().lines().filter(|line| !line.starts_with("and ")).count();
        assert!(drawn <= picture.nodes.len(), "{}", picture.text());
        if is_whole {
            assert_eq!(drawn, self.world.plan.nodes, "{}", picture.text());
        }
        self.world.ledger().report.pictures += 1;
    }
}

/// Whether a list was refused because all ask for some: a node sends so many at a time, and a bridge passes so many on.
pub(super) const fn asks_too_much(dead: Dead) -> bool {
    matches!(dead.reason, Reason::Busy | Reason::NoResources)
}

/// A value that is being sent is not sent when this is dropped before it is said.
struct Streaming<'w> {
    world: &'w World,
    number: u32,
    is_sending: bool,
}

impl Streaming<'_> {
    fn begins(&mut self) -> u32 {
        self.is_sending = true;
        self.world.ledger().begins(self.number)
    }

    fn was_sent(&mut self, was_sent: bool) {
        self.is_sending = false;
        self.world.ledger().was_sent(self.number, was_sent);
    }
}

impl Drop for Streaming<'_> {
    fn drop(&mut self) {
        if self.is_sending && !std::thread::panicking() {
            self.world.ledger().was_sent(self.number, false);
        }
    }
}

/// Whoever fills an order is told when nobody takes any more, and that is no fault.
struct HangsUp<'w> {
    world: &'w World,
    stream: u32,
}

impl Drop for HangsUp<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.world.ledger().gives_up(self.stream);
        }
    }
}

/// Waits for all at once, in whatever order they come; what each yields, in the order in which they are given.
async fn all<F: Future + Unpin>(mut jobs: Vec<(u32, Option<F>)>) -> Vec<(u32, F::Output)> {
    let mut results: Vec<Option<F::Output>> = jobs.iter().map(|_| None).collect();
    core::future::poll_fn(|cx| {
        for ((_, job), result) in jobs.iter_mut().zip(&mut results) {
            if let Some(running) = job
                && let core::task::Poll::Ready(output) = core::pin::Pin::new(running).poll(cx)
            {
                *result = Some(output);
                *job = None;
            }
        }
        let is_over = jobs.iter().all(|(_, job)| job.is_none());
        if is_over { core::task::Poll::Ready(()) } else { core::task::Poll::Pending }
    })
    .await;
    let number = |(number, _): (u32, Option<F>)| number;
    jobs.into_iter().map(number).zip(results).filter_map(|(number, result)| Some((number, result?))).collect()
}
