//! The board's part of the demo: told what to do, asked, and reset while it sends; then its bridge is killed, and started
//! again.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use netchan::Dead;
use netchan_firmware_app::{Command, Pair};

use super::{BoardModel, BoardProcess, BoardUpdate, BridgeProcess, add};
use crate::model::millis;
use crate::session::Update;

/// How long each part is shown.
const SHOWN_FOR: Duration = Duration::from_millis(1000);
const AGAIN_FOR: Duration = Duration::from_millis(1500);
/// No part may take longer than this to happen.
const LIMIT: Duration = Duration::from_secs(10);
const LEVEL: u8 = 120;
const PAIR: Pair = Pair(19, 23);
/// Imports that are told of an end.
const IMPORTS: usize = 3;
/// Nodes that are gone with the bridge: it, and the board.
const GONE: usize = 2;
/// The bridge is left dead for longer than the board's line takes until it is given up.
const DEAD_FOR: Duration = Duration::from_secs(3);
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
    /// All imports must be told, and values must come again.
    Reset,
    /// Values come again.
    Again,
    /// The bridge is killed: all imports must be told, and which nodes are gone.
    Cut,
    /// It stays so until the board has noticed as well.
    Apart,
    /// The bridge was started again: values must come, and the board's word of when it was told.
    Returning,
    /// Values come again.
    Together,
    Done,
}

/// The story, and what it has measured.
#[derive(Debug)]
pub struct BoardStory {
    board: BoardProcess,
    bridge: Option<BridgeProcess>,
    parent: SocketAddr,
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
    cut: Cut,
    /// The newest uptime that the board has said, in milliseconds, and when.
    clock: Option<(u32, Instant)>,
}

/// What has become of a death of the bridge.
#[derive(Debug, Default)]
struct Cut {
    at: Option<Instant>,
    told: Vec<(&'static str, Dead, Duration)>,
    gone: Vec<(String, Duration)>,
    /// What the board was told, and when.
    lost: Option<(String, Duration)>,
    started: Option<Instant>,
    /// From the start of the bridge to the first value.
    back: Option<Duration>,
}

impl BoardStory {
    /// Begins with a board that runs, and a bridge to it, whose parent listens there.
    #[must_use]
    pub fn new(
        board: BoardProcess,
        bridge: BridgeProcess,
        parent: SocketAddr,
        updates: mpsc::Sender<Update>,
    ) -> Self {
        Self {
            board,
            bridge: Some(bridge),
            parent,
            updates,
            part: Part::Connecting,
            since: Instant::now(),
            reset_at: None,
            blocks_before: 0,
            told: Vec::new(),
            followed: None,
            answered: None,
            back: None,
            cut: Cut::default(),
            clock: None,
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
            BoardUpdate::Reading { reading, is_back, at } => {
                self.clock = Some((reading.uptime_ms, *at));
                match self.part {
                    Part::Connecting => self.go(Part::Watching),
                    Part::Commanded if reading.level == LEVEL => {
                        self.followed = Some(at.saturating_duration_since(self.since));
                        self.go(Part::Followed);
                    }
                    Part::Reset if *is_back => {
                        self.back = self.reset_at.map(|reset| at.saturating_duration_since(reset));
                    }
                    Part::Returning if *is_back => {
                        self.cut.back = self.cut.started.map(|start| at.saturating_duration_since(start));
                    }
                    _ => {}
                }
            }
            BoardUpdate::Left { name, at } => {
                if let (Part::Cut, Some(cut)) = (self.part, self.cut.at) {
                    self.cut.gone.push((name.clone(), at.saturating_duration_since(cut)));
                }
            }
            BoardUpdate::Lost(lost) if self.part == Part::Returning => {
                // By the board's clock.
                let (Some((uptime, at)), Some(cut)) = (self.clock, self.cut.at) else { return Ok(()) };
                let between = Duration::from_millis(uptime.abs_diff(lost.at_ms).into());
                let then =
                    if lost.at_ms < uptime { at.checked_sub(between) } else { at.checked_add(between) };
                let then = then.unwrap_or(cut);
                let after = then.saturating_duration_since(cut);
                self.cut.lost = Some((lost.why.as_str().to_owned(), after));
            }
            BoardUpdate::Sum(Ok(sum), took) if *sum == PAIR.0 + PAIR.1 => {
                self.answered = Some(*took);
                if self.part == Part::Called {
                    self.go(Part::Answered);
                }
            }
            BoardUpdate::Sum(sum, _) if self.part == Part::Called => {
                return Err(format!("the board's method: {sum:?}"));
            }
            BoardUpdate::Told { channel, dead, words, at, .. } => match self.part {
                Part::Reset => self.told.push((channel, *dead, since(self.reset_at, *at))),
                Part::Cut => self.cut.told.push((channel, *dead, since(self.cut.at, *at))),
                _ => return Err(format!("the board's session ended although nobody ended it: {words}")),
            },
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
        if !self.is_quiet() {
            return Ok(None);
        }
        let at = self.board.reset()?;
        (self.reset_at, model.struck) = (Some(at), Some(("reset", at)));
        self.told.clear();
        self.back = None;
        self.go(Part::Reset);
        Ok(Some(format!("demo: resets the board after {} blocks ({})", model.blocks, self.board.how())))
    }

    /// Kills the bridge now, if that is to be seen.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn kill_bridge(&mut self, model: &mut BoardModel) -> Result<Option<String>, String> {
        if !self.is_quiet() {
            return Ok(None);
        }
        let Some(bridge) = self.bridge.take() else { return Ok(None) };
        let id = bridge.id();
        let at = bridge.kill().map_err(|error| format!("the bridge cannot be killed: {error}"))?;
        model.struck = Some(("kill", at));
        self.cut = Cut { at: Some(at), ..Cut::default() };
        self.go(Part::Cut);
        Ok(Some(format!("demo: bridge {id} killed with SIGKILL")))
    }

    /// Whether nothing else is under way that ends the session.
    const fn is_quiet(&self) -> bool {
        !matches!(self.part, Part::Connecting | Part::Reset | Part::Cut | Part::Apart | Part::Returning)
    }

    /// Does what is due; `turn` says whether the rest of the demo has had its part. Yields a line where something is
    /// worth one.
    ///
    /// # Errors
    ///
    /// When something did not happen in time.
    pub fn step(&mut self, model: &mut BoardModel, turn: bool) -> Result<Option<String>, String> {
        let shown = self.since.elapsed();
        if let Some(bridge) = &mut self.bridge {
            if let Some(line) = bridge.line() {
                return Ok(Some(format!("bridge: {line}")));
            }
            if let Some(status) = bridge.has_ended() {
                return Err(format!("the bridge ended by itself ({status})"));
            }
        }
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
            Part::Again if shown >= AGAIN_FOR && self.cut.at.is_none() => self.kill_bridge(model),
            Part::Cut if self.cut.told.len() == IMPORTS && self.cut.gone.len() == GONE => {
                self.go(Part::Apart);
                Ok(None)
            }
            Part::Apart if shown >= DEAD_FOR => {
                self.cut.started = Some(Instant::now());
                let bridge = BridgeProcess::start(self.parent, self.board.port())?;
                let text = format!("demo: bridge {} started again", bridge.id());
                self.bridge = Some(bridge);
                self.go(Part::Returning);
                Ok(Some(text))
            }
            Part::Returning if self.cut.back.is_some() && self.cut.lost.is_some() => {
                self.go(Part::Together);
                Ok(None)
            }
            Part::Again | Part::Together if shown >= AGAIN_FOR => {
                self.go(Part::Done);
                Ok(None)
            }
            Part::Watching | Part::Again | Part::Together | Part::Done => Ok(None),
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
        let told = |list: &[(&str, Dead, Duration)]| {
            let one = |(channel, dead, took): &(&str, Dead, Duration)| {
                format!("`{channel}` after {}: {}", millis(*took), dead.reason)
            };
            list.iter().map(one).collect::<Vec<_>>().join("; ")
        };
        let Cut { told: cut, gone, lost, back, .. } = &self.cut;
        let gone: Vec<_> =
            gone.iter().map(|(name, took)| format!("{name} after {}", millis(*took))).collect();
        let lost =
            lost.as_ref().map_or_else(|| "-".into(), |(why, took)| format!("after {}: {why}", millis(*took)));
        vec![
            format!("board                 {}, {}", model.name, self.board.about()),
            format!("board's values        {}, in {} sessions", model.level.count, model.sessions),
            format!("level followed after  {}", time(self.followed)),
            format!("method answered after {}", time(self.answered)),
            format!("reset told            {}", told(&self.told)),
            format!("back after            {} (from the reset to the first value)", time(self.back)),
            format!("bridge's kill told    {}", told(cut)),
            format!("  who is gone         {}", gone.join("; ")),
            format!("  the board was told  {lost}"),
            format!("  back after          {} (from the bridge's start to the first value)", time(*back)),
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

fn since(begin: Option<Instant>, at: Instant) -> Duration {
    begin.map_or(Duration::ZERO, |begin| at.saturating_duration_since(begin))
}
