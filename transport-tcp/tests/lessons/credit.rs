//! Windows and credit: no peer's number panics anybody, and no queue grows without one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use netchan::proto::{Fault, Frame, Handle, Open, Part, Total};
use netchan::{
    CallError, Client, Dead, LinkError, Node, Reason, Receiver, RecvError, SendCause, Sender, Server,
};
use netchan_tcp as tcp;

use crate::common::raw::{Raw, mine, receives, sends};
use crate::common::{Ground, Outcome, SOON, Tick, eventually, next_down, spawn, tick};

#[test]
fn a_window_of_nothing_does_not_panic_the_exporter() -> Outcome {
    let ground = Ground::new();
    let mut ticks: Sender<Tick> = ground.node.export("ticks")?;
    let mut raw = Raw::up(ground.address);
    raw.open(0, Open { limit: 10, ..receives::<Tick>("ticks", 0) });
    // No credit is no room, not an error and not a panic.
    eventually("it has joined", || (ticks.importers() == 1).then_some(()));
    assert_eq!(ticks.try_send(tick(1)).map_err(|error| error.cause()), Err(SendCause::Full));
    raw.send(&Frame::Credit(mine(0), Total::new(8)));
    ticks.send(tick(2)).timeout(SOON).wait()?;
    raw.expect("the value", |frame| match frame {
        Frame::Data(_, Part::Whole, [2]) => Some(()),
        _ => None,
    });
    // An honest importer's smallest window holds a value.
    let (_node, peer) = ground.visitor();
    let mut got = peer.import::<Receiver<Tick>>("ticks").window(0).wait()?;
    ticks.send(tick(3)).timeout(SOON).wait()?;
    assert_eq!(got.recv().wait()?, tick(3));
    Ok(())
}

#[test]
fn a_peer_that_sends_beyond_its_credit_panics_nobody() -> Outcome {
    let ground = Ground::new();
    let mut all: Receiver<Tick> = ground.node.export("all")?;
    let mut raw = Raw::up(ground.address);
    let accept = raw.open(0, sends::<Tick>("all"));
    for n in 0..=accept.credit / 8 {
        raw.data(mine(0), &[n as u8 & 0x7f]);
    }
    ground.ends_with(Fault::OverCredit);
    // What was within the credit is complete.
    for n in 0..accept.credit / 8 {
        assert_eq!(all.try_recv(), Ok(tick(u64::from(n & 0x7f))));
    }
    assert_eq!(all.try_recv(), Err(RecvError::Empty));
    // The export goes on with others.
    let (_node, peer) = ground.visitor();
    let mut next = peer.import::<Sender<Tick>>("all").wait()?;
    next.send(tick(5)).wait()?;
    assert_eq!(all.recv().wait()?, tick(5));
    Ok(())
}

#[test]
fn a_large_message_beyond_its_credit_is_refused_with_its_first_part() -> Outcome {
    let ground = Ground::new();
    let _all: Receiver<String> = ground.node.export("all")?;
    let first = |len, fault| {
        let mut raw = Raw::up(ground.address);
        raw.open(0, sends::<String>("all"));
        raw.send(&Frame::Data(mine(0), Part::First(len), b"x"));
        ground.ends_with(fault);
    };
    first(64 * 1024 + 1, Fault::BadLength);
    first(u32::MAX, Fault::BadLength);
    first(1, Fault::BadLength);
    // Each within the limit, but not all of them within the credit.
    let mut raw = Raw::up(ground.address);
    let accept = raw.open(0, sends::<String>("all"));
    let message = [0; 16 * 1024];
    let fit = accept.credit / (16 * 1024 + 4);
    for _ in 0..=fit {
        raw.send(&Frame::Data(mine(0), Part::Whole, &message));
    }
    ground.ends_with(Fault::OverCredit);
    Ok(())
}

#[test]
fn surplus_credit_panics_nobody_and_old_credit_changes_nothing() -> Outcome {
    let ground = Ground::new();
    let mut ticks: Sender<Tick> = ground.node.export("ticks")?;
    let mut raw = Raw::up(ground.address);
    raw.open(0, Open { limit: 100, ..receives::<Tick>("ticks", 80) });
    for n in 0..10 {
        ticks.send(tick(n)).timeout(SOON).wait()?;
    }
    // Regressing and repeated totals are ignored.
    for total in [8, 0, 80, 79] {
        raw.send(&Frame::Credit(mine(0), Total::new(total)));
    }
    raw.send(&Frame::Taken(mine(0), Total::new(4)));
    raw.send(&Frame::Taken(mine(0), Total::new(2)));
    eventually("the count comes", || (ticks.account().confirmed == 4).then_some(()));
    assert_eq!(ticks.try_send(tick(99)).map_err(|error| error.cause()), Err(SendCause::Full));
    // More than anybody can mean is a broken protocol.
    raw.send(&Frame::Credit(mine(0), Total::new(80 + (1 << 30) + 1)));
    ground.ends_with(Fault::BadTotal);
    let account = ticks.account();
    assert_eq!((account.confirmed, account.in_doubt, account.sent()), (4, 6, 10));
    // As is one that confirms what was never sent.
    let mut raw = Raw::up(ground.address);
    raw.open(0, receives::<Tick>("ticks", 80));
    raw.send(&Frame::Taken(mine(0), Total::new(1)));
    ground.ends_with(Fault::BadTotal);
    // Or opens with it.
    let mut raw = Raw::up(ground.address);
    raw.send(&Frame::Open(mine(0), receives::<Tick>("ticks", (1 << 30) + 1)));
    ground.ends_with(Fault::BadTotal);
    Ok(())
}

#[test]
fn credit_for_what_one_only_receives_is_refused() -> Outcome {
    let ground = Ground::new();
    let _all: Receiver<Tick> = ground.node.export("all")?;
    let ticks: Sender<Tick> = ground.node.export("ticks")?;
    let wrong_way = |open: Open<'_>, frame: fn(Handle) -> Frame<'static>| {
        let mut raw = Raw::up(ground.address);
        raw.open(0, open);
        raw.send(&frame(mine(0)));
        ground.ends_with(Fault::WrongState);
    };
    wrong_way(sends::<Tick>("all"), |handle| Frame::Credit(handle, Total::new(9)));
    wrong_way(sends::<Tick>("all"), |handle| Frame::Taken(handle, Total::new(1)));
    wrong_way(receives::<Tick>("ticks", 80), |handle| Frame::Data(handle, Part::Whole, b"x"));
    wrong_way(receives::<Tick>("ticks", 80), |handle| Frame::End(handle, Total::ZERO));
    wrong_way(receives::<Tick>("ticks", 80), |handle| Frame::Ask(handle, Total::ZERO));
    eventually("all have left", || (ticks.importers() == 0).then_some(()));
    Ok(())
}

#[test]
fn a_receiver_that_never_takes_does_not_make_a_queue_grow() -> Outcome {
    let ground = Ground::new();
    let ticks: Sender<Tick> = ground.node.export("ticks")?;
    let (_node, peer) = ground.visitor();
    let window = 64 * 1024;
    let got = peer.import::<Receiver<Tick>>("ticks").window(window).wait()?;
    eventually("it has joined", || (ticks.importers() == 1).then_some(()));
    let mut sent = 0_u64;
    // Full, and it stays so however often one tries.
    for _ in 0..1_000_000 {
        match ticks.try_send(tick(sent % 100)) {
            Ok(()) => sent += 1,
            Err(error) => assert_eq!(error.cause(), SendCause::Full),
        }
    }
    let account = ticks.account();
    assert_eq!((account.sent(), account.confirmed), (sent, 0));
    assert!(sent * 8 <= u64::from(window), "{sent} values of 8 bytes in a window of {window}");
    assert!(sent > 0);
    drop(got);
    Ok(())
}

#[test]
fn a_client_that_takes_no_answers_does_not_make_them_pile_up() -> Outcome {
    let ground = Ground::new();
    let mut server: Server<(), ()> = ground.node.export("calls")?;
    // Drops every request, which owes its caller a word each.
    let taken = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&taken);
    std::thread::spawn(move || {
        while let Ok(request) = server.recv().wait() {
            counted.fetch_add(1, Ordering::SeqCst);
            drop(request);
        }
    });
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    // What an honest client's open looks like.
    let honest = spawn(move || {
        let node = Node::new("honest");
        let peer = tcp::connect(&node, address).wait().expect("a link");
        let _ = peer.import::<Client<(), ()>>("calls").wait();
    });
    let mut teacher = Raw::accept(&listener);
    teacher.bring_up();
    let (flags, fingerprints) = teacher.expect("an open", |frame| match frame {
        Frame::Open(_, open) => Some((open.flags, open.fingerprints)),
        _ => None,
    });
    drop(teacher);
    honest.join();
    let mut raw = Raw::up(ground.address);
    // It takes answers of that length, but has no room for any.
    let accept = raw.open(0, Open { flags, fingerprints, limit: 10, ..receives::<()>("calls", 0) });
    let (_node, peer) = ground.visitor();
    let client: Client<(), ()> = peer.import("calls").wait()?;
    let (mut promised, mut charged, mut id) = (accept.credit, 0, 0_u32);
    // Requests for as long as the server takes them, and never a byte of credit for the answers.
    for round in 1..=3 {
        while charged + 9 <= promised {
            id += 1;
            let mut bytes = [0; 7];
            let at = netchan::proto::varint::put(&mut bytes, 0, id);
            raw.data(mine(0), &bytes[..at + 2]);
            charged += (at as u32 + 2 + 4).max(8);
        }
        raw.send(&Frame::Ping);
        raw.expect("a pong", |frame| match frame {
            Frame::Credit(_, total) => {
                promised = total.get();
                None
            }
            frame => matches!(frame, Frame::Pong).then_some(()),
        });
        // Others are answered, and it was looked whether something can be taken.
        let gone = client.call(()).timeout(SOON).wait();
        assert!(matches!(gone, Err(CallError::Dead(dead)) if dead.reason == Reason::HandlerGone));
        assert_eq!(taken.load(Ordering::SeqCst), 1 + round, "one answer is kept for a caller without room");
    }
    assert!(id >= 400, "{id} requests were sent");
    ground.others_go_on();
    Ok(())
}

#[test]
fn a_fault_is_told_to_the_calls_of_that_link_alone() -> Outcome {
    let ground = Ground::new();
    let mut server: Server<Tick, Tick> = ground.node.export("slow")?;
    let (_node, peer) = ground.visitor();
    let client = peer.import::<Client<Tick, Tick>>("slow").wait()?;
    let call = spawn(move || client.call(tick(1)).wait());
    let request = server.recv().wait()?;
    let mut raw = Raw::up(ground.address);
    raw.send(&Frame::Credit(mine(0), Total::new(1)));
    assert_eq!(next_down(&ground.node), LinkError::Fault(Fault::UnknownHandle));
    assert!(!request.is_cancelled());
    request.reply(tick(2)).wait()?;
    assert_eq!(call.join(), Ok(tick(2)));
    // The broken one hears why.
    let told = raw.expect("a goodbye", |frame| match frame {
        Frame::Goodbye(reason) => Some(*reason),
        _ => None,
    });
    assert_eq!(told, Reason::Protocol);
    assert_ne!(CallError::Dead(Dead::here(told)), CallError::Deadline);
    Ok(())
}
