//! What a bridge board takes while it runs: instructions of its longest critical section. Above it stands a link that is played
//! here, as deep in a tree as a node may be, below it another board, and messages that fill a packet of 240 bytes pass in both directions on
//! four circuits; another one is refused with a text. Names are as long as they may be. A session is lost with all that passes, and
//! everything happens once more.
#![no_std]
#![no_main]

#[path = "../clock.rs"]
#[expect(dead_code, reason = "what the other program counts besides")]
mod clock;
#[path = "../section.rs"]
mod section;

use netchan::board::{Bridge, Config, Driver, Identity, Memory, Node, Receiver, Sender};
use netchan::proto::{
    self, Above, CounterNonce, Event, Fingerprints, HOPS_MAX, Handle, Instant, Line, LineConfig, Link,
    LinkConfig, LinkKind, Name, Open, OpenFlags, Part, Reason, Route, Sink, Slot, Slots, Start, TreeFrame,
};
use netchan::{Blob, Message};
use semihosting::{println, process};

/// With its length it takes what a packet of 240 bytes has for a message.
type Long = Blob<231>;
type Outcome<T = ()> = Result<T, &'static str>;

const LINE: LineConfig = LineConfig::uart(115_200, 2, 240, 4);
const CONFIG: Config = Config::new(LINE).export::<Sender<Long>>(2).bridge(4, 480);
const LEAF: Config = Config::new(LINE)
    .export::<Sender<Long>>(2)
    .export::<Sender<Long>>(2)
    .export::<Receiver<Long>>(2)
    .export::<Receiver<Long>>(2);

static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);
static BRIDGE: Bridge<{ CONFIG.circuits() }, { CONFIG.room() }> = Bridge::new(&CONFIG);
static LEAF_NODE: Node<{ LEAF.channels() }, { LEAF.bytes() }> = Node::new(&LEAF);

const NAME: Name = Name::literal("relay-board");
const LEAF_NAME: Name = Name::literal("a-board-whose-name-is-thirty-two");
/// What is opened one after the other: the leaf's exports, and one of them as what it is not.
const OPENS: [(&str, OpenFlags, u64); 5] = [
    (OUT[0], OpenFlags::RECEIVES, 0x1234),
    (OUT[0], OpenFlags::RECEIVES, Long::FINGERPRINT.get()),
    (IN[0], OpenFlags::SENDS, Long::FINGERPRINT.get()),
    (OUT[1], OpenFlags::RECEIVES, Long::FINGERPRINT.get()),
    (IN[1], OpenFlags::SENDS, Long::FINGERPRINT.get()),
];
const OUT: [&str; 2] = [
    "values/that-come-from-the-board-behind-the-bridge/all-that-fit/1",
    "values/that-come-from-the-board-behind-the-bridge/all-that-fit/2",
];
const IN: [&str; 2] = [
    "values/that-go-to-the-board-behind-the-bridge/as-many-as-there/1",
    "values/that-go-to-the-board-behind-the-bridge/as-many-as-there/2",
];
const TYPE_NAME: &str = "a_type_whose_readable_name_is_as_long_as_those_may_be_in_an_open";
/// Ids of the nodes above are behind this one.
const FAR: u32 = 0x1000_0000;

const ROUNDS: u64 = 800;
const STEP_MS: u64 = 25;
/// In these rounds nothing passes to the board behind, until both sides give the session up.
const DEAF: core::ops::Range<u64> = 300..420;

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    clock::start();
    let (longest, outcome) = section::longest(run);
    println!("bridge-section {longest}");
    if let Err(error) = outcome {
        println!("FAILED  {error}");
    }
    process::exit(i32::from(outcome.is_err()))
}

fn run() -> Outcome {
    let (mut first, mut second, mut third) =
        (CounterNonce::new(1, 1), CounterNonce::new(2, 1), CounterNonce::new(3, 1));
    let mut up_memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
    let mut down_memory = Memory::<{ CONFIG.line_bytes() }>::new(&CONFIG);
    let mut leaf_memory = Memory::<{ LEAF.line_bytes() }>::new(&LEAF);
    let identity = Identity { name: &NAME, uid: 1, boot: 1, nonces: &mut first };
    let mut up = NODE.up_line(&BRIDGE, &mut up_memory, identity);
    let identity = Identity { name: &NAME, uid: 1, boot: 1, nonces: &mut second };
    let mut down = NODE.down_line(&BRIDGE, &mut down_memory, identity);
    let identity = Identity { name: &LEAF_NAME, uid: 2, boot: 1, nonces: &mut third };
    let mut leaf = LEAF_NODE.line(&mut leaf_memory, identity);
    let Ok(own) = NODE.export::<Sender<Long>>("own") else { return Err("no export") };
    let [Ok(out), Ok(other_out)] = OUT.map(|name| LEAF_NODE.export::<Sender<Long>>(name)) else {
        return Err("no export");
    };
    let [Ok(mut input), Ok(mut other_input)] = IN.map(|name| LEAF_NODE.export::<Receiver<Long>>(name)) else {
        return Err("no export");
    };
    let mut above = Parent::new();
    let value = Long::try_from(&[0x5a; 231][..]).map_err(|_| "no value")?;
    let (mut came, mut before) = (0, (0, 0));
    for round in 0..ROUNDS {
        let now = Instant::from_millis(round * STEP_MS);
        let _ = (own.try_send(value), out.try_send(value), other_out.try_send(value));
        came += u32::from(input.try_recv().is_ok()) + u32::from(other_input.try_recv().is_ok());
        let mut bytes = [0; 300];
        let n = up.drain(&mut bytes, now);
        let n = above.turn(&mut bytes, n, now)?;
        up.feed(&bytes[..n], now);
        pass(&mut down, &mut leaf, now, DEAF.contains(&round));
        pass(&mut leaf, &mut down, now, DEAF.contains(&round));
        if round == DEAF.end {
            before = (came, above.taken);
        }
    }
    if leaf.ended().is_none() || before.0 < 50 || before.1 < 50 {
        return Err("nothing passed, or no session was lost");
    }
    if came < before.0 + 50 || above.taken < before.1 + 50 {
        return Err("nothing passed after the loss");
    }
    if above.refused < 2 {
        return Err("nothing was refused");
    }
    Ok(())
}

fn pass(from: &mut Driver<'_>, to: &mut Driver<'_>, now: Instant, lost: bool) {
    let mut bytes = [0; 300];
    let n = from.drain(&mut bytes, now);
    to.feed(if lost { &[] } else { &bytes[..n] }, now);
}

const CIRCUITS: usize = 8;

/// The node above: a link, a tree of one bridge, and a program that takes from the leaf, and sends to it.
struct Parent {
    link: Link,
    mine: [Slot; CIRCUITS],
    theirs: [Slot; CIRCUITS],
    line: Line,
    rx: [u8; LINE.rx_len()],
    tx: [u8; LINE.tx_len()],
    next_id: u32,
    /// What is to be written: that the bridge is adopted, so many ids, and the leaf that circuits are to be opened to.
    adopts: bool,
    grants: u32,
    leaf: u32,
    /// How many of those circuits are opened.
    opened: usize,
    sending: [Option<Handle>; IN.len()],
    taken: u32,
    refused: u32,
}

impl Parent {
    fn new() -> Self {
        let identity = proto::Identity { name: Name::literal("above"), uid: 9, boot: 1 };
        let config = LinkConfig {
            kind: LinkKind::Either,
            adopts: true,
            ..LinkConfig::line(identity, &LINE, CIRCUITS as u32)
        };
        Self {
            link: Link::new(config, 0x1111, Instant::ZERO),
            mine: [const { Slot::new() }; CIRCUITS],
            theirs: [const { Slot::new() }; CIRCUITS],
            line: Line::new(LINE),
            rx: [0; LINE.rx_len()],
            tx: [0; LINE.tx_len()],
            next_id: 3,
            adopts: false,
            grants: 0,
            leaf: 0,
            opened: 0,
            sending: [None; IN.len()],
            taken: 0,
            refused: 0,
        }
    }

    /// Takes the first `n` of the bytes, and writes its own there: how many.
    fn turn(&mut self, bytes: &mut [u8; 300], n: usize, now: Instant) -> Outcome<usize> {
        let mut slots = Slots { mine: &mut self.mine, theirs: &mut self.theirs };
        let mut input = &bytes[..n];
        while let Some(frame) = self.line.next(&mut self.rx, &mut input, now).map_err(|_| "the line above")? {
            match self.link.handle(&mut slots, frame).map_err(|_| "the link above")? {
                Event::Up(_) => self.adopts = true,
                Event::Tree(TreeFrame::Allocate(count)) => self.grants = count,
                Event::Tree(TreeFrame::AddRoute { id, .. }) => (self.leaf, self.opened) = (id, 0),
                Event::Accepted(handle, _) if self.link.limit(&mut slots, handle) > 0 => {
                    if let Some(place) = self.sending.iter_mut().find(|place| place.is_none()) {
                        *place = Some(handle);
                    }
                }
                Event::Data(handle, Part::Whole, message) => {
                    self.taken += 1;
                    let total = self.link.values_in(&mut slots, handle);
                    self.link.taken(&mut slots, handle, total, false);
                    self.link.consumed(&mut slots, handle, Link::charge(message.len() as u32));
                }
                Event::Dead(handle, dead) => {
                    self.refused += u32::from(dead.dead.reason == Reason::TypeDiffers);
                    for sending in &mut self.sending {
                        *sending = sending.filter(|sending| *sending != handle);
                    }
                    self.link.drained(&mut slots, handle);
                }
                _ => {}
            }
        }
        self.line.tick(now).map_err(|_| "the line above")?;
        self.link.tick(now).map_err(|_| "the link above")?;
        let mut sink = self.line.sink(&mut self.tx);
        self.link.control(&mut slots, &mut sink);
        if self.adopts {
            let above = (1..=u32::from(HOPS_MAX)).rev();
            let above = above.fold(Above::default(), |above, id| above.below(FAR + id).unwrap_or(above));
            self.adopts = !self.link.put_tree(&TreeFrame::Adopt { id: 2, above, place: "" }, &mut sink);
        }
        if self.grants > 0 {
            let grant = TreeFrame::Grant { start: self.next_id, count: self.grants };
            if self.link.put_tree(&grant, &mut sink) {
                self.next_id += core::mem::take(&mut self.grants);
            }
        }
        if self.leaf != 0
            && sink.room() >= 220
            && let Some(&(name, flags, fingerprint)) = OPENS.get(self.opened)
        {
            let credit = if flags == OpenFlags::RECEIVES { 480 } else { 0 };
            let open = Open {
                flags,
                wait_ms: 0,
                credit,
                limit: credit,
                values: 0,
                name,
                fingerprints: Fingerprints::new(fingerprint, &[]),
                type_name: TYPE_NAME,
                route: Some(Route { from: FAR + 1, hops: 0, to: self.leaf, path: "" }),
                body: None,
            };
            self.link.open(&mut slots, &open, &mut sink).map_err(|_| "no room for an open")?;
            self.opened += 1;
        }
        // A length, and as many bytes: a longer one would not go straight into a packet.
        let mut message = [0x5a; 222];
        message[..2].copy_from_slice(&[220 | 0x80, 0x01]);
        self.sending.rotate_left(1);
        for handle in self.sending.into_iter().flatten() {
            if sink.room() >= 230
                && let Ok(Start::Straight(head)) = self.link.start(&mut slots, handle, message.len())
            {
                sink.begin(head.as_slice().len() + message.len());
                sink.put(head.as_slice());
                sink.put(&message);
            }
        }
        Ok(self.line.drain(&mut self.tx, bytes, now))
    }
}
