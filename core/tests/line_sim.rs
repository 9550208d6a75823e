//! Ten thousand seeds of two lines on faulty wires, each run twice.
#![expect(clippy::print_stdout, reason = "figures, for who wants them")]

use netchan::testing::sim::{LineGuard, LineReport, run_line};

/// Seeds that once failed: each is the story of a bug.
const REGRESSIONS: &[u64] = &[
    // An acknowledgement that the wire repeated a round of the sequence later.
    5208,
    // A silence that was heard of long after it was announced: it was taken for over before it began.
    80,
];

fn seeds(range: std::ops::Range<u64>) {
    let mut sum = LineReport::default();
    for seed in range {
        let _guard = LineGuard(seed);
        let (once, twice) = (run_line(seed), run_line(seed));
        assert_eq!(once, twice, "one seed, two traces");
        sum.heard += once.heard;
        sum.faults += once.faults;
        sum.resent += once.resent;
        sum.lost += once.lost;
        sum.silences += once.silences;
    }
    println!("{sum:?}");
    // A simulation in which nothing goes wrong proves nothing.
    assert!(sum.faults > 10_000 && sum.resent > 1000 && sum.lost > 100 && sum.heard > 100_000);
    assert!(sum.silences > 1000);
}

#[test]
fn seeds_0_to_5000() {
    seeds(0..5_000);
}

#[test]
fn seeds_5000_to_10000() {
    seeds(5_000..10_000);
}

#[test]
fn seeds_that_once_failed() {
    for &seed in REGRESSIONS {
        let _guard = LineGuard(seed);
        run_line(seed);
    }
}
