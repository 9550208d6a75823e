//! Development tasks: `cargo xtask help`.
//!
//! This file only dispatches; each command is a file of its own.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to its terminal")]

mod bench;
mod command;
mod demo;
mod elf;
mod fuzz;
mod sim;
mod size;
mod test;
mod tidy;

use std::process::ExitCode;

use command::Result;

/// One task: its name, what it is for, whether this checkout has what it runs, and how to run it.
struct Task {
    name: &'static str,
    about: &'static str,
    needs: Option<&'static str>,
    run: fn(&[String]) -> Result,
}

const TASKS: &[Task] = &[
    Task {
        name: "demo",
        about: "watch channels work on this machine",
        needs: Some(demo::PROGRAM),
        run: demo::run,
    },
    Task {
        name: "test",
        about: "everything that must hold before a change goes in (test --help)",
        needs: None,
        run: test::run,
    },
    Task {
        name: "tidy",
        about: "the rules that no compiler checks: edges, figures, licences",
        needs: None,
        run: tidy::run,
    },
    Task {
        name: "bench",
        about: "measure, next to a raw socket and to other libraries",
        needs: Some(bench::MANIFEST),
        run: bench::run,
    },
    Task {
        name: "fuzz",
        about: "run the fuzz targets: fuzz [--seconds N] [TARGET ...]",
        needs: Some(fuzz::MANIFEST),
        run: fuzz::run,
    },
    Task {
        name: "sim",
        about: "run simulated networks with seeded faults",
        needs: Some(sim::PROGRAM),
        run: sim::run,
    },
    Task {
        name: "size",
        about: "flash and RAM of the smallest node, and of each channel more: size [--record]",
        needs: Some(size::MANIFEST),
        run: size::run,
    },
];

impl Task {
    fn missing(&self) -> Option<&'static str> {
        self.needs.filter(|path| !command::root().join(path).exists())
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let name = args.first().map_or("help", String::as_str);
    if matches!(name, "help" | "--help" | "-h") {
        help();
        return ExitCode::SUCCESS;
    }
    match dispatch(name, &args[1..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ncargo xtask {name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(name: &str, args: &[String]) -> Result {
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        return Err("there is no such task; `cargo xtask help` lists them".into());
    };
    match task.missing() {
        Some(path) => Err(format!("nothing to run: {path} is not in this checkout")),
        None => (task.run)(args),
    }
}

fn help() {
    println!("cargo xtask TASK [ARGS]\n");
    for task in TASKS.iter().filter(|task| task.missing().is_none()) {
        println!("    {:<6} {}", task.name, task.about);
    }
}
