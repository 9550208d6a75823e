//! Joins a tree, prints a picture of it, and leaves: `picture --help`.
#![expect(clippy::print_stderr, reason = "it talks to its terminal")]

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use netchan::Node;
use netchan_examples::plain;
use netchan_tcp as tcp;

const USAGE: &str = "\
usage: picture ADDRESS [--graphviz | --mermaid]

Joins the node that listens and adopts at ADDRESS (as `bridge --listen` does), looks at the whole tree for a second, and
prints it: as text, for Graphviz's `dot`, or for Mermaid.";

/// Rates are measured for so long.
const WHILE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("picture: {error:?}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let (address, format) = match args[..] {
        ["--help" | "-h"] => {
            plain::line(USAGE);
            return Ok(());
        }
        [address] if !address.starts_with('-') => (address, "--text"),
        [address, format @ ("--graphviz" | "--mermaid")] => (address, format),
        _ => return Err("one ADDRESS is wanted; usage: picture --help".into()),
    };
    let node = Node::new("picture");
    tcp::join(&node, address).wait()?;
    let before = node.picture().wait()?;
    thread::sleep(WHILE);
    let picture = node.picture().wait()?.since(&before);
    let text = match format {
        "--graphviz" => picture.graphviz(),
        "--mermaid" => picture.mermaid(),
        _ => picture.text(),
    };
    plain::line(text.trim_end());
    Ok(())
}
