//! Two boards behind one bridge, of which one stands still: the other one keeps its throughput, and the one that stood
//! still goes on as if nothing had been.

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant as Clock};

use netchan::host::ReadWrite;
use netchan::host::Remote;
use netchan::host::transport::{LineOptions, LinkOptions, Tie, start_blocking, start_line};
use netchan::proto::LineConfig;
use netchan::{Node, Peer, Receiver, Sender, Watch};
use netchan_firmware_app::{Block, CONFIG, Command, Reading, block};

use crate::board::monitor;
use crate::qmp::Qmp;

/// Nothing that is waited for takes longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longer than a board stands still, also on a machine under load.
const DEAD_MS: u32 = 20_000;
/// So long blocks are counted.
const COUNTED: Duration = Duration::from_millis(500);
/// So much of its throughput the other board keeps.
const KEPT: f64 = 0.9;
/// A machine that does other work has more than one try.
const TRIES: u32 = 5;
/// More than anybody sends in a run.
const MANY: u32 = 1_000_000;

/// How one of them stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stall {
    /// It is stopped, with its line full.
    Stopped,
    /// Nobody takes what it sends.
    Untaken,
}

/// Boots the program twice, with a monitor each.
pub(crate) fn run(program: &[String], socket: &str) -> Result<(), String> {
    let (desk, bridge) = (Node::new("desk"), Node::new("bridge"));
    tie(&bridge, &desk).map_err(|error| format!("the desk and the bridge: {error}"))?;
    let mut boards = Vec::new();
    for n in 0..2 {
        let own = format!("{socket}-{n}");
        let program: Vec<_> = program.iter().map(|arg| arg.replace(socket, &own)).collect();
        boards.push(Board::boot(&desk, &bridge, &program, &own)?);
    }
    let [quick, stalled] = &mut boards[..] else { unreachable!("two were booted") };
    let taken = Arc::new(AtomicU32::new(0));
    let (dump, count) = (quick.dump()?, Arc::clone(&taken));
    thread::spawn(move || take_all(dump, &count));
    until("the first blocks", || taken.load(Ordering::Acquire) > 100)?;
    for stall in [Stall::Stopped, Stall::Untaken] {
        let (mut best, mut tries) = (0.0_f64, 0);
        while best < KEPT && tries < TRIES {
            let before = rate(&taken);
            let held = stalled.stand_still(stall, &bridge)?;
            best = best.max(rate(&taken) / before);
            stalled.go_on(held)?;
            tries += 1;
        }
        if best < KEPT {
            return Err(format!("{stall:?}: the other board has {best:.2} of its throughput"));
        }
        println!("ok      one is {stall:?}, and the other has {best:.2} of its throughput");
    }
    Ok(())
}

/// A board of the bridge, as the desk sees it.
struct Board {
    there: Remote,
    orders: Sender<Command>,
    is_told: bool,
    qmp: Qmp,
    child: Child,
    _peer: Peer,
}

/// What keeps a board from going on.
enum Held {
    Full(Sender<Block>),
    Untaken(Receiver<Block>),
}

impl Board {
    fn boot(desk: &Node, bridge: &Node, program: &[String], socket: &str) -> Result<Self, String> {
        // One that an earlier run has left behind answers nobody.
        let _ = std::fs::remove_file(socket);
        let child = Process::new(&program[0])
            .args(&program[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.map_err(|error| format!("{}: {error}", program[0]))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("a child without pipes".into());
        };
        let qmp = monitor(socket)?;
        let known: Vec<_> = bridge.nodes().iter().map(|node| node.id).collect();
        let line = LineConfig { dead_ms: DEAD_MS, ..*CONFIG.line() };
        let stream = Box::new(ReadWrite::new(output, input));
        let up = start_line(bridge, stream, LineOptions::new(line).tie(Tie::Adopt).hello(PATIENCE));
        let peer = up.wait().map_err(|error| format!("a board behind the bridge: {error}"))?;
        // Both have the same name, so they are told apart by their ids.
        let mut id = None;
        until("the board's id", || {
            id = bridge.nodes().iter().map(|node| node.id).find(|id| !known.contains(id));
            id.is_some()
        })?;
        let there = desk.remote_id(id.unwrap_or_default());
        let orders = there.import("orders").timeout(PATIENCE).wait().map_err(|error| error.to_string())?;
        Ok(Self { there, orders, is_told: false, qmp, child, _peer: peer })
    }

    /// Blocks without end.
    fn dump(&mut self) -> Result<Receiver<Block>, String> {
        let dump = self.there.import("dump").timeout(PATIENCE).wait().map_err(|error| error.to_string())?;
        // It counts down from there through all sessions.
        if !std::mem::replace(&mut self.is_told, true) {
            let order = self.orders.send(Command::Dump(MANY)).timeout(PATIENCE).wait();
            order.map_err(|error| error.to_string())?;
        }
        Ok(dump)
    }

    /// When this returns as much is under way as anybody takes.
    fn stand_still(&mut self, stall: Stall, bridge: &Node) -> Result<Held, String> {
        let held = match stall {
            Stall::Stopped => {
                let import = self.there.import("load").timeout(PATIENCE).wait();
                let mut load: Sender<Block> = import.map_err(|error| error.to_string())?;
                self.qmp.stop()?;
                let mut sent = 0;
                while load.send(block(sent)).timeout(Duration::from_millis(100)).wait().is_ok() {
                    sent += 1;
                    if sent > 10_000 {
                        return Err("nothing holds the desk back".into());
                    }
                }
                Held::Full(load)
            }
            Stall::Untaken => Held::Untaken(self.dump()?),
        };
        let waiting = || bridge.links().iter().map(|link| link.waiting).sum::<u64>();
        until("bytes wait at the bridge", || waiting() > 0)?;
        Ok(held)
    }

    /// Nothing is lost, and the board answers.
    fn go_on(&mut self, held: Held) -> Result<(), String> {
        match held {
            Held::Full(mut load) => {
                self.qmp.cont()?;
                load.drain().timeout(PATIENCE).wait().map_err(|error| error.to_string())?;
            }
            Held::Untaken(mut dump) => {
                let mut last = None;
                for _ in 0..100 {
                    let came = dump.recv().timeout(PATIENCE).wait().map_err(|error| error.to_string())?;
                    last = Some(next_block(last, &came)?);
                }
            }
        }
        let mut reading: Watch<Reading> =
            self.there.import("reading").timeout(PATIENCE).wait().map_err(|error| error.to_string())?;
        reading.changed().timeout(PATIENCE).wait().map(drop).map_err(|error| error.to_string())
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Takes what comes, each in its turn, and counts it.
fn take_all(mut dump: Receiver<Block>, count: &AtomicU32) {
    let mut last = None;
    while let Ok(came) = dump.recv().wait() {
        match next_block(last, &came) {
            Ok(number) => last = Some(number),
            // Nobody counts on, which is noticed.
            Err(error) => return println!("FAILED  {error}"),
        }
        count.fetch_add(1, Ordering::Release);
    }
}

/// The number of a block that comes after another one: they count down.
pub(crate) fn next_block(last: Option<u32>, came: &Block) -> Result<u32, String> {
    let number = came.first_chunk().map(|&number| u32::from_le_bytes(number)).unwrap_or_default();
    let is_next = last.is_none_or(|last| number + 1 == last);
    if is_next && *came == block(number) { Ok(number) } else { Err(format!("block {number} after {last:?}")) }
}

/// Blocks in a second.
fn rate(taken: &AtomicU32) -> f64 {
    let (start, first) = (Clock::now(), taken.load(Ordering::Acquire));
    thread::sleep(COUNTED);
    f64::from(taken.load(Ordering::Acquire) - first) / start.elapsed().as_secs_f64()
}

pub(crate) fn until(what: &str, mut is_there: impl FnMut() -> bool) -> Result<(), String> {
    let start = Clock::now();
    while !is_there() {
        if start.elapsed() > PATIENCE {
            return Err(format!("waited in vain: {what}"));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Makes one node the parent of another.
fn tie(parent: &Node, child: &Node) -> std::io::Result<()> {
    let (a, b) = UnixStream::pair()?;
    let end = |node: &Node, socket: UnixStream, tie| -> std::io::Result<_> {
        let stream = ReadWrite::new(socket.try_clone()?, socket.try_clone()?).with_close(move || {
            let _ = socket.shutdown(Shutdown::Both);
        });
        Ok(start_blocking(node, Box::new(stream), LinkOptions::active().with_tie(tie)))
    };
    let (up, down) = (end(parent, a, Tie::Adopt)?, end(child, b, Tie::Join { lives_on: true })?);
    for link in [up, down] {
        link.timeout(PATIENCE).wait().map_err(std::io::Error::other)?;
    }
    Ok(())
}
