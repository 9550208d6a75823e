//! A serial port as a task uses it.

use std::io::{self, IoSlice};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::tokio::io::unix::AsyncFd;
use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ::tokio::task::spawn_blocking;
use netchan::host::transport::TaskStream;
use serial2::SerialPort;

use crate::tty::{open_port, release};
use crate::{OpenError, Options};

/// An open port, which belongs to one task. It does not block.
pub(super) struct Port(AsyncFd<Owned>);

/// The next one may open it when this is gone.
struct Owned(SerialPort);

impl Drop for Owned {
    fn drop(&mut self) {
        release(&self.0);
    }
}

impl std::os::fd::AsRawFd for Owned {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.as_raw_fd()
    }
}

impl Port {
    /// Opens the port for this program alone, on a thread that may block.
    pub(super) async fn open(path: &Path, options: Options, first: bool) -> Result<Self, OpenError> {
        let own = path.to_owned();
        let opened = spawn_blocking(move || open_port(&own, &options, first)).await;
        let failed = |error| OpenError::of(path, error);
        let port = Owned(opened.map_err(|error| failed(io::Error::other(error)))??);
        // What comes in its place is unsafe, and asks for what holds here: the port keeps its descriptor.
        #[expect(deprecated, reason = "sound for a type that owns one descriptor as long as it lives")]
        AsyncFd::new(port).map(Self).map_err(failed)
    }
}

impl TaskStream for Port {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(cx))?;
            let read = ready.try_io(|port| Ok(rustix::io::read(&port.get_ref().0, &mut *into)?));
            if let Ok(result) = read {
                return Poll::Ready(result);
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.0.poll_write_ready(cx))?;
            if let Ok(result) = ready.try_io(|port| Ok(rustix::io::writev(&port.get_ref().0, bytes)?)) {
                return Poll::Ready(result);
            }
        }
    }
}

/// Any stream of the runtime.
pub(super) struct Any<S>(pub(super) S);

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> TaskStream for Any<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(into);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bytes)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
}
