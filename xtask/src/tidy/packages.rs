//! Rules about packages: manifests, licences, the changelog.

use super::{Complaint, Tree};
use crate::command::{Cmd, Result};

const LICENCES: [&str; 2] = ["LICENSE-MIT", "LICENSE-APACHE"];

/// The licence texts are in each published package, and each dependency has a licence that deny.toml allows.
pub(super) fn licences(tree: &Tree, complaints: &mut Vec<Complaint>) -> Result {
    for manifest in manifests_of(tree).filter(|file| is_published(&file.text)) {
        let dir = dir_of(&manifest.path);
        for licence in LICENCES {
            let path = format!("{dir}{licence}");
            if tree.get(&path).ok() != Some(tree.get(licence)?) {
                let text = format!("should be the same text as {licence} of the root");
                complaints.push(Complaint::new(path, text));
            }
        }
        let included =
            Cmd::cargo("package --list --allow-dirty --manifest-path").arg(&manifest.path).read()?;
        for file in LICENCES.into_iter().chain(["README.md"]) {
            if !included.lines().any(|line| line == file) {
                let text = format!("the package does not include {file}");
                complaints.push(Complaint::new(&manifest.path, text));
            }
        }
    }
    let allowed = allowed_licences(tree.get("deny.toml")?);
    for line in dependencies("--workspace", "{p}|{l}")? {
        let (package, licence) = line.split_once('|').unwrap_or((&line, ""));
        if !Expression::new(licence).satisfied_by(&allowed) {
            let text = format!("{package}: deny.toml does not allow the licence `{licence}`");
            complaints.push(Complaint::new("Cargo.lock", text));
        }
    }
    Ok(())
}

/// Every member takes its lints and its MSRV from the workspace, and core has no dependency twice.
pub(super) fn manifests(tree: &Tree, complaints: &mut Vec<Complaint>) -> Result {
    for manifest in manifests_of(tree) {
        for line in ["rust-version.workspace = true", "[lints]\nworkspace = true"] {
            if !manifest.text.contains(line) {
                let text = format!("should say `{}`", line.replace('\n', " "));
                complaints.push(Complaint::new(&manifest.path, text));
            }
        }
    }
    let mut seen: Vec<(String, String)> = Vec::new();
    for line in dependencies("--package netchan --all-features", "{p}")? {
        let mut words = line.split(' ').map(str::to_owned);
        let (name, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if seen.iter().any(|(other, at)| *other == name && *at != version) {
            let text = format!("core depends on two versions of {name}");
            complaints.push(Complaint::new("Cargo.lock", text));
        }
        seen.push((name, version));
    }
    Ok(())
}

pub(super) fn changelog(tree: &Tree, complaints: &mut Vec<Complaint>) -> Result {
    if !tree.get("CHANGELOG.md")?.contains("\n## [Unreleased]\n") {
        let text = "should have a section `## [Unreleased]`";
        complaints.push(Complaint::new("CHANGELOG.md", text));
    }
    Ok(())
}

/// The manifests of the workspace's members.
fn manifests_of(tree: &Tree) -> impl Iterator<Item = &super::File> {
    let members = |path: &str| {
        let root = tree.get("Cargo.toml").unwrap_or_default();
        let list = root.lines().find(|line| line.starts_with("members"));
        let dir = dir_of(path).trim_end_matches('/');
        list.is_some_and(|list| list.contains(&format!("\"{dir}\"")))
    };
    tree.files.iter().filter(move |file| file.path.ends_with("/Cargo.toml") && members(&file.path))
}

fn is_published(manifest: &str) -> bool {
    !manifest.contains("publish = false")
}

fn dir_of(path: &str) -> &str {
    path.strip_suffix("Cargo.toml").unwrap_or(path)
}

fn dependencies(of: &str, format: &str) -> Result<Vec<String>> {
    let tree = format!("tree {of} --prefix none --no-dedupe --edges normal,build --format");
    let text = Cmd::cargo(&tree).arg(format).read()?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.retain(|line| !line.is_empty());
    lines.sort();
    lines.dedup();
    Ok(lines)
}

/// The strings of `allow = [ ... ]` in deny.toml.
fn allowed_licences(deny: &str) -> Vec<&str> {
    let list = deny.split("\nallow = [").nth(1).unwrap_or_default();
    let list = list.split(']').next().unwrap_or_default();
    list.split('"').skip(1).step_by(2).collect()
}

/// A licence expression: `(MIT OR Apache-2.0) AND Unicode-3.0`, or the old `MIT/Apache-2.0`.
struct Expression {
    words: Vec<String>,
    at: usize,
}

impl Expression {
    fn new(text: &str) -> Self {
        let text =
            text.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ").replace(" WITH ", "-WITH-");
        Self { words: text.split_whitespace().map(str::to_owned).collect(), at: 0 }
    }

    fn satisfied_by(mut self, allowed: &[&str]) -> bool {
        !self.words.is_empty() && self.any(allowed) && self.at == self.words.len()
    }

    fn any(&mut self, allowed: &[&str]) -> bool {
        let mut good = self.all(allowed);
        while self.take("OR") {
            good |= self.all(allowed);
        }
        good
    }

    fn all(&mut self, allowed: &[&str]) -> bool {
        let mut good = self.one(allowed);
        while self.take("AND") {
            good &= self.one(allowed);
        }
        good
    }

    fn one(&mut self, allowed: &[&str]) -> bool {
        if self.take("(") {
            return self.any(allowed) & self.take(")");
        }
        let name = self.words.get(self.at);
        self.at += 1;
        name.is_some_and(|name| allowed.contains(&name.as_str()))
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.words.get(self.at).is_some_and(|next| next == word);
        self.at += usize::from(found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_is_allowed_if_one_way_to_read_it_is() {
        let allowed = ["MIT", "Unicode-3.0"];
        let good = |text| Expression::new(text).satisfied_by(&allowed);
        assert!(good("MIT OR GPL-3.0"));
        assert!(good("Apache-2.0/MIT"));
        assert!(good("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!good("MIT AND GPL-3.0"));
        assert!(!good("Apache-2.0"));
        assert!(!good(""));
        assert!(!good("(MIT"));
    }
}
