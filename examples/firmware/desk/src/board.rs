//! A board that is a child process, and the link to it.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant as Clock};

use netchan::proto::{Fault, Fingerprints, Instant, LinkConfig, Open, OpenFlags};
use netchan::testing::{FaultyLine, Node, Port, Stage, identity};
use netchan_firmware_app::CONFIG;

use crate::qmp::Qmp;

/// Nothing that is waited for takes longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// A board that was started listens to its monitor within this.
const MONITOR_PATIENCE: Duration = Duration::from_secs(5);

/// Pieces of up to 4 KiB that a program is ahead of who reads them.
const CHUNKS: usize = 256;

/// The board, and this side's node.
pub(crate) struct Board {
    pub(crate) node: Node,
    program: Vec<String>,
    child: Child,
    input: ChildStdin,
    output: Receiver<Vec<u8>>,
    qmp: Option<Qmp>,
    /// What the line does to the bytes, where it does anything.
    pub(crate) faulty: Option<FaultyLine>,
    /// Bytes that have come from the board.
    pub(crate) heard: u64,
    start: Clock,
    links: u64,
}

impl Board {
    pub(crate) fn boot(program: &[String], qmp: Option<&str>) -> Result<Self, String> {
        if let Some(socket) = qmp {
            // One that an earlier run has left behind answers nobody.
            let _ = std::fs::remove_file(socket);
        }
        let (child, input, output) = spawn(program)?;
        let qmp = qmp.map(monitor).transpose()?;
        let mut board = Self {
            node: Node::new(LinkConfig::line(identity("desk", 2), CONFIG.line(), 8), 1, Instant::ZERO),
            program: program.to_vec(),
            child,
            input,
            output,
            qmp,
            faulty: None,
            heard: 0,
            start: Clock::now(),
            links: 0,
        };
        board.link();
        Ok(board)
    }

    /// A new link, as after every end of a session.
    fn link(&mut self) {
        self.links += 1;
        let (now, nonce) = (self.now(), self.links << 32 | u64::from(std::process::id()));
        let config = LinkConfig::line(identity("desk", 2), CONFIG.line(), 8);
        let port = Port::on_line(config, *CONFIG.line(), nonce, now);
        self.node = Node::new(config, nonce, now);
        self.node.port = port;
        (self.node.window, self.node.limit) = (1024, 256);
    }

    /// A new link where there is none.
    pub(crate) fn link_again(&mut self) {
        if self.node.port.fault.is_some() {
            self.link();
        }
    }

    /// The monitor of a board that has one.
    pub(crate) fn monitor(&mut self) -> Result<&mut Qmp, String> {
        self.qmp.as_mut().ok_or_else(|| "this board has no monitor: --qmp".into())
    }

    fn now(&self) -> Instant {
        Instant::from_micros(self.start.elapsed().as_micros() as u64 + 1)
    }

    /// Moves bytes, and waits for some for a moment.
    pub(crate) fn step(&mut self) -> Result<(), String> {
        let now = self.now();
        self.node.tick(now);
        self.node.pump();
        let mut bytes = self.node.port.transmit_some(1024);
        if let Some(line) = &mut self.faulty {
            line.wires[0].push(now, &bytes);
            bytes = line.wires[0].pull(now);
        }
        self.input
            .write_all(&bytes)
            .and_then(|()| self.input.flush())
            .map_err(|error| format!("the board's input: {error}"))?;
        let mut bytes = match self.output.recv_timeout(Duration::from_millis(1)) {
            Ok(bytes) => bytes,
            Err(RecvTimeoutError::Timeout) => Vec::new(),
            Err(RecvTimeoutError::Disconnected) => return Err("the board's program has ended".into()),
        };
        self.heard += bytes.len() as u64;
        let now = self.now();
        if let Some(line) = &mut self.faulty {
            line.wires[1].push(now, &bytes);
            bytes = line.wires[1].pull(now);
        }
        self.node.receive(&bytes);
        Ok(())
    }

    /// Goes on until `done` has something. A link that ends is an error, unless it is said that
    /// one is to come.
    pub(crate) fn until<T>(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut Self) -> Option<T>,
    ) -> Result<T, String> {
        let start = Clock::now();
        loop {
            if let Some(result) = done(self) {
                return Ok(result);
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("waited in vain: {what} (fault {:?})", self.node.port.fault));
            }
            self.step()?;
        }
    }

    /// Waits for a link, with a new bring-up where one fails.
    pub(crate) fn up(&mut self) -> Result<(), String> {
        self.until("the bring-up", |board| {
            board.link_again();
            board.node.port.is_up().then_some(())
        })
    }

    /// Imports a channel of the board.
    pub(crate) fn import(&mut self, name: &str, flags: OpenFlags, fingerprint: u64) -> Result<usize, String> {
        let (credit, limit) = if flags.has(OpenFlags::RECEIVES) { (1024, 256) } else { (0, 0) };
        let fingerprints = Fingerprints::new(fingerprint, &[]);
        let open = Open {
            flags,
            wait_ms: 0,
            credit,
            limit,
            values: 0,
            name,
            fingerprints,
            type_name: "desk",
            route: None,
            body: None,
        };
        let id = self.until(name, |board| board.node.open_as(&open).ok())?;
        self.until(name, |board| match board.node.circuits[id].dead {
            Some(dead) => Some(Err(format!("{name}: {dead}"))),
            None => (board.node.circuits[id].stage == Stage::Open).then_some(Ok(id)),
        })?
    }

    /// Waits until the board imports a channel of this side.
    pub(crate) fn imported(&mut self, name: &str) -> Result<usize, String> {
        self.until(name, |board| {
            let is_it =
                |circuit: &netchan::testing::Circuit| circuit.name == name && circuit.stage == Stage::Open;
            board.node.circuits.iter().rposition(is_it)
        })
    }

    /// Resets the board, and waits until the link has noticed: why it ended, and how soon.
    pub(crate) fn reset(&mut self) -> Result<(Fault, Duration), String> {
        let start = Clock::now();
        match &mut self.qmp {
            Some(qmp) => qmp.reset()?,
            None => {
                let _ = self.child.kill();
                let _ = self.child.wait();
                (self.child, self.input, self.output) = spawn(&self.program)?;
            }
        }
        let fault = self.until("the end of the session", |board| board.node.port.fault)?;
        Ok((fault, start.elapsed()))
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program, what it reads, and what it has written.
pub(crate) type Process = (Child, ChildStdin, Receiver<Vec<u8>>);

pub(crate) fn spawn(program: &[String]) -> Result<Process, String> {
    let mut command = Command::new(&program[0]);
    command.args(&program[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{}: {error}", program[0]))?;
    let (Some(input), Some(mut output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("a child without pipes".into());
    };
    // One that never stops to talk waits in its pipe.
    let (sender, receiver) = sync_channel(CHUNKS);
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(n @ 1..) = output.read(&mut bytes) {
            if sender.send(bytes[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    Ok((child, input, receiver))
}

/// The board's monitor, as soon as it is there.
pub(crate) fn monitor(socket: &str) -> Result<Qmp, String> {
    let start = Clock::now();
    loop {
        match Qmp::connect(socket) {
            Err(_) if start.elapsed() < MONITOR_PATIENCE => std::thread::sleep(Duration::from_millis(10)),
            result => return result,
        }
    }
}
