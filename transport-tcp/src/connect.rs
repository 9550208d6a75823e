//! The side that connects.

use std::fmt;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

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
    /// Gives up after `limit`; 5 seconds by default.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Connects, and waits until the link is up.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub fn wait(self) -> Result<Peer, ConnectError> {
        let mut last = io::Error::new(io::ErrorKind::InvalidInput, "the address names nothing");
        let mut refused = false;
        for address in self.address.to_socket_addrs().map_err(ConnectError::Io)? {
            if !self.options.allows(&address) {
                refused = true;
                continue;
            }
            match TcpStream::connect_timeout(&address, self.limit).and_then(Socket::new) {
                Ok(socket) => {
                    let options = self.options.link(Some(address), true);
                    let up = start_blocking(&self.node, Box::new(socket), options);
                    return up.timeout(self.limit).wait().map_err(ConnectError::Link);
                }
                Err(error) => last = error,
            }
        }
        Err(if refused { ConnectError::NotLoopback } else { ConnectError::Io(last) })
    }
}

/// Makes a link of any stream that blocks: both sides call it.
pub fn serve_stream(node: &Node, stream: impl BlockingStream) -> Wait<Up> {
    start_blocking(node, Box::new(stream), LinkOptions::active())
}
