//! Replies that cannot go at once, and those that never come: who is held up by them, and who is not.

mod common;

use std::net::TcpListener;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use common::cable::Cable;
use common::raw::{Raw, mine, packet, receives};
use common::{Ground, Tick, eventually, tick};
use netchan::host::Visibility;
use netchan::proto::{Frame, Open, Part, Total};
use netchan::{CallError, Client, Config, ExportOptions, Node, Reason, Request, Server};
use netchan_tcp as tcp;

/// Far more than any of it takes.
const SOON: Duration = Duration::from_secs(20);

/// A call that is under way.
fn begun<C: Future + Unpin>(mut call: C) -> C {
    assert!(Pin::new(&mut call).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    call
}

#[test]
fn replies_to_one_caller_by_many_threads_all_go() {
    const CALLS: usize = 14;
    let ground = Ground::new();
    let mut server: Server<u32, Vec<u8>> = ground.node.export("big").unwrap();
    let (_node, peer) = ground.visitor();
    let client: Client<u32, Vec<u8>> = peer.import("big").message_limit(16 * 1024).wait().unwrap();
    for _ in 0..3 {
        let call = |n: usize| {
            let client = client.clone();
            thread::spawn(move || client.call(n as u32).timeout(SOON).wait().map(|reply| reply.len()))
        };
        let calls: Vec<_> = (0..CALLS).map(call).collect();
        let gate = Arc::new(Barrier::new(CALLS));
        let answer = |_| {
            let (request, gate) = (server.recv().timeout(SOON).wait().unwrap(), Arc::clone(&gate));
            thread::spawn(move || {
                gate.wait();
                // Of several parts, so that each finds the one before it under way.
                let len = 15_000 + *request as usize;
                request.reply(vec![7; len]).timeout(SOON).wait().is_ok()
            })
        };
        let replies: Vec<_> = (0..CALLS).map(answer).collect();
        assert!(replies.into_iter().all(|reply| reply.join().unwrap()));
        let got = calls.into_iter().map(|call| call.join().unwrap());
        assert!(got.enumerate().all(|(n, reply)| reply == Ok(15_000 + n)));
    }
}

#[test]
fn a_server_that_goes_with_requests_in_hand_refuses_all_others() {
    let ground = Ground::new();
    let mut server: Server<u32, u32> = ground.node.export("slow").unwrap();
    let (_node, peer) = ground.visitor();
    let client: Client<u32, u32> = peer.import("slow").wait().unwrap();
    let (first, given_up) = (begun(client.call(1)), begun(client.call(2)));
    let [request, other] = [(); 2].map(|()| server.recv().timeout(SOON).wait().unwrap());
    let queued = begun(client.call(3));
    // It has come before this one, which is answered.
    let witness: Client<Tick, Tick> = peer.import("witness").wait().unwrap();
    assert_eq!(witness.call(tick(3)).timeout(SOON).wait(), Ok(tick(4)));

    drop(server);
    let is_hung_up = |outcome| matches!(outcome, Err(CallError::Dead(dead)) if dead.reason == Reason::HungUp);
    assert!(is_hung_up(queued.timeout(SOON).wait()));
    assert!(is_hung_up(client.call(4).timeout(SOON).wait()));
    drop(given_up);
    eventually("its handler is told", || other.is_cancelled().then_some(()));

    // Another one has the name, and all who come.
    let mut next: Server<u32, u32> = ground.node.export("slow").expect("the name is free");
    let late: Client<u32, u32> = peer.import("slow").wait().unwrap();
    let asked = begun(late.call(6));
    next.recv().timeout(SOON).wait().unwrap().reply(7).wait().unwrap();
    assert_eq!(asked.timeout(SOON).wait(), Ok(7));

    request.reply(5).wait().unwrap();
    assert_eq!(first.timeout(SOON).wait(), Ok(5));
    drop(other);
    // Its circuits have ended with the last one.
    assert!(matches!(client.call(8).timeout(SOON).wait(), Err(CallError::Dead(_))));
}

/// How a client of `Server<(), ()>` opens it, as a node does that imports it.
fn as_a_client(name: &str) -> Open<'_> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let honest = common::spawn(move || {
        let node = Node::new("honest");
        let peer = tcp::connect(&node, address).wait().unwrap();
        assert!(peer.import::<Client<(), ()>>("any").wait().is_err(), "nobody answers");
    });
    let mut raw = Raw::accept(&listener);
    raw.bring_up();
    let (flags, fingerprints) = raw.expect("an open", |frame| match frame {
        Frame::Open(_, open) => Some((open.flags, open.fingerprints)),
        _ => None,
    });
    drop(raw);
    honest.join();
    Open { flags, fingerprints, ..receives::<()>(name, 0) }
}

#[test]
fn a_caller_without_room_for_a_reply_holds_up_nobody_else() {
    const CALLS: u32 = 100;
    let ground = Ground::new();
    let mut server: Server<(), ()> = ground.node.export("calls").unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    thread::spawn(move || {
        while let Ok(request) = server.recv().wait() {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = request.reply(()).wait();
        }
    });
    let (_node, peer) = ground.visitor();
    let client: Client<(), ()> = peer.import("calls").wait().unwrap();

    let mut raw = Raw::up(ground.address);
    raw.open(0, Open { limit: 10, ..as_a_client("calls") });
    let requests = (1..=CALLS as u8).flat_map(|n| packet(&Frame::Data(mine(0), Part::Whole, &[n, 0, 0])));
    raw.bytes(&requests.collect::<Vec<_>>());
    raw.send(&Frame::Ping);
    raw.expect("a pong", |frame| matches!(frame, Frame::Pong).then_some(()));
    // All of them have come before this one.
    assert_eq!(client.call(()).timeout(SOON).wait(), Ok(()));
    assert_eq!(taken.load(Ordering::SeqCst), 2, "one reply waits, and no more are made for the same caller");

    // With room for each of them they go on, in order and beside the others.
    for n in 1..=CALLS {
        raw.send(&Frame::Credit(mine(0), Total::new(8 * n)));
        raw.expect("a reply", |frame| match frame {
            Frame::Data(_, _, bytes) => {
                assert_eq!(*bytes, [n as u8, 0]);
                Some(())
            }
            _ => None,
        });
        assert_eq!(client.call(()).timeout(SOON).wait(), Ok(()));
    }
    assert_eq!(taken.load(Ordering::SeqCst), 1 + 2 * CALLS as usize);
}

#[test]
fn callers_behind_a_line_that_takes_nothing_hold_up_nobody_else() {
    const CLIENTS: usize = 10;
    // Far longer than the test: what is stopped is not noticed.
    let config = || Config::default().dead_time(Duration::from_secs(200));
    let [bridge, board, desk] =
        ["bridge", "board", "desk"].map(|name| Node::with_config(name, config()).unwrap());
    let at = tcp::listen_with(&bridge, "127.0.0.1:0", tcp::Options::new().adopt()).unwrap().address();
    let (cable, through) = Cable::new(at);
    for (node, parent) in [(&board, at), (&desk, through)] {
        tcp::connect_with(node, parent, tcp::Options::new().join().live_on()).timeout(SOON).wait().unwrap();
    }
    eventually("all are there", || (bridge.nodes().len() == 2).then_some(()));
    let options = ExportOptions::default().visible_to(Visibility::Tree);
    let mut server: Server<u32, Vec<u8>> = board.export_with("big", options).unwrap();
    let clients: Vec<Client<u32, Vec<u8>>> =
        (0..CLIENTS).map(|_| desk.remote("board").import("big").timeout(SOON).wait().unwrap()).collect();
    let _calls: Vec<_> =
        clients.iter().flat_map(|client| [60_000; 3].map(|len| begun(client.call(len)))).collect();
    let requests: Vec<_> = (0..3 * CLIENTS).map(|_| server.recv().timeout(SOON).wait().unwrap()).collect();
    cable.stop();
    // More than the bridge promises to take, and the line has.
    thread::spawn(move || {
        for request in requests {
            let len = *request as usize;
            let _ = request.reply(vec![7; len]).wait();
        }
        while let Ok(request) = server.recv().wait() {
            let len = *request as usize;
            let _ = request.reply(vec![7; len]).wait();
        }
    });
    let asked = bridge.remote("board").ask::<u32, Vec<u8>>("big", 4).timeout(SOON).wait();
    assert_eq!(asked.expect("an answer"), [7; 4]);
    cable.cut();
}

/// A waker that counts.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The room of a call that was given up is free when its reply comes, and nobody but that says so to those who wait for room.
#[test]
fn a_call_that_waits_for_room_is_woken_by_the_replies_to_those_that_were_given_up() {
    let ground = Ground::new();
    let mut server: Server<u32, Vec<u8>> = ground.node.export("late").unwrap();
    let (_node, peer) = ground.visitor();
    let client: Client<u32, Vec<u8>> = peer.import("late").message_limit(16 * 1024).wait().unwrap();
    // More than there is room for: the rest is not sent.
    let calls: Vec<_> = (0..100).map(|n| begun(client.call(n))).collect();
    let witness: Client<Tick, Tick> = peer.import("witness").wait().unwrap();
    assert_eq!(witness.call(tick(3)).timeout(SOON).wait(), Ok(tick(4)));
    let requests: Vec<_> = std::iter::from_fn(|| server.try_recv().ok()).collect();
    assert!((1..100).contains(&requests.len()), "{} of 100 are sent", requests.len());
    drop(calls);

    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut call = std::pin::pin!(client.call(100));
    assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    eventually("they are given up", || requests.iter().all(Request::is_cancelled).then_some(()));
    assert!(server.try_recv().is_err(), "there is no room for it");
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
    for request in requests {
        let _ = request.reply(Vec::new()).timeout(SOON).wait();
    }
    eventually("it is woken", || (wakes.0.load(Ordering::SeqCst) > 0).then_some(()));
    assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(*server.recv().timeout(SOON).wait().unwrap(), 100);
}
