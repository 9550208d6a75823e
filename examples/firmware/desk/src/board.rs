//! A board that is a child process, and the link to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant as Clock};

use netchan::proto::{Fault, Fingerprints, Instant, LinkConfig, Open, OpenFlags};
use netchan::testing::{Node, Port, Stage, identity};
use netchan_firmware_app::CONFIG;

/// Nothing that is waited for takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The board, and this side's node.
pub(crate) struct Board {
    pub(crate) node: Node,
    program: Vec<String>,
    child: Child,
    input: ChildStdin,
    output: Receiver<Vec<u8>>,
    qmp: Option<String>,
    start: Clock,
    links: u64,
}

impl Board {
    pub(crate) fn boot(program: &[String], qmp: Option<&str>) -> Result<Self, String> {
        let (child, input, output) = spawn(program)?;
        let mut board = Self {
            node: Node::new(LinkConfig::line(identity("desk", 2), CONFIG.line(), 8), 1, Instant::ZERO),
            program: program.to_vec(),
            child,
            input,
            output,
            qmp: qmp.map(str::to_owned),
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

    fn now(&self) -> Instant {
        Instant::from_micros(self.start.elapsed().as_micros() as u64 + 1)
    }

    /// Moves bytes, and waits for some for a moment.
    fn step(&mut self) -> Result<(), String> {
        let now = self.now();
        self.node.tick(now);
        self.node.pump();
        let bytes = self.node.port.transmit_some(1024);
        self.input
            .write_all(&bytes)
            .and_then(|()| self.input.flush())
            .map_err(|error| format!("the board's input: {error}"))?;
        match self.output.recv_timeout(Duration::from_millis(1)) {
            Ok(bytes) => self.node.receive(&bytes),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err("the board's program has ended".into()),
        }
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
            if board.node.port.fault.is_some() {
                board.link();
            }
            board.node.port.is_up().then_some(())
        })
    }

    /// Imports a channel of the board.
    pub(crate) fn import(&mut self, name: &str, flags: OpenFlags, fingerprint: u64) -> Result<usize, String> {
        let (credit, limit) = if flags.has(OpenFlags::RECEIVES) { (1024, 256) } else { (0, 0) };
        let fingerprints = Fingerprints::new(fingerprint, &[]);
        let open =
            Open { flags, wait_ms: 0, credit, limit, values: 0, name, fingerprints, type_name: "desk" };
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
        match &self.qmp {
            Some(socket) => system_reset(socket)?,
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

type Process = (Child, ChildStdin, Receiver<Vec<u8>>);

fn spawn(program: &[String]) -> Result<Process, String> {
    let mut command = Command::new(&program[0]);
    command.args(&program[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{}: {error}", program[0]))?;
    let (Some(input), Some(mut output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("a child without pipes".into());
    };
    let (sender, receiver) = channel();
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

/// QEMU's monitor: a greeting, then an answer to each command.
fn system_reset(socket: &str) -> Result<(), String> {
    let talk = || -> std::io::Result<()> {
        let mut stream = UnixStream::connect(socket)?;
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        lines.next();
        for command in ["qmp_capabilities", "system_reset"] {
            writeln!(stream, "{{\"execute\":\"{command}\"}}")?;
            while let Some(line) = lines.next().transpose()? {
                if line.contains("\"return\"") {
                    break;
                }
            }
        }
        Ok(())
    };
    talk().map_err(|error| format!("{socket}: {error}"))
}
