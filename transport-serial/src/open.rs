//! The side that opens a port and finds a board.

use std::fmt;
use std::thread;
use std::time::Duration;

use netchan::host::transport::{Redial, start_line};
use netchan::{LinkError, Node, Peer, Reconnect};

use crate::ports::{Attempt, Search};
use crate::tty::Tty;
use crate::{OpenError, Options, Port, Reset};

/// How long the bring-up may take, unless a timeout says otherwise: a board that was reset by
/// the opening is in its boot loader for a while.
pub(crate) const OPEN_WAIT: Duration = Duration::from_secs(5);

/// Opens a port and makes a link to the node at its other end: a board, or another program.
///
/// ```no_run
/// use netchan::{Node, Receiver};
/// use netchan_serial as serial;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let node = Node::new("logger");
/// let board = serial::open(&node, "/dev/ttyUSB0").baud(921_600).wait()?;
/// let mut temperature = board.import::<Receiver<f32>>("temperature").wait()?;
/// println!("{}", temperature.recv().wait()?);
/// # Ok(())
/// # }
/// ```
pub fn open(node: &Node, port: impl Into<Port>) -> Opening {
    let (port, options) = (port.into(), Options::new());
    Opening { node: node.clone(), port, options, limit: OPEN_WAIT, reconnect: None }
}

/// A port to be opened: `.wait()` opens it.
#[must_use = "nothing happens until `.wait()`"]
pub struct Opening {
    node: Node,
    port: Port,
    options: Options,
    limit: Duration,
    reconnect: Option<Reconnect>,
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").field("node", &self.node).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Opening {
    /// As [`Options::baud`].
    pub const fn baud(mut self, baud: u32) -> Self {
        self.options = self.options.baud(baud);
        self
    }

    /// As [`Options::latency`].
    pub const fn latency(mut self, latency: Duration) -> Self {
        self.options = self.options.latency(latency);
        self
    }

    /// As [`Options::dead_time`].
    pub const fn dead_time(mut self, time: Duration) -> Self {
        self.options = self.options.dead_time(time);
        self
    }

    /// As [`Options::reset`].
    pub const fn reset(mut self, reset: Reset) -> Self {
        self.options = self.options.reset(reset);
        self
    }

    /// As [`Options::adopt`].
    pub const fn adopt(mut self) -> Self {
        self.options = self.options.adopt();
        self
    }

    /// All options at once.
    pub const fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Gives up the bring-up after `limit`; 5 seconds by default.
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Makes the link again when it is lost, and so on: a thread opens the port until the node
    /// of the same name answers, also when the port is gone in between, and wherever the
    /// device of [`Usb`](crate::Usb) or the [`Board`](crate::Board) is then plugged in. The
    /// first attempt is made once, as without this.
    ///
    /// The peer is then the same neighbour in all sessions, and ends imported with
    /// [`reopen`](netchan::host::Import::reopen) go on in the next one; each gap is told.
    ///
    /// ```no_run
    /// use netchan::{Node, Receiver, Reconnect, RecvError};
    /// use netchan_serial::{self as serial, Usb};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let node = Node::new("logger");
    /// let pico = Usb::new(0x2e8a, 0x000a);
    /// let board = serial::open(&node, pico).reconnect(Reconnect::new()).wait()?;
    /// let mut temperature = board.import::<Receiver<f32>>("temperature").reopen().wait()?;
    /// loop {
    ///     match temperature.recv().wait() {
    ///         Ok(value) => println!("{value}"),
    ///         Err(RecvError::Interrupted { dead, taken }) => println!("gap after {taken}: {dead}"),
    ///         Err(error) => return Err(error.into()),
    ///     }
    /// }
    /// # }
    /// ```
    pub const fn reconnect(mut self, how: Reconnect) -> Self {
        self.options = self.options.live_on();
        self.reconnect = Some(how);
        self
    }

    /// Opens the port, and waits until the link is up.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn wait(self) -> Result<Peer, OpenError> {
        let Self { node, port, options, limit, reconnect } = self;
        let peer = dial(&node, &port, &options, limit, true)?;
        let Some(how) = reconnect else { return Ok(peer) };
        let (mut redial, kept) = Redial::new(&node, peer, how);
        thread::Builder::new()
            .name("netchan-redial".into())
            .stack_size(256 * 1024)
            .spawn(move || {
                while let Some(node) = redial.due().wait() {
                    match dial(&node, &port, &options, limit, false) {
                        Ok(peer) => {
                            redial.made(peer);
                        }
                        Err(error) => redial.failed(&node, &error),
                    }
                }
            })
            .map_err(|error| OpenError::Io("a thread".into(), error))?;
        Ok(kept)
    }
}

fn dial(
    node: &Node,
    port: &Port,
    options: &Options,
    limit: Duration,
    first: bool,
) -> Result<Peer, OpenError> {
    let mut search = Search::new(port, port.paths()?, *options, limit, first)?;
    while let Some(attempt) = search.next() {
        let opened = dial_path(node, options, &attempt);
        if let Some(result) = search.look(attempt, opened) {
            return result;
        }
    }
    Err(search.in_vain())
}

fn dial_path(node: &Node, options: &Options, attempt: &Attempt) -> Result<Peer, OpenError> {
    let tty = Tty::open(&attempt.path, options, attempt.resets)?;
    let up = start_line(node, Box::new(tty), attempt.line);
    up.wait().map_err(|error: LinkError| OpenError::Link(attempt.path.clone(), error))
}
