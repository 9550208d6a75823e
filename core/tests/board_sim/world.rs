//! The line between the two, time, and what goes wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use netchan::proto::{Fault, Instant, Reason};
use netchan::testing::{FaultyLine, Rng, Stage};

use crate::board::Board;
use crate::line::{STEP_BYTES, STEP_US, faulty_line};
use crate::peer::Peer;

/// How long things go wrong, and how long they may then take to be right again.
const CHAOS_MS: u64 = 8_000;
const PATIENCE_MS: u64 = 15_000;

/// What has happened.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) faults: u64,
    pub(crate) sessions: u64,
    pub(crate) to_peer: u64,
    pub(crate) to_board: u64,
    pub(crate) calls: u64,
    pub(crate) accounts: u64,
    pub(crate) refused: u64,
    pub(crate) left: u64,
    /// Silences that were longer than the dead-time, and that the session outlived.
    pub(crate) silences: u64,
    /// Goodbyes of the board that the peer has heard.
    pub(crate) goodbyes: u64,
}

impl Report {
    pub(crate) fn add(&mut self, other: &Self) {
        self.faults += other.faults;
        self.sessions += other.sessions;
        self.to_peer += other.to_peer;
        self.to_board += other.to_board;
        self.calls += other.calls;
        self.accounts += other.accounts;
        self.refused += other.refused;
        self.left += other.left;
        self.silences += other.silences;
        self.goodbyes += other.goodbyes;
    }
}

/// What each side has taken, whatever it has told the other of it.
#[derive(Default)]
pub(crate) struct Ledger {
    board: BTreeMap<u32, u32>,
    peer: BTreeMap<String, Vec<u32>>,
}

impl Ledger {
    pub(crate) fn begin(&mut self, tag: u32) {
        self.board.insert(tag, 0);
    }

    pub(crate) fn taken_by_board(&mut self, tag: u32) {
        *self.board.get_mut(&tag).expect("somebody has sent it") += 1;
    }

    pub(crate) fn board_took(&self, tag: u32) -> u32 {
        self.board[&tag]
    }

    pub(crate) fn peer_took(&mut self, name: &str, value: u32) {
        self.peer.entry(name.to_owned()).or_default().push(value);
    }

    /// How many of the values from `low` to `high` the peer has taken.
    pub(crate) fn taken_by_peer(&self, name: &str, low: u32, high: u32) -> u32 {
        let taken = self.peer.get(name).map_or(&[][..], Vec::as_slice);
        taken.iter().filter(|value| (low..high).contains(value)).count() as u32
    }
}

pub(crate) struct World {
    rng: Rng,
    board: Board,
    peer: Peer,
    line: FaultyLine,
    now: u64,
    boots: u64,
    drivers: u64,
    ledger: Ledger,
    report: Report,
    was_up: bool,
    /// The programs do something once in so many turns.
    busy: usize,
    /// Dice of their own, so that seeds keep their stories for as long as nobody is silent.
    silences: Rng,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let line = faulty_line(&mut rng);
        let busy = 1 + rng.below(12);
        let mut world = Self {
            rng,
            board: Board::boot(1, 0),
            peer: Peer::new(),
            line,
            now: 1000,
            boots: 1,
            drivers: 0,
            ledger: Ledger::default(),
            report: Report::default(),
            was_up: false,
            busy,
            silences: Rng::new(!seed),
        };
        world.peer.start(world.time());
        world
    }

    fn time(&self) -> Instant {
        Instant::from_micros(self.now)
    }

    pub(crate) fn run(mut self) -> Report {
        let restarts = self.rng.below(5000) + 400;
        for _ in 0..CHAOS_MS {
            self.step();
            if self.rng.one_in(restarts) {
                self.restart();
            }
            if self.silences.one_in(3_000) {
                self.silence();
            }
            if self.silences.one_in(5_000) {
                self.leave();
            }
        }
        self.report.faults = self.line.wires.iter().map(|wire| wire.happened.faults()).sum();
        self.heal();
        self.report
    }

    fn step(&mut self) {
        self.now += STEP_US;
        let now = self.time();
        let (rng, ledger, report) = (&mut self.rng, &mut self.ledger, &mut self.report);
        self.board.turn(rng, ledger, report, self.busy);
        let to_board = self.step_peer();
        let driver = self.board.driver.as_mut().expect("there is always one");
        driver.feed(&to_board, now);
        let mut out = [0; STEP_BYTES];
        let n = driver.drain(&mut out, now);
        self.line.wires[0].push(now, &out[..n]);
        self.look_at_board();
    }

    /// The peer and its program: what has arrived at the board.
    fn step_peer(&mut self) -> Vec<u8> {
        let now = self.time();
        let (rng, ledger, report) = (&mut self.rng, &mut self.ledger, &mut self.report);
        self.peer.turn(rng, ledger, report, self.busy);
        self.peer.node.tick(now);
        let to_peer = self.line.wires[0].pull(now);
        self.peer.node.receive(&to_peer);
        if let Some(fault) = self.peer.fault() {
            self.report.goodbyes += u64::from(fault == Fault::Goodbye(Reason::Shutdown));
            self.peer.check_accounts(&self.ledger);
            self.report.refused += count_refused(&self.peer);
            self.peer.relink(now);
        }
        self.peer.node.pump();
        let bytes = self.peer.node.port.transmit_some(STEP_BYTES);
        self.line.wires[1].push(now, &bytes);
        self.line.wires[1].pull(now)
    }

    fn look_at_board(&mut self) {
        let driver = self.board.driver.as_ref().expect("there is always one");
        assert!(
            driver.ended().is_none_or(|dead| dead.reason != Reason::Protocol),
            "the host has broken the protocol"
        );
        let is_up = driver.is_up();
        self.report.sessions += u64::from(is_up && !self.was_up);
        self.was_up = is_up;
    }

    /// The board announces a silence, and keeps to it or not.
    fn silence(&mut self) {
        let announced = 500 + self.rng.below(8_000) as u64;
        let silent = announced * self.rng.below(12) as u64 / 10;
        let mut driver = self.board.driver.take().expect("there is always one");
        let ended = driver.ended();
        let mut quiet = driver.quiet(Duration::from_millis(announced));
        while !quiet.is_heard() {
            self.now += STEP_US;
            let (now, to_board) = (self.time(), self.step_peer());
            quiet.feed(&to_board, now);
            let mut out = [0; STEP_BYTES];
            let n = quiet.drain(&mut out, now);
            self.line.wires[0].push(now, &out[..n]);
        }
        for _ in 0..silent {
            self.now += STEP_US;
            // What comes meanwhile is lost.
            self.step_peer();
        }
        quiet.back(self.time());
        let is_kept = driver.is_up() && driver.ended() == ended;
        self.report.silences += u64::from(is_kept && silent > 2_500);
        self.board.driver = Some(driver);
    }

    /// The board leaves in order, as far as it gets until then, and comes again.
    fn leave(&mut self) {
        let until = self.now + self.silences.below(1500) as u64 * 1000;
        let mut driver = self.board.driver.take().expect("there is always one");
        let mut leaving = driver.leave(Instant::from_micros(until));
        while !leaving.is_done() {
            assert!(self.now < until + 6_000_000, "it does not get away: {leaving:?}");
            self.now += STEP_US;
            let (now, to_board) = (self.time(), self.step_peer());
            leaving.feed(&to_board, now);
            let mut out = [0; STEP_BYTES];
            let n = leaving.drain(&mut out, now);
            self.line.wires[0].push(now, &out[..n]);
        }
        drop(leaving);
        self.board.driver = Some(driver);
    }

    /// Somebody starts anew.
    fn restart(&mut self) {
        let now = self.time();
        match self.rng.below(5) {
            0 => {
                self.peer.check_accounts(&self.ledger);
                self.peer.start(now);
            }
            1 => self.peer.relink(now),
            2 => {
                self.drivers += 1;
                self.board.drive(0x8000 + self.drivers);
            }
            3 => {
                self.boots += 1;
                let newest = self.board.newest() + 1;
                self.board = Board::boot(self.boots, newest);
            }
            // The plug is pulled.
            _ => self.line.wires.iter_mut().for_each(|wire| wire.cut()),
        }
    }

    /// When nothing goes wrong any more everything works again, and soon.
    fn heal(&mut self) {
        self.line.heal();
        self.busy = 2;
        let end = self.now + PATIENCE_MS * 1000;
        while !self.peer.has_all() {
            assert!(self.now < end, "{}", self.state());
            self.board.restore();
            self.peer.import_all();
            self.step();
        }
        let (to_peer, to_board, calls) = (self.report.to_peer, self.report.to_board, self.report.calls);
        while self.report.to_peer < to_peer + 20
            || self.report.to_board < to_board + 20
            || self.report.calls < calls + 5
        {
            assert!(self.now < end, "{}", self.state());
            self.board.restore();
            self.peer.import_all();
            self.step();
        }
        // What is given up is over, to the last circuit, and every call has its answer.
        self.peer.leave_all();
        let mut quiet = false;
        while !quiet {
            assert!(self.now < end, "{}", self.state());
            self.quiet_step();
            quiet = self.board.is_through();
        }
        self.peer.check_accounts(&self.ledger);
    }

    /// A step in which the peer's program does nothing but receive.
    fn quiet_step(&mut self) {
        let busy = std::mem::replace(&mut self.busy, 1);
        self.step();
        self.busy = busy;
    }

    fn state(&self) -> String {
        let circuits: Vec<String> = self
            .peer
            .node
            .live()
            .map(|id| {
                let circuit = &self.peer.node.circuits[id];
                format!("{} {:?}", circuit.name, circuit.stage)
            })
            .collect();
        format!("{:?}, {:?}, {circuits:?}", self.board.driver, self.peer.node.port.fault)
    }
}

fn count_refused(peer: &Peer) -> u64 {
    let refused = |circuit: &&netchan::testing::Circuit| {
        circuit.stage == Stage::Over && circuit.started == 0 && circuit.dead.is_some()
    };
    peer.node.circuits.iter().filter(refused).count() as u64
}
