//! A board: its node in a thread, whose UART is a port of the test.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant as Clock};

use crate::common::eventually;
use netchan::Blob;
use netchan::board::{Config, Identity, Latest, Memory, Node, Receiver, RecvError, Sender, Server};
use netchan::proto::{CounterNonce, Dead, Instant, LineConfig, Name};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};

/// Longer than a packet.
pub(crate) type Block = Blob<300>;

/// The program of a board may stand still for as long as a test likes.
pub(crate) const DEAD_TIME: Duration = Duration::from_secs(30);

/// What the board has.
pub(crate) const CONFIG: Config =
    Config::new(LineConfig { dead_ms: 30_000, ..LineConfig::uart(1_000_000, 2, 240, 4) })
        .export::<Latest<u32>>(1)
        .export::<Server<u32, u64>>(4)
        .export::<Sender<u32>>(8)
        .export::<Sender<Block>>(2)
        .export::<Receiver<Block>>(2);

/// The block of a number.
pub(crate) fn block(number: u32) -> Block {
    let mut bytes = [number as u8; 300];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    Block::try_from(&bytes[..number as usize % 296 + 4]).expect("it fits")
}

fn number(block: &Block) -> u32 {
    u32::from_le_bytes(*block.first_chunk().expect("a number"))
}

/// What a test does to the board, and sees of it.
#[derive(Default)]
struct Switches {
    /// The program takes nothing.
    idle: AtomicBool,
    /// The program stands still, and its line with it.
    frozen: AtomicBool,
    off: AtomicBool,
    /// How often its program has looked at these.
    looks: AtomicU32,
    loaded: AtomicU32,
    /// What it was told of those who sent it blocks.
    left: Mutex<Vec<Option<Dead>>>,
}

/// It is switched off with this value.
pub(crate) struct Board {
    name: &'static Name,
    port: PathBuf,
    boots: u32,
    switches: Arc<Switches>,
    program: Option<JoinHandle<()>>,
}

impl Board {
    /// Boots a board at this port.
    pub(crate) fn boot(name: &str, port: PathBuf) -> Self {
        let name = &*Box::leak(Box::new(Name::new(name).expect("a good name")));
        let mut board = Self { name, port, boots: 0, switches: Arc::default(), program: None };
        board.reset();
        board
    }

    /// Without a word the program begins anew, as after a reset.
    pub(crate) fn reset(&mut self) {
        self.switch_off();
        self.boots += 1;
        self.switches = Arc::default();
        let (name, boots, switches) = (self.name, self.boots, Arc::clone(&self.switches));
        let uart = open(&self.port, OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK, Mode::empty());
        let uart = uart.expect("the port is there");
        self.program = Some(std::thread::spawn(move || run(&uart, name, boots, &switches)));
    }

    /// Whether its program takes what comes; its line goes on in any case.
    pub(crate) fn takes(&self, on: bool) {
        self.switches.idle.store(!on, Ordering::Release);
        self.has_looked();
    }

    /// Stops it for good, as a debugger would; or lets it go on.
    pub(crate) fn freeze(&self, on: bool) {
        self.switches.frozen.store(on, Ordering::Release);
        self.has_looked();
    }

    /// Waits until its program has done what it was about to do, and one turn more.
    fn has_looked(&self) {
        let looks = || self.switches.looks.load(Ordering::Acquire);
        let before = looks();
        eventually("the board looks", || (looks().wrapping_sub(before) > 2).then_some(()));
    }

    /// How many blocks have come, each the right one.
    pub(crate) fn loaded(&self) -> u32 {
        self.switches.loaded.load(Ordering::Acquire)
    }

    /// What the board was told of those who sent it blocks, and have left.
    pub(crate) fn left(&self) -> Vec<Option<Dead>> {
        self.switches.left.lock().expect("nobody panics").clone()
    }

    fn switch_off(&mut self) {
        self.switches.off.store(true, Ordering::Release);
        if let Some(program) = self.program.take() {
            program.join().expect("the board's program does not panic");
        }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.switches.off.store(true, Ordering::Release);
    }
}

fn run(uart: &OwnedFd, name: &'static Name, boots: u32, switches: &Switches) {
    let node = &*Box::leak(Box::new(Node::<{ CONFIG.channels() }, { CONFIG.bytes() }>::new(&CONFIG)));
    let uid = name.as_str().bytes().fold(0, |uid, byte| uid << 8 | u64::from(byte));
    let mut nonces = CounterNonce::new(uid, boots);
    let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
    let mut line = node.line(&mut memory, Identity { name, uid, boot: boots.into(), nonces: &mut nonces });
    let level: Latest<u32> = node.export("level").expect("the first");
    let mut double: Server<u32, u64> = node.export("double").expect("the first");
    let counts: Sender<u32> = node.export("counts").expect("the first");
    let dump: Sender<Block> = node.export("dump").expect("the first");
    let mut load: Receiver<Block> = node.export("load").expect("the first");
    let (mut count, mut dumped, mut loaded) = (0, 0, 0);
    let clock = Clock::now();
    let now = || Instant::from_micros(clock.elapsed().as_micros() as u64 + 1);
    let (mut bytes, mut pending) = ([0; 256], Vec::new());
    while !switches.off.load(Ordering::Acquire) {
        switches.looks.fetch_add(1, Ordering::Release);
        if switches.frozen.load(Ordering::Acquire) {
            wait(uart, PollFlags::empty());
            continue;
        }
        let heard = rustix::io::read(uart, &mut bytes).unwrap_or(0);
        line.feed(&bytes[..heard], now());
        if !switches.idle.load(Ordering::Acquire) {
            while let Ok(request) = double.try_recv() {
                let n = u64::from(*request);
                let _ = request.reply(2 * n);
            }
            loop {
                match load.try_recv() {
                    Ok(came) => {
                        assert_eq!(came, block(number(&came)), "it comes unaltered");
                        loaded += 1;
                        switches.loaded.store(loaded, Ordering::Release);
                    }
                    // The next importer begins anew.
                    Err(RecvError::Left { dead }) => {
                        switches.left.lock().expect("nobody panics").push(dead);
                    }
                    Err(_) => break,
                }
            }
            let _ = level.set(&loaded);
        }
        while counts.try_send(count).is_ok() {
            count += 1;
        }
        while dump.try_send(block(dumped)).is_ok() {
            dumped += 1;
        }
        if pending.is_empty() {
            let n = line.drain(&mut bytes, now());
            pending.extend_from_slice(&bytes[..n]);
        }
        let written = rustix::io::write(uart, &pending).unwrap_or(0);
        pending.drain(..written);
        if heard == 0 && pending.is_empty() {
            wait(uart, PollFlags::IN);
        }
    }
}

/// Until there is something, for a millisecond.
fn wait(uart: &OwnedFd, what: PollFlags) {
    let limit = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
    let _ = poll(&mut [PollFd::from_borrowed_fd(uart.as_fd(), what)], Some(&limit));
}
