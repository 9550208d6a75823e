//! The conformance suite over wires in memory: a host's node on a stream and on a lossy line.

mod deviant;
mod line;
mod stream;

use std::thread;
use std::time::Duration;

use deviant::{Alter, Deviant, To, loses};
use netchan::proto::{Frame, LineConfig};
use netchan::testing::conformance::{ALL, Check, Faulty, Medium, Specimen, Way};
use netchan::testing::{Faults, FaultyLine};

/// The specimens' dead-time: long enough for a machine that is busy, and short enough to be waited for.
const DEAD: Duration = Duration::from_secs(2);
const LINE: LineConfig = LineConfig::uart(1_000_000, 2, 96, 4);

/// All that a line does to bytes, but never for so long that a session ends.
const FAULTS: Faults = Faults {
    flip: 4000,
    burst: 12_000,
    lose: 6000,
    insert: 6000,
    duplicate: 8000,
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
    let only = std::env::var("NETCHAN_CHECK").unwrap_or_default();
    let checks = Check::matching(&only).unwrap_or_else(|error| panic!("NETCHAN_CHECK: {error}"));
    let mut failures = Vec::new();
    for check in checks {
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
    for wire in &way.line.wires {
        let happened = wire.happened;
        assert!(happened.duplicates > 0 && happened.flips > 0, "{happened:?}");
    }
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
                    let mut way = Deviant::new(stream::Stream::new(DEAD), deviant::planted(check.name));
                    check.ask(&mut way, &specimen).is_ok().then_some(check.name)
                })
            };
            let runs: Vec<_> = checks.iter().map(run).collect();
            blind.extend(runs.into_iter().filter_map(|run| run.join().unwrap()));
        });
    }
    assert_eq!(blind, [""; 0]);
}

/// On a line these look at something else than on a stream.
#[test]
fn what_differs_on_a_line_is_found_there() {
    let specimen = Specimen::host(Medium::Line(LINE), DEAD);
    let checks = [
        "a_version_that_is_not_spoken_is_answered_and_refused",
        "noise_before_the_first_packet_does_no_harm",
        "noise_between_packets_does_no_harm",
        "it_is_heard_as_often_as_it_has_promised",
        "a_silent_peer_is_dead_in_time",
        "a_peer_that_resets_its_link_is_told_so",
        "a_specimen_that_restarts_says_so",
        "a_kind_that_is_not_known_is_a_fault",
    ];
    thread::scope(|scope| {
        let run = |name: &'static str| {
            scope.spawn(move || {
                let planted = deviant::planted_on_line(name);
                let mut way = Deviant::on_line(line::Line::new(LINE), LINE, planted);
                let check = Check::named(name).unwrap();
                check.ask(&mut way, &specimen).is_ok().then_some(name)
            })
        };
        let runs = checks.map(run);
        let blind: Vec<_> = runs.into_iter().filter_map(|run| run.join().unwrap()).collect();
        assert_eq!(blind, [""; 0]);
    });
}

/// Most signs of life do not arrive.
fn keeps_one_beat_in(kept: u32) -> (bool, Alter) {
    let mut beats = 0;
    loses(To::Suite, move |_, frame| {
        beats += u32::from(matches!(frame, Frame::Beat));
        matches!(frame, Frame::Beat) && beats % kept != 0
    })
}

/// At a dead-time of a quarter of a second a sign of life is promised every 62 ms, of which a machine's slack is many.
#[test]
fn missing_signs_of_life_are_found_at_a_short_dead_time_too() {
    const SHORT: Duration = Duration::from_millis(250);
    // What a specimen may have at the least.
    let specimen = Specimen::host(Medium::Stream, Duration::from_millis(200));
    let check = Check::named("it_is_heard_as_often_as_it_has_promised").unwrap();
    check.ask(&mut stream::Stream::new(SHORT), &specimen).unwrap();
    // All of them, and all but some, which leave no silence as long as the slack.
    for kept in [u32::MAX, 6] {
        let mut way = Deviant::new(stream::Stream::new(SHORT), keeps_one_beat_in(kept));
        assert!(check.ask(&mut way, &specimen).is_err(), "one sign of life in {kept}");
    }
}
