//! A stream in memory, and a host's node at its other end.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use netchan::host::BlockingStream;
use netchan::host::transport::{LinkOptions, start_blocking};
use netchan::proto::Instant;
use netchan::testing::Clock;
use netchan::testing::conformance::{Flow, HostSpecimen, Way};

/// How long a step waits for bytes.
const STEP: Duration = Duration::from_millis(1);

/// Bytes in one direction.
#[derive(Clone, Default)]
struct Pipe(Arc<(Mutex<Bytes>, Condvar)>);

#[derive(Default)]
struct Bytes {
    under_way: VecDeque<u8>,
    is_closed: bool,
}

impl Pipe {
    fn close(&self) {
        self.0.0.lock().unwrap().is_closed = true;
        self.0.1.notify_all();
    }

    fn put(&self, from: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut bytes = self.0.0.lock().unwrap();
        if bytes.is_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        from.iter().for_each(|from| bytes.under_way.extend(&from[..]));
        drop(bytes);
        self.0.1.notify_all();
        Ok(from.iter().map(|from| from.len()).sum())
    }

    /// What is there, after a moment if there is nothing; and whether more may come.
    fn look(&self, limit: Duration) -> (Vec<u8>, Flow) {
        let (bytes, changed) = &*self.0;
        let bytes = bytes.lock().unwrap();
        let mut bytes = match bytes.under_way.is_empty() && !bytes.is_closed {
            true => changed.wait_timeout(bytes, limit).unwrap().0,
            false => bytes,
        };
        let flow = if bytes.is_closed { Flow::Ended } else { Flow::Open };
        (bytes.under_way.drain(..).collect(), flow)
    }
}

/// The node's end: reads the one pipe and writes the other one.
struct End {
    from: Pipe,
    to: Pipe,
}

impl netchan::host::Stream for End {
    fn try_write(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        self.to.put(bytes)
    }

    fn finish(&self) {
        self.to.close();
    }

    fn close(&self) {
        self.from.close();
        self.to.close();
    }
}

impl BlockingStream for End {
    fn read(&self, into: &mut [u8], limit: Duration) -> io::Result<usize> {
        if !self.readable(limit)? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.from.0.0.lock().unwrap().under_way.read(into)
    }

    fn readable(&self, limit: Duration) -> io::Result<bool> {
        let (bytes, changed) = &*self.from.0;
        let waits = |bytes: &mut Bytes| bytes.under_way.is_empty() && !bytes.is_closed;
        let (bytes, _) = changed.wait_timeout_while(bytes.lock().unwrap(), limit, waits).unwrap();
        Ok(!bytes.under_way.is_empty() || bytes.is_closed)
    }

    fn write(&self, bytes: &[IoSlice<'_>], _: Duration) -> io::Result<usize> {
        self.to.put(bytes)
    }
}

/// The way to a host's node over streams in memory.
pub(crate) struct Stream {
    specimen: Option<HostSpecimen>,
    dead: Duration,
    clock: Clock,
    there: Pipe,
    back: Pipe,
}

impl Stream {
    pub(crate) fn new(dead: Duration) -> Self {
        let specimen = Some(HostSpecimen::new(dead).unwrap());
        Self { specimen, dead, clock: Clock::real(), there: Pipe::default(), back: Pipe::default() }
    }

    fn close(&self) {
        self.there.close();
        self.back.close();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.close();
    }
}

impl Way for Stream {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn step(&mut self, out: &[u8], into: &mut Vec<u8>) -> io::Result<Flow> {
        // What is written to a stream that has ended is lost.
        let _ = self.there.put(&[IoSlice::new(out)]);
        let (bytes, flow) = self.back.look(STEP);
        into.extend(bytes);
        Ok(flow)
    }

    fn renew(&mut self) -> io::Result<()> {
        self.close();
        (self.there, self.back) = (Pipe::default(), Pipe::default());
        let Some(specimen) = &self.specimen else { return Err(io::ErrorKind::NotConnected.into()) };
        let end = End { from: self.there.clone(), to: self.back.clone() };
        let up = start_blocking(specimen.node(), Box::new(end), LinkOptions::passive());
        thread::spawn(move || up.wait().map(HostSpecimen::meet));
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        // Its end says goodbye, which a reset does not: so the stream is lost before.
        self.close();
        self.specimen = None;
        self.specimen = Some(HostSpecimen::new(self.dead).map_err(io::Error::other)?);
        Ok(())
    }
}
