//! What transports use to make links of their streams.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::task::{Context, Poll};
use std::io;
use std::thread;
use std::time::Duration;

use super::error::LinkError;
use super::link::{Budget, Io, LinkCell};
use super::node::{Node, random};
use super::peer::Peer;
use super::stream::{BlockingStream, Stream};
use super::wait::{Source, Wait, Waiting};
use crate::proto::{LinkConfig, Reason};

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

fn cell(node: &Node, io: Io, options: LinkOptions) -> Result<Arc<LinkCell>, LinkError> {
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
    let link = Arc::new(LinkCell::new(inner, io, config, random(), budget));
    if !inner.add_link(&link) {
        return Err(LinkError::Local(Reason::Shutdown));
    }
    Ok(link)
}

/// Makes a link of a stream that blocks, with two threads to drive it. Ready when the
/// bring-up is complete.
pub fn start_blocking(node: &Node, stream: Box<dyn BlockingStream>, options: LinkOptions) -> Wait<Up> {
    let started = cell(node, Io::Blocking(stream), options).and_then(|link| {
        let threads =
            [("netchan-write", LinkCell::attend as fn(&LinkCell)), ("netchan-read", LinkCell::drive)];
        for (name, run) in threads {
            let own = Arc::clone(&link);
            let builder = thread::Builder::new().name(name.into()).stack_size(256 * 1024);
            match builder.spawn(move || run(&own)) {
                Ok(thread) if name == "netchan-write" => {
                    link.lock().output.flusher = Some(super::parker::unparker(thread.thread().clone()));
                }
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

/// Makes a link of a stream that a task of an async runtime drives; `Driver` is the task's
/// side of it.
///
/// # Errors
///
/// [`LinkError`] when the node is shut.
pub fn start_task(
    node: &Node,
    stream: Box<dyn Stream>,
    options: LinkOptions,
) -> Result<(Driver, Wait<Up>), LinkError> {
    let link = cell(node, Io::Task(stream), options)?;
    Ok((Driver { link: Arc::clone(&link) }, Wait::new(Up { started: Ok(link) })))
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
        if let Some(info) = state.peer.clone() {
            drop(state);
            return Poll::Ready(Ok(Peer::new(Arc::clone(link), info)));
        }
        if let Some(error) = state.down {
            return Poll::Ready(Err(error));
        }
        state.up_wakers.push(cx.waker().clone());
        Poll::Pending
    }

    fn expire(&mut self) -> Self::Output {
        if let Ok(link) = &self.started {
            link.fail(LinkError::Local(Reason::Deadline));
        }
        Err(LinkError::Local(Reason::Deadline))
    }

    fn source(&self) -> Option<Source> {
        self.started.as_ref().ok().map(|link| Source(Arc::clone(link)))
    }
}

/// A runtime's side of a link: it reads, and gives what it read.
///
/// Dropping it takes the link down.
pub struct Driver {
    link: Arc<LinkCell>,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Driver").field(&self.link.number).finish()
    }
}

impl Driver {
    /// Lets `read` fill the link's buffer, and handles what came: the result of `read`, and
    /// whether the link is still up. `Ok(0)` and errors other than `WouldBlock` end the link.
    pub fn read(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        let mut reader = self.link.reader.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let result = read(reader.space());
        match &result {
            Ok(n) if *n > 0 => {
                reader.filled(*n);
                self.link.process(&mut reader);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            ended => self.link.io_ended(ended),
        }
        result
    }

    /// Writes what is due and registers the task for more: `Ready` with whether the stream
    /// has to become writable before this is called again.
    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.link.lock();
        match &mut state.output.flusher {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            flusher => *flusher = Some(cx.waker().clone()),
        }
        let asked = state.output.take_flush_request();
        if state.output.is_stuck() {
            drop(state);
            return match self.link.write_stuck(Duration::ZERO) {
                Ok(true) => Poll::Pending,
                Ok(false) => Poll::Ready(true),
                Err(error) => {
                    self.link.io_ended(&Err(error));
                    Poll::Pending
                }
            };
        }
        if asked || !state.output.is_idle() || state.link.has_control() {
            self.link.flush(state);
            if self.link.lock().output.is_stuck() {
                return Poll::Ready(true);
            }
        }
        Poll::Pending
    }

    /// To be called every [`Driver::tick_every`].
    pub fn tick(&self) {
        self.link.tick();
    }

    /// How often the link wants its clock looked at.
    pub fn tick_every(&self) -> Duration {
        self.link.tick_every()
    }

    /// Whether the link is over, and the task may end.
    pub fn is_down(&self) -> bool {
        self.link.is_down()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.link.fail(LinkError::Local(Reason::LinkLost));
    }
}

/// Calls `stop` when the node is shut down, for as long as the returned value lives; `None`
/// when it is shut already.
pub fn on_shutdown(node: &Node, stop: Arc<dyn Fn() + Send + Sync>) -> Option<Arc<dyn Fn() + Send + Sync>> {
    node.inner().add_listener(&stop).then_some(stop)
}
