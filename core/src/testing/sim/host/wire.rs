//! A stream between two nodes: bytes come late and in pieces, stop, or are cut off.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io::{self, IoSlice};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::host::sync;
use crate::host::transport::{Alarm, TaskStream};
use crate::testing::Rng;

/// One direction.
#[derive(Default)]
struct Way {
    /// When they are there, and the bytes.
    pieces: VecDeque<(Instant, Vec<u8>)>,
    held: usize,
    /// Who writes has said that this was all.
    is_finished: bool,
    /// Who reads does not any more.
    is_deaf: bool,
    /// Nothing arrives before.
    not_before: Option<Instant>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

struct Shared {
    ways: [Way; 2],
    is_cut: bool,
    latency: Duration,
    /// Bytes under way in one direction; who writes more waits.
    capacity: usize,
    rng: Rng,
    /// Of everything that has arrived, and where it was cut into pieces.
    trace: u64,
}

/// A stream; clones are the same one.
#[derive(Clone)]
pub(super) struct Wire(Arc<Mutex<Shared>>);

/// What a node's task reads and writes.
pub(super) struct End {
    wire: Wire,
    me: usize,
    alarm: Option<Alarm>,
}

impl Wire {
    /// A stream, and its two ends.
    pub(super) fn new(mut rng: Rng) -> (Self, [End; 2]) {
        let latency = Duration::from_micros(rng.below(8_000) as u64);
        let capacity = [200, 700, 5_000, 64 * 1024][rng.below(4)];
        let ways = [Way::default(), Way::default()];
        let shared = Shared { ways, is_cut: false, latency, capacity, rng, trace: 0 };
        let wire = Self(Arc::new(Mutex::new(shared)));
        let end = |me| End { wire: wire.clone(), me, alarm: None };
        let ends = [end(0), end(1)];
        (wire, ends)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Both sides find it broken, and what was under way is lost.
    pub(super) fn cut(&self) {
        let mut shared = self.lock();
        shared.is_cut = true;
        let mut wakers = Vec::new();
        for way in &mut shared.ways {
            way.pieces.clear();
            wakers.extend(way.reader.take());
            wakers.extend(way.writer.take());
        }
        drop(shared);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// For so long nothing arrives in this direction; then all that was written meanwhile does.
    pub(super) fn stall(&self, way: usize, time: Duration) {
        let until = sync::now() + time;
        let mut shared = self.lock();
        let way = &mut shared.ways[way];
        way.not_before = Some(until);
        for (at, _) in &mut way.pieces {
            *at = until.max(*at);
        }
    }

    /// Differs between two courses of events.
    pub(super) fn trace(&self) -> u64 {
        self.lock().trace
    }
}

impl TaskStream for End {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let now = sync::now();
        let mut shared = self.wire.lock();
        let Shared { ways, is_cut, trace, .. } = &mut *shared;
        if *is_cut {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let way = &mut ways[1 - self.me];
        if let Some((at, piece)) = way.pieces.front_mut() {
            if *at > now {
                let at = *at;
                way.reader = Some(cx.waker().clone());
                drop(shared);
                // Whoever has to wait for a moment says so to the clock.
                let alarm = self.alarm.insert(Alarm::at(at));
                return Pin::new(alarm).poll(cx).map(|()| Err(io::ErrorKind::Interrupted.into()));
            }
            let n = piece.len().min(into.len());
            into[..n].copy_from_slice(&piece[..n]);
            piece.drain(..n);
            if piece.is_empty() {
                way.pieces.pop_front();
            }
            way.held -= n;
            let sum = into[..n]
                .iter()
                .fold(*trace, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
            *trace = sum.wrapping_add(n as u64);
            let writer = way.writer.take();
            drop(shared);
            if let Some(writer) = writer {
                writer.wake();
            }
            return Poll::Ready(Ok(n));
        }
        if way.is_finished {
            return Poll::Ready(Ok(0));
        }
        way.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let now = sync::now();
        let mut shared = self.wire.lock();
        let Shared { ways, is_cut, latency, capacity, rng, .. } = &mut *shared;
        let way = &mut ways[self.me];
        if *is_cut || way.is_deaf || way.is_finished {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = capacity.saturating_sub(way.held);
        if room == 0 {
            way.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        // Not always all that there is room for.
        let most = if rng.one_in(3) { 1 + rng.below(room) } else { room };
        let piece: Vec<u8> = bytes.iter().flat_map(|part| part.iter().copied()).take(most).collect();
        let n = piece.len();
        let at = now + *latency;
        let at = way.not_before.map_or(at, |not_before| at.max(not_before));
        way.held += n;
        way.pieces.push_back((at, piece));
        let reader = way.reader.take();
        drop(shared);
        if let Some(reader) = reader {
            reader.wake();
        }
        Poll::Ready(Ok(n))
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        Poll::Ready(Ok(()))
    }
}

impl End {
    fn finish(&self) {
        let mut shared = self.wire.lock();
        let way = &mut shared.ways[self.me];
        // Who reads hears it once.
        let reader = if core::mem::replace(&mut way.is_finished, true) { None } else { way.reader.take() };
        drop(shared);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.finish();
        let mut shared = self.wire.lock();
        let way = &mut shared.ways[1 - self.me];
        way.is_deaf = true;
        let writer = way.writer.take();
        drop(shared);
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}
