//! Room on the disk: a linker that has none dies without saying why.

use std::path::PathBuf;
use std::process::Command;

use crate::command::{Result, root};

/// With less than this a step is not begun.
const LEAST: u64 = 1 << 30;
/// What a whole run writes, from nothing.
const WHOLE: &str =
    "A whole run from nothing writes 9 GB, and builds of the last change stay beside those of this one";

/// # Errors
///
/// When there is so little room that a build would fail for it. Where nobody can say how much there is, it is believed to do.
pub(super) fn check() -> Result {
    match left() {
        Some(left) if left < LEAST => Err(format!(
            "only {} MB are left on the disk of {}. {WHOLE}: make room (`cargo clean` here frees all that can be built \
             again), or put them elsewhere (CARGO_TARGET_DIR)",
            left >> 20,
            target().display()
        )),
        _ => Ok(()),
    }
}

/// Why a step has failed, and that there is no room left if so.
pub(super) fn or_full(error: String) -> String {
    match check() {
        Err(full) if full != error => format!("{error}\n      {full}"),
        _ => error,
    }
}

/// Where cargo writes.
fn target() -> PathBuf {
    let dir = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    root().join(dir)
}

/// Bytes that are free there.
fn left() -> Option<u64> {
    let dir = target();
    // It may be still to be made.
    let dir = dir.ancestors().find(|dir| dir.exists())?;
    let output = Command::new("df").arg("-Pk").arg(dir).output().ok()?;
    parse(&String::from_utf8_lossy(&output.stdout))
}

/// The fourth word of the second line, as POSIX has it, in KiB.
fn parse(df: &str) -> Option<u64> {
    df.lines().nth(1)?.split_whitespace().nth(3)?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_df_says_is_understood_or_left() {
        let df = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 263174212 12058624 83886080 13% /\n";
        assert_eq!(parse(df), Some(80 << 30));
        assert_eq!(parse(""), None);
        assert_eq!(parse("df: what?\nno such thing at all"), None);
        assert!(cfg!(not(unix)) || left().is_some_and(|left| left > 0));
    }
}
