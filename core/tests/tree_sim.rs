//! Ten thousand seeds of trees, each run twice.
#![expect(clippy::print_stdout, reason = "figures, for who wants them")]

use netchan::testing::sim::{TreeGuard, TreeReport, run_tree};

/// Seeds that once failed: each is the story of a bug.
const REGRESSIONS: &[u64] = &[];

fn seeds(range: std::ops::Range<u64>) {
    let mut sum = TreeReport::default();
    for seed in range {
        let _guard = TreeGuard(seed);
        let (once, twice) = (run_tree(seed), run_tree(seed));
        assert_eq!(once, twice, "one seed, two traces");
        sum += once;
    }
    println!("{sum:?}");
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
