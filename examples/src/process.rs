//! A station as a child process: started, watched, killed, and never left behind.

use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A station says this and its address when it can be reached.
pub const READY: &str = "listening at ";
/// How long a station may take until it can be reached.
const START_WAIT: Duration = Duration::from_secs(10);
/// How long a station may take to leave in order.
const LEAVE_WAIT: Duration = Duration::from_secs(3);

/// For a child: ends this process when whoever holds the other end of its standard input is gone.
pub fn end_with_stdin() {
    std::thread::spawn(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        std::process::exit(0);
    });
}

/// A station that was started here, and ends with this value at the latest.
#[derive(Debug)]
pub struct StationProcess {
    child: Child,
    /// The child ends when this is closed, so also when this process dies.
    stdin: Option<ChildStdin>,
    address: String,
    started: Instant,
    ready: Instant,
}

impl StationProcess {
    /// Starts the program `station` from beside this one, and waits until it can be reached.
    ///
    /// # Errors
    ///
    /// A sentence, with what the station said itself.
    pub fn start(address: &str) -> Result<Self, String> {
        let path = beside_this("station").map_err(|error| format!("where is this program? {error}"))?;
        let started = Instant::now();
        let mut child = Command::new(&path)
            .args([address, "--child"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("the station ({}) cannot be started: {error}", path.display()))?;
        let (sender, lines) = mpsc::channel();
        let stdout = child.stdout.take();
        std::thread::spawn(move || {
            for line in stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines()) {
                // The reader goes on, so that the station never writes into a full pipe.
                let _ = sender.send(line.unwrap_or_default());
            }
        });
        let stderr = child.stderr.take();
        let stdin = child.stdin.take();
        let mut this = Self { child, stdin, address: String::new(), started, ready: started };
        match lines.recv_timeout(START_WAIT) {
            Ok(line) if line.starts_with(READY) => {
                this.address = line[READY.len()..].trim().to_owned();
                this.ready = Instant::now();
                std::thread::spawn(move || {
                    let _ = stderr.map(|mut stderr| io::copy(&mut stderr, &mut io::sink()));
                });
                Ok(this)
            }
            Ok(line) => Err(format!("the station said `{line}` where `{READY}ADDRESS` was expected")),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                Err(format!("the station is not there after {} s", START_WAIT.as_secs()))
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(this.last_words(stderr)),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// When it could be reached.
    #[must_use]
    pub const fn ready(&self) -> Instant {
        self.ready
    }

    /// How long it took to start.
    #[must_use]
    pub fn start_time(&self) -> Duration {
        self.ready - self.started
    }

    /// Kills it as hard as the system can (SIGKILL), and says when.
    ///
    /// # Errors
    ///
    /// When it could not be killed.
    pub fn kill(&mut self) -> io::Result<Instant> {
        let at = Instant::now();
        self.child.kill()?;
        self.child.wait()?;
        Ok(at)
    }

    /// Whether it ended without being asked to.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Lets it leave by itself.
    pub fn leave(mut self) {
        self.stdin = None;
        let until = Instant::now() + LEAVE_WAIT;
        while self.has_ended().is_none() && Instant::now() < until {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn last_words(&mut self, stderr: Option<ChildStderr>) -> String {
        let mut words = String::new();
        let _ = stderr.map(|stderr| stderr.take(4096).read_to_string(&mut words));
        let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        format!("the station did not start ({status}): {}", words.trim())
    }
}

impl Drop for StationProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that was built with this one.
pub(crate) fn beside_this(name: &str) -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}
