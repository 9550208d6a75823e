//! A test program on one link: inboxes and outboxes, and the calls that a program makes.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{Circuit, Outcome, Port, Stage};
use crate::proto::{
    Blocked, Dead, Direction, Event, Fault, Fingerprints, Handle, Instant, Link, LinkConfig, Open, OpenFlags,
    Part, Place, Reason, Start, Total, TreeFrame,
};

/// What a node does with an open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// Accepts it at once.
    Accept,
    /// Leaves it to the test.
    Hold,
}

/// What a node was told of the tree: a frame without its texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the wire has no others")]
pub enum TreeTold {
    /// Its id.
    Adopt(u32),
    /// So many ids are asked for.
    Allocate(u32),
    /// These are given: the first, and how many.
    Grant(u32, u32),
    /// A node, and its parent.
    AddRoute(u32, u32),
    /// It is gone.
    DelRoute(u32),
    /// It is to end, in so many milliseconds.
    Shutdown(u32),
}

/// One node with one link.
#[derive(Debug, Clone, Hash)]
pub struct Node {
    /// The link and its bytes.
    pub port: Port,
    /// Every circuit there ever was.
    pub circuits: Vec<Circuit>,
    /// What it does with opens.
    pub policy: Policy,
    /// Bytes that it grants to each circuit.
    pub window: u32,
    /// Longest message that it takes.
    pub limit: u32,
    /// Number of this start of its program.
    pub boot: u64,
    /// What it was told of the tree, for the test to take.
    pub told: Vec<TreeTold>,
    by_handle: BTreeMap<Handle, usize>,
}

impl Node {
    /// Before the bring-up.
    pub fn new(config: LinkConfig, nonce: u64, now: Instant) -> Self {
        Self {
            port: Port::new(config, nonce, now),
            circuits: Vec::new(),
            policy: Policy::Accept,
            window: 64,
            limit: 60,
            boot: config.identity.boot,
            told: Vec::new(),
            by_handle: BTreeMap::new(),
        }
    }

    /// Opens a circuit.
    ///
    /// # Errors
    ///
    /// As [`Link::open`].
    pub fn open(&mut self, name: &str, flags: OpenFlags) -> Result<usize, Blocked> {
        self.open_bounded(name, flags, 0)
    }

    /// Opens a circuit that wants an end after so many values; 0: no limit.
    ///
    /// # Errors
    ///
    /// As [`Link::open`].
    pub fn open_bounded(&mut self, name: &str, flags: OpenFlags, values: u32) -> Result<usize, Blocked> {
        let receives = flags.has(OpenFlags::RECEIVES);
        let (credit, limit) = if receives { (self.window, self.limit) } else { (0, 0) };
        let fingerprints = Fingerprints::new(7, &[]);
        let open = Open {
            flags,
            wait_ms: 0,
            credit,
            limit,
            values,
            name,
            fingerprints,
            type_name: "test",
            route: None,
            body: None,
        };
        self.open_as(&open)
    }

    /// Opens a circuit for one message and the end, which go with the open.
    ///
    /// # Errors
    ///
    /// As [`Link::open`].
    pub fn open_with(&mut self, name: &str, flags: OpenFlags, body: &[u8]) -> Result<usize, Blocked> {
        let receives = flags.has(OpenFlags::RECEIVES);
        let (credit, limit) = if receives { (self.window, self.limit) } else { (0, 0) };
        let fingerprints = Fingerprints::new(7, &[]);
        let body = Some(body);
        let (wait_ms, values, type_name, route) = (0, 0, "test", None);
        self.open_as(&Open {
            flags,
            wait_ms,
            credit,
            limit,
            values,
            name,
            fingerprints,
            type_name,
            route,
            body,
        })
    }

    /// Opens a circuit just so.
    ///
    /// # Errors
    ///
    /// As [`Link::open`].
    pub fn open_as(&mut self, open: &Open<'_>) -> Result<usize, Blocked> {
        let (link, mut slots, output) = self.port.parts();
        let handle = link.open(&mut slots, open, output)?;
        let mut circuit = Circuit::new(open.name, handle, Direction::of_opener(open.flags), Stage::Opening);
        circuit.offers = open.fingerprints.as_slice().len() as u8;
        if open.body.is_some() {
            (circuit.sent, circuit.started, circuit.ending, circuit.ended) = (1, 1, true, true);
        }
        Ok(self.add(circuit))
    }

    /// Accepts an offered circuit.
    pub fn accept(&mut self, id: usize) {
        let circuit = &mut self.circuits[id];
        let (Some(handle), Stage::Offered) = (circuit.handle, circuit.stage) else { return };
        circuit.stage = Stage::Open;
        if let Some(body) = circuit.brought.take() {
            circuit.on_data(Part::Whole, &body);
            circuit.in_end = true;
        }
        let (window, limit) = if circuit.receives() { (self.window, self.limit) } else { (0, 0) };
        let (link, mut slots, _) = self.port.parts();
        link.accept(&mut slots, handle, 0, window, limit);
    }

    /// Gives a circuit up, or refuses it.
    pub fn kill(&mut self, id: usize, reason: Reason) {
        let circuit = &mut self.circuits[id];
        let Some(handle) = circuit.handle else { return };
        let (link, mut slots, _) = self.port.parts();
        link.kill(&mut slots, handle, Dead::here(reason), "");
        circuit.killed = true;
        self.forget(id);
    }

    /// Hands over a value to be sent.
    pub fn send(&mut self, id: usize, value: Vec<u8>) {
        let circuit = &mut self.circuits[id];
        circuit.sent += 1;
        circuit.outbox.push_back(value);
    }

    /// The longest value that the other end takes.
    pub fn limit_of(&mut self, id: usize) -> usize {
        let Some(handle) = self.circuits[id].handle else { return 0 };
        let (link, mut slots, _) = self.port.parts();
        link.limit(&mut slots, handle) as usize
    }

    /// Ends the sending half.
    pub fn end(&mut self, id: usize) {
        self.circuits[id].ending = true;
    }

    /// Asks to be told when everything written so far is taken.
    pub fn ask(&mut self, id: usize) {
        let circuit = &mut self.circuits[id];
        let Some(handle) = circuit.handle else { return };
        circuit.asking = Some(circuit.started);
        let (link, mut slots, _) = self.port.parts();
        link.ask(&mut slots, handle, Total::new(circuit.started));
    }

    /// Takes a value, or learns how the circuit ended.
    pub fn take(&mut self, id: usize) -> Outcome {
        let circuit = &mut self.circuits[id];
        let (link, mut slots, _) = self.port.parts();
        if let Some(value) = circuit.inbox.pop_front() {
            circuit.taken += 1;
            let charge = Link::charge(value.len() as u32);
            circuit.held -= charge;
            if let Some(handle) = circuit.handle {
                let total = Total::new(circuit.taken);
                let now = circuit.asked.is_some_and(|asked| total.at_least(asked));
                if now {
                    circuit.asked = None;
                }
                link.taken(&mut slots, handle, total, now);
                link.consumed(&mut slots, handle, charge);
            }
            return Outcome::Value(value);
        }
        let ended = circuit.in_end || circuit.dead.is_some();
        if ended
            && !circuit.drained
            && circuit.receives()
            && let Some(handle) = circuit.handle
        {
            circuit.drained = true;
            link.drained(&mut slots, handle);
            if circuit.done || circuit.dead.is_some() {
                self.forget(id);
            }
        }
        match (&self.circuits[id].dead, self.circuits[id].in_end) {
            (_, true) => Outcome::Closed,
            (&Some(dead), _) => Outcome::Dead(dead),
            _ => Outcome::Empty,
        }
    }

    /// Takes bytes off the wire.
    pub fn receive(&mut self, bytes: &[u8]) {
        let mut port = core::mem::replace(&mut self.port, Port::new(IDLE, 1, Instant::ZERO));
        port.receive(bytes, |port, event| self.on_event(port, event));
        self.port = port;
        self.after_fault();
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        self.port.tick(now);
        self.after_fault();
    }

    /// The transport is gone.
    pub fn cut(&mut self) {
        if self.port.fault.is_none() {
            let fault = Fault::Goodbye(Reason::LinkLost);
            self.port.link.fail(fault);
            self.port.fault = Some(fault);
        }
        self.port.output.clear();
        self.after_fault();
    }

    /// Writes all that can be written now.
    pub fn pump(&mut self) {
        self.port.control();
        for id in 0..self.circuits.len() {
            while self.start(id) {}
        }
        while self.fragment() {}
        self.port.control();
    }

    /// Begins the next message of a circuit, or its end: whether there was one that may begin.
    pub fn start(&mut self, id: usize) -> bool {
        let circuit = &mut self.circuits[id];
        let (Some(handle), Stage::Open) = (circuit.handle, circuit.stage) else { return false };
        let (link, mut slots, _) = self.port.parts();
        let Some(value) = circuit.outbox.front() else {
            if circuit.ending && !circuit.ended && circuit.sends() {
                circuit.ended = true;
                link.end(&mut slots, handle);
                return true;
            }
            return false;
        };
        match link.start(&mut slots, handle, value.len()) {
            Ok(Start::Straight(head)) => self.port.data(head, [value, &[]]),
            Ok(Start::Queued) => circuit.writing = Some(value.clone()),
            Err(_) => return false,
        }
        circuit.outbox.pop_front();
        circuit.started += 1;
        true
    }

    /// Writes the next fragment: whether there was one that may be written.
    ///
    /// # Panics
    ///
    /// When the link asks for a fragment of a message that was not begun.
    pub fn fragment(&mut self) -> bool {
        let Some(fragment) = self.port.fragment() else { return false };
        let id = self.by_handle[&fragment.handle];
        let circuit = &mut self.circuits[id];
        let value = circuit.writing.as_ref().expect("a message was queued");
        self.port.data(fragment.head, [&value[fragment.offset..][..fragment.len], &[]]);
        if fragment.last {
            assert_eq!(value.len(), fragment.offset + fragment.len, "the last fragment completes it");
            circuit.writing = None;
        }
        true
    }

    /// Circuits that the program may still use.
    pub fn live(&self) -> impl Iterator<Item = usize> {
        (0..self.circuits.len()).filter(|&id| self.circuits[id].stage != Stage::Over)
    }

    /// Whether no circuit is open and nothing is queued.
    pub fn is_quiet(&self) -> bool {
        self.by_handle.is_empty() && self.port.is_quiet()
    }

    fn on_event(&mut self, port: &mut Port, event: Event<'_>) {
        match event {
            Event::Open(handle, open) => {
                let direction = Direction::of_acceptor(open.flags);
                let mut circuit = Circuit::new(open.name, handle, direction, Stage::Offered);
                circuit.brought = open.body.map(<[u8]>::to_vec);
                let id = self.add(circuit);
                if self.policy == Policy::Accept {
                    core::mem::swap(&mut self.port, port);
                    self.accept(id);
                    core::mem::swap(&mut self.port, port);
                }
            }
            Event::Accepted(handle, which) => {
                let circuit = self.at(handle);
                assert!(which < circuit.offers, "what was not offered was chosen");
                (circuit.stage, circuit.which) = (Stage::Open, which);
            }
            Event::Data(handle, part, bytes) => {
                let window = self.window;
                let circuit = self.at(handle);
                circuit.on_data(part, bytes);
                assert!(circuit.held <= window, "more held than was granted");
            }
            Event::Taken(handle, total) => self.at(handle).confirmed = total.get(),
            Event::Asked(handle, total) => {
                let circuit = self.at(handle);
                let taken = Total::new(circuit.taken);
                let now = taken.at_least(total);
                circuit.asked = (!now).then_some(total);
                let (link, mut slots, _) = port.parts();
                link.taken(&mut slots, handle, taken, now);
            }
            Event::End(handle) => self.at(handle).in_end = true,
            Event::Done(handle) => {
                let circuit = self.at(handle);
                circuit.done = true;
                circuit.confirmed = circuit.started;
                if !circuit.receives() || circuit.drained {
                    self.forget(self.by_handle[&handle]);
                }
            }
            Event::Dead(handle, frame) => {
                let circuit = self.at(handle);
                circuit.dead = Some(frame.dead);
                circuit.detail = frame.detail.into();
                circuit.writing = None;
                if circuit.sends() {
                    circuit.confirmed = frame.taken.get();
                }
                if circuit.stage != Stage::Open || !circuit.receives() || circuit.drained {
                    self.forget(self.by_handle[&handle]);
                }
            }
            Event::Nothing | Event::Granted(_) | Event::Up(_) => {}
            Event::Tree(frame) => self.told.push(match frame {
                TreeFrame::Adopt { id, .. } => TreeTold::Adopt(id),
                TreeFrame::Allocate(count) => TreeTold::Allocate(count),
                TreeFrame::Grant { start, count } => TreeTold::Grant(start, count),
                TreeFrame::AddRoute { id, via, .. } => TreeTold::AddRoute(id, via),
                TreeFrame::DelRoute(id, _) => TreeTold::DelRoute(id),
                TreeFrame::Shutdown { grace_ms } => TreeTold::Shutdown(grace_ms),
            }),
            Event::Attach(_, handle, ..) => {
                let (link, mut slots, _) = port.parts();
                link.kill(&mut slots, handle, Dead::here(Reason::Refused), "");
            }
        }
    }

    fn after_fault(&mut self) {
        let Some(fault) = self.port.fault else { return };
        for id in 0..self.circuits.len() {
            let circuit = &mut self.circuits[id];
            if circuit.stage != Stage::Over {
                let lost = Dead { reason: fault.reason(), at: Place::Here };
                circuit.dead = circuit.dead.or(Some(lost));
                circuit.writing = None;
                self.forget(id);
            }
        }
    }

    fn add(&mut self, circuit: Circuit) -> usize {
        let id = self.circuits.len();
        let handle = circuit.handle.expect("a new circuit has its handle");
        let before = self.by_handle.insert(handle, id);
        assert!(before.is_none(), "handle {handle} is in use");
        self.circuits.push(circuit);
        id
    }

    fn at(&mut self, handle: Handle) -> &mut Circuit {
        let id = *self.by_handle.get(&handle).expect("events name what the program has not forgotten");
        &mut self.circuits[id]
    }

    fn forget(&mut self, id: usize) {
        let circuit = &mut self.circuits[id];
        circuit.stage = Stage::Over;
        circuit.writing = None;
        if let Some(handle) = circuit.handle.take() {
            self.by_handle.remove(&handle);
        }
    }
}

/// Stands in a node's place while its port is at work.
pub(super) const IDLE: LinkConfig = LinkConfig {
    circuits: 0,
    ..LinkConfig::stream(crate::proto::Identity {
        name: match crate::proto::Name::new("idle") {
            Ok(name) => name,
            Err(_) => unreachable!(),
        },
        uid: 0,
        boot: 0,
    })
};
