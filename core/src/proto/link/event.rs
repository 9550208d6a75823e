//! What a link tells the node above: events, and answers to its calls.

use crate::proto::Total;
use crate::proto::frame::{DeadFrame, Handle, Head, Open, Part, TreeFrame};
use crate::proto::hello::Hello;

/// What a frame means to the node above. Everything else is settled inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Nothing to do.
    Nothing,
    /// The bring-up is complete.
    Up(Hello<'a>),
    /// Of the tree, from the one who may say it: the parent or a child.
    Tree(TreeFrame<'a>),
    /// The peer asks for a circuit: answer with [`Link::accept`](crate::proto::Link::accept) or [`Link::kill`](crate::proto::Link::kill), now or later.
    Open(Handle, Open<'a>),
    /// Our open was accepted, with this fingerprint of our list.
    Accepted(Handle, u8),
    /// Message bytes; room for them was granted.
    Data(Handle, Part, &'a [u8]),
    /// There is more credit.
    Granted(Handle),
    /// The far end's program has taken this many values in all.
    Taken(Handle, Total),
    /// Call [`Link::taken`](crate::proto::Link::taken) as soon as the program has taken this many values.
    Asked(Handle, Total),
    /// No more values will come. Call [`Link::drained`](crate::proto::Link::drained) when those queued are taken.
    End(Handle),
    /// The peer is through with the circuit in order; all values sent were taken.
    Done(Handle),
    /// No answer will come. Call [`Link::drained`](crate::proto::Link::drained) when the values queued are taken, unless
    /// this side only sent.
    Dead(Handle, DeadFrame<'a>),
    /// The peer opens a circuit for a channel end in the next message: carrier, handle,
    /// ordinal in the message.
    Attach(Handle, Handle, u32, Open<'a>),
}

/// Why nothing can be sent or opened now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Blocked {
    /// Wait for [`Event::Granted`].
    Credit,
    /// An earlier message of this circuit, or our `ACCEPT`, is still to be written: there is
    /// no event for it, so try again after [`Link::control`](crate::proto::Link::control) and [`Link::fragment`](crate::proto::Link::fragment).
    Busy,
    /// Longer than the receiver's limit, in bytes.
    TooLarge(u32),
    /// The circuit is not open, or this side has ended it.
    NotOpen,
    /// No slot is free; `theirs` says whether it is the peer's limit that is reached.
    NoSlot {
        /// The peer allows no more circuits.
        theirs: bool,
    },
    /// The sink has no room for the frame now.
    NoRoom,
    /// A name or length that no frame can carry.
    Invalid,
}

/// How a message goes out.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_enums, reason = "there are these two ways")]
pub enum Start {
    /// Write this head, the message, and the checksum if the link has one, right now.
    Straight(Head),
    /// Keep the message; [`Link::fragment`](crate::proto::Link::fragment) asks for its parts in turn.
    Queued,
}

/// A part of a queued message that is to be written now.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "what a writer needs to know")]
pub struct Fragment {
    /// Whose message.
    pub handle: Handle,
    /// What comes before the bytes.
    pub head: Head,
    /// Where in the message the bytes start.
    pub offset: usize,
    /// How many.
    pub len: usize,
    /// The message is complete with it.
    pub last: bool,
}
