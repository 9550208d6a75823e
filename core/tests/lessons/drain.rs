//! A drain waits for what was taken by the program at the far end, and for nothing else.

use std::time::{Duration, Instant};

use netchan::{Account, Dead, ExportOptions, Fanout, Reason, Receiver, RecvError, SendCause, Sender};

use crate::common::{Ground, Outcome, SOON, Tick, eventually, spawn, tick};

const SHORT: Duration = Duration::from_millis(60);

#[test]
fn a_drain_does_not_call_taken_what_only_arrived() -> Outcome {
    let ground = Ground::new();
    let mut ticks: Sender<Tick> = ground.node.export("ticks")?;
    let (_node, peer) = ground.visitor();
    // It has all of them in its inbox, and never takes one.
    let got = peer.import::<Receiver<Tick>>("ticks").wait()?;
    for n in 0..5 {
        ticks.send(tick(n)).wait()?;
    }
    let start = Instant::now();
    let missing = ticks.drain().timeout(SHORT).wait().expect_err("nothing was taken");
    assert!(start.elapsed() >= SHORT && start.elapsed() < Duration::from_secs(2));
    assert_eq!((missing.account.confirmed, missing.account.in_doubt, missing.dead), (0, 5, None));
    drop(got);
    Ok(())
}

#[test]
fn a_drain_does_not_return_before_the_last_value_is_taken() -> Outcome {
    let ground = Ground::new();
    let mut ticks: Sender<Tick> = ground.node.export("ticks")?;
    let (_node, peer) = ground.visitor();
    let mut got = peer.import::<Receiver<Tick>>("ticks").wait()?;
    for n in 0..5 {
        ticks.send(tick(n)).wait()?;
    }
    let (tell, told) = std::sync::mpsc::channel();
    let drainer = spawn(move || {
        let drained = ticks.drain().timeout(SOON).wait();
        tell.send(()).expect("the test listens");
        (drained, ticks.account())
    });
    for n in 0..5 {
        assert!(told.try_recv().is_err(), "drained with {n} of 5 taken");
        assert_eq!(got.recv().wait()?, tick(n));
    }
    told.recv_timeout(SOON)?;
    let (drained, account) = drainer.join();
    assert_eq!((drained, account.confirmed), (Ok(()), 5));
    Ok(())
}

#[test]
fn a_drain_of_an_importer_does_not_hang_after_n_values() -> Outcome {
    let ground = Ground::new();
    let mut all: Receiver<Tick> = ground.node.export("all")?;
    let (_node, peer) = ground.visitor();
    // The window holds all of them: no credit has to come back.
    let mut three = peer.import::<Sender<Tick>>("all").values(3).wait()?;
    for n in 0..3 {
        three.send(tick(n)).wait()?;
    }
    let drainer = spawn(move || three.drain().timeout(SOON).wait());
    // Takes just these, and does not look for more.
    for n in 0..3 {
        assert_eq!(all.recv().wait()?, tick(n));
    }
    assert_eq!(drainer.join(), Ok(()));
    Ok(())
}

#[test]
fn a_drain_of_an_exporter_does_not_hang_after_n_values() -> Outcome {
    let ground = Ground::new();
    let mut ticks: Sender<Tick> = ground.node.export("ticks")?;
    let (_node, peer) = ground.visitor();
    let mut three = peer.import::<Receiver<Tick>>("ticks").values(3).wait()?;
    for n in 0..3 {
        ticks.send(tick(n)).wait()?;
    }
    let drainer = spawn(move || ticks.drain().timeout(SOON).wait());
    for n in 0..3 {
        assert_eq!(three.recv().wait()?, tick(n));
    }
    // Still held, not asked for more.
    assert_eq!(drainer.join(), Ok(()));
    drop(three);
    Ok(())
}

#[test]
fn a_drain_into_a_peer_that_dies_does_not_hang() -> Outcome {
    let ground = Ground::new();
    let mut all: Receiver<Tick> = ground.node.export("all")?;
    let (node, peer) = ground.visitor();
    let mut sender = peer.import::<Sender<Tick>>("all").wait()?;
    for n in 0..5 {
        sender.send(tick(n)).wait()?;
    }
    assert_eq!(all.recv().wait()?, tick(0));
    let drainer = spawn(move || (sender.drain().wait(), sender.account()));
    drop(all);
    let (drained, account) = drainer.join();
    let missing = drained.expect_err("four were not taken");
    assert_eq!(missing.dead.map(|dead| dead.reason), Some(Reason::HungUp));
    assert_eq!((account.confirmed, account.sent()), (1, 5));
    drop(node);
    Ok(())
}

#[test]
fn a_drain_does_not_wait_for_importers_that_are_gone() -> Outcome {
    let ground = Ground::new();
    let mut ticks: Sender<Tick> = ground.node.export("ticks")?;
    let (node, peer) = ground.visitor();
    let mut got = peer.import::<Receiver<Tick>>("ticks").wait()?;
    for n in 0..5 {
        ticks.send(tick(n)).wait()?;
    }
    assert_eq!(got.recv().wait()?, tick(0));
    // An answer that is written behind the values: when it is there, so are they.
    let _marker: Sender<Tick> = ground.node.export("marker")?;
    let _behind = peer.import::<Receiver<Tick>>("marker").wait()?;
    let drainer = spawn(move || {
        let drained = ticks.drain().timeout(SOON).wait();
        (drained, ticks.account())
    });
    node.shutdown(Duration::ZERO);
    let (drained, account) = drainer.join();
    assert_eq!(drained.expect_err("four were not taken").dead, Some(Dead::peer(Reason::Shutdown)));
    // What it did not confirm is in its account, not forgotten.
    assert_eq!((account.confirmed, account.in_doubt, account.sent()), (1, 4, 5));
    assert!(got.recv().wait().is_ok(), "what has arrived is still there");
    Ok(())
}

#[test]
fn a_drain_does_not_call_taken_what_died_with_an_importer() -> Outcome {
    let ground = Ground::new();
    for fanout in [Fanout::WorkQueue, Fanout::Broadcast, Fanout::BroadcastWaits] {
        let mut ticks: Sender<Tick> = ground.node.export_with("ticks", ExportOptions::fanout(fanout))?;
        let (_node, peer) = ground.visitor();
        let mut doomed = peer.import::<Receiver<Tick>>("ticks").wait()?;
        for n in 0..5 {
            ticks.send(tick(n)).wait()?;
        }
        assert_eq!(doomed.recv().wait()?, tick(0));
        drop(doomed);
        eventually("it has left", || (ticks.importers() == 0).then_some(()));
        // With somebody else there, who takes all of its own.
        let mut other = peer.import::<Receiver<Tick>>("ticks").wait()?;
        ticks.send(tick(5)).wait()?;
        let missing = ticks.drain().timeout(SHORT).wait().expect_err("the other one has taken nothing");
        assert_eq!((missing.dead, missing.account.in_doubt), (None, 5), "it waits for those who live");
        assert_eq!(other.recv().wait()?, tick(5));
        let missing = ticks.drain().timeout(SOON).wait().expect_err("four were not taken");
        assert_eq!(missing.dead, Some(Dead::peer(Reason::HungUp)));
        let counts = |account: Account| (account.confirmed, account.in_doubt, account.dropped);
        assert_eq!(counts(missing.account), (2, 4, 0));
        // Told once; from now on it is about what was sent since.
        assert_eq!(ticks.drain().timeout(SOON).wait(), Ok(()));
        ticks.send(tick(6)).wait()?;
        assert_eq!(other.recv().wait()?, tick(6));
        assert_eq!(ticks.drain().timeout(SOON).wait(), Ok(()));
        assert_eq!(counts(ticks.account()), (3, 4, 0));
        // One that has taken all may leave.
        drop(other);
        eventually("it has left", || (ticks.importers() == 0).then_some(()));
        assert_eq!(ticks.drain().timeout(SOON).wait(), Ok(()));
    }
    Ok(())
}

#[test]
fn a_drain_without_importers_does_not_wait_for_one() -> Outcome {
    let ground = Ground::new();
    let mut ticks: Sender<Tick> = ground.node.export("ticks")?;
    let error = ticks.send(tick(1)).timeout(SHORT).wait().expect_err("nobody takes it");
    assert_eq!(error.cause(), SendCause::NoImporter);
    // The value came back, so nothing is missing.
    assert_eq!(ticks.drain().timeout(SOON).wait(), Ok(()));
    assert_eq!(ticks.account().sent(), 0);
    Ok(())
}

#[test]
fn n_values_end_by_themselves_however_they_are_sent() -> Outcome {
    let ground = Ground::new();
    let mut all: Receiver<Tick> = ground.node.export("all")?;
    let (_node, peer) = ground.visitor();
    let mut three = peer.import::<Sender<Tick>>("all").values(3).wait()?;
    three.try_send(tick(0))?;
    three.send(tick(1)).wait()?;
    three.try_send(tick(2))?;
    assert_eq!(three.try_send(tick(3)).map_err(|error| error.cause()), Err(SendCause::Closed));
    let error = three.send(tick(3)).wait().expect_err("three were agreed");
    assert_eq!((error.cause(), error.into_value()), (SendCause::Closed, Some(tick(3))));
    for n in 0..3 {
        assert_eq!(all.recv().wait()?, tick(n));
    }
    assert_eq!(all.try_recv(), Err(RecvError::Empty));
    // "Until closed" ends for who receives N.
    let mut ticks: Sender<Tick> = ground.node.export("ticks")?;
    let bounded = peer.import::<Receiver<Tick>>("ticks").values(3).wait()?;
    let reader = spawn(move || bounded.map(|tick| tick.map(|tick| tick.n)).collect::<Result<Vec<_>, _>>());
    for n in 0..3 {
        ticks.send(tick(n)).wait()?;
    }
    assert_eq!(reader.join(), Ok(vec![0, 1, 2]));
    Ok(())
}

#[test]
fn timeouts_are_not_evaluated_in_coarse_steps() -> Outcome {
    let ground = Ground::new();
    let mut ticks: Sender<Tick> = ground.node.export("ticks")?;
    let (_node, peer) = ground.visitor();
    let mut got = peer.import::<Receiver<Tick>>("ticks").wait()?;
    ticks.send(tick(1)).wait()?;
    // The best of several, because the machine is shared; each is never early.
    let best = |wait: &mut dyn FnMut(Duration)| {
        let limit = Duration::from_millis(20);
        (0..8)
            .map(|_| {
                let start = Instant::now();
                wait(limit);
                let took = start.elapsed();
                assert!(took >= limit, "{took:?} is too early");
                took
            })
            .min()
            .expect("there are eight")
    };
    let drain = best(&mut |limit| assert!(ticks.drain().timeout(limit).wait().is_err()));
    assert_eq!(got.recv().wait()?, tick(1));
    let receive = best(&mut |limit| assert_eq!(got.recv().timeout(limit).wait(), Err(RecvError::Deadline)));
    let import = best(&mut |limit| {
        // The peer's own answer comes a little before; it must not be a lot.
        let start = Instant::now();
        assert!(peer.import::<Receiver<Tick>>("none").timeout(limit).wait().is_err());
        assert!(start.elapsed() >= limit / 2);
        while start.elapsed() < limit {
            std::hint::spin_loop();
        }
    });
    for took in [drain, receive, import] {
        assert!(took < Duration::from_millis(60), "{took:?} for 20 ms");
    }
    eventually("it is drained", || ticks.drain().timeout(SHORT).wait().ok());
    Ok(())
}
