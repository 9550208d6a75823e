//! Two lines and nothing above them, with every fault that a wire can have: what arrives of a
//! session is what was sent in it, once, in order, unaltered; and once the faults stop,
//! everything arrives.

use core::hash::Hasher;

use alloc::vec::Vec;

use super::{LineReport, Trace};
use crate::proto::{Frame, Hello, Instant, LINE_PACKET_MIN, LineConfig, LinkKind, WINDOW_MAX, varint};
use crate::testing::{Faults, FaultyLine, LineEnd, Rng};

/// Without faults, everything that waits has arrived after this time.
const BOUND_US: u64 = 20_000_000;
const DEAD_MS: u32 = 2000;

/// What stands above a line: it says hello, and then numbers.
struct Talker {
    end: LineEnd,
    nonce: u64,
    peer: u64,
    hello_due: bool,
    up: bool,
    config: LineConfig,
    boot: u64,
    /// Of this session.
    said: u32,
    heard: u32,
    /// Numbers that it still has to say, in whatever session.
    left: u32,
    /// It has announced a silence of so many milliseconds, and falls silent when that is heard.
    announced: Option<u32>,
    /// Notices of this session.
    notices: u32,
    /// It does nothing before, in microseconds, and hears nothing.
    asleep_until: u64,
}

impl Talker {
    fn new(config: LineConfig, rng: &mut Rng, left: u32) -> Self {
        let end = LineEnd::new(config, Instant::ZERO);
        Self {
            end,
            nonce: rng.next(),
            peer: 0,
            hello_due: true,
            up: false,
            config,
            boot: 1,
            said: 0,
            heard: 0,
            left,
            announced: None,
            notices: 0,
            asleep_until: 0,
        }
    }

    fn restart(&mut self, now: Instant, rng: &mut Rng) {
        self.end.restart(now);
        *self = Self { end: self.end.clone(), boot: self.boot + 1, ..Self::new(self.config, rng, self.left) };
    }

    fn hello(&self) -> Vec<u8> {
        let hello = Hello {
            oldest: 1,
            newest: 1,
            crc: false,
            kind: LinkKind::Peer,
            adopts: false,
            bodies: false,
            window: self.config.window,
            packet: u32::from(self.config.packet),
            circuits: 1,
            dead_ms: 1000,
            hear_ms: 250,
            nonce: self.nonce,
            echo: self.peer,
            boot: self.boot,
            uid: self.nonce,
            name: "talker",
        };
        let mut frame = [0; 128];
        let len = Frame::Hello(hello).write(&mut frame).expect("it fits");
        record(&frame[..len])
    }

    /// Hello, and as many numbers as there is room for.
    fn talk(&mut self, rng: &mut Rng, most: usize) {
        if self.hello_due && self.end.put(&self.hello(), true) {
            self.hello_due = false;
        }
        while self.up && !self.hello_due && self.left > 0 {
            // Records of one packet and of many to a packet.
            let len = if rng.one_in(3) { most } else { most.min(20 + rng.below(20)) };
            if !self.end.put(&record(&said(self.nonce, self.said, len)), false) {
                break;
            }
            self.said += 1;
            self.left -= 1;
        }
    }

    /// Says that it may be silent for up to five seconds, which is more than the dead-time.
    fn announce(&mut self, rng: &mut Rng) {
        let millis = 1 + rng.below(5000) as u32;
        let mut frame = [0; 8];
        let len = Frame::Quiet(millis).write(&mut frame).expect("it fits");
        if self.up && self.announced.is_none() && self.end.put(&record(&frame[..len]), false) {
            self.notices += 1;
            self.announced = Some(millis);
        }
    }

    /// Falls silent once that is heard, for no longer than was said: whether it is.
    fn sleeps(&mut self, now: u64, report: &mut LineReport) -> bool {
        if self.announced.is_some() && self.end.line.is_quiet_heard(self.notices) {
            let millis = self.announced.take().unwrap_or_default();
            self.asleep_until = now + u64::from(millis) * 1000;
            report.silences += 1;
        }
        now < self.asleep_until
    }

    /// Takes what has arrived: `false` when the session is over.
    fn listen(&mut self, bytes: &[u8]) -> bool {
        let mut input = bytes;
        loop {
            let frame = match self.end.next(&mut input) {
                Ok(None) => return true,
                Ok(Some(frame)) => frame,
                Err(fault) => panic!("an honest peer was blamed: {fault}"),
            };
            if let Ok(Frame::Hello(hello)) = Frame::parse(frame) {
                if self.up {
                    return false;
                }
                self.hello_due |= self.peer != hello.nonce;
                self.peer = hello.nonce;
                self.up = hello.echo == self.nonce;
            } else if let Ok(Frame::Quiet(_)) = Frame::parse(frame) {
                assert!(self.up, "a frame outside of any session");
            } else {
                assert!(self.up, "a frame outside of any session");
                assert!(frame == said(self.peer, self.heard, frame.len()), "number {} altered", self.heard);
                self.heard += 1;
            }
        }
    }
}

/// A number, by whom and in which session it was said, and a pattern.
fn said(nonce: u64, number: u32, len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = [&[1][..], &number.to_le_bytes(), &nonce.to_le_bytes()].concat();
    bytes.extend(
        (13..len.max(13)).map(|i| if number.is_multiple_of(3) { 0 } else { (number as usize * 7 + i) as u8 }),
    );
    bytes
}

fn record(frame: &[u8]) -> Vec<u8> {
    let mut prefix = [0; varint::MAX_LEN];
    let n = varint::put(&mut prefix, 0, frame.len() as u32);
    [&prefix[..n], frame].concat()
}

/// Faults by the seed, so that they meet in every combination.
pub(super) fn faults(rng: &mut Rng) -> Faults {
    let mut rate = |once_in: usize| if rng.one_in(3) { (once_in / 4 + rng.below(once_in)) as u32 } else { 0 };
    Faults {
        flip: rate(2000),
        burst: rate(4000),
        lose: rate(4000),
        insert: rate(4000),
        duplicate: rate(6000),
        truncate: rate(6000),
        stall: rate(20_000),
        stall_us: 700_000,
        deaf: rate(20_000),
        deaf_us: 3_000_000,
        ..Faults::default()
    }
}

/// Runs one seed; see [`super::run_line`].
pub(super) fn run(seed: u64) -> LineReport {
    let mut rng = Rng::new(seed);
    let (mut trace, mut report) = (Trace::new(), LineReport::default());
    let mut wires = FaultyLine::new(faults(&mut rng), rng.next());
    let (byte_ns, latency_us) = ([0, 86_806, 10_000][rng.below(3)], rng.below(20_000) as u64);
    for wire in &mut wires.wires {
        (wire.byte_ns, wire.latency_us) = (byte_ns, latency_us);
    }
    let restarts = rng.one_in(4);
    // With dice of their own, so that seeds without them keep their stories.
    let mut dice = Rng::new(!seed);
    let silences = dice.one_in(3);
    if dice.one_in(6) {
        for wire in &mut wires.wires {
            (wire.faults.unplug, wire.faults.unplug_us) = (10_000, 1_500_000);
        }
    }
    let is_clean = !restarts && wires.wires.iter().all(|wire| wire.faults == Faults::default());
    let talker = |rng: &mut Rng| {
        let packet = LINE_PACKET_MIN + rng.below(200) as u16;
        let window = 1 + rng.below(usize::from(WINDOW_MAX)) as u8;
        let config = LineConfig { dead_ms: DEAD_MS, ..LineConfig::uart(115_200, 20, packet, window) };
        let left = 20 + rng.below(60) as u32;
        Talker::new(config, rng, left)
    };
    let mut ends = [talker(&mut rng), talker(&mut rng)];
    let most = usize::from(ends[0].config.packet.min(ends[1].config.packet)) - 2;
    if rng.one_in(3) {
        wires.wires[0].push(Instant::ZERO, b"boot: flash ok, 3 tests passed\r\nlogin: ");
    }

    let (mut now, mut calm_since, steps) = (0, None, 100 + rng.below(200));
    for step in 0.. {
        now += 200 + rng.below(8000) as u64;
        let time = Instant::from_micros(now);
        if step == steps {
            wires.heal();
            calm_since = Some(now);
        }
        if restarts && step < steps && rng.one_in(100) {
            ends[rng.below(2)].restart(time, &mut rng);
        }
        for (n, end) in ends.iter_mut().enumerate() {
            let bytes = wires.wires[1 - n].pull(time);
            if silences && step < steps && dice.one_in(100) {
                end.announce(&mut dice);
            }
            if end.sleeps(now, &mut report) {
                continue;
            }
            trace.write_u64(now);
            trace.write(&bytes);
            report.bytes += bytes.len() as u64;
            let before = end.heard;
            let lost = end.end.tick(time).is_err();
            let alive = end.listen(&bytes);
            report.heard += end.heard - before;
            if lost || !alive {
                assert!(calm_since.is_none_or(|since| now < since + BOUND_US / 2), "lost without a fault");
                assert!(!is_clean, "lost where only silences were announced");
                report.lost += 1;
                end.restart(time, &mut rng);
            }
            end.talk(&mut rng, most);
            // A UART with a short queue of its own, unless bytes take no time.
            let free = wires.wires[n].free_at().as_micros();
            let room = ((now + 1000).saturating_sub(free) * 1000).checked_div(byte_ns);
            let bytes = end.end.drain(room.map_or(usize::MAX, |room| room as usize));
            wires.wires[n].push(time, &bytes);
        }
        if let Some(since) = calm_since {
            let over = ends.iter().all(|end| end.left == 0 && end.up && end.end.line.is_idle());
            let told = [0, 1].iter().all(|&n| ends[n].heard == ends[1 - n].said);
            if over && told {
                break;
            }
            assert!(
                now < since + BOUND_US,
                "no progress long after the last fault: {:?}",
                ends.map(|end| end.end.line)
            );
        }
    }
    report.faults = wires.wires.iter().map(|wire| wire.happened.faults()).sum();
    report.resent = ends.iter().map(|end| u64::from(end.end.line.counts().resent)).sum();
    report.trace = trace.finish();
    report
}
