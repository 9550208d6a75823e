//! A parent above, a bridge board, a leaf below; the lines between them, time, and what goes wrong.

use std::collections::BTreeSet;
use std::time::Duration;

use netchan::Message;
use netchan::board::{self, Bridge, Config, Driver, Identity, Memory};
use netchan::proto::{
    Above, CounterNonce, Fault, Fingerprints, Frame, Instant, LineConfig, LinkConfig, LinkKind, Name, Open,
    OpenFlags, Reason, Route, TreeFrame,
};
use netchan::testing::{FaultyLine, Node, Outcome, Policy, Port, Rng, Stage, TreeTold, identity};

use crate::forge::{forge, forge_above};
use crate::ledger::{Ledger, number, value};
use crate::line::{STEP_BYTES, STEP_US, faulty_line};

const WIDE: LineConfig = LineConfig::uart(115_200, 2, 240, 4);
const NARROW: LineConfig = LineConfig::uart(115_200, 2, 64, 2);
const CONFIG: Config = Config::new(WIDE).export::<board::Sender<u32>>(2).bridge(4, 300);
const DOWN: Config = CONFIG.over(NARROW);
type Board = board::Node<{ CONFIG.channels() }, { CONFIG.bytes() }>;
type Passing = Bridge<{ CONFIG.circuits() }, { CONFIG.room() }>;

/// How long things go wrong, and how long they may then take to be right again.
const CHAOS_MS: u32 = 6_000;
const PATIENCE_MS: u32 = 15_000;
/// Circuits of a node, and open at a time of ours.
const CIRCUITS: u32 = 8;
const OPEN_MAX: usize = 6;
/// No node is ever given an id from here on.
const NOBODY: u32 = 1 << 20;

/// What has happened.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) faults: u64,
    pub(crate) sessions: u64,
    /// Circuits that have reached the leaf, and values that were taken.
    pub(crate) spliced: u64,
    pub(crate) taken: u64,
    pub(crate) in_order: u64,
    pub(crate) dead: u64,
    /// Opens that the bridge had no room or no way for.
    pub(crate) refused: u64,
    pub(crate) forged: u64,
    /// Values of the bridge's own.
    pub(crate) own: u64,
}

impl Report {
    pub(crate) fn add(&mut self, other: &Self) {
        self.faults += other.faults;
        self.sessions += other.sessions;
        self.spliced += other.spliced;
        self.taken += other.taken;
        self.in_order += other.in_order;
        self.dead += other.dead;
        self.refused += other.refused;
        self.forged += other.forged;
        self.own += other.own;
    }
}

const ABOVE: usize = 0;
const BELOW: usize = 1;

/// One of the two nodes beside the bridge.
struct End {
    node: Node,
    line: LineConfig,
    was_up: bool,
    is_hostile: bool,
}

/// What the parent has given.
#[derive(Default)]
struct Given {
    /// The bridge's id; 0 while it has none.
    id: u32,
    next: u32,
    granted: Vec<(u32, u32)>,
    /// The leaf, as the bridge has announced it.
    leaf: Option<u32>,
    /// Those that it has had.
    ids: BTreeSet<u32>,
}

pub(crate) struct World {
    rng: Rng,
    now: u64,
    nonces: u64,
    board: &'static Board,
    bridge: &'static Passing,
    own: board::Sender<u32>,
    own_next: u32,
    /// What comes next of the bridge's own, in this session.
    own_expected: Option<u32>,
    drivers: [Driver<'static>; 2],
    ends: [End; 2],
    lines: [FaultyLine; 2],
    given: Given,
    ledger: Ledger,
    opened: u32,
    report: Report,
    busy: usize,
    calm: bool,
}

fn leak<T>(value: T) -> &'static mut T {
    Box::leak(Box::new(value))
}

fn driver(board: &'static Board, bridge: &'static Passing, side: usize, boot: u64) -> Driver<'static> {
    let name = leak(Name::literal("relay-board"));
    let nonces = leak(CounterNonce::new(boot * 2 + side as u64, boot as u32));
    let identity = Identity { name, uid: 5, boot, nonces };
    if side == ABOVE {
        board.up_line(bridge, leak(Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG)), identity)
    } else {
        board.down_line(bridge, leak(Memory::<{ DOWN.line_bytes() }>::new(&DOWN)), identity)
    }
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let (board, bridge) = (&*leak(Board::new(&CONFIG)), &*leak(Passing::new(&CONFIG)));
        let lines = [(); 2].map(|()| faulty_line(&mut rng));
        let hostile = rng.below(6);
        let end = |side| {
            let line = [WIDE, NARROW][side];
            let mut node = Node::new(link(side, line, 1), 1, Instant::ZERO);
            node.policy = Policy::Hold;
            End { node, line, was_up: false, is_hostile: hostile == side }
        };
        let mut world = Self {
            now: 0,
            nonces: 0,
            own: board.export("own").expect("there is room"),
            own_next: 0,
            own_expected: None,
            drivers: [ABOVE, BELOW].map(|side| driver(board, bridge, side, 1)),
            ends: [ABOVE, BELOW].map(end),
            lines,
            given: Given { next: 10, ..Given::default() },
            ledger: Ledger { is_hostile: hostile < 2, ..Ledger::default() },
            opened: 0,
            report: Report::default(),
            busy: 1 + rng.below(8),
            calm: false,
            board,
            bridge,
            rng,
        };
        for side in [ABOVE, BELOW] {
            world.relink(side, false);
        }
        world
    }

    pub(crate) fn run(mut self) -> Report {
        for _ in 0..CHAOS_MS {
            self.step();
            self.chaos();
        }
        self.calm = true;
        self.lines.iter_mut().for_each(FaultyLine::heal);
        let mut left = PATIENCE_MS;
        while !self.is_over() {
            assert!(left > 0, "it never comes to rest: {:?} {:#?}", self.bridge, self.stuck());
            left -= 1;
            self.step();
        }
        let [above, below] = &self.ends;
        self.ledger.check(&above.node, &below.node);
        [self.report.in_order, self.report.dead, self.report.refused] =
            self.ledger.close([&above.node, &below.node]);
        self.report.faults =
            self.lines.iter().flat_map(|line| &line.wires).map(|wire| wire.happened.faults()).sum();
        self.report
    }

    fn stuck(&self) -> Vec<String> {
        let circuits = self.ends.iter().flat_map(|end| end.node.live().map(|id| &end.node.circuits[id]));
        circuits.map(|circuit| format!("{circuit:?}")).collect()
    }

    /// Nothing is open and nothing waits.
    fn is_over(&self) -> bool {
        let is_quiet = |end: &End| end.node.port.is_up() && end.node.is_quiet();
        self.bridge.in_use() == 0 && self.ends.iter().all(is_quiet)
    }

    fn step(&mut self) {
        self.now += STEP_US;
        let now = Instant::from_micros(self.now);
        for side in [ABOVE, BELOW] {
            let (end, driver, line) = (&mut self.ends[side], &mut self.drivers[side], &mut self.lines[side]);
            end.node.tick(now);
            let came = line.wires[1].pull(now);
            end.node.receive(&came);
            end.node.pump();
            line.wires[0].push(now, &end.node.port.transmit_some(STEP_BYTES));
            let came = line.wires[0].pull(now);
            driver.feed(&came, now);
            let mut out = [0; STEP_BYTES];
            let n = driver.drain(&mut out, now);
            line.wires[1].push(now, &out[..n]);
            self.look_at(side);
        }
        if self.own.try_send(self.own_next).is_ok() {
            self.own_next += 1;
        }
        self.tree();
        for side in [ABOVE, BELOW] {
            self.program(side);
        }
        let [above, below] = &self.ends;
        self.ledger.check(&above.node, &below.node);
    }

    /// What has become of a link: an honest one never breaks the protocol, whatever the other one does.
    fn look_at(&mut self, side: usize) {
        let end = &mut self.ends[side];
        let is_up = end.node.port.is_up();
        if is_up && !end.was_up {
            self.report.sessions += 1;
            if side == ABOVE {
                self.adopt();
            }
        }
        let end = &mut self.ends[side];
        end.was_up = is_up;
        let Some(fault) = end.node.port.fault else { return };
        let is_broken = !matches!(fault, Fault::Goodbye(_)) && fault.reason() == Reason::Protocol;
        assert!(!is_broken || end.is_hostile, "side {side}: {fault:?}");
        if !end.is_hostile {
            let by_board = self.drivers[side].ended().map(|dead| dead.reason);
            assert_ne!(by_board, Some(Reason::Protocol), "side {side} was honest");
        }
        self.relink(side, false);
    }

    /// A link on the same line, of a program that has been started again or not.
    fn relink(&mut self, side: usize, is_anew: bool) {
        self.nonces += 1;
        let (end, now) = (&mut self.ends[side], Instant::from_micros(self.now));
        end.node.cut();
        if is_anew {
            end.node.boot += 1;
        }
        let config = link(side, end.line, end.node.boot);
        end.node.port = Port::on_line(config, end.line, self.nonces << 32 | 0x77, now);
        (end.node.window, end.node.limit) = (400, 300);
        end.was_up = false;
        if side == ABOVE {
            let next = self.given.next;
            let ids = std::mem::take(&mut self.given.ids);
            // What came in the last step of the session that is over speaks of the ids of that one.
            self.ends[ABOVE].node.told.clear();
            self.given = Given { next, ids, ..Given::default() };
            self.own_expected = None;
        }
    }

    /// The parent gives the bridge its id.
    fn adopt(&mut self) {
        self.given.id = self.given.next;
        self.given.next += 1;
        let above = Above::default().below(1).expect("one is not too deep");
        let frame = TreeFrame::Adopt { id: self.given.id, above, place: "" };
        self.ends[ABOVE].node.port.forge(&Frame::Tree(frame));
        // Its own channel, as a neighbour imports it.
        let open = Open { fingerprints: Fingerprints::new(u32::FINGERPRINT.get(), &[]), ..plain("own") };
        let _ = self.ends[ABOVE].node.open_as(&open);
    }

    /// What the bridge has to say of the tree.
    fn tree(&mut self) {
        let told = std::mem::take(&mut self.ends[ABOVE].node.told);
        for told in told {
            match told {
                TreeTold::Allocate(count) => {
                    let count = count.min(1 + self.rng.below(3) as u32);
                    let start = self.given.next;
                    self.given.next += count;
                    self.given.granted.push((start, count));
                    let grant = TreeFrame::Grant { start, count };
                    self.ends[ABOVE].node.port.forge(&Frame::Tree(grant));
                }
                TreeTold::AddRoute(id, via) => {
                    assert_eq!(via, self.given.id, "the leaf's parent is the bridge");
                    let is_ours = |&(start, count): &(u32, u32)| id >= start && id < start + count;
                    assert!(self.given.granted.iter().any(is_ours) || self.ends[ABOVE].is_hostile, "{id}");
                    assert_eq!(self.given.leaf, None, "the end of the one before is told first");
                    assert!(self.given.ids.insert(id) || self.ends[ABOVE].is_hostile, "{id} comes twice");
                    self.given.leaf = Some(id);
                }
                TreeTold::DelRoute(id) => {
                    assert_eq!(self.given.leaf.take(), Some(id), "what was told is gone");
                }
                told => assert!(self.ends[ABOVE].is_hostile, "{told:?}"),
            }
        }
        assert!(self.ends[BELOW].node.told.is_empty(), "a leaf is told nothing");
    }

    /// What the programs do.
    fn program(&mut self, side: usize) {
        if side == ABOVE && !self.calm && self.rng.one_in(10 * self.busy) {
            self.open();
        }
        let end = &mut self.ends[side];
        let node = &mut end.node;
        let live: Vec<usize> = node.live().collect();
        for id in live {
            let Some(of) = number(&node.circuits[id]) else {
                if node.circuits[id].name == "own" {
                    self.report.own += u64::from(own(node, id, &mut self.own_expected, self.calm));
                } else if node.circuits[id].handle.is_some() && self.calm {
                    node.kill(id, Reason::Cancelled);
                }
                continue;
            };
            let pair = self.ledger.pairs.entry(of).or_default();
            if side == BELOW && pair[BELOW].is_none() {
                self.report.spliced += 1;
            }
            pair[side] = Some(id);
            if self.calm || self.rng.one_in(self.busy) {
                act(side, of, node, id, (&mut self.rng, self.calm), &self.ledger, &mut self.report);
            }
        }
        if end.is_hostile && !self.calm && node.port.is_up() && self.rng.one_in(20) {
            let many = if self.rng.one_in(8) { 40 } else { 1 };
            for _ in 0..many {
                if side == ABOVE {
                    forge_above(&mut node.port, &mut self.rng)
                } else {
                    forge(&mut node.port, &mut self.rng)
                }
                self.report.forged += 1;
            }
        }
    }

    /// The parent's program, or one above it, wants a channel of the leaf.
    fn open(&mut self) {
        let node = &mut self.ends[ABOVE].node;
        let Some(leaf) = self.given.leaf else { return };
        if node.live().count() > OPEN_MAX {
            return;
        }
        let flags = [OpenFlags::SENDS, OpenFlags::RECEIVES, OpenFlags::BOTH][self.rng.below(3)];
        let receives = flags.has(OpenFlags::RECEIVES);
        let (credit, limit) = if receives { (node.window, node.limit) } else { (0, 0) };
        // Sometimes to nobody, or from too far. The next id would not do: the leaf may have it before the open has come there.
        let to = if self.rng.one_in(12) { NOBODY + leaf } else { leaf };
        let hops = if self.rng.one_in(20) { 15 } else { 0 };
        let name = format!("c{}", self.opened);
        if hops == 15 || to != leaf {
            self.ledger.nowhere.insert(self.opened);
        }
        self.opened += 1;
        let route = Some(Route { from: 1, hops, to, path: "" });
        let values = if self.rng.one_in(5) && receives { 1 + self.rng.below(8) as u32 } else { 0 };
        let open = Open { flags, credit, limit, values, route, ..plain(&name) };
        let _ = node.open_as(&open);
    }

    fn chaos(&mut self) {
        if !self.rng.one_in(1500) {
            return;
        }
        match self.rng.below(6) {
            0 => self.relink(ABOVE, true),
            1 => self.relink(BELOW, true),
            2 => self.relink(ABOVE, false),
            3 => self.relink(BELOW, false),
            4 => self.lines[self.rng.below(2)].wires.iter_mut().for_each(|wire| {
                wire.cut();
                wire.unplugged_until = Instant::from_micros(self.now) + Duration::from_millis(2500);
            }),
            _ => {
                self.nonces += 1;
                self.drivers =
                    [ABOVE, BELOW].map(|side| driver(self.board, self.bridge, side, 1 + self.nonces));
            }
        }
    }
}

/// What a program does with one circuit.
fn act(
    side: usize,
    of: u32,
    node: &mut Node,
    id: usize,
    (rng, calm): (&mut Rng, bool),
    ledger: &Ledger,
    report: &mut Report,
) {
    if node.circuits[id].stage == Stage::Offered {
        return if rng.one_in(6) { node.kill(id, Reason::Refused) } else { node.accept(id) };
    }
    let circuit = &node.circuits[id];
    if circuit.stage == Stage::Open && circuit.sends() && !circuit.ending {
        let most = node.limit_of(id);
        let circuit = &node.circuits[id];
        if circuit.outbox.len() < 3 && !calm && most >= 8 {
            let longest = if rng.one_in(4) { 300 } else { 20 };
            let len = 8 + rng.below((most - 7).min(longest));
            node.send(id, value(of * 2 + side as u32, circuit.sent, len));
        }
        if calm || rng.one_in(60) {
            node.end(id);
        }
    }
    let circuit = &node.circuits[id];
    if circuit.stage == Stage::Open && circuit.sends() && rng.one_in(20) {
        node.ask(id);
    }
    let circuit = &node.circuits[id];
    if circuit.receives() && circuit.stage == Stage::Open && (calm || rng.one_in(2)) {
        report.taken += u64::from(matches!(ledger.take(side, node, id), Outcome::Value(_)));
    }
    let circuit = &node.circuits[id];
    // In the end all of them end by themselves, but those that somebody hostile has a hand in.
    let gives_up = if calm { ledger.is_hostile && rng.one_in(100) } else { rng.one_in(150) };
    if circuit.handle.is_some() && gives_up {
        node.kill(id, Reason::HungUp);
    }
}

/// The neighbour's import of the bridge's own channel: whether a value came.
fn own(node: &mut Node, id: usize, expected: &mut Option<u32>, calm: bool) -> bool {
    let outcome = node.take(id);
    if let Outcome::Value(bytes) = &outcome {
        let (mut value, mut shift) = (0, 0);
        for byte in bytes {
            value |= u32::from(byte & 0x7f) << shift;
            shift += 7;
        }
        assert!(expected.is_none_or(|expected| expected == value), "{value} and not {expected:?}");
        *expected = Some(value + 1);
    }
    if calm && node.circuits[id].handle.is_some() {
        node.kill(id, Reason::Cancelled);
    }
    matches!(outcome, Outcome::Value(_))
}

/// An open of values that this side takes.
fn plain(name: &str) -> Open<'_> {
    Open {
        flags: OpenFlags::RECEIVES,
        wait_ms: 0,
        credit: 64,
        limit: 60,
        values: 0,
        name,
        fingerprints: Fingerprints::new(7, &[]),
        type_name: "test",
        route: None,
        body: None,
    }
}

fn link(side: usize, line: LineConfig, boot: u64) -> LinkConfig {
    let mut who = identity(["above", "leaf"][side], side as u64 + 1);
    who.boot = boot;
    LinkConfig {
        kind: LinkKind::Either,
        adopts: side == ABOVE,
        hello_ms: 600_000,
        ..LinkConfig::line(who, &line, CIRCUITS)
    }
}
