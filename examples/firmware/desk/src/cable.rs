//! A board that is a child process, and the cable to it: hosts plug in one after the other, and it may be a bad one.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdin};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant as Clock};

use netchan::host::ReadWrite;
use netchan::host::transport::{LineOptions, start_line};
use netchan::proto::{Instant, LineConfig};
use netchan::testing::{Faults, FaultyLine};
use netchan::{Node, Peer};

use crate::board::{monitor, spawn};
use crate::qmp::Qmp;

/// A board comes up within this, over a bad line too.
const BRING_UP: Duration = Duration::from_secs(10);
/// How often the cable looks at both of its ends.
const LOOK: Duration = Duration::from_millis(1);

/// The board, its monitor, and the cable.
pub(crate) struct Cable {
    child: Child,
    qmp: Qmp,
    /// Of a bad cable: what goes wrong, and the seed of the next one.
    bad: Option<(Faults, u64)>,
    ends: Arc<Mutex<Ends>>,
}

/// What the cable's thread and its owner share.
struct Ends {
    /// The host that is plugged in.
    host: Option<UnixStream>,
    /// Nothing passes.
    is_cut: bool,
    /// What the cable does to the bytes, where it does anything.
    faulty: Option<FaultyLine>,
    /// What the cables before have done.
    faults: u64,
}

impl Cable {
    /// Boots the program, whose monitor listens on `socket`.
    pub(crate) fn boot(program: &[String], socket: &str, bad: Option<(Faults, u64)>) -> Result<Self, String> {
        // One that an earlier run has left behind answers nobody.
        let _ = std::fs::remove_file(socket);
        let (child, input, output) = spawn(program)?;
        let ends = Arc::new(Mutex::new(Ends { host: None, is_cut: false, faulty: None, faults: 0 }));
        let carried = Arc::clone(&ends);
        thread::spawn(move || carry(&carried, input, &output));
        let mut cable = Self { child, qmp: monitor(socket)?, bad, ends };
        // It may have said hello to nobody; from here on somebody hears all of it.
        cable.reset()?;
        Ok(cable)
    }

    /// A host with a cable of its own, in the place of the one before; ready when there is a session. From then on the cable is as
    /// bad as it is: before, it could repeat the board's first hello, which is as that of a board that starts over.
    pub(crate) fn plug(&mut self, node: &Node, line: &LineConfig) -> Result<Peer, String> {
        let plug = || -> std::io::Result<ReadWrite> {
            let (own, hosts) = UnixStream::pair()?;
            own.set_nonblocking(true)?;
            self.ends().plug(own);
            let (reader, writer) = (hosts.try_clone()?, hosts.try_clone()?);
            Ok(ReadWrite::new(reader, writer).with_close(move || {
                let _ = hosts.shutdown(std::net::Shutdown::Both);
            }))
        };
        let stream = plug().map_err(|error| format!("the cable: {error}"))?;
        let up = start_line(node, Box::new(stream), LineOptions::new(*line).hello(BRING_UP));
        let peer = up.wait().map_err(|error| format!("the bring-up: {error}"))?;
        if let Some((faults, seed)) = &mut self.bad {
            lock(&self.ends).faulty = Some(FaultyLine::new(*faults, *seed));
            *seed += 1;
        }
        Ok(peer)
    }

    /// Nothing passes any more, not even a goodbye, until another host is plugged in.
    pub(crate) fn cut(&self) {
        self.ends().is_cut = true;
    }

    /// Resets the board, whose memory outlives it.
    pub(crate) fn reset(&mut self) -> Result<(), String> {
        self.qmp.reset()
    }

    /// How many faults there were.
    pub(crate) fn faults(&self) -> u64 {
        self.ends().faults()
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        lock(&self.ends)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lock(ends: &Mutex<Ends>) -> MutexGuard<'_, Ends> {
    ends.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Carries bytes in both directions, until the board has ended.
fn carry(ends: &Mutex<Ends>, mut board: ChildStdin, from_board: &Receiver<Vec<u8>>) {
    let start = Clock::now();
    loop {
        let bytes = match from_board.recv_timeout(LOOK) {
            Ok(bytes) => bytes,
            Err(RecvTimeoutError::Timeout) => Vec::new(),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let now = Instant::from_micros(start.elapsed().as_micros() as u64 + 1);
        let mut ends = lock(ends);
        let bytes = ends.through(1, bytes, now);
        if let Some(host) = &mut ends.host {
            // A host that has ended, or takes nothing, loses them.
            let _ = host.write_all(&bytes);
        }
        let bytes = ends.read_host();
        let bytes = ends.through(0, bytes, now);
        drop(ends);
        if board.write_all(&bytes).and_then(|()| board.flush()).is_err() {
            return;
        }
    }
}

impl Ends {
    fn plug(&mut self, host: UnixStream) {
        *self = Self { host: Some(host), is_cut: false, faulty: None, faults: self.faults() };
    }

    fn faults(&self) -> u64 {
        let wires = self.faulty.iter().flat_map(|line| &line.wires);
        self.faults + wires.map(|wire| wire.happened.faults()).sum::<u64>()
    }

    fn through(&mut self, wire: usize, mut bytes: Vec<u8>, now: Instant) -> Vec<u8> {
        if self.is_cut {
            bytes.clear();
        }
        let Some(line) = &mut self.faulty else { return bytes };
        line.wires[wire].push(now, &bytes);
        line.wires[wire].pull(now)
    }

    fn read_host(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        let n = match self.host.as_mut().map(|host| host.read(&mut bytes)) {
            Some(Ok(n @ 1..)) => n,
            Some(Err(error)) if error.kind() == ErrorKind::WouldBlock => 0,
            // It has ended.
            _ => {
                self.host = None;
                0
            }
        };
        bytes.truncate(n);
        bytes
    }
}
