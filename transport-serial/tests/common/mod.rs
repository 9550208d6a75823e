//! What the tests share: two ptys with a disturbed line between them.
#![allow(dead_code, unreachable_pub, reason = "each test target uses its part")]
#![cfg(unix)]

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use netchan::testing::{Faults, FaultyLine};
use netchan::{Client, Config, LinkError, LinkEvent, Message, Node, Peer, Reconnect, Server, proto};
use netchan_serial::{self as serial, OpenError, Opening, Options};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, fcntl_setfl, open as open_file};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use serde::{Deserialize, Serialize};

pub type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Far more than anything here takes on a busy machine: reaching it is a failure.
pub const SOON: Duration = Duration::from_secs(20);

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

/// A pseudo-terminal: a port for a program, and the wires behind it.
pub struct Pty {
    pub master: OwnedFd,
    pub path: PathBuf,
    /// Keeps the wires up while no program has the port open.
    slave: OwnedFd,
}

impl Pty {
    pub fn new() -> io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let path = PathBuf::from(ptsname(&master, Vec::new())?.into_string().map_err(io::Error::other)?);
        let slave = open_file(&path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        // Nobody echoes, also before the port is opened.
        let mut modes = tcgetattr(&slave)?;
        modes.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &modes)?;
        fcntl_setfl(&master, OFlags::NONBLOCK)?;
        Ok(Self { master, path, slave })
    }

    /// Writes all of it to whoever has the port open.
    pub fn say(&self, bytes: &[u8]) {
        let mut left = bytes;
        while !left.is_empty() {
            left = &left[rustix::io::write(&self.master, left).unwrap_or(0)..];
        }
    }

    /// What was written to the port.
    pub fn hear(&self) -> Vec<u8> {
        let mut bytes = [0; 4096];
        match rustix::io::read(&self.master, &mut bytes) {
            Ok(n) => bytes[..n].to_vec(),
            Err(_) => Vec::new(),
        }
    }
}

/// A line between two ports, `port(0)` and `port(1)`, which can be disturbed and unplugged.
pub struct Cable {
    shared: Arc<Shared>,
    dir: PathBuf,
    proxy: Option<thread::JoinHandle<()>>,
    /// Dropped to end the proxy.
    alarm: Option<io::PipeWriter>,
}

struct Shared {
    ends: Mutex<[Option<Arc<Pty>>; 2]>,
    line: Mutex<FaultyLine>,
    epoch: Instant,
}

impl Shared {
    fn now(&self) -> proto::Instant {
        proto::Instant::ZERO + self.epoch.elapsed()
    }
}

impl Cable {
    /// A line without faults that takes no time.
    pub fn new() -> Self {
        Self::disturbed(Faults::default(), 1)
    }

    /// A line with faults, by a seed, that takes no time.
    pub fn disturbed(faults: Faults, seed: u64) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("netchan-cable-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(&dir).expect("a directory");
        let shared = Arc::new(Shared {
            ends: Mutex::new([None, None]),
            line: Mutex::new(FaultyLine::new(faults, seed)),
            epoch: Instant::now(),
        });
        let (listen, alarm) = io::pipe().expect("a pipe");
        let own = Arc::clone(&shared);
        let proxy = thread::spawn(move || carry(&own, &listen));
        let cable = Self { shared, dir, proxy: Some(proxy), alarm: Some(alarm) };
        cable.plug(0);
        cable.plug(1);
        cable
    }

    /// Bits a second, as a UART takes them.
    pub fn baud(self, baud: u32) -> Self {
        for wire in &mut self.line().wires {
            wire.byte_ns = 10_000_000_000 / u64::from(baud);
        }
        self
    }

    /// Both directions.
    pub fn line(&self) -> MutexGuard<'_, FaultyLine> {
        self.shared.line.lock().expect("nobody panics here")
    }

    /// What is written from now on is lost, in both directions, as it is when a wire breaks.
    pub fn deafen(&self) {
        for wire in &mut self.line().wires {
            wire.deaf_until = proto::Instant::NEVER;
        }
    }

    /// The time of the line.
    pub fn passed(&self) -> Duration {
        self.shared.epoch.elapsed()
    }

    pub fn heal(&self) {
        self.line().heal();
    }

    /// What to open at an end.
    pub fn port(&self, end: usize) -> PathBuf {
        self.dir.join(format!("port-{end}"))
    }

    /// The USB plug of an end is pulled: the port is gone.
    pub fn unplug(&self, end: usize) {
        let _ = fs::remove_file(self.port(end));
        self.shared.ends.lock().expect("nobody panics here")[end] = None;
    }

    /// And put in again: another port.
    pub fn plug(&self, end: usize) {
        let pty = Pty::new().expect("a pty");
        symlink(&pty.path, self.port(end)).expect("a free name");
        self.shared.ends.lock().expect("nobody panics here")[end] = Some(Arc::new(pty));
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.alarm = None;
        let _ = self.proxy.take().expect("once").join();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The longest that the proxy does not look whether a plug has moved.
const LOOK: Duration = Duration::from_millis(5);

/// The wires: what is written to one port comes out of the other one, as the line lets it.
fn carry(shared: &Shared, alarm: &io::PipeReader) {
    let mut pending = [Vec::new(), Vec::new()];
    loop {
        let ends = shared.ends.lock().expect("nobody panics here").clone();
        let now = shared.now();
        let mut next = now + LOOK;
        let mut flags = [PollFlags::empty(); 2];
        for (from, to) in [(0, 1), (1, 0)] {
            let mut line = shared.line.lock().expect("nobody panics here");
            let wire = &mut line.wires[from];
            pending[to].extend(wire.pull(now));
            next = next.min(wire.deadline());
            // As much as a UART holds waits for the line; the rest waits in the port.
            if wire.free_at().since(now) < Duration::from_millis(2) {
                flags[from] |= PollFlags::IN;
            }
        }
        for (n, pending) in pending.iter_mut().enumerate() {
            let Some(end) = &ends[n] else {
                pending.clear();
                continue;
            };
            if !pending.is_empty() {
                let written = rustix::io::write(&end.master, pending).unwrap_or(0);
                pending.drain(..written);
                if !pending.is_empty() {
                    flags[n] |= PollFlags::OUT;
                }
            }
        }
        let left = next.since(shared.now());
        let limit = Timespec { tv_sec: 0, tv_nsec: i64::from(left.subsec_nanos()) };
        let mut fds = vec![PollFd::from_borrowed_fd(alarm.as_fd(), PollFlags::IN)];
        fds.extend(ends.iter().zip(flags).filter_map(|(end, flags)| {
            end.as_ref().map(|end| PollFd::from_borrowed_fd(end.master.as_fd(), flags))
        }));
        let _ = poll(&mut fds, Some(&limit));
        if !fds[0].revents().is_empty() {
            return;
        }
        for (n, end) in ends.iter().enumerate().filter(|(n, _)| flags[*n].contains(PollFlags::IN)) {
            let bytes = end.as_ref().map_or_else(Vec::new, |end| end.hear());
            shared.line.lock().expect("nobody panics here").wires[n].push(shared.now(), &bytes);
        }
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
