//! Connecting and listening in async programs, written once for all runtimes.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::marker::PhantomData;
use std::net::{SocketAddr, TcpListener};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use netchan::host::transport::{Alarm, Driver, LinkOptions, Lobby, Redial, TaskStream, Up, on_shutdown};
use netchan::host::{Timeout, Wait, WeakNode};
use netchan::{LinkError, Node, Peer, Reconnect};

use crate::connect::{CONNECT_WAIT, Time, at, choose, nothing};
use crate::listen::{ACCEPT_PAUSE, HELLO_WAIT, STRANGERS_MAX};
use crate::{ConnectError, ListenError, Listener, Options};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What differs between runtimes.
pub(crate) trait Runtime: 'static {
    /// A connection.
    type Stream: Send + 'static;
    /// The side of it that the driver uses.
    type Task: TaskStream;
    type Listener: Send + Unpin + 'static;

    fn connect(address: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send;
    fn listener(listener: TcpListener) -> io::Result<Self::Listener>;
    fn poll_accept(listener: &Self::Listener, cx: &mut Context<'_>) -> Poll<io::Result<Self::Stream>>;
    fn peer_address(stream: &Self::Stream) -> Option<SocketAddr>;
    fn start(
        node: &Node,
        stream: Self::Stream,
        options: LinkOptions,
    ) -> Result<(Driver<Self::Task>, Wait<Up>), ConnectError>;
    fn spawn(task: impl Future<Output = ()> + Send + 'static);
}

/// A connection to be made: awaiting it makes it.
///
/// Dropping it before it is ready undoes what was begun.
#[must_use = "nothing happens until it is awaited"]
pub struct Connecting<'a> {
    state: State<'a>,
}

enum State<'a> {
    Ready(Plan<'a>),
    Running(Boxed<'a, Result<Peer, ConnectError>>),
    Done,
}

struct Plan<'a> {
    node: Node,
    resolve: Boxed<'a, io::Result<Vec<SocketAddr>>>,
    options: Options,
    limit: Duration,
    reconnect: Option<Reconnect>,
    run: fn(Self) -> Boxed<'a, Result<Peer, ConnectError>>,
}

impl fmt::Debug for Connecting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connecting")
    }
}

impl<'a> Connecting<'a> {
    pub(crate) fn new<R: Runtime>(
        node: &Node,
        resolve: impl Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a,
        options: Options,
    ) -> Self {
        Self {
            state: State::Ready(Plan {
                node: node.clone(),
                resolve: Box::pin(resolve),
                options,
                limit: CONNECT_WAIT,
                reconnect: None,
                run: |plan| Box::pin(plan.connect::<R>()),
            }),
        }
    }

    /// Gives up after `limit`; 5 seconds by default.
    pub fn timeout(mut self, limit: Duration) -> Self {
        if let State::Ready(plan) = &mut self.state {
            plan.limit = limit;
        }
        self
    }

    /// Makes the link again when it is lost, and so on, in a task of its own on the runtime
    /// that awaits this; otherwise as [`Connecting::reconnect`](crate::Connecting::reconnect)
    /// of threads.
    pub fn reconnect(mut self, how: Reconnect) -> Self {
        if let State::Ready(plan) = &mut self.state {
            // A parent that is dialed again is not lost for good.
            plan.options = plan.options.live_on();
            plan.reconnect = Some(how);
        }
        self
    }
}

impl Future for Connecting<'_> {
    type Output = Result<Peer, ConnectError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Ready(_) = self.state
            && let State::Ready(plan) = std::mem::replace(&mut self.state, State::Done)
        {
            self.state = State::Running((plan.run)(plan));
        }
        let State::Running(running) = &mut self.state else {
            panic!("polled after it was ready");
        };
        let result = running.as_mut().poll(cx);
        if result.is_ready() {
            self.state = State::Done;
        }
        result
    }
}

impl Plan<'_> {
    async fn connect<R: Runtime>(self) -> Result<Peer, ConnectError> {
        let Plan { node, resolve, options, limit, reconnect, .. } = self;
        let time = Time::new(limit);
        let resolved = within(time.left(), resolve).await.unwrap_or_else(|| Err(late()));
        let addresses = choose(resolved.map_err(ConnectError::Io)?, options)?;
        let peer = dial::<R>(&node, &addresses, options, &time).await?;
        let Some(how) = reconnect else { return Ok(peer) };
        let (mut redial, kept) = Redial::new(&node, peer, how);
        // The task does not keep the node alive.
        drop(node);
        R::spawn(async move {
            while let Some(node) = redial.due().await {
                match dial::<R>(&node, &addresses, options, &Time::new(limit)).await {
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

/// Connects to the first of the addresses that answers, with a task for the link.
async fn dial<R: Runtime>(
    node: &Node,
    addresses: &[SocketAddr],
    options: Options,
    time: &Time,
) -> Result<Peer, ConnectError> {
    let mut last = nothing();
    for (n, address) in addresses.iter().copied().enumerate() {
        let share = time.share(addresses.len() - n).unwrap_or_default();
        match within(share, R::connect(address)).await.unwrap_or_else(|| Err(late())) {
            Ok(stream) => {
                let options = options.link(Some(address), true);
                let (driver, up) = R::start(node, stream, options)?;
                let (peer, driver) = Raising { driver: Some(driver), up: up.timeout(time.left()) }
                    .await
                    .map_err(ConnectError::Link)?;
                R::spawn(async {
                    driver.await;
                });
                return Ok(peer);
            }
            Err(error) => last = at(address, error),
        }
    }
    Err(ConnectError::Io(last))
}

fn late() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

/// `None` when the time is over first.
async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut alarm = Alarm::after(limit);
    let mut work = pin!(work);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => Pin::new(&mut alarm).poll(cx).map(|()| None),
    })
    .await
}

/// A link during its bring-up. Dropping it takes the link down.
struct Raising<S: TaskStream> {
    driver: Option<Driver<S>>,
    up: Timeout<Up>,
}

impl<S: TaskStream> Future for Raising<S> {
    type Output = Result<(Peer, Driver<S>), LinkError>;

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

pub(crate) fn listen_on<R: Runtime>(
    node: &Node,
    listener: TcpListener,
    options: Options,
) -> Result<Listener, ListenError> {
    let address = listener.local_addr().map_err(ListenError::Io)?;
    if !options.allows(&address) {
        return Err(ListenError::NotLoopback);
    }
    listener.set_nonblocking(true).map_err(ListenError::Io)?;
    let listener = R::listener(listener).map_err(ListenError::Io)?;
    let stop = Arc::new(Stop::default());
    let own = Arc::clone(&stop);
    let on_stop: Arc<dyn Fn() + Send + Sync> = Arc::new(move || own.close());
    let on_stop = on_shutdown(node, on_stop).ok_or(ListenError::Shutdown)?;
    R::spawn(Accepting::<R> {
        listener,
        node: node.downgrade(),
        options,
        stop,
        on_stop: Arc::clone(&on_stop),
        lobby: Lobby::new(STRANGERS_MAX),
        pause: None,
        runtime: PhantomData,
    });
    Ok(Listener::new(address, &on_stop))
}

/// Ends a task that accepts.
#[derive(Default)]
struct Stop {
    state: Mutex<(bool, Option<Waker>)>,
}

impl Stop {
    fn lock(&self) -> MutexGuard<'_, (bool, Option<Waker>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let waker = {
            let mut state = self.lock();
            state.0 = true;
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether it is closed; registers the task if not.
    fn is_closed(&self, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        let closed = state.0;
        let old = if closed { None } else { state.1.replace(cx.waker().clone()) };
        drop(state);
        drop(old);
        closed
    }
}

struct Accepting<R: Runtime> {
    listener: R::Listener,
    node: WeakNode,
    options: Options,
    stop: Arc<Stop>,
    /// Kept so that the node can reach it.
    on_stop: Arc<dyn Fn() + Send + Sync>,
    lobby: Lobby,
    pause: Option<Alarm>,
    runtime: PhantomData<fn() -> R>,
}

impl<R: Runtime> Future for Accepting<R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let _ = &this.on_stop;
        loop {
            if this.stop.is_closed(cx) {
                return Poll::Ready(());
            }
            if let Some(pause) = &mut this.pause {
                std::task::ready!(Pin::new(pause).poll(cx));
                this.pause = None;
            }
            let accepted = std::task::ready!(R::poll_accept(&this.listener, cx));
            let Some(node) = this.node.upgrade() else { return Poll::Ready(()) };
            match accepted {
                Ok(stream) => welcome::<R>(&node, stream, this.options, &this.lobby),
                // Out of descriptors, for instance: wait for some to be free again.
                Err(_) => this.pause = Some(Alarm::after(ACCEPT_PAUSE)),
            }
        }
    }
}

fn welcome<R: Runtime>(node: &Node, stream: R::Stream, options: Options, lobby: &Lobby) {
    let options = options.link(R::peer_address(&stream), false);
    let Ok((driver, up)) = R::start(node, stream, options) else { return };
    lobby.enter(&up);
    R::spawn(async move {
        // The outcome is an event of the node.
        let raised = Raising { driver: Some(driver), up: up.timeout(HELLO_WAIT) }.await;
        if let Ok((peer, driver)) = raised {
            drop(peer);
            driver.await;
        }
    });
}
