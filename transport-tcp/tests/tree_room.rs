//! What a bridge holds, and what an open costs on its way.

mod common;

use common::cable::Cable;
use common::{Outcome, SOON, Tick, calm, eventually};
use netchan::host::Visibility;
use netchan::proto::Frame;
use netchan::{Config, ExportOptions, Fanout, Node, Receiver, SendCause, Sender};
use netchan_tcp as tcp;

const CIRCUITS: usize = 1000;
/// What the bridge may promise on each of its links, in bytes.
const RESERVE: u64 = 12 << 20;
const LEND: u64 = 4 << 20;

#[test]
fn a_bridge_with_a_thousand_full_circuits_holds_no_more_than_it_may() -> Outcome {
    let _calm = calm();
    let bridge = Node::with_config("bridge", Config::new().memory_per_link(RESERVE, LEND))?;
    let address = tcp::listen_with(&bridge, "127.0.0.1:0", tcp::Options::new().adopt())?.address();
    let join = |name| -> Result<Node, Box<dyn std::error::Error>> {
        let node = Node::new(name);
        tcp::join(&node, address).wait()?;
        Ok(node)
    };
    let (board, desk) = (join("board")?, join("desk")?);
    let options =
        || ExportOptions::fanout(Fanout::Broadcast).visible_to(Visibility::Tree).message_limit(4096);
    for round in 0..2 {
        // Nobody takes what comes here.
        let sink: Receiver<Vec<u8>> = board.export_with("sink", options())?;
        let mut senders = Vec::new();
        for _ in 0..CIRCUITS {
            senders.push(desk.remote("board").import::<Sender<Vec<u8>>>("sink").timeout(SOON).wait()?);
        }
        let mut sent = 0u64;
        loop {
            let before = sent;
            for sender in &mut senders {
                match sender.try_send(vec![round; 4000]) {
                    Ok(()) => sent += 1,
                    Err(error) => assert_eq!(error.cause(), SendCause::Full),
                }
            }
            let waiting: u64 = bridge.links().iter().map(|link| link.waiting).sum();
            assert!(waiting <= RESERVE + LEND, "{waiting} bytes wait");
            // All are full when a look at all of them finds no room, and what is under way has come.
            if sent == before && bridge.links().iter().any(|link| link.waiting >= CIRCUITS as u64 * 4000) {
                break;
            }
        }
        assert!(sent >= 4 * CIRCUITS as u64, "{sent} values: two in each place on the way");
        let passing: u32 = bridge.links().iter().map(|link| link.passing).sum();
        assert_eq!(passing, 2 * CIRCUITS as u32);
        // One that is full holds up none of the others.
        let mut ticks: Sender<Tick> = board.export_with("ticks", options())?;
        let mut got = desk.remote("board").import::<Receiver<Tick>>("ticks").timeout(SOON).wait()?;
        ticks.send(common::tick(7)).timeout(SOON).wait()?;
        assert_eq!(got.recv().timeout(SOON).wait()?, common::tick(7));
        drop((senders, sink, ticks, got));
        // All of it is given back: the next round finds as much room.
        eventually("nothing passes any more", || {
            bridge.links().iter().all(|link| link.passing == 0).then_some(())
        });
    }
    Ok(())
}

#[test]
fn an_open_over_ten_hops_is_one_round_trip_of_the_way() -> Outcome {
    let _calm = calm();
    let adopt = tcp::Options::new().adopt();
    let root = Node::new("n0");
    let mut at = tcp::listen_with(&root, "127.0.0.1:0", adopt)?.address();
    let mut below = Vec::new();
    for n in 1..=10 {
        let node = Node::new(&format!("n{n}"));
        let (cable, through) = Cable::new(at);
        tcp::join(&node, through).timeout(SOON).wait()?;
        at = tcp::listen_with(&node, "127.0.0.1:0", adopt)?.address();
        below.push((node, cable));
    }
    eventually("the root knows all", || (root.nodes().len() == 10).then_some(()));
    let last = &below[9].0;
    let _ticks: Sender<Tick> = last.export("ticks")?;
    let path = (1..=10).map(|n| format!("n{n}")).collect::<Vec<_>>().join("/");
    let got = root.remote(&path).import::<Receiver<Tick>>("ticks").timeout(SOON).wait()?;
    for (n, (_, cable)) in below.iter().enumerate() {
        let [up, down] = cable.frames(|frame| match frame {
            Frame::Open(..) => Some("open"),
            Frame::Accept(..) => Some("accept"),
            Frame::Dead(..) | Frame::Data(..) => Some("else"),
            _ => None,
        });
        assert_eq!((up, down), (vec!["accept"], vec!["open"]), "hop {n}");
    }
    drop(got);
    Ok(())
}
