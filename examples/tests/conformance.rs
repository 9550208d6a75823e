//! The conformance suite, put to a board's node in this process: the program that also runs on the emulated boards, over a virtual
//! wire in virtual time. So each run is the same, and takes no longer than its computing.

use std::io;

use netchan::board::{Driver, Identity, Memory};
use netchan::proto::{CounterNonce, Instant, Name};
use netchan::testing::conformance::{ALL, Faulty, Flow, Specimen, Way};
use netchan::testing::{Faults, FaultyLine};
use netchan_firmware_specimen::{CONFIG, Specimen as Program, SpecimenNode};

const NAME: Name = Name::literal("specimen");
/// Bytes that pass in each direction in one step, which takes a millisecond: 115 200 baud.
const STEP: usize = 11;

/// A board whose clock only the suite moves.
struct Board {
    node: &'static SpecimenNode,
    program: Program,
    driver: Option<Driver<'static>>,
    starts: u32,
    now_ms: u64,
    /// Under way to it.
    there: Vec<u8>,
}

impl Board {
    fn new(node: &'static SpecimenNode) -> Self {
        let program = Program::new(node).expect("it is made once");
        let mut board = Self { node, program, driver: None, starts: 0, now_ms: 0, there: Vec::new() };
        board.start();
        board
    }

    fn start(&mut self) {
        self.starts += 1;
        self.driver = None;
        let memory = Box::leak(Box::new(Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG)));
        let nonces = Box::leak(Box::new(CounterNonce::new(5, self.starts)));
        let identity = Identity { name: &NAME, uid: 5, boot: self.starts.into(), nonces };
        self.driver = Some(self.node.line(memory, identity));
    }
}

impl Way for Board {
    fn now(&self) -> Instant {
        Instant::from_millis(self.now_ms)
    }

    fn step(&mut self, out: &[u8], into: &mut Vec<u8>) -> io::Result<Flow> {
        self.there.extend_from_slice(out);
        // What is written takes its time.
        loop {
            self.now_ms += 1;
            let now = Instant::from_millis(self.now_ms);
            let Some(driver) = &mut self.driver else { return Err(io::ErrorKind::NotConnected.into()) };
            let n = self.there.len().min(STEP);
            driver.feed(&self.there.drain(..n).collect::<Vec<_>>(), now);
            self.program.poll();
            let mut bytes = [0; STEP];
            let n = driver.drain(&mut bytes, now);
            into.extend_from_slice(&bytes[..n]);
            if self.there.is_empty() {
                return Ok(Flow::Open);
            }
        }
    }

    fn renew(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.start();
        Ok(())
    }
}

/// Puts all checks to it: what failed.
fn failures(way: &mut dyn Way) -> Vec<String> {
    let specimen = Specimen::board(*CONFIG.line());
    let run = |check: &netchan::testing::conformance::Check| {
        check.run(way, &specimen).err().map(|failure| format!("{}: {failure}", check.name))
    };
    ALL.iter().filter_map(run).collect()
}

#[test]
fn a_board_conforms() {
    static NODE: SpecimenNode = SpecimenNode::new(&CONFIG);
    assert_eq!(failures(&mut Board::new(&NODE)), [""; 0]);
}

#[test]
fn a_board_at_a_faulty_line_conforms() {
    let faults = Faults {
        flip: 4000,
        burst: 12_000,
        lose: 6000,
        insert: 6000,
        truncate: 8000,
        stall: 20_000,
        stall_us: 50_000,
        deaf: 20_000,
        deaf_us: 50_000,
        ..Faults::default()
    };
    static NODES: [SpecimenNode; 4] = [const { SpecimenNode::new(&CONFIG) }; 4];
    for (node, seed) in NODES.iter().zip(1..) {
        let mut way = Faulty { way: Board::new(node), line: FaultyLine::new(faults, seed) };
        assert_eq!(failures(&mut way), [""; 0], "seed {seed}");
        let count: u64 = way.line.wires.iter().map(|wire| wire.happened.faults()).sum();
        assert!(count > 0, "seed {seed}: the line had no faults");
    }
}
