//! Values that pass by the link's lock: whoever was told to look takes them, and nobody else has to come.
//!
//! Time passes here, but never as much as to the next tick, at which anything would be found.
#![cfg(loom)]

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use netchan::host::model::{By, Side, check, import, link, pass, spawn};
use netchan::{Receiver, RecvError, SendCause, Sender};

/// Of 40 bytes: a model's lane has room for two of them, so that it runs full and goes round.
type Value = [u64; 4];

fn value(n: u32) -> Value {
    [u64::MAX - u64::from(n); 4]
}

/// Of these the first two are written at once, the third one is left to the flusher, the fourth one opens the
/// lane while the flusher has not come, and the others may take it.
const VALUES: u32 = 8;

/// `b` sends what `a` receives, and has sent the first two values.
fn sender_in_a_burst(by: By) -> (Side, Side, Sender<Value>, Receiver<Value>) {
    let (a, b) = link(By::Hand, by);
    let receiver = a.node.export("x").unwrap();
    let mut sender: Sender<Value> = import(&a, &b, b.peer.import("x"));
    for n in 0..2 {
        sender.send(value(n)).wait().unwrap();
    }
    (a, b, sender, receiver)
}

/// All values come, although nobody touches the sender's link any more but who was told to.
fn receive_all(a: &Side, receiver: &mut Receiver<Value>) {
    for n in 0..VALUES {
        let mut looks = 0;
        loop {
            match receiver.try_recv() {
                Ok(got) => break assert_eq!(got, value(n)),
                Err(RecvError::Empty) => {}
                Err(error) => panic!("{error}"),
            }
            looks += 1;
            assert!(looks < 100, "value {n} was left behind");
            pass(Duration::from_micros(50));
            loom::thread::yield_now();
            a.deliver();
        }
    }
}

#[test]
fn a_value_that_passes_by_the_lock_is_taken_by_the_writing_thread() {
    check("lane / writing thread", 2, || {
        let (a, b, mut sender, mut receiver) = sender_in_a_burst(By::Threads);
        let b = Arc::new(b);
        let writer = Arc::clone(&b);
        let writing = spawn(move || writer.attend());
        for n in 2..VALUES {
            sender.send(value(n)).wait().unwrap();
        }
        receive_all(&a, &mut receiver);
        b.break_line();
        writing.join();
        drop(sender);
    });
}

/// Polls the driver as a task that has moved: it looks at the clock then.
fn poll_anew(driver: &mut (impl Future + Unpin)) {
    struct Task;
    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }
    let waker = Waker::from(Arc::new(Task));
    assert!(Pin::new(driver).poll(&mut Context::from_waker(&waker)).is_pending());
}

#[test]
fn a_value_that_passes_by_the_lock_is_taken_by_the_task() {
    check("lane / driver of a task", 3, || {
        let (a, b, mut sender, mut receiver) = sender_in_a_burst(By::Hand);
        let mut driver = b.driver();
        poll_anew(&mut driver);
        let sending = spawn(move || {
            for n in 2..VALUES {
                sender.send(value(n)).wait().unwrap();
            }
            sender
        });
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut driver).poll(&mut cx).is_pending());
        let sender = sending.join();
        // Told at the latest now, and a little later it looks again.
        for _ in 0..2 {
            poll_anew(&mut driver);
            pass(Duration::from_micros(50));
        }
        poll_anew(&mut driver);
        a.deliver();
        for n in 0..VALUES {
            assert_eq!(receiver.try_recv(), Ok(value(n)));
        }
        drop((driver, sender));
    });
}

#[test]
fn a_lost_link_is_told_and_every_value_is_accounted_for() {
    check("lane / lost link", 2, || {
        let (_a, b, mut sender, receiver) = sender_in_a_burst(By::Threads);
        let b = Arc::new(b);
        let writer = Arc::clone(&b);
        let writing = spawn(move || writer.attend());
        let sending = spawn(move || {
            let mut sent = 2;
            for n in 2..VALUES {
                match sender.send(value(n)).wait() {
                    Ok(()) => sent += 1,
                    Err(error) => {
                        assert!(matches!(error.cause(), SendCause::Dead(_)), "{error}");
                        break;
                    }
                }
            }
            assert_eq!(sender.account().sent(), sent);
            sender
        });
        b.break_line();
        let mut sender = sending.join();
        assert!(sender.send(value(9)).wait().is_err(), "the link is known to be lost");
        writing.join();
        drop(receiver);
    });
}
