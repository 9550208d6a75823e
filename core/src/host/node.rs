//! A participant: what it exports, and its links.

use alloc::string::{String, ToString};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt;
use core::task::Waker;
use core::time::Duration;
use std::task::Wake;
use std::time::Instant;

use super::cell::{Cell, CellId};
use super::circuit::Circuit;
use super::config::Config;
use super::directory::OwnWatcher;
use super::ending::Ending;
use super::error::{ExportError, LinkError};
use super::events::{Events, LinkEvent, NextEvent};
use super::export::ExportOptions;
use super::hub::{Fanout, Hub, Signal};
use super::input::Offer;
use super::linger::{Closing, PARTING};
use super::link::LinkCell;
use super::peer::{PeerInfo, WINDOW_MAX};
use super::quiet::Quieting;
use super::spec::{ExportEnd, Exported};
use super::sync::{self, AtomicBool, AtomicU64, HashMap, Mutex, MutexGuard, Ordering, PoisonError, TryMutex};
use super::timer;
use super::tree::Led;
use super::wait::{Timeout, Wait};
use super::waiting::{Waiting, WaitingOpens};
use crate::proto::{self, Identity, Name, NameError, OpenFlags, Reason};
use crate::tree::{Limits, Tree};

/// Most exports of one node.
const EXPORTS_MAX: usize = 16 * 1024;

/// One participant: it exports channels and imports those of its peers.
///
/// Cloning gives another handle to the same node. When the last one is dropped the node
/// shuts down: values that were sent are still delivered for as long as
/// [`linger`](Config::linger) says, then the links end with a goodbye. Ends that outlive
/// the node are dead, with reason `Shutdown`.
///
/// That drop waits for the links that threads drive, and never for those that async tasks
/// drive: these leave in the background, if their runtime goes on. A program that ends
/// its runtime next calls [`Node::close`] and awaits it, before it drops the node.
#[derive(Clone)]
pub struct Node {
    handle: Arc<Handle>,
}

struct Handle {
    inner: Arc<NodeInner>,
    /// Counts for the life of the node; those that listeners hold for a moment do not.
    owner: bool,
}

/// What links refer back to.
pub(crate) struct NodeInner {
    pub(crate) identity: Identity,
    pub(crate) config: Config,
    epoch: Instant,
    next_link: AtomicU64,
    next_importer: AtomicU64,
    /// How many links are up.
    up: AtomicU64,
    tables: Mutex<Tables>,
    pub(crate) events: Events,
    pub(crate) tree: Mutex<Tree>,
    /// Claims of neighbours that were not theirs to make.
    pub(crate) strikes: AtomicU64,
    /// It was told to end.
    pub(crate) ending: Mutex<Ending>,
    /// Somebody has asked to be told of nodes that come and go.
    pub(crate) is_watched: AtomicBool,
    /// Those of this node's own program.
    pub(crate) own_watchers: Mutex<Vec<OwnWatcher>>,
    /// Held by whoever tells of changes; the others leave it to him.
    pub(crate) telling: TryMutex<()>,
    pub(crate) own: Weak<Self>,
}

#[derive(Default)]
struct Tables {
    exports: HashMap<String, Arc<Hub>>,
    waiting: WaitingOpens,
    links: HashMap<u64, Arc<LinkCell>>,
    /// Stops what feeds the node with links.
    listeners: Vec<Weak<dyn Fn() + Send + Sync>>,
    is_shut: bool,
    /// Links that are gone, and whose end is still to be told.
    untold: u32,
    /// Values that links had not written which have gone since the node was shut.
    unsent: u64,
}

/// Looks for those who have waited long enough.
struct Expiry(Weak<NodeInner>);

impl Wake for Expiry {
    fn wake(self: Arc<Self>) {
        if let Some(node) = self.0.upgrade() {
            node.expire_waiting();
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Node").field(&self.name()).finish()
    }
}

impl Node {
    /// A node with this name: 1 to 32 characters of `a-z 0-9 . _ -`.
    ///
    /// # Panics
    ///
    /// When the name cannot be one; [`Node::with_config`] returns an error instead.
    pub fn new(name: &str) -> Self {
        match Self::with_config(name, Config::default()) {
            Ok(node) => node,
            Err(error) => panic!("{name:?}: {error}"),
        }
    }

    /// A node with this name and configuration.
    ///
    /// # Errors
    ///
    /// [`NameError`] when the name cannot be one.
    pub fn with_config(name: &str, config: Config) -> Result<Self, NameError> {
        let identity = Identity { name: Name::new(name)?, uid: sync::random(), boot: sync::random() };
        let limits = Limits { nodes: config.nodes_below as usize, ids_per_link: config.ids_per_link };
        let inner = Arc::new_cyclic(|own| NodeInner {
            identity,
            config,
            epoch: sync::now(),
            next_link: AtomicU64::new(1),
            next_importer: AtomicU64::new(1),
            up: AtomicU64::new(0),
            tables: Mutex::default(),
            events: Events::new(),
            tree: Mutex::new(Tree::new(identity.name, limits)),
            strikes: AtomicU64::new(0),
            ending: Mutex::default(),
            is_watched: AtomicBool::new(false),
            own_watchers: Mutex::default(),
            telling: TryMutex::new(()),
            own: Weak::clone(own),
        });
        Ok(Self { handle: Arc::new(Handle { inner, owner: true }) })
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        self.inner().identity.name.as_str()
    }

    /// Publishes a channel; the turbofish names what *you* hold:
    /// `node.export::<Sender<Tick>>("ticks")`.
    ///
    /// The export lives until the returned end is dropped, through any number of sessions
    /// and importers. Values go to one importer each ([`Fanout::WorkQueue`]); see
    /// [`Node::export_with`] for others.
    ///
    /// # Errors
    ///
    /// [`ExportError`] when the name is taken or cannot be one.
    pub fn export<E: ExportEnd>(&self, name: &str) -> Result<E, ExportError> {
        self.export_with(name, ExportOptions::default())
    }

    /// As [`Node::export`], with options.
    ///
    /// # Errors
    ///
    /// [`ExportError`].
    pub fn export_with<E: ExportEnd>(&self, name: &str, options: ExportOptions) -> Result<E, ExportError> {
        if !proto::is_channel_name(name, false) {
            return Err(ExportError::BadName);
        }
        self.inner().publish(name, options)
    }

    /// What happens to this node's links, up, down, and why, and to its exports: who has
    /// joined, and who has left with what account. At most 256 events are kept, those of exports
    /// only while there are fewer than 128; those that did not fit are counted, and harm
    /// nothing.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use netchan::{LinkEvent, Node, Sender};
    ///
    /// let node = Node::new("station");
    /// let ticks: Sender<u64> = node.export("ticks")?;
    /// while let Some(event) = node.next_event() {
    ///     if let LinkEvent::Left { export, account, dead: Some(dead), .. } = event {
    ///         println!("{export}: lost an importer, {} values in doubt: {dead}", account.in_doubt);
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn next_event(&self) -> Option<LinkEvent> {
        self.inner().events.pop(None)
    }

    /// Waits for the next event; `None` at the deadline, and when the node is shut down and the end of its last
    /// link was told. One waiter at a time: a later one takes the place of the one before.
    pub fn event(&self) -> Wait<NextEvent> {
        Wait::new(NextEvent::new(Arc::clone(self.inner())))
    }

    /// How many events did not fit.
    pub fn events_lost(&self) -> u64 {
        self.inner().events.lost()
    }

    /// Tells all peers that this node may be silent for `time`, at most [`QUIET_MAX`](super::QUIET_MAX), and
    /// waits until they know: on a line until that is acknowledged, elsewhere until it is written.
    ///
    /// For a program that is about to stop what moves its links: a thread of a runtime that computes for
    /// long, a debugger, a machine that is frozen for a snapshot. From when a peer hears of it, and for so long, it
    /// does not take this node for dead, and on a line it sends nothing that could be lost; nor is it taken for dead
    /// here. After that the dead-time counts anew: who stops for longer than announced is dead on
    /// time. The last notice counts, and one of `Duration::ZERO` says that this node is back; nothing else ends a
    /// silence before its time. Whoever waits goes on to wait, on both sides, with the deadline that he has.
    ///
    /// A peer on a line that is silent itself hears of it when it is back. A link that ends is not waited for, and one
    /// that comes up later is not told. Takes no memory. Dropping
    /// the operation stops only the waiting.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// # fn compute() {}
    /// # async fn f(node: netchan::Node) -> Result<(), netchan::host::QuietError> {
    /// node.quiet(Duration::from_secs(20)).await?;
    /// compute(); // nothing else runs on this thread, not even the links
    /// node.quiet(Duration::ZERO).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`QuietError`](super::QuietError).
    pub fn quiet(&self, time: Duration) -> Wait<Quieting> {
        Wait::new(Quieting::new(self.inner(), time))
    }

    /// Shuts the node down now, with `linger` for values that were sent. Returns how many
    /// values could not be delivered to the peers in that time.
    ///
    /// Blocks for at most `linger` and about a second; [`Node::close`] does not. Of several who
    /// shut it down all wait, as there.
    pub fn shutdown(&self, linger: Duration) -> u64 {
        self.close(linger).wait()
    }

    /// Shuts the node down, with `linger` for values that were sent, and waits until its
    /// links have ended, for at most `linger` and about a second. Yields how many values
    /// could not be delivered.
    ///
    /// In async programs this, awaited, is the way to leave with nothing lost. Dropping
    /// the operation half-way stops only the waiting.
    ///
    /// Of several who close a node, or drop its last handle, or where it is ended from above in its tree, each waits for the
    /// same links, and hears of the same values. How long these have is for the first to say; a later one whose `linger` is
    /// shorter goes when that is over, and counts what was not delivered until then.
    pub fn close(&self, linger: Duration) -> Timeout<Closing> {
        Wait::new(Closing::new(self.inner(), linger, true)).timeout(linger.saturating_add(3 * PARTING))
    }

    /// Whether it was shut down: by its program, from above in its tree, or because it has lost its parent.
    pub fn is_shut(&self) -> bool {
        self.inner().is_shut()
    }

    /// A handle that does not keep the node alive.
    pub fn downgrade(&self) -> WeakNode {
        WeakNode { owners: Arc::downgrade(&self.handle), inner: Arc::downgrade(self.inner()) }
    }

    pub(crate) fn inner(&self) -> &Arc<NodeInner> {
        &self.handle.inner
    }
}

/// A handle to a node that does not keep it alive; from [`Node::downgrade`].
#[derive(Clone)]
pub struct WeakNode {
    owners: Weak<Handle>,
    inner: Weak<NodeInner>,
}

impl fmt::Debug for WeakNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakNode")
    }
}

impl WeakNode {
    /// The node, if it still lives. What this returns does not keep it alive either: the
    /// node shuts down with the last handle that was made by `new` or cloned from one.
    pub fn upgrade(&self) -> Option<Node> {
        let inner = self.inner.upgrade().filter(|_| self.owners.strong_count() > 0)?;
        Some(Node { handle: Arc::new(Handle { inner, owner: false }) })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.owner {
            return;
        }
        let linger = self.inner.config.linger;
        // What tasks drive is not waited for: this may be the thread that has to run them.
        Wait::new(Closing::new(&self.inner, linger, false))
            .timeout(linger.saturating_add(3 * PARTING))
            .wait();
    }
}

impl NodeInner {
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn next_link(&self) -> u64 {
        self.next_link.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn next_importer(&self) -> u64 {
        self.next_importer.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn now(&self) -> proto::Instant {
        proto::Instant::ZERO + (sync::now() - self.epoch)
    }

    /// Takes a new link in; `false` when the node is shut.
    pub(crate) fn add_link(&self, link: &Arc<LinkCell>) -> bool {
        let mut tables = self.lock();
        if !tables.is_shut {
            tables.links.insert(link.number, Arc::clone(link));
        }
        !tables.is_shut
    }

    /// Registers what stops a listener when the node is shut.
    pub(crate) fn add_listener(&self, stop: &Arc<dyn Fn() + Send + Sync>) -> bool {
        let mut tables = self.lock();
        tables.listeners.retain(|listener| listener.strong_count() > 0);
        tables.listeners.push(Arc::downgrade(stop));
        !tables.is_shut
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.lock().is_shut
    }

    /// Whether no more links may be up.
    pub(crate) fn is_full(&self) -> bool {
        self.up.load(Ordering::Relaxed) >= u64::from(self.config.links)
    }

    /// Called with nothing locked.
    pub(crate) fn link_up(&self, link: &LinkCell, info: PeerInfo) {
        let most = u64::from(self.config.links);
        let more = |up| (up < most).then_some(up + 1);
        if self.up.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            // Another has taken the last place since its hello came.
            return link.leave(Reason::NoResources);
        }
        link.has_place.store(true, Ordering::Release);
        if link.is_down() {
            self.free_place(link);
        }
        let name = info.name.clone();
        self.events.push(LinkEvent::Up { link: link.number, peer: info });
        self.tie(link, &name);
    }

    fn free_place(&self, link: &LinkCell) {
        if link.has_place.swap(false, Ordering::AcqRel) {
            self.up.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn link_down(&self, own: &LinkCell, error: LinkError) {
        let number = own.number;
        let link = own;
        self.free_place(link);
        let unsent = link.lock().unsent;
        let gone = {
            let mut tables = self.lock();
            let waiting = tables.waiting.forget_link(number);
            tables.untold += 1;
            let known = tables.links.remove(&number);
            // Whoever closes the node from now on does not see the link any more.
            if tables.is_shut && known.is_some() {
                tables.unsent += unsent;
            }
            (known, waiting)
        };
        // The last reference may go here, so with no lock held.
        drop(gone);
        self.events.push(LinkEvent::Down { link: number, error });
        self.untie(own, error.dead().reason);
        self.lock().untold -= 1;
        if self.is_over() {
            self.events.close();
        }
    }

    /// Whether the node is shut and its last link gone: no event comes any more.
    pub(crate) fn is_over(&self) -> bool {
        let tables = self.lock();
        tables.is_shut && tables.links.is_empty() && tables.untold == 0
    }

    /// A peer wants to import: decided with no link locked.
    pub(crate) fn offered(&self, link: &LinkCell, offer: Offer) {
        let Some(link) = self.link(link.number) else { return };
        let mut offer = offer;
        match self.lead(&link, &offer) {
            Led::Here(origin) => offer.origin = Some(origin),
            Led::Away => return,
        }
        if offer.name.starts_with('$')
            && let Some(origin) = offer.origin
            && self.answer_system(&link, &offer, origin)
        {
            return;
        }
        let mut tables = self.lock();
        if let Some(hub) = tables.exports.get(&offer.name).cloned() {
            drop(tables);
            return self.answer(&link, &hub, &offer);
        }
        let reason = if tables.is_shut {
            Reason::Shutdown
        } else if offer.wait_ms == 0 {
            Reason::NoName
        } else if tables.waiting.may_wait(link.number, &offer) {
            let until = sync::now() + Duration::from_millis(u64::from(offer.wait_ms.min(3_600_000)));
            let waker = Waker::from(Arc::new(Expiry(Weak::clone(&self.own))));
            let timer = timer::Entry::new(until, &waker);
            let waiting = Waiting { link: Arc::downgrade(&link), offer, until, _timer: timer };
            return tables.waiting.add(link.number, waiting);
        } else {
            Reason::NoResources
        };
        drop(tables);
        refuse(&link, &offer, reason, "");
    }

    /// A peer does not wait for an export any more: its place is free for the next.
    pub(crate) fn given_up(&self, link: &LinkCell, cell: CellId) {
        let gone = self.lock().waiting.take(link.number, cell);
        if let Some(waiting) = gone {
            refuse(link, &waiting.offer, Reason::Cancelled, "");
        }
    }

    /// Answers those who have waited long enough for an export.
    pub(crate) fn expire_waiting(&self) {
        let late = self.lock().waiting.take_late(sync::now());
        for waiting in late {
            if let Some(link) = waiting.link.upgrade() {
                refuse(&link, &waiting.offer, Reason::NoName, "");
            }
        }
    }

    fn answer(&self, link: &Arc<LinkCell>, hub: &Arc<Hub>, offer: &Offer) {
        let spec = &hub.spec;
        let is_same_tree = hub.era == self.tree().era();
        if !offer.origin.is_some_and(|origin| hub.visibility.shows(origin, is_same_tree)) {
            return refuse(link, offer, Reason::Refused, "not visible from there");
        }
        if offer.flags != spec.flags.flipped() {
            return refuse(link, offer, Reason::WrongDirection, "");
        }
        // A receiver takes its older versions too; a sender sends only its own.
        let sends_only = !spec.flags.has(OpenFlags::RECEIVES);
        let ours = match &spec.mirrored[..] {
            [] if sends_only => &spec.fingerprints[..1],
            [] => &spec.fingerprints[..],
            mirrored => mirrored,
        };
        let chosen = ours.iter().enumerate().find_map(|(own, fingerprint)| {
            let theirs = offer.fingerprints.iter().position(|other| other == fingerprint)?;
            Some((own as u8, theirs as u8))
        });
        let Some((own, theirs)) = chosen else {
            return refuse(link, offer, Reason::TypeDiffers, spec.type_name);
        };
        let (limit, floor) = match (spec.room(hub.limit), &offer.body) {
            ((limit, _), Some(body)) if body.len() > limit as usize => {
                return refuse(link, offer, Reason::TooLarge, "");
            }
            // What the open has brought is all that comes.
            ((limit, _), Some(body)) => (limit, proto::Link::charge(body.len() as u32)),
            (room, None) => room,
        };
        let mut told = None;
        let joined = hub.join(own, |member| {
            let mut state = link.lock();
            // A peer that only asks and does not read is answered in state bits alone.
            let waits = |cell: &mut Cell| cell.handle.filter(|_| cell.dead.is_none());
            let Some(handle) = state.cells.get(offer.cell).and_then(waits) else {
                return Err(Reason::Cancelled);
            };
            // Those that are over, and whose messages wait for the program, are not among the peer's handles any more.
            let is_full = state.cells.len() > 2 * state.circuits as usize;
            if is_full || state.output.is_flooded() || !state.reserve(floor) {
                return Err(Reason::NoResources);
            }
            let Some(cell) = state.cells.get(offer.cell) else { return Err(Reason::Cancelled) };
            cell.opened = true;
            cell.member = Some(member.clone());
            cell.window = floor;
            cell.window_max = WINDOW_MAX.max(floor);
            cell.reserved = floor;
            cell.receives = spec.flags.has(OpenFlags::RECEIVES);
            cell.sends = spec.flags.has(OpenFlags::SENDS);
            cell.is_latest = spec.flags.has(OpenFlags::LATEST);
            cell.is_far = offer.path.as_ref().is_some_and(|path| path.route().hops > 0);
            state.proto_out(|link, slots, out| {
                link.accept(slots, handle, theirs, floor, limit);
                // Into the buffer at once, so that no value can come before it.
                link.control(slots, out);
            });
            if let Some(body) = &offer.body {
                state.take_body(offer.cell, handle, body);
                member.is_ready();
                told = Some(member);
            }
            Ok(Arc::new(Circuit::new(link, &mut state, offer.cell, Arc::clone(&hub.name))))
        });
        match joined {
            Ok(()) => {
                link.flush(link.lock());
                hub.offer_newest();
                if let Some(member) = told {
                    member.signal(Signal::Over);
                }
            }
            Err(reason) => refuse(link, offer, reason, ""),
        }
    }

    /// A link, by its number.
    pub(crate) fn link(&self, number: u64) -> Option<Arc<LinkCell>> {
        self.lock().links.get(&number).cloned()
    }

    /// Publishes a channel under a name that has been checked.
    pub(crate) fn publish<E: ExportEnd>(&self, name: &str, options: ExportOptions) -> Result<E, ExportError> {
        let spec = E::spec();
        // Two programs cannot both hold the other end of one conversation.
        let exclusive = spec.flags.has(OpenFlags::BOTH) && !spec.flags.has(OpenFlags::CALLS);
        let fanout = if exclusive { Fanout::Exclusive } else { options.fanout };
        let options = ExportOptions { fanout, ..options };
        let hub = Arc::new(Hub::new(name.into(), spec, options, Weak::clone(&self.own)));
        let mut tables = self.lock();
        if tables.is_shut {
            return Err(ExportError::Shutdown);
        }
        if tables.exports.contains_key(name) {
            return Err(ExportError::Taken);
        }
        if tables.exports.len() >= EXPORTS_MAX {
            return Err(ExportError::Full);
        }
        tables.exports.insert(name.to_string(), Arc::clone(&hub));
        let waiting = tables.waiting.take_named(name);
        drop(tables);
        let (weak, name) = (Weak::clone(&self.own), name.to_string());
        hub.set_on_close(move || {
            if let Some(node) = weak.upgrade() {
                node.lock().exports.remove(&name);
            }
        });
        for waiting in waiting {
            if let Some(link) = waiting.link.upgrade() {
                self.answer(&link, &hub, &waiting.offer);
            }
        }
        Ok(E::exported(Exported { hub }))
    }

    /// The export of this name.
    pub(crate) fn hub(&self, name: &str) -> Option<Arc<Hub>> {
        self.lock().exports.get(name).cloned()
    }

    /// The exports that there are.
    pub(crate) fn hubs(&self) -> Vec<Arc<Hub>> {
        self.lock().exports.values().cloned().collect()
    }

    /// The links that there are.
    pub(crate) fn links(&self) -> Vec<Arc<LinkCell>> {
        self.lock().links.values().cloned().collect()
    }

    /// Takes in nothing new from now on: what there is still. The exports are for the first who asks.
    pub(crate) fn withdraw(&self) -> Withdrawn {
        let (withdrawn, listeners) = {
            let mut tables = self.lock();
            let is_first = !core::mem::replace(&mut tables.is_shut, true);
            tables.waiting = WaitingOpens::default();
            let hubs = tables.exports.drain().map(|(_, hub)| hub).collect();
            let links = tables.links.values().cloned().collect();
            let unsent = tables.unsent;
            (Withdrawn { links, hubs, unsent, is_first }, core::mem::take(&mut tables.listeners))
        };
        for listener in listeners {
            if let Some(stop) = listener.upgrade() {
                stop();
            }
        }
        let own_watchers = self.own_watchers.lock().unwrap_or_else(PoisonError::into_inner).split_off(0);
        // Their drop wakes those who watch: with nothing locked.
        drop(own_watchers);
        self.events.close();
        withdrawn
    }
}

/// What a node that is shut still has.
pub(crate) struct Withdrawn {
    pub(crate) links: Vec<Arc<LinkCell>>,
    pub(crate) hubs: Vec<Arc<Hub>>,
    /// Values that were left unsent by links which have gone since.
    pub(crate) unsent: u64,
    /// It was not shut before.
    pub(crate) is_first: bool,
}

impl fmt::Debug for NodeInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NodeInner").field(&self.identity.name).finish()
    }
}

pub(crate) fn refuse(link: &LinkCell, offer: &Offer, reason: Reason, detail: &'static str) {
    let mut state = link.lock();
    state.kill(offer.cell, reason, detail);
    state.remove(offer.cell);
    link.flush(state);
    link.note_refusal(offer);
}
