//! A TCP socket as the blocking runtime uses it: plain reads with a receive timeout, and
//! writes that do not wait although the socket blocks.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use netchan::host::{BlockingStream, Stream};

/// A socket whose timeouts are set only when they change: each is a system call.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    read_timeout_us: AtomicU64,
    write_timeout_us: AtomicU64,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(false)?;
        Ok(Self { stream, read_timeout_us: AtomicU64::new(0), write_timeout_us: AtomicU64::new(0) })
    }

    /// How long the next read may last.
    fn wait_at_most(&self, limit: Duration) -> io::Result<()> {
        let us = micros(limit);
        // A swap would be a locked instruction, for what hardly ever changes.
        if self.read_timeout_us.load(Ordering::Relaxed) != us {
            self.read_timeout_us.store(us, Ordering::Relaxed);
            self.stream.set_read_timeout(Some(Duration::from_micros(us)))?;
        }
        Ok(())
    }
}

fn micros(limit: Duration) -> u64 {
    // Zero would mean: wait for ever.
    u64::try_from(limit.as_micros()).unwrap_or(u64::MAX).max(1000)
}

impl Stream for Socket {
    #[cfg(unix)]
    fn try_write(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};

        // On Apple's systems the standard library has told the socket itself.
        #[cfg(target_vendor = "apple")]
        let flags = SendFlags::DONTWAIT;
        #[cfg(not(target_vendor = "apple"))]
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        Ok(match bytes {
            [one] => send(&self.stream, one, flags)?,
            many => sendmsg(&self.stream, many, &mut SendAncillaryBuffer::default(), flags)?,
        })
    }

    #[cfg(not(unix))]
    fn try_write(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
        // Without a per-call flag the socket would have to stop blocking for its reader
        // too: the writing thread does it all.
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn finish(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    fn close(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl BlockingStream for Socket {
    fn read(&self, into: &mut [u8], limit: Duration) -> io::Result<usize> {
        self.wait_at_most(limit)?;
        (&self.stream).read(into)
    }

    #[cfg(unix)]
    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        use rustix::net::{RecvFlags, recv};

        Ok(recv(&self.stream, into, RecvFlags::DONTWAIT)?.0)
    }

    #[cfg(unix)]
    fn readable(&self, limit: Duration) -> io::Result<bool> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};

        let limit = Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(limit.subsec_nanos()),
        };
        match poll(&mut [PollFd::new(&self.stream, PollFlags::IN)], Some(&limit)) {
            Ok(n) => Ok(n > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(unix))]
    fn readable(&self, limit: Duration) -> io::Result<bool> {
        self.wait_at_most(limit)?;
        match self.stream.peek(&mut [0]) {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn write(&self, bytes: &[IoSlice<'_>], limit: Duration) -> io::Result<usize> {
        let us = micros(limit);
        if self.write_timeout_us.swap(us, Ordering::Relaxed) != us {
            self.stream.set_write_timeout(Some(Duration::from_micros(us)))?;
        }
        (&self.stream).write_vectored(bytes)
    }
}
