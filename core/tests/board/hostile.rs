//! A peer that breaks the protocol: its session ends, and the next one, of an honest peer, is not the worse for it.

use netchan::board::{Config, Receiver, RecvError};
use netchan::proto::OpenFlags;
use netchan::testing::{Rng, Stage, fuzz};

use crate::desk::{Desk, LINE, desk, encoded, of};

/// The kind of a frame that begins a message.
const FIRST: u8 = 2;

/// The peer imports `e`, and begins a message of no bytes on it, which no peer may.
fn begin_nothing(desk: &mut Desk<'_>) {
    let id = open(desk);
    let handle = desk.peer.circuits[id].handle.unwrap().get() as u8;
    desk.put(&[handle << 3 | FIRST, 0]);
    desk.next_session();
}

fn open(desk: &mut Desk<'_>) -> usize {
    let id = desk.import("e", OpenFlags::SENDS, of::<u32>());
    desk.until(|desk| desk.peer.circuits[id].stage == Stage::Open);
    id
}

#[test]
fn what_is_no_beginning_of_a_message_leaves_nothing_for_the_next_session() {
    let (node, desk) = desk!(Config::new(LINE).export::<Receiver<u32>>(4));
    let mut end = node.export_with::<Receiver<u32>>("e", 4).unwrap();
    let mut desk = desk.up();
    // Far more often than the inbox has room for what is left.
    for _ in 0..20 {
        begin_nothing(&mut desk);
        assert!(matches!(end.try_recv(), Err(RecvError::Left { dead: Some(_) })));
        assert_eq!(end.try_recv(), Err(RecvError::Empty));
    }
    let id = open(&mut desk);
    for n in [7_u32, 8, 9] {
        desk.peer.send(id, encoded(&n));
        let mut got = Err(RecvError::Empty);
        desk.until(|_| {
            got = end.try_recv();
            got != Err(RecvError::Empty)
        });
        assert_eq!(got, Ok(n));
    }
}

/// Random records, of which those that are found to do harm are kept as a corpus: `core/fuzz/corpus/board`.
#[test]
fn random_records_do_no_harm() {
    for seed in 0..60 {
        let result = std::panic::catch_unwind(|| fuzz::board(&bytes(seed)));
        assert!(result.is_ok(), "seed {seed}");
    }
}

fn bytes(seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let len = 100 + rng.below(1500);
    (0..len)
        .map(|_| match rng.below(4) {
            0 => rng.next() as u8,
            1 => [0, 0xff, 0x80][rng.below(3)],
            _ => rng.below(32) as u8,
        })
        .collect()
}
