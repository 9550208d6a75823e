//! A line in memory, and a host's node at its other end, which makes a link of it again whenever one has ended.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use netchan::proto::{Instant, LineConfig};
use netchan::testing::conformance::{Flow, HostSpecimen, Way};
use netchan::testing::{WireEnd, wire};

/// How long a step waits for bytes.
const STEP: Duration = Duration::from_millis(1);
/// A session that the program waits for no longer is looked for again after this time.
const LOOK: Duration = Duration::from_millis(20);

/// The way to a host's node over a line in memory.
pub(crate) struct Line {
    line: LineConfig,
    here: WireEnd,
    there: WireEnd,
    host: Option<Host>,
}

/// A specimen, and the thread that makes its links.
struct Host {
    specimen: Option<HostSpecimen>,
    is_over: Arc<AtomicBool>,
    links: Option<JoinHandle<()>>,
}

impl Host {
    fn start(port: &WireEnd, line: LineConfig) -> Result<Self, String> {
        let dead = Duration::from_millis(line.dead_ms.into());
        let specimen = HostSpecimen::new(dead)?;
        let (node, port) = (specimen.node().clone(), port.clone());
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let links = thread::spawn(move || {
            while !over.load(Ordering::Acquire) {
                let Ok(peer) = port.connect(&node, &line).wait() else { continue };
                HostSpecimen::meet(peer.clone());
                while peer.is_up() && !over.load(Ordering::Acquire) {
                    let _ = peer.down().timeout(LOOK).wait();
                }
            }
        });
        Ok(Self { specimen: Some(specimen), is_over, links: Some(links) })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        self.specimen = None;
        if let Some(links) = self.links.take() {
            let _ = links.join();
        }
    }
}

impl Line {
    pub(crate) fn new(line: LineConfig) -> Self {
        let (here, there) = wire();
        let host = Some(Host::start(&there, line).unwrap());
        Self { line, here, there, host }
    }
}

impl Way for Line {
    fn now(&self) -> Instant {
        self.here.now()
    }

    fn step(&mut self, mut out: &[u8], into: &mut Vec<u8>) -> io::Result<Flow> {
        let mut bytes = [0; 1024];
        loop {
            let n = self.here.write(out);
            out = &out[n..];
            let n = self.here.read(&mut bytes);
            into.extend_from_slice(&bytes[..n]);
            if out.is_empty() {
                break;
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
        self.host = Some(Host::start(&self.there, self.line).map_err(io::Error::other)?);
        Ok(())
    }
}
