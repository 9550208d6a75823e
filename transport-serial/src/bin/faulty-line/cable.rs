//! A line between two ports, which can be disturbed and unplugged: ptys, or a pty and a real port.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use netchan::proto;
use netchan::testing::{Faults, FaultyLine};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, fcntl_setfl, open as open_file};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// The longest that the proxy does not look whether a plug has moved.
const LOOK: Duration = Duration::from_millis(5);
/// As much as a UART holds waits for the line; the rest waits in the port.
const FIFO: Duration = Duration::from_millis(2);
/// A port that is gone is looked for again after this time.
const RETRY: Duration = Duration::from_millis(200);

/// A pseudo-terminal: a port for a program, and the wires behind it.
#[derive(Debug)]
pub(crate) struct Pty {
    /// The wires.
    pub(crate) master: OwnedFd,
    /// The port.
    pub(crate) path: PathBuf,
    /// Keeps the wires up while no program has the port open.
    _slave: OwnedFd,
}

impl Pty {
    pub(crate) fn new() -> io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let path = PathBuf::from(ptsname(&master, Vec::new())?.into_string().map_err(io::Error::other)?);
        let slave = open_file(&path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        // Nobody echoes, also before the port is opened.
        let mut modes = tcgetattr(&slave)?;
        modes.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &modes)?;
        fcntl_setfl(&master, OFlags::NONBLOCK)?;
        Ok(Self { master, path, _slave: slave })
    }
}

/// What a plug of the cable is in.
#[derive(Debug)]
enum End {
    Pty(Pty),
    /// A port of this machine.
    Port(OwnedFd),
}

impl End {
    /// Opens a port of this machine, and leaves nothing of it to the terminal's habits.
    fn port(path: &Path, baud: u32) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let port = open_file(path, flags, Mode::empty())?;
        let mut modes = tcgetattr(&port)?;
        modes.make_raw();
        modes.set_speed(baud)?;
        tcsetattr(&port, OptionalActions::Now, &modes)?;
        Ok(Self::Port(port))
    }

    fn fd(&self) -> &OwnedFd {
        match self {
            Self::Pty(pty) => &pty.master,
            Self::Port(port) => port,
        }
    }

    /// What was written to the port; an error when it is gone.
    fn hear(&self) -> io::Result<Vec<u8>> {
        let mut bytes = [0; 4096];
        match rustix::io::read(self.fd(), &mut bytes) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => Ok(bytes[..n].to_vec()),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}

/// A line between two ports, `port(0)` and `port(1)`.
#[derive(Debug)]
pub(crate) struct Cable {
    shared: Arc<Shared>,
    proxy: Option<thread::JoinHandle<()>>,
    /// Dropped to end the proxy.
    alarm: Option<io::PipeWriter>,
}

#[derive(Debug)]
struct Shared {
    /// Where the names of the ports are.
    dir: PathBuf,
    ends: Mutex<[Option<Arc<End>>; 2]>,
    line: Mutex<FaultyLine>,
    epoch: Instant,
    /// A port of this machine at end 1, and its rate.
    port: Option<(PathBuf, u32)>,
}

impl Shared {
    fn now(&self) -> proto::Instant {
        proto::Instant::ZERO + self.epoch.elapsed()
    }

    fn ends(&self) -> MutexGuard<'_, [Option<Arc<End>>; 2]> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self) -> MutexGuard<'_, FaultyLine> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self, end: usize) -> PathBuf {
        self.dir.join(format!("port-{end}"))
    }

    fn plug(&self, end: usize) -> io::Result<()> {
        let plugged = match &self.port {
            Some((path, baud)) if end == 1 => End::port(path, *baud)?,
            _ => {
                let pty = Pty::new()?;
                symlink(&pty.path, self.name(end))?;
                End::Pty(pty)
            }
        };
        self.ends()[end] = Some(Arc::new(plugged));
        Ok(())
    }

    fn unplug(&self, end: usize) {
        // There is no name where there is no pty.
        let _ = fs::remove_file(self.name(end));
        self.ends()[end] = None;
    }
}

impl Cable {
    /// A line with faults, by a seed, that takes no time, between two ptys, or between a pty and a
    /// port of this machine with its rate.
    pub(crate) fn between(faults: Faults, seed: u64, port: Option<(PathBuf, u32)>) -> io::Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("netchan-cable-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(&dir)?;
        let shared = Arc::new(Shared {
            dir,
            ends: Mutex::new([None, None]),
            line: Mutex::new(FaultyLine::new(faults, seed)),
            epoch: Instant::now(),
            port,
        });
        let (listen, alarm) = io::pipe()?;
        // From here on its drop cleans up.
        let mut cable = Self { shared: Arc::clone(&shared), proxy: None, alarm: Some(alarm) };
        shared.plug(0)?;
        shared.plug(1)?;
        cable.proxy = Some(thread::spawn(move || carry(&shared, &listen)));
        Ok(cable)
    }

    /// Both directions.
    pub(crate) fn line(&self) -> MutexGuard<'_, FaultyLine> {
        self.shared.line()
    }

    /// What to open at an end.
    pub(crate) fn port(&self, end: usize) -> PathBuf {
        match &self.shared.port {
            Some((path, _)) if end == 1 => path.clone(),
            _ => self.shared.name(end),
        }
    }

    /// The time of the line.
    #[allow(dead_code, reason = "tests ask for it")]
    pub(crate) fn passed(&self) -> Duration {
        self.shared.epoch.elapsed()
    }

    /// The USB plug of an end is pulled: the port is gone.
    #[allow(dead_code, reason = "tests pull it, the program has its dice")]
    pub(crate) fn unplug(&self, end: usize) {
        self.shared.unplug(end);
    }

    /// And put in again: another port.
    #[allow(dead_code, reason = "tests pull it, the program has its dice")]
    pub(crate) fn plug(&self, end: usize) {
        self.shared.plug(end).expect("a pty and a free name");
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.alarm = None;
        if let Some(proxy) = self.proxy.take() {
            let _ = proxy.join();
        }
        let _ = fs::remove_dir_all(&self.shared.dir);
    }
}

/// The wires: what is written to one port comes out of the other one, as the line lets it.
fn carry(shared: &Shared, alarm: &io::PipeReader) {
    let mut pending = [Vec::new(), Vec::new()];
    // Ends that were unplugged here, and when they are back.
    let mut away: [Option<proto::Instant>; 2] = [None, None];
    loop {
        let now = shared.now();
        let mut next = now + LOOK;
        for (end, back) in away.iter_mut().enumerate() {
            if back.is_some_and(|back| back <= now) {
                // A port of this machine may take longer.
                *back = shared.plug(end).err().map(|_| now + RETRY);
            }
        }
        let ends = shared.ends().clone();
        let mut flags = [PollFlags::empty(); 2];
        for (from, to) in [(0, 1), (1, 0)] {
            let mut line = shared.line();
            let wire = &mut line.wires[from];
            pending[to].extend(wire.pull(now));
            next = next.min(wire.deadline());
            if wire.free_at().since(now) < FIFO {
                flags[from] |= PollFlags::IN;
            }
        }
        for (n, pending) in pending.iter_mut().enumerate() {
            let Some(end) = &ends[n] else {
                pending.clear();
                continue;
            };
            if !pending.is_empty() {
                let written = rustix::io::write(end.fd(), pending).unwrap_or(0);
                pending.drain(..written);
                if !pending.is_empty() {
                    flags[n] |= PollFlags::OUT;
                }
            }
        }
        let left = next.since(shared.now());
        let limit = Timespec { tv_sec: 0, tv_nsec: i64::from(left.subsec_nanos()) };
        let mut fds = vec![PollFd::from_borrowed_fd(alarm.as_fd(), PollFlags::IN)];
        fds.extend(ends.iter().zip(flags).filter_map(|(end, flags)| {
            let fd = end.as_ref()?.fd();
            Some(PollFd::from_borrowed_fd(fd.as_fd(), flags))
        }));
        let _ = poll(&mut fds, Some(&limit));
        if !fds[0].revents().is_empty() {
            return;
        }
        for n in (0..2).filter(|n| flags[*n].contains(PollFlags::IN)) {
            let Some(end) = &ends[n] else { continue };
            let heard = end.hear();
            let mut line = shared.line();
            let now = shared.now();
            let wire = &mut line.wires[n];
            wire.push(now, heard.as_deref().unwrap_or_default());
            let back = wire.unplugged_until;
            drop(line);
            let gone = heard.is_err().then(|| now + RETRY);
            if let Some(back) = (back > now).then_some(back).or(gone)
                && away[n].is_none()
            {
                shared.unplug(n);
                away[n] = Some(back);
            }
        }
    }
}
