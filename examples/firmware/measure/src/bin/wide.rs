//! What the longest critical section takes in instructions where a node is large: with messages of 1 000 bytes, which take several
//! packets, and with 32 channels, whose names are as long as names may be.
#![no_std]
#![no_main]

#[path = "../clock.rs"]
#[expect(dead_code, reason = "what the other program counts besides")]
mod clock;
#[path = "../full.rs"]
mod full;
#[path = "../many.rs"]
mod many;
#[path = "../section.rs"]
mod section;

use semihosting::{println, process};

/// Bytes of the messages of `full`.
const LEN: usize = 1000;

/// What went wrong, if anything did.
type Outcome<T = ()> = Result<T, &'static str>;

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    clock::start();
    let outcome = measure();
    if let Err(error) = outcome {
        println!("FAILED  {error}");
    }
    process::exit(i32::from(outcome.is_err()))
}

fn measure() -> Outcome {
    let (longest, outcome) = section::longest(full::run);
    println!("long-section {longest}");
    outcome?;
    let (longest, outcome) = section::longest(many::run);
    println!("many-section {longest}");
    outcome
}
