//! A board that is a bridge: circuits that pass through it, from one of its lines to another.
//!
//! What passes through is a leaf beside the board's own channels: a table of [`Passage`]s, each with room of its own, and
//! what the board knows of its [tree](tree). The drivers of both lines share them as they share channels: in critical sections of a few
//! instructions, or of a copy of 32 bytes.

mod passage;
#[cfg(test)]
mod preempt;
mod tree;

pub(super) use super::ring::Byte;
pub(super) use passage::{DETAIL_MAX, Due, LEFT, Passage, RIGHT, Wish};
pub(super) use tree::{Route, Tree, TreeHeard, UP, Way};

use core::cell::{Cell, RefCell};
use core::fmt;
use core::time::Duration;

use critical_section::{CriticalSection, Mutex};

#[cfg(not(test))]
pub(super) use critical_section::with;
/// In tests an interrupt may come behind each.
#[cfg(test)]
pub(super) use preempt::with;

use super::config::Config;
use super::driver::{Driver, Identity, Memory};
use super::lines::{Here, LineId};
use super::node::Node;
use super::ring::{get_all, put_all};
#[cfg(feature = "async")]
use super::wake_line;

/// What is copied in one critical section, in bytes.
const CHUNK: usize = 32;

/// One of the table, as the drivers of all lines hold it.
pub(super) type Shared<T> = Mutex<RefCell<T>>;

/// What makes a board with two lines a bridge: the circuits that pass through it, and its place in the tree.
///
/// It lives in a `static` beside its [`Node`], and is all zero until it is used. RAM: for each circuit about 390 bytes and its
/// room, which [`Config::bridge`] states; about 200 bytes besides.
///
/// ```
/// use netchan::board::{Bridge, Config, Identity, Latest, Memory, Node};
/// use netchan::proto::{CounterNonce, LineConfig, Name};
///
/// /// Up to four circuits at a time, each with 256 bytes for what is under way.
/// const CONFIG: Config =
///     Config::new(LineConfig::uart(115_200, 2, 240, 2)).export::<Latest<u16>>(1).bridge(4, 256);
/// /// The same node over the line to the board behind it.
/// const DOWN: Config = CONFIG.over(LineConfig::uart(115_200, 2, 64, 2));
///
/// static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);
/// static BRIDGE: Bridge<{ CONFIG.circuits() }, { CONFIG.room() }> = Bridge::new(&CONFIG);
/// const NAME: Name = Name::literal("relay-board");
///
/// # fn main() {
/// let (mut nonces, mut other_nonces) = (CounterNonce::new(1, 1), CounterNonce::new(1, 2));
/// let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
/// let mut other_memory = Memory::<{ DOWN.line_bytes() }>::new(&DOWN);
/// let up = NODE.up_line(&BRIDGE, &mut memory, Identity { name: &NAME, uid: 1, boot: 1, nonces: &mut nonces });
/// let identity = Identity { name: &NAME, uid: 1, boot: 1, nonces: &mut other_nonces };
/// let down = NODE.down_line(&BRIDGE, &mut other_memory, identity);
/// // Both are fed and drained, polled or run as the line of any board.
/// # drop((up, down));
/// # }
/// ```
pub struct Bridge<const CIRCUITS: usize, const ROOM: usize> {
    passages: [Shared<Passage>; CIRCUITS],
    bytes: [[Byte; ROOM]; CIRCUITS],
    tree: Shared<Tree>,
}

impl<const CIRCUITS: usize, const ROOM: usize> Bridge<CIRCUITS, ROOM> {
    /// A bridge as `config` says; see there.
    ///
    /// # Panics
    ///
    /// At compile time, when the sizes are not those of the config.
    pub const fn new(config: &Config) -> Self {
        config.check_bridge(CIRCUITS, ROOM);
        Self {
            passages: [const { Mutex::new(RefCell::new(Passage::new())) }; CIRCUITS],
            bytes: [const { [const { Mutex::new(Cell::new(0)) }; ROOM] }; CIRCUITS],
            tree: Mutex::new(RefCell::new(Tree::ZERO)),
        }
    }

    /// This board's number in its tree: 1 while it is a root, another one after each time that it was adopted.
    pub fn id(&self) -> u32 {
        with(|cs| enter(cs, &self.tree, |tree| tree.id())).unwrap_or_default()
    }

    /// Circuits that pass through now.
    pub fn in_use(&self) -> usize {
        let is_used = |passage: &&Shared<Passage>| {
            with(|cs| enter(cs, passage, |passage| passage.is_used())).unwrap_or_default()
        };
        self.passages.iter().filter(is_used).count()
    }

    /// Whether the node above has asked this board, and all behind it, to end, and how long it gives them. The lines do what they
    /// have to by themselves: the boards behind it are told, then the node above, and then both lines rest until
    /// [`Bridge::resume`]. A program may switch things off, and restart.
    pub fn shutdown(&self) -> Option<Duration> {
        let millis = with(|cs| enter(cs, &self.tree, |tree| tree.shutdown())).flatten();
        millis.map(|millis| Duration::from_millis(millis.into()))
    }

    /// The lines of a bridge that was shut down begin anew, at once: their tasks are woken.
    pub fn resume(&self) {
        with(|cs| enter(cs, &self.tree, Tree::resume));
        #[cfg(feature = "async")]
        if let Some(common) = with(|cs| enter(cs, &self.tree, |tree| tree.common())).flatten() {
            // While they rest they wait for a byte, and for no time. Each call wakes all but one.
            for here in [Here::FIRST, Here::of(LineId::Second)] {
                wake_line(common, here);
            }
        }
    }

    const fn parts(&'static self) -> Transit {
        Transit { passages: &self.passages, bytes: self.bytes.as_flattened(), tree: &self.tree }
    }
}

impl<const CIRCUITS: usize, const ROOM: usize> fmt::Debug for Bridge<CIRCUITS, ROOM> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").field("id", &self.id()).field("in_use", &self.in_use()).finish()
    }
}

impl<const CHANNELS: usize, const BYTES: usize> Node<CHANNELS, BYTES> {
    /// As [`Node::line`], of a bridge: the line to the host, or the bridge, above, which has to adopt this board.
    pub fn up_line<'m, const LINE_BYTES: usize, const CIRCUITS: usize, const ROOM: usize>(
        &'static self,
        bridge: &'static Bridge<CIRCUITS, ROOM>,
        memory: &'m mut Memory<LINE_BYTES>,
        identity: Identity<'m>,
    ) -> Driver<'m> {
        self.bridge_line(Here::FIRST, bridge.parts(), memory, identity)
    }

    /// As [`Node::second_line`], of a bridge: the line to a board behind it. That becomes a child of this board in the tree; to it, this
    /// board is the peer that it knows. What the second line is like says `memory`, made with [`Config::over`].
    pub fn down_line<'m, const LINE_BYTES: usize, const CIRCUITS: usize, const ROOM: usize>(
        &'static self,
        bridge: &'static Bridge<CIRCUITS, ROOM>,
        memory: &'m mut Memory<LINE_BYTES>,
        identity: Identity<'m>,
    ) -> Driver<'m> {
        self.bridge_line(Here::of(LineId::Second), bridge.parts(), memory, identity)
    }
}

/// A bridge without its sizes, so that what follows is compiled once.
#[derive(Clone, Copy)]
pub(super) struct Transit {
    pub(super) passages: &'static [Shared<Passage>],
    /// The room of all passages, in equal parts.
    bytes: &'static [Byte],
    pub(super) tree: &'static Shared<Tree>,
}

impl Transit {
    /// The room of a passage.
    pub(super) fn room(&self, index: usize) -> &'static [Byte] {
        let each = self.bytes.len().checked_div(self.passages.len()).unwrap_or_default();
        self.bytes.get(index * each..).and_then(|rest| rest.get(..each)).unwrap_or_default()
    }

    /// Does something to the tree.
    pub(super) fn tree<R: Default>(&self, f: impl FnOnce(&mut Tree) -> R) -> R {
        with(|cs| enter(cs, self.tree, f)).unwrap_or_default()
    }
}

/// Does something to what is shared. Nobody is ever inside of it already, so there is always a result.
pub(super) fn enter<T, R>(
    cs: CriticalSection<'_>,
    shared: &Shared<T>,
    f: impl FnOnce(&mut T) -> R,
) -> Option<R> {
    shared.borrow(cs).try_borrow_mut().ok().map(|mut it| f(&mut it))
}

/// Puts a text into a room that nobody else looks at.
pub(super) fn put_text(room: &'static [Byte], text: &[u8]) {
    for (to, from) in room.chunks(CHUNK).zip(text.chunks(CHUNK)) {
        with(|cs| put_all(cs, to, from));
    }
}

/// Fills `out` with it.
pub(super) fn get_text(room: &'static [Byte], out: &mut [u8]) {
    for (to, from) in out.chunks_mut(CHUNK).zip(room.chunks(CHUNK)) {
        with(|cs| get_all(cs, to, from));
    }
}

#[cfg(all(test, feature = "async"))]
mod tests {
    use alloc::sync::Arc;
    use core::sync::atomic::{AtomicBool, Ordering};
    use core::task::Waker;
    use std::task::Wake;

    use super::*;
    use crate::proto::{CounterNonce, LineConfig, Name};

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_tasks_of_both_lines_are_woken_when_a_bridge_goes_on() {
        const CONFIG: Config = Config::new(LineConfig::uart(115_200, 2, 240, 2)).bridge(1, 256);
        static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);
        static BRIDGE: Bridge<{ CONFIG.circuits() }, { CONFIG.room() }> = Bridge::new(&CONFIG);
        const NAME: Name = Name::literal("relay-board");
        let mut nonces = CounterNonce::new(1, 1);
        let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
        BRIDGE.resume();
        drop(NODE.up_line(
            &BRIDGE,
            &mut memory,
            Identity { name: &NAME, uid: 1, boot: 1, nonces: &mut nonces },
        ));
        let tasks = [(); 2].map(|()| Arc::new(Woken::default()));
        let common = with(|cs| enter(cs, &BRIDGE.tree, |tree| tree.common())).flatten();
        let drivers = &common.expect("a line was made").drivers;
        for (driver, task) in drivers.iter().zip(&tasks) {
            drop(with(|cs| driver.replace(cs, Some(Waker::from(Arc::clone(task))))));
        }
        BRIDGE.resume();
        assert_eq!(tasks.map(|task| task.0.load(Ordering::Relaxed)), [true; 2]);
    }
}
