//! Every life that a circuit can have, told as stories of two nodes.

use netchan::proto::{Blocked, Handle, OpenFlags, Place, Reason};
use netchan::testing::{Account, Node, Outcome, Pair, Policy, Stage};

fn value(n: u8) -> Vec<u8> {
    vec![n; 4]
}

/// Takes all there is, and says how it stopped.
fn take_all(node: &mut Node, id: usize) -> (Vec<Vec<u8>>, Outcome) {
    let mut values = Vec::new();
    loop {
        match node.take(id) {
            Outcome::Value(value) => values.push(value),
            stop => return (values, stop),
        }
    }
}

fn account(node: &Node, id: usize) -> (u32, u32, u32, u32) {
    let Account { sent, confirmed, in_doubt, unsent, .. } = node.circuits[id].account();
    assert_eq!(sent, confirmed + in_doubt + unsent);
    (sent, confirmed, in_doubt, unsent)
}

/// A pair with one open circuit, opened by `a`: the ids at both ends.
fn open(flags: OpenFlags) -> (Pair, usize, usize) {
    let mut pair = Pair::up();
    let id = pair.a.open("x", flags).unwrap();
    pair.run();
    assert_eq!(pair.a.circuits[id].stage, Stage::Open);
    (pair, id, 0)
}

#[test]
fn values_arrive_in_order_and_the_end_frees_both_handles() {
    let (mut pair, a, b) = open(OpenFlags::SENDS);
    for n in 0..3 {
        pair.a.send(a, value(n));
    }
    pair.a.end(a);
    pair.run();
    assert_eq!(take_all(&mut pair.b, b), ((0..3).map(value).collect(), Outcome::Closed));
    pair.run();
    assert!(pair.a.circuits[a].done);
    assert_eq!(account(&pair.a, a), (3, 3, 0, 0));
    assert_eq!(pair.b.take(b), Outcome::Closed);
    pair.assert_quiet();
}

#[test]
fn an_opener_receives() {
    let (mut pair, a, b) = open(OpenFlags::RECEIVES);
    pair.b.send(b, value(1));
    pair.b.send(b, Vec::new());
    pair.b.end(b);
    pair.run();
    assert_eq!(take_all(&mut pair.a, a), (vec![value(1), vec![]], Outcome::Closed));
    pair.run();
    assert_eq!(account(&pair.b, b), (2, 2, 0, 0));
    pair.assert_quiet();
}

#[test]
fn both_directions_end_by_themselves_and_one_end_does_not_end_the_other() {
    let (mut pair, a, b) = open(OpenFlags::BOTH);
    pair.a.send(a, value(1));
    pair.a.end(a);
    pair.run();
    assert_eq!(take_all(&mut pair.b, b), (vec![value(1)], Outcome::Closed));
    pair.run();
    assert!(!pair.a.circuits[a].done && !pair.b.circuits[b].done);
    for n in 2..30 {
        pair.b.send(b, value(n));
        pair.run();
        assert_eq!(pair.a.take(a), Outcome::Value(value(n)));
    }
    pair.b.end(b);
    pair.run();
    assert_eq!(pair.a.take(a), Outcome::Closed);
    pair.run();
    assert_eq!((account(&pair.a, a), account(&pair.b, b)), ((1, 1, 0, 0), (28, 28, 0, 0)));
    pair.assert_quiet();
}

#[test]
fn an_opener_that_wants_three_values_gets_three_and_an_end() {
    let mut pair = Pair::up();
    let a = pair.a.open_bounded("x", OpenFlags::RECEIVES, 3).unwrap();
    pair.run();
    for n in 0..5 {
        pair.b.send(0, value(n));
    }
    pair.run();
    assert_eq!(take_all(&mut pair.a, a), ((0..3).map(value).collect(), Outcome::Closed));
    pair.run();
    assert_eq!(account(&pair.b, 0), (5, 3, 0, 2));
    assert!(pair.b.circuits[0].done);
    pair.assert_quiet();
}

#[test]
fn a_refusal_carries_its_reason_and_place() {
    let mut pair = Pair::up();
    pair.b.policy = Policy::Hold;
    let a = pair.a.open("x", OpenFlags::BOTH).unwrap();
    pair.run();
    pair.b.kill(0, Reason::NoName);
    pair.run();
    let dead = pair.a.circuits[a].dead.unwrap();
    assert_eq!((dead.reason, dead.at), (Reason::NoName, Place::Peer));
    pair.assert_quiet();
}

#[test]
fn a_refusal_with_a_text_of_the_moment_carries_it() {
    let mut pair = Pair::up();
    pair.b.policy = Policy::Hold;
    let a = pair.a.open("x", OpenFlags::BOTH).unwrap();
    pair.run();
    let handle = pair.b.circuits[0].handle.unwrap();
    let (link, mut slots, output) = pair.b.port.parts();
    let dead = netchan::proto::Dead::here(Reason::TypeDiffers);
    link.refuse(&mut slots, handle, dead, &String::from("Vec<u8>"), output);
    pair.b.kill(0, Reason::TypeDiffers);
    pair.run();
    assert_eq!(pair.a.circuits[a].detail, "Vec<u8>");
    pair.assert_quiet();
}

#[test]
fn a_cancel_before_the_answer_reaches_the_acceptor() {
    let mut pair = Pair::up();
    pair.b.policy = Policy::Hold;
    let a = pair.a.open("x", OpenFlags::SENDS).unwrap();
    pair.run();
    pair.a.kill(a, Reason::Cancelled);
    pair.run();
    assert_eq!(pair.b.circuits[0].dead.unwrap().reason, Reason::Cancelled);
    assert_eq!(pair.b.circuits[0].stage, Stage::Over);
    pair.assert_quiet();
}

#[test]
fn a_cancel_that_crosses_the_accept() {
    for flags in [OpenFlags::SENDS, OpenFlags::RECEIVES, OpenFlags::BOTH] {
        let mut pair = Pair::up();
        let a = pair.a.open("x", flags).unwrap();
        pair.a_to_b();
        pair.b.send(0, value(1));
        pair.a.kill(a, Reason::Cancelled);
        pair.run();
        assert_eq!(pair.b.circuits[0].dead.unwrap().reason, Reason::Cancelled, "{flags:?}");
        pair.b.take(0);
        pair.run();
        pair.assert_quiet();
    }
}

#[test]
fn a_cancel_that_crosses_the_refusal() {
    let mut pair = Pair::up();
    pair.b.policy = Policy::Hold;
    let a = pair.a.open("x", OpenFlags::SENDS).unwrap();
    pair.a_to_b();
    pair.a.kill(a, Reason::Cancelled);
    pair.b.kill(0, Reason::NoName);
    pair.run();
    pair.assert_quiet();
}

#[test]
fn a_sender_without_credit_waits_and_a_taken_value_lets_it_go_on() {
    let (mut pair, a, b) = open(OpenFlags::SENDS);
    for n in 0..20 {
        pair.a.send(a, value(n));
    }
    pair.run();
    assert_eq!(pair.b.circuits[b].received, 8, "64 bytes at 8 each");
    assert_eq!(account(&pair.a, a), (20, 0, 8, 12));
    for n in 0..20 {
        assert_eq!(pair.b.take(b), Outcome::Value(value(n)));
        pair.run();
    }
    pair.a.end(a);
    pair.run();
    assert_eq!(pair.b.take(b), Outcome::Closed);
    pair.run();
    pair.assert_quiet();
}

#[test]
fn a_message_of_the_limit_always_finds_its_credit() {
    let (mut pair, a, b) = open(OpenFlags::SENDS);
    for len in [0, 60, 1, 60, 30, 31, 60, 60] {
        pair.a.send(a, vec![9; len]);
        pair.run();
        assert_eq!(pair.b.take(b), Outcome::Value(vec![9; len]), "{len}");
        pair.run();
    }
}

#[test]
fn a_message_beyond_the_limit_is_refused_at_the_send() {
    let (mut pair, a, _) = open(OpenFlags::SENDS);
    let handle = pair.a.circuits[a].handle.unwrap();
    let (link, mut slots, _) = pair.a.port.parts();
    assert_eq!(link.start(&mut slots, handle, 61).unwrap_err(), Blocked::TooLarge(60));
    assert_eq!(link.limit(&mut slots, handle), 60);
}

#[test]
fn a_limit_that_the_window_cannot_hold_is_cut_to_it() {
    let mut pair = Pair::up();
    pair.b.limit = 1000;
    let a = pair.a.open("x", OpenFlags::SENDS).unwrap();
    pair.run();
    let handle = pair.a.circuits[a].handle.unwrap();
    let (link, mut slots, _) = pair.a.port.parts();
    assert_eq!(link.limit(&mut slots, handle), 60);
}

#[test]
fn a_smaller_window_takes_no_promise_back() {
    let (mut pair, a, b) = open(OpenFlags::SENDS);
    let handle = pair.b.circuits[b].handle.unwrap();
    for n in 0..12 {
        pair.a.send(a, value(n));
    }
    let (link, mut slots, _) = pair.b.port.parts();
    link.set_window(&mut slots, handle, 0);
    pair.run();
    for n in 0..12 {
        assert_eq!(pair.b.take(b), Outcome::Value(value(n)));
        pair.run();
    }
    pair.a.kill(a, Reason::Closed);
    pair.b.take(b);
    pair.run();
    pair.b.take(b);
    pair.run();
    pair.assert_quiet();
}

#[test]
fn a_larger_window_is_told_at_once() {
    let (mut pair, a, b) = open(OpenFlags::SENDS);
    pair.b.window = 640;
    for n in 0..20 {
        pair.a.send(a, value(n));
    }
    pair.run();
    assert_eq!(pair.b.circuits[b].received, 8);
    let handle = pair.b.circuits[b].handle.unwrap();
    let (link, mut slots, _) = pair.b.port.parts();
    link.set_window(&mut slots, handle, 640);
    pair.run();
    assert_eq!(pair.b.circuits[b].received, 20);
}

#[test]
fn a_receiver_that_hangs_up_tells_its_sender_what_it_took() {
    let (mut pair, a, b) = open(OpenFlags::SENDS);
    for n in 0..10 {
        pair.a.send(a, value(n));
    }
    pair.run();
    assert_eq!(pair.b.take(b), Outcome::Value(value(0)));
    pair.b.kill(b, Reason::HungUp);
    pair.run();
    assert_eq!(pair.a.circuits[a].dead.unwrap().reason, Reason::HungUp);
    assert_eq!(account(&pair.a, a), (10, 1, 7, 2));
    pair.assert_quiet();
}

#[test]
fn a_receiver_that_hangs_up_after_the_end_says_so() {
    let (mut pair, a, b) = open(OpenFlags::SENDS);
    pair.a.send(a, value(0));
    pair.a.send(a, value(1));
    pair.a.end(a);
    pair.run();
    pair.b.take(b);
    pair.b.kill(b, Reason::HungUp);
    pair.run();
    assert_eq!(pair.a.circuits[a].dead.unwrap().reason, Reason::HungUp);
    assert!(!pair.a.circuits[a].done);
    assert_eq!(account(&pair.a, a), (2, 1, 1, 0));
    pair.assert_quiet();
}

#[test]
fn a_sender_that_dies_leaves_its_values_to_be_taken() {
    let (mut pair, a, b) = open(OpenFlags::SENDS);
    pair.a.send(a, value(0));
    pair.run();
    pair.a.kill(a, Reason::HandlerPanicked);
    pair.run();
    let (values, stop) = take_all(&mut pair.b, b);
    assert_eq!(values, [value(0)]);
    assert!(matches!(stop, Outcome::Dead(dead) if dead.reason == Reason::HandlerPanicked));
    pair.run();
    pair.assert_quiet();
}

#[test]
fn a_death_after_one_half_was_drained_needs_no_second_drain() {
    let (mut pair, a, b) = open(OpenFlags::BOTH);
    pair.a.end(a);
    pair.run();
    assert_eq!(pair.b.take(b), Outcome::Closed);
    pair.run();
    pair.a.kill(a, Reason::Cancelled);
    pair.run();
    assert_eq!(pair.b.circuits[b].stage, Stage::Over);
    pair.assert_quiet();
}

#[test]
fn deaths_that_cross_count_for_each_other() {
    for flags in [OpenFlags::SENDS, OpenFlags::RECEIVES, OpenFlags::BOTH] {
        let (mut pair, a, b) = open(flags);
        pair.a.send(a, value(0));
        pair.b.send(b, value(0));
        pair.a.pump();
        pair.b.pump();
        pair.a.kill(a, Reason::Cancelled);
        pair.b.kill(b, Reason::HungUp);
        pair.run();
        pair.assert_quiet();
    }
}

#[test]
fn a_death_that_crosses_end_and_done() {
    for (killer_first, flags) in
        [(true, OpenFlags::SENDS), (false, OpenFlags::SENDS), (true, OpenFlags::BOTH)]
    {
        let (mut pair, a, b) = open(flags);
        pair.a.send(a, value(0));
        pair.a.end(a);
        if killer_first {
            pair.b.kill(b, Reason::HungUp);
            pair.run();
            pair.a.take(a);
            pair.run();
        } else {
            pair.a_to_b();
            pair.b.take(b);
            pair.b.take(b);
            pair.b.pump();
            pair.a.kill(a, Reason::Cancelled);
            pair.run();
        }
        pair.assert_quiet();
    }
}

#[test]
fn late_data_after_a_death_is_skipped_and_harms_nothing_else() {
    let (mut pair, a, b) = open(OpenFlags::SENDS);
    let other = pair.a.open("other", OpenFlags::SENDS).unwrap();
    pair.run();
    pair.b.kill(b, Reason::HungUp);
    for n in 0..20 {
        pair.a.send(a, value(n));
        pair.a.send(other, value(n));
    }
    pair.run();
    pair.a.end(other);
    let (mut values, mut stop) = (0, Outcome::Empty);
    while stop != Outcome::Closed {
        let (more, next) = take_all(&mut pair.b, 1);
        values += more.len();
        stop = next;
        pair.run();
    }
    assert_eq!(values, 20);
    pair.run();
    pair.assert_quiet();
}

#[test]
fn a_handle_is_used_again_only_when_both_ends_are_through() {
    let mut pair = Pair::up();
    let mut handles: Vec<Handle> = Vec::new();
    for round in 0..6 {
        let a = pair.a.open("x", OpenFlags::SENDS).unwrap();
        handles.push(pair.a.circuits[a].handle.unwrap());
        pair.run();
        pair.a.send(a, value(round));
        match round % 3 {
            0 => pair.a.end(a),
            1 => pair.a.kill(a, Reason::Cancelled),
            _ => pair.b.kill(a, Reason::HungUp),
        }
        pair.run();
        take_all(&mut pair.b, a);
        pair.run();
        pair.assert_quiet();
    }
    assert!(handles.iter().all(|handle| *handle == handles[0]));
}

#[test]
fn a_handle_killed_behind_exhausted_flight_can_be_used_again() {
    let mut pair = Pair::up();
    (pair.b.window, pair.b.limit) = (1 << 20, 1 << 19);
    let bulk = pair.a.open("bulk", OpenFlags::SENDS).unwrap();
    let cut = pair.a.open("cut", OpenFlags::SENDS).unwrap();
    pair.run();
    pair.a.send(bulk, vec![1; 300_000]);
    pair.a.pump();
    pair.a.send(cut, vec![2; 300_000]);
    pair.a.pump();
    pair.a.kill(cut, Reason::Cancelled);
    pair.a.port.control();
    let bytes = std::mem::take(&mut pair.a.port.output);
    // `b` opens from its side meanwhile, so that the parities are told apart.
    pair.b.receive(&bytes);
    pair.b.take(1);
    pair.run();
    let again = pair.a.open("again", OpenFlags::SENDS).unwrap();
    pair.a.send(again, value(1));
    pair.run();
    assert_eq!(pair.b.take(2), Outcome::Value(value(1)));
    pair.b.take(0);
    pair.a.end(bulk);
    pair.a.end(again);
    pair.run();
    take_all(&mut pair.b, 0);
    take_all(&mut pair.b, 2);
    pair.run();
    pair.assert_quiet();
}

#[test]
fn asking_is_answered_when_the_program_has_taken_that_many() {
    let (mut pair, a, b) = open(OpenFlags::SENDS);
    pair.a.send(a, value(0));
    pair.a.send(a, value(1));
    pair.a.pump();
    pair.a.ask(a);
    pair.run();
    assert_eq!(pair.a.circuits[a].confirmed, 0);
    pair.b.take(b);
    pair.run();
    assert_eq!(pair.a.circuits[a].confirmed, 0, "one value is not worth a frame");
    pair.b.take(b);
    pair.run();
    assert_eq!(pair.a.circuits[a].confirmed, 2);
}

#[test]
fn asking_may_overtake_the_value_and_is_answered_after_the_end() {
    let mut pair = Pair::up();
    (pair.b.window, pair.b.limit) = (1 << 20, 1 << 19);
    let a = pair.a.open("x", OpenFlags::SENDS).unwrap();
    pair.run();
    pair.a.send(a, vec![7; 100_000]);
    assert!(pair.a.start(a));
    pair.a.ask(a);
    pair.a.send(a, value(1));
    pair.a.end(a);
    pair.run();
    assert_eq!(pair.b.take(0), Outcome::Value(vec![7; 100_000]));
    pair.run();
    assert_eq!(pair.a.circuits[a].confirmed, 1);
    take_all(&mut pair.b, 0);
    pair.run();
    pair.assert_quiet();
}

#[test]
fn what_the_peer_did_not_grant_is_not_opened() {
    let mut pair = Pair::up();
    for _ in 0..4 {
        pair.a.open("x", OpenFlags::SENDS).unwrap();
    }
    assert_eq!(pair.a.open("x", OpenFlags::SENDS), Err(Blocked::NoSlot { theirs: true }));
    assert_eq!(pair.a.open("Not a name", OpenFlags::SENDS), Err(Blocked::NoSlot { theirs: true }));
    assert_eq!(pair.b.open("Not a name", OpenFlags::SENDS), Err(Blocked::Invalid));
}

#[test]
fn a_message_that_goes_with_the_open_is_all_there_is() {
    let mut pair = Pair::up();
    let a = pair.a.open_with("x", OpenFlags::SENDS, b"only").unwrap();
    pair.run();
    assert_eq!(pair.a.circuits[a].stage, Stage::Open);
    assert_eq!(account(&pair.a, a), (1, 0, 1, 0));
    assert_eq!(take_all(&mut pair.b, 0), (vec![b"only".to_vec()], Outcome::Closed));
    pair.run();
    assert!(pair.a.circuits[a].done);
    assert_eq!(account(&pair.a, a), (1, 1, 0, 0));
    pair.assert_quiet();
}

#[test]
fn who_takes_no_messages_in_opens_is_sent_none() {
    let config = Pair::config("b", 2);
    let mut pair = Pair::new(Pair::config("a", 1), netchan::proto::LinkConfig { bodies: false, ..config });
    pair.run();
    assert_eq!(pair.a.open_with("x", OpenFlags::SENDS, b"only"), Err(Blocked::Invalid));
    // And so is whoever would not have room for it in one frame.
    assert_eq!(pair.b.open_with("x", OpenFlags::SENDS, &[0; 250]), Err(Blocked::Invalid));
    let b = pair.b.open_with("x", OpenFlags::SENDS, &[0; 200]).unwrap();
    let bytes = pair.b.port.output.split_off(0);
    pair.a.receive(&bytes);
    assert!(pair.a.port.fault.is_none() && pair.b.circuits[b].dead.is_none());
    // The same to the one that has said that it takes none, with the handle that the other side would use.
    let mut frame = bytes[2..].to_vec();
    frame[0] ^= 1 << 3;
    pair.a.port.output.clear();
    pair.a.port.forge_bytes(&frame);
    pair.b.receive(&pair.a.port.output);
    assert_eq!(pair.b.port.fault, Some(netchan::proto::Fault::BadOpen));
}

/// Frames and bytes, with the length before each, of a message of 16 bytes to a name of 8, from the open to the last
/// frame, and how often the wire is crossed before the message is there.
#[test]
#[expect(clippy::print_stdout, reason = "figures, for who wants them")]
fn what_a_message_costs_with_its_open_and_behind_it() {
    let cost = |with_open: bool| {
        let mut pair = Pair::up();
        let value = [7; 16];
        if with_open {
            pair.a.open_with("commands", OpenFlags::SENDS, &value).unwrap();
        } else {
            let a = pair.a.open("commands", OpenFlags::SENDS).unwrap();
            pair.a.send(a, value.into());
            pair.a.end(a);
        }
        let (mut bytes, mut crossings, mut arrived) = (0, 0, 0);
        let frames = [pair.a.port.frames_in, pair.b.port.frames_in];
        loop {
            pair.a.pump();
            pair.b.pump();
            let (there, back) = (pair.a.port.output.split_off(0), pair.b.port.output.split_off(0));
            if there.is_empty() && back.is_empty() {
                break;
            }
            crossings += 1;
            bytes += there.len() + back.len();
            pair.b.receive(&there);
            pair.a.receive(&back);
            let id = pair.b.live().next();
            if let Some(id) = id
                && let Outcome::Value(_) = pair.b.take(id)
            {
                arrived = crossings;
                pair.b.take(id);
            }
        }
        pair.assert_quiet();
        let frames = pair.a.port.frames_in + pair.b.port.frames_in - frames[0] - frames[1];
        (frames, bytes, arrived)
    };
    let (with_open, behind) = (cost(true), cost(false));
    println!(
        "(frames, bytes, crossings until it is there): {with_open:?} with the open, {behind:?} behind it"
    );
    assert_eq!((with_open, behind), ((4, 63, 1), (6, 67, 3)));
}
