//! The side that opens a port and finds a board.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ::tokio::task::spawn_blocking;
use netchan::host::Timeout;
use netchan::host::transport::{LineDriver, Redial, Up, start_line_task};
use netchan::{LinkError, Node, Peer, Reconnect};

use super::port;
use crate::open::OPEN_WAIT;
use crate::ports::{Attempt, Search};
use crate::{OpenError, Options, Port, Reset};

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Opens a port and makes a link to the node at its other end, as [`open`](crate::open()) of threads does. The
/// link's task is spawned on the runtime that awaits this.
pub fn open(node: &Node, port: impl Into<Port>) -> Opening {
    Opening {
        plan: Plan {
            node: node.clone(),
            port: port.into(),
            options: Options::new(),
            limit: OPEN_WAIT,
            reconnect: None,
        },
    }
}

/// A port to be opened: awaiting it opens it.
///
/// Dropping the future before it is ready undoes what was begun.
#[must_use = "nothing happens until it is awaited"]
#[derive(Clone)]
pub struct Opening {
    plan: Plan,
}

#[derive(Clone)]
struct Plan {
    node: Node,
    port: Port,
    options: Options,
    limit: Duration,
    reconnect: Option<Reconnect>,
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { node, port, .. } = &self.plan;
        f.debug_struct("Opening").field("node", node).field("port", port).finish_non_exhaustive()
    }
}

impl Opening {
    /// As [`Options::baud`].
    pub fn baud(mut self, baud: u32) -> Self {
        self.plan.options = self.plan.options.baud(baud);
        self
    }

    /// As [`Options::latency`].
    pub fn latency(mut self, latency: Duration) -> Self {
        self.plan.options = self.plan.options.latency(latency);
        self
    }

    /// As [`Options::dead_time`].
    pub fn dead_time(mut self, time: Duration) -> Self {
        self.plan.options = self.plan.options.dead_time(time);
        self
    }

    /// As [`Options::reset`].
    pub fn reset(mut self, reset: Reset) -> Self {
        self.plan.options = self.plan.options.reset(reset);
        self
    }

    /// As [`Options::adopt`].
    pub fn adopt(mut self) -> Self {
        self.plan.options = self.plan.options.adopt();
        self
    }

    /// All options at once.
    pub fn options(mut self, options: Options) -> Self {
        self.plan.options = options;
        self
    }

    /// Gives up the bring-up after `limit`; 5 seconds by default.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.plan.limit = limit;
        self
    }

    /// Makes the link again when it is lost, and so on, in a task of its own on the runtime that awaits this;
    /// otherwise as [`Opening::reconnect`](crate::Opening::reconnect) of threads.
    pub fn reconnect(mut self, how: Reconnect) -> Self {
        self.plan.options = self.plan.options.live_on();
        self.plan.reconnect = Some(how);
        self
    }
}

impl IntoFuture for Opening {
    type Output = Result<Peer, OpenError>;
    type IntoFuture = Boxed<Result<Peer, OpenError>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.plan.run())
    }
}

impl Plan {
    async fn run(self) -> Result<Peer, OpenError> {
        let Self { node, port, options, limit, reconnect } = self;
        let peer = dial(&node, &port, options, limit, true).await?;
        let Some(how) = reconnect else { return Ok(peer) };
        let (mut redial, kept) = Redial::new(&node, peer, how);
        // The task does not keep the node alive.
        drop(node);
        ::tokio::spawn(async move {
            while let Some(node) = redial.due().await {
                match dial(&node, &port, options, limit, false).await {
                    Ok(peer) => {
                        redial.made(peer);
                    }
                    Err(error) => redial.failed(&node, &error),
                }
            }
        });
        Ok(kept)
    }
}

async fn dial(
    node: &Node,
    port: &Port,
    options: Options,
    limit: Duration,
    first: bool,
) -> Result<Peer, OpenError> {
    // Looking for ports reads files.
    let own = port.clone();
    let found = spawn_blocking(move || own.paths());
    let failed = |error| OpenError::Io("the ports".into(), std::io::Error::other(error));
    let mut search = Search::new(port, found.await.map_err(failed)??, options, limit, first)?;
    while let Some(attempt) = search.next() {
        let opened = dial_path(node, options, &attempt).await;
        if let Some(result) = search.look(attempt, opened) {
            return result;
        }
    }
    Err(search.in_vain())
}

async fn dial_path(node: &Node, options: Options, attempt: &Attempt) -> Result<Peer, OpenError> {
    let Attempt { path, line, resets } = attempt;
    let port = port::Port::open(path, options, *resets).await?;
    let failed = |error: LinkError| OpenError::Link(path.clone(), error);
    let (driver, up) = start_line_task(node, port, *line).map_err(failed)?;
    // The line has a deadline of its own for the bring-up, which says what came instead.
    let up = up.timeout(line.hello.saturating_add(Duration::from_secs(1)));
    let (peer, driver) = Raising { driver: Some(driver), up }.await.map_err(failed)?;
    ::tokio::spawn(driver);
    Ok(peer)
}

/// A link during its bring-up. Dropping it takes the link down.
struct Raising {
    driver: Option<LineDriver<port::Port>>,
    up: Timeout<Up>,
}

impl Future for Raising {
    type Output = Result<(Peer, LineDriver<port::Port>), LinkError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(driver) = &mut self.driver {
            // Its end is seen by the other one too.
            let _ = Pin::new(driver).poll(cx);
        }
        let up = std::task::ready!(Pin::new(&mut self.up).poll(cx));
        let driver = self.driver.take().expect("it is taken once, with the result");
        Poll::Ready(up.map(|peer| (peer, driver)))
    }
}
