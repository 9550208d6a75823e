//! All circuits there ever were, both their ends, and the laws that hold between them.

use alloc::vec::Vec;

use super::end::{End, Stage};
use super::{DEAD_US, Plan, TreeReport};
use crate::proto::{Dead, OpenFlags, Place, Reason};
use crate::tree::LinkNumber;

/// Fingerprints of honest circuits are their numbers from here on; what a hostile node makes up is below.
const FINGERPRINT: u64 = 1000;

/// Whom an open is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meant {
    /// The node behind a link.
    Node(usize),
    /// One that has had this id.
    Id(u32),
    /// One of this name.
    Named(usize),
}

/// A node that a circuit passes through, and the links that it does so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) node: usize,
    pub(super) links: [LinkNumber; 2],
}

/// A circuit, and what the world knows of it.
#[derive(Debug)]
pub(super) struct Circuit {
    pub(super) flags: OpenFlags,
    pub(super) meant: Meant,
    pub(super) hops: Vec<Hop>,
    /// A hostile node is at an end of it or on its way.
    pub(super) tainted: bool,
    /// Why it may be dead, and which node says so.
    pub(super) causes: Vec<(Reason, usize)>,
    /// Which messages carry ends of which circuits: from the opener's end or the other one, and their number.
    pub(super) carried: Vec<(usize, u32, Vec<usize>)>,
    /// Everybody who waits on it is told by then.
    pub(super) told_by: Option<u64>,
}

/// What the world knows beyond its nodes.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) now: u64,
    pub(super) plan: Plan,
    pub(super) circuits: Vec<Circuit>,
    /// The opener's end of a circuit is at twice its number, the other one behind it.
    pub(super) ends: Vec<Option<End>>,
    pub(super) touched: Vec<usize>,
    /// Ids that each node has had.
    pub(super) ids: Vec<Vec<u32>>,
    pub(super) hostile: Vec<bool>,
    pub(super) report: TreeReport,
    /// Tells what happens.
    pub(super) verbose: bool,
}

impl Ledger {
    pub(super) fn new(plan: Plan, nodes: usize) -> Self {
        Self {
            now: 0,
            plan,
            circuits: Vec::new(),
            ends: Vec::new(),
            touched: Vec::new(),
            ids: alloc::vec![Vec::new(); nodes],
            hostile: alloc::vec![false; nodes],
            report: TreeReport::default(),
            verbose: false,
        }
    }

    /// Tells what happens, to whom has asked for it.
    pub(super) fn say(&self, what: impl FnOnce() -> alloc::string::String) {
        if self.verbose {
            let mut err = std::io::stderr();
            let text = what();
            let _ = std::io::Write::write_fmt(&mut err, format_args!("{:>10} {text}\n", self.now));
        }
    }

    /// A new circuit: its opener's end.
    pub(super) fn open(
        &mut self,
        from: usize,
        life: u64,
        flags: OpenFlags,
        meant: Meant,
        stage: Stage,
    ) -> usize {
        let number = self.circuits.len();
        let to_hostile = matches!(meant, Meant::Node(to) if self.hostile[to]);
        self.circuits.push(Circuit {
            flags,
            meant,
            hops: Vec::new(),
            tainted: self.hostile[from] || to_hostile,
            causes: Vec::new(),
            carried: Vec::new(),
            told_by: None,
        });
        let mut end = End::new(number, from, flags, true, stage);
        end.life = life;
        self.ends.push(Some(end));
        self.ends.push(None);
        number
    }

    pub(super) const fn fingerprint(circuit: usize) -> u64 {
        FINGERPRINT + circuit as u64
    }

    /// The circuit with this fingerprint, if an honest node has opened it.
    pub(super) fn circuit_of(&self, fingerprint: u64) -> Option<usize> {
        let number = usize::try_from(fingerprint.checked_sub(FINGERPRINT)?).ok()?;
        (number < self.circuits.len()).then_some(number)
    }

    pub(super) fn end(&mut self, id: usize) -> &mut End {
        if self.touched.last() != Some(&(id / 2)) {
            self.touched.push(id / 2);
        }
        self.ends[id].as_mut().expect("a link names ends that there are")
    }

    /// The circuit passes through a node.
    pub(super) fn passes(&mut self, fingerprint: u64, hop: Hop) {
        let hostile = self.hostile[hop.node];
        let Some(number) = self.circuit_of(fingerprint) else { return };
        let circuit = &mut self.circuits[number];
        circuit.tainted |= hostile;
        // No open passes a node twice: there would be a loop in the routes.
        let loops = circuit.hops.iter().any(|other| other.node == hop.node);
        assert!(circuit.tainted || !loops, "circuit {number} passes node {} twice", hop.node);
        circuit.hops.push(hop);
    }

    /// It goes on to this node.
    pub(super) fn goes_to(&mut self, fingerprint: u64, node: usize) {
        if let Some(number) = self.circuit_of(fingerprint) {
            self.circuits[number].tainted |= self.hostile[node];
        }
    }

    /// The ends in messages of this one that have not begun go nowhere.
    pub(super) fn drop_waiting(&mut self, id: usize) {
        let Some(end) = &self.ends[id] else { return };
        let (node, outbox) = (end.node, end.outbox.clone());
        for number in outbox.into_iter().flat_map(|value| value.ends) {
            if self.end(2 * number).stage == Stage::Waiting {
                self.broken(number, Reason::NotTaken, node);
                self.end(2 * number).die(Dead::here(Reason::NotTaken));
                self.drop_waiting(2 * number);
            }
        }
    }

    /// A link has been stopped or cut: all on it are told in time.
    pub(super) fn at_risk(&mut self, node: usize, link: LinkNumber) {
        for number in 0..self.circuits.len() {
            if self.is_on(number, node, link) {
                let by = self.now + self.bound(number);
                let circuit = &mut self.circuits[number];
                circuit.told_by = circuit.told_by.max(Some(by));
            }
        }
    }

    fn is_on(&self, number: usize, node: usize, link: LinkNumber) -> bool {
        let ends = &self.ends[2 * number..2 * number + 2];
        let ends_here =
            ends.iter().flatten().any(|end| end.is_live() && end.node == node && end.link == link);
        let on = |hop: &Hop| hop.node == node && hop.links.contains(&link);
        ends_here || self.circuits[number].hops.iter().any(on)
    }

    /// A node gives a circuit up.
    pub(super) fn cause(&mut self, fingerprint: u64, reason: Reason, node: usize) {
        if let Some(number) = self.circuit_of(fingerprint) {
            self.broken(number, reason, node);
        }
    }

    /// The circuit is dead for this reason: everybody hears of it in time.
    pub(super) fn broken(&mut self, number: usize, reason: Reason, node: usize) {
        let by = self.now + self.bound(number);
        self.say(|| alloc::format!("circuit {number} is dead at node {node}: {reason:?}"));
        let circuit = &mut self.circuits[number];
        if !circuit.causes.contains(&(reason, node)) {
            circuit.causes.push((reason, node));
        }
        circuit.told_by = circuit.told_by.max(Some(by));
    }

    /// How long it takes at most until everybody on a circuit has heard what is wrong with it.
    pub(super) fn bound(&self, number: usize) -> u64 {
        let hops = self.circuits[number].hops.len() as u64 + 1;
        // A line that loses bytes is given up when nothing was acknowledged for the dead-time, and the other
        // side learns of it by silence.
        let dead = if self.plan.lossy { 3 * DEAD_US } else { DEAD_US };
        dead * 5 / 4 + hops * 1_000_000
    }

    /// A node's link is down: what becomes of the circuits on it.
    pub(super) fn link_down(&mut self, node: usize, peer: usize, link: LinkNumber, dead: Dead) {
        let at = if dead.at == Place::Peer { peer } else { node };
        for number in 0..self.circuits.len() {
            if self.is_on(number, node, link) {
                self.broken(number, dead.reason, at);
            }
        }
    }

    /// Somebody has died on this end: it was right, and said the right place.
    pub(super) fn check_death(&self, id: usize, dead: Dead, peer: usize) {
        let number = id / 2;
        let circuit = &self.circuits[number];
        if circuit.tainted {
            return;
        }
        let end = self.ends[id].as_ref().expect("it has just died");
        let is_right = circuit.causes.iter().any(|&(reason, node)| {
            reason == dead.reason
                && match dead.at {
                    Place::Here => node == end.node,
                    Place::Peer => node == peer,
                    Place::Node(id) => self.ids[node].contains(&id),
                }
        });
        assert!(is_right, "end {id} heard {dead:?}, but {:?}; {:?}", circuit.causes, circuit.hops);
    }

    /// Accounts of the circuits that something has happened to.
    pub(super) fn check_touched(&mut self) {
        while let Some(number) = self.touched.pop() {
            if self.circuits[number].tainted {
                continue;
            }
            for side in 0..2 {
                let [near, far] = [side, 1 - side].map(|side| self.ends[2 * number + side].as_ref());
                if let Some(near) = near {
                    self.check_account(near, far);
                }
            }
        }
    }

    fn check_account(&self, near: &End, far: Option<&End>) {
        let number = near.circuit;
        let in_doubt = near.started - near.confirmed;
        let unsent = near.outbox.len() as u32;
        assert_eq!(
            near.sent,
            near.confirmed + in_doubt + unsent + near.dropped,
            "account of circuit {number}"
        );
        let (taken, received) = far.map_or((0, 0), |far| (far.taken, far.received));
        if near.sends() {
            assert!(
                near.confirmed <= taken && taken <= received && received <= near.started,
                "circuit {number}: {} confirmed, {taken} taken, {received} received, {} begun",
                near.confirmed,
                near.started
            );
        }
        if let Some(far) = far.filter(|far| near.sends() && near.chosen && far.killed) {
            let rules = near.dead.is_some_and(|dead| self.is_of(dead, far.node, near));
            assert!(
                !rules || near.confirmed == far.taken,
                "circuit {number}: a death with a wrong account: {near:?} {far:?} {:?}",
                self.circuits[number]
            );
        }
        if near.done && near.sends() && !near.is_latest() {
            assert_eq!((taken, near.confirmed), (near.started, near.started), "done means all taken");
        }
        assert!(near.stage != Stage::Over || near.is_told(), "circuit {number} is over, and nobody was told");
    }

    /// Whether a death was chosen by the far program, and by nobody on the way.
    fn is_of(&self, dead: Dead, far: usize, near: &End) -> bool {
        let circuit = &self.circuits[near.circuit];
        let only = circuit.causes.iter().all(|&(_, node)| node == far);
        only && match dead.at {
            Place::Node(id) => self.ids[far].contains(&id),
            Place::Peer => circuit.hops.is_empty(),
            Place::Here => false,
        }
    }

    /// Whoever should have been told by now was told.
    pub(super) fn check_told(&mut self) {
        for (number, circuit) in self.circuits.iter_mut().enumerate() {
            if circuit.told_by.is_none_or(|by| self.now <= by) {
                continue;
            }
            circuit.told_by = None;
            if circuit.tainted {
                continue;
            }
            for end in self.ends[2 * number..2 * number + 2].iter().flatten() {
                assert!(
                    end.is_told(),
                    "circuit {number} is dead, and node {} was not told in time: {:?}, {:?}, {end:?}",
                    end.node,
                    circuit.causes,
                    circuit.hops
                );
            }
        }
    }

    /// A program takes a value: the next one, unaltered, with the ends that were put into it.
    pub(super) fn check_value(&self, id: usize, number: u32, bytes: &[u8], ends: &[usize]) {
        let circuit = id / 2;
        if self.circuits[circuit].tainted {
            return;
        }
        let end = self.ends[id].as_ref().expect("it takes");
        let sent = u32::from_le_bytes(bytes[..4].try_into().expect("a value begins with its number"));
        let in_turn = if end.is_latest() { sent >= number } else { sent == number };
        let intact = bytes == value(circuit, id & 1 == 1, sent, bytes.len());
        let put = self.circuits[circuit].carried.iter().find(|put| (put.0, put.1) == (id ^ 1, sent));
        let put = put.map_or(&[][..], |put| &put.2);
        assert!(ends == put, "value {sent} of circuit {circuit} came with ends {ends:?} instead of {put:?}");
        assert!(in_turn && intact, "value {number} of circuit {circuit} is not what was sent, {sent}");
    }
}

/// The bytes of a value: its number, then a pattern that differs in every place. To the acceptor or from it.
pub(super) fn value(circuit: usize, to_acceptor: bool, number: u32, len: usize) -> Vec<u8> {
    let seed = circuit as u32 * 2 + u32::from(to_acceptor);
    let mut bytes: Vec<u8> = number.to_le_bytes().into();
    let pattern = |i: usize| (seed.wrapping_mul(number + 7).wrapping_add(i as u32 * 7) >> 3) as u8;
    bytes.extend((4..len.max(4)).map(pattern));
    bytes
}
