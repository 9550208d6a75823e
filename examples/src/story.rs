//! The demo's story: a station lives, is killed, is noticed dead, comes back.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::demo_board::BoardStory;
use crate::model::{Model, millis};
use crate::process::StationProcess;
use crate::session::{Update, set_interval};

/// How long each part is shown.
const CALL_AFTER: Duration = Duration::from_millis(1500);
const KILL_AFTER: Duration = Duration::from_secs(4);
const DEAD_FOR: Duration = Duration::from_millis(1500);
const AGAIN_FOR: Duration = Duration::from_millis(2500);
/// No part may take longer than this to happen.
const LIMIT: Duration = Duration::from_secs(10);
/// The interval that the demo asks for, in milliseconds.
const FASTER_MS: u32 = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Until there is a session.
    Connecting,
    /// Values come; then the method is called.
    Watching { called: bool },
    /// The station is killed; it must be noticed.
    Killed,
    /// Shown dead.
    Dead,
    /// Started again; the dashboard must come back by itself.
    Returning,
    /// Values come again.
    Again,
    /// All of the station's part has happened; the board has its own.
    Done,
}

/// The story, and what it has measured.
#[derive(Debug)]
pub struct Story {
    station: Option<StationProcess>,
    address: String,
    updates: mpsc::Sender<Update>,
    part: Part,
    since: Instant,
    values_before: u64,
    /// When the station that was started again could be reached, and the session with it began.
    ready: Option<Instant>,
    up: Option<Instant>,
    /// From each kill to the first who was told.
    pub noticed: Vec<Duration>,
    /// From each return of the station to the new session.
    pub returned: Vec<Duration>,
    /// The interval that the method has set, in milliseconds.
    pub interval_ms: Option<u32>,
    /// The board's part, where there is a board.
    board: Option<BoardStory>,
}

impl Story {
    /// Begins with a station that runs.
    #[must_use]
    pub fn new(station: StationProcess, updates: mpsc::Sender<Update>) -> Self {
        Self {
            address: station.address().to_owned(),
            station: Some(station),
            updates,
            part: Part::Connecting,
            since: Instant::now(),
            values_before: 0,
            ready: None,
            up: None,
            noticed: Vec::new(),
            returned: Vec::new(),
            interval_ms: None,
            board: None,
        }
    }

    /// With a board, whose part comes after the station's.
    #[must_use]
    pub fn with_board(mut self, board: Option<BoardStory>) -> Self {
        self.board = board;
        self
    }

    /// Whether all of it has happened.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.part == Part::Done && self.board.as_ref().is_none_or(BoardStory::is_done)
    }

    /// Kills the station now, if it is there to be killed.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn kill(&mut self, model: &mut Model) -> Result<Option<String>, String> {
        if !matches!(self.part, Part::Watching { .. } | Part::Again | Part::Done) {
            return Ok(None);
        }
        let Some(mut station) = self.station.take() else { return Ok(None) };
        let id = station.id();
        let at = station.kill().map_err(|error| format!("the station cannot be killed: {error}"))?;
        model.killed = Some(at);
        (self.ready, self.up) = (None, None);
        self.go(Part::Killed);
        Ok(Some(model.say(&format!("demo: station {id} killed with SIGKILL"))))
    }

    /// Hears what the dashboard hears, before the dashboard.
    ///
    /// # Errors
    ///
    /// When something happened that must not.
    pub fn hear(&mut self, update: &Update, model: &Model) -> Result<(), String> {
        match update {
            Update::Up { at, .. } => match self.part {
                Part::Connecting => self.go(Part::Watching { called: false }),
                Part::Returning => {
                    self.up = Some(*at);
                    self.is_back(model);
                }
                _ => return Err("a session began while one was up".into()),
            },
            Update::Down { dead, at } => {
                let Some(killed) = model.killed.filter(|_| self.part == Part::Killed) else {
                    return Err(format!("the session ended although nobody killed the station: {dead:?}"));
                };
                self.noticed.push(at.saturating_duration_since(killed));
                self.go(Part::Dead);
            }
            Update::Interval(Ok(interval)) => self.interval_ms = Some(interval.ms),
            Update::Board(update) => {
                if let Some(board) = &mut self.board {
                    board.hear(update)?;
                }
            }
            Update::Interval(Err(error)) => return Err(format!("the method: {error}")),
            _ => {}
        }
        Ok(())
    }

    /// Takes over a station that was started.
    pub fn take_station(&mut self, station: StationProcess, model: &mut Model) -> String {
        let text = format!(
            "demo: station {} started again at {} in {}",
            station.id(),
            station.address(),
            millis(station.start_time())
        );
        self.ready = Some(station.ready());
        self.station = Some(station);
        self.is_back(model);
        model.say(&text)
    }

    /// Both must have happened; which of them is heard first does not matter.
    fn is_back(&mut self, model: &Model) {
        if let (Some(ready), Some(up), Part::Returning) = (self.ready, self.up, self.part) {
            self.returned.push(up.saturating_duration_since(ready));
            self.values_before = model.values;
            self.go(Part::Again);
        }
    }

    /// Does what is due; yields a line where something is worth one.
    ///
    /// # Errors
    ///
    /// When something did not happen in time.
    pub fn step(&mut self, model: &mut Model) -> Result<Option<String>, String> {
        let shown = self.since.elapsed();
        let ended = self.station.as_mut().and_then(StationProcess::has_ended);
        if let Some(status) = ended {
            return Err(format!("the station ended by itself ({status})"));
        }
        if let Some(line) = self.step_board(model)? {
            return Ok(Some(line));
        }
        match self.part {
            Part::Watching { called: false } if shown >= CALL_AFTER => {
                self.part = Part::Watching { called: true };
                if let Some(client) = &model.client {
                    set_interval(client, FASTER_MS, self.updates.clone());
                }
                Ok(Some(model.say(&format!("demo: calls the method: sample every {FASTER_MS} ms"))))
            }
            Part::Watching { .. } if shown >= KILL_AFTER => {
                if model.values == 0 || self.interval_ms.is_none() {
                    return Err("no values came, or the method did not answer".into());
                }
                self.kill(model)
            }
            Part::Dead if shown >= DEAD_FOR => {
                self.go(Part::Returning);
                let (address, updates) = (self.address.clone(), self.updates.clone());
                thread::spawn(move || updates.send(Update::Station(StationProcess::start(&address))));
                Ok(None)
            }
            Part::Again if shown >= AGAIN_FOR => {
                if model.values == self.values_before {
                    return Err("no values came in the new session".into());
                }
                self.go(Part::Done);
                Ok(None)
            }
            Part::Connecting | Part::Killed | Part::Returning if shown > LIMIT => {
                Err(format!("{:?} took longer than {} s", self.part, LIMIT.as_secs()))
            }
            _ => Ok(None),
        }
    }

    /// Resets the board now, if there is one.
    ///
    /// # Errors
    ///
    /// When that fails.
    pub fn reset_board(&mut self, model: &mut Model) -> Result<Option<String>, String> {
        let (Some(board), Some(its)) = (&mut self.board, &mut model.board) else { return Ok(None) };
        Ok(board.reset(its)?.map(|text| model.say(&text)))
    }

    /// Kills the board's bridge now, if there is one.
    ///
    /// # Errors
    ///
    /// When that fails.
    pub fn kill_bridge(&mut self, model: &mut Model) -> Result<Option<String>, String> {
        let (Some(board), Some(its)) = (&mut self.board, &mut model.board) else { return Ok(None) };
        Ok(board.kill_bridge(its)?.map(|text| model.say(&text)))
    }

    fn step_board(&mut self, model: &mut Model) -> Result<Option<String>, String> {
        let (Some(board), Some(its)) = (&mut self.board, &mut model.board) else { return Ok(None) };
        Ok(board.step(its, self.part == Part::Done)?.map(|text| model.say(&text)))
    }

    /// The figures, line by line.
    #[must_use]
    pub fn summary(&self, model: &Model) -> Vec<String> {
        let list = |times: &[Duration]| times.iter().map(|time| millis(*time)).collect::<Vec<_>>().join(", ");
        let mut lines = vec![
            format!("values received       {}", model.values),
            format!("sessions              {}", model.sessions),
            format!("interval set to       {} ms", self.interval_ms.unwrap_or_default()),
            format!("death noticed after   {}", list(&self.noticed)),
            format!("reconnected after     {} (from when the station was back)", list(&self.returned)),
        ];
        if let (Some(board), Some(its)) = (&self.board, &model.board) {
            lines.extend(board.summary(its));
        }
        lines
    }

    /// Ends the station in order.
    pub fn end(&mut self) {
        if let Some(station) = self.station.take() {
            station.leave();
        }
        self.board = None;
    }

    fn go(&mut self, part: Part) {
        self.part = part;
        self.since = Instant::now();
    }
}
