//! What `dashboard` and `demo` share: the loop that hears updates and shows them.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::demo_board::BoardModel;
use crate::model::Model;
use crate::session::{self, Update};
use crate::story::Story;
use crate::{plain, signals, view};

/// The screen is drawn at most this often.
const FRAME: Duration = Duration::from_millis(50);
/// The story and the clock are looked at this often.
const LOOK: Duration = Duration::from_millis(20);
/// Gauges are printed this often.
const SUMMARY_EVERY: Duration = Duration::from_secs(1);

/// A dashboard, with a story or without.
#[derive(Debug)]
pub struct App {
    model: Model,
    updates: mpsc::Receiver<Update>,
    own: mpsc::Sender<Update>,
    story: Option<Story>,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Go {
    On,
    Quit,
}

/// Whether there is a terminal to draw on, and to read keys from.
#[must_use]
pub fn has_terminal() -> bool {
    io::stdout().is_terminal() && io::stdin().is_terminal()
}

impl App {
    /// A dashboard of the station at `address`.
    #[must_use]
    pub fn new(address: &str) -> Self {
        let (own, updates) = mpsc::channel();
        session::start(address.to_owned(), own.clone());
        Self { model: Model::new(address), updates, own, story: None }
    }

    /// With a board, of which the updates come in as well.
    #[must_use]
    pub fn with_board(mut self, start: impl FnOnce(mpsc::Sender<Update>)) -> Self {
        self.model.board = Some(BoardModel::new());
        start(self.own.clone());
        self
    }

    /// With a story: `make` gets what it reports to.
    #[must_use]
    pub fn with_story(mut self, make: impl FnOnce(mpsc::Sender<Update>) -> Story) -> Self {
        self.story = Some(make(self.own.clone()));
        self
    }

    /// Prints lines until the story is over, or for as long as `limit` says.
    ///
    /// # Errors
    ///
    /// A sentence, when something did not happen.
    pub fn run_plain(&mut self, limit: Duration) -> Result<(), String> {
        let (start, mut next_summary) = (Instant::now(), Instant::now() + SUMMARY_EVERY);
        loop {
            if let Some(line) = self.advance()? {
                plain::line(&line);
            }
            if let Ok(update) = self.updates.recv_timeout(LOOK)
                && let Some(line) = self.take(update)?
            {
                plain::line(&line);
            }
            if self.story.as_ref().map_or_else(|| start.elapsed() >= limit, Story::is_done) {
                break;
            }
            if Instant::now() >= next_summary {
                next_summary += SUMMARY_EVERY;
                let summary = self.model.summary();
                plain::line(&self.model.say(&summary));
            }
        }
        plain::line("");
        self.summary().iter().for_each(|line| plain::line(line));
        match self.model.sessions {
            0 => Err("there was no session".into()),
            _ => Ok(()),
        }
    }

    /// Draws on the terminal until the user has seen enough. The terminal is restored in any case.
    ///
    /// # Errors
    ///
    /// A sentence, when something did not happen.
    pub fn run_terminal(&mut self) -> Result<(), String> {
        let asked_to_end = signals::ask().map_err(|error| format!("signals: {error}"))?;
        let mut terminal = ratatui::try_init().map_err(|error| {
            ratatui::restore();
            format!("the terminal cannot be used ({error}); `--plain` does without")
        })?;
        let keys = self.own.clone();
        thread::spawn(move || {
            loop {
                let update = match event::read() {
                    Ok(event::Event::Key(key)) => Update::Key(key),
                    Ok(event::Event::Resize(..)) => Update::Resized,
                    Ok(_) => continue,
                    Err(_) => return,
                };
                if keys.send(update).is_err() {
                    return;
                }
            }
        });
        let result = self.draw_until_quit(&mut terminal, &asked_to_end);
        ratatui::restore();
        self.summary().iter().for_each(|line| plain::line(line));
        result
    }

    /// Ends what was started.
    pub fn end(&mut self) {
        if let Some(story) = &mut self.story {
            story.end();
        }
    }

    /// Whether there was a story, and all of it happened.
    #[must_use]
    pub fn story_is_done(&self) -> bool {
        let station = |story: &Story| !story.noticed.is_empty() && !story.returned.is_empty();
        self.story.as_ref().is_some_and(|story| story.is_done() && station(story))
    }

    fn draw_until_quit(
        &mut self,
        terminal: &mut ratatui::DefaultTerminal,
        asked_to_end: &AtomicBool,
    ) -> Result<(), String> {
        let mut drawn: Option<Instant> = None;
        loop {
            if asked_to_end.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.advance()?;
            if drawn.is_none_or(|at| at.elapsed() >= FRAME) {
                let keys = match (&self.story, &self.model.board) {
                    (None, _) => " q quit   +/- sample faster or slower",
                    (Some(_), None) => {
                        " q quit   +/- sample faster or slower   k kill the station (it comes back)"
                    }
                    (Some(_), Some(_)) => {
                        " q quit   +/- sample faster or slower   k kill the station   r reset the board   b kill its bridge"
                    }
                };
                terminal
                    .draw(|frame| view::draw(frame, &self.model, keys))
                    .map_err(|error| format!("the terminal: {error}"))?;
                drawn = Some(Instant::now());
            }
            match self.updates.recv_timeout(LOOK) {
                Ok(Update::Key(key)) => {
                    if self.press(key)? == Go::Quit {
                        return Ok(());
                    }
                }
                Ok(Update::Resized) => drawn = None,
                Ok(update) => drop(self.take(update)?),
                Err(_) => {}
            }
        }
    }

    fn press(&mut self, key: KeyEvent) -> Result<Go, String> {
        if key.kind == KeyEventKind::Release {
            return Ok(Go::On);
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c' | 'd') if control => return Ok(Go::Quit),
            KeyCode::Char('q') | KeyCode::Esc => return Ok(Go::Quit),
            KeyCode::Char('+' | '=') => self.ask_interval(self.model.interval_ms / 2),
            KeyCode::Char('-') => self.ask_interval(self.model.interval_ms * 2),
            KeyCode::Char('k') => {
                if let Some(story) = &mut self.story {
                    story.kill(&mut self.model)?;
                }
            }
            KeyCode::Char('r') => {
                if let Some(story) = &mut self.story {
                    story.reset_board(&mut self.model)?;
                }
            }
            KeyCode::Char('b') => {
                if let Some(story) = &mut self.story {
                    story.kill_bridge(&mut self.model)?;
                }
            }
            _ => {}
        }
        Ok(Go::On)
    }

    fn ask_interval(&mut self, ms: u32) {
        match &self.model.client {
            Some(client) => session::set_interval(client, ms, self.own.clone()),
            None => drop(self.model.say("no session: nobody to ask")),
        }
    }

    fn advance(&mut self) -> Result<Option<String>, String> {
        self.story.as_mut().map_or(Ok(None), |story| story.step(&mut self.model))
    }

    fn take(&mut self, update: Update) -> Result<Option<String>, String> {
        if let Update::Station(station) = update {
            let Some(story) = &mut self.story else { return Ok(None) };
            return Ok(Some(story.take_station(station?, &mut self.model)));
        }
        if let Some(story) = &mut self.story {
            story.hear(&update, &self.model)?;
        }
        Ok(self.model.apply(&update))
    }

    fn summary(&self) -> Vec<String> {
        match &self.story {
            Some(story) => story.summary(&self.model),
            None => vec![
                format!("values received  {}", self.model.values),
                format!("sessions         {}", self.model.sessions),
            ],
        }
    }
}
