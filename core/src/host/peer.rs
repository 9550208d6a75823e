//! A neighbour: what is imported hangs on it.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;
use core::marker::PhantomData;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::time::Instant;

use super::ask::Ask;
use super::cell::Cell;
use super::circuit::Circuit;
use super::down::Down;
use super::ending::ShutDownError;
use super::error::ImportError;
use super::link::LinkCell;
use super::named::Named;
use super::node::NodeInner;
use super::post::{Post, PostError};
use super::remote::Remote;
use super::reopen::{Pauses, Reopen, may_pass};
use super::sessions::Keeper;
use super::spec::{End, Imported, ReopenEnd, Spec};
use super::sync;
use super::wait::{Source, Wait, Waiting, after};
use crate::message::Message;
use crate::proto::{Blocked, Dead, Fingerprints, Hello, Link, Open, OpenFlags, Reason, Route};

/// How long an import waits for its export, unless a timeout says otherwise.
pub(crate) const IMPORT_WAIT: Duration = Duration::from_secs(5);
/// The largest window of one circuit, in bytes.
pub(crate) const WINDOW_MAX: u32 = 1024 * 1024;

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
///
/// Where the transport was told to reconnect, it is the same neighbour in later sessions
/// too: what it imports while the link is away waits for the next one, and ends imported
/// with [`reopen`](Import::reopen) go on there. The transport then keeps dialing for as long
/// as a clone of this lives, or such an end.
#[derive(Clone)]
pub struct Peer {
    /// Of the session in which the handle was made.
    pub(crate) link: Arc<LinkCell>,
    info: PeerInfo,
    sessions: Option<Arc<Keeper>>,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Peer").field(&self.info.name).finish()
    }
}

impl Peer {
    pub(crate) const fn new(link: Arc<LinkCell>, info: PeerInfo) -> Self {
        Self { link, info, sessions: None }
    }

    /// The same neighbour, in later sessions too.
    pub(crate) fn kept(self, sessions: Arc<Keeper>) -> Self {
        Self { sessions: Some(sessions), ..self }
    }

    /// The link of the present session, or of the last one.
    fn present(&self) -> Arc<LinkCell> {
        self.sessions.as_ref().map_or_else(|| Arc::clone(&self.link), |sessions| sessions.link())
    }

    /// What the peer said of itself, in the session in which this handle was made.
    pub const fn info(&self) -> &PeerInfo {
        &self.info
    }

    /// Binds to what the peer exports under `name`; the turbofish names what *you* hold:
    /// `peer.import::<Receiver<Tick>>("ticks")`.
    ///
    /// Waits for an export that is not there yet, 5 seconds by default. Dropping the
    /// operation cancels the import.
    pub fn import<E: End>(&self, name: &str) -> Import<E> {
        Import::new(From::Peer(self.clone()), name)
    }

    /// Sends one message to what the peer exports under `name` as a `Receiver`, without importing it: as if a
    /// `Sender` were imported, had sent this value, and were dropped. Yields when the far program has *taken* it.
    ///
    /// A short one (about 200 bytes beside the names, or what fits a packet of the line) goes in one frame with
    /// the question whether it may; a longer one, up to the receiver's
    /// [`message_limit`](super::ExportOptions::message_limit), costs a round trip more.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let node = netchan::Node::new("desk");
    /// # let station: netchan::Peer = todo!();
    /// station.post("commands", 7_u8).wait()?;
    /// let sum: u64 = station.ask("add", (2_u32, 3_u32)).wait()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn post<T: Message + Send>(&self, name: &str, value: T) -> Post<T> {
        Post::new(Way::new(From::Peer(self.clone())), name, value)
    }

    /// As [`Peer::post`], without waiting for anything: it goes now, and nobody hears what becomes of it.
    ///
    /// An export of a host that is there takes short ones of one program in the order in which they were posted; a longer one may be
    /// overtaken.
    ///
    /// # Errors
    ///
    /// [`PostError`], when it cannot go now. Nothing has been sent then.
    pub fn try_post<T: Message + Send>(&self, name: &str, value: T) -> Result<(), PostError<T>> {
        self.post(name, value).go()
    }

    /// Calls what the peer exports under `name` as a `Server`, once, without importing it: as if a `Client` were
    /// imported, had made this call, and were dropped. Lengths are as with [`Peer::post`].
    pub fn ask<Req: Message + Send, Rep: Message + Send>(&self, name: &str, request: Req) -> Ask<Req, Rep> {
        Ask::new(Way::new(From::Peer(self.clone())), name, request)
    }

    /// Whether the link is up now.
    pub fn is_up(&self) -> bool {
        !self.present().is_down()
    }

    /// Waits until the link of the present session is down, and says why. Dropping the operation leaves nothing behind.
    pub fn down(&self) -> Wait<Down> {
        Wait::new(Down::new(self.present()))
    }

    /// Whether the peer has announced a silence that is not over: a board that erases its flash, for
    /// instance. Values for it and its answers wait until then; give calls a deadline that suits.
    pub fn is_quiet(&self) -> bool {
        let link = self.present();
        link.node.upgrade().is_some_and(|node| link.lock().link.is_peer_quiet(node.now()))
    }

    /// Tells the peer, if it is a child in the tree, to end with all below it, as [`Remote::shut_down`](super::Remote::shut_down):
    /// one that does not has its link ended, `grace` and 1.5 s later. Does not block.
    ///
    /// # Errors
    ///
    /// [`ShutDownError`]: the link is down, the peer is a board, or it is the parent or no node of the tree.
    pub fn shut_down(&self, grace: Duration) -> Result<(), ShutDownError> {
        let link = self.present();
        let node = link.node.upgrade().ok_or(ShutDownError::NotThere)?;
        node.shut_down_child(&link, grace)
    }

    /// Ends the link in order: the peer is told, with `Closed`. It is not made again.
    pub fn close(&self) {
        if let Some(sessions) = &self.sessions {
            sessions.end(Dead::here(Reason::Closed));
        }
        self.present().leave(Reason::Closed);
    }
}

/// An import that is being made up: set what is special, then wait for it.
#[derive(Debug)]
#[must_use = "nothing happens until `.wait()`, `.timeout(d)` or `.await`"]
pub struct Import<E> {
    way: Way,
    request: Request,
    reopen: bool,
    /// What is there when a node asks itself: at most so many values of it.
    own: Option<fn(&NodeInner, Option<u64>) -> E>,
    end: PhantomData<fn() -> E>,
}

/// Of whom it is asked.
#[derive(Debug)]
pub(crate) enum From {
    Peer(Peer),
    Remote(Remote),
}

impl From {
    /// What opens the import again, where something can.
    fn reopen(&self, session: u64, request: &Request) -> Option<Box<Reopen>> {
        Some(match self {
            Self::Peer(peer) => {
                Reopen::on_link(Arc::clone(peer.sessions.as_ref()?), session, request.clone())
            }
            Self::Remote(remote) => Reopen::at_node(remote.clone(), request.clone()),
        })
    }
}

/// The way to whoever is asked, which may have to wait for the next session.
#[derive(Debug)]
pub(crate) struct Way {
    from: From,
    waiter: Option<u64>,
}

impl Way {
    pub(crate) const fn new(from: From) -> Self {
        Self { from, waiter: None }
    }

    const fn sessions(&self) -> Option<&Arc<Keeper>> {
        match &self.from {
            From::Peer(peer) => peer.sessions.as_ref(),
            From::Remote(_) => None,
        }
    }

    /// Opens a circuit: also the number of its session, where sessions are counted. `None` while there is no link,
    /// with the waker registered; without a waker that is an error.
    pub(crate) fn open<R>(
        &mut self,
        waker: Option<&Waker>,
        open: impl FnOnce(&Arc<LinkCell>, Option<Route<'_>>) -> Result<R, ImportError>,
    ) -> Result<Option<(R, u64)>, ImportError> {
        let waiter = match &self.from {
            From::Remote(remote) => return Ok(Some((remote.open(open)?, 0))),
            From::Peer(Peer { link, sessions: None, .. }) => return Ok(Some((open(link, None)?, 0))),
            From::Peer(Peer { sessions: Some(sessions), .. }) => {
                *self.waiter.get_or_insert_with(|| sessions.waiter())
            }
        };
        let Some(sessions) = self.sessions() else { return Ok(None) };
        match sessions.after(0, waiter, waker) {
            Ok(Some((link, number))) => Ok(Some((open(&link, None)?, number))),
            Ok(None) if waker.is_none() => Err(ImportError::Dead(Dead::here(Reason::LinkLost))),
            Ok(None) => Ok(None),
            Err(dead) => Err(ImportError::Dead(dead)),
        }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        if let (Some(sessions), Some(waiter)) = (self.sessions(), self.waiter) {
            sessions.forget_waiter(waiter);
        }
    }
}

/// What is asked of a peer.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    spec: Spec,
    pub(crate) name: Arc<str>,
    window: u32,
    limit: Option<u32>,
    /// How many may pass in all.
    pub(crate) values: Option<u64>,
    /// One value at the most comes back: that is all that room is reserved for.
    single: bool,
}

impl fmt::Debug for LinkCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.number)
    }
}

impl<E: End> Import<E> {
    pub(crate) fn new(from: From, name: &str) -> Self {
        let request = Request::new(E::spec(), name);
        Self { way: Way::new(from), request, reopen: false, own: None, end: PhantomData }
    }

    /// A node that asks itself has this.
    pub(crate) fn or_own(mut self, own: fn(&NodeInner, Option<u64>) -> E) -> Self {
        self.own = Some(own);
        self
    }

    /// The most that may be under way to a receiving end, in bytes of encoded values;
    /// 1 MiB by default. The memory is taken up only when values wait.
    pub fn window(mut self, bytes: u32) -> Self {
        self.request.window = bytes.clamp(1, 1 << 28);
        self
    }

    /// The longest message that a receiving end takes, in bytes, for types without a bound
    /// of their own; 64 KiB by default. Twice as much is reserved.
    pub fn message_limit(mut self, bytes: u32) -> Self {
        self.request.limit = Some(bytes);
        self
    }

    /// Ends in order after `n` values, at least 1.
    pub fn values(mut self, n: u32) -> Self {
        self.request.values = Some(u64::from(n));
        self
    }

    /// Blocks until it is answered, at most 5 seconds and a little.
    ///
    /// # Errors
    ///
    /// [`ImportError`].
    pub fn wait(self) -> Result<E, Named<ImportError>> {
        self.timeout(IMPORT_WAIT).wait()
    }

    /// Waits at most `limit` for the answer, and for the export to appear.
    pub fn timeout(self, limit: Duration) -> super::wait::Timeout<Importing<E>> {
        let importing =
            Importing { import: self, until: after(limit), opened: None, pauses: Pauses::default() };
        Wait::new(importing).timeout(limit)
    }
}

impl<E: ReopenEnd> Import<E> {
    /// The end outlives its session. When the link is lost and made again, the end yields
    /// [`Interrupted`](crate::RecvError::Interrupted) exactly once, then what passes in the
    /// new session: nothing is sent twice, and nothing that was lost is hidden.
    ///
    /// While the link is away every operation waits, with its deadline if it has one. It is
    /// dead for ever when the transport gives the peer up, and
    /// [`NotReopened`](crate::RecvError::NotReopened) when the peer is back and no longer
    /// exports the name (for 5 seconds), or another type. The end goes on only while somebody
    /// uses it: it is opened again by the next operation on it.
    ///
    /// Of a [`Remote`](super::Remote) node, a session is over when anything on the way is gone, or the node itself; it is looked for
    /// again after 50 ms, later every second, wherever it comes back under that path (or id, which no other node ever gets).
    /// The import itself then also waits for a node that is not there yet, for as long as its timeout says. It is never given
    /// up by itself: give operations a deadline.
    ///
    /// For `Receiver`, `Sender` and `Watch`; other ends end with their session. An end that
    /// reopens cannot be sent in a message.
    pub fn reopen(mut self) -> Self {
        self.reopen = true;
        self
    }
}

impl<E: End> IntoFuture for Import<E> {
    type Output = Result<E, Named<ImportError>>;
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
    /// With the number of its session, where sessions are counted.
    opened: Option<(Arc<Circuit>, u64)>,
    /// Until a node that is away is looked for again.
    pauses: Pauses,
}

/// How a message goes that is all that will be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// In the open.
    WithOpen,
    /// It is to follow when the open is accepted.
    Not,
}

impl Request {
    pub(crate) fn new(spec: Spec, name: &str) -> Self {
        Self { spec, name: name.into(), window: WINDOW_MAX, limit: None, values: None, single: false }
    }

    /// For an answer of one message, of at most so many bytes where its type has no bound.
    pub(crate) fn single(self, limit: Option<u32>) -> Self {
        Self { limit, single: true, ..self }
    }

    /// Readable name of the type that is asked for.
    pub(crate) const fn type_name(&self) -> &'static str {
        self.spec.type_name
    }

    /// Asks the peer at the other end of this link; it waits for the export until then.
    pub(crate) fn open(
        &self,
        link: &Arc<LinkCell>,
        until: Instant,
        route: Option<Route<'_>>,
    ) -> Result<Arc<Circuit>, ImportError> {
        self.open_with(link, until, route, None).map(|(circuit, _)| circuit)
    }

    /// As [`Request::open`], with the only message that will be sent, if it can go along.
    pub(crate) fn open_with(
        &self,
        link: &Arc<LinkCell>,
        until: Instant,
        route: Option<Route<'_>>,
        body: Option<&[u8]>,
    ) -> Result<(Arc<Circuit>, Sent), ImportError> {
        let spec = &self.spec;
        let (limit, floor) = match spec.room(self.limit) {
            (limit, floor) if self.single && floor > 0 => (limit, Link::charge(limit)),
            room => room,
        };
        // A little less than we wait ourselves, so that the peer's answer comes first.
        let left = until.saturating_duration_since(sync::now()).as_millis();
        let values = self.values.filter(|_| spec.flags.has(OpenFlags::RECEIVES));
        let open = Open {
            flags: spec.flags,
            wait_ms: u32::try_from(left * 9 / 10).unwrap_or(u32::MAX),
            credit: floor,
            limit,
            values: values.map_or(0, |n| u32::try_from(n).unwrap_or(u32::MAX)),
            name: &self.name,
            fingerprints: Fingerprints::new(spec.fingerprints[0], &spec.fingerprints[1..]),
            type_name: spec.type_name,
            route,
            body: None,
        };
        if self.name.is_empty() {
            return Err(ImportError::BadName);
        }
        if self.values == Some(0) {
            return Err(ImportError::NoValues);
        }
        let mut state = link.lock();
        if let Some(error) = state.down {
            return Err(ImportError::Dead(error.dead()));
        }
        if !state.reserve(floor) {
            return Err(ImportError::NoResources);
        }
        let neighbour = link.neighbour.load(sync::Ordering::Relaxed);
        let is_far = route.is_some_and(|route| route.to != neighbour || !route.path.is_empty());
        let cell = || Cell {
            is_far,
            tells: super::directory::is_list(&self.name),
            window: floor,
            window_max: self.window.max(floor),
            reserved: floor,
            receives: spec.flags.has(OpenFlags::RECEIVES),
            sends: spec.flags.has(OpenFlags::SENDS),
            is_latest: spec.flags.has(OpenFlags::LATEST),
            ..Cell::default()
        };
        let opened = match body {
            // Who drops it does not take it back.
            Some(_) => {
                let cell = Cell { sent: 1, tx_gone: true, end_after: true, ..cell() };
                state.open(&Open { body, ..open }, cell).map(|id| (id, Sent::WithOpen))
            }
            None => Err(Blocked::Invalid),
        };
        let opened = match opened {
            // Too long, or for a peer that takes none so; or the name cannot be one, which is said again.
            Err(Blocked::Invalid) => state.open(&open, cell()).map(|id| (id, Sent::Not)),
            opened => opened,
        };
        let (id, sent) = opened.map_err(|blocked| {
            state.release(floor);
            ImportError::blocked(blocked)
        })?;
        let circuit = Arc::new(Circuit::new(link, &mut state, id, Arc::clone(&self.name)));
        link.push(state, super::output::Urgency::Burst);
        Ok((circuit, sent))
    }
}

impl<E: End> Importing<E> {
    fn named(&self, error: ImportError) -> Named<ImportError> {
        Named::new(Arc::clone(&self.import.request.name), error)
    }

    /// Whether a node is away that may come, and will be looked for again.
    fn waits_for_node(&mut self, dead: Dead) -> bool {
        let Import { way: Way { from: From::Remote(remote), .. }, reopen: true, .. } = &self.import else {
            return false;
        };
        let waits = may_pass(dead.reason) && !remote.is_over();
        if waits {
            self.opened = None;
            self.pauses.begin();
        }
        waits
    }

    /// What a node has that asks itself.
    fn own(&self) -> Option<Result<E, ImportError>> {
        let Import { way, request, own, .. } = &self.import;
        let (From::Remote(remote), Some(own)) = (&way.from, own) else { return None };
        let node = remote.own()?;
        let is_none = request.values == Some(0);
        Some(if is_none { Err(ImportError::NoValues) } else { Ok(own(&node, request.values)) })
    }

    /// Opens the circuit; `None` while there is no link, with the waker registered.
    fn open(&mut self, waker: &Waker) -> Result<Option<(Arc<Circuit>, u64)>, ImportError> {
        let Import { way, request, reopen, .. } = &mut self.import;
        if *reopen && matches!(way.from, From::Peer(Peer { sessions: None, .. })) {
            return Err(ImportError::NoReconnect);
        }
        way.open(Some(waker), |link, route| request.open(link, self.until, route))
    }
}

impl<E: End> Waiting for Importing<E> {
    type Output = Result<E, Named<ImportError>>;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.opened.is_none() {
            if !self.pauses.is_over(Some(cx.waker())) {
                return Poll::Pending;
            }
            if let Some(own) = self.own() {
                return Poll::Ready(own.map_err(|error| self.named(error)));
            }
            match self.open(cx.waker()) {
                Ok(opened) => self.opened = opened,
                Err(error) if self.waits_for_node(error.dead()) => return self.poll(cx),
                Err(error) => return Poll::Ready(Err(self.named(error))),
            }
        }
        let Some((circuit, session)) = &self.opened else { return Poll::Pending };
        match circuit.opened(cx.waker()) {
            None => Poll::Pending,
            Some(Ok(which)) => {
                let (circuit, session) = (Arc::clone(circuit), *session);
                self.opened = None;
                let Import { way, request, reopen, .. } = &self.import;
                let values = request.values;
                let reopen = reopen.then(|| way.from.reopen(session, request)).flatten();
                let limit = request.limit;
                Poll::Ready(Ok(E::imported(Imported { circuit, which, limit, values, reopen })))
            }
            Some(Err((dead, _))) if self.waits_for_node(dead) => self.poll(cx),
            Some(Err((dead, detail))) => {
                let wanted = self.import.request.spec.type_name;
                Poll::Ready(Err(self.named(ImportError::new(dead, wanted, detail))))
            }
        }
    }

    fn expire(&mut self) -> Self::Output {
        self.opened = None;
        Err(self.named(ImportError::Deadline))
    }

    fn source(&self) -> Option<Source<'_>> {
        let (circuit, _) = self.opened.as_ref()?;
        Some((&circuit.link).into())
    }
}
