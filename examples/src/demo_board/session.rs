//! Keeps a dashboard connected to a board that is somewhere below it in its tree: whoever brings it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use netchan::{Client, Dead, LinkEvent, LogRecord, Node, Place, Receiver, RecvError, Sender, Watch, select};
use netchan_firmware_app::{Block, Command, Lost, Pair, Reading};
use netchan_tcp as tcp;

use crate::session::Update;

const CALL_WAIT: Duration = Duration::from_secs(2);
/// All ends of a session are told at the same time; none of them is waited for any longer.
const END_WAIT: Duration = Duration::from_secs(2);

/// What a dashboard hears of a board, and of the tree that it is in.
#[derive(Debug)]
#[non_exhaustive]
pub enum BoardUpdate {
    /// A node has come.
    Joined(String),
    /// A node is gone.
    Left {
        /// Which.
        name: String,
        /// When it was told.
        at: Instant,
    },
    /// A session began.
    Up {
        /// The board's path.
        path: String,
        /// Tells it what to do.
        orders: Box<Sender<Command>>,
        /// Calls its method.
        method: Client<Pair, u32>,
    },
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
    /// How the board has lost whoever gave it orders before.
    Lost(Lost),
    /// An end was told that its session is over.
    Told {
        /// Which.
        channel: &'static str,
        /// Why, and who says so.
        dead: Dead,
        /// The same in words.
        words: String,
        /// How many values of that session it had received.
        taken: u64,
        /// When.
        at: Instant,
    },
    /// The method answered, or did not, after so long.
    Sum(Result<u32, String>, Duration),
}

/// The dashboard's node in the tree: its root, which adopts whoever comes.
#[derive(Debug)]
pub struct Tree {
    node: Node,
    listener: tcp::Listener,
}

type Told = mpsc::SendError<Update>;

impl Tree {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// A sentence.
    pub fn listen() -> Result<Self, String> {
        let node = Node::new("dashboard");
        let listener = tcp::listen_with(&node, "127.0.0.1:0", tcp::Options::new().adopt())
            .map_err(|error| error.to_string())?;
        Ok(Self { node, listener })
    }

    /// Where bridges join.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Starts threads that stay connected to the board for as long as somebody hears their updates.
    pub fn start(self, updates: mpsc::Sender<Update>) {
        let (boards, paths) = mpsc::channel();
        let (node, watched) = (self.node.clone(), updates.clone());
        thread::spawn(move || watch(&node, &boards, &watched));
        thread::spawn(move || {
            let Err(error) = stay_connected(&self, &paths, &updates);
            let _ = updates.send(Update::Board(BoardUpdate::Failed(error.to_string())));
        });
    }
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

/// Tells who comes and goes, and the paths of those who are further away than the next node: boards behind bridges.
fn watch(node: &Node, boards: &mpsc::Sender<String>, updates: &mpsc::Sender<Update>) -> Result<(), Told> {
    let mut names = HashMap::new();
    while let Some(event) = node.event().wait() {
        let update = match event {
            LinkEvent::NodeJoined { id, via, name } => {
                let path = node.path_of(id).unwrap_or(name);
                let name = format!("{path} (node {id})");
                names.insert(id, name.clone());
                if via != node.id() {
                    let _ = boards.send(path);
                }
                BoardUpdate::Joined(name)
            }
            LinkEvent::NodeLeft { id, name, .. } => {
                BoardUpdate::Left { name: names.remove(&id).unwrap_or(name), at: Instant::now() }
            }
            _ => continue,
        };
        updates.send(Update::Board(update))?;
    }
    Ok(())
}

fn stay_connected(
    tree: &Tree,
    paths: &mpsc::Receiver<String>,
    updates: &mpsc::Sender<Update>,
) -> Result<Infallible, Box<dyn Error>> {
    let mut is_back = false;
    loop {
        let path = paths.recv()?;
        // One that is gone again comes again, and is another node then.
        let Ok((session, up)) = Session::begin(&tree.node, &path) else { continue };
        updates.send(Update::Board(up))?;
        session.run(&tree.node, is_back, updates)?;
        is_back = true;
    }
}

struct Session {
    reading: Watch<Reading>,
    blocks: Receiver<Block>,
    records: Receiver<LogRecord>,
    lost: Watch<Lost>,
}

impl Session {
    fn begin(node: &Node, path: &str) -> Result<(Self, BoardUpdate), Box<dyn Error>> {
        let board = node.remote(path);
        let session = Self {
            reading: board.import("reading").wait()?,
            blocks: board.import("dump").wait()?,
            records: board.import(LogRecord::NAME).wait()?,
            lost: board.import("lost").wait()?,
        };
        let (orders, method) = (Box::new(board.import("orders").wait()?), board.import("sum").wait()?);
        Ok((session, BoardUpdate::Up { path: path.to_owned(), orders, method }))
    }

    /// Passes values on until the ends are told that the session is over.
    fn run(mut self, node: &Node, mut is_back: bool, updates: &mpsc::Sender<Update>) -> Result<(), Told> {
        let tell = |update| updates.send(Update::Board(update));
        let mut taken = [0; 3];
        loop {
            let Self { reading, blocks, records, lost } = &mut self;
            let ready = select(&mut [reading, blocks, records, lost]).wait();
            let update = match ready.expect("there is something to select from, and no deadline") {
                0 => self.reading.try_changed().map(|reading| {
                    taken[0] += 1;
                    let is_back = std::mem::take(&mut is_back);
                    BoardUpdate::Reading { reading, is_back, at: Instant::now() }
                }),
                1 => self.blocks.try_recv().map(|_| {
                    taken[1] += 1;
                    BoardUpdate::Block
                }),
                2 => self.records.try_recv().map(|record| {
                    taken[2] += 1;
                    BoardUpdate::Log(Box::new(record))
                }),
                _ => self.lost.try_changed().map(BoardUpdate::Lost),
            };
            match update {
                Ok(update) => tell(update)?,
                Err(RecvError::Empty) => {}
                Err(_) => break,
            }
        }
        let ends = [
            ("reading", end_of(|| self.reading.changed().timeout(END_WAIT).wait())),
            ("dump", end_of(|| self.blocks.recv().timeout(END_WAIT).wait())),
            (LogRecord::NAME, end_of(|| self.records.recv().timeout(END_WAIT).wait())),
        ];
        for ((channel, (dead, at)), taken) in ends.into_iter().zip(taken) {
            let Some(dead) = dead else { continue };
            tell(BoardUpdate::Told { channel, dead, words: words(node, &dead), taken, at })?;
        }
        Ok(())
    }
}

/// How a stream ends, after what is still to be taken.
fn end_of<T>(mut next: impl FnMut() -> Result<T, RecvError>) -> (Option<Dead>, Instant) {
    loop {
        match next() {
            Ok(_) => {}
            Err(RecvError::Dead(dead)) => return (Some(dead), Instant::now()),
            Err(_) => return (None, Instant::now()),
        }
    }
}

/// A death, with the name of who says so: the neighbour on the way to a board is its bridge.
fn words(node: &Node, dead: &Dead) -> String {
    match dead.at {
        Place::Peer => format!("dead: {} (says the bridge)", dead.reason),
        Place::Here => format!("dead: {} (to the bridge)", dead.reason),
        _ => node.describe(dead),
    }
}
