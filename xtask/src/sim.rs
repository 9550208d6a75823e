//! `cargo xtask sim [ARGS]`: networks in one process, with a virtual clock and seeded faults; and errors of a few
//! bits in packets, as many as are asked for.

use crate::command::{Cmd, Result};

pub(crate) const PROGRAM: &str = "core/examples/sim.rs";

pub(crate) fn run(args: &[String]) -> Result {
    Cmd::cargo("run --release --package netchan --features testing --example sim --").args(args).run()
}
