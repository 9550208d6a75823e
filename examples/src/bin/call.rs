//! A method: calls are typed both ways, pipelined, and each of them gets an answer.
#![expect(clippy::print_stdout, reason = "it talks to its terminal")]

use std::thread;
use std::time::Duration;

use netchan::{CallError, Client, Server};
use netchan_examples::pair;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (exporter, _importer, peer) = pair()?;
    let mut roots: Server<f64, f64> = exporter.export("root")?;
    let serving = thread::spawn(move || {
        // Dropping a request without a reply is an answer too.
        while let Ok(request) = roots.recv().wait() {
            if *request >= 0.0 {
                let root = request.sqrt();
                let _ = request.reply(root).wait();
            }
        }
    });
    let root: Client<f64, f64> = peer.import("root").wait()?;
    println!("root of 2 is {}", root.call(2.0).timeout(Duration::from_secs(1)).wait()?);
    match root.call(-1.0).wait() {
        Err(CallError::Dead(dead)) => println!("root of -1: {dead}"),
        other => println!("root of -1: {other:?}"),
    }
    exporter.shutdown(Duration::from_secs(1));
    serving.join().map_err(|_| "the server panicked")?;
    println!("after the shutdown: {}", root.call(2.0).wait().unwrap_err());
    Ok(())
}
