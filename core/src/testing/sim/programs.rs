//! What the programs of the simulated nodes do, and what a hostile one writes.

use alloc::format;
use alloc::vec::Vec;

use super::ledger::{check_value, value};
use super::{Plan, Report};
use crate::proto::{
    Accept, Dead, DeadFrame, Fingerprints, Frame, Handle, Open, OpenFlags, Part, Place, Reason, Total,
};
use crate::testing::{Node, Outcome, Port, Rng, Stage};

/// A few random calls of one program.
pub(super) fn act(n: usize, node: &mut Node, plan: &Plan, rng: &mut Rng, report: &mut Report) {
    let live: Vec<usize> = node.live().collect();
    if node.port.is_up() && live.len() < 4 && rng.one_in(4) {
        let flags = [OpenFlags::SENDS, OpenFlags::RECEIVES, OpenFlags::BOTH][rng.below(3)];
        let name = format!("c{}.{n}", report.opened);
        let values = if rng.one_in(4) { 1 + rng.below(5) as u32 } else { 0 };
        if node.open_bounded(&name, flags, values).is_ok() {
            report.opened += 1;
        }
    }
    if rng.one_in(20) {
        node.port.link.ping();
    }
    for _ in 0..3 {
        if live.is_empty() {
            return;
        }
        let id = live[rng.below(live.len())];
        let circuit = &node.circuits[id];
        match (circuit.stage, rng.below(24)) {
            (Stage::Offered, 0) => node.kill(id, Reason::Refused),
            (Stage::Offered, _) => node.accept(id),
            (Stage::Opening, 0) => node.kill(id, Reason::Cancelled),
            (Stage::Open, 0) => node.kill(id, Reason::HungUp),
            (Stage::Open, 1) if circuit.sends() => node.end(id),
            (Stage::Open, 2) if circuit.sends() => node.ask(id),
            (Stage::Open, 3..14) if circuit.sends() && !circuit.ending && circuit.dead.is_none() => {
                let most = match plan.lossy {
                    _ if !plan.large || !rng.one_in(8) => 60,
                    // A thousand bytes a second go through the smallest packets.
                    Some(_) => 2_000,
                    None => 30_000,
                };
                let limit = node.limit_of(id);
                let circuit = &node.circuits[id];
                if limit < 4 {
                    continue;
                }
                let value = value(&circuit.name, n, circuit.sent, 4 + rng.below(most.min(limit - 3)));
                node.send(id, value);
                report.sent += 1;
            }
            (Stage::Open, 14..) if !plan.slow || rng.one_in(8) => {
                take(n, node, id, plan, report);
            }
            _ => {}
        }
    }
}

/// Takes one value and judges it: whether there may be more.
pub(super) fn take(n: usize, node: &mut Node, id: usize, plan: &Plan, report: &mut Report) -> bool {
    let number = node.circuits[id].taken;
    match node.take(id) {
        Outcome::Value(bytes) => {
            report.taken += 1;
            if !plan.hostile {
                check_value(&node.circuits[id], 1 - n, number, &bytes);
            }
            true
        }
        Outcome::Closed => {
            let circuit = &node.circuits[id];
            assert_eq!(circuit.taken, circuit.received, "closed before all was taken");
            false
        }
        _ => false,
    }
}

/// Everything that a program still owes: answers, takes, ends.
pub(super) fn wind_down(n: usize, node: &mut Node, plan: &Plan, report: &mut Report) {
    for id in node.live().collect::<Vec<_>>() {
        node.accept(id);
        node.end(id);
    }
    for id in 0..node.circuits.len() {
        if !node.circuits[id].killed {
            while take(n, node, id, plan, report) {}
        }
    }
}

/// Writes a frame with handles and totals that come near those in use.
pub(super) fn forge(port: &mut Port, rng: &mut Rng) {
    if rng.one_in(8) {
        let len = 1 + rng.below(40);
        let bytes: Vec<u8> = (0..len).map(|_| rng.next() as u8).collect();
        return port.forge_bytes(&bytes);
    }
    let handle = Handle::new(rng.below(10) as u32);
    let total = Total::new(if rng.one_in(6) { rng.next() as u32 } else { rng.below(80) as u32 });
    let bytes = [0x5a; 70];
    let bytes = &bytes[..rng.below(70)];
    let flags = [OpenFlags::SENDS, OpenFlags::RECEIVES, OpenFlags::BOTH][rng.below(3)];
    let (credit, limit) = (total.get(), rng.below(100) as u32);
    let open = Open {
        flags,
        wait_ms: 0,
        credit,
        values: 0,
        limit,
        name: "forged",
        fingerprints: Fingerprints::new(7, &[]),
        type_name: "",
        route: None,
        body: None,
    };
    // In an attached one it could not be written.
    let brings = (flags != OpenFlags::RECEIVES && rng.one_in(2)).then_some(bytes);
    let dead = Dead { reason: Reason::new(rng.next() as u8), at: Place::Peer };
    port.forge(&match rng.below(17) {
        0..3 => Frame::Data(handle, Part::Whole, bytes),
        3 => Frame::Data(handle, Part::First(total.get()), bytes),
        4 => Frame::Data(handle, Part::More, bytes),
        5 => Frame::Credit(handle, total),
        6 => Frame::Taken(handle, total),
        7 => Frame::Ask(handle, total),
        8 => Frame::End(handle, total),
        9 => Frame::Done(handle, total),
        10 => Frame::Dead(handle, DeadFrame { dead, taken: total, detail: "forged" }),
        11 => Frame::Accept(handle, Accept { which: rng.below(4) as u8, credit, limit }),
        12 => Frame::Ack(total),
        13 => Frame::Attach(handle, Handle::new(rng.below(10) as u32), 0, open),
        14 => Frame::Beat,
        15 => Frame::Ping,
        _ => Frame::Open(handle, Open { body: brings, ..open }),
    });
}
