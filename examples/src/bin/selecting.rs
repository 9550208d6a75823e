//! Waiting for whichever of several channels comes first, with a deadline.
#![expect(clippy::print_stdout, reason = "it talks to its terminal")]

use std::time::Duration;

use netchan::{Receiver, SelectError, Sender, select};
use netchan_examples::pair;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (exporter, _importer, peer) = pair()?;
    let mut numbers: Sender<u32> = exporter.export("numbers")?;
    let mut names: Sender<String> = exporter.export("names")?;
    let mut number: Receiver<u32> = peer.import("numbers").wait()?;
    let mut name: Receiver<String> = peer.import("names").wait()?;
    names.send("seven".into()).wait()?;
    for _ in 0..3 {
        match select(&mut [&mut number, &mut name]).timeout(Duration::from_millis(100)).wait() {
            Ok(0) => println!("number {}", number.try_recv()?),
            Ok(_) => {
                println!("name {}", name.try_recv()?);
                numbers.send(7).wait()?;
            }
            Err(SelectError::Deadline) => println!("nothing for 100 ms"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
