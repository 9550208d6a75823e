//! What a dashboard knows of a board.

use std::time::{Duration, Instant};

use netchan::{Client, Dead, Sender};
use netchan_firmware_app::{Command, Pair};

use super::BoardUpdate;
use crate::model::{Gauge, millis};

/// The highest level that is drawn.
const LEVEL_MAX: u64 = 200;

/// The state of the link to the board.
#[derive(Debug)]
#[non_exhaustive]
pub enum BoardLink {
    /// Not connected yet.
    Connecting,
    /// Values come.
    Up,
    /// The session is over, and the next one is to come.
    Dead(Dead, Instant),
    /// For ever.
    Failed(String),
}

/// All of it.
#[derive(Debug)]
pub struct BoardModel {
    /// What it is, until it has said its name.
    pub name: String,
    /// The link.
    pub link: BoardLink,
    /// The level that it says it has.
    pub level: Gauge,
    /// Blocks received in this session.
    pub blocks: u64,
    /// Sessions so far.
    pub sessions: u32,
    /// Tells it what to do.
    pub command: Option<Sender<Command>>,
    /// Calls its method.
    pub client: Option<Client<Pair, u32>>,
    /// When it was reset, where that is known.
    pub reset: Option<Instant>,
}

impl BoardModel {
    /// Knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            name: "board".into(),
            link: BoardLink::Connecting,
            level: Gauge::new("board", Some(LEVEL_MAX)),
            blocks: 0,
            sessions: 0,
            command: None,
            client: None,
            reset: None,
        }
    }

    /// Takes an update in; yields a text where something is worth one.
    pub fn apply(&mut self, update: &BoardUpdate) -> Option<String> {
        Some(match update {
            BoardUpdate::Up { name, command } => {
                self.name.clone_from(name);
                self.command = command.try_clone().ok();
                self.sessions = 1;
                self.link = BoardLink::Up;
                format!("board up: {name} says hello over its serial line")
            }
            BoardUpdate::Method(client) => {
                self.client = Some(client.clone());
                return None;
            }
            BoardUpdate::Failed(error) => {
                self.link = BoardLink::Failed(error.clone());
                format!("board: {error}")
            }
            BoardUpdate::Reading { reading, is_back, at } => {
                let uptime = Duration::from_millis(reading.uptime_ms.into());
                let text = format!("level {:3}, up for {:.1} s", reading.level, uptime.as_secs_f64());
                self.level.add(f64::from(reading.level), text, *at);
                if !is_back {
                    return None;
                }
                self.link = BoardLink::Up;
                self.sessions += 1;
                self.blocks = 0;
                let since = self.since_reset(*at);
                format!("board up: a new session began, its program is {} old{since}", millis(uptime))
            }
            BoardUpdate::Log(record) => {
                format!("board's log: {} {}: {}", record.level(), record.target(), record.text())
            }
            BoardUpdate::Block => {
                self.blocks += 1;
                return None;
            }
            BoardUpdate::Told { channel, dead, taken, at } => {
                self.client = None;
                if matches!(self.link, BoardLink::Up) {
                    self.link = BoardLink::Dead(*dead, *at);
                }
                let since = self.since_reset(*at);
                format!("board: `{channel}` interrupted after {taken} values: {dead}{since}")
            }
            BoardUpdate::Sum(Ok(sum), took) => {
                format!("board's method answered: {sum}, after {}", millis(*took))
            }
            BoardUpdate::Sum(Err(error), _) => format!("board's method did not answer: {error}"),
        })
    }

    /// The board in a few words.
    #[must_use]
    pub fn summary(&self) -> String {
        match &self.link {
            BoardLink::Connecting => format!("{} ...", self.name),
            BoardLink::Up => format!("{} {}", self.name, self.level.text),
            BoardLink::Dead(dead, _) => format!("{} dead: {}", self.name, dead.reason),
            BoardLink::Failed(error) => format!("{}: {error}", self.name),
        }
    }

    fn since_reset(&self, at: Instant) -> String {
        self.reset.map_or_else(String::new, |reset| {
            format!("; {} after the reset", millis(at.saturating_duration_since(reset)))
        })
    }
}

impl Default for BoardModel {
    fn default() -> Self {
        Self::new()
    }
}
