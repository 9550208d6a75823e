//! Two nodes over a pair of ptys: a channel each way, and a method.
#![cfg(unix)]

mod common;

use common::{Cable, Outcome, Pair, SOON, Tick, spawn, tick};
use netchan::{Client, Receiver, RecvError, Sender, Server};

#[test]
fn values_arrive_in_order_and_then_the_end() -> Outcome {
    let pair = Pair::new(Cable::new());
    let mut ticks: Sender<Tick> = pair.station.export("ticks")?;
    let board = pair.open()?;
    assert_eq!(board.info().name, "station");
    let mut got = board.import::<Receiver<Tick>>("ticks").wait()?;
    let sending = spawn(move || {
        for n in 0..3000 {
            ticks.send(tick(n)).timeout(SOON).wait().expect("the importer is there");
        }
        drop(ticks);
    });
    for n in 0..3000 {
        assert_eq!(got.recv().timeout(SOON).wait()?, tick(n));
    }
    assert_eq!(got.recv().timeout(SOON).wait(), Err(RecvError::Closed));
    sending.join();
    Ok(())
}

#[test]
fn both_directions_and_a_method() -> Outcome {
    let pair = Pair::new(Cable::new());
    let mut orders: Receiver<Tick> = pair.station.export("orders")?;
    let mut twice: Server<Tick, Tick> = pair.station.export("twice")?;
    let board = pair.open()?;
    let mut out = board.import::<Sender<Tick>>("orders").wait()?;
    let client = board.import::<Client<Tick, Tick>>("twice").wait()?;
    let serving = spawn(move || {
        for _ in 0..50 {
            let request = twice.recv().timeout(SOON).wait().expect("a call");
            let n = request.n;
            request.reply(tick(2 * n)).wait().expect("its caller waits");
        }
    });
    for n in 0..50 {
        out.send(tick(n)).timeout(SOON).wait()?;
        assert_eq!(client.call(tick(n)).timeout(SOON).wait(), Ok(tick(2 * n)));
        assert_eq!(orders.recv().timeout(SOON).wait()?, tick(n));
    }
    serving.join();
    out.drain().timeout(SOON).wait()?;
    assert_eq!(out.account().confirmed, 50);
    Ok(())
}

#[test]
fn large_messages_pass_in_parts() -> Outcome {
    let pair = Pair::new(Cable::new());
    let mut blobs: Sender<Vec<u8>> = pair.station.export("blobs")?;
    let board = pair.open()?;
    let mut got = board.import::<Receiver<Vec<u8>>>("blobs").wait()?;
    let blob: Vec<u8> = (0..60_000_u32).map(|n| (n * 7) as u8).collect();
    let sent = blob.clone();
    let sending = spawn(move || blobs.send(sent).timeout(SOON).wait().map(|()| blobs));
    assert_eq!(got.recv().timeout(SOON).wait()?, blob);
    sending.join()?;
    Ok(())
}
