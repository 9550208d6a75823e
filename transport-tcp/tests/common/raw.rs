//! A peer made by hand: it sends whatever a test wants.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};

use netchan::Message;
use netchan::proto::framing::{self, Step};
use netchan::proto::{
    Accept, DeadFrame, Fingerprints, Frame, Handle, Hello, LinkKind, Open, OpenFlags, Part, Total, TreeFrame,
    varint,
};

use super::SOON;

/// Higher than any nonce that a node is likely to draw, so the raw peer opens odd handles.
pub const NONCE: u64 = u64::MAX;
const BOOT: u64 = 7;

pub struct Raw {
    pub stream: TcpStream,
    /// Each is another node.
    pub uid: u64,
    input: Vec<u8>,
    at: usize,
}

/// A hello that is in order; `echo` is the other side's nonce.
pub fn hello(echo: u64) -> Hello<'static> {
    Hello {
        oldest: 1,
        newest: 1,
        crc: false,
        kind: LinkKind::Peer,
        adopts: false,
        bodies: true,
        window: 0,
        packet: 17 * 1024,
        circuits: 16 * 1024,
        dead_ms: 240_000,
        // Nothing is to be heard of it for a long time, so no test has to send beats.
        hear_ms: 60_000,
        nonce: NONCE,
        echo,
        boot: BOOT,
        uid: 9,
        name: "raw",
    }
}

/// The frame with its length before it.
pub fn packet(frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = vec![0; 20 * 1024];
    let len = frame.write(&mut bytes).expect("a frame that can be written");
    packed(&bytes[..len])
}

/// Any bytes with their length before them.
pub fn packed(frame: &[u8]) -> Vec<u8> {
    let mut length = [0; varint::MAX_LEN];
    let used = varint::put(&mut length, 0, frame.len() as u32);
    [&length[..used], frame].concat()
}

/// The handle of the raw peer's `n`th circuit.
pub fn mine(n: u32) -> Handle {
    Handle::new(2 * n + 1)
}

/// Opens an export that sends `T`, with this much credit for it.
pub fn receives<T: Message>(name: &str, credit: u32) -> Open<'_> {
    Open {
        flags: OpenFlags::RECEIVES,
        wait_ms: 0,
        credit,
        limit: credit.saturating_sub(4).min(64 * 1024),
        values: 0,
        name,
        fingerprints: Fingerprints::new(T::FINGERPRINT.get(), &[]),
        type_name: T::NAME,
        route: None,
        body: None,
    }
}

/// Opens an export that receives `T`.
pub fn sends<T: Message>(name: &str) -> Open<'_> {
    Open { flags: OpenFlags::SENDS, credit: 0, limit: 0, ..receives::<T>(name, 0) }
}

impl Raw {
    /// A connection that has said nothing yet.
    pub fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).expect("somebody listens"))
    }

    /// The first connection that comes.
    pub fn accept(listener: &TcpListener) -> Self {
        Self::new(listener.accept().expect("somebody connects").0)
    }

    pub fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(SOON)).expect("a socket");
        stream.set_write_timeout(Some(SOON)).expect("a socket");
        static UID: AtomicU64 = AtomicU64::new(1000);
        Self { stream, uid: UID.fetch_add(1, Ordering::Relaxed), input: Vec::new(), at: 0 }
    }

    /// A link that is up.
    pub fn up(address: SocketAddr) -> Self {
        let mut raw = Self::connect(address);
        raw.bring_up();
        raw
    }

    pub fn bring_up(&mut self) {
        self.bring_up_as(LinkKind::Peer, false);
    }

    /// Of this kind, and as a parent or not.
    pub fn bring_up_as(&mut self, kind: LinkKind, adopts: bool) {
        let uid = self.uid;
        let hello = |echo| Hello { kind, adopts, uid, ..hello(echo) };
        self.send(&Frame::Hello(hello(0)));
        let nonce = self.expect("a hello", |frame| match frame {
            Frame::Hello(hello) => Some(hello.nonce),
            _ => None,
        });
        self.send(&Frame::Hello(hello(nonce)));
    }

    /// A child of the node that listens there: with its id.
    #[track_caller]
    pub fn child(address: SocketAddr) -> (Self, u32) {
        Self::connect(address).join()
    }

    /// The same node, on a new connection to whoever listens there.
    #[track_caller]
    pub fn again(&self, address: SocketAddr) -> (Self, u32) {
        Self { uid: self.uid, ..Self::connect(address) }.join()
    }

    #[track_caller]
    fn join(mut self) -> (Self, u32) {
        let raw = &mut self;
        raw.bring_up_as(LinkKind::Tree, false);
        let id = raw.expect("an id", |frame| match frame {
            Frame::Tree(TreeFrame::Adopt { id, .. }) => Some(*id),
            _ => None,
        });
        (self, id)
    }

    /// Asks for so many ids, and gets them.
    #[track_caller]
    pub fn allocate(&mut self, count: u32) -> (u32, u32) {
        self.send(&Frame::Tree(TreeFrame::Allocate(count)));
        self.granted()
    }

    /// The next ids that it is granted.
    #[track_caller]
    pub fn granted(&mut self) -> (u32, u32) {
        self.expect("a grant", |frame| match frame {
            Frame::Tree(TreeFrame::Grant { start, count }) => Some((*start, *count)),
            _ => None,
        })
    }

    /// What becomes of an open: why it is refused.
    #[track_caller]
    pub fn refused(&mut self, n: u32, open: Open<'_>) -> netchan::Dead {
        self.send(&Frame::Open(mine(n), open));
        self.expect("a refusal", |frame| match frame {
            Frame::Dead(handle, dead) if *handle == mine(n) => Some(dead.dead),
            Frame::Accept(handle, _) if *handle == mine(n) => panic!("it was accepted"),
            _ => None,
        })
    }

    /// Sends a frame; whether the other side still takes it.
    pub fn send(&mut self, frame: &Frame<'_>) -> bool {
        self.bytes(&packet(frame))
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    pub fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next frame's bytes; `None` at the end of the stream.
    pub fn frame(&mut self) -> Option<Vec<u8>> {
        loop {
            match framing::next(&self.input[self.at..], 1 << 20, None).expect("a node sends whole frames") {
                Step::Frame(frame, used) => {
                    let frame = frame.to_vec();
                    self.at += used;
                    return Some(frame);
                }
                Step::Need(_) => {
                    self.input.drain(..self.at);
                    self.at = 0;
                    let mut more = [0; 64 * 1024];
                    match self.stream.read(&mut more) {
                        Ok(n) if n > 0 => self.input.extend_from_slice(&more[..n]),
                        Err(error)
                            if matches!(
                                error.kind(),
                                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                            ) =>
                        {
                            panic!("nothing comes, and no end either");
                        }
                        _ => return None,
                    }
                }
            }
        }
    }

    /// Reads on until a frame is of interest.
    #[track_caller]
    pub fn expect<R>(&mut self, what: &str, mut f: impl FnMut(&Frame<'_>) -> Option<R>) -> R {
        loop {
            let Some(frame) = self.frame() else { panic!("the link ended before {what}") };
            if let Some(found) = f(&Frame::parse(&frame).expect("a node sends good frames")) {
                return found;
            }
        }
    }

    /// Opens a circuit and waits for its accept.
    #[track_caller]
    pub fn open(&mut self, n: u32, open: Open<'_>) -> Accept {
        self.send(&Frame::Open(mine(n), open));
        self.expect("an accept", |frame| match frame {
            Frame::Accept(handle, accept) if *handle == mine(n) => Some(*accept),
            Frame::Dead(handle, dead) if *handle == mine(n) => panic!("refused: {dead:?}"),
            _ => None,
        })
    }

    /// Accepts the first circuit that the node opens.
    #[track_caller]
    pub fn accept_open(&mut self, credit: u32) -> Handle {
        let handle = self.opened();
        self.send(&Frame::Accept(handle, Accept { which: 0, credit, limit: credit.saturating_sub(4) }));
        handle
    }

    /// The handle of the next circuit that the node opens.
    #[track_caller]
    pub fn opened(&mut self) -> Handle {
        self.expect("an open", |frame| match frame {
            Frame::Open(handle, _) => Some(*handle),
            _ => None,
        })
    }

    pub fn data(&mut self, handle: Handle, bytes: &[u8]) -> bool {
        self.send(&Frame::Data(handle, Part::Whole, bytes))
    }

    pub fn dead(&mut self, handle: Handle, reason: netchan::Reason) -> bool {
        let dead = DeadFrame { dead: netchan::Dead::here(reason), taken: Total::ZERO, detail: "" };
        self.send(&Frame::Dead(handle, dead))
    }

    /// Reads what comes until the end of the stream, and forgets it.
    pub fn read_to_end(&mut self) -> u64 {
        let mut frames = 0;
        while self.frame().is_some() {
            frames += 1;
        }
        frames
    }
}
