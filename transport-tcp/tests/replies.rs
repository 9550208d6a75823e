//! Replies that cannot go at once, and those that never come: who is held up by them, and who is not.

mod common;

use std::pin::Pin;
use std::sync::{Arc, Barrier};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use common::{Ground, Tick, eventually, tick};
use netchan::{CallError, Client, Reason, Server};

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
    assert!(is_hung_up(client.call(8).timeout(SOON).wait()));
}
