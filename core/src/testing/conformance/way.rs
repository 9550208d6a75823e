//! The way to a specimen, as whoever runs the suite has it.

use alloc::vec::Vec;
use std::io;

use super::super::FaultyLine;
use crate::proto::Instant;

/// Whether there may be more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a stream has ended, or it has not")]
pub enum Flow {
    /// More may come.
    Open,
    /// A stream has ended, behind what came now. A lossy line never ends.
    Ended,
}

/// The way to a specimen: bytes, time, and how to begin anew.
pub trait Way {
    /// What time it is. It may be virtual, and pass in [`step`](Self::step) only.
    fn now(&self) -> Instant;

    /// Writes all of `out`, and appends to `into` what has come. Where nothing has, it waits for some for about a millisecond, and
    /// not for long: the suite keeps its own deadlines by calling this again and again. A specimen that takes nothing must not keep it: after
    /// some seconds that is an error (`ErrorKind::TimedOut`).
    ///
    /// # Errors
    ///
    /// What keeps bytes from being moved at all. That the specimen has closed a stream is no error: it is [`Flow::Ended`], and what
    /// is written after that is lost.
    fn step(&mut self, out: &[u8], into: &mut Vec<u8>) -> io::Result<Flow>;

    /// Makes way for another link, within some seconds. On a stream that is another connection, in place of the last one. On a lossy line there is
    /// nothing to do: the next link is on the same line.
    ///
    /// # Errors
    ///
    /// What keeps a connection from being made.
    fn renew(&mut self) -> io::Result<()>;

    /// Starts the specimen's program again, as a reset does: without a goodbye, and with another boot number. On a stream the present
    /// connection is lost.
    ///
    /// # Errors
    ///
    /// What keeps it from being started. A way that cannot do it has to say so (`ErrorKind::Unsupported`), and the check
    /// that needs it fails.
    fn restart(&mut self) -> io::Result<()>;
}

/// What every hello has, as it is on the wire.
const HELLO: &[u8] = b"nchn";

/// A way over which bytes are lost and altered. The faults are those of its [`line`](Self::line), but that no hello comes once more:
/// one of an earlier moment of the bring-up ends a session by law (`spec/wire.md`, section 12), as a wire that keeps bytes for so long does.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "a way and what is done to it")]
pub struct Faulty<W> {
    /// The way that does not.
    pub way: W,
    /// What is done to what passes: wire 0 leads to the specimen.
    pub line: FaultyLine,
}

impl<W: Way> Way for Faulty<W> {
    fn now(&self) -> Instant {
        self.way.now()
    }

    fn step(&mut self, out: &[u8], into: &mut Vec<u8>) -> io::Result<Flow> {
        let [there, back] = &mut self.line.wires;
        (there.never_again, back.never_again) = (HELLO, HELLO);
        there.push(self.way.now(), out);
        let mut came = Vec::new();
        let flow = self.way.step(&there.pull(self.way.now()), &mut came)?;
        let now = self.way.now();
        back.push(now, &came);
        into.extend_from_slice(&back.pull(now));
        Ok(flow)
    }

    fn renew(&mut self) -> io::Result<()> {
        self.way.renew()
    }

    fn restart(&mut self) -> io::Result<()> {
        self.way.restart()
    }
}
