//! How threads sleep: parked, reading a link in person, or writing for others.
#![cfg(loom)]

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, Ordering};
use netchan::host::model::{
    By, Done, Side, block_on, check, drive, import, link, pass, run_timer, spawn, wait,
};
use netchan::host::{LinkError, Source, Waiting};
use netchan::{Bytes, Receiver, RecvError, Sender, channel};

/// Something to wait for whose end others decide.
#[derive(Clone, Default)]
struct Flag {
    state: Arc<Mutex<(bool, Option<Waker>)>>,
    source: Option<Source<'static>>,
}

impl Flag {
    fn raise(&self) -> Option<Waker> {
        let mut state = self.state.lock().unwrap();
        state.0 = true;
        let waker = state.1.take();
        drop(state);
        if let Some(waker) = &waker {
            waker.wake_by_ref();
        }
        waker
    }
}

impl Waiting for Flag {
    type Output = bool;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.state.lock().unwrap();
        if state.0 {
            return Poll::Ready(true);
        }
        state.1 = Some(cx.waker().clone());
        Poll::Pending
    }

    fn expire(&mut self) -> bool {
        false
    }

    fn source(&self) -> Option<Source<'_>> {
        self.source.clone()
    }
}

#[test]
fn a_wake_between_the_check_and_the_sleep_is_not_lost() {
    check("park / wake", 3, || {
        let flag = Flag::default();
        let own = flag.clone();
        let waiting = spawn(move || assert!(wait(own).wait()));
        flag.raise();
        waiting.join();
    });
}

#[test]
fn a_late_wake_for_one_wait_does_not_spoil_the_next() {
    check("park twice / wake twice, stale wake", 3, || {
        let flags = [Flag::default(), Flag::default()];
        let own = flags.clone();
        let waiting = spawn(move || own.map(|flag| assert!(wait(flag).wait())));
        let stale = flags[0].raise();
        if let Some(waker) = stale {
            waker.wake_by_ref();
            flags[1].raise();
            waker.wake();
        } else {
            flags[1].raise();
        }
        waiting.join();
    });
}

#[test]
fn two_wakes_at_once_are_no_less_than_one() {
    check("park / wake from two threads", 2, || {
        let flags = [Flag::default(), Flag::default()];
        let (own, other) = (flags.clone(), flags[1].clone());
        let waiting = spawn(move || own.map(|flag| assert!(wait(flag).wait())));
        let raising = spawn(move || drop(other.raise()));
        flags[0].raise();
        raising.join();
        waiting.join();
    });
}

#[test]
fn a_deadline_or_a_wake_ends_a_sleep_and_no_wake_is_lost_to_a_deadline() {
    check("park until / wake, deadline", 3, || {
        let flag = Flag::default();
        let timed = wait(flag.clone()).timeout(Duration::from_secs(1));
        let own = flag.clone();
        let waiting = spawn(move || {
            if !timed.wait() {
                assert!(wait(own).wait());
            }
        });
        pass(Duration::from_secs(2));
        flag.raise();
        waiting.join();
    });
}

/// `b` is read by whoever waits, and `a` answers at once.
fn read_in_person() -> (Arc<Side>, Arc<Side>) {
    let (a, b) = link(By::Hand, By::Threads);
    b.is_answered_by(&a);
    (Arc::new(a), Arc::new(b))
}

#[test]
fn a_wake_reaches_a_thread_that_reads_a_link() {
    check("lead / wake from elsewhere", 3, || {
        let (_a, b) = read_in_person();
        let flag = Flag { source: Some(b.source()), ..Flag::default() };
        let own = flag.clone();
        let waiting = spawn(move || assert!(wait(own).wait()));
        flag.raise();
        waiting.join();
    });
}

#[test]
fn a_reader_in_person_hears_of_values_and_of_the_end_of_the_line() {
    check("lead / value, end of the line", 3, || {
        let (a, b) = link(By::Hand, By::Threads);
        let sender: Sender<u32> = a.node.export("x").unwrap();
        let mut receiver: Receiver<u32> = import(&a, &b, b.peer.import("x"));
        let receiving = spawn(move || {
            assert_eq!(receiver.recv().wait(), Ok(7));
            assert!(matches!(receiver.recv().wait(), Err(RecvError::Dead(_))));
        });
        sender.try_send(7).unwrap();
        b.end_input();
        receiving.join();
    });
}

#[test]
fn a_local_failure_reaches_a_reader_in_person() {
    check("lead / failure here", 3, || {
        let (a, b) = link(By::Hand, By::Threads);
        let _sender: Sender<u32> = a.node.export("x").unwrap();
        let mut receiver: Receiver<u32> = import(&a, &b, b.peer.import("x"));
        let receiving = spawn(move || {
            assert!(matches!(receiver.recv().wait(), Err(RecvError::Dead(_))));
        });
        b.break_line();
        receiving.join();
    });
}

#[test]
fn a_follower_is_not_left_without_a_reader() {
    check("leader leaves / follower waits / driver", 2, || {
        let (a, b) = read_in_person();
        let first: Sender<u32> = a.node.export("x").unwrap();
        let second: Sender<u32> = a.node.export("y").unwrap();
        let one: Receiver<u32> = import(&a, &b, b.peer.import("x"));
        let other: Receiver<u32> = import(&a, &b, b.peer.import("y"));
        let reader = Arc::clone(&b);
        spawn(move || reader.read());
        let threads = [one, other].map(|mut receiver| {
            spawn(move || {
                assert_eq!(receiver.recv().wait(), Ok(7));
                receiver
            })
        });
        first.try_send(7).unwrap();
        second.try_send(7).unwrap();
        let receivers = threads.map(|thread| thread.join());
        b.break_line();
        drop(receivers);
    });
}

#[test]
fn a_flush_that_was_left_to_the_writing_thread_is_not_lost() {
    check("burst / writing thread goes to sleep", 2, || {
        let (a, b) = link(By::Threads, By::Threads);
        let a = Arc::new(a);
        let sender: Sender<u32> = a.node.export("x").unwrap();
        let mut receiver: Receiver<u32> = {
            let (importer, peer) = (&b, b.peer.clone());
            import(&a, importer, peer.import("x"))
        };
        let writer = Arc::clone(&a);
        let writing = spawn(move || writer.attend());
        let sending = spawn(move || {
            for n in 0..3 {
                sender.try_send(n).unwrap();
            }
            sender
        });
        for n in 0..3 {
            assert_eq!(receiver.recv().wait(), Ok(n));
        }
        let sender = sending.join();
        a.break_line();
        writing.join();
        drop(sender);
    });
}

#[test]
fn a_sender_is_not_left_at_a_full_output_that_was_flushed() {
    check("send to a full output / the line takes more", 2, || {
        let (a, b) = link(By::Threads, By::Hand);
        a.is_answered_by(&b);
        let a = Arc::new(a);
        // Two channels, since one has no credit for so much.
        let senders: [Sender<Bytes>; 2] = ["x", "y"].map(|name| a.node.export(name).unwrap());
        let receivers: [Receiver<Bytes>; 2] = ["x", "y"].map(|name| import(&a, &b, b.peer.import(name)));
        // Short enough to go into the output at once.
        let fill = |sender: &Sender<Bytes>| {
            (0..).take_while(|_| sender.try_send(Bytes::from(vec![0; 4000])).is_ok()).count()
        };
        a.set_room(0);
        let [other, mut sender] = senders;
        let all = fill(&other);
        assert!(fill(&sender) < all, "it still has credit when the output is full");
        let writer = Arc::clone(&a);
        let writing = spawn(move || writer.attend());
        let sending = spawn(move || {
            sender.reserve().wait().unwrap();
            sender
        });
        a.set_room(usize::MAX);
        let sender = sending.join();
        a.break_line();
        writing.join();
        drop((sender, other, receivers));
    });
}

#[test]
fn a_writing_thread_does_not_outlive_its_link() {
    check("writing thread / lost link", 3, || {
        let (a, _b) = link(By::Threads, By::Hand);
        let a = Arc::new(a);
        let (reader, writer) = (Arc::clone(&a), Arc::clone(&a));
        let reading = spawn(move || reader.read());
        let writing = spawn(move || writer.attend());
        a.break_line();
        writing.join();
        reading.join();
    });
}

#[test]
fn a_writing_thread_hears_of_the_leave() {
    check("leave / writing and reading threads", 2, || {
        let (a, b) = link(By::Threads, By::Hand);
        a.is_answered_by(&b);
        let a = Arc::new(a);
        let mut sender: Sender<u32> = a.node.export("x").unwrap();
        let mut receiver: Receiver<u32> = import(&a, &b, b.peer.import("x"));
        let (reader, writer) = (Arc::clone(&a), Arc::clone(&a));
        let reading = spawn(move || reader.read());
        let writing = spawn(move || writer.attend());
        let _ = sender.try_send(7);
        assert_eq!(a.node.close(Duration::from_secs(5)).wait(), 0);
        writing.join();
        reading.join();
        assert_eq!(receiver.try_recv(), Ok(7));
        assert!(matches!(receiver.try_recv(), Err(RecvError::Dead(_))));
        assert!(sender.send(8).wait().is_err());
    });
}

#[test]
fn a_task_that_leaves_is_driven_to_its_end() {
    check("leave / driver of a task", 2, || {
        let (a, b) = link(By::Hand, By::Hand);
        let sender: Sender<u32> = a.node.export("x").unwrap();
        let mut receiver: Receiver<u32> = import(&a, &b, b.peer.import("x"));
        let done = Done::after(2);
        let (one, other, node) = (done.clone(), done.clone(), a.node.clone());
        let closing = spawn(move || {
            sender.try_send(7).unwrap();
            assert_eq!(node.close(Duration::from_secs(5)).wait(), 0);
            one.one();
            sender
        });
        let receiving = spawn(move || {
            assert_eq!(receiver.recv().wait(), Ok(7));
            assert!(matches!(receiver.recv().wait(), Err(RecvError::Dead(_))));
            other.one();
        });
        drive(&[&a, &b], &done);
        closing.join();
        receiving.join();
    });
}

#[test]
fn a_watcher_of_a_node_hears_of_a_lost_link() {
    check("next event, down / lost link", 3, || {
        let (a, b) = link(By::Hand, By::Hand);
        let peer = b.peer.clone();
        let watching = spawn(move || assert!(matches!(peer.down().wait(), LinkError::Io(_))));
        b.break_line();
        watching.join();
        drop(a);
    });
}

#[test]
fn a_deadline_that_comes_while_the_timer_goes_to_sleep_is_kept() {
    check("timer thread / new deadline, wake", 3, || {
        let (sender, mut receiver) = channel::<u32>(1);
        let done = Arc::new(AtomicBool::new(false));
        let is_done = Arc::clone(&done);
        let timing = spawn(move || run_timer(|| is_done.load(Ordering::SeqCst)));
        let made = Flag::default();
        let own = made.clone();
        let waiting = spawn(move || {
            let timed = receiver.recv().timeout(Duration::from_secs(1));
            own.raise();
            assert_eq!(block_on(timed), Err(RecvError::Deadline));
        });
        assert!(wait(made).wait());
        pass(Duration::from_secs(2));
        waiting.join();
        done.store(true, Ordering::SeqCst);
        pass(Duration::ZERO);
        timing.join();
        drop(sender);
    });
}

#[test]
fn a_value_that_comes_with_its_deadline_is_not_lost() {
    check("recv with a deadline / value, time", 3, || {
        let (sender, mut receiver) = channel::<u32>(1);
        let made = Flag::default();
        let own = made.clone();
        let waiting = spawn(move || {
            let timed = receiver.recv().timeout(Duration::from_secs(1));
            own.raise();
            if timed.wait() != Ok(7) {
                assert_eq!(receiver.recv().wait(), Ok(7));
            }
        });
        assert!(wait(made).wait());
        pass(Duration::from_secs(2));
        sender.try_send(7).unwrap();
        waiting.join();
        drop(sender);
    });
}
