//! Who waits on an export, while importers come and go and the node leaves.
#![cfg(loom)]

use std::time::Duration;

use netchan::host::model::{By, Done, Side, check, drive, import, join, link, node, poll_once, spawn};
use netchan::host::{Duplex, Fanout};
use netchan::{
    Bytes, ExportError, ExportOptions, ImportError, Latest, Node, Reason, Receiver, RecvError, SendCause,
    Sender, Watch,
};

/// A node with two neighbours.
fn star() -> (Node, [(Side, Side); 2]) {
    let center = node("center");
    let sides = ["b", "c"].map(|name| join(&center, By::Hand, &node(name), By::Hand));
    (center, sides)
}

#[test]
fn a_sender_does_not_sleep_beside_an_importer() {
    check("send into an export / importer joins", 3, || {
        let (a, b) = link(By::Hand, By::Hand);
        let mut sender: Sender<u32> = a.node.export("x").unwrap();
        let sending = spawn(move || {
            sender.send(7).wait().unwrap();
            sender
        });
        let mut receiver: Receiver<u32> = import(&a, &b, b.peer.import("x"));
        let sender = sending.join();
        b.deliver();
        assert_eq!(receiver.try_recv(), Ok(7));
        drop(sender);
    });
}

#[test]
fn a_value_never_stands_before_the_accept() {
    check("export, send / open arrives", 3, || {
        let (a, b) = link(By::Hand, By::Hand);
        let exporter = a.node.clone();
        let mut importing = std::pin::pin!(b.peer.import::<Receiver<u32>>("x").into_future());
        assert!(poll_once(importing.as_mut()).is_none());
        let sending = spawn(move || {
            let mut sender = exporter.export::<Sender<u32>>("x").unwrap();
            sender.send(7).wait().unwrap();
            sender
        });
        a.deliver();
        let sender = sending.join();
        b.deliver();
        assert!(b.peer.is_up(), "a value before its accept ends the link");
        let mut receiver = poll_once(importing).unwrap().unwrap();
        assert_eq!(receiver.try_recv(), Ok(7));
        drop(sender);
    });
}

#[test]
fn a_sender_goes_on_with_another_importer_when_one_dies() {
    check("send without credit / one importer dies, another joins", 2, || {
        let (center, [(to_b, b), (to_c, c)]) = star();
        let mut sender: Sender<Bytes> = center.export("x").unwrap();
        let narrow = |side: &Side| side.peer.import::<Receiver<Bytes>>("x").window(1).message_limit(2_040);
        let value = || Bytes::from(vec![1; 2_040]);
        let _first = import(&to_b, &b, narrow(&b));
        while sender.try_send(value()).is_ok() {}
        let sending = spawn(move || {
            sender.send(value()).wait().unwrap();
            sender
        });
        to_b.break_line();
        let mut second = import(&to_c, &c, narrow(&c));
        let sender = sending.join();
        c.deliver();
        assert_eq!(second.try_recv().unwrap().len(), 2_040);
        drop((sender, b));
    });
}

#[test]
fn a_receiver_hears_of_every_importer() {
    check("recv from an export / two importers, one dies", 2, || {
        let (center, [(to_b, b), (to_c, c)]) = star();
        let mut receiver: Receiver<u32> = center.export("x").unwrap();
        let first: Sender<u32> = import(&to_b, &b, b.peer.import("x"));
        let second: Sender<u32> = import(&to_c, &c, c.peer.import("x"));
        let receiving = spawn(move || {
            let sum = receiver.recv().wait().unwrap() + receiver.recv().wait().unwrap();
            assert_eq!(sum, 3);
            receiver
        });
        let other = spawn(move || {
            first.try_send(1).unwrap();
            to_b.deliver();
            to_b.break_line();
            (first, to_b)
        });
        second.try_send(2).unwrap();
        to_c.deliver();
        drop(receiving.join());
        drop(other.join());
    });
}

#[test]
fn who_has_a_later_value_of_a_link_finds_the_earlier_one() {
    check("try_recv of an import, then of an export / both come", 3, || {
        let (a, b) = link(By::Hand, By::Hand);
        let mut exported: Receiver<u32> = a.node.export("x").unwrap();
        let to_exported: Sender<u32> = import(&a, &b, b.peer.import("x"));
        let later: Sender<u32> = b.node.export("y").unwrap();
        let mut imported: Receiver<u32> = import(&b, &a, a.peer.import("y"));
        to_exported.try_send(1).unwrap();
        later.try_send(2).unwrap();
        let delivering = spawn(move || {
            a.deliver();
            a
        });
        if imported.try_recv() == Ok(2) {
            assert_eq!(exported.try_recv(), Ok(1), "it came before");
        }
        drop(delivering.join());
    });
}

#[test]
fn a_broadcast_that_waits_hears_of_a_grant_and_of_a_joiner() {
    check("broadcast that waits / grant, importer joins", 2, || {
        let (center, [(to_b, b), (to_c, c)]) = star();
        let options = ExportOptions::fanout(Fanout::BroadcastWaits);
        let mut sender: Sender<Bytes> = center.export_with("x", options).unwrap();
        let narrow = |side: &Side| side.peer.import::<Receiver<Bytes>>("x").window(1).message_limit(2_040);
        let value = || Bytes::from(vec![1; 2_040]);
        let mut first = import(&to_b, &b, narrow(&b));
        for _ in 0..2 {
            sender.try_send(value()).unwrap();
        }
        let sending = spawn(move || {
            sender.send(value()).wait().unwrap();
            sender
        });
        let joining = spawn(move || {
            let second = import(&to_c, &c, narrow(&c));
            (second, to_c, c)
        });
        b.deliver();
        let mut taken = 0;
        while first.try_recv().is_ok() {
            taken += 1;
        }
        to_b.deliver();
        drop(joining.join());
        let sender = sending.join();
        b.deliver();
        while first.try_recv().is_ok() {
            taken += 1;
        }
        assert_eq!(taken, 3, "each value once");
        drop(sender);
    });
}

#[test]
fn an_exclusive_export_is_free_again_when_its_importer_has_left() {
    check("exclusive export / importer leaves, next one comes", 2, || {
        let (center, [(to_b, b), (to_c, c)]) = star();
        let mut duplex: Duplex<u32, u32> = center.export("x").unwrap();
        let first: Duplex<u32, u32> = import(&to_b, &b, b.peer.import("x"));
        let sending = spawn(move || {
            // To the first, or to the second, but never to nobody; that the first one has left
            // is told once, and before that nothing goes to the second.
            let (sender, receiver) = duplex.halves();
            let mut next = receiver.try_recv();
            let mut told = matches!(next, Err(RecvError::Left { .. }));
            // Also if it was told when the first one had ended its values, and still listened.
            if let Err(error) = sender.send(7).wait() {
                assert!(matches!(error.cause(), SendCause::Left { .. }), "{error}");
            }
            while next != Ok(8) {
                next = receiver.recv().wait();
                if let Err(error) = next {
                    assert!(matches!(error, RecvError::Left { .. }) && !told, "{error}");
                    told = true;
                }
            }
            duplex
        });
        drop(first);
        to_b.deliver();
        let mut tries = 0;
        let second: Duplex<u32, u32> = loop {
            let mut importing = std::pin::pin!(c.peer.import("x").into_future());
            let answer = loop {
                if let Some(answer) = poll_once(importing.as_mut()) {
                    break answer;
                }
                to_c.deliver();
                c.deliver();
                loom::thread::yield_now();
            };
            match answer {
                Ok(end) => break end,
                Err(error) => assert!(
                    matches!(*error, ImportError::Dead(dead) if dead.reason == Reason::Busy),
                    "{error}"
                ),
            }
            tries += 1;
            assert!(tries < 10, "busy for ever");
            loom::thread::yield_now();
        };
        let (to_center, from_center) = second.split();
        to_center.try_send(8).unwrap();
        to_c.deliver();
        drop(sending.join());
        drop(from_center);
    });
}

#[test]
fn an_importer_hears_of_the_end_of_an_export_that_closes_meanwhile() {
    check("import / export dropped", 3, || {
        let (a, b) = link(By::Hand, By::Hand);
        let sender: Sender<u32> = a.node.export("x").unwrap();
        let mut importing = std::pin::pin!(b.peer.import::<Receiver<u32>>("x").into_future());
        assert!(poll_once(importing.as_mut()).is_none());
        let closing = spawn(move || drop(sender));
        a.deliver();
        closing.join();
        b.deliver();
        match poll_once(importing.as_mut()) {
            Some(Ok(mut receiver)) => assert_eq!(receiver.try_recv(), Err(RecvError::Closed)),
            Some(Err(error)) => assert!(matches!(*error, ImportError::Dead(_)), "{error}"),
            // It waits for the next export of that name.
            None => {
                let _next: Sender<u32> = a.node.export("x").unwrap();
                b.deliver();
                assert!(poll_once(importing).unwrap().is_ok());
            }
        }
    });
}

#[test]
fn who_watches_a_latest_value_sees_the_newest() {
    check("latest: set / watcher waits, joins", 2, || {
        let (a, b) = link(By::Hand, By::Hand);
        let latest: Latest<u32> = a.node.export("x").unwrap();
        let setting = spawn(move || {
            latest.set(1).unwrap();
            latest.set(2).unwrap();
            latest
        });
        let mut watch: Watch<u32> = import(&a, &b, b.peer.import("x"));
        let watching = spawn(move || while watch.changed().wait().unwrap() != 2 {});
        let latest = setting.join();
        for _ in 0..2 {
            b.deliver();
            a.deliver();
        }
        b.deliver();
        watching.join();
        drop(latest);
    });
}

#[test]
fn a_node_that_leaves_forgets_nobody() {
    check("close / open arrives, new export, recv", 2, || {
        let (a, b) = link(By::Hand, By::Hand);
        let mut exported: Receiver<u32> = a.node.export("x").unwrap();
        let mut importing =
            ["x", "later"].map(|name| Box::pin(b.peer.import::<Sender<u32>>(name).into_future()));
        for importing in &mut importing {
            assert!(poll_once(importing.as_mut()).is_none());
        }
        let node = a.node.clone();
        let closing = spawn(move || {
            let mut closing = Box::pin(node.close(Duration::from_secs(5)));
            assert!(poll_once(closing.as_mut()).is_none());
            closing
        });
        let receiving = spawn(move || while exported.recv().wait().is_ok() {});
        let node = a.node.clone();
        let exporting = spawn(move || match node.export::<Receiver<u32>>("later") {
            Ok(mut later) => while later.recv().wait().is_ok() {},
            Err(error) => assert_eq!(error, ExportError::Shutdown),
        });
        a.deliver();
        let mut closing = closing.join();
        // The driver leaves in order, and then is dropped.
        drive(&[&a], &Done::after(0));
        assert!(poll_once(closing.as_mut()).is_some());
        receiving.join();
        exporting.join();
        b.deliver();
        for importing in importing {
            // Accepted and then dead, or dead at once.
            if let Ok(mut sender) = poll_once(importing).expect("an answer") {
                assert!(sender.send(1).wait().is_err());
            }
        }
    });
}

#[test]
fn a_value_passes_three_nodes() {
    check("splice of two channels by a thread / value, end, lost link", 2, || {
        let (router, [(to_b, b), (to_c, c)]) = star();
        let source: Sender<u32> = b.node.export("in").unwrap();
        let mut input: Receiver<u32> = import(&b, &to_b, to_b.peer.import("in"));
        let mut output: Sender<u32> = router.export("out").unwrap();
        let mut sink: Receiver<u32> = import(&to_c, &c, c.peer.import("out"));
        let routing = spawn(move || {
            while let Some(Ok(value)) = input.next().wait() {
                output.send(value).wait().unwrap();
            }
        });
        let receiving = spawn(move || {
            assert_eq!(sink.recv().wait(), Ok(7));
            assert!(matches!(sink.recv().wait(), Err(RecvError::Closed)));
        });
        source.try_send(7).unwrap();
        to_b.deliver();
        c.deliver();
        to_b.break_line();
        routing.join();
        c.deliver();
        receiving.join();
        drop(source);
    });
}
