//! A link that is made again: the receiver is told of the gap once, and goes on.
#![expect(clippy::print_stdout, reason = "it talks to its terminal")]

use netchan::{Node, Receiver, Reconnect, RecvError};
use netchan_examples::{Tick, restarting};
use netchan_tcp as tcp;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = restarting()?; // sends three ticks, is shut down, and does it again
    let node = Node::new("reader");
    let peer = tcp::connect(&node, address).reconnect(Reconnect::new()).wait()?;
    let mut ticks = peer.import::<Receiver<Tick>>("ticks").reopen().wait()?;
    loop {
        match ticks.recv().wait() {
            Ok(tick) => println!("tick {}", tick.n),
            Err(RecvError::Interrupted { dead, taken }) => println!("a gap after {taken}: {dead}"),
            Err(RecvError::Closed) => break,
            Err(error) => return Err(error.into()),
        }
    }
    println!("the end");
    Ok(())
}
