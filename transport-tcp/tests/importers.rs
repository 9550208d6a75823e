//! What an exporter sees of those who import: they join, and they leave or are lost.

mod common;

use common::{Outcome, SOON, Tick, eventually, tick};
use netchan::{
    Account, Dead, Duplex, ExportOptions, Fanout, LinkEvent, Node, Peer, Reason, Receiver, RecvError,
    SendCause, Sender,
};
use netchan_tcp as tcp;

fn pair() -> Result<(Node, Node, Peer), Box<dyn std::error::Error>> {
    let a = Node::new("a");
    let listener = tcp::listen(&a, "127.0.0.1:0")?;
    let b = Node::new("b");
    let peer = tcp::connect(&b, listener.address()).wait()?;
    Ok((a, b, peer))
}

/// The next event of an export.
fn next(node: &Node) -> LinkEvent {
    eventually("an event of an export", || {
        node.next_event().filter(|event| !matches!(event, LinkEvent::Up { .. } | LinkEvent::Down { .. }))
    })
}

#[test]
fn an_importer_that_joins_and_leaves_is_an_event_with_its_account() -> Outcome {
    let (a, _b, peer) = pair()?;
    let mut out: Sender<Tick> = a.export("ticks")?;
    let mut first = peer.import::<Receiver<Tick>>("ticks").wait()?;
    let LinkEvent::Joined { export, link, importer: one } = next(&a) else { panic!("nobody has left") };
    assert_eq!(export, "ticks");
    for n in 0..5 {
        out.send(tick(n)).wait()?;
    }
    for n in 0..3 {
        assert_eq!(first.recv().wait()?, tick(n));
    }
    drop(first); // hangs up on two values
    let LinkEvent::Left { export, link: same, importer, account, dead } = next(&a) else {
        panic!("nobody has joined");
    };
    assert_eq!((export.as_str(), same, importer), ("ticks", link, one));
    assert_eq!((account.confirmed, account.in_doubt), (3, 2));
    assert_eq!(dead, Some(Dead::peer(Reason::HungUp)));
    assert_eq!(out.account().in_doubt, 2, "it stays in the export's own account");
    let _second = peer.import::<Receiver<Tick>>("ticks").wait()?;
    assert!(matches!(next(&a), LinkEvent::Joined { importer, .. } if importer > one));
    Ok(())
}

#[test]
fn an_importer_lost_with_its_link_is_an_event_too() -> Outcome {
    let (a, b, peer) = pair()?;
    let mut out: Sender<Tick> = a.export("ticks")?;
    let into: Receiver<Tick> = a.export("orders")?;
    let _ticks = peer.import::<Receiver<Tick>>("ticks").wait()?;
    let orders = peer.import::<Sender<Tick>>("orders").wait()?;
    out.send(tick(1)).wait()?;
    assert!(matches!(next(&a), LinkEvent::Joined { .. }));
    assert!(matches!(next(&a), LinkEvent::Joined { .. }));
    drop(orders);
    let LinkEvent::Left { export, account, dead, .. } = next(&a) else { panic!("nobody has joined") };
    assert_eq!((export.as_str(), account, dead), ("orders", Account::default(), None), "in order");
    b.shutdown(std::time::Duration::ZERO);
    let LinkEvent::Left { export, account, dead, .. } = next(&a) else { panic!("nobody has joined") };
    assert_eq!((export.as_str(), account.in_doubt), ("ticks", 1));
    assert!(dead.is_some());
    drop(into);
    drop(out);
    assert_eq!(a.next_event().filter(|event| !matches!(event, LinkEvent::Down { .. })), None);
    Ok(())
}

#[test]
fn importers_who_come_and_go_do_not_hide_what_happens_to_links() -> Outcome {
    let (a, b, peer) = pair()?;
    let out: Sender<Tick> = a.export("ticks")?;
    for _ in 0..200 {
        drop(peer.import::<Receiver<Tick>>("ticks").wait()?);
        eventually("it has left", || (out.importers() == 0).then_some(()));
    }
    assert!(a.events_lost() > 0);
    b.shutdown(std::time::Duration::ZERO);
    assert!(matches!(common::next_down(&a), netchan::LinkError::Fault(_)));
    Ok(())
}

#[test]
fn an_exclusive_export_tells_where_one_importer_ends_and_the_next_begins() -> Outcome {
    let (a, _b, peer) = pair()?;
    let mut talk: Duplex<Tick, Tick> = a.export("talk")?;
    for round in 0..40 {
        let mut importer = peer.import::<Duplex<Tick, Tick>>("talk").timeout(SOON).wait()?;
        importer.send(tick(round)).wait()?;
        importer.send(tick(round + 1)).wait()?;
        assert_eq!(talk.recv().timeout(SOON).wait()?, tick(round));
        talk.send(tick(100)).wait()?;
        assert_eq!(importer.recv().timeout(SOON).wait()?, tick(100));
        drop(importer);
        assert_eq!(talk.recv().timeout(SOON).wait()?, tick(round + 1));
        assert_eq!(talk.recv().timeout(SOON).wait(), Err(RecvError::Left { dead: None }), "once");
        assert!(matches!(talk.halves().1.try_recv(), Err(RecvError::Empty)), "and goes on");
    }
    Ok(())
}

#[test]
fn a_reply_never_reaches_the_next_importer() -> Outcome {
    let (a, b, peer) = pair()?;
    let mut talk: Duplex<Tick, Tick> = a.export("talk")?;
    let mut first = peer.import::<Duplex<Tick, Tick>>("talk").wait()?;
    first.send(tick(1)).wait()?;
    assert_eq!(talk.recv().timeout(SOON).wait()?, tick(1));
    b.shutdown(std::time::Duration::ZERO);
    assert!(first.recv().wait().is_err());
    let other = Node::new("other");
    let listener = tcp::listen(&a, "127.0.0.1:0")?;
    let peer = tcp::connect(&other, listener.address()).wait()?;
    let mut second = eventually("the place is free", || {
        peer.import::<Duplex<Tick, Tick>>("talk").timeout(SOON).wait().ok()
    });
    // An answer to the first one.
    let refused = talk.send(tick(2)).timeout(SOON).wait().expect_err("it was meant for the first");
    assert!(matches!(refused.cause(), SendCause::Left { .. }), "{refused}");
    assert!(talk.halves().0.try_send(tick(2)).is_err(), "for as long as nobody has been told");
    let told = talk.recv().timeout(SOON).wait();
    assert!(matches!(told, Err(RecvError::Left { dead: Some(_) })), "{told:?}");
    talk.send(tick(3)).timeout(SOON).wait()?;
    assert_eq!(second.recv().timeout(SOON).wait()?, tick(3));
    second.send(tick(4)).wait()?;
    assert_eq!(talk.recv().timeout(SOON).wait()?, tick(4));
    Ok(())
}

#[test]
fn who_has_said_all_still_hears_the_answer() -> Outcome {
    let (a, _b, peer) = pair()?;
    let mut talk: Duplex<Tick, Tick> = a.export("talk")?;
    let (mut ask, mut hear) = peer.import::<Duplex<Tick, Tick>>("talk").wait()?.split();
    ask.send(tick(1)).wait()?;
    drop(ask);
    assert_eq!(talk.recv().timeout(SOON).wait()?, tick(1));
    talk.send(tick(2)).timeout(SOON).wait()?;
    assert_eq!(hear.recv().timeout(SOON).wait()?, tick(2));
    assert_eq!(talk.recv().timeout(SOON).wait(), Err(RecvError::Left { dead: None }));
    // It has only said all: what is answered to all of it reaches it, too.
    talk.send(tick(3)).timeout(SOON).wait()?;
    assert_eq!(hear.recv().timeout(SOON).wait()?, tick(3));
    drop(talk);
    assert_eq!(hear.recv().timeout(SOON).wait(), Err(RecvError::Closed));
    Ok(())
}

#[test]
fn an_answer_to_all_that_was_said_never_reaches_the_next_importer() -> Outcome {
    let (a, _b, peer) = pair()?;
    let mut talk: Duplex<Tick, Tick> = a.export("talk")?;
    for is_received_from in [false, true] {
        let (mut ask, hear) = peer.import::<Duplex<Tick, Tick>>("talk").wait()?.split();
        ask.send(tick(1)).wait()?;
        drop(ask);
        assert_eq!(talk.recv().timeout(SOON).wait()?, tick(1));
        assert_eq!(talk.recv().timeout(SOON).wait(), Err(RecvError::Left { dead: None }));
        drop(hear);
        let mut second = eventually("the place is free", || {
            peer.import::<Duplex<Tick, Tick>>("talk").timeout(SOON).wait().ok()
        });
        if is_received_from {
            // The program knows now with whom it talks.
            second.send(tick(5)).wait()?;
            assert_eq!(talk.recv().timeout(SOON).wait()?, tick(5));
        } else {
            let refused = talk.send(tick(2)).timeout(SOON).wait().expect_err("it was meant for the first");
            assert!(matches!(refused.cause(), SendCause::Left { .. }), "{refused}");
        }
        talk.send(tick(3)).timeout(SOON).wait()?;
        assert_eq!(second.recv().timeout(SOON).wait()?, tick(3));
        drop(second);
        assert_eq!(talk.recv().timeout(SOON).wait(), Err(RecvError::Left { dead: None }));
        // In the next round something is received before anything is sent.
    }
    Ok(())
}

#[test]
fn an_end_that_only_sends_tells_each_importer_that_has_left() -> Outcome {
    let (a, _b, peer) = pair()?;
    let (mut out, back) = a.export::<Duplex<Tick, Tick>>("talk")?.split();
    drop(back);
    for round in 0..20 {
        let mut importer = peer.import::<Duplex<Tick, Tick>>("talk").timeout(SOON).wait()?;
        if round > 0 {
            let refused = out.send(tick(0)).timeout(SOON).wait().expect_err("it was meant for the last");
            assert!(matches!(refused.cause(), SendCause::Left { .. }), "{refused}");
        }
        out.send(tick(round)).timeout(SOON).wait()?;
        assert_eq!(importer.recv().timeout(SOON).wait()?, tick(round));
    }
    Ok(())
}

#[test]
fn a_loop_over_an_exclusive_receiver_ends_with_each_importer() -> Outcome {
    let (a, _b, peer) = pair()?;
    let options = ExportOptions::fanout(Fanout::Exclusive);
    let mut into: Receiver<Tick> = a.export_with("orders", options)?;
    for round in 1..10 {
        let mut orders = peer.import::<Sender<Tick>>("orders").wait()?;
        for n in 0..round {
            orders.send(tick(n)).wait()?;
        }
        drop(orders);
        let got: Vec<_> = into.by_ref().map(|value| value.map(|tick| tick.n)).collect();
        assert_eq!(got, (0..round).map(Ok).collect::<Vec<_>>());
    }
    Ok(())
}

#[test]
fn importers_that_nobody_looks_at_are_few() -> Outcome {
    let (a, _b, peer) = pair()?;
    let _talk: Duplex<Tick, Tick> = a.export("talk")?;
    let mut refused = 0;
    for _ in 0..200 {
        match peer.import::<Duplex<Tick, Tick>>("talk").timeout(SOON).wait() {
            Ok(importer) => drop(importer),
            Err(_) => refused += 1,
        }
    }
    assert!(refused >= 180, "those who have left are kept until they are told: {refused}");
    Ok(())
}
