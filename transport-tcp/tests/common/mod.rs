//! What the tests against mistakes and hostile peers share.
#![allow(dead_code, unreachable_pub, reason = "each test target uses its part")]

pub mod cable;
pub mod raw;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};
use std::thread;
use std::time::{Duration, Instant};

use netchan::{Client, Config, LinkError, LinkEvent, Message, Node, Peer, Server};
use netchan_tcp as tcp;
use serde::{Deserialize, Serialize};

pub type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Far more than anything here takes on a busy machine: reaching it is a failure.
pub const SOON: Duration = Duration::from_secs(10);

#[derive(Serialize, Deserialize, Message, Debug, PartialEq, Eq, Clone, Copy)]
pub struct Tick {
    pub n: u64,
}

pub fn tick(n: u64) -> Tick {
    Tick { n }
}

/// How long a test goes on that does things by chance; with `NETCHAN_LONG=1` twenty times as long.
pub fn by_chance_for() -> Duration {
    Duration::from_secs(if std::env::var_os("NETCHAN_LONG").is_some() { 60 } else { 3 })
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
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    #[track_caller]
    pub fn join(self) -> R {
        eventually("the thread ends", || self.0.is_finished().then_some(()));
        self.0.join().expect("the thread does not panic")
    }
}

/// No thread of netchan panics while this lives.
pub struct Calm {
    before: usize,
}

static PANICS: AtomicUsize = AtomicUsize::new(0);
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

pub fn calm() -> Calm {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if thread::current().name().is_some_and(|name| name.starts_with("netchan")) {
                PANICS.fetch_add(1, Ordering::SeqCst);
                *LAST_PANIC.lock().expect("nobody panics here") = info.to_string();
            }
            usual(info);
        }));
    });
    Calm { before: PANICS.load(Ordering::SeqCst) }
}

impl Drop for Calm {
    fn drop(&mut self) {
        let now = PANICS.load(Ordering::SeqCst);
        if !thread::panicking() && now != self.before {
            panic!("a thread of netchan panicked: {}", LAST_PANIC.lock().expect("nobody panics here"));
        }
    }
}

/// A node that listens, and a second one that is linked to it and must never notice what
/// happens on other links.
pub struct Ground {
    pub node: Node,
    pub address: SocketAddr,
    witness: Client<Tick, Tick>,
    witness_peer: Peer,
    _witness_node: Node,
    _calm: Calm,
}

impl Ground {
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    pub fn with(config: Config) -> Self {
        let calm = calm();
        let node = Node::with_config("ground", config).expect("a good name");
        let address = tcp::listen(&node, "127.0.0.1:0").expect("loopback").address();
        let mut server: Server<Tick, Tick> = node.export("witness").expect("the first export");
        thread::spawn(move || {
            while let Ok(request) = server.recv().wait() {
                let n = request.n;
                let _ = request.reply(tick(n + 1)).wait();
            }
        });
        let witness_node = Node::new("witness");
        let peer = tcp::connect(&witness_node, address).wait().expect("a link");
        let witness = peer.import("witness").wait().expect("it is exported");
        let ground =
            Self { node, address, witness, witness_peer: peer, _witness_node: witness_node, _calm: calm };
        ground.others_go_on();
        ground
    }

    /// Another honest node, and its link to this one.
    pub fn visitor(&self) -> (Node, Peer) {
        let node = Node::new("visitor");
        let peer = tcp::connect(&node, self.address).wait().expect("a link");
        (node, peer)
    }

    /// The link beside still works.
    #[track_caller]
    pub fn others_go_on(&self) {
        assert_eq!(self.witness.call(tick(1)).timeout(SOON).wait(), Ok(tick(2)), "another link is disturbed");
        assert!(self.witness_peer.is_up());
    }

    /// The next link to end did so for this reason, and no other link noticed.
    #[track_caller]
    pub fn ends_with(&self, error: impl Into<LinkError>) {
        assert_eq!(next_down(&self.node), error.into());
        self.others_go_on();
    }
}

/// Numbers that look random and are the same in every run with this seed.
pub struct Rng(u64);

impl Rng {
    /// With a seed of this run, printed so that a failure can be had again.
    #[expect(clippy::print_stdout, reason = "shown only when the test fails")]
    pub fn new(name: &str) -> Self {
        let seed = std::env::var("NETCHAN_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok())
            .unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64));
        println!("{name}: NETCHAN_SEED={seed}");
        Self(seed | 1)
    }

    /// Another sequence, for another thread.
    pub fn fork(&mut self) -> Self {
        Self(self.next() | 1)
    }

    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}
