//! Simulated networks by seeds: `cargo xtask sim --help`.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use netchan::testing::sim::{
    Guard, HostGuard, HostReport, LineGuard, TreeGuard, TreeReport, run, run_corruption, run_host, run_line,
    run_tree, trace_host, trace_tree,
};

const USAGE: &str = "\
cargo xtask sim [OPTIONS]         trees of nodes, with faults, by seeds

    --seeds N         so many of them (10000)
    --from S          from this one on (0)
    --seed S          this one alone
    --trace           with --seed: tell what happens
    --jobs N          threads (as many as there are cores)
    --hosts           whole nodes of the host, with their programs, instead of trees of bare ones
    --pairs           two nodes and a router instead of trees
    --lines           two lines that lose bytes, with nothing above them
    --corruption N    alter N packets of a line by a few bits, and count what is taken for something else
    --mutants [NAME]  plant known bugs, those with NAME in their name or file, one after the other, and see that each is found; with
                      --hosts those in the runtime of hosts alone
    --within SECONDS  with --mutants: each within that time (600)";

#[derive(Clone, Copy, PartialEq)]
enum What {
    Trees,
    Hosts,
    Pairs,
    Lines,
}

struct Options {
    what: What,
    from: u64,
    seeds: u64,
    jobs: usize,
    trace: bool,
    corruption: u64,
}

fn options() -> Option<Options> {
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    let mut options =
        Options { what: What::Trees, from: 0, seeds: 10_000, jobs, trace: false, corruption: 0 };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || args.next()?.parse::<u64>().ok();
        match arg.as_str() {
            "--seeds" => options.seeds = number()?,
            "--from" => options.from = number()?,
            "--seed" => (options.from, options.seeds) = (number()?, 1),
            "--jobs" => options.jobs = number()? as usize,
            "--corruption" => options.corruption = number()?,
            "--trace" => options.trace = true,
            "--hosts" => options.what = What::Hosts,
            "--pairs" => options.what = What::Pairs,
            "--lines" => options.what = What::Lines,
            _ => return None,
        }
    }
    Some(options)
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        println!("{USAGE}");
        return ExitCode::from(u8::from(!std::env::args().any(|arg| arg == "--help")));
    };
    let began = Instant::now();
    if options.corruption > 0 {
        let report = run_corruption(options.from, options.corruption);
        println!("seed {}, {:.1} s: {report:?}", options.from, began.elapsed().as_secs_f64());
        return ExitCode::SUCCESS;
    }
    let (next, done) = (AtomicU64::new(options.from), AtomicU64::new(0));
    let end = options.from.saturating_add(options.seeds);
    let work = || {
        let mut sum = (TreeReport::default(), HostReport::default());
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= end {
                return sum;
            }
            one(&options, seed, &mut sum);
            done.fetch_add(1, Relaxed);
        }
    };
    let (mut trees, mut hosts, mut failed) = (TreeReport::default(), HostReport::default(), false);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..options.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        let mut told = began;
        while workers.iter().any(|worker| !worker.is_finished()) {
            thread::sleep(Duration::from_millis(5));
            // One that has failed is enough.
            if workers.iter().any(thread::ScopedJoinHandle::is_finished) {
                next.fetch_max(end, Relaxed);
            }
            if told.elapsed() > Duration::from_secs(5) {
                told = Instant::now();
                say(done.load(Relaxed), began);
            }
        }
        for worker in workers {
            match worker.join() {
                Ok(part) => {
                    trees += part.0;
                    hosts += part.1;
                }
                Err(_) => failed = true,
            }
        }
    });
    say(done.load(Relaxed), began);
    match options.what {
        What::Trees => println!("{trees:?}"),
        What::Hosts => println!("{hosts:?}"),
        What::Pairs | What::Lines => {}
    }
    ExitCode::from(u8::from(failed))
}

/// Runs one seed.
fn one(options: &Options, seed: u64, (trees, hosts): &mut (TreeReport, HostReport)) {
    match options.what {
        What::Hosts => {
            let _guard = HostGuard(seed);
            *hosts += if options.trace { trace_host(seed) } else { run_host(seed) };
        }
        What::Trees => {
            let _guard = TreeGuard(seed);
            *trees += if options.trace { trace_tree(seed) } else { run_tree(seed) };
        }
        What::Pairs => {
            let _guard = Guard(seed);
            run(seed);
        }
        What::Lines => {
            let _guard = LineGuard(seed);
            run_line(seed);
        }
    }
}

fn say(done: u64, began: Instant) {
    let seconds = began.elapsed().as_secs_f64();
    println!("{done} seeds in {seconds:.1} s, {:.0} a second", done as f64 / seconds.max(0.001));
}
