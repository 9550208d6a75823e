//! A line that a task of an async runtime drives, together with its link: one future for both.

use alloc::sync::Arc;
use alloc::vec::Vec;
use alloc::{boxed::Box, vec};
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::io::{self, IoSlice};

use super::{ACK_DELAY, CHUNK, End, LAST_WORDS, LineCell};
use crate::host::driver::{Driver, TaskStream};
use crate::host::error::LinkError;
use crate::host::timer;
use crate::proto::{self, LineConfig};

/// Reads of the port in one go that bring the link nothing, before other tasks get their turn.
const READS: usize = 8;

/// A line between a link and a port, as the task that drives both uses it.
pub(crate) struct LineTask<S> {
    line: Arc<LineCell>,
    port: S,
    raw: Box<[u8]>,
    /// What was read and is not with the link yet: so much of it was handed on.
    records: Vec<u8>,
    at: usize,
    /// What was drained, and how much of it the port has taken.
    out: Box<[u8]>,
    done: usize,
    len: usize,
    /// When the line has something to do, and who is woken then.
    timer: Option<(proto::Instant, Waker, timer::Entry)>,
    closed_at: Option<proto::Instant>,
}

impl<S: TaskStream> LineTask<S> {
    pub(crate) fn new(port: S, config: LineConfig) -> Self {
        Self {
            line: LineCell::new(config),
            port,
            raw: vec![0; CHUNK].into(),
            records: Vec::new(),
            at: 0,
            out: vec![0; CHUNK].into(),
            done: 0,
            len: 0,
            timer: None,
            closed_at: None,
        }
    }

    /// What senders write with.
    pub(crate) fn cell(&self) -> Arc<LineCell> {
        Arc::clone(&self.line)
    }

    /// Gives the port what the line has to say, as much as it takes, and keeps the line's time: whether
    /// all is written.
    fn pump(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        loop {
            let blocked = self.done < self.len && {
                match self.port.poll_write(cx, &[IoSlice::new(&self.out[self.done..self.len])]) {
                    Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(Ok(n)) => {
                        self.done += n;
                        continue;
                    }
                    Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Poll::Ready(Err(error)) => return Err(error),
                    Poll::Pending => true,
                }
            };
            let now = self.line.now();
            let mut state = self.line.lock();
            let mut ahead = now;
            if state.end == End::Closed {
                // What waits for company goes without: nobody comes any more.
                ahead = now + ACK_DELAY;
            } else if let Err(fault) = state.line.tick(now) {
                // Whoever reads next hears of it.
                state.fault = state.fault.or(Some(fault));
            }
            if !blocked {
                let state = &mut *state;
                (self.done, self.len) = (0, state.line.drain(&mut state.tx, &mut self.out, ahead));
                if self.len > 0 {
                    continue;
                }
            }
            let old = match &state.task {
                Some(task) if task.will_wake(cx.waker()) => None,
                _ => state.task.replace(cx.waker().clone()),
            };
            let delivered = state.take_delivered();
            let deadline = state.line.deadline();
            drop(state);
            // The drop of a waker is foreign code, and so is a wake: not under the lock.
            drop(old);
            delivered.into_iter().for_each(Waker::wake);
            self.wake_at(deadline, cx);
            return Ok(!blocked);
        }
    }

    fn wake_at(&mut self, at: proto::Instant, cx: &Context<'_>) {
        let is_armed =
            |(armed, waker, _): &(proto::Instant, Waker, _)| *armed == at && waker.will_wake(cx.waker());
        if at == proto::Instant::NEVER || self.timer.as_ref().is_some_and(is_armed) {
            return;
        }
        let moment = self.line.epoch + at.since(proto::Instant::ZERO);
        self.timer = Some((at, cx.waker().clone(), timer::Entry::new(moment, cx.waker())));
    }

    /// The link is down: writes why, and the acknowledgement of the peer's goodbye, in a moment.
    fn poll_last_words(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.line.now();
        let until = *self.closed_at.get_or_insert(now) + LAST_WORDS;
        if now >= until {
            return Poll::Ready(());
        }
        match self.pump(cx) {
            Ok(false) => {
                self.wake_at(until, cx);
                Poll::Pending
            }
            Ok(true) | Err(_) => match self.port.poll_flush(cx) {
                Poll::Pending => {
                    self.wake_at(until, cx);
                    Poll::Pending
                }
                Poll::Ready(_) => Poll::Ready(()),
            },
        }
    }
}

impl<S: TaskStream> TaskStream for LineTask<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        for _ in 0..READS {
            let all = self.pump(cx)?;
            if self.at < self.records.len() {
                let n = into.len().min(self.records.len() - self.at);
                into[..n].copy_from_slice(&self.records[self.at..self.at + n]);
                self.at += n;
                return Poll::Ready(Ok(n));
            }
            self.records.clear();
            self.at = 0;
            if self.line.has_ended() {
                return Poll::Ready(Ok(0));
            }
            if all {
                // An adapter may keep bytes back.
                let _ = self.port.poll_flush(cx)?;
            }
            match self.port.poll_read(cx, &mut self.raw) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(0)),
                Poll::Ready(Ok(n)) => self.line.take(&self.raw[..n], &mut self.records),
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        // Only under a flood of what is no packet: the port has more, and would not wake the task for it.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let is_full = |result: &io::Result<usize>| {
            result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        };
        let mut result = self.line.try_put(bytes);
        if is_full(&result) {
            // A hello may have waited until the one before it was written. Other room comes with an
            // acknowledgement, which this task reads.
            self.pump(cx)?;
            result = self.line.try_put(bytes);
        }
        if is_full(&result) { Poll::Pending } else { Poll::Ready(result) }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.pump(cx)? {
            true => self.port.poll_flush(cx),
            false => Poll::Pending,
        }
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The link's side has said so already.
        Poll::Ready(Ok(()))
    }
}

/// Drives a link on a lossy line for as long as it is polled; ready, with the cause, when the
/// link is down and its last words are written, 200 ms later at most.
///
/// Dropping it takes the link down and closes the port. If the node was leaving, what the port takes at once
/// is still written.
#[must_use = "the link moves only while this is polled: give it to a task"]
pub struct LineDriver<S: TaskStream> {
    link: Driver<LineTask<S>>,
    down: Option<LinkError>,
}

impl<S: TaskStream> fmt::Debug for LineDriver<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.link, f)
    }
}

impl<S: TaskStream> LineDriver<S> {
    pub(crate) const fn new(link: Driver<LineTask<S>>) -> Self {
        Self { link, down: None }
    }
}

impl<S: TaskStream> Future for LineDriver<S> {
    type Output = LinkError;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<LinkError> {
        let this = &mut *self;
        let error = match this.down {
            Some(error) => error,
            None => {
                let error = core::task::ready!(Pin::new(&mut this.link).poll(cx));
                *this.down.insert(error)
            }
        };
        this.link.stream().poll_last_words(cx).map(|()| error)
    }
}

impl<S: TaskStream> Drop for LineDriver<S> {
    fn drop(&mut self) {
        self.link.give_up();
        // Nobody comes again: what the port does not take now is not said. Nor would it change the error.
        let _ = self.link.stream().pump(&mut Context::from_waker(Waker::noop()));
    }
}
