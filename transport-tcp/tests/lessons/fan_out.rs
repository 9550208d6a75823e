//! Who gets a value is said at the export, and no value goes to the dead.

use std::net::TcpListener;
use std::time::Duration;

use netchan::proto::{Accept, Frame, Handle, Open, OpenFlags, Total};
use netchan::{ExportOptions, Fanout, Latest, Node, Receiver, SendCause, Sender, Watch};
use netchan_tcp as tcp;

use crate::common::raw::{Raw, mine, receives};
use crate::common::{Ground, Outcome, SOON, Tick, eventually, spawn, tick};

#[test]
fn a_work_queue_never_delivers_twice_and_starves_nobody() -> Outcome {
    let ground = Ground::new();
    let mut queue: Sender<Tick> = ground.node.export("queue")?;
    let visitors: Vec<_> = (0..2).map(|_| ground.visitor()).collect();
    let total = 2000;
    let importers: Vec<_> = visitors
        .iter()
        .map(|(_, peer)| {
            let got = peer.import::<Receiver<Tick>>("queue").wait().expect("it is exported");
            spawn(move || got.map(|tick| tick.map(|tick| tick.n)).collect::<Result<Vec<u64>, _>>())
        })
        .collect();
    eventually("both have joined", || (queue.importers() == 2).then_some(()));
    for n in 0..total {
        queue.send(tick(n)).wait()?;
    }
    drop(queue);
    let mut all = Vec::new();
    for importer in importers {
        let values = importer.join()?;
        assert!(values.len() as u64 >= total / 10, "one of two got {} of {total}", values.len());
        assert!(values.is_sorted(), "out of order for one importer");
        all.extend(values);
    }
    all.sort_unstable();
    assert!(all.into_iter().eq(0..total), "a value was lost or came twice");
    Ok(())
}

#[test]
fn an_importer_that_does_not_take_does_not_hold_up_the_work_of_others() -> Outcome {
    let ground = Ground::new();
    let mut queue: Sender<Tick> = ground.node.export("queue")?;
    let (_a, idle_peer) = ground.visitor();
    let (_b, peer) = ground.visitor();
    let idle = idle_peer.import::<Receiver<Tick>>("queue").wait()?;
    let mut busy = peer.import::<Receiver<Tick>>("queue").wait()?;
    let sender = spawn(move || {
        for n in 0..20_000 {
            queue.send(tick(n)).timeout(SOON).wait().expect("one of them has room");
        }
        (queue.account(), queue)
    });
    // All that the idle one can hold is its window; the rest comes here.
    let mut got = 0;
    while busy.recv().timeout(Duration::from_millis(500)).wait().is_ok() {
        got += 1;
    }
    let (account, queue) = sender.join();
    assert_eq!(account.sent(), 20_000);
    assert!(got >= 10_000, "{got}");
    drop(idle);
    drop(queue);
    Ok(())
}

#[test]
fn no_value_is_lost_in_silence_when_an_importer_dies() -> Outcome {
    let ground = Ground::new();
    let mut queue: Sender<Tick> = ground.node.export("queue")?;
    let (node, doomed_peer) = ground.visitor();
    let (_other, peer) = ground.visitor();
    let mut doomed = doomed_peer.import::<Receiver<Tick>>("queue").wait()?;
    let survivor = peer.import::<Receiver<Tick>>("queue").wait()?;
    eventually("both have joined", || (queue.importers() == 2).then_some(()));
    let survivor = spawn(move || {
        survivor.map(|tick| tick.map(|tick| tick.n)).collect::<Result<Vec<u64>, _>>().expect("an orderly end")
    });
    let (tell, told) = std::sync::mpsc::channel();
    let sender = spawn(move || {
        let total = 3000;
        for n in 0..total {
            queue.send(tick(n)).timeout(SOON).wait().expect("the survivor takes all");
            if n == total / 2 {
                tell.send(()).expect("the test listens");
            }
        }
        eventually("the dead one has left", || (queue.importers() == 1).then_some(()));
        queue.drain().timeout(SOON).wait().ok();
        let before = queue.account();
        // From now on nothing goes to the dead: not even the first value.
        for n in total..total + 500 {
            queue.send(tick(n)).timeout(SOON).wait().expect("the survivor takes all");
        }
        queue.drain().timeout(SOON).wait().ok();
        (before, queue.account(), total)
    });
    // It takes some, and is gone in mid-stream, with values in its inbox.
    let mut taken = Vec::new();
    for _ in 0..100 {
        taken.push(doomed.recv().wait()?.n);
    }
    told.recv_timeout(SOON)?;
    node.shutdown(Duration::ZERO);
    let (before, after, total) = sender.join();
    let mut left = 0;
    while doomed.try_recv().is_ok() {
        left += 1;
    }
    let got = survivor.join();
    assert_eq!(before.sent(), total);
    assert_eq!(after.sent(), total + 500);
    assert_eq!(after.unsent, 0);
    assert_eq!(before.in_doubt, after.in_doubt, "a value went to the dead");
    assert_eq!(after.confirmed, before.confirmed + 500);
    // Everything is with one of the two, or in the account as in doubt.
    let mut all: Vec<u64> = got.iter().chain(&taken).copied().collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), got.len() + taken.len(), "a value came twice");
    let missing = total + 500 - all.len() as u64;
    assert!(missing <= after.in_doubt, "{missing} values are lost and {} are in doubt", after.in_doubt);
    assert!(left <= after.in_doubt);
    assert!(after.confirmed >= got.len() as u64);
    assert!(after.confirmed <= all.len() as u64);
    Ok(())
}

#[test]
fn a_connection_that_is_cut_takes_no_further_value_along() -> Outcome {
    let ground = Ground::new();
    let mut queue: Sender<Tick> = ground.node.export("queue")?;
    for round in 0..20 {
        let mut raw = Raw::up(ground.address);
        raw.open(0, receives::<Tick>("queue", 4000));
        eventually("it has joined", || (queue.importers() == 1).then_some(()));
        drop(raw);
        eventually("it has left", || (queue.importers() == 0).then_some(()));
        let sent = queue.account().sent();
        assert_eq!(sent, round, "a value went to the dead");
        let (_node, peer) = ground.visitor();
        let mut got = peer.import::<Receiver<Tick>>("queue").wait()?;
        queue.send(tick(round)).timeout(SOON).wait()?;
        assert_eq!(got.recv().wait()?, tick(round));
        drop(got);
        eventually("it has left", || (queue.importers() == 0).then_some(()));
    }
    Ok(())
}

#[test]
fn a_broadcast_that_loses_says_how_much() -> Outcome {
    let ground = Ground::new();
    let options = ExportOptions::fanout(Fanout::Broadcast);
    let mut all: Sender<Tick> = ground.node.export_with("all", options)?;
    let mut raw = Raw::up(ground.address);
    // Room for ten, which it never gives back.
    raw.open(0, receives::<Tick>("all", 80));
    let (_node, peer) = ground.visitor();
    let mut got = peer.import::<Receiver<Tick>>("all").wait()?;
    eventually("both have joined", || (all.importers() == 2).then_some(()));
    for n in 0..100 {
        all.send(tick(n)).timeout(SOON).wait()?;
        assert_eq!(got.recv().wait()?, tick(n));
    }
    let account = all.account();
    assert_eq!((account.sent(), account.dropped), (200, 90));
    raw.send(&Frame::Credit(mine(0), Total::new(88)));
    eventually("room again", || {
        all.try_send(tick(0)).ok();
        let _ = got.try_recv();
        (all.account().in_doubt > account.in_doubt).then_some(())
    });
    Ok(())
}

#[test]
fn a_slow_importer_of_a_broadcast_that_waits_is_out_and_told() -> Outcome {
    let ground = Ground::new();
    let options = ExportOptions::fanout(Fanout::BroadcastWaits);
    let mut all: Sender<Tick> = ground.node.export_with("all", options)?;
    let mut raw = Raw::up(ground.address);
    raw.open(0, receives::<Tick>("all", 8));
    let (_node, peer) = ground.visitor();
    let mut got = peer.import::<Receiver<Tick>>("all").wait()?;
    eventually("both have joined", || (all.importers() == 2).then_some(()));
    for n in 0..10 {
        all.send(tick(n)).timeout(Duration::from_millis(50)).wait()?;
        assert_eq!(got.recv().wait()?, tick(n));
    }
    assert_eq!(all.importers(), 1);
    let reason = raw.expect("the reason", |frame| match frame {
        Frame::Dead(_, dead) => Some(dead.dead.reason),
        _ => None,
    });
    assert_eq!(reason, netchan::Reason::TooSlow);
    Ok(())
}

#[test]
fn a_latest_value_that_is_too_long_for_a_watcher_is_counted_and_others_see_it() -> Outcome {
    let ground = Ground::new();
    let latest: Latest<Vec<u8>> = ground.node.export("picture")?;
    let (_node, peer) = ground.visitor();
    let mut narrow = peer.import::<Watch<Vec<u8>>>("picture").message_limit(100).wait()?;
    let mut wide = peer.import::<Watch<Vec<u8>>>("picture").wait()?;
    for (len, narrow_sees, dropped) in [(50, true, 0), (5000, false, 1), (60, true, 1), (4000, false, 2)] {
        latest.set(vec![1; len])?;
        assert_eq!(wide.changed().timeout(SOON).wait()?.len(), len);
        if narrow_sees {
            assert_eq!(narrow.changed().timeout(SOON).wait()?.len(), len);
        }
        assert_eq!(latest.account().dropped, dropped, "after {len} bytes");
    }
    // Who comes later misses it as well.
    let mut later = peer.import::<Watch<Vec<u8>>>("picture").message_limit(100).wait()?;
    eventually("it is counted", || (latest.account().dropped == 3).then_some(()));
    latest.set(vec![1; 70])?;
    for watch in [&mut narrow, &mut wide, &mut later] {
        assert_eq!(watch.changed().timeout(SOON).wait()?.len(), 70);
    }
    let account = latest.account();
    assert_eq!((account.sent(), account.dropped), (5 + 5 + 2, 3), "each counts once for each: {account:?}");
    Ok(())
}

/// Gives a circuit room for a value of 100 bytes, and says how long the next one is.
fn next_len(raw: &mut Raw, handle: Handle) -> usize {
    raw.send(&Frame::Credit(handle, Total::new(104)));
    raw.expect("a value", |frame| match frame {
        Frame::Data(own, _, bytes) if *own == handle => Some(bytes.len()),
        _ => None,
    })
}

#[test]
fn a_latest_value_that_is_too_long_does_not_take_the_place_of_one_that_waits() -> Outcome {
    let ground = Ground::new();
    let latest: Latest<Vec<u8>> = ground.node.export("picture")?;
    let mut raw = Raw::up(ground.address);
    let flags = OpenFlags::RECEIVES.with(OpenFlags::LATEST);
    raw.open(0, Open { flags, limit: 100, ..receives::<Vec<u8>>("picture", 0) });
    latest.set(vec![1; 50])?;
    latest.set(vec![1; 5000])?;
    let account = latest.account();
    assert_eq!((account.unsent, account.dropped), (1, 1), "{account:?}");
    assert_eq!(next_len(&mut raw, mine(0)), 51, "with its length");

    // The same of one that is imported, which hears of it.
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let node = Node::new("setter");
    let connecting = tcp::connect(&node, listener.local_addr()?);
    let importing = spawn(move || {
        let peer = connecting.wait().expect("a link");
        peer.import::<Latest<Vec<u8>>>("picture").wait().expect("accepted")
    });
    let mut raw = Raw::accept(&listener);
    raw.bring_up();
    let handle = raw.opened();
    raw.send(&Frame::Accept(handle, Accept { which: 0, credit: 0, limit: 100 }));
    let latest = importing.join();
    latest.set(vec![1; 50])?;
    let refused = latest.set(vec![1; 5000]).expect_err("it is too long");
    assert_eq!(refused.cause(), SendCause::TooLarge(100));
    assert_eq!(refused.into_value().map(|value| value.len()), Some(5000));
    let account = latest.account();
    assert_eq!((account.unsent, account.dropped), (1, 0), "{account:?}");
    assert_eq!(next_len(&mut raw, handle), 51);
    Ok(())
}
