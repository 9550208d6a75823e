//! A lossy line under a link: records on the link's side, packets on the port's.
//!
//! To the link it is a stream like any other, so that nothing above knows of lines. Whoever
//! writes to it fills the line's window and waits when that is full; what the port has brought
//! becomes records again. Who moves the port's bytes and keeps the line's time is a thread
//! (`thread.rs`) or a task (`task.rs`).

mod task;
mod thread;

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::task::Waker;
use core::time::Duration;
use std::io::{self, IoSlice};
use std::time::Instant;

use super::error::LinkError;
use super::stream::Stream;
use super::sync::{self, Condvar, Mutex, MutexGuard, PoisonError};
use crate::proto::framing::{self, Step};
use crate::proto::{self, Fault, Line, LineConfig, Sink, varint};

pub use task::LineDriver;
pub(crate) use task::LineTask;
pub(crate) use thread::LineStream;

/// Bytes read from the port, or written to it, at a time.
const CHUNK: usize = 1024;
/// How long what is still to be said may take when the link is down: the reason why, and the
/// acknowledgement of the peer's goodbye.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// An acknowledgement that waits for company is due within this time.
const ACK_DELAY: Duration = Duration::from_millis(10);

/// A line, whoever drives it.
pub(crate) struct LineCell {
    epoch: Instant,
    /// A leaf: no other lock is taken under it.
    state: Mutex<State>,
    /// There may be room, something to write, or an end: for the line's own thread, and for
    /// the one that waits for room.
    changed: Condvar,
}

struct State {
    line: Line,
    /// The packet that is coming in.
    rx: Vec<u8>,
    /// Those that are not acknowledged.
    tx: Vec<u8>,
    end: End,
    /// The line's thread is in a write, or about to.
    writes: bool,
    /// What has ended the line.
    fault: Option<Fault>,
    /// The task that drives it, where it is one: told what a thread hears as `changed`.
    task: Option<Waker>,
    /// Told when everything is acknowledged.
    delivered: Option<Waker>,
    /// Told when something is acknowledged: they wait until the peer knows that we may be silent.
    quiet: Vec<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    No,
    /// The goodbye was the last record. When it is acknowledged the stream has ended.
    Finished,
    /// The link is down.
    Closed,
}

impl LineCell {
    fn new(config: LineConfig) -> Arc<Self> {
        let state = State {
            line: Line::new(config),
            rx: vec![0; config.rx_len()],
            tx: vec![0; config.tx_len()],
            end: End::No,
            writes: false,
            fault: None,
            task: None,
            delivered: None,
            quiet: Vec::new(),
        };
        Arc::new(Self { epoch: sync::now(), state: Mutex::new(state), changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> proto::Instant {
        proto::Instant::ZERO + sync::now().saturating_duration_since(self.epoch)
    }

    /// There may be room, something to write, or an end.
    fn tell(&self, state: MutexGuard<'_, State>) {
        let task = state.task.clone();
        drop(state);
        self.changed.notify_all();
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Takes in what the port has brought.
    fn take(&self, raw: &[u8], records: &mut Vec<u8>) {
        let mut input = raw;
        let now = self.now();
        let mut state = self.lock();
        let State { line, rx, fault, .. } = &mut *state;
        loop {
            match line.next(rx, &mut input, now) {
                Ok(Some(frame)) if fault.is_none() => {
                    let mut prefix = [0; varint::MAX_LEN];
                    let n = varint::put(&mut prefix, 0, frame.len() as u32);
                    records.extend_from_slice(&prefix[..n]);
                    records.extend_from_slice(frame);
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => *fault = Some(error),
            }
        }
        let waker = state.take_delivered();
        let quiet = core::mem::take(&mut state.quiet);
        // Room, an acknowledgement that is owed, or an end: a task that takes this in sees it itself.
        drop(state);
        self.changed.notify_all();
        waker.into_iter().chain(quiet).for_each(Waker::wake);
    }

    /// Whether there is nothing more to read for the link.
    fn has_ended(&self) -> bool {
        let state = self.lock();
        match state.end {
            End::No => state.fault.is_some(),
            End::Finished => state.fault.is_some() || state.line.is_idle(),
            End::Closed => true,
        }
    }

    /// Moves whole records into the line's packets, as many as have room: how many bytes.
    fn try_put(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.lock();
        let n = state.put(bytes)?;
        self.tell(state);
        Ok(n)
    }

    /// The link is down: whether a thread is in a write.
    fn end(&self) -> bool {
        let mut state = self.lock();
        state.end = End::Closed;
        let writes = state.writes;
        let quiet = core::mem::take(&mut state.quiet);
        self.tell(state);
        // The drop of a waker is foreign code: not under the lock. The link tells its end.
        drop(quiet);
        writes
    }
}

/// The link's side. Where a task drives the line, this is all that senders have of it.
impl Stream for Arc<LineCell> {
    fn try_write(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_put(bytes)
    }

    fn finish(&self) {
        let mut state = self.lock();
        if state.end == End::No {
            state.end = End::Finished;
        }
        self.tell(state);
    }

    fn close(&self) {
        self.end();
    }

    fn explain(&self, error: LinkError) -> LinkError {
        let state = self.lock();
        match (error, state.fault) {
            (LinkError::Closed, Some(fault)) => LinkError::Fault(fault),
            (LinkError::Fault(fault), _) => LinkError::Fault(state.line.explain(fault)),
            _ => error,
        }
    }

    fn is_quiet_heard(&self, notices: u32, waker: &Waker) -> Option<bool> {
        let mut state = self.lock();
        let heard = state.line.is_quiet_heard(notices);
        if !heard && !state.quiet.iter().any(|other| other.will_wake(waker)) {
            state.quiet.push(waker.clone());
        }
        Some(heard)
    }

    fn is_delivered(&self, waker: Option<&Waker>) -> bool {
        let mut state = self.lock();
        let is_idle = state.line.is_idle();
        let old = if is_idle { None } else { waker.and_then(|waker| state.delivered.replace(waker.clone())) };
        drop(state);
        // The drop of a waker is foreign code: not under the lock.
        drop(old);
        is_idle
    }
}

impl State {
    /// Moves whole records into the line's packets, as many as have room: how many bytes.
    fn put(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.end == End::Closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let joined;
        let records = match bytes {
            [one] => &one[..],
            many => {
                joined = many.iter().flat_map(|piece| piece.iter().copied()).collect::<Vec<_>>();
                &joined
            }
        };
        let mut at = 0;
        // All are whole; only at the end a piece may be missing that found no place among
        // the slices of one write.
        while let Ok(Step::Frame(frame, used)) = framing::next(&records[at..], u32::MAX, None) {
            let mut sink = self.line.sink(&mut self.tx);
            let room = if frame[0] == 0 { sink.begin_hello(used) } else { sink.begin(used) };
            if !room {
                break;
            }
            sink.put(&records[at..at + used]);
            at += used;
        }
        if at > 0 { Ok(at) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    /// Who waits until everything is acknowledged, if it is.
    fn take_delivered(&mut self) -> Option<Waker> {
        if self.line.is_idle() { self.delivered.take() } else { None }
    }
}
