//! Connecting and listening: what takes how long, and what ends them.

mod common;

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use common::{Outcome, SOON, eventually, spawn};
use netchan::Node;
use netchan_tcp::{self as tcp, ConnectError, Options};

/// A name whose look-up takes time.
struct Slow(SocketAddr, Duration);

impl ToSocketAddrs for Slow {
    type Iter = std::iter::Once<SocketAddr>;

    fn to_socket_addrs(&self) -> std::io::Result<Self::Iter> {
        let until = Instant::now() + self.1;
        while Instant::now() < until {
            std::thread::park_timeout(until - Instant::now());
        }
        Ok(std::iter::once(self.0))
    }
}

/// A listener that has as many connections waiting as it may: more are not answered.
#[cfg(target_os = "linux")]
fn full() -> std::io::Result<(TcpListener, SocketAddr, Vec<TcpStream>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let mut streams = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
        streams.push(stream);
    }
    Ok((listener, address, streams))
}

#[test]
fn a_look_up_does_not_have_time_of_its_own() -> Outcome {
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let name = Slow(silent.local_addr()?, Duration::from_millis(60));
    let late = tcp::connect(&Node::new("a"), name).timeout(Duration::from_millis(50)).wait();
    assert!(
        matches!(&late, Err(ConnectError::Io(error)) if error.kind() == std::io::ErrorKind::TimedOut),
        "{late:?}"
    );
    silent.set_nonblocking(true)?;
    assert!(silent.accept().is_err(), "it has connected when its time was over");
    Ok(())
}

#[test]
#[cfg(target_os = "linux")]
fn addresses_that_do_not_answer_do_not_each_take_all_the_time() -> Outcome {
    let (_listener, full, _streams) = full()?;
    let limit = Duration::from_millis(500);
    let start = Instant::now();
    let late = tcp::connect(&Node::new("a"), &[full; 6][..]).timeout(limit).wait();
    assert!(matches!(late, Err(ConnectError::Io(_))), "{late:?}");
    let took = start.elapsed();
    assert!(took >= limit / 2 && took < 4 * limit, "it took {took:?}");
    // One that does is still reached.
    let station = Node::new("station");
    let good = tcp::listen(&station, "127.0.0.1:0")?.address();
    let node = Node::new("b");
    let peer = tcp::connect(&node, &[full, good][..]).timeout(Duration::from_secs(2)).wait()?;
    assert!(peer.is_up());
    Ok(())
}

/// A listener on all addresses, of version 6 alone.
#[cfg(unix)]
fn version_6_only() -> std::io::Result<TcpListener> {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};

    let fd = socket(AddressFamily::INET6, SocketType::STREAM, None)?;
    sockopt::set_ipv6_v6only(&fd, true)?;
    bind(&fd, &SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0))?;
    listen(&fd, 8)?;
    Ok(fd.into())
}

#[test]
#[cfg(unix)]
fn a_listener_that_cannot_be_dialled_does_not_stay_open() -> Outcome {
    let node = Node::new("station");
    // A machine without version 6 has no such listener.
    let Ok(listener) = version_6_only() else { return Ok(()) };
    let listener = tcp::listen_on(&node, listener, Options::new().danger_plaintext_network())?;
    let own = SocketAddr::from((Ipv6Addr::LOCALHOST, listener.address().port()));
    let visitor = Node::new("a");
    let peer = tcp::connect(&visitor, own).wait()?;
    let closing = spawn(move || listener.close());
    closing.join();
    eventually("nobody accepts", || TcpStream::connect_timeout(&own, SOON).is_err().then_some(()));
    assert!(peer.is_up(), "links that stand are not touched");
    Ok(())
}
