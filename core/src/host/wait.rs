//! The one waiting form: `.await`, `.wait()`, `.timeout(d)`.

use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::time::Instant;

use super::error::NAMELESS;
use super::link::LinkCell;
use super::named::{Naming, Outcome};
use super::parker::Parker;
use super::sync;
use super::timer;

/// What a [`Wait`] waits for. Implemented by this crate's operations.
pub trait Waiting: Unpin {
    /// What it yields.
    type Output;

    /// The output, where it is at hand: no waker is needed, and no place to sleep. Called
    /// before the first poll, by those who are in a hurry.
    #[doc(hidden)]
    #[inline]
    fn now(&mut self) -> Option<Self::Output> {
        None
    }

    /// Goes as far as it can, and registers the waker where it cannot.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output>;

    /// The deadline has passed: what the caller gets. Nothing stays registered.
    fn expire(&mut self) -> Self::Output;

    /// The wait has a deadline; called before the first poll.
    fn deadline(&mut self, at: Instant) {
        let _ = at;
    }

    /// The link whose bytes alone can end the wait, if there is one: the waiting thread
    /// may then read it in person.
    #[doc(hidden)]
    fn source(&self) -> Option<Source<'_>> {
        None
    }

    /// The name of the channel, for errors.
    #[doc(hidden)]
    fn channel(&self) -> Arc<str> {
        NAMELESS.into()
    }
}

/// Where the answer to a wait will come from.
///
/// Borrowed where that is possible: this is asked for at every wait.
#[derive(Clone)]
pub struct Source<'a>(SourceLink<'a>);

#[derive(Clone)]
enum SourceLink<'a> {
    Borrowed(&'a Arc<LinkCell>),
    Shared(Arc<LinkCell>),
}

impl Source<'_> {
    pub(crate) const fn shared(link: Arc<LinkCell>) -> Self {
        Self(SourceLink::Shared(link))
    }

    pub(crate) const fn link(&self) -> &Arc<LinkCell> {
        match &self.0 {
            SourceLink::Borrowed(link) => link,
            SourceLink::Shared(link) => link,
        }
    }
}

impl<'a> From<&'a Arc<LinkCell>> for Source<'a> {
    fn from(link: &'a Arc<LinkCell>) -> Self {
        Self(SourceLink::Borrowed(link))
    }
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

/// An operation that waits: a future, and a blocking call with [`wait`](Wait::wait).
///
/// Nothing happens before it is polled or waited for. Dropping it before it is ready
/// loses nothing, except where the method that returned it says so.
#[must_use = "nothing happens until it is awaited, or `.wait()` is called"]
#[derive(Debug)]
pub struct Wait<W> {
    what: W,
}

impl<W: Waiting> Wait<W> {
    pub(crate) const fn new(what: W) -> Self {
        Self { what }
    }

    pub(crate) const fn get_ref(&self) -> &W {
        &self.what
    }

    /// Blocks this thread until the operation is ready.
    ///
    /// May read the link in person, so it must not be called on the threads of an async
    /// runtime.
    // In the program's own loop, where what is at hand never takes the way through memory.
    #[inline(always)]
    pub fn wait(mut self) -> W::Output {
        match self.what.now() {
            Some(output) => output,
            None => self.wait_long(),
        }
    }

    /// Kept out of line: whoever waits may as well call.
    #[inline(never)]
    fn wait_long(mut self) -> W::Output {
        Parker::with(|parker, waker| {
            let mut cx = Context::from_waker(waker);
            loop {
                if let Poll::Ready(output) = self.what.poll(&mut cx) {
                    return output;
                }
                if !LinkCell::wait_on(self.what.source(), parker, None) {
                    parker.park(None);
                }
            }
        })
    }

    /// The same operation, whose error says the channel's name: for `?`.
    ///
    /// ```no_run
    /// # fn f(mut ticks: netchan::Receiver<u64>) -> Result<(), Box<dyn std::error::Error>> {
    /// let tick = ticks.recv().named().wait()?; // channel `ticks`: dead: the link was lost
    /// # let _ = tick;
    /// # Ok(())
    /// # }
    /// ```
    pub fn named(self) -> Wait<Naming<W>>
    where
        W::Output: Outcome,
    {
        Wait { what: Naming::new(self.what) }
    }

    /// Gives up after `limit`: the operation then yields its deadline error. netchan keeps
    /// the time itself, so this works under any runtime and under none.
    pub fn timeout(mut self, limit: Duration) -> Timeout<W> {
        let at = after(limit);
        self.what.deadline(at);
        Timeout { what: self.what, at, timer: None }
    }
}

impl<W: Waiting> Future for Wait<W> {
    type Output = W::Output;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<W::Output> {
        self.what.poll(cx)
    }
}

/// An operation with a deadline.
#[must_use = "nothing happens until it is awaited, or `.wait()` is called"]
#[derive(Debug)]
pub struct Timeout<W> {
    what: W,
    at: Instant,
    timer: Option<timer::Entry>,
}

impl<W: Waiting> Timeout<W> {
    /// As [`Wait::named`].
    pub fn named(self) -> Timeout<Naming<W>>
    where
        W::Output: Outcome,
    {
        Timeout { what: Naming::new(self.what), at: self.at, timer: self.timer }
    }

    /// Blocks this thread until the operation is ready or its time is over.
    pub fn wait(mut self) -> W::Output {
        Parker::with(|parker, waker| {
            let mut cx = Context::from_waker(waker);
            loop {
                if let Poll::Ready(output) = self.what.poll(&mut cx) {
                    return output;
                }
                if sync::now() >= self.at {
                    return self.what.expire();
                }
                if !LinkCell::wait_on(self.what.source(), parker, Some(self.at)) {
                    parker.park(Some(self.at));
                }
            }
        })
    }
}

impl<W: Waiting> Future for Timeout<W> {
    type Output = W::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<W::Output> {
        let this = &mut *self;
        if let Poll::Ready(output) = this.what.poll(cx) {
            return Poll::Ready(output);
        }
        if sync::now() >= this.at {
            return Poll::Ready(this.what.expire());
        }
        match &this.timer {
            Some(entry) => entry.refresh(cx.waker()),
            None => this.timer = Some(timer::Entry::new(this.at, cx.waker())),
        }
        Poll::Pending
    }
}

/// The moment `limit` from now; one that no clock can reach is a year away.
pub(crate) fn after(limit: Duration) -> Instant {
    let now = sync::now();
    now.checked_add(limit).unwrap_or_else(|| now + Duration::from_secs(86_400 * 365))
}
