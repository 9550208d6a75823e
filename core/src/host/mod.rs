//! The host runtime: thread-safe nodes over threads or any async runtime.
//!
//! Lock order, outermost first:
//!
//! 1. What wakers only try: who reads a link (`LinkCell::reader`), the calls of a client and
//!    the state of a relay (both a `Turn`). Whoever finds one taken leaves a note and goes.
//! 2. Node tables and hubs (`NodeInner::tables`, `Hub::state`), one at a time.
//! 3. One link (`LinkCell::state`). Never two at once.
//! 4. Leaves, with nothing locked inside: a thread's parker, the timer, a node's events, a
//!    local channel, which requests a server handles (`call::Shared`).
//!
//! Wakers run and are dropped, and hubs are told, with at most locks of the first kind held.
//! An end has no lock of its own: what a receiver has taken over from its link (`Inflow`)
//! belongs to the one who holds `&mut` to it, so values are decoded with nothing locked.

mod ask;
mod batch;
mod behind;
mod bytes_io;
mod call;
mod carry;
mod cell;
mod chain;
mod chunks;
mod circuit;
mod config;
mod directory;
mod down;
mod driver;
mod duplex;
mod ending;
mod entries;
mod error;
mod events;
mod export;
mod hub;
mod inbox;
mod input;
mod lane;
mod latest;
mod lead;
mod line;
mod linger;
mod link;
mod list;
mod local;
#[cfg(loom)]
pub mod model;
mod named;
mod node;
mod output;
mod parker;
mod peer;
mod picture;
mod post;
mod quiet;
mod read_write;
mod receiver;
mod relay;
mod remote;
mod reopen;
mod reserve;
mod select;
mod sender;
mod sessions;
mod shares;
mod shot;
mod slice;
mod slots;
mod spec;
mod stream;
pub(crate) mod sync;
mod timer;
mod transit;
pub mod transport;
mod tree;
mod turn;
#[cfg(all(feature = "testing", not(loom)))]
pub(crate) mod virtual_time;
mod wait;
mod waiting;

pub use ask::{Ask, AskError, Asking};
pub use batch::{BatchError, SendingBatch};
pub use bytes_io::{ByteReader, ByteWriter};
pub use call::{CallError, Calling, Client, Replying, Request, Server, Serving};
pub use chain::{Chain, ChainCall, ChainCause, ChainError, Chaining};
pub use config::Config;
pub use down::Down;
pub use duplex::Duplex;
pub use ending::ShutDownError;
pub use entries::{EndKind, ExportInfo, LinkInfo, NodeChange, NodeInfo};
pub use error::{ExportError, ImportError, LinkError, RecvError, SendCause, SendError};
pub use events::{LinkEvent, NextEvent};
pub use export::{ExportOptions, Visibility};
pub use hub::Fanout;
pub use latest::{Changing, Latest, Watch};
pub use linger::Closing;
pub use local::channel;
pub use named::{ChannelError, Named, Naming, Outcome};
pub use node::{Node, WeakNode};
pub use peer::{Import, Importing, Peer, PeerInfo};
pub use picture::{Picture, Picturing, Untold};
pub use post::{Post, PostCause, PostError, Posting};
pub use quiet::{QUIET_MAX, QuietError, Quieting};
pub use read_write::ReadWrite;
pub use receiver::{Next, Receiver, Receiving};
pub use remote::Remote;
pub use reserve::{Permit, Reserving};
pub use select::{SelectError, Selectable, Selecting, select};
pub use sender::{Account, CloneError, DrainError, Draining, Sender, Sending};
pub use sessions::Reconnect;
pub use slice::SendingSlice;
pub use spec::{End, ExportEnd, Exported, Imported, ReopenEnd, Spec};
pub use stream::{BlockingStream, Stream};
pub use wait::{Source, Timeout, Wait, Waiting};
