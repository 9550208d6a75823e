//! The board, and what its program does at random.

use std::collections::BTreeMap;

use netchan::Blob;
use netchan::board::{
    CallError, CallId, Client, Config, Driver, Duplex, Identity, Latest, Memory, Node, Receiver, RecvError,
    Request, SendCause, Sender, Server, Watch,
};
use netchan::proto::{CounterNonce, LineConfig, Name, Reason};
use netchan::testing::Rng;

use crate::world::{Ledger, Report};

pub(crate) const LINE: LineConfig = LineConfig::uart(115_200, 2, 64, 3);
pub(crate) type Block = Blob<150>;

const CONFIG: Config = Config::new(LINE)
    .export::<Sender<u32>>(3)
    .export::<Receiver<u32>>(3)
    .export::<Duplex<u32, u32>>(2)
    .export::<Latest<u32>>(1)
    .export::<Watch<u32>>(1)
    .export::<Server<u32, u32>>(2)
    .export::<Sender<Block>>(2)
    .export::<Receiver<Block>>(2)
    .import::<Receiver<u32>>(2)
    .import::<Sender<u32>>(2)
    .import::<Client<u32, u32>>(2);

type BoardNode = Node<{ CONFIG.channels() }, { CONFIG.bytes() }>;

const NAME: Name = Name::literal("board");

/// What an end has sent, so that its accounts can be looked at: from `low` to `next`.
#[derive(Default)]
pub(crate) struct Sent {
    low: u32,
    next: u32,
}

/// What an end has received of one circuit: its tag, and the number that comes next.
#[derive(Default)]
pub(crate) struct Got(Option<(u32, u32)>);

impl Got {
    /// Values of a circuit are numbered from 0, and carry its tag.
    fn take(&mut self, value: u32, ledger: &mut Ledger) {
        let (tag, number) = (value >> 12, value & 0xfff);
        let (expected_tag, expected) = self.0.unwrap_or((tag, 0));
        assert_eq!((tag, number), (expected_tag, expected), "once each, in order, of one circuit");
        self.0 = Some((tag, number + 1));
        ledger.taken_by_board(tag);
    }

    fn newest(&mut self, value: u32, ledger: &mut Ledger) {
        let (tag, number) = (value >> 12, value & 0xfff);
        let (expected_tag, least) = self.0.unwrap_or((tag, 0));
        assert!(tag == expected_tag && number >= least, "never an older one");
        self.0 = Some((tag, number + 1));
        ledger.taken_by_board(tag);
    }
}

pub(crate) struct Board {
    pub(crate) driver: Option<Driver<'static>>,
    node: &'static BoardNode,
    boots: u64,
    out: Option<Sender<u32>>,
    in_: Option<Receiver<u32>>,
    talk: Duplex<u32, u32>,
    load: Latest<u32>,
    goal: Watch<u32>,
    sum: Server<u32, u32>,
    blocks: Sender<Block>,
    load_blocks: Receiver<Block>,
    feed: Option<Receiver<u32>>,
    sink: Option<Sender<u32>>,
    ask: Option<Client<u32, u32>>,
    sent: [Sent; 4],
    got: [Got; 5],
    newest: u32,
    requests: Vec<Request<u32, u32>>,
    pub(crate) pending: BTreeMap<u32, (CallId, u32)>,
    calls: u32,
}

const OUT: usize = 0;
const TALK: usize = 1;
const BLOCKS: usize = 2;
const SINK: usize = 3;

const IN: usize = 0;
const FEED: usize = 2;
const LOAD: usize = 3;
const GOAL: usize = 4;

impl Board {
    /// A board that starts: statics are as the program was linked.
    pub(crate) fn boot(boots: u64, newest: u32) -> Self {
        let node: &'static BoardNode = Box::leak(Box::new(Node::new(&CONFIG)));
        // All names are new, and there is room for them.
        let mut board = Self {
            driver: None,
            node,
            boots,
            out: node.export_with("out", 3).ok(),
            in_: node.export_with("in", 3).ok(),
            talk: node.export("talk").unwrap(),
            load: node.export("load").unwrap(),
            goal: node.export("goal").unwrap(),
            sum: node.export("sum").unwrap(),
            blocks: node.export("blocks").unwrap(),
            load_blocks: node.export("load-blocks").unwrap(),
            feed: None,
            sink: None,
            ask: None,
            sent: Default::default(),
            got: Default::default(),
            newest,
            requests: Vec::new(),
            pending: BTreeMap::new(),
            calls: 0,
        };
        for sent in &mut board.sent {
            (sent.low, sent.next) = (newest, newest);
        }
        board.drive(boots << 8);
        board
    }

    /// Another driver for the same node, as after a change of the line.
    pub(crate) fn drive(&mut self, nonce: u64) {
        let memory = Box::leak(Box::new(Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG)));
        let nonces = Box::leak(Box::new(CounterNonce::new(1, nonce as u32)));
        let identity = Identity { name: &NAME, uid: 1, boot: self.boots, nonces };
        self.driver = Some(self.node.line(memory, identity));
    }

    /// The highest number that it has sent.
    pub(crate) fn newest(&self) -> u32 {
        self.sent.iter().map(|sent| sent.next).max().unwrap_or(0).max(self.newest)
    }

    /// One turn of the program: some of what it could do.
    pub(crate) fn turn(&mut self, rng: &mut Rng, ledger: &mut Ledger, report: &mut Report, busy: usize) {
        self.import();
        if rng.one_in(busy) {
            self.send(rng, ledger, report);
        }
        if rng.one_in(busy) {
            self.receive(ledger, report);
        }
        if rng.one_in(busy * 2) {
            self.serve(rng);
        }
        if rng.one_in(busy * 2) {
            self.call(report);
        }
        // Ends come and go.
        if rng.one_in(busy * 400) {
            self.out = match self.out.take() {
                Some(_) => None,
                None => {
                    let sent = &mut self.sent[OUT];
                    sent.low = sent.next;
                    self.node.export_with("out", 3).ok()
                }
            };
        }
        if rng.one_in(busy * 400) {
            self.in_ = match self.in_.take() {
                Some(_) => None,
                None => {
                    self.got[IN] = Got::default();
                    self.node.export_with("in", 3).ok()
                }
            };
        }
    }

    /// Imports what it has no end of, unless the one before is still closing.
    fn import(&mut self) {
        if self.feed.is_none() {
            self.got[FEED] = Got::default();
            self.feed = self.node.import("feed").ok();
        }
        if self.sink.is_none() {
            self.sink = self.node.import("sink").ok();
        }
        if self.ask.is_none() {
            self.ask = self.node.import("ask").ok();
        }
    }

    /// Ends that were dropped come again.
    pub(crate) fn restore(&mut self) {
        if self.out.is_none() {
            let sent = &mut self.sent[OUT];
            sent.low = sent.next;
            self.out = self.node.export_with("out", 3).ok();
        }
        if self.in_.is_none() {
            self.got[IN] = Got::default();
            self.in_ = self.node.export_with("in", 3).ok();
        }
    }

    fn send(&mut self, rng: &mut Rng, ledger: &mut Ledger, report: &mut Report) {
        if let Some(out) = &self.out {
            let next = self.sent[OUT].next;
            let result = out.try_send(next).map_err(|error| error.cause);
            self.sent[OUT].after(result, "out", ledger, report);
        }
        let next = self.sent[TALK].next;
        let result = self.talk.try_send(next).map_err(|error| error.cause);
        self.sent[TALK].after(result, "talk", ledger, report);
        let next = self.sent[SINK].next;
        if let Some(sink) = &self.sink {
            match sink.try_send(next).map_err(|error| error.cause) {
                // What the peer has given up is over: the end says how it ended, and another one is imported.
                Err(SendCause::Dead(dead)) => {
                    let account = sink.account();
                    self.sent[SINK].after(Err(SendCause::Left { dead, account }), "sink", ledger, report);
                    self.sink = None;
                }
                result => self.sent[SINK].after(result, "sink", ledger, report),
            }
        }
        if rng.one_in(4) {
            let next = self.sent[BLOCKS].next;
            let result = self.blocks.try_send(block(next)).map_err(|error| error.cause);
            self.sent[BLOCKS].after(result, "blocks", ledger, report);
        }
        self.newest += 1;
        self.load.set(&self.newest).unwrap();
    }

    fn receive(&mut self, ledger: &mut Ledger, report: &mut Report) {
        if let Some(in_) = &mut self.in_ {
            self.got[IN].after(in_.try_recv(), ledger, report);
        }
        self.got[TALK].after(self.talk.try_recv(), ledger, report);
        if let Some(feed) = &mut self.feed {
            let result = feed.try_recv();
            let is_over = matches!(result, Err(RecvError::Dead(_) | RecvError::Closed));
            self.got[FEED].after(result, ledger, report);
            if is_over {
                self.feed = None;
            }
        }
        let block = self.load_blocks.try_recv().map(|bytes| number(&bytes));
        self.got[LOAD].after(block, ledger, report);
        match self.goal.try_changed() {
            Ok(value) => self.got[GOAL].newest(value, ledger),
            Err(RecvError::Empty) => {}
            Err(_) => self.got[GOAL] = Got::default(),
        }
    }

    fn serve(&mut self, rng: &mut Rng) {
        if let Ok(request) = self.sum.try_recv() {
            self.requests.push(request);
        }
        if !self.requests.is_empty() && rng.one_in(2) {
            let request = self.requests.swap_remove(rng.below(self.requests.len()));
            if !rng.one_in(6) {
                let n = *request;
                // A caller that is gone needs no answer.
                let _ = request.reply(n.wrapping_mul(2));
            }
        }
    }

    fn call(&mut self, report: &mut Report) {
        let Some(ask) = &mut self.ask else { return };
        self.calls += 1;
        if let Ok(id) = ask.try_call(self.calls) {
            self.pending.insert(self.calls, (id, self.calls));
        }
        match ask.try_reply() {
            Ok((id, reply)) => {
                let call = self.pending.iter().find(|(_, (call, _))| *call == id).map(|(key, _)| *key);
                let (_, n) =
                    self.pending.remove(&call.expect("it was called, and not answered before")).unwrap();
                assert_eq!(reply, n + 1, "the answer to this question");
                report.calls += 1;
            }
            Err(CallError::Refused(id, _)) => {
                let call = self.pending.iter().find(|(_, (call, _))| *call == id).map(|(key, _)| *key);
                self.pending.remove(&call.expect("it was called, and not answered before"));
            }
            Err(CallError::Dead(dead)) => {
                self.pending.clear();
                // A session that ends is followed by another.
                if !is_of_session(dead.reason) {
                    self.ask = None;
                }
            }
            Err(CallError::Empty) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Sees that nothing is left.
    pub(crate) fn is_through(&self) -> bool {
        self.pending.is_empty()
    }
}

impl Sent {
    fn after(
        &mut self,
        result: Result<(), SendCause>,
        name: &'static str,
        ledger: &mut Ledger,
        report: &mut Report,
    ) {
        match result {
            Ok(()) => self.next += 1,
            Err(SendCause::Left { account, .. } | SendCause::Interrupted { account, .. }) => {
                let sent = self.next - self.low;
                let sum = account.confirmed + account.in_doubt + account.unsent;
                // A conversation that ended in order has had its own.
                assert!(sum == sent || name == "talk" && sum < sent, "{name}: {account:?} of {sent}");
                let taken = ledger.taken_by_peer(name, self.low, self.next);
                let most = account.confirmed + account.in_doubt;
                let fits = account.confirmed <= taken && taken <= most;
                assert!(fits || name == "talk", "{name}: {account:?}, and {taken} were taken");
                self.low = self.next;
                report.accounts += 1;
            }
            Err(SendCause::Full | SendCause::NoImporter | SendCause::Dead(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

impl Got {
    fn after(&mut self, result: Result<u32, RecvError>, ledger: &mut Ledger, report: &mut Report) {
        match result {
            Ok(value) => {
                self.take(value, ledger);
                report.to_board += 1;
            }
            Err(RecvError::Empty | RecvError::Dead(_) | RecvError::Closed) => {}
            Err(RecvError::Left { .. } | RecvError::Interrupted { .. }) => {
                self.0 = None;
                report.left += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// A value that is longer than two packets, and says what it is everywhere.
pub(crate) fn block(n: u32) -> Block {
    let len = 4 + (n as usize * 37) % 147;
    let mut bytes = vec![n as u8; len];
    bytes[..4].copy_from_slice(&n.to_le_bytes());
    Block::try_from(&bytes[..]).unwrap()
}

/// What a block says.
pub(crate) fn number(bytes: &[u8]) -> u32 {
    let n = u32::from_le_bytes(*bytes.first_chunk().unwrap());
    assert_eq!(bytes, &block(n)[..], "unaltered");
    n
}

/// Whether it is the session that has ended, after which an import goes on in the next one.
fn is_of_session(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::LinkLost
            | Reason::LinkReset
            | Reason::PeerRestarted
            | Reason::Shutdown
            | Reason::Unresponsive
    )
}
