//! What ends a link: broken bytes, a broken protocol, silence, or a goodbye.

use core::fmt;

use super::{FrameError, Reason};

/// Why a link ended. Every circuit on it is dead, with [`Fault::reason`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// A frame could not be parsed.
    Frame(FrameError),
    /// A packet is longer than agreed.
    Oversize {
        /// Announced length in bytes.
        len: u32,
        /// Longest allowed.
        max: u32,
    },
    /// A packet's checksum is wrong.
    Corrupt,
    /// The first bytes are not those of a netchan peer.
    NotNetchan,
    /// No common version of the protocol.
    Version {
        /// Oldest version the peer speaks.
        oldest: u8,
        /// Newest version the peer speaks.
        newest: u8,
    },
    /// The peer's hello contradicts itself or ours (packet size, link kind).
    Hello,
    /// One side wants a link of a tree, and the other one does not.
    Kind,
    /// Our own hello came back: the line is looped.
    Loopback,
    /// No hello within the time for it.
    NoHello,
    /// A frame before the bring-up was complete.
    OutOfTurn,
    /// A hello after the bring-up: the peer has started anew, its program or only the link.
    Restarted(Reason),
    /// A frame for a handle that nobody opened.
    UnknownHandle,
    /// A frame that the state of its circuit does not allow.
    WrongState,
    /// An open for a handle in use, of the wrong parity, or beyond our table.
    BadOpen,
    /// More bytes than we granted.
    OverCredit,
    /// A grant or a count that no honest peer can send.
    BadTotal,
    /// A message or fragment whose lengths contradict each other.
    BadLength,
    /// Nothing heard for longer than the dead-time.
    Unresponsive,
    /// A frame of the tree from one who may not send it.
    NotTheirs,
    /// Too many routes or sources that were not the peer's to claim, or a flood of opens that were refused.
    Strikes,
    /// Bytes arrive on a lossy line, but no packet.
    Noise,
    /// What was sent on a lossy line is not acknowledged, however often it was sent again.
    Unacknowledged,
    /// The peer said goodbye.
    Goodbye(Reason),
    /// We had no room for the link, and have said so.
    TurnedAway(Reason),
}

impl Fault {
    /// What the circuits of the link are told.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Unresponsive | Self::NoHello | Self::Noise => Reason::Unresponsive,
            Self::Unacknowledged => Reason::LinkLost,
            Self::Goodbye(reason) | Self::Restarted(reason) | Self::TurnedAway(reason) => reason,
            _ => Reason::Protocol,
        }
    }
}

impl From<FrameError> for Fault {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => write!(f, "bad frame: {error}"),
            Self::Oversize { len, max } => write!(f, "packet of {len} bytes, at most {max} were agreed"),
            Self::Corrupt => f.write_str("packet with a wrong checksum"),
            Self::NotNetchan => f.write_str("the other side does not speak netchan"),
            Self::Version { oldest, newest } => write!(f, "the peer speaks versions {oldest} to {newest}"),
            Self::Hello => f.write_str("the peer's hello does not fit ours"),
            Self::Kind => f.write_str(
                "one side wants a link of a tree and the other does not: one has to join, the other to adopt",
            ),
            Self::NotTheirs => f.write_str("frame of the tree from one who may not send it"),
            Self::Strikes => {
                f.write_str("too many claims that were not the peer's to make, or opens that were refused")
            }
            Self::Loopback => f.write_str("our own hello came back: the line is looped"),
            Self::NoHello => f.write_str("no hello from the other side"),
            Self::OutOfTurn => f.write_str("frame out of turn in the bring-up"),
            Self::Restarted(reason) => write!(f, "a hello after the bring-up: {reason}"),
            Self::UnknownHandle => f.write_str("frame for a handle that nobody opened"),
            Self::WrongState => f.write_str("frame that its circuit's state does not allow"),
            Self::BadOpen => f.write_str("open for a handle that cannot be opened"),
            Self::OverCredit => f.write_str("more bytes than were granted"),
            Self::BadTotal => f.write_str("a running total that no honest peer sends"),
            Self::BadLength => f.write_str("message and fragment lengths that contradict each other"),
            Self::Unresponsive => f.write_str("nothing heard for longer than the dead-time"),
            Self::Noise => f.write_str("bytes arrive, none valid: wrong baud rate?"),
            Self::Unacknowledged => f.write_str("nothing is acknowledged any more"),
            Self::Goodbye(reason) => write!(f, "the peer said goodbye: {reason}"),
            Self::TurnedAway(reason) => write!(f, "turned away: {reason}"),
        }
    }
}

impl core::error::Error for Fault {}
