//! Which ports there are, and what is plugged into them.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use netchan::host::transport::LineOptions;
use netchan::proto::Name;
use netchan::{LinkError, Peer};
use serial2::SerialPort;

use crate::{OpenError, Options, Reset};

/// The longest time for all attempts.
const LIMIT_MAX: Duration = Duration::from_secs(3600);

/// A serial port of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PortInfo {
    /// What to open.
    pub path: PathBuf,
    /// The USB device behind it, where there is one and the system says so (Linux).
    pub usb: Option<UsbInfo>,
}

/// What a USB device says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct UsbInfo {
    /// The vendor's number.
    pub vendor: u16,
    /// The product's number.
    pub product: u16,
    /// Which of its kind it is.
    pub serial: Option<String>,
    /// Who made it, in words.
    pub vendor_name: Option<String>,
    /// What it is, in words.
    pub product_name: Option<String>,
}

/// Lists the serial ports, sorted by path.
///
/// ```no_run
/// for port in netchan_serial::ports()? {
///     println!("{} {:?}", port.path.display(), port.usb);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// Whatever the system says; a machine without ports is none.
pub fn ports() -> io::Result<Vec<PortInfo>> {
    let paths = match SerialPort::available_ports() {
        Ok(paths) => paths,
        // No drivers, no directory.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    Ok(describe(paths, Path::new("/sys/class/tty")))
}

fn describe(paths: Vec<PathBuf>, devices: &Path) -> Vec<PortInfo> {
    let mut ports: Vec<_> = paths
        .into_iter()
        .map(|path| {
            let usb = path.file_name().and_then(|name| usb_of(&devices.join(name).join("device")));
            PortInfo { path, usb }
        })
        .collect();
    ports.sort_by(|a, b| a.path.cmp(&b.path));
    ports
}

/// The USB device that a device of the system belongs to: some steps up.
fn usb_of(device: &Path) -> Option<UsbInfo> {
    let mut at = device.canonicalize().ok()?;
    let number = |dir: &Path, name: &str| {
        let text = fs::read_to_string(dir.join(name)).ok()?;
        u16::from_str_radix(text.trim(), 16).ok()
    };
    let text = |dir: &Path, name: &str| Some(fs::read_to_string(dir.join(name)).ok()?.trim().to_owned());
    loop {
        if let (Some(vendor), Some(product)) = (number(&at, "idVendor"), number(&at, "idProduct")) {
            return Some(UsbInfo {
                vendor,
                product,
                serial: text(&at, "serial"),
                vendor_name: text(&at, "manufacturer"),
                product_name: text(&at, "product"),
            });
        }
        if !at.pop() {
            return None;
        }
    }
}

/// Which port to open: its path, [`Usb`], or [`Board`]. It is looked for at each attempt, so
/// that a board that was plugged in elsewhere is found again.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Port {
    /// This one.
    Path(PathBuf),
    /// That of a USB device.
    Usb(Usb),
    /// That at whose other end the board says this name.
    Board(Board),
}

impl Port {
    /// Where it may be, one path after the other.
    pub(crate) fn paths(&self) -> Result<Vec<PathBuf>, OpenError> {
        match self {
            Self::Path(path) => Ok(vec![path.clone()]),
            Self::Usb(usb) => {
                let ports = ports().map_err(|error| OpenError::Io("the ports".into(), error))?;
                usb.find(ports).map(|path| vec![path])
            }
            Self::Board(board) => Ok(board.candidates()),
        }
    }
}

/// One attempt after the other until the link to a [`Port`] is up, by threads or tasks.
///
/// A node that is not the one that is looked for is told goodbye at its hello: it opens nothing here, and its lines are not
/// pulled for a reset.
pub(crate) struct Search {
    /// The name of the board that is looked for; without one the first path is the port.
    name: Option<Name>,
    options: Options,
    until: Instant,
    paths: VecDeque<PathBuf>,
    /// Opening resets the board: it is looked for first, and then that port is opened anew.
    resets: bool,
    found: Option<PathBuf>,
    seen: Vec<(PathBuf, String)>,
}

/// A port to be opened.
pub(crate) struct Attempt {
    pub(crate) path: PathBuf,
    /// In which is how long it may take.
    pub(crate) line: LineOptions,
    /// The board is reset, if the options say so.
    pub(crate) resets: bool,
}

impl Search {
    /// For `port`, which may be at `paths`.
    pub(crate) fn new(
        port: &Port,
        paths: Vec<PathBuf>,
        options: Options,
        limit: Duration,
        first: bool,
    ) -> Result<Self, OpenError> {
        let name = match port {
            Port::Board(board) => Some(Name::new(&board.name).map_err(|error| {
                OpenError::Io(board.name.clone().into(), io::Error::new(io::ErrorKind::InvalidInput, error))
            })?),
            _ => None,
        };
        let resets = first && options.reset != Reset::Leave;
        // A limit beyond all clocks is none.
        let until = Instant::now() + limit.min(LIMIT_MAX);
        Ok(Self { name, options, until, paths: paths.into(), resets, found: None, seen: Vec::new() })
    }

    /// What to try now. The time that is left is shared by all that are left.
    pub(crate) fn next(&mut self) -> Option<Attempt> {
        let left = self.until.saturating_duration_since(Instant::now());
        let is_found = self.found.is_some();
        let path = self.found.take().or_else(|| self.paths.pop_front())?;
        let limit = left / u32::try_from(self.paths.len() + 1).unwrap_or(u32::MAX);
        let line = self.options.link().hello(limit);
        Some(match self.name {
            None => Attempt { path, line, resets: self.resets },
            Some(name) if self.resets && !is_found => {
                Attempt { path, line: line.expects(another(name)), resets: false }
            }
            Some(name) => Attempt { path, line: line.expects(name), resets: is_found },
        })
    }

    /// How it went: how the search ends with that, or `None` if it goes on.
    pub(crate) fn look(
        &mut self,
        attempt: Attempt,
        opened: Result<Peer, OpenError>,
    ) -> Option<Result<Peer, OpenError>> {
        let Some(name) = self.name.filter(|_| !attempt.resets) else { return Some(opened) };
        let what = match opened {
            Ok(peer) => return Some(Ok(peer)),
            Err(OpenError::Link(_, LinkError::OtherNode(other))) if other == name => {
                self.paths.clear();
                self.found = Some(attempt.path);
                return None;
            }
            Err(OpenError::Link(_, LinkError::OtherNode(other))) => format!("`{other}`"),
            Err(OpenError::Link(_, error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        self.seen.push((attempt.path, what));
        None
    }

    /// No path is left.
    pub(crate) fn in_vain(self) -> OpenError {
        let name = self.name.map_or_else(String::new, |name| name.as_str().to_owned());
        OpenError::NoBoard(name, self.seen)
    }
}

/// A name that no board has that is called `name`: whoever answers says its own, and is told goodbye.
fn another(name: Name) -> Name {
    if name.as_str().len() == 1 { Name::literal("--") } else { Name::literal("-") }
}

impl From<&str> for Port {
    fn from(path: &str) -> Self {
        Self::Path(path.into())
    }
}

impl From<String> for Port {
    fn from(path: String) -> Self {
        Self::Path(path.into())
    }
}

impl From<&Path> for Port {
    fn from(path: &Path) -> Self {
        Self::Path(path.into())
    }
}

impl From<PathBuf> for Port {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

impl From<Usb> for Port {
    fn from(usb: Usb) -> Self {
        Self::Usb(usb)
    }
}

impl From<Board> for Port {
    fn from(board: Board) -> Self {
        Self::Board(board)
    }
}

/// A USB device.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Usb {
    vendor: u16,
    product: u16,
    serial: Option<String>,
}

impl Usb {
    /// By the numbers of its vendor and product.
    pub const fn new(vendor: u16, product: u16) -> Self {
        Self { vendor, product, serial: None }
    }

    /// And by its serial number, where there may be several.
    pub fn serial(self, serial: &str) -> Self {
        Self { serial: Some(serial.to_owned()), ..self }
    }

    fn fits(&self, usb: &UsbInfo) -> bool {
        let kind = usb.vendor == self.vendor && usb.product == self.product;
        kind && (self.serial.is_none() || self.serial == usb.serial)
    }

    pub(crate) fn find(&self, ports: Vec<PortInfo>) -> Result<PathBuf, OpenError> {
        let fits = |port: &PortInfo| port.usb.as_ref().is_some_and(|usb| self.fits(usb));
        let mut found: Vec<_> = ports.into_iter().filter(fits).map(|port| port.path).collect();
        match found.len() {
            0 => Err(OpenError::NotFound(self.to_string())),
            1 => Ok(found.remove(0)),
            _ => Err(OpenError::Several(self.to_string(), found)),
        }
    }
}

impl std::fmt::Display for Usb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "USB device {:04x}:{:04x}", self.vendor, self.product)?;
        self.serial.as_ref().map_or(Ok(()), |serial| write!(f, " with serial number {serial}"))
    }
}

/// A board by its node's name. Ports are opened one after the other, and those who answer are
/// asked, so a port with another device on it is sent a few bytes: by default only USB
/// devices are. A board that is called otherwise is told goodbye (`Refused`) before it can import
/// anything, and is not reset. All ports share the time that opening may take.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Board {
    pub(crate) name: String,
    among: Option<Vec<PathBuf>>,
}

impl Board {
    /// The board with this name.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), among: None }
    }

    /// Looks at these ports only.
    pub fn among<P: Into<PathBuf>>(self, paths: impl IntoIterator<Item = P>) -> Self {
        Self { among: Some(paths.into_iter().map(P::into).collect()), ..self }
    }

    pub(crate) fn candidates(&self) -> Vec<PathBuf> {
        match &self.among {
            Some(paths) => paths.clone(),
            None => {
                let ports = ports().unwrap_or_default().into_iter();
                ports.filter(|port| port.usb.is_some()).map(|port| port.path).collect()
            }
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// What Linux shows of two adapters of a kind and a plain UART.
    fn system() -> (PathBuf, Vec<PortInfo>) {
        let root = std::env::temp_dir().join(format!("netchan-serial-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            fs::write(path, text).expect("a file");
        };
        for (n, serial) in [(0, "A"), (1, "B")] {
            write(&format!("usb{n}/idVendor"), "0403\n");
            write(&format!("usb{n}/idProduct"), "6001\n");
            write(&format!("usb{n}/serial"), &format!("{serial}\n"));
            write(&format!("usb{n}/product"), "FT232R USB UART\n");
            write(&format!("usb{n}/1-1:1.0/tty/uevent"), "");
            let class = root.join(format!("tty/ttyUSB{n}"));
            fs::create_dir_all(&class).expect("a directory");
            std::os::unix::fs::symlink(root.join(format!("usb{n}/1-1:1.0")), class.join("device"))
                .expect("a link");
        }
        write("tty/ttyS0/device/uevent", "");
        let paths = ["ttyUSB1", "ttyS0", "ttyUSB0"].map(|name| Path::new("/dev").join(name));
        let ports = describe(paths.into(), &root.join("tty"));
        (root, ports)
    }

    #[test]
    fn usb_devices_are_found_by_their_numbers() {
        let (root, ports) = system();
        fs::remove_dir_all(root).expect("it is ours");
        let shown: Vec<_> = ports.iter().map(|port| port.path.to_str()).collect();
        assert_eq!(shown, [Some("/dev/ttyS0"), Some("/dev/ttyUSB0"), Some("/dev/ttyUSB1")]);
        assert_eq!(ports[0].usb, None);
        let usb = ports[1].usb.as_ref().expect("it is one");
        assert_eq!((usb.vendor, usb.product, usb.serial.as_deref()), (0x403, 0x6001, Some("A")));
        assert_eq!(usb.product_name.as_deref(), Some("FT232R USB UART"));

        let one = Usb::new(0x403, 0x6001).serial("B");
        assert_eq!(one.find(ports.clone()).expect("it is there"), Path::new("/dev/ttyUSB1"));
        let several = Usb::new(0x403, 0x6001).find(ports.clone()).expect_err("which?");
        assert!(matches!(&several, OpenError::Several(_, paths) if paths.len() == 2), "{several}");
        let none = Usb::new(0x2e8a, 10).find(ports).expect_err("there is none");
        assert_eq!(none.to_string(), "no serial port of USB device 2e8a:000a");
    }
}
