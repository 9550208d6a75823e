//! Type-safe channels that reach from a microcontroller to a server.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::alloc_instead_of_core, clippy::std_instead_of_core)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

// Lets the derive name `::netchan::` inside this crate too.
extern crate self as netchan;

#[cfg(feature = "board")]
pub mod board;
#[cfg(feature = "defmt")]
mod formats;
#[cfg(feature = "std")]
pub mod host;
#[cfg(feature = "log")]
mod log_record;
pub mod message;
pub mod proto;
#[cfg(feature = "alloc")]
pub mod tree;
mod varint;

#[cfg(feature = "alloc")]
pub use message::Bytes;
pub use message::{Blob, DecodeError, EncodeError, Fingerprint, Message, Text};
pub use netchan_derive::Message;

#[cfg(feature = "log")]
pub use log_record::LogRecord;

#[cfg(feature = "std")]
pub use host::{
    Account, AskError, BatchError, ByteReader, ByteWriter, CallError, Chain, ChainCause, ChainError,
    ChannelError, Client, CloneError, Config, DrainError, Duplex, ExportError, ExportOptions, Fanout,
    ImportError, Latest, LinkError, LinkEvent, Named, Node, Peer, PeerInfo, PostCause, PostError, Receiver,
    Reconnect, RecvError, Request, SelectError, SendCause, SendError, Sender, Server, Watch, channel, select,
};
pub use proto::{Dead, Place, Reason};
#[cfg(feature = "testing-bare")]
pub mod testing;
