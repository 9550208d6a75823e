//! READMEs: figures, example programs and commands are those that were measured, tested and exist.
//!
//! - `<!-- figure: NAME -->1.07<!-- end -->`: the text between is the value of NAME in `figures.txt`
//!   (lines of `NAME VALUE`), or the MSRV for `msrv`.
//! - `<!-- example: examples/src/bin/NAME.rs, at most 15 lines -->`: the code block that follows is that
//!   file, apart from the file's own `//!` and `#![...]` lines, and has no more lines of code than that.
//! - `<!-- sizes -->` to `<!-- end sizes -->`: the table of what `cargo xtask size --record` has recorded.

use super::{Complaint, File, Tree};
use crate::TASKS;
use crate::command::{Result, root};
use crate::size::record::{self, Record};

const FIGURE: &str = "<!-- figure: ";
const FIGURE_END: &str = "<!-- end -->";
const EXAMPLE: &str = "<!-- example: ";
const CLOSE: &str = " -->";

pub(super) fn check(tree: &Tree, complaints: &mut Vec<Complaint>) -> Result {
    let figures = figures(tree)?;
    for file in tree.files.iter().filter(|file| is_readme(&file.path)) {
        check_figures(file, &figures, complaints);
        check_examples(tree, file, complaints);
        check_sizes(tree, file, complaints)?;
        check_tasks(file, complaints);
    }
    let readme = tree.get("README.md")?;
    if !readme.contains(&format!("{FIGURE}msrv{CLOSE}")) {
        let text = format!("should name the MSRV as `{FIGURE}msrv{CLOSE}`");
        complaints.push(Complaint::new("README.md", text));
    }
    Ok(())
}

fn is_readme(path: &str) -> bool {
    path == "README.md" || path.ends_with("/README.md")
}

/// Names and values: what was measured, and what Cargo.toml says.
fn figures(tree: &Tree) -> Result<Vec<(String, String)>> {
    let manifest = tree.get("Cargo.toml")?;
    let msrv = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \"")?.strip_suffix('"'))
        .ok_or("Cargo.toml names no rust-version")?;
    let measured = tree.get("figures.txt").unwrap_or_default();
    Ok(measured
        .lines()
        .filter(|line| !line.starts_with('#'))
        .chain([format!("msrv {msrv}").as_str()])
        .filter_map(|line| line.split_once(' '))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect())
}

fn check_figures(file: &File, figures: &[(String, String)], complaints: &mut Vec<Complaint>) {
    for (index, line) in file.text.lines().enumerate() {
        for part in line.split(FIGURE).skip(1) {
            let complain = |text| Complaint::at(file, index, text);
            let parsed =
                part.split_once(CLOSE).and_then(|(name, rest)| Some((name, rest.split_once(FIGURE_END)?.0)));
            let Some((name, shown)) = parsed else {
                complaints.push(complain(format!("a figure ends with {FIGURE_END} on its line")));
                continue;
            };
            match figures.iter().find(|(known, _)| known == name) {
                None => complaints.push(complain(format!("nobody measures the figure `{name}`"))),
                Some((_, value)) if value != shown => {
                    complaints.push(complain(format!("`{name}` is {value}, not {shown}")));
                }
                Some(_) => {}
            }
        }
    }
}

fn check_examples(tree: &Tree, file: &File, complaints: &mut Vec<Complaint>) {
    for (index, line) in file.text.lines().enumerate() {
        let Some(marker) = line.strip_prefix(EXAMPLE) else {
            continue;
        };
        let shown = block_after(&file.text, index);
        if let Err(text) = check_example(tree, marker, &shown) {
            complaints.push(Complaint::at(file, index, text));
        }
    }
}

fn check_example(tree: &Tree, marker: &str, shown: &str) -> Result {
    let (path, limit) = marker
        .strip_suffix(" lines -->")
        .and_then(|rest| rest.split_once(", at most "))
        .and_then(|(path, limit)| Some((path, limit.parse::<usize>().ok()?)))
        .ok_or_else(|| format!("should read `{EXAMPLE}PATH, at most N lines{CLOSE}`"))?;
    if program(tree.get(path)?) != shown.trim() {
        return Err(format!("the block below is not what {path} has"));
    }
    let lines = shown.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("//"));
    match lines.count() {
        n if n > limit => Err(format!("{path} has {n} lines of code, not at most {limit}")),
        _ => Ok(()),
    }
}

/// A source file without the lines that are about the file and not about the program.
fn program(text: &str) -> String {
    let own = |line: &&str| !line.starts_with("//!") && !line.starts_with("#![");
    let lines: Vec<&str> = text.lines().filter(own).collect();
    lines.join("\n").trim().to_owned()
}

/// The fenced block that follows a line.
fn block_after(text: &str, index: usize) -> String {
    let mut lines = text.lines().skip(index + 1);
    if !lines.next().is_some_and(|line| line.starts_with("```")) {
        return String::new();
    }
    let block: Vec<&str> = lines.take_while(|line| !line.starts_with("```")).collect();
    block.join("\n")
}

fn check_sizes(tree: &Tree, file: &File, complaints: &mut Vec<Complaint>) -> Result {
    let Some(shown) = record::shown(&file.text) else { return Ok(()) };
    if shown != Record::parse(tree.get(record::PATH)?)?.table() {
        let text = format!("the table of sizes is not what {} says: cargo xtask size --record", record::PATH);
        complaints.push(Complaint::new(&file.path, text));
    }
    Ok(())
}

/// What a README tells to type must be there. Prose may still speak of what is to come.
fn check_tasks(file: &File, complaints: &mut Vec<Complaint>) {
    for (index, line) in file.text.lines().enumerate() {
        let Some(command) = line.trim_start().strip_prefix("cargo xtask ") else {
            continue;
        };
        let name = command.split_whitespace().next().unwrap_or_default();
        let task = TASKS.iter().find(|task| task.name == name);
        let runs = |needs: &str| root().join(needs).exists();
        if name != "help" && !task.is_some_and(|task| task.needs.is_none_or(runs)) {
            let text = format!("`cargo xtask {name}` does not run in this checkout");
            complaints.push(Complaint::at(file, index, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints_about(readme: &str, program: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let tree = Tree {
            files: vec![
                file("README.md", readme),
                file("Cargo.toml", "rust-version = \"1.88\"\n"),
                file("figures.txt", "# measured\nratio 1.07\n"),
                file("examples/src/bin/a.rs", program),
            ],
        };
        let mut complaints = Vec::new();
        check(&tree, &mut complaints).expect("the tree is whole");
        complaints.iter().map(|it| it.text.clone()).collect()
    }

    const MSRV: &str = "<!-- figure: msrv -->1.88<!-- end -->\n";

    #[test]
    fn figures_must_be_measured_and_equal() {
        let readme =
            |name: &str, value: &str| format!("{MSRV}x <!-- figure: {name} -->{value}<!-- end --> times\n");
        assert!(complaints_about(&readme("ratio", "1.07"), "").is_empty());
        assert_eq!(complaints_about(&readme("ratio", "1.01"), "").len(), 1);
        assert_eq!(complaints_about(&readme("guess", "1.07"), "").len(), 1);
        assert_eq!(complaints_about(&readme("msrv", "1.90"), "").len(), 1);
        assert_eq!(complaints_about("no MSRV\n", "").len(), 1);
    }

    #[test]
    fn examples_must_be_the_tested_file_and_short() {
        let readme = |limit: usize| {
            format!(
                "{MSRV}<!-- example: examples/src/bin/a.rs, at most {limit} lines -->\n\
                 ```rust\nuse b;\n\n// Why.\nfn main() {{}}\n```\n"
            )
        };
        let program = "//! A program.\n#![expect(lint)]\n\nuse b;\n\n// Why.\nfn main() {}\n";
        assert!(complaints_about(&readme(2), program).is_empty());
        assert_eq!(complaints_about(&readme(1), program).len(), 1);
        assert_eq!(complaints_about(&readme(2), "fn main() {}\n").len(), 1);
    }

    #[test]
    fn a_readme_tells_to_type_only_what_runs() {
        let readme = |task: &str| format!("{MSRV}    cargo xtask {task}\n");
        assert!(complaints_about(&readme("test --only fmt"), "").is_empty());
        assert_eq!(complaints_about(&readme("juggle"), "").len(), 1);
    }
}
