//! The bulk message, and the two ends that check it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::job::{BLOCK_LEN, Figures, Job};
use crate::machine;
use crate::message::{Flow, Msg};

/// First word of the block that ends a stream.
const END: u64 = u64::MAX;
/// Length of that block.
const END_LEN: usize = 16;

/// When a stream of blocks ends.
#[derive(Debug)]
enum Until<'a> {
    Time(Instant, Duration),
    Flag(&'a AtomicBool),
}

/// Makes the blocks of a bulk stream and checks the receipt.
#[derive(Debug)]
pub(crate) struct Blocks<'a> {
    block: Vec<u8>,
    len: usize,
    count: u64,
    until: Until<'a>,
    started: Instant,
    cpu: Duration,
}

impl<'a> Blocks<'a> {
    /// Blocks for the job's time; starts the clock.
    pub(crate) fn start(job: &Job) -> Self {
        let now = Instant::now();
        Self::new(Until::Time(now, job.duration()), BLOCK_LEN)
    }

    /// Blocks until the flag is raised.
    pub(crate) fn until(flag: &'a AtomicBool) -> Self {
        Self::new(Until::Flag(flag), BLOCK_LEN)
    }

    fn new(until: Until<'a>, len: usize) -> Self {
        Self {
            block: (0..len).map(|n| n as u8).collect(),
            len,
            count: 0,
            until,
            started: Instant::now(),
            cpu: machine::cpu_time(),
        }
    }

    /// Blocks of another length, for a peer that cannot carry 64 KiB.
    pub(crate) fn with_len(mut self, len: usize) -> Self {
        self.block.truncate(len);
        self.len = len;
        self
    }

    /// The next block, until time is up.
    pub(crate) fn next(&mut self) -> Option<&[u8]> {
        let over = match &self.until {
            Until::Time(start, duration) => start.elapsed() >= *duration,
            Until::Flag(flag) => flag.load(Ordering::Relaxed),
        };
        if over {
            return None;
        }
        self.block[..8].copy_from_slice(&self.count.to_le_bytes());
        self.count += 1;
        Some(&self.block)
    }

    /// The block that ends the stream.
    pub(crate) fn end(&self) -> [u8; END_LEN] {
        let mut end = [0; END_LEN];
        end[..8].copy_from_slice(&END.to_le_bytes());
        end[8..].copy_from_slice(&self.count.to_le_bytes());
        end
    }

    /// What was sent, for a stream that counts at the sender.
    pub(crate) fn sent(&self) -> Figures {
        Figures::default()
            .with("bytes", (self.count * self.len as u64) as f64)
            .with("seconds", self.started.elapsed().as_secs_f64())
    }

    /// Stops the clock with the receiver's receipt.
    pub(crate) fn finish(self, receipt: Msg) -> Result<Figures> {
        let seconds = self.started.elapsed().as_secs_f64();
        let cpu = machine::cpu_time() - self.cpu;
        let bytes = self.count * self.len as u64;
        ensure!(
            receipt == Msg { seq: self.count, value: bytes },
            "sent {} blocks, {bytes} bytes; the receiver counted {receipt:?}",
            self.count
        );
        Ok(Figures::default()
            .with("bytes", bytes as f64)
            .with("seconds", seconds)
            .with("cpu_ns", cpu.as_nanos() as f64))
    }
}

/// Counts what a bulk stream brings, and checks order and length.
#[derive(Debug)]
pub(crate) struct BlockTally {
    count: u64,
    bytes: u64,
    len: usize,
    cpu: Duration,
}

impl BlockTally {
    pub(crate) fn start() -> Self {
        Self { count: 0, bytes: 0, len: BLOCK_LEN, cpu: machine::cpu_time() }
    }

    pub(crate) fn with_len(mut self, len: usize) -> Self {
        self.len = len;
        self
    }

    pub(crate) fn take(&mut self, block: &[u8]) -> Result<Flow> {
        let seq = word(block, 0)?;
        if seq == END && block.len() == END_LEN {
            let count = word(block, 8)?;
            ensure!(count == self.count, "{} blocks came of {count}", self.count);
            return Ok(Flow::End);
        }
        ensure!(
            seq == self.count && block.len() == self.len,
            "block {seq} of {} bytes came where {} of {} was due",
            block.len(),
            self.count,
            self.len
        );
        self.count += 1;
        self.bytes += block.len() as u64;
        Ok(Flow::More)
    }

    /// What goes back to the sender.
    pub(crate) fn receipt(&self) -> Msg {
        Msg { seq: self.count, value: self.bytes }
    }

    pub(crate) fn finish(self) -> Figures {
        let cpu = machine::cpu_time() - self.cpu;
        Figures::default().with("bytes", self.bytes as f64).with("cpu_ns", cpu.as_nanos() as f64)
    }
}

fn word(block: &[u8], at: usize) -> Result<u64> {
    let bytes =
        block.get(at..at + 8).with_context(|| format!("a block of {} bytes is too short", block.len()))?;
    Ok(u64::from_le_bytes(bytes.try_into().expect("eight bytes were taken above")))
}
