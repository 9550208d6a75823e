//! What is asked of a board.

use netchan::message::Shape;
use netchan::proto::{Fault, OpenFlags, Reason};
use netchan::testing::{Faults, FaultyLine, Outcome};
use netchan::{LogRecord, Message};
use netchan_firmware_app::{Block, Command, Pair, Reading, block};

use crate::board::Board;

pub(crate) fn tell(board: &mut Board) -> Result<(), String> {
    board.up()?;
    println!("ok      the board is up");
    visit(board)?;
    // In the middle of a transfer, which is in nobody's way.
    begin_transfer(board)?;
    let (fault, took) = board.reset()?;
    if fault != Fault::Restarted(Reason::PeerRestarted) {
        return Err(format!("a reset was taken for: {fault}"));
    }
    println!("ok      a reset is noticed after {} ms: {fault}", took.as_millis());
    board.up()?;
    println!("ok      the board is up again");
    visit(board)
}

/// Of a line that does everything to the bytes, but never for so long that a session ends.
pub(crate) fn faults() -> Faults {
    Faults {
        flip: 4000,
        burst: 12_000,
        lose: 6000,
        insert: 6000,
        duplicate: 8000,
        truncate: 8000,
        stall: 20_000,
        stall_us: 50_000,
        deaf: 20_000,
        deaf_us: 50_000,
        ..Faults::default()
    }
}

/// The same, over such a line.
pub(crate) fn tell_over_faulty_line(board: &mut Board, seed: u64) -> Result<(), String> {
    println!("ok      over a faulty line, seed {seed}:");
    board.faulty = Some(FaultyLine::new(faults(), seed));
    tell(board)?;
    let line = board.faulty.take();
    let count: u64 = line.iter().flat_map(|line| &line.wires).map(|wire| wire.happened.faults()).sum();
    println!("ok      {count} faults were of no consequence");
    if count == 0 { Err("the line had no faults".into()) } else { Ok(()) }
}

/// Asks the board for everything that it exports.
pub(crate) fn visit(board: &mut Board) -> Result<(), String> {
    reading(board)?;
    println!("ok      readings come, and follow a command");
    logs(board)?;
    println!("ok      its log arrives");
    calls(board)?;
    println!("ok      a method answers");
    echoes(board)?;
    println!("ok      what is sent comes back in order");
    blocks(board)?;
    println!("ok      bulk passes in both directions at once");
    Ok(())
}

fn reading(board: &mut Board) -> Result<(), String> {
    let flags = OpenFlags::RECEIVES.with(OpenFlags::LATEST);
    let id = board.import("reading", flags, Reading::FINGERPRINT.get())?;
    let first: Reading = take(board, id, "a reading")?;
    let second: Reading = take(board, id, "another reading")?;
    if second.uptime_ms <= first.uptime_ms {
        return Err(format!("{second:?} after {first:?}"));
    }
    let level = first.level.wrapping_add(7) % 200;
    command(board, Command::Level(level))?;
    while take::<Reading>(board, id, "a reading with the new level")?.level != level {}
    hang_up(board, id)
}

fn logs(board: &mut Board) -> Result<(), String> {
    let id = board.import(LogRecord::NAME, OpenFlags::RECEIVES, LogRecord::FINGERPRINT.get())?;
    command(board, Command::Level(77))?;
    loop {
        // The first one tells how many there were while nobody listened.
        let record: LogRecord = take(board, id, "a record of the level")?;
        if record.text().starts_with("level 77,") {
            break;
        }
    }
    hang_up(board, id)
}

pub(crate) fn command(board: &mut Board, command: Command) -> Result<(), String> {
    let id = board.imported("command")?;
    board.node.send(id, encoded(&command));
    Ok(())
}

fn calls(board: &mut Board) -> Result<(), String> {
    let call = Shape::end("call", &[u32::FINGERPRINT, Pair::FINGERPRINT], 0).fingerprint();
    let id = board.import("sum", OpenFlags::BOTH.with(OpenFlags::CALLS), call.get())?;
    for n in 1..=30_u8 {
        let request = encoded(&Pair(u32::from(n) * 1000, 1));
        board.node.send(id, [&[n, 0, 0][..], &request].concat());
    }
    for n in 1..=30_u8 {
        let reply = take_bytes(board, id, "a reply")?;
        let right = [&[n, 0][..], &encoded(&(u32::from(n) * 1000 + 1))].concat();
        if reply != right {
            return Err(format!("call {n} was answered {reply:?}"));
        }
    }
    end(board, id)
}

fn echoes(board: &mut Board) -> Result<(), String> {
    let duplex = Shape::end("duplex", &[u32::FINGERPRINT, u32::FINGERPRINT], 0).fingerprint();
    let id = board.import("echo", OpenFlags::BOTH, duplex.get())?;
    for n in 0..500_u32 {
        board.node.send(id, encoded(&(n * n)));
    }
    for n in 0..500_u32 {
        let value: u32 = take(board, id, "an echo")?;
        if value != n * n {
            return Err(format!("echo {n} is {value}"));
        }
    }
    end(board, id)
}

pub(crate) fn begin_transfer(board: &mut Board) -> Result<usize, String> {
    let id = board.import("dump", OpenFlags::RECEIVES, Block::FINGERPRINT.get())?;
    command(board, Command::Dump(50))?;
    take_bytes(board, id, "a block")?;
    Ok(id)
}

fn blocks(board: &mut Board) -> Result<(), String> {
    let load = board.import("load", OpenFlags::SENDS, Block::FINGERPRINT.get())?;
    for n in 0..50 {
        board.node.send(load, block(n).to_vec());
    }
    let dump = begin_transfer(board)?;
    for n in (1..50).rev() {
        if take_bytes(board, dump, "a block")? != block(n).to_vec() {
            return Err(format!("block {n} is another one"));
        }
    }
    hang_up(board, dump)?;
    board.node.end(load);
    board.until("the board to take all blocks", |board| board.node.circuits[load].done.then_some(()))
}

/// The next value of a circuit.
pub(crate) fn take<T: Message>(board: &mut Board, id: usize, what: &str) -> Result<T, String> {
    let bytes = take_bytes(board, id, what)?;
    T::decode(&bytes).map_err(|error| format!("{what}: {error}"))
}

pub(crate) fn take_bytes(board: &mut Board, id: usize, what: &str) -> Result<Vec<u8>, String> {
    board.until(what, |board| match board.node.take(id) {
        Outcome::Value(bytes) => Some(Ok(bytes)),
        Outcome::Empty => None,
        over => Some(Err(format!("{what}: {over:?}"))),
    })?
}

/// Hangs up, and writes so: the next open of the channel must not come before that.
pub(crate) fn hang_up(board: &mut Board, id: usize) -> Result<(), String> {
    board.node.kill(id, Reason::HungUp);
    board.step()
}

/// Ends a circuit in order, and waits until the board has.
fn end(board: &mut Board, id: usize) -> Result<(), String> {
    board.node.end(id);
    board.until("the orderly end", |board| (board.node.take(id) == Outcome::Closed).then_some(()))
}

pub(crate) fn encoded<T: Message>(value: &T) -> Vec<u8> {
    let mut bytes = vec![0; T::MAX_LEN.unwrap_or_default()];
    let len = value.encode(&mut bytes).unwrap_or_default();
    bytes.truncate(len);
    bytes
}
