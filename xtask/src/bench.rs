//! `cargo xtask bench [ARGS]`: the measurements, a workspace of its own because of all it compares with.

use crate::command::{Cmd, Result};

pub(crate) const MANIFEST: &str = "bench/Cargo.toml";

pub(crate) fn run(args: &[String]) -> Result {
    Cmd::cargo("run --release --manifest-path").arg(MANIFEST).arg("--").args(args).run()
}
