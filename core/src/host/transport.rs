//! What transports use to make links of their streams.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::time::Instant;

pub use super::driver::{Driver, Handover, TaskStream};
use super::error::LinkError;
pub use super::line::LineDriver;
use super::line::{LineStream, LineTask};
use super::link::{Budget, Io, LinkCell};
use super::node::Node;
use super::peer::Peer;
pub use super::sessions::{Attempts, Due, Redial};
use super::stream::{BlockingStream, Stream};
use super::sync::{self, Mutex, PoisonError};
use super::timer;
use super::wait::{Source, Wait, Waiting};
pub use crate::proto::LineConfig;
use crate::proto::{LinkConfig, LinkKind, LinkState, Name, Reason, Relation};

/// How a transport wants its links.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LinkOptions {
    /// A checksum on every packet: for streams that leave the machine.
    pub crc: bool,
    /// Say hello first. A listener waits, so that a stranger costs it nothing.
    pub active: bool,
    /// What the two nodes are to be to each other.
    pub tie: Tie,
}

/// What the two nodes of a link are to be to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Tie {
    /// Peers: each sees what the other one exports, and nothing behind.
    #[default]
    Peer,
    /// The other one is the parent of this node, and does adopt it.
    Join {
        /// This node goes on without its parent, as a root of its own. Otherwise it ends with the link.
        lives_on: bool,
    },
    /// Whoever joins is a child of this node, and so is a board; others are peers.
    Adopt,
}

impl Tie {
    fn apply(self, config: &mut LinkConfig) {
        (config.kind, config.adopts) = match self {
            Self::Peer => (LinkKind::Peer, false),
            Self::Join { .. } => (LinkKind::Tree, false),
            Self::Adopt => (LinkKind::Either, true),
        };
    }

    const fn ends_node(self) -> bool {
        matches!(self, Self::Join { lives_on: false })
    }
}

impl LinkOptions {
    /// For the side that connects.
    pub const fn active() -> Self {
        Self { crc: false, active: true, tie: Tie::Peer }
    }

    /// For the side that listens.
    pub const fn passive() -> Self {
        Self { crc: false, active: false, tie: Tie::Peer }
    }

    /// For nodes that are to be this to each other.
    #[must_use]
    pub const fn with_tie(self, tie: Tie) -> Self {
        Self { tie, ..self }
    }

    /// With a checksum on every packet, or without.
    #[must_use]
    pub const fn with_crc(self, crc: bool) -> Self {
        Self { crc, ..self }
    }
}

/// How a transport wants its links on a lossy line.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LineOptions {
    /// The line itself. Its dead-time is the link's.
    pub line: LineConfig,
    /// How long the bring-up may take, at most an hour. 3 s by default.
    pub hello: Duration,
    /// What the two nodes are to be to each other.
    pub tie: Tie,
    /// What the other node is to be called. Another one is told goodbye before it can open anything
    /// ([`LinkError::OtherNode`]). Any by default.
    pub expects: Option<Name>,
}

impl LineOptions {
    /// For such a line.
    pub const fn new(line: LineConfig) -> Self {
        Self { line, hello: Duration::from_secs(3), tie: Tie::Peer, expects: None }
    }

    /// Sets [`hello`](Self::hello).
    #[must_use]
    pub const fn hello(self, hello: Duration) -> Self {
        Self { hello, ..self }
    }

    /// Sets [`tie`](Self::tie).
    #[must_use]
    pub const fn tie(self, tie: Tie) -> Self {
        Self { tie, ..self }
    }

    /// Sets [`expects`](Self::expects).
    #[must_use]
    pub const fn expects(self, name: Name) -> Self {
        Self { expects: Some(name), ..self }
    }
}

pub(crate) fn cell(node: &Node, io: Io, options: LinkOptions) -> Result<Arc<LinkCell>, LinkError> {
    let inner = node.inner();
    let dead_ms = millis(inner.config.dead_time).clamp(250, 600_000);
    let mut config = LinkConfig {
        crc: options.crc,
        active: options.active,
        dead_ms,
        hear_ms: dead_ms / 4,
        circuits: inner.config.channels_per_link,
        ..LinkConfig::stream(inner.identity)
    };
    options.tie.apply(&mut config);
    cell_with(node, io, config, options.tie)
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

fn cell_with(node: &Node, io: Io, config: LinkConfig, tie: Tie) -> Result<Arc<LinkCell>, LinkError> {
    let inner = node.inner();
    if matches!(tie, Tie::Join { .. }) && inner.tree().parent().is_some() {
        // Whoever adopts would take it for this node come back, and end the link that there is.
        return Err(LinkError::Local(Reason::AlreadyJoined));
    }
    let budget = Budget { floors: inner.config.reserve_per_link, pool: inner.config.lend_per_link };
    let link = Arc::new(LinkCell::new(inner, io, config, sync::random(), budget, tie.ends_node()));
    if config.active && inner.is_full() {
        return Err(LinkError::Local(Reason::NoResources));
    }
    if !inner.add_link(&link) {
        return Err(LinkError::Local(Reason::Shutdown));
    }
    Ok(link)
}

/// Those who have connected to one listener and not yet said who they are. Where more come
/// than may wait, the one who has waited longest goes: an honest peer stays for a round trip,
/// and those who say nothing do not keep it out.
#[derive(Debug)]
pub struct Lobby {
    most: usize,
    waiting: Mutex<VecDeque<Weak<LinkCell>>>,
}

impl Lobby {
    /// With room for `most`.
    pub fn new(most: usize) -> Self {
        Self { most, waiting: Mutex::new(VecDeque::new()) }
    }

    /// One more waits for its bring-up.
    pub fn enter(&self, up: &Wait<Up>) {
        let Ok(link) = &up.get_ref().started else { return };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut links: Vec<_> = waiting.drain(..).filter_map(|link| link.upgrade()).collect();
        links.retain(|link| !link.is_down() && link.lock().peer.is_none());
        links.push(Arc::clone(link));
        let beyond = links.len().saturating_sub(self.most);
        waiting.extend(links[beyond..].iter().map(Arc::downgrade));
        drop(waiting);
        for link in &links[..beyond] {
            link.fail(LinkError::Local(Reason::NoResources));
        }
    }
}

/// Makes a link of a stream that blocks, with two threads to drive it. Ready when the
/// bring-up is complete.
pub fn start_blocking(node: &Node, stream: Box<dyn BlockingStream>, options: LinkOptions) -> Wait<Up> {
    let started = cell(node, Io::Blocking(stream), options).and_then(|link| {
        spawn(&link, "netchan-write", LinkCell::attend)?;
        spawn(&link, "netchan-read", LinkCell::drive)?;
        Ok(link)
    });
    Wait::new(Up { started })
}

/// How a link is to be that is on such a line.
fn on_line(node: &Node, options: &LineOptions) -> LinkConfig {
    let inner = node.inner();
    let mut config = LinkConfig {
        hello_ms: millis(options.hello).clamp(100, 3_600_000),
        expects: options.expects,
        ..LinkConfig::line(inner.identity, &options.line, inner.config.channels_per_link)
    };
    options.tie.apply(&mut config);
    config
}

/// Makes a link of a port that loses and alters bytes, with three threads to drive it: both
/// sides call it, or the other one is a board. Ready when the bring-up is complete.
///
/// An error says what came instead of a hello: nothing, bytes that are no packets (a wrong
/// baud rate), text, or only what this side has sent.
///
/// Of the port only reads, writes and [`close`](Stream::close) are used; it is closed a moment
/// after the link is down.
pub fn start_line(node: &Node, port: Box<dyn BlockingStream>, options: LineOptions) -> Wait<Up> {
    let config = on_line(node, &options);
    let line = LineStream::new(port, options.line);
    let tie = options.tie;
    let started = cell_with(node, Io::Blocking(Box::new(Arc::clone(&line))), config, tie).and_then(|link| {
        let own = Arc::clone(&line);
        spawn(&link, "netchan-line", move |link| own.run(link))?;
        spawn(&link, "netchan-write", LinkCell::attend)?;
        spawn(&link, "netchan-read", LinkCell::drive)?;
        Ok(link)
    });
    if started.is_err() {
        // There may be no thread that does it.
        line.close_port();
    }
    Wait::new(Up { started })
}

/// A thread for a link, which is down where there can be none.
fn spawn(
    link: &Arc<LinkCell>,
    name: &str,
    run: impl FnOnce(&LinkCell) + Send + 'static,
) -> Result<(), LinkError> {
    let own = Arc::clone(link);
    let builder = sync::Builder::new().name(name.into()).stack_size(256 * 1024);
    builder.spawn(move || run(&own)).map(drop).map_err(|error| {
        let error = LinkError::Io(error.kind());
        link.fail(error);
        error
    })
}

/// Makes a link of a stream that a task of an async runtime drives: the driver is the
/// task, `direct` is what senders write with themselves, or [`Handover`].
///
/// # Errors
///
/// [`LinkError`] when the node is shut.
pub fn start_task<S: TaskStream>(
    node: &Node,
    stream: S,
    direct: Box<dyn Stream>,
    options: LinkOptions,
) -> Result<(Driver<S>, Wait<Up>), LinkError> {
    let link = cell(node, Io::Task(direct), options)?;
    Ok((Driver::new(Arc::clone(&link), stream), Wait::new(Up { started: Ok(link) })))
}

/// As [`start_line`], of a port that a task of an async runtime drives, together with the link: the driver is
/// the task.
///
/// # Errors
///
/// [`LinkError`] when the node is shut.
pub fn start_line_task<S: TaskStream>(
    node: &Node,
    port: S,
    options: LineOptions,
) -> Result<(LineDriver<S>, Wait<Up>), LinkError> {
    let line = LineTask::new(port, options.line);
    let link = cell_with(node, Io::Task(Box::new(line.cell())), on_line(node, &options), options.tie)?;
    let driver = LineDriver::new(Driver::new(Arc::clone(&link), line));
    Ok((driver, Wait::new(Up { started: Ok(link) })))
}

/// Waits for the bring-up.
#[derive(Debug)]
pub struct Up {
    started: Result<Arc<LinkCell>, LinkError>,
}

impl Waiting for Up {
    type Output = Result<Peer, LinkError>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let link = match &self.started {
            Ok(link) => link,
            Err(error) => return Poll::Ready(Err(*error)),
        };
        let mut state = link.lock();
        // Before the rest: it may have been turned away with the peer's hello.
        let fault = match state.link.state() {
            LinkState::Down(fault) => Some(state.explain(fault)),
            _ => state.parting().map(LinkError::Local),
        };
        if let Some(error) = state.down.or(fault) {
            return Poll::Ready(Err(error));
        }
        if let Some(info) = state.peer.clone() {
            let is_parent = state.link.relation() == Relation::Parent;
            if is_parent {
                // Before the look, so that no news is missed; the tree is locked before links are.
                register(&mut state.up_wakers, cx.waker());
            }
            drop(state);
            if is_parent && !link.node.upgrade().is_some_and(|node| node.is_settled(link)) {
                return Poll::Pending;
            }
            return Poll::Ready(Ok(Peer::new(Arc::clone(link), info)));
        }
        register(&mut state.up_wakers, cx.waker());
        Poll::Pending
    }

    fn expire(&mut self) -> Self::Output {
        if let Ok(link) = &self.started {
            link.fail(LinkError::Local(Reason::Deadline));
        }
        Err(LinkError::Local(Reason::Deadline))
    }

    fn source(&self) -> Option<Source<'_>> {
        self.started.as_ref().ok().map(Source::from)
    }
}

fn register(wakers: &mut Vec<Waker>, waker: &Waker) {
    if !wakers.iter().any(|other| other.will_wake(waker)) {
        wakers.push(waker.clone());
    }
}

/// A moment to wait for: deadlines of a transport, without a runtime's timer.
#[derive(Debug)]
#[must_use = "nothing happens until it is awaited"]
pub struct Alarm {
    at: Instant,
    entry: Option<(Waker, timer::Entry)>,
}

impl Alarm {
    /// Ready at this moment.
    pub const fn at(at: Instant) -> Self {
        Self { at, entry: None }
    }

    /// Ready when this much time has passed.
    pub fn after(time: Duration) -> Self {
        let now = sync::now();
        Self::at(now.checked_add(time).unwrap_or_else(|| now + Duration::from_secs(86_400 * 365)))
    }
}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if sync::now() >= self.at {
            return Poll::Ready(());
        }
        if self.entry.as_ref().is_none_or(|(waker, _)| !waker.will_wake(cx.waker())) {
            self.entry = Some((cx.waker().clone(), timer::Entry::new(self.at, cx.waker())));
        }
        Poll::Pending
    }
}

/// Calls `stop` when the node is shut down, for as long as the returned value lives; `None`
/// when it is shut already.
pub fn on_shutdown(node: &Node, stop: Arc<dyn Fn() + Send + Sync>) -> Option<Arc<dyn Fn() + Send + Sync>> {
    node.inner().add_listener(&stop).then_some(stop)
}
