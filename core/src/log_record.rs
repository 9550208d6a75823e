//! A log record on its way from a board to a host.
//!
//! A board exports its records as `$log`, and a host that wants them imports that, as any other channel. Both sides agree on this
//! type, so its sizes are not the program's to choose.

use core::fmt;

use log::Level;
use serde::{Deserialize, Serialize};

use crate::{Message, Text};

/// Longest target, in bytes; longer ones are cut.
const TARGET_MAX: usize = 32;
/// Longest text, in bytes; longer ones are cut, and end with `…`.
const TEXT_MAX: usize = 96;

/// One record of a board's log. It takes up to 137 bytes where it waits.
///
/// A host that wants them imports [`LogRecord::NAME`]:
///
#[cfg_attr(feature = "std", doc = "```no_run")]
#[cfg_attr(not(feature = "std"), doc = "```text")]
/// use netchan::{LogRecord, Peer, Receiver, RecvError};
///
/// fn forward(board: &Peer) -> Result<(), Box<dyn std::error::Error>> {
///     let mut records = board.import::<Receiver<LogRecord>>(LogRecord::NAME).reopen().wait()?;
///     loop {
///         match records.recv().wait() {
///             Ok(record) => record.log(&board.info().name),
///             Err(RecvError::Interrupted { dead, .. }) => eprintln!("{}: {dead}", board.info().name),
///             Err(_) => return Ok(()),
///         }
///     }
/// }
/// ```
#[derive(Serialize, Deserialize, Message, Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRecord {
    level: u8,
    lost: u32,
    target: Text<TARGET_MAX>,
    text: Text<TEXT_MAX>,
}

impl LogRecord {
    /// The channel that boards export.
    pub const NAME: &str = "$log";

    /// What fits of a record.
    pub fn new(record: &log::Record<'_>) -> Self {
        let (mut target, mut text) = (Cut::new(), Cut::new());
        // A `Cut` never fails; what fails is a value of the program, which has written what it could.
        let _ = fmt::Write::write_str(&mut target, record.target());
        let _ = fmt::Write::write_fmt(&mut text, *record.args());
        Self { level: record.level() as u8, lost: 0, target: target.text, text: text.text }
    }

    /// Its level. One that this version does not know is the lowest.
    pub fn level(&self) -> Level {
        Level::iter().find(|level| *level as u8 == self.level).unwrap_or(Level::Trace)
    }

    /// Where it comes from: a module's path, usually.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// What it says.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many records before this one had no room, or nobody to go to.
    pub const fn lost(&self) -> u32 {
        self.lost
    }

    /// As it stands behind so many others that were lost.
    #[cfg(feature = "board")]
    pub(crate) const fn behind(self, lost: u32) -> Self {
        Self { lost, ..self }
    }

    /// Gives it to the logger of this program, with `node::target` as its target, so that filters can tell boards
    /// apart. That records were lost before it is a record of its own, a warning. Control characters are escaped.
    #[cfg(feature = "std")]
    pub fn log(&self, node: &str) {
        let target = alloc::format!("{node}::{}", Escaped(&self.target));
        let say = |level, args: fmt::Arguments<'_>| {
            if level <= log::max_level() {
                log::logger().log(&log::Record::builder().level(level).target(&target).args(args).build());
            }
        };
        if self.lost > 0 {
            say(Level::Warn, format_args!("{} records were lost", self.lost));
        }
        say(self.level(), format_args!("{}", Escaped(&self.text)));
    }
}

/// A text whose writer goes on when it is full.
struct Cut<const N: usize> {
    text: Text<N>,
    is_full: bool,
}

/// Stands for what was cut.
const MORE: &str = "…";

impl<const N: usize> Cut<N> {
    const fn new() -> Self {
        Self { text: Text::new(), is_full: false }
    }
}

impl<const N: usize> fmt::Write for Cut<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.is_full {
            return Ok(());
        }
        let mut room = N - MORE.len() - self.text.len();
        if text.len() <= room {
            return self.text.push_str(text).map_err(|_| fmt::Error);
        }
        self.is_full = true;
        while !text.is_char_boundary(room) {
            room -= 1;
        }
        self.text.push_str(text.get(..room).unwrap_or_default()).map_err(|_| fmt::Error)?;
        self.text.push_str(MORE).map_err(|_| fmt::Error)
    }
}

/// A text that a terminal takes for nothing else.
#[cfg(feature = "std")]
struct Escaped<'t>(&'t str);

#[cfg(feature = "std")]
impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            if c.is_control() {
                fmt::Display::fmt(&c.escape_default(), f)
            } else {
                fmt::Write::write_char(f, c)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str) -> LogRecord {
        let args = format_args!("{text}");
        LogRecord::new(&log::Record::builder().level(Level::Info).target("pump").args(args).build())
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters_and_says_so() {
        let long = "ä".repeat(TEXT_MAX);
        let cut = record(&long);
        assert!(cut.text().len() <= TEXT_MAX && cut.text().ends_with(MORE), "{}", cut.text());
        assert!(long.starts_with(cut.text().trim_end_matches(MORE)));
        let fits = "x".repeat(TEXT_MAX - MORE.len());
        assert_eq!((record(&fits).text(), record(&fits).level()), (&fits[..], Level::Info));
    }

    #[test]
    fn it_costs_what_its_documentation_says() {
        assert_eq!(LogRecord::MAX_LEN.map(|len| len + 2), Some(138));
    }
}
