//! The program `bridge` as a child process, between the board and the dashboard.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use crate::process::beside_this;

/// A bridge that was started here, and ends with this value.
#[derive(Debug)]
pub struct BridgeProcess {
    child: Child,
    lines: mpsc::Receiver<String>,
    /// The child ends when this is closed, so also when this process dies.
    _stdin: Option<ChildStdin>,
}

impl BridgeProcess {
    /// Starts one that has the node at `parent` for parent, and the board at `port` for child.
    ///
    /// # Errors
    ///
    /// A sentence.
    pub fn start(parent: SocketAddr, port: &Path) -> Result<Self, String> {
        let path = beside_this("bridge").map_err(|error| format!("where is this program? {error}"))?;
        let mut child = Command::new(&path)
            .args(["--join", &parent.to_string(), "--child", "--board"])
            .arg(port)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("the bridge ({}) cannot be started: {error}", path.display()))?;
        let (sender, lines) = mpsc::channel();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        thread::spawn(move || {
            let lines = stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines());
            for line in lines.map_while(io::Result::ok) {
                // The reader goes on, so that the bridge never writes into a full pipe.
                let _ = sender.send(line);
            }
        });
        Ok(Self { child, lines, _stdin: stdin })
    }

    /// Its process number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        self.lines.try_recv().ok()
    }

    /// Kills it as hard as the system can (SIGKILL), and says when.
    ///
    /// # Errors
    ///
    /// When it could not be killed.
    pub fn kill(mut self) -> io::Result<Instant> {
        let at = Instant::now();
        self.child.kill()?;
        self.child.wait()?;
        Ok(at)
    }

    /// Whether it ended without being asked to.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for BridgeProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
