//! Two nodes over a pair of ptys: a channel each way, and a method.
#![cfg(unix)]

mod common;

use std::io::Read;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use common::{Cable, Outcome, Pair, SOON, Tick, options, spawn, tick};
use netchan::host::ReadWrite;
use netchan::testing::Rng;
use netchan::{Client, Node, Receiver, RecvError, Sender, Server};
use netchan_serial as serial;

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

#[test]
fn any_reader_and_writer_that_loses_bytes_is_a_line() -> Outcome {
    let (a, b) = UnixStream::pair()?;
    let (station, dashboard) = (Node::new("station"), Node::new("dashboard"));
    let mut ticks: Sender<Tick> = station.export("ticks")?;
    let line = |node: &Node, stream: UnixStream| -> Result<_, std::io::Error> {
        let (reader, writer) = (Lossy(stream.try_clone()?, Rng::new(9)), stream.try_clone()?);
        let stream = ReadWrite::new(reader, writer).with_close(move || {
            let _ = stream.shutdown(Shutdown::Both);
        });
        Ok(serial::serve_stream(node, stream, options()))
    };
    let (served, opened) = (line(&station, a)?, line(&dashboard, b)?);
    let board = opened.timeout(SOON).wait()?;
    served.timeout(SOON).wait()?;
    let mut got = board.import::<Receiver<Tick>>("ticks").timeout(SOON).wait()?;
    for n in 0..500 {
        ticks.send(tick(n)).timeout(SOON).wait()?;
        assert_eq!(got.recv().timeout(SOON).wait()?, tick(n));
    }
    dashboard.shutdown(SOON);
    let why = common::next_down(&station);
    assert_eq!(why.dead().reason, netchan::Reason::Shutdown, "{why}");
    Ok(())
}

/// Loses a byte now and then.
struct Lossy(UnixStream, Rng);

impl Read for Lossy {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let n = self.0.read(into)?;
            if n == 0 {
                return Ok(0);
            }
            let mut kept = 0;
            for at in 0..n {
                if !self.1.one_in(500) {
                    into[kept] = into[at];
                    kept += 1;
                }
            }
            // None at all would be the end.
            if kept > 0 {
                return Ok(kept);
            }
        }
    }
}
