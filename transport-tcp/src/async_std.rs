//! Links that tasks of async-std drive; everything else is as with threads.
//!
//! ```no_run
//! use netchan::{Node, Receiver};
//! use netchan_tcp::async_std as tcp;
//!
//! # async fn program() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::new("dashboard");
//! let station = tcp::connect(&node, "127.0.0.1:7000").await?;
//! let mut ticks = station.import::<Receiver<u64>>("ticks").await?;
//! while let Some(tick) = ticks.next().await {
//!     println!("{}", tick?);
//! }
//! node.close(std::time::Duration::from_secs(2)).await;
//! # Ok(())
//! # }
//! ```
//!
//! Each link has one task. A sender that finds the socket idle writes by itself. Dropping
//! a node never waits for tasks; `Node::close` does.
//!
//! async-std is discontinued; its own advice is smol, which has the same interface here.

use std::future::Future;
use std::net::{TcpListener, ToSocketAddrs};

use netchan::Node;

use crate::async_io::{Reactor, Spawn};
pub use crate::runtime::Connecting;
use crate::{ListenError, Listener, Options, runtime};

/// Connects to a node that listens at `address`, on loopback.
pub fn connect<'a, A: ::async_std::net::ToSocketAddrs + Send + 'a>(node: &Node, address: A) -> Connecting<'a>
where
    A::Iter: Send,
{
    connect_with(node, address, Options::new())
}

/// As [`connect`], with options.
pub fn connect_with<'a, A: ::async_std::net::ToSocketAddrs + Send + 'a>(
    node: &Node,
    address: A,
    options: Options,
) -> Connecting<'a>
where
    A::Iter: Send,
{
    let resolve =
        async move { Ok(::async_std::net::ToSocketAddrs::to_socket_addrs(&address).await?.collect()) };
    Connecting::new::<Reactor<Tasks>>(node, resolve, options)
}

/// Listens on loopback for other nodes. Lives with the node. A host name is looked up in
/// place, so an address is better.
///
/// # Errors
///
/// [`ListenError`].
pub fn listen<A: ToSocketAddrs>(node: &Node, address: A) -> Result<Listener, ListenError> {
    listen_with(node, address, Options::new())
}

/// As [`listen`], with options.
///
/// # Errors
///
/// [`ListenError`].
pub fn listen_with<A: ToSocketAddrs>(
    node: &Node,
    address: A,
    options: Options,
) -> Result<Listener, ListenError> {
    listen_on(node, crate::listen::bind(address, options)?, options)
}

/// Listens on a listener that the caller has made.
///
/// # Errors
///
/// [`ListenError`].
pub fn listen_on(node: &Node, listener: TcpListener, options: Options) -> Result<Listener, ListenError> {
    runtime::listen_on::<Reactor<Tasks>>(node, listener, options)
}

struct Tasks;

impl Spawn for Tasks {
    fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        ::async_std::task::spawn(task);
    }
}
