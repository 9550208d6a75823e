//! Replies that cannot go at once: who is held up by them, and who is not.

mod common;

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use common::Ground;
use netchan::{Client, Server};

/// Far more than any of it takes.
const SOON: Duration = Duration::from_secs(20);

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
