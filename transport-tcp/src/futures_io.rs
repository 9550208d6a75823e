//! Links over any stream with the traits of futures-io, in any runtime.
//!
//! ```
//! # async fn program(
//! #     reader: impl futures_io::AsyncRead + Send + Unpin + 'static,
//! #     writer: impl futures_io::AsyncWrite + Send + Unpin + 'static,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let node = netchan::Node::new("dashboard");
//! let (driver, up) = netchan_tcp::futures_io::serve_stream(&node, reader, writer)?;
//! smol::spawn(driver).detach();
//! let peer = up.await?;
//! # Ok(())
//! # }
//! ```

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use ::futures_io::{AsyncRead, AsyncWrite};
use netchan::host::Wait;
use netchan::host::transport::{Driver, Handover, LinkOptions, TaskStream, Up, start_task};
use netchan::{LinkError, Node};

/// Makes a link of any stream, given as its two directions: both sides call it. The driver
/// is a future that moves the link for as long as it is polled; the other value waits for
/// the bring-up.
///
/// Only the driver writes, so a value that is sent costs a switch to its task. Over TCP the
/// modules for a runtime spare that.
///
/// # Errors
///
/// [`LinkError`] when the node is shut.
pub fn serve_stream<R, W>(node: &Node, reader: R, writer: W) -> Result<Served<R, W>, LinkError>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    start_task(node, Ends { reader, writer }, Box::new(Handover), LinkOptions::active())
}

/// What drives a link over any stream, and what waits for its bring-up.
pub type Served<R, W> = (Driver<Ends<R, W>>, Wait<Up>);

/// The two directions of a stream.
#[derive(Debug)]
pub struct Ends<R, W> {
    reader: R,
    writer: W,
}

impl<R, W> TaskStream for Ends<R, W>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.reader).poll_read(cx, into)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let writer = Pin::new(&mut self.writer);
        match bytes {
            [one] => writer.poll_write(cx, one),
            many => writer.poll_write_vectored(cx, many),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_close(cx)
    }
}
