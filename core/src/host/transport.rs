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
use super::link::{Budget, Io, LinkCell};
use super::node::Node;
use super::peer::Peer;
pub use super::sessions::{Due, Redial};
use super::stream::{BlockingStream, Stream};
use super::sync::{self, Mutex, PoisonError};
use super::timer;
use super::wait::{Source, Wait, Waiting};
use crate::proto::{LinkConfig, LinkState, Reason};

/// How a transport wants its links.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LinkOptions {
    /// A checksum on every packet: for streams that leave the machine.
    pub crc: bool,
    /// Say hello first. A listener waits, so that a stranger costs it nothing.
    pub active: bool,
}

impl LinkOptions {
    /// For the side that connects.
    pub const fn active() -> Self {
        Self { crc: false, active: true }
    }

    /// For the side that listens.
    pub const fn passive() -> Self {
        Self { crc: false, active: false }
    }

    /// With a checksum on every packet, or without.
    #[must_use]
    pub const fn with_crc(self, crc: bool) -> Self {
        Self { crc, ..self }
    }
}

pub(crate) fn cell(node: &Node, io: Io, options: LinkOptions) -> Result<Arc<LinkCell>, LinkError> {
    let inner = node.inner();
    let dead_ms = u32::try_from(inner.config.dead_time.as_millis()).unwrap_or(u32::MAX).clamp(250, 600_000);
    let config = LinkConfig {
        crc: options.crc,
        active: options.active,
        dead_ms,
        hear_ms: dead_ms / 4,
        circuits: inner.config.channels_per_link,
        ..LinkConfig::stream(inner.identity)
    };
    let budget = Budget { floors: inner.config.reserve_per_link, pool: inner.config.lend_per_link };
    let link = Arc::new(LinkCell::new(inner, io, config, sync::random(), budget));
    if options.active && inner.is_full() {
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
        let threads =
            [("netchan-write", LinkCell::attend as fn(&LinkCell)), ("netchan-read", LinkCell::drive)];
        for (name, run) in threads {
            let own = Arc::clone(&link);
            let builder = sync::Builder::new().name(name.into()).stack_size(256 * 1024);
            match builder.spawn(move || run(&own)) {
                Ok(_) => {}
                Err(error) => {
                    link.fail(LinkError::Io(error.kind()));
                    return Err(LinkError::Io(error.kind()));
                }
            }
        }
        Ok(link)
    });
    Wait::new(Up { started })
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
            LinkState::Down(fault) => Some(fault.into()),
            _ => state.parting().map(LinkError::Local),
        };
        if let Some(error) = state.down.or(fault) {
            return Poll::Ready(Err(error));
        }
        if let Some(info) = state.peer.clone() {
            drop(state);
            return Poll::Ready(Ok(Peer::new(Arc::clone(link), info)));
        }
        if !state.up_wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.up_wakers.push(cx.waker().clone());
        }
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
