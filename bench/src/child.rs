//! The two processes of a measurement, seen from both sides.
//!
//! A child speaks JSON lines on stdout: a server first `{"port":..}`, then, like a client, `{"figures":{..}}`.
//! It ends when its stdin ends, so that it dies with its parent, and after its deadline, whatever happens.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use crate::job::{Figures, Job};
use crate::machine;
use crate::peers;

/// First argument of a child.
pub(crate) const CHILD: &str = "--child";
/// How long the parent waits beyond a child's own deadline.
const GRACE: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Port(u16),
    Figures(Figures),
    Error(String),
}

/// What a child is started with, as one argument.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    Server(Job),
    Client(Job, u16),
    Bridge(Job, u16),
}

/// Lets the server's client in: says on which port.
#[derive(Debug)]
pub(crate) struct Door(());

impl Door {
    /// Call once the port listens.
    pub(crate) fn open(self, port: u16) -> Result<()> {
        say(&Line::Port(port))
    }
}

/// Runs the child's side; the argument is what the parent gave.
pub(crate) fn main(role: &str) -> Result<()> {
    let role: Role = serde_json::from_str(role).context("reading the role")?;
    let job = match &role {
        Role::Server(job) | Role::Client(job, _) | Role::Bridge(job, _) => job,
    };
    if let Some(core) = job.core {
        machine::pin(core)?;
    }
    machine::allow_many_descriptors();
    die_with_parent();
    die_late(Duration::from_secs(job.deadline_s));
    let peer = peers::find(&job.peer)?;
    let done = match &role {
        Role::Server(job) => peer.serve(job, Door(())),
        Role::Client(job, port) => peer.connect(job, SocketAddr::from((Ipv4Addr::LOCALHOST, *port))),
        Role::Bridge(_, port) => peer.bridge(SocketAddr::from((Ipv4Addr::LOCALHOST, *port)), Door(())),
    };
    match done {
        Ok(figures) => say(&Line::Figures(figures))?,
        Err(error) => say(&Line::Error(format!("{error:#}")))?,
    }
    // What was sent last may still be on its way in threads of the peer: stay until the parent lets go.
    loop {
        thread::park();
    }
}

fn say(line: &Line) -> Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, line)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

fn die_with_parent() {
    thread::spawn(|| {
        let mut byte = [0];
        // Nothing is ever written to it: any return is the end.
        let _ = io::stdin().read(&mut byte);
        std::process::exit(2)
    });
}

fn die_late(deadline: Duration) {
    thread::spawn(move || {
        thread::sleep(deadline);
        let _ = say(&Line::Error(format!("not done within {deadline:?}")));
        std::process::exit(3)
    });
}

/// A running child; killed when dropped.
#[derive(Debug)]
struct Running {
    name: &'static str,
    child: Child,
    lines: Receiver<String>,
    deadline: Instant,
}

impl Running {
    fn start(name: &'static str, role: &Role, deadline_s: u64) -> Result<Self> {
        let exe = std::env::current_exe().context("finding this program")?;
        let mut child = Command::new(exe)
            .arg(CHILD)
            .arg(serde_json::to_string(role)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting the {name}"))?;
        let stdout = child.stdout.take().expect("stdout was piped above");
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(io::Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { name, child, lines, deadline: Instant::now() + Duration::from_secs(deadline_s) + GRACE })
    }

    fn line(&self) -> Result<Line> {
        let name = self.name;
        let left = self.deadline.saturating_duration_since(Instant::now());
        let text = match self.lines.recv_timeout(left) {
            Ok(text) => text,
            Err(RecvTimeoutError::Timeout) => bail!("the {name} did not answer in time"),
            Err(RecvTimeoutError::Disconnected) => bail!("the {name} ended without an answer"),
        };
        match serde_json::from_str(&text) {
            Ok(Line::Error(error)) => Err(anyhow!("{name}: {error}")),
            Ok(line) => Ok(line),
            Err(_) => bail!("the {name} said {text:?}"),
        }
    }

    fn port(&self) -> Result<u16> {
        match self.line()? {
            Line::Port(port) => Ok(port),
            other => bail!("the {} answered {other:?} instead of a port", self.name),
        }
    }

    fn figures(&self) -> Result<Figures> {
        match self.line()? {
            Line::Figures(figures) => Ok(figures),
            other => bail!("the {} answered {other:?} instead of figures", self.name),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What both processes of one measurement reported.
#[derive(Debug)]
pub(crate) struct Both {
    pub(crate) client: Figures,
    pub(crate) server: Figures,
}

/// Runs one measurement; `route` may put something between the client and the server's port.
pub(crate) fn run(job: &Job, route: impl FnOnce(u16) -> Result<u16>) -> Result<Both> {
    let server = Running::start("server", &Role::Server(job.clone()), job.deadline_s)?;
    let port = route(server.port()?)?;
    let bridge = match job.bridged {
        true => Some(Running::start("bridge", &Role::Bridge(job.clone(), port), job.deadline_s)?),
        false => None,
    };
    let port = bridge.as_ref().map_or(Ok(port), Running::port)?;
    let client = Running::start("client", &Role::Client(job.clone(), port), job.deadline_s)?;
    let figures = client.figures();
    // A client's failure is often the server's: tell both.
    let served = match &figures {
        Ok(_) => server.figures(),
        Err(_) => match server.lines.recv_timeout(Duration::from_millis(200)) {
            Ok(text) => Err(anyhow!("server: {text}")),
            Err(_) => Err(anyhow!("the server said nothing")),
        },
    };
    match (figures, served) {
        (Ok(client), Ok(server)) => Ok(Both { client, server }),
        (Err(client), Err(server)) => Err(anyhow!("{client:#}; {server:#}")),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
    }
}
