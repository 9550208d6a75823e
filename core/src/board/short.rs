//! A short control frame, put together number by number.

use crate::proto::{CONTROL_DEAD, KIND_CONTROL, KIND_LINK, Reason, varint};

/// A frame, with room for the longest without texts: a DEAD. Before it there is place for its record's length.
///
/// It is aligned as the rest is that is set to zero on a board, so that one of the usual functions for it is linked less.
#[derive(Debug)]
#[repr(C, align(8))]
pub(super) struct Short {
    bytes: [u8; LEN_MAX + Self::MAX_LEN],
    len: usize,
}

/// Longest length of a record, in bytes.
const LEN_MAX: usize = 2;

impl Short {
    /// The longest, in bytes.
    pub(super) const MAX_LEN: usize = 3 * varint::MAX_LEN + 5;

    pub(super) const fn new() -> Self {
        Self { bytes: [0; LEN_MAX + Self::MAX_LEN], len: LEN_MAX }
    }

    /// Its length, in bytes.
    pub(super) const fn len(&self) -> usize {
        self.len - LEN_MAX
    }

    /// The beginning of a record: its length, with so many bytes `more` behind the frame, and the frame.
    pub(super) fn record(&mut self, more: usize) -> &[u8] {
        let len = self.len() + more;
        let long = len >= 0x80;
        let [first, second, ..] = &mut self.bytes;
        *first = len as u8 | 0x80;
        *second = if long { (len >> 7) as u8 } else { len as u8 };
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        if long { bytes } else { bytes.get(1..).unwrap_or_default() }
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
        self.len = LEN_MAX;
        self.number(number << 3 | kind);
    }

    /// A byte as it is.
    #[cfg(feature = "bridge")]
    pub(super) fn byte(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn number(&mut self, value: u32) {
        self.len = varint::put(&mut self.bytes, self.len, value);
    }
}
