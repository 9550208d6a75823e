//! A latest value never waits and never queues: whoever looks sees the newest.
#![expect(clippy::print_stdout, reason = "it talks to its terminal")]

use netchan::{Latest, Watch};
use netchan_examples::pair;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (exporter, _importer, peer) = pair()?;
    let level: Latest<u32> = exporter.export("level")?;
    level.set(1)?; // nobody watches yet
    let mut watch: Watch<u32> = peer.import("level").wait()?;
    println!("who comes later sees {}", watch.changed().wait()?);
    for n in 2..=1000 {
        level.set(n)?;
    }
    let (mut seen, mut last) = (0, 1);
    while last < 1000 {
        last = watch.changed().wait()?;
        seen += 1;
    }
    println!("the last one is {last}, whatever was left out on the way: {}", seen <= 999);
    Ok(())
}
