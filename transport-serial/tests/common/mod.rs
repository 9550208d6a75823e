//! What the tests share: two ptys with a disturbed line between them.
#![allow(dead_code, unreachable_pub, reason = "each test target uses its part")]
#![cfg(unix)]

// The program's own: what it does is what the tests are about.
#[path = "../../src/bin/faulty-line/cable.rs"]
mod cable;

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use netchan::testing::Faults;
use netchan::{Client, Config, LinkError, LinkEvent, Message, Node, Peer, Reconnect, Server};
use netchan_serial::{self as serial, OpenError, Opening, Options};
use serde::{Deserialize, Serialize};

pub(crate) use cable::{Cable, Pty};

pub type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Far more than anything here takes on a busy machine: reaching it is a failure.
pub const SOON: Duration = Duration::from_secs(20);
/// What a machine that does other work may add to a bound. Without it, bounds are held on virtual clocks, in the core's tests.
pub const LOADED: Duration = Duration::from_millis(500);
/// How often something is tried that is quick on a machine that does nothing else.
pub const TRIES: usize = 5;

#[derive(Serialize, Deserialize, Message, Debug, PartialEq, Eq, Clone, Copy)]
pub struct Tick {
    pub n: u64,
}

pub fn tick(n: u64) -> Tick {
    Tick { n }
}

/// For ptys, which have no latency of their own.
pub fn options() -> Options {
    Options::new().baud(1_000_000).latency(Duration::from_millis(2))
}

/// Quick, for tests.
pub fn quick() -> Reconnect {
    Reconnect::new().pauses(Duration::from_millis(5), Duration::from_millis(50)).give_up_after(SOON)
}

/// Looks until there is something; fails the test when there never is.
#[track_caller]
pub fn eventually<R>(what: &str, mut look: impl FnMut() -> Option<R>) -> R {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// Why the next link of the node ended.
#[track_caller]
pub fn next_down(node: &Node) -> LinkError {
    eventually("a link ends", || match node.next_event()? {
        LinkEvent::Down { error, .. } => Some(error),
        _ => None,
    })
}

/// A thread whose end is waited for, but not for ever.
pub struct Task<R>(thread::JoinHandle<R>);

pub fn spawn<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> Task<R> {
    Task(thread::spawn(f))
}

impl<R> Task<R> {
    #[track_caller]
    pub fn join(self) -> R {
        eventually("the thread ends", || self.0.is_finished().then_some(()));
        self.0.join().expect("the thread does not panic")
    }
}

/// Both sides of a pty whose port a test opens.
pub trait Wires {
    /// Writes all of it to whoever has the port open.
    fn say(&self, bytes: &[u8]);
    /// What was written to the port.
    fn hear(&self) -> Vec<u8>;
}

impl Wires for Pty {
    fn say(&self, bytes: &[u8]) {
        let (mut left, start) = (bytes, Instant::now());
        while !left.is_empty() {
            left = &left[rustix::io::write(&self.master, left).unwrap_or(0)..];
            assert!(start.elapsed() < SOON, "nobody reads from the port");
        }
    }

    fn hear(&self) -> Vec<u8> {
        let mut bytes = [0; 4096];
        match rustix::io::read(&self.master, &mut bytes) {
            Ok(n) => bytes[..n].to_vec(),
            Err(_) => Vec::new(),
        }
    }
}

/// How tests make a line, and break it.
impl Cable {
    /// A line without faults that takes no time.
    pub fn new() -> Self {
        Self::disturbed(Faults::default(), 1)
    }

    /// A line with faults, by a seed, that takes no time.
    pub fn disturbed(faults: Faults, seed: u64) -> Self {
        Self::between(faults, seed, None).expect("two ptys and a directory")
    }

    /// Bits a second, as a UART takes them.
    pub fn baud(self, baud: u32) -> Self {
        for wire in &mut self.line().wires {
            wire.byte_ns = 10_000_000_000 / u64::from(baud);
        }
        self
    }

    /// What is written from now on is lost, in both directions, as it is when a wire breaks.
    pub fn deafen(&self) {
        for wire in &mut self.line().wires {
            wire.deaf_until = netchan::proto::Instant::NEVER;
        }
    }

    pub fn heal(&self) {
        self.line().heal();
    }
}

/// A station that serves one end of a cable, and a dashboard that opens the other one.
pub struct Pair {
    pub cable: Cable,
    pub station: Node,
    pub dashboard: Node,
    /// Of both sides.
    pub options: Options,
}

impl Pair {
    pub fn new(cable: Cable) -> Self {
        Self::with(cable, options())
    }

    pub fn with(cable: Cable, options: Options) -> Self {
        let station = station();
        serial::serve(&station, cable.port(1), options).expect("a pty");
        Self { cable, station, dashboard: Node::new("dashboard"), options }
    }

    pub fn opening(&self) -> Opening {
        serial::open(&self.dashboard, self.cable.port(0)).options(self.options)
    }

    pub fn open(&self) -> Result<Peer, OpenError> {
        self.opening().wait()
    }
}

/// A node that is left shows no patience: nothing here is to be waited for.
pub fn station() -> Node {
    Node::with_config("station", Config::default().linger(Duration::ZERO)).expect("a good name")
}

/// A node with a line to each of its visitors, and to one that must never notice what happens on
/// other lines: what the lessons that hold on every transport need.
pub struct Ground {
    pub node: Node,
    witness: Client<Tick, Tick>,
    _witness_node: Node,
    cables: Mutex<Vec<Cable>>,
}

impl Ground {
    pub fn new() -> Self {
        let node = Node::new("ground");
        let mut server: Server<Tick, Tick> = node.export("witness").expect("the first export");
        thread::spawn(move || {
            while let Ok(request) = server.recv().wait() {
                let n = request.n;
                let _ = request.reply(tick(n + 1)).wait();
            }
        });
        let cables = Mutex::new(Vec::new());
        let (witness_node, peer) = visit(&node, &cables);
        let witness = peer.import("witness").wait().expect("it is exported");
        let ground = Self { node, witness, _witness_node: witness_node, cables };
        ground.others_go_on();
        ground
    }

    /// Another node, and its link to this one, over a line of its own.
    pub fn visitor(&self) -> (Node, Peer) {
        visit(&self.node, &self.cables)
    }

    /// The link beside still works.
    #[track_caller]
    pub fn others_go_on(&self) {
        assert_eq!(self.witness.call(tick(1)).timeout(SOON).wait(), Ok(tick(2)), "another link is disturbed");
    }
}

/// A visitor on a line that now and then loses a byte.
fn visit(node: &Node, cables: &Mutex<Vec<Cable>>) -> (Node, Peer) {
    let mut cables = cables.lock().expect("nobody panics here");
    let faults = Faults { flip: 20_000, lose: 40_000, insert: 40_000, ..Faults::default() };
    let cable = Cable::disturbed(faults, cables.len() as u64);
    serial::serve(node, cable.port(1), options()).expect("a pty");
    let visitor = Node::new("visitor");
    let peer = serial::open(&visitor, cable.port(0)).options(options()).wait().expect("a link");
    cables.push(cable);
    (visitor, peer)
}
