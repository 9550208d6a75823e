//! What became of what was sent: confirmed means taken by the other program.
#![expect(clippy::print_stdout, reason = "it talks to its terminal")]

use std::time::Duration;

use netchan::{Receiver, Sender};
use netchan_examples::{Tick, pair};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (exporter, _importer, peer) = pair()?;
    let mut ticks: Sender<Tick> = exporter.export("ticks")?;
    let mut receiver: Receiver<Tick> = peer.import("ticks").wait()?;
    for n in 1..=5 {
        ticks.send(Tick { n }).wait()?;
    }
    for _ in 0..2 {
        receiver.recv().wait()?;
    }
    if let Err(error) = ticks.drain().timeout(Duration::from_millis(100)).named().wait() {
        println!("{error}");
    }
    drop(receiver); // hangs up on three values
    let _ = ticks.drain().timeout(Duration::from_secs(5)).wait();
    let account = ticks.account();
    println!("sent {}, confirmed {}, in doubt {}", account.sent(), account.confirmed, account.in_doubt);
    Ok(())
}
