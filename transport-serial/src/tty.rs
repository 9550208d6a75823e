//! A serial port as the runtime uses it: read by one thread, written by another, closed by
//! anybody.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use netchan::host::{BlockingStream, Stream};
use serial2::{KeepSettings, SerialPort, Settings};

use crate::{OpenError, Options, Reset};

/// The longest a call may wait where the system cannot wait for a port and for its closing
/// at a time. Elsewhere a call is made only when the port is ready.
const SLICE: Duration = Duration::from_millis(50);

/// How long a port may still be in use: whoever had it last says its last words first.
const BUSY_WAIT: Duration = Duration::from_millis(400);
/// How often that is looked at.
const BUSY_LOOK: Duration = Duration::from_millis(10);

/// An open port. A clone is another handle to it.
#[derive(Debug, Clone)]
pub(crate) struct Tty {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Gone when it is closed; a call that is under way keeps it for a moment.
    port: Mutex<Option<Arc<SerialPort>>>,
    #[cfg(unix)]
    alarm: Alarm,
}

impl Tty {
    /// Opens the port for this program alone.
    pub(crate) fn open(path: &Path, options: &Options, first: bool) -> Result<Self, OpenError> {
        let failed = |error: io::Error| OpenError::of(path, error);
        let port = open_port(path, options, first)?;
        let shared = Shared {
            port: Mutex::new(Some(Arc::new(port))),
            #[cfg(unix)]
            alarm: Alarm::new().map_err(failed)?,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    fn port(&self) -> io::Result<Arc<SerialPort>> {
        let port = self.shared.port.lock().unwrap_or_else(PoisonError::into_inner);
        port.clone().ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

/// Opens a port for this program alone, as it is to be. Blocks for a moment while its last user lets go of it, and
/// for as long as a reset takes.
pub(crate) fn open_port(path: &Path, options: &Options, first: bool) -> Result<SerialPort, OpenError> {
    let failed = |error: io::Error| OpenError::of(path, error);
    let until = Instant::now() + BUSY_WAIT;
    let port = loop {
        match open_alone(path) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < until => {
                thread::sleep(BUSY_LOOK);
            }
            result => break result.map_err(failed)?,
        }
    };
    prepare(port, options, first).map_err(failed)
}

/// Opens it, and nobody else does. Its settings are not touched before it is ours.
fn open_alone(path: &Path) -> io::Result<SerialPort> {
    let port = SerialPort::open(path, KeepSettings)?;
    claim(&port)?;
    Ok(port)
}

/// Makes the port as it is to be, or lets go of it.
fn prepare(mut port: SerialPort, options: &Options, first: bool) -> io::Result<SerialPort> {
    let mut prepare = || {
        let mut settings = port.get_configuration()?;
        configure(&mut settings, options.baud)?;
        port.set_configuration(&settings)?;
        keep_up(&port)?;
        port.set_read_timeout(SLICE)?;
        port.set_write_timeout(SLICE)?;
        if first { reset(&port, options.reset) } else { Ok(()) }
    };
    let result = prepare();
    if result.is_err() {
        release(&port);
    }
    result.map(|()| port)
}

/// Eight data bits, no parity, one stop bit, no flow control, and no byte with a meaning.
fn configure(settings: &mut Settings, baud: u32) -> io::Result<()> {
    settings.set_raw();
    settings.set_baud_rate(baud)?;
    settings.set_char_size(serial2::CharSize::Bits8);
    settings.set_stop_bits(serial2::StopBits::One);
    settings.set_parity(serial2::Parity::None);
    settings.set_flow_control(serial2::FlowControl::None);
    Ok(())
}

/// Pulls the line that resets the board, as asked.
fn reset(port: &SerialPort, reset: Reset) -> io::Result<()> {
    match reset {
        Reset::Leave => {}
        Reset::Dtr(time) => {
            port.set_dtr(false)?;
            thread::sleep(time);
            port.set_dtr(true)?;
        }
        Reset::Rts(time) => {
            // On boards with the usual two transistors DTR would choose the boot loader.
            port.set_dtr(false)?;
            port.set_rts(true)?;
            thread::sleep(time);
            port.set_rts(false)?;
        }
    }
    Ok(())
}

/// Nobody else opens the port, and nobody has.
#[cfg(unix)]
fn claim(port: &SerialPort) -> io::Result<()> {
    use rustix::fs::{FlockOperation, flock};

    // The lock holds among programs that ask for it, and for the superuser too; the other one
    // keeps out those that do not ask.
    match flock(port, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(io::ErrorKind::ResourceBusy.into()),
        Err(error) => return Err(error.into()),
    }
    Ok(rustix::termios::ioctl_tiocexcl(port)?)
}

/// The next one may open it, although a thread may still look at it for a moment, or another
/// program holds it.
#[cfg(unix)]
pub(crate) fn release(port: &SerialPort) {
    // Where this fails the port is gone, and nobody is kept out.
    let _ = rustix::termios::ioctl_tiocnxcl(port);
    let _ = rustix::fs::flock(port, rustix::fs::FlockOperation::Unlock);
}

/// The system opens it for one program.
#[cfg(not(unix))]
fn claim(_: &SerialPort) -> io::Result<()> {
    Ok(())
}

/// It is free when it is closed.
#[cfg(not(unix))]
fn release(_: &SerialPort) {}

/// Closing the port does not lower DTR, which resets many boards: neither the end of this
/// program nor a reconnect is a reason to start a board anew.
#[cfg(unix)]
fn keep_up(port: &SerialPort) -> io::Result<()> {
    use rustix::termios::{ControlModes, OptionalActions, tcgetattr, tcsetattr};

    let mut modes = tcgetattr(port)?;
    if modes.control_modes.contains(ControlModes::HUPCL) {
        modes.control_modes.remove(ControlModes::HUPCL);
        tcsetattr(port, OptionalActions::Now, &modes)?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn keep_up(_: &SerialPort) -> io::Result<()> {
    Ok(())
}

impl Stream for Tty {
    fn try_write(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write(bytes, Duration::ZERO)
    }

    fn finish(&self) {}

    fn close(&self) {
        self.shared.close();
    }
}

impl Shared {
    fn close(&self) {
        let port = self.port.lock().unwrap_or_else(PoisonError::into_inner).take();
        #[cfg(unix)]
        self.alarm.ring();
        if let Some(port) = port {
            release(&port);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(unix)]
impl BlockingStream for Tty {
    fn read(&self, into: &mut [u8], limit: Duration) -> io::Result<usize> {
        use rustix::event::PollFlags;

        let port = self.port()?;
        if !self.shared.alarm.wait(&port, PollFlags::IN, limit)? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // Not after it was closed: what comes now is for whoever opens it next.
        self.port()?.read(into)
    }

    fn readable(&self, limit: Duration) -> io::Result<bool> {
        self.shared.alarm.wait(&*self.port()?, rustix::event::PollFlags::IN, limit)
    }

    fn write(&self, bytes: &[IoSlice<'_>], limit: Duration) -> io::Result<usize> {
        let port = self.port()?;
        if !self.shared.alarm.wait(&port, rustix::event::PollFlags::OUT, limit)? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        port.write_vectored(bytes)
    }
}

#[cfg(not(unix))]
impl BlockingStream for Tty {
    fn read(&self, into: &mut [u8], _: Duration) -> io::Result<usize> {
        self.port()?.read(into)
    }

    fn readable(&self, _: Duration) -> io::Result<bool> {
        Ok(true)
    }

    fn write(&self, bytes: &[IoSlice<'_>], _: Duration) -> io::Result<usize> {
        self.port()?.write_vectored(bytes)
    }
}

/// Ends the waits of all threads at once.
#[cfg(unix)]
#[derive(Debug)]
struct Alarm {
    listen: io::PipeReader,
    ring: Mutex<Option<io::PipeWriter>>,
}

#[cfg(unix)]
impl Alarm {
    fn new() -> io::Result<Self> {
        let (listen, ring) = io::pipe()?;
        Ok(Self { listen, ring: Mutex::new(Some(ring)) })
    }

    fn ring(&self) {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Whether the port is ready, or its end is to be read from it.
    fn wait(&self, port: &SerialPort, flags: rustix::event::PollFlags, limit: Duration) -> io::Result<bool> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};

        let limit = Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(limit.subsec_nanos()),
        };
        let mut both = [PollFd::new(port, flags), PollFd::new(&self.listen, PollFlags::IN)];
        match poll(&mut both, Some(&limit)) {
            Ok(_) if !both[1].revents().is_empty() => Err(io::ErrorKind::BrokenPipe.into()),
            Ok(_) => Ok(!both[0].revents().is_empty()),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
