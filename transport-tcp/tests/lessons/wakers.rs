//! A waker may be the last hold on a task, and the task may own ends: dropping the waker drops
//! them. That must not happen under a lock which they want.

use std::any::Any;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use netchan::{Client, Duplex, Latest, Receiver, RecvError, Sender, Server, Watch, channel};

use crate::common::{Ground, Outcome, SOON, Tick, spawn, tick};

/// A task that is woken by nobody but owns something.
struct Task(#[expect(dead_code, reason = "it is there to be dropped")] Mutex<Box<dyn Any + Send>>);

impl Wake for Task {
    fn wake(self: Arc<Self>) {}
}

/// Polls once with the waker of a task that owns `what`, and that nobody else holds.
fn poll_owning<F: Future>(future: Pin<&mut F>, what: impl Any + Send) {
    let waker = Waker::from(Arc::new(Task(Mutex::new(Box::new(what)))));
    assert!(future.poll(&mut Context::from_waker(&waker)).is_pending());
}

/// The task moves: another waker takes the place of the first.
fn poll_again<F: Future>(future: Pin<&mut F>) {
    assert!(future.poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

#[test]
fn a_task_that_goes_with_its_waker_does_not_stop_its_link() -> Outcome {
    let ground = Ground::new();
    let _ticks: Sender<Tick> = ground.node.export("ticks")?;
    let _all: Receiver<Tick> = ground.node.export("all")?;
    for drops in [false, true] {
        let (_node, peer) = ground.visitor();
        let mut got = peer.import::<Receiver<Tick>>("ticks").wait()?;
        let owned = peer.import::<Sender<Tick>>("all").wait()?;
        let also = peer.import::<Receiver<Tick>>("ticks").wait()?;
        let polling = spawn(move || {
            poll_owning(pin!(got.recv()), (owned, also));
            if !drops {
                poll_again(pin!(got.recv()));
            }
        });
        polling.join();
        assert!(peer.import::<Receiver<Tick>>("ticks").timeout(SOON).wait().is_ok(), "the link stands still");
    }
    ground.others_go_on();
    Ok(())
}

#[test]
fn a_task_that_waits_for_credit_does_not_stop_its_link() -> Outcome {
    let ground = Ground::new();
    let _all: Receiver<Tick> = ground.node.export("all")?;
    let (_node, peer) = ground.visitor();
    let mut full = peer.import::<Sender<Tick>>("all").wait()?;
    while full.try_send(tick(1)).is_ok() {}
    full.send(tick(1)).timeout(std::time::Duration::from_millis(20)).wait().expect_err("no credit");
    let owned: Vec<_> =
        (0..3).map(|_| peer.import::<Sender<Tick>>("all").wait()).collect::<Result<_, _>>()?;
    let polling = spawn(move || {
        for (n, owned) in owned.into_iter().enumerate() {
            match n {
                0 => poll_owning(pin!(full.send(tick(2))), owned),
                1 => poll_owning(pin!(full.reserve()), owned),
                _ => poll_owning(pin!(full.drain()), owned),
            }
        }
        poll_again(pin!(full.send(tick(2))));
    });
    polling.join();
    assert!(peer.import::<Sender<Tick>>("all").timeout(SOON).wait().is_ok(), "the link stands still");
    ground.others_go_on();
    Ok(())
}

#[test]
fn a_task_that_owns_half_an_export_does_not_stop_the_other_half() -> Outcome {
    let ground = Ground::new();
    let (out, mut back) = ground.node.export::<Duplex<Tick, Tick>>("talk")?.split();
    let polling = spawn(move || {
        poll_owning(pin!(back.recv()), out);
        poll_again(pin!(back.recv()));
        drop(back);
    });
    polling.join();
    let (mut out, back) = ground.node.export::<Duplex<Tick, Tick>>("talk")?.split();
    let polling = spawn(move || {
        poll_owning(pin!(out.send(tick(1))), back);
        poll_again(pin!(out.send(tick(1))));
    });
    polling.join();
    let mut watch: Watch<Tick> = ground.node.export("watch")?;
    let latest: Latest<Tick> = ground.node.export("latest")?;
    let polling = spawn(move || {
        poll_owning(pin!(watch.changed()), latest);
        poll_again(pin!(watch.changed()));
    });
    polling.join();
    ground.others_go_on();
    Ok(())
}

#[test]
fn a_task_that_owns_a_local_channel_does_not_stop_it() -> Outcome {
    let polling = spawn(|| {
        let (sender, mut receiver) = channel::<Tick>(1);
        poll_owning(pin!(receiver.recv()), sender);
        assert!(pin!(receiver.recv()).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(receiver.try_recv(), Err(RecvError::Closed));
        let (mut sender, receiver) = channel::<Tick>(1);
        sender.try_send(tick(1)).expect("there is room");
        poll_owning(pin!(sender.send(tick(2))), receiver);
        assert!(pin!(sender.send(tick(2))).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    });
    polling.join();
    Ok(())
}

#[test]
fn a_task_that_owns_other_calls_does_not_stop_them() -> Outcome {
    let ground = Ground::new();
    let mut server: Server<Tick, Tick> = ground.node.export("server")?;
    let (_node, peer) = ground.visitor();
    let client = peer.import::<Client<Tick, Tick>>("server").wait()?;
    let own = client.clone();
    let polling = spawn(move || {
        for again in [true, false] {
            let mut other = Box::pin(own.call(tick(1)));
            poll_again(other.as_mut());
            let mut call = pin!(own.call(tick(2)));
            poll_owning(call.as_mut(), other);
            if again {
                poll_again(call.as_mut());
            }
        }
    });
    polling.join();
    let asked = spawn(move || client.call(tick(3)).timeout(SOON).wait());
    let request = loop {
        let request = server.recv().timeout(SOON).wait()?;
        if request.n == 3 {
            break request;
        }
        assert!(request.is_cancelled() || request.n < 3);
    };
    request.reply(tick(4)).wait()?;
    assert_eq!(asked.join(), Ok(tick(4)));
    Ok(())
}
