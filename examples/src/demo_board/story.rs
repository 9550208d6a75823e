//! The board's part of the demo: told what to do, asked, and reset while it sends.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use netchan::Dead;
use netchan_firmware_app::{Command, Pair};

use super::{BoardModel, BoardProcess, BoardUpdate, add};
use crate::model::millis;
use crate::session::Update;

/// How long each part is shown.
const SHOWN_FOR: Duration = Duration::from_millis(1000);
const AGAIN_FOR: Duration = Duration::from_millis(1500);
/// No part may take longer than this to happen.
const LIMIT: Duration = Duration::from_secs(10);
const LEVEL: u8 = 120;
const PAIR: Pair = Pair(19, 23);
/// Imports that are told of a reset.
const IMPORTS: usize = 3;
/// Blocks that the board is told to send, and after how many of them it is reset.
const BLOCKS: u32 = 100_000;
const RESET_AFTER: u64 = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Until there is a session and a value.
    Connecting,
    /// Shown as it is; the station has its turn first.
    Watching,
    /// Told to change its level, which its values must follow.
    Commanded,
    /// The level is there; then the method is called.
    Followed,
    Called,
    /// The method has answered; then the transfer begins.
    Answered,
    /// Blocks come; in the middle of them it is reset.
    Sending,
    /// Both imports must be told, and values must come again.
    Reset,
    /// Values come again.
    Again,
    Done,
}

/// The story, and what it has measured.
#[derive(Debug)]
pub struct BoardStory {
    board: BoardProcess,
    updates: mpsc::Sender<Update>,
    part: Part,
    since: Instant,
    reset_at: Option<Instant>,
    blocks_before: u64,
    /// What each import was told of the reset, and after how long.
    told: Vec<(&'static str, Dead, Duration)>,
    /// From the command to the first value that follows it.
    followed: Option<Duration>,
    answered: Option<Duration>,
    /// From the reset to the first value of the new session.
    back: Option<Duration>,
}

impl BoardStory {
    /// Begins with a board that runs.
    #[must_use]
    pub fn new(board: BoardProcess, updates: mpsc::Sender<Update>) -> Self {
        Self {
            board,
            updates,
            part: Part::Connecting,
            since: Instant::now(),
            reset_at: None,
            blocks_before: 0,
            told: Vec::new(),
            followed: None,
            answered: None,
            back: None,
        }
    }

    /// Whether all of it has happened.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.part == Part::Done
    }

    /// Hears what the dashboard hears, before the dashboard.
    ///
    /// # Errors
    ///
    /// When something happened that must not.
    pub fn hear(&mut self, update: &BoardUpdate) -> Result<(), String> {
        match update {
            BoardUpdate::Failed(error) => return Err(format!("the board: {error}")),
            BoardUpdate::Reading { reading, is_back, at } => match self.part {
                Part::Connecting => self.go(Part::Watching),
                Part::Commanded if reading.level == LEVEL => {
                    self.followed = Some(at.saturating_duration_since(self.since));
                    self.go(Part::Followed);
                }
                Part::Reset if *is_back => {
                    self.back = self.reset_at.map(|reset| at.saturating_duration_since(reset));
                }
                _ => {}
            },
            BoardUpdate::Sum(Ok(sum), took) if *sum == PAIR.0 + PAIR.1 => {
                self.answered = Some(*took);
                if self.part == Part::Called {
                    self.go(Part::Answered);
                }
            }
            BoardUpdate::Sum(sum, _) if self.part == Part::Called => {
                return Err(format!("the board's method: {sum:?}"));
            }
            BoardUpdate::Told { channel, dead, at, .. } => {
                let Some(reset) = self.reset_at.filter(|_| self.part == Part::Reset) else {
                    return Err(format!("the board's session ended although nobody reset it: {dead}"));
                };
                self.told.push((channel, *dead, at.saturating_duration_since(reset)));
            }
            _ => {}
        }
        Ok(())
    }

    /// Resets the board now, if that is to be seen.
    ///
    /// # Errors
    ///
    /// When QEMU refuses.
    pub fn reset(&mut self, model: &mut BoardModel) -> Result<Option<String>, String> {
        if matches!(self.part, Part::Connecting | Part::Reset) {
            return Ok(None);
        }
        let at = self.board.reset()?;
        (self.reset_at, model.reset) = (Some(at), Some(at));
        self.told.clear();
        self.back = None;
        self.go(Part::Reset);
        Ok(Some(format!("demo: resets the board after {} blocks ({})", model.blocks, self.board.how())))
    }

    /// Does what is due; `turn` says whether the rest of the demo has had its part. Yields a line where something is
    /// worth one.
    ///
    /// # Errors
    ///
    /// When something did not happen in time.
    pub fn step(&mut self, model: &mut BoardModel, turn: bool) -> Result<Option<String>, String> {
        let shown = self.since.elapsed();
        match self.part {
            Part::Watching if turn => {
                self.go(Part::Commanded);
                self.command(model, Command::Level(LEVEL))?;
                Ok(Some(format!("demo: commands the board: level {LEVEL}")))
            }
            Part::Followed if shown >= SHOWN_FOR => {
                let Some(client) = &model.client else { return Err("the board has no method".into()) };
                add(client, PAIR, self.updates.clone());
                self.go(Part::Called);
                Ok(Some(format!("demo: calls the board's method: {} + {}", PAIR.0, PAIR.1)))
            }
            Part::Answered if shown >= SHOWN_FOR => {
                self.go(Part::Sending);
                self.blocks_before = model.blocks;
                self.command(model, Command::Dump(BLOCKS))?;
                Ok(Some(format!("demo: commands the board: {BLOCKS} blocks of 128 bytes")))
            }
            Part::Sending if model.blocks >= self.blocks_before + RESET_AFTER => self.reset(model),
            Part::Reset if self.told.len() == IMPORTS && self.back.is_some() => {
                self.go(Part::Again);
                Ok(None)
            }
            Part::Again if shown >= AGAIN_FOR => {
                self.go(Part::Done);
                Ok(None)
            }
            Part::Watching | Part::Again | Part::Done => Ok(None),
            part if shown > LIMIT => {
                Err(format!("{part:?} of the board took longer than {} s", LIMIT.as_secs()))
            }
            _ => Ok(None),
        }
    }

    /// The figures, line by line.
    #[must_use]
    pub fn summary(&self, model: &BoardModel) -> Vec<String> {
        let time = |time: Option<Duration>| time.map_or_else(|| "-".into(), millis);
        let told: Vec<String> = self
            .told
            .iter()
            .map(|(channel, dead, took)| format!("`{channel}` after {}: {}", millis(*took), dead.reason))
            .collect();
        vec![
            format!("board                 {}, {}", model.name, self.board.about()),
            format!("board's values        {}, in {} sessions", model.level.count, model.sessions),
            format!("level followed after  {}", time(self.followed)),
            format!("method answered after {}", time(self.answered)),
            format!("reset told            {}", told.join("; ")),
            format!("back after            {} (from the reset to the first value)", time(self.back)),
        ]
    }

    fn command(&self, model: &BoardModel, command: Command) -> Result<(), String> {
        let Some(sender) = &model.command else { return Err("the board was never up".into()) };
        sender.try_send(command).map_err(|error| format!("the board takes no command: {error}"))
    }

    fn go(&mut self, part: Part) {
        self.part = part;
        self.since = Instant::now();
    }
}
