//! Who waits on a channel inside the process, on one of several ends, and on an end that
//! moves to another node meanwhile.
#![cfg(loom)]

use netchan::host::model::{By, Side, check, import, link, poll_once, spawn};
use netchan::{Receiver, RecvError, SendCause, Sender, channel, select};

#[test]
fn a_local_receiver_does_not_sleep_beside_a_value_or_the_end() {
    check("local recv / value, end", 3, || {
        let (sender, mut receiver) = channel::<u32>(2);
        let receiving = spawn(move || {
            assert_eq!(receiver.recv().wait(), Ok(7));
            assert_eq!(receiver.recv().wait(), Err(RecvError::Closed));
        });
        sender.try_send(7).unwrap();
        drop(sender);
        receiving.join();
    });
}

#[test]
fn a_local_sender_does_not_sleep_beside_room() {
    check("local send / room", 3, || {
        let (mut sender, mut receiver) = channel::<u32>(1);
        let sending = spawn(move || {
            for n in 0..3 {
                sender.send(n).wait().unwrap();
            }
            sender.drain().wait().unwrap();
            assert_eq!(sender.account().confirmed, 3);
        });
        for n in 0..3 {
            assert_eq!(receiver.recv().wait(), Ok(n));
        }
        assert_eq!(receiver.recv().wait(), Err(RecvError::Closed));
        sending.join();
    });
}

#[test]
fn a_local_sender_hears_of_a_dropped_receiver() {
    check("local send, drain / hang-up", 3, || {
        let (mut sender, receiver) = channel::<u32>(1);
        let sending = spawn(move || {
            match sender.send(1).wait() {
                Ok(()) => assert!(sender.drain().wait().is_err()),
                Err(error) => assert!(matches!(error.cause(), SendCause::Dead(_))),
            }
            assert!(sender.send(2).wait().is_err());
            assert!(sender.reserve().wait().is_err());
        });
        drop(receiver);
        sending.join();
    });
}

#[test]
fn a_select_does_not_sleep_beside_one_of_its_ends() {
    check("select / two values", 3, || {
        let (one, mut first) = channel::<u32>(1);
        let (other, mut second) = channel::<u32>(1);
        let selecting = spawn(move || {
            let mut sum = 0;
            for _ in 0..2 {
                sum += match select(&mut [&mut first, &mut second]).wait().unwrap() {
                    0 => first.try_recv().unwrap(),
                    _ => second.try_recv().unwrap(),
                };
            }
            assert_eq!(sum, 3);
        });
        let sending = spawn(move || {
            one.try_send(1).unwrap();
            one
        });
        other.try_send(2).unwrap();
        let one = sending.join();
        selecting.join();
        drop((one, other));
    });
}

#[test]
fn a_select_over_a_link_and_a_local_channel_hears_both() {
    check("select / value, lost link", 3, || {
        let (a, b) = link(By::Hand, By::Hand);
        let _ticks: Sender<u32> = a.node.export("x").unwrap();
        let mut remote: Receiver<u32> = import(&a, &b, b.peer.import("x"));
        let (sender, mut local) = channel::<u32>(1);
        let selecting = spawn(move || {
            let mut seen = [false; 2];
            while seen != [true; 2] {
                let index = if seen[0] {
                    1 + select(&mut [&mut local]).wait().unwrap()
                } else if seen[1] {
                    select(&mut [&mut remote]).wait().unwrap()
                } else {
                    select(&mut [&mut remote, &mut local]).wait().unwrap()
                };
                match index {
                    0 => assert!(matches!(remote.try_recv(), Err(RecvError::Dead(_)))),
                    _ => assert_eq!(local.try_recv(), Ok(7)),
                }
                seen[index] = true;
            }
        });
        sender.try_send(7).unwrap();
        b.break_line();
        selecting.join();
    });
}

/// A channel of ends from `a` to `b`.
fn carrier<E: netchan::Message + Send + 'static>(a: &Side, b: &Side) -> (Sender<E>, Receiver<E>) {
    let sender = a.node.export("ends").unwrap();
    (sender, import(a, b, b.peer.import("ends")))
}

#[test]
fn a_receiver_that_has_moved_hears_of_its_senders_end() {
    check("move a receiver / send, drop its sender", 3, || {
        let (a, b) = link(By::Hand, By::Hand);
        let (ends, mut arriving) = carrier::<Receiver<u32>>(&a, &b);
        let (mut sender, receiver) = channel::<u32>(2);
        let sending = spawn(move || {
            sender.send(7).wait().unwrap();
            drop(sender);
        });
        ends.try_send(receiver).unwrap();
        b.deliver();
        let mut receiver = poll_once(arriving.recv()).unwrap().unwrap();
        a.deliver();
        sending.join();
        b.deliver();
        assert_eq!(poll_once(receiver.recv()), Some(Ok(7)));
        assert_eq!(poll_once(receiver.recv()), Some(Err(RecvError::Closed)));
        drop((ends, arriving));
    });
}

#[test]
fn a_sender_that_has_moved_hears_of_its_receivers_end() {
    check("move a sender / drop its receiver", 3, || {
        let (a, b) = link(By::Hand, By::Hand);
        let (ends, mut arriving) = carrier::<Sender<u32>>(&a, &b);
        let (sender, receiver) = channel::<u32>(2);
        let hanging_up = spawn(move || drop(receiver));
        ends.try_send(sender).unwrap();
        hanging_up.join();
        b.deliver();
        let mut sender = poll_once(arriving.recv()).unwrap().unwrap();
        a.deliver();
        b.deliver();
        let error = poll_once(sender.send(1)).expect("nobody can take it").unwrap_err();
        assert!(matches!(error.cause(), SendCause::Dead(_)));
        drop((ends, arriving));
    });
}

#[test]
fn a_wait_for_room_survives_the_move_of_the_other_end() {
    check("reserve, drain / move the receiver", 3, || {
        let (a, b) = link(By::Hand, By::Hand);
        let (ends, mut arriving) = carrier::<Receiver<u32>>(&a, &b);
        let (mut sender, receiver) = channel::<u32>(1);
        sender.try_send(6).unwrap();
        let sending = spawn(move || {
            sender.reserve().wait().unwrap().send(7).unwrap();
            assert!(poll_once(sender.drain()).is_none(), "nobody has taken the value");
            sender
        });
        ends.try_send(receiver).unwrap();
        b.deliver();
        let mut receiver = poll_once(arriving.recv()).unwrap().unwrap();
        a.deliver();
        let mut sender = sending.join();
        b.deliver();
        assert_eq!(poll_once(receiver.recv()), Some(Ok(6)));
        assert_eq!(poll_once(receiver.recv()), Some(Ok(7)));
        a.deliver();
        assert_eq!(poll_once(sender.drain()), Some(Ok(())));
        drop((ends, arriving));
    });
}
