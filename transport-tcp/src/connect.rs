//! The side that connects.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use netchan::host::transport::{LinkOptions, Up, start_blocking};
use netchan::host::{BlockingStream, Wait};
use netchan::{LinkError, Node, Peer};

use crate::Options;
use crate::socket::Socket;

/// How long connecting and the bring-up may take, unless a timeout says otherwise.
pub(crate) const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// Why there is no link.
#[derive(Debug)]
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
    Connecting { node: node.clone(), address, options, limit: CONNECT_WAIT }
}

/// A connection to be made: `.wait()` makes it.
#[must_use = "nothing happens until `.wait()`"]
pub struct Connecting<A> {
    node: Node,
    address: A,
    options: Options,
    limit: Duration,
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

    /// Connects, and waits until the link is up. Where the name has several addresses they
    /// are tried in turn, and share the time.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub fn wait(self) -> Result<Peer, ConnectError> {
        let time = Time::new(self.limit);
        let addresses = self.address.to_socket_addrs().map_err(ConnectError::Io)?;
        let (addresses, mut last) = choose(addresses, self.options)?;
        for (n, address) in addresses.iter().enumerate() {
            let result = match time.share(addresses.len() - n) {
                Some(share) => TcpStream::connect_timeout(address, share).and_then(Socket::new),
                None => Err(io::ErrorKind::TimedOut.into()),
            };
            match result {
                Ok(socket) => {
                    let options = self.options.link(Some(*address), true);
                    let up = start_blocking(&self.node, Box::new(socket), options);
                    return up.timeout(time.left()).wait().map_err(ConnectError::Link);
                }
                Err(error) => last = error,
            }
        }
        Err(ConnectError::Io(last))
    }
}

/// The addresses that may be connected to, and the error for when there are none.
pub(crate) fn choose(
    addresses: impl IntoIterator<Item = SocketAddr>,
    options: Options,
) -> Result<(Vec<SocketAddr>, io::Error), ConnectError> {
    let (allowed, refused): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| options.allows(address));
    if allowed.is_empty() && !refused.is_empty() {
        return Err(ConnectError::NotLoopback);
    }
    Ok((allowed, io::Error::new(io::ErrorKind::InvalidInput, "the address names nothing")))
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

/// Makes a link of any stream that blocks: both sides call it.
pub fn serve_stream(node: &Node, stream: impl BlockingStream) -> Wait<Up> {
    start_blocking(node, Box::new(stream), LinkOptions::active())
}
