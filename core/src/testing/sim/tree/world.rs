//! The nodes, the lines between them, and time.

use core::hash::Hasher;

use alloc::format;
use alloc::vec::Vec;

use super::super::Trace;
use super::ledger::Ledger;
use super::net::{self, At, Line, Tie};
use super::node::{Core, Link, Node, Rest};
use super::{DEAD_US, Plan, TreeReport};
use crate::proto::{Dead, Fault, Instant, Name, Reason};
use crate::testing::{Port, Rng};
use crate::tree::{FIRST_ID, Limits, LinkNumber, Tree};

/// Time is looked at no more often, in microseconds.
const GRAIN_US: u64 = 2_000;

/// All there is.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) rng: Rng,
    pub(super) ledger: Ledger,
    pub(super) nodes: Vec<Node>,
    /// When a node that was killed starts again, and when one that is to end does.
    pub(super) starts_at: Vec<Option<u64>>,
    pub(super) ends_at: Vec<Option<u64>>,
    pub(super) leaf: Vec<bool>,
    pub(super) lines: Vec<Line>,
    /// On which sides of which lines each node is.
    sides: Vec<Vec<(usize, usize)>>,
    /// When the faults stopped.
    pub(super) healed_at: Option<u64>,
    next_link: LinkNumber,
    lives: u64,
    trace: Trace,
}

impl World {
    pub(super) fn new(plan: Plan, mut rng: Rng) -> Self {
        let lines = net::lines(&plan, &mut rng);
        let mut ledger = Ledger::new(plan, plan.nodes);
        if plan.hostile {
            ledger.hostile[rng.below(plan.nodes)] = true;
        }
        let mut leaf = alloc::vec![false; plan.nodes];
        for line in &lines {
            leaf[line.sides[1].node] |= line.tie == Tie::Leaf;
        }
        let mut sides = alloc::vec![Vec::new(); plan.nodes];
        for (index, line) in lines.iter().enumerate() {
            for (side, own) in line.sides.iter().enumerate() {
                sides[own.node].push((index, side));
            }
        }
        let mut world = Self {
            plan,
            rng,
            ledger,
            nodes: Vec::new(),
            starts_at: alloc::vec![None; plan.nodes],
            ends_at: alloc::vec![None; plan.nodes],
            leaf,
            lines,
            sides,
            healed_at: None,
            next_link: 0,
            lives: 0,
            trace: Trace::new(),
        };
        for index in 0..plan.nodes {
            let node = world.node(index);
            world.nodes.push(node);
        }
        world.ledger.report.nodes = plan.nodes as u32;
        world
    }

    pub(super) fn node(&mut self, index: usize) -> Node {
        self.lives += 1;
        self.ledger.ids[index].push(FIRST_ID);
        let limits = if self.plan.tight {
            Limits { nodes: 1 + self.rng.below(5), ids_per_link: 1 + self.rng.below(66) as u32 }
        } else {
            Limits::default()
        };
        let name = Name::new(&net::name(&self.plan, index)).expect("a node's name");
        Node::new(Core::new(index, self.lives, self.leaf[index], Tree::new(name, limits)))
    }

    pub(super) fn now(&self) -> u64 {
        self.ledger.now
    }

    pub(super) fn report(&self) -> TreeReport {
        TreeReport { trace: self.trace.finish(), ..self.ledger.report }
    }

    /// Programs act, something goes wrong, and time passes.
    pub(super) fn step(&mut self) {
        for _ in 0..1 + self.rng.below(4) {
            self.act();
        }
        self.disturb();
        let time = 1_000 + self.rng.below(40_000) as u64;
        self.pass(time);
    }

    /// Lets so much time pass, with everything that happens in it.
    pub(super) fn pass(&mut self, time: u64) {
        let until = self.now() + time;
        let mut events = 0;
        loop {
            events += 1;
            assert!(events < 200_000, "the nodes never come to rest");
            let lines = self.lines.iter().map(Line::next).min().unwrap_or(u64::MAX);
            let nodes =
                self.starts_at.iter().chain(&self.ends_at).flatten().min().copied().unwrap_or(u64::MAX);
            let next = lines.min(nodes).max(self.now());
            if next > until {
                self.ledger.now = until;
                break;
            }
            self.ledger.now = next;
            for line in 0..self.lines.len() {
                if self.lines[line].next() <= next {
                    self.line_event(line);
                }
            }
            if nodes <= next {
                self.node_events();
            }
        }
        self.ledger.check_told();
        self.watch();
    }

    fn node_events(&mut self) {
        for node in 0..self.plan.nodes {
            if self.starts_at[node].is_some_and(|at| at <= self.now()) {
                self.starts_at[node] = None;
            }
            if self.ends_at[node].is_some_and(|at| at <= self.now()) {
                self.end(node);
            }
        }
    }

    fn line_event(&mut self, index: usize) {
        for wire in 0..2 {
            let to = self.lines[index].sides[1 - wire].node;
            while let Some(bytes) = self.lines[index].wires[wire].pop(self.ledger.now, &mut self.rng) {
                self.trace.write_u64(self.now());
                self.trace.write(&bytes);
                self.deliver(index, 1 - wire, &bytes);
                // There is room for more.
                let from = self.lines[index].sides[wire].node;
                self.pump(from);
            }
            if self.lines[index].wires[wire].is_at_end(self.now())
                && let Some(number) = self.lines[index].number(1 - wire)
            {
                self.nodes[to].down(number, Dead::here(Reason::LinkLost), &mut self.ledger);
                self.pump(to);
            }
        }
        for side in 0..2 {
            self.side_event(index, side);
        }
    }

    fn deliver(&mut self, index: usize, side: usize, bytes: &[u8]) {
        let time = Instant::from_micros(self.now());
        let node = self.lines[index].sides[side].node;
        match &mut self.lines[index].sides[side].at {
            At::Up(number) => {
                let number = *number;
                self.set_time(node);
                self.nodes[node].receive(number, bytes, &mut self.ledger);
                self.pump(node);
            }
            // The last words are said again until they are heard.
            At::Down(Some(port)) if port.line.is_some() => {
                if let Some(line) = &mut port.line {
                    line.set_time(time);
                }
                port.receive(bytes, |_, _| {});
                self.say_last_words(index, side);
            }
            At::Down(_) => {}
        }
    }

    fn side_event(&mut self, index: usize, side: usize) {
        let (now, time) = (self.now(), Instant::from_micros(self.now()));
        let line = &mut self.lines[index];
        let is_down = line.is_down();
        let lossy = line.lossy;
        let own = &mut line.sides[side];
        let node = own.node;
        match &mut own.at {
            At::Up(number) if own.wake <= now => {
                let number = *number;
                self.set_time(node);
                self.nodes[node].tick(number, time, &mut self.ledger);
                self.pump(node);
            }
            At::Down(_) if (lossy || is_down) && own.retry_at <= now => self.begin(index, side),
            At::Down(Some(port)) if lossy && own.wake <= now => {
                port.tick(time);
                self.say_last_words(index, side);
            }
            _ => {}
        }
    }

    /// A link begins at an end of a line; on a stream at both ends.
    fn begin(&mut self, index: usize, side: usize) {
        let now = self.now();
        let nodes = [0, 1].map(|side| self.lines[index].sides[side].node);
        let away = |node: usize| self.starts_at[node].is_some();
        let lossy = self.lines[index].lossy;
        let sides: &[usize] = if lossy { &[side] } else { &[0, 1] };
        let retired = self.healed_at.is_some() && nodes.iter().any(|&node| self.ledger.hostile[node]);
        let rival = self.lines[index].rejected && self.healed_at.is_some();
        if retired || rival || sides.iter().any(|&side| away(nodes[side])) {
            let later = if retired || rival { u64::MAX } else { now + 20_000 };
            sides.iter().for_each(|&side| self.lines[index].sides[side].retry_at = later);
            return;
        }
        self.lines[index].down_since = None;
        if !lossy {
            let line = &mut self.lines[index];
            line.wires.iter_mut().for_each(super::wire::Wire::restart);
            (line.blamed, line.down_since, line.stopped_since) = (false, None, None);
        }
        self.lines[index].rejected = false;
        for &side in sides {
            self.next_link += 1;
            let number = self.next_link;
            self.ledger.say(|| {
                format!("link {number}: {:?} of {:?} at {}", self.lines[index].tie, nodes, nodes[side])
            });
            let (nonce, node) = (self.rng.next(), nodes[side]);
            let life = self.nodes[node].core.life;
            let plan = self.plan;
            let line = &mut self.lines[index];
            let mut port = line.port(&plan, side, life, nonce, Instant::from_micros(now));
            if let Some(line) = &mut port.line {
                line.set_time(Instant::from_micros(now));
            }
            let rest = Rest::new(number, nodes[1 - side], plan.budget, line.full_at());
            line.sides[side].at = At::Up(number);
            line.sides[side].wake = now;
            self.nodes[node].links.push(Link { port, rest });
            self.pump(node);
        }
    }

    fn set_time(&mut self, node: usize) {
        let now = Instant::from_micros(self.ledger.now);
        for link in &mut self.nodes[node].links {
            if let Some(line) = &mut link.port.line {
                line.set_time(now);
            }
        }
    }

    /// A node writes all that it may; the bytes go on their way.
    pub(super) fn pump(&mut self, node: usize) {
        self.set_time(node);
        let (mut moved, mut rounds) = (true, 0);
        while moved {
            rounds += 1;
            assert!(rounds < 10_000, "node {node} writes without end");
            moved = false;
            for at in 0..self.nodes[node].links.len() {
                let Some(link) = self.nodes[node].links.get(at) else { break };
                let number = link.rest.number;
                self.nodes[node].flush(number, &mut self.ledger);
            }
            self.nodes[node].run(&mut self.ledger);
            while let Some((number, port, left)) = self.nodes[node].ended.pop() {
                self.ended(node, number, port, left);
            }
            for at in 0..self.sides[node].len() {
                let (line, side) = self.sides[node][at];
                moved |= self.transmit(line, side);
            }
        }
        if let Some(grace) = self.nodes[node].core.shutdown.take() {
            self.shut_down(node, grace);
        }
        self.ledger.check_touched();
    }

    fn transmit(&mut self, index: usize, side: usize) -> bool {
        let now = self.ledger.now;
        let Self { lines, nodes, rng, .. } = self;
        let Line { sides, wires, lossy, .. } = &mut lines[index];
        let At::Up(number) = sides[side].at else { return false };
        let Some(Link { port, rest }) = nodes[sides[side].node].link(number) else { return false };
        // What the tree has to say, and for each circuit an open and a refusal.
        let most = 4 * rest.full_at + 2048 + port.mine.len() * 256;
        assert!(
            port.output.len() <= most,
            "{} bytes: what a peer asks for gathers without bound",
            port.output.len()
        );
        let moved = move_bytes(port, &mut wires[side], now, false, rng);
        sides[side].wake = wake(port, *lossy, now);
        moved
    }

    fn say_last_words(&mut self, index: usize, side: usize) {
        let now = self.ledger.now;
        let Self { lines, rng, .. } = self;
        let Line { sides, wires, lossy, .. } = &mut lines[index];
        let At::Down(Some(port)) = &mut sides[side].at else { return };
        move_bytes(port, &mut wires[side], now, true, rng);
        let at = wake(port, *lossy, now);
        sides[side].wake = at;
    }

    /// A link has ended: whether it may have, and when it is tried again.
    fn ended(&mut self, node: usize, number: LinkNumber, port: Port, left: Option<Reason>) {
        let now = self.now();
        let is_it = |line: &Line| {
            (0..2).find(|&side| line.number(side) == Some(number) && line.sides[side].node == node)
        };
        let Some((index, side)) = (0..self.lines.len()).find_map(|n| Some((n, is_it(&self.lines[n])?)))
        else {
            return;
        };
        self.ledger.report.lost += 1;
        let pause = 5_000 + self.rng.below(150_000) as u64;
        let nodes = [0, 1].map(|side| self.lines[index].sides[side].node);
        let honest = nodes.iter().all(|&node| !self.ledger.hostile[node]);
        if honest {
            self.judge(index, port.fault);
        }
        let line = &mut self.lines[index];
        let rejected = [Reason::AlreadyJoined, Reason::NoResources, Reason::HopLimit];
        let bye = match port.fault {
            Some(Fault::Goodbye(reason)) => Some(reason),
            _ => left,
        };
        line.rejected |= bye.is_some_and(|reason| rejected.contains(&reason)) && line.tie != Tie::Peer;
        line.blamed = true;
        line.down_since.get_or_insert(now);
        line.sides[side].at = At::Down(Some(port.into()));
        line.sides[side].wake = now + GRAIN_US;
        let retry = now + pause + if line.rejected { 400_000 } else { 0 };
        for own in &mut line.sides {
            own.retry_at = if line.lossy { own.retry_at.max(retry) } else { retry };
        }
        self.say_last_words(index, side);
        let line = &mut self.lines[index];
        if !line.lossy {
            line.wires[side].closed = true;
        }
    }

    /// A session of two honest nodes has ended for a reason that there was.
    fn judge(&self, index: usize, fault: Option<Fault>) {
        let line = &self.lines[index];
        let nodes = [0, 1].map(|side| line.sides[side].node);
        let Some(fault) = fault else { return };
        let named = matches!(fault, Fault::Goodbye(_) | Fault::Restarted(_));
        assert!(named || fault.reason() != Reason::Protocol, "{nodes:?}, both honest: {fault}");
        let protocol = matches!(fault, Fault::Goodbye(reason) if reason == Reason::Protocol);
        assert!(!protocol, "{nodes:?}, both honest, and one ends the link for a broken protocol");
        let shaken = line.lossy && self.healed_at.is_none_or(|healed| self.now() < healed + 4 * DEAD_US);
        assert!(line.blamed || shaken || named, "the link of {nodes:?} has ended without a fault: {fault}");
    }

    /// Both ends of a stream that one end has given up are told in time.
    fn watch(&mut self) {
        let now = self.now();
        for line in self.lines.iter().filter(|line| !line.lossy) {
            let since = line.down_since.or_else(|| line.stopped_since.map(|since| since + DEAD_US * 5 / 4));
            if let Some(since) = since {
                assert!(
                    now - since.min(now) <= 2 * DEAD_US || line.is_down(),
                    "an end was never told: {line:?}"
                );
            }
        }
    }

    /// A line's ends and when time is to be looked at there, for who has found something wrong.
    pub(super) fn is_in_one_session(&self, index: usize) -> bool {
        let line = &self.lines[index];
        let session = [0, 1].map(|side| {
            let number = line.number(side)?;
            let node = &self.nodes[line.sides[side].node];
            let port = &node.links[node.at(number)?].port;
            port.is_up().then(|| port.link.session())
        });
        session[0].is_some() && session[0] == session[1]
    }
}

fn move_bytes(port: &mut Port, wire: &mut super::wire::Wire, now: u64, words: bool, rng: &mut Rng) -> bool {
    if let Some(lossy) = &mut wire.lossy {
        let bytes = port.transmit();
        lossy.push(Instant::from_micros(now), &bytes);
        return !bytes.is_empty();
    }
    wire.push(now, &mut port.output, words, rng)
}

/// When time is to be looked at, at the latest.
fn wake(port: &Port, lossy: bool, now: u64) -> u64 {
    let link = if port.fault.is_some() { Instant::NEVER } else { port.link.deadline() };
    let line = port.line.as_ref().filter(|_| lossy).map_or(Instant::NEVER, |end| end.line.deadline());
    link.min(line).as_micros().max(now + GRAIN_US)
}
