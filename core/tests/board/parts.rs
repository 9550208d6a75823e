//! Messages that ends copy in parts: an interrupt comes behind each critical section of an end, and does to the same channel whatever
//! may be done to it. No message is ever seen in part, or put together of two.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use netchan::Blob;
use netchan::board::{
    Config, ExportError, Latest, Memory, Node, Receiver, RecvError, Request, SendCause, Sender, Server, Watch,
};
use netchan::proto::{Dead, OpenFlags, Reason};
use netchan::testing::{Outcome, Stage, interrupt_after, is_interrupt_due};

use crate::desk::{Desk, LINE, encoded, of, pair, who};

/// The number of the link's goodbye.
const GOODBYE: u8 = 3;

/// Of several parts.
type Long = Blob<500>;

/// Critical sections that one takes at least.
const PARTS: u32 = 8;

/// A board that is made anew for each turn of a test, and that an interrupt may run.
macro_rules! board {
    ($config:expr) => {{
        const CONFIG: Config = $config;
        let node = &*Box::leak(Box::new(Node::<{ CONFIG.channels() }, { CONFIG.bytes() }>::new(&CONFIG)));
        let memory = Box::leak(Box::new(Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG)));
        let mut desk = Desk::new(node.line(memory, who())).up();
        (desk.peer.window, desk.peer.limit) = (4096, 600);
        (node, Rc::new(RefCell::new(desk)))
    }};
}

type Shared = Rc<RefCell<Desk<'static>>>;

fn long(byte: u8) -> Long {
    Long::try_from(&[byte; 500][..]).unwrap()
}

/// Does something, with an interrupt behind so many of its critical sections: what came of it, and whether there were so many.
fn interrupted<R>(sections: u32, handler: impl FnOnce() + 'static, work: impl FnOnce() -> R) -> (R, bool) {
    interrupt_after(sections, handler);
    let result = work();
    let came = !is_interrupt_due();
    interrupt_after(u32::MAX, || ());
    (result, came)
}

/// Runs `case` with an interrupt that comes later each time, until it says that it has not come: after how many sections.
fn at_each_section(least: u32, mut case: impl FnMut(u32) -> bool) {
    let mut sections = 0;
    while case(sections) {
        sections += 1;
    }
    assert!(sections >= least, "only {sections} critical sections");
}

/// The peer imports a channel, and its circuit is open.
fn import(desk: &Shared, name: &str, flags: OpenFlags, fingerprint: u64) -> usize {
    let mut desk = desk.borrow_mut();
    let id = desk.import(name, flags, fingerprint);
    desk.until(|desk| desk.peer.circuits[id].stage == Stage::Open);
    id
}

/// All that the peer has been told on a circuit by now, or is within this time.
fn told(desk: &Shared, id: usize, millis: u64) -> Vec<Vec<u8>> {
    let mut desk = desk.borrow_mut();
    let mut told = Vec::new();
    for _ in 0..millis {
        desk.step();
        if let Outcome::Value(value) = desk.peer.take(id) {
            told.push(value);
        }
    }
    told
}

#[test]
fn who_sends_while_another_one_is_sending_comes_behind_it() {
    at_each_section(PARTS, |sections| {
        let (node, desk) = board!(Config::new(LINE).export::<Sender<Long>>(2));
        let sender: &Sender<Long> = Box::leak(Box::new(node.export("out").unwrap()));
        let id = import(&desk, "out", OpenFlags::RECEIVES, of::<Long>());
        let (theirs, seen) = (Rc::clone(&desk), Rc::new(RefCell::new(Vec::new())));
        let by_interrupt = Rc::clone(&seen);
        let handler = move || {
            sender.try_send(long(2)).unwrap();
            *by_interrupt.borrow_mut() = told(&theirs, id, 150);
        };
        let ((), came) = interrupted(sections, handler, || sender.try_send(long(1)).unwrap());
        if !came {
            return false;
        }
        let mut all = seen.take();
        assert!(sections >= PARTS - 1 || all.is_empty(), "nothing of a message that is not whole");
        all.append(&mut told(&desk, id, 300));
        assert_eq!(all, [encoded(&long(1)), encoded(&long(2))]);
        assert_eq!(sender.account().unsent, 0);
        true
    });
}

#[test]
fn room_that_a_message_has_taken_is_not_given_twice() {
    at_each_section(PARTS, |sections| {
        let (node, desk) = board!(Config::new(LINE).export::<Sender<Long>>(1));
        let sender: &Sender<Long> = Box::leak(Box::new(node.export_with("out", 1).unwrap()));
        let id = import(&desk, "out", OpenFlags::RECEIVES, of::<Long>());
        let handler = move || assert!(sender.try_send(long(2)).is_err());
        let ((), came) = interrupted(sections, handler, || sender.try_send(long(1)).unwrap());
        assert_eq!(told(&desk, id, 150), [encoded(&long(1))]);
        came
    });
}

#[test]
fn a_message_whose_importer_leaves_while_it_is_put_does_not_reach_the_next() {
    at_each_section(PARTS, |sections| {
        let (node, desk) = board!(Config::new(LINE).export::<Sender<Long>>(2));
        let sender: &Sender<Long> = Box::leak(Box::new(node.export("out").unwrap()));
        let first = import(&desk, "out", OpenFlags::RECEIVES, of::<Long>());
        let (theirs, next) = (Rc::clone(&desk), Rc::new(Cell::new(None)));
        let by_interrupt = Rc::clone(&next);
        let handler = move || {
            theirs.borrow_mut().peer.kill(first, Reason::HungUp);
            theirs.borrow_mut().pass_ms(20);
            let id = import(&theirs, "out", OpenFlags::RECEIVES, of::<Long>());
            let left = sender.try_send(long(3)).unwrap_err().cause;
            // The message in the midst of which that came has not been sent, as one that was put just before would not have been.
            let SendCause::Left { account, .. } = left else { panic!("{left:?}") };
            let is_whole = sections >= PARTS - 1;
            assert_eq!((account.in_doubt, account.unsent), if is_whole { (1, 0) } else { (0, 1) });
            sender.try_send(long(3)).unwrap();
            by_interrupt.set(Some(id));
        };
        let ((), came) = interrupted(sections, handler, || sender.try_send(long(1)).unwrap());
        if !came {
            return false;
        }
        sender.try_send(long(4)).unwrap();
        let id = next.take().unwrap();
        assert_eq!(told(&desk, id, 300), [encoded(&long(3)), encoded(&long(4))]);
        true
    });
}

#[test]
fn a_newer_value_that_is_set_while_an_older_one_is_put_is_the_one_that_arrives() {
    at_each_section(PARTS, |sections| {
        let (node, desk) = board!(Config::new(LINE).export::<Latest<Long>>(1));
        let latest: &Latest<Long> = Box::leak(Box::new(node.export_with("level", 1).unwrap()));
        latest.set(&long(1)).unwrap();
        let kind = OpenFlags::RECEIVES.with(OpenFlags::LATEST);
        let id = import(&desk, "level", kind, of::<Long>());
        assert_eq!(told(&desk, id, 150), [encoded(&long(1))]);
        let theirs = Rc::clone(&desk);
        let seen = Rc::new(RefCell::new(Vec::new()));
        let by_interrupt = Rc::clone(&seen);
        let handler = move || {
            latest.set(&long(3)).unwrap();
            *by_interrupt.borrow_mut() = told(&theirs, id, 30);
            latest.set(&long(4)).unwrap();
        };
        let (set, came) = interrupted(sections, handler, || latest.set(&long(2)));
        set.unwrap();
        if !came {
            return false;
        }
        let mut all = seen.take();
        all.append(&mut told(&desk, id, 300));
        assert_eq!(all.last(), Some(&encoded(&long(4))));
        let values = [2, 3, 4].map(|byte| encoded(&long(byte)));
        assert!(all.iter().all(|value| values.contains(value)), "{all:?}");
        // The older value was begun before: what was not sent of these three was replaced.
        assert_eq!(latest.account().dropped as usize, 3 - all.len());
        true
    });
}

#[test]
fn a_newer_value_that_comes_while_an_older_one_is_taken_takes_its_place() {
    at_each_section(PARTS, |sections| {
        let (node, desk) = board!(Config::new(LINE).export::<Watch<Long>>(1));
        let mut watch: Watch<Long> = node.export_with("level", 1).unwrap();
        let id = import(&desk, "level", OpenFlags::SENDS.with(OpenFlags::LATEST), of::<Long>());
        desk.borrow_mut().peer.send(id, encoded(&long(1)));
        desk.borrow_mut().pass_ms(100);
        let theirs = Rc::clone(&desk);
        let handler = move || {
            theirs.borrow_mut().peer.send(id, encoded(&long(2)));
            theirs.borrow_mut().pass_ms(100);
        };
        let (first, came) = interrupted(sections, handler, || watch.try_changed());
        let first = first.unwrap();
        if !came {
            assert_eq!(first, long(1));
            return false;
        }
        let second = watch.try_changed();
        if first == long(1) {
            assert_eq!(second, Ok(long(2)));
        } else {
            assert_eq!((first, second), (long(2), Err(RecvError::Empty)));
        }
        true
    });
}

#[test]
fn what_comes_while_a_message_is_taken_stands_behind_it() {
    at_each_section(PARTS, |sections| {
        let (node, desk) = board!(Config::new(LINE).export::<Receiver<Long>>(2));
        let mut receiver: Receiver<Long> = node.export("in").unwrap();
        let id = import(&desk, "in", OpenFlags::SENDS, of::<Long>());
        for byte in 1..=4 {
            desk.borrow_mut().peer.send(id, encoded(&long(byte)));
        }
        desk.borrow_mut().pass_ms(80);
        let theirs = Rc::clone(&desk);
        let handler = move || theirs.borrow_mut().pass_ms(100);
        let (first, came) = interrupted(sections, handler, || receiver.try_recv());
        assert_eq!(first, Ok(long(1)));
        for byte in 2..=4 {
            let mut value = Err(RecvError::Empty);
            while value == Err(RecvError::Empty) {
                value = receiver.try_recv();
                desk.borrow_mut().step();
            }
            assert_eq!(value, Ok(long(byte)));
        }
        came
    });
}

#[test]
fn a_message_that_is_taken_while_its_session_ends_is_whole() {
    at_each_section(PARTS, |sections| {
        let (node, desk) = board!(Config::new(LINE).export::<Receiver<Long>>(2));
        let mut receiver: Receiver<Long> = node.export("in").unwrap();
        let id = import(&desk, "in", OpenFlags::SENDS, of::<Long>());
        desk.borrow_mut().peer.send(id, encoded(&long(1)));
        desk.borrow_mut().pass_ms(80);
        desk.borrow_mut().peer.send(id, encoded(&long(2)));
        // Of the second there is a part.
        desk.borrow_mut().pass_ms(20);
        let theirs = Rc::clone(&desk);
        let handler = move || {
            let mut desk = theirs.borrow_mut();
            desk.put(&[GOODBYE << 3, Reason::Shutdown.get()]);
            desk.until(|desk| !desk.board.is_up());
        };
        let (first, came) = interrupted(sections, handler, || receiver.try_recv());
        assert_eq!(first, Ok(long(1)));
        if came {
            assert_eq!(
                receiver.try_recv(),
                Err(RecvError::Left { dead: Some(Dead::peer(Reason::Shutdown)) })
            );
        }
        came
    });
}

const CALLS: OpenFlags = OpenFlags::BOTH.with(OpenFlags::CALLS);

fn request(id: u8, byte: u8) -> Vec<u8> {
    [&[id, 0, 0][..], &encoded(&long(byte))].concat()
}

#[test]
fn a_request_whose_caller_is_gone_while_it_is_taken_is_not_mixed_with_that_of_the_next() {
    at_each_section(PARTS, |sections| {
        let (node, desk) = board!(Config::new(LINE).export::<Server<Long, u8>>(2));
        let mut server: Server<Long, u8> = node.export("method").unwrap();
        let fingerprint = pair("call", of::<u8>(), of::<Long>());
        let first = import(&desk, "method", CALLS, fingerprint);
        desk.borrow_mut().peer.send(first, request(1, 1));
        desk.borrow_mut().pass_ms(100);
        let (theirs, next) = (Rc::clone(&desk), Rc::new(Cell::new(None)));
        let by_interrupt = Rc::clone(&next);
        let handler = move || {
            theirs.borrow_mut().peer.kill(first, Reason::Cancelled);
            theirs.borrow_mut().pass_ms(20);
            let id = import(&theirs, "method", CALLS, fingerprint);
            for n in 2..5 {
                theirs.borrow_mut().peer.send(id, request(n, n));
            }
            theirs.borrow_mut().pass_ms(100);
            by_interrupt.set(Some(id));
        };
        let (taken, came) = interrupted(sections, handler, || server.try_recv());
        let taken = taken.unwrap();
        let Some(id) = next.take() else {
            assert!(!came && *taken == long(1));
            return false;
        };
        let byte = (1..=2).find(|byte| *taken == long(*byte)).expect("one of the two");
        let reply = taken.reply(byte);
        assert_eq!(reply.is_ok(), byte == 2, "to whom it belongs");
        // Room was kept for what is asked now, and for nothing else.
        for n in byte + 1..5 {
            let mut taken = server.try_recv();
            while taken.is_err() {
                desk.borrow_mut().step();
                taken = server.try_recv();
            }
            assert_eq!(*taken.as_deref().unwrap(), long(n));
            taken.unwrap().reply(n).unwrap();
        }
        assert_eq!(told(&desk, id, 100), [2, 3, 4].map(|n| vec![n, 0, n]));
        true
    });
}

#[test]
fn who_replies_while_another_one_replies_comes_behind_it() {
    at_each_section(PARTS, |sections| {
        let (node, desk) = board!(Config::new(LINE).export::<Server<u8, Long>>(2));
        let mut server: Server<u8, Long> = node.export("method").unwrap();
        let id = import(&desk, "method", CALLS, pair("call", of::<Long>(), of::<u8>()));
        for n in 1..=3 {
            desk.borrow_mut().peer.send(id, vec![n, 0, 0, n]);
        }
        desk.borrow_mut().pass_ms(40);
        let (first, second): (Request<u8, Long>, _) =
            (server.try_recv().unwrap(), server.try_recv().unwrap());
        assert_eq!(server.try_recv().unwrap_err(), RecvError::Empty, "no room for a third reply");
        let theirs = Rc::clone(&desk);
        let handler = move || {
            second.reply(long(2)).unwrap();
            theirs.borrow_mut().pass_ms(30);
        };
        let ((), came) = interrupted(sections, handler, || first.reply(long(1)).unwrap());
        if came {
            let reply = |n| [&[n, 0][..], &encoded(&long(n))].concat();
            assert_eq!(told(&desk, id, 300), [reply(1), reply(2)]);
        }
        came
    });
}

#[test]
fn of_two_that_export_a_name_one_gets_it() {
    at_each_section(3, |sections| {
        let (node, desk) = board!(Config::new(LINE).export::<Sender<u8>>(2).export::<Sender<u8>>(2));
        let theirs = Rc::new(RefCell::new(None));
        let by_interrupt = Rc::clone(&theirs);
        let handler = move || *by_interrupt.borrow_mut() = Some(node.export::<Sender<u8>>("out"));
        let (ours, came) = interrupted(sections, handler, || node.export::<Sender<u8>>("out"));
        if !came {
            return false;
        }
        let theirs = theirs.take().unwrap();
        let [error] =
            [ours.as_ref().err(), theirs.as_ref().err()].into_iter().flatten().collect::<Vec<_>>()[..]
        else {
            panic!("{ours:?} {theirs:?}");
        };
        assert_eq!(*error, ExportError::Taken);
        // There is one channel of that name, and one place more.
        assert!(node.export::<Sender<u8>>("other").is_ok());
        let id = import(&desk, "out", OpenFlags::RECEIVES, of::<u8>());
        ours.or(theirs).unwrap().try_send(7).unwrap();
        assert_eq!(desk.borrow_mut().take(id), [7]);
        true
    });
}

#[test]
fn two_that_export_at_a_time_get_a_channel_each() {
    at_each_section(3, |sections| {
        let (node, desk) = board!(
            Config::new(LINE).export::<Sender<u8>>(2).export::<Receiver<u16>>(3).export::<Sender<u8>>(2)
        );
        let theirs = Rc::new(RefCell::new(None));
        let by_interrupt = Rc::clone(&theirs);
        let handler = move || *by_interrupt.borrow_mut() = node.export::<Sender<u8>>("theirs").ok();
        let (ours, came) = interrupted(sections, handler, || node.export::<Sender<u8>>("ours"));
        if !came {
            return false;
        }
        let ours = ours.unwrap();
        let theirs = theirs.take().unwrap();
        let mut input: Receiver<u16> = node.export_with("in", 3).unwrap();
        assert_eq!(node.export::<Sender<u8>>("more").unwrap_err(), ExportError::Full);
        let ids = ["ours", "theirs"].map(|name| import(&desk, name, OpenFlags::RECEIVES, of::<u8>()));
        let id = import(&desk, "in", OpenFlags::SENDS, of::<u16>());
        ours.try_send(1).unwrap();
        theirs.try_send(2).unwrap();
        desk.borrow_mut().peer.send(id, encoded(&300_u16));
        assert_eq!(ids.map(|id| desk.borrow_mut().take(id)), [[1], [2]]);
        desk.borrow_mut().until(|_| input.try_recv() == Ok(300));
        true
    });
}

#[test]
fn an_open_for_an_export_that_is_dropped_meanwhile_reaches_no_other_one() {
    at_each_section(PARTS, |sections| {
        let (node, desk) = board!(Config::new(LINE).export::<Sender<u16>>(2));
        let old: Sender<u16> = node.export("old").unwrap();
        let id = desk.borrow_mut().import("old", OpenFlags::RECEIVES, of::<u16>());
        let new = Rc::new(RefCell::new(None));
        let by_interrupt = Rc::clone(&new);
        let handler = move || {
            drop(old);
            // In the same place, of another type.
            *by_interrupt.borrow_mut() = node.export::<Sender<i16>>("new").ok();
        };
        let ((), came) = interrupted(sections, handler, || desk.borrow_mut().pass_ms(40));
        if let Some(new) = new.take() {
            desk.borrow_mut().pass_ms(40);
            assert_ne!(desk.borrow().peer.circuits[id].stage, Stage::Open, "it is not of that type");
            assert!(new.try_send(-1).is_err());
        }
        came
    });
}
