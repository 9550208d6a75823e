//! Any reader and writer as a stream, and streams that only a task writes: what a link says at last.

use std::future::Future;
use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use netchan::host::ReadWrite;
use netchan::host::transport::{Handover, LinkOptions, TaskStream, start_blocking, start_task};
use netchan::proto::framing::{self, Step};
use netchan::proto::{Frame, Hello, LinkKind, PROTOCOL_VERSION, varint};
use netchan::{LinkError, Node};

/// Nothing here takes so long.
const SOON: Duration = Duration::from_secs(20);

/// The hello of a peer that speaks only a later version.
fn strange_hello() -> Vec<u8> {
    let version = PROTOCOL_VERSION + 7;
    let frame = Frame::Hello(Hello {
        oldest: version,
        newest: version,
        crc: false,
        kind: LinkKind::Peer,
        adopts: false,
        bodies: true,
        window: 0,
        packet: 4096,
        circuits: 8,
        dead_ms: 2000,
        hear_ms: 500,
        nonce: 77,
        echo: 0,
        boot: 1,
        uid: 3,
        name: "stranger",
    });
    let mut bytes = [0; 256];
    let len = frame.write(&mut bytes).unwrap();
    let mut prefix = [0; varint::MAX_LEN];
    let used = varint::put(&mut prefix, 0, len as u32);
    [&prefix[..used], &bytes[..len]].concat()
}

/// That these bytes begin with a hello, in which the node says which versions it speaks.
#[track_caller]
fn assert_answered(bytes: &[u8]) {
    let Ok(Step::Frame(frame, _)) = framing::next(bytes, 1 << 20, None) else {
        panic!("no packet in {bytes:?}");
    };
    let Ok(Frame::Hello(hello)) = Frame::parse(frame) else { panic!("no hello in {bytes:?}") };
    assert_eq!((hello.oldest, hello.newest), (PROTOCOL_VERSION, PROTOCOL_VERSION));
}

#[test]
fn a_peer_of_another_version_is_answered_over_any_reader_and_writer() {
    for options in [LinkOptions::passive(), LinkOptions::active()] {
        let node = Node::new("node");
        let (reader, mut there) = io::pipe().unwrap();
        let (mut back, writer) = io::pipe().unwrap();
        let (closes, closed) = channel();
        let stream = ReadWrite::new(reader, writer).with_close(move || closes.send(()).unwrap());
        let up = start_blocking(&node, Box::new(stream), options);
        there.write_all(&strange_hello()).unwrap();
        // Up to its end, which comes without this side having closed anything.
        let (sender, answer) = channel();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            back.read_to_end(&mut bytes).unwrap();
            sender.send(bytes).unwrap();
        });
        assert_answered(&answer.recv_timeout(SOON).unwrap());
        assert!(matches!(up.timeout(SOON).wait(), Err(LinkError::Fault(_))));
        closed.recv_timeout(SOON).unwrap();
    }
}

/// A writer that takes nothing, until it is closed.
struct Blocked(Receiver<()>);

impl Write for Blocked {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn last_words_that_nobody_takes_keep_no_stream_from_being_closed() {
    let node = Node::new("node");
    let (reader, mut there) = io::pipe().unwrap();
    let (frees, blocked): (Sender<()>, _) = channel();
    let (closes, closed) = channel();
    let stream = ReadWrite::new(reader, Blocked(blocked)).with_close(move || {
        drop(frees);
        closes.send(()).unwrap();
    });
    let up = start_blocking(&node, Box::new(stream), LinkOptions::passive());
    there.write_all(&strange_hello()).unwrap();
    assert!(matches!(up.timeout(SOON).wait(), Err(LinkError::Fault(_))));
    closed.recv_timeout(SOON).unwrap();
}

/// A stream that only its task writes, in memory.
struct Ends {
    from: Vec<u8>,
    to: Sender<Vec<u8>>,
}

impl TaskStream for Ends {
    fn poll_read(&mut self, _: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let n = self.from.len().min(into.len());
        into[..n].copy_from_slice(&self.from[..n]);
        self.from.drain(..n);
        if n == 0 { Poll::Pending } else { Poll::Ready(Ok(n)) }
    }

    fn poll_write(&mut self, _: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let bytes: Vec<u8> = bytes.iter().flat_map(|slice| slice.iter().copied()).collect();
        let n = bytes.len();
        self.to.send(bytes).unwrap();
        Poll::Ready(Ok(n))
    }
}

#[test]
fn a_peer_of_another_version_is_answered_by_a_task_that_alone_may_write() {
    for options in [LinkOptions::passive(), LinkOptions::active()] {
        let node = Node::new("node");
        let (to, back) = channel();
        let (mut driver, _up) =
            start_task(&node, Ends { from: strange_hello(), to }, Box::new(Handover), options).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(error) = Pin::new(&mut driver).poll(&mut cx) else { panic!("the link goes on") };
        assert!(matches!(error, LinkError::Fault(_)), "{error}");
        assert_answered(&back.try_iter().flatten().collect::<Vec<u8>>());
    }
}
