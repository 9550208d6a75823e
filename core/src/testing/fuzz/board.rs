//! A board, and a peer that says what no link would say.

use alloc::vec;
use alloc::vec::Vec;
use std::sync::{Mutex, PoisonError};

use crate::board::{
    Client, Config, Driver, Duplex, Identity, Latest, Memory, Node, Receiver, RecvError, SendCause, Sender,
    Server, Watch,
};
use crate::message::{Message, Shape};
use crate::proto::{CounterNonce, Fingerprints, Instant, LineConfig, LinkConfig, Name, Open, OpenFlags};
use crate::testing::{Node as Peer, Outcome, Port, Stage, identity};
use crate::{Blob, Fingerprint};

const LINE: LineConfig = LineConfig::uart(115_200, 2, 64, 2);
const CONFIG: Config = Config::new(LINE)
    .export::<Duplex<u32, u32>>(2)
    .export::<Server<u32, u32>>(2)
    .export::<Latest<u32>>(1)
    .export::<Sender<Long>>(2)
    .export::<Receiver<Long>>(2)
    .import::<Client<u32, u32>>(2)
    .import::<Watch<u32>>(1)
    .import::<Receiver<u32>>(2)
    .import::<Sender<u32>>(2);
/// Longer than a packet.
type Long = Blob<90>;

const NAME: Name = Name::literal("board");
static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);
/// Who has the node.
static TURN: Mutex<()> = Mutex::new(());

/// Whatever a peer says, in whole packets and over several sessions, the board does not panic, and makes a session with the
/// next peer, which is an honest one: its values arrive, each once and unaltered, in both directions.
///
/// # Panics
///
/// When it is not so.
pub fn board(data: &[u8]) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut nonces, mut memory) = (CounterNonce::new(1, 1), Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG));
    let identity = Identity { name: &NAME, uid: 1, boot: 1, nonces: &mut nonces };
    let mut desk = Desk::new(NODE.line(&mut memory, identity));
    let mut ends = Ends::new();
    desk.begin();
    let mut rest = data.iter();
    let mut n = 0_u8;
    while let Some(&op) = rest.next() {
        n = n.wrapping_add(1);
        match (op % 8, usize::from(op >> 3)) {
            (0, _) => desk.begin(),
            (1, which) => {
                desk.open(which);
            }
            (2, turns) => (0..turns).for_each(|_| desk.turn()),
            (3, which) => ends.act(which, n),
            _ => {
                let len = rest.next().map_or(0, |len| usize::from(len % 40));
                let frame: Vec<u8> = rest.by_ref().take(len).copied().collect();
                desk.put(&frame);
            }
        }
        desk.turn();
        if !desk.board.is_up() {
            desk.begin();
        }
    }
    desk.begin();
    ends.settle();
    desk.is_honest(&mut ends);
}

/// What a program holds of the board.
struct Ends {
    talk: Duplex<u32, u32>,
    method: Server<u32, u32>,
    newest: Latest<u32>,
    out: Sender<Long>,
    load: Receiver<Long>,
    asks: Client<u32, u32>,
    watch: Watch<u32>,
    levels: Receiver<u32>,
    ticks: Sender<u32>,
}

impl Ends {
    fn new() -> Self {
        const FREE: &str = "the ends of the run before are gone";
        Self {
            talk: NODE.export("talk").expect(FREE),
            method: NODE.export("method").expect(FREE),
            newest: NODE.export_with("newest", 1).expect(FREE),
            out: NODE.export("out").expect(FREE),
            load: NODE.export("load").expect(FREE),
            asks: NODE.import("asks").expect(FREE),
            watch: NODE.import_with("watch", 1).expect(FREE),
            levels: NODE.import("levels").expect(FREE),
            ticks: NODE.import("ticks").expect(FREE),
        }
    }

    /// Something that a program does, whatever comes of it.
    fn act(&mut self, which: usize, n: u8) {
        match which % 12 {
            0 => drop(self.talk.try_recv()),
            1 => drop(self.talk.try_send(n.into())),
            2 => drop(self.method.try_recv()),
            3 => drop(self.method.try_recv().map(|request| request.reply(n.into()))),
            4 => drop(self.newest.set(&n.into())),
            5 => drop(self.out.try_send(long(n))),
            6 => drop(self.load.try_recv()),
            7 => drop(self.asks.try_call(n.into())),
            8 => drop(self.asks.try_reply()),
            9 => drop(self.watch.try_changed()),
            10 => drop(self.levels.try_recv()),
            _ => drop(self.ticks.try_send(n.into())),
        }
    }

    /// Hears what is left of the sessions before.
    fn settle(&mut self) {
        while self.talk.try_recv() != Err(RecvError::Empty) {}
        while self.load.try_recv() != Err(RecvError::Empty) {}
        while self.talk.try_send(0).is_err_and(|error| error.cause != SendCause::NoImporter) {}
        while self.out.try_send(long(0)).is_err_and(|error| error.cause != SendCause::NoImporter) {}
    }
}

fn long(n: u8) -> Long {
    Long::try_from(&[n; 90][..usize::from(n) % 91]).unwrap_or_default()
}

fn encoded<T: Message>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode_to(&mut bytes).expect("it encodes");
    bytes
}

fn pair(what: &str) -> Fingerprint {
    Shape::end(what, &[u32::FINGERPRINT, u32::FINGERPRINT], 0).fingerprint()
}

/// The board and its peer, on a line that loses nothing.
struct Desk<'m> {
    board: Driver<'m>,
    peer: Peer,
    now: u64,
    starts: u64,
    to_peer: Vec<u8>,
}

impl<'m> Desk<'m> {
    fn new(board: Driver<'m>) -> Self {
        let peer = Peer::new(LinkConfig::line(identity("host", 9), &LINE, 8), 1, Instant::ZERO);
        let mut desk = Self { board, peer, now: 0, starts: 0, to_peer: Vec::new() };
        // What the run before has left on the node's circuits ends with its driver.
        desk.turn();
        desk
    }

    /// A millisecond.
    fn turn(&mut self) {
        self.now += 1000;
        let now = Instant::from_micros(self.now);
        self.peer.tick(now);
        self.peer.receive(&core::mem::take(&mut self.to_peer));
        self.peer.pump();
        self.board.feed(&self.peer.port.transmit(), now);
        let mut out = vec![0; 256];
        let n = self.board.drain(&mut out, now);
        self.to_peer.extend_from_slice(&out[..n]);
    }

    #[track_caller]
    fn until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.now + 3_000_000;
        while !done(self) {
            assert!(self.now < end, "{:?} {:?}", self.board, self.peer.circuits);
            self.turn();
        }
    }

    /// The peer's program starts anew, and there is a session.
    fn begin(&mut self) {
        self.starts += 1;
        let mut who = identity("host", 9);
        who.boot = self.starts;
        let (nonce, now) = (self.starts << 40 | 7, Instant::from_micros(self.now));
        let link = LinkConfig::line(who, &LINE, 8);
        self.peer = Peer::new(link, nonce, now);
        self.peer.port = Port::on_line(link, LINE, nonce, now);
        (self.peer.window, self.peer.limit) = (512, 200);
        self.until(|desk| desk.board.is_up() && desk.peer.port.is_up());
    }

    /// Puts a record into the peer's packets, as it is.
    fn put(&mut self, frame: &[u8]) {
        let record: Vec<u8> = [frame.len() as u8].iter().chain(frame).copied().collect();
        if let Some(line) = &mut self.peer.port.line {
            // Where there is no room it is not said.
            line.put(&record, false);
        }
    }

    /// Opens one of the board's exports, as an honest peer does: the circuit, if there was room for it.
    fn open(&mut self, which: usize) -> Option<usize> {
        let (name, flags, type_is) = match which % 5 {
            0 => ("talk", OpenFlags::BOTH, pair("duplex")),
            1 => ("method", OpenFlags::BOTH.with(OpenFlags::CALLS), pair("call")),
            2 => ("newest", OpenFlags::RECEIVES.with(OpenFlags::LATEST), u32::FINGERPRINT),
            3 => ("out", OpenFlags::RECEIVES, Long::FINGERPRINT),
            _ => ("load", OpenFlags::SENDS, Long::FINGERPRINT),
        };
        let receives = flags.has(OpenFlags::RECEIVES);
        let (credit, limit) = if receives { (self.peer.window, self.peer.limit) } else { (0, 0) };
        let open = Open {
            flags,
            wait_ms: 0,
            credit,
            limit,
            values: 0,
            name,
            fingerprints: Fingerprints::new(type_is.get(), &[]),
            type_name: "test",
            route: None,
            body: None,
        };
        self.peer.open_as(&open).ok()
    }

    /// Values pass in both directions.
    fn is_honest(&mut self, ends: &mut Ends) {
        let [talk, out, load] = [0, 3, 4].map(|which| self.open(which).expect("room for a few"));
        self.until(|desk| [talk, out, load].iter().all(|id| desk.peer.circuits[*id].stage == Stage::Open));
        for n in [90, 3, 0, 60] {
            self.peer.send(load, encoded(&long(n)));
            self.comes(long(n), |_| some(ends.load.try_recv()));
            self.until(|_| ends.out.try_send(long(n)).is_ok());
            self.comes(encoded(&long(n)), |desk| desk.take(out));
            self.peer.send(talk, encoded(&u32::from(n)));
            self.comes(u32::from(n), |_| some(ends.talk.try_recv()));
            self.until(|_| ends.talk.try_send(!u32::from(n)).is_ok());
            self.comes(encoded(&!u32::from(n)), |desk| desk.take(talk));
        }
        // An import goes on as well, unless the peer or a value of its has ended it for ever.
        let is_over = loop {
            match ends.levels.try_recv() {
                Err(RecvError::Empty) => break false,
                Err(RecvError::Dead(_)) => break true,
                _ => {}
            }
        };
        if is_over {
            return;
        }
        let is_it = |peer: &Peer| {
            peer.circuits
                .iter()
                .position(|it| it.name == "levels" && it.stage == Stage::Open && it.handle.is_some())
        };
        self.until(|desk| is_it(&desk.peer).is_some());
        let levels = is_it(&self.peer).expect("it was there just now");
        for n in [7_u32, 8, 9] {
            self.peer.send(levels, encoded(&n));
            self.comes(n, |_| some(ends.levels.try_recv()));
        }
    }

    fn take(&mut self, id: usize) -> Option<Vec<u8>> {
        match self.peer.take(id) {
            Outcome::Value(bytes) => Some(bytes),
            Outcome::Empty => None,
            other => panic!("{other:?}"),
        }
    }

    /// Goes on until there is a value, which is this one.
    #[track_caller]
    fn comes<T: PartialEq + core::fmt::Debug>(
        &mut self,
        value: T,
        mut look: impl FnMut(&mut Self) -> Option<T>,
    ) {
        let mut came = None;
        self.until(|desk| {
            came = look(desk);
            came.is_some()
        });
        assert_eq!(came, Some(value));
    }
}

/// A value of a board's end, if there is one.
#[track_caller]
fn some<T>(result: Result<T, RecvError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(RecvError::Empty) => None,
        Err(other) => panic!("{other:?}"),
    }
}
