//! One end of a lossy line, with the bytes that its owner lends it.

use alloc::vec;
use alloc::vec::Vec;

use crate::proto::{Fault, Instant, Line, LineConfig, Sink, framing};

/// A line, its buffers and its time.
#[derive(Debug, Clone, Hash)]
pub struct LineEnd {
    /// The line itself.
    pub line: Line,
    now: Instant,
    rx: Vec<u8>,
    tx: Vec<u8>,
}

impl LineEnd {
    /// Before the bring-up.
    pub fn new(config: LineConfig, now: Instant) -> Self {
        let (rx, tx) = (vec![0; config.rx_len()], vec![0; config.tx_len()]);
        Self { line: Line::new(config), now, rx, tx }
    }

    /// For a new link.
    pub fn restart(&mut self, now: Instant) {
        self.line.restart();
        self.now = now;
    }

    /// The next frame in what has come in.
    ///
    /// # Errors
    ///
    /// As [`Line::next`].
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<&[u8]>, Fault> {
        self.line.next(&mut self.rx, input, self.now)
    }

    /// Moves whole records into packets, as many as have room; the rest stays.
    ///
    /// # Panics
    ///
    /// When `records` are none.
    pub fn put_records(&mut self, records: &mut Vec<u8>) {
        let mut at = 0;
        while let Ok(framing::Step::Frame(frame, used)) = framing::next(&records[at..], u32::MAX, None) {
            if !self.put(&records[at..at + used], frame[0] == 0) {
                break;
            }
            at += used;
        }
        records.drain(..at);
    }

    /// Writes one record: whether there was room for it.
    pub fn put(&mut self, record: &[u8], hello: bool) -> bool {
        let mut sink = self.line.sink(&mut self.tx);
        let room = if hello { sink.begin_hello(record.len()) } else { sink.begin(record.len()) };
        if room {
            sink.put(record);
        }
        room
    }

    /// At most so many bytes for the wire.
    pub fn drain(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let mut piece = [0; 64];
            let room = piece.len().min(most - bytes.len());
            let n = self.line.drain(&mut self.tx, &mut piece[..room], self.now);
            bytes.extend_from_slice(&piece[..n]);
            if n < piece.len() {
                return bytes;
            }
        }
    }

    /// What is done next is done at this time.
    pub fn set_time(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Time has passed.
    ///
    /// # Errors
    ///
    /// As [`Line::tick`].
    pub fn tick(&mut self, now: Instant) -> Result<(), Fault> {
        self.set_time(now);
        self.line.tick(now)
    }
}
