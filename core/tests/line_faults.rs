//! What a line can do to bytes, and to a link: each fault alone, at every place where it can strike.
//!
//! `spec/faults.md` lists them, with what must come of each.

use std::collections::BTreeSet;
use std::ops::Range;

use netchan::proto::{Dead, Fault, Instant, LineCounts, OpenFlags, Reason};
use netchan::testing::{LinePair, Outcome, Rng, Stage};

const BAUD: u32 = 115_200;
/// The first byte of a packet's own that stands on the wire after its group's length: a NAK's.
const NAK: u8 = 0xa0;

/// Two nodes on a line that takes no time, of which everything is seen, and a circuit from 0 to 1.
#[derive(Clone)]
struct Scene {
    pair: LinePair,
    /// What each end has written.
    wire: [Vec<u8>; 2],
    /// Values that node 1 has taken.
    taken: Vec<Vec<u8>>,
}

impl Scene {
    fn new() -> Self {
        let mut pair = LinePair::up(BAUD, 2, 64, 4);
        pair.nodes[0].open("values", OpenFlags::SENDS).unwrap();
        pair.pass_ms(100);
        assert_eq!(pair.nodes[1].circuits[0].stage, Stage::Open);
        Self { pair, wire: [Vec::new(), Vec::new()], taken: Vec::new() }
    }

    fn counts(&self) -> LineCounts {
        *self.pair.nodes[1].port.line.as_ref().unwrap().line.counts()
    }

    /// Node 0 writes so many values, one to a packet: the packets, each with its delimiter.
    fn packets(&mut self, n: u8) -> Vec<Vec<u8>> {
        (0..n)
            .map(|n| {
                let now = self.pair.time();
                let node = &mut self.pair.nodes[0];
                node.send(0, value(n));
                node.tick(now);
                node.pump();
                node.port.transmit()
            })
            .collect()
    }

    /// These bytes arrive at node 1, and it takes what it can.
    fn arrive(&mut self, bytes: &[u8]) {
        let now = self.pair.time();
        self.pair.nodes[1].tick(now);
        self.pair.nodes[1].receive(bytes);
        self.take();
    }

    fn take(&mut self) {
        while let Outcome::Value(value) = self.pair.nodes[1].take(0) {
            self.taken.push(value);
        }
    }

    /// Half a millisecond.
    fn turn(&mut self) {
        self.pair.now += 500;
        let now = self.pair.time();
        for n in 0..2 {
            self.pair.nodes[n].tick(now);
            self.pair.nodes[n].pump();
            let bytes = self.pair.nodes[n].port.transmit();
            self.pair.nodes[1 - n].receive(&bytes);
            self.wire[n].extend_from_slice(&bytes);
        }
        self.take();
    }

    /// Goes on until so many values are taken, without another fault: they are those that were sent.
    #[track_caller]
    fn repaired(&mut self, values: u8, what: &str) {
        let end = self.pair.now + 1_500_000;
        while self.taken.len() < values.into() {
            assert!(self.pair.now < end, "{what}: only {:?}: {:?}", self.taken, self.pair.faults());
            self.turn();
        }
        (0..100).for_each(|_| self.turn());
        assert!(self.taken.iter().cloned().eq((0..values).map(value)), "{what}: {:?}", self.taken);
        assert!(self.pair.is_up(), "{what}: {:?}", self.pair.faults());
        let all = u32::from(values);
        assert_eq!(self.account(), [all, all, 0, 0], "{what}");
    }

    /// Sent, confirmed, in doubt and unsent, once everything has settled.
    fn account(&mut self) -> [u32; 4] {
        self.pair.nodes[0].ask(0);
        (0..100).for_each(|_| self.turn());
        let account = self.pair.nodes[0].circuits[0].account();
        [account.sent, account.confirmed, account.in_doubt, account.unsent]
    }

    /// How many NAKs node 1 has written.
    fn naks(&self) -> usize {
        self.wire[1].split(|&byte| byte == 0).filter(|packet| packet.get(1) == Some(&NAK)).count()
    }
}

fn value(n: u8) -> Vec<u8> {
    // Some with zeros, which COBS moves about.
    vec![n, 0, 7, n % 2, 0, 0, 255]
}

/// Which of these packets a change of these bytes touches, with the byte behind them.
fn touched(packets: &[Vec<u8>], bytes: Range<usize>) -> BTreeSet<usize> {
    let owner = |at: usize| {
        let mut end = 0;
        packets.iter().position(|packet| {
            end += packet.len();
            at < end
        })
    };
    (bytes.start..=bytes.end).filter_map(owner).collect()
}

#[test]
fn a_flipped_bit_is_counted_told_once_and_repaired() {
    let mut scene = Scene::new();
    let packets = scene.packets(3);
    for bit in 0..packets[1].len() * 8 {
        let mut scene = scene.clone();
        let mut flipped = packets.clone();
        flipped[1][bit / 8] ^= 1 << (bit % 8);
        let before = scene.counts();
        scene.arrive(&flipped.concat());
        let what = format!("bit {bit}");
        assert_eq!(scene.taken, [value(0)], "{what}: nothing altered, and nothing out of turn");
        assert!(scene.counts().broken > before.broken, "{what} is counted");
        scene.repaired(3, &what);
        assert_eq!(scene.naks(), 1, "{what}: one gap, one NAK");
    }
}

#[test]
fn lost_inserted_and_doubled_bytes_cost_the_packets_that_they_touch() {
    let mut scene = Scene::new();
    let packets = scene.packets(4);
    let clean = packets.concat();
    let mut rng = Rng::new(7);
    for at in 0..clean.len() {
        for n in [1, 3, 20] {
            let noise: Vec<u8> = (0..n).map(|_| rng.next() as u8).collect();
            let lost = at..(at + n).min(clean.len());
            let cases = [
                ("lost", [&clean[..at], &clean[lost.end..]].concat(), lost.clone()),
                ("inserted", [&clean[..at], &noise, &clean[at..]].concat(), at..at),
                ("doubled", [&clean[..at], &clean[at.saturating_sub(n)..at], &clean[at..]].concat(), at..at),
            ];
            for (how, bytes, place) in cases {
                let mut scene = scene.clone();
                let before = scene.counts().packets;
                scene.arrive(&bytes);
                let what = format!("{n} bytes {how} at {at}");
                let whole = scene.counts().packets - before;
                let spared = packets.len() - touched(&packets, place).len();
                assert!(whole as usize >= spared, "{what}: {whole} packets of {spared} that are whole");
                scene.repaired(4, &what);
                assert!(scene.naks() <= 2, "{what}: {} NAKs", scene.naks());
            }
        }
    }
}

#[test]
fn a_packet_cut_at_any_byte_is_never_delivered_in_part() {
    let mut scene = Scene::new();
    let packets = scene.packets(2);
    for cut in 0..packets[1].len() {
        // The line goes on at once, or after a pause in which nothing of the packet is given out.
        for pause in [0, 40] {
            let mut scene = scene.clone();
            scene.arrive(&[&packets[0], &packets[1][..cut]].concat());
            let what = format!("cut at {cut}");
            for _ in 0..pause {
                scene.pair.now += 500;
                scene.arrive(&[]);
                assert_eq!(scene.taken, [value(0)], "{what}");
            }
            let received = scene.pair.nodes[1].circuits[0].received;
            assert_eq!(received, 1, "{what}: a value in part");
            scene.repaired(2, &what);
        }
    }
}

#[test]
fn a_packet_that_comes_again_is_dropped_and_acknowledged() {
    let mut scene = Scene::new();
    let packets = scene.packets(3);
    let [first, second, third] = &packets[..] else { unreachable!() };
    // At once, behind others, and all of them.
    let ways: [&[&Vec<u8>]; 4] = [
        &[first, first, second, third],
        &[first, second, second, second, third],
        &[first, second, third, first, second],
        &[first, second, third, first, second, third],
    ];
    for way in ways {
        let mut scene = scene.clone();
        let (before, copies) = (scene.counts(), way.len() as u32 - 3);
        scene.arrive(&way.iter().copied().flatten().copied().collect::<Vec<u8>>());
        let counts = scene.counts();
        assert_eq!(counts.skipped - before.skipped, copies);
        assert_eq!((counts.packets - before.packets, counts.broken), (3 + copies, before.broken));
        let now = scene.pair.time();
        let line = scene.pair.nodes[1].port.line.as_mut().unwrap();
        assert!(line.line.has_output(now), "who sends again is answered at once");
        scene.repaired(3, "copies");
        assert_eq!(scene.naks(), 0);
        assert_eq!(scene.pair.nodes[1].circuits[0].received, 3, "and no credit was spent twice");
    }
}

#[test]
fn noise_without_an_end_is_skipped_counted_once_and_stored_nowhere() {
    let mut scene = Scene::new();
    let packets = scene.packets(2);
    let mut rng = Rng::new(3);
    let noise: Vec<u8> = (0..100_000).map(|_| (rng.next() as u8).max(1)).collect();
    let (before, port) = (scene.counts(), scene.pair.nodes[1].port.pending_input());
    scene.arrive(&[&packets[0][..], &noise, &packets[1]].concat());
    let counts = scene.counts();
    assert_eq!((counts.oversize - before.oversize, counts.broken - before.broken), (1, 1));
    assert_eq!(counts.bytes - before.bytes, 100_000 + packets.concat().len() as u32);
    assert_eq!(scene.pair.nodes[1].port.pending_input(), port, "the line has one packet's room, and no more");
    scene.repaired(2, "noise");
    assert_eq!(scene.naks(), 1);
}

#[test]
fn packets_that_run_together_are_both_repaired() {
    let mut scene = Scene::new();
    let packets = scene.packets(3);
    for lost in 0..2 {
        let mut scene = scene.clone();
        let mut joined = packets.clone();
        assert_eq!(joined[lost].pop(), Some(0));
        let before = scene.counts();
        scene.arrive(&joined.concat());
        assert_eq!(scene.counts().packets - before.packets, 1, "neither of the two is taken");
        scene.repaired(3, "without a delimiter");
        assert_eq!(scene.naks(), 1);
    }
}

#[test]
fn a_break_and_an_idle_line_are_no_packets() {
    let mut scene = Scene::new();
    let packets = scene.packets(2);
    for (byte, broken) in [(0, 0), (0xff, 1)] {
        let mut scene = scene.clone();
        let before = scene.counts();
        scene.arrive(&[&packets[0][..], &[byte; 100_000]].concat());
        assert_eq!(scene.taken, [value(0)]);
        scene.repaired(2, "idle");
        let counts = scene.counts();
        assert_eq!(counts.broken - before.broken, broken, "noise ends with the next delimiter");
        assert_eq!(counts.breaks - before.breaks, u32::from(byte == 0), "one, however long it lasts");
        assert!(scene.naks() <= broken as usize, "nobody answers to each byte");
    }
}

/// The line stands still for longer than the dead-time, loses nothing, and then brings it all.
#[test]
fn a_stall_longer_than_the_dead_time_is_told_once_and_what_it_brings_late_reaches_nobody() {
    let mut pair = LinePair::up(BAUD, 2, 64, 4);
    let id = pair.nodes[0].open("values", OpenFlags::SENDS).unwrap();
    pair.pass_ms(50);
    let dead_us = u64::from(pair.nodes[0].port.link.dead_ms()) * 1000;
    let until = Instant::from_micros(pair.now + 4 * dead_us);
    pair.line.wires.iter_mut().for_each(|wire| wire.stalled_until = until);
    (0..20).for_each(|n| pair.nodes[0].send(id, value(n)));
    let began = pair.now;
    let mut taken = 0;
    while pair.faults().contains(&None) {
        pair.step();
        while let Outcome::Value(_) = pair.nodes[1].take(0) {
            taken += 1;
        }
        assert!(pair.now - began <= dead_us * 5 / 4 + 20_000, "later than promised: {:?}", pair.faults());
    }
    // The last sign of life may have come a quarter before.
    assert!(pair.now - began >= dead_us * 3 / 4, "and not before");
    for (node, fault) in pair.nodes.iter().zip(pair.faults()) {
        let reason = fault.unwrap().reason();
        assert!(matches!(reason, Reason::Unresponsive | Reason::LinkLost), "{reason}");
        assert_eq!(node.circuits[0].dead, Some(Dead::here(reason)));
    }
    let account = pair.nodes[0].circuits[id].account();
    assert_eq!(account.confirmed + account.in_doubt + account.unsent, account.sent);
    assert!(account.confirmed <= taken && taken <= account.confirmed + account.in_doubt);
    // Both begin anew while the old bytes are still on their way.
    let sessions = pair.nodes[0].port.link.session();
    for n in 0..2 {
        pair.relink(n);
    }
    while !pair.is_up() {
        for n in 0..2 {
            if pair.faults()[n].is_some() {
                pair.relink(n);
            }
        }
        pair.step();
        assert!(pair.now < began + 8 * dead_us, "it does not come up: {:?}", pair.faults());
    }
    assert_ne!(pair.nodes[0].port.link.session(), sessions);
    pair.pass_ms(1000);
    assert_eq!(pair.nodes[1].circuits.len(), 1, "nothing of the old session opens anything");
    assert_eq!(pair.nodes[1].circuits[0].received, taken, "nor is any of its values taken");
    assert!(pair.is_up());
}

/// Twenty times the plug is pulled in the middle of a stream, for longer than the dead-time.
#[test]
fn a_line_that_flaps_has_a_session_each_time_and_each_adds_up() {
    let mut pair = LinePair::up(BAUD, 2, 64, 4);
    let mut rng = Rng::new(11);
    let mut sessions = BTreeSet::new();
    for round in 0..20 {
        assert!(sessions.insert(pair.nodes[0].port.link.session()), "a session comes again");
        let id = pair.nodes[0].open("values", OpenFlags::SENDS).unwrap();
        let far = pair.nodes[1].circuits.len();
        let end = pair.now + 50_000 + rng.below(200_000) as u64;
        let mut taken = 0_u32;
        let mut take = |pair: &mut LinePair| {
            while pair.nodes[1].circuits.len() > far
                && let Outcome::Value(bytes) = pair.nodes[1].take(far)
            {
                assert_eq!(bytes, [round, taken as u8], "of this session, in order, once");
                taken += 1;
            }
        };
        while pair.now < end {
            let circuit = &pair.nodes[0].circuits[id];
            if circuit.outbox.len() < 4 {
                let n = circuit.sent as u8;
                pair.nodes[0].send(id, vec![round, n]);
            }
            pair.step();
            take(&mut pair);
        }
        for wire in &mut pair.line.wires {
            wire.cut();
            wire.deaf_until = Instant::NEVER;
        }
        while pair.faults().contains(&None) {
            pair.step();
            take(&mut pair);
        }
        let (near, dead) = (&pair.nodes[0].circuits[id], pair.nodes[1].circuits[far].dead);
        assert!(near.dead.is_some() && dead.is_some() && near.stage == Stage::Over);
        let account = near.account();
        assert_eq!(account.confirmed + account.in_doubt + account.unsent, account.sent, "{account:?}");
        let may_be = account.confirmed..=account.confirmed + account.in_doubt;
        assert!(may_be.contains(&taken), "{taken} of {account:?}");
        pair.line.heal();
        pair.relink(0);
        pair.relink(1);
        pair.run_up();
    }
}

/// A board is reset at any byte of a message of several packets.
#[test]
fn a_reset_in_the_middle_of_a_message_leaves_nothing_of_it() {
    let mut scene = LinePair::up(BAUD, 2, 64, 4);
    let id = scene.nodes[0].open("values", OpenFlags::SENDS).unwrap();
    scene.pass_ms(50);
    scene.nodes[0].send(id, vec![7; 300]);
    let mut resets = 0;
    while scene.nodes[1].circuits[0].received == 0 {
        scene.step();
        resets += 1;
        let mut pair = scene.clone();
        let was_there = pair.nodes[1].circuits[0].received;
        pair.start(0);
        let began = pair.now;
        while pair.faults()[1].is_none() {
            pair.step();
            assert!(pair.now - began < 200_000, "at once, not after the dead-time");
        }
        assert_eq!(pair.faults()[1], Some(Fault::Restarted(Reason::PeerRestarted)));
        let circuit = &pair.nodes[1].circuits[0];
        assert_eq!(circuit.dead, Some(Dead::here(Reason::PeerRestarted)));
        assert!(circuit.received >= was_there && circuit.inbox.iter().all(|value| value.len() == 300));
        pair.relink(1);
        pair.run_up();
        let again = pair.nodes[0].open("values", OpenFlags::SENDS).unwrap();
        pair.nodes[0].send(again, vec![8; 300]);
        pair.pass_ms(200);
        assert_eq!(pair.nodes[1].take(1), Outcome::Value(vec![8; 300]), "whole, and of the new session");
        assert_eq!(pair.nodes[1].take(1), Outcome::Empty);
    }
    assert!(resets > 40, "{resets} places are too few");
}
