//! Bytes without message boundaries: `std::io` over a channel of [`Bytes`].

use alloc::vec::Vec;
use std::io::{self, Read, Write};

use super::error::{RecvError, SendCause, SendError};
use super::receiver::Receiver;
use super::sender::Sender;
use super::spec::{End, ExportEnd, Exported, Imported, Spec};
use crate::message::Bytes;

/// How much is gathered before it is sent, in bytes.
const CHUNK: usize = 32 * 1024;

/// Writes bytes; the other end is a [`ByteReader`]. Both are also the two ends of a channel
/// of [`Bytes`], whose message boundaries do not matter here.
///
/// Gathers up to 32 KiB. Dropping it writes what is left, as far as that goes without
/// waiting, and ends in order: call [`flush`](Write::flush) to be sure.
#[derive(Debug)]
pub struct ByteWriter {
    sender: Sender<Bytes>,
    buffer: Vec<u8>,
}

impl ByteWriter {
    /// Over a sender of bytes.
    pub const fn new(sender: Sender<Bytes>) -> Self {
        Self { sender, buffer: Vec::new() }
    }

    fn push(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = Bytes::from(core::mem::take(&mut self.buffer));
        self.sender.send(chunk).wait().map_err(|error| give_back(&mut self.buffer, error))
    }
}

fn give_back(buffer: &mut Vec<u8>, error: SendError<Bytes>) -> io::Error {
    let kind = match error.cause() {
        SendCause::Deadline => io::ErrorKind::TimedOut,
        SendCause::Dead(_) | SendCause::Closed => io::ErrorKind::BrokenPipe,
        _ => io::ErrorKind::Other,
    };
    let told = error.without_value::<()>();
    if let Some(chunk) = error.into_value() {
        *buffer = chunk.into();
    }
    io::Error::new(kind, told)
}

impl Write for ByteWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() >= CHUNK {
            self.push()?;
        }
        let n = bytes.len().min(CHUNK - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.push()
    }
}

impl Drop for ByteWriter {
    fn drop(&mut self) {
        if !self.buffer.is_empty() {
            let chunk = Bytes::from(core::mem::take(&mut self.buffer));
            // What does not go now is counted nowhere else than in the reader's missing end,
            // which is why the docs ask for a flush.
            let _ = self.sender.try_send(chunk);
        }
    }
}

impl End for ByteWriter {
    fn spec() -> Spec {
        Sender::<Bytes>::spec()
    }

    fn imported(end: Imported) -> Self {
        Self::new(Sender::imported(end))
    }
}

impl ExportEnd for ByteWriter {
    fn exported(end: Exported) -> Self {
        Self::new(Sender::exported(end))
    }
}

/// Reads bytes; the other end is a [`ByteWriter`].
///
/// Reading yields 0 at the orderly end, and an error at a loss.
#[derive(Debug)]
pub struct ByteReader {
    receiver: Receiver<Bytes>,
    chunk: Vec<u8>,
    at: usize,
}

impl ByteReader {
    /// Over a receiver of bytes.
    pub const fn new(receiver: Receiver<Bytes>) -> Self {
        Self { receiver, chunk: Vec::new(), at: 0 }
    }
}

impl Read for ByteReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.chunk.len() {
            match self.receiver.recv().named().wait().map_err(|error| (*error, error)) {
                Ok(chunk) => {
                    self.chunk = chunk.into();
                    self.at = 0;
                }
                Err((RecvError::Closed | RecvError::Left { dead: None }, _)) => return Ok(0),
                Err((_, error)) => return Err(io::Error::new(io::ErrorKind::ConnectionAborted, error)),
            }
        }
        let n = into.len().min(self.chunk.len() - self.at);
        into[..n].copy_from_slice(&self.chunk[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

impl End for ByteReader {
    fn spec() -> Spec {
        Receiver::<Bytes>::spec()
    }

    fn imported(end: Imported) -> Self {
        Self::new(Receiver::imported(end))
    }
}

impl ExportEnd for ByteReader {
    fn exported(end: Exported) -> Self {
        Self::new(Receiver::exported(end))
    }
}
