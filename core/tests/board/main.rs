//! A board's node against a link on a virtual line: what its ends promise.

mod desk;
mod hostile;
mod interrupts;
mod parts;
mod sessions;

use std::time::Duration;

use desk::{Desk, LINE, STEP, desk, encoded, of, pair};
use netchan::board::{
    CallError, Client, Config, Duplex, ExportError, Latest, Quiet, Receiver, RecvError, SendCause, Sender,
    Server, Watch,
};
use netchan::proto::{Dead, Instant, LinkConfig, OpenFlags, Reason};
use netchan::testing::{Node as Peer, Outcome, Policy, Port, Stage, identity};

#[test]
fn values_of_an_export_arrive_in_order_and_end_in_order() {
    let (node, desk) = desk!(Config::new(LINE).export::<Sender<u32>>(2));
    let sender = node.export::<Sender<u32>>("numbers").unwrap();
    assert_eq!(sender.try_send(1).unwrap_err().cause, SendCause::NoImporter);
    let mut desk = desk.up();
    let id = desk.import("numbers", OpenFlags::RECEIVES, of::<u32>());
    let (mut next, mut taken) = (0_u32, 0_u32);
    while taken < 300 {
        if sender.try_send(next).is_ok() {
            next += 1;
        }
        if let Outcome::Value(bytes) = desk.peer.take(id) {
            assert_eq!(bytes, encoded(&taken));
            taken += 1;
        }
        desk.step();
    }
    let rest = next - taken;
    drop(sender);
    for _ in 0..rest {
        desk.take(id);
    }
    desk.until(|desk| desk.peer.take(id) == Outcome::Closed);
    desk.until(|desk| desk.peer.is_quiet());
    assert!(node.export::<Sender<u32>>("numbers").is_ok(), "the name is free again");
}

#[test]
fn an_import_receives_what_the_peer_exports_and_reopens_after_a_restart() {
    let (node, desk) = desk!(Config::new(LINE).import::<Receiver<u16>>(2));
    let mut levels = node.import::<Receiver<u16>>("levels").unwrap();
    assert_eq!(levels.try_recv(), Err(RecvError::Empty));
    let mut desk = desk.up();
    desk.until(|desk| desk.offered().is_some());
    let id = desk.offered().unwrap();
    for n in 0..50_u16 {
        desk.peer.send(id, encoded(&n));
    }
    for n in 0..50 {
        desk.until(|_| match levels.try_recv() {
            Ok(value) => value == n,
            Err(error) => error != RecvError::Empty && panic!("{error}"),
        });
    }
    desk.until(|desk| {
        desk.peer.circuits[id].confirmed == 50 || {
            desk.peer.ask(id);
            false
        }
    });
    desk.start_peer();
    let mut told = None;
    desk.until(|_| {
        told = levels.try_recv().err().filter(|error| *error != RecvError::Empty);
        told.is_some()
    });
    assert_eq!(told, Some(RecvError::Interrupted { dead: Dead::here(Reason::PeerRestarted), taken: 50 }));
    desk.until(|desk| desk.offered().is_some());
    let id = desk.offered().unwrap();
    desk.peer.send(id, encoded(&7_u16));
    desk.until(|_| levels.try_recv() == Ok(7));
    desk.peer.end(id);
    desk.until(|_| levels.try_recv() == Err(RecvError::Closed));
    assert_eq!(levels.try_recv(), Err(RecvError::Closed), "for this session");
    desk.until(|desk| desk.peer.is_quiet());
}

#[test]
fn an_import_whose_exporter_has_ended_goes_on_in_the_next_session() {
    let (node, desk) = desk!(Config::new(LINE).import::<Receiver<u16>>(2));
    let mut levels = node.import::<Receiver<u16>>("levels").unwrap();
    let mut desk = desk.up();
    for n in 0..3 {
        desk.until(|desk| desk.offered().is_some());
        let id = desk.offered().unwrap();
        desk.peer.send(id, encoded(&n));
        desk.peer.end(id);
        desk.until(|_| levels.try_recv() == Ok(n));
        desk.until(|_| levels.try_recv() == Err(RecvError::Closed));
        desk.pass_ms(1500);
        assert_eq!((desk.offered(), desk.peer.circuits.len()), (None, id + 1), "not in this one");
        assert_eq!(levels.try_recv(), Err(RecvError::Closed));
        desk.start_peer();
    }
    // One that is told in the next session is not told of the next.
    desk.until(|desk| desk.offered().is_some());
    let id = desk.offered().unwrap();
    desk.peer.end(id);
    desk.pass_ms(100);
    desk.start_peer();
    desk.until(|desk| desk.peer.port.is_up());
    desk.pass_ms(100);
    assert_eq!(levels.try_recv(), Err(RecvError::Closed));
    desk.until(|desk| desk.offered().is_some());
    let id = desk.offered().unwrap();
    desk.peer.send(id, encoded(&7_u16));
    desk.until(|_| levels.try_recv() == Ok(7));
}

#[test]
fn a_method_is_called_and_a_request_that_is_dropped_is_told() {
    let (node, desk) = desk!(Config::new(LINE).export::<Server<u32, u64>>(2));
    let mut double = node.export::<Server<u32, u64>>("double").unwrap();
    let mut desk = desk.up();
    let fingerprint = pair("call", of::<u64>(), of::<u32>());
    let id = desk.import("double", OpenFlags::BOTH.with(OpenFlags::CALLS), fingerprint);
    for n in 1..=20_u32 {
        let head = [n as u8, 0, 0];
        desk.peer.send(id, [&head[..], &encoded(&n)].concat());
    }
    let mut answered = 0;
    while answered < 20 {
        desk.step();
        if let Ok(request) = double.try_recv() {
            let n = *request;
            if n % 5 == 0 {
                drop(request);
            } else {
                request.reply(u64::from(n) * 2).unwrap();
            }
        }
        if let Outcome::Value(reply) = desk.peer.take(id) {
            answered += 1;
            let gone = vec![answered, 1, Reason::HandlerGone.get()];
            let right = [&[answered, 0][..], &encoded(&(u64::from(answered) * 2))].concat();
            assert_eq!(reply, if answered % 5 == 0 { gone } else { right });
        }
    }
    desk.peer.end(id);
    desk.until(|desk| {
        assert_eq!(double.try_recv().unwrap_err(), RecvError::Empty, "no caller's end is the server's");
        desk.peer.take(id) == Outcome::Closed
    });
    desk.until(|desk| desk.peer.is_quiet());
}

#[test]
fn a_late_reply_reaches_no_other_caller() {
    let (node, desk) = desk!(Config::new(LINE).export::<Server<u32, u32>>(2));
    let mut server = node.export::<Server<u32, u32>>("echo").unwrap();
    let mut desk = desk.up();
    let (flags, fingerprint) =
        (OpenFlags::BOTH.with(OpenFlags::CALLS), pair("call", of::<u32>(), of::<u32>()));
    let id = desk.import("echo", flags, fingerprint);
    desk.peer.send(id, vec![1, 0, 0, 5]);
    let mut late = None;
    desk.until(|_| {
        late = server.try_recv().ok();
        late.is_some()
    });
    desk.peer.kill(id, Reason::Cancelled);
    desk.pass_ms(100);
    let id = desk.import("echo", flags, fingerprint);
    desk.peer.send(id, vec![1, 0, 0, 6]);
    desk.until(|desk| desk.peer.circuits[id].stage == Stage::Open);
    let error = late.unwrap().reply(5).unwrap_err();
    assert_eq!(error.cause, SendCause::Dead(Dead::here(Reason::Closed)));
    desk.until(|_| server.try_recv().is_ok_and(|request| request.reply(6).is_ok()));
    assert_eq!(desk.take(id), [1, 0, 6]);
}

#[test]
fn a_reply_to_a_caller_whose_other_request_did_not_decode_is_refused_once() {
    let (node, desk) = desk!(Config::new(LINE).export::<Server<bool, u32>>(2));
    let mut server = node.export::<Server<bool, u32>>("method").unwrap();
    let mut desk = desk.up();
    let (flags, fingerprint) =
        (OpenFlags::BOTH.with(OpenFlags::CALLS), pair("call", of::<u32>(), of::<bool>()));
    for _ in 0..2 {
        let id = desk.import("method", flags, fingerprint);
        desk.peer.send(id, vec![1, 0, 0, 1]);
        desk.peer.send(id, vec![2, 0, 0, 7]);
        let mut first = None;
        desk.until(|_| {
            first = server.try_recv().ok();
            first.is_some()
        });
        desk.until(|_| matches!(server.try_recv(), Err(RecvError::Decode(_))));
        let error = first.unwrap().reply(5).unwrap_err();
        assert_eq!(error.cause, SendCause::Dead(Dead::here(Reason::Closed)));
        desk.until(|desk| matches!(desk.peer.take(id), Outcome::Dead(_)));
    }
}

#[test]
fn a_board_calls_a_method_of_its_peer() {
    let (node, desk) = desk!(Config::new(LINE).import::<Client<u32, u32>>(2));
    let mut client = node.import::<Client<u32, u32>>("increment").unwrap();
    assert_eq!(client.try_call(1).unwrap_err().cause, SendCause::NoImporter);
    let mut desk = desk.up();
    desk.until(|desk| desk.offered().is_some());
    let id = desk.offered().unwrap();
    let mut first = None;
    desk.until(|_| {
        first = client.try_call(1).ok();
        first.is_some()
    });
    let second = client.try_call(2).unwrap();
    assert_eq!(client.try_call(3).unwrap_err().cause, SendCause::Full, "no room is promised for its reply");
    assert_eq!(desk.take(id), [1, 0, 0, 1]);
    assert_eq!(desk.take(id), [2, 0, 0, 2]);
    desk.peer.send(id, vec![2, 0, 3]);
    desk.peer.send(id, vec![1, 1, Reason::HandlerGone.get()]);
    desk.until(|_| client.try_reply() == Ok((second, 3)));
    let gone = Dead::peer(Reason::HandlerGone);
    desk.until(|_| client.try_reply() == Err(CallError::Refused(first.unwrap(), gone)));
    client.try_call(4).unwrap();
    desk.pass_ms(50);
    desk.start_peer();
    desk.until(|_| client.try_reply() == Err(CallError::Dead(Dead::here(Reason::PeerRestarted))));
    assert_eq!(client.try_reply(), Err(CallError::Empty), "once");
    desk.until(|_| client.try_call(5).is_ok());
}

#[test]
fn a_method_that_was_given_up_is_so_for_the_session_and_there_again_in_the_next() {
    let (node, desk) = desk!(Config::new(LINE).import::<Client<u32, u32>>(2));
    let mut client = node.import::<Client<u32, u32>>("increment").unwrap();
    let withdrawn = CallError::Dead(Dead::peer(Reason::Withdrawn));
    let mut desk = desk.up();
    let give_up = |desk: &mut Desk<'_>| {
        desk.until(|desk| desk.offered().is_some());
        let id = desk.offered().unwrap();
        desk.pass_ms(50);
        // As an export that is dropped: all at once.
        desk.peer.end(id);
        desk.peer.pump();
        desk.peer.kill(id, Reason::Withdrawn);
        desk.pass_ms(100);
        id
    };
    for _ in 0..3 {
        let id = give_up(&mut desk);
        assert_eq!(client.try_reply(), Err(withdrawn));
        let error = client.try_call(1).unwrap_err();
        assert_eq!(error.cause, SendCause::Dead(Dead::peer(Reason::Closed)));
        desk.pass_ms(1500);
        assert_eq!((desk.offered(), desk.peer.circuits.len()), (None, id + 1), "not in this one");
        assert_eq!(client.try_reply(), Err(withdrawn));
        desk.start_peer();
    }
    // One that is told in the next session is there in that.
    give_up(&mut desk);
    desk.start_peer();
    desk.until(|desk| desk.peer.port.is_up());
    desk.pass_ms(100);
    assert_eq!(client.try_reply(), Err(withdrawn));
    desk.until(|desk| desk.offered().is_some());
    desk.until(|_| client.try_call(2).is_ok());
}

#[test]
fn of_a_latest_value_the_newest_arrives_and_who_comes_later_gets_it_too() {
    let (node, desk) = desk!(Config::new(LINE).export::<Latest<u32>>(1).export::<Watch<u32>>(1));
    let load = node.export::<Latest<u32>>("load").unwrap();
    let mut goal = node.export::<Watch<u32>>("goal").unwrap();
    for n in 0..10 {
        load.set(&n).unwrap();
    }
    assert_eq!(load.account().dropped, 9);
    let mut desk = desk.up();
    for _ in 0..2 {
        let id = desk.import("load", OpenFlags::RECEIVES.with(OpenFlags::LATEST), of::<u32>());
        assert_eq!(desk.take(id), [9]);
        desk.pass_ms(50);
        assert_eq!(desk.peer.take(id), Outcome::Empty, "once each");
        desk.peer.kill(id, Reason::HungUp);
        desk.pass_ms(50);
    }
    let id = desk.import("goal", OpenFlags::SENDS.with(OpenFlags::LATEST), of::<u32>());
    for n in 0..10_u32 {
        desk.peer.send(id, encoded(&n));
    }
    desk.pass_ms(200);
    assert_eq!((goal.try_changed(), goal.try_changed()), (Ok(9), Err(RecvError::Empty)));
    desk.peer.end(id);
    desk.until(|_| goal.try_changed() == Err(RecvError::Left { dead: None }));
    desk.until(|desk| desk.peer.is_quiet());
}

#[test]
fn a_conversation_ends_before_the_next_one_begins() {
    let (node, desk) = desk!(Config::new(LINE).export::<Duplex<u32, u32>>(2));
    let mut echo = node.export::<Duplex<u32, u32>>("echo").unwrap();
    let mut desk = desk.up();
    let fingerprint = pair("duplex", of::<u32>(), of::<u32>());
    for round in 0..3_u32 {
        let id = desk.import("echo", OpenFlags::BOTH, fingerprint);
        for n in 0..10 {
            desk.peer.send(id, encoded(&(round * 100 + n)));
        }
        for n in 0..10 {
            let mut came = None;
            desk.until(|_| {
                came = echo.try_recv().ok();
                came.is_some()
            });
            assert_eq!(came, Some(round * 100 + n));
            desk.until(|_| echo.try_send(round * 100 + n).is_ok());
            assert_eq!(desk.take(id), encoded(&(round * 100 + n)));
        }
        if round == 1 {
            desk.peer.kill(id, Reason::HungUp);
        } else {
            desk.peer.end(id);
        }
        desk.pass_ms(50);
        let dead = (round == 1).then(|| Dead::peer(Reason::HungUp));
        if round == 1 {
            // The next one comes before the program knows, and its values wait.
            let next = desk.import("echo", OpenFlags::BOTH, fingerprint);
            desk.peer.send(next, encoded(&1000_u32));
            desk.pass_ms(50);
            assert_eq!(desk.peer.circuits[next].stage, Stage::Opening);
            assert_eq!(echo.try_recv(), Err(RecvError::Left { dead }));
            let error = echo.try_send(0).unwrap_err();
            assert!(matches!(error.cause, SendCause::Left { .. }), "{error}");
            desk.until(|_| echo.try_recv() == Ok(1000));
            desk.peer.end(next);
            desk.until(|desk| desk.peer.take(next) == Outcome::Empty && desk.peer.circuits[next].ended);
            desk.until(|_| echo.try_recv() == Err(RecvError::Left { dead: None }));
            desk.until(|desk| desk.peer.take(next) == Outcome::Closed);
        } else {
            assert_eq!(echo.try_recv(), Err(RecvError::Left { dead }));
            desk.until(|desk| desk.peer.take(id) == Outcome::Closed);
        }
        assert_eq!(echo.try_recv(), Err(RecvError::Empty), "told once");
        desk.until(|desk| desk.peer.is_quiet());
    }
}

#[test]
fn what_does_not_fit_is_refused_with_the_reason() {
    let (node, desk) = desk!(Config::new(LINE).export::<Sender<u32>>(2));
    let _numbers = node.export::<Sender<u32>>("numbers").unwrap();
    assert!(node.export::<Sender<u32>>("more").is_err(), "the table is full");
    assert!(node.export::<Sender<u32>>("no name").is_err());
    let mut desk = desk.up();
    let cases = [
        ("other", OpenFlags::RECEIVES, of::<u32>(), Reason::NoName),
        ("numbers", OpenFlags::SENDS, of::<u32>(), Reason::WrongDirection),
        ("numbers", OpenFlags::RECEIVES.with(OpenFlags::LATEST), of::<u32>(), Reason::WrongDirection),
        ("numbers", OpenFlags::RECEIVES, of::<u16>(), Reason::TypeDiffers),
    ];
    for (name, flags, fingerprint, reason) in cases {
        let id = desk.import(name, flags, fingerprint);
        desk.until(|desk| desk.peer.circuits[id].dead == Some(Dead::peer(reason)));
        if reason == Reason::TypeDiffers {
            assert_eq!(desk.peer.circuits[id].detail, "u32");
        }
    }
    let first = desk.import("numbers", OpenFlags::RECEIVES, of::<u32>());
    desk.until(|desk| desk.peer.circuits[first].stage == Stage::Open);
    let second = desk.import("numbers", OpenFlags::RECEIVES, of::<u32>());
    desk.until(|desk| desk.peer.circuits[second].dead == Some(Dead::peer(Reason::Busy)));
    desk.peer.kill(first, Reason::HungUp);
    desk.until(|desk| desk.peer.is_quiet());
}

#[test]
fn names_are_the_same_on_both_sides_of_a_line() {
    let (node, _) = desk!(Config::new(LINE).export::<Sender<u8>>(2).import::<Receiver<u8>>(2));
    let long = &*"a".repeat(65).leak();
    for name in ["", "/", "a/", "/a", "a//b", "$", "A", "a b", "a$", "\u{e4}", long] {
        assert_eq!(node.export::<Sender<u8>>(name).unwrap_err(), ExportError::BadName, "{name}");
        assert_eq!(node.import::<Receiver<u8>>(name).unwrap_err(), ExportError::BadName, "{name}");
    }
    // What is the system's own a program may import; and its log it exports, where there is one.
    for name in ["$log", "a/$b"] {
        let is_log = cfg!(feature = "log") && name == "$log";
        assert_eq!(node.export::<Sender<u8>>(name).err(), (!is_log).then_some(ExportError::BadName));
    }
    drop(node.import::<Receiver<u8>>("a/$b").unwrap());
    node.export::<Sender<u8>>("0.9_-z/b").unwrap();
}

#[test]
fn an_open_of_a_handle_that_is_not_the_peers_ends_the_session() {
    // One that is the board's to open, one beyond those that were offered, and one that is longer than the board counts.
    for handle in [0_u32, 40, 254, 258] {
        let (node, desk) = desk!(Config::new(LINE).export::<Sender<u32>>(2));
        let _numbers = node.export::<Sender<u32>>("numbers").unwrap();
        let mut desk = desk.up();
        let own = desk.import("other", OpenFlags::RECEIVES, of::<u32>());
        let parity = desk.peer.circuits[own].handle.map_or(0, |handle| handle.get() & 1);
        desk.until(|desk| desk.peer.is_quiet());
        let handle = handle | if handle == 0 { 1 - parity } else { parity };
        let mut frame = vec![0; 5];
        let len = netchan::proto::varint::put(&mut frame, 0, handle << 3 | 6);
        frame.truncate(len);
        frame.extend([1, 2, 0, 60, 50, 0, 7]);
        frame.extend(b"numbers");
        frame.push(1);
        frame.extend(of::<u32>().to_le_bytes());
        frame.push(0);
        desk.peer.port.forge_bytes(&frame);
        desk.until(|desk| desk.board.ended() == Some(Dead::here(Reason::Protocol)));
    }
}

#[test]
fn messages_longer_than_a_packet_pass_in_both_directions() {
    type Block = netchan::Blob<200>;
    let (node, desk) = desk!(Config::new(LINE).export::<Sender<Block>>(2).export::<Receiver<Block>>(2));
    let sender = node.export::<Sender<Block>>("out").unwrap();
    let mut receiver = node.export::<Receiver<Block>>("in").unwrap();
    let mut desk = desk.up();
    let from = desk.import("out", OpenFlags::RECEIVES, of::<Block>());
    let to = desk.import("in", OpenFlags::SENDS, of::<Block>());
    let block = |n: usize| -> Vec<u8> { (0..n * 10).map(|i| (i * n) as u8).collect() };
    for n in 0..=20 {
        desk.peer.send(to, block(n));
    }
    let (mut sent, mut came, mut taken) = (0, 0, 0);
    while came <= 20 || taken <= 20 {
        desk.step();
        if sent <= 20 && sender.try_send(Block::try_from(&block(sent)[..]).unwrap()).is_ok() {
            sent += 1;
        }
        if let Ok(value) = receiver.try_recv() {
            assert_eq!(value[..], block(taken)[..]);
            taken += 1;
        }
        if let Outcome::Value(value) = desk.peer.take(from) {
            assert_eq!(value, block(came));
            came += 1;
        }
        assert!(desk.now < 20_000_000, "{sent} {came} {taken}");
    }
}

#[test]
fn the_account_of_a_lost_session_adds_up() {
    let (node, desk) = desk!(Config::new(LINE).export::<Sender<[u8; 20]>>(4));
    let sender = node.export_with::<Sender<[u8; 20]>>("blocks", 4).unwrap();
    let mut desk = desk.up();
    let id = desk.import("blocks", OpenFlags::RECEIVES, of::<[u8; 20]>());
    let mut sent = 0;
    let mut taken = 0;
    while taken < 20 {
        desk.step();
        sent += u32::from(sender.try_send([1; 20]).is_ok());
        taken += u32::from(matches!(desk.peer.take(id), Outcome::Value(_)));
    }
    while sender.try_send([2; 20]).is_ok() {
        sent += 1;
    }
    desk.start_peer();
    let mut left = None;
    desk.until(|_| match sender.try_send([3; 20]) {
        Ok(()) => {
            sent += 1;
            false
        }
        Err(error) => {
            left = Some(error.cause);
            error.cause != SendCause::Full
        }
    });
    let Some(SendCause::Left { dead, account }) = left else { panic!("{left:?}") };
    assert_eq!(dead, Dead::here(Reason::PeerRestarted));
    assert_eq!(account.confirmed + account.in_doubt + account.unsent, sent);
    assert!(account.confirmed <= 20 && account.confirmed > 0 && account.unsent > 0, "{account:?}");
    assert_eq!(sender.try_send([4; 20]).unwrap_err().cause, SendCause::NoImporter);
}

#[test]
fn a_peer_that_has_announced_its_silence_is_given_up_only_when_that_is_over() {
    let (node, desk) = desk!(Config::new(LINE).export::<Sender<u32>>(4));
    let sender = node.export::<Sender<u32>>("numbers").unwrap();
    let mut desk = desk.up();
    let id = desk.import("numbers", OpenFlags::RECEIVES, of::<u32>());
    desk.until(|_| sender.try_send(0).is_ok());
    assert_eq!(desk.take(id), encoded(&0_u32));
    let now = Instant::from_micros(desk.now);
    desk.peer.port.link.quiet(20_000, now);
    desk.until(|desk| desk.peer.port.is_quiet_heard());
    // The board alone, which has something to say.
    let alone = |desk: &mut Desk<'_>, millis: u64| {
        let (mut bytes, mut idle) = (0, 0);
        for _ in 0..millis {
            let _ = sender.try_send(1);
            desk.now += 1000;
            let now = Instant::from_micros(desk.now);
            let n = desk.board.drain(&mut [0; STEP], now);
            bytes += n;
            idle += u64::from(n == 0 && desk.board.deadline(now) <= now);
        }
        (bytes, idle)
    };
    let (bytes, idle) = alone(&mut desk, 19_900);
    assert!(desk.board.is_up(), "{:?}", desk.board.ended());
    assert!(bytes <= 20, "{bytes} bytes were sent to one who cannot hear");
    assert!(idle < 100, "its program is woken {idle} times for nothing");
    alone(&mut desk, 100 + 2500);
    let reason = desk.board.ended().map(|dead| dead.reason);
    assert!(matches!(reason, Some(Reason::Unresponsive | Reason::LinkLost)), "{reason:?}");
}

#[test]
fn a_value_that_does_not_decode_ends_its_circuit_and_not_the_channel() {
    let (node, desk) = desk!(Config::new(LINE).export::<Receiver<bool>>(2));
    let mut flags = node.export::<Receiver<bool>>("flags").unwrap();
    let mut desk = desk.up();
    let id = desk.import("flags", OpenFlags::SENDS, of::<bool>());
    desk.peer.send(id, vec![2]);
    desk.until(|_| matches!(flags.try_recv(), Err(RecvError::Decode(_))));
    desk.until(|desk| desk.peer.circuits[id].dead == Some(Dead::peer(Reason::DecodeFailed)));
    let id = desk.import("flags", OpenFlags::SENDS, of::<bool>());
    desk.peer.send(id, vec![1]);
    desk.until(|_| flags.try_recv() == Ok(true));
}

/// A bulk transfer in both directions, in which the board announces a silence and is silent: how long until
/// the peer's session is over, if it is.
fn erase(desk: &mut Desk<'_>, announced: Duration, silent_ms: u64) -> Option<u64> {
    // The line is asked in a block of its own, for its driver is lent.
    let Desk { board, peer, now, to_peer, .. } = desk;
    let mut quiet = board.quiet(announced);
    let mut turn = |now: &mut u64, board: Option<&mut Quiet<'_, '_>>| {
        *now += 1000;
        let time = Instant::from_micros(*now);
        peer.tick(time);
        peer.receive(&std::mem::take(to_peer));
        peer.pump();
        let to_board = peer.port.transmit_some(STEP);
        if let Some(board) = board {
            board.feed(&to_board, time);
            let mut out = [0; STEP];
            let n = board.drain(&mut out, time);
            to_peer.extend_from_slice(&out[..n]);
        }
        peer.port.fault.is_some()
    };
    let from = *now;
    while !quiet.is_heard() {
        assert!(!turn(now, Some(&mut quiet)) && *now < from + 2_000_000, "nobody hears it");
    }
    let from = *now;
    let dead = (0..silent_ms).find(|_| turn(now, None)).map(|_| (*now - from) / 1000);
    quiet.back(Instant::from_micros(*now));
    dead
}

#[test]
fn an_erase_of_twenty_seconds_in_the_middle_of_a_bulk_transfer_loses_nothing() {
    type Block = netchan::Blob<200>;
    let (node, desk) = desk!(Config::new(LINE).export::<Sender<Block>>(2).export::<Receiver<Block>>(2));
    let sender = node.export::<Sender<Block>>("out").unwrap();
    let mut receiver = node.export::<Receiver<Block>>("in").unwrap();
    let mut desk = desk.up();
    let from = desk.import("out", OpenFlags::RECEIVES, of::<Block>());
    let to = desk.import("in", OpenFlags::SENDS, of::<Block>());
    let block = |n: usize| -> Vec<u8> { (0..200).map(|i| (i * n) as u8).collect() };
    for n in 0..60 {
        desk.peer.send(to, block(n));
    }
    let (mut sent, mut came, mut taken, mut erased) = (0, 0, 0, 0);
    let start = desk.now;
    while came < 60 || taken < 60 {
        desk.step();
        if sent < 60 && sender.try_send(Block::try_from(&block(sent)[..]).unwrap()).is_ok() {
            sent += 1;
        }
        if let Ok(value) = receiver.try_recv() {
            assert_eq!(value[..], block(taken)[..]);
            taken += 1;
        }
        if let Outcome::Value(value) = desk.peer.take(from) {
            assert_eq!(value, block(came));
            came += 1;
        }
        if erased < 3 && came.min(taken) > 15 * (erased + 1) {
            erased += 1;
            // The last one is over sooner than it was said, and the peer hears of it.
            let silent_ms = if erased == 3 { 5_000 } else { 20_000 };
            assert_eq!(erase(&mut desk, Duration::from_millis(20_500), silent_ms), None);
        }
        assert!(desk.board.is_up() && desk.peer.port.is_up(), "{:?}", desk.board.ended());
    }
    assert_eq!(erased, 3);
    let time = (desk.now - start) / 1000;
    assert!(time < 45_000 + 6_000, "{time} ms: it goes on at once");
}

#[test]
fn a_board_that_is_silent_for_longer_than_announced_is_dead_on_time() {
    let (node, desk) = desk!(Config::new(LINE).export::<Sender<u32>>(4));
    let sender = node.export::<Sender<u32>>("numbers").unwrap();
    let mut desk = desk.up();
    let id = desk.import("numbers", OpenFlags::RECEIVES, of::<u32>());
    desk.until(|_| sender.try_send(0).is_ok());
    assert_eq!(desk.take(id), encoded(&0_u32));
    let dead = erase(&mut desk, Duration::from_secs(5), 20_000).expect("it is dead");
    assert!((7_000..=7_600).contains(&dead), "{dead}");
    // The board knows as soon as it is back, for its own time is over as well.
    desk.step();
    assert!(!desk.board.is_up());
    let error = sender.try_send(1).unwrap_err();
    assert!(matches!(error.cause, SendCause::Left { .. }), "{error}");
    desk.start_peer();
    desk.until(|desk| desk.board.is_up() && desk.peer.port.is_up());
}

#[test]
fn a_silence_that_was_announced_to_a_session_is_announced_again_to_the_next() {
    let (_, desk) = desk!(Config::new(LINE).export::<Sender<u32>>(1));
    let mut desk = desk.up();
    desk.pass_ms(100);
    // The notice gets lost with the session that it was for.
    let Desk { board, peer, now, to_peer, .. } = &mut desk;
    let mut quiet = board.quiet(Duration::from_secs(20));
    let mut time = Instant::from_micros(*now);
    while quiet.drain(&mut [0; STEP], time) > 0 {}
    let mut who = identity("host", 9);
    who.boot = 77;
    let link = LinkConfig::line(who, &LINE, 8);
    *peer = Peer::new(link, 99 << 40, time);
    peer.port = Port::on_line(link, LINE, 99 << 40, time);
    to_peer.clear();
    let (mut lost, mut heard) = (false, false);
    while !heard {
        *now += 1000;
        time = Instant::from_micros(*now);
        peer.tick(time);
        peer.receive(&std::mem::take(to_peer));
        peer.pump();
        quiet.feed(&peer.port.transmit_some(STEP), time);
        lost |= quiet.is_heard();
        let mut out = [0; STEP];
        let n = quiet.drain(&mut out, time);
        to_peer.extend_from_slice(&out[..n]);
        // Until the next session is up there is nobody who could miss it.
        heard = lost && peer.port.is_up() && quiet.is_heard();
        assert!(*now < 10_000_000, "nobody hears it");
    }
    assert!(peer.port.link.is_peer_quiet(time), "the peer knows");
}

#[test]
fn a_silence_may_begin_at_once_where_there_is_no_session() {
    let (_, mut desk) = desk!(Config::new(LINE).export::<Sender<u32>>(1));
    let quiet = desk.board.quiet(Duration::from_secs(60));
    assert!(quiet.is_heard());
    quiet.back(Instant::from_millis(20_000));
    desk.now = 20_000_000;
    desk.start_peer();
    desk.up();
}

#[test]
fn a_main_loop_sees_when_it_may_sleep_and_for_how_long() {
    let (node, desk) = desk!(Config::new(LINE).export::<Sender<u32>>(2));
    let sender = node.export::<Sender<u32>>("numbers").unwrap();
    assert_eq!(desk.board.silence(Instant::ZERO), None);
    assert!(!desk.board.has_unsent());
    let mut desk = desk.up();
    let id = desk.import("numbers", OpenFlags::RECEIVES, of::<u32>());
    desk.until(|_| sender.try_send(1).is_ok());
    assert!(desk.board.has_unsent());
    assert_eq!(desk.take(id), encoded(&1_u32));
    desk.until(|desk| !desk.board.has_unsent());

    let (mut turns, mut most) = (0, 0);
    for _ in 0..10_000 {
        let silence =
            |desk: &Desk<'_>| desk.board.silence(Instant::from_micros(desk.now + 1000)).unwrap().as_millis();
        let before = silence(&desk);
        if desk.doze() {
            turns += 1;
            most = most.max(before);
        }
    }
    assert!(desk.board.is_up() && desk.peer.port.is_up(), "nobody was taken for dead");
    assert!(turns < 800, "{turns}: it sleeps nearly all of the time");
    assert!((200..=510).contains(&most), "{most}: as often as the peer has promised");

    // Nothing comes any more: the silence grows until the session is over, and the next deadline is that of a hello.
    let from = desk.now;
    while desk.board.is_up() {
        desk.now = desk.board.deadline(Instant::from_micros(desk.now)).as_micros();
        let now = Instant::from_micros(desk.now);
        while desk.board.drain(&mut [0; STEP], now) > 0 {}
        assert!(desk.now <= from + 2_500_000);
    }
    let now = Instant::from_micros(desk.now);
    assert_eq!(desk.board.silence(now), None);
    assert!(desk.board.deadline(now).since(now).as_millis() <= 100);
}

#[test]
fn a_board_that_sleeps_asks_again_in_time_for_what_was_refused() {
    let (node, desk) = desk!(Config::new(LINE).import::<Receiver<u16>>(2).export::<Duplex<u8, u8>>(2));
    let mut desk = desk.up();
    desk.peer.policy = Policy::Hold;
    let mut echo = node.export::<Duplex<u8, u8>>("echo").unwrap();
    let id = desk.import("echo", OpenFlags::BOTH, pair("duplex", of::<u8>(), of::<u8>()));
    desk.pass_ms(100);
    let _levels = node.import::<Receiver<u16>>("levels").unwrap();
    for round in 1..8 {
        desk.until(|desk| desk.peer.circuits.len() > round);
        desk.peer.kill(round, Reason::NoName);
        let from = desk.now;
        while desk.peer.circuits.len() == round + 1 {
            assert!(desk.now < from + 1_030_000, "a second, and the open's way: {round}");
            desk.doze();
            // So that signs of life are due at other times, of both.
            if desk.now == from + 30_000 * round as u64 {
                desk.peer.send(id, vec![7]);
            }
            if let Ok(byte) = echo.try_recv() {
                echo.try_send(byte).unwrap();
                desk.step();
            }
            desk.peer.take(id);
        }
    }
    // And nothing is asked for all the time, where it is not to be had.
    let turns = (0..10_000).filter(|_| desk.doze()).count();
    assert!(turns < 800, "{turns}");
}

#[test]
fn an_import_is_opened_however_long_nobody_was_there() {
    let (node, desk) = desk!(Config::new(LINE).import::<Receiver<u16>>(2));
    let _levels = node.import::<Receiver<u16>>("levels").unwrap();
    let mut desk = desk.up();
    // A board's timers are numbers that go round every 71 minutes.
    for minutes in [20, 45, 60, 90, 130] {
        for awake_every in [10, minutes] {
            for _ in 0..minutes / awake_every {
                desk.now += awake_every * 60_000_000;
                desk.board.drain(&mut [0; STEP], Instant::from_micros(desk.now));
            }
            desk.start_peer();
            desk.until(|desk| desk.board.is_up() && desk.peer.port.is_up());
            desk.until(|desk| desk.offered().is_some());
        }
    }
}

#[test]
fn what_a_program_has_taken_is_told_in_bounded_time_without_a_question() {
    let (node, desk) = desk!(Config::new(LINE).export::<Receiver<u32>>(4));
    let mut numbers = node.export_with::<Receiver<u32>>("numbers", 4).unwrap();
    let mut desk = desk.up();
    let id = desk.import("numbers", OpenFlags::SENDS, of::<u32>());
    for n in 1..=20 {
        desk.peer.send(id, encoded(&n));
        desk.until(|_| numbers.try_recv() == Ok(n));
        desk.pass_ms(300);
        assert_eq!(desk.peer.circuits[id].confirmed, n);
    }
    // Where it is told next is nothing that a board waits for which leaves.
    desk.peer.send(id, encoded(&21_u32));
    desk.until(|_| numbers.try_recv() == Ok(21));
    let mut leaving = desk.board.leave(Instant::from_micros(desk.now + 1_000_000));
    for _ in 0..100 {
        desk.now += 1000;
        let now = Instant::from_micros(desk.now);
        desk.peer.tick(now);
        desk.peer.pump();
        leaving.feed(&desk.peer.port.transmit_some(STEP), now);
        let mut out = [0; STEP];
        let n = leaving.drain(&mut out, now);
        desk.peer.receive(&out[..n]);
    }
    assert!(leaving.is_done());
    assert_eq!(desk.peer.circuits[id].confirmed, 21);
}

#[test]
fn a_peer_that_is_answered_never_waits_for_credit_and_one_that_streams_has_it_back_at_half() {
    let (node, desk) = desk!(Config::new(LINE).export::<Duplex<u32, u32>>(2));
    let mut echo = node.export::<Duplex<u32, u32>>("echo").unwrap();
    let mut desk = desk.up();
    let id = desk.import("echo", OpenFlags::BOTH, pair("duplex", of::<u32>(), of::<u32>()));
    for n in 0..100 {
        desk.peer.send(id, encoded(&n));
        let from = desk.now;
        let mut came = None;
        desk.until(|desk| {
            if let Ok(value) = echo.try_recv() {
                echo.try_send(value).unwrap();
            }
            if let Outcome::Value(bytes) = desk.peer.take(id) {
                came = Some(bytes);
            }
            came.is_some()
        });
        assert_eq!(came, Some(encoded(&n)));
        assert!(n == 0 || desk.now - from < 30_000, "{n}: {} us", desk.now - from);
    }
    // Without answers: a value is taken, and there is credit for another one at once.
    for n in 0..100 {
        let from = desk.now;
        desk.peer.send(id, encoded(&n));
        desk.until(|_| echo.try_recv() == Ok(n));
        assert!(desk.now - from < 30_000, "{n}: {} us", desk.now - from);
    }
}
