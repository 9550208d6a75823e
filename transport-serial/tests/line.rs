//! What a bad line does: bytes are flipped, lost, doubled and invented, and nobody notices; or
//! somebody does, and is told what it was.
#![cfg(unix)]
#![expect(clippy::print_stdout, reason = "figures, for who wants them")]

mod common;

use std::time::{Duration, Instant};

use common::{
    Cable, LOADED, Outcome, Pair, SOON, TRIES, Task, Tick, eventually, next_down, options, spawn, tick,
};
use netchan::proto::Fault;
use netchan::testing::Faults;
use netchan::{
    CallError, Client, Dead, Latest, LinkError, Reason, Receiver, RecvError, SendCause, Sender, Server, Watch,
};

/// A line on which one long packet in seven is damaged, in all ways.
fn bad() -> Faults {
    Faults {
        flip: 4000,
        burst: 20_000,
        lose: 10_000,
        insert: 10_000,
        duplicate: 15_000,
        truncate: 20_000,
        stall: 20_000,
        stall_us: 20_000,
        ..Faults::default()
    }
}

/// Answers with the double of what it is asked.
fn serve_twice(mut twice: Server<Tick, Tick>) -> Task<()> {
    spawn(move || {
        while let Ok(request) = twice.recv().timeout(SOON).wait() {
            let n = request.n;
            let _ = request.reply(tick(2 * n)).wait();
        }
    })
}

#[test]
fn a_bad_line_delivers_everything_once_in_order_unaltered() -> Outcome {
    let rounds = if std::env::var_os("NETCHAN_LONG").is_some() { 100 } else { 4 };
    for seed in 1..=rounds {
        // Long packets are damaged more often, short ones are more.
        let options = options().packet(if seed % 2 == 0 { 240 } else { 64 });
        let pair = Pair::with(Cable::disturbed(bad(), seed), options);
        let mut up: Sender<Tick> = pair.station.export("up")?;
        let mut down: Receiver<Tick> = pair.station.export("down")?;
        let mut blobs: Sender<Vec<u8>> = pair.station.export("blobs")?;
        let serving = serve_twice(pair.station.export("twice")?);
        let board = pair.open()?;
        let mut got = board.import::<Receiver<Tick>>("up").timeout(SOON).wait()?;
        let mut out = board.import::<Sender<Tick>>("down").timeout(SOON).wait()?;
        let mut whole = board.import::<Receiver<Vec<u8>>>("blobs").timeout(SOON).wait()?;
        let client = board.import::<Client<Tick, Tick>>("twice").timeout(SOON).wait()?;

        let blob = |n: u8| -> Vec<u8> { (0..3000_u32).map(|at| (at * 31) as u8 ^ n).collect() };
        let sends = [
            spawn(move || {
                (0..300).try_for_each(|n| up.send(tick(n)).timeout(SOON).wait().map_err(|e| e.cause()))
            }),
            spawn(move || {
                (0..300).try_for_each(|n| out.send(tick(n)).timeout(SOON).wait().map_err(|e| e.cause()))
            }),
            spawn(move || {
                (0..4).try_for_each(|n| blobs.send(blob(n)).timeout(SOON).wait().map_err(|e| e.cause()))
            }),
        ];
        let calls =
            spawn(move || (0..30).map(|n| client.call(tick(n)).timeout(SOON).wait()).collect::<Vec<_>>());
        let taken = spawn(move || (0..300).map(|_| down.recv().timeout(SOON).wait()).collect::<Vec<_>>());
        for n in 0..300 {
            assert_eq!(got.recv().timeout(SOON).wait(), Ok(tick(n)), "seed {seed}");
        }
        for n in 0..4 {
            assert!(whole.recv().timeout(SOON).wait()? == blob(n), "seed {seed}: blob {n} is altered");
        }
        assert!(taken.join().into_iter().eq((0..300).map(|n| Ok(tick(n)))), "seed {seed}");
        assert!(calls.join().into_iter().eq((0..30).map(|n| Ok(tick(2 * n)))), "seed {seed}");
        for sent in sends {
            assert_eq!(sent.join(), Ok(()), "seed {seed}");
        }
        assert!(board.is_up());
        let disturbed: u64 = pair.cable.line().wires.iter().map(|wire| wire.happened.faults()).sum();
        assert!(disturbed > 4, "seed {seed}: only {disturbed} faults");
        drop(pair.station);
        serving.join();
    }
    Ok(())
}

#[test]
fn text_of_a_boot_loader_before_and_during_a_session_does_no_harm() -> Outcome {
    let pair = Pair::new(Cable::disturbed(Faults { insert: 300, ..Faults::default() }, 7));
    let text = b"\r\nU-Boot SPL 2024.01 (Jan 01 2024)\r\nHit any key to stop autoboot:  0\r\nAT+CGMM\r\n";
    let mut ticks: Sender<Tick> = pair.station.export("ticks")?;
    for wire in &mut pair.cable.line().wires {
        wire.push(netchan::proto::Instant::ZERO, text);
    }
    let board = pair.open()?;
    let mut got = board.import::<Receiver<Tick>>("ticks").timeout(SOON).wait()?;
    for n in 0..50 {
        pair.cable.line().wires[(n % 2) as usize].push(netchan::proto::Instant::ZERO, text);
        ticks.send(tick(n)).timeout(SOON).wait()?;
        assert_eq!(got.recv().timeout(SOON).wait(), Ok(tick(n)));
    }
    Ok(())
}

#[test]
fn a_line_that_stands_still_holds_its_sender_back() -> Outcome {
    let pair = Pair::new(Cable::new());
    let mut readings: Receiver<String> = pair.station.export("readings")?;
    let board = pair.open()?;
    let mut out = board.import::<Sender<String>>("readings").wait()?;
    let reading = "x".repeat(100);
    // As many as make the window of credit wide.
    for _ in 0..2000 {
        out.send(reading.clone()).timeout(SOON).wait()?;
        readings.recv().timeout(SOON).wait()?;
    }
    pair.cable.deafen();
    let mut accepted = 0;
    let refused = loop {
        match out.send(reading.clone()).timeout(Duration::from_millis(300)).wait() {
            Ok(()) => accepted += 1,
            Err(error) => break error.cause(),
        }
        assert!(accepted < 1000, "nothing holds it back");
    };
    assert_eq!(refused, SendCause::Deadline);
    // A window of four packets with two readings each, and a little more than that behind it.
    assert!(accepted <= 20, "{accepted} readings wait in front of a line that takes none");
    pair.cable.heal();
    for _ in 0..accepted {
        readings.recv().timeout(SOON).wait()?;
    }
    Ok(())
}

#[test]
fn a_call_does_not_wait_for_a_bulk_transfer_that_goes_on() -> Outcome {
    let pair = Pair::with(Cable::new().baud(115_200), options().baud(115_200));
    let mut blobs: Receiver<Vec<u8>> = pair.station.export("blobs")?;
    let serving = serve_twice(pair.station.export("twice")?);
    let board = pair.open()?;
    let mut out = board.import::<Sender<Vec<u8>>>("blobs").wait()?;
    let client = board.import::<Client<Tick, Tick>>("twice").wait()?;
    assert_eq!(client.call(tick(1)).timeout(SOON).wait(), Ok(tick(2)));
    // Three seconds of the line.
    out.send(vec![7; 33_000]).timeout(SOON).wait()?;
    let start = Instant::now();
    let mut took = Vec::new();
    for n in 0..10 {
        let start = Instant::now();
        assert_eq!(client.call(tick(n)).timeout(SOON).wait(), Ok(tick(2 * n)));
        took.push(start.elapsed());
    }
    let all = start.elapsed();
    assert_eq!(blobs.try_recv(), Err(RecvError::Empty), "it was to be under way still, after {all:?}");
    // The window of four packets takes 87 ms, and one packet waits behind it.
    assert!(took.iter().all(|took| *took < Duration::from_millis(300)), "calls took {took:?}");
    assert_eq!(blobs.recv().timeout(SOON).wait()?.len(), 33_000);
    drop(pair.station);
    serving.join();
    Ok(())
}

#[test]
fn most_of_what_a_line_carries_is_messages() -> Outcome {
    let pair = Pair::with(Cable::new().baud(115_200), options().baud(115_200));
    let mut lines: Receiver<String> = pair.station.export("lines")?;
    let board = pair.open()?;
    let mut out = board.import::<Sender<String>>("lines").wait()?;
    let text = "x".repeat(127);
    let sending = spawn(move || while out.send(text.clone()).timeout(SOON).wait().is_ok() {});
    // The line is full when the first ones have come.
    for _ in 0..20 {
        lines.recv().timeout(SOON).wait()?;
    }
    // A machine that does other work has more than one try.
    let mut shares = Vec::new();
    while shares.len() < 5 && shares.iter().all(|share| *share <= 0.85) {
        let start = Instant::now();
        for _ in 0..180 {
            lines.recv().timeout(SOON).wait()?;
        }
        shares.push(180.0 * 128.0 / (start.elapsed().as_secs_f64() * 11_520.0));
    }
    println!("{shares:.3?} of the line are messages");
    assert!(shares.iter().any(|share| *share > 0.85), "{shares:?}");
    drop(lines);
    sending.join();
    Ok(())
}

#[test]
fn what_was_sent_is_delivered_before_a_node_leaves_also_on_a_bad_line() -> Outcome {
    let pair = Pair::new(Cable::disturbed(bad(), 11).baud(460_800));
    let mut orders: Receiver<Tick> = pair.station.export("orders")?;
    let board = pair.open()?;
    let mut out = board.import::<Sender<Tick>>("orders").timeout(SOON).wait()?;
    for n in 0..200 {
        out.send(tick(n)).timeout(SOON).wait()?;
    }
    drop((out, board));
    assert_eq!(pair.dashboard.shutdown(SOON), 0, "values were not delivered");
    for n in 0..200 {
        assert_eq!(orders.recv().timeout(SOON).wait(), Ok(tick(n)));
    }
    assert_eq!(next_down(&pair.station), LinkError::Fault(Fault::Goodbye(Reason::Shutdown)));
    Ok(())
}

#[test]
fn a_goodbye_is_quick_where_the_peer_answers() -> Outcome {
    let mut took = Vec::new();
    for _ in 0..TRIES {
        let pair = Pair::new(Cable::new());
        let board = pair.open()?;
        let start = Instant::now();
        assert_eq!(pair.dashboard.shutdown(SOON), 0);
        took.push(start.elapsed());
        assert_eq!(board.down().timeout(SOON).wait().dead(), Dead::here(Reason::Shutdown));
        assert_eq!(next_down(&pair.station), LinkError::Fault(Fault::Goodbye(Reason::Shutdown)));
    }
    // Without an acknowledgement each would be half a second and more.
    assert!(took.iter().any(|took| *took < Duration::from_millis(400)), "{took:?}");
    Ok(())
}

/// With a dead-time for tests.
fn impatient() -> Pair {
    let options = options().dead_time(Duration::from_millis(400));
    Pair::with(Cable::new(), options)
}

#[test]
fn a_broken_wire_is_noticed_within_the_dead_time_and_a_quarter() -> Outcome {
    let pair = impatient();
    let mut ticks: Sender<Tick> = pair.station.export("ticks")?;
    let board = pair.open()?;
    let mut got = board.import::<Receiver<Tick>>("ticks").wait()?;
    ticks.send(tick(1)).wait()?;
    assert_eq!(got.recv().timeout(SOON).wait()?, tick(1));
    pair.cable.deafen();
    let start = Instant::now();
    let told = got.recv().timeout(SOON).wait();
    // Credit that was on its way may be what is missed first.
    let reasons =
        [Reason::Unresponsive, Reason::LinkLost].map(|reason| Err(RecvError::Dead(Dead::here(reason))));
    assert!(reasons.contains(&told), "{told:?}");
    let took = start.elapsed();
    assert!(took < Duration::from_millis(500) + LOADED, "{took:?}");
    assert!(matches!(
        next_down(&pair.station),
        LinkError::Fault(Fault::Unresponsive | Fault::Unacknowledged)
    ));
    Ok(())
}

#[test]
fn a_wire_that_breaks_in_one_direction_is_noticed_by_both() -> Outcome {
    let pair = impatient();
    let mut ticks: Sender<Tick> = pair.station.export("ticks")?;
    let board = pair.open()?;
    let mut got = board.import::<Receiver<Tick>>("ticks").wait()?;
    ticks.send(tick(1)).wait()?;
    assert_eq!(got.recv().timeout(SOON).wait()?, tick(1));
    pair.cable.line().wires[0].deaf_until = netchan::proto::Instant::NEVER;
    assert!(matches!(got.recv().timeout(SOON).wait(), Err(RecvError::Dead(_))));
    let error = next_down(&pair.station);
    assert!(matches!(error, LinkError::Fault(Fault::Unresponsive | Fault::Unacknowledged)), "{error}");
    Ok(())
}

#[test]
fn a_stall_shorter_than_the_dead_time_is_not_noticed() -> Outcome {
    let pair = Pair::new(Cable::new());
    let mut ticks: Sender<Tick> = pair.station.export("ticks")?;
    let board = pair.open()?;
    let mut got = board.import::<Receiver<Tick>>("ticks").wait()?;
    for round in 0..3 {
        let until = netchan::proto::Instant::ZERO + pair.cable.passed() + Duration::from_millis(300);
        for wire in &mut pair.cable.line().wires {
            wire.stalled_until = until;
        }
        ticks.send(tick(round)).timeout(SOON).wait()?;
        assert_eq!(got.recv().timeout(SOON).wait(), Ok(tick(round)));
    }
    assert!(board.is_up());
    Ok(())
}

#[test]
fn a_silence_that_was_announced_is_no_death_and_a_longer_one_is() -> Outcome {
    let pair = Pair::with(Cable::disturbed(bad(), 31), options().dead_time(Duration::from_millis(400)));
    let mut ticks: Sender<Tick> = pair.station.export("ticks")?;
    let serving = serve_twice(pair.station.export("twice")?);
    let board = pair.open()?;
    let mut got = board.import::<Receiver<Tick>>("ticks").timeout(SOON).wait()?;
    let client = board.import::<Client<Tick, Tick>>("twice").timeout(SOON).wait()?;
    ticks.send(tick(1)).timeout(SOON).wait()?;
    assert_eq!(got.recv().timeout(SOON).wait()?, tick(1));
    pair.station.quiet(Duration::from_secs(3)).timeout(SOON).wait()?;
    let start = Instant::now();
    assert!(board.is_quiet());
    // Neither hears the other any more: as if the station's program stood still, and its port with it.
    pair.cable.deafen();
    assert_eq!(client.call(tick(2)).timeout(Duration::from_millis(1200)).wait(), Err(CallError::Deadline));
    assert!(board.is_up() && board.is_quiet(), "three dead-times have passed, as announced");
    for wire in &mut pair.cable.line().wires {
        wire.deaf_until = netchan::proto::Instant::ZERO;
    }
    pair.station.quiet(Duration::ZERO).timeout(SOON).wait()?;
    assert_eq!(client.call(tick(3)).timeout(SOON).wait(), Ok(tick(6)));
    ticks.send(tick(4)).timeout(SOON).wait()?;
    assert_eq!(got.recv().timeout(SOON).wait()?, tick(4));
    assert!(!board.is_quiet() && start.elapsed() < SOON);

    pair.station.quiet(Duration::from_millis(300)).timeout(SOON).wait()?;
    let start = Instant::now();
    pair.cable.deafen();
    assert!(matches!(got.recv().timeout(SOON).wait(), Err(RecvError::Dead(_))));
    let took = start.elapsed();
    // What was announced, the dead-time and a quarter, and a loaded machine's share.
    assert!(
        took > Duration::from_millis(550) && took < Duration::from_millis(300 + 500) + LOADED,
        "{took:?}"
    );
    drop(pair.station);
    serving.join();
    Ok(())
}

#[test]
fn the_newest_value_gets_through_a_bad_line() -> Outcome {
    let pair = Pair::new(Cable::disturbed(bad(), 23));
    let gauge: Latest<Tick> = pair.station.export("gauge")?;
    let board = pair.open()?;
    let mut seen = board.import::<Watch<Tick>>("gauge").timeout(SOON).wait()?;
    for n in 1..=500 {
        gauge.set(tick(n))?;
    }
    let mut last = 0;
    while last < 500 {
        let now = seen.changed().timeout(SOON).wait()?.n;
        assert!(now > last, "{now} after {last}");
        last = now;
    }
    eventually("it has been taken", || seen.try_changed().is_err().then_some(()));
    Ok(())
}
