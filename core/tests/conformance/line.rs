//! A line in memory, and a host's node at its other end, which makes a link of it again whenever one has ended.

use std::io;
use std::thread;
use std::time::Duration;

use netchan::proto::{Instant, LineConfig};
use netchan::testing::conformance::{DialingHost, Flow, Way};
use netchan::testing::{WireEnd, wire};

/// How long a step waits for bytes.
const STEP: Duration = Duration::from_millis(1);
/// A node that takes nothing for so long is not going to.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way to a host's node over a line in memory.
pub(crate) struct Line {
    line: LineConfig,
    here: WireEnd,
    there: WireEnd,
    host: Option<DialingHost>,
}

fn host(port: &WireEnd, line: LineConfig) -> io::Result<DialingHost> {
    let (port, dead) = (port.clone(), Duration::from_millis(line.dead_ms.into()));
    DialingHost::start(dead, move |node| port.connect(node, &line).wait().ok()).map_err(io::Error::other)
}

impl Line {
    pub(crate) fn new(line: LineConfig) -> Self {
        let (here, there) = wire();
        let host = Some(host(&there, line).unwrap());
        Self { line, here, there, host }
    }
}

impl Way for Line {
    fn now(&self) -> Instant {
        self.here.now()
    }

    fn step(&mut self, mut out: &[u8], into: &mut Vec<u8>) -> io::Result<Flow> {
        let mut bytes = [0; 1024];
        let start = self.here.now();
        loop {
            let n = self.here.write(out);
            out = &out[n..];
            let n = self.here.read(&mut bytes);
            into.extend_from_slice(&bytes[..n]);
            if out.is_empty() {
                break;
            }
            if self.here.now().since(start) > PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::park_timeout(STEP / 10);
        }
        if into.is_empty() {
            thread::park_timeout(STEP);
            let n = self.here.read(&mut bytes);
            into.extend_from_slice(&bytes[..n]);
        }
        Ok(Flow::Open)
    }

    fn renew(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        // A reset says no goodbye.
        self.there.unplug();
        self.host = None;
        self.there.plug_in();
        self.host = Some(host(&self.there, self.line)?);
        Ok(())
    }
}
