//! `cargo xtask sim --mutants [NAME]`: plants known bugs in a copy of the sources, one after the other, and sees
//! that the simulation of trees finds each of them.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::patches::{MUTANTS, Mutant};
use crate::command::{Cmd, Result, root};

/// A bug that is not found within this time, or what `--within SECONDS` says, is not found.
const LIMIT: Duration = Duration::from_secs(600);

pub(crate) fn run(name: Option<&str>, within: Option<Duration>) -> Result {
    let within = within.unwrap_or(LIMIT);
    let chosen: Vec<&Mutant> =
        MUTANTS.iter().filter(|mutant| name.is_none_or(|name| mutant.name.contains(name))).collect();
    if chosen.is_empty() {
        return Err(format!("there is no mutant like `{}`", name.unwrap_or_default()));
    }
    let copy = root().join("target/mutants/sources");
    copy_sources(&copy)?;
    build(&copy)?;
    println!("{:<52} found after", "planted");
    let mut missed = Vec::new();
    for mutant in &chosen {
        let found = try_one(&copy, mutant, within)?;
        let result = found.as_ref().map_or("NOT FOUND", String::as_str);
        println!("{:<52} {result}", mutant.name);
        if found.is_none() {
            missed.push(mutant.name);
        }
    }
    match missed.len() {
        0 => {
            println!("\n{} planted, {} found", chosen.len(), chosen.len());
            Ok(())
        }
        n => Err(format!("{n} of {} were not found: {}", chosen.len(), missed.join(", "))),
    }
}

/// Plants one, runs the simulation, and takes it out again: after how many seeds it was found.
fn try_one(copy: &Path, mutant: &Mutant, within: Duration) -> Result<Option<String>> {
    let path = copy.join(mutant.file);
    let whole = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let result = mutant.apply(&whole).and_then(|planted| {
        write(&path, &planted)?;
        build(copy)?;
        simulate(within)
    });
    write(&path, &whole)?;
    result
}

fn simulate(within: Duration) -> Result<Option<String>> {
    let program = root().join("target/mutants/target/debug/examples/sim");
    let log = root().join("target/mutants/log");
    let file = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let start = Instant::now();
    let mut child = Command::new(program)
        .args(["--jobs", "1", "--seeds", "1000000000"])
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file)
        .spawn()
        .map_err(|error| error.to_string())?;
    while child.try_wait().map_err(|error| error.to_string())?.is_none() {
        if start.elapsed() > within {
            let _ = child.kill();
            let _ = child.wait();
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let seconds = start.elapsed().as_secs_f64();
    let mut text = String::new();
    let _ = File::open(&log).map(|mut file| file.read_to_string(&mut text));
    let seed =
        text.lines().find_map(|line| line.strip_prefix("seed ")?.split(' ').next()?.parse::<u64>().ok());
    let what = text.lines().skip_while(|line| !line.contains("panicked")).nth(1).unwrap_or_default();
    let what: String = what.chars().take(70).collect();
    let seeds = seed.map_or_else(|| "?".to_owned(), |seed| (seed + 1).to_string());
    Ok(Some(format!("{seeds} seeds, {seconds:.1} s: {what}")))
}

/// The files that git knows; those that are the same stay as old as they are, so that little is built anew.
fn copy_sources(copy: &Path) -> Result {
    let list = Cmd::new("git ls-files --cached --others --exclude-standard").read()?;
    for name in list.lines() {
        let Ok(bytes) = fs::read(root().join(name)) else { continue };
        let to: PathBuf = copy.join(name);
        if fs::read(&to).ok().as_ref() == Some(&bytes) {
            continue;
        }
        if let Some(dir) = to.parent() {
            fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        }
        fs::write(&to, bytes).map_err(|error| format!("{}: {error}", to.display()))?;
    }
    Ok(())
}

fn build(copy: &Path) -> Result {
    Cmd::cargo("build --quiet --package netchan --features testing --example sim")
        .dir(copy)
        .env("CARGO_TARGET_DIR", &root().join("target/mutants/target").display().to_string())
        .env("CARGO_INCREMENTAL", "1")
        .read()
        .map(drop)
}

fn write(path: &Path, text: &str) -> Result {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_can_be_planted_still() {
        assert!(MUTANTS.len() >= 20);
        for mutant in MUTANTS {
            let text = fs::read_to_string(root().join(mutant.file)).expect("its file is there");
            let planted = mutant.apply(&text).unwrap_or_else(|error| panic!("{error}"));
            assert_ne!(planted, text, "{} changes nothing", mutant.name);
        }
    }
}
