//! What a program keeps of one circuit: its queues, its counts and how it ended.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use crate::proto::{Dead, Direction, Handle, Link, Part, Total};

/// Where a circuit is, as its program sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Waiting for the answer to our open.
    Opening,
    /// The program has to answer the peer's open.
    Offered,
    /// Values flow.
    Open,
    /// Nothing more will happen.
    Over,
}

/// What a receiver is given.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// A value.
    Value(Vec<u8>),
    /// Nothing yet.
    Empty,
    /// The orderly end, for ever.
    Closed,
    /// No answer will come, for ever.
    Dead(Dead),
}

/// What became of the values sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Account {
    /// Handed over by the program.
    pub sent: u32,
    /// Known to be taken by the far end's program.
    pub confirmed: u32,
    /// Written, at least in part.
    pub in_doubt: u32,
    /// Never written.
    pub unsent: u32,
}

/// One circuit of a test program.
#[derive(Debug, Clone, Hash)]
pub struct Circuit {
    /// Name in the open.
    pub name: String,
    /// Its handle, until the program must forget it.
    pub handle: Option<Handle>,
    /// Which way values flow.
    pub direction: Direction,
    /// Where it is.
    pub stage: Stage,
    /// How many fingerprints were offered.
    pub offers: u8,
    /// The one that was chosen.
    pub which: u8,

    /// Values that wait for credit.
    pub outbox: VecDeque<Vec<u8>>,
    /// The value whose fragments are being written.
    pub writing: Option<Vec<u8>>,
    /// Values handed over by the program.
    pub sent: u32,
    /// Values whose credit was taken.
    pub started: u32,
    /// Values that the far end's program has taken.
    pub confirmed: u32,
    /// The program has ended it.
    pub ending: bool,
    /// The link was told.
    pub ended: bool,
    /// The program waits until this many are confirmed.
    pub asking: Option<u32>,

    /// Values that the program has not taken.
    pub inbox: VecDeque<Vec<u8>>,
    /// What `inbox` and `partial` are charged.
    pub held: u32,
    /// Values that have come in whole.
    pub received: u32,
    /// Values that the program has taken.
    pub taken: u32,
    /// The peer wants to know when this many are taken.
    pub asked: Option<Total>,
    /// The peer has ended it.
    pub in_end: bool,
    /// The program has been told of the end.
    pub drained: bool,
    /// The message that came with the open, until the program has answered.
    pub brought: Option<Vec<u8>>,
    partial: Vec<u8>,
    partial_len: usize,

    /// The peer is through with it in order.
    pub done: bool,
    /// Why no answer will come.
    pub dead: Option<Dead>,
    /// The text that came with it.
    pub detail: String,
    /// The program gave it up.
    pub killed: bool,
}

impl Circuit {
    /// A new one.
    pub fn new(name: &str, handle: Handle, direction: Direction, stage: Stage) -> Self {
        Self {
            name: name.into(),
            handle: Some(handle),
            direction,
            stage,
            offers: 1,
            which: 0,
            outbox: VecDeque::new(),
            writing: None,
            sent: 0,
            started: 0,
            confirmed: 0,
            ending: false,
            ended: false,
            asking: None,
            inbox: VecDeque::new(),
            held: 0,
            received: 0,
            taken: 0,
            asked: None,
            in_end: false,
            drained: false,
            brought: None,
            partial: Vec::new(),
            partial_len: 0,
            done: false,
            dead: None,
            detail: String::new(),
            killed: false,
        }
    }

    /// Whether this side sends.
    pub fn sends(&self) -> bool {
        self.direction != Direction::Receives
    }

    /// Whether this side receives.
    pub fn receives(&self) -> bool {
        self.direction != Direction::Sends
    }

    /// What became of the values sent.
    pub fn account(&self) -> Account {
        let in_doubt = self.started - self.confirmed;
        Account { sent: self.sent, confirmed: self.confirmed, in_doubt, unsent: self.outbox.len() as u32 }
    }

    /// Whether a program that waits on this circuit has had its last answer.
    pub fn is_told(&self) -> bool {
        self.stage == Stage::Over || self.killed || self.dead.is_some() || self.done
    }

    pub(super) fn on_data(&mut self, part: Part, bytes: &[u8]) {
        match part {
            Part::Whole => self.begin(bytes.len()),
            Part::First(len) => self.begin(len as usize),
            Part::More => {}
        }
        self.partial.extend_from_slice(bytes);
        if self.partial.len() == self.partial_len {
            self.inbox.push_back(core::mem::take(&mut self.partial));
            self.received += 1;
        }
    }

    fn begin(&mut self, len: usize) {
        assert!(self.partial.is_empty(), "a message inside another");
        self.partial_len = len;
        self.held += Link::charge(len as u32);
    }
}
