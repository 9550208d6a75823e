//! Where a link writes to: the records gather in packets.

use super::Line;
use super::arq::HELLO_AT;
use crate::proto::Sink;

/// Takes records for a [`Line`]; see [`Line::sink`].
#[derive(Debug)]
pub struct LineSink<'l> {
    pub(super) line: &'l mut Line,
    pub(super) tx: &'l mut [u8],
    pub(super) record: Record,
}

/// What becomes of the bytes that are put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    /// They go there in the buffer for packets, up to there, in a record that begins there.
    At { at: usize, end: usize, from: usize },
    /// They are a hello of this length, and so many have come.
    Hello(usize, usize),
    /// They are a hello that nobody waits for.
    Vain,
}

impl Sink for LineSink<'_> {
    fn room(&self) -> usize {
        self.line.arq.room()
    }

    fn begin(&mut self, len: usize) -> bool {
        let at = self.line.arq.record(len, self.tx);
        self.record = at.map_or(Record::Vain, |at| Record::At { at, end: at + len, from: at });
        at.is_some()
    }

    fn begin_hello(&mut self, len: usize) -> bool {
        if self.line.arq.is_confirmed() {
            self.record = Record::Vain;
            return true;
        }
        // One that is being sent keeps its bytes.
        if self.line.arq.is_writing_hello() || HELLO_AT + len > self.tx.len() {
            return false;
        }
        self.record = Record::Hello(len, 0);
        true
    }

    fn put(&mut self, bytes: &[u8]) {
        match self.record {
            Record::At { at, end, from } => {
                if let Some(room) = self.tx.get_mut(at..at + bytes.len()) {
                    room.copy_from_slice(bytes);
                }
                let at = at + bytes.len();
                self.record = Record::At { at, end, from };
                if at == end {
                    // Behind its length, which takes one byte in all that are short.
                    self.line.sent(self.tx.get(from + 1..end).unwrap_or_default());
                }
            }
            Record::Hello(len, have) => {
                let n = bytes.len().min(len - have);
                self.tx[HELLO_AT + have..HELLO_AT + have + n].copy_from_slice(&bytes[..n]);
                self.record = Record::Hello(len, have + n);
                if have + n == len {
                    self.line.say_hello(&self.tx[HELLO_AT..HELLO_AT + len]);
                }
            }
            Record::Vain => {}
        }
    }
}
