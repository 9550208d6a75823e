//! netchan beside raw sockets and other libraries: two processes over loopback TCP, all peers interleaved.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;

use crate::args::Wish;

mod args;
mod beside;
mod bulk;
mod case;
mod child;
mod job;
mod machine;
mod many;
mod message;
mod peers;
mod relay;
mod report;
mod run;
mod stats;
mod table;

fn main() -> ExitCode {
    match start() {
        Ok(code) => code,
        Err(error) => {
            // If stderr is gone as well, the exit code must do.
            let _ = writeln!(io::stderr(), "netchan-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<ExitCode> {
    let mut words = std::env::args().skip(1).peekable();
    if words.next_if(|word| word == child::CHILD).is_some() {
        child::main(&words.next().unwrap_or_default())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = io::stdout();
    let args = match args::parse(words)? {
        Wish::Help => {
            write!(out, "{}", args::help())?;
            return Ok(ExitCode::SUCCESS);
        }
        Wish::Measure(args) => args,
    };
    let report = run::run(&args)?;
    if args.json {
        writeln!(out, "{:#}", report.json())?;
    } else {
        write!(out, "{}", report.text())?;
    }
    out.flush()?;
    Ok(match report.failed() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}
