//! The program `bridge` between a board on a pty and hosts over TCP, each a process or a node of its own.
#![cfg(unix)]

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, channel};
use std::time::{Duration, Instant as Clock};

use netchan::board::{Identity, Memory};
use netchan::proto::{CounterNonce, Instant, Name};
use netchan::{Client, Dead, LinkEvent, LogRecord, Node, Place, Reason, Receiver, RecvError, Sender, Watch};
use netchan_firmware_app::{App, Block, CONFIG, Command as Order, Lost, NODE, Pair, Reading, block};
use netchan_tcp as tcp;
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const BRIDGE: &str = env!("CARGO_BIN_EXE_bridge");
/// Far more than anything here takes; reaching it is a failure.
const LIMIT: Duration = Duration::from_secs(20);
/// Tells the test executable to play the board.
const ROLE: &str = "NETCHAN_TEST_BOARD";

/// Not a test of its own: the board's firmware, whose line is its standard input and output. What the test harness says
/// there is noise on the line, as of a boot loader.
#[test]
fn the_board_of_the_other_tests() -> Result {
    let Ok(role) = std::env::var(ROLE) else { return Ok(()) };
    let (uid, boot) = role.split_once(' ').ok_or("its uid, and how often it was started")?;
    let (sender, received) = channel();
    std::thread::spawn(move || {
        let (mut input, mut bytes) = (std::io::stdin().lock(), [0; 256]);
        while let Ok(n @ 1..) = input.read(&mut bytes) {
            if sender.send(bytes[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    let (uid, boot): (u64, u32) = (uid.parse()?, boot.parse()?);
    let clock = Clock::now();
    let now = || Instant::from_micros(clock.elapsed().as_micros() as u64);
    let mut nonces = CounterNonce::new(uid, boot);
    let name = &const { Name::literal("board") };
    let identity = Identity { name, uid, boot: boot.into(), nonces: &mut nonces };
    let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
    let mut line = NODE.line(&mut memory, identity);
    let mut app = App::new().map_err(|error| format!("{error:?}"))?;
    let mut output = std::io::stdout().lock();
    loop {
        match received.recv_timeout(Duration::from_millis(1)) {
            Ok(bytes) => line.feed(&bytes, now()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        app.poll(clock.elapsed().as_millis() as u32);
        let mut bytes = [0; 256];
        let n = line.drain(&mut bytes, now());
        output.write_all(&bytes[..n])?;
        output.flush()?;
    }
}

/// A process whose end is that of the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A pty, and the board that is at its wires.
struct Board {
    wires: OwnedFd,
    port: String,
    /// Keeps the wires up while nobody has the port open.
    _port: OwnedFd,
    uid: u64,
    boots: u32,
    process: Option<Process>,
}

impl Board {
    fn start() -> Result<Self> {
        Self::start_as(7)
    }

    fn start_as(uid: u64) -> Result<Self> {
        let wires = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&wires)?;
        unlockpt(&wires)?;
        let port = ptsname(&wires, Vec::new())?.into_string()?;
        let slave = open(port.as_str(), OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        let mut modes = tcgetattr(&slave)?;
        modes.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &modes)?;
        let mut board = Self { wires, port, _port: slave, uid, boots: 0, process: None };
        board.reset()?;
        Ok(board)
    }

    /// As a reset does: without a word, and the program begins anew.
    fn reset(&mut self) -> Result {
        self.process = None;
        self.boots += 1;
        let wire = || self.wires.try_clone().map(Stdio::from);
        let child = Command::new(std::env::current_exe()?)
            .args(["--exact", "the_board_of_the_other_tests", "--nocapture"])
            .env(ROLE, format!("{} {}", self.uid, self.boots))
            .stdin(wire()?)
            .stdout(wire()?)
            .stderr(Stdio::null())
            .spawn()?;
        self.process = Some(Process(child));
        Ok(())
    }
}

/// The program, and what it says.
struct Bridge {
    process: Process,
    lines: mpsc::Receiver<String>,
    /// It ends when this is closed, so also with the test.
    _stdin: Option<ChildStdin>,
}

impl Bridge {
    fn start(args: &[&str]) -> Result<Self> {
        let mut child = Command::new(BRIDGE)
            .args(args)
            .arg("--child")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().ok_or("stdout is piped")?);
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(std::io::Result::ok) {
                let _ = sender.send(line);
            }
        });
        Ok(Self { process: Process(child), lines, _stdin: stdin })
    }

    /// The rest of the next line that begins so.
    fn says(&self, begin: &str) -> Result<String> {
        let mut said = String::new();
        loop {
            let line = self.lines.recv_timeout(LIMIT).map_err(|_| format!("never `{begin}` in:\n{said}"))?;
            if let Some(rest) = line.strip_prefix(begin) {
                return Ok(rest.to_owned());
            }
            said += &format!("{line}\n");
        }
    }

    /// Asks it to end, as Ctrl-C does: all that it still says.
    fn interrupt(mut self) -> Result<Vec<String>> {
        let pid = Pid::from_raw(i32::try_from(self.process.0.id())?).ok_or("a process has an id")?;
        kill_process(pid, Signal::INT)?;
        let status = self.process.0.wait()?;
        assert!(status.success(), "{status}");
        Ok(self.lines.iter().collect())
    }
}

/// Adopts at an address at which somebody has listened a moment ago.
fn listen(node: &Node, address: &str) -> Result<tcp::Listener> {
    let start = Clock::now();
    loop {
        match tcp::listen_with(node, address, tcp::Options::new().adopt()) {
            Ok(listener) => return Ok(listener),
            Err(error) if start.elapsed() > LIMIT => return Err(error.into()),
            Err(_) => std::thread::park_timeout(Duration::from_millis(5)),
        }
    }
}

/// How a stream ends, after the values that are still under way.
fn end_of(watch: &mut Watch<Reading>) -> RecvError {
    loop {
        if let Err(error) = watch.changed().timeout(LIMIT).wait() {
            return error;
        }
    }
}

#[test]
fn a_host_that_joins_reaches_the_board() -> Result {
    let mut board = Board::start()?;
    let bridge = Bridge::start(&["--listen", "127.0.0.1:0", "--board", &board.port])?;
    let address = bridge.says("listening at ")?;
    assert_eq!(bridge.says("joined  ")?, "bridge/board (node 2)");

    let host = Node::new("host");
    tcp::connect_with(&host, address.as_str(), tcp::Options::new().join().live_on()).wait()?;
    assert_eq!(bridge.says("joined  ")?, "bridge/host (node 3)");
    let there = host.remote("bridge/board");
    let mut reading: Watch<Reading> = there.import("reading").wait()?;
    let first = reading.changed().timeout(LIMIT).wait()?;
    while reading.changed().timeout(LIMIT).wait()?.uptime_ms == first.uptime_ms {}
    let sum: Client<Pair, u32> = there.import("sum").wait()?;
    assert_eq!(sum.call(Pair(19, 23)).timeout(LIMIT).wait()?, 42);
    let mut orders: Sender<Order> = there.import("orders").wait()?;
    let mut records: Receiver<LogRecord> = there.import(LogRecord::NAME).wait()?;
    orders.send(Order::Level(99)).timeout(LIMIT).wait()?;
    while reading.changed().timeout(LIMIT).wait()?.level != 99 {}
    while records.recv().timeout(LIMIT).wait()?.text() != "level 99, after 0" {}
    let mut blocks: Receiver<Block> = there.import("dump").wait()?;
    orders.send(Order::Dump(100)).timeout(LIMIT).wait()?;
    for n in (1..=100).rev() {
        assert_eq!(blocks.recv().timeout(LIMIT).wait()?, block(n));
    }

    // A reset: whoever waits is told, by its neighbour, the bridge; and the board has another id under the same path.
    board.reset()?;
    let told = Dead { reason: Reason::PeerRestarted, at: Place::Peer };
    assert_eq!(end_of(&mut reading), RecvError::Dead(told));
    assert_eq!(blocks.recv().timeout(LIMIT).wait(), Err(RecvError::Dead(told)));
    assert_eq!(bridge.says("down    ")?, "board: a hello after the bring-up: the peer restarted");
    assert_eq!(bridge.says("left    ")?, "bridge/board (node 2): the peer restarted");
    assert_eq!(bridge.says("joined  ")?, "bridge/board (node 4)");
    let mut reading: Watch<Reading> = there.import("reading").wait()?;
    assert_eq!(reading.changed().timeout(LIMIT).wait()?.level, 0);

    // Ctrl-C: everybody is told that it is an end in order.
    let last = bridge.interrupt()?;
    let end = end_of(&mut reading);
    assert!(matches!(end, RecvError::Dead(dead) if dead.reason == Reason::Shutdown), "{end}");
    for node in ["board (node 4)", "host (node 3)"] {
        let line = &format!("left    bridge/{node}: the node shut down");
        assert!(last.iter().any(|said| said == line), "{last:?}");
    }
    Ok(())
}

#[test]
fn it_waits_for_its_parent_and_joins_again_when_that_comes_back() -> Result {
    let board = Board::start()?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let bridge = Bridge::start(&["--name", "attic", "--join", &address, "--board", &board.port])?;
    let waits = bridge.says("waits   ")?;
    assert!(waits.starts_with(&format!("parent {address}: cannot connect: ")), "{waits}");
    let mut seen = Vec::new();
    for _ in 0..2 {
        let root = Node::new("root");
        let _listener = listen(&root, &address)?;
        assert_eq!(bridge.says("below   ")?, "root, as node 2");
        // The board is taken off and adopted again where the bridge has got another place.
        let path = loop {
            let event = root.event().timeout(LIMIT).wait().ok_or("the board never comes")?;
            if let LinkEvent::NodeJoined { id, name, .. } = event
                && name == "board"
            {
                break root.path_of(id).ok_or("it is below")?;
            }
        };
        assert_eq!(path, "attic/board");
        let mut reading: Watch<Reading> = root.remote(&path).import("reading").wait()?;
        seen.push(reading.changed().timeout(LIMIT).wait()?.uptime_ms);
        root.shutdown(Duration::ZERO);
    }
    assert!(seen[0] < seen[1], "the board was up all the while");
    Ok(())
}

#[test]
fn a_killed_bridge_is_told_to_both_sides_and_the_next_one_goes_on() -> Result {
    let board = Board::start()?;
    let root = Node::new("root");
    let listener = tcp::listen_with(&root, "127.0.0.1:0", tcp::Options::new().adopt())?;
    let address = listener.address().to_string();
    let mut last = 0;
    for round in 0..3 {
        let bridge = Bridge::start(&["--join", &address, "--board", &board.port])?;
        let (mut came, mut gone) = (Vec::new(), Vec::new());
        while came.len() < 2 {
            let event = root.event().timeout(LIMIT).wait().ok_or("they never come")?;
            if let LinkEvent::NodeJoined { id, .. } = event {
                came.push((id, root.path_of(id)));
            }
        }
        assert!(came[0].1 == Some("bridge".into()) && came[1].1 == Some("bridge/board".into()), "{came:?}");
        let there = root.remote("bridge/board");
        if round > 0 {
            // The board's own word: why it has lost the one before, once.
            let mut lost: Watch<Lost> = there.import("lost").wait()?;
            let lost = lost.changed().timeout(LIMIT).wait()?;
            assert!(lost.at_ms > last && !lost.why.as_str().is_empty(), "{lost:?}");
        }
        let _orders: Sender<Order> = there.import("orders").wait()?;
        let mut reading: Watch<Reading> = there.import("reading").wait()?;
        last = reading.changed().timeout(LIMIT).wait()?.uptime_ms;
        drop(bridge);
        assert_eq!(end_of(&mut reading), RecvError::Dead(Dead::here(Reason::LinkLost)));
        while gone.len() < 2 {
            let event = root.event().timeout(LIMIT).wait().ok_or("they never go")?;
            if let LinkEvent::NodeLeft { id, .. } = event {
                gone.push(id);
            }
        }
        gone.sort_unstable();
        assert_eq!(gone, [came[0].0, came[1].0]);
    }
    Ok(())
}

#[test]
fn two_boards_of_one_name_are_told_apart_by_their_ids() -> Result {
    let boards = [Board::start()?, Board::start_as(8)?];
    let bridge = Bridge::start(&["--listen", "127.0.0.1:0", "--board", &boards[0].port])?;
    let address = bridge.says("listening at ")?;
    assert_eq!(bridge.says("joined  ")?, "bridge/board (node 2)");
    let host = Node::new("host");
    tcp::join(&host, address.as_str()).wait()?;
    assert_eq!(bridge.says("joined  ")?, "bridge/host (node 3)");
    // A bridge below the bridge brings another board of that name, and that is no matter.
    let other = Bridge::start(&["--name", "other", "--join", &address, "--board", &boards[1].port])?;
    let path = |line: String| line.split(' ').next().map(str::to_owned);
    assert_eq!(path(bridge.says("joined  ")?).as_deref(), Some("bridge/other"));
    assert_eq!(path(bridge.says("joined  ")?).as_deref(), Some("bridge/other/board"));
    for board in ["bridge/board", "bridge/other/board"] {
        let sum: Client<Pair, u32> = host.remote(board).import("sum").wait()?;
        assert_eq!(sum.call(Pair(1, 2)).timeout(LIMIT).wait()?, 3);
    }
    drop((other, bridge));

    let ports = ["--board", &boards[0].port, "--board", &boards[1].port];
    let bridge = Bridge::start(&[&["--listen", "127.0.0.1:0"][..], &ports].concat())?;
    let address = bridge.says("listening at ")?;
    let joined = [bridge.says("joined  ")?, bridge.says("joined  ")?];
    let also = "bridge/board (node 3); so is node 2 called, which was first: only its id leads to this one";
    assert_eq!(joined, ["bridge/board (node 2)", also]);
    let host = Node::new("host");
    tcp::join(&host, address.as_str()).wait()?;
    for id in [2, 3] {
        let sum: Client<Pair, u32> = host.remote_id(id).import("sum").wait()?;
        assert_eq!(sum.call(Pair(id, 2)).timeout(LIMIT).wait()?, id + 2);
    }
    Ok(())
}

#[test]
fn a_picture_shows_the_tree_and_goes() -> Result {
    let hub = Node::new("hub");
    let listener = tcp::listen_with(&hub, "127.0.0.1:0", tcp::Options::new().adopt())?;
    let desk = Node::new("desk");
    let _hub = tcp::join(&desk, listener.address()).wait()?;
    let draw = |format: &[&str]| -> Result<String> {
        let address = listener.address().to_string();
        let output = Command::new(env!("CARGO_BIN_EXE_picture")).arg(address).args(format).output()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    let text = draw(&[])?;
    for part in ["hub (1)", "desk (", "picture ("] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(draw(&["--graphviz"])?.starts_with("digraph"));
    assert!(draw(&["--mermaid"])?.starts_with("graph TD"));
    Ok(())
}

#[test]
fn what_is_wrong_is_said_clearly() -> Result {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let taken = taken.local_addr()?.to_string();
    for (args, says) in [
        (&["--juggle"][..], "bridge: unknown option --juggle; usage: bridge --help".to_owned()),
        (&[], "bridge: nothing to join: --listen, --join or --board; usage: bridge --help".into()),
        (&["--board"], "bridge: --board wants a value; see --help".into()),
        (&["--board", "usb:2E8A"], "bridge: --board usb:2E8A: like usb:2E8A:000A".into()),
        (&["--baud", "fast"], "bridge: --baud: ".into()),
        (&["--channels", "-1"], "bridge: --channels: ".into()),
        (&["--name", "No", "--listen", "127.0.0.1:0"], "bridge: No: ".into()),
        (&["--listen", &taken], format!("bridge: {taken}: cannot listen: ")),
        (&["--listen", "0.0.0.0:0"], "bridge: 0.0.0.0:0: not a loopback address".into()),
    ] {
        let output = Command::new(BRIDGE).args(args).stdin(Stdio::null()).output()?;
        let error = String::from_utf8(output.stderr)?;
        assert!(!output.status.success() && error.starts_with(&says), "{args:?}: {error}");
    }
    let help = Command::new(BRIDGE).arg("--help").output()?;
    assert!(help.status.success() && String::from_utf8(help.stdout)?.starts_with("usage: bridge "));

    // What is only not there yet is said, and waited for.
    let bridge =
        Bridge::start(&["--board", "/dev/nothing", "--board", "usb:dead:beef", "--board", "nobody"])?;
    let mut waits = [bridge.says("waits   ")?, bridge.says("waits   ")?, bridge.says("waits   ")?];
    waits.sort();
    assert!(waits[0].starts_with("board /dev/nothing: "), "{waits:?}");
    assert!(waits[1].starts_with("board nobody: "), "{waits:?}");
    assert_eq!(waits[2], "board usb:dead:beef: no serial port of USB device dead:beef");
    bridge.interrupt()?;
    Ok(())
}
