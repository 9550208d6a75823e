//! A board to be shown: firmware in QEMU with its UART on a pty, or the same firmware as a process on a pty.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// How long QEMU may take to say where the UART is.
const START_WAIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(10);
const QEMU: &str = "qemu-system-arm";
const MACHINE: &str = "lm3s6965evb";
/// Runs a program for as long as somebody holds the other end of its standard input: QEMU must not outlive a demo that
/// was killed.
const KEEPER: &str = "\"$@\" </dev/null & read -r _; kill $! 2>/dev/null; wait";
/// QEMU says this and the pty's path.
const REDIRECTED: &str = "char device redirected to ";

/// A board that was started here, and ends with this value.
#[derive(Debug)]
pub struct BoardProcess {
    child: Child,
    port: PathBuf,
    about: String,
    /// How its program is reset.
    reset: Reset,
}

#[derive(Debug)]
enum Reset {
    /// By QEMU's monitor.
    Qmp {
        stream: UnixStream,
        answers: mpsc::Receiver<String>,
        dir: PathBuf,
        /// QEMU looks once a second only for a pty that is open again, so it always is.
        _port: OwnedFd,
    },
    /// By killing the process and starting it again, on the same pty.
    Kill { program: PathBuf, pty: Pty },
}

/// A pseudo-terminal, of which a process has the one end and whoever opens the path the other.
#[derive(Debug)]
struct Pty {
    master: OwnedFd,
    path: PathBuf,
    /// Keeps it up while nobody else has it open.
    _slave: OwnedFd,
}

impl BoardProcess {
    /// Boots firmware for a Cortex-M3 in QEMU.
    ///
    /// # Errors
    ///
    /// A sentence, with what QEMU said itself.
    pub fn emulate(kernel: &Path) -> Result<Self, String> {
        let dir = std::env::temp_dir().join(format!("netchan-demo-{}", std::process::id()));
        fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let socket = dir.join("qmp");
        let mut child = Command::new("sh")
            .args(["-c", KEEPER, "sh", QEMU])
            .args(["-M", MACHINE, "-display", "none", "-monitor", "none", "-serial", "pty", "-qmp"])
            .arg(format!("unix:{},server=on,wait=off", socket.display()))
            .arg("-kernel")
            .arg(kernel)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{QEMU} cannot be started: {error}"))?;
        // Which of the two it uses differs from version to version.
        let (lines, said) = mpsc::channel();
        let outputs: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|it| Box::new(it) as _),
            child.stderr.take().map(|it| Box::new(it) as _),
        ];
        for output in outputs.into_iter().flatten() {
            pass_lines(output, lines.clone());
        }
        drop(lines);
        let mut said_else = String::new();
        let port = loop {
            match said.recv_timeout(START_WAIT) {
                Ok(line) => match line.split_once(REDIRECTED) {
                    Some((_, rest)) => break PathBuf::from(rest.split(' ').next().unwrap_or_default()),
                    None => said_else += &format!(" {line}"),
                },
                Err(_) => {
                    end_kept(&mut child);
                    return Err(format!("{QEMU} does not say where the UART is:{said_else}"));
                }
            }
        };
        let about = format!("a Cortex-M3 in QEMU ({MACHINE}), its UART at {}", port.display());
        let ready = || Ok((connect(&socket)?, open_raw(&port)?));
        match ready() {
            Ok(((stream, answers), _port)) => {
                let reset = Reset::Qmp { stream, answers, dir, _port };
                Ok(Self { child, port, about, reset })
            }
            Err::<_, io::Error>(error) => {
                end_kept(&mut child);
                // It may have said why.
                let words: String = said.try_iter().map(|line| format!("\n{line}")).collect();
                Err(format!("{QEMU}'s monitor: {error}{words}"))
            }
        }
    }

    /// Starts the firmware that was built for this machine.
    ///
    /// # Errors
    ///
    /// A sentence.
    pub fn process(program: &Path) -> Result<Self, String> {
        let pty = Pty::new().map_err(|error| format!("there is no pty: {error}"))?;
        let child = pty.spawn(program)?;
        let port = pty.path.clone();
        let about = format!("the firmware as a process, its line at {}", port.display());
        Ok(Self { child, port, about, reset: Reset::Kill { program: program.to_owned(), pty } })
    }

    /// The port that its line is.
    #[must_use]
    pub fn port(&self) -> &Path {
        &self.port
    }

    /// What it is, for people.
    #[must_use]
    pub fn about(&self) -> &str {
        &self.about
    }

    /// How it is reset, for people.
    #[must_use]
    pub const fn how(&self) -> &'static str {
        match self.reset {
            Reset::Qmp { .. } => "system_reset over QMP",
            Reset::Kill { .. } => "its process killed and started again",
        }
    }

    /// Resets it without a word to its program, and says when.
    ///
    /// # Errors
    ///
    /// A sentence.
    pub fn reset(&mut self) -> Result<Instant, String> {
        let at = Instant::now();
        match &mut self.reset {
            Reset::Qmp { stream, answers, .. } => {
                execute(stream, answers, "system_reset").map_err(|error| format!("QMP: {error}"))?;
            }
            Reset::Kill { program, pty } => {
                let _ = self.child.kill();
                let _ = self.child.wait();
                self.child = pty.spawn(program)?;
            }
        }
        Ok(at)
    }
}

impl Drop for BoardProcess {
    fn drop(&mut self) {
        match &self.reset {
            Reset::Qmp { dir, .. } => {
                end_kept(&mut self.child);
                let _ = fs::remove_dir_all(dir);
            }
            Reset::Kill { .. } => {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
        }
    }
}

/// Ends what [`KEEPER`] keeps.
fn end_kept(child: &mut Child) {
    drop(child.stdin.take());
    let _ = child.wait();
}

impl Pty {
    fn new() -> io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let path = PathBuf::from(ptsname(&master, Vec::new())?.into_string().map_err(io::Error::other)?);
        let slave = open_raw(&path)?;
        Ok(Self { master, path, _slave: slave })
    }

    /// A process whose standard input and output are the wires behind the port.
    fn spawn(&self, program: &Path) -> Result<Child, String> {
        let end = || self.master.try_clone().map(Stdio::from);
        let start = || Command::new(program).stdin(end()?).stdout(end()?).stderr(Stdio::null()).spawn();
        start().map_err(|error| format!("{} cannot be started: {error}", program.display()))
    }
}

/// Gives each line that is read to whoever listens, and reads on when nobody does.
fn pass_lines(from: impl Read + Send + 'static, to: mpsc::Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { return };
            let _ = to.send(line);
        }
    });
}

/// Nobody echoes, also before the port is opened by who wants to talk.
fn open_raw(port: &Path) -> io::Result<OwnedFd> {
    let port = open(port, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    let mut modes = tcgetattr(&port)?;
    modes.make_raw();
    tcsetattr(&port, OptionalActions::Now, &modes)?;
    Ok(port)
}

type Monitor = (UnixStream, mpsc::Receiver<String>);

/// QEMU's monitor, as soon as it listens.
fn connect(socket: &Path) -> io::Result<Monitor> {
    let start = Instant::now();
    let mut stream = loop {
        match UnixStream::connect(socket) {
            Err(_) if start.elapsed() < START_WAIT => thread::sleep(LOOK),
            result => break result?,
        }
    };
    let (lines, answers) = mpsc::channel();
    pass_lines(stream.try_clone()?, lines);
    execute(&mut stream, &answers, "qmp_capabilities")?;
    Ok((stream, answers))
}

/// Events and the greeting come in between.
fn execute(stream: &mut UnixStream, answers: &mpsc::Receiver<String>, command: &str) -> io::Result<()> {
    writeln!(stream, "{{\"execute\":\"{command}\"}}")?;
    loop {
        let line = answers.recv_timeout(START_WAIT).map_err(io::Error::other)?;
        if line.contains("\"error\"") {
            return Err(io::Error::other(line));
        }
        if line.contains("\"return\"") {
            return Ok(());
        }
    }
}
