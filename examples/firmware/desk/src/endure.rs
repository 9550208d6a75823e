//! A board that is reset at random bytes, and stopped for longer than its dead-time: each time everybody is told once, for
//! the right reason, the board too where its memory lives on; nothing of an earlier session is delivered in a later one, in either
//! direction; and all is back soon.

use std::time::{Duration, Instant as Clock};

use netchan::Message;
use netchan::message::Shape;
use netchan::proto::{Dead, Fault, OpenFlags, Place, Reason};
use netchan::testing::{Outcome, Rng, Stage};
use netchan_firmware_app::{Block, CONFIG, Command, LOAD, Loads, Reading, block};

use crate::board::Board;
use crate::story::{command, encoded, hang_up, take};

/// A reset comes after up to so many bytes of the board: a session has more than this before it is idle.
const BYTES: usize = 6000;
/// Values that are under way when it comes.
const ECHOES: u32 = 8;

/// Notes how long things took.
#[derive(Default)]
struct Times {
    all: Vec<Duration>,
}

impl Times {
    fn add(&mut self, time: Duration) {
        self.all.push(time);
    }

    fn show(&mut self) -> String {
        self.all.sort_unstable();
        let at = |part: usize| self.all.get((self.all.len() * part / 100).min(self.all.len() - 1));
        let ms = |time: Option<&Duration>| time.map_or(0, Duration::as_millis);
        format!("{} ms in the middle, {} ms at most", ms(at(50)), ms(self.all.last()))
    }
}

/// Resets the board so many times, each at another byte.
pub(crate) fn resets(board: &mut Board, count: u32, seed: u64) -> Result<(), String> {
    let (mut rng, mut noticed, mut back) = (Rng::new(seed), Times::default(), Times::default());
    for n in 1..=count {
        let name = |error: String| format!("reset {n} of seed {seed}: {error}");
        board.up().map_err(name)?;
        let busy = Busy::begin(board, n).map_err(name)?;
        let until = board.heard + rng.below(BYTES) as u64;
        busy.go_on(board, |board| board.heard >= until).map_err(name)?;
        let (fault, took) = board.reset()?;
        if fault != Fault::Restarted(Reason::PeerRestarted) {
            return Err(name(format!("it was taken for: {fault}")));
        }
        noticed.add(took);
        let begin = Clock::now();
        busy.is_told(board, Reason::PeerRestarted).map_err(name)?;
        board.up().map_err(name)?;
        reopen(board).map_err(name)?;
        back.add(begin.elapsed());
        // It has begun anew.
        board_says(board, Loads::default()).map_err(name)?;
    }
    println!("ok      {count} resets at random bytes are told once each: after {}", noticed.show());
    println!("ok      nothing of a session came in the next, which was there after {}", back.show());
    limit("after a reset", back.all.last())
}

/// Stops the board and its clock so many times for so long, which is longer than its dead-time.
pub(crate) fn stops(board: &mut Board, count: u32, length: Duration, seed: u64) -> Result<(), String> {
    let (mut rng, mut noticed, mut back) = (Rng::new(seed), Times::default(), Times::default());
    board.up()?;
    let mut loads = loads(board)?;
    for n in 1..=count {
        let name = |error: String| format!("stop {n} of seed {seed}: {error}");
        board.up().map_err(name)?;
        let busy = Busy::begin(board, n).map_err(name)?;
        let until = board.heard + rng.below(BYTES) as u64;
        busy.go_on(board, |board| board.heard >= until).map_err(name)?;
        let stopped = Clock::now();
        board.monitor()?.stop()?;
        let fault = board.until("the end of the session", |board| board.node.port.fault).map_err(name)?;
        let took = stopped.elapsed();
        if !matches!(fault, Fault::Unresponsive | Fault::Unacknowledged) {
            return Err(name(format!("it was taken for: {fault}")));
        }
        limit("until a stop is noticed", Some(&took)).map_err(name)?;
        noticed.add(took);
        busy.is_told(board, fault.reason()).map_err(name)?;
        // It is said hello to all the while.
        while stopped.elapsed() < length {
            board.link_again();
            board.step()?;
        }
        let begin = Clock::now();
        board.monitor()?.cont()?;
        board.up().map_err(name)?;
        reopen(board).map_err(name)?;
        back.add(begin.elapsed());
        (loads.ends, loads.interruptions) = (loads.ends + 1, loads.interruptions + 1);
        board_says(board, loads).map_err(name)?;
    }
    let seconds = length.as_secs_f32();
    println!("ok      {count} stops of {seconds} s are told once each: after {}", noticed.show());
    println!("ok      when the board goes on, all is back after {}", back.show());
    println!("ok      and it was told of each end once, and got nothing of a session before");
    limit("after a stop", back.all.last())
}

/// Nothing takes longer than the dead-time and a quarter.
fn limit(what: &str, took: Option<&Duration>) -> Result<(), String> {
    let most = Duration::from_millis(u64::from(CONFIG.line().dead_ms) * 5 / 4);
    match took {
        Some(took) if *took > most => Err(format!("{what}: {} ms of {}", took.as_millis(), most.as_millis())),
        _ => Ok(()),
    }
}

/// The board answers in the session that there is, with values of this session.
fn reopen(board: &mut Board) -> Result<(), String> {
    let flags = OpenFlags::RECEIVES.with(OpenFlags::LATEST);
    let id = board.import("reading", flags, Reading::FINGERPRINT.get())?;
    take::<Reading>(board, id, "a reading")?;
    hang_up(board, id)?;
    board.imported("command").map(|_| ())
}

/// What the board says of those who have loaded.
fn loads(board: &mut Board) -> Result<Loads, String> {
    let id = watch_loads(board)?;
    let loads = take(board, id, "what the board says of loads")?;
    hang_up(board, id)?;
    Ok(loads)
}

fn watch_loads(board: &mut Board) -> Result<usize, String> {
    board.import("loads", OpenFlags::RECEIVES.with(OpenFlags::LATEST), Loads::FINGERPRINT.get())
}

/// The board was told of ends so often, and nothing came to it that was not the next.
fn board_says(board: &mut Board, expected: Loads) -> Result<(), String> {
    let loads = loads(board)?;
    if loads == expected {
        Ok(())
    } else {
        Err(format!("the board says {loads:?}, expected is {expected:?}"))
    }
}

/// Values under way in both directions.
struct Busy {
    echo: usize,
    dump: usize,
    load: usize,
    /// What the board says of them.
    loads: usize,
    /// What the values of this session begin with.
    base: u32,
}

impl Busy {
    /// Every value of a session is of that session only.
    fn begin(board: &mut Board, session: u32) -> Result<Self, String> {
        let base = session * LOAD;
        let duplex = Shape::end("duplex", &[u32::FINGERPRINT, u32::FINGERPRINT], 0).fingerprint();
        let echo = board.import("echo", OpenFlags::BOTH, duplex.get())?;
        let load = board.import("load", OpenFlags::SENDS, Block::FINGERPRINT.get())?;
        // A board that was only stopped still has blocks of the last session to send: it is told first.
        command(board, Command::Dump(base + 500))?;
        let level = session as u8;
        command(board, Command::Level(level))?;
        let latest = OpenFlags::RECEIVES.with(OpenFlags::LATEST);
        let reading = board.import("reading", latest, Reading::FINGERPRINT.get())?;
        while take::<Reading>(board, reading, "a reading with the new level")?.level != level {}
        hang_up(board, reading)?;
        let dump = board.import("dump", OpenFlags::RECEIVES, Block::FINGERPRINT.get())?;
        for n in 0..40 {
            board.node.send(load, block(base + n).to_vec());
        }
        let loads = watch_loads(board)?;
        Ok(Self { echo, dump, load, loads, base })
    }

    /// Sends and takes until it is `enough`; whatever comes has to be the next of this session.
    fn go_on(&self, board: &mut Board, enough: impl Fn(&Board) -> bool) -> Result<(), String> {
        let (mut sent, mut came, mut dumped) = (0, 0, 0);
        board.until("values of this session", |board| {
            while sent < came + ECHOES {
                board.node.send(self.echo, encoded(&(self.base + sent)));
                sent += 1;
            }
            while let Outcome::Value(bytes) = board.node.take(self.echo) {
                if u32::decode(&bytes) != Ok(self.base + came) {
                    return Some(Err(format!("echo {came} is {bytes:?}")));
                }
                came += 1;
            }
            while let Outcome::Value(bytes) = board.node.take(self.dump) {
                if bytes != block(self.base + 500 - dumped).to_vec() {
                    return Some(Err(format!("block {dumped} is another one")));
                }
                dumped += 1;
            }
            while let Outcome::Value(bytes) = board.node.take(self.loads) {
                match Loads::decode(&bytes) {
                    Ok(Loads { stale: 0, .. }) => {}
                    loads => {
                        return Some(Err(format!("the board got a block that was not the next: {loads:?}")));
                    }
                }
            }
            if dumped > 490 {
                return Some(Err("the transfer was too short".into()));
            }
            enough(board).then_some(Ok(()))
        })?
    }

    /// Everybody has heard that it is over, and why; what was sent adds up.
    fn is_told(&self, board: &Board, reason: Reason) -> Result<(), String> {
        for id in [self.echo, self.dump, self.load] {
            let circuit = &board.node.circuits[id];
            let expected = Dead { reason, at: Place::Here };
            if circuit.stage != Stage::Over || circuit.dead != Some(expected) {
                return Err(format!("{}: {:?}, {:?}", circuit.name, circuit.stage, circuit.dead));
            }
            let account = circuit.account();
            if account.confirmed + account.in_doubt + account.unsent != account.sent {
                return Err(format!("{}: {account:?}", circuit.name));
            }
        }
        Ok(())
    }
}
