//! The whole story on one machine: a station in a process of its own, a dashboard that shows
//! it, the station killed, noticed dead, started again; and a board behind a bridge, which is told what to do, asked, and
//! reset, and whose bridge is killed and started again: `demo [--plain] [--firmware KERNEL | --process PROGRAM]`. `cargo xtask demo` builds the board's
//! program, and says which.
#![expect(clippy::print_stderr, reason = "it talks to its terminal")]

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use netchan_examples::app::{self, App};
use netchan_examples::demo_board::{BoardProcess, BoardStory, BridgeProcess, Tree};
use netchan_examples::plain;
use netchan_examples::process::StationProcess;
use netchan_examples::story::Story;

const USAGE: &str = "usage: demo [--plain] [--firmware KERNEL | --process PROGRAM]";

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
    let (mut plain, mut board) = (!app::has_terminal(), None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut path = || args.next().ok_or_else(|| format!("{arg} wants a path; {USAGE}"));
        match arg.as_str() {
            "--plain" => plain = true,
            "--firmware" => board = Some(BoardProcess::emulate(Path::new(&path()?))?),
            "--process" => board = Some(BoardProcess::process(Path::new(&path()?))?),
            other => return Err(format!("unknown argument {other}; {USAGE}")),
        }
    }
    plain::line("A station samples this machine in a process of its own; a dashboard imports its channels");
    plain::line("over TCP, calls its method, sees it die, and comes back when it does.");
    if board.is_some() {
        plain::line(
            "The same dashboard imports a board's channels through a bridge, which has the board at its serial line,",
        );
        plain::line(
            "commands it, calls its method, and goes on when it is reset in the middle of a transfer, and when the",
        );
        plain::line("bridge is killed.");
    }
    plain::line("");
    let station = StationProcess::start("127.0.0.1:0")?;
    plain::line(&format!("station {} listens at {}", station.id(), station.address()));
    let address = station.address().to_owned();
    let mut app = App::new(&address);
    let mut behind = None;
    if let Some(board) = board {
        plain::line(&format!("the board is {}", board.about()));
        let tree = Tree::listen()?;
        let parent = tree.address();
        let bridge = BridgeProcess::start(parent, board.port())?;
        plain::line(&format!("bridge {} joins the dashboard's tree at {parent}", bridge.id()));
        app = app.with_board(|updates| tree.start(updates));
        behind = Some((board, bridge, parent));
    }
    let mut app = app.with_story(|updates| {
        let board =
            behind.map(|(board, bridge, parent)| BoardStory::new(board, bridge, parent, updates.clone()));
        Story::new(station, updates).with_board(board)
    });
    let result = if plain { app.run_plain(Duration::MAX) } else { app.run_terminal() };
    app.end();
    result?;
    if plain && !app.story_is_done() {
        return Err("not all of it happened".into());
    }
    Ok(())
}
