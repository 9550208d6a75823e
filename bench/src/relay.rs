//! A relay between client and server that counts bytes.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context as _, Result};

/// Bytes that passed, by direction.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    to_server: AtomicU64,
    to_client: AtomicU64,
}

impl Counters {
    pub(crate) fn to_server(&self) -> u64 {
        self.to_server.load(Ordering::SeqCst)
    }

    pub(crate) fn to_client(&self) -> u64 {
        self.to_client.load(Ordering::SeqCst)
    }
}

/// Listens for connections and passes each on to `port`, counting into `counters`.
/// Its threads end with the connections; the listening one, with the program.
pub(crate) fn start(port: u16, counters: &Arc<Counters>) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("binding the relay")?;
    let own = listener.local_addr()?.port();
    let counters = Arc::clone(counters);
    thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            // A refused connection shows at the client as a closed one.
            let _ = pair(client, port, &counters);
        }
    });
    Ok(own)
}

fn pair(client: TcpStream, port: u16, counters: &Arc<Counters>) -> io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_out, server_out) = (client.try_clone()?, server.try_clone()?);
    let (up, down) = (Arc::clone(counters), Arc::clone(counters));
    thread::spawn(move || pass(client, server_out, &up.to_server));
    thread::spawn(move || pass(server, client_out, &down.to_client));
    Ok(())
}

fn pass(mut from: TcpStream, mut to: TcpStream, counter: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        counter.fetch_add(len as u64, Ordering::SeqCst);
        if to.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
    // The other side may have closed first.
    let _ = to.shutdown(Shutdown::Write);
}
