//! A board's node against a host's link, over a line that does everything lines do, with programs that do
//! everything programs do: by a seed, with the laws as the oracle.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "figures and seeds, for who wants them")]

mod board;
mod line;
mod peer;
mod world;

use world::{Report, World};

/// Seeds that once failed: each is the story of a bug.
const REGRESSIONS: &[u64] = &[];

/// Says which seed it was.
struct Guard(u64);

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed is {}", self.0);
        }
    }
}

fn run(seed: u64) -> Report {
    let _guard = Guard(seed);
    World::new(seed).run()
}

fn seeds(range: std::ops::Range<u64>) {
    let mut sum = Report::default();
    for seed in range {
        sum.add(&run(seed));
    }
    println!("{sum:?}");
    // A simulation in which nothing happens proves nothing.
    assert!(
        sum.faults > 1000 && sum.sessions > 100 && sum.to_peer > 10_000 && sum.to_board > 10_000,
        "{sum:?}"
    );
    assert!(sum.calls > 1000 && sum.accounts > 50 && sum.refused > 50 && sum.left > 100, "{sum:?}");
    assert!(sum.silences > 10 && sum.goodbyes > 10, "{sum:?}");
}

/// So many of the seeds in each test; with `NETCHAN_LONG=1` twenty times as many.
fn range(part: u64) -> std::ops::Range<u64> {
    let many = if std::env::var_os("NETCHAN_LONG").is_some() { 2000 } else { 100 };
    part * many..(part + 1) * many
}

#[test]
fn seeds_first_half() {
    seeds(range(0));
}

#[test]
fn seeds_second_half() {
    seeds(range(1));
}

#[test]
fn one_seed_gives_one_trace() {
    for seed in 0..10 {
        assert_eq!(run(seed), run(seed));
    }
}

#[test]
fn seeds_that_once_failed() {
    for &seed in REGRESSIONS {
        run(seed);
    }
}

/// `NETCHAN_SEED=17 cargo test --test board_sim one_seed -- --nocapture`
#[test]
fn one_seed() {
    if let Some(seed) = std::env::var("NETCHAN_SEED").ok().and_then(|seed| seed.parse().ok()) {
        println!("{:?}", run(seed));
    }
}
