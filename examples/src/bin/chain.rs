//! Calls that build on each other: none runs behind the first that fails.
#![expect(clippy::print_stdout, reason = "it talks to its terminal")]

use std::sync::atomic::{AtomicU32, Ordering};

use netchan::{Chain, Node, Server};
use netchan_tcp as tcp;

static RUNS: AtomicU32 = AtomicU32::new(0);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let board = Node::new("board");
    let mut steps: Server<String, Result<u32, String>> = board.export("steps")?;
    let address = tcp::listen(&board, "127.0.0.1:0")?.address();
    std::thread::spawn(move || {
        while let Ok(request) = steps.recv().wait() {
            let n = RUNS.fetch_add(1, Ordering::Relaxed) + 1;
            let result = if *request == "write" { Err("the flash is locked".into()) } else { Ok(n) };
            let _ = request.reply(result).wait();
        }
    });

    let desk = Node::new("desk");
    let peer = tcp::connect(&desk, address).wait()?;
    let mut steps = peer.import::<Chain<String, u32, String>>("steps").wait()?;
    let calls = ["erase", "write", "start"].map(|step| steps.call(step.into()).wait()); // none is waited for
    for call in calls {
        match call.and_then(|call| call.wait()) {
            Ok(n) => println!("step {n} is done"),
            Err(error) => println!("{error}"),
        }
    }
    println!("{} of 3 have run", RUNS.load(Ordering::Relaxed));
    Ok(())
}
