//! Two links over a lossy line, told as stories.
#![expect(clippy::print_stdout, reason = "figures, for who wants them")]

use netchan::proto::{
    Blocked, Dead, Fault, Fingerprints, Instant, LINE_PACKET_MIN, Open, OpenFlags, Place, Reason,
};
use netchan::testing::{Faults, FaultyLine, LinePair, Outcome, Policy, Rng, Stage};

const BAUD: u32 = 115_200;

fn up() -> LinePair {
    LinePair::up(BAUD, 2, 64, 2)
}

/// Sends numbers from node 0 to node 1 while `during` disturbs, and takes them all, in order.
fn converse(pair: &mut LinePair, values: u32, mut during: impl FnMut(&mut LinePair, u32)) {
    let id = pair.nodes[0].open("numbers", OpenFlags::SENDS).unwrap();
    let far = pair.nodes[1].circuits.len();
    let mut taken = 0;
    for n in 0..values {
        pair.nodes[0].send(id, n.to_le_bytes().into());
    }
    let end = pair.now + 20_000_000;
    while taken < values {
        assert!(pair.now < end, "{taken} of {values}: {:?}", pair.faults());
        pair.step();
        during(pair, taken);
        if pair.nodes[1].circuits.len() > far {
            while let Outcome::Value(value) = pair.nodes[1].take(far) {
                assert_eq!(value, taken.to_le_bytes());
                taken += 1;
            }
        }
    }
    assert!(pair.is_up(), "{:?}", pair.faults());
}

#[test]
fn a_link_comes_up_and_carries_values_in_order() {
    for (packet, window) in [(LINE_PACKET_MIN, 1), (64, 2), (240, 4), (1000, 7)] {
        let mut pair = LinePair::up(BAUD, 2, packet, window);
        converse(&mut pair, 200, |_, _| {});
        pair.nodes[0].end(0);
        pair.pass_ms(100);
        assert_eq!(pair.nodes[1].take(0), Outcome::Closed);
        pair.pass_ms(100);
        for node in &pair.nodes {
            assert!(node.live().next().is_none() && node.port.line.as_ref().unwrap().line.is_idle());
            assert_eq!(node.port.line.as_ref().unwrap().line.counts().resent, 0, "nothing was lost");
        }
    }
}

#[test]
fn a_quiet_link_stays_up() {
    let mut pair = up();
    pair.pass_ms(20_000);
    assert!(pair.is_up());
    let line = &pair.nodes[0].port.line.as_ref().unwrap().line;
    let heard = line.counts().bytes / 20;
    assert!(heard < 100, "a quiet line carries {heard} bytes a second");
}

/// What stands on the wire for so many messages of 16 bytes, of one sender at rest.
fn wire_bytes(messages: usize) -> usize {
    let mut pair = LinePair::up(BAUD, 2, 240, 4);
    let id = pair.nodes[0].open("numbers", OpenFlags::SENDS).unwrap();
    pair.pass_ms(30);
    for _ in 0..messages {
        pair.nodes[0].send(id, vec![7; 16]);
    }
    pair.nodes[0].pump();
    let now = pair.time();
    pair.nodes[0].tick(now);
    pair.nodes[0].port.transmit().len()
}

#[test]
fn a_message_costs_eleven_bytes_alone_and_four_in_a_batch() {
    let alone = wire_bytes(1) - 16;
    let batch = wire_bytes(8) - 8 * 16;
    println!("overhead: {alone} alone, {batch} for 8");
    assert!(alone <= 11 && batch <= 8 * 4, "{alone} alone, {batch} for 8");
}

#[test]
fn garbage_before_and_between_is_survived_and_counted() {
    let zeros = [0; 400];
    let idle = [0xff; 400];
    let text = b"U-Boot 2024.01 (Jan 1 2024)\r\nHit any key to stop autoboot: 3\r\n# ".as_slice();
    let mut rng = Rng::new(5);
    let noise: Vec<u8> = (0..400).map(|_| rng.next() as u8).collect();
    // Valid COBS of nothing, and the famous valid CRC of nothing.
    let nothing = [1, 1, 1, 1, 0, 1, 0, 0, 5, 1, 2, 3, 4, 0];
    for garbage in [&zeros[..], &idle, text, &noise, &nothing] {
        let mut pair = LinePair::new(BAUD, 2, 64, 2);
        let now = pair.time();
        pair.line.wires.iter_mut().for_each(|wire| wire.push(now, garbage));
        pair.run_up();
        let mut once = false;
        converse(&mut pair, 100, |pair, taken| {
            let now = pair.time();
            if taken >= 50 && !core::mem::replace(&mut once, true) {
                pair.line.wires.iter_mut().for_each(|wire| wire.push(now, garbage));
            }
        });
        let counts = *pair.nodes[1].port.line.as_ref().unwrap().line.counts();
        assert!(counts.broken > 0 || garbage == zeros, "{counts:?}");
        assert_eq!(counts.breaks > 0, garbage == zeros, "{counts:?}");
    }
}

#[test]
fn a_bring_up_that_fails_says_what_it_met() {
    let meets = |bytes: &[u8], fault: Fault| {
        let mut pair = LinePair::new(BAUD, 2, 64, 2);
        // The other end is not there; something else writes.
        pair.line.wires[1].deaf_until = Instant::NEVER;
        while pair.nodes[0].port.fault.is_none() {
            assert!(pair.now < 4_000_000, "the bring-up has an end");
            let now = pair.time();
            if pair.now.is_multiple_of(100_000) {
                pair.line.wires[1].deaf_until = Instant::ZERO;
                pair.line.wires[1].push(now, bytes);
                pair.line.wires[1].deaf_until = Instant::NEVER;
            }
            pair.step();
        }
        assert_eq!(pair.nodes[0].port.fault, Some(fault));
    };
    meets(b"", Fault::NoHello);
    meets(b"login: root\r\nsh: nchn: not found\r\n", Fault::NotNetchan);
    let mut rng = Rng::new(9);
    let noise: Vec<u8> = (0..50).map(|_| rng.next() as u8).collect();
    meets(&noise, Fault::Noise);
    meets(&[0; 50], Fault::Noise);
}

/// Who waits for the deadline would not sleep at all, and burn a processor.
#[test]
fn a_deadline_that_has_come_leaves_something_to_write() {
    let mut pair = LinePair::new(BAUD, 2, 64, 2);
    while !pair.nodes[0].port.is_up() {
        pair.step();
    }
    // The peer's first word under the session is lost, and noise comes instead.
    pair.line.wires[1].deaf_until = Instant::NEVER;
    pair.line.wires[1].cut();
    pair.nodes[0].receive(&[0x80, 1, 2, 3, 0]);
    pair.pass_ms(20);
    let now = pair.time();
    let port = &mut pair.nodes[0].port;
    port.transmit();
    let line = &mut port.line.as_mut().unwrap().line;
    assert!(!line.is_confirmed() && line.counts().broken > 0);
    assert!(!line.has_output(now) && line.deadline() > now, "{:?} at {now:?}", line.deadline());
}

#[test]
fn a_wrong_baud_rate_is_told_as_noise() {
    // At half the rate each bit is seen as two, or as a broken frame; roughly so.
    let mut pair = LinePair::new(BAUD, 2, 64, 2);
    while pair.faults() == [None; 2] {
        pair.now += 500;
        let now = pair.time();
        for n in 0..2 {
            pair.nodes[n].tick(now);
            pair.nodes[n].pump();
            let bytes = pair.nodes[n].port.transmit();
            let seen: Vec<u8> = bytes
                .iter()
                .flat_map(|byte| [byte & 0xf, byte >> 4])
                .map(|half| (0..4).fold(0, |seen, bit| seen | ((half >> bit & 1) * (3 << (2 * bit)))))
                .collect();
            pair.nodes[1 - n].receive(&seen);
        }
    }
    assert_eq!(pair.faults()[0], Some(Fault::Noise));
    assert_eq!(Fault::Noise.to_string(), "bytes arrive, none valid: wrong baud rate?");
}

#[test]
fn a_looped_line_is_told_before_and_believed_at_no_time() {
    let mut pair = LinePair::new(BAUD, 2, 64, 2);
    let step = |pair: &mut LinePair| {
        pair.now += 500;
        let now = pair.time();
        pair.nodes[0].tick(now);
        pair.nodes[0].pump();
        let bytes = pair.nodes[0].port.transmit();
        pair.nodes[0].receive(&bytes);
    };
    while pair.faults()[0].is_none() {
        step(&mut pair);
    }
    assert_eq!(pair.faults()[0], Some(Fault::Loopback));

    // The same in a session: our own packets have the right session and maybe the right number.
    let mut pair = up();
    let id = pair.nodes[0].open("numbers", OpenFlags::BOTH).unwrap();
    pair.pass_ms(50);
    while pair.faults()[0].is_none() {
        assert!(pair.now < 10_000_000, "silence has an end");
        pair.nodes[0].send(id, vec![1, 2, 3]);
        step(&mut pair);
        assert_ne!(pair.nodes[0].port.fault, Some(Fault::WrongState));
    }
    assert!(
        matches!(pair.faults()[0], Some(Fault::Unresponsive | Fault::Unacknowledged)),
        "{:?}",
        pair.faults()
    );
    assert_eq!(pair.nodes[0].circuits[id].received, 0, "nothing of our own was taken");
    assert!(pair.nodes[0].port.line.as_ref().unwrap().line.counts().echoes > 0);
}

#[test]
fn a_restart_of_the_program_and_one_of_the_link_are_told_apart() {
    for (fresh, reason) in [(true, Reason::PeerRestarted), (false, Reason::LinkReset)] {
        let mut pair = up();
        pair.nodes[0].policy = Policy::Hold;
        let id = pair.nodes[0].open("numbers", OpenFlags::SENDS).unwrap();
        pair.pass_ms(50);
        // In the middle of whatever it was writing.
        if fresh {
            pair.start(1);
        } else {
            pair.relink(1);
        }
        let began = pair.now;
        while pair.faults()[0].is_none() {
            pair.step();
        }
        assert_eq!(pair.faults()[0], Some(Fault::Restarted(reason)));
        assert!(pair.now - began < 100_000, "at once, not after the dead-time");
        assert_eq!(pair.nodes[0].circuits[id].dead, Some(Dead::here(reason)));
        pair.relink(0);
        pair.run_up();
        converse(&mut pair, 20, |_, _| {});
    }
}

#[test]
fn a_fixed_nonce_of_one_side_is_made_up_for_by_the_other() {
    let mut pair = up();
    let session = pair.nodes[0].port.link.session();
    // A board without any source of nonces starts again, with the same one.
    let old = pair.nodes[1].clone();
    let boot = old.boot;
    pair.start(1);
    let mut config =
        netchan::proto::LinkConfig::line(netchan::testing::identity("b", 2), &pair.configs[1], 4);
    config.identity.boot = boot;
    let now = pair.time();
    pair.nodes[1].port = netchan::testing::Port::on_line(config, pair.configs[1], boot, now);
    while pair.faults()[0].is_none() {
        pair.step();
    }
    assert_eq!(pair.faults()[0], Some(Fault::Restarted(Reason::LinkReset)));
    pair.relink(0);
    pair.run_up();
    assert_ne!(pair.nodes[0].port.link.session(), session, "the host's nonce made it fresh");
}

#[test]
fn both_ends_learn_of_a_pulled_plug_and_make_a_fresh_session() {
    let mut pair = up();
    let dead_us = u64::from(pair.nodes[0].port.link.dead_ms()) * 1000;
    let session = pair.nodes[0].port.link.session();
    for wire in &mut pair.line.wires {
        wire.cut();
        wire.deaf_until = Instant::NEVER;
    }
    let began = pair.now;
    while pair.faults().contains(&None) {
        pair.step();
        assert!(pair.now - began <= dead_us * 5 / 4 + 20_000, "later than promised: {:?}", pair.faults());
    }
    pair.line.heal();
    pair.relink(0);
    pair.relink(1);
    pair.run_up();
    assert_ne!(pair.nodes[0].port.link.session(), session);
    converse(&mut pair, 20, |_, _| {});
}

#[test]
fn a_plug_that_is_back_within_the_dead_time_is_not_noticed() {
    let mut pair = up();
    let session = pair.nodes[0].port.link.session();
    let mut cut_at = None;
    converse(&mut pair, 300, |pair, taken| {
        if taken >= 50 && cut_at.is_none() {
            cut_at = Some(pair.now);
            pair.line.wires.iter_mut().for_each(|wire| {
                wire.cut();
                wire.deaf_until = Instant::from_micros(pair.now + 700_000);
            });
        }
    });
    assert_eq!(pair.nodes[0].port.link.session(), session);
}

#[test]
fn a_line_that_carries_one_way_only_is_dead_for_both() {
    for deaf in 0..2 {
        let mut pair = up();
        let dead_us = u64::from(pair.nodes[0].port.link.dead_ms()) * 1000;
        let id = pair.nodes[0].open("numbers", OpenFlags::SENDS).unwrap();
        pair.pass_ms(50);
        pair.line.wires[deaf].deaf_until = Instant::NEVER;
        let began = pair.now;
        while pair.faults().contains(&None) {
            if pair.nodes[0].circuits[id].stage == Stage::Open && pair.nodes[0].circuits[id].outbox.len() < 3
            {
                pair.nodes[0].send(id, vec![1; 8]);
            }
            pair.step();
            assert!(pair.now - began <= 2 * dead_us, "later than promised: {:?}", pair.faults());
        }
        // And it does not come up that way.
        pair.relink(0);
        pair.relink(1);
        pair.pass_ms(2000);
        assert!(!pair.nodes[0].port.is_up() && !pair.nodes[1].port.is_up());
    }
}

#[test]
fn nothing_of_an_earlier_session_is_taken() {
    // All that node 0 ever wrote in a session, byte for byte.
    let mut pair = up();
    let id = pair.nodes[0].open("numbers", OpenFlags::SENDS).unwrap();
    pair.pass_ms(50);
    let mut old = Vec::new();
    for n in 0..200u8 {
        pair.nodes[0].send(id, vec![n; 4]);
        pair.now += 5000;
        let now = pair.time();
        for n in 0..2 {
            pair.nodes[n].tick(now);
            pair.nodes[n].pump();
            let bytes = pair.nodes[n].port.transmit();
            pair.nodes[1 - n].receive(&bytes);
            if n == 0 {
                old.extend_from_slice(&bytes);
            }
        }
    }
    assert!(pair.nodes[1].circuits[0].received > 100);
    pair.relink(0);
    while pair.faults()[1].is_none() {
        pair.step();
    }
    pair.relink(1);
    pair.run_up();
    let before = pair.nodes[1].port.frames_in;
    let skipped = |pair: &LinePair| {
        let counts = *pair.nodes[1].port.line.as_ref().unwrap().line.counts();
        (counts.packets, counts.broken)
    };
    let (packets, broken) = skipped(&pair);
    pair.nodes[1].receive(&old);
    assert_eq!(pair.nodes[1].port.frames_in, before, "a stale frame was taken");
    assert_eq!(skipped(&pair).0, packets, "a stale packet was valid");
    assert!(skipped(&pair).1 > broken + 100, "and they were seen");
    converse(&mut pair, 20, |_, _| {});
}

#[test]
fn short_packets_shorten_texts_and_refuse_long_names() {
    let mut pair = LinePair::up(BAUD, 2, LINE_PACKET_MIN, 2);
    let open = |name| Open {
        flags: OpenFlags::SENDS,
        wait_ms: 0,
        credit: 0,
        limit: 0,
        values: 0,
        name,
        fingerprints: Fingerprints::new(7, &[]),
        type_name: "a::type::with::a::name::that::is::longer::than::the::packet",
        route: None,
        body: None,
    };
    let (link, mut slots, output) = pair.nodes[0].port.parts();
    link.open(&mut slots, &open("temperature"), output).unwrap();
    let long = "a-name-that-no-packet-of-48-bytes-can-carry";
    assert_eq!(link.open(&mut slots, &open(long), output), Err(Blocked::Invalid));
    pair.nodes[1].policy = Policy::Hold;
    pair.pass_ms(50);
    assert_eq!(pair.nodes[1].circuits[0].name, "temperature");

    let id = pair.nodes[1].open("y", OpenFlags::SENDS).unwrap();
    pair.nodes[0].policy = Policy::Hold;
    pair.pass_ms(50);
    let handle = pair.nodes[0].circuits[0].handle.unwrap();
    let (link, mut slots, output) = pair.nodes[0].port.parts();
    let detail = "exported as a::type::with::a::name::that::is::longer";
    link.refuse(&mut slots, handle, Dead::here(Reason::TypeDiffers), detail, output);
    pair.nodes[0].circuits.clear();
    pair.pass_ms(50);
    let refused = &pair.nodes[1].circuits[id];
    assert_eq!(refused.dead, Some(Dead { reason: Reason::TypeDiffers, at: Place::Peer }));
    assert!(refused.detail.len() >= 20 && detail.starts_with(&refused.detail), "{:?}", refused.detail);
}

#[test]
fn a_goodbye_is_acknowledged_and_ends_both() {
    let mut pair = up();
    pair.nodes[0].port.link.goodbye(Reason::Shutdown);
    pair.pass_ms(100);
    assert_eq!(pair.faults()[1], Some(Fault::Goodbye(Reason::Shutdown)));
    assert!(pair.nodes[0].port.link.is_left());
    assert!(pair.nodes[0].port.line.as_ref().unwrap().line.is_idle(), "it knows that it was heard");
}

#[test]
fn a_very_bad_line_still_delivers_in_order() {
    let mut pair = LinePair::up(BAUD, 5, 64, 4);
    let faults = Faults { flip: 400, lose: 3000, insert: 3000, burst: 3000, ..Faults::default() };
    for (wire, bad) in pair.line.wires.iter_mut().zip(FaultyLine::new(faults, 3).wires) {
        let (byte_ns, latency_us) = (wire.byte_ns, wire.latency_us);
        *wire = bad;
        (wire.byte_ns, wire.latency_us) = (byte_ns, latency_us);
    }
    converse(&mut pair, 1000, |_, _| {});
    let counts = *pair.nodes[0].port.line.as_ref().unwrap().line.counts();
    assert!(counts.resent > 20, "{counts:?}");
}

#[test]
fn borrowed_arrays_are_enough() {
    assert_eq!(netchan::testing::bare::exchange_on_line(100), Some(100));
}

/// A number, and so many bytes behind it.
fn padded(n: u32, len: usize) -> Vec<u8> {
    let mut value = n.to_le_bytes().to_vec();
    value.resize(4 + len, n as u8);
    value
}

/// Values in both directions at a time, `values` each, all of them taken in order while `during` disturbs.
fn exchange(pair: &mut LinePair, values: u32, padding: usize, mut during: impl FnMut(&mut LinePair, u32)) {
    // Each one's own circuit is its first, and the other's the second.
    const INBOX: usize = 1;
    let ids = [0, 1].map(|n| pair.nodes[n].open("both", OpenFlags::SENDS).unwrap());
    let (mut said, mut taken) = ([0_u32; 2], [0_u32; 2]);
    let end = pair.now + 120_000_000;
    while taken != [values; 2] {
        assert!(pair.now < end, "{taken:?} of {values}: {:?}", pair.faults());
        for n in 0..2 {
            if said[n] < values && pair.nodes[n].circuits[ids[n]].outbox.len() < 4 {
                pair.nodes[n].send(ids[n], padded(said[n], padding));
                said[n] += 1;
            }
        }
        pair.step();
        during(pair, taken[0]);
        for (node, taken) in pair.nodes.iter_mut().zip(&mut taken) {
            while node.circuits.len() > INBOX
                && let Outcome::Value(value) = node.take(INBOX)
            {
                assert_eq!(value, padded(*taken, padding));
                *taken += 1;
            }
        }
    }
    assert!(pair.is_up(), "{:?}", pair.faults());
}

fn resent(pair: &LinePair) -> [u32; 2] {
    [0, 1].map(|n| pair.nodes[n].port.line.as_ref().unwrap().line.counts().resent)
}

/// A board erases its flash for 20 seconds, ten times its dead-time, while values go both ways.
#[test]
fn an_announced_silence_is_survived_in_the_middle_of_a_bulk_transfer_and_nothing_is_sent_in_vain() {
    // The line has room, or is full: then packets wait in its window when the notice is heard, at one moment or another.
    for (padding, at) in (0..24).map(|n| ([0, 50][n % 2], 100 + n as u32)) {
        let mut pair = LinePair::up(BAUD, 2, 64, 7);
        let session = pair.nodes[0].port.link.session();
        let (mut slept, mut woke) = (false, None);
        exchange(&mut pair, 250, padding, |pair, taken| {
            if taken >= at && !core::mem::replace(&mut slept, true) {
                pair.announce(1, 20_100);
                pair.sleep_ms(1, 20_000);
                woke = Some((pair.asleep_until[1], taken));
            }
            let Some((awake, before)) = woke else { return };
            if pair.now > awake + 500_000 {
                assert!(taken > before, "half a second later values go on");
            }
        });
        assert_eq!(pair.nodes[0].port.link.session(), session);
        // The acknowledgement of what had come before, and no more.
        assert!(pair.missed[1] <= 2 * 9, "{} bytes were sent to one who cannot hear", pair.missed[1]);
        // Nothing was lost; but what came last was not acknowledged before the board fell silent, nor was
        // what it had under way itself.
        assert!(resent(&pair)[0] <= 1 && resent(&pair)[1] <= 7, "{:?}", resent(&pair));
    }
}

#[test]
fn a_silence_longer_than_announced_is_dead_on_time_and_told_once() {
    for (announced, sends) in [(5_000, false), (5_000, true), (0, false), (0, true)] {
        let mut pair = up();
        let dead_us = u64::from(pair.nodes[0].port.link.dead_ms()) * 1000;
        let id = pair.nodes[0].open("numbers", OpenFlags::SENDS).unwrap();
        pair.pass_ms(50);
        if announced > 0 {
            pair.announce(1, announced);
        }
        pair.sleep_ms(1, 60_000);
        let over = pair.now + u64::from(announced) * 1000;
        if sends {
            pair.nodes[0].send(id, vec![1; 8]);
        }
        while pair.faults()[0].is_none() {
            pair.step();
            assert!(pair.now <= over + dead_us * 5 / 4, "later than promised");
        }
        assert!(pair.now + dead_us / 4 >= over + dead_us, "dead before its time");
        let reason = pair.faults()[0].unwrap().reason();
        assert!(matches!(reason, Reason::Unresponsive | Reason::LinkLost), "{reason}");
        assert_eq!(pair.nodes[0].circuits[id].dead, Some(Dead::here(reason)));
        // The one who has slept finds that the session is over, and both begin anew.
        while pair.faults()[1].is_none() {
            if pair.faults()[0].is_some() {
                pair.relink(0);
            }
            pair.step();
            assert!(pair.now < 80_000_000, "it never finds out");
        }
        if pair.faults()[0].is_some() {
            pair.relink(0);
        }
        pair.relink(1);
        pair.run_up();
        converse(&mut pair, 20, |_, _| {});
    }
}

#[test]
fn a_silence_ends_before_its_time_only_when_that_is_said() {
    let dead_us = 2_000_000 * 5 / 4;
    // Values that come meanwhile do not end it.
    let mut pair = up();
    let id = pair.nodes[1].open("numbers", OpenFlags::SENDS).unwrap();
    pair.pass_ms(50);
    pair.announce(1, 20_000);
    (0..20).for_each(|n| pair.nodes[1].send(id, vec![n; 8]));
    pair.pass_ms(100);
    assert_eq!(pair.nodes[0].circuits[0].inbox.len(), 20, "who may be silent is heard");
    pair.sleep_ms(1, 18_000);
    pair.pass_ms(19_000);
    assert!(pair.is_up(), "{:?}", pair.faults());
    // And a notice of none does.
    let mut pair = up();
    pair.announce(1, 20_000);
    pair.announce(1, 0);
    converse(&mut pair, 20, |_, _| {});
    pair.sleep_ms(1, 60_000);
    let began = pair.now;
    while pair.faults()[0].is_none() {
        pair.step();
        assert!(pair.now - began <= dead_us, "later than promised");
    }
    // Two that cross last as long as the longer one, and no longer.
    let mut pair = up();
    let now = pair.time();
    pair.nodes[0].port.link.quiet(10_000, now);
    pair.announce(1, 20_000);
    assert!(pair.nodes.iter().all(|node| node.port.link.is_peer_quiet(now)));
    for n in 0..2 {
        pair.sleep_ms(n, 19_000);
    }
    pair.pass_ms(20_100);
    converse(&mut pair, 20, |_, _| {});
    pair.line.wires.iter_mut().for_each(|wire| wire.deaf_until = Instant::NEVER);
    let began = pair.now;
    while pair.faults().contains(&None) {
        pair.step();
        assert!(pair.now - began <= dead_us, "later than promised: {:?}", pair.faults());
    }
}

#[test]
fn who_starts_anew_in_an_announced_silence_is_noticed_at_once() {
    let mut pair = up();
    let id = pair.nodes[0].open("numbers", OpenFlags::SENDS).unwrap();
    pair.announce(1, 30_000);
    pair.sleep_ms(1, 1_000);
    pair.pass_ms(1_100);
    pair.start(1);
    let began = pair.now;
    while pair.faults()[0].is_none() {
        pair.step();
        assert!(pair.now - began < 100_000, "at once, not when the silence is over");
    }
    assert_eq!(pair.faults()[0], Some(Fault::Restarted(Reason::PeerRestarted)));
    assert_eq!(pair.nodes[0].circuits[id].dead, Some(Dead::here(Reason::PeerRestarted)));
}

/// A peer that does nothing but announce silences lives, and costs no more than any that is silent.
#[test]
fn a_silence_is_heard_of_or_over() {
    let mut pair = up();
    let id = pair.nodes[0].open("numbers", OpenFlags::SENDS).unwrap();
    pair.pass_ms(50);
    for _ in 0..10 {
        pair.announce(1, 30_000);
        if pair.nodes[0].circuits[id].outbox.len() < 50 {
            (0..10).for_each(|_| pair.nodes[0].send(id, vec![1; 8]));
        }
        pair.sleep_ms(1, 29_000);
        pair.pass_ms(29_100);
        assert!(pair.is_up());
    }
    let held = pair.nodes[0].port.output.len();
    assert!(held < 1024, "{held} bytes wait for the line: no more than were granted");
    pair.sleep_ms(1, 60_000);
    let began = pair.now;
    while pair.faults()[0].is_none() {
        pair.step();
        assert!(pair.now - began <= 30_000_000 + 2_500_000, "its last one is over");
    }
}

#[test]
fn a_silence_too_long_to_be_announced_is_a_fault() {
    let mut pair = up();
    pair.nodes[1].port.forge_bytes(&[0x30, 0xb1, 0xea, 0x01]);
    pair.pass_ms(20);
    assert_eq!(pair.faults()[0].map(Fault::reason), Some(Reason::Protocol));
    // Those who ask for more get what there is.
    let mut pair = up();
    pair.announce(1, u32::MAX);
    pair.sleep_ms(1, 60_000);
    pair.pass_ms(31_000);
    assert!(pair.faults()[0].is_none());
    pair.pass_ms(2_500);
    assert!(pair.faults()[0].is_some());
}
