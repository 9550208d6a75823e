//! A board with two lines is one node.

use std::time::Duration;

use netchan::board::{
    Config, Driver, Duplex, ExportError, Identity, LineId, Memory, Node, Receiver, RecvError, SendCause,
    Sender,
};
use netchan::proto::{CounterNonce, LineConfig, Name};
use netchan::testing::{Clock, WireEnd, wire_at};

const LINE: LineConfig = LineConfig::uart(115_200, 2, 64, 2);
const WIDE: LineConfig = LineConfig::uart(115_200, 2, 120, 4);

/// Boards, each line of theirs at one end of a wire, and the time.
struct Desk {
    clock: Clock,
    lines: Vec<(Driver<'static>, WireEnd)>,
}

impl Desk {
    fn step(&mut self) {
        self.clock.pass(Duration::from_millis(1));
        let now = self.clock.now();
        for (line, uart) in &mut self.lines {
            let mut bytes = [0; 11];
            let n = uart.read(&mut bytes);
            line.feed(&bytes[..n], now);
            let n = line.drain(&mut bytes, now);
            uart.write(&bytes[..n]);
        }
    }

    /// Goes on until `done`, for ten seconds at most.
    #[track_caller]
    fn until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.clock.now() + Duration::from_secs(10);
        while !done(self) {
            assert!(self.clock.now() < end, "{:?}", self.lines);
            self.step();
        }
    }

    #[track_caller]
    fn recv<T: netchan::Message>(&mut self, end: &mut Receiver<T>) -> Result<T, RecvError> {
        let mut came = Err(RecvError::Empty);
        self.until(|_| {
            came = end.try_recv();
            !matches!(came, Err(RecvError::Empty))
        });
        came
    }
}

/// What a driver needs, for the rest of the test.
fn identity(name: &'static Name, nonce: u32) -> Identity<'static> {
    let nonces = Box::leak(Box::new(CounterNonce::new(nonce.into(), nonce)));
    Identity { name, uid: nonce.into(), boot: 1, nonces }
}

/// A board in the middle with these channels, and two others with theirs.
macro_rules! boards {
    ($middle:expr, $left:expr, $right:expr) => {{
        const MIDDLE: Config = $middle;
        const SECOND: Config = MIDDLE.over(WIDE);
        const LEFT: Config = $left;
        const RIGHT: Config = $right;
        static NODES: (
            Node<{ MIDDLE.channels() }, { MIDDLE.bytes() }>,
            Node<{ LEFT.channels() }, { LEFT.bytes() }>,
            Node<{ RIGHT.channels() }, { RIGHT.bytes() }>,
        ) = (Node::new(&MIDDLE), Node::new(&LEFT), Node::new(&RIGHT));
        let clock = Clock::manual();
        let (first, second) = (wire_at(&clock), wire_at(&clock));
        let memory = Box::leak(Box::new(Memory::<{ MIDDLE.line_bytes() }>::new(&MIDDLE)));
        let wide = Box::leak(Box::new(Memory::<{ SECOND.line_bytes() }>::new(&SECOND)));
        let left = Box::leak(Box::new(Memory::<{ LEFT.line_bytes() }>::new(&LEFT)));
        let right = Box::leak(Box::new(Memory::<{ RIGHT.line_bytes() }>::new(&RIGHT)));
        let name = |name: &'static str| -> &'static Name { Box::leak(Box::new(Name::new(name).unwrap())) };
        let lines = vec![
            (NODES.0.line(memory, identity(name("middle"), 1)), first.0),
            (NODES.0.second_line(wide, identity(name("middle"), 2)), second.0),
            (NODES.1.line(left, identity(name("left"), 3)), first.1),
            (NODES.2.line(right, identity(name("right"), 4)), second.1),
        ];
        (&NODES.0, &NODES.1, &NODES.2, Desk { clock, lines })
    }};
}

#[test]
fn each_export_is_there_over_both_lines_and_each_import_is_of_its_own() {
    let (middle, left, right, mut desk) = boards!(
        Config::new(LINE)
            .export::<Sender<u32>>(2)
            .export::<Duplex<u8, u8>>(2)
            .import::<Receiver<u16>>(2)
            .import::<Receiver<u16>>(2),
        Config::new(LINE).export::<Sender<u16>>(2).import::<Receiver<u32>>(2),
        Config::new(WIDE).export::<Sender<u16>>(2).import::<Duplex<u8, u8>>(2)
    );
    let numbers: Sender<u32> = middle.export("numbers").unwrap();
    let mut echo: Duplex<u8, u8> = middle.export("echo").unwrap();
    let mut from_left: Receiver<u16> = middle.import("level").unwrap();
    let mut from_right: Receiver<u16> = middle.import_from(LineId::Second, "height", 2).unwrap();
    let level: Sender<u16> = left.export("level").unwrap();
    let height: Sender<u16> = right.export("height").unwrap();
    let mut to_left: Receiver<u32> = left.import("numbers").unwrap();
    let mut talk: Duplex<u8, u8> = right.import("echo").unwrap();
    let (mut sent, mut took, mut asked, mut told, mut levels, mut heights) = (0, 0, 0, 0, 0, 0);
    // Nobody of them waits for another.
    desk.until(|_| {
        sent += u32::from(numbers.try_send(sent).is_ok());
        if let Ok(n) = to_left.try_recv() {
            assert_eq!(n, took);
            took += 1;
        }
        asked += u8::from(asked < 200 && talk.try_send(asked).is_ok());
        if let Ok(byte) = echo.try_recv() {
            echo.try_send(byte).unwrap();
        }
        if let Ok(byte) = talk.try_recv() {
            assert_eq!(byte, told);
            told += 1;
        }
        let _ = (level.try_send(1), height.try_send(2));
        levels += u32::from(from_left.try_recv() == Ok(1));
        heights += u32::from(from_right.try_recv() == Ok(2));
        took >= 200 && told >= 200 && levels > 100 && heights > 100
    });
}

#[test]
fn the_imports_of_one_line_take_no_place_on_the_other() {
    // A board has places for as many circuits as it exports, and one more.
    let (middle, left, right, mut desk) = boards!(
        Config::new(LINE)
            .import::<Receiver<u16>>(2)
            .import::<Receiver<u16>>(2)
            .import::<Receiver<u16>>(2)
            .import::<Receiver<u16>>(2),
        Config::new(LINE).export::<Sender<u16>>(2).export::<Sender<u16>>(2).export::<Sender<u16>>(2),
        Config::new(WIDE).export::<Sender<u16>>(2)
    );
    let mut from_left = ["a", "b", "c"].map(|name| middle.import::<Receiver<u16>>(name).unwrap());
    let mut from_right: Receiver<u16> = middle.import_from(LineId::Second, "d", 2).unwrap();
    let to_middle = ["a", "b", "c"].map(|name| left.export::<Sender<u16>>(name).unwrap());
    let last: Sender<u16> = right.export("d").unwrap();
    for (sender, receiver) in to_middle.iter().zip(&mut from_left) {
        desk.until(|_| sender.try_send(1).is_ok());
        assert_eq!(desk.recv(receiver), Ok(1));
    }
    desk.until(|_| last.try_send(2).is_ok());
    assert_eq!(desk.recv(&mut from_right), Ok(2));
    // A place that is free again stays with its line.
    drop(from_right);
    let mut again = None;
    desk.until(|_| {
        again = middle.import_from::<Receiver<u16>>(LineId::Second, "d", 2).ok();
        again.is_some()
    });
    desk.until(|_| last.try_send(3).is_ok());
    assert_eq!(desk.recv(again.as_mut().unwrap()), Ok(3));
    assert_eq!(middle.import::<Receiver<u16>>("e").unwrap_err(), ExportError::Full);
}

#[test]
fn an_export_has_one_importer_at_a_time_whichever_line_he_is_on() {
    let (middle, left, right, mut desk) = boards!(
        Config::new(LINE).export::<Sender<u32>>(2),
        Config::new(LINE).import::<Receiver<u32>>(2),
        Config::new(WIDE).import::<Receiver<u32>>(2)
    );
    let numbers: Sender<u32> = middle.export("numbers").unwrap();
    let mut to_left: Receiver<u32> = left.import("numbers").unwrap();
    desk.until(|_| numbers.try_send(1).is_ok());
    let mut to_right: Receiver<u32> = right.import("numbers").unwrap();
    for _ in 0..500 {
        desk.step();
    }
    assert_eq!(to_right.try_recv(), Err(RecvError::Empty));
    assert_eq!(desk.recv(&mut to_left), Ok(1));
    drop(to_left);
    let mut cause = None;
    desk.until(|_| {
        cause = numbers.try_send(2).err().map(|error| error.cause).filter(|cause| *cause != SendCause::Full);
        cause.is_some()
    });
    assert!(matches!(cause, Some(SendCause::Left { .. })), "{cause:?}");
    desk.until(|_| numbers.try_send(3).is_ok());
    assert_eq!(desk.recv(&mut to_right), Ok(3));
}

#[test]
fn a_line_that_is_lost_takes_nothing_of_the_other_along() {
    let (middle, left, right, mut desk) = boards!(
        Config::new(LINE)
            .export::<Receiver<u32>>(2)
            .export::<Sender<u32>>(2)
            .import::<Receiver<u16>>(2)
            .import::<Receiver<u16>>(2),
        Config::new(LINE).export::<Sender<u16>>(2).import::<Sender<u32>>(2),
        Config::new(WIDE).export::<Sender<u16>>(2).import::<Receiver<u32>>(2)
    );
    let mut orders: Receiver<u32> = middle.export("orders").unwrap();
    let numbers: Sender<u32> = middle.export("numbers").unwrap();
    let mut from_left: Receiver<u16> = middle.import("level").unwrap();
    let mut from_right: Receiver<u16> = middle.import_from(LineId::Second, "height", 2).unwrap();
    let level: Sender<u16> = left.export("level").unwrap();
    let height: Sender<u16> = right.export("height").unwrap();
    let order: Sender<u32> = left.import("orders").unwrap();
    let mut to_right: Receiver<u32> = right.import("numbers").unwrap();
    desk.until(|_| order.try_send(1).is_ok());
    desk.until(|_| level.try_send(1).is_ok());
    assert_eq!((desk.recv(&mut orders), desk.recv(&mut from_left)), (Ok(1), Ok(1)));

    desk.lines[0].1.unplug();
    let (mut next, mut sent) = (0, 0);
    let (mut told, mut left_it, mut heights) = (None, None, 0);
    for _ in 0..4_000 {
        desk.step();
        next += u32::from(numbers.try_send(next).is_ok());
        match to_right.try_recv() {
            Ok(n) => {
                assert_eq!(n, sent);
                sent += 1;
            }
            Err(error) => assert_eq!(error, RecvError::Empty),
        }
        let _ = height.try_send(7);
        match from_right.try_recv() {
            Ok(_) => heights += 1,
            Err(error) => assert_eq!(error, RecvError::Empty),
        }
        told = told.or_else(|| from_left.try_recv().err().filter(|error| *error != RecvError::Empty));
        left_it = left_it.or_else(|| orders.try_recv().err().filter(|error| *error != RecvError::Empty));
    }
    assert!(sent > 100 && heights > 100, "{sent} {heights}");
    assert!(matches!(told, Some(RecvError::Interrupted { .. })), "{told:?}");
    assert!(matches!(left_it, Some(RecvError::Left { dead: Some(_) })), "{left_it:?}");
    // And what is lost comes back.
    desk.lines[0].1.plug_in();
    desk.until(|_| level.try_send(5).is_ok());
    assert_eq!(desk.recv(&mut from_left), Ok(5));
}
