//! A cable between two nodes, which can be cut, stopped, and listened to.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use netchan::proto::Frame;
use netchan::proto::framing::{self, Step};

/// A cable between a child and its parent, which can be cut, and can be stopped without being cut.
#[derive(Clone)]
pub struct Cable {
    sockets: Arc<Mutex<Vec<TcpStream>>>,
    is_stopped: Arc<AtomicBool>,
    /// What has passed, to the parent and to the child.
    passed: Arc<[Mutex<Vec<u8>>; 2]>,
}

impl Cable {
    /// To the parent at this address: where its child is to connect.
    pub fn new(parent: SocketAddr) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let at = listener.local_addr().expect("it is bound");
        let cable = Self { sockets: Arc::default(), is_stopped: Arc::default(), passed: Arc::default() };
        let own = cable.clone();
        std::thread::spawn(move || {
            let Ok((child, _)) = listener.accept() else { return };
            let parent = TcpStream::connect(parent).expect("the parent listens");
            for socket in [&child, &parent] {
                socket.set_nodelay(true).expect("a socket");
                own.sockets.lock().expect("nobody panics").push(socket.try_clone().expect("a descriptor"));
            }
            let back = (parent.try_clone().expect("a descriptor"), child.try_clone().expect("a descriptor"));
            let other = own.clone();
            std::thread::spawn(move || other.pass(back.0, back.1, 1));
            own.pass(child, parent, 0);
        });
        (cable, at)
    }

    pub fn cut(&self) {
        for socket in self.sockets.lock().expect("nobody panics").iter() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
    }

    /// The frames that have passed, to the parent and to the child, in words of a test's choice.
    pub fn frames<R>(&self, mut f: impl FnMut(&Frame<'_>) -> Option<R>) -> [Vec<R>; 2] {
        self.passed.each_ref().map(|passed| {
            let bytes = passed.lock().expect("nobody panics");
            let (mut at, mut found) = (0, Vec::new());
            while let Ok(Step::Frame(frame, used)) = framing::next(&bytes[at..], 1 << 20, None) {
                found.extend(f(&Frame::parse(frame).expect("nodes send good frames")));
                at += used;
            }
            found
        })
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream, direction: usize) {
        let is_stopped = || self.is_stopped.load(Ordering::SeqCst);
        let mut bytes = [0; 16 * 1024];
        let mut end = Shutdown::Both;
        while let Ok(n) = from.read(&mut bytes) {
            self.passed[direction].lock().expect("nobody panics").extend_from_slice(&bytes[..n]);
            if n == 0 {
                // The other direction goes on: a goodbye is read before its answer can fail.
                end = Shutdown::Write;
                break;
            }
            // What comes after that is swallowed, as by a machine that has lost its power.
            if !is_stopped() && to.write_all(&bytes[..n]).is_err() {
                break;
            }
        }
        // Nor does anybody hear of an end.
        if !is_stopped() {
            let _ = to.shutdown(end);
        }
    }
}
