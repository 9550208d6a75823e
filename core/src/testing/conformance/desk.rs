//! The other end of a specimen's link: an honest peer, whose program is the check.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::contract::{
    DOUBLE, DOUBLE_TYPE, ECHO, ECHO_TYPE, FEED, NEWEST, ORDER, Order, Piece, REPORT, SINK, SOURCE, TOLD,
    order,
};
use super::hand::Hand;
use super::limit::Limit;
use super::{Failure, Flow, Specimen, Way};
use crate::message::Message;
use crate::proto::{Blocked, Dead, Fault, Fingerprints, Instant, LinkConfig, Open, OpenFlags, Reason, Total};
use crate::testing::{Node, Outcome, Port, Stage, identity};

/// Nothing that is waited for takes longer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that this side grants to a circuit at most.
const WINDOW: u32 = 4096;
/// Circuits that the specimen may open.
const CIRCUITS: u32 = 64;
/// Bytes of a line's packets that are written at a time.
const AT_A_TIME: usize = 1024;

pub(super) type Result<T = (), E = Failure> = core::result::Result<T, E>;

/// Which side of a link has the higher nonce, and so opens odd handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nonce {
    Low,
    High,
}

/// An honest peer of the specimen.
pub(super) struct Desk<'w> {
    pub(super) way: &'w mut dyn Way,
    pub(super) specimen: &'w Specimen,
    pub(super) node: Node,
    /// Number of this side's program start.
    pub(super) boot: u64,
    links: u64,
    pub(super) limit: Limit,
    /// The circuit of `order`, in this session.
    orders: Option<usize>,
}

/// Opens `echo`.
pub(super) fn echo() -> Open<'static> {
    open(ECHO, OpenFlags::BOTH, ECHO_TYPE)
}

/// Opens `source`.
pub(super) fn source() -> Open<'static> {
    open(SOURCE, OpenFlags::RECEIVES, u32::FINGERPRINT.get())
}

/// Opens `sink`.
pub(super) fn sink() -> Open<'static> {
    open(SINK, OpenFlags::SENDS, u32::FINGERPRINT.get())
}

/// Opens `double`.
pub(super) fn double() -> Open<'static> {
    open(DOUBLE, OpenFlags::BOTH.with(OpenFlags::CALLS), DOUBLE_TYPE)
}

/// Opens `newest`.
pub(super) fn newest() -> Open<'static> {
    open(NEWEST, OpenFlags::RECEIVES.with(OpenFlags::LATEST), u32::FINGERPRINT.get())
}

/// Opens `told`.
pub(super) fn told() -> Open<'static> {
    open(TOLD, OpenFlags::RECEIVES.with(OpenFlags::LATEST), u32::FINGERPRINT.get())
}

/// Opens `order`.
pub(super) fn orders() -> Open<'static> {
    open(ORDER, OpenFlags::SENDS, Order::FINGERPRINT.get())
}

/// Opens something.
pub(super) fn open(name: &str, flags: OpenFlags, fingerprint: u64) -> Open<'_> {
    let receives = flags.has(OpenFlags::RECEIVES);
    let (credit, limit) = if receives { (WINDOW, WINDOW - 4) } else { (0, 0) };
    let fingerprints = Fingerprints::new(fingerprint, &[]);
    let (wait_ms, values, type_name, route, body) = (0, 0, "desk", None, None);
    Open { flags, wait_ms, credit, limit, values, name, fingerprints, type_name, route, body }
}

/// An encoded value.
pub(super) fn encoded<T: Message>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What the suite sends is numbers and bytes, which always encode.
    let _ = value.encode_to(&mut bytes);
    bytes
}

/// A piece with a number, which says what it is everywhere.
pub(super) fn piece(n: u32, len: usize) -> Vec<u8> {
    let len = len.min(160);
    (0..len).map(|at| (n as usize * 31 + at * 7) as u8).collect()
}

/// What was wanted, and what came.
pub(super) fn differs(what: &str, wanted: impl fmt::Debug, got: impl fmt::Debug) -> Failure {
    Failure::Differs { what: what.to_string(), wanted: format!("{wanted:?}"), got: format!("{got:?}") }
}

/// That both are the same.
pub(super) fn same<T: fmt::Debug + PartialEq>(what: &str, wanted: T, got: T) -> Result {
    if wanted == got { Ok(()) } else { Err(differs(what, wanted, got)) }
}

impl<'w> Desk<'w> {
    /// Without a link, and with so much time.
    pub(super) fn new(way: &'w mut dyn Way, specimen: &'w Specimen, bound: Duration) -> Self {
        let config = config(specimen, 1);
        let node = Node::new(config, 1, way.now());
        let limit = Limit::new(way.now(), bound);
        Self { way, specimen, node, boot: 1, links: 0, limit, orders: None }
    }

    pub(super) fn now(&self) -> Instant {
        self.way.now()
    }

    /// The specimen's dead-time, so often.
    pub(super) fn dead(&self, quarters: u32) -> Duration {
        self.specimen.dead * quarters / 4
    }

    /// A new link that is not up yet.
    pub(super) fn link(&mut self, nonce: Nonce) -> Result {
        self.way.renew()?;
        self.links += 1;
        self.orders = None;
        let (now, config) = (self.way.now(), config(self.specimen, self.boot));
        // Another one for each link, also of other desks at the same specimen.
        let number = self.links << 40 | now.as_micros() & 0xff_ffff_ffff;
        let nonce = if nonce == Nonce::Low { number } else { u64::MAX - number };
        self.node = Node::new(config, nonce, now);
        self.node.port = match self.specimen.line() {
            None => Port::new(config, nonce, now),
            Some(line) => Port::on_line(config, line, nonce, now),
        };
        (self.node.window, self.node.limit) = (WINDOW, WINDOW - 4);
        Ok(())
    }

    /// A new link that is up.
    pub(super) fn up(&mut self) -> Result {
        self.up_as(if self.links.is_multiple_of(2) { Nonce::Low } else { Nonce::High })
    }

    /// As [`Desk::up`]; where a bring-up fails on a bad line, there is another one.
    pub(super) fn up_as(&mut self, nonce: Nonce) -> Result {
        let until = self.now() + PATIENCE;
        self.limit.waits_for("the bring-up");
        self.link(nonce)?;
        loop {
            if self.node.port.is_up() {
                return Ok(());
            }
            if let Some(fault) = self.node.port.fault {
                if self.now() > until {
                    return Err(Failure::Ended { during: "the bring-up".into(), fault });
                }
                self.link(nonce)?;
            }
            if self.now() > until {
                return Err(Failure::Vain { what: "the bring-up".into(), instead: "nothing".into() });
            }
            self.step()?;
        }
    }

    /// A peer by hand, on a new link that is up.
    pub(super) fn by_hand(&mut self) -> Result<Hand<'_>> {
        let mut hand = self.stranger()?;
        hand.bring_up()?;
        Ok(hand)
    }

    /// A peer by hand, on a new link on which nothing was said.
    pub(super) fn stranger(&mut self) -> Result<Hand<'_>> {
        // This side's own link is over, whatever becomes of it.
        self.node.cut();
        self.orders = None;
        self.links += 1;
        self.way.renew()?;
        let number = self.links << 40 | self.way.now().as_micros() & 0xff_ffff_ffff;
        Ok(Hand::new(self.way, self.specimen, &mut self.limit, number, self.boot))
    }

    /// Moves bytes.
    pub(super) fn step(&mut self) -> Result {
        let now = self.way.now();
        self.limit.check(now)?;
        self.node.tick(now);
        self.node.pump();
        let out = self.node.port.transmit_some(AT_A_TIME);
        let mut came = Vec::new();
        let flow = self.way.step(&out, &mut came)?;
        self.node.receive(&came);
        if flow == Flow::Ended {
            // What came before the end is taken.
            self.node.cut();
        }
        Ok(())
    }

    /// Goes on until `done` has something. The link is not to end before.
    pub(super) fn until<T>(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> Option<T>) -> Result<T> {
        let until = self.now() + PATIENCE;
        self.limit.waits_for(what);
        loop {
            if let Some(result) = done(self) {
                return Ok(result);
            }
            if let Some(fault) = self.node.port.fault {
                return Err(Failure::Ended { during: what.into(), fault });
            }
            if self.now() > until {
                return Err(Failure::Vain { what: what.into(), instead: self.state() });
            }
            self.step()?;
        }
    }

    /// Lets time pass in which the link is not to end.
    pub(super) fn pass(&mut self, time: Duration) -> Result {
        let until = self.now() + time;
        while self.now() < until {
            if let Some(fault) = self.node.port.fault {
                return Err(Failure::Ended { during: format!("{time:?} to pass"), fault });
            }
            self.step()?;
        }
        Ok(())
    }

    /// Waits until the link has ended: why.
    pub(super) fn ended(&mut self, what: &str) -> Result<Fault> {
        let until = self.now() + PATIENCE;
        self.limit.waits_for(what);
        loop {
            if let Some(fault) = self.node.port.fault {
                return Ok(fault);
            }
            if self.now() > until {
                return Err(Failure::Vain { what: what.into(), instead: "a link that goes on".into() });
            }
            self.step()?;
        }
    }

    /// What is there, in words.
    fn state(&self) -> String {
        let circuits = self.node.circuits.iter().filter(|circuit| circuit.handle.is_some());
        let mut words = String::from("a link");
        for it in circuits {
            words += &format!(
                "; {} {:?}, sent {} of {}, confirmed {}, received {}",
                it.name, it.stage, it.started, it.sent, it.confirmed, it.received
            );
        }
        words
    }

    /// Opens a circuit as soon as there is room for it, and waits for nothing.
    pub(super) fn begin(&mut self, open: &Open<'_>) -> Result<usize> {
        self.until(&format!("room to open {}", open.name), |desk| match desk.node.open_as(open) {
            Ok(id) => Some(Ok(id)),
            Err(Blocked::NoSlot { .. } | Blocked::NoRoom) => None,
            Err(other) => Some(Err(differs(open.name, "a circuit", other))),
        })?
    }

    /// Imports a channel. One that is still closing, for its last importer has left a moment ago, is asked for again.
    pub(super) fn import(&mut self, open: &Open<'_>) -> Result<usize> {
        self.import_unless(open, &[Reason::Busy, Reason::NoName])
    }

    /// Imports a channel for which room was given up a moment ago: its program may have to look once more before it is there.
    pub(super) fn import_into_room(&mut self, open: &Open<'_>) -> Result<usize> {
        self.import_unless(open, &[self.specimen.no_room])
    }

    /// One that is refused for such a reason is asked for again.
    fn import_unless(&mut self, open: &Open<'_>, passing: &[Reason]) -> Result<usize> {
        let until = self.now() + PATIENCE;
        loop {
            let id = self.begin(open)?;
            let dead = self.until(&format!("{} to be accepted", open.name), |desk| {
                let circuit = &desk.node.circuits[id];
                circuit.dead.map(Some).or_else(|| (circuit.stage == Stage::Open).then_some(None))
            })?;
            let Some(dead) = dead else { return Ok(id) };
            if !passing.contains(&dead.reason) || self.now() > until {
                return Err(differs(open.name, "it accepted", dead));
            }
            self.step()?;
        }
    }

    /// Opens what is to be refused: why, and the word to it.
    pub(super) fn refused(&mut self, open: &Open<'_>) -> Result<(Reason, String)> {
        let id = self.begin(open)?;
        self.until(&format!("{} to be refused", open.name), |desk| {
            let circuit = &desk.node.circuits[id];
            if let Some(dead) = circuit.dead {
                return Some(Ok((dead.reason, circuit.detail.clone())));
            }
            let is_open = circuit.stage == Stage::Open;
            is_open.then(|| Err(differs(open.name, "a refusal", "it was accepted")))
        })?
    }

    /// The next value of a circuit.
    pub(super) fn take(&mut self, id: usize) -> Result<Vec<u8>> {
        let what = format!("a value by {}", self.node.circuits[id].name);
        self.until(&what, |desk| match desk.node.take(id) {
            Outcome::Value(bytes) => Some(Ok(bytes)),
            Outcome::Empty => None,
            over => Some(Err(differs(&what, "a value", over))),
        })?
    }

    /// The next number of a circuit.
    pub(super) fn number(&mut self, id: usize) -> Result<u32> {
        let bytes = self.take(id)?;
        u32::decode(&bytes).map_err(|_| differs(&self.node.circuits[id].name, "a number", bytes))
    }

    /// How a circuit ends, with no value before.
    pub(super) fn end_of(&mut self, id: usize) -> Result<Option<Dead>> {
        let what = format!("the end of {}", self.node.circuits[id].name);
        self.until(&what, |desk| match desk.node.take(id) {
            Outcome::Closed => Some(Ok(None)),
            Outcome::Dead(dead) => Some(Ok(Some(dead))),
            Outcome::Empty => None,
            value => Some(Err(differs(&what, "an end", value))),
        })?
    }

    /// Waits until nothing of a circuit is left, on either side: its handle may be used again.
    pub(super) fn free(&mut self, id: usize) -> Result {
        let what = format!("{} to be free", self.node.circuits[id].name);
        let is_over = |desk: &mut Self| desk.node.circuits[id].stage == Stage::Over;
        self.until(&what, |desk| is_over(desk).then_some(()))?;
        self.until(&what, |desk| {
            desk.node.port.mine.iter().filter(|slot| !slot.is_free()).count().le(&desk.live()).then_some(())
        })
    }

    /// Circuits of this side that its program has not done with.
    fn live(&self) -> usize {
        let link = &self.node.port.link;
        self.node.circuits.iter().filter(|it| it.handle.is_some_and(|handle| link.is_mine(handle))).count()
    }

    /// Ends what this side sends, and waits until the other one has ended as well, in order, and taken all.
    pub(super) fn close(&mut self, id: usize) -> Result {
        self.node.end(id);
        if self.node.circuits[id].receives() {
            let end = self.end_of(id)?;
            same(&self.node.circuits[id].name.clone(), None, end)?;
        }
        self.until("the orderly end", |desk| {
            let circuit = &desk.node.circuits[id];
            (circuit.done || circuit.dead.is_some()).then_some(())
        })?;
        let circuit = &self.node.circuits[id];
        if let Some(dead) = circuit.dead {
            return Err(differs(&circuit.name, "an orderly end", dead));
        }
        same(&circuit.name, circuit.sent, circuit.confirmed)?;
        self.free(id)
    }

    /// Ends what this side sends, and hangs up when all of it is taken: the orderly end of a conversation, whose other side need not end by
    /// itself.
    pub(super) fn part(&mut self, id: usize) -> Result {
        let count = self.node.circuits[id].sent;
        self.node.end(id);
        self.until("all to be written", |desk| desk.node.circuits[id].ended.then_some(()))?;
        self.confirmed(id, count)?;
        self.node.kill(id, Reason::HungUp);
        self.free(id)
    }

    /// Gives a circuit up, and waits until the specimen has answered.
    pub(super) fn hang_up(&mut self, id: usize) -> Result {
        self.node.kill(id, Reason::HungUp);
        self.free(id)
    }

    /// Wants to be told as soon as so many values are taken.
    pub(super) fn ask(&mut self, id: usize, count: u32) {
        let Some(handle) = self.node.circuits[id].handle else { return };
        let (link, mut slots, _) = self.node.port.parts();
        link.ask(&mut slots, handle, Total::new(count));
    }

    /// Waits until so many values are confirmed, and asks for that.
    pub(super) fn confirmed(&mut self, id: usize, count: u32) -> Result {
        self.ask(id, count);
        let what = format!("{count} values of {} to be taken", self.node.circuits[id].name);
        self.until(&what, |desk| (desk.node.circuits[id].confirmed >= count).then_some(()))
    }

    /// Orders something, and waits until it is obeyed.
    pub(super) fn order(&mut self, what: u8, number: u32) -> Result {
        self.order_at_once(what, number)?;
        // That it was taken does not say that it was obeyed; that the next one was taken does.
        let id = self.order_at_once(order::NOTHING, 0)?;
        let is_written = |desk: &mut Self| desk.node.circuits[id].outbox.is_empty().then_some(());
        self.until("the order to be written", is_written)?;
        let count = self.node.circuits[id].sent;
        self.confirmed(id, count)
    }

    /// Orders something, and waits for nothing: the circuit of orders.
    pub(super) fn order_at_once(&mut self, what: u8, number: u32) -> Result<usize> {
        let id = match self.orders {
            Some(id) => id,
            None => {
                let id = self.import(&orders())?;
                *self.orders.insert(id)
            }
        };
        let bytes: Order = (what, number);
        self.node.send(id, encoded(&bytes));
        Ok(id)
    }

    /// What `told` says: how often an importer of `echo` was lost, and why the last one.
    pub(super) fn losses(&mut self) -> Result<(u32, Reason)> {
        let id = self.import(&told())?;
        let value = self.number(id)?;
        self.hang_up(id)?;
        Ok((value >> 8, Reason::new(value as u8)))
    }

    /// Waits until the specimen's program says that it has lost importers of `echo` since there were so many: how many there are, and why the last one.
    pub(super) fn lost_since(&mut self, before: u32) -> Result<(u32, Reason)> {
        let until = self.now() + PATIENCE;
        loop {
            let lost = self.losses()?;
            if lost.0 != before {
                return Ok(lost);
            }
            if self.now() > until {
                let what = "its program to be told that an importer is lost".into();
                return Err(Failure::Vain { what, instead: "nothing".into() });
            }
        }
    }

    /// Waits until the specimen's program says that it has lost one importer of `echo` more, for this reason.
    pub(super) fn told(&mut self, before: u32, wanted: Reason) -> Result {
        let lost = self.lost_since(before)?;
        same("what its program was told", (before + 1, wanted), lost)
    }

    /// The circuit that the specimen has opened for its import of this name.
    pub(super) fn imported(&mut self, name: &str) -> Result<usize> {
        self.until(&format!("its import of {name}"), |desk| {
            let all = &desk.node.circuits;
            all.iter().rposition(|it| it.name == name && it.stage == Stage::Open && it.handle.is_some())
        })
    }

    /// Ends the link in order.
    pub(super) fn leave(&mut self) -> Result {
        self.leave_for(Reason::Closed)
    }

    /// As [`Desk::leave`], with a reason.
    pub(super) fn leave_for(&mut self, reason: Reason) -> Result {
        self.node.port.link.goodbye(reason);
        let until = self.now() + PATIENCE;
        let is_written = |desk: &Self| {
            let line = desk.node.port.line.as_ref();
            desk.node.port.link.is_left()
                && desk.node.port.output.is_empty()
                && line.is_none_or(|end| end.line.is_idle())
        };
        // On a line the specimen may be gone as soon as it has heard it; what ends this link now is its next hello.
        while !is_written(self) && self.node.port.fault.is_none() && self.now() < until {
            self.step()?;
        }
        self.node.cut();
        Ok(())
    }

    /// Everything that a specimen does, in short: what a check may have broken.
    pub(super) fn works(&mut self) -> Result {
        if !self.node.port.is_up() {
            self.up()?;
        }
        self.order(order::GO, 0)?;
        self.order(order::SEND, 0)?;
        let id = self.import(&echo())?;
        for n in 0..4 {
            self.node.send(id, piece(n, 40 * n as usize));
        }
        for n in 0..4 {
            let got = self.take(id)?;
            same("an echo", piece(n, 40 * n as usize), got)?;
        }
        self.part(id)?;
        let id = self.import(&double())?;
        self.node.send(id, [&[1, 0, 0][..], &encoded(&21_u32)].concat());
        let got = self.take(id)?;
        same("an answer", [&[1, 0][..], &encoded(&42_u32)].concat(), got)?;
        self.close(id)?;
        let id = self.import(&source())?;
        self.order(order::SEND, 3)?;
        for n in 0..3 {
            let got = self.number(id)?;
            same("a number", n, got)?;
        }
        self.hang_up(id)?;
        let id = self.import(&sink())?;
        (0..3_u32).for_each(|n| self.node.send(id, encoded(&n)));
        self.close(id)?;
        let value = (self.links & 0xffff) as u32 + 1;
        self.order(order::SET, value)?;
        let id = self.import(&newest())?;
        let got = self.number(id)?;
        same("the newest value", value, got)?;
        self.hang_up(id)?;
        if self.specimen.imports {
            let (feed, report) = (self.imported(FEED)?, self.imported(REPORT)?);
            self.node.send(feed, encoded(&value));
            let got = self.number(report)?;
            same("what it has imported", value, got)?;
        }
        Ok(())
    }
}

/// How this side's link is to be.
fn config(specimen: &Specimen, boot: u64) -> LinkConfig {
    let mut who = identity("desk", 2);
    who.boot = boot;
    let config = match specimen.line() {
        None => LinkConfig { circuits: CIRCUITS, ..LinkConfig::stream(who) },
        Some(line) => LinkConfig::line(who, &line, CIRCUITS),
    };
    // Both sides' dead-times count, the longer one: what this one says is that of the specimen.
    let dead_ms = specimen.dead_ms();
    LinkConfig { dead_ms, hear_ms: dead_ms / 4, ..config }
}

/// That a piece is one.
const _: () = assert!(Piece::MAX_LEN.is_some());
