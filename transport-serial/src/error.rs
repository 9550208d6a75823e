//! Why there is no link, in words that say what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use netchan::LinkError;
use netchan::proto::Fault;

/// Why a port was not opened, or why there is no link on it. `Debug` says what to do, for a
/// `main` that returns it.
#[non_exhaustive]
pub enum OpenError {
    /// There is no such port.
    NoPort(PathBuf),
    /// This user may not open it.
    NoPermission(PathBuf),
    /// Another program has it open.
    Busy(PathBuf),
    /// It is no serial port, but a file, a terminal without line settings, or the like.
    NotSerial(PathBuf),
    /// The system failed otherwise.
    Io(PathBuf, io::Error),
    /// Nothing that fits is plugged in; what was looked for.
    NotFound(String),
    /// More than one port fits.
    Several(String, Vec<PathBuf>),
    /// No port has the board; what was found on each.
    NoBoard(String, Vec<(PathBuf, String)>),
    /// The port is open, but the bring-up failed, for what came instead of a hello:
    /// nothing or too little ([`Fault::NoHello`]), bytes that are no packets, as with a wrong
    /// baud rate ([`Fault::Noise`]), text ([`Fault::NotNetchan`]), or only what this side has
    /// sent ([`Fault::Loopback`]).
    Link(PathBuf, LinkError),
}

impl OpenError {
    pub(crate) fn of(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::NotFound => Self::NoPort(path),
            io::ErrorKind::PermissionDenied => Self::NoPermission(path),
            io::ErrorKind::ResourceBusy => Self::Busy(path),
            _ if is_not_serial(&error) => Self::NotSerial(path),
            _ => Self::Io(path, error),
        }
    }

    fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoPort(_) | Self::NotFound(_) => {
                "is it plugged in? `netchan_serial::ports()` lists what there is"
            }
            Self::NoPermission(_) => {
                "on Linux: add the user to the group that owns the port, often `dialout`, and log in again"
            }
            Self::Busy(_) => "close the other program: a terminal, a logger, or a modem manager",
            Self::Several(..) => "say which: by its path, or by the serial number of its USB device",
            Self::NoBoard(..) => "is the board running, and is its node's name spelt so?",
            Self::Link(_, LinkError::Fault(Fault::NoHello)) => {
                "is the board powered and running, are RX and TX crossed, is it the right port?"
            }
            Self::Link(_, LinkError::Fault(Fault::Noise)) => "say the baud rate of the board: `.baud(..)`",
            Self::Link(_, LinkError::Fault(Fault::NotNetchan)) => {
                "text comes: a boot loader that waits, or a program without netchan?"
            }
            Self::Link(_, LinkError::Fault(Fault::Loopback)) => "RX and TX of this side are connected",
            Self::NotSerial(_) | Self::Io(..) | Self::Link(..) => return None,
        })
    }
}

#[cfg(unix)]
fn is_not_serial(error: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(error);
    matches!(errno, Some(rustix::io::Errno::NOTTY | rustix::io::Errno::NODEV | rustix::io::Errno::ISDIR))
}

#[cfg(not(unix))]
fn is_not_serial(_: &io::Error) -> bool {
    false
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPort(path) => write!(f, "{}: there is no such port", path.display()),
            Self::NoPermission(path) => write!(f, "{}: no permission to open it", path.display()),
            Self::Busy(path) => write!(f, "{}: another program has it open", path.display()),
            Self::NotSerial(path) => write!(f, "{}: not a serial port", path.display()),
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::NotFound(what) => write!(f, "no serial port of {what}"),
            Self::Several(what, paths) => {
                write!(f, "{what} has several serial ports:")?;
                paths.iter().try_for_each(|path| write!(f, " {}", path.display()))
            }
            Self::NoBoard(name, seen) if seen.is_empty() => {
                write!(f, "no board `{name}`: there is no port to look at")
            }
            Self::NoBoard(name, seen) => {
                write!(f, "no board `{name}`")?;
                seen.iter().try_for_each(|(path, what)| write!(f, "; {}: {what}", path.display()))
            }
            Self::Link(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl fmt::Debug for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.advice() {
            Some(advice) => write!(f, "{self} ({advice})"),
            None => fmt::Display::fmt(self, f),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            Self::Link(_, error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_told_with_what_to_do() {
        let said = |kind: io::ErrorKind| format!("{:?}", OpenError::of(Path::new("/dev/tty1"), kind.into()));
        assert!(
            said(io::ErrorKind::PermissionDenied)
                .starts_with("/dev/tty1: no permission to open it (on Linux")
        );
        assert!(
            said(io::ErrorKind::NotFound).starts_with("/dev/tty1: there is no such port (is it plugged in?")
        );
        assert!(
            said(io::ErrorKind::ResourceBusy).starts_with("/dev/tty1: another program has it open (close")
        );
        assert_eq!(said(io::ErrorKind::TimedOut), "/dev/tty1: timed out");
    }
}
