//! Runs seeds of the simulation: `sim --seeds 100000 --start 0`.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::time::Instant;

use netchan::testing::sim::{Guard, run};

fn main() {
    let mut args = std::env::args().skip(1);
    let (mut count, mut start) = (10_000u64, 0u64);
    while let Some(arg) = args.next() {
        let value = args.next().and_then(|value| value.parse().ok());
        match (arg.as_str(), value) {
            ("--seeds", Some(value)) => count = value,
            ("--start", Some(value)) => start = value,
            _ => return println!("usage: sim [--seeds N] [--start S]"),
        }
    }
    let began = Instant::now();
    let (mut opened, mut sent, mut taken, mut lost, mut frames) = (0u64, 0u64, 0u64, 0u64, 0u64);
    for seed in start..start.saturating_add(count) {
        let _guard = Guard(seed);
        let report = run(seed);
        opened += u64::from(report.opened);
        sent += u64::from(report.sent);
        taken += u64::from(report.taken);
        lost += u64::from(report.lost);
        frames += u64::from(report.frames);
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{count} seeds from {start} in {seconds:.1} s: {:.0} a second", count as f64 / seconds);
    println!("{opened} circuits, {sent} values sent, {taken} taken, {frames} frames, {lost} sessions lost");
}
