//! What a `main` prints that returns its error: `failing lost`, and so on.

use std::error::Error;
use std::time::Duration;

use netchan::{Client, Duplex, Receiver, Sender};
use netchan_examples::{Tick, pair};
use netchan_tcp as tcp;

const SOON: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn Error>> {
    let how = std::env::args().nth(1).unwrap_or_default();
    let (exporter, importer, peer) = pair()?;
    let mut ticks: Sender<Tick> = exporter.export("ticks")?;
    let orders: Receiver<Tick> = exporter.export("orders")?;
    let mut server: netchan::Server<Tick, Tick> = exporter.export("root")?;
    match how.as_str() {
        "address" => drop(tcp::connect(&importer, "127.0.0.1:1").wait()?),
        "network" => drop(tcp::connect(&importer, "192.0.2.1:7000").wait()?),
        "taken" => drop(exporter.export::<Sender<Tick>>("ticks")?),
        "name" => drop(peer.import::<Receiver<Tick>>("tocks").timeout(Duration::from_millis(20)).wait()?),
        "type" => drop(peer.import::<Receiver<String>>("ticks").wait()?),
        "direction" => drop(peer.import::<Duplex<Tick, Tick>>("ticks").wait()?),
        "importer" => ticks.send(Tick { n: 1 }).timeout(Duration::from_millis(20)).wait()?,
        "lost" => {
            let ticks = peer.import::<Receiver<Tick>>("ticks").wait()?;
            exporter.shutdown(Duration::ZERO);
            for tick in ticks {
                tick?;
            }
        }
        "receive" => {
            let mut ticks = peer.import::<Receiver<Tick>>("ticks").wait()?;
            ticks.recv().timeout(Duration::from_millis(20)).named().wait()?;
        }
        "send" => {
            let mut out = peer.import::<Sender<Tick>>("orders").wait()?;
            drop(orders);
            loop {
                out.send(Tick { n: 1 }).timeout(SOON).wait()?;
            }
        }
        "drain" => {
            let _import = peer.import::<Receiver<Tick>>("ticks").wait()?;
            ticks.send(Tick { n: 1 }).wait()?;
            ticks.drain().timeout(Duration::from_millis(20)).named().wait()?;
        }
        "call" => {
            let client = peer.import::<Client<Tick, Tick>>("root").wait()?;
            // It takes the request and drops it; the server itself lives on.
            let _serving = std::thread::spawn(move || {
                drop(server.recv().wait());
                server
            });
            client.call(Tick { n: 1 }).timeout(SOON).named().wait()?;
        }
        // Names cost what a small error has no room for: this one says only what has happened.
        "bare" => {
            peer.import::<Receiver<Tick>>("ticks").wait()?.try_recv()?;
        }
        _ => return Err("usage: failing address|network|taken|name|type|...".into()),
    }
    Ok(())
}
