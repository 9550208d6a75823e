//! The other end of a board's line, as a test: boots the board, talks to it, resets it.
//!
//! ```text
//! netchan-firmware-desk [--qmp SOCKET] PROGRAM ARGS...
//! ```
//!
//! The program is the board: its standard input and output are the line. It is QEMU with a UART on
//! `stdio`, or the same firmware as a process. With `--qmp` the board is reset in the middle of everything by
//! QEMU's monitor on that socket, else by ending the program and starting it again.
#![expect(clippy::print_stdout, reason = "a command line tool talks to its terminal")]

mod board;
mod story;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let qmp = (args.first().is_some_and(|arg| arg == "--qmp") && args.len() > 2).then(|| {
        args.remove(0);
        args.remove(0)
    });
    if args.is_empty() {
        println!("netchan-firmware-desk [--qmp SOCKET] PROGRAM ARGS...");
        return ExitCode::FAILURE;
    }
    match story::tell(&args, qmp.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAILED  {error}");
            ExitCode::FAILURE
        }
    }
}
