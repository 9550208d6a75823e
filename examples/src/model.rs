//! What a dashboard knows: the state of the link, gauges with their history, what happened.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use netchan::{Client, Dead};

use crate::demo_board::BoardModel;
use crate::session::Update;
use crate::station::{INTERVAL_MS, Interval, SetInterval};

/// Values kept for a sparkline.
const HISTORY: usize = 240;
const LINES: usize = 100;
/// Rates are means over this.
const RATE_OVER: Duration = Duration::from_secs(2);

/// The state of the link to the station.
#[derive(Debug)]
#[non_exhaustive]
pub enum Link {
    /// Not connected yet.
    Connecting(String),
    /// Values come.
    Up(String),
    /// Nothing will come any more from that session.
    Dead {
        /// Why; `None` for an end in order.
        dead: Option<Dead>,
        /// When it was noticed.
        at: Instant,
        /// How long that took, and from when on.
        took: String,
        /// Attempts to come back so far.
        attempts: u32,
    },
}

/// One gauge.
#[derive(Debug)]
pub struct Gauge {
    /// Its name.
    pub name: &'static str,
    /// The newest value, for people.
    pub text: String,
    /// In parts per thousand of what fills the line, oldest first; `None` scales by itself.
    pub history: VecDeque<u64>,
    /// What fills the line.
    pub full: Option<u64>,
    /// Values received.
    pub count: u64,
    times: VecDeque<Instant>,
}

impl Gauge {
    pub(crate) fn new(name: &'static str, full: Option<u64>) -> Self {
        let (history, times) = (VecDeque::new(), VecDeque::new());
        Self { name, text: "-".into(), history, full, count: 0, times }
    }

    pub(crate) fn add(&mut self, value: f64, text: String, now: Instant) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(value.max(0.0) as u64);
        self.text = text;
        self.count += 1;
        self.times.push_back(now);
        while self.times.front().is_some_and(|at| now - *at > RATE_OVER) {
            self.times.pop_front();
        }
    }

    /// Values per second.
    #[must_use]
    pub fn rate(&self, now: Instant) -> f64 {
        let recent = self.times.iter().filter(|at| now - **at <= RATE_OVER).count();
        recent as f64 / RATE_OVER.as_secs_f64()
    }
}

/// All of it.
#[derive(Debug)]
pub struct Model {
    /// The link.
    pub link: Link,
    /// Processors, memory, load, disk.
    pub gauges: [Gauge; 4],
    /// The board, where there is one.
    pub board: Option<BoardModel>,
    /// What happened, oldest first.
    pub lines: VecDeque<String>,
    /// Sessions so far.
    pub sessions: u32,
    /// Values received in all.
    pub values: u64,
    /// What the station samples at, as far as it has said so.
    pub interval_ms: u32,
    /// Changes it.
    pub client: Option<Client<SetInterval, Interval>>,
    /// When the station was killed, where that is known.
    pub killed: Option<Instant>,
    last_value: Instant,
    start: Instant,
}

impl Model {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(address: &str) -> Self {
        let gauges = [
            Gauge::new("cpu", Some(1000)),
            Gauge::new("memory", Some(1000)),
            Gauge::new("load", None),
            Gauge::new("disk", Some(1000)),
        ];
        Self {
            link: Link::Connecting(format!("connecting to {address}")),
            gauges,
            board: None,
            lines: VecDeque::new(),
            sessions: 0,
            values: 0,
            interval_ms: INTERVAL_MS,
            client: None,
            killed: None,
            last_value: Instant::now(),
            start: Instant::now(),
        }
    }

    /// Says something, with the time.
    pub fn say(&mut self, text: &str) -> String {
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        let line = format!("{:6.2} s  {text}", self.start.elapsed().as_secs_f64());
        self.lines.push_back(line.clone());
        line
    }

    /// Takes an update in; yields a line where something is worth one.
    pub fn apply(&mut self, update: &Update) -> Option<String> {
        let now = Instant::now();
        let text = match update {
            Update::Up { peer, interval, .. } => {
                self.sessions += 1;
                self.client = Some(interval.clone());
                self.link = Link::Up(peer.name.clone());
                self.killed = None;
                self.interval_ms = INTERVAL_MS;
                let what = if self.sessions == 1 { "session 1 began" } else { "a new session began" };
                format!("up: {what} with {} (boot {:08x})", peer.name, peer.boot as u32)
            }
            Update::Down { dead, at } => self.down(*dead, *at),
            Update::Failed { error, pause } => return self.failed(error, *pause),
            Update::Interval(Ok(interval)) => format!("method answered: every {} ms", interval.ms),
            Update::Interval(Err(error)) => format!("method did not answer: {error}"),
            Update::Board(update) => self.board.as_mut()?.apply(update)?,
            Update::Event(event) => {
                self.count(now);
                if let crate::station::Event::Interval { ms } = event {
                    self.interval_ms = *ms;
                }
                format!("event: {event}")
            }
            _ => {
                self.measure(update, now);
                return None;
            }
        };
        Some(self.say(&text))
    }

    /// The gauges in one line, or why there are none.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut parts: Vec<_> = match &self.link {
            Link::Connecting(text) => vec![text.clone()],
            Link::Dead { attempts, .. } => vec![format!("still dead, {attempts} attempts to come back")],
            Link::Up(_) => self.gauges.iter().map(|gauge| format!("{} {}", gauge.name, gauge.text)).collect(),
        };
        parts.extend(self.board.as_ref().map(BoardModel::summary));
        parts.join("   ")
    }

    fn count(&mut self, now: Instant) {
        self.values += 1;
        self.last_value = now;
    }

    fn down(&mut self, dead: Option<Dead>, at: Instant) -> String {
        self.client = None;
        let took = match self.killed {
            Some(killed) => {
                format!("noticed {} after the kill", millis(at.saturating_duration_since(killed)))
            }
            None => {
                let silent = at.saturating_duration_since(self.last_value);
                format!("noticed {} after its last value", millis(silent))
            }
        };
        self.link = Link::Dead { dead, at, took: took.clone(), attempts: 0 };
        match dead {
            Some(dead) => format!("{dead}; {took}"),
            None => "the station ended in order".into(),
        }
    }

    fn failed(&mut self, error: &str, pause: Duration) -> Option<String> {
        let text = match &mut self.link {
            Link::Dead { attempts, .. } => {
                *attempts += 1;
                // Said once; how many there were is in the state.
                (*attempts == 1).then(|| format!("reconnecting: {error}"))?
            }
            link => {
                *link = Link::Connecting(format!("{error}; again in {}", millis(pause)));
                error.to_owned()
            }
        };
        Some(self.say(&text))
    }

    fn measure(&mut self, update: &Update, now: Instant) {
        const GIB: f64 = (1_u64 << 30) as f64;
        let [cpu, memory, load, disk] = &mut self.gauges;
        match update {
            Update::Cpu(value) => {
                let cores: String = value.cores.iter().take(32).map(|core| bar(*core)).collect();
                cpu.add(f64::from(value.total) * 10.0, format!("{:5.1} % {cores}", value.total), now);
            }
            Update::Memory(value) => {
                let (used, total) = (value.used as f64, value.total.max(1) as f64);
                let text = format!("{:.1} of {:.1} GiB", used / GIB, total / GIB);
                memory.add(used / total * 1000.0, text, now);
            }
            Update::Load(value) => {
                load.add(value.one * 100.0, format!("{:.2} {:.2}", value.one, value.five), now);
            }
            Update::Disks(value) => {
                let Some(fullest) = value.disks.first() else { return };
                let part = fullest.used as f64 / fullest.total.max(1) as f64;
                disk.add(part * 1000.0, format!("{:.1} % of {}", part * 100.0, fullest.name), now);
            }
            _ => return,
        }
        self.count(now);
    }
}

/// In milliseconds, for people.
#[must_use]
pub fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

fn bar(percent: f32) -> char {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    BARS[((percent / 100.0 * 8.0) as usize).min(7)]
}
