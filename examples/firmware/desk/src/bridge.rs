//! A bridge board with another board behind it: what the host has of both, and what it is told when the one behind is reset.

use std::process::{Child, Command as Process, Stdio};
use std::time::{Duration, Instant as Clock};

use netchan::host::ReadWrite;
use netchan::host::transport::{LineOptions, Tie, start_line};
use netchan::proto::{LineConfig, Place, Reason};
use netchan::{Client, Duplex, Node, Receiver, RecvError, Sender, Watch};
use netchan_firmware_app::{Block, Command, Pair, Reading, block};

use crate::board::monitor;
use crate::pair::{next_block, until};

/// Nothing that is waited for takes longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// As the bridge's line is.
const LINE: LineConfig = LineConfig::uart(115_200, 2, 240, 4);
/// Bytes of a bulk transfer.
const BLOCKS: u32 = 400;

/// What is ended with the test.
struct Board(Child);

impl Drop for Board {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Boots `leaf`, which listens on a socket for its line and on `qmp` for its monitor, and `bridge`, which connects to that line.
pub(crate) fn run(bridge: &[String], leaf: &[String], qmp: &str) -> Result<(), String> {
    // One that an earlier run has left behind answers nobody.
    let _ = std::fs::remove_file(qmp);
    let _leaf = Board(spawn(leaf, Stdio::null(), Stdio::null())?);
    let mut monitor = monitor(qmp)?;
    let mut relay = Board(spawn(bridge, Stdio::piped(), Stdio::piped())?);
    let (Some(input), Some(output)) = (relay.0.stdin.take(), relay.0.stdout.take()) else {
        return Err("a child without pipes".into());
    };
    let desk = Node::new("desk");
    let stream = Box::new(ReadWrite::new(output, input));
    let up = start_line(&desk, stream, LineOptions::new(LINE).tie(Tie::Adopt).hello(PATIENCE));
    let _peer = up.wait().map_err(|error| format!("the bridge board: {error}"))?;
    until("the board behind the bridge", || desk.nodes().len() == 2)?;
    let nodes = desk.nodes();
    let path = desk.path_of(nodes[1].id).unwrap_or_default();
    println!("ok      a host has {path}");
    let far = desk.remote(&path);

    let (mut readings, orders): (Watch<Reading>, Sender<Command>) = (
        word(far.import("reading").timeout(PATIENCE).wait())?,
        word(far.import("orders").timeout(PATIENCE).wait())?,
    );
    let mut orders = orders;
    word(orders.send(Command::Level(7)).timeout(PATIENCE).wait())?;
    while word(readings.changed().timeout(PATIENCE).wait())?.level != 7 {}
    println!("ok      a value and a command pass");

    let sum: Client<Pair, u32> = word(far.import("sum").timeout(PATIENCE).wait())?;
    for n in 0..50 {
        let answer = word(sum.call(Pair(n, 1000)).timeout(PATIENCE).wait())?;
        if answer != n + 1000 {
            return Err(format!("{n} and 1000 are {answer}"));
        }
    }
    println!("ok      a method is called");

    let mut dump: Receiver<Block> = word(far.import("dump").timeout(PATIENCE).wait())?;
    word(orders.send(Command::Dump(BLOCKS)).timeout(PATIENCE).wait())?;
    let (mut start, mut last) = (Clock::now(), None);
    while last != Some(1) {
        let came = word(dump.recv().timeout(PATIENCE).wait())?;
        if last.is_none() {
            start = Clock::now();
        }
        last = Some(next_block(last, &came)?);
    }
    rate("from the board behind", start.elapsed());
    let mut load: Sender<Block> = word(far.import("load").timeout(PATIENCE).wait())?;
    let start = Clock::now();
    for n in 0..BLOCKS {
        word(load.send(block(n)).timeout(PATIENCE).wait())?;
    }
    word(load.drain().timeout(PATIENCE).wait())?;
    rate("to it", start.elapsed());
    if word(readings.changed().timeout(PATIENCE).wait())?.level == 255 {
        return Err("a block was not as it was sent".into());
    }

    let own = desk.remote("relay-board");
    let mut uptime: Watch<u32> = word(own.import("uptime").timeout(PATIENCE).wait())?;
    let mut echo: Duplex<u32, u32> = word(own.import("echo").timeout(PATIENCE).wait())?;
    let before = word(uptime.changed().timeout(PATIENCE).wait())?;
    monitor.reset()?;
    let start = Clock::now();
    let told = dump.recv().timeout(PATIENCE).wait();
    // The bridge is the host's neighbour, so it is the peer that says so.
    match told {
        Err(RecvError::Dead(dead)) if (dead.reason, dead.at) == (Reason::PeerRestarted, Place::Peer) => {
            println!(
                "ok      a reset behind the bridge is told after {} ms: {dead}",
                start.elapsed().as_millis()
            );
        }
        told => return Err(format!("a reset of the board behind: {told:?}")),
    }
    for n in 0..20 {
        word(echo.send(n).timeout(PATIENCE).wait())?;
        if word(echo.recv().timeout(PATIENCE).wait())? != n {
            return Err("the bridge's own echo".into());
        }
    }
    if word(uptime.changed().timeout(PATIENCE).wait())? < before {
        return Err("the bridge has begun anew".into());
    }
    println!("ok      the bridge's own values and conversation go on");

    until("the board behind again", || matches!(&desk.nodes()[..], [_, leaf] if leaf.id != nodes[1].id))?;
    let mut readings: Watch<Reading> = word(far.import("reading").timeout(PATIENCE).wait())?;
    if word(readings.changed().timeout(PATIENCE).wait())?.level != 0 {
        return Err("a level of before the reset".into());
    }
    println!("ok      it is back under its path, {} ms after its reset", start.elapsed().as_millis());
    Ok(())
}

fn spawn(program: &[String], input: Stdio, output: Stdio) -> Result<Child, String> {
    let [name, args @ ..] = program else { return Err("no program".into()) };
    let child = Process::new(name).args(args).stdin(input).stdout(output).spawn();
    child.map_err(|error| format!("{name}: {error}"))
}

/// An error in words.
fn word<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

fn rate(what: &str, time: Duration) {
    let bytes = f64::from(BLOCKS) * block(0).len() as f64;
    println!("ok      {BLOCKS} blocks {what}, {:.1} KB/s", bytes / time.as_secs_f64() / 1000.0);
}
