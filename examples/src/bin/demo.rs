//! The whole story on one machine: a station in a process of its own, a dashboard that shows
//! it, the station killed, noticed dead, started again: `demo [--plain]`.
#![expect(clippy::print_stderr, reason = "it talks to its terminal")]

use std::process::ExitCode;
use std::time::Duration;

use netchan_examples::app::{self, App};
use netchan_examples::plain;
use netchan_examples::process::StationProcess;
use netchan_examples::story::Story;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let plain = match std::env::args().nth(1).as_deref() {
        None => !app::has_terminal(),
        Some("--plain") => true,
        Some(other) => return Err(format!("unknown argument {other}; usage: demo [--plain]")),
    };
    plain::line("A station samples this machine in a process of its own; a dashboard imports its channels");
    plain::line("over TCP, calls its method, sees it die, and comes back when it does.");
    plain::line("");
    let station = StationProcess::start("127.0.0.1:0")?;
    plain::line(&format!("station {} listens at {}", station.id(), station.address()));
    let address = station.address().to_owned();
    let mut app = App::new(&address).with_story(|updates| Story::new(station, updates));
    let result = if plain { app.run_plain(Duration::MAX) } else { app.run_terminal() };
    app.end();
    result?;
    if plain && !app.story_is_done() {
        return Err("not all of it happened".into());
    }
    Ok(())
}
