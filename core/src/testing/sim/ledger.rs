//! What a value must look like, and what must hold between the two ends of a circuit.

use alloc::vec::Vec;

use crate::proto::Place;
use crate::testing::{Circuit, Node, Stage};

/// The bytes of a value: its number, then a pattern that differs in every place.
pub(super) fn value(circuit: &str, from: usize, number: u32, len: usize) -> Vec<u8> {
    let seed = circuit.bytes().fold(from as u32 + 1, |sum, byte| sum.wrapping_mul(31) + u32::from(byte));
    let mut bytes: Vec<u8> = number.to_le_bytes().into();
    bytes.extend(
        (4..len.max(4)).map(|i| (seed.wrapping_mul(number + 7).wrapping_add(i as u32 * 7) >> 3) as u8),
    );
    bytes
}

/// Law 2: exactly once, in order, unaltered.
pub(super) fn check_value(circuit: &Circuit, from: usize, number: u32, bytes: &[u8]) {
    assert!(
        bytes == value(&circuit.name, from, number, bytes.len()),
        "value {number} of {} altered",
        circuit.name
    );
}

/// Accounts, at any moment: what each side believes lies within what is true.
pub(super) fn check_accounts(nodes: &[Node; 2], routed: bool) {
    for (n, node) in nodes.iter().enumerate() {
        // Circuits of long ago do not change any more.
        for circuit in node.circuits.iter().rev().take(40) {
            let account = circuit.account();
            assert_eq!(
                account.sent,
                account.confirmed + account.in_doubt + account.unsent,
                "{}",
                circuit.name
            );
            let far = nodes[1 - n].circuits.iter().rev().find(|far| far.name == circuit.name);
            let (taken, received) = far.map_or((0, 0), |far| (far.taken, far.received));
            assert!(
                circuit.confirmed <= taken && taken <= received && received <= circuit.started,
                "{}: {} confirmed, {taken} taken, {received} received, {} begun",
                circuit.name,
                circuit.confirmed,
                circuit.started
            );
            // A death that the far program chose says how many it had taken.
            let chosen = far.is_some_and(|far| far.killed)
                && circuit.dead.is_some_and(|dead| {
                    matches!(dead.at, Place::Node(_)) || !routed && dead.at == Place::Peer
                });
            if chosen && circuit.sends() {
                assert_eq!(circuit.confirmed, taken, "{}: a death with a wrong account", circuit.name);
            }
            if circuit.done && circuit.sends() {
                let all = circuit.started;
                assert_eq!((taken, circuit.confirmed), (all, all), "done means all taken");
            }
            assert!(circuit.stage != Stage::Over || circuit.is_told(), "over, and nobody was told");
        }
    }
}
