//! Links that tasks of a tokio runtime drive; everything else is as with threads. Unix only.
//!
//! ```no_run
//! use netchan::{Node, Receiver};
//! use netchan_serial::tokio as serial;
//!
//! # async fn program() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::new("logger");
//! let board = serial::open(&node, "/dev/ttyUSB0").await?;
//! let mut temperature = board.import::<Receiver<f32>>("temperature").await?;
//! while let Some(value) = temperature.next().await {
//!     println!("{}", value?);
//! }
//! node.close(std::time::Duration::from_secs(2)).await;
//! # Ok(())
//! # }
//! ```
//!
//! Each link has one task, which moves the port's bytes and keeps the line's time. Ports are opened on the
//! runtime's threads for what blocks. Dropping a node never waits for tasks; `Node::close` does.

mod open;
mod port;
mod serve;

pub use open::{Opening, open};
pub use serve::serve;

use ::tokio::io::{AsyncRead, AsyncWrite};
use netchan::host::Wait;
use netchan::host::transport::{LineDriver, TaskStream, Up, start_line_task};
use netchan::{LinkError, Node};

use crate::Options;

/// Makes a link of any stream that may lose and alter bytes: both sides call it, or the other one
/// is a board. The driver is a future that moves the link for as long as it is polled; the other value waits
/// for the bring-up.
///
/// # Errors
///
/// [`LinkError`] when the node is shut.
pub fn serve_stream<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    node: &Node,
    stream: S,
    options: Options,
) -> Result<(LineDriver<impl TaskStream + use<S>>, Wait<Up>), LinkError> {
    start_line_task(node, port::Any(stream), options.link())
}
