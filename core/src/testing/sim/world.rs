//! The nodes, the lines between them, and one step of time.

use core::hash::Hasher;

use super::ledger::check_accounts;
use super::line::{Line, Party};
use super::{Plan, Report, Trace, programs};
use crate::proto::{Instant, LineConfig, LinkConfig, varint};
use crate::testing::{Node, Pair, Policy, Port, Rng, Router, Stage, identity};

const DEAD_MS: u32 = 1000;
const HEAR_MS: u32 = 250;
const HELLO_MS: u32 = 1500;
/// A stall up to this long must go unnoticed.
const HARMLESS_US: u64 = 600_000;
/// Dead-time, a beat, latency and the length of steps: whoever waits is told by then.
const BOUND_US: u64 = 1_700_000;

pub(super) struct World {
    plan: Plan,
    rng: Rng,
    now: u64,
    /// When the faults stopped.
    healed_at: Option<u64>,
    nodes: [Node; 2],
    router: Option<Router>,
    lines: alloc::vec::Vec<Line>,
    trace: Trace,
    report: Report,
}

impl World {
    pub(super) fn new(plan: Plan, mut rng: Rng) -> Self {
        let now = Instant::ZERO;
        let node = |name, number, rng: &mut Rng| {
            let nonce = rng.next();
            let mut node = Node::new(config(&plan, name, number), nonce, now);
            node.port = port(&plan, name, number, nonce, now);
            node.policy = Policy::Hold;
            let most = if plan.large { 40_000 } else { 200 };
            node.window = 64 + rng.below(most) as u32;
            node.limit = node.window - 4;
            node
        };
        let nodes = [node("a", 1, &mut rng), node("b", 2, &mut rng)];
        let nonces = [rng.next(), rng.next()];
        let room = 64 + rng.below(if plan.large { 40_000 } else { 4000 });
        let router = plan.routed.then(|| {
            let mut router = Router::new(config(&plan, "r", 3), nonces, now);
            router.room = room;
            router.ports = nonces.map(|nonce| port(&plan, "r", 3, nonce, now));
            router
        });
        let ends = if plan.routed {
            alloc::vec![[Party::Node(0), Party::Router(0)], [Party::Router(1), Party::Node(1)]]
        } else {
            alloc::vec![[Party::Node(0), Party::Node(1)]]
        };
        let lossy = |line, rng: &mut Rng| match plan.lossy {
            Some(faults) => Line::lossy(line, faults, rng),
            None => line,
        };
        let lines = ends.into_iter().map(|ends| lossy(Line::new(ends), &mut rng)).collect();
        Self {
            plan,
            rng,
            now: 0,
            healed_at: None,
            nodes,
            router,
            lines,
            trace: Trace::new(),
            report: Report::default(),
        }
    }

    pub(super) fn report(&self) -> Report {
        Report { trace: self.trace.finish(), ..self.report }
    }

    /// Some time passes: programs act, bytes move, clocks are read.
    pub(super) fn step(&mut self, faults: bool) {
        self.now += 1_000 + self.rng.below(50_000) as u64;
        self.set_time();
        if faults {
            for n in 0..2 {
                programs::act(n, &mut self.nodes[n], &self.plan, &mut self.rng, &mut self.report);
            }
            for line in 0..self.lines.len() {
                self.disturb(line);
            }
        }
        self.write();
        for line in 0..self.lines.len() {
            for wire in 0..2 {
                self.deliver(line, wire);
            }
        }
        let now = Instant::from_micros(self.now);
        self.nodes.iter_mut().for_each(|node| node.tick(now));
        self.router.iter_mut().for_each(|router| router.tick(now));
        for line in 0..self.lines.len() {
            self.watch(line);
        }
        self.check();
    }

    /// Faults are over: every circuit that still can comes to its end, and every other has
    /// been told.
    pub(super) fn calm(&mut self) {
        self.healed_at = Some(self.now);
        self.lines.iter_mut().for_each(Line::heal);
        if self.plan.hostile {
            (0..self.lines.len()).for_each(|line| self.cut(line));
        }
        for round in 0..600 {
            for n in 0..2 {
                programs::wind_down(n, &mut self.nodes[n], &self.plan, &mut self.report);
            }
            self.step(false);
            let over = self.nodes.iter().all(|node| node.live().next().is_none());
            if over && self.is_quiet() && round > 20 {
                return;
            }
        }
        let left = self.nodes.iter().flat_map(|node| node.circuits.iter().filter(|c| c.stage != Stage::Over));
        let left: alloc::vec::Vec<_> = left.collect();
        let quiet =
            (self.nodes[0].is_quiet(), self.nodes[1].is_quiet(), self.router.as_ref().map(Router::is_quiet));
        panic!("not at rest long after the last fault: quiet {quiet:?}, left {left:#?}");
    }

    fn is_quiet(&self) -> bool {
        let quiet = |node: &Node| node.port.fault.is_some() || node.is_quiet();
        self.nodes.iter().all(quiet) && self.router.as_ref().is_none_or(Router::is_quiet)
    }

    /// A line's end knows the time before it is written to.
    fn set_time(&mut self) {
        let now = Instant::from_micros(self.now);
        let nodes = self.nodes.iter_mut().map(|node| &mut node.port);
        let router = self.router.iter_mut().flat_map(|router| &mut router.ports);
        nodes.chain(router).filter_map(|port| port.line.as_mut()).for_each(|line| line.set_time(now));
    }

    fn port(&mut self, party: Party) -> &mut Port {
        match party {
            Party::Node(n) => &mut self.nodes[n].port,
            Party::Router(p) => &mut self.router.as_mut().expect("lines end at what is there").ports[p],
        }
    }

    fn disturb(&mut self, index: usize) {
        let (plan, now) = (self.plan, self.now);
        if plan.hostile && self.rng.one_in(12) && self.nodes[1].port.is_up() && index + 1 == self.lines.len()
        {
            programs::forge(&mut self.nodes[1].port, &mut self.rng);
        }
        let (line, rng) = (&mut self.lines[index], &mut self.rng);
        if line.down_since.is_some() {
            return;
        }
        let wire = rng.below(2);
        if plan.flips && rng.one_in(60) {
            line.flipped |= line.wires[wire].flip(rng);
        }
        let free =
            line.stopped_since.is_none() && line.wires.iter().all(|w| now > w.stalled_until + HARMLESS_US);
        if plan.stalls && free && rng.one_in(30) {
            let stop = rng.one_in(3);
            let time = if stop { 10_000_000 } else { rng.below(HARMLESS_US as usize) as u64 };
            line.wires[wire].stalled_until = now + time;
            line.stopped_since = stop.then_some(now);
        }
        if plan.cuts && rng.one_in(60) {
            self.cut(index);
        }
    }

    fn cut(&mut self, index: usize) {
        let (line, rng) = (&mut self.lines[index], &mut self.rng);
        line.wires.iter_mut().for_each(|wire| wire.cut(rng));
    }

    /// Everybody writes; the bytes go on their way.
    fn write(&mut self) {
        self.nodes.iter_mut().for_each(Node::pump);
        self.router.iter_mut().for_each(Router::pump);
        for index in 0..self.lines.len() {
            for wire in 0..2 {
                let end = self.lines[index].ends[wire];
                let port = self.port(end);
                let (bytes, down) = (port.transmit(), port.fault.is_some());
                let (line, now) = (&mut self.lines[index], self.now);
                line.wires[wire].push(now, bytes, &mut self.rng);
                line.wires[wire].closed |= down && line.wires[wire].lossy.is_none();
            }
        }
    }

    fn deliver(&mut self, index: usize, wire: usize) {
        let to = self.lines[index].ends[1 - wire];
        while let Some(bytes) = self.lines[index].wires[wire].pop(self.now, &mut self.rng) {
            self.trace.write_u64(self.now);
            self.trace.write(&bytes);
            let before = self.port(to).frames_in;
            match to {
                Party::Node(n) => self.nodes[n].receive(&bytes),
                Party::Router(p) => self.router.as_mut().expect("it is there").receive(p, &bytes),
            }
            let port = self.port(to);
            let frames = port.frames_in - before;
            assert!(
                port.pending_input() <= port.link.max_frame() as usize + 9,
                "input is held without bound"
            );
            if let Party::Node(n) = to {
                self.answer(n, frames, bytes.len());
            }
            self.report.frames += frames;
        }
        if self.lines[index].wires[wire].is_at_end(self.now) {
            match to {
                Party::Node(n) => self.nodes[n].cut(),
                Party::Router(p) => self.router.as_mut().expect("it is there").cut(p),
            }
        }
    }

    /// What a node writes at once, without its program: at most a frame for each it has got.
    fn answer(&mut self, n: usize, frames: u32, len: usize) {
        let port = &mut self.nodes[n].port;
        let before = port.output.len();
        port.control();
        let crc = if port.link.crc_seed().is_some() { 4 } else { 0 };
        let (mut at, mut written) = (before, 0);
        while at < port.output.len() {
            let (len, used) = varint::get(&port.output[at..]).expect("its own frames");
            at += used + len as usize;
            written += 1;
        }
        // A fault adds one goodbye; a hello is answered by a hello.
        assert!(written <= frames + 1, "{written} frames answer {frames}");
        let most = len + (16 + crc) * (frames as usize + 1) + 120;
        assert!(port.output.len() - before <= most, "{} bytes answer {len}", port.output.len() - before);
    }

    /// Both ends of a line that one end has given up are told in time; then it may come back.
    fn watch(&mut self, index: usize) {
        if self.plan.lossy.is_some() {
            return self.watch_lossy(index);
        }
        let ends = self.lines[index].ends;
        let down = ends.map(|end| self.port(end).fault.is_some());
        let faults = ends.map(|end| self.port(end).fault);
        let (line, now) = (&mut self.lines[index], self.now);
        let cut = line.wires.iter().any(|wire| wire.closed);
        if down[0] || down[1] || cut {
            let since = *line.down_since.get_or_insert(now);
            assert!(now - since <= BOUND_US || down[0] && down[1], "an end was never told: {faults:?}");
            let blamed =
                cut && self.plan.cuts || line.flipped || line.stopped_since.is_some() || self.plan.hostile;
            assert!(blamed, "a session ended without a fault: {faults:?}");
        }
        if let Some(since) = line.stopped_since {
            assert!(now - since <= 2 * BOUND_US || down[0] && down[1], "a stopped line was not noticed");
        }
        if down[0] && down[1] && self.rng.one_in(10) {
            self.report.lost += 1;
            self.lines[index] = Line::new(ends);
            for end in ends {
                let nonce = self.rng.next();
                let (name, number) = name(end);
                *self.port(end) =
                    Port::new(config(&self.plan, name, number), nonce, Instant::from_micros(now));
            }
        }
    }

    /// A lossy line does not end. An end that has given up starts over by itself, and the other
    /// one learns of it in time.
    fn watch_lossy(&mut self, index: usize) {
        let (ends, now) = (self.lines[index].ends, self.now);
        let up = ends.map(|end| self.port(end).is_up());
        let session = ends.map(|end| self.port(end).link.session());
        let since = &mut self.lines[index].apart_since;
        if up == [true; 2] && session[0] == session[1] {
            *since = None;
        } else if up != [false; 2] {
            let since = *since.get_or_insert(now);
            assert!(now - since <= 2 * BOUND_US, "an end was never told");
        } else {
            *since = None;
        }
        for end in ends {
            let Some(fault) = self.port(end).fault else { continue };
            let blamed = self.healed_at.is_none_or(|healed| now < healed + 2 * BOUND_US);
            assert!(blamed, "a session ended without a fault: {fault}");
            if self.rng.one_in(10) {
                self.report.lost += 1;
                let (name, number) = name(end);
                let (nonce, time) = (self.rng.next(), Instant::from_micros(now));
                let config = config(&self.plan, name, number);
                *self.port(end) = self.port(end).again(config, nonce, time);
            }
        }
    }

    fn check(&self) {
        if !self.plan.hostile {
            check_accounts(&self.nodes, self.plan.routed);
        }
        for node in &self.nodes {
            let lost = node.port.fault.is_some() && node.live().next().is_some();
            assert!(!lost, "the link is down and a circuit was not told");
            for id in node.live() {
                assert!(node.circuits[id].held <= node.window, "more is held than was granted");
            }
        }
        if let Some(router) = &self.router {
            let (held, room) = router.held();
            assert!(held <= room, "the router holds {held} of {room}");
        }
    }
}

/// Name and number of the node at an end.
fn name(end: Party) -> (&'static str, u64) {
    match end {
        Party::Node(0) => ("a", 1),
        Party::Node(_) => ("b", 2),
        Party::Router(_) => ("r", 3),
    }
}

/// How a lossy line is to be.
fn line(plan: &Plan) -> LineConfig {
    let (packet, window) = if plan.narrow { (64, 2) } else { (240, 4) };
    LineConfig { dead_ms: DEAD_MS, ..LineConfig::uart(1_000_000, 20, packet, window) }
}

fn port(plan: &Plan, name: &str, number: u64, nonce: u64, now: Instant) -> Port {
    let config = config(plan, name, number);
    match plan.lossy {
        Some(_) => Port::on_line(config, line(plan), nonce, now),
        None => Port::new(config, nonce, now),
    }
}

fn config(plan: &Plan, name: &str, number: u64) -> LinkConfig {
    if plan.lossy.is_some() {
        let config = LinkConfig::line(identity(name, number), &line(plan), 4);
        return LinkConfig { hello_ms: HELLO_MS, ..config };
    }
    LinkConfig {
        crc: plan.crc,
        dead_ms: DEAD_MS,
        hear_ms: HEAR_MS,
        hello_ms: HELLO_MS,
        flight: 0,
        packet: if plan.narrow { 256 } else { 17 * 1024 },
        ..Pair::config(name, number)
    }
}
