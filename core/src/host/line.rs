//! A lossy line under a link: records on the link's side, packets on the port's.
//!
//! To the link it is a stream like any other, so that nothing above knows of lines. Whoever
//! writes to it fills the line's window and waits when that is full; the link's reading
//! thread reads the port and takes out of it what the line lets pass. A thread of its own
//! writes packets, repeats them, and keeps the line's time.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::task::Waker;
use core::time::Duration;
use std::io::{self, IoSlice};
use std::time::Instant;

use super::error::LinkError;
use super::link::LinkCell;
use super::stream::{BlockingStream, Stream};
use super::sync::{self, Condvar, Mutex, MutexGuard, PoisonError};
use crate::proto::framing::{self, Step};
use crate::proto::{self, Fault, Line, LineConfig, Sink, varint};

/// Bytes read from the port, or written to it, at a time.
const CHUNK: usize = 1024;
/// How long a write to a port that takes nothing may last, so that the line's time goes on.
const SLICE: Duration = Duration::from_millis(50);
/// How long what is still to be said may take when the link is down: the reason why, and the
/// acknowledgement of the peer's goodbye.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// An acknowledgement that waits for company is due within this time.
const ACK_DELAY: Duration = Duration::from_millis(10);

/// A line between a link and a port.
pub(crate) struct LineStream {
    port: Box<dyn BlockingStream>,
    epoch: Instant,
    /// A leaf: no other lock is taken under it.
    state: Mutex<State>,
    /// There may be room, something to write, or an end: for the line's own thread, and for
    /// the one that waits for room.
    changed: Condvar,
    /// Held by whoever reads.
    input: Mutex<Input>,
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

/// What was read and is not with the link yet.
struct Input {
    raw: Box<[u8]>,
    records: Vec<u8>,
    /// So much of the records was handed on.
    at: usize,
}

impl LineStream {
    pub(crate) fn new(port: Box<dyn BlockingStream>, config: LineConfig) -> Arc<Self> {
        let state = State {
            line: Line::new(config),
            rx: vec![0; config.rx_len()],
            tx: vec![0; config.tx_len()],
            end: End::No,
            writes: false,
            fault: None,
            delivered: None,
            quiet: Vec::new(),
        };
        let input = Input { raw: vec![0; CHUNK].into(), records: Vec::new(), at: 0 };
        Arc::new(Self {
            port,
            epoch: sync::now(),
            state: Mutex::new(state),
            changed: Condvar::new(),
            input: Mutex::new(input),
        })
    }

    pub(crate) fn close_port(&self) {
        self.port.close();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_input(&self) -> MutexGuard<'_, Input> {
        self.input.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> proto::Instant {
        proto::Instant::ZERO + sync::now().saturating_duration_since(self.epoch)
    }

    /// Waits until something has changed, or until then.
    fn wait<'a>(&self, state: MutexGuard<'a, State>, until: proto::Instant) -> MutexGuard<'a, State> {
        let left = until.since(self.now());
        if left.is_zero() {
            return state;
        }
        // The end of time does not fit into a timeout of the system.
        let left = left.min(Duration::from_secs(3600));
        self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Writes packets and keeps the line's time until the link is down, and then the last
    /// words: the work of a thread.
    pub(crate) fn run(&self, link: &LinkCell) {
        let mut out = vec![0; CHUNK];
        // What the port has not taken of what was drained.
        let (mut done, mut len) = (0, 0);
        let mut closed_at = None;
        loop {
            if done < len {
                match self.port.write(&[IoSlice::new(&out[done..len])], SLICE) {
                    Ok(n) if n > 0 => done += n,
                    Err(error) if is_pause(&error) => {}
                    ended => {
                        link.io_ended(&ended);
                        break;
                    }
                }
            }
            let mut state = self.lock();
            state.writes = false;
            let now = self.now();
            let mut ahead = now;
            if state.end == End::Closed {
                let since = *closed_at.get_or_insert(now);
                if now.since(since) >= LAST_WORDS {
                    break;
                }
                ahead = now + ACK_DELAY;
            } else if let Err(fault) = state.line.tick(now) {
                state.fault = Some(fault);
                drop(state);
                link.fail(LinkError::Fault(fault));
                continue;
            }
            if done == len {
                let State { line, tx, .. } = &mut *state;
                len = line.drain(tx, &mut out, ahead);
                done = 0;
            }
            if done < len {
                state.writes = true;
                drop(state);
                // A hello may have waited until the one before it was written.
                self.changed.notify_all();
                continue;
            }
            if state.end == End::Closed {
                break;
            }
            if let Some(waker) = state.take_delivered() {
                drop(state);
                waker.wake();
                continue;
            }
            let until = state.line.deadline();
            drop(self.wait(state, until));
        }
        self.port.close();
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
        drop(state);
        // Room, an acknowledgement that is owed, or an end.
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

fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

impl Stream for Arc<LineStream> {
    fn try_write(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        let n = self.lock().put(bytes)?;
        self.changed.notify_all();
        Ok(n)
    }

    fn finish(&self) {
        let mut state = self.lock();
        if state.end == End::No {
            state.end = End::Finished;
        }
    }

    fn close(&self) {
        let mut state = self.lock();
        state.end = End::Closed;
        let hangs = state.writes && !self.port.keeps_limits();
        let quiet = core::mem::take(&mut state.quiet);
        drop(state);
        // The drop of a waker is foreign code: not under the lock. The link tells its end.
        drop(quiet);
        self.changed.notify_all();
        if hangs {
            // The thread that would close it may be in this very write for ever.
            self.port.close();
        }
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

impl BlockingStream for Arc<LineStream> {
    fn read(&self, into: &mut [u8], limit: Duration) -> io::Result<usize> {
        let mut input = self.lock_input();
        let Input { raw, records, at } = &mut *input;
        if *at == records.len() {
            records.clear();
            *at = 0;
            if self.has_ended() {
                return Ok(0);
            }
            let n = self.port.read(raw, limit)?;
            if n == 0 {
                return Ok(0);
            }
            self.take(&raw[..n], records);
        }
        let n = into.len().min(records.len() - *at);
        if n == 0 {
            // Nothing of it concerned the link.
            return if self.has_ended() { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        into[..n].copy_from_slice(&records[*at..*at + n]);
        *at += n;
        Ok(n)
    }

    /// A thread that waits for a value could not be called back from the port.
    fn keeps_limits(&self) -> bool {
        false
    }

    fn readable(&self, limit: Duration) -> io::Result<bool> {
        let pending = {
            let input = self.lock_input();
            input.at < input.records.len()
        };
        if pending || self.has_ended() { Ok(true) } else { self.port.readable(limit) }
    }

    fn write(&self, bytes: &[IoSlice<'_>], limit: Duration) -> io::Result<usize> {
        let until = self.now() + limit;
        let mut state = self.lock();
        loop {
            match state.put(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.now() < until => {
                    state = self.wait(state, until);
                }
                Ok(n) => {
                    drop(state);
                    self.changed.notify_all();
                    return Ok(n);
                }
                result => return result,
            }
        }
    }
}
