//! Runs seeds of the simulation: `sim --seeds 100000 --start 0`; with `--lines`, of two lossy
//! lines with nothing above them. `sim --corruption 100000000 --start 7` alters so many packets by a few bits,
//! and counts those that are taken for something else.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::time::Instant;

use netchan::testing::sim::{
    Guard, LineGuard, LineReport, TreeGuard, TreeReport, run, run_corruption, run_line, run_tree, trace_tree,
};

fn main() {
    let lines = std::env::args().any(|arg| arg == "--lines");
    let tree = std::env::args().any(|arg| arg == "--tree");
    let trace = std::env::args().any(|arg| arg == "--trace");
    let flag = |arg: &String| ["--lines", "--tree", "--trace"].contains(&arg.as_str());
    let mut args = std::env::args().skip(1).filter(|arg| !flag(arg));
    let (mut count, mut start, mut errors) = (10_000u64, 0u64, 0u64);
    while let Some(arg) = args.next() {
        let value = args.next().and_then(|value| value.parse().ok());
        match (arg.as_str(), value) {
            ("--seeds", Some(value)) => count = value,
            ("--start", Some(value)) => start = value,
            ("--corruption", Some(value)) => errors = value,
            _ => return println!("usage: sim [--seeds N | --corruption N] [--start S] [--lines]"),
        }
    }
    let began = Instant::now();
    if errors > 0 {
        let report = run_corruption(start, errors);
        let seconds = began.elapsed().as_secs_f64();
        return println!("seed {start}, {seconds:.1} s: {report:?}");
    }
    if tree {
        return run_trees(start, count, trace);
    }
    if lines {
        return run_lines(start, count);
    }
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

fn run_trees(start: u64, count: u64, trace: bool) {
    let began = Instant::now();
    let mut sum = TreeReport::default();
    for seed in start..start.saturating_add(count) {
        let _guard = TreeGuard(seed);
        sum += if trace { trace_tree(seed) } else { run_tree(seed) };
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{count} seeds from {start} in {seconds:.1} s: {:.0} a second", count as f64 / seconds);
    println!("{sum:?}");
}

fn run_lines(start: u64, count: u64) {
    let began = Instant::now();
    let mut sum = LineReport::default();
    let (mut heard, mut lost) = (0u64, 0u64);
    for seed in start..start.saturating_add(count) {
        let _guard = LineGuard(seed);
        let report = run_line(seed);
        heard += u64::from(report.heard);
        lost += u64::from(report.lost);
        sum.bytes += report.bytes;
        sum.faults += report.faults;
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{count} seeds from {start} in {seconds:.1} s: {:.0} a second", count as f64 / seconds);
    println!("{} bytes, {} faults, {heard} records heard, {lost} sessions lost", sum.bytes, sum.faults);
}
