//! `spec/faults.md`: every fault has a test that shows what comes of it, and that test is there.
//!
//! A row's last cell names tests: `` `path/of/the/file.rs` `name_of_the_test` ``, one or more.

use super::{Complaint, File, Tree};
use crate::command::Result;

const SPEC: &str = "spec/faults.md";
const OPEN: &str = "<!-- faults -->";
const CLOSE: &str = "<!-- /faults -->";
/// Rows of all tables: none goes in silence.
const ROWS_MIN: usize = 28;

pub(super) fn check(tree: &Tree, complaints: &mut Vec<Complaint>) -> Result {
    let text = tree.get(SPEC)?;
    let (mut inside, mut rows) = (false, 0);
    for (index, line) in text.lines().enumerate() {
        match line {
            OPEN => inside = true,
            CLOSE => inside = false,
            _ if !inside || !line.starts_with("| ") || line.starts_with("| what happens") => {}
            row => {
                rows += 1;
                for text in complaints_about(tree, row) {
                    complaints.push(Complaint::new(format!("{SPEC}:{}", index + 1), text));
                }
            }
        }
    }
    if rows < ROWS_MIN {
        complaints.push(Complaint::new(SPEC, format!("{rows} faults, where there were {ROWS_MIN}")));
    }
    Ok(())
}

fn complaints_about(tree: &Tree, row: &str) -> Vec<String> {
    let cell = row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or_default();
    let quoted: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
    let pairs = quoted.chunks_exact(2);
    if quoted.is_empty() || !pairs.remainder().is_empty() {
        return vec!["names no test as `file` `test`".to_owned()];
    }
    pairs
        .filter_map(|pair| {
            let (path, test) = (pair[0], pair[1]);
            let file = tree.files.iter().find(|file| file.path == path);
            match file {
                None => Some(format!("{path} is missing")),
                Some(file) if !has_test(file, test) => Some(format!("{path} has no test `{test}`")),
                Some(_) => None,
            }
        })
        .collect()
}

/// Whether the file has a function of this name with `#[test]` before it.
fn has_test(file: &File, test: &str) -> bool {
    // Unit tests stand in a module of their own.
    let lines: Vec<&str> = file.text.lines().map(str::trim_start).collect();
    let head = format!("fn {test}(");
    lines.iter().enumerate().any(|(index, line)| {
        let before = lines[..index].iter().rev();
        line.starts_with(&head)
            && before.take_while(|line| line.starts_with('#')).any(|line| *line == "#[test]")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(row: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let tree = Tree {
            files: vec![file(
                "a/b.rs",
                "#[test]\nfn one() {}\n\n#[test]\n#[cfg(unix)]\nfn two() {}\nfn three() {}\nmod tests {\n    #[test]\n    fn six() {}\n}\n",
            )],
        };
        complaints_about(&tree, row)
    }

    #[test]
    fn a_fault_names_tests_that_are_there() {
        assert!(complaints("| x | y | `a/b.rs` `one`, `a/b.rs` `two`, `a/b.rs` `six` |").is_empty());
        for row in [
            "| x | y | |",
            "| x | y | `a/b.rs` |",
            "| x | y | `c.rs` `one` |",
            "| x | `a` | `a/b.rs` `three` |",
        ] {
            assert_eq!(complaints(row).len(), 1, "{row}");
        }
        assert_eq!(complaints("| x | y | `a/b.rs` `four`, `a/b.rs` `five` |").len(), 2);
    }
}
