//! netchan links over serial lines: UARTs, USB-CDC, ptys.
//!
//! Such lines lose and alter bytes. The link above knows nothing of it: what is lost is sent
//! again, and every value arrives once, in order, unaltered, or the channel is dead with a
//! reason.
//!
//! ```no_run
//! use netchan::{Node, Receiver};
//! use netchan_serial as serial;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::new("logger");
//! let board = serial::open(&node, "/dev/ttyUSB0").wait()?;
//! let mut temperature = board.import::<Receiver<f32>>("temperature").wait()?;
//! for value in &mut temperature {
//!     println!("{}", value?);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - Another board of the same kind, or the same one in another socket: [`Usb`]; whichever
//!   port it is on: [`Board`].
//! - Unplugged and plugged in again: [`Opening::reconnect`].
//! - Whether opening restarts the board: [`Reset`].
//! - A program in the board's place: [`serve`], on a pty or a null-modem cable.
//! - Whatever else carries bytes and loses some: [`serve_stream`].
//! - Tasks instead of threads: module `tokio`, with the feature of that name.
//!
//! A serial line is trusted as the cable that it is: who holds it can use every export.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod error;
mod open;
mod options;
mod ports;
mod serve;
#[cfg(all(unix, feature = "tokio"))]
pub mod tokio;
mod tty;

pub use error::OpenError;
pub use open::{Opening, open};
pub use options::{Options, Reset};
pub use ports::{Board, Port, PortInfo, Usb, UsbInfo, ports};
pub use serve::{Serving, serve, serve_stream};
