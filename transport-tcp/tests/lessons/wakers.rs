//! A waker may be the last hold on a task, and the task may own ends: dropping the waker drops
//! them. That must not happen under a lock which they want.

use std::any::Any;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use netchan::{Client, Duplex, Latest, Receiver, RecvError, Sender, Server, Watch, channel};

use crate::common::{Ground, Outcome, SOON, Tick, eventually, spawn, tick};

/// A task that is woken by nobody but owns something.
struct Task(#[expect(dead_code, reason = "it is there to be dropped")] Mutex<Box<dyn Any + Send>>);

impl Wake for Task {
    fn wake(self: Arc<Self>) {}
}

/// A task that knows whether it was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
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

#[test]
fn a_wait_for_the_end_of_a_link_that_is_dropped_leaves_nothing_there() -> Outcome {
    let ground = Ground::new();
    let (_node, peer) = ground.visitor();
    let owned = Arc::new(());
    let kept = || Arc::strong_count(&owned) - 1;
    for _ in 0..100 {
        let mut down = peer.down();
        poll_owning(Pin::new(&mut down), Arc::clone(&owned));
        poll_owning(Pin::new(&mut down), Arc::clone(&owned));
        assert_eq!(kept(), 1, "the task that it was in before");
        drop(down);
        assert_eq!(kept(), 0);
    }
    // What its task owns may be another wait for the same link.
    let polling = spawn({
        let peer = peer.clone();
        move || {
            for again in [true, false] {
                let mut other = peer.down();
                poll_again(Pin::new(&mut other));
                let mut down = peer.down();
                poll_owning(Pin::new(&mut down), other);
                if again {
                    poll_again(Pin::new(&mut down));
                }
            }
        }
    });
    polling.join();
    // Those that are not dropped are told, also one whose task has dropped another one.
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let [mut stays, mut goes] = [(); 2].map(|()| peer.down());
    for down in [&mut stays, &mut goes] {
        assert!(Pin::new(down).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    drop(goes);
    peer.close();
    peer.down().timeout(SOON).wait();
    eventually("it is told", || woken.0.load(Ordering::SeqCst).then_some(()));
    assert!(Pin::new(&mut stays).poll(&mut Context::from_waker(Waker::noop())).is_ready());
    Ok(())
}
