//! The conformance suite over TCP: to a host's node that listens, and to one that connects.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use netchan::proto::Instant;
use netchan::testing::Clock;
use netchan::testing::conformance::{ALL, DialingHost, Flow, HostSpecimen, Medium, Specimen, Way};
use netchan_tcp as tcp;

/// The specimens' dead-time: long enough for a machine that is busy, and short enough to be waited for.
const DEAD: Duration = Duration::from_secs(2);
/// How long a step waits for bytes.
const STEP: Duration = Duration::from_millis(1);
/// A node that connects does so again within this; far more than it takes.
const SOON: Duration = Duration::from_secs(10);

/// Puts all checks to it: what failed.
fn failures(way: &mut dyn Way, specimen: &Specimen) -> Vec<String> {
    let run = |check: &netchan::testing::conformance::Check| {
        check.run(way, specimen).err().map(|failure| format!("{}: {failure}", check.name))
    };
    ALL.iter().filter_map(run).collect()
}

/// A connection, as the suite has it.
struct Connection(Option<TcpStream>);

impl Connection {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(STEP))?;
        stream.set_write_timeout(Some(SOON))?;
        Ok(Self(Some(stream)))
    }

    fn step(&mut self, out: &[u8], into: &mut Vec<u8>) -> Flow {
        let Some(stream) = &mut self.0 else { return Flow::Ended };
        // What is written to a stream that has ended is lost.
        let _ = stream.write_all(out);
        let mut bytes = [0; 64 * 1024];
        match stream.read(&mut bytes) {
            Ok(0) => Flow::Ended,
            Ok(n) => {
                into.extend_from_slice(&bytes[..n]);
                Flow::Open
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Flow::Open
            }
            Err(_) => Flow::Ended,
        }
    }

    fn close(&mut self) {
        if let Some(stream) = self.0.take() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// To a node that listens.
struct Listening {
    clock: Clock,
    specimen: Option<HostSpecimen>,
    address: SocketAddr,
    connection: Connection,
}

impl Listening {
    fn new() -> io::Result<Self> {
        let (specimen, address) = listening()?;
        Ok(Self { clock: Clock::real(), specimen: Some(specimen), address, connection: Connection(None) })
    }
}

fn listening() -> io::Result<(HostSpecimen, SocketAddr)> {
    let specimen = HostSpecimen::new(DEAD).map_err(io::Error::other)?;
    let listener = tcp::listen(specimen.node(), "127.0.0.1:0").map_err(io::Error::other)?;
    Ok((specimen, listener.address()))
}

impl Way for Listening {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn step(&mut self, out: &[u8], into: &mut Vec<u8>) -> io::Result<Flow> {
        Ok(self.connection.step(out, into))
    }

    fn renew(&mut self) -> io::Result<()> {
        self.connection.close();
        self.connection = Connection::new(TcpStream::connect(self.address)?)?;
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        // A reset says no goodbye.
        self.connection.close();
        self.specimen = None;
        let (specimen, address) = listening()?;
        (self.specimen, self.address) = (Some(specimen), address);
        Ok(())
    }
}

/// To a node that connects, and does so again whenever its link has ended.
struct Connecting {
    clock: Clock,
    listener: TcpListener,
    host: Option<DialingHost>,
    connection: Connection,
}

fn host(address: SocketAddr) -> io::Result<DialingHost> {
    DialingHost::start(DEAD, move |node| tcp::connect(node, address).wait().ok()).map_err(io::Error::other)
}

impl Connecting {
    fn new() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let host = Some(host(listener.local_addr()?)?);
        Ok(Self { clock: Clock::real(), listener, host, connection: Connection(None) })
    }
}

impl Way for Connecting {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn step(&mut self, out: &[u8], into: &mut Vec<u8>) -> io::Result<Flow> {
        Ok(self.connection.step(out, into))
    }

    fn renew(&mut self) -> io::Result<()> {
        self.connection.close();
        // One that does not connect any more is no reason to wait for ever.
        self.listener.set_nonblocking(true)?;
        let start = self.clock.now();
        let stream = loop {
            match self.listener.accept() {
                Ok((stream, _)) => break stream,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Err(_) if self.clock.now().since(start) > SOON => return Err(io::ErrorKind::TimedOut.into()),
                Err(_) => thread::park_timeout(STEP),
            }
        };
        self.listener.set_nonblocking(false)?;
        stream.set_nonblocking(false)?;
        self.connection = Connection::new(stream)?;
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        let address = self.listener.local_addr()?;
        self.connection.close();
        // Nobody is to wait for an answer of the listener meanwhile.
        self.listener.set_nonblocking(true)?;
        self.host = None;
        while self.listener.accept().is_ok() {}
        self.listener.set_nonblocking(false)?;
        self.host = Some(host(address)?);
        Ok(())
    }
}

#[test]
fn a_host_that_listens_conforms() -> io::Result<()> {
    // Who listens knows its peers by their events only, and so imports nothing here.
    let specimen = Specimen { imports: false, ..Specimen::host(Medium::Stream, DEAD) };
    assert_eq!(failures(&mut Listening::new()?, &specimen), [""; 0]);
    Ok(())
}

#[test]
fn a_host_that_connects_conforms() -> io::Result<()> {
    assert_eq!(failures(&mut Connecting::new()?, &Specimen::host(Medium::Stream, DEAD)), [""; 0]);
    Ok(())
}
