//! The last records of a node that is told to end from above. A log is a channel like any other, so it is there as
//! long as anything is: the node takes records while those below it end, and says goodbye behind all that it has sent.

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::raw::Raw;
use common::{Outcome, SOON, calm, eventually, spawn};
use netchan::host::Visibility;
use netchan::{Account, Dead, ExportOptions, Node, Reason, Receiver, RecvError, SendCause, Sender};
use netchan_tcp as tcp;

fn adopts(node: &Node) -> Result<std::net::SocketAddr, Box<dyn std::error::Error>> {
    Ok(tcp::listen_with(node, "127.0.0.1:0", tcp::Options::new().adopt())?.address())
}

#[test]
fn records_are_taken_until_all_else_has_ended_and_none_is_lost() -> Outcome {
    const GRACE: Duration = Duration::from_secs(2);
    const LARGE: usize = 4 << 20;
    let _calm = calm();
    let hub = Node::new("hub");
    let hub_at = adopts(&hub)?;
    let node = Node::new("node");
    tcp::join(&node, hub_at).wait()?;
    // One that does not end when it is told to, so that the node has to give it its time.
    let (_stubborn, _) = Raw::child(adopts(&node)?);
    eventually("the hub knows both", || (hub.nodes().len() == 2).then_some(()));

    let options = || ExportOptions::default().visible_to(Visibility::Tree);
    let mut log: Sender<String> = node.export_with("log", options())?;
    let large: Sender<Vec<u8>> = node.export_with("large", options())?;
    let mut records = hub.remote("node").import::<Receiver<String>>("log").wait()?;
    let larges = hub.remote("node").import::<Receiver<Vec<u8>>>("large").message_limit(LARGE as u32 + 8);
    let mut larges = larges.wait()?;
    let writer = spawn(move || {
        let mut written = 0_u64;
        loop {
            match log.send(format!("record {written}")).timeout(SOON).wait() {
                Ok(()) => written += 1,
                Err(error) => return (written, error.cause(), log.account()),
            }
            thread::park_timeout(Duration::from_millis(1));
        }
    });
    let mut next = 0_u64;
    let mut read = |records: &mut Receiver<String>| {
        let record = records.recv().timeout(SOON).wait()?;
        assert_eq!(record, format!("record {next}"));
        next += 1;
        Ok::<_, RecvError>(next)
    };
    while read(&mut records)? < 20 {}

    large.try_send(vec![7; LARGE])?;
    hub.shut_down_below(GRACE);
    assert_eq!(larges.recv().timeout(SOON).wait()?.len(), LARGE);
    let shutdown = Dead::peer(Reason::Shutdown);
    assert_eq!(larges.recv().timeout(SOON).wait(), Err(RecvError::Dead(shutdown)));
    let mut since = 0;
    let end = loop {
        match read(&mut records) {
            Ok(_) => since += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(end, RecvError::Dead(shutdown));
    // Half of the time is for those below, and records were written all that long.
    assert!(since > 20, "only {since} records came after the shutdown had begun");
    let (written, cause, Account { unsent, .. }) = writer.join();
    assert!(matches!(cause, SendCause::Dead(dead) if dead.reason == Reason::Shutdown), "{cause:?}");
    assert_eq!((next, unsent), (written, 0), "all that was written has come");
    Ok(())
}

/// A node two hops below the hub, whose log has filled all the room on its way to the hub's program, which has taken nothing
/// yet.
struct Full {
    hub: Node,
    bridge: Node,
    node: Node,
    log: Sender<String>,
    written: u64,
    records: Receiver<String>,
}

fn full() -> Result<Full, Box<dyn std::error::Error>> {
    let hub = Node::new("hub");
    let hub_at = adopts(&hub)?;
    let bridge = Node::new("bridge");
    tcp::join(&bridge, hub_at).wait()?;
    let node = Node::new("node");
    tcp::join(&node, adopts(&bridge)?).wait()?;
    eventually("the hub knows both", || (hub.nodes().len() == 2).then_some(()));
    let options = ExportOptions::default().visible_to(Visibility::Tree);
    let mut log: Sender<String> = node.export_with("log", options)?;
    let records = hub.remote("bridge/node").import::<Receiver<String>>("log").wait()?;
    let mut written = 0;
    while log.send(format!("record {written}")).timeout(Duration::from_millis(200)).wait().is_ok() {
        written += 1;
    }
    Ok(Full { hub, bridge, node, log, written, records })
}

#[test]
fn records_that_wait_in_a_bridge_are_taken_before_their_node_ends() -> Outcome {
    let _calm = calm();
    let Full { hub, bridge, node, log, written, mut records } = full()?;
    hub.shut_down_below(3 * SOON);
    for n in 0..written {
        assert_eq!(records.recv().timeout(SOON).wait()?, format!("record {n}"));
    }
    let end = records.recv().timeout(SOON).wait();
    assert!(matches!(end, Err(RecvError::Dead(dead)) if dead.reason == Reason::Shutdown), "{end:?}");
    // As soon as there is nothing to wait for: this is far less than the time that was given.
    eventually("all have ended", || (bridge.is_shut() && node.is_shut()).then_some(()));
    let Account { confirmed, in_doubt, unsent, .. } = log.account();
    assert_eq!((confirmed, in_doubt, unsent), (written, 0, 0));
    Ok(())
}

#[test]
fn records_that_nobody_takes_keep_no_node_from_ending_in_its_time() -> Outcome {
    const GRACE: Duration = Duration::from_secs(4);
    let _calm = calm();
    let Full { hub, bridge, node, log, written, records } = full()?;
    let since = Instant::now();
    hub.shut_down_below(GRACE);
    eventually("all have ended", || (bridge.is_shut() && node.is_shut()).then_some(()));
    eventually("the hub is alone", || hub.nodes().is_empty().then_some(()));
    // A quarter is for the records: the node has half of the bridge's time, and they have half of that.
    assert!(since.elapsed() < GRACE, "after {:?}", since.elapsed());
    let Account { confirmed, in_doubt, unsent, .. } = log.account();
    assert_eq!((confirmed, in_doubt + unsent), (0, written), "none was taken, and that is told");
    drop(records);
    Ok(())
}
