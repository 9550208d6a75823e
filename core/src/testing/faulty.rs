//! A line that loses, alters and delays bytes, by a seed: bytes and time in, bytes out.
//!
//! A virtual wire in simulations; a process between two ptys needs no more than this.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::Rng;
use crate::proto::Instant;

/// How often what happens to a byte: once in so many, 0 for never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a test names what it wants and leaves the rest at 0")]
pub struct Faults {
    /// A bit of it flips.
    pub flip: u32,
    /// It and up to 40 bytes behind it become noise.
    pub burst: u32,
    /// It and up to 20 bytes behind it are lost.
    pub lose: u32,
    /// Up to 60 bytes of noise come before it.
    pub insert: u32,
    /// Up to 300 bytes before it come once more.
    pub duplicate: u32,
    /// It, and whatever is written with it behind it, is lost.
    pub truncate: u32,
    /// The line stops for up to [`Faults::stall_us`], and loses nothing.
    pub stall: u32,
    /// The longest stall, in microseconds.
    pub stall_us: u32,
    /// Whatever is written is lost, for up to [`Faults::deaf_us`].
    pub deaf: u32,
    /// The longest such time, in microseconds.
    pub deaf_us: u32,
    /// The plug of its writer is pulled, for up to [`Faults::unplug_us`]: what is under way is lost too.
    pub unplug: u32,
    /// The longest such time, in microseconds.
    pub unplug_us: u32,
}

/// How often what has happened, and to how many bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Happened {
    /// Bytes that were written.
    pub bytes: u64,
    /// Bits that flipped.
    pub flips: u64,
    /// Bursts of noise.
    pub bursts: u64,
    /// Gaps.
    pub losses: u64,
    /// Noise from nowhere.
    pub insertions: u64,
    /// Bytes that came once more, in one piece.
    pub duplicates: u64,
    /// Writes of which the end was lost.
    pub truncations: u64,
    /// Stalls.
    pub stalls: u64,
    /// Times in which everything was lost.
    pub deaf: u64,
    /// Times in which the plug was out.
    pub unplugged: u64,
}

impl Happened {
    /// All faults.
    pub const fn faults(&self) -> u64 {
        let bytes = self.flips + self.bursts + self.losses + self.insertions + self.duplicates;
        bytes + self.truncations + self.stalls + self.deaf + self.unplugged
    }
}

/// One direction of a line.
#[derive(Debug, Clone)]
pub struct FaultyWire {
    /// What goes wrong.
    pub faults: Faults,
    /// How long a byte takes, in nanoseconds; 0: no time.
    pub byte_ns: u64,
    /// How long after that it arrives, in microseconds.
    pub latency_us: u64,
    /// Nothing arrives before.
    pub stalled_until: Instant,
    /// Whatever is written before is lost.
    pub deaf_until: Instant,
    /// The plug is out until then: whatever is written before is lost.
    pub unplugged_until: Instant,
    /// Bytes do not come once more where these are among them, one behind the other; with none all may.
    pub never_again: &'static [u8],
    /// What has happened.
    pub happened: Happened,
    rng: Rng,
    free_ns: u64,
    queue: VecDeque<(u64, u8)>,
    /// Bytes written lately, which may come again.
    recent: VecDeque<u8>,
}

impl FaultyWire {
    /// A wire without latency, on which a byte takes no time.
    pub fn new(faults: Faults, seed: u64) -> Self {
        Self {
            faults,
            byte_ns: 0,
            latency_us: 0,
            stalled_until: Instant::ZERO,
            deaf_until: Instant::ZERO,
            unplugged_until: Instant::ZERO,
            never_again: &[],
            happened: Happened::default(),
            rng: Rng::new(seed),
            free_ns: 0,
            queue: VecDeque::new(),
            recent: VecDeque::new(),
        }
    }

    /// Bytes are written.
    pub fn push(&mut self, now: Instant, bytes: &[u8]) {
        let (mut noise, mut lost) = (0, 0);
        for &byte in bytes {
            let faults = self.faults;
            self.happened.bytes += 1;
            if self.happens(faults.stall) {
                self.happened.stalls += 1;
                let until = now + micros(self.rng.below(faults.stall_us as usize));
                self.stalled_until = self.stalled_until.max(until);
            }
            if self.happens(faults.deaf) {
                self.happened.deaf += 1;
                let until = now + micros(self.rng.below(faults.deaf_us as usize));
                self.deaf_until = self.deaf_until.max(until);
            }
            if self.happens(faults.unplug) {
                self.happened.unplugged += 1;
                let until = now + micros(self.rng.below(faults.unplug_us as usize));
                self.unplugged_until = self.unplugged_until.max(until);
                self.cut();
            }
            if self.happens(faults.insert) {
                self.happened.insertions += 1;
                for _ in 0..1 + self.rng.below(60) {
                    let byte = self.noise();
                    self.carry(now, byte);
                }
            }
            if self.happens(faults.duplicate) {
                let n = self.recent.len().min(1 + self.rng.below(300));
                let again: Vec<u8> = self.recent.iter().skip(self.recent.len() - n).copied().collect();
                let spared = self.never_again;
                if spared.is_empty() || again.windows(spared.len()).all(|bytes| bytes != spared) {
                    self.happened.duplicates += 1;
                    again.into_iter().for_each(|byte| self.carry(now, byte));
                }
            }
            if self.happens(faults.truncate) {
                self.happened.truncations += 1;
                return;
            }
            if self.happens(faults.burst) {
                self.happened.bursts += 1;
                noise = 1 + self.rng.below(40);
            }
            if self.happens(faults.lose) {
                self.happened.losses += 1;
                lost = 1 + self.rng.below(20);
            }
            let mut byte = byte;
            if noise > 0 {
                noise -= 1;
                byte = self.noise();
            }
            if self.happens(faults.flip) {
                self.happened.flips += 1;
                byte ^= 1 << self.rng.below(8);
            }
            if lost > 0 {
                lost -= 1;
                continue;
            }
            if now < self.deaf_until.max(self.unplugged_until) {
                continue;
            }
            if faults.duplicate > 0 {
                self.recent.push_back(byte);
                if self.recent.len() > 300 {
                    self.recent.pop_front();
                }
            }
            self.carry(now, byte);
        }
    }

    /// Bytes that have arrived.
    pub fn pull(&mut self, now: Instant) -> Vec<u8> {
        let mut bytes = Vec::new();
        if now >= self.stalled_until {
            while let Some(&(_, byte)) = self.queue.front().filter(|(at, _)| *at <= now.as_micros()) {
                bytes.push(byte);
                self.queue.pop_front();
            }
        }
        bytes
    }

    /// When the next byte arrives.
    pub fn deadline(&self) -> Instant {
        self.queue.front().map_or(Instant::NEVER, |&(at, _)| Instant::from_micros(at).max(self.stalled_until))
    }

    /// When all that was written has left: a UART takes more then.
    pub fn free_at(&self) -> Instant {
        Instant::from_micros(self.free_ns.div_ceil(1000))
    }

    /// Nothing goes wrong any more.
    pub fn heal(&mut self) {
        self.faults = Faults::default();
        self.stalled_until = Instant::ZERO;
        self.deaf_until = Instant::ZERO;
        self.unplugged_until = Instant::ZERO;
    }

    /// The plug is pulled: what is under way is lost.
    pub fn cut(&mut self) {
        self.queue.clear();
    }

    fn carry(&mut self, now: Instant, byte: u8) {
        self.free_ns = self.free_ns.max(now.as_micros() * 1000) + self.byte_ns;
        self.queue.push_back((self.free_ns.div_ceil(1000) + self.latency_us, byte));
    }

    fn happens(&mut self, rate: u32) -> bool {
        rate > 0 && self.rng.one_in(rate as usize)
    }

    /// A disturbed line gives more of these than of others.
    fn noise(&mut self) -> u8 {
        match self.rng.below(6) {
            0 => 0,
            1 => 0xff,
            _ => self.rng.next() as u8,
        }
    }
}

/// Both directions: wire 0 comes from end 0.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "a line is its two wires")]
pub struct FaultyLine {
    /// The wires.
    pub wires: [FaultyWire; 2],
}

impl FaultyLine {
    /// The same faults on both wires, at other moments.
    pub fn new(faults: Faults, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        Self { wires: [(); 2].map(|()| FaultyWire::new(faults, rng.next())) }
    }

    /// Nothing goes wrong any more.
    pub fn heal(&mut self) {
        self.wires.iter_mut().for_each(FaultyWire::heal);
    }
}

fn micros(us: usize) -> core::time::Duration {
    core::time::Duration::from_micros(us as u64)
}
