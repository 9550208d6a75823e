//! The conformance suite, put to a board's node in this process: the program that also runs on the emulated boards, over a virtual
//! wire in virtual time. So each run is the same, and takes no longer than its computing.

#[path = "../../core/tests/conformance/deviant.rs"]
mod deviant;

use std::io;
use std::time::Duration;

use deviant::{Alter, Deviant, Fate, To, alter, becomes, bytes, loses};
use netchan::board::{Driver, Identity, Memory};
use netchan::proto::{CounterNonce, Frame, Handle, Instant, Name, Part, varint};
use netchan::testing::conformance::{ALL, Check, Failure, Faulty, Flow, Specimen, Way};
use netchan::testing::{Faults, FaultyLine};
use netchan_firmware_specimen::{CONFIG, Specimen as Program, SpecimenNode};

const NAME: Name = Name::literal("specimen");
/// Bytes that pass in each direction in one step, which takes a millisecond: 115 200 baud.
const STEP: usize = 11;
/// What one step may take.
const SLACK: Duration = Duration::from_secs(1);

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
    /// With a node of its own.
    fn alone() -> Self {
        Self::new(Box::leak(Box::new(SpecimenNode::new(&CONFIG))))
    }

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
    let run =
        |check: &Check| check.run(way, &specimen).err().map(|failure| format!("{}: {failure}", check.name));
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
        duplicate: 8000,
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
        for wire in &way.line.wires {
            let happened = wire.happened;
            assert!(happened.duplicates > 0 && happened.flips > 0, "seed {seed}: {happened:?}");
        }
    }
}

#[test]
fn each_check_finds_the_deviation_that_is_planted_for_it_on_a_line() {
    let specimen = Specimen::board(*CONFIG.line());
    // A way that alters nothing is none that a check would fail at.
    let mut way = Deviant::on_line(Board::alone(), *CONFIG.line(), alter(To::Suite, |_, _| Fate::Passes));
    assert_eq!(failures(&mut way), [""; 0]);
    let is_blind = |check: &&Check| {
        let planted = deviant::planted_on_line(check.name);
        let mut way = Deviant::on_line(Board::alone(), *CONFIG.line(), planted);
        check.ask(&mut way, &specimen).is_ok()
    };
    let blind: Vec<_> = ALL.iter().filter(is_blind).map(|check| check.name).collect();
    assert_eq!(blind, [""; 0]);
}

/// With each third sign of life comes another value by this circuit, as its importer has opened it; what the specimen says by it itself is lost.
fn babbles(by: &'static str, mut value: impl FnMut() -> Vec<u8> + Send + 'static) -> (bool, Alter) {
    let (mut handle, mut beats): (Option<Handle>, u32) = (None, 0);
    alter(To::Suite, move |name, frame| match frame {
        Frame::Accept(of, _) if name == by => {
            handle = Some(*of);
            Fate::Passes
        }
        Frame::Data(..) if name == by => Fate::IsLost,
        Frame::Beat => {
            beats += 1;
            match handle {
                Some(of) if beats.is_multiple_of(3) => {
                    Fate::Brings(bytes(&Frame::Data(of, Part::Whole, &value())))
                }
                _ => Fate::Passes,
            }
        }
        _ => Fate::Passes,
    })
}

/// Each of these waits for something that does not come, while something else comes for ever.
#[test]
fn a_specimen_that_says_something_for_ever_keeps_no_check() {
    let specimen = Specimen::board(*CONFIG.line());
    let mut next = 0;
    let numbers = move || {
        next += 1;
        let mut bytes = [0; varint::MAX_LEN];
        let used = varint::put(&mut bytes, 0, next - 1);
        bytes[..used].to_vec()
    };
    let hellos = alter(To::Suite, |_, frame| match frame {
        // It is heard once in a quarter of an hour, it says.
        Frame::Hello(hello) => becomes(&Frame::Hello(netchan::proto::Hello { hear_ms: 450_000, ..*hello })),
        _ => Fate::Passes,
    });
    let planted: [(&str, &str, (bool, Alter)); 5] = [
        ("none_is_stale_after_a_long_time_without_credit", "Differs", babbles("newest", || vec![100])),
        ("a_call_that_is_cancelled_is_answered_once", "Differs", babbles("double", || vec![1, 0, 14])),
        ("values_come_in_order_with_a_large_window", "Late", babbles("source", numbers)),
        ("it_is_heard_as_often_as_it_has_promised", "Differs", hellos),
        ("an_idle_link_stays", "Vain", loses(To::Suite, |_, frame| !matches!(frame, Frame::Beat))),
    ];
    for (name, how, planted) in planted {
        let mut way = Deviant::on_line(Board::alone(), *CONFIG.line(), planted);
        let (check, start) = (Check::named(name).unwrap(), way.now());
        let failure = check.run(&mut way, &specimen).expect_err(name);
        assert!(format!("{failure:?}").starts_with(how), "{name}: {failure}");
        // The last step may have begun just before.
        let took = way.now().since(start);
        assert!(took <= check.bound(&specimen) + SLACK, "{name}: {failure}, after {took:?}");
        assert_eq!(matches!(failure, Failure::Late { .. }), how == "Late", "{name}: {failure}");
    }
}

#[test]
fn a_name_of_no_check_is_an_error_that_lists_them() {
    let error = Check::matching("no_such_check").unwrap_err();
    assert!(error.contains("no_such_check"), "{error}");
    assert!(ALL.iter().all(|check| error.contains(check.name)), "{error}");
    assert_eq!(Check::matching("").unwrap().len(), ALL.len());
    assert_eq!(Check::matching("an_idle_link").unwrap().len(), 1);
}
