//! The conformance suite over a serial line: to a host's node that has a pty open.
#![cfg(unix)]

mod common;

use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use common::{Pty, Wires, options};
use netchan::Node;
use netchan::proto::{Instant, LineConfig};
use netchan::testing::conformance::{ALL, DialingHost, Faulty, Flow, Medium, Specimen, Way};
use netchan::testing::{Clock, Faults, FaultyLine};
use netchan_serial as serial;

/// As the specimen's port is opened.
const PACKET: u16 = 96;
const LINE: LineConfig = LineConfig::uart(1_000_000, 2, PACKET, 4);
/// How long a step waits for bytes.
const STEP: Duration = Duration::from_millis(1);

/// To a node that has a port open, and opens it again whenever its link has ended.
struct Port {
    clock: Clock,
    pty: Pty,
    host: Option<DialingHost>,
}

fn host(path: &Path) -> io::Result<DialingHost> {
    let (path, dead) = (path.to_owned(), Duration::from_millis(LINE.dead_ms.into()));
    let open =
        move |node: &Node| serial::open(node, path.as_path()).options(options().packet(PACKET)).wait().ok();
    DialingHost::start(dead, open).map_err(io::Error::other)
}

impl Port {
    fn new() -> io::Result<Self> {
        let pty = Pty::new()?;
        let host = Some(host(&pty.path)?);
        Ok(Self { clock: Clock::real(), pty, host })
    }
}

impl Way for Port {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn step(&mut self, out: &[u8], into: &mut Vec<u8>) -> io::Result<Flow> {
        self.pty.say(out);
        let mut came = self.pty.hear();
        if came.is_empty() {
            thread::park_timeout(STEP);
            came = self.pty.hear();
        }
        into.extend(came);
        Ok(Flow::Open)
    }

    fn renew(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.host = None;
        // What it has said at its end is lost, as with a reset.
        self.pty.hear();
        self.host = Some(host(&self.pty.path)?);
        Ok(())
    }
}

/// Puts all checks to it: what failed.
fn failures(way: &mut dyn Way) -> Vec<String> {
    let specimen = Specimen::host(Medium::Line(LINE), Duration::from_millis(LINE.dead_ms.into()));
    let run = |check: &netchan::testing::conformance::Check| {
        check.run(way, &specimen).err().map(|failure| format!("{}: {failure}", check.name))
    };
    ALL.iter().filter_map(run).collect()
}

#[test]
fn a_host_at_a_serial_port_conforms() -> io::Result<()> {
    assert_eq!(failures(&mut Port::new()?), [""; 0]);
    Ok(())
}

#[test]
fn a_host_at_a_bad_serial_line_conforms() -> io::Result<()> {
    let faults = Faults { flip: 4000, burst: 12_000, lose: 6000, insert: 6000, ..Faults::default() };
    let mut way = Faulty { way: Port::new()?, line: FaultyLine::new(faults, 11) };
    assert_eq!(failures(&mut way), [""; 0]);
    Ok(())
}
