//! End, loss and error are three things, and none of them is a value.

use std::net::TcpListener;
use std::time::Duration;

use netchan::proto::{DeadFrame, Fault, Frame, FrameError, Part, Total};
use netchan::{
    Bytes, Client, Dead, Duplex, ImportError, LinkError, Message, Node, Peer, Reason, Receiver, RecvError,
    SendCause, Sender, Server,
};
use netchan_tcp as tcp;

use crate::common::raw::{Raw, mine, packed, packet, receives, sends};
use crate::common::{Ground, Outcome, SOON, Tick, calm, eventually, spawn, tick};

#[test]
fn the_first_importer_to_close_does_not_close_the_shared_channel() -> Outcome {
    let ground = Ground::new();
    let mut all: Receiver<Tick> = ground.node.export("all")?;
    let (_node, peer) = ground.visitor();
    let (_other, other_peer) = ground.visitor();
    let import = |peer: &Peer| peer.import::<Sender<Tick>>("all").wait();
    let (mut a, mut b, mut c) = (import(&peer)?, import(&peer)?, import(&other_peer)?);
    a.send(tick(1)).wait()?;
    drop(a);
    assert_eq!(all.recv().wait()?, tick(1));
    assert_eq!(all.recv().timeout(Duration::from_millis(20)).wait(), Err(RecvError::Deadline));
    // A second end, and a lost link, are no end of the channel either.
    b.send(tick(2)).wait()?;
    drop(b);
    assert_eq!(all.recv().wait()?, tick(2));
    peer.close();
    peer.down().wait();
    c.send(tick(3)).wait()?;
    assert_eq!(all.recv().wait()?, tick(3));
    Ok(())
}

#[test]
fn a_hang_up_panics_nobody_who_is_sending_and_frees_the_name() -> Outcome {
    let ground = Ground::new();
    let mut senders = Vec::new();
    let mut visitors = Vec::new();
    let mut all: Receiver<Tick> = ground.node.export("all")?;
    for _ in 0..3 {
        let (node, peer) = ground.visitor();
        let mut sender = peer.import::<Sender<Tick>>("all").wait()?;
        senders.push(spawn(move || {
            let mut n = 0;
            loop {
                if let Err(error) = sender.send(tick(n)).wait() {
                    let SendCause::Dead(dead) = error.cause() else { panic!("{error}") };
                    let account = sender.account();
                    assert_eq!(account.sent(), n);
                    return (dead, account.confirmed, error.into_value(), n);
                }
                n += 1;
            }
        }));
        visitors.push((node, peer));
    }
    for _ in 0..1000 {
        all.recv().wait()?;
    }
    drop(all);
    // The name is free at once.
    let mut again: Receiver<Tick> = ground.node.export("all")?;
    let mut confirmed = 0;
    for sender in senders {
        let (dead, taken, value, n) = sender.join();
        assert_eq!(dead, Dead::peer(Reason::HungUp));
        assert_eq!(value, Some(tick(n)), "the value comes back");
        confirmed += taken;
    }
    assert_eq!(confirmed, 1000, "what was taken is what was confirmed");
    assert_eq!(again.try_recv(), Err(RecvError::Empty), "a value of the old channel");
    let mut next = visitors[0].1.import::<Sender<Tick>>("all").wait()?;
    next.send(tick(7)).wait()?;
    assert_eq!(again.recv().wait()?, tick(7));
    Ok(())
}

#[test]
fn late_data_after_a_hang_up_does_not_kill_the_connection() -> Outcome {
    let ground = Ground::new();
    let mut lasting: Sender<Tick> = ground.node.export("lasting")?;
    let mut passing: Sender<Bytes> = ground.node.export("passing")?;
    let (_node, peer) = ground.visitor();
    let mut kept = peer.import::<Receiver<Tick>>("lasting").wait()?;
    let flood = spawn(move || {
        // Small and large ones, whose parts are under way when the importer leaves.
        let mut n = 0;
        while passing.send(vec![7; [10, 60_000][n % 2]].into()).timeout(Duration::from_secs(2)).wait().is_ok()
        {
            n += 1;
        }
        (n, passing.account().sent())
    });
    for round in 0..100 {
        let mut got = peer.import::<Receiver<Bytes>>("passing").wait()?;
        for _ in 0..round % 4 {
            got.recv().wait()?;
        }
        drop(got);
        lasting.send(tick(round)).wait()?;
        assert_eq!(kept.recv().wait()?, tick(round));
    }
    assert!(peer.is_up());
    let (sent, accounted) = flood.join();
    assert_eq!(sent as u64, accounted);
    Ok(())
}

#[test]
fn the_end_of_the_stream_does_not_leave_anybody_hanging() -> Outcome {
    let _calm = calm();
    for polite in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let connecting = spawn(move || {
            let node = Node::new("n");
            tcp::connect(&node, address).wait().map(|peer| (node, peer))
        });
        let mut raw = Raw::accept(&listener);
        raw.bring_up();
        let (_node, peer) = connecting.join()?;
        let import = spawn({
            let peer = peer.clone();
            move || peer.import::<Receiver<Tick>>("r").wait()
        });
        let handle = raw.accept_open(0);
        let mut receiver = import.join()?;
        raw.data(handle, &[1]);
        if polite {
            raw.send(&Frame::Goodbye(Reason::Shutdown));
        }
        drop(raw);
        // What is complete comes first, then the loss, for ever.
        let told = match polite {
            true => Dead::peer(Reason::Shutdown),
            false => Dead::here(Reason::LinkLost),
        };
        assert_eq!(receiver.recv().wait(), Ok(tick(1)));
        for _ in 0..3 {
            assert_eq!(receiver.recv().timeout(SOON).wait(), Err(RecvError::Dead(told)));
        }
        assert!(!peer.is_up());
    }
    Ok(())
}

#[test]
fn an_unknown_kind_of_frame_ends_its_link_and_nothing_else() -> Outcome {
    let ground = Ground::new();
    // A kind, a control code and a link frame that do not exist.
    for frame in [&[0x07][..], &[0x0e, 0x63], &[0x0d << 3]] {
        let mut raw = Raw::up(ground.address);
        raw.bytes(&packed(frame));
        ground.ends_with(Fault::Frame(FrameError::Kind));
    }
    Ok(())
}

#[test]
fn no_value_is_taken_for_an_end_or_a_frame() -> Outcome {
    let ground = Ground::new();
    let mut bytes: Sender<Bytes> = ground.node.export("bytes")?;
    let mut words: Sender<Option<String>> = ground.node.export("words")?;
    let (_node, peer) = ground.visitor();
    let mut got = peer.import::<Receiver<Bytes>>("bytes").wait()?;
    let mut said = peer.import::<Receiver<Option<String>>>("words").wait()?;
    let dead = DeadFrame { dead: Dead::here(Reason::HungUp), taken: Total::ZERO, detail: "" };
    let mut values = vec![
        Vec::new(),
        vec![0],
        vec![0xff; 300],
        b"closed".to_vec(),
        packet(&Frame::End(mine(0), Total::new(1))),
        packet(&Frame::Dead(mine(0), dead)),
        packet(&Frame::Goodbye(Reason::Closed)),
        packet(&Frame::Hello(crate::common::raw::hello(0))),
        packet(&Frame::Open(mine(0), receives::<Tick>("bytes", 9))),
        packet(&Frame::Data(mine(0), Part::Whole, b"x")),
    ];
    values.extend((0..=255).map(|byte| vec![byte]));
    for value in &values {
        bytes.send(value.clone().into()).wait()?;
        assert_eq!(got.recv().wait()?, Bytes::from(value.clone()));
    }
    for word in [None, Some(String::new()), Some("\u{4}".into()), Some("END".into()), None] {
        words.send(word.clone()).wait()?;
        assert_eq!(said.recv().wait()?, word);
    }
    drop((bytes, words));
    assert_eq!(got.recv().wait(), Err(RecvError::Closed));
    assert_eq!(said.recv().wait(), Err(RecvError::Closed));
    Ok(())
}

#[test]
fn a_close_does_not_lose_what_is_queued() -> Outcome {
    let ground = Ground::new();
    for size in [0, 10, 5_000, 60_000] {
        let mut out: Sender<Bytes> = ground.node.export("out")?;
        let (_node, peer) = ground.visitor();
        let mut got = peer.import::<Receiver<Bytes>>("out").wait()?;
        let writer = spawn(move || {
            for _ in 0..50 {
                out.send(vec![7; size].into()).wait().expect("the importer is there");
            }
            // The end follows at once, with values in every queue on the way.
            drop(out);
        });
        for _ in 0..50 {
            assert_eq!(got.recv().wait()?.len(), size);
        }
        assert_eq!(got.recv().wait(), Err(RecvError::Closed));
        writer.join();
    }
    Ok(())
}

#[test]
fn a_node_that_goes_does_not_take_along_what_it_has_sent() -> Outcome {
    let _calm = calm();
    for size in [10, 60_000] {
        let node = Node::new("leaver");
        let mut out: Sender<Bytes> = node.export("out")?;
        let address = tcp::listen(&node, "127.0.0.1:0")?.address();
        let importer = Node::new("importer");
        let peer = tcp::connect(&importer, address).wait()?;
        let mut got = peer.import::<Receiver<Bytes>>("out").wait()?;
        let leaver = spawn(move || {
            for _ in 0..20 {
                out.send(vec![7; size].into()).wait().expect("the importer is there");
            }
            drop(out);
            assert_eq!(node.shutdown(SOON), 0, "values were left unsent");
        });
        for _ in 0..20 {
            assert_eq!(got.recv().wait()?.len(), size);
        }
        assert_eq!(got.recv().wait(), Err(RecvError::Closed));
        leaver.join();
    }
    Ok(())
}

#[test]
fn an_end_does_not_overtake_the_values_that_are_being_taken() -> Outcome {
    let ground = Ground::new();
    let mut all: Receiver<Tick> = ground.node.export("all")?;
    let mut raw = Raw::up(ground.address);
    raw.open(0, sends::<Tick>("all"));
    let five: Vec<u8> = (1..=5_u8).flat_map(|n| packet(&Frame::Data(mine(0), Part::Whole, &[n]))).collect();
    raw.bytes(&five);
    // The others are in the program's hands, and not taken yet.
    assert_eq!(all.recv().wait()?, tick(1));
    raw.send(&Frame::End(mine(0), Total::new(5)));
    raw.send(&Frame::Ping);
    raw.expect("a pong", |frame| {
        assert!(!matches!(frame, Frame::Done(..)), "done with four of five not taken");
        matches!(frame, Frame::Pong).then_some(())
    });
    for n in 2..=5 {
        assert_eq!(all.recv().wait()?, tick(n));
    }
    let last = spawn(move || all.recv().timeout(Duration::from_millis(300)).wait());
    let taken = raw.expect("the final", |frame| match frame {
        Frame::Done(_, total) => Some(total.get()),
        Frame::Dead(_, dead) => panic!("{dead:?}"),
        _ => None,
    });
    assert_eq!(taken, 5);
    assert_eq!(last.join(), Err(RecvError::Deadline));
    ground.others_go_on();
    Ok(())
}

#[test]
fn a_loss_is_not_an_end() -> Outcome {
    let ground = Ground::new();
    let mut ticks: Sender<Tick> = ground.node.export("ticks")?;
    let (_node, peer) = ground.visitor();
    let mut got = peer.import::<Receiver<Tick>>("ticks").wait()?;
    ticks.send(tick(1)).wait()?;
    assert_eq!(got.recv().wait()?, tick(1));
    peer.close();
    // This side has asked for it, and is told so; a loop does not end as if all were there.
    assert_eq!(got.recv().timeout(SOON).wait(), Err(RecvError::Dead(Dead::here(Reason::Closed))));
    let items: Vec<_> = got.by_ref().take(2).map(|item| item.map_err(Dead::from)).collect();
    assert_eq!(items, [Err(Dead::here(Reason::Closed)), Err(Dead::here(Reason::Closed))]);
    assert_eq!(peer.down().wait(), LinkError::Local(Reason::Closed));
    Ok(())
}

#[test]
fn whoever_waits_hears_that_the_node_is_shut() -> Outcome {
    let ground = Ground::new();
    let mut inbox: Receiver<Tick> = ground.node.export("inbox")?;
    let mut server: Server<Tick, Tick> = ground.node.export("server")?;
    let (_node, peer) = ground.visitor();
    let _ticks: Sender<Tick> = ground.node.export("ticks")?;
    let mut got = peer.import::<Receiver<Tick>>("ticks").wait()?;
    let client = peer.import::<Client<Tick, Tick>>("server").wait()?;
    let waits = [
        spawn(
            move || matches!(inbox.recv().wait(), Err(RecvError::Dead(dead)) if dead.reason == Reason::Shutdown),
        ),
        spawn(move || server.recv().wait().map(drop).is_ok()),
        spawn(
            move || matches!(got.recv().wait(), Err(RecvError::Dead(dead)) if dead == Dead::peer(Reason::Shutdown)),
        ),
        spawn(move || client.call(tick(1)).wait().is_err()),
        spawn({
            let peer = peer.clone();
            move || peer.import::<Receiver<Tick>>("never").wait().is_err()
        }),
    ];
    eventually("the call is served", || waits[1].is_finished().then_some(()));
    ground.node.shutdown(Duration::ZERO);
    for (i, wait) in waits.into_iter().enumerate() {
        assert!(wait.join(), "waiter {i}");
    }
    Ok(())
}

type Talk = Duplex<Tick, Tick>;

/// The name cannot be imported now.
#[track_caller]
fn is_busy(peer: &Peer) {
    let refused = peer.import::<Talk>("talk").wait().err().map(ImportError::from);
    assert_eq!(refused, Some(ImportError::Dead(Dead::peer(Reason::Busy))));
}

/// The place in an exclusive export is free, sooner or later.
#[track_caller]
fn next_importer(peer: &Peer) -> Talk {
    eventually("the place is free", || peer.import::<Talk>("talk").wait().ok())
}

const LEFT: Result<Tick, RecvError> = Err(RecvError::Left { dead: None });

/// To the next importer. That the last one is gone, who still listened when its values ended,
/// may be told with this, once.
#[track_caller]
fn send_next<T: Message + Send + Clone>(talk: &mut Duplex<T, T>, value: &T) {
    let Err(refused) = talk.send(value.clone()).timeout(SOON).wait() else { return };
    assert!(matches!(refused.cause(), SendCause::Left { .. }), "{refused}");
    talk.send(value.clone()).timeout(SOON).wait().expect("it is told once");
}

#[test]
fn the_end_of_one_direction_does_not_end_the_other() -> Outcome {
    let ground = Ground::new();
    let mut talk: Talk = ground.node.export("talk")?;
    let (_node, peer) = ground.visitor();
    let (mut out, mut back) = peer.import::<Talk>("talk").wait()?.split();
    out.send(tick(1)).wait()?;
    drop(out);
    assert_eq!(talk.recv().timeout(SOON).wait()?, tick(1));
    assert_eq!(talk.recv().timeout(SOON).wait(), LEFT);
    assert_eq!(talk.recv().timeout(Duration::from_millis(20)).wait(), Err(RecvError::Deadline), "told once");
    for n in 0..100 {
        talk.send(tick(n)).timeout(SOON).wait()?;
        assert_eq!(back.recv().timeout(SOON).wait()?, tick(n));
    }
    talk.halves().0.drain().timeout(SOON).wait()?;
    is_busy(&peer);
    drop(back);
    // The next one's values are not taken for the last one's.
    let mut next = next_importer(&peer);
    next.send(tick(7)).wait()?;
    assert_eq!(talk.recv().timeout(SOON).wait()?, tick(7));
    talk.send(tick(8)).timeout(SOON).wait()?;
    assert_eq!(next.recv().timeout(SOON).wait()?, tick(8));
    drop(talk);
    assert_eq!(next.recv().timeout(SOON).wait(), Err(RecvError::Closed));
    ground.others_go_on();
    Ok(())
}

#[test]
fn an_exporter_that_ends_one_direction_does_not_end_the_other() -> Outcome {
    let ground = Ground::new();
    let (mut out, mut back) = ground.node.export::<Talk>("talk")?.split();
    let (_node, peer) = ground.visitor();
    let mut first = peer.import::<Talk>("talk").wait()?;
    out.send(tick(1)).wait()?;
    drop(out);
    assert_eq!(first.recv().timeout(SOON).wait()?, tick(1));
    assert_eq!(first.recv().timeout(SOON).wait(), Err(RecvError::Closed));
    for n in 0..100 {
        first.send(tick(n)).timeout(SOON).wait()?;
        assert_eq!(back.recv().timeout(SOON).wait()?, tick(n));
    }
    drop(first);
    assert_eq!(back.recv().timeout(SOON).wait(), LEFT);
    // Who comes later hears the same.
    let mut second = next_importer(&peer);
    assert_eq!(second.recv().timeout(SOON).wait(), Err(RecvError::Closed));
    second.send(tick(5)).timeout(SOON).wait()?;
    assert_eq!(back.recv().timeout(SOON).wait()?, tick(5));
    assert!(matches!(ground.node.export::<Talk>("talk"), Err(netchan::ExportError::Taken)));
    drop(back);
    let _again: Talk = ground.node.export("talk")?;
    let told = eventually("the last half is gone", || second.send(tick(6)).timeout(SOON).wait().err());
    assert_eq!(told.cause(), SendCause::Dead(Dead::peer(Reason::HungUp)));
    Ok(())
}

#[test]
fn a_receiving_half_that_is_dropped_does_not_end_the_sending_half() -> Outcome {
    let ground = Ground::new();
    let mut talk: Talk = ground.node.export("talk")?;
    let (_node, peer) = ground.visitor();
    for untaken in [false, true] {
        let (mut out, back) = next_importer(&peer).split();
        if untaken {
            send_next(&mut talk, &tick(0));
        }
        drop(back);
        // More than its window holds: nobody waits for a receiver that is not there.
        for n in 0..100_000 {
            talk.send(tick(n)).timeout(SOON).wait()?;
        }
        for n in 0..100 {
            out.send(tick(n)).timeout(SOON).wait()?;
            assert_eq!(talk.recv().timeout(SOON).wait()?, tick(n));
        }
        out.drain().timeout(SOON).wait()?;
        is_busy(&peer);
        drop(out);
        assert_eq!(talk.recv().timeout(SOON).wait(), LEFT);
    }
    let mut last = next_importer(&peer);
    let account = talk.halves().0.account();
    assert_eq!((account.confirmed, account.in_doubt), (0, 200_001), "nobody has taken them");
    send_next(&mut talk, &tick(3));
    assert_eq!(last.recv().timeout(SOON).wait()?, tick(3));
    ground.others_go_on();
    Ok(())
}

#[test]
fn a_dropped_duplex_does_not_lose_what_it_has_sent() -> Outcome {
    let ground = Ground::new();
    let mut talk: Duplex<Bytes, Bytes> = ground.node.export("talk")?;
    let (_node, peer) = ground.visitor();
    for round in 0..20 {
        let mut visitor =
            eventually("the place is free", || peer.import::<Duplex<Bytes, Bytes>>("talk").wait().ok());
        send_next(&mut talk, &Bytes::from(vec![1; 10]));
        // Its last value is not all written when it goes, with something left to take.
        for _ in 0..2 {
            visitor.send(Bytes::from(vec![round; 60_000])).timeout(SOON).wait()?;
        }
        drop(visitor);
        for _ in 0..2 {
            assert_eq!(talk.recv().timeout(SOON).wait()?.as_ref(), vec![round; 60_000]);
        }
        assert_eq!(talk.recv().timeout(SOON).wait(), Err(RecvError::Left { dead: None }));
    }
    Ok(())
}

#[test]
fn the_loss_of_an_importer_is_not_taken_for_silence() -> Outcome {
    let ground = Ground::new();
    let mut talk: Talk = ground.node.export("talk")?;
    let (node, lost) = ground.visitor();
    let (_other, peer) = ground.visitor();
    let mut first = lost.import::<Talk>("talk").wait()?;
    first.send(tick(1)).wait()?;
    assert_eq!(talk.recv().timeout(SOON).wait()?, tick(1));
    let waiter = spawn(move || (talk.recv().timeout(SOON).wait(), talk));
    node.shutdown(Duration::ZERO);
    let (heard, mut talk) = waiter.join();
    assert_eq!(heard, Err(RecvError::Left { dead: Some(Dead::peer(Reason::Shutdown)) }));
    let mut second = next_importer(&peer);
    second.send(tick(2)).wait()?;
    assert_eq!(talk.recv().timeout(SOON).wait()?, tick(2));
    drop(first);
    Ok(())
}
