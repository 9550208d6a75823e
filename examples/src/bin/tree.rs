//! A sensor below a bridge below a hub, and a desk that finds it; here in one program, usually in four.
#![expect(clippy::print_stdout, reason = "it talks to its terminal")]

use std::time::Duration;

use netchan::host::Visibility;
use netchan::{ExportOptions, LinkEvent, Node, Receiver, Sender};
use netchan_examples::Tick;
use netchan_tcp as tcp;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [hub, bridge, sensor, desk] = ["hub", "bridge", "sensor", "desk"].map(Node::new);
    // Who adopts is the parent of those who join there.
    let at_hub = tcp::listen_with(&hub, "127.0.0.1:0", tcp::Options::new().adopt())?;
    tcp::join(&bridge, at_hub.address()).wait()?;
    tcp::join(&desk, at_hub.address()).wait()?;
    let at_bridge = tcp::listen_with(&bridge, "127.0.0.1:0", tcp::Options::new().adopt())?;
    tcp::join(&sensor, at_bridge.address()).wait()?;
    let to_all = ExportOptions::default().visible_to(Visibility::Tree);
    let mut ticks: Sender<Tick> = sensor.export_with("ticks", to_all)?;

    // Those above are told who comes and who goes.
    while !matches!(hub.event().wait(), Some(LinkEvent::NodeJoined { name, .. }) if name == "sensor") {}
    let mut got = desk.remote("bridge/sensor").import::<Receiver<Tick>>("ticks").wait()?;
    ticks.send(Tick { n: 1 }).wait()?;
    println!("tick {}", got.recv().wait()?.n);
    // Whatever is lost on the way, whoever waits is told at once, why and by whom.
    let gone = bridge.id();
    bridge.shutdown(Duration::ZERO);
    println!("node {gone} was the bridge, and so: {}", got.recv().wait().unwrap_err());
    Ok(())
}
