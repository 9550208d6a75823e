//! The side that connects.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use netchan::host::transport::{LinkOptions, Redial, Up, start_blocking};
use netchan::host::{BlockingStream, Wait};
use netchan::{LinkError, Node, Peer, Reconnect};

use crate::Options;
use crate::socket::Socket;

/// How long connecting and the bring-up may take, unless a timeout says otherwise.
pub(crate) const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// Why there is no link. `Debug` says it in words, for a `main` that returns it.
#[non_exhaustive]
pub enum ConnectError {
    /// The address is not loopback; see [`Options::danger_plaintext_network`].
    NotLoopback,
    /// The address names nothing, or nobody listens there.
    Io(io::Error),
    /// The connection stands, but the bring-up failed.
    Link(LinkError),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLoopback => f.write_str(
                "not a loopback address: TCP is unencrypted here; allow it with `Options::danger_plaintext_network()`",
            ),
            Self::Io(error) => write!(f, "cannot connect: {error}"),
            Self::Link(error) => write!(f, "no link: {error}"),
        }
    }
}

impl fmt::Debug for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let advice = match self {
            Self::NotLoopback => return fmt::Display::fmt(self, f),
            Self::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                "is the other program running, and listening there?"
            }
            Self::Io(_) => "check the address",
            Self::Link(_) => "is it a netchan node that listens there, of a version that fits?",
        };
        write!(f, "{self} ({advice})")
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Link(error) => Some(error),
            Self::NotLoopback => None,
        }
    }
}

/// Connects to a node that listens at `address`, on loopback.
pub fn connect<A: ToSocketAddrs>(node: &Node, address: A) -> Connecting<A> {
    connect_with(node, address, Options::new())
}

/// As [`connect`], with options.
pub fn connect_with<A: ToSocketAddrs>(node: &Node, address: A, options: Options) -> Connecting<A> {
    Connecting { node: node.clone(), address, options, limit: CONNECT_WAIT, reconnect: None }
}

/// Connects to a node that listens at `address` and adopts, and has it for parent: as
/// [`connect_with`] with [`Options::join`].
///
/// ```no_run
/// use netchan::{Node, Receiver};
/// use netchan_tcp as tcp;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let node = Node::new("dashboard");
/// tcp::join(&node, "127.0.0.1:7000").wait()?;
/// let mut temp = node.remote("bridge/board-7").import::<Receiver<i32>>("temp").wait()?;
/// println!("{}", temp.recv().wait()?);
/// # Ok(())
/// # }
/// ```
pub fn join<A: ToSocketAddrs>(node: &Node, address: A) -> Connecting<A> {
    connect_with(node, address, Options::new().join())
}

/// A connection to be made: `.wait()` makes it.
#[must_use = "nothing happens until `.wait()`"]
pub struct Connecting<A> {
    node: Node,
    address: A,
    options: Options,
    limit: Duration,
    reconnect: Option<Reconnect>,
}

impl<A> fmt::Debug for Connecting<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connecting").field("node", &self.node).finish_non_exhaustive()
    }
}

impl<A: ToSocketAddrs> Connecting<A> {
    /// Gives up after `limit`; 5 seconds by default. That is for all of it: looking the name
    /// up, every address that it has, and the bring-up. The system's look-up itself cannot
    /// be cut short; an address as a number needs none.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Makes the link again when it is lost, and so on: a thread dials the same addresses
    /// until the node of the same name answers. The first connection is tried once, as
    /// without this.
    ///
    /// The peer is then the same neighbour in all sessions, and ends imported with
    /// [`reopen`](netchan::host::Import::reopen) go on in the next one. Dialing ends with the
    /// last clone of the peer and the last end that reopens, with [`Peer::close`], with the
    /// node, or when the peer is given up, as [`Reconnect`] says; the link that stands is not
    /// touched.
    ///
    /// ```no_run
    /// use netchan::{Node, Receiver, Reconnect, RecvError};
    /// use netchan_tcp as tcp;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let node = Node::new("dashboard");
    /// let station = tcp::connect(&node, "127.0.0.1:7000").reconnect(Reconnect::new()).wait()?;
    /// let mut ticks = station.import::<Receiver<u64>>("ticks").reopen().wait()?;
    /// loop {
    ///     match ticks.recv().wait() {
    ///         Ok(tick) => println!("{tick}"),
    ///         Err(RecvError::Interrupted { dead, taken }) => println!("gap after {taken}: {dead}"),
    ///         Err(RecvError::Closed) => return Ok(()),
    ///         Err(error) => return Err(error.into()),
    ///     }
    /// }
    /// # }
    /// ```
    pub const fn reconnect(mut self, how: Reconnect) -> Self {
        // A parent that is dialed again is not lost for good.
        self.options = self.options.live_on();
        self.reconnect = Some(how);
        self
    }

    /// Connects, and waits until the link is up. Where the name has several addresses they
    /// are tried in turn, and share the time.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub fn wait(self) -> Result<Peer, ConnectError> {
        let Self { node, address, options, limit, reconnect } = self;
        let time = Time::new(limit);
        let addresses = choose(address.to_socket_addrs().map_err(ConnectError::Io)?, options)?;
        let peer = dial(&node, &addresses, options, &time)?;
        let Some(how) = reconnect else { return Ok(peer) };
        let (mut redial, kept) = Redial::new(&node, peer, how);
        thread::Builder::new()
            .name("netchan-redial".into())
            .stack_size(256 * 1024)
            .spawn(move || {
                while let Some(node) = redial.due().wait() {
                    match dial(&node, &addresses, options, &Time::new(limit)) {
                        Ok(peer) => {
                            redial.made(peer);
                        }
                        Err(error) => redial.failed(&node, &error),
                    }
                }
            })
            .map_err(ConnectError::Io)?;
        Ok(kept)
    }
}

/// The addresses that may be connected to; at least one.
pub(crate) fn choose(
    addresses: impl IntoIterator<Item = SocketAddr>,
    options: Options,
) -> Result<Vec<SocketAddr>, ConnectError> {
    let (allowed, refused): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| options.allows(address));
    match (allowed.is_empty(), refused.is_empty()) {
        (false, _) => Ok(allowed),
        (true, false) => Err(ConnectError::NotLoopback),
        (true, true) => Err(ConnectError::Io(nothing())),
    }
}

/// There is no address.
pub(crate) fn nothing() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the address names nothing")
}

/// The time for one attempt to connect, over all that belongs to it.
pub(crate) struct Time {
    limit: Duration,
    /// None if no clock can reach it.
    until: Option<Instant>,
}

impl Time {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, until: Instant::now().checked_add(limit) }
    }

    pub(crate) fn left(&self) -> Duration {
        self.until.map_or(self.limit, |until| until.saturating_duration_since(Instant::now()))
    }

    /// For the first of `n` that are still to be tried; `None` when nothing is left. One that
    /// does not answer at all leaves some to the next.
    pub(crate) fn share(&self, n: usize) -> Option<Duration> {
        let left = self.left() / u32::try_from(n.max(1)).unwrap_or(u32::MAX);
        (!left.is_zero()).then_some(left)
    }
}

/// The error with the address that it is about.
pub(crate) fn at(address: SocketAddr, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{address}: {error}"))
}

/// Connects to the first of the addresses that answers.
fn dial(node: &Node, addresses: &[SocketAddr], options: Options, time: &Time) -> Result<Peer, ConnectError> {
    let mut last = nothing();
    for (n, address) in addresses.iter().enumerate() {
        let result = match time.share(addresses.len() - n) {
            Some(share) => TcpStream::connect_timeout(address, share).and_then(Socket::new),
            None => Err(io::ErrorKind::TimedOut.into()),
        };
        match result {
            Ok(socket) => {
                let options = options.link(Some(*address), true);
                let up = start_blocking(node, Box::new(socket), options);
                return up.timeout(time.left()).wait().map_err(ConnectError::Link);
            }
            Err(error) => last = at(*address, error),
        }
    }
    Err(ConnectError::Io(last))
}

/// Makes a link of any stream that blocks: both sides call it.
pub fn serve_stream(node: &Node, stream: impl BlockingStream) -> Wait<Up> {
    start_blocking(node, Box::new(stream), LinkOptions::active())
}
