//! A channel inside one program: the same ends, and nothing is encoded.
#![expect(clippy::print_stdout, reason = "it talks to its terminal")]

use std::thread;

use netchan::channel;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut sender, receiver) = channel::<String>(2);
    let sending = thread::spawn(move || {
        for word in ["one", "two", "three"] {
            sender.send(word.into()).wait()?; // waits while two are queued
        }
        sender.drain().wait()?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(sender.account())
    });
    for word in receiver {
        println!("{}", word?);
    }
    let account = sending.join().map_err(|_| "the sender panicked")?.map_err(|error| error.to_string())?;
    println!("confirmed {}", account.confirmed);
    Ok(())
}
