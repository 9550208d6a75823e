//! The side that connects.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::Duration;

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
    /// Gives up after `limit`; 5 seconds by default.
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
        self.reconnect = Some(how);
        self
    }

    /// Connects, and waits until the link is up.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub fn wait(self) -> Result<Peer, ConnectError> {
        let Self { node, address, options, limit, reconnect } = self;
        let addresses: Vec<_> = address.to_socket_addrs().map_err(ConnectError::Io)?.collect();
        let peer = dial(&node, &addresses, options, limit)?;
        let Some(how) = reconnect else { return Ok(peer) };
        let (mut redial, kept) = Redial::new(&node, peer, how);
        thread::Builder::new()
            .name("netchan-redial".into())
            .stack_size(256 * 1024)
            .spawn(move || {
                while let Some(node) = redial.due().wait() {
                    // What went wrong is of no interest to anybody: the loss has been told.
                    if let Ok(peer) = dial(&node, &addresses, options, limit) {
                        redial.made(peer);
                    }
                }
            })
            .map_err(ConnectError::Io)?;
        Ok(kept)
    }
}

/// The error with the address that it is about.
pub(crate) fn at(address: SocketAddr, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{address}: {error}"))
}

/// Connects to the first of the addresses that answers.
fn dial(
    node: &Node,
    addresses: &[SocketAddr],
    options: Options,
    limit: Duration,
) -> Result<Peer, ConnectError> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "the address names nothing");
    let mut refused = false;
    for address in addresses {
        if !options.allows(address) {
            refused = true;
            continue;
        }
        match TcpStream::connect_timeout(address, limit).and_then(Socket::new) {
            Ok(socket) => {
                let options = options.link(Some(*address), true);
                let up = start_blocking(node, Box::new(socket), options);
                return up.timeout(limit).wait().map_err(ConnectError::Link);
            }
            Err(error) => last = at(*address, error),
        }
    }
    Err(if refused { ConnectError::NotLoopback } else { ConnectError::Io(last) })
}

/// Makes a link of any stream that blocks: both sides call it.
pub fn serve_stream(node: &Node, stream: impl BlockingStream) -> Wait<Up> {
    start_blocking(node, Box::new(stream), LinkOptions::active())
}
