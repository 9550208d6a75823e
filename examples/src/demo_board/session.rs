//! Keeps a dashboard connected to a board: what it imports goes on after a reset, and says so once.

use std::convert::Infallible;
use std::error::Error;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use netchan::{Client, Dead, LogRecord, Node, Receiver, Reconnect, RecvError, Sender, Watch, select};
use netchan_firmware_app::{Block, Command, Pair, Reading};
use netchan_serial as serial;

use crate::session::Update;

const CALL_WAIT: Duration = Duration::from_secs(2);

/// What a dashboard hears of a board.
#[derive(Debug)]
#[non_exhaustive]
pub enum BoardUpdate {
    /// The first session began.
    Up {
        /// The board's name.
        name: String,
        /// Tells it what to do, in every session.
        command: Sender<Command>,
    },
    /// The board's method can be called, until the session ends.
    Method(Client<Pair, u32>),
    /// There will be no session.
    Failed(String),
    /// The newest value.
    Reading {
        /// It.
        reading: Reading,
        /// The first of a later session.
        is_back: bool,
        /// When.
        at: Instant,
    },
    /// A part of a bulk transfer.
    Block,
    /// A record of its log.
    Log(Box<LogRecord>),
    /// An end was told that its session is over. It goes on in the next one.
    Told {
        /// Which.
        channel: &'static str,
        /// Why.
        dead: Dead,
        /// How many values of that session it had received.
        taken: u64,
        /// When.
        at: Instant,
    },
    /// The method answered, or did not, after so long.
    Sum(Result<u32, String>, Duration),
}

/// Starts a thread that stays connected to the board at `port` for as long as somebody hears its updates.
pub fn start(port: PathBuf, updates: mpsc::Sender<Update>) {
    thread::spawn(move || {
        let Err(error) = stay_connected(port, &updates);
        let _ = updates.send(Update::Board(BoardUpdate::Failed(error.to_string())));
    });
}

/// Calls the board's method, without keeping the caller waiting.
pub fn add(client: &Client<Pair, u32>, pair: Pair, updates: mpsc::Sender<Update>) {
    let client = client.clone();
    thread::spawn(move || {
        let begin = Instant::now();
        let reply = client.call(pair).timeout(CALL_WAIT).wait().map_err(|error| error.to_string());
        let _ = updates.send(Update::Board(BoardUpdate::Sum(reply, begin.elapsed())));
    });
}

fn stay_connected(port: PathBuf, updates: &mpsc::Sender<Update>) -> Result<Infallible, Box<dyn Error>> {
    let node = Node::new("dashboard");
    // Boards import, too: this is where it gets its commands from.
    let command: Sender<Command> = node.export("command")?;
    let board = serial::open(&node, port).reconnect(Reconnect::new()).wait()?;
    let mut reading: Watch<Reading> = board.import("reading").reopen().wait()?;
    let mut blocks: Receiver<Block> = board.import("dump").reopen().wait()?;
    let mut records: Receiver<LogRecord> = board.import(LogRecord::NAME).reopen().wait()?;
    let tell = |update| updates.send(Update::Board(update));
    tell(BoardUpdate::Up { name: board.info().name.clone(), command })?;
    // A client ends with its session: calls are told one by one what became of them.
    let method = || board.import::<Client<Pair, u32>>("sum").wait();
    tell(BoardUpdate::Method(method()?))?;
    let mut is_new = false;
    loop {
        let ready = select(&mut [&mut reading, &mut blocks, &mut records]).wait()?;
        let (channel, error) = match ready {
            0 => match reading.try_changed() {
                Ok(reading) => {
                    let is_back = std::mem::take(&mut is_new);
                    tell(BoardUpdate::Reading { reading, is_back, at: Instant::now() })?;
                    if is_back {
                        tell(BoardUpdate::Method(method()?))?;
                    }
                    continue;
                }
                Err(error) => ("reading", error),
            },
            1 => match blocks.try_recv() {
                Ok(_) => {
                    tell(BoardUpdate::Block)?;
                    continue;
                }
                Err(error) => ("dump", error),
            },
            _ => match records.try_recv() {
                Ok(record) => {
                    tell(BoardUpdate::Log(Box::new(record)))?;
                    continue;
                }
                Err(error) => (LogRecord::NAME, error),
            },
        };
        match error {
            RecvError::Empty => {}
            RecvError::Interrupted { dead, taken } => {
                is_new |= channel == "reading";
                tell(BoardUpdate::Told { channel, dead, taken, at: Instant::now() })?;
            }
            error => return Err(error.into()),
        }
    }
}
