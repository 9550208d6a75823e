//! A board with two lines between two others that want the same things of it, over lines that are pulled: by a seed.
//!
//! What is looked for: a value that reaches somebody for whom it was not, or twice, or out of order; an
//! answer to another question; an export that is free and that nobody can have.

use std::collections::BTreeSet;
use std::time::Duration;

use netchan::board::{
    CallError, CallId, Client, Config, Driver, Duplex, Identity, LineId, Memory, Node, Receiver, RecvError,
    Request, SendCause, SendError, Sender, Server,
};
use netchan::proto::{CounterNonce, LineConfig, Name};
use netchan::testing::{Clock, Rng, WireEnd, wire_at};

const LINE: LineConfig = LineConfig::uart(115_200, 2, 64, 2);
const WIDE: LineConfig = LineConfig::uart(115_200, 2, 120, 4);
const CHAOS_MS: u32 = 12_000;
const PATIENCE_MS: u32 = 15_000;

const MIDDLE: Config = Config::new(LINE)
    .export::<Sender<u32>>(2)
    .export::<Duplex<u32, u32>>(2)
    .export::<Server<u32, u32>>(2)
    .import::<Receiver<u32>>(2)
    .import::<Receiver<u32>>(2);
const SECOND: Config = MIDDLE.over(WIDE);
const SIDE: Config = Config::new(LINE)
    .export::<Sender<u32>>(2)
    .import::<Receiver<u32>>(2)
    .import::<Duplex<u32, u32>>(2)
    .import::<Client<u32, u32>>(2);

type MiddleNode = Node<{ MIDDLE.channels() }, { MIDDLE.bytes() }>;
type SideNode = Node<{ SIDE.channels() }, { SIDE.bytes() }>;

fn leak<T>(value: T) -> &'static mut T {
    Box::leak(Box::new(value))
}

fn identity(name: &str, nonce: u32) -> Identity<'static> {
    let name = leak(Name::new(name).unwrap());
    Identity { name, uid: nonce.into(), boot: 1, nonces: leak(CounterNonce::new(nonce.into(), nonce)) }
}

/// Seeds that once failed: each is the story of a bug.
const REGRESSIONS: &[u64] = &[
    // The line of a circuit that was over accepted the next one, which was the other line's.
    658,
];

/// The board in the middle.
struct Middle {
    numbers: Sender<u32>,
    next: u32,
    talk: Duplex<u32, u32>,
    to_say: Option<u32>,
    sum: Server<u32, u32>,
    requests: Vec<Request<u32, u32>>,
    /// Its program does something else for so long, in milliseconds, and the lines go on.
    pause: usize,
    from: [Receiver<u32>; 2],
    /// What comes next from each side, if that is known.
    expected: [Option<u32>; 2],
}

/// One of the others.
struct Side {
    node: &'static SideNode,
    number: u32,
    level: Sender<u32>,
    next_level: u32,
    numbers: Option<Receiver<u32>>,
    last: Option<u32>,
    talk: Option<Duplex<u32, u32>>,
    said: u32,
    heard: u32,
    sum: Option<Client<u32, u32>>,
    calls: Vec<(CallId, u32)>,
    /// What it has had of everything.
    had: [u32; 3],
}

struct World {
    rng: Rng,
    clock: Clock,
    lines: Vec<(Driver<'static>, WireEnd)>,
    middle: Middle,
    sides: [Side; 2],
    taken: BTreeSet<u32>,
    levels: u32,
}

impl Middle {
    fn turn(&mut self, rng: &mut Rng, levels: &mut u32) {
        if rng.one_in(3) && self.numbers.try_send(self.next).is_ok() {
            self.next += 1;
        }
        match self.to_say.take() {
            Some(value) => {
                // To one who has left there is nothing to say.
                let is_full = |error: SendError<u32>| error.cause == SendCause::Full;
                self.to_say = self.talk.try_send(value).is_err_and(is_full).then_some(value);
            }
            None => match self.talk.try_recv() {
                Ok(value) => self.to_say = Some(value),
                Err(RecvError::Left { .. }) | Err(RecvError::Empty) => {}
                Err(error) => panic!("{error}"),
            },
        }
        if let Ok(request) = self.sum.try_recv() {
            self.requests.push(request);
        }
        if !self.requests.is_empty() && rng.one_in(3) {
            let request = self.requests.swap_remove(rng.below(self.requests.len()));
            let n = *request;
            if !rng.one_in(5) {
                let _ = request.reply(n.wrapping_mul(2));
            }
        }
        for (side, (from, expected)) in self.from.iter_mut().zip(&mut self.expected).enumerate() {
            match from.try_recv() {
                Ok(value) => {
                    assert_eq!((value >> 24) as usize, side, "from the line that the import names");
                    assert!(expected.is_none_or(|expected| expected == value), "in order");
                    *expected = Some(value + 1);
                    *levels += 1;
                }
                Err(RecvError::Interrupted { .. }) => *expected = None,
                Err(RecvError::Empty) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

impl Side {
    fn turn(&mut self, rng: &mut Rng, taken: &mut BTreeSet<u32>, calm: bool) {
        if self.level.try_send(self.number << 24 | self.next_level).is_ok() {
            self.next_level += 1;
        }
        if !calm {
            self.come_and_go(rng);
        }
        if let Some(numbers) = &mut self.numbers {
            match numbers.try_recv() {
                Ok(value) => {
                    assert!(self.last.is_none_or(|last| last + 1 == value), "{value} after {:?}", self.last);
                    assert!(taken.insert(value), "{value} was somebody's before");
                    self.last = Some(value);
                    self.had[0] += 1;
                }
                Err(RecvError::Empty) => {}
                Err(RecvError::Interrupted { .. }) => self.last = None,
                Err(error) => panic!("{error}"),
            }
        }
        if let Some(talk) = &mut self.talk {
            // Told once that a session is over: what is sent next is heard in the next one.
            if talk.try_send(self.number << 24 | self.said).is_ok() {
                self.said += 1;
            }
            match talk.try_recv() {
                Ok(value) => {
                    assert_eq!(value >> 24, self.number, "the answer to somebody else");
                    let value = value & 0xff_ffff;
                    assert!(value >= self.heard && value < self.said, "{value} after {}", self.heard);
                    self.heard = value + 1;
                    self.had[1] += 1;
                }
                Err(RecvError::Empty | RecvError::Interrupted { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        self.call(rng);
    }

    fn call(&mut self, rng: &mut Rng) {
        let Some(sum) = &mut self.sum else { return };
        let question = self.number << 24 | rng.below(1000) as u32;
        if let Ok(id) = sum.try_call(question) {
            self.calls.push((id, question));
        }
        let mut ask = |id: CallId| {
            let at = self.calls.iter().position(|(call, _)| *call == id);
            self.calls.swap_remove(at.expect("it was asked, and not answered")).1
        };
        match sum.try_reply() {
            Ok((id, reply)) => {
                assert_eq!(reply, ask(id).wrapping_mul(2), "the answer to this question");
                self.had[2] += 1;
            }
            Err(CallError::Refused(id, _)) => {
                ask(id);
            }
            Err(CallError::Dead(_)) => self.calls.clear(),
            Err(CallError::Empty) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn come_and_go(&mut self, rng: &mut Rng) {
        if rng.one_in(300) {
            self.numbers = None;
            self.last = None;
        }
        if rng.one_in(300) {
            self.talk = None;
        }
        if rng.one_in(300) {
            self.sum = None;
            self.calls.clear();
        }
        if rng.one_in(100) {
            self.want();
        }
    }

    /// Imports what it does not have; where the one before is still closing there is no room yet.
    fn want(&mut self) {
        if self.numbers.is_none() {
            self.numbers = self.node.import("numbers").ok();
        }
        if self.talk.is_none() {
            self.talk = self.node.import("talk").ok();
        }
        if self.sum.is_none() {
            self.sum = self.node.import("sum").ok();
        }
    }

    fn give_up(&mut self) {
        (self.numbers, self.talk, self.sum, self.last) = (None, None, None, None);
        self.calls.clear();
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let clock = Clock::manual();
        let (first, second) = (wire_at(&clock), wire_at(&clock));
        let middle: &'static MiddleNode = leak(Node::new(&MIDDLE));
        let lines = vec![
            (
                middle.line(leak(Memory::<{ MIDDLE.line_bytes() }>::new(&MIDDLE)), identity("middle", 1)),
                first.0,
            ),
            (
                middle.second_line(
                    leak(Memory::<{ SECOND.line_bytes() }>::new(&SECOND)),
                    identity("middle", 2),
                ),
                second.0,
            ),
        ];
        let mut world = Self {
            rng: Rng::new(seed),
            clock,
            lines,
            middle: Middle {
                numbers: middle.export("numbers").unwrap(),
                next: 0,
                talk: middle.export("talk").unwrap(),
                to_say: None,
                sum: middle.export("sum").unwrap(),
                requests: Vec::new(),
                pause: 0,
                from: [
                    middle.import("level").unwrap(),
                    middle.import_from(LineId::Second, "level-too", 2).unwrap(),
                ],
                expected: [None; 2],
            },
            sides: [Self::side(0, "level"), Self::side(1, "level-too")],
            taken: BTreeSet::new(),
            levels: 0,
        };
        for (number, uart) in [(0, first.1), (1, second.1)] {
            let memory = leak(Memory::<{ SIDE.line_bytes() }>::new(&SIDE));
            let who = identity(["left", "right"][number], 3 + number as u32);
            world.lines.push((world.sides[number].node.line(memory, who), uart));
        }
        world
    }

    fn side(number: u32, level: &'static str) -> Side {
        let node: &'static SideNode = leak(Node::new(&SIDE));
        Side {
            node,
            number,
            level: node.export(level).unwrap(),
            next_level: 0,
            numbers: None,
            last: None,
            talk: None,
            said: 0,
            heard: 0,
            sum: None,
            calls: Vec::new(),
            had: [0; 3],
        }
    }

    fn step(&mut self, calm: bool) {
        self.clock.pass(Duration::from_millis(1));
        let now = self.clock.now();
        if self.middle.pause > 0 && !calm {
            self.middle.pause -= 1;
        } else {
            self.middle.turn(&mut self.rng, &mut self.levels);
        }
        for side in &mut self.sides {
            side.turn(&mut self.rng, &mut self.taken, calm);
        }
        for (line, uart) in &mut self.lines {
            let mut bytes = [0; 11];
            let n = uart.read(&mut bytes);
            line.feed(&bytes[..n], now);
            let n = line.drain(&mut bytes, now);
            uart.write(&bytes[..n]);
        }
    }

    fn run(mut self) -> [u32; 4] {
        let mut back_in = [0_u32; 2];
        for _ in 0..CHAOS_MS {
            self.step(false);
            if self.rng.one_in(2_000) {
                self.middle.pause = self.rng.below(2_500);
            }
            for (line, back_in) in back_in.iter_mut().enumerate() {
                *back_in = match *back_in {
                    0 if self.rng.one_in(3_000) => {
                        self.lines[line].1.unplug();
                        1 + self.rng.below(4_000) as u32
                    }
                    0 => 0,
                    1 => {
                        self.lines[line].1.plug_in();
                        0
                    }
                    more => more - 1,
                };
            }
        }
        self.lines.iter().for_each(|(_, uart)| uart.plug_in());
        // Whoever wants it now gets everything, one after the other.
        for side in [0, 1, 0] {
            self.sides.iter_mut().for_each(Side::give_up);
            let (had, mut left) = (self.sides[side].had, PATIENCE_MS);
            while (0..3).any(|what| self.sides[side].had[what] < had[what] + 5) {
                left -= 1;
                let side = &mut self.sides[side];
                assert!(left > 0, "{side:?}, {:?}", self.lines);
                side.want();
                self.step(true);
            }
        }
        let [left, right] = self.sides.map(|side| side.had);
        [left[0] + right[0], left[1] + right[1], left[2] + right[2], self.levels]
    }
}

impl std::fmt::Debug for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let has = (self.numbers.is_some(), self.talk.is_some(), self.sum.is_some());
        f.debug_struct("Side")
            .field("number", &self.number)
            .field("has", &has)
            .field("had", &self.had)
            .finish()
    }
}

/// Says which seed it was.
struct Guard(u64);

impl Drop for Guard {
    #[expect(clippy::print_stderr, reason = "for who looks for the bug")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed is {}", self.0);
        }
    }
}

#[test]
fn two_boards_want_the_same_of_a_third() {
    let seeds = if std::env::var_os("NETCHAN_LONG").is_some() { 1000 } else { 40 };
    let mut sum = [0; 4];
    for seed in REGRESSIONS.iter().copied().chain(0..seeds) {
        let _guard = Guard(seed);
        let had = World::new(seed).run();
        sum.iter_mut().zip(had).for_each(|(sum, had)| *sum += had);
    }
    assert!(
        sum.iter().all(|&many| many > 100 * seeds as u32),
        "{sum:?}: where nothing happens nothing is proved"
    );
}
