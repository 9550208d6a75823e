//! `cargo xtask demo [ARGS]`: the programs of `examples/`, working together on this machine.

use crate::command::{Cmd, Result};

pub(crate) const PROGRAM: &str = "examples/src/bin/demo.rs";

pub(crate) fn run(args: &[String]) -> Result {
    println!("Building the examples (the first time takes a moment) ...");
    build().run()?;
    program().args(args).run()
}

/// All programs, because the demo starts others from beside itself.
pub(crate) fn build() -> Cmd {
    Cmd::cargo("build --quiet --package netchan-examples --bins")
}

/// The demo itself.
pub(crate) fn program() -> Cmd {
    Cmd::cargo("run --quiet --package netchan-examples --bin demo --")
}
