//! The line in a main loop, over a UART with the traits of embedded-io.

use embedded_io_v0_7::{Read, ReadReady, Write, WriteReady};

use super::hear::CHUNK;
use super::{Driver, Leaving, Quiet};
use crate::proto::Instant;

/// Reads at most so many chunks in one go, so that a line which never rests leaves time for the program.
const READS: usize = 8;

impl Driver<'_> {
    /// Takes what has come in, at most 256 bytes, and writes as much as the UART takes without waiting. Call it
    /// in each turn of the main loop.
    ///
    /// It does not wait, if the UART does what its traits say. A UART that lacks them takes
    /// [`feed`](Driver::feed) and [`drain`](Driver::drain).
    ///
    /// # Errors
    ///
    /// What the UART reports. Bytes that it has lost are sent again, so an error of this kind may be ignored; reading
    /// and writing go on in the next call.
    pub fn poll<U>(&mut self, uart: &mut U, now: Instant) -> Result<(), U::Error>
    where
        U: Read + ReadReady + Write + WriteReady,
    {
        let heard = self.read_from(uart, now);
        // Whatever came of that: who only reads is never heard.
        self.circuits.fill(now);
        let told = self.write_to(uart);
        heard.and(told)
    }

    fn read_from<U: Read + ReadReady>(&mut self, uart: &mut U, now: Instant) -> Result<(), U::Error> {
        let mut bytes = [0; CHUNK];
        for _ in 0..READS {
            if !uart.read_ready()? {
                break;
            }
            let n = uart.read(&mut bytes)?;
            self.feed(bytes.get(..n).unwrap_or_default(), now);
        }
        Ok(())
    }

    fn write_to<U: Write + WriteReady>(&mut self, uart: &mut U) -> Result<(), U::Error> {
        let it = &mut self.circuits;
        // A UART that is ready takes one byte at least: no more leaves the line, for it would have to be kept.
        while uart.write_ready()? {
            let mut byte = [0];
            if it.arq.drain(it.tx, &mut byte, &mut || ()) == 0 {
                break;
            }
            uart.write(&byte)?;
        }
        Ok(())
    }
}

impl Leaving<'_, '_> {
    /// As [`Driver::poll`], until it [is done](Self::is_done).
    ///
    /// # Errors
    ///
    /// What the UART reports.
    pub fn poll<U>(&mut self, uart: &mut U, now: Instant) -> Result<(), U::Error>
    where
        U: Read + ReadReady + Write + WriteReady,
    {
        let heard = self.driver.read_from(uart, now);
        self.fill(now);
        if self.is_done() {
            return heard;
        }
        let told = self.driver.write_to(uart);
        heard.and(told)
    }
}

impl Quiet<'_, '_> {
    /// As [`Driver::poll`], until it [is heard](Self::is_heard).
    ///
    /// # Errors
    ///
    /// What the UART reports.
    pub fn poll<U>(&mut self, uart: &mut U, now: Instant) -> Result<(), U::Error>
    where
        U: Read + ReadReady + Write + WriteReady,
    {
        let heard = self.driver.read_from(uart, now);
        self.fill(now);
        let told = self.driver.write_to(uart);
        heard.and(told)
    }
}
