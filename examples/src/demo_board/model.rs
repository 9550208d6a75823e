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
    /// What was done to it or to its bridge, and when.
    pub struck: Option<(&'static str, Instant)>,
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
            struck: None,
        }
    }

    /// Takes an update in; yields a text where something is worth one.
    pub fn apply(&mut self, update: &BoardUpdate) -> Option<String> {
        Some(match update {
            BoardUpdate::Joined(who) => format!("tree: {who} has joined"),
            BoardUpdate::Left { name, at } => {
                format!("tree: {name} is gone{}", self.since(*at))
            }
            BoardUpdate::Up { path, orders, method } => {
                self.name.clone_from(path);
                self.command = orders.try_clone().ok();
                self.client = Some(method.clone());
                if self.sessions > 0 {
                    return None;
                }
                self.sessions = 1;
                self.link = BoardLink::Up;
                format!("board up: {path} answers through its bridge")
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
                let since = self.since(*at);
                format!("board up: a new session began, its program is {} old{since}", millis(uptime))
            }
            BoardUpdate::Log(record) => {
                format!("board's log: {} {}: {}", record.level(), record.target(), record.text())
            }
            BoardUpdate::Block => {
                self.blocks += 1;
                return None;
            }
            BoardUpdate::Lost(lost) => format!(
                "board: it lost us when it was {} old: {}",
                millis(Duration::from_millis(lost.at_ms.into())),
                lost.why.as_str()
            ),
            BoardUpdate::Told { channel, dead, words, taken, at } => {
                self.client = None;
                if matches!(self.link, BoardLink::Up) {
                    self.link = BoardLink::Dead(*dead, *at);
                }
                let since = self.since(*at);
                format!("board: `{channel}` ended after {taken} values: {words}{since}")
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

    fn since(&self, at: Instant) -> String {
        self.struck.map_or_else(String::new, |(what, then)| {
            format!("; {} after the {what}", millis(at.saturating_duration_since(then)))
        })
    }
}

impl Default for BoardModel {
    fn default() -> Self {
        Self::new()
    }
}
