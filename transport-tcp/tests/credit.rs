//! Credit goes back to whom it belongs.

use std::time::Duration;

use netchan::{Node, Receiver, Sender};
use netchan_tcp as tcp;

/// Far beyond what any step takes: only a hang reaches it.
const NEVER: Duration = Duration::from_secs(30);

#[test]
fn importers_do_not_live_on_each_others_credit() -> Result<(), Box<dyn std::error::Error>> {
    let station = Node::new("station");
    let mut results: Receiver<u64> = station.export("results")?;
    let address = tcp::listen(&station, "127.0.0.1:0")?.address();
    let nodes = [Node::new("first"), Node::new("second")];
    let mut senders = Vec::new();
    for node in &nodes {
        let peer = tcp::connect(node, address).wait()?;
        senders.push(peer.import::<Sender<u64>>("results").wait()?);
    }
    // Each round is less than what an importer may have under way, and half of it comes
    // from either; if credit went to the wrong one, the other would soon have none.
    for _ in 0..200 {
        for sender in &mut senders {
            for n in 0..100 {
                sender.send(n).timeout(NEVER).wait()?;
            }
        }
        for _ in 0..200 {
            results.recv().timeout(NEVER).wait()?;
        }
    }
    for sender in &mut senders {
        sender.drain().timeout(NEVER).wait()?;
    }
    Ok(())
}
