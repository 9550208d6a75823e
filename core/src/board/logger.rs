//! A logger whose records go to whoever imports them.

use core::cell::Cell;
use core::fmt;

use critical_section::Mutex;

use super::channel::{Sent, Shared};
use super::error::{ExportError, SendCause};
use super::node::Node;
use super::section::with;
use super::sender::{self, Sender};
use crate::LogRecord;

/// Sends records of the crate `log` over the channel `$log`, from wherever they are written, an interrupt too. It never waits:
/// what has no room, or nobody to go to, is lost, and the next record says how many were.
///
/// **So what is written before somebody imports `$log` never arrives**, the record of the start among it: the line comes up, and the host
/// imports, some tenths of a second later. It is only counted. What the host is to know of the start, for instance why the board
/// was reset, belongs into a [`Latest`](super::Latest), which keeps its value for whoever comes.
///
/// ```
/// use netchan::board::{Config, Logger, Node};
/// use netchan::proto::LineConfig;
///
/// const CONFIG: Config = Config::new(LineConfig::uart(115_200, 2, 64, 2)).log(8);
/// static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);
/// static LOGGER: Logger = Logger::new();
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// LOGGER.start(&NODE, 8)?;
/// log::set_logger(&LOGGER).expect("the first"); // on a Cortex-M0, which swaps nothing: `set_logger_racy`
/// log::set_max_level(log::LevelFilter::Info);
/// log::info!("started"); // lost, if nobody has imported `$log` yet
/// # Ok(())
/// # }
/// ```
///
/// A text takes up to 96 bytes and its target up to 32; a record that is being written takes about 450 bytes of stack. Formatting is that of
/// `core::fmt`, and takes the flash that this takes.
pub struct Logger {
    channel: Mutex<Cell<Option<&'static Shared>>>,
    lost: Mutex<Cell<u32>>,
}

impl Logger {
    /// One that loses everything before it is started.
    pub const fn new() -> Self {
        Self { channel: Mutex::new(Cell::new(None)), lost: Mutex::new(Cell::new(0)) }
    }

    /// Exports `$log`, with room for `depth` records: as many as [`Config::log`](super::Config::log) says.
    ///
    /// # Errors
    ///
    /// [`ExportError`].
    pub fn start<const CHANNELS: usize, const BYTES: usize>(
        &self,
        node: &'static Node<CHANNELS, BYTES>,
        depth: u16,
    ) -> Result<(), ExportError> {
        let records: Sender<LogRecord> = node.export_with(LogRecord::NAME, depth)?;
        with(|cs| self.channel.borrow(cs).set(Some(records.keep())));
        Ok(())
    }

    /// How many records were lost since the last one that was not.
    pub fn lost(&self) -> u32 {
        with(|cs| self.lost.borrow(cs).get())
    }

    fn lose(&self, records: u32) {
        with(|cs| {
            let lost = self.lost.borrow(cs);
            lost.set(lost.get().saturating_add(records));
        });
    }

    fn send(&self, channel: &'static Shared, record: &LogRecord) -> bool {
        // Whoever writes a record meanwhile says nothing of those that this one tells of.
        let lost = with(|cs| self.lost.borrow(cs).take());
        let sent = sender::send(channel, &record.behind(lost));
        if sent == Sent::Done {
            return true;
        }
        self.lose(lost);
        if let SendCause::Left { account, .. } = sent.cause(channel) {
            self.lose(account.unsent);
        }
        false
    }
}

impl Default for Logger {
    fn default() -> Self {
        Self::new()
    }
}

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let channel = with(|cs| self.channel.borrow(cs).get());
        let is_sent = channel.is_some_and(|channel| {
            let record = LogRecord::new(record);
            // The first attempt may only have told that an importer has left.
            self.send(channel, &record) || self.send(channel, &record)
        });
        if !is_sent {
            self.lose(1);
        }
    }

    /// Does nothing: the line takes records by and by. See [`Driver::has_unsent`](super::Driver::has_unsent).
    fn flush(&self) {}
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logger").field("lost", &self.lost()).finish_non_exhaustive()
    }
}
