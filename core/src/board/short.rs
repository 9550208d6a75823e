//! A short control frame, put together number by number.

use crate::proto::{CONTROL_DEAD, KIND_CONTROL, KIND_LINK, Reason, varint};

/// A frame, with room for the longest without texts: an OPEN. All of it are four words, which are set to zero without a call.
#[derive(Debug)]
#[repr(C, align(8))]
pub(super) struct Short {
    bytes: [u8; Self::MAX_LEN],
    len: u8,
}

impl Short {
    /// The longest, in bytes: handle and code of an OPEN 3, its flags 1, the time that it waits 3, its credit and limit 3 each, no
    /// number of values 1, the length of its name 1. A channel's window is below 2^15, and so is a message.
    ///
    /// What passes through a bridge has totals of other nodes, and their ids.
    pub(super) const MAX_LEN: usize = if cfg!(feature = "bridge") { 20 } else { 15 };

    pub(super) const fn new() -> Self {
        Self { bytes: [0; Self::MAX_LEN], len: 0 }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len.into()).unwrap_or_default()
    }

    /// A frame of the link itself.
    pub(super) fn link(&mut self, number: u32) {
        self.head(number, KIND_LINK);
    }

    /// A frame of a circuit: a code of its life, or 0x80 and a kind of its own.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn circuit(&mut self, handle: u8, code: u8) {
        if code & 0x80 == 0 {
            self.head(handle.into(), KIND_CONTROL);
            // No code is longer than a byte.
            self.number(code.into());
        } else {
            self.head(handle.into(), u32::from(code & 7));
        }
    }

    /// A dead notice without a text.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn dead(&mut self, handle: u8, reason: Reason, taken: u32, text_len: usize) {
        self.circuit(handle, CONTROL_DEAD);
        // Of one byte each: reasons of ours, and the place that is here.
        self.number(reason.get().into());
        self.number(0);
        self.number(taken);
        self.number(text_len as u32);
    }

    pub(super) fn head(&mut self, number: u32, kind: u32) {
        self.len = 0;
        self.number(number << 3 | kind);
    }

    /// A byte as it is.
    #[cfg(feature = "bridge")]
    pub(super) fn byte(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(usize::from(self.len)) {
            *place = byte;
            self.len += 1;
        }
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn number(&mut self, value: u32) {
        self.len = varint::put(&mut self.bytes, self.len.into(), value) as u8;
    }
}
