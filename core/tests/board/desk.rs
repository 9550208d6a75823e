//! A board, and a link at the other end of its line, on a virtual clock.

use netchan::Message;
use netchan::board::{Driver, Identity};
use netchan::message::Shape;
use netchan::proto::{CounterNonce, Fingerprints, Instant, LineConfig, LinkConfig, Name, Open, OpenFlags};
use netchan::testing::{Node as Peer, Outcome, Port, Stage, identity};

pub(crate) const LINE: LineConfig = LineConfig::uart(115_200, 2, 64, 2);
/// Bytes that pass in one step, which takes a millisecond.
pub(crate) const STEP: usize = 11;

/// A board, the line, and the peer at its other end.
pub(crate) struct Desk<'m> {
    pub(crate) board: Driver<'m>,
    pub(crate) peer: Peer,
    pub(crate) now: u64,
    starts: u64,
    pub(crate) to_peer: Vec<u8>,
    /// The line has taken all that it could.
    is_full: bool,
}

impl<'m> Desk<'m> {
    pub(crate) fn new(board: Driver<'m>) -> Self {
        let mut desk = Self {
            board,
            peer: Peer::new(LinkConfig::line(identity("host", 9), &LINE, 8), 1, Instant::ZERO),
            now: 0,
            starts: 0,
            to_peer: Vec::new(),
            is_full: false,
        };
        desk.start_peer();
        desk
    }

    /// The peer's program starts, again or for the first time.
    pub(crate) fn start_peer(&mut self) {
        self.starts += 1;
        let mut who = identity("host", 9);
        who.boot = self.starts;
        let link = LinkConfig::line(who, &LINE, 8);
        let (nonce, now) = (self.starts << 40 | 7, Instant::from_micros(self.now));
        self.peer = Peer::new(link, nonce, now);
        self.peer.port = Port::on_line(link, LINE, nonce, now);
        (self.peer.window, self.peer.limit) = (512, 200);
    }

    pub(crate) fn step(&mut self) {
        self.turn(false);
    }

    /// A step in which the board sleeps unless a byte comes, the line takes more, or it has said that it would have
    /// something to do: whether it was awake.
    pub(crate) fn doze(&mut self) -> bool {
        self.turn(true)
    }

    fn turn(&mut self, may_sleep: bool) -> bool {
        self.now += 1000;
        let now = Instant::from_micros(self.now);
        self.peer.tick(now);
        self.peer.receive(&std::mem::take(&mut self.to_peer));
        self.peer.pump();
        let to_board = self.peer.port.transmit_some(STEP);
        if may_sleep && !self.is_full && to_board.is_empty() && self.board.deadline(now) > now {
            return false;
        }
        self.board.feed(&to_board, now);
        let mut out = [0; STEP];
        let n = self.board.drain(&mut out, now);
        self.to_peer.extend_from_slice(&out[..n]);
        self.is_full = n == STEP;
        true
    }

    pub(crate) fn pass_ms(&mut self, millis: u64) {
        (0..millis).for_each(|_| self.step());
    }

    /// Goes on until `done`, for two seconds at most.
    #[track_caller]
    pub(crate) fn until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.now + 2_000_000;
        while !done(self) {
            assert!(
                self.now < end,
                "{:?} {:?} {:?} {:?}",
                self.board,
                self.board.ended(),
                self.peer.port.fault,
                self.peer.circuits
            );
            self.step();
        }
    }

    #[track_caller]
    pub(crate) fn up(mut self) -> Self {
        self.until(|desk| desk.board.is_up() && desk.peer.port.is_up());
        self
    }

    /// The peer imports a channel.
    pub(crate) fn import(&mut self, name: &str, flags: OpenFlags, fingerprint: u64) -> usize {
        let receives = flags.has(OpenFlags::RECEIVES);
        let (credit, limit) = if receives { (self.peer.window, self.peer.limit) } else { (0, 0) };
        let fingerprints = Fingerprints::new(fingerprint, &[]);
        let open = Open {
            flags,
            wait_ms: 0,
            credit,
            limit,
            values: 0,
            name,
            fingerprints,
            type_name: "test",
            route: None,
            body: None,
        };
        self.peer.open_as(&open).expect("room for the open")
    }

    /// Takes what the peer's circuit receives next.
    #[track_caller]
    pub(crate) fn take(&mut self, id: usize) -> Vec<u8> {
        let mut value = Vec::new();
        self.until(|desk| match desk.peer.take(id) {
            Outcome::Value(bytes) => {
                value = bytes;
                true
            }
            Outcome::Empty => false,
            other => panic!("{other:?}"),
        });
        value
    }

    /// Puts a frame into the peer's packets as it is, whatever its link would say.
    #[track_caller]
    pub(crate) fn put(&mut self, frame: &[u8]) {
        let record: Vec<u8> = [frame.len() as u8].iter().chain(frame).copied().collect();
        let line = self.peer.port.line.as_mut().expect("it is on a line");
        assert!(line.put(&record, false), "room for the record");
    }

    /// The peer's program starts again, when the board knows that the session is over.
    #[track_caller]
    pub(crate) fn next_session(&mut self) {
        self.until(|desk| !desk.board.is_up());
        self.start_peer();
        self.until(|desk| desk.board.is_up() && desk.peer.port.is_up());
    }

    /// The circuit of the board's import of that name, if it is open.
    pub(crate) fn open_import(&self, name: &str) -> Option<usize> {
        let is_it = |it: &netchan::testing::Circuit| {
            it.name == name && it.stage == Stage::Open && it.handle.is_some()
        };
        self.peer.circuits.iter().position(is_it)
    }

    /// The circuit of the board's import that the peer has been offered last.
    pub(crate) fn offered(&self) -> Option<usize> {
        self.peer
            .circuits
            .iter()
            .rposition(|circuit| circuit.stage == Stage::Open && circuit.handle.is_some())
    }
}

const NAME: Name = Name::literal("board");

pub(crate) fn who() -> Identity<'static> {
    who_counts(Box::leak(Box::new(CounterNonce::new(1, 1))))
}

/// With numbers of its sessions that it borrows.
pub(crate) fn who_counts(nonces: &mut CounterNonce) -> Identity<'_> {
    Identity { name: &NAME, uid: 1, boot: 1, nonces }
}

pub(crate) fn of<T: Message>() -> u64 {
    T::FINGERPRINT.get()
}

pub(crate) fn pair(what: &str, first: u64, second: u64) -> u64 {
    use netchan::Fingerprint;
    Shape::end(what, &[Fingerprint::new(first), Fingerprint::new(second)], 0).fingerprint().get()
}

pub(crate) fn encoded<T: Message>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode_to(&mut bytes).expect("it encodes");
    bytes
}

/// A board whose node is made for one test, and what its driver works in.
macro_rules! desk {
    ($config:expr) => {{
        const CONFIG: netchan::board::Config = $config;
        static NODE: netchan::board::Node<{ CONFIG.channels() }, { CONFIG.bytes() }> =
            netchan::board::Node::new(&CONFIG);
        let memory = Box::leak(Box::new(netchan::board::Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG)));
        (&NODE, $crate::desk::Desk::new(NODE.line(memory, $crate::desk::who())))
    }};
}

pub(crate) use desk;
