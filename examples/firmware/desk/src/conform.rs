//! The conformance suite, put to a board.

use std::io::{self, Write};
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant as Clock};

use netchan::proto::Instant;
use netchan::testing::conformance::{Check, Faulty, Flow, Specimen, Way};
use netchan::testing::{Faults, FaultyLine};
use netchan_firmware_specimen::CONFIG;

use crate::board::{monitor, spawn};
use crate::qmp::Qmp;

/// How long a step waits for bytes.
const STEP: Duration = Duration::from_millis(1);
/// A board that takes nothing for so long is not going to.
const PATIENCE: Duration = Duration::from_secs(5);
/// Steps whose bytes wait until the board takes them.
const AHEAD: usize = 64;

/// What the line does to bytes, but never for so long that a session ends.
const FAULTS: Faults = Faults {
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
    unplug: 0,
    unplug_us: 0,
};

/// The way to a board that is a child process.
struct Board {
    child: Child,
    /// To who writes to it, and may have to wait.
    input: SyncSender<Vec<u8>>,
    output: Receiver<Vec<u8>>,
    monitor: Qmp,
    start: Clock,
}

impl Board {
    /// Boots QEMU, whose monitor is to listen on `socket`.
    fn boot(program: &[String], socket: &str) -> Result<Self, String> {
        // One that an earlier run has left behind answers nobody.
        let _ = std::fs::remove_file(socket);
        let monitor_at = format!("unix:{socket},server=on,wait=off");
        let program: Vec<_> = program.iter().cloned().chain(["-qmp".into(), monitor_at]).collect();
        let (child, mut pipe, output) = spawn(&program)?;
        let (input, pieces) = sync_channel::<Vec<u8>>(AHEAD);
        // It ends with the board, or with this way to it.
        thread::spawn(move || {
            while let Ok(bytes) = pieces.recv()
                && pipe.write_all(&bytes).and_then(|()| pipe.flush()).is_ok()
            {}
        });
        let monitor = monitor(socket)?;
        Ok(Self { child, input, output, monitor, start: Clock::now() })
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Way for Board {
    fn now(&self) -> Instant {
        Instant::from_micros(self.start.elapsed().as_micros() as u64 + 1)
    }

    fn step(&mut self, out: &[u8], into: &mut Vec<u8>) -> io::Result<Flow> {
        let (mut left, start) = ((!out.is_empty()).then(|| out.to_vec()), Clock::now());
        loop {
            match left.take().map(|bytes| self.input.try_send(bytes)) {
                None | Some(Ok(())) => {}
                Some(Err(TrySendError::Full(_))) if start.elapsed() > PATIENCE => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the board takes nothing"));
                }
                Some(Err(TrySendError::Full(bytes))) => left = Some(bytes),
                Some(Err(TrySendError::Disconnected(_))) => return Err(io::ErrorKind::BrokenPipe.into()),
            }
            match self.output.recv_timeout(STEP) {
                Ok(bytes) => into.extend(bytes),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
            if left.is_none() {
                return Ok(Flow::Open);
            }
        }
    }

    fn renew(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.monitor.reset().map_err(io::Error::other)
    }
}

/// Puts all checks to a board, directly and over a faulty line: to two boards at a time, for most of it is waiting.
pub(crate) fn run(program: &[String], socket: &str, seed: u64, only: &str) -> Result<(), String> {
    // A slip in a name is to be told before two boards are booted.
    Check::matching(only)?;
    println!("ok      the faulty line has seed {seed}");
    let faulty = {
        let (program, socket, only) = (program.to_vec(), format!("{socket}-faulty"), only.to_owned());
        thread::spawn(move || -> Result<u64, String> {
            let way = Board::boot(&program, &socket)?;
            let mut way = Faulty { way, line: FaultyLine::new(FAULTS, seed) };
            put(&mut way, "over a faulty line", &only)?;
            let count = way.line.wires.iter().map(|wire| wire.happened.faults()).sum();
            if count == 0 { Err("the line had no faults".into()) } else { Ok(count) }
        })
    };
    let direct = Board::boot(program, socket).and_then(|mut way| put(&mut way, "directly", only));
    let count = faulty.join().map_err(|_| "the checks over a faulty line panicked")??;
    direct?;
    println!("ok      {count} faults were of no consequence");
    Ok(())
}

fn put(way: &mut dyn Way, how: &str, only: &str) -> Result<(), String> {
    let specimen = Specimen::board(*CONFIG.line());
    let start = Clock::now();
    let mut failures = 0;
    let checks = Check::matching(only)?;
    for check in &checks {
        if let Err(failure) = check.run(way, &specimen) {
            println!("FAILED  {how}: {}: {failure}", check.name);
            failures += 1;
        }
    }
    if failures > 0 {
        return Err(format!("{failures} of {} checks {how}", checks.len()));
    }
    println!("ok      conforms {how}: {} checks in {:.1} s", checks.len(), start.elapsed().as_secs_f64());
    Ok(())
}
