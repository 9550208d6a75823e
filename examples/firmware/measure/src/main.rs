//! What a node costs while it runs: instructions of an echo, of the same by hand, and of the longest critical
//! section; and stack. `cargo xtask size` runs it in QEMU, where each instruction takes 1024 ns of the board's time.
//!
//! Two nodes stand in one program and exchange bytes without a UART, so every run is the same to the instruction.
//! It prints a figure in each line, its name first.
#![no_std]
#![no_main]

mod by_hand;
mod clock;
mod echo;
mod full;
mod section;
mod stack;

use netchan::Message;
use semihosting::{println, process};
use serde::{Deserialize, Serialize};

/// A message of 16 bytes.
#[derive(Serialize, Deserialize, Message, Clone, Copy, PartialEq, Debug)]
struct Sample([f32; 4]);

impl Sample {
    const fn numbered(n: u32) -> Self {
        Self([n as f32, 0.5, -1.25, 3e9])
    }
}

/// Bytes of the messages of `full`: with their length they take what a packet of 240 bytes has for a message.
const LEN: usize = 231;

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
    let by_hand = by_hand::instructions()?;
    println!("by-hand {by_hand}");
    let echo = echo::measure()?;
    println!("echo {}", echo.instructions);
    println!("echo-stack {}", echo.stack);
    println!("echo-line {}", echo.line);
    let (longest, outcome) = section::longest(full::run);
    println!("section {longest}");
    outcome
}
