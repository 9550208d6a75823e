//! Many values at once, and large ones from where they lie.

use std::time::Duration;

use netchan::{Bytes, ExportOptions, Node, Receiver, Sender};
use netchan_tcp as tcp;

/// Far beyond what any step takes: only a hang reaches it.
const NEVER: Duration = Duration::from_secs(30);

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

/// Of message `n`: short ones, ones that turn by parts, and ones longer than a part.
fn block(n: usize) -> Vec<u8> {
    let len = [10, 50_000, 5_000, 200_000, 0, 66_000, 4_096, 4_097][n % 8];
    (0..len).map(|at| (n + at) as u8).collect()
}

#[test]
fn a_batch_does_not_lose_or_reorder_values_when_credit_runs_out() -> Result {
    let station = Node::new("station");
    let mut ticks: Sender<u64> = station.export("ticks")?;
    let address = tcp::listen(&station, "127.0.0.1:0")?.address();
    let node = Node::new("dashboard");
    let peer = tcp::connect(&node, address).wait()?;
    let mut taken = peer.import::<Receiver<u64>>("ticks").window(200).wait()?;
    let sending = std::thread::spawn(move || {
        let values: Vec<u64> = (0..20_000).collect();
        // Batches of every length, the empty one too.
        let mut rest = &values[..];
        for len in (0..100).cycle() {
            let (batch, others) = rest.split_at(rest.len().min(len));
            ticks.send_batch(batch).timeout(NEVER).wait().map_err(|error| error.to_string())?;
            rest = others;
            if rest.is_empty() {
                break;
            }
        }
        ticks.drain().timeout(NEVER).wait().map_err(|error| error.to_string())?;
        Ok::<_, String>(ticks.account())
    });
    for n in 0..20_000 {
        assert_eq!(taken.recv().timeout(NEVER).wait()?, n);
    }
    let account = sending.join().expect("the sender does not panic")?;
    assert_eq!((account.confirmed, account.in_doubt, account.unsent), (20_000, 0, 0));
    Ok(())
}

#[test]
fn a_batch_that_is_refused_does_not_hide_how_much_of_it_was_sent() -> Result {
    let station = Node::new("station");
    let mut wanted: Receiver<u64> = station.export("ticks")?;
    let address = tcp::listen(&station, "127.0.0.1:0")?.address();
    let node = Node::new("dashboard");
    let peer = tcp::connect(&node, address).wait()?;
    let mut ticks = peer.import::<Sender<u64>>("ticks").wait()?;
    let taking = std::thread::spawn(move || (0..10).all(|n| wanted.recv().timeout(NEVER).wait() == Ok(n)));
    // Far more than any window, so it ends only when the receiver hangs up.
    let values: Vec<u64> = (0..1_000_000).collect();
    let error = ticks.send_batch(&values).timeout(NEVER).wait().expect_err("the receiver hangs up");
    assert!(taking.join().expect("the receiver does not panic"));
    let account = ticks.account();
    assert!(error.sent() >= 10 && error.sent() < values.len(), "{error}");
    assert_eq!(account.confirmed, 10);
    assert_eq!(account.confirmed + account.in_doubt + account.unsent, error.sent() as u64, "{account:?}");
    Ok(())
}

#[test]
fn a_slice_does_not_overtake_what_was_sent_before_it() -> Result {
    const COUNT: usize = 800;
    let station = Node::new("station");
    let options = ExportOptions::default().message_limit(1 << 20);
    let mut blocks: Receiver<Bytes> = station.export_with("blocks", options)?;
    let mut others: Receiver<Bytes> = station.export("others")?;
    let address = tcp::listen(&station, "127.0.0.1:0")?.address();
    let node = Node::new("dashboard");
    let peer = tcp::connect(&node, address).wait()?;
    let mut sender = peer.import::<Sender<Bytes>>("blocks").wait()?;
    let mut beside = peer.import::<Sender<Bytes>>("others").wait()?;
    let sending = std::thread::spawn(move || {
        for n in 0..COUNT {
            let block = block(n);
            // Every way to send, one after the other, with another channel in between.
            match n % 3 {
                0 => sender.send(Bytes::from(block)).timeout(NEVER).wait(),
                _ => sender.send_slice(&block).timeout(NEVER).wait(),
            }
            .map_err(|error| error.to_string())?;
            if n % 5 == 0 {
                let other = [n as u8; 20_000];
                beside.send_slice(&other).timeout(NEVER).wait().map_err(|error| error.to_string())?;
            }
        }
        sender.drain().timeout(NEVER).wait().map_err(|error| error.to_string())
    });
    for n in 0..COUNT {
        assert_eq!(*blocks.recv().timeout(NEVER).wait()?, *block(n), "block {n}");
        if n % 5 == 0 {
            assert_eq!(*others.recv().timeout(NEVER).wait()?, [n as u8; 20_000]);
        }
    }
    sending.join().expect("the sender does not panic")?;
    Ok(())
}
