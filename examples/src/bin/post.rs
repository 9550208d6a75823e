//! One message and one call, without an end of its own.
#![expect(clippy::print_stdout, reason = "it talks to its terminal")]

use netchan::{Node, Receiver, Server};
use netchan_tcp as tcp;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let station = Node::new("station");
    let mut heater: Receiver<bool> = station.export("heater")?;
    let mut level: Server<u8, i32> = station.export("level")?;
    let address = tcp::listen(&station, "127.0.0.1:0")?.address();
    let program = std::thread::spawn(move || {
        println!("the heater is {:?}", heater.recv().wait());
        let answered = level.recv().wait().map(|request| request.reply(21).wait().is_ok());
        (answered, heater)
    });

    let desk = Node::new("desk");
    let station = tcp::connect(&desk, address).wait()?;
    station.post("heater", true).wait()?; // its program has taken it
    println!("the level is {}", station.ask::<_, i32>("level", 3_u8).wait()?);
    println!("{}", station.post("heater", "on".to_string()).wait().unwrap_err());
    drop(program.join());
    Ok(())
}
