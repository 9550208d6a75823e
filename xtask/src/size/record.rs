//! The figures that hold: the file that keeps them, the table that READMEs show, and what differs.

use std::fs;

use super::{ROWS, RUN_ROWS};
use crate::command::{Cmd, Result, root};
use crate::test::boards;

/// Where the figures are kept.
pub(crate) const PATH: &str = "examples/firmware/size/sizes.txt";
const HEAD: &str = "\
# Bytes of flash and of static RAM, by target and row, less those of what it is compared with; then what was
# measured in QEMU.
# Written by `cargo xtask size --record`; any other figure fails `cargo xtask test --only size`.
";
/// A README shows the table between these.
const BEGIN: &str = "<!-- sizes -->\n";
const END: &str = "<!-- end sizes -->";

/// Bytes of one row; less than nothing where the linker has a good day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Figure {
    pub(crate) flash: i64,
    pub(crate) ram: i64,
}

impl Figure {
    pub(super) fn new(flash: usize, ram: usize) -> Self {
        Self { flash: flash as i64, ram: ram as i64 }
    }

    pub(super) const fn more_than(self, base: Self) -> Self {
        Self { flash: self.flash - base.flash, ram: self.ram - base.ram }
    }
}

/// All of them, and the compiler that they are true for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(super) compiler: String,
    /// Target, key of the row, figure.
    pub(super) figures: Vec<(String, String, Figure)>,
    /// Target, key and value of what was measured while it ran.
    pub(super) runs: Vec<(String, String, i64)>,
}

impl Record {
    pub(crate) fn read() -> Result<Self> {
        let text = fs::read_to_string(root().join(PATH)).map_err(|error| format!("{PATH}: {error}"))?;
        Self::parse(&text)
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut record = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some(compiler) = line.strip_prefix("compiler ") {
                record.compiler = compiler.to_owned();
                continue;
            }
            let words: Vec<&str> = line.split(' ').collect();
            let number = |word: &str| word.parse().map_err(|error| format!("{PATH}: `{line}`: {error}"));
            match words[..] {
                [target, key, flash, ram] => {
                    let figure = Figure { flash: number(flash)?, ram: number(ram)? };
                    record.figures.push((target.to_owned(), key.to_owned(), figure));
                }
                [target, key, value] => {
                    record.runs.push((target.to_owned(), key.to_owned(), number(value)?));
                }
                _ => return Err(format!("{PATH}: `{line}` should be: target, row, flash, RAM")),
            }
        }
        Ok(record)
    }

    pub(super) fn get(&self, target: &str, key: &str) -> Option<Figure> {
        let found = self.figures.iter().find(|(t, k, _)| t == target && k == key);
        found.map(|(_, _, figure)| *figure)
    }

    pub(super) fn run(&self, target: &str, key: &str) -> Option<i64> {
        let found = self.runs.iter().find(|(t, k, _)| t == target && k == key);
        found.map(|(_, _, value)| *value)
    }

    /// What `measured` has other than this.
    pub(super) fn changes(&self, measured: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        for row in &ROWS {
            for target in boards::targets() {
                let (was, is) = (self.get(target, row.key), measured.get(target, row.key));
                if was == is {
                    continue;
                }
                let show = |figure: Option<Figure>| {
                    figure
                        .map_or_else(|| "nothing".into(), |it| format!("{} flash, {} RAM", it.flash, it.ram))
                };
                changes.push(format!("{target}, {}: {}; recorded: {}", row.key, show(is), show(was)));
            }
        }
        for (key, what) in RUN_ROWS {
            for target in boards::targets() {
                let (was, is) = (self.run(target, key), measured.run(target, key));
                if was != is {
                    let show =
                        |value: Option<i64>| value.map_or_else(|| "nothing".into(), |it| it.to_string());
                    changes.push(format!("{target}, {what}: {}; recorded: {}", show(is), show(was)));
                }
            }
        }
        changes
    }

    /// Writes the file, and the table into the READMEs that show it.
    pub(super) fn write(&self) -> Result {
        let mut text = format!("{HEAD}compiler {}\n", self.compiler);
        for (target, key, Figure { flash, ram }) in &self.figures {
            text += &format!("{target} {key} {flash} {ram}\n");
        }
        for (target, key, value) in &self.runs {
            text += &format!("{target} {key} {value}\n");
        }
        let put = |path: &str, text: &str| {
            fs::write(root().join(path), text).map_err(|error| format!("{path}: {error}"))
        };
        put(PATH, &text)?;
        for path in Cmd::new("git ls-files README.md */README.md").read()?.lines() {
            let text = fs::read_to_string(root().join(path)).map_err(|error| format!("{path}: {error}"))?;
            if let Some(new) = with_table(&text, &self.table()) {
                put(path, &new)?;
            }
        }
        Ok(())
    }

    /// The tables as READMEs have them, one line for each row.
    pub(crate) fn table(&self) -> String {
        let targets: Vec<&str> = boards::targets().collect();
        let names = targets.iter().map(|target| target.split('-').next().unwrap_or_default());
        let names = names.map(|name| format!(" {name} |")).collect::<String>();
        let rule = "---|".repeat(targets.len());
        let mut table = format!("| bytes of flash |{names} static RAM |\n|---|{rule}---|\n");
        for row in ROWS.iter().filter(|row| !row.what.is_empty()) {
            let figures = || targets.iter().filter_map(|target| self.get(target, row.key));
            let flash: String = figures().map(|figure| format!(" {} |", grouped(figure.flash))).collect();
            let mut ram: Vec<String> = figures().map(|figure| grouped(figure.ram)).collect();
            ram.dedup();
            table += &format!("| {} |{flash} {} |\n", row.what, ram.join(" / "));
        }
        table += &format!("\n| the node that echoes, while it runs |{names}\n|---|{rule}\n");
        for (key, what) in RUN_ROWS {
            let values = targets.iter().filter_map(|target| self.run(target, key));
            let values: String = values.map(|value| format!(" {} |", grouped(value))).collect();
            table += &format!("| {what} |{values}\n");
        }
        table
    }
}

/// Thousands apart, so that a figure can be read.
fn grouped(number: i64) -> String {
    match (number / 1000, number % 1000) {
        (0, _) => number.to_string(),
        (thousands, rest) => format!("{thousands} {:03}", rest.abs()),
    }
}

/// The table that a README shows, if it shows one.
pub(crate) fn shown(readme: &str) -> Option<&str> {
    let (_, rest) = readme.split_once(BEGIN)?;
    rest.split_once(END).map(|(table, _)| table)
}

/// The README with another table, if it shows one.
fn with_table(readme: &str, table: &str) -> Option<String> {
    let (before, rest) = readme.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some([before, BEGIN, table, END, after].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = "thumbv7m-none-eabi";

    fn record(flash: i64) -> Record {
        let figure = Figure { flash, ram: 12 };
        let (figures, runs) = (vec![(TARGET.into(), "echo".into(), figure)], Vec::new());
        Record { compiler: "rustc 1.0".into(), figures, runs }
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let text = format!("{HEAD}compiler rustc 1.0\n{TARGET} echo 9968 12\n");
        assert_eq!(Record::parse(&text), Ok(record(9968)));
        assert!(Record::parse("one two three\n").is_err());
        assert!(Record::parse("one two three four\n").is_err());
    }

    #[test]
    fn every_byte_of_difference_is_told() {
        assert!(record(9968).changes(&record(9968)).is_empty());
        assert_eq!(
            record(9968).changes(&record(9969)),
            ["thumbv7m-none-eabi, echo: 9969 flash, 12 RAM; recorded: 9968 flash, 12 RAM"]
        );
    }

    #[test]
    fn a_readme_shows_what_stands_between_the_marks() {
        assert_eq!(shown("a\n<!-- sizes -->\n| b |\n<!-- end sizes -->\nc"), Some("| b |\n"));
        assert_eq!(shown("no table"), None);
        let empty = "a\n<!-- sizes -->\n<!-- end sizes -->\nc";
        let full = "a\n<!-- sizes -->\n| b |\n<!-- end sizes -->\nc";
        assert_eq!(with_table(empty, "| b |\n").as_deref(), Some(full));
        assert_eq!(with_table("no table", "| b |\n"), None);
        assert_eq!(grouped(9968), "9 968");
        assert_eq!(grouped(88), "88");
    }
}
