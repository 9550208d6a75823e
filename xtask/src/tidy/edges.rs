//! The edges between crates, and between core's modules: only those of ARCHITECTURE.md.
//!
//! Its block `edges` has lines of three kinds. An edge that is not listed is a complaint, and so is a
//! name that does not exist.
//!
//! ```text
//! netchan-tcp -> netchan                       a crate and the crates of this workspace that it may use
//! netchan::host -> proto, message              a module of core and the modules that it may use
//! netchan::board -> proto (planned)            ... which is not there yet
//! netchan::proto without std, alloc            names that must not occur in a module at all
//! ```

use super::{Complaint, File, Tree, source};
use crate::command::{Cmd, Result};

const ARCHITECTURE: &str = "ARCHITECTURE.md";
const SOURCE: &str = "core/src/";
const MODULE: &str = "netchan::";

/// What one line of the block allows.
struct Row {
    line: usize,
    from: String,
    to: Vec<String>,
    planned: bool,
    without: bool,
}

pub(super) fn check(tree: &Tree, complaints: &mut Vec<Complaint>) -> Result {
    let rows = rows(tree.get(ARCHITECTURE)?)?;
    check_crates(&rows, complaints)?;
    check_modules(tree, &rows, complaints)
}

fn rows(text: &str) -> Result<Vec<Row>> {
    let block = text
        .lines()
        .enumerate()
        .skip_while(|(_, line)| *line != "```edges")
        .skip(1)
        .take_while(|(_, line)| *line != "```");
    let rows: Vec<Row> = block
        .filter(|(_, line)| !line.is_empty())
        .map(|(index, line)| row(index + 1, line))
        .collect::<Result<_>>()?;
    if rows.is_empty() {
        return Err(format!("{ARCHITECTURE} has no block `edges`"));
    }
    Ok(rows)
}

fn row(line: usize, text: &str) -> Result<Row> {
    let (text, planned) = match text.strip_suffix("(planned)") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let without = text.contains(" without ");
    let (from, to) = text
        .split_once(if without { " without " } else { " -> " })
        .ok_or_else(|| format!("{ARCHITECTURE}:{line}: neither `->` nor `without`"))?;
    let to = to.split(',').map(|name| name.trim().to_owned());
    Ok(Row {
        line,
        from: from.trim().to_owned(),
        to: to.filter(|name| name != "(nothing)" && !name.is_empty()).collect(),
        planned,
        without,
    })
}

fn check_crates(rows: &[Row], complaints: &mut Vec<Complaint>) -> Result {
    let crates = crate_edges()?;
    let is_crate = |row: &&Row| !row.from.starts_with(MODULE);
    for row in rows.iter().filter(is_crate) {
        if !crates.iter().any(|(name, _)| *name == row.from) {
            complaints.push(stale(row));
        }
    }
    for (name, uses) in &crates {
        let allowed = rows.iter().filter(is_crate).find(|row| row.from == *name);
        let Some(allowed) = allowed else {
            let text = format!("does not list the crate {name}");
            complaints.push(Complaint::new(ARCHITECTURE, text));
            continue;
        };
        // A crate may use itself: that is how its tests get its own features.
        for used in uses.iter().filter(|used| *used != name && !allowed.to.contains(used)) {
            let text = format!("crate {name} must not depend on {used}");
            complaints.push(Complaint::new("Cargo.toml", text));
        }
    }
    Ok(())
}

/// Each crate of the workspace with those that it depends on, for its tests too.
fn crate_edges() -> Result<Vec<(String, Vec<String>)>> {
    let text = Cmd::cargo("tree --workspace --all-features --depth 1 --prefix depth --no-dedupe").read()?;
    let mut crates: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines() {
        // "1netchan v0.1.0 (path)"; only what is in the workspace has a path.
        let name = line.get(1..).and_then(|rest| rest.split(' ').next());
        let local = line.contains(" (") && !line.ends_with("(proc-macro)") || line.contains("(proc-macro) (");
        match (line.get(..1), name) {
            (Some("0"), Some(name)) => crates.push((name.to_owned(), Vec::new())),
            (Some("1"), Some(name)) if local => {
                if let Some((_, uses)) = crates.last_mut() {
                    uses.push(name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(crates)
}

fn check_modules(tree: &Tree, rows: &[Row], complaints: &mut Vec<Complaint>) -> Result {
    let files: Vec<(String, &File)> =
        tree.rust().filter_map(|file| Some((module_of(&file.path)?, file))).collect();
    let exists = |name: &str| files.iter().any(|(module, _)| module == name);
    let exports = exports(&source::code(tree.get("core/src/lib.rs")?));
    for row in rows.iter().filter(|row| row.from.starts_with(MODULE)) {
        if exists(&row.from[MODULE.len()..]) == row.planned {
            complaints.push(stale(row));
        }
    }
    for (module, file) in &files {
        let own = |row: &&Row| row.from.strip_prefix(MODULE) == Some(module);
        let Some(allowed) = rows.iter().filter(own).find(|row| !row.without) else {
            let text = format!("{ARCHITECTURE} does not list the module {module}");
            complaints.push(Complaint::new(&file.path, text));
            continue;
        };
        let banned = rows.iter().filter(own).filter(|row| row.without);
        let banned: Vec<&String> = banned.flat_map(|row| &row.to).collect();
        let code = source::code(&file.text);
        for (index, line) in source::without_tests(&code).lines().enumerate() {
            for name in banned.iter().filter(|name| source::has_word(line, name)) {
                let text = format!("module {module} does without {name}");
                complaints.push(Complaint::at(file, index, text));
            }
        }
        for (index, name) in uses(source::without_tests(&code), &file.path) {
            let export = exports.iter().find(|(export, _)| *export == name);
            let target = export.map_or(&name, |(_, module)| module);
            if exists(target) && target != module && !allowed.to.contains(target) {
                let text = format!("module {module} must not use {target}");
                complaints.push(Complaint::at(file, index, text));
            }
        }
    }
    Ok(())
}

/// The top module that a file of core belongs to; tests beside the code may use what they like.
fn module_of(path: &str) -> Option<String> {
    let path = path.strip_prefix(SOURCE)?.strip_suffix(".rs")?;
    let tests = path.split('/').any(|part| part == "tests");
    let module = path.split('/').next()?;
    (module != "lib" && !tests).then(|| module.to_owned())
}

/// What lib.rs exports again: `pub use host::{Node, Peer}` makes `crate::Node` a use of `host`.
fn exports(lib: &str) -> Vec<(String, String)> {
    let uses = lib.split("pub use ").skip(1);
    let uses = uses.filter_map(|rest| rest.split(';').next()?.split_once("::"));
    uses.flat_map(|(module, names)| {
        let names = names.trim_matches(['{', '}']).split(',');
        names.map(|name| {
            let last = name.rsplit([' ', ':']).find(|part| !part.is_empty());
            (last.unwrap_or_default().to_owned(), module.trim().to_owned())
        })
    })
    .collect()
}

/// The first name behind each `crate::` (and behind `super::` where it leads to the crate), by line.
fn uses(code: &str, path: &str) -> Vec<(usize, String)> {
    let depth = path[SOURCE.len()..].matches('/').count() + usize::from(!path.ends_with("/mod.rs"));
    let up = "super::".repeat(depth);
    let mut found = Vec::new();
    for root in ["crate::", "netchan::", up.as_str()] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| source::is_name(c) || c == ':' && root == up) {
                continue;
            }
            let line = code[..at].matches('\n').count();
            let names = first_names(&code[at + root.len()..]);
            found.extend(names.into_iter().map(|name| (line, name)));
        }
    }
    found
}

/// `a::b` gives a; `{a, b::{c, d}, e}` gives a, b and e.
fn first_names(rest: &str) -> Vec<String> {
    let Some(list) = rest.strip_prefix('{') else {
        let name: String = rest.chars().take_while(|c| source::is_name(*c)).collect();
        return vec![name];
    };
    let (mut names, mut depth, mut start) = (Vec::new(), 1, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if (c == ',' && depth == 1) || depth == 0 {
            let name = list[start..at].trim_start();
            names.push(name.chars().take_while(|c| source::is_name(*c)).collect());
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn stale(row: &Row) -> Complaint {
    let what = if row.planned { "exists, so it is not planned" } else { "does not exist" };
    let place = format!("{ARCHITECTURE}:{}", row.line);
    Complaint::new(place, format!("{} {what}", row.from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_found_in_every_form() {
        let code = "use crate::{a::{b, c}, d};\nuse super::e;\nfn f() { crate::g::h(); super::super::i }";
        let names = |path| -> Vec<String> { uses(code, path).into_iter().map(|(_, name)| name).collect() };
        assert_eq!(names("core/src/top.rs"), ["a", "d", "g", "e", "super"]);
        assert_eq!(names("core/src/top/inner.rs"), ["a", "d", "g", "i"]);
    }

    #[test]
    fn an_item_exported_again_belongs_to_its_module() {
        let lib = "mod host;\npub use host::{Node, inner::Peer as P};\npub use proto::Reason;\n";
        let pairs = [("Node", "host"), ("P", "host"), ("Reason", "proto")];
        let pairs = pairs.map(|(name, module)| (name.to_owned(), module.to_owned()));
        assert_eq!(exports(lib), pairs);
    }

    #[test]
    fn a_module_keeps_to_its_row() {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let complaints = |rows_text: &str| {
            let tree = Tree {
                files: vec![
                    file("core/src/lib.rs", "mod a;\nmod b;\npub use b::B;\n"),
                    file("core/src/a.rs", "use crate::B;\n"),
                    file("core/src/b.rs", "use std::fmt;\n#[cfg(test)]\nmod tests { use crate::a; }\n"),
                ],
            };
            let rows = rows(&format!("```edges\n{rows_text}\n```\n")).expect("rows");
            let mut complaints = Vec::new();
            check_modules(&tree, &rows, &mut complaints).expect("lib.rs is there");
            complaints.len()
        };
        assert_eq!(complaints("netchan::a -> b\nnetchan::b -> (nothing)"), 0);
        assert_eq!(complaints("netchan::a -> (nothing)\nnetchan::b -> (nothing)"), 1);
        assert_eq!(complaints("netchan::a -> b"), 1);
        assert_eq!(complaints("netchan::a -> b\nnetchan::b -> (nothing) (planned)"), 1);
        assert_eq!(complaints("netchan::a -> b\nnetchan::b -> a\nnetchan::c -> a"), 1);
        let without = "netchan::a -> b\nnetchan::b -> (nothing)\nnetchan::b without std";
        assert_eq!(complaints(without), 1);
    }
}
