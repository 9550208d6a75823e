//! Ten thousand seeds of the simulation, each run twice.

use netchan::testing::sim::{Guard, run};

/// Seeds that once failed: each is the story of a bug.
const REGRESSIONS: &[u64] = &[];

fn seeds(range: std::ops::Range<u64>) {
    for seed in range {
        let _guard = Guard(seed);
        let (once, twice) = (run(seed), run(seed));
        assert_eq!(once, twice, "one seed, two traces");
    }
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
    REGRESSIONS.iter().for_each(|&seed| seeds(seed..seed + 1));
}
