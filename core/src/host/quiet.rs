//! Announced silence: a program that stops for a while says so, and is not taken for dead.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use super::down::Down;
use super::link::LinkCell;
use super::node::NodeInner;
use super::wait::Waiting;
use crate::proto::QUIET_MAX_MS;

/// The longest silence that can be announced at a time: 30 seconds.
pub const QUIET_MAX: Duration = Duration::from_millis(QUIET_MAX_MS as u64);

/// Why it is not known that a silence is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuietError {
    /// Longer than [`QUIET_MAX`]: nobody was told.
    TooLong,
    /// The deadline passed before all peers had heard of it. They may still hear of it.
    Deadline,
}

impl fmt::Display for QuietError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "no silence is announced for more than {QUIET_MAX:?} at a time"),
            Self::Deadline => f.write_str("the deadline passed before all peers had heard of the silence"),
        }
    }
}

impl core::error::Error for QuietError {}

/// Waits until all peers know that this node may be silent.
#[derive(Debug)]
pub struct Quieting {
    node: Arc<NodeInner>,
    time: Duration,
    /// Links whose peers may not have heard of it yet; `None` before it is said.
    waits: Option<Vec<Down>>,
}

impl Quieting {
    pub(crate) fn new(node: &Arc<NodeInner>, time: Duration) -> Self {
        Self { node: Arc::clone(node), time, waits: None }
    }

    /// Says it on every link.
    fn tell(&self) -> Vec<Down> {
        // A part of a millisecond is silence too.
        let millis = self.time.as_micros().div_ceil(1000) as u32;
        let links = self.node.links();
        for link in &links {
            let mut state = link.lock();
            state.link.quiet(millis, self.node.now());
            link.flush(state);
        }
        links.into_iter().map(Down::new).collect()
    }
}

impl LinkCell {
    /// Whether the peer knows of all silences that were announced.
    fn is_quiet_heard(&self, node: &NodeInner, waker: &Waker) -> bool {
        let mut state = self.lock();
        let written = state.link.quiets_written();
        let heard = written.and_then(|notices| self.io.stream().is_quiet_heard(notices, waker));
        if heard == Some(true) {
            state.link.quiet_heard(node.now());
        }
        // What a reliable stream was given arrives.
        if heard.unwrap_or_else(|| written.is_some() && state.output.is_idle()) {
            return true;
        }
        state.output.wait_for_room(waker);
        false
    }
}

impl Waiting for Quieting {
    type Output = Result<(), QuietError>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.time > QUIET_MAX {
            return Poll::Ready(Err(QuietError::TooLong));
        }
        if self.waits.is_none() {
            self.waits = Some(self.tell());
        }
        let Self { node, waits, .. } = self;
        let Some(waits) = waits else { return Poll::Pending };
        // Where a link is down nobody can tell its peer any more.
        waits.retain_mut(|down| down.poll(cx).is_pending() && !down.link().is_quiet_heard(node, cx.waker()));
        if waits.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn expire(&mut self) -> Self::Output {
        Err(QuietError::Deadline)
    }
}
