//! Links that tasks of a tokio runtime drive; everything else is as with threads.
//!
//! ```no_run
//! use netchan::{Node, Receiver};
//! use netchan_tcp::tokio as tcp;
//!
//! # async fn program() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::new("dashboard");
//! let station = tcp::connect(&node, "127.0.0.1:7000").await?;
//! let mut ticks = station.import::<Receiver<u64>>("ticks").await?;
//! while let Some(tick) = ticks.next().await {
//!     println!("{}", tick?);
//! }
//! node.close(std::time::Duration::from_secs(2)).await;
//! # Ok(())
//! # }
//! ```
//!
//! Each link has one task. A sender that finds the socket idle writes by itself. Dropping
//! a node never waits for tasks; `Node::close` does.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr, TcpListener, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ::tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use ::tokio::runtime::Handle;
use netchan::LinkError;
use netchan::Node;
use netchan::host::transport::{Driver, Handover, LinkOptions, TaskStream, Up, start_task};
use netchan::host::{Stream, Wait};
use socket2::SockRef;

pub use crate::runtime::Connecting;
use crate::runtime::{self, Runtime};
use crate::{ConnectError, ListenError, Listener, Options};

/// Connects to a node that listens at `address`, on loopback. The link's task is spawned
/// on the runtime that awaits this.
pub fn connect<'a, A: ::tokio::net::ToSocketAddrs + Send + 'a>(node: &Node, address: A) -> Connecting<'a> {
    connect_with(node, address, Options::new())
}

/// As [`connect`], with options.
pub fn connect_with<'a, A: ::tokio::net::ToSocketAddrs + Send + 'a>(
    node: &Node,
    address: A,
    options: Options,
) -> Connecting<'a> {
    let resolve = async { Ok(::tokio::net::lookup_host(address).await?.collect()) };
    Connecting::new::<Tokio>(node, resolve, options)
}

/// Listens on loopback for other nodes. Lives with the node; its tasks are spawned on the
/// runtime that this is called in. A host name is looked up in place, so an address is
/// better.
///
/// # Errors
///
/// [`ListenError`]; also outside of a runtime.
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
    listen_on(node, crate::listen::bind(address, options)?, options)
}

/// Listens on a listener that the caller has made.
///
/// # Errors
///
/// [`ListenError`].
pub fn listen_on(node: &Node, listener: TcpListener, options: Options) -> Result<Listener, ListenError> {
    runtime::listen_on::<Tokio>(node, listener, options)
}

/// Makes a link of any stream: both sides call it. The driver is a future that moves the
/// link for as long as it is polled; the other value waits for the bring-up.
///
/// # Errors
///
/// [`LinkError`] when the node is shut.
pub fn serve_stream<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    node: &Node,
    stream: S,
) -> Result<(Driver<impl TaskStream + use<S>>, Wait<Up>), LinkError> {
    start_task(node, Any(stream), Box::new(Handover), LinkOptions::active())
}

struct Tokio;

impl Runtime for Tokio {
    type Stream = ::tokio::net::TcpStream;
    type Task = Reading;
    type Listener = ::tokio::net::TcpListener;

    fn connect(address: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send {
        ::tokio::net::TcpStream::connect(address)
    }

    fn listener(listener: TcpListener) -> io::Result<Self::Listener> {
        Handle::try_current().map_err(io::Error::other)?;
        ::tokio::net::TcpListener::from_std(listener)
    }

    fn poll_accept(listener: &Self::Listener, cx: &mut Context<'_>) -> Poll<io::Result<Self::Stream>> {
        listener.poll_accept(cx).map_ok(|(stream, _)| stream)
    }

    fn peer_address(stream: &Self::Stream) -> Option<SocketAddr> {
        stream.peer_addr().ok()
    }

    fn start(
        node: &Node,
        stream: Self::Stream,
        options: LinkOptions,
    ) -> Result<(Driver<Reading>, Wait<Up>), ConnectError> {
        stream.set_nodelay(true).map_err(ConnectError::Io)?;
        let (read, write) = stream.into_split();
        let write = Arc::new(write);
        let direct = Box::new(Writing(Arc::clone(&write)));
        start_task(node, Reading { read, write }, direct, options).map_err(ConnectError::Link)
    }

    fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        ::tokio::spawn(task);
    }
}

/// The task's side of a socket.
pub(crate) struct Reading {
    read: OwnedReadHalf,
    write: Arc<OwnedWriteHalf>,
}

impl TaskStream for Reading {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        // A short read tells the runtime that nothing is left, so no call is made in vain.
        read(Pin::new(&mut self.read), cx, into)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.write.as_ref().as_ref().poll_write_ready(cx))?;
            match try_write(&self.write, bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

/// The senders' side of a socket.
struct Writing(Arc<OwnedWriteHalf>);

impl Stream for Writing {
    fn try_write(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        try_write(&self.0, bytes)
    }

    fn finish(&self) {
        shutdown(&self.0, Shutdown::Write);
    }

    fn close(&self) {
        shutdown(&self.0, Shutdown::Both);
    }
}

fn shutdown(half: &OwnedWriteHalf, how: Shutdown) {
    let _ = SockRef::from(half.as_ref()).shutdown(how);
}

fn try_write(half: &OwnedWriteHalf, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
    match bytes {
        [one] => half.try_write(one),
        many => half.try_write_vectored(many),
    }
}

/// Any stream, which only its task can write.
struct Any<S>(S);

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> TaskStream for Any<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        read(Pin::new(&mut self.0), cx, into)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.0);
        match bytes {
            [one] => stream.poll_write(cx, one),
            many => stream.poll_write_vectored(cx, many),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

fn read(stream: Pin<&mut impl AsyncRead>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(into);
    ready!(stream.poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}
