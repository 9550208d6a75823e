//! `cargo xtask size [--record]`: flash and RAM of the smallest node, and of each kind of channel more; and what a
//! node takes while it runs, in instructions and stack.
//!
//! What was measured last is recorded in [`record::PATH`] and shown by the READMEs. Any other figure fails the step
//! `size` of `cargo xtask test`, so that figures change on purpose only; and so does one beyond its goal.

pub(crate) mod record;

use crate::command::{Result, root};
use crate::elf::Elf;
use crate::test::Runner;
use crate::test::boards::{self, Toolchain};
use record::{Figure, Record};

pub(crate) const MANIFEST: &str = "examples/firmware/size/Cargo.toml";
const PACKAGE: &str = "netchan-firmware-size";
/// What is run to be measured, and prints lines of `NAME VALUE`.
const RUN: &str = "netchan-firmware-measure";
/// The same of large nodes.
const RUN_WIDE: &str = "netchan-firmware-measure-wide";
/// The same of a bridge board.
const RUN_BRIDGE: &str = "netchan-firmware-measure-bridge";
/// Each instruction takes 1024 ns, so that a timer tells one from two.
const RUN_OPTIONS: &str = "-icount shift=10";

/// One line of the table: a program of the package, and from what its figures are counted.
pub(crate) struct Row {
    /// Its name in the record.
    pub(crate) key: &'static str,
    /// Its name in the table; one that stands in none is only there for a goal.
    pub(crate) what: &'static str,
    /// Which program, with which features.
    program: &'static str,
    features: &'static str,
    /// What it has more than this one counts.
    base: Option<&'static str>,
    goal: Goal,
}

/// How large a program may be at most, in bytes.
#[derive(Clone, Copy)]
enum Goal {
    None,
    Flash(usize),
    Ram(usize),
    /// Flash: so much more than that of another row.
    Over(&'static str, usize),
}

const fn row(key: &'static str, what: &'static str, base: Option<&'static str>, goal: Goal) -> Row {
    // Most rows are the smallest node with the feature of their name.
    Row { key, what, program: PACKAGE, features: key, base, goal }
}

pub(crate) const ROWS: [Row; 22] = [
    Row {
        features: "",
        ..row("echo", "a node with one channel, which echoes", None, Goal::Flash(10 * 1024))
    },
    row("second", "a second channel of the same type", Some("echo"), Goal::Flash(150)),
    Row {
        features: "second,third",
        ..row("third", "a third one, and each further one", Some("second"), Goal::Flash(150))
    },
    Row {
        features: "second,third,other",
        ..row("other", "one of another type", Some("third"), Goal::Over("bare-other", 200))
    },
    row("method", "a method", Some("echo"), Goal::None),
    row("second-method", "a second method of the same types", Some("method"), Goal::None),
    row("latest", "a latest value", Some("echo"), Goal::None),
    row("import", "an import", Some("echo"), Goal::None),
    row("quiet", "an announced silence, for an erase of flash", Some("echo"), Goal::None),
    row("leave", "a goodbye in order", Some("echo"), Goal::None),
    row("sleep", "when to wake, and what a watchdog asks", Some("echo"), Goal::None),
    row(LOG, "feature `log`, and a record with a number", Some("echo"), Goal::None),
    row("defmt", "feature `defmt`, and an error that is printed", Some("echo"), Goal::None),
    row(
        "poll",
        "feature `embedded-io-v0_7`: the line by `poll`, in place of `feed` and `drain`",
        Some("echo"),
        Goal::None,
    ),
    Row {
        program: "tasks",
        ..row(
            "run",
            "feature `embedded-io-async-v0_7`: the line by `run().await`, the echo by `.await`, an executor of a few lines",
            Some("echo"),
            Goal::None,
        )
    },
    row("async", "feature `async`, on and not used", Some("echo"), Goal::None),
    row("two-lines", "feature `two-lines`, on and not used", Some("echo"), Goal::None),
    Row {
        program: "ram",
        features: "",
        ..row("ram", "a node with four channels for two messages of 64 bytes each", None, Goal::Ram(1536))
    },
    Row {
        program: "bridge",
        features: "bridge",
        ..row(
            "bridge",
            "a bridge with one channel, and room for four circuits of 256 bytes each",
            None,
            Goal::None,
        )
    },
    Row {
        program: "bridge",
        features: "eight",
        ..row("eight", "room for four circuits more", Some("bridge"), Goal::None)
    },
    Row { program: "bare", features: "", ..row("bare", "", None, Goal::None) },
    Row { program: "bare", features: "other", ..row("bare-other", "", Some("bare"), Goal::None) },
];

/// What the program that runs prints: each name, and what it is in the table.
pub(crate) const RUN_ROWS: [(&str, &str); 8] = [
    ("echo", "instructions of an echo of 16 bytes, with its share of the session"),
    ("by-hand", "the same by hand: COBS, CRC-32C and postcard, without a session"),
    ("section", "instructions of the longest critical section, messages and packets of 240 bytes"),
    ("long-section", "the same with messages of 1 000 bytes"),
    ("many-section", "the same with 32 channels, whose names are 64 bytes long"),
    ("bridge-section", "the same of a bridge, through which four channels pass"),
    ("echo-line", "bytes of its line: driver, packets that come and go"),
    ("echo-stack", "bytes of stack below the main loop"),
];

/// How many instructions an echo may take at most, as a multiple of those by hand; and any critical section, of whatever node.
const ECHO_MAX: i64 = 3;
const SECTION_MAX: i64 = 500;

/// The row of a program that formats, which may panic.
const LOG: &str = "log";
/// Rows in which there is panicking that is not ours: defmt's own, and that of a future which is polled after its end.
const PANICS: [&str; 2] = ["defmt", "run"];

/// A part of the names of symbols.
const PANICKING: &str = "9panicking";

/// What no program of ours may contain: parts of the names of symbols, and what they are.
const FORBIDDEN: [(&str, &str); 4] = [
    ("__rust_alloc", "an allocator"),
    ("__rg_alloc", "an allocator"),
    (PANICKING, "panicking"),
    ("4core3fmt", "formatting"),
];

pub(crate) fn run(args: &[String]) -> Result {
    let record = match args {
        [] => false,
        [arg] if arg == "--record" => true,
        _ => return Err("usage: cargo xtask size [--record]".into()),
    };
    let toolchain = Toolchain::ready()?;
    let (measured, mut complaints) = measure(toolchain)?;
    println!("\n{}\n", measured.compiler);
    println!("{}", measured.table());
    complaints.extend(beyond_goals(&measured));
    if !complaints.is_empty() {
        return Err(format!("\n{}", complaints.join("\n")));
    }
    if record {
        return measured.write();
    }
    let changes = Record::read()?.changes(&measured);
    changes.iter().for_each(|change| println!("{change}"));
    if !changes.is_empty() {
        println!("`cargo xtask size --record` makes these the figures that hold");
    }
    Ok(())
}

/// As a step of `cargo xtask test`.
pub(crate) fn step(runner: &mut Runner) -> Result {
    let toolchain = Toolchain::find(runner)?;
    let (measured, mut complaints) = measure(toolchain)?;
    let recorded = Record::read()?;
    complaints.extend(beyond_goals(&measured));
    let echo = boards::targets().next().and_then(|target| measured.get(target, "echo"));
    let echo = echo.map_or(0, |figure| figure.flash);
    if recorded.compiler == measured.compiler {
        complaints.extend(recorded.changes(&measured));
        runner.remark(format!("an echo node takes {echo} bytes of flash"));
    } else {
        let compiler = &recorded.compiler;
        runner.remark(format!(
            "an echo node takes {echo} bytes; not compared, for the record is of {compiler}"
        ));
    }
    if complaints.is_empty() {
        return Ok(());
    }
    Err(format!(
        "\n{}\nif that is on purpose: cargo xtask size --record, and commit it with its reason",
        complaints.join("\n")
    ))
}

/// All figures, and what no program may contain but some do.
fn measure(toolchain: Toolchain) -> Result<(Record, Vec<String>)> {
    let mut complaints = Vec::new();
    let mut measured = Record { compiler: toolchain.compiler()?, ..Record::default() };
    for target in boards::targets() {
        let mut wholes: Vec<(&str, Figure)> = Vec::new();
        for row in &ROWS {
            let whole = build(toolchain, target, row, &mut complaints)?;
            let base = wholes.iter().find(|(key, _)| Some(*key) == row.base);
            let figure = base.map_or(whole, |(_, base)| whole.more_than(*base));
            measured.figures.push((target.to_owned(), row.key.to_owned(), figure));
            wholes.push((row.key, whole));
        }
        measured.runs.extend(run_on(toolchain, target)?);
    }
    Ok((measured, complaints))
}

/// Target, name and value of what is measured while it runs.
fn run_on(toolchain: Toolchain, target: &str) -> Result<Vec<(String, String, i64)>> {
    let mut printed = String::new();
    for (program, features) in [(RUN, ""), (RUN_WIDE, ""), (RUN_BRIDGE, " --features bridge")] {
        let line = format!("build --quiet --release --package {RUN} --bin {program}{features}");
        toolchain.cargo(&line, target).dir("examples/firmware").run()?;
        printed += &boards::emulate(target, program, RUN_OPTIONS).read()?;
    }
    let value = |key: &str| {
        let line = printed.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        let value = line.and_then(|value| value.trim().parse().ok());
        value.ok_or_else(|| format!("{target}: {RUN} did not print `{key}` but:\n{printed}"))
    };
    let rows = RUN_ROWS.iter();
    rows.map(|(key, _)| Ok((target.to_owned(), (*key).to_owned(), value(key)?))).collect()
}

fn build(toolchain: Toolchain, target: &str, row: &Row, complaints: &mut Vec<String>) -> Result<Figure> {
    let Row { program, features, .. } = row;
    // Behind the sign, because the list may be empty.
    let line = format!("build --quiet --release --package {PACKAGE} --bin {program} --features={features}");
    toolchain.cargo(&line, target).dir("examples/firmware").run()?;
    let path = root().join(boards::TARGET_DIR).join(target).join("release").join(program);
    let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let elf = Elf::new(&bytes).ok_or_else(|| format!("{}: not an ELF file of 32 bits", path.display()))?;
    let sum = |names: &[&str]| names.iter().map(|name| elf.size_of(name)).sum::<usize>();
    let data = sum(&[".data"]);
    // The crate `log` has a pointer there.
    if data > 0 && row.key != LOG {
        complaints.push(format!("{target}, {}: {data} bytes of .data, which costs flash and RAM", row.key));
    }
    let symbols = elf.symbols();
    if symbols.is_empty() {
        return Err(format!("{}: has no symbols to look at", path.display()));
    }
    // Of what is by hand only the size counts.
    let is_ours = !row.what.is_empty() && row.key != LOG;
    let may = |part: &str| part == PANICKING && PANICS.contains(&row.key);
    for (part, what) in FORBIDDEN.into_iter().filter(|(part, _)| is_ours && !may(part)) {
        if let Some(symbol) = symbols.iter().find(|symbol| symbol.contains(part)) {
            complaints.push(format!("{target}, {}: {what} is linked: {symbol}", row.key));
        }
    }
    Ok(Figure::new(sum(&[".text", ".rodata", ".data"]), sum(&[".data", ".bss"])))
}

/// What is larger than it may be, whatever the record says. The goals are for the first target; the code of the
/// other is as much larger as its instructions are.
fn beyond_goals(measured: &Record) -> Vec<String> {
    let mut complaints = Vec::new();
    let first = boards::targets().next().unwrap_or_default();
    for (target, key, figure) in measured.figures.iter().filter(|(target, ..)| target == first) {
        let Some(row) = ROWS.iter().find(|row| row.key == key) else { continue };
        let (kind, is, most) = match row.goal {
            Goal::None => continue,
            Goal::Flash(most) => ("flash", figure.flash, most as i64),
            Goal::Ram(most) => ("RAM", figure.ram, most as i64),
            Goal::Over(other, more) => {
                let other = measured.get(target, other).map_or(0, |figure| figure.flash);
                ("flash", figure.flash, other + more as i64)
            }
        };
        if is > most {
            complaints.push(format!("{target}, {}: {is} bytes of {kind}; the goal is {most}", row.what));
        }
    }
    let run = |key| measured.run(first, key).unwrap_or(0);
    let sections = RUN_ROWS.iter().map(|(key, _)| *key).filter(|key| key.ends_with("section"));
    let goals = sections.map(|key| (key, SECTION_MAX)).chain([("echo", ECHO_MAX * run("by-hand"))]);
    for (key, most) in goals {
        let (what, is) =
            (RUN_ROWS.iter().find(|(row, _)| *row == key).map_or("", |(_, what)| what), run(key));
        if is > most {
            complaints.push(format!("{first}, {what}: {is}; the goal is {most}"));
        }
    }
    complaints
}
