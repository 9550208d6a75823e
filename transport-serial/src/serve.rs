//! The side that waits for whoever opens the other end: a program in a board's place, or a
//! second machine on a null-modem cable.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use netchan::host::transport::{Attempts, Up, on_shutdown, start_line};
use netchan::host::{BlockingStream, Stream, Wait};
use netchan::{LinkError, Node, Reason};

use crate::tty::Tty;
use crate::{OpenError, Options};

/// A served port waits for a hello for as long as this, and then begins anew.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3600);
/// The pause after a session, and before a port is opened again; longer after short sessions.
pub(crate) const PAUSE_MIN: Duration = Duration::from_millis(20);
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Serves a port: links come and go with whoever opens the other end, one at a time. Lives with
/// the node, through any number of sessions, and while the port is gone.
///
/// ```no_run
/// use netchan::{Node, Sender};
/// use netchan_serial as serial;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let node = Node::new("sensor");
/// let mut temperature: Sender<f32> = node.export("temperature")?;
/// serial::serve(&node, "/dev/ttyGS0", serial::Options::new())?;
/// loop {
///     temperature.send(21.5).wait()?;
/// }
/// # }
/// ```
///
/// # Errors
///
/// [`OpenError`] when the port cannot be opened now.
pub fn serve(node: &Node, path: impl AsRef<Path>, options: Options) -> Result<Serving, OpenError> {
    let path = path.as_ref().to_owned();
    let shut = || OpenError::Link(path.clone(), LinkError::Local(Reason::Shutdown));
    let first = Tty::open(&path, &options, true)?;
    let bell = Arc::new(Bell::default());
    let own = Arc::clone(&bell);
    let stop: Arc<dyn Fn() + Send + Sync> = Arc::new(move || own.ring());
    let stop = on_shutdown(node, stop).ok_or_else(shut)?;
    let serving = Serving { path: path.clone(), stop: Arc::downgrade(&stop) };
    let weak = node.downgrade();
    let run = move || {
        // Kept so that the node can reach it.
        let _stop = stop;
        let mut tty = Some(first);
        let mut pause = PAUSE_MIN;
        let mut attempts = Attempts::new(path.display().to_string());
        while !bell.is_rung() {
            let began = Instant::now();
            let opened = tty.take().map_or_else(|| Tty::open(&path, &options, false), Ok);
            if let Err(error) = &opened {
                let Some(node) = weak.upgrade() else { return };
                attempts.failed(&node, error);
            }
            if let Ok(tty) = opened {
                let Some(node) = weak.upgrade() else { return };
                bell.wakes(Some(tty.clone()));
                let line = options.link().hello(PATIENCE);
                let up = start_line(&node, Box::new(tty), line);
                // The node ends with its last handle, and the link with it.
                drop(node);
                let up = up.wait();
                bell.wakes(None);
                if let Ok(peer) = up {
                    attempts.succeeded();
                    // Why it ended is an event of the node.
                    peer.down().wait();
                }
            }
            pause = if began.elapsed() > PAUSE_MAX { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
            bell.pause(pause);
        }
    };
    thread::Builder::new()
        .name("netchan-serve".into())
        .stack_size(256 * 1024)
        .spawn(run)
        .map_err(|error| OpenError::Io("a thread".into(), error))?;
    Ok(serving)
}

/// Makes a link of any reader and writer that may lose and alter bytes, such as
/// [`ReadWrite`](netchan::host::ReadWrite): both sides call it, or the other one is a board.
///
/// Reads and writes may block, but what blocks for ever keeps its thread for ever; see
/// [`ReadWrite::with_close`](netchan::host::ReadWrite::with_close).
pub fn serve_stream(node: &Node, stream: impl BlockingStream, options: Options) -> Wait<Up> {
    start_line(node, Box::new(stream), options.link())
}

/// A served port. Dropping it changes nothing: it lives with the node, or until
/// [`Serving::close`].
#[derive(Clone)]
pub struct Serving {
    path: PathBuf,
    stop: Weak<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Serving").field(&self.path).finish()
    }
}

impl Serving {
    #[cfg(all(unix, feature = "tokio"))]
    pub(crate) fn new(path: PathBuf, stop: &Arc<dyn Fn() + Send + Sync>) -> Self {
        Self { path, stop: Arc::downgrade(stop) }
    }

    /// Which port.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes no further session. A link that stands is not touched.
    pub fn close(&self) {
        if let Some(stop) = self.stop.upgrade() {
            stop();
        }
    }
}

/// Ends pauses, and the wait for a hello.
#[derive(Default)]
struct Bell {
    is_rung: AtomicBool,
    /// The port on which nobody is yet.
    waits: Mutex<Option<Tty>>,
    changed: Condvar,
}

impl Bell {
    fn ring(&self) {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_rung.store(true, Ordering::Release);
        if let Some(tty) = waits.take() {
            tty.close();
        }
        drop(waits);
        self.changed.notify_all();
    }

    fn is_rung(&self) -> bool {
        self.is_rung.load(Ordering::Acquire)
    }

    /// This port is closed when it rings, or has.
    fn wakes(&self, tty: Option<Tty>) {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_rung()
            && let Some(tty) = &tty
        {
            tty.close();
        }
        *waits = tty;
    }

    fn pause(&self, time: Duration) {
        let waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.changed.wait_timeout_while(waits, time, |_| !self.is_rung());
        drop(result.unwrap_or_else(PoisonError::into_inner));
    }
}
