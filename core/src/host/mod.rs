//! The host runtime: thread-safe nodes over threads or any async runtime.
//!
//! Lock order: node tables and hubs, then one link, then leaves (a thread's parker, a
//! timer). Never two links at once. Wakers and hubs are told with no lock held.

mod batch;
mod bytes_io;
mod call;
mod carry;
mod cell;
mod circuit;
mod driver;
mod duplex;
mod error;
mod events;
mod hub;
mod inbox;
mod input;
mod latest;
mod lead;
mod line;
mod linger;
mod link;
mod local;
#[cfg(loom)]
pub mod model;
mod named;
mod node;
mod output;
mod parker;
mod peer;
mod read_write;
mod receiver;
mod relay;
mod reopen;
mod reserve;
mod select;
mod sender;
mod sessions;
mod slots;
mod spec;
mod stream;
mod sync;
mod timer;
pub mod transport;
mod wait;

pub use batch::{BatchError, SendingBatch};
pub use bytes_io::{ByteReader, ByteWriter};
pub use call::{CallError, Calling, Client, Replying, Request, Server, Serving};
pub use duplex::Duplex;
pub use error::{ExportError, ImportError, LinkError, RecvError, SendCause, SendError};
pub use events::{LinkEvent, NextEvent};
pub use hub::Fanout;
pub use latest::{Changing, Latest, Watch};
pub use linger::Closing;
pub use local::channel;
pub use named::{ChannelError, Named, Naming, Outcome};
pub use node::{Config, ExportOptions, Node, WeakNode};
pub use peer::{Down, Import, Importing, Peer, PeerInfo};
pub use read_write::ReadWrite;
pub use receiver::{Next, Receiver, Receiving};
pub use reserve::{Permit, Reserving};
pub use select::{SelectError, Selectable, Selecting, select};
pub use sender::{Account, CloneError, DrainError, Draining, Sender, Sending};
pub use sessions::Reconnect;
pub use spec::{End, ExportEnd, Exported, Imported, ReopenEnd, Spec};
pub use stream::{BlockingStream, Stream};
pub use wait::{Source, Timeout, Wait, Waiting};
