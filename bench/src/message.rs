//! The small message, and the two ends that check it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::job::{Figures, Job};
use crate::machine;
use crate::stats::percentile;

/// Added to both fields, postcard encodes every message in exactly 16 bytes.
pub(crate) const WIDE: u64 = 1 << 52;
/// `seq` of the message that ends a stream.
const END: u64 = u64::MAX;
/// The clock is read once in so many messages.
const CLOCK_EVERY: u64 = 256;
/// Share of the messages, or of the time, before the first round trip that counts: one in so many.
const WARM_UP: u32 = 10;

/// Two words: what a small command or a reading weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, netchan::Message)]
pub(crate) struct Msg {
    pub(crate) seq: u64,
    pub(crate) value: u64,
}

impl Msg {
    pub(crate) fn nth(n: u64, base: u64) -> Self {
        Self { seq: base + n, value: base + (n ^ 0x55) }
    }

    pub(crate) fn end(count: u64) -> Self {
        Self { seq: END, value: count }
    }

    pub(crate) fn is_end(&self) -> bool {
        self.seq == END
    }
}

/// Whether more is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    More,
    End,
}

/// Makes the messages of a one-way stream and checks the receipt.
#[derive(Debug)]
pub(crate) struct Source {
    base: u64,
    count: u64,
    sum: u64,
    limit: u64,
    duration: Duration,
    started: Instant,
    cpu: Duration,
}

impl Source {
    /// Starts the clock: call when the connection stands.
    pub(crate) fn start(job: &Job) -> Self {
        Self {
            base: job.base,
            count: 0,
            sum: 0,
            limit: job.count(),
            duration: job.duration(),
            cpu: machine::cpu_time(),
            started: Instant::now(),
        }
    }

    /// The next message, until time is up.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Msg> {
        if self.count >= self.limit
            || (self.count.is_multiple_of(CLOCK_EVERY) && self.started.elapsed() >= self.duration)
        {
            return None;
        }
        let msg = Msg::nth(self.count, self.base);
        self.count += 1;
        self.sum = self.sum.wrapping_add(msg.value);
        Some(msg)
    }

    /// Ends the stream; goes out after the last message.
    pub(crate) fn end(&self) -> Msg {
        Msg::end(self.count)
    }

    /// Stops the clock with the receiver's receipt.
    pub(crate) fn finish(self, receipt: Msg) -> Result<Figures> {
        let seconds = self.started.elapsed().as_secs_f64();
        let cpu = machine::cpu_time() - self.cpu;
        ensure!(
            receipt == Msg { seq: self.count, value: self.sum },
            "sent {} messages with sum {}, the receiver counted {receipt:?}",
            self.count,
            self.sum
        );
        Ok(Figures::default()
            .with("messages", self.count as f64)
            .with("seconds", seconds)
            .with("cpu_ns", cpu.as_nanos() as f64))
    }
}

/// Counts, orders and adds up what a one-way stream brings.
#[derive(Debug)]
pub(crate) struct Tally {
    base: u64,
    count: u64,
    sum: u64,
    cpu: Duration,
}

impl Tally {
    /// Starts the CPU clock: call when the connection stands.
    pub(crate) fn start(job: &Job) -> Self {
        Self { base: job.base, count: 0, sum: 0, cpu: machine::cpu_time() }
    }

    #[inline]
    pub(crate) fn take(&mut self, msg: Msg) -> Result<Flow> {
        if msg.is_end() {
            ensure!(msg.value == self.count, "{} messages came of {}", self.count, msg.value);
            return Ok(Flow::End);
        }
        let expected = Msg::nth(self.count, self.base);
        ensure!(msg == expected, "{msg:?} came where {expected:?} was due");
        self.count += 1;
        self.sum = self.sum.wrapping_add(msg.value);
        Ok(Flow::More)
    }

    /// What goes back to the sender.
    pub(crate) fn receipt(&self) -> Msg {
        Msg { seq: self.count, value: self.sum }
    }

    pub(crate) fn finish(self) -> Figures {
        let cpu = machine::cpu_time() - self.cpu;
        Figures::default().with("messages", self.count as f64).with("cpu_ns", cpu.as_nanos() as f64)
    }
}

/// Makes the messages of round trips and times them.
#[derive(Debug)]
pub(crate) struct Trips {
    base: u64,
    count: u64,
    limit: u64,
    duration: Duration,
    started: Instant,
    last: Instant,
    samples: Vec<u32>,
}

impl Trips {
    pub(crate) fn start(job: &Job) -> Self {
        let now = Instant::now();
        Self {
            base: job.base,
            count: 0,
            limit: job.count(),
            duration: job.duration(),
            started: now,
            last: now,
            samples: Vec::with_capacity(1 << 18),
        }
    }

    /// The next message, until time is up.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Msg> {
        if self.count >= self.limit || self.last - self.started >= self.duration {
            return None;
        }
        Some(Msg::nth(self.count, self.base))
    }

    /// Takes the echo of the last message.
    #[inline]
    pub(crate) fn back(&mut self, echo: Msg) -> Result<()> {
        let now = Instant::now();
        let expected = Msg::nth(self.count, self.base);
        ensure!(echo == expected, "{echo:?} came back for {expected:?}");
        if self.last - self.started >= self.duration / WARM_UP || self.limit != u64::MAX {
            let nanos = (now - self.last).as_nanos();
            self.samples.push(u32::try_from(nanos).unwrap_or(u32::MAX));
        }
        self.last = now;
        self.count += 1;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Figures> {
        ensure!(
            !self.samples.is_empty(),
            "no round trip was done in the given time ({} in warm-up)",
            self.count
        );
        let p50 = percentile(&mut self.samples, 0.5).unwrap_or(f64::NAN);
        let p99 = percentile(&mut self.samples, 0.99).unwrap_or(f64::NAN);
        Ok(Figures::default()
            .with("messages", self.count as f64)
            .with("p50_us", p50 / 1e3)
            .with("p99_us", p99 / 1e3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_message_is_sixteen_bytes_in_postcard() {
        for n in [0, 1, 127, 128, 1 << 20, 1 << 40] {
            let bytes = postcard::to_stdvec(&Msg::nth(n, WIDE)).expect("a Vec takes all");
            assert_eq!(bytes.len(), 16);
        }
    }
}
