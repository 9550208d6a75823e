//! `cargo xtask fuzz [--seconds N] [TARGET ...]`: each fuzz target for a while.

use std::fs;

use crate::command::{Cmd, Result, root};

pub(crate) const MANIFEST: &str = "core/fuzz/Cargo.toml";

/// One input must be answered within a second, and no single allocation may be large.
const LIMITS: &str = "-timeout=1 -rss_limit_mb=1024 -malloc_limit_mb=16";

pub(crate) fn run(args: &[String]) -> Result {
    let known = targets()?;
    let (seconds, chosen) = parse(args, &known)?;
    if !Cmd::cargo("fuzz --version").succeeds() {
        println!("cargo-fuzz is not installed; installing it from crates.io ...");
        Cmd::cargo("install --locked cargo-fuzz").run()?;
    }
    for target in &chosen {
        println!("\n{target}: {seconds} s");
        // The sanitizers want an unstable flag; this lets the stable compiler take it.
        Cmd::cargo(&format!("fuzz run {target} -- -max_total_time={seconds} {LIMITS}"))
            .dir("core")
            .env("RUSTC_BOOTSTRAP", "1")
            .run()?;
    }
    println!("\n{} targets, {seconds} s each: nothing found", chosen.len());
    Ok(())
}

/// The names of the fuzz targets, which are the names of their files.
fn targets() -> Result<Vec<String>> {
    let dir = root().join("core/fuzz/fuzz_targets");
    let entries = fs::read_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            name.strip_suffix(".rs").map(str::to_owned)
        })
        .collect();
    names.sort();
    Ok(names)
}

fn parse(args: &[String], known: &[String]) -> Result<(u32, Vec<String>)> {
    let mut seconds = 60;
    let mut chosen = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--seconds" {
            let value = args.next().and_then(|value| value.parse().ok());
            seconds = value.ok_or("--seconds wants a number")?;
        } else if known.contains(arg) {
            chosen.push(arg.clone());
        } else {
            return Err(format!("no target `{arg}`; there are {}", known.join(", ")));
        }
    }
    if chosen.is_empty() {
        chosen = known.to_vec();
    }
    Ok((seconds, chosen))
}
