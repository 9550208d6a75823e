//! What is answered to an open: that it is accepted, or that no answer will come.

use super::FrameError;
use super::fields::{Reader, Writer};
use super::open::FINGERPRINTS_MAX;
use super::text::{TYPE_NAME_MAX, cut, has_control};
use crate::proto::{Dead, Place, Reason, Total};

/// The acceptor's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "its fields are the frame's; later ones stand in the tail")]
pub struct Accept {
    /// Index of the chosen fingerprint in the open's list.
    pub which: u8,
    /// Bytes granted to the opener from the start.
    pub credit: u32,
    /// Longest message that the acceptor takes, in bytes.
    pub limit: u32,
}

/// A dead notice. It has no field in which to ask for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "its fields are the frame's; later ones stand in the tail")]
pub struct DeadFrame<'a> {
    /// Reason and place. On the wire, place 0 is the sender of the frame.
    pub dead: Dead,
    /// Values taken at the far end before it died.
    pub taken: Total,
    /// For instance the type that is exported. At most 64 bytes.
    pub detail: &'a str,
}

impl<'a> Reader<'a> {
    pub(crate) fn accept(&mut self) -> Accept {
        let which = self.byte();
        if usize::from(which) >= FINGERPRINTS_MAX {
            self.fail(FrameError::Value);
        }
        Accept { which, credit: self.number(), limit: self.number() }
    }

    pub(crate) fn dead(&mut self) -> DeadFrame<'a> {
        let reason = Reason::new(self.byte());
        let at = match self.number() {
            0 => Place::Peer,
            id => Place::Node(id),
        };
        DeadFrame { dead: Dead { reason, at }, taken: self.total(), detail: self.text(TYPE_NAME_MAX) }
    }
}

impl Writer<'_> {
    pub(super) fn dead(&mut self, dead: &DeadFrame<'_>) -> Result<&mut Self, FrameError> {
        let place = match dead.dead.at {
            Place::Here | Place::Peer => 0,
            Place::Node(id) => id,
        };
        self.byte(dead.dead.reason.get())?.number(place)?.number(dead.taken.get())?;
        // A notice always goes out; a text that cannot is left out.
        let detail = if has_control(dead.detail.as_bytes()) { "" } else { dead.detail };
        self.text(cut(detail, TYPE_NAME_MAX), TYPE_NAME_MAX)
    }
}
