//! How much of its line a board's channels get, by their depth: bulk in one direction at 115 200 baud, on a virtual clock, so that a figure
//! here can be a test. The line is fed and drained each millisecond; the program looks as often as a test says.
#![expect(clippy::print_stdout, reason = "figures, for who wants them")]

use std::collections::VecDeque;

use netchan::board::{Config, Driver, Identity, Memory, Node, Receiver, Sender};
use netchan::proto::{CounterNonce, Fingerprints, Instant, LineConfig, LinkConfig, Name, Open, OpenFlags};
use netchan::testing::{Node as Peer, Outcome, Port, Stage, identity};
use netchan::{Blob, Message};

const BAUD: u64 = 115_200;
/// A byte on the line takes ten bits.
const BYTES_PER_SECOND: u64 = BAUD / 10;
const LINE: LineConfig = LineConfig::uart(115_200, 2, 240, 4);
const NARROW: LineConfig = LineConfig::uart(115_200, 2, 64, 2);
const STEP_US: u64 = 1000;
const SECONDS: u64 = 20;
const NAME: Name = Name::literal("board");

/// How often the program looks at its channel, and what bytes take each way, in milliseconds: as over a USB adapter.
#[derive(Clone, Copy)]
struct Pace {
    looks: u64,
    latency: usize,
}

const QUICK: Pace = Pace { looks: 1, latency: 0 };
const SLOW: Pace = Pace { looks: 10, latency: 0 };
const ADAPTER: Pace = Pace { looks: 1, latency: 8 };

/// A board, its line, and a host's link at the other end.
struct Bench<'m> {
    board: Driver<'m>,
    peer: Peer,
    now: u64,
    pace: Pace,
    /// What is under way, a millisecond in each place.
    to_peer: VecDeque<Vec<u8>>,
    to_board: VecDeque<Vec<u8>>,
    /// Bytes that the line had time for, in each direction.
    passed: u64,
}

impl<'m> Bench<'m> {
    fn new(board: Driver<'m>, line: LineConfig, pace: Pace) -> Self {
        let link = LinkConfig::line(identity("host", 9), &line, 8);
        let mut peer = Peer::new(link, 7, Instant::ZERO);
        peer.port = Port::on_line(link, line, 7, Instant::ZERO);
        (peer.window, peer.limit) = (64 * 1024, 4096);
        let under_way = || VecDeque::from(vec![Vec::new(); pace.latency]);
        Self { board, peer, now: 0, pace, to_peer: under_way(), to_board: under_way(), passed: 0 }
    }

    fn step(&mut self) {
        self.now += STEP_US;
        let now = Instant::from_micros(self.now);
        let room = (self.now * BYTES_PER_SECOND / 1_000_000 - self.passed) as usize;
        self.passed += room as u64;
        self.peer.tick(now);
        let to_peer = self.to_peer.pop_front().unwrap_or_default();
        self.peer.receive(&to_peer);
        self.peer.pump();
        self.to_board.push_back(self.peer.port.transmit_some(room));
        let to_board = self.to_board.pop_front().unwrap_or_default();
        self.board.feed(&to_board, now);
        let mut out = [0; 16];
        let n = self.board.drain(&mut out[..room], now);
        self.to_peer.push_back(out[..n].to_vec());
    }

    /// The host imports it, and its circuit is open.
    fn import(&mut self, flags: OpenFlags, fingerprint: u64) -> usize {
        while !self.board.is_up() || !self.peer.port.is_up() {
            self.step();
        }
        let receives = flags.has(OpenFlags::RECEIVES);
        let (credit, limit) = if receives { (self.peer.window, self.peer.limit) } else { (0, 0) };
        let (name, type_name) = ("bulk", "test");
        let fingerprints = Fingerprints::new(fingerprint, &[]);
        let (wait_ms, values, route, body) = (0, 0, None, None);
        let open = Open { flags, wait_ms, credit, limit, values, name, fingerprints, type_name, route, body };
        let id = self.peer.open_as(&open).expect("room for the open");
        while self.peer.circuits[id].stage != Stage::Open {
            self.step();
        }
        id
    }

    /// Bytes of messages in percent of what the line carries, where `turn` passes so many in a step.
    fn percent(&mut self, mut turn: impl FnMut(&mut Self) -> usize) -> f64 {
        let (mut bytes, mut from) = (0, 0);
        for millis in 0..SECONDS * 1000 {
            if millis == 1000 {
                (bytes, from) = (0, self.passed);
            }
            if millis % self.pace.looks == 0 {
                bytes += turn(self);
            }
            self.step();
        }
        assert!(self.board.is_up(), "the session holds");
        bytes as f64 * 100.0 / (self.passed - from) as f64
    }
}

/// Values that a host sends to a board, of which the program takes what is there.
macro_rules! to_board {
    ($pace:expr, $line:expr, $len:expr, $depth:expr) => {{
        type Value = Blob<{ $len }>;
        const CONFIG: Config = Config::new($line).export::<Receiver<Value>>($depth);
        static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);
        let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
        let mut nonces = CounterNonce::new(1, 1);
        let identity = Identity { name: &NAME, uid: 1, boot: 1, nonces: &mut nonces };
        let mut bench = Bench::new(NODE.line(&mut memory, identity), $line, $pace);
        let mut receiver: Receiver<Value> = NODE.export_with("bulk", $depth).unwrap();
        let id = bench.import(OpenFlags::SENDS, Value::FINGERPRINT.get());
        let value = Value::try_from(&[0x5a; $len][..]).unwrap();
        let mut encoded = Vec::new();
        value.encode_to(&mut encoded).unwrap();
        let percent = bench.percent(|bench| {
            while bench.peer.circuits[id].outbox.len() < 40 {
                bench.peer.send(id, encoded.clone());
            }
            let mut bytes = 0;
            while let Ok(value) = receiver.try_recv() {
                bytes += value.len();
            }
            bytes
        });
        said("host to board", $pace, $line, ($len, $depth), percent)
    }};
}

/// Values that a board sends to a host, as many as there is room for.
macro_rules! to_host {
    ($pace:expr, $line:expr, $len:expr, $depth:expr) => {{
        type Value = Blob<{ $len }>;
        const CONFIG: Config = Config::new($line).export::<Sender<Value>>($depth);
        static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);
        let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
        let mut nonces = CounterNonce::new(1, 1);
        let identity = Identity { name: &NAME, uid: 1, boot: 1, nonces: &mut nonces };
        let mut bench = Bench::new(NODE.line(&mut memory, identity), $line, $pace);
        let sender: Sender<Value> = NODE.export_with("bulk", $depth).unwrap();
        let id = bench.import(OpenFlags::RECEIVES, Value::FINGERPRINT.get());
        let value = Value::try_from(&[0x5a; $len][..]).unwrap();
        let percent = bench.percent(|bench| {
            while sender.try_send(value).is_ok() {}
            let mut bytes = 0;
            while let Outcome::Value(_) = bench.peer.take(id) {
                bytes += $len;
            }
            bytes
        });
        said("board to host", $pace, $line, ($len, $depth), percent)
    }};
}

fn said(what: &str, pace: Pace, line: LineConfig, (len, depth): (usize, u16), percent: f64) -> f64 {
    let (Pace { looks, latency }, packet) = (pace, line.packet);
    println!(
        "{what}, a look in {looks} ms, {latency} ms each way, packets of {packet}, {depth} messages of {len}: {percent:.1} %"
    );
    percent
}

/// What an inbox is to hold for the full rate of its line, in messages: two packets, and what the line brings between two looks of the program
/// and while bytes are under way, there and back;
/// two messages at least.
const fn deep(pace: Pace, line: LineConfig, each: usize) -> u16 {
    let under_way = (pace.looks + 2 * pace.latency as u64) * BYTES_PER_SECOND / 1000;
    let messages = (2 * line.packet as usize + under_way as usize).div_ceil(each) as u16;
    if messages < 2 { 2 } else { messages }
}

/// How deep that is for values of so many bytes, and that such a board gets nine tenths at least of what the line has for the deepest.
macro_rules! is_enough {
    ($pace:expr, $line:expr, $len:expr) => {{
        const EACH: usize = Config::new($line).export::<Receiver<Blob<{ $len }>>>(1).bytes();
        const DEEP: u16 = deep($pace, $line, EACH);
        let most = to_board!($pace, $line, $len, 4 * DEEP);
        let percent = to_board!($pace, $line, $len, DEEP);
        assert!(percent >= 0.9 * most, "{percent:.1} % of {most:.1} %");
        percent
    }};
}

#[test]
fn an_inbox_of_two_packets_and_what_is_under_way_takes_nine_tenths_of_its_line() {
    assert!(is_enough!(QUICK, LINE, 16) >= 80.0);
    assert!(is_enough!(QUICK, LINE, 128) >= 90.0);
    assert!(is_enough!(QUICK, LINE, 1000) >= 90.0);
    is_enough!(SLOW, LINE, 16);
    is_enough!(SLOW, LINE, 128);
    is_enough!(SLOW, LINE, 1000);
    is_enough!(ADAPTER, LINE, 16);
    is_enough!(ADAPTER, LINE, 128);
    is_enough!(ADAPTER, LINE, 1000);
    is_enough!(QUICK, NARROW, 16);
    is_enough!(QUICK, NARROW, 50);
    is_enough!(SLOW, NARROW, 50);
    is_enough!(ADAPTER, NARROW, 50);
}

#[test]
fn two_short_messages_are_enough_to_talk_and_not_for_bulk() {
    let [two, eight, more] =
        [to_board!(QUICK, LINE, 16, 2), to_board!(QUICK, LINE, 16, 8), to_board!(QUICK, LINE, 16, 32)];
    assert!(two < 0.6 * more && eight < 0.9 * more, "{two:.1} %, {eight:.1} % and {more:.1} %");
}

#[test]
fn what_a_board_sends_fills_its_line_with_two_messages() {
    for (two, more) in [
        (to_host!(QUICK, LINE, 16, 2), to_host!(QUICK, LINE, 16, 32)),
        (to_host!(QUICK, LINE, 128, 2), to_host!(QUICK, LINE, 128, 16)),
        (to_host!(QUICK, LINE, 1000, 2), to_host!(QUICK, LINE, 1000, 4)),
        (to_host!(ADAPTER, LINE, 16, 2), to_host!(ADAPTER, LINE, 16, 32)),
        (to_host!(QUICK, NARROW, 50, 2), to_host!(QUICK, NARROW, 50, 16)),
    ] {
        assert!(two >= 0.99 * more, "{two:.1} % of {more:.1} %");
    }
}
