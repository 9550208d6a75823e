//! Every interleaving of one circuit's life, to a bound: two nodes, and two nodes with a router.
//!
//! Each step is one call of a program, one frame written, or one frame delivered. States are
//! told apart by a hash; what has been seen is not walked again. In every state: no link has
//! failed, values are in order, accounts hold. In every state at rest: whoever waits, waits
//! for a program, and when the programs are through nothing is left of the circuit.

#![expect(clippy::print_stdout, reason = "the number of states is what one wants to read")]

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use netchan::proto::{LinkConfig, OpenFlags, Reason};
use netchan::testing::{Chain, Node, Outcome, Pair, Policy, Router, Stage};

/// What the programs may do in all.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    flags: OpenFlags,
    opens: u8,
    sends: [u8; 2],
    asks: u8,
    kills: u8,
    value_len: usize,
    /// The opener's only message goes with the open.
    body: bool,
    /// The far node takes none so: a router unpacks it.
    plain: bool,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Open,
    Accept(usize, usize),
    Kill(usize, usize),
    Send(usize, usize),
    End(usize, usize),
    Ask(usize, usize),
    Take(usize, usize),
    Start(usize, usize),
    Fragment(usize),
    Control(usize),
    Deliver(usize),
}

/// Writers and wires: 0 is `a`, 1 is `b`, 2 and 3 are the router's links to them.
#[derive(Clone, Hash)]
struct World {
    nodes: [Node; 2],
    router: Option<Router>,
    wires: [VecDeque<Vec<u8>>; 4],
    opens: u8,
    sends: [u8; 2],
    asks: u8,
    kills: u8,
}

impl World {
    fn new(bounds: &Bounds, routed: bool) -> Self {
        let small = |config: &mut LinkConfig| {
            (config.circuits, config.packet) = (1, 256);
            config.bodies = !bounds.plain || config.identity.name.as_str() != "b";
        };
        let (mut a, mut b, router) = if routed {
            let mut chain = Chain::with(small);
            chain.r.room = 2 * (bounds.value_len + 7);
            (chain.a, chain.b, Some(chain.r))
        } else {
            let config = |name, number| {
                let mut config = Pair::config(name, number);
                small(&mut config);
                config
            };
            let mut pair = Pair::new(config("a", 1), config("b", 2));
            pair.run();
            (pair.a, pair.b, None)
        };
        for node in [&mut a, &mut b] {
            node.policy = Policy::Hold;
            // One value of the limit and a bit: credit runs out.
            node.window = bounds.value_len as u32 + 11;
            node.limit = bounds.value_len as u32;
        }
        let &Bounds { opens, sends, asks, kills, .. } = bounds;
        Self { nodes: [a, b], router, wires: Default::default(), opens, sends, asks, kills }
    }

    fn program_steps(&self, steps: &mut Vec<Step>) {
        if self.opens > 0 && self.nodes[0].live().next().is_none() {
            steps.push(Step::Open);
        }
        for (n, node) in self.nodes.iter().enumerate() {
            for (id, c) in node.circuits.iter().enumerate() {
                if c.stage == Stage::Offered {
                    steps.push(Step::Accept(n, id));
                }
                if c.stage != Stage::Over && !c.killed && self.kills > 0 {
                    steps.push(Step::Kill(n, id));
                }
                if c.stage == Stage::Open && c.sends() && !c.ending && c.dead.is_none() {
                    steps.push(Step::End(n, id));
                    if self.sends[n] > 0 {
                        steps.push(Step::Send(n, id));
                    }
                    if self.asks > 0 && c.started > 0 {
                        steps.push(Step::Ask(n, id));
                    }
                }
                let ended = c.in_end || c.dead.is_some();
                if !c.killed && (!c.inbox.is_empty() || ended && c.stage != Stage::Over) {
                    steps.push(Step::Take(n, id));
                }
            }
        }
    }

    fn system_steps(&self, steps: &mut Vec<Step>) {
        for (n, node) in self.nodes.iter().enumerate() {
            for id in node.live() {
                let c = &node.circuits[id];
                if !c.outbox.is_empty() || c.ending && !c.ended {
                    steps.push(Step::Start(n, id));
                }
            }
        }
        let writers = if self.router.is_some() { 4 } else { 2 };
        for w in 0..writers {
            steps.extend([Step::Fragment(w), Step::Control(w)]);
            if !self.wires[w].is_empty() {
                steps.push(Step::Deliver(w));
            }
        }
    }

    /// Whether the step did anything.
    fn apply(&mut self, step: Step, bounds: &Bounds) -> bool {
        let did = match step {
            Step::Open => {
                self.opens -= 1;
                if bounds.body {
                    self.nodes[0].open_with("x", bounds.flags, &vec![0; bounds.value_len]).is_ok()
                } else {
                    self.nodes[0].open("x", bounds.flags).is_ok()
                }
            }
            Step::Accept(n, id) => {
                self.nodes[n].accept(id);
                true
            }
            Step::Kill(n, id) => {
                self.kills -= 1;
                self.nodes[n].kill(id, if n == 0 { Reason::Cancelled } else { Reason::HungUp });
                true
            }
            Step::Send(n, id) => {
                self.sends[n] -= 1;
                let value = vec![self.nodes[n].circuits[id].sent as u8; bounds.value_len];
                self.nodes[n].send(id, value);
                true
            }
            Step::End(n, id) => {
                self.nodes[n].end(id);
                true
            }
            Step::Ask(n, id) => {
                self.asks -= 1;
                self.nodes[n].ask(id);
                true
            }
            Step::Take(n, id) => {
                let (taken, drained) = (self.nodes[n].circuits[id].taken, self.nodes[n].circuits[id].drained);
                match self.nodes[n].take(id) {
                    Outcome::Value(value) => assert_eq!(value, vec![taken as u8; bounds.value_len]),
                    Outcome::Closed | Outcome::Dead(_) if !drained => {}
                    _ => return false,
                }
                true
            }
            Step::Start(n, id) => self.nodes[n].start(id),
            Step::Fragment(w @ (0 | 1)) => self.nodes[w].fragment(),
            Step::Fragment(w) => self.router.as_mut().is_some_and(|r| r.fragment(w - 2)),
            Step::Control(w @ (0 | 1)) => self.nodes[w].port.control_one(),
            Step::Control(w) => self.router.as_mut().is_some_and(|r| {
                let wrote = r.ports[w - 2].control_one();
                r.pump_splices();
                wrote
            }),
            Step::Deliver(w) => {
                let frame = self.wires[w].pop_front().expect("there is one");
                match (&mut self.router, w) {
                    (None, w) => self.nodes[1 - w].receive(&frame),
                    (Some(r), 0 | 1) => r.receive(w, &frame),
                    (Some(_), w) => self.nodes[w - 2].receive(&frame),
                }
                true
            }
        };
        self.collect();
        did
    }

    /// Moves what was written onto the wires.
    fn collect(&mut self) {
        for n in 0..2 {
            let out = std::mem::take(&mut self.nodes[n].port.output);
            self.nodes[n].port.frames_in = 0;
            self.wires[n].extend((!out.is_empty()).then_some(out));
            if let Some(r) = &mut self.router {
                let out = std::mem::take(&mut r.ports[n].output);
                r.ports[n].frames_in = 0;
                self.wires[2 + n].extend((!out.is_empty()).then_some(out));
            }
        }
    }

    fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    fn check(&self) {
        for n in 0..2 {
            assert_eq!(self.nodes[n].port.fault, None, "a fault between honest nodes");
            for (id, c) in self.nodes[n].circuits.iter().enumerate() {
                let account = c.account();
                assert_eq!(account.sent, account.confirmed + account.in_doubt + account.unsent);
                let Some(far) = self.nodes[1 - n].circuits.get(id) else {
                    // What has gone with an open that has not come.
                    let gone = u32::from(c.stage == Stage::Opening || c.killed) * c.started.min(1);
                    assert_eq!((c.started - gone, c.received, c.confirmed), (0, 0, 0));
                    continue;
                };
                assert!(c.confirmed <= far.taken && far.taken <= far.received && far.received <= c.started);
                if c.done && c.sends() && !far.killed {
                    assert!(c.confirmed == c.sent && far.taken == c.sent, "done says that all was taken");
                }
            }
        }
        if let Some(r) = &self.router {
            assert_eq!((r.ports[0].fault, r.ports[1].fault), (None, None), "a fault at the router");
            let (held, room) = r.held();
            assert!(held <= room);
        }
    }

    /// In a state in which nothing moves by itself: everybody waits for a program.
    fn check_rest(&self) {
        for n in 0..2 {
            for (id, c) in self.nodes[n].circuits.iter().enumerate() {
                let far = self.nodes[1 - n].circuits.get(id);
                let offered = far.is_some_and(|far| far.stage == Stage::Offered);
                let untaken = far.is_some_and(|far| !far.inbox.is_empty() && !far.killed);
                if c.stage == Stage::Opening {
                    assert!(offered, "an opener waits for nobody");
                }
                if c.stage == Stage::Open && !c.outbox.is_empty() && c.dead.is_none() {
                    assert!(untaken, "a sender waits for credit that nobody owes");
                }
                if let Some(asked) = c.asking
                    && c.stage != Stage::Over
                    && c.dead.is_none()
                    && c.confirmed < asked
                {
                    assert!(far.is_some_and(|far| far.taken < asked), "an answer is missing");
                }
                if c.stage == Stage::Open {
                    let busy = |c: &netchan::testing::Circuit| {
                        !c.inbox.is_empty()
                            || (c.in_end || c.dead.is_some()) && c.receives() && !c.drained
                            || c.sends() && !c.ending && c.dead.is_none()
                    };
                    let alive = far.is_some_and(|far| far.stage != Stage::Over && busy(far));
                    assert!(busy(c) || alive, "a circuit stays open for nobody");
                }
            }
        }
        if self.nodes.iter().all(|node| node.live().next().is_none()) {
            assert!(self.nodes.iter().all(Node::is_quiet), "something is left");
            assert!(self.router.as_ref().is_none_or(Router::is_quiet), "something is left at the router");
        }
    }
}

/// Walks all states: how many, and how many at rest.
fn explore(name: &str, bounds: Bounds, routed: bool) -> (usize, usize) {
    let start = World::new(&bounds, routed);
    let mut seen = HashSet::from([start.digest()]);
    let mut stack = vec![(start, Vec::new())];
    let (mut rest, mut steps) = (0, Vec::new());
    let mut deepest = 0;
    while let Some((world, path)) = stack.pop() {
        deepest = deepest.max(path.len());
        steps.clear();
        world.system_steps(&mut steps);
        let system = steps.len();
        world.program_steps(&mut steps);
        let mut moves = false;
        for (i, &step) in steps.iter().enumerate() {
            if i == system && !moves {
                rest += 1;
                guarded(&path, None, || world.check_rest());
            }
            let mut next = world.clone();
            let did = guarded(&path, Some(step), || {
                let did = next.apply(step, &bounds);
                next.check();
                did
            });
            moves |= did && i < system;
            if did && seen.insert(next.digest()) {
                let mut path = path.clone();
                path.push(step);
                stack.push((next, path));
            }
        }
        if steps.len() == system && !moves {
            rest += 1;
            guarded(&path, None, || world.check_rest());
        }
    }
    println!("{name}: {} states, {rest} at rest, longest path {deepest}", seen.len());
    (seen.len(), rest)
}

/// Says which way led to a panic.
fn guarded<T>(path: &[Step], step: Option<Step>, f: impl FnOnce() -> T) -> T {
    struct Told<'p>(&'p [Step], Option<Step>);
    impl Drop for Told<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                println!("after {:?} then {:?}", self.0, self.1);
            }
        }
    }
    let _told = Told(path, step);
    f()
}

/// `NETCHAN_LONG=1` walks further: minutes, not seconds.
fn deep() -> bool {
    std::env::var_os("NETCHAN_LONG").is_some()
}

const SMALL: Bounds = Bounds {
    flags: OpenFlags::SENDS,
    opens: 2,
    sends: [2, 2],
    asks: 1,
    kills: 2,
    value_len: 1,
    body: false,
    plain: false,
};

#[test]
fn a_sending_opener() {
    explore("two nodes, opener sends", SMALL, false);
}

#[test]
fn a_receiving_opener() {
    let bounds = Bounds { flags: OpenFlags::RECEIVES, opens: 1 + u8::from(deep()), ..SMALL };
    explore("two nodes, opener receives", bounds, false);
}

#[test]
fn both_directions() {
    let bounds = Bounds { flags: OpenFlags::BOTH, sends: [1, 1], opens: 1, asks: u8::from(deep()), ..SMALL };
    explore("two nodes, both send", bounds, false);
}

#[test]
fn messages_in_fragments() {
    let bounds = Bounds { value_len: 250, opens: 1, ..SMALL };
    explore("two nodes, fragments", bounds, false);
}

#[test]
fn a_sending_opener_behind_a_router() {
    let bounds =
        Bounds { opens: 1, sends: [2, 2], asks: u8::from(deep()), kills: 1 + u8::from(deep()), ..SMALL };
    explore("router, opener sends", bounds, true);
}

#[test]
fn a_receiving_opener_behind_a_router() {
    let bounds = Bounds {
        flags: OpenFlags::RECEIVES,
        opens: 1,
        sends: [1, 1 + u8::from(deep())],
        asks: u8::from(deep()),
        kills: 1 + u8::from(deep()),
        ..SMALL
    };
    explore("router, opener receives", bounds, true);
}

#[test]
fn both_directions_behind_a_router() {
    let bounds = Bounds { flags: OpenFlags::BOTH, opens: 1, sends: [1, 0], asks: 0, kills: 1, ..SMALL };
    explore("router, both send", bounds, true);
}

#[test]
fn a_message_in_the_open() {
    explore("two nodes, in the open", Bounds { body: true, ..SMALL }, false);
    let asks = Bounds { flags: OpenFlags::BOTH, opens: 1, sends: [0, 2], body: true, ..SMALL };
    explore("two nodes, in the open, and an answer", asks, false);
}

#[test]
fn a_message_in_the_open_behind_a_router() {
    for plain in [false, true] {
        let bounds = Bounds { opens: 1 + u8::from(deep()), body: true, plain, ..SMALL };
        explore("router, in the open", bounds, true);
    }
}

#[test]
fn a_question_in_the_open_behind_a_router() {
    for plain in [false, true] {
        let (flags, kills) = (OpenFlags::BOTH, 1 + u8::from(deep()));
        let bounds = Bounds { flags, kills, opens: 1, sends: [0, 1], asks: 0, body: true, plain, ..SMALL };
        explore("router, in the open, and an answer", bounds, true);
    }
}
