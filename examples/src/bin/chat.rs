//! Both directions over one channel, to one importer at a time.
#![expect(clippy::print_stdout, reason = "it talks to its terminal")]

use std::thread;

use netchan::Duplex;
use netchan_examples::pair;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (exporter, _importer, peer) = pair()?;
    let mut echo: Duplex<String, String> = exporter.export("chat")?;
    let echoing = thread::spawn(move || {
        // Until its importer has `Left`; the next one could be served after that.
        while let Ok(line) = echo.recv().wait() {
            let _ = echo.send(line.to_uppercase()).wait();
        }
    });
    let mut chat: Duplex<String, String> = peer.import("chat").wait()?;
    for line in ["hello", "bye"] {
        chat.send(line.into()).wait()?;
        println!("{line} -> {}", chat.recv().wait()?);
    }
    drop(chat);
    echoing.join().map_err(|_| "the other side panicked")?;
    Ok(())
}
