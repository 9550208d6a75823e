//! Rules about single files.

use super::{Complaint, File, Tree, source};
use crate::command::Result;

// Written in two halves, so that this file keeps its own rules.
const HOMES: [&str; 3] = [concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/ro", "ot/")];
const IGNORE: &str = concat!("#[ign", "ore");
const TODO: [&str; 2] = ["todo", "unimplemented"];

/// A test that has to wait for real time says why, on the same line.
const SLEEP_REASON: &str = "// sleeps:";

pub(super) fn plain(tree: &Tree, complaints: &mut Vec<Complaint>) -> Result {
    // Seeds of fuzzing are bytes, even where they happen to be text.
    for file in tree.files.iter().filter(|file| !file.path.contains("/corpus/")) {
        let text = &file.text;
        if !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n")) {
            complaints.push(Complaint::new(&file.path, "should end with one newline"));
        }
        for (index, line) in text.lines().enumerate() {
            let mut complain = |text| complaints.push(Complaint::at(file, index, text));
            if line.contains('\t') {
                complain("tab".to_owned());
            }
            if line.ends_with([' ', '\r']) {
                complain("space at the end of the line".to_owned());
            }
            if let Some(home) = HOMES.iter().find(|home| line.contains(**home)) {
                complain(format!("{home} is a path of one machine only"));
            }
        }
    }
    Ok(())
}

pub(super) fn whole_tests(tree: &Tree, complaints: &mut Vec<Complaint>) -> Result {
    for file in tree.rust() {
        let code = source::code(&file.text);
        let tests_from = tests_from(file, &code);
        for (index, (line, code)) in file.text.lines().zip(code.lines()).enumerate() {
            let mut complain = |text: &str| complaints.push(Complaint::at(file, index, text));
            if code.contains(IGNORE) {
                complain("a test that is left out proves nothing; use NETCHAN_LONG for slow ones");
            }
            if TODO.iter().any(|name| code.contains(&format!("{name}!"))) {
                complain("unfinished code");
            }
            let sleeps = code.contains("sleep(") && index >= tests_from;
            if sleeps && !line.contains(SLEEP_REASON) {
                complain("tests wait for events, not for time (or say `// sleeps: why`)");
            }
        }
    }
    Ok(())
}

/// The line from which on a file consists of tests.
fn tests_from(file: &File, code: &str) -> usize {
    let dir = file.path.split('/').any(|part| part == "tests");
    if dir || file.path.ends_with("/tests.rs") {
        return 0;
    }
    source::without_tests(code).lines().count()
}

pub(super) fn no_unsafe(tree: &Tree, complaints: &mut Vec<Complaint>) -> Result {
    let core = |file: &&File| ["core/src/", "core/derive/src/"].iter().any(|dir| file.path.starts_with(dir));
    for file in tree.rust().filter(core) {
        for (index, line) in source::code(&file.text).lines().enumerate() {
            if source::has_word(line, "unsafe") || source::has_word(line, "unsafe_code") {
                complaints.push(Complaint::at(file, index, "no unsafe code in core"));
            }
        }
    }
    Ok(())
}

pub(super) fn module_docs(tree: &Tree, complaints: &mut Vec<Complaint>) -> Result {
    for file in tree.rust() {
        let first = file.text.lines().find(|line| !line.trim().is_empty());
        if !first.is_some_and(|line| line.starts_with("//!") || line.starts_with("#![doc =")) {
            let text = "should begin with a doc comment that says what the file is";
            complaints.push(Complaint::new(&file.path, text));
        }
    }
    Ok(())
}
