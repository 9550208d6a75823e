//! A circuit over two links, told as stories of two nodes and the router between them.

use netchan::proto::{Dead, OpenFlags, Place, Reason, Total};
use netchan::testing::{Chain, Outcome, Policy, Stage};

const FLAGS: [OpenFlags; 3] = [OpenFlags::SENDS, OpenFlags::RECEIVES, OpenFlags::BOTH];

fn open(flags: OpenFlags) -> Chain {
    let mut chain = Chain::up();
    chain.a.open("far/x", flags).unwrap();
    chain.run();
    assert_eq!((chain.a.circuits[0].stage, chain.b.circuits[0].stage), (Stage::Open, Stage::Open));
    assert_eq!(chain.b.circuits[0].name, "far/x");
    chain
}

#[test]
fn values_cross_unaltered_and_confirmation_is_the_far_programs() {
    let mut chain = open(OpenFlags::SENDS);
    let values: Vec<Vec<u8>> = (0..40u8).map(|n| vec![n; usize::from(n) % 20]).collect();
    for value in &values {
        chain.a.send(0, value.clone());
    }
    chain.run();
    assert_eq!(chain.a.circuits[0].confirmed, 0, "what only the router holds is not confirmed");
    assert!(!chain.a.circuits[0].outbox.is_empty(), "the router takes no more than it granted");
    for value in &values {
        assert_eq!(chain.b.take(0), Outcome::Value(value.clone()));
        chain.run();
    }
    chain.a.ask(0);
    chain.run();
    assert_eq!(chain.a.circuits[0].confirmed, 40);
    chain.a.end(0);
    chain.run();
    assert!(!chain.a.circuits[0].done);
    assert_eq!(chain.b.take(0), Outcome::Closed);
    chain.run();
    assert!(chain.a.circuits[0].done);
    chain.assert_quiet();
}

#[test]
fn both_directions_cross() {
    let mut chain = open(OpenFlags::BOTH);
    for n in 0..30 {
        chain.a.send(0, vec![n]);
        chain.b.send(0, vec![n, n]);
        chain.run();
        assert_eq!(chain.b.take(0), Outcome::Value(vec![n]));
        assert_eq!(chain.a.take(0), Outcome::Value(vec![n, n]));
    }
    chain.b.end(0);
    chain.run();
    assert_eq!(chain.a.take(0), Outcome::Closed);
    chain.run();
    assert!(!chain.b.circuits[0].done);
    chain.a.end(0);
    chain.run();
    assert_eq!(chain.b.take(0), Outcome::Closed);
    chain.run();
    assert!(chain.a.circuits[0].done && chain.b.circuits[0].done);
    chain.assert_quiet();
}

#[test]
fn a_slow_receiver_holds_up_only_its_own_circuit() {
    let mut chain = open(OpenFlags::SENDS);
    chain.a.open("other", OpenFlags::SENDS).unwrap();
    chain.run();
    for n in 0..50 {
        chain.a.send(0, vec![n]);
        chain.a.send(1, vec![n]);
        chain.run();
        assert_eq!(chain.b.take(1), Outcome::Value(vec![n]));
        chain.run();
    }
    assert!(chain.a.circuits[0].outbox.len() > 30);
    assert!(chain.r.held().0 <= 64);
}

#[test]
fn large_messages_cross_in_pieces_and_packets_of_another_size() {
    let mut chain = Chain::with(|config| {
        if config.identity.uid == 2 {
            config.packet = 300;
        }
    });
    (chain.a.window, chain.a.limit) = (100_000, 99_000);
    (chain.b.window, chain.b.limit) = (100_000, 99_000);
    chain.r.room = 100_000;
    chain.a.open("x", OpenFlags::BOTH).unwrap();
    chain.run();
    let large: Vec<u8> = (0..99_000u32).map(|n| n as u8).collect();
    for _ in 0..3 {
        chain.a.send(0, large.clone());
        chain.b.send(0, large.clone());
        chain.a.send(0, vec![]);
        chain.run();
        assert_eq!(chain.b.take(0), Outcome::Value(large.clone()));
        assert_eq!(chain.a.take(0), Outcome::Value(large.clone()));
        chain.run();
        assert_eq!(chain.b.take(0), Outcome::Value(vec![]));
        chain.run();
    }
    chain.a.kill(0, Reason::Cancelled);
    chain.run();
    chain.b.take(0);
    chain.run();
    chain.assert_quiet();
}

/// A message that is here as a whole and longer than what may gather on the next link, as on a slow line,
/// once waited for room that there never is.
#[test]
fn a_message_longer_than_what_may_gather_on_a_link_goes_on_in_parts() {
    for full_at in [64, 240, 500] {
        let mut chain = Chain::up();
        (chain.b.window, chain.b.limit) = (4000, 3000);
        (chain.r.room, chain.r.full_at) = (4000, full_at);
        chain.a.open("x", OpenFlags::SENDS).unwrap();
        chain.run();
        for len in [0, 1, full_at - 30, full_at, 3000] {
            chain.a.send(0, vec![7; len]);
            chain.run();
            assert_eq!(chain.b.take(0), Outcome::Value(vec![7; len]), "{len} of {full_at}");
            chain.run();
        }
    }
}

/// The end once overtook it, and the message was lost with the link.
#[test]
fn the_end_waits_behind_a_message_that_is_held_back() {
    let mut chain = open(OpenFlags::SENDS);
    chain.r.hold(Some(Total::new(1)));
    for n in 0..3 {
        chain.a.send(0, vec![n]);
    }
    chain.a.end(0);
    chain.run();
    assert_eq!(chain.b.take(0), Outcome::Value(vec![0]));
    assert_eq!(chain.b.take(0), Outcome::Empty);
    chain.r.hold(None);
    chain.run();
    assert_eq!(chain.b.take(0), Outcome::Value(vec![1]));
    assert_eq!(chain.b.take(0), Outcome::Value(vec![2]));
    assert_eq!(chain.b.take(0), Outcome::Closed);
    chain.run();
    assert!(chain.a.circuits[0].done);
    chain.assert_quiet();
}

#[test]
fn the_limit_is_the_smallest_on_the_way() {
    let mut chain = Chain::up();
    (chain.b.window, chain.b.limit) = (20, 16);
    chain.a.open("x", OpenFlags::SENDS).unwrap();
    chain.run();
    let handle = chain.a.circuits[0].handle.unwrap();
    let (link, mut slots, _) = chain.a.port.parts();
    assert_eq!(link.limit(&mut slots, handle), 16);
}

#[test]
fn a_bounded_open_ends_after_its_values() {
    let mut chain = Chain::up();
    chain.a.open_bounded("x", OpenFlags::BOTH, 2).unwrap();
    chain.run();
    for n in 0..5 {
        chain.b.send(0, vec![n; usize::from(n)]);
    }
    chain.run();
    for n in 0..2 {
        assert_eq!(chain.a.take(0), Outcome::Value(vec![n; usize::from(n)]));
    }
    assert_eq!(chain.a.take(0), Outcome::Closed);
    chain.a.end(0);
    chain.run();
    assert_eq!(chain.b.take(0), Outcome::Closed);
    chain.run();
    assert_eq!(chain.b.circuits[0].account().unsent, 3);
    chain.assert_quiet();
}

#[test]
fn a_refusal_crosses_with_its_place_and_text() {
    for flags in FLAGS {
        let mut chain = Chain::up();
        chain.b.policy = Policy::Hold;
        chain.a.open("x", flags).unwrap();
        chain.run();
        let handle = chain.b.circuits[0].handle.unwrap();
        let (link, mut slots, output) = chain.b.port.parts();
        link.refuse(&mut slots, handle, Dead::here(Reason::TypeDiffers), "Reading", output);
        chain.b.kill(0, Reason::TypeDiffers);
        chain.run();
        let circuit = &chain.a.circuits[0];
        assert_eq!(circuit.dead, Some(Dead { reason: Reason::TypeDiffers, at: Place::Node(2) }));
        assert_eq!(circuit.detail, "Reading");
        chain.assert_quiet();
    }
}

#[test]
fn a_cancel_crosses_before_and_after_the_answer() {
    for flags in FLAGS {
        for hold in [Policy::Hold, Policy::Accept] {
            let mut chain = Chain::up();
            chain.b.policy = hold;
            chain.a.open("x", flags).unwrap();
            chain.run();
            chain.a.kill(0, Reason::Cancelled);
            chain.run();
            assert_eq!(
                chain.b.circuits[0].dead,
                Some(Dead { reason: Reason::Cancelled, at: Place::Node(1) })
            );
            chain.b.take(0);
            chain.run();
            chain.assert_quiet();
        }
    }
}

#[test]
fn a_death_crosses_both_ways_with_place_and_account() {
    for flags in FLAGS {
        let mut chain = open(flags);
        for n in 0..20 {
            chain.a.send(0, vec![n]);
            chain.b.send(0, vec![n]);
        }
        chain.run();
        chain.b.take(0);
        chain.run();
        chain.b.kill(0, Reason::HungUp);
        chain.run();
        let circuit = &chain.a.circuits[0];
        assert_eq!(circuit.dead, Some(Dead { reason: Reason::HungUp, at: Place::Node(2) }));
        if circuit.sends() {
            assert_eq!(circuit.confirmed, 1);
            assert!(circuit.account().in_doubt >= 8);
        }
        while matches!(chain.a.take(0), Outcome::Value(_)) {}
        chain.run();
        chain.assert_quiet();
    }
}

#[test]
fn a_lost_link_is_told_on_the_other_one() {
    for flags in FLAGS {
        let mut chain = open(flags);
        chain.r.cut(1);
        chain.b.cut();
        chain.run();
        assert_eq!(chain.a.circuits[0].dead, Some(Dead { reason: Reason::LinkLost, at: Place::Peer }));
        chain.a.take(0);
        chain.run();
        assert!(chain.a.is_quiet() && chain.r.is_quiet());
        chain.a.open("again", flags).unwrap();
        chain.run();
        assert_eq!(chain.a.circuits[1].dead, Some(Dead { reason: Reason::NoRoute, at: Place::Peer }));
        assert!(chain.a.is_quiet() && chain.r.is_quiet());
    }
}

#[test]
fn a_full_table_on_the_far_link_is_no_resources() {
    let mut chain = Chain::with(|config| {
        if config.identity.uid == 2 {
            config.circuits = 1;
        }
    });
    chain.a.open("x", OpenFlags::SENDS).unwrap();
    chain.a.open("y", OpenFlags::SENDS).unwrap();
    chain.run();
    assert_eq!(chain.a.circuits[0].stage, Stage::Open);
    assert_eq!(chain.a.circuits[1].dead, Some(Dead { reason: Reason::NoResources, at: Place::Peer }));
}

#[test]
fn opens_of_both_sides_cross_and_do_not_mix() {
    let mut chain = Chain::up();
    chain.a.open("to-b", OpenFlags::SENDS).unwrap();
    chain.b.open("to-a", OpenFlags::SENDS).unwrap();
    chain.run();
    chain.a.send(0, b"ab".to_vec());
    chain.b.send(0, b"ba".to_vec());
    chain.run();
    assert_eq!(chain.b.take(1), Outcome::Value(b"ab".to_vec()));
    assert_eq!(chain.a.take(1), Outcome::Value(b"ba".to_vec()));
    chain.a.end(0);
    chain.b.kill(0, Reason::Closed);
    chain.run();
    chain.b.take(1);
    chain.a.take(1);
    chain.run();
    chain.assert_quiet();
}

/// Three nodes, of which the far one takes no messages in opens.
fn plain() -> Chain {
    Chain::with(|config| config.bodies = config.identity.name.as_str() != "b")
}

#[test]
fn a_message_that_came_with_the_open_crosses_whether_the_far_node_takes_it_so_or_not() {
    for mut chain in [Chain::up(), plain()] {
        for (flags, body) in [(OpenFlags::SENDS, &b"only"[..]), (OpenFlags::BOTH, b"")] {
            let a = chain.a.open_with("far/x", flags, body).unwrap();
            let b = chain.b.circuits.len();
            chain.run();
            assert_eq!(chain.b.take(b), Outcome::Value(body.into()));
            assert_eq!(chain.b.take(b), Outcome::Closed);
            chain.b.end(b);
            chain.run();
            assert_eq!(chain.a.circuits[a].confirmed, 1);
            if flags == OpenFlags::BOTH {
                assert_eq!(chain.a.take(a), Outcome::Closed);
                chain.run();
            }
            assert!(chain.a.circuits[a].done && chain.b.circuits[b].done);
            chain.assert_quiet();
        }
    }
}

#[test]
fn a_message_that_came_with_the_open_and_is_too_long_is_told() {
    let mut chain = plain();
    chain.b.limit = 3;
    let a = chain.a.open_with("far/x", OpenFlags::SENDS, b"four").unwrap();
    chain.run();
    let dead = chain.a.circuits[a].dead.unwrap();
    assert_eq!((dead.reason, dead.at), (Reason::TooLarge, Place::Peer));
    assert_eq!(chain.b.circuits[0].dead.unwrap().reason, Reason::TooLarge);
    chain.b.take(0);
    chain.run();
    chain.assert_quiet();
}

#[test]
fn a_message_that_came_with_the_open_and_is_refused_or_lost_is_told() {
    for mut chain in [Chain::up(), plain()] {
        chain.b.policy = Policy::Hold;
        let a = chain.a.open_with("far/x", OpenFlags::SENDS, b"only").unwrap();
        chain.run();
        chain.b.kill(0, Reason::NoName);
        chain.run();
        assert_eq!(chain.a.circuits[a].dead.unwrap().at, Place::Node(2));
        assert_eq!(chain.a.circuits[a].account().in_doubt, 1, "what the reason means is for the program");
        let a = chain.a.open_with("far/x", OpenFlags::SENDS, b"only").unwrap();
        chain.run();
        chain.r.cut(1);
        chain.b.cut();
        chain.run();
        assert_eq!(chain.a.circuits[a].dead.unwrap().reason, Reason::LinkLost);
        assert!(chain.a.is_quiet() && chain.r.is_quiet());
    }
}
