//! netchan links over TCP.
//!
//! ```no_run
//! use netchan::{Node, Receiver};
//! use netchan_tcp as tcp;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::new("dashboard");
//! let station = tcp::connect(&node, "127.0.0.1:7000").wait()?;
//! let mut ticks = station.import::<Receiver<u64>>("ticks").wait()?;
//! for tick in &mut ticks {
//!     println!("{}", tick?);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Without a key TCP is for one machine: addresses that are not loopback are refused,
//! unless [`Options::danger_plaintext_network`] says otherwise.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "_async-io")]
mod async_io;
#[cfg(feature = "async-std")]
pub mod async_std;
mod connect;
#[cfg(feature = "futures-io")]
pub mod futures_io;
mod listen;
mod options;
#[cfg(any(feature = "tokio", feature = "_async-io"))]
mod runtime;
#[cfg(feature = "smol")]
pub mod smol;
mod socket;
#[cfg(feature = "tokio")]
pub mod tokio;

pub use connect::{ConnectError, Connecting, connect, connect_with, join, serve_stream};
pub use listen::{ListenError, Listener, listen, listen_on, listen_with};
pub use options::Options;
