//! A line whose port a thread writes and keeps the time of, and the link's reading thread reads.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::task::Waker;
use core::time::Duration;
use std::io::{self, IoSlice};

use super::{ACK_DELAY, CHUNK, End, LAST_WORDS, LineCell, State};
use crate::host::error::LinkError;
use crate::host::link::LinkCell;
use crate::host::stream::{BlockingStream, Stream};
use crate::host::sync::{Mutex, MutexGuard, PoisonError};
use crate::proto::{self, LineConfig};

/// How long a write to a port that takes nothing may last, so that the line's time goes on.
const SLICE: Duration = Duration::from_millis(50);

/// A line between a link and a port that blocks.
pub(crate) struct LineStream {
    line: Arc<LineCell>,
    port: Box<dyn BlockingStream>,
    /// Held by whoever reads.
    input: Mutex<Input>,
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
        let input = Input { raw: vec![0; CHUNK].into(), records: Vec::new(), at: 0 };
        Arc::new(Self { line: LineCell::new(config), port, input: Mutex::new(input) })
    }

    pub(crate) fn close_port(&self) {
        self.port.close();
    }

    fn lock_input(&self) -> MutexGuard<'_, Input> {
        self.input.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something has changed, or until then.
    fn wait<'a>(&self, state: MutexGuard<'a, State>, until: proto::Instant) -> MutexGuard<'a, State> {
        let left = until.since(self.line.now());
        if left.is_zero() {
            return state;
        }
        // The end of time does not fit into a timeout of the system.
        let left = left.min(Duration::from_secs(3600));
        self.line.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
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
            let mut state = self.line.lock();
            state.writes = false;
            let now = self.line.now();
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
                self.line.changed.notify_all();
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
}

fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

impl Stream for Arc<LineStream> {
    fn try_write(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        self.line.try_write(bytes)
    }

    fn finish(&self) {
        self.line.finish();
    }

    fn close(&self) {
        if self.line.end() && !self.port.keeps_limits() {
            // The thread that would close it may be in this very write for ever.
            self.port.close();
        }
    }

    fn explain(&self, error: LinkError) -> LinkError {
        self.line.explain(error)
    }

    fn is_quiet_heard(&self, notices: u32, waker: &Waker) -> Option<bool> {
        self.line.is_quiet_heard(notices, waker)
    }

    fn is_delivered(&self, waker: Option<&Waker>) -> bool {
        self.line.is_delivered(waker)
    }
}

impl BlockingStream for Arc<LineStream> {
    fn read(&self, into: &mut [u8], limit: Duration) -> io::Result<usize> {
        let mut input = self.lock_input();
        let Input { raw, records, at } = &mut *input;
        if *at == records.len() {
            records.clear();
            *at = 0;
            if self.line.has_ended() {
                return Ok(0);
            }
            let n = self.port.read(raw, limit)?;
            if n == 0 {
                return Ok(0);
            }
            self.line.take(&raw[..n], records);
        }
        let n = into.len().min(records.len() - *at);
        if n == 0 {
            // Nothing of it concerned the link.
            return if self.line.has_ended() { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
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
        if pending || self.line.has_ended() { Ok(true) } else { self.port.readable(limit) }
    }

    fn write(&self, bytes: &[IoSlice<'_>], limit: Duration) -> io::Result<usize> {
        let until = self.line.now() + limit;
        let mut state = self.line.lock();
        loop {
            match state.put(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.line.now() < until => {
                    state = self.wait(state, until);
                }
                Ok(n) => {
                    drop(state);
                    self.line.changed.notify_all();
                    return Ok(n);
                }
                result => return result,
            }
        }
    }
}
