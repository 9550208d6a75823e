//! What the two ends of each circuit have done, and what must hold between them.

use std::collections::{BTreeMap, BTreeSet};

use netchan::proto::Reason;
use netchan::testing::{Circuit, Node, Outcome, Stage};

/// A value: which circuit and direction, which number, and bytes that follow from both.
pub(crate) fn value(tag: u32, number: u32, len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|at| (tag + number * 7 + at as u32) as u8).collect();
    for (to, from) in bytes.iter_mut().zip(number.to_le_bytes().into_iter().chain(tag.to_le_bytes())) {
        *to = from;
    }
    bytes
}

/// Where the two ends of a circuit are in the lists of their nodes: above, below.
#[derive(Default)]
pub(crate) struct Ledger {
    /// A hostile node may have sent whatever came, and may say of itself what it likes.
    pub(crate) is_hostile: bool,
    pub(crate) pairs: BTreeMap<u32, [Option<usize>; 2]>,
    /// Those that lead to nobody, or have come too far.
    pub(crate) nowhere: BTreeSet<u32>,
}

/// The number in a circuit's name.
pub(crate) fn number(circuit: &Circuit) -> Option<u32> {
    circuit.name.strip_prefix('c')?.parse().ok()
}

impl Ledger {
    /// Takes a value at one end, and checks it: what came.
    pub(crate) fn take(&self, side: usize, node: &mut Node, id: usize) -> Outcome {
        let (Some(of), before) = (number(&node.circuits[id]), node.circuits[id].taken) else {
            return node.take(id);
        };
        let outcome = node.take(id);
        if let Outcome::Value(came) = &outcome
            && !self.is_hostile
        {
            // What the other side sends.
            let tag = of * 2 + 1 - side as u32;
            assert_eq!(*came, value(tag, before, came.len()), "value {before} of c{of}");
        }
        outcome
    }

    /// What must hold whenever it is asked.
    pub(crate) fn check(&self, above: &Node, below: &Node) {
        for (number, ids) in self.pairs.iter().filter(|_| !self.is_hostile) {
            let [Some(a), Some(b)] = *ids else { continue };
            assert!(!self.nowhere.contains(number), "c{number} leads nowhere");
            let (a, b) = (&above.circuits[a], &below.circuits[b]);
            for (from, to) in [(a, b), (b, a)] {
                if !from.sends() {
                    continue;
                }
                assert!(to.received <= from.started, "c{number}: more came than was sent");
                assert!(from.confirmed <= to.taken, "c{number}: confirmed, and not taken");
                if to.in_end {
                    assert_eq!(to.received, from.started, "c{number}: an end that comes too soon");
                }
                if from.done {
                    assert!(to.taken == from.started, "c{number}: done, and not all taken");
                }
            }
        }
    }

    /// How many ended in order, how many are dead, and how many of these had no room or no way; nobody is left who waits.
    pub(crate) fn close(&self, nodes: [&Node; 2]) -> [u64; 3] {
        let [mut in_order, mut dead, mut refused] = [0; 3];
        for circuit in nodes.iter().flat_map(|node| &node.circuits) {
            assert!(circuit.is_told(), "{} waits for ever: {circuit:?}", circuit.name);
            assert_eq!(circuit.stage, Stage::Over, "{circuit:?}");
            in_order += u64::from(circuit.done && circuit.dead.is_none());
            dead += u64::from(circuit.dead.is_some());
            let no_way = [Reason::NoResources, Reason::NoRoute, Reason::HopLimit];
            refused += u64::from(circuit.dead.is_some_and(|dead| no_way.contains(&dead.reason)));
        }
        [in_order, dead, refused]
    }
}
