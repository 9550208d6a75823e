//! Links that tasks of smol drive; everything else is as with threads.
//!
//! ```no_run
//! use netchan::{Node, Receiver};
//! use netchan_tcp::smol as tcp;
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

use std::future::Future;
use std::net::{TcpListener, ToSocketAddrs};

use netchan::Node;

use crate::async_io::{Reactor, Spawn};
pub use crate::runtime::Connecting;
use crate::{ListenError, Listener, Options, runtime};

/// Connects to a node that listens at `address`, on loopback.
pub fn connect<A: ToSocketAddrs + Send + 'static>(node: &Node, address: A) -> Connecting<'static> {
    connect_with(node, address, Options::new())
}

/// As [`connect`], with options.
pub fn connect_with<A: ToSocketAddrs + Send + 'static>(
    node: &Node,
    address: A,
    options: Options,
) -> Connecting<'static> {
    let resolve = ::smol::unblock(move || Ok(address.to_socket_addrs()?.collect()));
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
        ::smol::spawn(task).detach();
    }
}
