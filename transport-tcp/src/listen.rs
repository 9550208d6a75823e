//! The side that listens.

use std::fmt;
use std::io;
#[cfg(unix)]
use std::net::Shutdown;
#[cfg(not(unix))]
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use netchan::Node;
use netchan::host::transport::{Lobby, on_shutdown, start_blocking};

use crate::Options;
use crate::socket::Socket;

/// Connections that have not yet shown who they are.
pub(crate) const STRANGERS_MAX: usize = 16;
/// How long a stranger may take to say hello, where a task waits for that.
#[cfg(any(feature = "tokio", feature = "_async-io"))]
pub(crate) const HELLO_WAIT: Duration = Duration::from_secs(3);
/// How long nobody is accepted when that has failed.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why nobody listens. `Debug` says it in words, for a `main` that returns it.
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

impl fmt::Debug for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::AddrInUse => {
                write!(f, "{self} (another program listens there: choose another port, or 0 for any)")
            }
            _ => fmt::Display::fmt(self, f),
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
    stop: Weak<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listener").field(&self.address).finish()
    }
}

impl Listener {
    pub(crate) fn new(address: SocketAddr, stop: &Arc<dyn Fn() + Send + Sync>) -> Self {
        Self { address, stop: Arc::downgrade(stop) }
    }

    /// Where it listens: the port that was given for port 0.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more. Links that stand are not touched.
    pub fn close(&self) {
        if let Some(stop) = self.stop.upgrade() {
            stop();
        }
    }
}

/// Ends the thread that accepts.
struct Stop {
    closed: AtomicBool,
    /// Its shutdown is seen at the other end, which the thread watches.
    #[cfg(unix)]
    wake: UnixStream,
    #[cfg(not(unix))]
    address: SocketAddr,
}

impl Stop {
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    #[cfg(unix)]
    fn close(&self) {
        if !self.closed.swap(true, Ordering::AcqRel) {
            let _ = self.wake.shutdown(Shutdown::Both);
        }
    }

    #[cfg(not(unix))]
    fn close(&self) {
        if !self.closed.swap(true, Ordering::AcqRel) {
            // Ends the accept that is under way.
            let mut address = self.address;
            match address.ip() {
                IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
                IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
                _ => {}
            }
            let _ = TcpStream::connect_timeout(&address, Duration::from_millis(200));
        }
    }
}

/// What accepts, in a thread of its own.
struct Door {
    listener: TcpListener,
    stop: Arc<Stop>,
    #[cfg(unix)]
    woken: UnixStream,
}

impl Door {
    #[cfg(unix)]
    fn new(listener: TcpListener, _: SocketAddr) -> io::Result<Self> {
        // A connection may be gone by the time it is accepted.
        listener.set_nonblocking(true)?;
        let (wake, woken) = UnixStream::pair()?;
        let stop = Arc::new(Stop { closed: AtomicBool::new(false), wake });
        Ok(Self { listener, stop, woken })
    }

    #[cfg(not(unix))]
    fn new(listener: TcpListener, address: SocketAddr) -> io::Result<Self> {
        Ok(Self { listener, stop: Arc::new(Stop { closed: AtomicBool::new(false), address }) })
    }

    /// The next connection; `None` when the door is closed.
    fn accept(&self) -> Option<TcpStream> {
        loop {
            self.wait();
            if self.stop.is_closed() {
                return None;
            }
            match self.listener.accept() {
                Ok(_) if self.stop.is_closed() => return None,
                Ok((stream, _)) => return Some(stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Out of descriptors, for instance: wait for some to be free again.
                Err(_) => thread::park_timeout(ACCEPT_PAUSE),
            }
        }
    }

    #[cfg(unix)]
    fn wait(&self) {
        use rustix::event::{PollFd, PollFlags, poll};

        let mut fds = [PollFd::new(&self.listener, PollFlags::IN), PollFd::new(&self.woken, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => thread::park_timeout(ACCEPT_PAUSE),
        }
    }

    #[cfg(not(unix))]
    fn wait(&self) {}
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
    listen_on(node, bind(address, options)?, options)
}

/// Binds to the first address that is allowed and free.
pub(crate) fn bind<A: ToSocketAddrs>(address: A, options: Options) -> Result<TcpListener, ListenError> {
    let addresses: Vec<_> = address.to_socket_addrs().map_err(ListenError::Io)?.collect();
    let allowed: Vec<_> = addresses.iter().copied().filter(|address| options.allows(address)).collect();
    if allowed.is_empty() && !addresses.is_empty() {
        return Err(ListenError::NotLoopback);
    }
    TcpListener::bind(&allowed[..]).map_err(ListenError::Io)
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
    let door = Door::new(listener, address).map_err(ListenError::Io)?;
    let own = Arc::clone(&door.stop);
    let stop: Arc<dyn Fn() + Send + Sync> = Arc::new(move || own.close());
    let stop = on_shutdown(node, stop).ok_or(ListenError::Shutdown)?;
    let made = Listener::new(address, &stop);
    let weak = node.downgrade();
    thread::Builder::new()
        .name("netchan-listen".into())
        .stack_size(256 * 1024)
        .spawn(move || {
            // Kept so that the node can reach it.
            let _stop = stop;
            let lobby = Lobby::new(STRANGERS_MAX);
            while let Some(stream) = door.accept() {
                let Some(node) = weak.upgrade() else { return };
                welcome(&node, stream, options, &lobby);
            }
        })
        .map_err(ListenError::Io)?;
    Ok(made)
}

fn welcome(node: &Node, stream: TcpStream, options: Options, lobby: &Lobby) {
    let peer = stream.peer_addr().ok();
    let Ok(socket) = Socket::new(stream) else { return };
    // Its outcome is an event of the node; a bring-up that takes too long ends by itself.
    lobby.enter(&start_blocking(node, Box::new(socket), options.link(peer, false)));
}
