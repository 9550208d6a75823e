//! The side that listens.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use netchan::Node;
use netchan::host::transport::{on_shutdown, start_blocking};

use crate::Options;
use crate::socket::Socket;

/// Connections that have not yet shown who they are.
const STRANGERS_MAX: usize = 16;
/// How long a stranger may take to say hello.
const HELLO_WAIT: Duration = Duration::from_secs(3);

/// Why nobody listens.
#[derive(Debug)]
#[non_exhaustive]
pub enum ListenError {
    /// The address is not loopback; see [`Options::danger_plaintext_network`].
    NotLoopback,
    /// The address names nothing, is in use, or is not ours.
    Io(io::Error),
    /// The node was shut down.
    Shutdown,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLoopback => f.write_str(
                "not a loopback address: TCP is unencrypted here; allow it with `Options::danger_plaintext_network()`",
            ),
            Self::Io(error) => write!(f, "cannot listen: {error}"),
            Self::Shutdown => f.write_str("the node was shut down"),
        }
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// A listener at work. Dropping it changes nothing: it lives with the node, or until
/// [`Listener::close`].
#[derive(Clone)]
pub struct Listener {
    address: SocketAddr,
    closed: Arc<AtomicBool>,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listener").field(&self.address).finish()
    }
}

impl Listener {
    /// Where it listens: the port that was given for port 0.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more. Links that stand are not touched.
    pub fn close(&self) {
        close(&self.closed, self.address);
    }
}

fn close(closed: &AtomicBool, address: SocketAddr) {
    if !closed.swap(true, Ordering::AcqRel) {
        // Ends the accept that is under way.
        let mut address = address;
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        let _ = TcpStream::connect_timeout(&address, Duration::from_millis(200));
    }
}

/// Listens on loopback for other nodes. Lives with the node.
///
/// # Errors
///
/// [`ListenError`].
pub fn listen<A: ToSocketAddrs>(node: &Node, address: A) -> Result<Listener, ListenError> {
    listen_with(node, address, Options::new())
}

/// As [`listen`], with options.
///
/// # Errors
///
/// [`ListenError`].
pub fn listen_with<A: ToSocketAddrs>(
    node: &Node,
    address: A,
    options: Options,
) -> Result<Listener, ListenError> {
    let addresses: Vec<_> = address.to_socket_addrs().map_err(ListenError::Io)?.collect();
    let allowed: Vec<_> = addresses.iter().copied().filter(|address| options.allows(address)).collect();
    if allowed.is_empty() && !addresses.is_empty() {
        return Err(ListenError::NotLoopback);
    }
    listen_on(node, TcpListener::bind(&allowed[..]).map_err(ListenError::Io)?, options)
}

/// Listens on a listener that the caller has made.
///
/// # Errors
///
/// [`ListenError`].
pub fn listen_on(node: &Node, listener: TcpListener, options: Options) -> Result<Listener, ListenError> {
    let address = listener.local_addr().map_err(ListenError::Io)?;
    if !options.allows(&address) {
        return Err(ListenError::NotLoopback);
    }
    let closed = Arc::new(AtomicBool::new(false));
    let own = Arc::clone(&closed);
    let stop: Arc<dyn Fn() + Send + Sync> = Arc::new(move || close(&own, address));
    let stop = on_shutdown(node, stop).ok_or(ListenError::Shutdown)?;
    let (own, weak) = (Arc::clone(&closed), node.downgrade());
    thread::Builder::new()
        .name("netchan-listen".into())
        .stack_size(256 * 1024)
        .spawn(move || {
            // Kept so that the node can reach it.
            let _stop = stop;
            let strangers = Arc::new(AtomicUsize::new(0));
            for stream in listener.incoming() {
                let Some(node) = weak.upgrade().filter(|_| !own.load(Ordering::Acquire)) else { return };
                match stream {
                    Ok(stream) => welcome(&node, stream, options, &strangers),
                    // Out of descriptors, for instance: wait for some to be free again.
                    Err(_) => thread::park_timeout(Duration::from_millis(50)),
                }
            }
        })
        .map_err(ListenError::Io)?;
    Ok(Listener { address, closed })
}

fn welcome(node: &Node, stream: TcpStream, options: Options, strangers: &Arc<AtomicUsize>) {
    if strangers.fetch_add(1, Ordering::AcqRel) >= STRANGERS_MAX {
        strangers.fetch_sub(1, Ordering::AcqRel);
        return;
    }
    let peer = stream.peer_addr().ok();
    let Ok(socket) = Socket::new(stream) else {
        strangers.fetch_sub(1, Ordering::AcqRel);
        return;
    };
    let up = start_blocking(node, Box::new(socket), options.link(peer, false));
    let own = Arc::clone(strangers);
    let waiting =
        thread::Builder::new().name("netchan-hello".into()).stack_size(128 * 1024).spawn(move || {
            // The outcome is an event of the node.
            let _ = up.timeout(HELLO_WAIT).wait();
            own.fetch_sub(1, Ordering::AcqRel);
        });
    if waiting.is_err() {
        strangers.fetch_sub(1, Ordering::AcqRel);
    }
}
