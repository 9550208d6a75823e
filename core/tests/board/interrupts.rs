//! What an interrupt does to an end while the driver is at its channel: it comes behind each critical section in turn.

use std::cell::RefCell;
use std::rc::Rc;

use netchan::Blob;
use netchan::board::{Config, Duplex, Latest, Memory, Node, Receiver, RecvError, SendCause, Sender};
use netchan::proto::{Dead, OpenFlags, Reason};
use netchan::testing::{Outcome, Stage, interrupt_after, is_interrupt_due};

use crate::desk::{Desk, LINE, encoded, of, pair, who};

/// More than is copied in one critical section.
type Long = Blob<50>;

/// A board that is made anew for each turn of a test.
macro_rules! board {
    ($config:expr) => {{
        const CONFIG: Config = $config;
        let node = &*Box::leak(Box::new(Node::<{ CONFIG.channels() }, { CONFIG.bytes() }>::new(&CONFIG)));
        let memory = Box::leak(Box::new(Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG)));
        (node, Desk::new(node.line(memory, who())))
    }};
}

fn long(byte: u8) -> Long {
    Long::try_from(&[byte; 50][..]).unwrap()
}

/// Runs `case` with interrupts that come later each time, until one does not come in its time any more.
fn at_each_section(mut case: impl FnMut(u32)) {
    let mut sections = 0;
    loop {
        case(sections);
        if is_interrupt_due() {
            break;
        }
        sections += 1;
    }
    interrupt_after(0, || ());
    assert!(sections > 50, "only {sections} critical sections");
}

/// A conversation on which the board has two messages to say, which are copied in two parts each.
fn conversation() -> (Duplex<u8, Long>, Desk<'static>, usize) {
    let (node, desk) = board!(Config::new(LINE).export::<Duplex<u8, Long>>(2));
    let end: Duplex<u8, Long> = node.export("talk").unwrap();
    let mut desk = desk.up();
    let id = desk.import("talk", OpenFlags::BOTH, pair("duplex", of::<Long>(), of::<u8>()));
    desk.until(|desk| desk.peer.circuits[id].stage == Stage::Open);
    desk.until(|_| end.try_send(long(1)).is_ok());
    end.try_send(long(2)).unwrap();
    (end, desk, id)
}

/// What the peer is told: whole messages in order, and then why there are no more.
#[track_caller]
fn is_told(desk: &mut Desk<'_>, id: usize, reason: Reason) {
    let mut seen = Vec::new();
    let mut dead = None;
    desk.until(|desk| {
        match desk.peer.take(id) {
            Outcome::Value(bytes) => seen.push(bytes),
            Outcome::Empty => {}
            Outcome::Dead(told) => dead = Some(told),
            Outcome::Closed => panic!("it was given up"),
            _ => panic!("no other outcome is known"),
        }
        dead.is_some()
    });
    let said = [long(1), long(2)].map(|value| encoded(&value));
    assert_eq!(seen, said[..seen.len()]);
    assert_eq!(dead, Some(Dead::peer(reason)));
}

#[test]
fn a_conversation_that_is_dropped_while_it_is_written_alters_no_message() {
    at_each_section(|sections| {
        let (end, mut desk, id) = conversation();
        interrupt_after(sections, move || drop(end));
        desk.pass_ms(40);
        if !is_interrupt_due() {
            is_told(&mut desk, id, Reason::HungUp);
        }
        assert!(desk.board.is_up());
    });
}

#[test]
fn a_value_that_does_not_decode_while_another_is_written_alters_no_message() {
    at_each_section(|sections| {
        let (node, desk) = board!(Config::new(LINE).export::<Duplex<bool, Long>>(2));
        let end: Rc<RefCell<Duplex<bool, Long>>> = Rc::new(RefCell::new(node.export("talk").unwrap()));
        let mut desk = desk.up();
        let id = desk.import("talk", OpenFlags::BOTH, pair("duplex", of::<Long>(), of::<bool>()));
        desk.until(|desk| desk.peer.circuits[id].stage == Stage::Open);
        desk.peer.send(id, vec![7]);
        desk.pass_ms(40);
        end.borrow().try_send(long(1)).unwrap();
        end.borrow().try_send(long(2)).unwrap();
        let theirs = Rc::clone(&end);
        interrupt_after(sections, move || {
            assert!(matches!(theirs.borrow_mut().try_recv(), Err(RecvError::Decode(_))));
        });
        desk.pass_ms(40);
        if !is_interrupt_due() {
            is_told(&mut desk, id, Reason::DecodeFailed);
        }
        assert!(desk.board.is_up());
    });
}

#[test]
fn a_receiver_that_is_dropped_while_a_message_comes_in_hangs_up() {
    at_each_section(|sections| {
        let (node, desk) = board!(Config::new(LINE).export::<Receiver<Long>>(2));
        let end: Receiver<Long> = node.export("load").unwrap();
        let mut desk = desk.up();
        let id = desk.import("load", OpenFlags::SENDS, of::<Long>());
        desk.until(|desk| desk.peer.circuits[id].stage == Stage::Open);
        for n in 1..4 {
            desk.peer.send(id, encoded(&long(n)));
        }
        interrupt_after(sections, move || drop(end));
        desk.pass_ms(40);
        if !is_interrupt_due() {
            desk.until(|desk| desk.peer.circuits[id].dead == Some(Dead::peer(Reason::HungUp)));
            // What has come in part is gone, and its place with it.
            let mut end: Receiver<Long> = node.export("load").unwrap();
            let id = desk.import("load", OpenFlags::SENDS, of::<Long>());
            for n in 4..7 {
                desk.peer.send(id, encoded(&long(n)));
                let mut value = Err(RecvError::Empty);
                desk.until(|_| {
                    value = end.try_recv();
                    value != Err(RecvError::Empty)
                });
                assert_eq!(value, Ok(long(n)));
            }
        }
        assert!(desk.board.is_up());
    });
}

#[test]
fn an_import_that_is_dropped_while_it_is_opened_leaves_its_place_to_another() {
    at_each_section(|sections| {
        let (node, desk) = board!(Config::new(LINE).import::<Receiver<u8>>(2));
        let end: Receiver<u8> = node.import("levels").unwrap();
        let mut desk = desk;
        interrupt_after(sections, move || drop(end));
        desk.until(|desk| desk.board.is_up() && desk.peer.port.is_up());
        desk.pass_ms(60);
        if !is_interrupt_due() {
            let mut other = None;
            desk.until(|_| {
                other = node.import::<Receiver<u8>>("others").ok();
                other.is_some()
            });
            let mut end = other.unwrap();
            desk.until(|desk| desk.open_import("others").is_some());
            let id = desk.open_import("others").unwrap();
            desk.peer.send(id, encoded(&7_u8));
            desk.until(|_| end.try_recv() == Ok(7));
        }
        assert!(desk.board.is_up());
    });
}

/// What only asks is interrupted as well, and what is told of an end: an interrupt comes between any two sections.
#[test]
fn an_interrupt_comes_behind_what_only_asks_too() {
    #[track_caller]
    fn sections(of: impl FnOnce()) -> u32 {
        const MANY: u32 = 100;
        let count = Rc::new(RefCell::new(0));
        fn again(count: &Rc<RefCell<u32>>) {
            let own = Rc::clone(count);
            interrupt_after(0, move || {
                *own.borrow_mut() += 1;
                if *own.borrow() < MANY {
                    again(&own);
                }
            });
        }
        again(&count);
        of();
        interrupt_after(u32::MAX, || ());
        let count = *count.borrow();
        assert!(count < MANY);
        count
    }

    let (node, desk) = board!(Config::new(LINE).export::<Latest<u32>>(1).export::<Sender<u8>>(2));
    let latest: Latest<u32> = node.export("latest").unwrap();
    let sender: Sender<u8> = node.export("sender").unwrap();
    let mut desk = desk.up();
    let id = desk.import("sender", OpenFlags::RECEIVES, of::<u8>());
    desk.until(|desk| desk.peer.circuits[id].stage == Stage::Open);
    desk.until(|_| sender.try_send(1).is_ok());
    desk.pass_ms(100);
    assert_eq!(sections(|| _ = latest.account()), 1);
    assert!(sections(|| _ = desk.board.has_unsent()) >= 2, "one for each channel");
    desk.peer.kill(id, Reason::HungUp);
    desk.pass_ms(500);
    let mut cause = None;
    let told = sections(|| cause = sender.try_send(2).err().map(|error| error.cause));
    assert!(matches!(cause, Some(SendCause::Left { .. })), "{cause:?}");
    assert!(told >= 2, "one that sends, and one in which is told why not");
}
