//! How sessions end, and what is told and goes on then.

use std::time::Duration;

use netchan::board::{Config, Duplex, Memory, Node, Receiver, RecvError, SendCause, Sender};
use netchan::proto::{CounterNonce, Dead, Instant, LineConfig, OpenFlags, Reason};
use netchan::testing::{Outcome, Stage};

use crate::desk::{Desk, LINE, desk, encoded, of, pair, who_counts};

/// Numbers of the link's own frames.
const QUIET: u8 = 6;
const GOODBYE: u8 = 3;

#[test]
fn an_import_goes_on_in_the_next_session_whatever_the_goodbye_was() {
    let (node, desk) = desk!(Config::new(LINE).import::<Receiver<u16>>(2).import::<Sender<u16>>(2));
    let mut levels: Receiver<u16> = node.import("levels").unwrap();
    let ticks: Sender<u16> = node.import("ticks").unwrap();
    let mut desk = desk.up();
    let of_later_versions = [0, 90, 127].map(Reason::new);
    for reason in Reason::ALL.iter().copied().chain(of_later_versions) {
        desk.until(|desk| ["levels", "ticks"].iter().all(|name| desk.open_import(name).is_some()));
        let id = desk.open_import("levels").unwrap();
        desk.peer.send(id, encoded(&7_u16));
        desk.until(|_| levels.try_recv() == Ok(7));
        desk.until(|_| ticks.try_send(8).is_ok());
        let id = desk.open_import("ticks").unwrap();
        assert_eq!(desk.take(id), encoded(&8_u16));

        desk.put(&[GOODBYE << 3, reason.get()]);
        desk.next_session();
        let dead = Dead::peer(reason);
        assert_eq!(levels.try_recv(), Err(RecvError::Interrupted { dead, taken: 1 }));
        let cause = ticks.try_send(9).unwrap_err().cause;
        assert!(matches!(cause, SendCause::Interrupted { dead: told, .. } if told == dead), "{cause:?}");
    }
}

#[test]
fn what_an_exporter_has_given_up_stays_dead_whatever_its_reason() {
    for reason in [Reason::HungUp, Reason::Withdrawn, Reason::LinkLost, Reason::Shutdown, Reason::new(90)] {
        let (node, desk) = desk!(Config::new(LINE).import::<Receiver<u16>>(2));
        let mut levels: Receiver<u16> = node.import("levels").unwrap();
        let mut desk = desk.up();
        desk.until(|desk| desk.open_import("levels").is_some());
        let id = desk.open_import("levels").unwrap();
        desk.peer.kill(id, reason);
        let dead = Dead::peer(reason);
        desk.until(|_| levels.try_recv() == Err(RecvError::Dead(dead)));
        desk.put(&[GOODBYE << 3, Reason::Shutdown.get()]);
        desk.next_session();
        desk.pass_ms(100);
        assert_eq!(levels.try_recv(), Err(RecvError::Dead(dead)));
        assert_eq!(desk.open_import("levels"), None);
        drop(levels);
        desk.pass_ms(100);
    }
}

#[test]
fn ends_are_told_when_their_line_is_dropped_and_go_on_with_the_next_one() {
    const CONFIG: Config = Config::new(LINE).import::<Receiver<u16>>(2).export::<Duplex<u8, u8>>(2);
    static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);
    let mut levels: Receiver<u16> = NODE.import("levels").unwrap();
    let mut talk: Duplex<u8, u8> = NODE.export("talk").unwrap();
    let mut nonces = CounterNonce::new(1, 1);
    for _ in 0..3 {
        let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
        let mut desk = Desk::new(NODE.line(&mut memory, who_counts(&mut nonces))).up();
        let id = desk.import("talk", OpenFlags::BOTH, pair("duplex", of::<u8>(), of::<u8>()));
        desk.until(|desk| {
            desk.peer.circuits[id].stage == Stage::Open && desk.open_import("levels").is_some()
        });
        let levels_id = desk.open_import("levels").unwrap();
        desk.peer.send(levels_id, encoded(&7_u16));
        desk.until(|_| levels.try_recv() == Ok(7));
        desk.peer.send(levels_id, encoded(&8_u16));
        desk.pass_ms(20);

        drop(desk);
        let dead = Dead::here(Reason::LinkLost);
        assert_eq!(levels.try_recv(), Ok(8), "what is whole is still received");
        assert_eq!(levels.try_recv(), Err(RecvError::Interrupted { dead, taken: 2 }));
        assert_eq!(levels.try_recv(), Err(RecvError::Empty));
        assert_eq!(talk.try_recv(), Err(RecvError::Left { dead: Some(dead) }));
        let cause = talk.try_send(1).unwrap_err().cause;
        assert!(matches!(cause, SendCause::Left { dead: told, .. } if told == dead), "{cause:?}");
    }
}

#[test]
fn a_board_that_has_slept_for_long_has_no_session_any_more() {
    let (_node, desk) = desk!(Config::new(LINE).export::<Sender<u32>>(2));
    let mut desk = desk.up();
    const DAY: u64 = 24 * 60;
    for minutes in
        [1, 10, 18, 20, 30, 36, 40, 50, 60, 70, 72, 90, 100, 143, DAY, 3 * DAY, 100 * DAY, 200 * DAY]
    {
        desk.pass_ms(100);
        desk.now += minutes * 60_000_000;
        let now = Instant::from_micros(desk.now);
        let (deadline, silence) = (desk.board.deadline(now), desk.board.silence(now));
        assert!(deadline <= now, "{minutes} min: it would sleep on until {deadline:?}, and it is {now:?}");
        assert!(
            silence >= Some(Duration::from_secs(60 * minutes.min(13) - 10)),
            "{minutes} min: {silence:?}"
        );
        let dead = Dead::here(Reason::Unresponsive);
        desk.board.drain(&mut [0; 8], now);
        assert_eq!((desk.board.is_up(), desk.board.ended()), (false, Some(dead)), "after {minutes} min");
        desk.start_peer();
        desk = desk.up();
    }
}

#[test]
fn a_board_that_has_slept_during_a_bring_up_says_hello_at_once() {
    for minutes in [14, 40, 50, 60, 71, 100] {
        let (_node, mut desk) = desk!(Config::new(LINE).export::<Sender<u32>>(2));
        // It has said its hello a few times, and nobody was there.
        for _ in 0..300 {
            desk.now += 1000;
            desk.board.drain(&mut [0; 64], Instant::from_micros(desk.now));
        }
        desk.now += minutes * 60_000_000;
        desk.start_peer();
        desk.up();
    }
}

#[test]
fn a_step_back_in_time_ends_no_session() {
    let (_node, desk) = desk!(Config::new(LINE).export::<Sender<u32>>(2));
    let mut desk = desk.up();
    // From one stretch of time, as the driver counts them, back into the one before.
    let border = ((desk.now >> 28) + 1) << 28;
    while desk.now < border + 5000 {
        desk.step();
    }
    desk.board.drain(&mut [0; 64], Instant::from_micros(border - 1));
    assert!(desk.board.is_up());
    desk.pass_ms(100);
    assert!(desk.board.is_up());
}

#[test]
fn more_silence_than_may_be_announced_counts_as_the_longest() {
    for announced in [30_000_u32, 30_001, 32_767, 32_768, 65_536, 1 << 27] {
        let (_node, desk) = desk!(Config::new(LINE).export::<Sender<u32>>(2));
        let mut desk = desk.up();
        let mut frame = vec![QUIET << 3];
        let mut rest = announced;
        while rest > 0x7f {
            frame.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        frame.push(rest as u8);
        desk.pass_ms(20);
        desk.put(&frame);
        desk.pass_ms(50);
        let heard = desk.now;
        while desk.board.is_up() && desk.now < heard + 60_000_000 {
            desk.now += 1000;
            desk.board.drain(&mut [0; 64], Instant::from_micros(desk.now));
        }
        let silent_ms = (desk.now - heard) / 1000;
        assert!(
            (30_000..34_000).contains(&silent_ms),
            "{announced} ms announced: given up after {silent_ms} ms"
        );
    }
}

#[test]
fn a_line_without_a_dead_time_does_not_die_at_once() {
    let (node, desk) = desk!(Config::new(LineConfig { dead_ms: 0, ..LINE }).export::<Sender<u32>>(2));
    let ticks: Sender<u32> = node.export("ticks").unwrap();
    let mut desk = desk.up();
    let id = desk.import("ticks", OpenFlags::RECEIVES, of::<u32>());
    for n in 0..100 {
        desk.until(|_| ticks.try_send(n).is_ok());
        let mut outcome = Outcome::Empty;
        desk.until(|desk| {
            outcome = desk.peer.take(id);
            outcome != Outcome::Empty
        });
        assert_eq!(outcome, Outcome::Value(encoded(&n)));
        desk.pass_ms(10);
    }
    assert_eq!(desk.board.ended(), None);
}

#[test]
fn a_delimiter_goes_before_the_first_packet_whatever_the_clock_shows() {
    const CONFIG: Config = Config::new(LINE).export::<Sender<u32>>(2);
    static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);
    let mut nonces = CounterNonce::new(1, 1);
    for minutes in 0..144 {
        let mut memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
        let mut line = NODE.line(&mut memory, who_counts(&mut nonces));
        let mut out = [0xee; 4];
        let now = Instant::from_micros(minutes * 60_000_000);
        assert_eq!(line.drain(&mut out, now), out.len(), "a hello is due");
        assert_eq!((out[0], out[1] == 0), (0, false), "after {minutes} min");
    }
}
