//! `cargo xtask sim --mutants [NAME] [--hosts] [--within SECONDS]`: plants known bugs in a copy of the sources, one after the
//! other, and sees that the simulation, of trees or of the host's nodes, finds each of them. NAME is a part of the name of those that are
//! planted, or of their file; with `--hosts` it is those alone that the host's nodes have to find.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::patches::{MUTANTS, Mutant};
use crate::command::{Cmd, Result, root};

/// A bug that is not found within this time, or what `--within SECONDS` says, is not found.
const LIMIT: Duration = Duration::from_secs(600);

pub(crate) fn run(name: Option<&str>, hosts: bool, within: Option<Duration>) -> Result {
    let within = within.unwrap_or(LIMIT);
    let is_named =
        |mutant: &Mutant| name.is_none_or(|name| mutant.name.contains(name) || mutant.file.contains(name));
    let chosen: Vec<_> =
        MUTANTS.iter().filter(|mutant| is_named(mutant) && (mutant.hosts || !hosts)).collect();
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
        simulate(mutant.hosts, within)
    });
    write(&path, &whole)?;
    result
}

fn simulate(hosts: bool, within: Duration) -> Result<Option<String>> {
    let program = root().join("target/mutants/target/debug/examples/sim");
    let log = root().join("target/mutants/log");
    let file = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let start = Instant::now();
    let mut child = Command::new(program)
        .args(["--jobs", "1", "--seeds", "1000000000"])
        .args(hosts.then_some("--hosts"))
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
    let mut kept = BTreeSet::new();
    for name in list.lines() {
        // One that git still knows may be deleted.
        let Ok(bytes) = fs::read(root().join(name)) else { continue };
        kept.insert(copy.join(name));
        let to: PathBuf = copy.join(name);
        if fs::read(&to).ok().as_ref() == Some(&bytes) {
            continue;
        }
        if let Some(dir) = to.parent() {
            fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        }
        fs::write(&to, bytes).map_err(|error| format!("{}: {error}", to.display()))?;
    }
    remove_others(copy, &kept).map_err(|error| format!("{}: {error}", copy.display()))
}

/// Removes what is of no file that there is: one that was deleted, or moved, would be built on, or stand in the way of the other.
fn remove_others(dir: &Path, kept: &BTreeSet<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, kept)?;
            if fs::read_dir(&path)?.next().is_none() {
                fs::remove_dir(&path)?;
            }
        } else if !kept.contains(&path) {
            fs::remove_file(&path)?;
        }
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

    /// A test that had moved was there twice, and the copy could not be built.
    #[test]
    fn a_file_that_is_gone_goes_from_the_copy() {
        let dir = std::env::temp_dir().join(format!("netchan-mutants-{}", std::process::id()));
        let names = ["kept.rs", "moved/to.rs", "gone.rs", "deleted/all/of/it.rs", "moved/from.rs"];
        for name in names {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("it can be made");
            fs::write(path, name).expect("it can be written");
        }
        let kept = names[..2].iter().map(|name| dir.join(name)).collect();
        remove_others(&dir, &kept).expect("they can be removed");
        let there: Vec<_> = names.iter().filter(|name| dir.join(name).exists()).collect();
        let deleted = dir.join("deleted").exists();
        fs::remove_dir_all(&dir).expect("it can be removed");
        assert_eq!((there, deleted), (vec![&names[0], &names[1]], false));
    }

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
