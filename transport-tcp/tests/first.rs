//! The shortest program, over a real socket.

use netchan::{Message, Node, Receiver, Sender};
use netchan_tcp as tcp;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Message, Debug, PartialEq)]
struct Tick {
    n: u64,
}

#[test]
fn values_arrive_in_order_and_then_the_end() -> Result<(), Box<dyn std::error::Error>> {
    let station = Node::new("station");
    let mut ticks: Sender<Tick> = station.export("ticks")?;
    let listener = tcp::listen(&station, "127.0.0.1:0")?;

    let node = Node::new("dashboard");
    let peer = tcp::connect(&node, listener.address()).wait()?;
    assert_eq!(peer.info().name, "station");
    let mut got = peer.import::<Receiver<Tick>>("ticks").wait()?;
    let sender = std::thread::spawn(move || {
        for n in 0..100_000 {
            ticks.send(Tick { n }).wait().expect("the importer is there");
        }
        drop(ticks);
        drop(station);
    });
    for n in 0..100_000 {
        assert_eq!(got.recv().wait()?, Tick { n });
    }
    assert!(got.next().wait().is_none());
    sender.join().expect("the sender ends");
    Ok(())
}
