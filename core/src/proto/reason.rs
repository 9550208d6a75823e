//! Why no answer will come, and who says so.

use core::fmt;

/// Why a circuit, a call or a link is dead. A number: reasons of later versions pass through.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reason(u8);

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        #[expect(non_upper_case_globals, reason = "they read as the variants of an open enum")]
        impl Reason {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// Every reason known to this version.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// What it means, in words; `None` for a reason of a later version.
            pub const fn text(self) -> Option<&'static str> {
                match self.0 { $($number => Some($text),)* _ => None }
            }

            const fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some(stringify!($name)),)* _ => None }
            }
        }
    };
}

reasons! {
    /// The other side dropped its receiving end.
    HungUp = 1, "the other side hung up";
    /// Closed in order.
    Closed = 27, "closed";
    /// A request was dropped by its server without an answer.
    HandlerGone = 2, "the handler is gone without an answer";
    /// Nothing is exported under this name.
    NoName = 3, "nothing is exported under this name";
    /// The name is exported, but for the same direction, or as another kind of channel.
    WrongDirection = 4, "exported for another direction or kind";
    /// The name is exported with another type.
    TypeDiffers = 5, "exported with another type";
    /// A table or a memory budget is full.
    NoResources = 6, "no room: a table or a budget is full";
    /// An exclusive export has its importer already.
    Busy = 7, "in use by another importer";
    /// Not allowed.
    Refused = 8, "refused";
    /// The message is longer than the receiver's limit.
    TooLarge = 9, "message longer than the receiver's limit";
    /// This importer took too long, and the export does not wait.
    TooSlow = 10, "too slow for an export that does not wait";
    /// A value did not decode as the type that was agreed.
    DecodeFailed = 11, "a value did not decode";
    /// The link broke.
    LinkLost = 12, "the link was lost";
    /// The peer started anew.
    PeerRestarted = 13, "the peer restarted";
    /// The link started anew.
    LinkReset = 14, "the link was reset";
    /// Nothing was heard for longer than the dead-time.
    Unresponsive = 15, "nothing heard for longer than the dead-time";
    /// Bytes arrived that break the protocol.
    Protocol = 16, "the protocol was broken";
    /// The node is shutting down.
    Shutdown = 17, "the node shut down";
    /// The one who asked has given up.
    Cancelled = 18, "cancelled";
    /// The time given has passed.
    Deadline = 19, "the deadline passed";
    /// No way leads to that node.
    NoRoute = 20, "no route";
    /// Too many hops.
    HopLimit = 21, "too many hops";
    /// The node has a parent.
    AlreadyJoined = 28, "this node has a parent already";
    /// The export was withdrawn.
    Withdrawn = 22, "the export was withdrawn";
    /// A newer session of the same peer took over.
    Superseded = 23, "superseded by a newer session";
    /// The node joined another tree and was given a new id.
    Renumbered = 24, "renumbered";
    /// The handler panicked.
    HandlerPanicked = 25, "the handler panicked";
    /// A call was not run, because an earlier one of its chain has failed.
    ChainBroken = 29, "an earlier call of the chain has failed";
    /// A channel end travelled in a message that was never taken.
    NotTaken = 26, "the message that carried this end was not taken";
}

impl Reason {
    /// From the wire.
    pub const fn new(number: u8) -> Self {
        Self(number)
    }

    /// For the wire.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Reason({})", self.0),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text() {
            Some(text) => f.write_str(text),
            None => write!(f, "reason {} of a later version", self.0),
        }
    }
}

/// The node that gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Place {
    /// This node.
    Here,
    /// The neighbour at the other end of the link.
    Peer,
    /// A node further away, by its id in the tree.
    Node(u32),
}

/// No answer will come: the reason, and who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Dead {
    /// Why.
    pub reason: Reason,
    /// Who gave up.
    pub at: Place,
}

impl Dead {
    /// Given up by this node.
    pub const fn here(reason: Reason) -> Self {
        Self { reason, at: Place::Here }
    }

    /// Given up by the neighbour.
    pub const fn peer(reason: Reason) -> Self {
        Self { reason, at: Place::Peer }
    }
}

impl fmt::Display for Dead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Place::Here => write!(f, "dead: {}", self.reason),
            Place::Peer => write!(f, "dead: {} (says the peer)", self.reason),
            Place::Node(id) => write!(f, "dead: {} (says node {id})", self.reason),
        }
    }
}

impl core::error::Error for Dead {}
