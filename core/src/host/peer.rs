//! A neighbour: what is imported hangs on it.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;
use core::marker::PhantomData;
use core::task::{Context, Poll};
use core::time::Duration;
use std::time::Instant;

use super::cell::Cell;
use super::circuit::Circuit;
use super::error::{ImportError, LinkError};
use super::link::LinkCell;
use super::spec::{End, Imported};
use super::sync;
use super::wait::{Source, Wait, Waiting, after};
use crate::proto::{Fingerprints, Hello, Open, Reason};

/// How long an import waits for its export, unless a timeout says otherwise.
pub(crate) const IMPORT_WAIT: Duration = Duration::from_secs(5);
/// The largest window of one circuit, in bytes.
pub(crate) const WINDOW_MAX: u32 = 256 * 1024;

/// What a neighbour said of itself when the link came up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerInfo {
    /// Its readable name.
    pub name: String,
    /// Its number, the same in every session.
    pub uid: u64,
    /// Another number after each of its restarts.
    pub boot: u64,
}

impl PeerInfo {
    pub(crate) fn new(hello: &Hello<'_>) -> Self {
        Self { name: hello.name.to_string(), uid: hello.uid, boot: hello.boot }
    }
}

/// A neighbour in one session. The link lives with the node, until it breaks or is closed.
#[derive(Clone)]
pub struct Peer {
    pub(crate) link: Arc<LinkCell>,
    info: PeerInfo,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Peer").field(&self.info.name).finish()
    }
}

impl Peer {
    pub(crate) const fn new(link: Arc<LinkCell>, info: PeerInfo) -> Self {
        Self { link, info }
    }

    /// What the peer said of itself.
    pub const fn info(&self) -> &PeerInfo {
        &self.info
    }

    /// Binds to what the peer exports under `name`; the turbofish names what *you* hold:
    /// `peer.import::<Receiver<Tick>>("ticks")`.
    ///
    /// Waits for an export that is not there yet, 5 seconds by default. Dropping the
    /// operation cancels the import.
    pub fn import<E: End>(&self, name: &str) -> Import<E> {
        Import {
            link: Arc::clone(&self.link),
            name: name.to_string(),
            window: WINDOW_MAX,
            limit: None,
            values: None,
            end: PhantomData,
        }
    }

    /// Whether the link is still up.
    pub fn is_up(&self) -> bool {
        !self.link.is_down()
    }

    /// Waits until the link is down, and says why.
    pub fn down(&self) -> Wait<Down> {
        Wait::new(Down { link: Arc::clone(&self.link) })
    }

    /// Ends the link in order: the peer is told, with `Closed`.
    pub fn close(&self) {
        self.link.leave(Reason::Closed);
    }
}

/// An import that is being made up: set what is special, then wait for it.
#[derive(Debug)]
#[must_use = "nothing happens until `.wait()`, `.timeout(d)` or `.await`"]
pub struct Import<E> {
    link: Arc<LinkCell>,
    name: String,
    window: u32,
    limit: Option<u32>,
    values: Option<u64>,
    end: PhantomData<fn() -> E>,
}

impl fmt::Debug for LinkCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.number)
    }
}

impl<E: End> Import<E> {
    /// The most that may be under way to a receiving end, in bytes of encoded values;
    /// 256 KiB by default. The memory is taken up only when values wait.
    pub fn window(mut self, bytes: u32) -> Self {
        self.window = bytes.clamp(1, 1 << 28);
        self
    }

    /// The longest message that a receiving end takes, in bytes, for types without a bound
    /// of their own; 64 KiB by default. Twice as much is reserved.
    pub fn message_limit(mut self, bytes: u32) -> Self {
        self.limit = Some(bytes);
        self
    }

    /// Ends in order after `n` values, at least 1.
    pub fn values(mut self, n: u32) -> Self {
        self.values = Some(u64::from(n));
        self
    }

    /// Blocks until it is answered, at most 5 seconds and a little.
    ///
    /// # Errors
    ///
    /// [`ImportError`].
    pub fn wait(self) -> Result<E, ImportError> {
        self.timeout(IMPORT_WAIT).wait()
    }

    /// Waits at most `limit` for the answer, and for the export to appear.
    pub fn timeout(self, limit: Duration) -> super::wait::Timeout<Importing<E>> {
        let importing = Importing { import: self, until: after(limit), circuit: None };
        Wait::new(importing).timeout(limit)
    }
}

impl<E: End> IntoFuture for Import<E> {
    type Output = Result<E, ImportError>;
    type IntoFuture = super::wait::Timeout<Importing<E>>;

    fn into_future(self) -> Self::IntoFuture {
        self.timeout(IMPORT_WAIT)
    }
}

/// An import under way.
#[derive(Debug)]
pub struct Importing<E> {
    import: Import<E>,
    until: Instant,
    circuit: Option<Arc<Circuit>>,
}

impl<E: End> Importing<E> {
    fn open(&self) -> Result<Arc<Circuit>, ImportError> {
        let spec = E::spec();
        let (limit, floor) = spec.room(self.import.limit);
        // A little less than we wait ourselves, so that the peer's answer comes first.
        let left = self.until.saturating_duration_since(sync::now()).as_millis();
        let values = self.import.values.filter(|_| spec.flags.has(crate::proto::OpenFlags::RECEIVES));
        let open = Open {
            flags: spec.flags,
            wait_ms: u32::try_from(left * 9 / 10).unwrap_or(u32::MAX),
            credit: floor,
            limit,
            values: values.map_or(0, |n| u32::try_from(n).unwrap_or(u32::MAX)),
            name: &self.import.name,
            fingerprints: Fingerprints::new(spec.fingerprints[0], &spec.fingerprints[1..]),
            type_name: spec.type_name,
        };
        if self.import.name.is_empty() {
            return Err(ImportError::BadName);
        }
        if self.import.values == Some(0) {
            return Err(ImportError::NoValues);
        }
        let link = &self.import.link;
        let mut state = link.lock();
        if let Some(error) = state.down {
            return Err(ImportError::Dead(error.dead()));
        }
        if !state.reserve(floor) {
            return Err(ImportError::NoResources);
        }
        let cell = Cell {
            window: floor,
            window_max: self.import.window.max(floor),
            reserved: floor,
            receives: spec.flags.has(crate::proto::OpenFlags::RECEIVES),
            sends: spec.flags.has(crate::proto::OpenFlags::SENDS),
            is_latest: spec.flags.has(crate::proto::OpenFlags::LATEST),
            ..Cell::default()
        };
        let id = state.open(&open, cell).map_err(|blocked| {
            state.release(floor);
            ImportError::blocked(blocked)
        })?;
        let circuit = Arc::new(Circuit::new(link, &mut state, id));
        link.push(state, super::output::Urgency::Burst);
        Ok(circuit)
    }
}

impl<E: End> Waiting for Importing<E> {
    type Output = Result<E, ImportError>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.circuit.is_none() {
            self.circuit = Some(self.open()?);
        }
        let Some(circuit) = &self.circuit else { return Poll::Pending };
        match circuit.opened(cx.waker()) {
            None => Poll::Pending,
            Some(Ok(which)) => {
                let circuit = Arc::clone(circuit);
                self.circuit = None;
                let values = self.import.values;
                Poll::Ready(Ok(E::imported(Imported { circuit, which, values })))
            }
            Some(Err((dead, detail))) => {
                Poll::Ready(Err(ImportError::new(dead, E::spec().type_name, detail)))
            }
        }
    }

    fn expire(&mut self) -> Self::Output {
        self.circuit = None;
        Err(ImportError::Deadline)
    }

    fn source(&self) -> Option<Source> {
        Some(Source(Arc::clone(&self.import.link)))
    }
}

/// Waits for the end of a link.
#[derive(Debug)]
pub struct Down {
    link: Arc<LinkCell>,
}

impl Waiting for Down {
    type Output = LinkError;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<LinkError> {
        let mut state = self.link.lock();
        match state.down {
            Some(error) => Poll::Ready(error),
            None => {
                if !state.down_wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                    state.down_wakers.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    fn expire(&mut self) -> LinkError {
        self.link.lock().down.unwrap_or(LinkError::Local(Reason::Deadline))
    }
}
