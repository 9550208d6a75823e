//! Gives the linker the memory of the board that the target stands for.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let target = env::var("TARGET").unwrap_or_default();
    let board = if target.starts_with("riscv32") { "riscv32" } else { "cortex-m3" };
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::copy(format!("../{board}/memory.x"), out.join("memory.x")).expect("each board has its memory.x");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rerun-if-changed=../{board}/memory.x");
    if env::var_os("CARGO_FEATURE_DEFMT").is_some() {
        // Where the texts of records are, which no board has.
        println!("cargo::rustc-link-arg-bins=-Tdefmt.x");
    }
}
