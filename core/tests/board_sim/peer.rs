//! The host at the other end of the line, and what its program does at random.

use std::collections::BTreeMap;

use netchan::Message;
use netchan::message::Shape;
use netchan::proto::{Fault, Fingerprints, Instant, LinkConfig, Open, OpenFlags, Reason};
use netchan::testing::{Node, Outcome, Port, Rng, Stage, identity};

use crate::board::{Block, LINE, block, number};
use crate::world::{Ledger, Report};

/// What it imports of the board: name, as which end, fingerprint.
fn imports() -> [(&'static str, OpenFlags, u64); 8] {
    let of = u32::FINGERPRINT.get();
    let both = |what| Shape::end(what, &[u32::FINGERPRINT, u32::FINGERPRINT], 0).fingerprint().get();
    [
        ("out", OpenFlags::RECEIVES, of),
        ("in", OpenFlags::SENDS, of),
        ("talk", OpenFlags::BOTH, both("duplex")),
        ("load", OpenFlags::RECEIVES.with(OpenFlags::LATEST), of),
        ("goal", OpenFlags::SENDS.with(OpenFlags::LATEST), of),
        ("sum", OpenFlags::BOTH.with(OpenFlags::CALLS), both("call")),
        ("blocks", OpenFlags::RECEIVES, Block::FINGERPRINT.get()),
        ("load-blocks", OpenFlags::SENDS, Block::FINGERPRINT.get()),
    ]
}

/// What the program knows of one circuit.
#[derive(Default)]
struct Talk {
    tag: u32,
    sent: u32,
    /// The last value that came.
    last: Option<u32>,
    /// Calls under way, by their ids.
    calls: BTreeMap<u8, u32>,
    next_call: u8,
}

pub(crate) struct Peer {
    pub(crate) node: Node,
    talks: Vec<Talk>,
    /// The last value of each export that any circuit has received.
    /// The newest circuit of a name that has brought something, and the last value of it.
    newest: BTreeMap<String, ((u64, usize), u32)>,
    starts: u64,
    links: u64,
    tags: u32,
}

impl Peer {
    pub(crate) fn new() -> Self {
        let node = Node::new(LinkConfig::line(identity("host", 9), &LINE, 8), 1, Instant::ZERO);
        Self { node, talks: Vec::new(), newest: BTreeMap::new(), starts: 0, links: 0, tags: 0 }
    }

    /// The program starts, again or for the first time.
    pub(crate) fn start(&mut self, now: Instant) {
        self.starts += 1;
        self.talks.clear();
        self.node = Node::new(self.link(), 1, now);
        self.relink(now);
    }

    /// Another link on the same line.
    pub(crate) fn relink(&mut self, now: Instant) {
        self.links += 1;
        self.node.cut();
        let (config, nonce) = (self.link(), self.links << 40 | 0x77);
        self.node.port = Port::on_line(config, LINE, nonce, now);
        (self.node.window, self.node.limit) = (600, 200);
    }

    fn link(&self) -> LinkConfig {
        let mut who = identity("host", 9);
        who.boot = self.starts;
        LinkConfig::line(who, &LINE, 8)
    }

    /// Why its link is down; only ever for what lines and restarts do.
    pub(crate) fn fault(&self) -> Option<Fault> {
        let fault = self.node.port.fault?;
        let line = matches!(
            fault,
            Fault::Unresponsive
                | Fault::Unacknowledged
                | Fault::Restarted(_)
                | Fault::NoHello
                | Fault::Noise
                | Fault::NotNetchan
                | Fault::Goodbye(Reason::LinkLost | Reason::Shutdown)
        );
        assert!(line, "the board has broken the protocol: {fault}");
        Some(fault)
    }

    /// One turn of the program.
    pub(crate) fn turn(&mut self, rng: &mut Rng, ledger: &mut Ledger, report: &mut Report, busy: usize) {
        if rng.one_in(busy * 8) {
            self.open(rng, report);
        }
        for id in 0..self.node.circuits.len() {
            self.talks.resize_with(self.node.circuits.len(), Talk::default);
            if rng.one_in(busy) {
                self.take(id, rng, ledger, report);
            }
            if rng.one_in(busy) {
                self.send(id, rng, ledger);
            }
            if rng.one_in(busy * 60) && self.node.circuits[id].stage == Stage::Open {
                match rng.below(3) {
                    0 => self.node.kill(id, Reason::HungUp),
                    1 => self.node.end(id),
                    _ => self.node.ask(id),
                }
            }
        }
    }

    fn open(&mut self, rng: &mut Rng, report: &mut Report) {
        let all = imports();
        let (name, flags, fingerprint) = all[rng.below(all.len())];
        let (name, flags, fingerprint) = match rng.below(12) {
            0 => ("nothing", flags, fingerprint),
            1 => (name, OpenFlags::SENDS, fingerprint),
            2 => (name, flags, fingerprint ^ 1),
            _ => (name, flags, fingerprint),
        };
        let is_live = |node: &Node| node.live().any(|id| node.circuits[id].name == name);
        if is_live(&self.node) && !rng.one_in(6) {
            return;
        }
        let _ = report;
        self.import(name, flags, fingerprint);
    }

    fn import(&mut self, name: &str, flags: OpenFlags, fingerprint: u64) {
        let receives = flags.has(OpenFlags::RECEIVES);
        let (credit, limit) = if receives { (self.node.window, self.node.limit) } else { (0, 0) };
        let fingerprints = Fingerprints::new(fingerprint, &[]);
        let open = Open {
            flags,
            wait_ms: 0,
            credit,
            limit,
            values: 0,
            name,
            fingerprints,
            type_name: "sim",
            route: None,
            body: None,
        };
        // Without room it tries again another time.
        if let Ok(id) = self.node.open_as(&open) {
            self.talks.resize_with(id + 1, Talk::default);
        }
    }

    /// Imports all that it has no circuit of.
    pub(crate) fn import_all(&mut self) {
        for (name, flags, fingerprint) in imports() {
            if !self.node.live().any(|id| self.node.circuits[id].name == name) {
                self.import(name, flags, fingerprint);
            }
        }
    }

    /// Whether all of it is open, and the board's imports too.
    pub(crate) fn has_all(&self) -> bool {
        let is_open = |name: &str| {
            self.node.circuits.iter().any(|circuit| circuit.name == name && circuit.stage == Stage::Open)
        };
        imports().iter().all(|(name, ..)| is_open(name))
            && ["feed", "sink", "ask"].iter().all(|name| is_open(name))
    }

    /// Gives everything up.
    pub(crate) fn leave_all(&mut self) {
        for id in 0..self.node.circuits.len() {
            self.node.kill(id, Reason::HungUp);
        }
    }

    fn take(&mut self, id: usize, rng: &mut Rng, ledger: &mut Ledger, report: &mut Report) {
        let before = self.node.circuits[id].dead;
        let outcome = self.node.take(id);
        let circuit = &self.node.circuits[id];
        if let Some(dead) = circuit.dead
            && before.is_none()
        {
            let _ = dead;
        }
        let Outcome::Value(bytes) = outcome else { return };
        let (name, talk) = (circuit.name.clone(), &mut self.talks[id]);
        report.to_peer += 1;
        match name.as_str() {
            "sum" => {
                let n = talk.calls.remove(&bytes[0]).expect("it was called, and not answered before");
                if bytes[1] == 0 {
                    assert_eq!(u32::decode(&bytes[2..]).unwrap(), n * 2, "the answer to this question");
                } else {
                    assert_eq!(bytes[1..], [1, Reason::HandlerGone.get()]);
                }
                report.calls += 1;
            }
            "ask" => {
                let at = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap();
                let mut reply = bytes[..=at].to_vec();
                if rng.one_in(6) {
                    reply.extend([1, Reason::HandlerGone.get()]);
                } else {
                    let n = u32::decode(&bytes[at + 3..]).unwrap();
                    reply.push(0);
                    (n + 1).encode_to(&mut reply).unwrap();
                }
                self.node.send(id, reply);
            }
            _ => {
                let value = if name == "blocks" { number(&bytes) } else { u32::decode(&bytes).unwrap() };
                let is_latest = name == "load";
                let this = (self.starts, id);
                match talk.last {
                    Some(last) if is_latest => assert!(value > last, "{name}: {value} after {last}"),
                    Some(last) => assert_eq!(value, last + 1, "{name}: once each, and in order"),
                    None => {
                        // What an older circuit still has is older.
                        let newest = self.newest.get(&name).filter(|(circuit, _)| *circuit < this);
                        let is_new =
                            newest.is_none_or(|&(_, last)| value > last || is_latest && value == last);
                        assert!(is_new, "{name}: {value} after {newest:?}");
                    }
                }
                talk.last = Some(value);
                let newest = self.newest.entry(name.clone()).or_insert((this, value));
                *newest = (*newest).max((this, value));
                ledger.peer_took(&name, value);
            }
        }
    }

    fn send(&mut self, id: usize, rng: &mut Rng, ledger: &mut Ledger) {
        let circuit = &self.node.circuits[id];
        if circuit.stage != Stage::Open || circuit.ending || circuit.outbox.len() > 2 {
            return;
        }
        let talk = &mut self.talks[id];
        let name = circuit.name.as_str();
        if name == "sum" {
            let id_byte = talk.next_call & 0x7f;
            if talk.calls.contains_key(&id_byte) || talk.calls.len() > 3 {
                return;
            }
            talk.next_call += 1;
            let n = rng.below(1000) as u32;
            talk.calls.insert(id_byte, n);
            let mut request = vec![id_byte, 0, 0];
            n.encode_to(&mut request).unwrap();
            self.node.send(id, request);
            return;
        }
        if !matches!(name, "in" | "talk" | "goal" | "load-blocks" | "feed") || talk.sent > 0xff0 {
            return;
        }
        if talk.tag == 0 {
            self.tags += 1;
            talk.tag = self.tags;
            ledger.begin(talk.tag);
        }
        let value = talk.tag << 12 | talk.sent;
        talk.sent += 1;
        let bytes = if name == "load-blocks" {
            block(value).to_vec()
        } else {
            let mut bytes = Vec::new();
            value.encode_to(&mut bytes).unwrap();
            bytes
        };
        let is_latest = name == "goal";
        self.node.send(id, bytes);
        if is_latest {
            // A program that sets a latest value keeps one.
            let outbox = &mut self.node.circuits[id].outbox;
            while outbox.len() > 1 {
                outbox.pop_front();
            }
        }
    }

    /// What the board has taken of each circuit lies within what this side knows.
    pub(crate) fn check_accounts(&self, ledger: &Ledger) {
        for (circuit, talk) in self.node.circuits.iter().zip(&self.talks) {
            if talk.tag > 0 && circuit.name != "goal" {
                let taken = ledger.board_took(talk.tag);
                assert!(
                    circuit.confirmed <= taken && taken <= circuit.started,
                    "{}: {} confirmed, {taken} taken, {} begun",
                    circuit.name,
                    circuit.confirmed,
                    circuit.started
                );
            }
        }
    }
}
