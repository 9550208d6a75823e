//! What the models of this runtime are made of: two nodes, a link between them whose bytes
//! move when the model says so, and time that passes when the model says so.

#![expect(missing_docs, missing_debug_implementations, reason = "only for this project's own models")]

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::{Future, IntoFuture};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io::{self, IoSlice};

use super::config::Config;
use super::driver::{Driver, TaskStream};
use super::error::{LinkError, SendCause};
use super::link::{Io, LinkCell};
use super::node::Node;
use super::parker::unparker;
use super::peer::{Import, Peer};
use super::sender::Sender;
use super::spec::End;
use super::stream::{BlockingStream, Stream};
use super::sync::{self, Condvar, Mutex, MutexGuard, PoisonError};
use super::timer;
use super::transport::{LinkOptions, Tie, cell};
use super::wait::{Source, Wait, Waiting};
use crate::message::Message;

/// Tries every order of events with at most `preemptions` switches that nothing forces.
/// `LOOM_MAX_PREEMPTIONS` can lower that.
pub fn check(name: &str, preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    use core::sync::atomic::{AtomicUsize, Ordering};
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 50_000;
    builder.preemption_bound = Some(preemptions.min(builder.preemption_bound.unwrap_or(usize::MAX)));
    let runs = Arc::new(AtomicUsize::new(0));
    let (counter, start) = (Arc::clone(&runs), std::time::Instant::now());
    builder.check(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        sync::reset();
        model();
    });
    let (runs, time) = (runs.load(Ordering::Relaxed), start.elapsed());
    #[expect(clippy::print_stdout, reason = "the number of runs is what one wants to read")]
    {
        std::println!("{name}: {runs} executions, bound {preemptions}, {time:.1?}");
    }
}

/// A thread of a model. Loom's own join takes every wake for the end of the thread.
pub struct Thread<T> {
    state: Arc<Mutex<(Option<T>, Option<Waker>)>>,
}

/// Starts a thread of a model.
pub fn spawn<T: 'static>(f: impl FnOnce() -> T + 'static) -> Thread<T> {
    let state = Arc::new(Mutex::new((None, None::<Waker>)));
    let own = Arc::clone(&state);
    loom::thread::spawn(move || {
        let result = f();
        let waker = {
            let mut state = own.lock().unwrap_or_else(PoisonError::into_inner);
            state.0 = Some(result);
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    });
    Thread { state }
}

impl<T> Thread<T> {
    /// Waits for its result.
    pub fn join(self) -> T {
        loop {
            {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(result) = state.0.take() {
                    return result;
                }
                state.1 = Some(unparker(sync::current()));
            }
            sync::park();
        }
    }
}

/// Lets time pass: deadlines up to then are over.
pub fn pass(time: Duration) {
    timer::pass(time);
}

/// The thread that keeps the deadlines of futures, until `is_over`.
pub fn run_timer(is_over: impl Fn() -> bool) {
    timer::run_until(is_over);
}

/// Runs a future on this thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = unparker(sync::current());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        sync::park();
    }
}

/// Polls once, with a waker of nobody.
pub fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Makes up an import and moves its bytes: `from` exports what `to` asks for.
pub fn import<E: End>(from: &Side, to: &Side, import: Import<E>) -> E {
    let mut import = pin!(IntoFuture::into_future(import));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(import.as_mut().poll(&mut cx).is_pending(), "the answer cannot be here yet");
    for _ in 0..100 {
        from.deliver();
        to.deliver();
        match import.as_mut().poll(&mut cx) {
            Poll::Ready(Ok(end)) => return end,
            Poll::Ready(Err(error)) => panic!("{error}"),
            // Another thread is writing, and carries it along.
            Poll::Pending => loom::thread::yield_now(),
        }
    }
    panic!("no answer")
}

/// Whether a value could be sent now; else the waker is registered. A program asks that with `reserve`, which has
/// the sender to itself.
pub fn has_room<T: Message + Send>(sender: &Sender<T>, waker: &Waker) -> Result<bool, SendCause> {
    sender.has_room(waker)
}

/// An operation of the model's own, waited for as every other.
pub fn wait<W: Waiting>(what: W) -> Wait<W> {
    Wait::new(what)
}

/// One direction of a line.
#[derive(Default)]
struct Pipe {
    state: Mutex<Bytes>,
    changed: Condvar,
}

struct Bytes {
    bytes: Vec<u8>,
    /// What it takes now.
    room: usize,
    ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Default for Bytes {
    fn default() -> Self {
        Self { bytes: Vec::new(), room: usize::MAX, ended: false, reader: None, writer: None }
    }
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, Bytes> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<R>(&self, f: impl FnOnce(&mut Bytes) -> R) -> R {
        let mut state = self.lock();
        let result = f(&mut state);
        let wakers = [state.reader.take(), state.writer.take()];
        drop(state);
        self.changed.notify_all();
        for waker in wakers.into_iter().flatten() {
            waker.wake();
        }
        result
    }

    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.change(|state| {
            if state.ended {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let mut written = 0;
            for slice in slices {
                let n = slice.len().min(state.room);
                state.bytes.extend_from_slice(&slice[..n]);
                if state.room != usize::MAX {
                    state.room -= n;
                }
                written += n;
            }
            if written == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(written) }
        })
    }

    fn wait_until(&self, is: impl Fn(&Bytes) -> bool) {
        let mut state = self.lock();
        while !is(&state) && !state.ended {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Bytes {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() {
            return if self.ended { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let n = self.bytes.len().min(into.len());
        into[..n].copy_from_slice(&self.bytes[..n]);
        self.bytes.drain(..n);
        Ok(n)
    }
}

type Answer = Box<dyn Fn() + Send + Sync>;

/// One end of a line in memory.
#[derive(Clone)]
pub struct Line {
    input: Arc<Pipe>,
    output: Arc<Pipe>,
    /// Runs after each write: the neighbour that answers at once.
    answer: Arc<std::sync::OnceLock<Answer>>,
}

impl Stream for Line {
    fn try_write(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        let result = self.output.write(bytes);
        if let Some(answer) = self.answer.get() {
            answer();
        }
        result
    }

    fn finish(&self) {
        self.output.change(|state| state.ended = true);
    }

    fn close(&self) {
        self.output.change(|state| state.ended = true);
        self.input.change(|state| state.ended = true);
    }
}

impl BlockingStream for Line {
    fn read(&self, into: &mut [u8], _: Duration) -> io::Result<usize> {
        self.readable(Duration::ZERO)?;
        self.input.lock().read(into)
    }

    fn readable(&self, _: Duration) -> io::Result<bool> {
        self.input.wait_until(|state| !state.bytes.is_empty());
        Ok(true)
    }

    fn write(&self, bytes: &[IoSlice<'_>], _: Duration) -> io::Result<usize> {
        self.output.wait_until(|state| state.room > 0);
        self.try_write(bytes)
    }
}

impl TaskStream for Line {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.input.lock();
        match state.read(into) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
            result => Poll::Ready(result),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        {
            let mut state = self.output.lock();
            if state.room == 0 && !state.ended {
                state.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        Poll::Ready(self.try_write(bytes))
    }
}

/// How a side's bytes are moved.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum By {
    /// By the model, with [`Side::deliver`]; writes go straight into the line.
    Hand,
    /// By threads, and by whoever waits: the model runs [`Side::read`] and [`Side::attend`].
    Threads,
}

/// A node and its end of the one link.
pub struct Side {
    pub node: Node,
    pub peer: Peer,
    link: Arc<LinkCell>,
    line: Line,
}

/// Two nodes and a link between them that is up.
pub fn link(a: By, b: By) -> (Side, Side) {
    let node = |name| Node::with_config(name, config()).expect("the names are good");
    join(&node("a"), a, &node("b"), b)
}

/// What a model's nodes are like: small, so that limits are near.
fn config() -> Config {
    Config { channels_per_link: 8, linger: Duration::ZERO, ..Config::default() }
}

/// A node with these small limits.
pub fn node(name: &str) -> Node {
    Node::with_config(name, config()).expect("the names are good")
}

/// A link between two nodes that is up.
pub fn join(a: &Node, by_a: By, b: &Node, by_b: By) -> (Side, Side) {
    tied(a, by_a, Tie::Peer, b, by_b, Tie::Peer)
}

/// A link that is up between a node and its parent in a tree. The child goes on without it.
pub fn adopt(child: &Node, parent: &Node) -> (Side, Side) {
    tied(child, By::Hand, Tie::Join { lives_on: true }, parent, By::Hand, Tie::Adopt)
}

fn tied(a: &Node, by_a: By, tie_a: Tie, b: &Node, by_b: By, tie_b: Tie) -> (Side, Side) {
    let (there, back) = (Arc::new(Pipe::default()), Arc::new(Pipe::default()));
    let line_a = Line { input: Arc::clone(&back), output: Arc::clone(&there), answer: Arc::default() };
    let line_b = Line { input: there, output: back, answer: Arc::default() };
    let make = |node: &Node, line: &Line, by: By, options| {
        let io = match by {
            By::Hand => Io::Task(Box::new(line.clone())),
            By::Threads => Io::Blocking(Box::new(line.clone())),
        };
        cell(node, io, options).expect("the node is not shut")
    };
    let link_a = make(a, &line_a, by_a, LinkOptions::active().with_tie(tie_a));
    let link_b = make(b, &line_b, by_b, LinkOptions::passive().with_tie(tie_b));
    link_a.tick();
    for _ in 0..4 {
        deliver(&link_b, &line_b);
        deliver(&link_a, &line_a);
    }
    let side = |node: &Node, link: Arc<LinkCell>, line| {
        let info = link.lock().peer.clone().expect("the bring-up is complete");
        Side { node: node.clone(), peer: Peer::new(Arc::clone(&link), info), link, line }
    };
    (side(a, link_a, line_a), side(b, link_b, line_b))
}

/// Counts threads that are through, for those who serve them.
#[derive(Clone)]
pub struct Done {
    state: Arc<Mutex<(usize, Option<Waker>)>>,
}

impl Done {
    /// After so many calls of [`Done::one`].
    pub fn after(threads: usize) -> Self {
        Self { state: Arc::new(Mutex::new((threads, None))) }
    }

    /// One thread is through.
    pub fn one(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 -= 1;
        let waker = state.1.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn is_done(&self, waker: &Waker) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1 = Some(waker.clone());
        state.0 == 0
    }
}

/// Runs the drivers of these sides on this thread, as tasks of one runtime, until others
/// are done. Their links are down after that.
pub fn drive(sides: &[&Side], done: &Done) {
    let mut drivers: Vec<_> = sides.iter().map(|side| side.driver()).collect();
    block_on(core::future::poll_fn(|cx| {
        for driver in &mut drivers {
            let _ = core::pin::Pin::new(driver).poll(cx);
        }
        if done.is_done(cx.waker()) { Poll::Ready(()) } else { Poll::Pending }
    }));
}

/// Handles what has come, as a driver does.
fn deliver(link: &LinkCell, line: &Line) {
    let mut reader = link.reader.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let result = line.input.lock().read(reader.space());
        match result {
            Ok(n) if n > 0 => {
                reader.filled(n);
                link.process(&mut reader);
            }
            Err(_) => return,
            ended => return link.io_ended(&ended),
        }
    }
}

impl Side {
    /// Handles what has come.
    pub fn deliver(&self) {
        deliver(&self.link, &self.line);
    }

    /// Whether something has come that is not handled yet.
    pub fn has_input(&self) -> bool {
        !self.line.input.lock().bytes.is_empty()
    }

    /// Looks at the time, as a link's other thread does.
    pub fn tick(&self) {
        self.link.tick();
    }

    /// What a tick does for those who asked how many values are taken.
    pub fn look_at_asked(&self) {
        let mut state = self.link.lock();
        state.look_at_asked();
        self.link.flush(state);
    }

    /// From now on the other side answers whatever this one writes at once.
    pub fn is_answered_by(&self, other: &Self) {
        let (link, line) = (Arc::clone(&other.link), other.line.clone());
        let _ = self.line.answer.set(Box::new(move || deliver(&link, &line)));
    }

    /// The reading thread of a link that threads drive.
    pub fn read(&self) {
        self.link.drive();
    }

    /// The writing thread of a link that threads drive.
    pub fn attend(&self) {
        self.link.attend();
    }

    /// The future that drives the link of a task.
    pub fn driver(&self) -> Driver<Line> {
        Driver::new(Arc::clone(&self.link), self.line.clone())
    }

    /// The line breaks.
    pub fn break_line(&self) {
        self.link.fail(LinkError::Io(io::ErrorKind::ConnectionReset));
    }

    /// The peer closes the line; whoever reads notices.
    pub fn end_input(&self) {
        self.line.input.change(|state| state.ended = true);
    }

    /// The line takes only so many more bytes from this side.
    pub fn set_room(&self, bytes: usize) {
        self.line.output.change(|state| state.room = bytes);
    }

    /// Whether nothing waits to be written.
    pub fn is_flushed(&self) -> bool {
        let state = self.link.lock();
        state.output.is_idle() && !state.link.has_control()
    }

    /// Circuits of this link that are not over.
    pub fn open_circuits(&self) -> usize {
        self.link.lock().cells.iter_mut().filter(|cell| cell.handle.is_some()).count()
    }

    /// Bytes that are reserved for circuits of this link, and lent to them.
    pub fn reserved(&self) -> u64 {
        let config = config();
        self.link.lock().in_use(config.reserve_per_link, config.lend_per_link)
    }

    /// What a wait for this link's bytes names as its source.
    pub fn source(&self) -> Source<'static> {
        Source::shared(Arc::clone(&self.link))
    }

    /// Who writes what senders leave.
    pub fn set_flusher(&self, waker: Waker) {
        self.link.lock().output.flusher = Some(waker);
    }
}

/// What a model is done with is gone before its nodes are, so that none waits.
impl Drop for Side {
    fn drop(&mut self) {
        self.link.fail(LinkError::Local(crate::proto::Reason::Closed));
    }
}
