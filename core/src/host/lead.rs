//! Who reads a blocking stream: the thread that waits for its bytes, or the driver.
//!
//! A thread that waits for this link alone takes the reader and reads in person (it
//! leads): a round trip then has no hand-over between threads. While threads lead, the
//! driver holds back and looks every few milliseconds whether one still does; when none
//! does it reads itself, and wakes whom the bytes concern.

use alloc::sync::Arc;
use core::time::Duration;
use std::io;
use std::time::Instant;

use super::input::Reader;
use super::lane;
use super::link::{Io, LinkCell};
use super::parker::{Parker, unparker};
use super::sync::{self, Ordering, TryLockError};

/// How long a read may last before its thread looks around.
const SLICE: Duration = Duration::from_millis(50);
/// So many reads of large messages that pass through may go on in one write.
const GATHER_READS: usize = 4;
/// How long nobody may read after a leader has left.
const GRACE: Duration = Duration::from_millis(2);
/// Two flushes closer than this belong to one stream of messages.
const STREAM_GAP: Duration = Duration::from_millis(1);
/// So many flushes of a stream go at once; later ones gather more and more.
const STREAM_EAGER: u32 = 4;
/// The first time to gather, and the longest.
const GATHER_MIN: Duration = Duration::from_micros(50);
const GATHER_MAX: Duration = Duration::from_micros(800);

/// How long a stream of small messages has been going on.
///
/// Every flush of a steady stream costs two context switches, and gains nothing but a
/// little latency for messages that others follow anyway. So the flusher lets more gather
/// the longer the stream lasts. A lone message, a short burst, and the last words of a
/// thread that goes on to wait are not delayed.
#[derive(Default)]
struct Streak {
    flushes: u32,
    last: Option<Instant>,
}

impl Streak {
    /// Called before a flush.
    fn gather(&mut self, link: &LinkCell) {
        {
            let state = link.lock();
            if !state.output.has_flush_request() || state.output.is_stuck() {
                return;
            }
        }
        let now = sync::now();
        let goes_on = self.last.is_some_and(|last| now - last < STREAM_GAP);
        self.flushes = if goes_on { self.flushes.saturating_add(1) } else { 0 };
        if let Some(steps) = self.flushes.checked_sub(STREAM_EAGER) {
            let until = now + (GATHER_MIN * (1 << steps.min(4))).min(GATHER_MAX);
            // Unparked early only for something that cannot wait.
            while !link.is_down() && link.lock().output.may_gather() {
                if sync::now() >= until {
                    break;
                }
                sync::park_until(until);
            }
        }
        self.last = Some(sync::now());
    }
}

impl LinkCell {
    /// Reads until this thread is notified, the link is down, or `deadline`. `false` if
    /// somebody else reads, or the link is not one that blocks.
    pub(crate) fn lead(this: &Arc<Self>, parker: &Arc<Parker>, deadline: Option<Instant>) -> bool {
        let Io::Blocking(stream) = &this.io else { return false };
        if !stream.keeps_limits() {
            this.flush_before_wait();
            return false;
        }
        let mut reader = match this.reader.try_lock() {
            Ok(reader) => reader,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                // The driver is reading: it steps back once it has delivered.
                this.led.store(true, Ordering::Relaxed);
                this.flush_before_wait();
                return false;
            }
        };
        this.led.store(true, Ordering::Relaxed);
        this.flush_before_wait();
        parker.set_leads(this);
        let mut acked = true;
        loop {
            if this.is_down() || !parker.begin_lead() {
                break;
            }
            if !core::mem::replace(&mut acked, true) {
                this.flush_before_wait();
            }
            let left = deadline.map_or(SLICE, |at| at.saturating_duration_since(sync::now()).min(SLICE));
            if left.is_zero() {
                parker.end_lead();
                break;
            }
            let result = reader.read(&**stream, left);
            parker.end_lead();
            if !this.digest(result, &mut reader, &mut acked) {
                break;
            }
        }
        parker.take_notified();
        true
    }

    /// Reads for as long as the link lives, except while others do.
    pub(crate) fn drive(&self) {
        let Io::Blocking(stream) = &self.io else { return };
        // What comes is for other links, as far as one can see: nobody is likely to lead.
        let mut passes = false;
        while !self.is_down() {
            if self.led.swap(false, Ordering::Relaxed) {
                // Somebody leads now and then: looks again soon, at no cost to them.
                sync::nap(GRACE);
                continue;
            }
            // What leaders have left for later.
            self.flush_before_wait();
            // Watches without holding the reader, so that a thread that comes to wait leads
            // at once, without a hand-over; where none does, that is a system call for nothing.
            if !passes {
                match stream.readable(SLICE) {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(error) => return self.io_ended(&Err(error)),
                }
            }
            let mut reader = match self.reader.try_lock() {
                Ok(reader) => reader,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    self.led.store(true, Ordering::Relaxed);
                    continue;
                }
            };
            let mut acked = true;
            reader.gathers = true;
            let mut result = reader.read(&**stream, SLICE);
            let mut more = GATHER_READS;
            let goes_on = loop {
                more -= 1;
                let goes_on = self.digest(result, &mut reader, &mut acked);
                if !goes_on || more == 0 || !reader.has_gathered() {
                    break goes_on;
                }
                result = reader.try_read(&**stream);
            };
            reader.gathers = false;
            reader.pass_on(self);
            if !goes_on {
                return;
            }
            let held = core::mem::replace(&mut passes, reader.has_passed_on() && stream.keeps_limits());
            if held && self.led.load(Ordering::Relaxed) {
                // Whoever came to lead meanwhile waits to be told, and reads nothing: so this thread goes on.
                self.led.store(false, Ordering::Relaxed);
                passes = false;
            }
            if !acked {
                self.flush(self.lock());
            }
        }
    }

    /// Writes what others left, keeps the time, and ticks: the other thread of a link.
    pub(crate) fn attend(&self) {
        let Io::Blocking(stream) = &self.io else { return };
        {
            // Before the first look at what there is to do, so that no wake is too early.
            let mut state = self.lock();
            if state.down.is_none() {
                state.output.flusher = Some(unparker(sync::current()));
            }
        }
        let mut next_tick = sync::now();
        let mut stream_of = Streak::default();
        // For a value that was stored while its lane was closed.
        let mut look_at: Option<Instant> = None;
        while !self.is_down() {
            let now = sync::now();
            if now >= next_tick {
                self.tick();
                next_tick = now + self.tick_every();
            }
            stream_of.gather(self);
            let looks_again = lane::is_seen(&mut look_at, now);
            let stuck = {
                let mut state = self.lock();
                let (asked, again) = state.take_flush_request();
                let stuck = state.output.is_stuck();
                if again {
                    look_at = Some(sync::now() + lane::SEEN_AFTER);
                }
                if (asked || looks_again) && !stuck {
                    self.flush(state);
                }
                stuck
            };
            let until = self.leave_step(now).map_or(next_tick, |leave| leave.at.min(next_tick));
            if stuck {
                let left = until.saturating_duration_since(sync::now());
                let limit = left.max(Duration::from_millis(1));
                if let Err(error) = self.write_stuck(|bytes| stream.write(bytes, limit)) {
                    self.io_ended(&Err(error));
                }
                continue;
            }
            let idle = {
                let state = self.lock();
                !state.output.is_stuck() && !state.output.has_flush_request()
            };
            if idle {
                sync::park_until(look_at.map_or(until, |at| at.min(until)));
            }
        }
    }

    fn flush_before_wait(&self) {
        if self.left_over.load(Ordering::Relaxed) {
            self.left_over.store(false, Ordering::Relaxed);
            let state = self.lock();
            self.flush(state);
        }
    }

    /// Whether to go on reading. `acked` is false after it where an acknowledgement is left
    /// to this thread.
    fn digest(&self, result: io::Result<usize>, reader: &mut Reader, acked: &mut bool) -> bool {
        match result {
            Ok(n) if n > 0 => *acked = self.take_in(reader),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
                ) => {}
            ended => self.io_ended(&ended),
        }
        !self.is_down()
    }
}
