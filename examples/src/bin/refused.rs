//! What an import that cannot be says; and one that waits for its export.
#![expect(clippy::print_stdout, reason = "it talks to its terminal")]

use std::thread;
use std::time::Duration;

use netchan::{Receiver, Sender};
use netchan_examples::{Tick, pair};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (exporter, _importer, peer) = pair()?;
    let soon = Duration::from_millis(100);
    let _words: Sender<String> = exporter.export("words")?;
    if let Err(error) = peer.import::<Receiver<Tick>>("words").wait() {
        println!("{error}");
    }
    if let Err(error) = peer.import::<Sender<String>>("words").wait() {
        println!("{error}");
    }
    if let Err(error) = peer.import::<Receiver<Tick>>("ticks").timeout(soon).wait() {
        println!("{error}");
    }
    // The import below is asked for first; the export comes a moment later.
    let exporting = thread::spawn(move || {
        thread::park_timeout(soon);
        let mut ticks: Sender<Tick> = exporter.export("ticks")?;
        ticks.send(Tick { n: 1 }).wait()?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    });
    let mut ticks: Receiver<Tick> = peer.import("ticks").wait()?;
    println!("tick {}", ticks.recv().timeout(Duration::from_secs(5)).wait()?.n);
    exporting.join().map_err(|_| "the exporter panicked")?.map_err(|error| error.to_string())?;
    Ok(())
}
