//! Two nodes at the ends of a lossy line, and a virtual clock.

use super::{Faults, FaultyLine, Node, Port, identity};
use crate::proto::{Instant, LineConfig, LinkConfig};

/// Two nodes on a line. Each has a UART that holds a few bytes, so that what is written waits
/// in the line's packets and not in a queue that no real one has.
#[derive(Debug, Clone)]
pub struct LinePair {
    /// The nodes.
    pub nodes: [Node; 2],
    /// The line between them.
    pub line: FaultyLine,
    /// The virtual time, in microseconds.
    pub now: u64,
    /// How each node's line is to be.
    pub configs: [LineConfig; 2],
    /// Until then, in microseconds, a node does nothing, and what arrives is lost.
    pub asleep_until: [u64; 2],
    /// Bytes that were lost that way.
    pub missed: [usize; 2],
    starts: u64,
}

impl LinePair {
    /// Bytes that a UART holds.
    pub const FIFO: usize = 16;

    /// Two nodes before their bring-up, on a line of so many bits a second.
    pub fn new(baud: u32, latency_ms: u32, packet: u16, window: u8) -> Self {
        let config = LineConfig::uart(baud, latency_ms.max(2), packet, window);
        let mut line = FaultyLine::new(Faults::default(), 1);
        for wire in &mut line.wires {
            (wire.byte_ns, wire.latency_us) =
                (10_000_000_000 / u64::from(baud), u64::from(latency_ms) * 1000);
        }
        let idle = || Node::new(super::node::IDLE, 1, Instant::ZERO);
        let mut pair = Self {
            nodes: [idle(), idle()],
            line,
            now: 1000,
            configs: [config; 2],
            asleep_until: [0; 2],
            missed: [0; 2],
            starts: 0,
        };
        pair.start(0);
        pair.start(1);
        pair
    }

    /// The program at one end starts, again or for the first time.
    pub fn start(&mut self, n: usize) {
        self.starts += 1;
        let link = self.link(n, self.starts);
        let (nonce, now) = (link.identity.boot, self.time());
        self.nodes[n] = Node::new(link, nonce, now);
        self.nodes[n].port = Port::on_line(link, self.configs[n], nonce, now);
        (self.nodes[n].window, self.nodes[n].limit) = (1024, 512);
    }

    /// The same program makes a new link on the same line.
    pub fn relink(&mut self, n: usize) {
        let boot = self.nodes[n].boot;
        self.nodes[n].cut();
        self.starts += 1;
        let (link, now) = (self.link(n, boot), self.time());
        let nonce = self.starts << 32 | n as u64;
        self.nodes[n].port = self.nodes[n].port.again(link, nonce, now);
    }

    /// Two nodes whose link is up.
    ///
    /// # Panics
    ///
    /// When it is not within a second.
    pub fn up(baud: u32, latency_ms: u32, packet: u16, window: u8) -> Self {
        let mut pair = Self::new(baud, latency_ms, packet, window);
        pair.run_up();
        pair
    }

    /// Goes on until the link is up.
    ///
    /// # Panics
    ///
    /// When it is not within two seconds.
    pub fn run_up(&mut self) {
        let end = self.now + 2_000_000;
        while !self.is_up() {
            assert!(self.now < end, "not up: {:?}", self.faults());
            self.step();
        }
    }

    /// Whether both ends are up, in the same session.
    pub fn is_up(&self) -> bool {
        let [a, b] = &self.nodes;
        a.port.is_up() && b.port.is_up() && a.port.link.session() == b.port.link.session()
    }

    /// Half a millisecond.
    pub fn step(&mut self) {
        self.now += 500;
        let now = self.time();
        for n in 0..2 {
            let node = &mut self.nodes[n];
            let arrived = self.line.wires[1 - n].pull(now);
            if self.now < self.asleep_until[n] {
                self.missed[n] += arrived.len();
                continue;
            }
            node.tick(now);
            node.receive(&arrived);
            node.pump();
            let wire = &mut self.line.wires[n];
            let queued = wire.free_at().since(now).as_nanos() as u64 / wire.byte_ns.max(1);
            let bytes = node.port.transmit_some(Self::FIFO.saturating_sub(queued as usize));
            wire.push(now, &bytes);
        }
    }

    /// So much time.
    pub fn pass_ms(&mut self, millis: u64) {
        (0..millis * 2).for_each(|_| self.step());
    }

    /// A node falls asleep, as a board that erases its flash.
    pub const fn sleep_ms(&mut self, n: usize, millis: u64) {
        self.asleep_until[n] = self.now + millis * 1000;
    }

    /// A node says that it may be silent for so long, and goes on until the other one has heard of it.
    ///
    /// # Panics
    ///
    /// When it has not within two seconds.
    pub fn announce(&mut self, n: usize, millis: u32) {
        let now = self.time();
        self.nodes[n].port.link.quiet(millis, now);
        let end = self.now + 2_000_000;
        while !self.nodes[n].port.is_quiet_heard() {
            assert!(self.now < end, "nobody hears it: {:?}", self.faults());
            self.step();
        }
        let now = self.time();
        self.nodes[n].port.link.quiet_heard(now);
    }

    /// Why each end is down.
    pub fn faults(&self) -> [Option<crate::proto::Fault>; 2] {
        [0, 1].map(|n| self.nodes[n].port.fault)
    }

    /// The virtual time.
    pub fn time(&self) -> Instant {
        Instant::from_micros(self.now)
    }

    fn link(&self, n: usize, boot: u64) -> LinkConfig {
        let mut identity = identity(["a", "b"][n], n as u64 + 1);
        identity.boot = boot;
        LinkConfig::line(identity, &self.configs[n], 4)
    }
}
