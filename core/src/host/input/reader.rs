//! The incoming buffer of a link, and the large message that goes past it.

use alloc::vec::Vec;
use core::time::Duration;
use std::io;

use super::Effects;
use crate::host::link::LinkCell;
use crate::host::stream::BlockingStream;
use crate::message::spare;
use crate::proto::{Handle, framing};

/// Bytes read at a time.
pub(super) const READ_LEN: usize = 256 * 1024;

/// What is read beyond the end of such a message, so that the next one's head comes along.
const SPILL: usize = 4 * 1024;

/// The incoming buffer of a link. Who holds it may read the stream.
pub(crate) struct Reader {
    pub(super) buffer: Vec<u8>,
    pub(super) from: usize,
    pub(super) to: usize,
    /// A large message whose bytes go past the buffer.
    pub(super) large: Option<Large>,
    pub(super) is_up: bool,
    /// Another one is likely to follow, so little is read before its head is known.
    pub(super) expects_large: bool,
    /// Whoever reads goes on at once, if there is more: what passes through may gather until then.
    pub(crate) gathers: bool,
    pub(super) passed: bool,
    pub(super) effects: Effects,
}

/// A large message in one frame, on its way from the stream into a buffer of its own.
pub(super) struct Large {
    pub(super) handle: Handle,
    /// Its length; then there is room for some of what follows.
    len: usize,
    pub(super) bytes: Vec<u8>,
    /// How many of them have come.
    filled: usize,
}

impl Reader {
    pub(crate) const fn new() -> Self {
        Self {
            buffer: Vec::new(),
            from: 0,
            to: 0,
            large: None,
            is_up: false,
            expects_large: false,
            gathers: false,
            passed: false,
            effects: Effects::new(),
        }
    }

    /// Reads from a stream that blocks.
    pub(crate) fn read(&mut self, stream: &dyn BlockingStream, limit: Duration) -> io::Result<usize> {
        let n = stream.read(self.space(), limit)?;
        self.filled(n);
        Ok(n)
    }

    /// Reads what is there.
    pub(crate) fn try_read(&mut self, stream: &dyn BlockingStream) -> io::Result<usize> {
        let n = stream.try_read(self.space())?;
        self.filled(n);
        Ok(n)
    }

    /// Whether what was read last was for other links, all of it or some, since this was asked last.
    pub(crate) const fn has_passed_on(&mut self) -> bool {
        core::mem::replace(&mut self.passed, false)
    }

    /// Whether something that passes through has gathered.
    pub(crate) fn has_gathered(&self) -> bool {
        !self.effects.transits.is_empty()
    }

    /// What has gathered goes on.
    pub(crate) fn pass_on(&mut self, link: &LinkCell) {
        self.effects.run(link);
    }

    /// The large message that is complete; what was read beyond it is in the buffer then.
    pub(super) fn take_large(&mut self) -> Option<Large> {
        let mut large = self.large.take_if(|large| large.filled >= large.len)?;
        let beyond = large.filled - large.len;
        if self.buffer.len() < beyond {
            self.buffer.resize(beyond, 0);
        }
        self.buffer[..beyond].copy_from_slice(&large.bytes[large.len..large.filled]);
        (self.from, self.to) = (0, beyond);
        large.bytes.truncate(large.len);
        Some(large)
    }

    /// The buffer ends in a message of which much is missing: it gets a buffer of its own.
    pub(super) fn begin_large(&mut self) {
        // No longer than a frame may be, and one at a time.
        let Some((handle, len, at)) = framing::begun(&self.buffer[self.from..self.to]) else { return };
        let mut bytes = spare::take_filled(len + SPILL);
        let begun = &self.buffer[self.from + at..self.to];
        bytes[..begun.len()].copy_from_slice(begun);
        let filled = begun.len();
        self.from = self.to;
        self.large = Some(Large { handle, len, bytes, filled });
    }

    /// Where the next bytes go. Never empty.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if let Some(large) = &mut self.large {
            return &mut large.bytes[large.filled..];
        }
        if self.buffer.is_empty() {
            // Small until the peer has shown that it speaks netchan.
            self.buffer.resize(1024, 0);
        }
        if self.from == self.to {
            self.from = 0;
            self.to = 0;
        } else if self.buffer.len() - self.to < self.buffer.len() / 4 {
            self.buffer.copy_within(self.from..self.to, 0);
            self.to -= self.from;
            self.from = 0;
        }
        let most = if self.expects_large { SPILL } else { usize::MAX };
        let end = self.buffer.len().min(self.to.saturating_add(most));
        &mut self.buffer[self.to..end]
    }

    /// `len` bytes were put into [`Reader::space`].
    pub(crate) fn filled(&mut self, len: usize) {
        // No more than there was room for, whatever a stream says.
        match &mut self.large {
            Some(large) => large.filled = large.bytes.len().min(large.filled + len),
            None => self.to = self.buffer.len().min(self.to + len),
        }
    }
}
