//! One end of a circuit, as its program holds it: queues, counts, and how it ended.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::proto::{Dead, Direction, Event, Handle, Link as Proto, OpenFlags, Part, Total};
use crate::testing::Port;
use crate::tree::LinkNumber;

/// Where an end is, as its program sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It goes along in a message that has not begun.
    Waiting,
    /// Waiting for the answer to our open.
    Opening,
    /// The program has to answer the peer's open.
    Offered,
    /// Values flow.
    Open,
    /// Nothing more will happen.
    Over,
}

/// A value on its way, and the circuits whose ends are in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Value {
    pub(super) bytes: Vec<u8>,
    pub(super) ends: Vec<usize>,
}

/// One end of a circuit.
#[derive(Debug)]
pub(super) struct End {
    pub(super) circuit: usize,
    /// Whose it is, in which life of its program, and on which of its links.
    pub(super) node: usize,
    pub(super) life: u64,
    pub(super) link: LinkNumber,
    pub(super) handle: Option<Handle>,
    pub(super) flags: OpenFlags,
    pub(super) direction: Direction,
    pub(super) stage: Stage,

    pub(super) outbox: VecDeque<Value>,
    pub(super) writing: Option<Vec<u8>>,
    pub(super) sent: u32,
    /// Of these, how many were replaced before they began: latest values only.
    pub(super) dropped: u32,
    pub(super) started: u32,
    pub(super) confirmed: u32,
    pub(super) ending: bool,
    pub(super) ended: bool,

    pub(super) inbox: VecDeque<Value>,
    pub(super) window: u32,
    pub(super) held: u32,
    pub(super) received: u32,
    pub(super) taken: u32,
    pub(super) asked: Option<Total>,
    pub(super) in_end: bool,
    pub(super) drained: bool,
    /// Ends that came for the next message.
    pub(super) attached: Vec<usize>,
    /// The message that came with the open, until the program has answered.
    pub(super) brought: Option<Vec<u8>>,
    partial: Vec<u8>,
    partial_len: usize,

    pub(super) done: bool,
    pub(super) dead: Option<Dead>,
    pub(super) killed: bool,
    /// The death said how many values the far program had taken.
    pub(super) chosen: bool,
}

impl End {
    pub(super) fn new(circuit: usize, node: usize, flags: OpenFlags, opener: bool, stage: Stage) -> Self {
        let direction = if opener { Direction::of_opener(flags) } else { Direction::of_acceptor(flags) };
        Self {
            circuit,
            node,
            life: 0,
            link: 0,
            handle: None,
            flags,
            direction,
            stage,
            outbox: VecDeque::new(),
            writing: None,
            sent: 0,
            dropped: 0,
            started: 0,
            confirmed: 0,
            ending: false,
            ended: false,
            inbox: VecDeque::new(),
            window: 0,
            held: 0,
            received: 0,
            taken: 0,
            asked: None,
            in_end: false,
            drained: false,
            attached: Vec::new(),
            brought: None,
            partial: Vec::new(),
            partial_len: 0,
            done: false,
            dead: None,
            killed: false,
            chosen: false,
        }
    }

    pub(super) fn sends(&self) -> bool {
        self.direction != Direction::Receives
    }

    pub(super) fn receives(&self) -> bool {
        self.direction != Direction::Sends
    }

    pub(super) fn is_latest(&self) -> bool {
        self.flags.has(OpenFlags::LATEST)
    }

    /// Whether whoever waits on it has had the last answer.
    pub(super) fn is_told(&self) -> bool {
        self.stage == Stage::Over
            || self.killed
            || self.dead.is_some()
            || self.done
            || self.in_end && !self.sends()
    }

    pub(super) fn is_live(&self) -> bool {
        self.stage != Stage::Over
    }

    /// Nothing more will happen; what is queued may still be taken.
    pub(super) fn over(&mut self) {
        self.stage = Stage::Over;
        self.writing = None;
        self.handle = None;
    }

    /// What an event does to it; ends in messages that nobody will take are returned.
    pub(super) fn on_event(&mut self, port: &mut Port, event: &Event<'_>) -> Vec<usize> {
        let (link, mut slots, _) = port.parts();
        match *event {
            Event::Accepted(..) => self.stage = Stage::Open,
            Event::Data(handle, part, bytes) => {
                let Some(message) = self.on_data(part, bytes) else { return Vec::new() };
                if self.is_latest() {
                    // The newest takes the place of the one before, and its room is free at once.
                    let charge = Proto::charge(message.bytes.len() as u32);
                    self.held -= charge;
                    self.taken += 1;
                    self.inbox.clear();
                    let total = Total::new(self.taken);
                    let now = self.asked.is_some_and(|asked| total.at_least(asked));
                    link.taken(&mut slots, handle, total, now);
                    link.consumed(&mut slots, handle, charge);
                }
                self.inbox.push_back(message);
                assert!(self.held <= self.window, "more is held than was promised");
            }
            Event::Taken(_, total) => self.confirmed = total.get(),
            Event::Asked(handle, total) => {
                let taken = Total::new(self.taken);
                let now = taken.at_least(total);
                self.asked = (!now).then_some(total);
                link.taken(&mut slots, handle, taken, true);
            }
            Event::End(_) => self.in_end = true,
            Event::Done(_) => {
                self.done = true;
                self.confirmed = self.started;
                if !self.receives() || self.drained {
                    self.over();
                }
            }
            Event::Dead(handle, frame) => {
                if self.sends() {
                    self.confirmed = frame.taken.get();
                }
                self.chosen = true;
                link.drained(&mut slots, handle);
                return self.die(frame.dead);
            }
            _ => {}
        }
        Vec::new()
    }

    /// No answer will come. The queue stays; its ends whose message did not come are returned.
    pub(super) fn die(&mut self, dead: Dead) -> Vec<usize> {
        self.dead = self.dead.or(Some(dead));
        self.over();
        core::mem::take(&mut self.attached)
    }

    /// What is queued is not taken: the ends in it.
    pub(super) fn drain_ends(&mut self) -> Vec<usize> {
        let mut ends = core::mem::take(&mut self.attached);
        ends.extend(core::mem::take(&mut self.inbox).into_iter().flat_map(|value| value.ends));
        ends
    }

    /// The open has brought this and the end.
    pub(super) fn take_brought(&mut self, bytes: Vec<u8>) {
        self.held = Proto::charge(bytes.len() as u32);
        self.received = 1;
        self.in_end = true;
        self.inbox.push_back(Value { bytes, ends: Vec::new() });
    }

    fn on_data(&mut self, part: Part, bytes: &[u8]) -> Option<Value> {
        let begins = match part {
            Part::Whole => Some(bytes.len()),
            Part::First(len) => Some(len as usize),
            Part::More => None,
        };
        if let Some(len) = begins {
            assert!(self.partial.is_empty(), "a message inside another");
            self.partial_len = len;
            self.held += Proto::charge(len as u32);
        }
        self.partial.extend_from_slice(bytes);
        if self.partial.len() < self.partial_len {
            return None;
        }
        self.received += 1;
        let (bytes, ends) = (core::mem::take(&mut self.partial), core::mem::take(&mut self.attached));
        Some(Value { bytes, ends })
    }
}
