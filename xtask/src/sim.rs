//! `cargo xtask sim [OPTIONS]`: networks in one process, with a virtual clock and seeded faults; and errors of a few
//! bits in packets, as many as are asked for.

mod mutants;
mod patches;

use std::time::Duration;

use crate::command::{Cmd, Result};

pub(crate) const PROGRAM: &str = "core/examples/sim.rs";

pub(crate) fn run(args: &[String]) -> Result {
    if let Some(at) = args.iter().position(|arg| arg == "--mutants") {
        let within =
            args.iter().position(|arg| arg == "--within").and_then(|at| args.get(at + 1)?.parse().ok());
        let name = args.get(at + 1).filter(|name| !name.starts_with("--"));
        let hosts = args.iter().any(|arg| arg == "--hosts");
        return mutants::run(name.map(String::as_str), hosts, within.map(Duration::from_secs));
    }
    Cmd::cargo("run --release --quiet --package netchan --features testing --example sim --").args(args).run()
}
