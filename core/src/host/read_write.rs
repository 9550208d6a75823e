//! Any pair of `Read` and `Write` as a stream: pipes, Unix sockets, a program's own standard
//! input and output.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;
use std::io::{self, IoSlice, Read, Write};
use std::sync::mpsc::{Receiver, channel};

use super::stream::{BlockingStream, Stream};
use super::sync::{Builder, Mutex, PoisonError};

/// So long last words may take, before the stream is closed.
const PARTING: Duration = Duration::from_secs(1);

/// A reader and a writer whose calls block for as long as they like.
///
/// The link's own two threads do all reading and writing. A read that blocks cannot be
/// interrupted from here: after the link has ended its reading thread stays until the other
/// side closes, or until `on_close`, given to [`ReadWrite::with_close`], makes the read return.
///
/// What a link says at last, as its hello to a peer of another version, or why it has broken, is written by a thread of its own,
/// which stays as well where the writer does not take it; `on_close` is called when it is written, a second later at the most.
/// Where the writer has not returned from the write before, it is not said.
pub struct ReadWrite {
    reader: Mutex<Box<dyn Read + Send>>,
    /// Gone after the goodbye, so that the other side sees the end.
    writer: Mutex<Option<Box<dyn Write + Send>>>,
    on_close: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// Last words are being written, until nobody sends here any more.
    parting: Mutex<Option<Receiver<()>>>,
}

impl fmt::Debug for ReadWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadWrite")
    }
}

impl ReadWrite {
    /// Of a reader and a writer.
    pub fn new(reader: impl Read + Send + 'static, writer: impl Write + Send + 'static) -> Self {
        Self {
            reader: Mutex::new(Box::new(reader)),
            writer: Mutex::new(Some(Box::new(writer))),
            on_close: Mutex::new(None),
            parting: Mutex::new(None),
        }
    }

    /// With what makes a blocked read return, for instance the shutdown of a socket.
    #[must_use]
    pub fn with_close(self, on_close: impl FnOnce() + Send + 'static) -> Self {
        Self { on_close: Mutex::new(Some(Box::new(on_close))), ..self }
    }
}

impl Stream for ReadWrite {
    fn try_write(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
        // A write may block, so it is left to the thread that may.
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn finish(&self) {
        // A write that is under way holds the lock, and may block for ever: it is left alone.
        if let Ok(mut writer) = self.writer.try_lock() {
            *writer = None;
        }
    }

    fn close(&self) {
        self.finish();
        let Some(on_close) = self.on_close.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        let Some(parting) = self.parting.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return on_close();
        };
        // What it closes may be what the last words go to. Without a thread they may be cut short.
        let close = move |on_close: &Mutex<Option<Box<dyn FnOnce() + Send>>>| {
            if let Some(on_close) = on_close.lock().unwrap_or_else(PoisonError::into_inner).take() {
                on_close();
            }
        };
        let shared = Arc::new(Mutex::new(Some(on_close)));
        let own = Arc::clone(&shared);
        let later = move || {
            let _ = parting.recv_timeout(PARTING);
            close(&own);
        };
        if thread().spawn(later).is_err() {
            close(&shared);
        }
    }

    fn last_words(&self, bytes: &[u8]) -> usize {
        // Nothing else is written behind them.
        let writer = self.writer.try_lock().ok().and_then(|mut writer| writer.take());
        let Some(mut writer) = writer else { return 0 };
        let (is_said, parting) = channel();
        *self.parting.lock().unwrap_or_else(PoisonError::into_inner) = Some(parting);
        let (words, len) = (bytes.to_vec(), bytes.len());
        let say = move || {
            let _ = writer.write_all(&words).and_then(|()| writer.flush());
            drop((writer, is_said));
        };
        if thread().spawn(say).is_ok() { len } else { 0 }
    }
}

fn thread() -> Builder {
    Builder::new().name("netchan-parting".into()).stack_size(64 * 1024)
}

impl BlockingStream for ReadWrite {
    fn read(&self, into: &mut [u8], _: Duration) -> io::Result<usize> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner).read(into)
    }

    fn keeps_limits(&self) -> bool {
        false
    }

    fn readable(&self, _: Duration) -> io::Result<bool> {
        Ok(true)
    }

    fn write(&self, bytes: &[IoSlice<'_>], _: Duration) -> io::Result<usize> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let writer = writer.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let n = writer.write_vectored(bytes)?;
        writer.flush()?;
        Ok(n)
    }
}
