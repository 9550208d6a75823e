//! A board is looked for by its name: what that does to the other ones.
#![cfg(unix)]

mod common;

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant as Clock};

use common::{Cable, Outcome, Pty, eventually, options};
use netchan::board::{Config, Identity, Memory, Node as BoardNode, Receiver};
use netchan::proto::{CounterNonce, Instant, LineConfig, Name};
use netchan::{LinkError, LinkEvent, Node, Sender};
use netchan_serial::{self as serial, Board, OpenError, Reset};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};

const CONFIG: Config = Config::new(LineConfig::uart(1_000_000, 2, 96, 4)).import::<Receiver<u32>>(2);

/// A board that imports `commands`, and counts those that it takes, until it is dropped.
struct Pump {
    taken: Arc<AtomicU32>,
    is_over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Pump {
    fn boot(port: &Path, name: &'static str, uid: u64) -> std::io::Result<Self> {
        let uart = open(port, OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK, Mode::empty())?;
        let (taken, is_over) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, end) = (Arc::clone(&taken), Arc::clone(&is_over));
        let thread = thread::spawn(move || run(&uart, name, uid, &count, &end));
        Ok(Self { taken, is_over, thread: Some(thread) })
    }

    fn taken(&self) -> u32 {
        self.taken.load(Ordering::SeqCst)
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the board panicked");
        }
    }
}

fn run(uart: &OwnedFd, name: &'static str, uid: u64, taken: &AtomicU32, is_over: &AtomicBool) {
    // A board's node lives as long as its program.
    let node: &BoardNode<{ CONFIG.channels() }, { CONFIG.bytes() }> =
        Box::leak(Box::new(BoardNode::new(&CONFIG)));
    let name: &'static Name = Box::leak(Box::new(Name::literal(name)));
    let mut nonces = CounterNonce::new(uid, 1);
    let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
    let mut line = node.line(&mut memory, Identity { name, uid, boot: 1, nonces: &mut nonces });
    let mut commands: Receiver<u32> = node.import("commands").expect("the first of this name");
    let clock = Clock::now();
    let now = || Instant::from_micros(clock.elapsed().as_micros() as u64 + 1);
    let (mut bytes, mut pending) = ([0; 256], Vec::new());
    while !is_over.load(Ordering::SeqCst) {
        let heard = rustix::io::read(uart, &mut bytes).unwrap_or(0);
        line.feed(&bytes[..heard], now());
        while commands.try_recv().is_ok() {
            taken.fetch_add(1, Ordering::SeqCst);
        }
        if pending.is_empty() {
            let len = line.drain(&mut bytes, now());
            pending.extend_from_slice(&bytes[..len]);
        }
        let written = rustix::io::write(uart, &pending).unwrap_or(0);
        pending.drain(..written);
        if heard == 0 && pending.is_empty() {
            let limit = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
            let _ = poll(&mut [PollFd::from_borrowed_fd(uart.as_fd(), PollFlags::IN)], Some(&limit));
        }
    }
}

/// Everything that the node tells of, by now.
fn events(node: &Node) -> Vec<LinkEvent> {
    std::iter::from_fn(|| node.next_event()).collect()
}

#[test]
fn a_board_that_is_not_the_one_looked_for_gets_no_value() -> Outcome {
    let (a, b) = (Cable::new(), Cable::new());
    let pump_a = Pump::boot(&a.port(1), "pump-a", 1)?;
    let pump_b = Pump::boot(&b.port(1), "pump-b", 2)?;
    let mut times = 0;
    for round in 1..=5 {
        let host = Node::new("host");
        let mut commands: Sender<u32> = host.export("commands")?;
        let board = Board::named("pump-b").among([a.port(0), b.port(0)]);
        let opening = serial::open(&host, board).options(options()).timeout(Duration::from_secs(10));
        let peer = opening.wait()?;
        assert_eq!(peer.info().name, "pump-b");
        commands.send(round).timeout(Duration::from_secs(10)).wait()?;
        eventually("it is taken", || (pump_b.taken() == round).then_some(()));
        let events = events(&host);
        let has_come =
            |event: &LinkEvent| matches!(event, LinkEvent::Up { peer, .. } if peer.name == "pump-a");
        assert!(!events.iter().any(has_come), "{events:?}");
        let turned_away = |event: &LinkEvent| matches!(event, LinkEvent::Down { error: LinkError::OtherNode(name), .. } if name.as_str() == "pump-a");
        times += usize::from(events.iter().any(turned_away));
    }
    // One that had not said who it is when the other one was found is told goodbye without that.
    assert!(times > 0);
    assert_eq!(pump_a.taken(), 0);
    Ok(())
}

#[test]
fn only_the_board_that_was_found_is_reset() -> Outcome {
    let (a, b) = (Cable::new(), Cable::new());
    let _pumps = [Pump::boot(&a.port(1), "pump-a", 1)?, Pump::boot(&b.port(1), "pump-b", 2)?];
    let host = Node::new("host");
    let find = |name: &str| {
        let board = Board::named(name).among([a.port(0), b.port(0)]);
        let opening = serial::open(&host, board).options(options().reset(Reset::Dtr(Duration::ZERO)));
        opening.timeout(Duration::from_secs(10)).wait().expect_err("a pty has no lines to pull")
    };
    // Whose lines were pulled shows in whose port has none.
    let error = find("pump-b");
    assert!(
        matches!(&error, OpenError::NotSerial(path) | OpenError::Io(path, _) if *path == b.port(0)),
        "{error:?}"
    );
    let error = find("pump-c");
    let said = error.to_string();
    for part in ["no board `pump-c`", "`pump-a`", "`pump-b`"] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    Ok(())
}

#[test]
fn all_ports_share_the_time_there_is() -> Outcome {
    let silent: Vec<_> = (0..4).map(|_| Pty::new()).collect::<Result<_, _>>()?;
    let among: Vec<PathBuf> = silent.iter().map(|pty| pty.path.clone()).collect();
    let host = Node::new("host");
    let limit = Duration::from_secs(2);
    let start = Clock::now();
    let board = Board::named("nobody").among(among);
    let error =
        serial::open(&host, board).options(options()).timeout(limit).wait().expect_err("nobody is there");
    assert!(matches!(&error, OpenError::NoBoard(_, seen) if seen.len() == 4), "{error:?}");
    // Four limits would be 8 s.
    assert!(start.elapsed() < limit * 3, "{:?}", start.elapsed());
    Ok(())
}

#[test]
fn what_is_no_name_is_no_boards_name() {
    let error = serial::open(&Node::new("host"), Board::named("Pump A").among(["/dev/ttyNONE"])).wait();
    let said = error.expect_err("no board can be called so").to_string();
    assert!(said.starts_with("Pump A: a node's name has"), "{said}");
}
