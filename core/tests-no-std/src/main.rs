//! Core on a board: no `std`, and no allocator that anything could link to.
//!
//! `cargo xtask test --only no-std` builds this for each board target and runs it in QEMU. The end of the
//! program is the verdict: 0, or 1 after the names of the checks that failed.
#![no_std]
#![no_main]

mod checks;

use semihosting::{println, process};

/// The start-up code calls this once memory holds its initial values.
#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    let mut failed = 0;
    for (name, check) in checks::ALL {
        match check() {
            Ok(()) => println!("ok      {name}"),
            Err(reason) => {
                failed += 1;
                println!("FAILED  {name}: {reason}");
            }
        }
    }
    println!("{} checks, {failed} failed", checks::ALL.len());
    process::exit(i32::from(failed != 0))
}
