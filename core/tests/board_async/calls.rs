//! Methods, called by tasks.

use std::future::Future;

use netchan::board::{CallError, Client, Config, Duplex, Latest, Receiver, Sender, Server, Watch};
use netchan::proto::{Dead, Reason};
use netchan::testing::{Clock, wire_at};

use super::{LINE, Tasks, once};

#[test]
fn calls_of_several_kinds_are_answered() {
    let clock = Clock::manual();
    let (left, right) = wire_at(&clock);
    let mut tasks = Tasks::new(&clock);
    let server = board!(
        tasks,
        "server",
        left,
        Config::new(LINE).export::<Server<u32, u32>>(2).export::<Duplex<u8, u8>>(2).export::<Latest<u16>>(1)
    );
    let client = board!(
        tasks,
        "the-client",
        right,
        Config::new(LINE).import::<Client<u32, u32>>(2).import::<Duplex<u8, u8>>(2).import::<Watch<u16>>(1)
    );
    let mut double: Server<u32, u32> = server.export("double").unwrap();
    let mut echo: Duplex<u8, u8> = server.export("echo").unwrap();
    let level: Latest<u16> = server.export("level").unwrap();
    tasks.spawn(async move {
        loop {
            let request = double.recv().await.unwrap();
            let n = *request;
            if n == 13 {
                drop(request);
            } else {
                // A caller that has left needs no answer.
                let _ = request.reply(2 * n);
            }
        }
    });
    tasks.spawn(async move {
        while let Ok(byte) = echo.recv().await {
            echo.send(byte + 1).await.unwrap();
        }
    });
    let mut calls: Client<u32, u32> = client.import("double").unwrap();
    let mut talk: Duplex<u8, u8> = client.import("echo").unwrap();
    let mut watch: Watch<u16> = client.import("level").unwrap();
    for n in 0..20 {
        let result = tasks.run(calls.call(n));
        if n == 13 {
            let gone = Dead::peer(Reason::HandlerGone);
            assert!(matches!(result, Err(CallError::Refused(_, dead)) if dead == gone), "{result:?}");
        } else {
            assert_eq!(result, Ok(2 * n));
        }
        tasks.run(talk.send(n as u8)).unwrap();
        assert_eq!(tasks.run(talk.recv()), Ok(n as u8 + 1));
        level.set(&(n as u16)).unwrap();
        while tasks.run(watch.changed()).unwrap() != n as u16 {}
    }
}

#[test]
fn what_is_given_up_loses_nothing_and_a_late_reply_reaches_no_other_call() {
    let clock = Clock::manual();
    let (left, right) = wire_at(&clock);
    let mut tasks = Tasks::new(&clock);
    let far =
        board!(tasks, "far", left, Config::new(LINE).export::<Sender<u32>>(2).export::<Server<u32, u32>>(2));
    let near = board!(
        tasks,
        "near",
        right,
        Config::new(LINE).import::<Receiver<u32>>(2).import::<Client<u32, u32>>(2)
    );
    let mut sender: Sender<u32> = far.export("numbers").unwrap();
    let mut server: Server<u32, u32> = far.export("slow").unwrap();
    let mut receiver: Receiver<u32> = near.import("numbers").unwrap();
    let mut client: Client<u32, u32> = near.import("slow").unwrap();
    // A receive that is given up at any moment has taken nothing.
    let mut sent = 0;
    for n in 0..50 {
        {
            let mut recv = std::pin::pin!(receiver.recv());
            assert!(once(recv.as_mut()).is_pending());
        }
        {
            let mut send = std::pin::pin!(sender.send(1000));
            // There is nobody yet, or it is sent at once.
            if once(send.as_mut()).is_ready() {
                sent += 1;
            }
        }
        if sent > 0 {
            assert_eq!(tasks.run(receiver.recv()), Ok(1000));
            sent -= 1;
        }
        tasks.run(sender.send(n)).unwrap();
        assert_eq!(tasks.run(receiver.recv()), Ok(n));
    }
    // As many calls as like are given up, and the next one has its own answer.
    for n in 0..30 {
        {
            let mut call = std::pin::pin!(client.call(n));
            while once(call.as_mut()).is_pending() && server.try_recv().map(drop).is_err() {
                tasks.pass_ms(1);
            }
        }
        let answer = async {
            loop {
                let request = server.recv().await.unwrap();
                let n = *request;
                let _ = request.reply(n + 1);
            }
        };
        let mut answer = std::pin::pin!(answer);
        let mut call = std::pin::pin!(client.call(100 + n));
        let both = std::future::poll_fn(|cx| {
            assert!(answer.as_mut().poll(cx).is_pending());
            call.as_mut().poll(cx)
        });
        assert_eq!(tasks.run(both), Ok(101 + n));
    }
}

/// A call that finds no room makes some by fetching replies that nobody wants, and goes at once: not when the line has something to say again.
#[test]
fn a_call_goes_as_soon_as_it_has_made_room_itself() {
    const DEPTH: u16 = 2;
    let clock = Clock::manual();
    let (left, right) = wire_at(&clock);
    let mut tasks = Tasks::new(&clock);
    let far = board!(tasks, "far", left, Config::new(LINE).export::<Server<u32, u32>>(DEPTH));
    let near = board!(tasks, "near", right, Config::new(LINE).import::<Client<u32, u32>>(DEPTH));
    let mut server: Server<u32, u32> = far.export("double").unwrap();
    let mut client: Client<u32, u32> = near.import("double").unwrap();
    tasks.spawn(async move {
        while let Ok(request) = server.recv().await {
            let n = *request;
            request.reply(2 * n).unwrap();
        }
    });
    assert_eq!(tasks.run(client.call(1)), Ok(2));
    // As many as there is room for, whose replies have come and are not fetched.
    let mut begun = 0;
    while client.try_call(begun).is_ok() {
        begun += 1;
        tasks.pass_ms(50);
    }
    assert!(begun > 0, "there is room for some");
    // Nothing is left to be told, so nothing of the line's would wake the call.
    tasks.pass_ms(1000);
    let start = clock.now();
    assert_eq!(tasks.run(client.call(100)), Ok(200));
    let took = clock.now().since(start);
    assert!(took < std::time::Duration::from_millis(30), "a call that needs 5 ms has taken {took:?}");
}
