//! `cargo xtask tidy`: the rules that no compiler checks, each a function in a file of its own.

mod edges;
mod faults;
mod files;
mod packages;
mod readme;
mod source;

use std::fmt;
use std::fs;

use crate::command::{Cmd, Result, root};
use crate::test::Runner;

/// Looks at the files and adds what is wrong.
type Rule = fn(&Tree, &mut Vec<Complaint>) -> Result;

const RULES: &[(&str, Rule)] = &[
    ("text files are plain", files::plain),
    ("no test is left out, and none sleeps", files::whole_tests),
    ("core has no unsafe code", files::no_unsafe),
    ("every module says what it is", files::module_docs),
    ("modules and crates keep to the edges", edges::check),
    ("every fault has its test", faults::check),
    ("READMEs tell the truth", readme::check),
    ("packages carry licences", packages::licences),
    ("packages are set up alike", packages::manifests),
    ("the changelog is open", packages::changelog),
];

/// A text file of the repository.
struct File {
    path: String,
    text: String,
}

/// The text files of the repository, read once.
struct Tree {
    files: Vec<File>,
}

/// Something that breaks a rule, and where.
struct Complaint {
    place: String,
    text: String,
}

pub(crate) fn run(_args: &[String]) -> Result {
    let complaints = check()?;
    for complaint in &complaints {
        println!("{complaint}");
    }
    match complaints.len() {
        0 => {
            println!("tidy: {} rules hold", RULES.len());
            Ok(())
        }
        n => Err(format!("{n} complaints")),
    }
}

/// The same, as a step of `cargo xtask test`.
pub(crate) fn step(runner: &mut Runner) -> Result {
    let complaints = check()?;
    if complaints.is_empty() {
        runner.remark(format!("{} rules", RULES.len()));
        return Ok(());
    }
    let lines: Vec<String> = complaints.iter().map(Complaint::to_string).collect();
    Err(format!("\n{}", lines.join("\n")))
}

fn check() -> Result<Vec<Complaint>> {
    let tree = Tree::read()?;
    let mut complaints = Vec::new();
    for (name, rule) in RULES {
        rule(&tree, &mut complaints).map_err(|error| format!("\"{name}\": {error}"))?;
    }
    Ok(complaints)
}

impl Tree {
    fn read() -> Result<Self> {
        let list = Cmd::new("git ls-files --cached --others --exclude-standard").read()?;
        let files = list
            .lines()
            // Deleted but still in the index, or not text: nothing to read here.
            .filter_map(|path| {
                let text = fs::read_to_string(root().join(path)).ok()?;
                let path = path.to_owned();
                Some(File { path, text })
            })
            .collect();
        Ok(Self { files })
    }

    fn get(&self, path: &str) -> Result<&str> {
        let file = self.files.iter().find(|file| file.path == path);
        file.map(|file| file.text.as_str()).ok_or_else(|| format!("{path} is missing"))
    }

    fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }
}

impl Complaint {
    fn new(place: impl Into<String>, text: impl Into<String>) -> Self {
        Self { place: place.into(), text: text.into() }
    }

    /// `line` counts from 0, as iterators do.
    fn at(file: &File, line: usize, text: impl Into<String>) -> Self {
        Self::new(format!("{}:{}", file.path, line + 1), text)
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}
