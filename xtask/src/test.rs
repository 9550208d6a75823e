//! `cargo xtask test`: runs the steps of [`steps`], says what each is for, and sums up.

pub(crate) mod boards;
mod room;
mod steps;

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::command::{Cmd, Result, root};
use steps::Step;

const USAGE: &str = "\
cargo xtask test [OPTIONS]

    --list          name the steps and stop
    --only A,B      run only these steps
    --no-boards     leave out what needs a board toolchain and QEMU
    --long          also what takes minutes instead of seconds
    --verbose       show the output of every command, not only of failures";

#[derive(Debug, Default)]
struct Options {
    list: bool,
    only: Vec<String>,
    no_boards: bool,
    long: bool,
    verbose: bool,
}

/// How a step ended.
struct Outcome {
    name: &'static str,
    took: Duration,
    result: Result<String>,
}

/// What a step runs its commands through: shows them, logs them, keeps a remark for the summary.
#[derive(Debug)]
pub(crate) struct Runner {
    log: File,
    path: PathBuf,
    verbose: bool,
    long: bool,
    remark: String,
}

pub(crate) fn run(args: &[String]) -> Result {
    let Some(options) = parse(args)? else {
        println!("{USAGE}");
        return Ok(());
    };
    let steps = steps::all();
    if options.list {
        for step in &steps {
            println!("{:<10} {}", step.name, step.question);
        }
        return Ok(());
    }
    for name in &options.only {
        if !steps.iter().any(|step| step.name == name) {
            return Err(format!("there is no step `{name}`; see --list"));
        }
    }
    let chosen = |step: &&Step| {
        let named = options.only.is_empty() || options.only.iter().any(|name| name == step.name);
        named && !(options.no_boards && step.boards)
    };
    let (run, left): (Vec<&Step>, Vec<&Step>) = steps.iter().partition(chosen);
    let start = Instant::now();
    let mut outcomes = Vec::new();
    for (index, step) in run.iter().enumerate() {
        println!("\n[{}/{}] {}: {}", index + 1, run.len(), step.name, step.question);
        outcomes.push(perform(step, &options)?);
    }
    summary(&outcomes, &left, start.elapsed())
}

fn parse(args: &[String]) -> Result<Option<Options>> {
    let mut options = Options::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" | "-h" => return Ok(None),
            "--list" => options.list = true,
            "--no-boards" => options.no_boards = true,
            "--long" => options.long = true,
            "--verbose" | "-v" => options.verbose = true,
            "--only" => {
                let names = args.next().ok_or("--only wants names: --only fmt,clippy")?;
                options.only.extend(names.split(',').map(str::to_owned));
            }
            other => return Err(format!("unknown option `{other}`\n\n{USAGE}")),
        }
    }
    Ok(Some(options))
}

fn perform(step: &Step, options: &Options) -> Result<Outcome> {
    let mut runner = Runner::new(step.name, options)?;
    let start = Instant::now();
    let result = room::check().and_then(|()| (step.run)(&mut runner)).map_err(room::or_full);
    let took = start.elapsed();
    match &result {
        Ok(()) => println!("      ok, {}", seconds(took)),
        Err(error) => {
            runner.show_tail();
            println!("\n      FAILED after {}: {error}", seconds(took));
        }
    }
    Ok(Outcome { name: step.name, took, result: result.map(|()| runner.remark) })
}

fn summary(outcomes: &[Outcome], left: &[&Step], took: Duration) -> Result {
    println!();
    for Outcome { name, took, result } in outcomes {
        let took = seconds(*took);
        match result {
            Ok(remark) => println!("  ok       {name:<10} {took:>8}  {remark}"),
            Err(_) => {
                println!("  FAILED   {name:<10} {took:>8}  again: cargo xtask test --only {name}")
            }
        }
    }
    for step in left {
        println!("  not run  {:<10} {:>8}  {}", step.name, "", step.question);
    }
    let failed: Vec<&str> =
        outcomes.iter().filter(|outcome| outcome.result.is_err()).map(|outcome| outcome.name).collect();
    let (ran, took) = (outcomes.len(), seconds(took));
    if !failed.is_empty() {
        let (bad, list) = (failed.len(), failed.join(", "));
        return Err(format!("{bad} of {ran} steps failed in {took}: {list}"));
    }
    match left.len() {
        0 => println!("\nall {ran} steps passed in {took}"),
        n => println!("\n{ran} steps passed in {took}; {n} were not run, so this is not the whole test"),
    }
    Ok(())
}

impl Runner {
    fn new(step: &str, options: &Options) -> Result<Self> {
        let dir = root().join("target/xtask-test");
        let path = dir.join(format!("{step}.log"));
        let log = fs::create_dir_all(&dir)
            .and_then(|()| File::create(&path))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { log, path, verbose: options.verbose, long: options.long, remark: String::new() })
    }

    /// Runs one command of the step.
    pub(crate) fn run(&mut self, cmd: &Cmd) -> Result {
        println!("      $ {}", cmd.show());
        if self.verbose { cmd.run() } else { cmd.run_into(&self.log) }
    }

    /// Says something in the summary beside the step's name.
    pub(crate) fn remark(&mut self, text: String) {
        self.remark = text;
    }

    /// Everything that the step's commands have printed so far; nothing with `--verbose`.
    fn output(&self) -> String {
        let bytes = fs::read(&self.path).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn show_tail(&self) {
        const LINES: usize = 200;
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        let from = lines.len().saturating_sub(LINES);
        if from > 0 {
            println!("... {from} lines more in {}", self.path.display());
        }
        for line in &lines[from..] {
            println!("{line}");
        }
    }
}

fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0..=119 => format!("{:.1} s", time.as_secs_f64()),
        n => format!("{} min {:02} s", n / 60, n % 60),
    }
}
