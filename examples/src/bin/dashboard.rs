//! Shows what a station sees, live: `dashboard [ADDRESS] [--plain]`.
#![expect(clippy::print_stderr, reason = "it talks to its terminal")]

use std::process::ExitCode;
use std::time::Duration;

use netchan_examples::app::{self, App};

/// Without a terminal it ends by itself after this.
const PLAIN_FOR: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dashboard: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let (flags, words): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|arg| arg.starts_with("--"));
    if let Some(flag) = flags.iter().find(|flag| *flag != "--plain") {
        return Err(format!("unknown option {flag}; usage: dashboard [ADDRESS] [--plain]"));
    }
    let address = words.first().map_or("127.0.0.1:7001", String::as_str);
    let mut app = App::new(address);
    if flags.is_empty() && app::has_terminal() { app.run_terminal() } else { app.run_plain(PLAIN_FOR) }
}
