//! What a line has seen: for a person who looks for a wrong plug or a wrong baud rate.

use crate::proto::Fault;

/// So many bytes 0 in a row are a BREAK, or a line that is held low.
const BREAK_LEN: u8 = 16;

/// Counters since the line was made or restarted. They wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
#[non_exhaustive]
pub struct LineCounts {
    /// Bytes that came in.
    pub bytes: u32,
    /// Those of them that can be text.
    pub text: u32,
    /// Valid packets that came in.
    pub packets: u32,
    /// Packets that came in broken, or bytes that were none.
    pub broken: u32,
    /// Runs of bytes longer than any packet.
    pub oversize: u32,
    /// Runs of bytes 0.
    pub breaks: u32,
    /// Packets of our own that came back.
    pub echoes: u32,
    /// Packets that came out of turn: copies, or behind a gap.
    pub skipped: u32,
    /// Packets that were sent again.
    pub resent: u32,
    zeros: u8,
}

impl LineCounts {
    pub(super) const NEW: Self = Self {
        bytes: 0,
        text: 0,
        packets: 0,
        broken: 0,
        oversize: 0,
        breaks: 0,
        echoes: 0,
        skipped: 0,
        resent: 0,
        zeros: 0,
    };

    pub(super) const fn byte(&mut self, byte: u8) {
        self.bytes = self.bytes.wrapping_add(1);
        if matches!(byte, b' '..=b'~' | b'\r' | b'\n' | b'\t' | 0x1b) {
            self.text = self.text.wrapping_add(1);
        }
        if byte != 0 {
            self.zeros = 0;
        } else if self.zeros < BREAK_LEN {
            self.zeros += 1;
            if self.zeros == BREAK_LEN {
                self.breaks = self.breaks.wrapping_add(1);
            }
        }
    }

    /// Why no hello came.
    pub(super) const fn explain(&self) -> Fault {
        if self.packets > 0 || self.bytes == 0 {
            Fault::NoHello
        } else if self.echoes > 0 {
            Fault::Loopback
        } else if self.text >= self.bytes - self.bytes / 4 {
            Fault::NotNetchan
        } else {
            Fault::Noise
        }
    }
}
