//! Keeps a dashboard connected to a station: imports, receives, and begins again after a loss.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use netchan::{Client, Config, Dead, Node, PeerInfo, Receiver, RecvError, Watch, select};
use netchan_tcp as tcp;

use crate::demo_board::BoardUpdate;
use crate::process::StationProcess;
use crate::station::{self, Cpu, Disks, Event, Interval, Load, Memory, SetInterval};

/// Between two attempts to connect: the first pause, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];
const CALL_WAIT: Duration = Duration::from_secs(2);

/// What a dashboard hears.
#[derive(Debug)]
#[non_exhaustive]
pub enum Update {
    /// A session began.
    Up {
        /// The station.
        peer: PeerInfo,
        /// Changes its sampling interval.
        interval: Client<SetInterval, Interval>,
        /// When.
        at: Instant,
    },
    /// The session is over: no value will come any more.
    Down {
        /// Why; `None` for an end in order.
        dead: Option<Dead>,
        /// When the first who waited was told.
        at: Instant,
    },
    /// No session yet.
    Failed {
        /// Why.
        error: String,
        /// The next attempt comes after this.
        pause: Duration,
    },
    /// A gauge.
    Cpu(Cpu),
    /// A gauge.
    Memory(Memory),
    /// A gauge.
    Load(Load),
    /// A gauge.
    Disks(Disks),
    /// Something happened at the station.
    Event(Event),
    /// The method answered, or did not.
    Interval(Result<Interval, String>),
    /// Something about a board.
    Board(BoardUpdate),
    /// A station was started, or was not.
    Station(Result<StationProcess, String>),
    /// A key was pressed.
    Key(ratatui::crossterm::event::KeyEvent),
    /// The terminal looks different now.
    Resized,
}

/// Starts a thread that stays connected to `address` for as long as somebody hears its updates.
pub fn start(address: String, updates: mpsc::Sender<Update>) {
    thread::spawn(move || {
        // Somebody who hears no more is a good reason to stop.
        let Err(mpsc::SendError(_)) = stay_connected(&address, &updates);
    });
}

/// Calls the method, without keeping the caller waiting.
pub fn set_interval(client: &Client<SetInterval, Interval>, ms: u32, updates: mpsc::Sender<Update>) {
    let client = client.clone();
    thread::spawn(move || {
        let reply = client.call(SetInterval { ms }).timeout(CALL_WAIT).wait();
        let _ = updates.send(Update::Interval(reply.map_err(|error| error.to_string())));
    });
}

type Told = mpsc::SendError<Update>;

fn stay_connected(address: &str, updates: &mpsc::Sender<Update>) -> Result<std::convert::Infallible, Told> {
    let mut config = Config::default();
    config.dead_time = Duration::from_secs(1);
    let node = Node::with_config("dashboard", config).expect("the name is a good one");
    let mut pause = PAUSES[0];
    loop {
        match Session::begin(&node, address) {
            Ok((mut session, up)) => {
                pause = PAUSES[0];
                updates.send(up)?;
                let dead = session.run(updates)?;
                updates.send(Update::Down { dead, at: Instant::now() })?;
            }
            Err(error) => updates.send(Update::Failed { error, pause })?,
        }
        thread::sleep(pause);
        pause = (pause * 2).min(PAUSES[1]);
    }
}

struct Session {
    cpu: Watch<Cpu>,
    memory: Watch<Memory>,
    load: Watch<Load>,
    disks: Watch<Disks>,
    events: Receiver<Event>,
}

impl Session {
    fn begin(node: &Node, address: &str) -> Result<(Self, Update), String> {
        let peer = tcp::connect(node, address).wait().map_err(|error| error.to_string())?;
        let import = || -> Result<_, netchan::ImportError> {
            let session = Self {
                cpu: peer.import(station::CPU).wait()?,
                memory: peer.import(station::MEMORY).wait()?,
                load: peer.import(station::LOAD).wait()?,
                disks: peer.import(station::DISKS).wait()?,
                events: peer.import(station::EVENTS).wait()?,
            };
            Ok((session, peer.import(station::INTERVAL).wait()?))
        };
        match import() {
            Ok((session, interval)) => {
                let up = Update::Up { peer: peer.info().clone(), interval, at: Instant::now() };
                Ok((session, up))
            }
            Err(error) => {
                peer.close();
                Err(error.to_string())
            }
        }
    }

    /// Passes values on until the first channel ends: the others end with it.
    fn run(&mut self, updates: &mpsc::Sender<Update>) -> Result<Option<Dead>, Told> {
        loop {
            let Self { cpu, memory, load, disks, events } = self;
            let ready = select(&mut [cpu, memory, load, disks, events]).wait();
            let update = match ready.expect("there is something to select from, and no deadline") {
                0 => cpu.try_changed().map(Update::Cpu),
                1 => memory.try_changed().map(Update::Memory),
                2 => load.try_changed().map(Update::Load),
                3 => disks.try_changed().map(Update::Disks),
                _ => events.try_recv().map(Update::Event),
            };
            match update {
                Ok(update) => updates.send(update)?,
                Err(RecvError::Empty) => {}
                Err(RecvError::Dead(dead)) => return Ok(Some(dead)),
                Err(_) => return Ok(None),
            }
        }
    }
}
