//! Whole nodes of the host in trees, with programs and faults, by seeds, each run twice; with `NETCHAN_LONG=1` thirty times as many.
#![cfg(not(loom))]
#![expect(clippy::print_stdout, reason = "figures, for who wants them")]

use netchan::testing::sim::{HostGuard, HostReport, run_host};

fn seeds(range: std::ops::Range<u64>) -> HostReport {
    let mut sum = HostReport::default();
    for seed in range {
        let _guard = HostGuard(seed);
        let (once, twice) = (run_host(seed), run_host(seed));
        assert_eq!(once, twice, "one seed, two traces");
        sum += once;
    }
    sum
}

/// Half of them, for there are two cores at least.
fn half(n: u64) {
    let times = if std::env::var_os("NETCHAN_LONG").is_some() { 30 } else { 1 };
    let sum = seeds(n * 100 * times..(n + 1) * 100 * times);
    println!("{sum:?}");
    // A simulation in which nothing goes wrong proves nothing.
    assert!(sum.sent > 20_000 && sum.taken > 20_000 && sum.shots > 5_000, "{sum:?}");
    assert!(sum.lost > 100 && sum.failed > 500 && sum.killed > 10 && sum.dropped > 100, "{sum:?}");
    assert!(sum.interrupted > 10 && sum.watched > 10 && sum.pictures > 500, "{sum:?}");
}

#[test]
fn seeds_first_half() {
    half(0);
}

#[test]
fn seeds_second_half() {
    half(1);
}
