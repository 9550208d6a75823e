//! The second program: imports the channel of the first, and prints what comes.
#![expect(clippy::print_stdout, reason = "it talks to its terminal")]

use netchan::{Node, Receiver};
use netchan_examples::Tick;
use netchan_tcp as tcp;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".into());
    let node = Node::new("reader");
    let station = tcp::connect(&node, address).wait()?;
    let mut ticks = station.import::<Receiver<Tick>>("ticks").wait()?;
    for tick in &mut ticks {
        println!("tick {}", tick?.n);
    }
    println!("the end"); // in order; a loss would have been an error above
    Ok(())
}
