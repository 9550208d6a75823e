//! A UART's line that does everything lines do, as a seed has it.

use netchan::testing::{Faults, FaultyLine, Rng};

/// A step takes a millisecond, in which so many bytes pass.
pub(crate) const STEP_US: u64 = 1000;
pub(crate) const STEP_BYTES: usize = 11;
/// What a byte takes at 115200 baud, in nanoseconds.
const BYTE_NS: u64 = 86_805;

/// A line on which each kind of fault is there or not, at some rate.
pub(crate) fn faulty_line(rng: &mut Rng) -> FaultyLine {
    let mut line = FaultyLine::new(faults(rng), rng.next());
    for wire in &mut line.wires {
        (wire.byte_ns, wire.latency_us) = (BYTE_NS, [100, 2000, 5000][rng.below(3)]);
    }
    line
}

fn faults(rng: &mut Rng) -> Faults {
    let mut rate = |most: usize| if rng.one_in(2) { 0 } else { (50 + rng.below(most)) as u32 };
    Faults {
        flip: rate(20_000),
        burst: rate(20_000),
        lose: rate(20_000),
        insert: rate(20_000),
        duplicate: rate(20_000),
        truncate: rate(20_000),
        stall: rate(40_000),
        stall_us: rate(3_000_000),
        deaf: rate(60_000),
        deaf_us: rate(3_000_000),
        ..Faults::default()
    }
}
