//! `spec/wire.md` and the code agree on the lives of circuits, the limits and the numbers.
//!
//! `NETCHAN_BLESS=1` writes what the code does into the specification; the diff is a decision.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;

use netchan::proto::{
    Above, Accept, Dead, DeadFrame, Direction, Fingerprints, Frame, Handle, Open, OpenFlags, Reason, Route,
    Slot, Total, TreeFrame,
};
use netchan::testing::{Pair, Port};

const SPEC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../spec/wire.md");

/// Replaces the part between `<!-- name -->` and `<!-- /name -->`, or compares it.
fn agree(name: &str, part: &str) {
    let spec = std::fs::read_to_string(SPEC).unwrap();
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = spec.split_once(&open).expect("the specification has the mark");
    let (found, after) = rest.split_once(&close).expect("the specification has the closing mark");
    if std::env::var_os("NETCHAN_BLESS").is_some() {
        std::fs::write(SPEC, format!("{before}{open}{part}{close}{after}")).unwrap();
    } else {
        assert_eq!(found, part, "spec/wire.md says otherwise; NETCHAN_BLESS=1 writes this");
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    Hears(&'static str),
    Does(&'static str),
}

const COLUMNS: [(&str, Input); 17] = [
    ("OPEN", Input::Hears("OPEN")),
    ("OPEN+", Input::Hears("OPEN+")),
    ("ACCEPT", Input::Hears("ACCEPT")),
    ("DATA", Input::Hears("DATA")),
    ("CREDIT", Input::Hears("CREDIT")),
    ("TAKEN", Input::Hears("TAKEN")),
    ("ASK", Input::Hears("ASK")),
    ("END", Input::Hears("END")),
    ("DONE", Input::Hears("DONE")),
    ("DEAD", Input::Hears("DEAD")),
    ("opens", Input::Does("opens")),
    ("opens+", Input::Does("opens+")),
    ("accepts", Input::Does("accepts")),
    ("ends", Input::Does("ends")),
    ("drained", Input::Does("drained")),
    ("kills", Input::Does("kills")),
    ("writes", Input::Does("writes")),
];

fn open_frame(flags: OpenFlags) -> Open<'static> {
    let (credit, limit) = if flags.has(OpenFlags::RECEIVES) { (64, 60) } else { (0, 0) };
    Open {
        flags,
        wait_ms: 0,
        credit,
        limit,
        values: 0,
        name: "x",
        fingerprints: Fingerprints::new(1, &[]),
        type_name: "",
        route: None,
        body: None,
    }
}

/// One side of a circuit whose peer is played by the test.
#[derive(Clone)]
struct Side {
    port: Port,
    handle: Handle,
    flags: OpenFlags,
    opener: bool,
}

impl Side {
    fn slot(&self) -> &Slot {
        self.port
            .mine
            .iter()
            .chain(&self.port.theirs)
            .find(|slot| !slot.is_free())
            .unwrap_or(&self.port.mine[0])
    }

    /// Whether the step is possible; a fault is not.
    fn apply(&mut self, input: Input) -> bool {
        let (granted, sent, received) = self.slot().honest_totals();
        let handle = self.handle;
        let frame = match input {
            Input::Hears("OPEN") => Frame::Open(handle, open_frame(self.flags)),
            Input::Hears("OPEN+") => Frame::Open(handle, Open { body: Some(b"x"), ..open_frame(self.flags) }),
            Input::Hears("ACCEPT") => Frame::Accept(handle, Accept { which: 0, credit: 64, limit: 60 }),
            Input::Hears("DATA") => Frame::Data(handle, netchan::proto::Part::Whole, b"x"),
            Input::Hears("CREDIT") => Frame::Credit(handle, granted),
            Input::Hears("TAKEN") => Frame::Taken(handle, sent),
            Input::Hears("ASK") => Frame::Ask(handle, received),
            Input::Hears("END") => Frame::End(handle, received),
            Input::Hears("DONE") => Frame::Done(handle, sent),
            Input::Hears(_) => {
                let dead = Dead::peer(Reason::HungUp);
                Frame::Dead(handle, DeadFrame { dead, taken: Total::ZERO, detail: "" })
            }
            Input::Does(act) => return self.act(act),
        };
        let mut bytes = [0; 128];
        // Who only receives has nothing to bring.
        let Ok(len) = frame.write(&mut bytes) else { return false };
        let (link, mut slots, _) = self.port.parts();
        link.handle(&mut slots, &bytes[..len]).is_ok()
    }

    fn act(&mut self, act: &str) -> bool {
        let (before, handle, flags) = (self.slot().life(), self.handle, self.flags);
        let (link, mut slots, output) = self.port.parts();
        match act {
            "opens" | "opens+" => {
                let body = (act == "opens+").then_some(&b"x"[..]);
                if before == "Free" && self.opener && (body.is_none() || flags.has(OpenFlags::SENDS)) {
                    let opened = link.open(&mut slots, &Open { body, ..open_frame(flags) }, output).unwrap();
                    assert_eq!(opened, handle);
                }
            }
            "accepts" => link.accept(&mut slots, handle, 0, 64, 60),
            "ends" => link.end(&mut slots, handle),
            "drained" => link.drained(&mut slots, handle),
            "kills" => link.kill(&mut slots, handle, Dead::here(Reason::HungUp), ""),
            _ => drop(self.port.control_one()),
        }
        self.slot().life() != before
    }
}

/// All states of one side, and where each input leads.
fn table(direction: Direction, opener: bool) -> BTreeMap<String, [Option<String>; COLUMNS.len()]> {
    let pair = Pair::up();
    let sends = direction == Direction::Sends;
    let flags = if sends == opener { OpenFlags::SENDS } else { OpenFlags::RECEIVES };
    // The side with the lower nonce, `a`, opens even handles.
    let port = if opener { pair.a.port } else { pair.b.port };
    let start = Side { port, handle: Handle::new(0), flags, opener };
    let mut table: BTreeMap<String, [Option<String>; COLUMNS.len()]> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(side) = queue.pop_front() {
        let mut row: [Option<String>; COLUMNS.len()] = Default::default();
        for (column, &(_, input)) in row.iter_mut().zip(&COLUMNS) {
            let mut next = side.clone();
            if next.apply(input) {
                *column = Some(next.slot().life());
                if !table.contains_key(&next.slot().life()) && next.slot().life() != side.slot().life() {
                    queue.push_back(next);
                }
            }
        }
        let name = side.slot().life();
        let known = table.entry(name.clone()).or_insert_with(|| row.clone());
        assert_eq!(*known, row, "the name {name:?} does not say all");
    }
    table
}

fn markdown(direction: Direction) -> String {
    let mut rows = table(direction, true);
    for (name, row) in table(direction, false) {
        let known = rows.entry(name.clone()).or_insert_with(|| row.clone());
        for (known, other) in known.iter_mut().zip(row) {
            if name == "Free" {
                // Only an opener opens, and only an acceptor hears OPEN.
                *known = known.take().or(other);
            } else {
                assert_eq!(*known, other, "opener and acceptor differ in {name:?}");
            }
        }
    }
    let mut text = String::from("| state |");
    for (name, _) in COLUMNS {
        write!(text, " {name} |").unwrap();
    }
    text += "\n|---|";
    text += &"---|".repeat(COLUMNS.len());
    text.push('\n');
    let numbers: BTreeMap<&str, usize> =
        rows.keys().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
    for (name, row) in &rows {
        write!(text, "| {} {name} |", numbers[name.as_str()]).unwrap();
        for ((_, input), cell) in COLUMNS.iter().zip(row) {
            match (cell, input) {
                (Some(next), _) if next == name => text += " = |",
                (Some(next), _) => write!(text, " {} |", numbers[next.as_str()]).unwrap(),
                (None, Input::Hears(_)) => text += " x |",
                (None, Input::Does(_)) => text += "  |",
            }
        }
        text.push('\n');
    }
    text
}

#[test]
fn the_lives_of_circuits_are_those_of_the_tables() {
    agree("life of a sender", &markdown(Direction::Sends));
    agree("life of a receiver", &markdown(Direction::Receives));
}

#[test]
fn the_reasons_are_those_of_the_list() {
    let mut reasons: Vec<_> = Reason::ALL.to_vec();
    reasons.sort_by_key(|reason| reason.get());
    let mut text = String::from("| number | reason | meaning |\n|---|---|---|\n");
    for reason in reasons {
        writeln!(text, "| {} | {reason:?} | {reason} |", reason.get()).unwrap();
    }
    agree("reasons", &text);
}

#[test]
fn the_longest_frames_are_those_of_the_table() {
    let handle = Handle::new(u32::MAX >> 3);
    let total = Total::new(u32::MAX);
    let text64 = "x".repeat(64);
    let open = Open {
        flags: OpenFlags::BOTH,
        wait_ms: u32::MAX,
        credit: u32::MAX,
        limit: u32::MAX,
        values: u32::MAX,
        name: &text64,
        fingerprints: Fingerprints::new(1, &[2, 3, 4]),
        type_name: &text64,
        route: None,
        body: None,
    };
    let dead = Dead { reason: Reason::TypeDiffers, at: netchan::proto::Place::Node(u32::MAX) };
    let name32 = "x".repeat(32);
    let hello = netchan::proto::Hello {
        oldest: 1,
        newest: 1,
        crc: true,
        kind: netchan::proto::LinkKind::Peer,
        adopts: false,
        bodies: false,
        window: 0,
        packet: u32::MAX,
        circuits: u32::MAX,
        dead_ms: u32::MAX,
        hear_ms: u32::MAX,
        nonce: 1,
        echo: 1,
        boot: 1,
        uid: 1,
        name: &name32,
    };
    let path = "x".repeat(32) + "/" + &"x".repeat(32) + "/" + &"x".repeat(32) + "/" + &"x".repeat(29);
    let route = Route { from: u32::MAX, hops: 15, to: 0, path: &path };
    // What does not fit beside the path is for the names to spare.
    let routed = Open { name: &text64[..12], type_name: "", route: Some(route), ..open };
    let above = (0..15).fold(Above::default(), |above, _| above.below(u32::MAX).unwrap());
    let frames = [
        ("HELLO", Frame::Hello(hello)),
        ("BEAT, PING, PONG", Frame::Beat),
        ("ACK", Frame::Ack(total)),
        ("GOODBYE", Frame::Goodbye(Reason::Closed)),
        ("QUIET", Frame::Quiet(30_000)),
        ("ADOPT", Frame::Tree(TreeFrame::Adopt { id: u32::MAX, above, place: &path })),
        ("ALLOCATE", Frame::Tree(TreeFrame::Allocate(u32::MAX))),
        ("GRANT", Frame::Tree(TreeFrame::Grant { start: u32::MAX, count: u32::MAX })),
        ("ADD_ROUTE", Frame::Tree(TreeFrame::AddRoute { id: u32::MAX, via: u32::MAX, name: &name32 })),
        ("DEL_ROUTE", Frame::Tree(TreeFrame::DelRoute(u32::MAX, Reason::LinkLost))),
        ("SHUTDOWN", Frame::Tree(TreeFrame::Shutdown { grace_ms: u32::MAX })),
        ("DATA, without its bytes", Frame::Data(handle, netchan::proto::Part::Whole, b"")),
        ("FIRST, without its bytes", Frame::Data(handle, netchan::proto::Part::First(u32::MAX), b"")),
        ("MORE, without its bytes", Frame::Data(handle, netchan::proto::Part::More, b"")),
        ("CREDIT", Frame::Credit(handle, total)),
        ("TAKEN", Frame::Taken(handle, total)),
        ("OPEN", Frame::Open(handle, open)),
        ("OPEN, with a route of 128 bytes", Frame::Open(handle, routed)),
        ("ACCEPT", Frame::Accept(handle, Accept { which: 3, credit: u32::MAX, limit: u32::MAX })),
        ("ASK", Frame::Ask(handle, total)),
        ("END", Frame::End(handle, total)),
        ("DEAD", Frame::Dead(handle, DeadFrame { dead, taken: total, detail: &text64 })),
        ("DONE", Frame::Done(handle, total)),
        ("ATTACH", Frame::Attach(handle, handle, u32::MAX, open)),
    ];
    let mut text = String::from("| frame | longest, in bytes |\n|---|---|\n");
    for (name, frame) in frames {
        let len = frame.write(&mut [0; 300]).unwrap();
        let most = if name.contains("route") { 256 } else { 241 };
        assert!(len <= most, "{name} fits the smallest packet, with its framing");
        writeln!(text, "| {name} | {len} |").unwrap();
    }
    agree("longest frames", &text);
}
