//! The link itself: bring-up, time, order among circuits, and peers that break the protocol.

use netchan::proto::{
    Event, Fault, Frame, Handle, Hello, Instant, LinkConfig, LinkKind, LinkState, Name, OpenFlags, Part,
    Reason, Total,
};
use netchan::testing::{Node, Outcome, Pair, Policy, Stage};

fn configs() -> (LinkConfig, LinkConfig) {
    (Pair::config("a", 1), Pair::config("b", 2))
}

fn open(flags: OpenFlags) -> (Pair, usize, Handle) {
    let mut pair = Pair::up();
    let id = pair.a.open("x", flags).unwrap();
    pair.run();
    let handle = pair.a.circuits[id].handle.unwrap();
    (pair, id, handle)
}

/// `a` writes a forged frame; what `b` makes of it.
fn forge(pair: &mut Pair, frame: &Frame<'_>) -> Option<Fault> {
    pair.a.port.forge(frame);
    pair.a_to_b();
    pair.b.port.fault
}

#[test]
fn the_link_comes_up_at_any_chunk_size_whoever_is_active() {
    for (one, two, chunk) in [(true, false, 1), (true, true, 3), (false, true, 7), (true, true, usize::MAX)] {
        let (a, b) = configs();
        let mut pair = Pair::new(LinkConfig { active: one, ..a }, LinkConfig { active: two, ..b });
        pair.chunk = chunk;
        pair.run();
        assert!(pair.a.port.is_up() && pair.b.port.is_up(), "{one} {two} {chunk}");
        assert_eq!(pair.a.port.link.session(), pair.b.port.link.session());
        pair.a.open("x", OpenFlags::SENDS).unwrap();
        pair.b.open("y", OpenFlags::SENDS).unwrap();
        pair.run();
        assert!(pair.a.circuits.iter().chain(&pair.b.circuits).all(|c| c.stage == Stage::Open));
    }
}

#[test]
fn two_passive_sides_stay_down_and_say_so_in_time() {
    let (a, b) = configs();
    let mut pair = Pair::new(LinkConfig { active: false, ..a }, LinkConfig { active: false, ..b });
    pair.pass(2_750);
    assert_eq!(pair.a.port.fault, None);
    pair.pass(500);
    assert_eq!(pair.a.port.fault, Some(Fault::NoHello));
}

#[test]
fn chatter_does_not_move_the_deadline_of_the_bring_up() {
    let (a, b) = configs();
    let mut pair = Pair::new(a, b);
    pair.a.pump();
    let hello = pair.a.port.output.clone();
    for quarter in 1..=13 {
        pair.b.receive(&hello);
        pair.b.tick(Instant::from_millis(1 + quarter * 250));
        pair.b.pump();
        assert!(pair.b.port.output.len() < 200, "one answer, however many hellos");
    }
    assert_eq!(pair.b.port.fault, Some(Fault::NoHello));
}

#[test]
fn a_looped_line_is_told_from_a_peer() {
    let (a, _) = configs();
    let mut node = Node::new(a, 77, Instant::ZERO);
    node.pump();
    let own = node.port.output.clone();
    node.receive(&own);
    assert_eq!(node.port.fault, Some(Fault::Loopback));
}

fn hello() -> Hello<'static> {
    Hello {
        oldest: 1,
        newest: 1,
        crc: false,
        kind: LinkKind::Peer,
        adopts: false,
        bodies: false,
        window: 0,
        packet: 1024,
        circuits: 4,
        dead_ms: 5000,
        hear_ms: 1000,
        nonce: 99,
        echo: 0,
        boot: 1,
        uid: 2,
        name: "forged",
    }
}

fn hears_hello(hello: Hello<'_>) -> Option<Fault> {
    let (a, b) = configs();
    let mut pair = Pair::new(LinkConfig { active: false, ..a }, b);
    forge(&mut pair, &Frame::Hello(hello))
}

fn hears_hello_expecting(name: Name) -> Option<Fault> {
    let (a, b) = configs();
    let mut pair = Pair::new(LinkConfig { active: false, ..a }, LinkConfig { expects: Some(name), ..b });
    forge(&mut pair, &Frame::Hello(hello()))
}

#[test]
fn a_peer_of_another_version_is_named_and_told_our_own() {
    let newer = Hello { oldest: 2, newest: 3, ..hello() };
    assert_eq!(hears_hello(newer), Some(Fault::Version { oldest: 2, newest: 3 }));
    assert_eq!(hears_hello(Hello { oldest: 1, newest: 9, ..hello() }), None, "versions overlap");

    let (a, _) = configs();
    let mut node = Node::new(LinkConfig { active: false, ..a }, 5, Instant::ZERO);
    let mut other = Node::new(a, 6, Instant::ZERO);
    other.port.forge(&Frame::Hello(newer));
    node.receive(&other.port.output);
    node.pump();
    assert!(node.port.output.len() > 60, "the answer is a hello");
}

#[test]
fn a_hello_that_does_not_fit_is_refused() {
    for bad in [
        Hello { packet: 255, ..hello() },
        Hello { hear_ms: 0, ..hello() },
        Hello { hear_ms: u32::MAX, ..hello() },
        Hello { echo: 12345, ..hello() },
        Hello { nonce: 0, ..hello() },
    ] {
        assert_eq!(hears_hello(bad), Some(Fault::Hello), "{bad:?}");
    }
    assert_eq!(hears_hello(Hello { kind: LinkKind::Tree, ..hello() }), Some(Fault::Kind));
    assert_eq!(hears_hello(Hello { kind: LinkKind::Either, ..hello() }), None);
}

#[test]
fn another_node_than_the_expected_one_is_told_goodbye_before_it_can_open_anything() {
    let (a, b) = configs();
    let (name, other) = (b.identity.name, a.identity.name);
    assert_ne!(name, other);
    let mut pair = Pair::new(LinkConfig { expects: Some(name), ..a }, b);
    pair.run();
    assert_eq!([pair.a.port.fault, pair.b.port.fault], [None, None], "it is the right one");

    let mut pair = Pair::new(LinkConfig { expects: Some(other), ..a }, b);
    pair.run();
    assert_eq!(pair.a.port.fault, Some(Fault::TurnedAway(Reason::Refused)));
    assert_eq!(pair.a.port.link.stranger(), Some(name));
    assert_eq!(pair.b.port.fault, Some(Fault::Goodbye(Reason::Refused)));
    // Nor is it up when it says so without waiting for our hello.
    assert_eq!(hears_hello_expecting(other), Some(Fault::TurnedAway(Reason::Refused)));
}

#[test]
fn bytes_that_are_not_netchans_are_told_apart() {
    for text in [
        &b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: everything, and some more to fill up\r\n"[..],
        &b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3 and the banner goes on and on until here, yes, it does\r\n"
            [..],
    ] {
        let (a, _) = configs();
        let mut node = Node::new(LinkConfig { active: false, ..a }, 5, Instant::ZERO);
        node.receive(text);
        assert_eq!(node.port.fault, Some(Fault::NotNetchan));
        node.pump();
        assert!(node.port.output.is_empty(), "nothing is answered to a stranger");
    }
    let (a, _) = configs();
    let mut node = Node::new(a, 5, Instant::ZERO);
    node.receive(&[0x16, 0x03, 0x01, 0x02, 0x00]);
    node.receive(&[0xff; 40]);
    assert!(matches!(node.port.fault, Some(Fault::NotNetchan)));
}

#[test]
fn a_session_frame_before_the_bring_up_is_refused() {
    let (a, b) = configs();
    let mut pair = Pair::new(a, b);
    assert_eq!(forge(&mut pair, &Frame::Beat), Some(Fault::NotNetchan));
}

#[test]
fn a_hello_after_the_bring_up_is_a_restart() {
    for (boot, reason) in [(1 << 8, Reason::LinkReset), (5, Reason::PeerRestarted)] {
        let mut pair = Pair::up();
        let hello = Hello { boot, ..hello() };
        assert_eq!(forge(&mut pair, &Frame::Hello(hello)), Some(Fault::Restarted(reason)));
    }
}

#[test]
fn silence_ends_the_link_within_its_bound_and_beats_keep_it() {
    let mut pair = Pair::up();
    let id = pair.a.open("x", OpenFlags::RECEIVES).unwrap();
    pair.pass(60_000);
    assert!(pair.a.port.is_up() && pair.b.port.is_up(), "beats alone keep it");
    let start = pair.now.as_micros();
    while pair.a.port.fault.is_none() {
        pair.now = Instant::from_micros(pair.now.as_micros() + 100_000);
        pair.a.tick(pair.now);
        pair.a.pump();
    }
    let silent = (pair.now.as_micros() - start) / 1000;
    assert!((4_250..=6_250).contains(&silent), "{silent} ms");
    assert_eq!(pair.a.port.fault, Some(Fault::Unresponsive));
    assert_eq!(pair.a.circuits[id].dead.unwrap().reason, Reason::Unresponsive);
}

#[test]
fn any_number_of_pings_has_one_answer() {
    let mut pair = Pair::up();
    pair.a.port.link.ping();
    pair.a.port.link.ping();
    assert!(pair.a.port.link.has_control());
    assert_eq!(pair.a_to_b().len(), 2);
    for _ in 0..50 {
        pair.a.port.forge(&Frame::Ping);
    }
    pair.a_to_b();
    assert!(pair.b.port.link.has_control() || !pair.b.port.output.is_empty());
    assert_eq!(pair.b_to_a().len(), 2);
    pair.run();
    pair.assert_quiet();
}

#[test]
fn the_deadline_is_when_a_tick_has_something_to_do() {
    let mut pair = Pair::up();
    for _ in 0..100 {
        pair.now = pair.a.port.link.deadline().min(pair.b.port.link.deadline());
        pair.a.tick(pair.now);
        pair.b.tick(pair.now);
        pair.run();
    }
    assert!(pair.now > Instant::from_millis(20_000), "ticks are rare: {:?}", pair.now);
    assert!(pair.a.port.is_up() && pair.b.port.is_up());
}

#[test]
fn goodbye_comes_last_and_names_its_reason() {
    let (mut pair, id, _) = open(OpenFlags::SENDS);
    pair.a.send(id, vec![1]);
    pair.a.pump();
    pair.a.port.link.goodbye(Reason::Shutdown);
    assert!(!pair.a.port.link.is_left());
    pair.a.send(id, vec![2]);
    pair.a_to_b();
    assert!(pair.a.port.link.is_left() && !pair.a.port.link.has_control());
    assert_eq!(pair.b.port.fault, Some(Fault::Goodbye(Reason::Shutdown)));
    assert_eq!(pair.b.take(0), Outcome::Value(vec![1]));
    assert!(matches!(pair.b.take(0), Outcome::Dead(dead) if dead.reason == Reason::Shutdown));
    assert_eq!(pair.a.circuits[id].account().unsent, 1);
    pair.b.port.control();
    assert!(pair.b.port.output.is_empty(), "a goodbye is not answered");
}

#[test]
fn a_peer_that_breaks_the_protocol_hears_so() {
    let mut pair = Pair::up();
    assert_eq!(forge(&mut pair, &Frame::End(Handle::new(7), Total::ZERO)), Some(Fault::UnknownHandle));
    pair.b_to_a();
    assert_eq!(pair.a.port.fault, Some(Fault::Goodbye(Reason::Protocol)));
    let again = pair.b.port.link.handle(&mut netchan::proto::Slots { mine: &mut [], theirs: &mut [] }, &[0]);
    assert_eq!(again, Err(Fault::UnknownHandle), "the first fault stays");
}

#[test]
fn large_messages_take_turns_and_small_ones_pass_them() {
    let mut pair = Pair::up();
    (pair.b.window, pair.b.limit) = (1 << 20, 1 << 19);
    let ids: Vec<_> = (0..3).map(|_| pair.a.open("x", OpenFlags::SENDS).unwrap()).collect();
    pair.run();
    for &id in &ids[..2] {
        pair.a.send(id, vec![id as u8; 30_000]);
        assert!(pair.a.start(id));
    }
    pair.a.send(ids[2], vec![2; 100]);
    let order: Vec<u8> = std::iter::from_fn(|| {
        let at = pair.a.port.output.len();
        pair.a.fragment().then(|| {
            let frame = &pair.a.port.output[at..];
            let (_, prefix) = netchan::proto::varint::get(frame).unwrap();
            frame[prefix] >> 4
        })
    })
    .collect();
    assert_eq!(order.len(), 5);
    assert!(order.windows(2).all(|two| two[0] != two[1]), "turn by turn: {order:?}");
    assert!(pair.a.start(ids[2]), "a small one does not queue");
    pair.run();
    for id in 0..2 {
        assert_eq!(pair.b.take(id), Outcome::Value(vec![id as u8; 30_000]));
    }
    assert_eq!(pair.b.take(2), Outcome::Value(vec![2; 100]));
}

#[test]
fn bytes_in_flight_stay_near_their_limit_whatever_it_is() {
    const KIB: usize = 1024;
    for (flight, mixed, alone) in [(0, 18, 320), (512 * 1024, 30, 576)] {
        let (a, b) = configs();
        let mut pair = Pair::new(LinkConfig { flight, ..a }, LinkConfig { packet: 65 * 1024, ..b });
        (pair.b.window, pair.b.limit) = (1 << 22, 1 << 21);
        pair.run();
        let id = pair.a.open("x", OpenFlags::SENDS).unwrap();
        pair.run();
        // At first, and for a while after a small message, less than in a stream of large ones.
        for (small, most) in [(false, mixed), (false, alone), (true, mixed)] {
            if small {
                pair.a.send(id, vec![3; 10]);
                pair.run();
                assert_eq!(pair.b.take(0), Outcome::Value(vec![3; 10]));
            }
            pair.a.send(id, vec![3; 1_100_000]);
            pair.a.pump();
            let written = pair.a.port.output.len();
            assert!(written <= (most + 1) * KIB, "{written} in flight");
            // The end of the message before may still be unacknowledged.
            assert!(2 * written > most * KIB, "{written} in flight");
            pair.run();
            assert_eq!(pair.b.take(0), Outcome::Value(vec![3; 1_100_000]));
            pair.run();
        }
    }
}

#[test]
fn a_packet_never_exceeds_what_the_peer_takes() {
    let (a, b) = configs();
    let mut pair = Pair::new(a, LinkConfig { packet: 256, crc: true, ..b });
    (pair.b.window, pair.b.limit) = (5000, 4000);
    pair.run();
    let id = pair.a.open("x", OpenFlags::SENDS).unwrap();
    pair.run();
    for len in [0, 1, 200, 240, 241, 242, 256, 257, 500, 4000] {
        pair.a.send(id, vec![4; len]);
        pair.run();
        assert_eq!(pair.b.take(0), Outcome::Value(vec![4; len]));
        pair.run();
    }
}

#[test]
fn a_checksum_catches_every_flipped_bit_and_a_stale_session() {
    let (a, b) = configs();
    let mut up = Pair::new(LinkConfig { crc: true, ..a }, b);
    up.run();
    let id = up.a.open("x", OpenFlags::SENDS).unwrap();
    up.run();
    up.a.send(id, b"some bytes".to_vec());
    up.a.pump();
    let bytes = std::mem::take(&mut up.a.port.output);
    for bit in 0..bytes.len() * 8 {
        let mut node = up.b.clone();
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        node.receive(&flipped);
        assert_eq!(node.circuits[0].received, 0, "bit {bit}");
        // A length that has become longer waits for more; what comes then is no frame. Nothing is skipped.
        node.receive(&[&bytes[..]; 20].concat());
        assert_eq!(node.circuits[0].received, 0, "bit {bit}");
        let fault = node.port.fault.expect("the link has ended");
        assert_eq!((fault.reason(), bit < 8 || fault == Fault::Corrupt), (Reason::Protocol, true), "{fault}");
        assert_eq!(node.circuits[0].dead, Some(netchan::proto::Dead::here(Reason::Protocol)));
    }
    let mut stale = Pair::new(LinkConfig { crc: true, ..a }, b);
    stale.b = Node::new(b, 0x5555, stale.now);
    stale.run();
    stale.b.receive(&bytes);
    assert_eq!(stale.b.port.fault, Some(Fault::Corrupt));
    up.b.receive(&bytes);
    assert_eq!(up.b.take(0), Outcome::Value(b"some bytes".to_vec()));
}

#[test]
fn more_than_was_granted_ends_the_link() {
    let (mut pair, id, handle) = open(OpenFlags::SENDS);
    for n in 0..8 {
        pair.a.send(id, vec![n]);
    }
    pair.run();
    assert_eq!(pair.b.port.fault, None);
    let more = forge(&mut pair, &Frame::Data(handle, Part::Whole, b"x"));
    assert_eq!(more, Some(Fault::OverCredit));
    assert_eq!(pair.b.circuits[0].received, 8);
}

/// What a hostile peer sends on an open circuit on which it sends, and what becomes of it.
#[test]
fn what_no_honest_peer_sends_ends_the_link() {
    let h = |number| Handle::new(number);
    let total = Total::new;
    let whole = Part::Whole;
    let long = [0; 61];
    let (_, _, x) = open(OpenFlags::SENDS);
    let cases: &[(Frame<'_>, Fault)] = &[
        (Frame::Data(h(40), whole, b""), Fault::UnknownHandle),
        (Frame::Data(h(u32::MAX >> 3), whole, b""), Fault::UnknownHandle),
        (Frame::Data(x, whole, &long), Fault::BadLength),
        (Frame::Data(x, Part::First(61), b"x"), Fault::BadLength),
        (Frame::Data(x, Part::First(u32::MAX), b"x"), Fault::BadLength),
        (Frame::Data(x, Part::First(1), b"x"), Fault::BadLength),
        (Frame::Data(x, Part::First(5), b""), Fault::BadLength),
        (Frame::Data(x, Part::More, b"x"), Fault::BadLength),
        (Frame::Credit(x, total(100)), Fault::WrongState),
        (Frame::Taken(x, total(0)), Fault::WrongState),
        (Frame::End(x, total(1)), Fault::BadTotal),
        (Frame::Done(x, total(0)), Fault::WrongState),
        (Frame::Accept(x, netchan::proto::Accept { which: 0, credit: 0, limit: 0 }), Fault::WrongState),
        (Frame::Ack(total(1)), Fault::BadTotal),
    ];
    for (frame, fault) in cases {
        let (mut pair, _, handle) = open(OpenFlags::SENDS);
        assert_eq!(handle, x);
        assert_eq!(forge(&mut pair, frame), Some(*fault), "{frame:?}");
        assert!(pair.b.circuits[0].dead.is_some(), "its circuits are dead");
    }
}

#[test]
fn totals_that_no_honest_peer_sends_end_the_link() {
    let total = Total::new;
    let (_, _, x) = open(OpenFlags::RECEIVES);
    let cases: &[(Frame<'_>, Option<Fault>)] = &[
        (Frame::Credit(x, total(64)), None),
        (Frame::Credit(x, total(8)), None),
        (Frame::Credit(x, total(65)), None),
        (Frame::Credit(x, total(0x7fff_ffff)), Some(Fault::BadTotal)),
        (Frame::Taken(x, total(0)), None),
        (Frame::Taken(x, total(1)), Some(Fault::BadTotal)),
        (Frame::Done(x, total(0)), Some(Fault::WrongState)),
        (Frame::Ask(x, total(0)), Some(Fault::WrongState)),
        (Frame::End(x, total(0)), Some(Fault::WrongState)),
    ];
    for (frame, fault) in cases {
        let (mut pair, _, handle) = open(OpenFlags::RECEIVES);
        assert_eq!(handle, x);
        assert_eq!(forge(&mut pair, frame), *fault, "{frame:?}");
    }
}

#[test]
fn a_done_that_claims_less_than_all_ends_the_link() {
    for (taken, fault) in [(1, Fault::BadTotal), (3, Fault::BadTotal)] {
        let (mut pair, id, handle) = open(OpenFlags::SENDS);
        pair.a.send(id, vec![1]);
        pair.a.send(id, vec![2]);
        pair.a.end(id);
        pair.run();
        pair.b.port.forge(&Frame::Done(handle, Total::new(taken)));
        pair.b_to_a();
        assert_eq!(pair.a.port.fault, Some(fault), "{taken} of 2");
    }
}

#[test]
fn opens_beyond_what_was_promised_end_the_link() {
    let mut pair = Pair::up();
    pair.b.policy = Policy::Hold;
    pair.a.open("x", OpenFlags::SENDS).unwrap();
    pair.run();
    let handle = pair.a.circuits[0].handle.unwrap();
    let fingerprints = netchan::proto::Fingerprints::new(1, &[]);
    let open = netchan::proto::Open {
        flags: OpenFlags::SENDS,
        wait_ms: 0,
        credit: 0,
        limit: 0,
        values: 0,
        name: "x",
        fingerprints,
        type_name: "",
        route: None,
        body: None,
    };
    for number in [handle.get(), handle.get() ^ 1, handle.get() + 8, u32::MAX >> 3] {
        let mut pair = pair.clone();
        let fault = forge(&mut pair, &Frame::Open(Handle::new(number), open));
        assert_eq!(fault, Some(Fault::BadOpen), "{number}");
    }
    let huge = netchan::proto::Open { credit: u32::MAX, ..open };
    let fault = forge(&mut pair, &Frame::Open(Handle::new(handle.get() + 2), huge));
    assert_eq!(fault, Some(Fault::BadTotal));
}

#[test]
fn events_are_given_only_for_what_is_news() {
    let (mut pair, _, x) = open(OpenFlags::RECEIVES);
    let mut handle = |frame: Frame<'_>| {
        let mut bytes = [0; 64];
        let len = frame.write(&mut bytes).unwrap();
        let (link, mut slots, _) = pair.b.port.parts();
        matches!(link.handle(&mut slots, &bytes[..len]).unwrap(), Event::Nothing)
    };
    assert!(!handle(Frame::Credit(x, Total::new(100))));
    assert!(handle(Frame::Credit(x, Total::new(100))));
    assert!(handle(Frame::Credit(x, Total::new(90))));
    assert!(handle(Frame::Beat));
    assert_eq!(pair.b.port.link.state(), LinkState::Up);
}

#[test]
fn the_protocol_needs_no_allocator() {
    assert_eq!(netchan::testing::bare::exchange(100), Some(100));
    assert_eq!(netchan::testing::bare::exchange(0), Some(0));
}

/// Time passes at `a` only: how long, in quarters of a second, until it gives `b` up.
fn quarters_until_dead(pair: &mut Pair, most: u64) -> u64 {
    (1..=most)
        .find(|_| {
            pair.now = Instant::from_micros(pair.now.as_micros() + 250_000);
            pair.a.tick(pair.now);
            pair.a.port.fault.is_some()
        })
        .expect("silence has an end")
}

#[test]
fn silence_that_was_announced_is_no_death_and_more_of_it_is_one_on_time() {
    let (mut pair, id, _) = open(OpenFlags::SENDS);
    pair.b.port.link.quiet(20_000, pair.now);
    pair.run();
    assert!(pair.a.port.link.is_peer_quiet(pair.now) && !pair.b.port.link.is_peer_quiet(pair.now));
    let quarters = quarters_until_dead(&mut pair, 120);
    assert!((100..=102).contains(&quarters), "20 s and the dead-time of 5 s, not {quarters} quarters");
    assert_eq!(pair.a.port.fault, Some(Fault::Unresponsive));
    assert_eq!(pair.a.circuits[id].dead, Some(netchan::proto::Dead::here(Reason::Unresponsive)));
}

#[test]
fn who_was_silent_as_announced_does_not_take_the_peer_for_dead() {
    let (mut pair, ..) = open(OpenFlags::SENDS);
    pair.b.port.link.quiet(20_000, pair.now);
    pair.run();
    let awake = Instant::from_micros(pair.now.as_micros() + 20_000_000);
    pair.b.tick(awake);
    assert_eq!(pair.b.port.fault, None, "it has heard nothing because it did not listen");
    pair.b.tick(Instant::from_micros(awake.as_micros() + 4_900_000));
    assert_eq!(pair.b.port.fault, None);
    pair.b.tick(Instant::from_micros(awake.as_micros() + 5_000_000));
    assert_eq!(pair.b.port.fault, Some(Fault::Unresponsive));
}

#[test]
fn the_last_notice_of_silence_counts_and_one_of_none_ends_it() {
    for (last, quarters) in [(0, 20), (5_000, 40)] {
        let (mut pair, ..) = open(OpenFlags::SENDS);
        for millis in [30_000, last] {
            pair.b.port.link.quiet(millis, pair.now);
            pair.run();
        }
        assert_eq!(pair.a.port.link.is_peer_quiet(pair.now), last > 0);
        let found = quarters_until_dead(&mut pair, 200);
        assert!((quarters..=quarters + 2).contains(&found), "{found} for {quarters}");
    }
}

#[test]
fn no_silence_is_announced_before_the_link_is_up_nor_for_too_long() {
    let (a, b) = configs();
    let mut pair = Pair::new(a, b);
    pair.a.port.link.quiet(1000, pair.now);
    pair.run();
    assert!(pair.a.port.is_up() && !pair.b.port.link.is_peer_quiet(pair.now), "it was not up");
    let mut early = Pair::new(configs().0, configs().1);
    assert_eq!(forge(&mut early, &Frame::Quiet(1)), Some(Fault::NotNetchan));
    pair.a.port.forge_bytes(&[0x30, 0xb1, 0xea, 0x01]);
    pair.a_to_b();
    assert_eq!(pair.b.port.fault, Some(Fault::Frame(netchan::proto::FrameError::Value)));
}
