//! Sockets in the reactor that async-std and smol share; they differ in who runs tasks.

use std::future::Future;
use std::io::{self, IoSlice, Write};
use std::marker::PhantomData;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::async_io::Async;
use ::futures_io::{AsyncRead, AsyncWrite};
use netchan::Node;
use netchan::host::transport::{Driver, LinkOptions, TaskStream, Up, start_task};
use netchan::host::{Stream, Wait};

use crate::ConnectError;
use crate::runtime::Runtime;

type Socket = Arc<Async<TcpStream>>;

/// Who runs tasks.
pub(crate) trait Spawn: Send + Sync + Unpin + 'static {
    fn spawn(task: impl Future<Output = ()> + Send + 'static);
}

/// The reactor, with somebody's tasks.
pub(crate) struct Reactor<S>(PhantomData<fn() -> S>);

impl<S: Spawn> Runtime for Reactor<S> {
    type Stream = Async<TcpStream>;
    type Task = Reading;
    type Listener = Async<TcpListener>;

    fn connect(address: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send {
        Async::<TcpStream>::connect(address)
    }

    fn listener(listener: TcpListener) -> io::Result<Self::Listener> {
        Async::new(listener)
    }

    fn poll_accept(listener: &Self::Listener, cx: &mut Context<'_>) -> Poll<io::Result<Self::Stream>> {
        loop {
            match listener.get_ref().accept() {
                Ok((stream, _)) => return Poll::Ready(Async::new(stream)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(listener.poll_readable(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn peer_address(stream: &Self::Stream) -> Option<SocketAddr> {
        stream.get_ref().peer_addr().ok()
    }

    fn start(
        node: &Node,
        stream: Self::Stream,
        options: LinkOptions,
    ) -> Result<(Driver<Self::Task>, Wait<Up>), ConnectError> {
        stream.get_ref().set_nodelay(true).map_err(ConnectError::Io)?;
        let stream = Arc::new(stream);
        let direct = Box::new(Direct(Arc::clone(&stream)));
        start_task(node, Reading(stream), direct, options).map_err(ConnectError::Link)
    }

    fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        S::spawn(task);
    }
}

/// The task's side of a socket.
pub(crate) struct Reading(Socket);

impl TaskStream for Reading {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self.0).poll_read(cx, into)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut socket = &*self.0;
        match bytes {
            [one] => Pin::new(&mut socket).poll_write(cx, one),
            many => Pin::new(&mut socket).poll_write_vectored(cx, many),
        }
    }
}

/// The senders' side of a socket.
struct Direct(Socket);

impl Stream for Direct {
    fn try_write(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut socket = self.0.get_ref();
        match bytes {
            [one] => socket.write(one),
            many => socket.write_vectored(many),
        }
    }

    fn finish(&self) {
        let _ = self.0.get_ref().shutdown(Shutdown::Write);
    }

    fn close(&self) {
        let _ = self.0.get_ref().shutdown(Shutdown::Both);
    }
}
