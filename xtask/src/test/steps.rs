//! The steps of `cargo xtask test`, in the order of how soon they find something.
//!
//! A step that has nothing to look at in this checkout is not listed, so that it cannot pass.

use std::fs;

use super::{Runner, boards};
use crate::command::{Cmd, Result, root};
use crate::{bench, demo, fuzz, size, tidy};

/// One thing that must hold.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: &'static str,
    /// What is asked, and so why the step is there.
    pub(super) question: &'static str,
    /// Needs a toolchain for boards, and QEMU.
    pub(super) boards: bool,
    pub(super) run: fn(&mut Runner) -> Result,
}

pub(super) fn all() -> Vec<Step> {
    let step = |name, question, run| Step { name, question, boards: false, run };
    let mut steps = vec![
        step("fmt", "is every workspace formatted?", fmt),
        step("tidy", "do the rules hold that no compiler checks?", tidy::step),
        step("clippy", "is the code free of lints?", clippy),
        step("docs", "do the docs build, with every link?", docs),
        step("features", "does each feature stand alone?", features),
        step("tests", "does it do what the tests say?", tests),
    ];
    if !loom_models().is_empty() {
        let question = "do the waiters hold in every interleaving?";
        steps.push(step("loom", question, loom));
    }
    if exists(fuzz::MANIFEST) {
        steps.push(step("fuzz", "do the fuzz targets build?", fuzz_build));
    }
    if exists(bench::MANIFEST) {
        steps.push(step("bench", "do the measurements build?", bench_build));
    }
    if exists(demo::PROGRAM) {
        let question = "does the demo end by itself, without a terminal?";
        steps.push(step("demo", question, demo::step));
    }
    steps.push(Step {
        boards: true,
        ..step("no-std", "does core build for boards, and run there without alloc and std?", boards::no_std)
    });
    let question = "do boards need as much flash and RAM as the README says?";
    steps.push(Step { boards: true, ..step("size", question, size::step) });
    steps
}

fn fmt(runner: &mut Runner) -> Result {
    runner.run(&Cmd::cargo("fmt --all --check"))?;
    for manifest in outside_workspaces()? {
        // All, for one of them has no package of its own.
        runner.run(&Cmd::cargo("fmt --all --check --manifest-path").arg(manifest))?;
    }
    Ok(())
}

fn clippy(runner: &mut Runner) -> Result {
    for features in ["--all-features ", ""] {
        runner.run(&Cmd::cargo(&format!("clippy --workspace --all-targets {features}-- -D warnings")))?;
    }
    Ok(())
}

fn docs(runner: &mut Runner) -> Result {
    let cmd = Cmd::cargo("doc --workspace --no-deps --all-features");
    runner.run(&cmd.env("RUSTDOCFLAGS", "-D warnings"))
}

/// None, each alone, each pair while that is few, and all; lints too, for they see what is unused.
fn features(runner: &mut Runner) -> Result {
    let mut builds = 0;
    let packages = [
        ("netchan", "core/Cargo.toml"),
        ("netchan-tcp", "transport-tcp/Cargo.toml"),
        ("netchan-serial", "transport-serial/Cargo.toml"),
    ];
    for (package, manifest) in packages {
        for set in feature_sets(&feature_names(manifest)?) {
            builds += 1;
            runner.run(&Cmd::cargo(&format!(
                "clippy --package {package} --no-default-features {set}-- -D warnings"
            )))?;
        }
    }
    runner.remark(format!("{builds} combinations"));
    Ok(())
}

fn feature_sets(names: &[String]) -> Vec<String> {
    const PAIRS_UP_TO: usize = 4;
    let mut sets = vec![Vec::new()];
    sets.extend(names.iter().map(|name| vec![name.as_str()]));
    for (index, first) in names.iter().enumerate() {
        let rest = &names[index + 1..];
        if names.len() <= PAIRS_UP_TO {
            sets.extend(rest.iter().map(|second| vec![first.as_str(), second]));
        }
    }
    if names.len() > 2 {
        sets.push(names.iter().map(String::as_str).collect());
    }
    sets.into_iter()
        .map(|set| match set.len() {
            0 => String::new(),
            _ => format!("--features {} ", set.join(",")),
        })
        .collect()
}

/// The public features that a manifest declares.
fn feature_names(manifest: &str) -> Result<Vec<String>> {
    let path = root().join(manifest);
    let text = fs::read_to_string(&path).map_err(|error| format!("{manifest}: {error}"))?;
    let section = text
        .lines()
        .skip_while(|line| line.trim() != "[features]")
        .skip(1)
        .take_while(|line| !line.starts_with('['));
    Ok(section
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim().to_owned())
        .filter(|name| name != "default" && !name.starts_with(['#', '_']))
        .collect())
}

fn tests(runner: &mut Runner) -> Result {
    let mut cmd = Cmd::cargo("test --workspace --all-features");
    if runner.long {
        cmd = cmd.env("NETCHAN_LONG", "1");
    }
    runner.run(&cmd)?;
    let mut passed: u32 = runner.output().lines().filter_map(passed_in).sum();
    // A board has one line mostly, and none of the features that are on in all the others.
    let mut plain = Cmd::cargo("test --package netchan");
    for test in PLAIN_BOARD {
        plain = plain.arg("--test").arg(test);
    }
    runner.run(&plain)?;
    passed += runner.output().lines().filter_map(passed_in).sum::<u32>();
    runner.remark(format!("{passed} tests"));
    Ok(())
}

/// Tests of core that are run once more with the features that its manifest has for all its tests, and no others.
const PLAIN_BOARD: [&str; 3] = ["board", "board_goodput", "board_sim"];

/// Reads `test result: ok. 12 passed; ...`.
fn passed_in(line: &str) -> Option<u32> {
    let rest = line.strip_prefix("test result: ok. ")?;
    rest.split(' ').next()?.parse().ok()
}

fn loom(runner: &mut Runner) -> Result {
    for model in loom_models() {
        // A directory of its own, because the flag rebuilds every dependency.
        let cmd = Cmd::cargo("test --release --package netchan --features std --test")
            .arg(model)
            .env("RUSTFLAGS", "--cfg loom")
            .env("CARGO_TARGET_DIR", "target/loom")
            .env("LOOM_MAX_PREEMPTIONS", "2");
        runner.run(&cmd)?;
    }
    Ok(())
}

fn loom_models() -> Vec<String> {
    let Ok(entries) = fs::read_dir(root().join("core/tests")) else {
        return Vec::new();
    };
    let mut models: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".rs").map(str::to_owned))
        .filter(|name| name.starts_with("loom"))
        .collect();
    models.sort();
    models
}

fn fuzz_build(runner: &mut Runner) -> Result {
    let cmd = Cmd::cargo("check --manifest-path").arg(fuzz::MANIFEST);
    runner.run(&cmd.env("CARGO_TARGET_DIR", "target/fuzz"))
}

fn bench_build(runner: &mut Runner) -> Result {
    let cmd = Cmd::cargo("check --all-targets --manifest-path").arg(bench::MANIFEST);
    runner.run(&cmd.env("CARGO_TARGET_DIR", "target/bench"))
}

/// The manifests of the workspaces beside the main one.
fn outside_workspaces() -> Result<Vec<String>> {
    let tracked = Cmd::new("git ls-files --cached --others --exclude-standard *Cargo.toml").read()?;
    Ok(tracked
        .lines()
        .filter(|path| *path != "Cargo.toml")
        .filter(|path| {
            let text = fs::read_to_string(root().join(path)).unwrap_or_default();
            text.lines().any(|line| line.trim() == "[workspace]")
        })
        .map(str::to_owned)
        .collect())
}

fn exists(path: &str) -> bool {
    root().join(path).exists()
}
