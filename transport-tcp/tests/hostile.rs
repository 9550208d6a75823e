//! Peers that break the rules, over real sockets: whatever they send, the link ends with a
//! typed event, everybody who waited on it is told, and no other link notices.

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use common::raw::{self, Raw, mine, packed, packet, receives, sends};
use common::{Ground, Outcome, Rng, SOON, Tick, calm, eventually, next_down, spawn, tick};
use netchan::proto::{Accept, DeadFrame, Fault, Frame, FrameError, Handle, Hello, Open, Part, Total};
use netchan::{
    CallError, Client, Config, Dead, ImportError, Latest, LinkError, LinkEvent, Node, Reason, Receiver,
    RecvError, SendCause, Sender,
};
use netchan_tcp as tcp;

impl Ground {
    /// A raw peer does this on a link that is up: the link ends with this fault.
    #[track_caller]
    fn faults(&self, fault: Fault, breaks: impl FnOnce(&mut Raw)) {
        let mut raw = Raw::up(self.address);
        breaks(&mut raw);
        self.ends_with(fault);
        raw.read_to_end();
    }
}

#[test]
fn text_of_another_protocol_is_not_taken_for_a_peer() {
    let ground = Ground::new();
    let mut raw = Raw::connect(ground.address);
    raw.bytes(b"GET /index.html HTTP/1.1\r\nHost: localhost\r\nUser-Agent: somebody\r\nAccept: */*\r\n\r\n");
    ground.ends_with(Fault::NotNetchan);
    assert_eq!(raw.read_to_end(), 0, "a stranger is told nothing");
}

#[test]
fn random_bytes_never_bring_a_link_up() {
    let ground = Ground::new();
    while ground.node.next_event().is_some() {}
    let mut rng = Rng::new("random_bytes_never_bring_a_link_up");
    for _ in 0..60 {
        let len = 1 + rng.below(400);
        let bytes: Vec<u8> = (0..len).map(|_| rng.next() as u8).collect();
        let mut raw = Raw::connect(ground.address);
        raw.bytes(&bytes);
        raw.finish();
        let event = eventually("the link ends", || ground.node.next_event());
        let LinkEvent::Down { error, .. } = event else { panic!("{bytes:?} brought a link up") };
        assert!(matches!(error, LinkError::Fault(_) | LinkError::Closed | LinkError::Io(_)), "{error}");
    }
    ground.others_go_on();
}

#[test]
fn random_bytes_on_a_link_end_that_link_only() {
    let ground = Ground::new();
    let mut rng = Rng::new("random_bytes_on_a_link_end_that_link_only");
    for _ in 0..60 {
        let mut raw = Raw::up(ground.address);
        for _ in 0..20 {
            let frame: Vec<u8> = (0..1 + rng.below(40)).map(|_| rng.next() as u8).collect();
            raw.bytes(&packed(&frame));
        }
        raw.finish();
        let error = next_down(&ground.node);
        assert!(matches!(error, LinkError::Fault(_) | LinkError::Closed | LinkError::Io(_)), "{error}");
    }
    ground.others_go_on();
}

#[test]
fn a_huge_length_is_refused_before_anything_is_stored() {
    let ground = Ground::new();
    let huge = [0xff, 0xff, 0xff, 0xff, 0x0f];
    let mut stranger = Raw::connect(ground.address);
    stranger.bytes(&huge);
    ground.ends_with(Fault::Oversize { len: u32::MAX, max: 256 });
    ground.faults(Fault::Oversize { len: u32::MAX, max: 65 * 1024 }, |raw| {
        raw.bytes(&huge);
    });
    // An overlong form of a small length, and an empty frame.
    ground.faults(Fault::BadLength, |raw| {
        raw.bytes(&[0x80, 0x00]);
    });
    ground.faults(Fault::BadLength, |raw| {
        raw.bytes(&[0x00]);
    });
}

#[test]
fn a_peer_whose_packets_are_broken_is_told_so() {
    let ground = Ground::new();
    // A length beyond what was agreed, and an empty frame: what no frame says, as well as what one does.
    for broken in [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0x00], &packed(&[0x07])] {
        let mut raw = Raw::up(ground.address);
        raw.bytes(broken);
        let reason = raw.expect("a goodbye", |frame| match frame {
            Frame::Goodbye(reason) => Some(*reason),
            _ => None,
        });
        assert_eq!(reason, Reason::Protocol);
        raw.read_to_end();
    }
}

#[test]
fn strangers_who_say_nothing_are_few_and_are_dropped_in_time() -> Outcome {
    let ground = Ground::new();
    // The witness was a stranger, too, until a moment ago.
    let start = Instant::now();
    let mut strangers: Vec<Raw> = (0..40).map(|_| Raw::connect(ground.address)).collect();
    for (i, raw) in strangers.iter_mut().enumerate() {
        // Slowly the beginning of a hello, or nothing.
        if i % 2 == 0 {
            raw.bytes(&packet(&Frame::Hello(raw::hello(0)))[..1 + i]);
        }
    }
    ground.others_go_on();
    // Beyond sixteen the first to come go at once; the others when their time is over.
    let ends: Vec<_> = strangers
        .into_iter()
        .map(|mut raw| {
            spawn(move || {
                assert_eq!(raw.read_to_end(), 0, "a stranger is told nothing");
                start.elapsed()
            })
        })
        .collect();
    let mut ends: Vec<Duration> = ends.into_iter().map(common::Task::join).collect();
    ends.sort_unstable();
    let patient = ends.iter().filter(|end| **end >= Duration::from_secs(2)).count();
    assert!((1..=16).contains(&patient), "{patient} strangers at a time");
    assert!(ends[39] < Duration::from_secs(6), "a stranger stays for {:?}", ends[39]);
    for n in 0..40 {
        let error = next_down(&ground.node);
        if n < 40 - patient {
            assert_eq!(error, LinkError::Local(Reason::NoResources));
        } else {
            let late = [LinkError::Local(Reason::Deadline), LinkError::Fault(Fault::NoHello)];
            assert!(late.contains(&error), "{error}");
        }
    }
    // There is room again.
    let (_node, peer) = eventually("the listener serves others", || {
        let node = Node::new("late");
        tcp::connect(&node, ground.address).wait().ok().map(|peer| (node, peer))
    });
    assert!(peer.is_up());
    ground.others_go_on();
    Ok(())
}

#[test]
fn strangers_who_say_nothing_do_not_keep_others_out() -> Outcome {
    let ground = Ground::new();
    let strangers: Vec<Raw> = (0..40).map(|_| Raw::connect(ground.address)).collect();
    let start = Instant::now();
    let (_node, peer) = ground.visitor();
    assert!(peer.is_up());
    assert!(start.elapsed() < Duration::from_secs(2), "it has waited for {:?}", start.elapsed());
    drop(strangers);
    ground.others_go_on();
    Ok(())
}

#[test]
fn links_beyond_the_limit_are_not_made_and_are_told_why() -> Outcome {
    let ground = Ground::with(Config::default().links(2));
    let up = |count: usize| {
        for _ in 0..count {
            eventually("a link is up", || {
                matches!(ground.node.next_event()?, LinkEvent::Up { .. }).then_some(())
            });
        }
    };
    let (_node, peer) = ground.visitor();
    up(2);
    for _ in 0..20 {
        let refused = tcp::connect(&Node::new("late"), ground.address).wait();
        let Err(tcp::ConnectError::Link(error)) = refused else { panic!("{refused:?}") };
        assert_eq!(error, LinkError::Fault(Fault::Goodbye(Reason::NoResources)));
        assert_eq!(next_down(&ground.node), LinkError::Local(Reason::NoResources));
    }
    let mut raw = Raw::connect(ground.address);
    raw.bytes(&packet(&Frame::Hello(raw::hello(0))));
    raw.expect("a hello", |frame| matches!(frame, Frame::Hello(_)).then_some(()));
    raw.expect("a goodbye", |frame| match frame {
        Frame::Goodbye(Reason::NoResources) => Some(()),
        frame => panic!("{frame:?}"),
    });
    assert_eq!(raw.read_to_end(), 0);
    // Nor does it make more itself.
    let other = Node::new("other");
    let address = tcp::listen(&other, "127.0.0.1:0")?.address();
    let refused = tcp::connect(&ground.node, address).wait();
    assert!(
        matches!(refused, Err(tcp::ConnectError::Link(LinkError::Local(Reason::NoResources)))),
        "{refused:?}"
    );
    // A link that ends makes room.
    peer.close();
    peer.down().wait();
    eventually("there is room again", || tcp::connect(&Node::new("next"), ground.address).wait().ok());
    ground.others_go_on();
    Ok(())
}

#[test]
fn a_frame_cut_by_the_end_of_the_stream_is_no_frame() {
    let ground = Ground::new();
    let _export: Sender<Tick> = ground.node.export("cut").expect("a free name");
    let whole = packet(&Frame::Open(mine(0), receives::<Tick>("cut", 100)));
    for cut in [1, 2, whole.len() / 2, whole.len() - 1] {
        let mut raw = Raw::up(ground.address);
        raw.bytes(&whole[..cut]);
        raw.finish();
        ground.ends_with(LinkError::Closed);
        assert_eq!(_export.importers(), 0);
    }
    // Whole by its length, but cut within.
    ground.faults(Fault::Frame(FrameError::Truncated), |raw| {
        raw.bytes(&packed(&whole[1..whole.len() / 2]));
    });
}

#[test]
fn a_second_hello_ends_the_session() {
    let ground = Ground::new();
    ground.faults(Fault::Restarted(Reason::LinkReset), |raw| {
        raw.send(&Frame::Hello(raw::hello(0)));
    });
    ground.faults(Fault::Restarted(Reason::PeerRestarted), |raw| {
        raw.send(&Frame::Hello(Hello { boot: 1, nonce: 5, ..raw::hello(0) }));
    });
}

#[test]
fn an_echo_is_not_taken_for_a_peer() -> Outcome {
    let _calm = calm();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let echo = spawn(move || {
        let (mut stream, _) = listener.accept().expect("the node connects");
        let mut bytes = [0; 1024];
        while let Ok(n) = stream.read(&mut bytes) {
            if n == 0 || stream.write_all(&bytes[..n]).is_err() {
                return;
            }
        }
    });
    let node = Node::new("n");
    let Err(tcp::ConnectError::Link(error)) = tcp::connect(&node, address).timeout(SOON).wait() else {
        panic!("linked to itself");
    };
    assert_eq!(error, LinkError::Fault(Fault::Loopback));
    assert_eq!(next_down(&node), error);
    echo.join();
    Ok(())
}

#[test]
fn nothing_is_heard_before_the_bring_up() {
    let ground = Ground::new();
    let export: Sender<Tick> = ground.node.export("early").expect("a free name");
    let early = [
        Frame::Open(mine(0), receives::<Tick>("early", 100)),
        Frame::Beat,
        Frame::Data(mine(0), Part::Whole, b"x"),
        Frame::Goodbye(Reason::Closed),
    ];
    for frame in &early {
        for hellos in 0..2 {
            let mut raw = Raw::connect(ground.address);
            for _ in 0..hellos {
                // Says who it is, and does not wait for the answer.
                raw.send(&Frame::Hello(raw::hello(0)));
            }
            raw.send(frame);
            let error = next_down(&ground.node);
            assert!(
                matches!(error, LinkError::Fault(Fault::NotNetchan | Fault::OutOfTurn)),
                "{frame:?} after {hellos} hellos: {error}"
            );
            assert_eq!(export.importers(), 0);
        }
    }
    ground.others_go_on();
}

#[test]
fn a_hello_that_contradicts_itself_makes_no_link() {
    let ground = Ground::new();
    let good = raw::hello(0);
    let bad = [
        Hello { echo: 12345, ..good },
        Hello { hear_ms: 0, ..good },
        Hello { hear_ms: u32::MAX, ..good },
        Hello { packet: 255, ..good },
        Hello { nonce: 0, ..good },
    ];
    for hello in bad {
        let mut raw = Raw::connect(ground.address);
        raw.send(&Frame::Hello(hello));
        ground.ends_with(Fault::Hello);
    }
}

#[test]
fn another_version_is_named_to_both_sides() {
    let ground = Ground::new();
    let mut raw = Raw::connect(ground.address);
    raw.send(&Frame::Hello(Hello { oldest: 7, newest: 9, ..raw::hello(0) }));
    ground.ends_with(Fault::Version { oldest: 7, newest: 9 });
    let (oldest, newest) = raw.expect("the node's own hello", |frame| match frame {
        Frame::Hello(hello) => Some((hello.oldest, hello.newest)),
        _ => None,
    });
    assert_eq!((oldest, newest), (1, 1));
}

#[test]
fn opens_beyond_the_table_end_the_link() {
    let mut config = Config::default();
    config.channels_per_link = 8;
    let ground = Ground::with(config);
    let open = Open { wait_ms: 60_000, ..receives::<Tick>("never", 100) };
    ground.faults(Fault::BadOpen, |raw| {
        for n in 0..9 {
            raw.send(&Frame::Open(mine(n), open));
        }
    });
    // In use already; of our own parity; far beyond.
    ground.faults(Fault::BadOpen, |raw| {
        raw.send(&Frame::Open(mine(0), open));
        raw.send(&Frame::Open(mine(0), open));
    });
    ground.faults(Fault::BadOpen, |raw| {
        raw.send(&Frame::Open(Handle::new(0), open));
    });
    ground.faults(Fault::BadOpen, |raw| {
        raw.send(&Frame::Open(mine(u32::MAX >> 4), open));
    });
}

#[test]
fn a_flood_of_opens_is_answered_once_each_and_no_more_wait_than_may() {
    let ground = Ground::new();
    let mut raw = Raw::up(ground.address);
    let total = 5000;
    for n in 0..total {
        raw.send(&Frame::Open(mine(n), receives::<Tick>("nothing", 100)));
    }
    let mut answered = vec![0; total as usize];
    let dead = |raw: &mut Raw| {
        raw.expect("an answer", |frame| match frame {
            Frame::Dead(handle, dead) => Some((handle.get() / 2, dead.dead.reason)),
            Frame::Accept(..) => panic!("nothing was exported"),
            _ => None,
        })
    };
    for _ in 0..total {
        let (n, reason) = dead(&mut raw);
        assert_eq!(reason, Reason::NoName);
        answered[n as usize] += 1;
    }
    assert!(answered.iter().all(|&times| times == 1));
    // Those that would wait for an export have a quota.
    for n in total..total + 100 {
        raw.send(&Frame::Open(mine(n), Open { wait_ms: 60_000, ..receives::<Tick>("later", 100) }));
    }
    for _ in 0..36 {
        assert_eq!(dead(&mut raw).1, Reason::NoResources);
    }
    let late: Sender<Tick> = ground.node.export("later").expect("a free name");
    eventually("those who wait are served", || (late.importers() == 64).then_some(()));
    ground.others_go_on();
}

#[test]
fn rooms_that_a_peer_makes_us_reserve_have_a_limit() {
    let mut config = Config::default();
    config.reserve_per_link = 1 << 20;
    let ground = Ground::with(config);
    // Each importer reserves 128 KiB here.
    let _hungry: Receiver<String> = ground.node.export("hungry").expect("a free name");
    let mut raw = Raw::up(ground.address);
    let mut counts = [0, 0];
    for n in 0..20 {
        raw.send(&Frame::Open(mine(n), sends::<String>("hungry")));
        counts[raw.expect("an answer", |frame| match frame {
            Frame::Accept(..) => Some(0),
            Frame::Dead(_, dead) if dead.dead.reason == Reason::NoResources => Some(1),
            _ => None,
        })] += 1;
    }
    assert_eq!(counts, [7, 13], "a message of 64 KiB is charged a little more than that");
    ground.others_go_on();
}

#[test]
fn names_of_the_longest_length_are_looked_up_and_longer_ones_are_no_names() {
    let ground = Ground::new();
    let name = "n".repeat(65);
    let mut raw = Raw::up(ground.address);
    raw.send(&Frame::Open(mine(0), receives::<Tick>(&name[..64], 100)));
    let reason = raw.expect("an answer", |frame| match frame {
        Frame::Dead(_, dead) => Some(dead.dead.reason),
        _ => None,
    });
    assert_eq!(reason, Reason::NoName);
    // By hand, because no writer writes it: the byte before the name is its length.
    let mut open = packet(&Frame::Open(mine(1), receives::<Tick>(&name[..64], 100)))[1..].to_vec();
    let at = open.windows(64).position(|part| part == &name.as_bytes()[..64]).expect("the name");
    open[at - 1] = 65;
    open.insert(at, b'n');
    raw.bytes(&packed(&open));
    ground.ends_with(Fault::Frame(FrameError::Text));
    for bad in ["", "Upper", "a//b", "/a", "a/", "a b", "a$"] {
        let mut open = packet(&Frame::Open(mine(0), receives::<Tick>("zzzzzz", 100)))[1..].to_vec();
        let at = open.windows(6).position(|part| part == b"zzzzzz").expect("the name");
        open.splice(at - 1..at + 6, [bad.len() as u8].into_iter().chain(bad.bytes()));
        ground.faults(Fault::Frame(FrameError::Text), |raw| {
            raw.bytes(&packed(&open));
        });
    }
}

#[test]
fn empty_messages_are_charged() {
    let ground = Ground::new();
    let mut all: Receiver<()> = ground.node.export("empty").expect("a free name");
    let mut raw = Raw::up(ground.address);
    let accept = raw.open(0, sends::<()>("empty"));
    let may = accept.credit / 8;
    for _ in 0..may {
        raw.data(mine(0), b"");
    }
    ground.others_go_on();
    raw.data(mine(0), b"");
    ground.ends_with(Fault::OverCredit);
    // What came in order before is not lost, and then the end is told.
    drop(raw);
    let mut got = 0;
    while all.try_recv().is_ok() {
        got += 1;
    }
    assert_eq!(got, may);
}

#[test]
fn a_flood_of_pings_is_answered_by_at_most_one_pending_pong() {
    let ground = Ground::new();
    let mut raw = Raw::up(ground.address);
    let pings = packet(&Frame::Ping).repeat(100_000);
    raw.bytes(&pings);
    raw.send(&Frame::Open(mine(0), receives::<Tick>("nothing", 100)));
    let mut pongs = 0;
    raw.expect("an answer", |frame| {
        pongs += u32::from(matches!(frame, Frame::Pong));
        matches!(frame, Frame::Dead(..)).then_some(())
    });
    assert!((1..2_000).contains(&pongs), "{pongs} pongs for 100000 pings");
    ground.others_go_on();
}

#[test]
fn a_flood_of_silences_that_are_announced_is_answered_by_nothing() {
    let ground = Ground::new();
    let mut raw = Raw::up(ground.address);
    raw.bytes(&packet(&Frame::Quiet(30_000)).repeat(100_000));
    raw.send(&Frame::Open(mine(0), receives::<Tick>("nothing", 100)));
    // Who announces that it may not hear is still answered when it asks.
    let mut frames = 0;
    raw.expect("an answer", |frame| {
        frames += 1;
        matches!(frame, Frame::Dead(..)).then_some(())
    });
    assert!(frames < 10, "{frames} frames for 100000 notices and a question");
    // One for longer than may be is a fault.
    ground.faults(Fault::Frame(FrameError::Value), |raw| {
        raw.bytes(&[4, 0x30, 0xb1, 0xea, 0x01]);
    });
    ground.others_go_on();
}

#[test]
fn frames_for_handles_that_nobody_opened_end_the_link() {
    let ground = Ground::new();
    let dead = DeadFrame { dead: Dead::here(Reason::HungUp), taken: Total::ZERO, detail: "" };
    let one = Total::new(1);
    for handle in [mine(0), mine(77), Handle::new(0), Handle::new(4000), Handle::new(u32::MAX >> 3)] {
        let frames = [
            Frame::Dead(handle, dead),
            Frame::Done(handle, one),
            Frame::Data(handle, Part::Whole, b"x"),
            Frame::Data(handle, Part::First(9), b"x"),
            Frame::Data(handle, Part::More, b"x"),
            Frame::Credit(handle, one),
            Frame::Taken(handle, one),
            Frame::Ask(handle, one),
            Frame::End(handle, one),
        ];
        for frame in frames {
            ground.faults(Fault::UnknownHandle, |raw| {
                raw.send(&frame);
            });
        }
    }
}

#[test]
fn a_dead_notice_is_never_answered_by_another() {
    let ground = Ground::new();
    let _export: Sender<Tick> = ground.node.export("ticks").expect("a free name");
    let mut raw = Raw::up(ground.address);
    for round in 0..200 {
        // Accepted, refused, or still undecided: the answer is one `DONE`, or a `DEAD` that crossed.
        let n = round;
        let open = match round % 3 {
            0 => receives::<Tick>("ticks", 100),
            1 => receives::<Tick>("tocks", 100),
            _ => Open { wait_ms: 60_000, ..receives::<Tick>("tocks", 100) },
        };
        raw.send(&Frame::Open(mine(n), open));
        raw.dead(mine(n), Reason::Cancelled);
        let dones = raw.expect("a final", |frame| match frame {
            Frame::Done(handle, _) if *handle == mine(n) => Some(1),
            Frame::Dead(handle, _) if *handle == mine(n) => Some(0),
            _ => None,
        });
        assert!(round % 3 == 1 || dones == 1, "a dead notice was answered by one, in round {round}");
    }
    // Nothing follows.
    raw.send(&Frame::Goodbye(Reason::Closed));
    while let Some(frame) = raw.frame() {
        let frame = Frame::parse(&frame).expect("a node sends good frames");
        assert!(!matches!(frame, Frame::Dead(..)), "{frame:?}");
    }
    ground.ends_with(Fault::Goodbye(Reason::Closed));
}

#[test]
fn everybody_who_waits_on_a_link_is_told_when_its_peer_breaks_the_protocol() -> Outcome {
    let _calm = calm();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let connecting = spawn(move || {
        let node = Node::new("n");
        tcp::connect(&node, address).wait().map(|peer| (node, peer))
    });
    let mut raw = Raw::accept(&listener);
    raw.bring_up();
    let (node, peer) = connecting.join()?;
    // One of each kind, each bound to the raw peer and waiting.
    let importing = |peer: &netchan::Peer| {
        let peer = peer.clone();
        spawn(move || peer.import::<Receiver<Tick>>("r").wait())
    };
    let receiver = importing(&peer);
    let handle = raw.accept_open(0);
    let mut receiver = receiver.join()?;
    let sender = {
        let peer = peer.clone();
        spawn(move || peer.import::<Sender<Tick>>("s").wait())
    };
    raw.accept_open(20);
    let mut sender = sender.join()?;
    let client = {
        let peer = peer.clone();
        spawn(move || peer.import::<Client<Tick, Tick>>("c").wait())
    };
    raw.accept_open(1000);
    let client = client.join()?;
    let (full, drained) = (tick(1), tick(2));
    sender.send(drained).wait()?;
    sender.send(drained).wait()?;
    let told = Dead::here(Reason::Protocol);
    let waiting = [
        spawn(move || {
            // What came within the credit first.
            let end = eventually("the receiver is told", || receiver.recv().wait().err());
            assert_eq!(end, RecvError::Dead(told));
        }),
        spawn(move || {
            let error = sender.send(full).wait().expect_err("there is no credit");
            assert_eq!(error.cause(), SendCause::Dead(told));
            assert_eq!(error.into_value(), Some(full));
            let missing = sender.drain().wait().expect_err("nothing was taken");
            assert_eq!((missing.dead, missing.account.in_doubt), (Some(told), 2));
        }),
        spawn(move || {
            assert_eq!(client.call(tick(1)).wait(), Err(CallError::Dead(told)));
        }),
        {
            let peer = peer.clone();
            spawn(move || {
                let refused = peer.import::<Receiver<Tick>>("open").wait().err().map(ImportError::from);
                assert_eq!(refused, Some(ImportError::Dead(told)));
            })
        },
        {
            let peer = peer.clone();
            spawn(move || assert_eq!(peer.down().wait(), LinkError::Fault(Fault::OverCredit)))
        },
    ];
    // The call and the import are under way; the others can only be waiting or about to.
    let mut seen = 0;
    raw.expect("the call and the open", |frame| {
        seen += u32::from(matches!(frame, Frame::Open(..)));
        seen += u32::from(matches!(frame, Frame::Data(_, _, bytes) if bytes.len() >= 3));
        (seen == 2).then_some(())
    });
    for _ in 0..3000 {
        raw.data(handle, &[7]);
    }
    for wait in waiting {
        wait.join();
    }
    assert_eq!(next_down(&node), LinkError::Fault(Fault::OverCredit));
    Ok(())
}

#[test]
fn a_peer_that_does_not_go_is_left_behind() -> Outcome {
    let ground = Ground::new();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let node = ground.node.clone();
    let connecting = spawn(move || tcp::connect(&node, address).wait());
    let mut raw = Raw::accept(&listener);
    raw.bring_up();
    let peer = connecting.join()?;
    let import = {
        let peer = peer.clone();
        spawn(move || peer.import::<Receiver<Tick>>("r").wait())
    };
    raw.accept_open(0);
    let mut receiver = import.join()?;
    let waiter = spawn(move || receiver.recv().wait());
    peer.close();
    // It has heard the goodbye, and stays, and gives signs of life.
    raw.expect("the goodbye", |frame| matches!(frame, Frame::Goodbye(_)).then_some(()));
    let chatter = spawn(move || {
        while raw.send(&Frame::Beat) {
            std::thread::park_timeout(Duration::from_millis(20));
        }
    });
    assert!(matches!(waiter.join(), Err(RecvError::Dead(_))));
    chatter.join();
    assert!(!peer.is_up());
    ground.others_go_on();
    Ok(())
}

#[test]
fn credit_from_a_peer_that_does_not_read_does_not_fill_our_memory() -> Outcome {
    let ground = Ground::new();
    let gauge: Latest<netchan::Blob<4000>> = ground.node.export("gauge")?;
    let mut raw = Raw::up(ground.address);
    let n = 100;
    for i in 0..n {
        let open = Open {
            flags: netchan::proto::OpenFlags::RECEIVES.with(netchan::proto::OpenFlags::LATEST),
            ..receives::<netchan::Blob<4000>>("gauge", 1 << 29)
        };
        raw.send(&Frame::Open(mine(i), open));
    }
    eventually("all watch", || (gauge.importers() == n as usize).then_some(()));
    let value = || netchan::Blob::<4000>::try_from(&[7; 4000][..]).expect("it fits");
    for _ in 0..300 {
        gauge.set(value())?;
    }
    // 120 MB were set. What is under way is in the kernel's buffers and in one of ours.
    let account = gauge.account();
    let bytes = account.in_doubt * 4000;
    assert!(bytes < 32 << 20, "{bytes} bytes are held for a peer that does not read");
    assert_eq!(account.sent(), 300 * u64::from(n));
    ground.others_go_on();
    Ok(())
}

#[test]
fn opens_from_a_peer_that_does_not_read_do_not_fill_our_memory() -> Outcome {
    let ground = Ground::new();
    let export: Sender<Tick> = ground.node.export("ticks")?;
    let mut raw = Raw::up(ground.address);
    let per_round = 4000;
    // Two sets of handles, so that the finals of one are due when the other one opens.
    let mut accepted = 0_u64;
    for round in 0..400_u32 {
        let handles = (round % 2 * per_round..).take(per_round as usize);
        let mut bytes = Vec::new();
        for n in handles.clone() {
            bytes.extend(packet(&Frame::Open(mine(n), receives::<Tick>("ticks", 100))));
        }
        raw.bytes(&bytes);
        // Once answers have piled up they are refused, and their number stays below. Taking
        // that for granted too early would only make the round smaller.
        let mut last = usize::MAX;
        let mut still = 0;
        let open = eventually("the opens are answered", || {
            let now = export.importers();
            still = if now == last { still + 1 } else { 0 };
            last = now;
            (now == per_round as usize || still > 300).then_some(now)
        });
        accepted += open as u64;
        if open < per_round as usize || !ground_is_up(&ground) {
            break;
        }
        bytes.clear();
        for n in handles {
            let dead = DeadFrame { dead: Dead::here(Reason::Cancelled), taken: Total::ZERO, detail: "" };
            bytes.extend(packet(&Frame::Dead(mine(n), dead)));
        }
        raw.bytes(&bytes);
        eventually("they leave", || (export.importers() == 0).then_some(()));
    }
    // About 14 bytes for each, of which the kernel may hold some megabytes.
    let bytes = accepted * 14;
    assert!(bytes < 12 << 20, "{bytes} bytes of answers are held for a peer that does not read");
    ground.others_go_on();
    Ok(())
}

fn ground_is_up(ground: &Ground) -> bool {
    !matches!(ground.node.next_event(), Some(LinkEvent::Down { .. }))
}

#[test]
fn a_dead_notice_does_not_make_up_values_that_were_taken() -> Outcome {
    let ground = Ground::new();
    let mut ticks: Sender<Tick> = ground.node.export("made-up")?;
    let told: Receiver<Tick> = ground.node.export("told")?;
    let dead = |taken| DeadFrame { dead: Dead::here(Reason::HungUp), taken: Total::new(taken), detail: "" };
    // Less than was reported before.
    let mut raw = Raw::up(ground.address);
    raw.open(0, receives::<Tick>("made-up", 1000));
    for n in 0..3 {
        ticks.send(tick(n)).timeout(SOON).wait()?;
    }
    for _ in 0..3 {
        raw.expect("a value", |frame| matches!(frame, Frame::Data(..)).then_some(()));
    }
    raw.send(&Frame::Taken(mine(0), Total::new(3)));
    ticks.drain().timeout(SOON).wait()?;
    raw.send(&Frame::Dead(mine(0), dead(1)));
    // Of values that nobody has sent.
    raw.open(1, sends::<Tick>("told"));
    raw.send(&Frame::Dead(mine(1), dead(5)));
    raw.send(&Frame::Open(mine(2), receives::<Tick>("nothing", 100)));
    raw.expect("an answer", |frame| {
        matches!(frame, Frame::Dead(handle, _) if *handle == mine(2)).then_some(())
    });
    let account = ticks.account();
    assert_eq!((account.confirmed, account.in_doubt, account.unsent), (3, 0, 0));
    drop(told);
    ground.others_go_on();
    Ok(())
}

#[test]
fn a_version_that_was_not_offered_is_not_chosen() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    // The first one that was not, and the last there may be.
    for which in [1, 3] {
        let importing = spawn(move || {
            let node = Node::new("n");
            let peer = tcp::connect(&node, address).wait().expect("a link");
            let told = peer.import::<Receiver<Tick>>("ticks").wait().map(|mut ticks| ticks.recv().wait());
            (told.err(), peer.down().timeout(SOON).wait())
        });
        let mut raw = Raw::accept(&listener);
        raw.bring_up();
        let handle = raw.opened();
        raw.send(&Frame::Accept(handle, Accept { which, credit: 0, limit: 0 }));
        raw.data(handle, &[5]);
        let (told, down) = importing.join();
        assert_eq!(told.as_deref(), Some(&ImportError::Dead(Dead::here(Reason::Protocol))), "{which}");
        assert_eq!(down, LinkError::Fault(Fault::WrongState));
    }
    Ok(())
}
