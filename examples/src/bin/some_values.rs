//! An import of three values: the channel ends in order after them, at both sides.
#![expect(clippy::print_stdout, reason = "it talks to its terminal")]

use netchan::{Receiver, Sender};
use netchan_examples::{Tick, pair};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (exporter, _importer, peer) = pair()?;
    let mut ticks: Sender<Tick> = exporter.export("ticks")?;
    let three: Receiver<Tick> = peer.import("ticks").values(3).wait()?;
    for n in 1..=3 {
        ticks.send(Tick { n }).wait()?;
    }
    for tick in three {
        println!("tick {}", tick?.n);
    }
    // The export lives on, without an importer.
    if let Err(error) = ticks.try_send(Tick { n: 4 }) {
        println!("{error}");
    }
    Ok(())
}
