//! Where a link writes to: the records gather in packets.

use super::Line;
use crate::proto::Sink;

/// Takes records for a [`Line`]; see [`Line::sink`].
#[derive(Debug)]
pub struct LineSink<'l> {
    pub(super) line: &'l mut Line,
    pub(super) tx: &'l mut [u8],
    /// Bytes still to come of a hello, or of one that is not needed any more.
    pub(super) hello: Hello,
}

/// What becomes of the bytes that are put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hello {
    /// They are a record of the session.
    Not,
    /// They are a hello of this length, and so many have come.
    Part(usize, usize),
    /// They are a hello that nobody waits for.
    Vain,
}

impl Sink for LineSink<'_> {
    fn room(&self) -> usize {
        if self.line.bring_up.confirmed { self.line.sender.room() } else { 0 }
    }

    fn begin(&mut self, len: usize) -> bool {
        self.hello = Hello::Not;
        // A hello that is still being written is spoilt by this, when nobody needs it any more.
        self.line.bring_up.confirmed && self.line.sender.begin(len)
    }

    fn begin_hello(&mut self, len: usize) -> bool {
        if self.line.bring_up.confirmed {
            self.hello = Hello::Vain;
            return true;
        }
        // One that is being sent keeps its bytes.
        if self.line.writing.is_some() || len > self.tx.len() {
            return false;
        }
        self.hello = Hello::Part(len, 0);
        true
    }

    fn put(&mut self, bytes: &[u8]) {
        match self.hello {
            Hello::Not => {
                let stride = usize::from(self.line.config.packet);
                self.line.sender.put(bytes, self.tx, stride);
            }
            Hello::Part(len, have) => {
                let n = bytes.len().min(len - have);
                self.tx[have..have + n].copy_from_slice(&bytes[..n]);
                self.hello = Hello::Part(len, have + n);
                if have + n == len {
                    self.line.say_hello(&self.tx[..len]);
                }
            }
            Hello::Vain => {}
        }
    }
}
