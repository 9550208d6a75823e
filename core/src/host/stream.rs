//! What a transport gives the host runtime: a reliable duplex stream of bytes.

use core::task::Waker;
use core::time::Duration;
use std::io::{self, IoSlice};

use super::error::LinkError;

/// Writing without waiting, and ending. Every transport of the host has it.
///
/// All methods are called from several threads at a time, but never two writes at once.
pub trait Stream: Send + Sync + 'static {
    /// Writes what fits now.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when nothing fits; any other error ends the link.
    fn try_write(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize>;

    /// No more bytes will be written; what was written is still delivered.
    fn finish(&self);

    /// Ends both directions: blocked reads and writes return.
    fn close(&self);

    /// Of a link that has broken: writes what fits now of why it has, before [`close`](Self::close). How many bytes that were, or will be
    /// without any more ado; what is left is lost, unless the link has a task, which tries once more.
    fn last_words(&self, bytes: &[u8]) -> usize {
        self.try_write(&[IoSlice::new(bytes)]).unwrap_or(0)
    }

    /// Whether what was written is out of this program's hands; if not, `waker` is woken when
    /// it is. A link that leaves says goodbye after that.
    fn is_delivered(&self, waker: Option<&Waker>) -> bool {
        let _ = waker;
        true
    }

    /// Whether the peer has heard all of so many notices that this side may be silent; if not, `waker` is
    /// woken when it has. `None` where nothing is lost: what was written arrives.
    fn is_quiet_heard(&self, notices: u32, waker: &Waker) -> Option<bool> {
        let _ = (notices, waker);
        None
    }

    /// Why the link ends, in the light of what the stream has seen. Called under the link's
    /// lock.
    fn explain(&self, error: LinkError) -> LinkError {
        error
    }
}

/// A stream whose reads and writes may block a thread, for at most a given time.
pub trait BlockingStream: Stream {
    /// Reads at least one byte; `Ok(0)` is the end of the stream. What `into` holds before is
    /// of no use to anybody; only what was read may be counted.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) or [`TimedOut`](io::ErrorKind::TimedOut) when the time is over.
    fn read(&self, into: &mut [u8], limit: Duration) -> io::Result<usize>;

    /// Reads what is there, without waiting for it. Where it cannot be known whether a read would wait, nothing is.
    ///
    /// # Errors
    ///
    /// As [`BlockingStream::read`].
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        if !self.keeps_limits() || !self.readable(Duration::ZERO)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.read(into, Duration::from_millis(1))
    }

    /// Whether reads keep to their limit, so that a thread that waits for a value may do the
    /// reading. Where they do not, the link's own thread does it all.
    fn keeps_limits(&self) -> bool {
        true
    }

    /// Whether a read would not wait, after at most `limit`. Takes nothing.
    ///
    /// # Errors
    ///
    /// Whatever makes the stream unusable; the end of the stream counts as readable.
    fn readable(&self, limit: Duration) -> io::Result<bool>;

    /// Writes at least one byte.
    ///
    /// # Errors
    ///
    /// As [`BlockingStream::read`].
    fn write(&self, bytes: &[IoSlice<'_>], limit: Duration) -> io::Result<usize>;
}
