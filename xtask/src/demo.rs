//! `cargo xtask demo [ARGS]`: the programs of `examples/`, working together on this machine, and a board: emulated
//! where that is possible, else the same firmware as a process.

use std::time::Duration;

use crate::command::{Cmd, Result};
use crate::test::Runner;
use crate::test::boards::{self, Example, Toolchain};

pub(crate) const PROGRAM: &str = "examples/src/bin/demo.rs";
/// The story takes a quarter of a minute.
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn run(args: &[String]) -> Result {
    println!("Building the examples and the board's firmware (the first time takes a moment) ...");
    build().run()?;
    let board = match emulated() {
        Ok(toolchain) => boards::emulated_example(toolchain),
        Err(error) => {
            println!("No board is emulated, for {error}.");
            println!("Its firmware runs as a process of this machine instead.");
            boards::example_process()
        }
    };
    board.build.run()?;
    program(&board).args(args).run()
}

/// Without a terminal and without QEMU, as a step of `cargo xtask test`.
pub(crate) fn step(runner: &mut Runner) -> Result {
    runner.run(&build())?;
    let board = boards::example_process();
    runner.run(&board.build)?;
    runner.run(&program(&board).limit(LIMIT))
}

/// The same with an emulated board.
pub(crate) fn emulated_step(runner: &mut Runner, toolchain: Toolchain) -> Result {
    let board = boards::emulated_example(toolchain);
    runner.run(&build())?;
    runner.run(&board.build)?;
    runner.run(&program(&board).limit(LIMIT))
}

/// What emulates a board here, or what is missing for it.
fn emulated() -> Result<Toolchain> {
    if !boards::has_qemu() {
        return Err("there is no qemu-system-arm here (Debian: apt-get install qemu-system-arm)".into());
    }
    Toolchain::ready()
}

/// All programs, because the demo starts others from beside itself.
fn build() -> Cmd {
    Cmd::cargo("build --quiet --package netchan-examples --bins")
}

/// The demo itself.
fn program(board: &Example) -> Cmd {
    let Example { option, path, .. } = board;
    Cmd::cargo("run --quiet --package netchan-examples --bin demo --").arg(*option).arg(path)
}
