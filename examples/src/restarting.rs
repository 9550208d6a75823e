//! A station that goes away and comes back, for programs that show what the others see of it.

use std::error::Error;
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use netchan::{Node, Sender};
use netchan_tcp as tcp;

use crate::Tick;

/// A station in a thread, and where it listens: it sends three ticks, is shut down in the
/// middle of its channel, begins anew, sends three more, and ends in order.
///
/// # Errors
///
/// When loopback does not work.
pub fn restarting() -> Result<SocketAddr, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        session(&listener, 1, true).expect("the first session");
        session(&listener, 4, false).expect("the second session");
    });
    Ok(address)
}

fn session(listener: &TcpListener, first: u64, cut: bool) -> Result<(), Box<dyn Error>> {
    let node = Node::new("station");
    let mut ticks: Sender<Tick> = node.export("ticks")?;
    tcp::listen_on(&node, listener.try_clone()?, tcp::Options::new())?;
    for n in first..first + 3 {
        ticks.send(Tick { n }).wait()?;
    }
    ticks.drain().wait()?;
    if cut {
        node.shutdown(Duration::ZERO);
    }
    // In order, unless the node is down already; `ticks` is dropped before it.
    Ok(())
}
