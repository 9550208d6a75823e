//! The nodes, what ties them, and what goes wrong.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell, RefMut};
use core::time::Duration;

use super::lasting::{Lasting, watches_tree};
use super::tasks::{Group, Spawner, Tasks, pass};
use super::visitor::{KINDS, Visitor};
use super::wire::Wire;
use super::{HostReport, Ledger, Plan, programs};
use crate::host::transport::{Handover, LinkOptions, Tie, start_task};
use crate::host::virtual_time::VirtualTime;
use crate::host::{Config, LinkEvent, Node};
use crate::testing::Rng;

/// A peer that is silent for so long is dead.
const DEAD_TIME: Duration = Duration::from_secs(1);
/// All faults are over, and all have joined again, after at most this.
const HEALED_AFTER: Duration = Duration::from_secs(40);
/// Nothing is done for longer.
const DONE_AFTER: Duration = Duration::from_secs(70);
/// What a task is that visits.
const VISITS: &str = "visits";
/// Tasks that are of no node.
const NATURE: Group = 0;

/// A place in the tree, with the node that is there now.
struct Seat {
    node: Node,
    parent: Option<usize>,
    /// Which of the nodes that were here.
    life: u32,
    /// To the parent, while there is one.
    wire: Option<Wire>,
}

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) spawner: Spawner,
    seats: RefCell<Vec<Seat>>,
    ledger: RefCell<Ledger>,
    rng: RefCell<Rng>,
    lives: Cell<u32>,
    is_calm: Cell<bool>,
    is_over: Cell<bool>,
    /// No link is made any more.
    is_closed: Cell<bool>,
    trace: Cell<u64>,
    /// Which importers there are, by the life of the node and their number there: of which export.
    guests: RefCell<BTreeMap<(u32, u64), String>>,
}

/// Whose tasks: of one life of a node, its links, its programs, its visitors.
const fn group(life: u32, kind: u32) -> Group {
    1 + life * 3 + kind
}

fn new_node(index: usize) -> Node {
    let config = Config::new().dead_time(DEAD_TIME).linger(Duration::ZERO);
    Node::with_config(&name(index), config).expect("its name is one")
}

fn name(index: usize) -> String {
    format!("n{index}")
}

impl World {
    fn new(plan: Plan, mut rng: Rng, spawner: Spawner, is_traced: bool) -> Rc<Self> {
        let seat = |index| Seat {
            node: new_node(index),
            parent: (index > 0).then(|| rng.below(index)),
            life: index as u32,
            wire: None,
        };
        let seats: Vec<_> = (0..plan.nodes).map(seat).collect();
        let mut ledger = Ledger::new(is_traced);
        ledger.report.nodes = plan.nodes as u32;
        Rc::new(Self {
            plan,
            spawner,
            lives: Cell::new(plan.nodes as u32),
            seats: RefCell::new(seats),
            ledger: RefCell::new(ledger),
            rng: RefCell::new(rng),
            is_calm: Cell::new(false),
            is_over: Cell::new(false),
            is_closed: Cell::new(false),
            trace: Cell::new(0),
            guests: RefCell::default(),
        })
    }

    pub(super) fn ledger(&self) -> RefMut<'_, Ledger> {
        self.ledger.borrow_mut()
    }

    /// Random numbers for one more.
    pub(super) fn rng(&self) -> Rng {
        self.rng.borrow_mut().fork()
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// The group of a node's programs.
    pub(super) fn programs(&self, index: usize) -> Group {
        group(self.life(index), 1)
    }

    pub(super) fn node(&self, index: usize) -> Node {
        self.seats.borrow()[index].node.clone()
    }

    fn life(&self, index: usize) -> u32 {
        self.seats.borrow()[index].life
    }

    fn parent(&self, index: usize) -> Option<usize> {
        self.seats.borrow()[index].parent
    }

    fn wire(&self, index: usize) -> Option<Wire> {
        self.seats.borrow()[index].wire.clone()
    }

    /// From the root; which has none.
    pub(super) fn path(&self, index: usize) -> Option<String> {
        self.parent(index)?;
        let mut path = String::new();
        let mut at = index;
        while let Some(parent) = self.parent(at) {
            path = format!("/{}{path}", name(at));
            at = parent;
        }
        Some(path)
    }

    /// This one and all below it, a bit for each.
    fn below(&self, top: usize) -> u32 {
        let mut nodes = 1_u32 << top;
        for index in top + 1..self.plan.nodes {
            // A parent has the smaller number.
            if self.parent(index).is_some_and(|parent| nodes & 1 << parent != 0) {
                nodes |= 1 << index;
            }
        }
        nodes
    }

    fn trouble(&self, index: usize) {
        let nodes = self.below(index);
        self.ledger().trouble(index, nodes);
    }

    /// Starts what a node does.
    fn inhabit(self: &Rc<Self>, index: usize) {
        let node = self.node(index);
        programs::start(self, index, &node);
        let counts = Rc::clone(self).counts_guests(index);
        self.spawner.spawn(group(self.life(index), 0), "counts guests", counts);
        if self.plan.lasting {
            self.settles(index);
        }
        let visitors = 1 + self.rng.borrow_mut().below(2);
        for _ in 0..visitors {
            let visitor = self.visitor(index);
            self.spawner.spawn(group(self.life(index), 2), VISITS, visitor.goes_on());
        }
    }

    /// Starts what stays there.
    fn settles(self: &Rc<Self>, me: usize) {
        let (group, node) = (group(self.life(me), 2), self.node(me));
        // One of each in the whole tree, or two.
        let is_here = || self.rng.borrow_mut().one_in(self.plan.nodes);
        if is_here() {
            self.spawner.spawn(group, VISITS, watches_tree(Rc::clone(self), me, node.clone()));
        }
        let lasting = || {
            let to = self.rng.borrow_mut().below(self.plan.nodes);
            Lasting { world: Rc::clone(self), me, to, node: node.clone(), rng: self.rng() }
        };
        let (listens, sends) = (is_here().then(lasting), is_here().then(lasting));
        if let Some(listens) = listens.filter(|lasting| lasting.to != me) {
            self.spawner.spawn(group, VISITS, listens.keeps_listening());
        }
        if let Some(sends) = sends.filter(|lasting| lasting.to != me) {
            self.spawner.spawn(group, VISITS, sends.keeps_sending());
        }
    }

    fn visitor(self: &Rc<Self>, me: usize) -> Visitor {
        Visitor { world: Rc::clone(self), me, node: self.node(me), rng: self.rng(), kept: Vec::new() }
    }

    /// Makes the link of a node to its parent, and makes it again.
    async fn keeps_joined(self: Rc<Self>, index: usize, parent: usize) {
        let mut rng = self.rng();
        while !self.is_closed.get() {
            let (wire, [below, above]) = Wire::new(rng.fork());
            self.seats.borrow_mut()[index].wire = Some(wire.clone());
            let (child, adopter) = (self.node(index), self.node(parent));
            let adopts = LinkOptions::passive().with_tie(Tie::Adopt);
            if let Ok((driver, _)) = start_task(&adopter, above, alloc::boxed::Box::new(Handover), adopts) {
                self.spawner.spawn(group(self.life(parent), 0), "drives a link", async {
                    driver.await;
                });
            }
            let joins = LinkOptions::active().with_tie(Tie::Join { lives_on: true });
            if let Ok((driver, up)) = start_task(&child, below, alloc::boxed::Box::new(Handover), joins) {
                self.spawner.spawn(group(self.life(index), 0), "drives a link", async {
                    driver.await;
                });
                drop((child, adopter));
                if let Ok(peer) = up.timeout(2 * DEAD_TIME).await {
                    self.ledger().tell(|| format!("{index} has joined {parent}"));
                    self.ledger().mended(index);
                    let error = peer.down().await;
                    self.trouble(index);
                    let mut ledger = self.ledger();
                    ledger.report.lost += 1;
                    ledger.tell(|| format!("{index} has lost {parent}: {error}"));
                }
            }
            self.trace.set(self.trace.get().rotate_left(7) ^ wire.trace());
            let time = Duration::from_millis(rng.below(300) as u64);
            pass(time).await;
        }
    }

    /// Lets things go wrong.
    async fn goes_wrong(self: Rc<Self>) {
        let mut rng = self.rng();
        let Plan { cuts, stalls, kills, nodes, .. } = self.plan;
        while !self.is_calm.get() {
            pass(Duration::from_millis(50 + rng.below(900) as u64)).await;
            if self.is_calm.get() {
                return;
            }
            let index = 1 + rng.below(nodes - 1);
            let wire = self.wire(index);
            match rng.below(6) {
                0 | 1 if cuts => {
                    self.trouble(index);
                    self.ledger().tell(|| format!("the link of {index} is cut"));
                    if let Some(wire) = wire {
                        wire.cut();
                    }
                }
                2 if stalls => {
                    let (way, time) = (rng.below(2), Duration::from_millis(rng.below(400) as u64));
                    if let Some(wire) = wire {
                        wire.stall(way, time);
                    }
                }
                3 if stalls => {
                    let time = DEAD_TIME + Duration::from_millis(rng.below(3000) as u64);
                    let nodes = self.below(index);
                    let mut ledger = self.ledger();
                    ledger.slow(index, nodes, time + DEAD_TIME);
                    ledger.tell(|| format!("the link of {index} is silent"));
                    drop(ledger);
                    if let Some(wire) = wire {
                        wire.stall(0, time);
                        if rng.one_in(2) {
                            wire.stall(1, time);
                        }
                    }
                }
                4 if kills => self.kill(rng.below(nodes)),
                _ => {}
            }
        }
    }

    /// Ends a node as a crash does, with all its tasks, and starts another one in its place.
    fn kill(self: &Rc<Self>, index: usize) {
        self.trouble(index);
        let life = self.life(index);
        {
            let mut ledger = self.ledger();
            ledger.tell(|| format!("{index} is killed"));
            ledger.report.killed += 1;
        }
        for kind in 0..3 {
            self.spawner.end(group(life, kind));
        }
        let reborn = Rc::clone(self);
        self.spawner.spawn(NATURE, "is born again", async move {
            let life = reborn.lives.get();
            reborn.lives.set(life + 1);
            let old = {
                let mut seats = reborn.seats.borrow_mut();
                let seat = &mut seats[index];
                seat.life = life;
                core::mem::replace(&mut seat.node, new_node(index))
            };
            drop(old);
            reborn.inhabit(index);
            if index == 0 {
                // It is cut off from nobody above.
                reborn.ledger().mended(index);
            }
        });
    }

    /// Whether all are in one tree, and the root knows them.
    fn is_whole(&self) -> bool {
        !self.ledger().is_troubled() && self.node(0).nodes().len() == self.plan.nodes - 1
    }

    /// Counts who imports what of a node.
    async fn counts_guests(self: Rc<Self>, index: usize) {
        let (node, life) = (self.node(index), self.life(index));
        loop {
            let Some(event) = node.event().await else { return };
            let mut guests = self.guests.borrow_mut();
            match event {
                LinkEvent::Joined { export, importer, .. } => drop(guests.insert((life, importer), export)),
                LinkEvent::Left { importer, .. } => {
                    assert!(
                        guests.remove(&(life, importer)).is_some(),
                        "{importer} left {index} and was never there"
                    );
                }
                _ => {}
            }
        }
    }

    /// Nothing stays of what was done.
    fn check_empty(&self) {
        for (index, life) in (0..self.plan.nodes).map(|index| (index, self.life(index))) {
            let guests = self.guests.borrow();
            let guests: Vec<_> = guests.range((life, 0)..(life + 1, 0)).collect();
            assert!(guests.is_empty(), "{index} still has importers: {guests:?}");
        }
        for index in 0..self.plan.nodes {
            let node = self.node(index);
            assert_eq!(node.strikes(), 0, "strikes at {index}");
            for link in node.links() {
                assert_eq!((link.circuits, link.waiting), (0, 0), "at {index}: {link:?}");
            }
            let inner = node.inner();
            for link in inner.links() {
                let promises_nothing = link.lock().promises_nothing(inner.config.lend_per_link);
                assert!(promises_nothing, "memory of a link of {index} stays promised");
            }
        }
    }
}

/// Lets time pass until it is so.
fn until(tasks: &mut Tasks, time: &VirtualTime, limit: Duration, is_so: impl Fn() -> bool) -> bool {
    let end = time.passed() + limit;
    loop {
        tasks.run();
        if is_so() {
            return true;
        }
        if time.passed() >= end {
            return false;
        }
        time.go_to(time.next().map_or(end, |at| at.min(end)));
    }
}

/// Whether all visitors come to their end.
fn visits_end(tasks: &mut Tasks, time: &VirtualTime) -> bool {
    let end = time.passed() + DONE_AFTER;
    loop {
        // Once a second is often enough to look.
        until(tasks, time, Duration::from_secs(1), || false);
        let is_over = !tasks.left().contains(&VISITS);
        if is_over || time.passed() >= end {
            return is_over;
        }
    }
}

pub(super) fn run(seed: u64, is_traced: bool) -> HostReport {
    let time = VirtualTime::new();
    let mut rng = Rng::new(seed);
    let plan = Plan::new(&mut rng);
    let mut tasks = Tasks::new(rng.fork());
    let world = World::new(plan, rng, tasks.spawner(), is_traced);
    world.ledger().tell(|| format!("{plan:?}"));
    for index in 1..plan.nodes {
        world.trouble(index);
    }
    for index in 0..plan.nodes {
        world.inhabit(index);
        if let Some(parent) = world.parent(index) {
            world.spawner.spawn(NATURE, "keeps joined", Rc::clone(&world).keeps_joined(index, parent));
        }
    }
    assert!(until(&mut tasks, &time, HEALED_AFTER, || world.is_whole()), "no tree comes to be");
    world.spawner.spawn(NATURE, "goes wrong", Rc::clone(&world).goes_wrong());
    until(&mut tasks, &time, plan.time, || false);
    world.is_calm.set(true);
    assert!(until(&mut tasks, &time, HEALED_AFTER, || world.is_whole()), "the tree does not become whole");
    world.is_over.set(true);
    assert!(visits_end(&mut tasks, &time), "visitors do not end");

    // Everything works again, everywhere.
    for me in 0..plan.nodes {
        for to in (0..plan.nodes).filter(|to| *to != me) {
            let mut visitor = world.visitor(me);
            world.spawner.spawn(NATURE, VISITS, async move {
                for kind in 0..KINDS {
                    visitor.does_in_time(kind, to).await;
                }
            });
        }
    }
    assert!(visits_end(&mut tasks, &time), "not all that was visited at last has answered");
    until(&mut tasks, &time, Duration::from_secs(5), || false);
    for index in 0..plan.nodes {
        for link in world.node(index).links() {
            world.ledger().tell(|| format!("at rest, {index}: {link:?}"));
        }
    }
    world.ledger().check_accounts();

    // Nothing stays of those who have visited, nor of what they visited.
    world.check_empty();
    for index in 0..plan.nodes {
        world.spawner.end(world.programs(index));
    }
    until(&mut tasks, &time, Duration::from_secs(3), || false);
    world.check_empty();
    world.is_closed.set(true);
    for index in 0..plan.nodes {
        let closing = world.node(index).close(Duration::ZERO);
        world.spawner.spawn(NATURE, "closes", async {
            closing.await;
        });
    }
    until(&mut tasks, &time, Duration::from_secs(10), || false);
    assert!(tasks.left().is_empty(), "there is still: {:?}", tasks.left());
    let report = HostReport { trace: world.trace.get(), ..world.ledger().report };
    drop((world, tasks));
    drop(time);
    report
}
