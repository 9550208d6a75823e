//! Who waits on one link: for values, for credit, for room, for confirmation, for the end.
//!
//! A wake that is lost is a deadlock, which loom reports.
#![cfg(loom)]

use std::sync::Arc;

use netchan::host::LinkError;
use netchan::host::model::{By, Done, Side, check, drive, import, link, poll_once, spawn};
use netchan::{Bytes, Receiver, RecvError, SendCause, Sender};

/// An exported sender at `a`, imported by a receiver at `b`.
fn channel(a: &Side, b: &Side, name: &str) -> (Sender<u32>, Receiver<u32>) {
    let sender = a.node.export(name).unwrap();
    (sender, import(a, b, b.peer.import(name)))
}

/// As `channel`, with credit for just two values of this length.
fn narrow(a: &Side, b: &Side) -> (Sender<Bytes>, Receiver<Bytes>, Bytes) {
    let sender = a.node.export("x").unwrap();
    let receiver = import(a, b, b.peer.import("x").window(1).message_limit(2_040));
    (sender, receiver, Bytes::from(vec![1; 2_040]))
}

#[test]
fn a_receiver_does_not_sleep_beside_a_value() {
    check("recv / value", 3, || {
        let (a, b) = link(By::Hand, By::Hand);
        let (sender, mut receiver) = channel(&a, &b, "x");
        let receiving = spawn(move || {
            assert_eq!(receiver.recv().wait(), Ok(7));
            assert_eq!(receiver.recv().wait(), Ok(8));
        });
        sender.try_send(7).unwrap();
        b.deliver();
        sender.try_send(8).unwrap();
        b.deliver();
        receiving.join();
    });
}

#[test]
fn a_receiver_does_not_sleep_beside_the_end_or_lose_the_last_value() {
    check("recv / end", 3, || {
        let (a, b) = link(By::Hand, By::Hand);
        let (sender, mut receiver) = channel(&a, &b, "x");
        let receiving = spawn(move || {
            assert_eq!(receiver.recv().wait(), Ok(7));
            assert_eq!(receiver.recv().wait(), Err(RecvError::Closed));
        });
        sender.try_send(7).unwrap();
        b.deliver();
        drop(sender);
        b.deliver();
        receiving.join();
    });
}

#[test]
fn a_lost_link_forgets_no_waiter() {
    check("recv, send, drain, down / lost link", 2, || {
        let (a, b) = link(By::Hand, By::Hand);
        let (_ticks, mut receiver) = channel(&a, &b, "x");
        let orders: Receiver<u32> = b.node.export("y").unwrap();
        let mut sender: Sender<u32> = import(&b, &a, a.peer.import("y"));
        let dead = |result| assert!(matches!(result, Err(RecvError::Dead(_))));
        let receiving = spawn(move || dead(receiver.recv().wait()));
        sender.try_send(1).unwrap();
        let draining = spawn(move || assert!(sender.drain().wait().is_err()));
        let peer = b.peer.clone();
        let watching = spawn(move || assert!(matches!(peer.down().wait(), LinkError::Io(_))));
        b.break_line();
        a.break_line();
        for thread in [receiving, draining, watching] {
            thread.join();
        }
        drop(orders);
    });
}

#[test]
fn a_lost_link_loses_no_complete_value() {
    check("recv / value, then lost link", 3, || {
        let (a, b) = link(By::Hand, By::Hand);
        let (sender, mut receiver) = channel(&a, &b, "x");
        sender.try_send(7).unwrap();
        let receiving = spawn(move || {
            let first = receiver.recv().wait();
            if first == Ok(7) {
                assert!(matches!(receiver.recv().wait(), Err(RecvError::Dead(_))));
            } else {
                panic!("{first:?} although the value was there before the loss");
            }
        });
        b.deliver();
        b.break_line();
        receiving.join();
    });
}

#[test]
fn a_message_that_came_before_a_goodbye_is_not_lost() {
    check("post, goodbye / tick", 2, || {
        let (a, b) = link(By::Hand, By::Hand);
        let mut receiver: Receiver<u32> = b.node.export("x").unwrap();
        a.peer.try_post("x", 7_u32).unwrap();
        a.peer.close();
        let b = Arc::new(b);
        let ticking = spawn({
            let b = Arc::clone(&b);
            move || b.tick()
        });
        b.deliver();
        ticking.join();
        assert_eq!(receiver.try_recv(), Ok(7));
        assert!(!b.peer.is_up());
    });
}

#[test]
fn a_sender_without_credit_does_not_sleep_beside_a_grant() {
    check("send / grant", 3, || {
        let (a, b) = link(By::Hand, By::Hand);
        let (mut sender, mut receiver, value) = narrow(&a, &b);
        let one = value.clone();
        sender.try_send(value.clone()).unwrap();
        sender.try_send(value).unwrap();
        let sending = spawn(move || {
            sender.send(one).wait().unwrap();
            sender
        });
        for _ in 0..3 {
            b.deliver();
            while receiver.try_recv().is_ok() {}
            a.deliver();
        }
        drop(sending.join());
    });
}

#[test]
fn a_sender_without_credit_hears_of_a_dropped_receiver() {
    check("send / hang-up", 3, || {
        let (a, b) = link(By::Hand, By::Hand);
        let receiver: Receiver<Bytes> = b.node.export("x").unwrap();
        let mut sender: Sender<Bytes> = import(&b, &a, a.peer.import("x"));
        let value = Bytes::from(vec![1; 65_000]);
        while sender.try_send(value.clone()).is_ok() {}
        let sending = spawn(move || {
            let error = sender.send(value).wait().unwrap_err();
            assert!(matches!(error.cause(), SendCause::Dead(_)), "{error:?}");
        });
        b.deliver();
        drop(receiver);
        a.deliver();
        sending.join();
    });
}

#[test]
fn a_drain_does_not_sleep_beside_the_last_value_taken() {
    check("drain / taken", 2, || {
        let (a, b) = link(By::Hand, By::Hand);
        let b = Arc::new(b);
        let (mut sender, mut receiver) = channel(&a, &b, "x");
        sender.try_send(7).unwrap();
        let done = Done::after(2);
        let (one, other) = (done.clone(), done.clone());
        let draining = spawn(move || {
            sender.drain().wait().unwrap();
            assert_eq!(sender.account().confirmed, 1);
            one.one();
            sender
        });
        // Counting and asking may cross and miss each other: then a tick finds out.
        let ticking = Arc::clone(&b);
        let taking = spawn(move || {
            assert_eq!(receiver.recv().wait(), Ok(7));
            ticking.look_at_asked();
            other.one();
            receiver
        });
        drive(&[&a, &b], &done);
        draining.join();
        taking.join();
    });
}

#[test]
fn a_task_that_took_over_a_wait_is_the_one_that_is_woken() {
    check("recv by another task / value", 3, || {
        let (a, b) = link(By::Hand, By::Hand);
        let (sender, mut receiver) = channel(&a, &b, "x");
        // Somebody else polled before, and dropped the operation.
        assert!(poll_once(receiver.recv()).is_none());
        let receiving = spawn(move || assert_eq!(receiver.recv().wait(), Ok(7)));
        sender.try_send(7).unwrap();
        b.deliver();
        receiving.join();
    });
}

#[test]
fn a_dropped_wait_loses_no_value() {
    check("recv dropped / value", 3, || {
        let (a, b) = link(By::Hand, By::Hand);
        let (sender, mut receiver) = channel(&a, &b, "x");
        let receiving = spawn(move || match poll_once(receiver.recv()) {
            Some(value) => assert_eq!(value, Ok(7)),
            None => assert_eq!(receiver.recv().wait(), Ok(7)),
        });
        sender.try_send(7).unwrap();
        b.deliver();
        receiving.join();
    });
}

#[test]
fn an_import_does_not_sleep_beside_its_answer() {
    check("import / export", 2, || {
        let (a, b) = link(By::Hand, By::Hand);
        let (node, peer) = (a.node.clone(), b.peer.clone());
        let done = Done::after(2);
        let (one, other) = (done.clone(), done.clone());
        let exporting = spawn(move || {
            let mut sender = node.export::<Sender<u32>>("x").unwrap();
            sender.send(7).wait().unwrap();
            one.one();
            sender
        });
        let importing = spawn(move || {
            let mut receiver = peer.import::<Receiver<u32>>("x").wait().unwrap();
            assert_eq!(receiver.recv().wait(), Ok(7));
            other.one();
        });
        drive(&[&a, &b], &done);
        drop(exporting.join());
        importing.join();
    });
}
