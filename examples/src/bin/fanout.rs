//! Who gets a value: with a work queue one importer, with a broadcast all of them.
#![expect(clippy::print_stdout, reason = "it talks to its terminal")]

use netchan::host::Fanout;
use netchan::{ExportOptions, Receiver, Sender};
use netchan_examples::pair;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (exporter, _importer, peer) = pair()?;
    for fanout in [Fanout::WorkQueue, Fanout::Broadcast] {
        let mut jobs: Sender<u32> = exporter.export_with("jobs", ExportOptions::fanout(fanout))?;
        let first: Receiver<u32> = peer.import("jobs").wait()?;
        let second: Receiver<u32> = peer.import("jobs").wait()?;
        for job in 1..=4 {
            jobs.send(job).wait()?;
        }
        drop(jobs); // the orderly end: what was sent still arrives
        for receiver in [first, second] {
            let got: Result<Vec<u32>, _> = receiver.collect();
            println!("{fanout:?}: {:?}", got?);
        }
    }
    Ok(())
}
