//! The conformance suite over wires in memory: a host's node on a stream and on a lossy line.

mod deviant;
mod line;
mod stream;

use std::thread;
use std::time::Duration;

use netchan::proto::LineConfig;
use netchan::testing::conformance::{ALL, Check, Faulty, Medium, Specimen, Way};
use netchan::testing::{Faults, FaultyLine};

/// The specimens' dead-time: long enough for a machine that is busy, and short enough to be waited for.
const DEAD: Duration = Duration::from_secs(2);
const LINE: LineConfig = LineConfig::uart(1_000_000, 2, 96, 4);

/// All that a line does to bytes, but never for so long that a session ends; and nothing comes again, for a hello that does ends
/// a session by law.
const FAULTS: Faults = Faults {
    flip: 4000,
    burst: 12_000,
    lose: 6000,
    insert: 6000,
    duplicate: 0,
    truncate: 8000,
    stall: 0,
    stall_us: 0,
    deaf: 0,
    deaf_us: 0,
    unplug: 0,
    unplug_us: 0,
};

/// Puts all checks to it: what failed.
fn failures(way: &mut dyn Way, specimen: &Specimen) -> Vec<String> {
    let only = std::env::var("NETCHAN_CHECK").ok();
    let mut failures = Vec::new();
    for check in ALL.iter().filter(|check| only.as_ref().is_none_or(|only| check.name.contains(only))) {
        if let Err(failure) = check.run(way, specimen) {
            failures.push(format!("{}: {failure}", check.name));
        }
    }
    failures
}

#[test]
fn a_host_on_a_stream_conforms() {
    let mut way = stream::Stream::new(DEAD);
    assert_eq!(failures(&mut way, &Specimen::host(Medium::Stream, DEAD)), [""; 0]);
}

#[test]
fn a_host_on_a_line_conforms() {
    let mut way = line::Line::new(LINE);
    assert_eq!(failures(&mut way, &Specimen::host(Medium::Line(LINE), DEAD)), [""; 0]);
}

#[test]
fn a_host_on_a_faulty_line_conforms() {
    let seed = 7;
    let mut way = Faulty { way: line::Line::new(LINE), line: FaultyLine::new(FAULTS, seed) };
    assert_eq!(failures(&mut way, &Specimen::host(Medium::Line(LINE), DEAD)), [""; 0]);
    let happened: u64 = way.line.wires.iter().map(|wire| wire.happened.faults()).sum();
    assert!(happened > 0, "the line had no faults");
}

#[test]
fn each_check_finds_the_deviation_that_is_planted_for_it() {
    /// Most of it is waiting for what does not come.
    const AT_A_TIME: usize = 24;
    let specimen = Specimen::host(Medium::Stream, DEAD);
    let mut blind = Vec::new();
    for checks in ALL.chunks(AT_A_TIME) {
        thread::scope(|scope| {
            let run = |check: &'static Check| {
                scope.spawn(move || {
                    let mut way = deviant::Deviant::new(DEAD, deviant::planted(check.name));
                    check.ask(&mut way, &specimen).is_ok().then_some(check.name)
                })
            };
            let runs: Vec<_> = checks.iter().map(run).collect();
            blind.extend(runs.into_iter().filter_map(|run| run.join().unwrap()));
        });
    }
    assert_eq!(blind, [""; 0]);
}
