//! A link driven by a task of an async runtime: one future that reads, writes what the
//! senders left, and keeps the time. No inner queues, no other tasks, no runtime named.

use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::io::{self, IoSlice};
use std::time::Instant;

use super::error::LinkError;
use super::lane;
use super::link::LinkCell;
use super::stream::Stream;
use super::sync::{self, AtomicBool, Ordering, PoisonError};
use super::timer;
use crate::proto::Reason;

/// Reads in one go before other tasks get their turn.
const READS: usize = 8;

/// A stream as the task that drives a link uses it. Only that task calls it.
pub trait TaskStream: Send + Unpin + 'static {
    /// Reads at least one byte, or registers the task; `Ok(0)` is the end of the stream.
    /// What `into` holds before is of no use to anybody; only what was read may be counted.
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes at least one byte, or registers the task.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Sees to it that what was written gets out, where the stream keeps it back.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }

    /// No more bytes will be written; what was written is still delivered.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }
}

/// The senders' side of a stream that only its task can write: they leave it all to the task.
#[derive(Debug, Clone, Copy, Default)]
pub struct Handover;

impl Stream for Handover {
    fn try_write(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn finish(&self) {}

    fn close(&self) {}
}

/// Drives one link for as long as it is polled; ready, with the cause, when the link is
/// down.
///
/// Dropping it takes the link down. If the node was leaving, what the stream takes at once
/// is still written.
#[must_use = "the link moves only while this is polled: give it to a task"]
pub struct Driver<S> {
    link: Arc<LinkCell>,
    stream: S,
    next_tick: Instant,
    timer: Option<(Instant, timer::Entry)>,
    /// The timer has come; the clock is read only then.
    is_time: Arc<AtomicBool>,
    waker: Option<Waker>,
    unflushed: bool,
    /// For values that were stored while their lane was closed.
    look_at: Option<Instant>,
}

impl<S> fmt::Debug for Driver<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Driver").field(&self.link.number).finish()
    }
}

impl<S: TaskStream> Driver<S> {
    pub(crate) fn new(link: Arc<LinkCell>, stream: S) -> Self {
        Self {
            link,
            stream,
            next_tick: sync::now(),
            timer: None,
            is_time: Arc::new(AtomicBool::new(true)),
            waker: None,
            unflushed: false,
            look_at: None,
        }
    }

    /// The stream, for what is left to do when the link is down.
    pub(crate) const fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Reads until nothing is there, or until others should have their turn.
    fn read(&mut self, cx: &mut Context<'_>) {
        let Self { link, stream, .. } = self;
        let mut reader = link.reader.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..READS {
            let space = reader.space();
            let len = space.len();
            match stream.poll_read(cx, space) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    reader.filled(n.min(len));
                    link.process(&mut reader);
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(ended) => return link.io_ended(&ended),
                Poll::Pending => return,
            }
            if link.is_down() {
                return;
            }
        }
        // Only under a flood: the stream has more, and would not wake the task for it.
        cx.waker().wake_by_ref();
    }

    /// Writes what the senders left, as far as the stream takes it. `true` if the link is
    /// about to leave, or has to at some time.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let Self { link, stream, unflushed, look_at, .. } = self;
        let leaves = loop {
            let mut state = link.lock();
            let leaves = state.leave.is_some() || state.ends_by.is_some();
            let (asked, again) = state.take_flush_request();
            if again {
                *look_at = Some(sync::now() + lane::SEEN_AFTER);
            }
            if !state.output.is_stuck() {
                if asked {
                    link.flush(state);
                    if link.lock().output.is_stuck() {
                        continue;
                    }
                }
                break leaves;
            }
            drop(state);
            let took = link.write_stuck(|bytes| match stream.poll_write(cx, bytes) {
                Poll::Ready(result) => result,
                Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
            })?;
            *unflushed = true;
            if !took {
                break leaves;
            }
        };
        if *unflushed && let Poll::Ready(result) = stream.poll_flush(cx) {
            *unflushed = false;
            result?;
        }
        Ok(leaves)
    }

    /// Ticks, looks again, and goes on with leaving.
    fn keep_time(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let now = sync::now();
        if now >= self.next_tick {
            self.link.tick();
            self.next_tick = now + self.link.tick_every();
        }
        if lane::is_seen(&mut self.look_at, now) {
            self.link.flush(self.link.lock());
        }
        let mut at = self.look_at.map_or(self.next_tick, |at| at.min(self.next_tick));
        if let Some(leave) = self.link.leave_step(now) {
            at = at.min(leave.at);
            if leave.finished
                && let Poll::Ready(result) = self.stream.poll_finish(cx)
            {
                result?;
            }
        }
        if self.timer.as_ref().is_none_or(|(armed, _)| *armed != at) {
            let flag = Arc::clone(&self.is_time);
            self.timer = Some((at, timer::Entry::flagged(at, cx.waker(), Some(flag))));
        }
        Ok(())
    }

    /// Of a link that has broken: what the stream takes at once of what is left to be said.
    fn say_last_words(&mut self, cx: &mut Context<'_>) {
        let words = self.link.take_words();
        let mut left = &words[..];
        while !left.is_empty()
            && let Poll::Ready(Ok(n @ 1..)) = self.stream.poll_write(cx, &[IoSlice::new(left)])
        {
            left = left.get(n..).unwrap_or_default();
        }
        if !words.is_empty() {
            // The link is down, whatever becomes of this.
            let _ = self.stream.poll_flush(cx);
        }
    }

    /// Says once, and whenever the task has another waker, who is to be woken.
    fn register(&mut self, cx: &mut Context<'_>) {
        if self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return;
        }
        let old = self.link.lock().output.flusher.replace(cx.waker().clone());
        // It may own a task, and that ends of this link: not under the lock.
        drop(old);
        self.waker = Some(cx.waker().clone());
        self.timer = None;
        self.is_time.store(true, Ordering::Relaxed);
    }
}

impl<S: TaskStream> Future for Driver<S> {
    type Output = LinkError;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<LinkError> {
        let this = &mut *self;
        this.register(cx);
        this.read(cx);
        let looks_at = this.look_at;
        let result = this.write(cx).and_then(|leaves| {
            let is_time = this.is_time.load(Ordering::Relaxed) && this.is_time.swap(false, Ordering::AcqRel);
            let looks_anew = this.look_at != looks_at;
            if is_time || leaves || looks_anew { this.keep_time(cx) } else { Ok(()) }
        });
        if let Err(error) = result {
            this.link.io_ended(&Err(error));
        }
        match this.link.down() {
            Some(error) => {
                this.say_last_words(cx);
                Poll::Ready(error)
            }
            None => Poll::Pending,
        }
    }
}

impl<S> Driver<S> {
    /// Takes the link down. If the node was leaving, what the stream takes at once is written.
    pub(crate) fn give_up(&self) {
        if !self.link.is_down() {
            self.link.leave_at_once();
            self.link.fail(LinkError::Local(Reason::LinkLost));
        }
    }
}

impl<S> Drop for Driver<S> {
    fn drop(&mut self) {
        self.give_up();
    }
}
