//! How something ends, in a register.

use core::num::NonZeroU16;

use crate::proto::{Dead, Reason};

/// A reason, and whether it was the peer that gave up. A [`Dead`] says the same in twelve bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending(NonZeroU16);

/// So that it is never 0, and a result with it is one number.
const IS: u16 = 0x100;
const BY_PEER: u16 = 0x200;

impl Ending {
    /// The peer has broken the protocol.
    pub(super) const BROKEN: Self = Self::here(Reason::Protocol);

    pub(super) const fn here(reason: Reason) -> Self {
        Self::of(IS | reason.get() as u16)
    }

    pub(super) const fn peer(reason: Reason) -> Self {
        Self::of(IS | BY_PEER | reason.get() as u16)
    }

    const fn of(bits: u16) -> Self {
        match NonZeroU16::new(bits) {
            Some(bits) => Self(bits),
            None => Self(NonZeroU16::MIN),
        }
    }

    pub(super) const fn reason(self) -> Reason {
        Reason::new(self.0.get() as u8)
    }

    pub(super) const fn is_by_peer(self) -> bool {
        self.0.get() & BY_PEER != 0
    }
}

impl From<Ending> for Dead {
    fn from(end: Ending) -> Self {
        if end.is_by_peer() { Self::peer(end.reason()) } else { Self::here(end.reason()) }
    }
}
