//! Calls: a reply, a cancel, a deadline and a lost link at the same time.
#![cfg(loom)]

use std::time::Duration;

use netchan::host::model::{By, Done, Side, check, drive, import, link, pass, poll_once, spawn};
use netchan::host::{Calling, Request, Wait};
use netchan::{CallError, Client, RecvError, Server};

type Asks = Client<u32, u32>;
type Serves = Server<u32, u32>;

/// A server at `a`, a client at `b`.
fn method(a: &Side, b: &Side) -> (Serves, Asks) {
    let server = a.node.export("m").unwrap();
    (server, import(a, b, b.peer.import("m")))
}

/// Answers what has come, with one more than was asked.
fn serve(server: &mut Serves) -> usize {
    let mut served = 0;
    while let Ok(request) = server.try_recv() {
        let reply = *request + 1;
        assert!(poll_once(request.reply(reply)).unwrap().is_ok());
        served += 1;
    }
    served
}

#[test]
fn a_caller_does_not_sleep_beside_its_reply() {
    check("call / reply", 3, || {
        let (a, b) = link(By::Hand, By::Hand);
        let (mut server, client) = method(&a, &b);
        let calling = spawn(move || assert_eq!(client.call(1).wait(), Ok(2)));
        let mut served = 0;
        while served == 0 {
            a.deliver();
            served += serve(&mut server);
            b.deliver();
            loom::thread::yield_now();
        }
        calling.join();
    });
}

#[test]
fn two_callers_that_meet_get_each_its_reply() {
    check("two calls on one circuit / replies, pump, try_lock", 2, || {
        let (a, b) = link(By::Hand, By::Hand);
        let (mut server, client) = method(&a, &b);
        // Both are under way; the replies come while both begin to wait.
        let mut calls = [1, 2].map(|n| client.call(n));
        for call in &mut calls {
            assert!(poll_once(std::pin::Pin::new(call)).is_none());
        }
        a.deliver();
        assert_eq!(serve(&mut server), 2);
        let threads = [2, 3]
            .into_iter()
            .zip(calls)
            .map(|(reply, call)| spawn(move || assert_eq!(call.wait(), Ok(reply))));
        let threads: Vec<_> = threads.collect();
        b.deliver();
        for thread in threads {
            thread.join();
        }
        drop(client);
    });
}

#[test]
fn a_reply_that_crosses_a_cancel_reaches_nobody_else() {
    check("call dropped / reply, next call", 3, || {
        let (a, b) = link(By::Hand, By::Hand);
        let (mut server, client) = method(&a, &b);
        let mut given_up = client.call(1);
        assert!(poll_once(std::pin::Pin::new(&mut given_up)).is_none());
        a.deliver();
        assert_eq!(serve(&mut server), 1);
        let other = client.clone();
        let dropping = spawn(move || drop(given_up));
        let calling = spawn(move || assert_eq!(other.call(10).wait(), Ok(11)));
        b.deliver();
        dropping.join();
        let mut served = 0;
        while served == 0 {
            a.deliver();
            served += serve(&mut server);
            b.deliver();
            loom::thread::yield_now();
        }
        calling.join();
        drop(client);
    });
}

#[test]
fn a_call_hears_of_a_lost_link_beside_its_reply() {
    check("call / reply, lost link", 3, || {
        let (a, b) = link(By::Hand, By::Hand);
        let (mut server, client) = method(&a, &b);
        let mut call = client.call(1);
        assert!(poll_once(std::pin::Pin::new(&mut call)).is_none());
        a.deliver();
        serve(&mut server);
        let calling = spawn(move || match call.wait() {
            Ok(reply) => assert_eq!(reply, 2),
            Err(error) => assert!(matches!(error, CallError::Dead(_)), "{error}"),
        });
        let breaking = spawn(move || {
            b.break_line();
            b
        });
        a.break_line();
        let b = breaking.join();
        calling.join();
        // Whoever calls now hears it at once.
        assert!(matches!(client.call(2).wait(), Err(CallError::Dead(_))));
        drop((a, b));
    });
}

#[test]
fn a_call_hears_of_its_deadline_or_gets_its_reply() {
    check("call with a deadline / reply, time", 3, || {
        let (a, b) = link(By::Hand, By::Hand);
        let (mut server, client) = method(&a, &b);
        let mut call = client.call(1).timeout(Duration::from_secs(1));
        assert!(poll_once(std::pin::Pin::new(&mut call)).is_none());
        a.deliver();
        serve(&mut server);
        let calling = spawn(move || match call.wait() {
            Ok(reply) => assert_eq!(reply, 2),
            Err(error) => assert_eq!(error, CallError::Deadline),
        });
        pass(Duration::from_secs(2));
        b.deliver();
        calling.join();
        drop(client);
    });
}

#[test]
fn a_call_hears_that_its_handler_is_gone() {
    check("call / request dropped, server dropped", 3, || {
        let (a, b) = link(By::Hand, By::Hand);
        let (mut server, client) = method(&a, &b);
        let mut call = client.call(1);
        assert!(poll_once(std::pin::Pin::new(&mut call)).is_none());
        a.deliver();
        let calling = spawn(move || assert!(matches!(call.wait(), Err(CallError::Dead(_)))));
        let serving = spawn(move || {
            drop(server.try_recv().unwrap());
            drop(server);
        });
        b.deliver();
        serving.join();
        b.deliver();
        calling.join();
        drop(client);
    });
}

#[test]
fn a_call_beside_a_server_that_goes_with_a_request_in_hand_is_answered() {
    check("server dropped, a request in hand / call", 2, || {
        let (a, b) = link(By::Hand, By::Hand);
        let (mut server, client) = method(&a, &b);
        let mut first = client.call(1);
        assert!(poll_once(std::pin::Pin::new(&mut first)).is_none());
        a.deliver();
        let request = server.try_recv().unwrap();
        let done = Done::after(1);
        let one = done.clone();
        let dropping = spawn(move || drop(server));
        let calling = spawn(move || {
            assert!(matches!(client.call(2).wait(), Err(CallError::Dead(_))));
            one.one();
            client
        });
        drive(&[&a, &b], &done);
        dropping.join();
        drop(calling.join());
        drop((request, first));
    });
}

#[test]
fn a_server_does_not_sleep_beside_a_request() {
    check("server recv / request, caller gone", 2, || {
        let (a, b) = link(By::Hand, By::Hand);
        let (mut server, client) = method(&a, &b);
        let done = Done::after(2);
        let (one, other) = (done.clone(), done.clone());
        let serving = spawn(move || {
            let request = server.recv().wait().unwrap();
            let reply = *request + 1;
            request.reply(reply).wait().unwrap();
            one.one();
            server
        });
        let calling = spawn(move || {
            assert_eq!(client.call(1).wait(), Ok(2));
            other.one();
            client
        });
        drive(&[&a, &b], &done);
        drop(serving.join());
        drop(calling.join());
    });
}

/// Four requests have come to `a`, each for a reply of several parts, whose line takes nothing: of the replies one is stuck
/// there, and one is the circuit's next.
fn four_calls(a: &Side, b: &Side) -> (Server<u32, Vec<u8>>, Client<u32, Vec<u8>>, [Blobs; 4]) {
    let server = a.node.export("m").unwrap();
    let client: Client<u32, Vec<u8>> = import(a, b, b.peer.import("m").message_limit(8 * 1024));
    let mut calls = [1, 2, 3, 4].map(|n| client.call(n));
    for call in &mut calls {
        assert!(poll_once(std::pin::Pin::new(call)).is_none());
    }
    a.deliver();
    a.set_room(0);
    (server, client, calls)
}

type Blobs = Wait<Calling<u32, Vec<u8>>>;

fn blob(request: &Request<u32, Vec<u8>>) -> Vec<u8> {
    vec![**request as u8; 5_000]
}

#[test]
fn replies_by_several_threads_all_go() {
    check("two replies that wait for the one before / each other, room", 2, || {
        let (a, b) = link(By::Hand, By::Hand);
        let (mut server, client, [one, two, three, four]) = four_calls(&a, &b);
        let requests = [(); 4].map(|()| server.try_recv().unwrap());
        let [first, second, third, fourth] = requests;
        for request in [first, second] {
            let reply = blob(&request);
            assert!(poll_once(request.reply(reply)).unwrap().is_ok());
        }
        let done = Done::after(2);
        let threads = [(third, three), (fourth, four)].map(|(request, call)| {
            let done = done.clone();
            spawn(move || {
                let reply = blob(&request);
                request.reply(reply.clone()).wait().unwrap();
                assert_eq!(call.wait(), Ok(reply));
                done.one();
            })
        });
        a.set_room(usize::MAX);
        drive(&[&a, &b], &done);
        for thread in threads {
            thread.join();
        }
        drop((server, client, one, two));
    });
}

#[test]
fn a_server_does_not_sleep_beside_a_reply_that_goes() {
    check("server recv, requests held back / replies, room", 2, || {
        let (a, b) = link(By::Hand, By::Hand);
        let (mut server, client, [one, two, three, four]) = four_calls(&a, &b);
        for _ in 0..3 {
            let request = server.try_recv().unwrap();
            let reply = blob(&request);
            assert!(poll_once(request.reply(reply)).unwrap().is_ok());
        }
        assert!(matches!(server.try_recv(), Err(RecvError::Empty)), "a reply is kept");
        let done = Done::after(1);
        let is_done = done.clone();
        let serving = spawn(move || {
            let request = server.recv().wait().unwrap();
            let reply = blob(&request);
            request.reply(reply.clone()).wait().unwrap();
            assert_eq!(four.wait(), Ok(reply));
            is_done.one();
            server
        });
        a.set_room(usize::MAX);
        drive(&[&a, &b], &done);
        drop((serving.join(), client, one, two, three));
    });
}

#[test]
fn the_circuit_of_a_client_ends_with_its_last_call() {
    check("last client dropped / last reply", 3, || {
        let (a, b) = link(By::Hand, By::Hand);
        let (mut server, client) = method(&a, &b);
        let mut call = client.call(1);
        assert!(poll_once(std::pin::Pin::new(&mut call)).is_none());
        a.deliver();
        serve(&mut server);
        let calling = spawn(move || assert_eq!(call.wait(), Ok(2)));
        b.deliver();
        drop(client);
        calling.join();
        for _ in 0..4 {
            a.deliver();
            serve(&mut server);
            b.deliver();
        }
        assert_eq!(b.open_circuits(), 0, "nobody is left who could call");
        drop(server);
    });
}
