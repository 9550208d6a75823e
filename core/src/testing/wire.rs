//! A line without hardware: between a board's program and a host's node, or between two boards.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::fmt;
#[cfg(feature = "embedded-io-async-v0_7")]
use core::task::Poll;
use core::task::Waker;
use core::time::Duration;
use std::io::{self, IoSlice};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::Clock;
use crate::host::transport::{LineOptions, Tie, Up, start_line};
use crate::host::{BlockingStream, Node, Stream, Wait};
use crate::proto::{Instant, LineConfig};

/// Bytes that are under way in one direction; who writes more waits.
const CAPACITY: usize = 1024;
/// How late a link's port may see that the link is over.
const LATE: Duration = Duration::from_millis(20);
/// How long a main loop that asks for bytes rests when there are none.
#[cfg(feature = "embedded-io-v0_7")]
const REST: Duration = Duration::from_millis(1);

/// A line in real time: its two ends. It carries up to 1 KiB in each direction, and loses nothing
/// while it is plugged in.
///
/// One end is a board's UART, and is moved by its program as on the board; the other
/// [connects](WireEnd::connect) a host's node, or is another board's. So the same program that goes into flash runs
/// in a test:
///
/// ```
/// use netchan::board::{Config, Identity, Latest, Memory};
/// use netchan::proto::{CounterNonce, LineConfig, Name};
/// use netchan::testing::{WireEnd, wire};
/// use netchan::{Node, Watch, board};
///
/// const CONFIG: Config = Config::new(LineConfig::uart(115_200, 2, 64, 2)).export::<Latest<u16>>(1);
/// static NODE: board::Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = board::Node::new(&CONFIG);
///
/// /// The board's program: on the board it never ends, here with the line.
/// fn program(uart: &WireEnd) {
///     let mut nonces = CounterNonce::new(1, 1);
///     let name = &const { Name::literal("thermometer") };
///     let identity = Identity { name, uid: 1, boot: 1, nonces: &mut nonces };
///     let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
///     let mut line = NODE.line(&mut memory, identity);
///     let temperature: Latest<u16> = NODE.export("temperature").unwrap();
///     while uart.is_open() {
///         let mut bytes = [0; 32];
///         let n = uart.read(&mut bytes);
///         line.feed(&bytes[..n], uart.now());
///         let n = line.drain(&mut bytes[..uart.room().min(32)], uart.now());
///         uart.write(&bytes[..n]);
///         temperature.set(&293).unwrap();
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (uart, port) = wire();
/// let board = std::thread::spawn(move || program(&uart));
/// let node = Node::new("desk");
/// let peer = port.connect(&node, CONFIG.line()).wait()?;
/// let mut temperature = peer.import::<Watch<u16>>("temperature").wait()?;
/// assert_eq!(temperature.changed().wait()?, 293);
///
/// drop((temperature, peer, node, port));
/// board.join().unwrap();
/// # Ok(())
/// # }
/// ```
///
/// What a line does that loses and alters bytes is shown by [`FaultyLine`](super::FaultyLine).
pub fn wire() -> (WireEnd, WireEnd) {
    wire_at(&Clock::real())
}

/// As [`wire`], in the time of a clock: with [`Clock::manual`] two boards run in one thread, as fast as they can, and always the
/// same way. A host's node lives in real time and wants [`wire`].
pub fn wire_at(clock: &Clock) -> (WireEnd, WireEnd) {
    let shared = Arc::new(Shared {
        clock: clock.clone(),
        state: Mutex::new(State { ways: [Way::default(), Way::default()], is_plugged: true }),
        changed: Condvar::new(),
    });
    let end = |me| WireEnd(Arc::new(Holder { shared: Arc::clone(&shared), me }));
    (end(0), end(1))
}

/// One end of a [`wire`]. Clones are the same end; when the last one is gone, so is the line.
///
/// Its own methods never wait. With the features `embedded-io-v0_7` and `embedded-io-async-v0_7` it has the traits of a UART.
#[derive(Clone)]
pub struct WireEnd(Arc<Holder>);

struct Holder {
    shared: Arc<Shared>,
    me: usize,
}

struct Shared {
    clock: Clock,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// By the end that reads.
    ways: [Way; 2],
    is_plugged: bool,
}

/// What is under way to an end.
#[derive(Default)]
struct Way {
    bytes: VecDeque<u8>,
    /// The end is gone.
    is_gone: bool,
    /// Who waits for bytes, and who waits at the other end for room.
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl fmt::Debug for WireEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireEnd").field("is_open", &self.is_open()).finish_non_exhaustive()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.shared.change(|state| state.ways[self.me].is_gone = true);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something that others may wait for.
    fn change<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let result = f(&mut state);
        let wakers = state.ways.each_mut().map(|way| [way.reader.take(), way.writer.take()]);
        drop(state);
        self.changed.notify_all();
        wakers.into_iter().flatten().flatten().for_each(Waker::wake);
        result
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, limit: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner).0
    }
}

impl WireEnd {
    /// What time it is on this line.
    pub fn now(&self) -> Instant {
        self.0.shared.clock.now()
    }

    /// The line's clock.
    pub fn clock(&self) -> Clock {
        self.0.shared.clock.clone()
    }

    /// Whether somebody still has the other end, or bytes are here to be read.
    pub fn is_open(&self) -> bool {
        let state = self.0.shared.lock();
        !state.ways[self.other()].is_gone || !state.ways[self.0.me].bytes.is_empty()
    }

    /// Takes bytes that have come, as many as there are: how many.
    pub fn read(&self, into: &mut [u8]) -> usize {
        self.0.shared.change(|state| {
            let bytes = &mut state.ways[self.0.me].bytes;
            let n = into.len().min(bytes.len());
            into.iter_mut().zip(bytes.drain(..n)).for_each(|(to, byte)| *to = byte);
            n
        })
    }

    /// How many bytes [`WireEnd::write`] would take.
    pub fn room(&self) -> usize {
        CAPACITY - self.0.shared.lock().ways[self.other()].bytes.len()
    }

    /// Writes as many bytes as there is room for: how many. On a line that is not plugged in they are lost.
    pub fn write(&self, bytes: &[u8]) -> usize {
        self.0.shared.change(|state| {
            let way = &mut state.ways[1 - self.0.me];
            let n = bytes.len().min(CAPACITY - way.bytes.len());
            if state.is_plugged {
                way.bytes.extend(&bytes[..n]);
            }
            n
        })
    }

    /// Pulls the plug: what is under way is lost, and what is written from now on.
    pub fn unplug(&self) {
        self.0.shared.change(|state| {
            state.is_plugged = false;
            state.ways.iter_mut().for_each(|way| way.bytes.clear());
        });
    }

    /// Plugs it in again.
    pub fn plug_in(&self) {
        self.0.shared.change(|state| state.is_plugged = true);
    }

    /// Makes a link of a host's node at this end, with a board at the other; `line` is what the board's config says. Ready when
    /// the bring-up is complete. When it is over the end may be connected again.
    pub fn connect(&self, node: &Node, line: &LineConfig) -> Wait<Up> {
        let port = Port { end: Mutex::new(Some(self.clone())) };
        start_line(node, Box::new(port), LineOptions::new(*line))
    }

    /// As [`WireEnd::connect`], with a board that becomes a child of the node in its tree: a bridge has to be adopted.
    pub fn adopt(&self, node: &Node, line: &LineConfig) -> Wait<Up> {
        let port = Port { end: Mutex::new(Some(self.clone())) };
        start_line(node, Box::new(port), LineOptions::new(*line).tie(Tie::Adopt))
    }

    /// As [`WireEnd::connect`], with a host's node at the other end that [adopts](Self::adopt) this one, and without which this one
    /// lives on.
    pub fn join(&self, node: &Node, line: &LineConfig) -> Wait<Up> {
        let port = Port { end: Mutex::new(Some(self.clone())) };
        start_line(node, Box::new(port), LineOptions::new(*line).tie(Tie::Join { lives_on: true }))
    }

    fn other(&self) -> usize {
        1 - self.0.me
    }

    /// Whether there are bytes to be read, after a short rest if not; an error when the line is gone.
    #[cfg(feature = "embedded-io-v0_7")]
    pub(super) fn has_input(&self) -> Result<bool, WireError> {
        let shared = &self.0.shared;
        let mut state = shared.lock();
        if state.ways[self.0.me].bytes.is_empty()
            && !state.ways[self.other()].is_gone
            && shared.clock.is_real()
        {
            state = shared.wait(state, REST);
        }
        match state.ways[self.0.me].bytes.is_empty() {
            true if state.ways[self.other()].is_gone => Err(WireError::Gone),
            is_empty => Ok(!is_empty),
        }
    }

    /// Waits until there is room, or nobody who will make any.
    #[cfg(feature = "embedded-io-v0_7")]
    pub(super) fn wait_for_room(&self) -> Result<(), WireError> {
        let shared = &self.0.shared;
        let mut state = shared.lock();
        while state.ways[self.other()].bytes.len() == CAPACITY {
            if state.ways[self.other()].is_gone {
                return Err(WireError::Gone);
            }
            state = shared.wait(state, REST);
        }
        Ok(())
    }

    /// Whether a task may read, or write.
    #[cfg(feature = "embedded-io-async-v0_7")]
    pub(super) fn poll(&self, reads: bool, waker: &Waker) -> Poll<Result<(), WireError>> {
        let mut state = self.0.shared.lock();
        let is_gone = state.ways[self.other()].is_gone;
        let (me, other) = (self.0.me, self.other());
        let is_ready =
            if reads { !state.ways[me].bytes.is_empty() } else { state.ways[other].bytes.len() < CAPACITY };
        if is_ready {
            return Poll::Ready(Ok(()));
        }
        if is_gone {
            return Poll::Ready(Err(WireError::Gone));
        }
        let place = if reads { &mut state.ways[me].reader } else { &mut state.ways[other].writer };
        let old = place.replace(waker.clone());
        // It may own a task, and that this wire's other end: not under the lock.
        drop(state);
        drop(old);
        Poll::Pending
    }
}

/// What a wire's end reports where it has the traits of a UART.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WireError {
    /// Nobody has the other end any more.
    Gone,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody has the other end of the wire any more")
    }
}

impl core::error::Error for WireError {}

/// An end as the port of one link, which gives it back when the link is over: an end of a channel may be
/// kept for as long as its program likes.
struct Port {
    end: Mutex<Option<WireEnd>>,
}

impl Port {
    /// The end, while the link is there.
    fn end(&self) -> Option<WireEnd> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until `done`, or until there is nobody at the other end, or no link any more; that it is a pause is said after
    /// so long.
    fn wait(&self, limit: Duration, done: impl Fn(&State, usize) -> bool) -> io::Result<()> {
        let until = std::time::Instant::now() + limit;
        while let Some(end) = self.end() {
            let (shared, state) = (&end.0.shared, end.0.shared.lock());
            if done(&state, end.0.me) || state.ways[end.other()].is_gone {
                break;
            }
            let left = until.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            // That the link is over is not told under this lock, so it may be seen a moment late.
            drop(shared.wait(state, left.min(LATE)));
        }
        Ok(())
    }
}

impl Stream for Port {
    fn try_write(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        let end = self.end().filter(|end| !end.0.shared.lock().ways[end.other()].is_gone);
        let end = end.ok_or(io::ErrorKind::BrokenPipe)?;
        let mut n = 0;
        for bytes in bytes {
            let written = end.write(bytes);
            n += written;
            if written < bytes.len() {
                break;
            }
        }
        if n > 0 { Ok(n) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    fn finish(&self) {}

    fn close(&self) {
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(end) = end {
            end.0.shared.change(|_| ());
        }
    }
}

impl BlockingStream for Port {
    fn read(&self, into: &mut [u8], limit: Duration) -> io::Result<usize> {
        self.wait(limit, |state, me| !state.ways[me].bytes.is_empty())?;
        // What comes later is for the next session.
        Ok(self.end().map_or(0, |end| end.read(into)))
    }

    fn readable(&self, limit: Duration) -> io::Result<bool> {
        Ok(self.wait(limit, |state, me| !state.ways[me].bytes.is_empty()).is_ok())
    }

    fn write(&self, bytes: &[IoSlice<'_>], limit: Duration) -> io::Result<usize> {
        self.wait(limit, |state, me| state.ways[1 - me].bytes.len() < CAPACITY)?;
        self.try_write(bytes)
    }
}
