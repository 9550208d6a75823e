//! A wire's end with the traits that a UART's driver has.

use embedded_io_v0_7::{Error, ErrorKind, ErrorType, Read, ReadReady, Write, WriteReady};

use super::{WireEnd, WireError};

impl Error for WireError {
    fn kind(&self) -> ErrorKind {
        // Not that of a USB port whose cable is out, which comes back.
        ErrorKind::BrokenPipe
    }
}

impl ErrorType for WireEnd {
    type Error = WireError;
}

/// Blocks until there is a byte, or the line is gone.
impl Read for WireEnd {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, WireError> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if let n @ 1.. = Self::read(self, into) {
                return Ok(n);
            }
            self.has_input()?;
        }
    }
}

/// In real time it rests for up to a millisecond before it says no, so that a main loop in a test does not
/// take all of the processor.
impl ReadReady for WireEnd {
    fn read_ready(&mut self) -> Result<bool, WireError> {
        self.has_input()
    }
}

/// Blocks until there is room.
impl Write for WireEnd {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, WireError> {
        if bytes.is_empty() {
            return Ok(0);
        }
        self.wait_for_room()?;
        Ok(Self::write(self, bytes))
    }

    fn flush(&mut self) -> Result<(), WireError> {
        Ok(())
    }
}

impl WriteReady for WireEnd {
    fn write_ready(&mut self) -> Result<bool, WireError> {
        Ok(self.room() > 0)
    }
}

#[cfg(feature = "embedded-io-async-v0_7")]
mod tasks {
    use core::future::poll_fn;

    use embedded_io_async_v0_7::{Read, Write};

    use super::{WireEnd, WireError};

    impl Read for WireEnd {
        async fn read(&mut self, into: &mut [u8]) -> Result<usize, WireError> {
            if into.is_empty() {
                return Ok(0);
            }
            poll_fn(|cx| self.poll(true, cx.waker())).await?;
            Ok(Self::read(self, into))
        }
    }

    impl Write for WireEnd {
        async fn write(&mut self, bytes: &[u8]) -> Result<usize, WireError> {
            if bytes.is_empty() {
                return Ok(0);
            }
            poll_fn(|cx| self.poll(false, cx.waker())).await?;
            Ok(Self::write(self, bytes))
        }

        async fn flush(&mut self) -> Result<(), WireError> {
            Ok(())
        }
    }
}
