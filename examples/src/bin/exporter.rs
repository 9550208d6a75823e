//! The first program: exports a channel, sends ten values, and leaves.

use netchan::{Node, Sender};
use netchan_examples::Tick;
use netchan_tcp as tcp;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".into());
    let node = Node::new("station");
    let mut ticks: Sender<Tick> = node.export("ticks")?;
    tcp::listen(&node, address)?;
    for n in 1..=10 {
        ticks.send(Tick { n }).wait()?; // the first one waits for an importer
    }
    Ok(()) // dropping `ticks` and `node` loses nothing: what was sent is still delivered
}
