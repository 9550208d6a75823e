//! The UART with the traits of embedded-io: what waits sleeps until an interrupt.

use core::convert::Infallible;

use embedded_io::{ErrorType, Read, ReadReady, Write, WriteReady};

use super::{chip, sleep};

/// The board's UART.
#[derive(Debug)]
pub struct Serial {
    /// What was read to see whether there is something.
    next: Option<u8>,
}

impl Serial {
    /// The one that there is.
    pub const fn new() -> Self {
        Self { next: None }
    }
}

impl ErrorType for Serial {
    type Error = Infallible;
}

impl ReadReady for Serial {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        let mut byte = [0];
        if self.next.is_none() && chip::read(&mut byte) == 1 {
            self.next = Some(byte[0]);
        }
        Ok(self.next.is_some())
    }
}

impl Read for Serial {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Infallible> {
        let Some((first, rest)) = out.split_first_mut() else { return Ok(0) };
        while !self.read_ready()? {
            sleep();
        }
        *first = self.next.take().unwrap_or_default();
        Ok(1 + chip::read(rest))
    }
}

impl WriteReady for Serial {
    fn write_ready(&mut self) -> Result<bool, Infallible> {
        Ok(chip::room() > 0)
    }
}

impl Write for Serial {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        if bytes.is_empty() {
            return Ok(0);
        }
        while chip::room() == 0 {
            sleep();
        }
        let n = bytes.len().min(chip::room());
        chip::write(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        while chip::room() < super::TX_ROOM {
            sleep();
        }
        Ok(())
    }
}
