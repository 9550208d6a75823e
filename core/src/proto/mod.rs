//! The protocol, sans-I/O: no clock, no lock, no allocation, no generics over sizes.
//!
//! [`Link`] is the unit, above a reliable stream or above a [`Line`], which makes one of a line
//! that loses and alters bytes. It takes frames and time, and gives bytes, deadlines and
//! [`Event`]s; it knows no other link and holds no payload. Whoever owns the ends of a
//! circuit (a board's arena, a host's queues, a router's splice) holds the bytes, so the
//! same state machine serves borrowed slices and growing storage.
//!
//! ```text
//! IN    bytes -> framing -> Link::handle -> Event (Open, Data, Granted, Dead ...)
//! OUT   Link::start / Link::fragment (data), Link::control (everything else) -> bytes
//! TIME  Link::deadline, Link::tick(now)
//! ```
//!
//! The wire is specified in `spec/wire.md`; the tag numbers here are the ones there.

mod circuit;
mod control;
mod crc;
mod fault;
mod frame;
pub mod framing;
mod hello;
#[cfg(feature = "testing")]
mod life;
mod line;
mod link;
mod nonce;
mod put;
mod reason;
mod splice;
pub(crate) mod time;
mod total;

pub use circuit::{Direction, Slot, Slots};
pub use control::{Sink, SliceSink};
pub use crc::{crc32c, crc32c_append};
pub use fault::Fault;
pub use frame::{
    Above, Accept, DeadFrame, Fingerprints, Frame, FrameError, HOPS_MAX, Handle, Head, Open, OpenFlags, Part,
    QUIET_MAX_MS, Route, TreeFrame,
};
pub use hello::{Hello, Identity, LinkKind, Name, NameError, PROTOCOL_VERSION, Relation};
pub use line::{LINE_PACKET_MIN, Line, LineConfig, LineCounts, LineSink, WINDOW_MAX};
pub use link::{Blocked, Event, Fragment, Link, LinkConfig, LinkState, Start};
pub use nonce::{CounterNonce, NonceSource};
pub use reason::{Dead, Place, Reason};
pub use splice::{Ring, Rings, Side, Splice, Store};
pub use time::Instant;
pub use total::Total;

/// The wire's numbers.
pub mod varint {
    pub use crate::varint::{MAX_LEN, VarintError, get, len, pack, put};
}

#[cfg(feature = "alloc")]
pub(crate) use frame::PATH_MAX;
#[cfg(any(feature = "std", feature = "bridge"))]
pub(crate) use frame::has_control;
#[cfg(any(feature = "std", feature = "board"))]
pub(crate) use frame::is_channel_name;
#[cfg(feature = "std")]
pub(crate) use frame::{TYPE_NAME_MAX, cut, is_path};

// What passes through a board has the accounts of a link.
#[cfg(feature = "bridge")]
pub(crate) use {
    circuit::{Final, Phase as CircuitPhase, due, limit_in},
    frame::{LINK_ADD_ROUTE, LINK_ADOPT, LINK_ALLOCATE, LINK_DEL_ROUTE, LINK_GRANT, LINK_SHUTDOWN, Reader},
};

// What a board's node is made of: it has no `Link`, see ARCHITECTURE.md.
#[cfg(feature = "board")]
pub(crate) use {
    circuit::charge,
    frame::{
        CONTROL_ACCEPT, CONTROL_ASK, CONTROL_ATTACH, CONTROL_DEAD, CONTROL_DONE, CONTROL_END, CONTROL_OPEN,
        KIND_CONTROL, KIND_CREDIT, KIND_DATA, KIND_FIRST, KIND_LINK, KIND_MORE, KIND_TAKEN, LINK_ACK,
        LINK_BEAT, LINK_GOODBYE, LINK_PING, LINK_PONG, LINK_QUIET,
    },
    hello::{Brief, session_number},
    line::arq::{Arq, Came, HELLO_AT, body, seed},
    put::put,
};
