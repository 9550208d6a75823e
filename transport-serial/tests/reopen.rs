//! Boards that are unplugged, reset, killed or stopped, and ends that go on over it.
#![cfg(unix)]

mod common;

use std::time::Duration;

use common::{Cable, Outcome, Pair, SOON, Tick, eventually, next_down, options, quick, spawn, station, tick};
use netchan::proto::Fault;
use netchan::testing::Faults;
use netchan::{
    Client, Dead, LinkError, LinkEvent, Node, Reason, Receiver, Reconnect, RecvError, SendCause, Sender,
    Server, Watch,
};
use netchan_serial as serial;

/// A dead-time for tests: whoever loses the line hears of it soon.
fn pair() -> Pair {
    Pair::with(Cable::new(), options().dead_time(Duration::from_millis(400)))
}

#[test]
fn a_replugged_port_is_told_once_and_goes_on() -> Outcome {
    let pair = pair();
    let mut out: Sender<Tick> = pair.station.export("ticks")?;
    let peer = pair.opening().reconnect(quick()).wait()?;
    let mut ticks = peer.import::<Receiver<Tick>>("ticks").reopen().wait()?;
    for round in 0..3 {
        // A receive opens the channel again: the sender waits for that.
        let sending = spawn(move || {
            let sent = (0..4).try_for_each(|n| out.send(tick(n)).timeout(SOON).wait());
            let drained = out.drain().timeout(SOON).wait();
            (sent.map_err(|error| error.cause()), drained, out)
        });
        for n in 0..4 {
            assert_eq!(ticks.recv().timeout(SOON).wait()?, tick(n));
        }
        let (sent, drained, back) = sending.join();
        sent?;
        drained?;
        out = back;
        pair.cable.unplug(0);
        let told = ticks.recv().timeout(SOON).wait();
        let dead = Dead::here(Reason::LinkLost);
        assert_eq!(told, Err(RecvError::Interrupted { dead, taken: 4 }), "round {round}");
        // The station has its own port still, and hears nothing any more.
        eventually("the exporter notices it too", || (out.importers() == 0).then_some(()));
        pair.cable.plug(0);
    }
    drop(out);
    drop(pair.station);
    Ok(())
}

#[test]
fn both_ends_may_be_unplugged_at_a_time() -> Outcome {
    let pair = pair();
    let mut into: Receiver<Tick> = pair.station.export("orders")?;
    let peer = pair.opening().reconnect(quick()).wait()?;
    let mut orders = peer.import::<Sender<Tick>>("orders").reopen().wait()?;
    for n in 0..3 {
        orders.send(tick(n)).timeout(SOON).wait()?;
        assert_eq!(into.recv().timeout(SOON).wait()?, tick(n));
    }
    orders.drain().timeout(SOON).wait()?;
    pair.cable.deafen();
    orders.send(tick(3)).timeout(SOON).wait()?;
    let down = peer.down();
    for end in [0, 1] {
        pair.cable.unplug(end);
    }
    down.timeout(SOON).wait();
    let refused = orders.send(tick(4)).timeout(SOON).wait().expect_err("the session is over");
    let SendCause::Interrupted { account, .. } = refused.cause() else { panic!("{refused}") };
    assert_eq!((account.confirmed, account.in_doubt, account.unsent), (3, 1, 0));
    pair.cable.heal();
    for end in [1, 0] {
        pair.cable.plug(end);
    }
    orders.send(tick(5)).timeout(SOON).wait()?;
    assert_eq!(into.recv().timeout(SOON).wait()?, tick(5), "what was in doubt is not sent again");
    Ok(())
}

/// The next one that says why a link is not there.
fn next_unreachable(node: &Node) -> (String, String) {
    eventually("it is told", || match node.next_event()? {
        LinkEvent::Unreachable { what, error } => Some((what, error)),
        _ => None,
    })
}

/// Otherwise all that is ever told is that the link was lost.
#[test]
fn why_a_port_cannot_be_opened_again_is_told_once() -> Outcome {
    let pair = pair();
    let peer = pair.opening().reconnect(quick()).wait()?;
    for _ in 0..2 {
        for end in [0, 1] {
            pair.cable.unplug(end);
        }
        let advice = "there is no such port (is it plugged in?";
        let (what, error) = next_unreachable(&pair.dashboard);
        assert_eq!(what, "station");
        assert!(error.contains("port-0: ") && error.contains(advice), "{error}");
        let (what, error) = next_unreachable(&pair.station);
        assert!(what.contains("port-1"), "{what}");
        assert!(error.contains("port-1: ") && error.contains(advice), "{error}");
        for end in [0, 1] {
            pair.cable.plug(end);
        }
        for node in [&pair.dashboard, &pair.station] {
            eventually("the link is there again", || {
                let event = node.next_event()?;
                assert!(!matches!(event, LinkEvent::Unreachable { .. }), "told once: {event:?}");
                matches!(event, LinkEvent::Up { .. }).then_some(())
            });
        }
    }
    drop(peer);
    Ok(())
}

#[test]
fn a_board_that_was_reset_is_told_as_restarted_and_its_channels_go_on() -> Outcome {
    let pair = pair();
    let mut out: Sender<Tick> = pair.station.export("ticks")?;
    let peer = pair.opening().reconnect(quick()).wait()?;
    let mut ticks = peer.import::<Receiver<Tick>>("ticks").reopen().wait()?;
    out.send(tick(1)).timeout(SOON).wait()?;
    assert_eq!(ticks.recv().timeout(SOON).wait()?, tick(1));

    // A reset says no goodbye: the wire is dead while the old program ends.
    pair.cable.deafen();
    drop(out);
    drop(pair.station);
    let reset = station();
    let mut out: Sender<Tick> = reset.export("ticks")?;
    eventually("the port is free", || serial::serve(&reset, pair.cable.port(1), pair.options).ok());
    pair.cable.heal();
    assert_eq!(
        ticks.recv().timeout(SOON).wait(),
        Err(RecvError::Interrupted { dead: Dead::here(Reason::PeerRestarted), taken: 1 })
    );
    let receiving = spawn(move || ticks.recv().timeout(SOON).wait());
    out.send(tick(2)).timeout(SOON).wait()?;
    assert_eq!(receiving.join(), Ok(tick(2)));
    assert_eq!(next_down(&pair.dashboard), LinkError::Fault(Fault::Restarted(Reason::PeerRestarted)));
    Ok(())
}

#[test]
fn a_host_that_starts_over_takes_the_place_of_its_earlier_self() -> Outcome {
    let pair = pair();
    let mut out: Sender<Tick> = pair.station.export("ticks")?;
    for round in 0..3 {
        // Killed: no goodbye is heard, and the board still has the session.
        let host = station();
        let peer = serial::open(&host, pair.cable.port(0)).options(pair.options).timeout(SOON).wait()?;
        let mut ticks = peer.import::<Receiver<Tick>>("ticks").wait()?;
        out.send(tick(round)).timeout(SOON).wait()?;
        assert_eq!(ticks.recv().timeout(SOON).wait()?, tick(round));
        pair.cable.deafen();
        drop((ticks, peer, host));
        pair.cable.heal();
    }
    Ok(())
}

#[test]
fn a_call_under_way_when_the_plug_is_pulled_is_told() -> Outcome {
    let pair = pair();
    let mut twice: Server<Tick, Tick> = pair.station.export("twice")?;
    let peer = pair.opening().reconnect(quick()).wait()?;
    let client = peer.import::<Client<Tick, Tick>>("twice").wait()?;
    let calling = spawn(move || client.call(tick(1)).timeout(SOON).wait());
    let request = twice.recv().timeout(SOON).wait()?;
    pair.cable.unplug(0);
    let error = calling.join().expect_err("no answer can come");
    assert!(error.to_string().contains("the link was lost"), "{error}");
    // The answer finds nobody, and does no harm.
    let _ = request.reply(tick(2)).timeout(SOON).wait();
    pair.cable.plug(0);
    let client = peer.import::<Client<Tick, Tick>>("twice").timeout(SOON).wait()?;
    let serving = spawn(move || {
        let request = twice.recv().timeout(SOON).wait().expect("a call");
        let n = request.n;
        request.reply(tick(2 * n)).timeout(SOON).wait().expect("its caller waits");
    });
    assert_eq!(client.call(tick(4)).timeout(SOON).wait(), Ok(tick(8)));
    serving.join();
    Ok(())
}

#[test]
fn a_port_that_does_not_come_back_is_given_up() -> Outcome {
    let pair = pair();
    let _out: Sender<Tick> = pair.station.export("ticks")?;
    let how: Reconnect = quick().give_up_after(Duration::from_millis(300));
    let peer = pair.opening().reconnect(how).wait()?;
    let mut ticks = peer.import::<Receiver<Tick>>("ticks").reopen().wait()?;
    pair.cable.unplug(0);
    assert!(matches!(ticks.recv().timeout(SOON).wait(), Err(RecvError::Interrupted { .. })));
    assert_eq!(ticks.recv().timeout(SOON).wait(), Err(RecvError::Dead(Dead::here(Reason::LinkLost))));
    Ok(())
}

#[test]
fn another_board_on_the_same_port_is_not_taken_for_the_one_before() -> Outcome {
    let pair = pair();
    let _out: Sender<Tick> = pair.station.export("ticks")?;
    let peer = pair.opening().reconnect(quick()).wait()?;
    let mut ticks = peer.import::<Receiver<Tick>>("ticks").reopen().wait()?;
    pair.cable.unplug(1);
    assert!(matches!(ticks.recv().timeout(SOON).wait(), Err(RecvError::Interrupted { .. })));
    pair.cable.plug(1);
    // The station is back on its port before anybody else; so it is taken off it.
    drop(pair.station);
    let other = Node::new("impostor");
    let mut out: Sender<Tick> = other.export("ticks")?;
    eventually("the port is free", || serial::serve(&other, pair.cable.port(1), pair.options).ok());
    assert!(out.send(tick(1)).timeout(Duration::from_millis(300)).wait().is_err(), "somebody imported it");
    assert_eq!(ticks.recv().timeout(Duration::from_millis(50)).wait(), Err(RecvError::Deadline));
    Ok(())
}

#[test]
fn a_line_that_is_bad_and_comes_and_goes_loses_nothing_that_it_does_not_tell() -> Outcome {
    let rounds = if std::env::var_os("NETCHAN_LONG").is_some() { 60 } else { 8 };
    let faults = Faults { flip: 5000, lose: 8000, insert: 8000, duplicate: 9000, ..Faults::default() };
    let pair = Pair::with(Cable::disturbed(faults, 5), options().dead_time(Duration::from_millis(400)));
    let mut out: Sender<Tick> = pair.station.export("ticks")?;
    let peer = pair.opening().timeout(SOON).reconnect(quick()).wait()?;
    let mut ticks = peer.import::<Receiver<Tick>>("ticks").reopen().timeout(SOON).wait()?;
    let sending = spawn(move || {
        let mut n = 0;
        // Whoever goes loses what was sent to it; the next one goes on with the next value.
        while n < u64::MAX && out.send(tick(n)).timeout(Duration::from_secs(5)).wait().is_ok() {
            n += 1;
        }
        n
    });
    let (mut last, mut told, mut in_session) = (None, 0, 0_u64);
    while told < rounds {
        match ticks.recv().timeout(SOON).wait() {
            Ok(value) => {
                assert!(last.is_none_or(|last| value.n > last), "{value:?} after {last:?}");
                // Within a session none is missing.
                assert!(in_session == 0 || Some(value.n - 1) == last, "{value:?} after {last:?}");
                last = Some(value.n);
                in_session += 1;
                if in_session == 40 {
                    pair.cable.unplug(told % 2);
                    pair.cable.plug(told % 2);
                }
            }
            Err(RecvError::Interrupted { taken, .. }) => {
                assert_eq!(taken, in_session, "the account of the session");
                (told, in_session) = (told + 1, 0);
            }
            Err(error) => panic!("{error}"),
        }
    }
    drop((ticks, peer));
    drop(pair.dashboard);
    sending.join();
    Ok(())
}

#[test]
fn a_value_that_is_watched_is_there_again_after_a_replug() -> Outcome {
    let pair = pair();
    let gauge = pair.station.export::<netchan::Latest<Tick>>("gauge")?;
    gauge.set(tick(7))?;
    let peer = pair.opening().reconnect(quick()).wait()?;
    let mut seen = peer.import::<Watch<Tick>>("gauge").reopen().wait()?;
    assert_eq!(seen.changed().timeout(SOON).wait()?, tick(7));
    pair.cable.unplug(0);
    assert!(matches!(seen.changed().timeout(SOON).wait(), Err(RecvError::Interrupted { .. })));
    gauge.set(tick(8))?;
    pair.cable.plug(0);
    assert_eq!(seen.changed().timeout(SOON).wait()?, tick(8));
    Ok(())
}
