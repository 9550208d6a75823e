//! The other end of a board's line, as a test: boots the board, talks to it, resets it.
//!
//! The program is the board: its standard input and output are the line. It is QEMU with a UART on
//! `stdio`, or the same firmware as a process. With `--qmp` the board is reset in the middle of everything by
//! QEMU's monitor on that socket, else by ending the program and starting it again.
#![expect(clippy::print_stdout, reason = "a command line tool talks to its terminal")]

mod board;
mod bridge;
mod cable;
mod conform;
mod endure;
mod pair;
mod programs;
mod qmp;
mod stack;
mod story;

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use board::Board;
use stack::Ram;

const USAGE: &str = "\
netchan-firmware-desk [OPTIONS] PROGRAM ARGS...
netchan-firmware-desk --qmp SOCKET --behind PROGRAM ARGS... --bridge PROGRAM ARGS...
netchan-firmware-desk [--seed SEED] --programs DIR PROGRAM ARGS...

    --qmp SOCKET        where the program's monitor listens
    --faulty SEED       a second time over a line that loses, alters and delays bytes
    --resets N          then reset it N times, each at another byte
    --stops N SECONDS   and stop it N times for so long, which needs --qmp
    --pair              then two of them behind one bridge, of which one stands still, which needs --qmp
    --seed SEED         of what happens when; else the time
    --ram AT LEN MOST   its memory, and how many bytes of stack it may use; needs --qmp
    --conform           only this: puts the conformance suite to it, twice at a time, directly and over a line with faults by
                        the seed; needs --qmp, of whose socket QEMU is told here
    --check NAME        with --conform: only the checks with this in their names
    --behind ...        only this: a board that listens for the line of a bridge board, which is started second
    --programs DIR      only this: the firmware of `programs` that is in DIR, each on a machine of its own";

/// What is to be done, and with what.
#[derive(Default)]
struct Options {
    qmp: Option<String>,
    faulty: Option<u64>,
    resets: u32,
    stops: (u32, Duration),
    pair: bool,
    conform: bool,
    check: Option<String>,
    seed: Option<u64>,
    ram: Option<Ram>,
    program: Vec<String>,
    bridge: Vec<String>,
    programs: Option<String>,
}

fn main() -> ExitCode {
    let Some(options) = parse(std::env::args().skip(1)) else {
        println!("{USAGE}");
        return ExitCode::FAILURE;
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAILED  {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Option<Options> {
    let mut options = Options::default();
    while let Some(arg) = args.next() {
        let mut number = || {
            let text = args.next()?;
            text.strip_prefix("0x").map_or_else(|| text.parse().ok(), |hex| u64::from_str_radix(hex, 16).ok())
        };
        match arg.as_str() {
            "--qmp" => options.qmp = Some(args.next()?),
            "--faulty" => options.faulty = Some(number()?),
            "--resets" => options.resets = number()? as u32,
            "--stops" => options.stops = (number()? as u32, Duration::from_secs(number()?)),
            "--behind" => {
                let rest: Vec<_> = args.collect();
                let mut parts = rest.splitn(2, |arg| arg == "--bridge");
                (options.program, options.bridge) = (parts.next()?.to_vec(), parts.next()?.to_vec());
                return Some(options);
            }
            "--programs" => options.programs = Some(args.next()?),
            "--pair" => options.pair = true,
            "--conform" => options.conform = true,
            "--check" => options.check = Some(args.next()?),
            "--seed" => options.seed = Some(number()?),
            "--ram" => {
                let [at, len, most] = [number()?, number()?, number()?].map(|number| number as u32);
                options.ram = Some(Ram { at, len, most });
            }
            _ if arg.starts_with("--") => return None,
            _ => {
                options.program = std::iter::once(arg).chain(args).collect();
                return Some(options);
            }
        }
    }
    None
}

fn run(options: &Options) -> Result<(), String> {
    let time = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_micros() as u64);
    let seed = options.seed.unwrap_or_else(time);
    if let Some(dir) = &options.programs {
        return programs::run(dir, &options.program, seed);
    }
    if !options.bridge.is_empty() {
        let qmp = options.qmp.as_deref().ok_or("a board behind a bridge is reset, which needs --qmp")?;
        return bridge::run(&options.bridge, &options.program, qmp);
    }
    if options.conform {
        let qmp = options.qmp.as_deref().ok_or("a check restarts the board, which needs --qmp")?;
        return conform::run(&options.program, qmp, seed, options.check.as_deref().unwrap_or_default());
    }
    let mut board = Board::boot(&options.program, options.qmp.as_deref())?;
    story::tell(&mut board)?;
    if let Some(seed) = options.faulty {
        story::tell_over_faulty_line(&mut board, seed)?;
    }
    if options.resets > 0 {
        endure::resets(&mut board, options.resets, seed)?;
    }
    let (stops, length) = options.stops;
    if stops > 0 {
        endure::stops(&mut board, stops, length, seed)?;
    }
    if let Some(ram) = options.ram {
        // The stack is painted anew by every reset.
        board.reset()?;
        board.up()?;
        story::visit(&mut board)?;
        ram.check(&mut board)?;
    }
    drop(board);
    match (options.pair, &options.qmp) {
        (false, _) => Ok(()),
        (true, Some(socket)) => pair::run(&options.program, socket),
        (true, None) => Err("--pair stops a board, which needs --qmp".into()),
    }
}
