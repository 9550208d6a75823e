//! How much of a line's rate is left for messages, on a virtual clock: the same on every
//! machine, so a figure here can be a test.
#![expect(clippy::print_stdout, reason = "figures, for who wants them")]

use netchan::proto::OpenFlags;
use netchan::testing::{Faults, FaultyLine, LinePair, Outcome};

const MESSAGE: usize = 128;

/// Messages' bytes in percent of what the line carries in the same time.
fn goodput(faults: Faults, latency_ms: u32, window: u8, seed: u64) -> f64 {
    let mut pair = LinePair::up(115_200, latency_ms, 240, window);
    for (wire, noisy) in pair.line.wires.iter_mut().zip(FaultyLine::new(faults, seed).wires) {
        let (byte_ns, latency_us) = (wire.byte_ns, wire.latency_us);
        *wire = noisy;
        (wire.byte_ns, wire.latency_us) = (byte_ns, latency_us);
    }
    for node in &mut pair.nodes {
        node.window = 8192;
    }
    let id = pair.nodes[0].open("bulk", OpenFlags::SENDS).unwrap();
    let (mut sent, mut taken) = (0u32, 0u32);
    let mut began = None;
    while pair.now - began.unwrap_or(pair.now) < 60_000_000 {
        if pair.nodes[0].circuits[id].outbox.len() < 8 {
            let mut value = vec![sent as u8; MESSAGE];
            value[..4].copy_from_slice(&sent.to_le_bytes());
            pair.nodes[0].send(id, value);
            sent += 1;
        }
        pair.step();
        if pair.nodes[1].circuits.is_empty() {
            continue;
        }
        while let Outcome::Value(value) = pair.nodes[1].take(0) {
            assert_eq!(value[..4], taken.to_le_bytes(), "once, and in order");
            assert!(value[4..].iter().all(|&byte| byte == taken as u8), "unaltered");
            began = began.or(Some(pair.now));
            taken += 1;
        }
    }
    assert!(pair.is_up(), "the session holds");
    let capacity = 60e9 / pair.line.wires[0].byte_ns as f64;
    f64::from(taken - 1) * MESSAGE as f64 / capacity * 100.0
}

/// Of eight bits each one flips once in 100 000 times.
const NOISY: Faults = Faults {
    flip: 12_500,
    burst: 0,
    lose: 0,
    insert: 0,
    duplicate: 0,
    truncate: 0,
    stall: 0,
    stall_us: 0,
    deaf: 0,
    deaf_us: 0,
    unplug: 0,
    unplug_us: 0,
};

#[test]
fn a_clean_line_carries_92_percent() {
    let percent = goodput(Faults::default(), 0, 4, 1);
    println!("clean: {percent:.2} %");
    assert!(percent >= 92.0, "{percent:.1} %");
}

#[test]
fn latency_and_noise_leave_88_percent() {
    // The default window; and twice the latency, where it is too short.
    let lines = [("16 ms there and back", 8, 4), ("16 ms each way", 16, 7)];
    for (what, latency_ms, window) in lines {
        let runs: Vec<f64> = (1..=8).map(|seed| goodput(NOISY, latency_ms, window, seed)).collect();
        let percent = runs.iter().sum::<f64>() / runs.len() as f64;
        println!("bit errors 1e-5, {what}, window {window}: {percent:.1} % ({runs:.1?})");
        assert!(percent >= 88.0, "{what}: {percent:.1} %");
    }
}
