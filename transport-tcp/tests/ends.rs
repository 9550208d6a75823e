//! Every kind of end, over a real socket.

use std::future::{Future, IntoFuture};
use std::io::{Read, Write};
use std::pin::Pin;
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use netchan::{
    ByteReader, ByteWriter, CallError, Client, Duplex, ExportOptions, Fanout, ImportError, Latest, LinkEvent,
    Message, Node, Peer, Reason, Receiver, RecvError, SendCause, Sender, Server, Watch, channel, select,
};
use netchan_tcp as tcp;
use serde::{Deserialize, Serialize};

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[derive(Serialize, Deserialize, Message, Debug, PartialEq, Clone, Copy)]
struct Tick {
    n: u64,
}

#[derive(Serialize, Deserialize, Message, Debug, PartialEq)]
struct Name {
    text: String,
}

fn pair() -> Result<(Node, Node, Peer), Box<dyn std::error::Error>> {
    let a = Node::new("a");
    let listener = tcp::listen(&a, "127.0.0.1:0")?;
    let b = Node::new("b");
    let peer = tcp::connect(&b, listener.address()).wait()?;
    Ok((a, b, peer))
}

#[test]
fn a_duplex_talks_both_ways() -> Outcome {
    let (a, _b, peer) = pair()?;
    let mut server: Duplex<Tick, Name> = a.export("talk")?;
    let echo = thread::spawn(move || {
        while let Ok(tick) = server.recv().wait() {
            let sent = server.send(Name { text: tick.n.to_string() }).wait();
            if sent.is_err() || tick.n == 999 {
                return;
            }
        }
    });
    let mut client = peer.import::<Duplex<Name, Tick>>("talk").wait()?;
    for n in 0..1000 {
        client.send(Tick { n }).wait()?;
        assert_eq!(client.recv().wait()?.text, n.to_string());
    }
    echo.join().expect("the echo ends");
    assert!(client.recv().wait().is_err());
    Ok(())
}

#[test]
fn calls_are_pipelined_and_a_dropped_request_is_answered() -> Outcome {
    let (a, _b, peer) = pair()?;
    let mut server: Server<Tick, Name> = a.export("name")?;
    thread::spawn(move || {
        while let Ok(request) = server.recv().wait() {
            if request.n % 10 == 7 {
                continue;
            }
            let text = format!("n{}", request.n);
            let _ = request.reply(Name { text }).wait();
        }
    });
    let client = peer.import::<Client<Tick, Name>>("name").wait()?;
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            thread::spawn(move || {
                for n in 0..200 {
                    match client.call(Tick { n }).wait() {
                        Ok(name) => assert_eq!(name.text, format!("n{n}")),
                        Err(CallError::Dead(dead)) => {
                            assert_eq!((n % 10, dead.reason), (7, Reason::HandlerGone));
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.join().expect("the caller ends");
    }
    Ok(())
}

#[test]
fn a_late_reply_never_reaches_another_call() -> Outcome {
    let (a, _b, peer) = pair()?;
    let mut server: Server<Tick, Tick> = a.export("slow")?;
    let client = peer.import::<Client<Tick, Tick>>("slow").wait()?;
    let first = client.call(Tick { n: 1 }).timeout(Duration::from_millis(50)).wait();
    assert_eq!(first, Err(CallError::Deadline));
    let caller = thread::spawn(move || client.call(Tick { n: 2 }).wait());
    let one = server.recv().wait()?;
    let two = server.recv().wait()?;
    assert!(one.is_cancelled() && !two.is_cancelled());
    one.reply(Tick { n: 111 }).wait()?;
    two.reply(Tick { n: 222 }).wait()?;
    assert_eq!(caller.join().expect("the caller ends"), Ok(Tick { n: 222 }));
    Ok(())
}

#[test]
fn a_latest_value_is_seen_by_who_comes_late() -> Outcome {
    let (a, _b, peer) = pair()?;
    let gauge: Latest<Tick> = a.export("gauge")?;
    for n in 0..100 {
        gauge.set(Tick { n })?;
    }
    let mut watch = peer.import::<Watch<Tick>>("gauge").wait()?;
    assert_eq!(watch.changed().wait()?, Tick { n: 99 });
    for n in 100..20_000 {
        gauge.set(Tick { n })?;
    }
    let mut last = 99;
    while last != 19_999 {
        let now = watch.changed().timeout(Duration::from_secs(5)).wait()?.n;
        assert!(now > last, "{now} after {last}");
        last = now;
    }
    drop(gauge);
    assert_eq!(watch.changed().wait(), Err(RecvError::Closed));
    Ok(())
}

#[test]
fn a_latest_value_does_not_come_again_because_somebody_joins() -> Outcome {
    let (a, _b, peer) = pair()?;
    let gauge: Latest<Tick> = a.export("gauge")?;
    gauge.set(Tick { n: 1 })?;
    let mut first = peer.import::<Watch<Tick>>("gauge").wait()?;
    assert_eq!(first.changed().wait()?, Tick { n: 1 });
    let mut second = peer.import::<Watch<Tick>>("gauge").wait()?;
    assert_eq!(second.changed().wait()?, Tick { n: 1 });
    gauge.set(Tick { n: 2 })?;
    assert_eq!(first.changed().wait()?, Tick { n: 2 }, "not the first one again");
    assert_eq!(second.changed().wait()?, Tick { n: 2 });
    Ok(())
}

#[test]
fn a_node_that_leaves_does_not_forget_the_latest_value() -> Outcome {
    for _ in 0..20 {
        let (a, b, peer) = pair()?;
        let gauge: Latest<Tick> = a.export("gauge")?;
        let mut watch = peer.import::<Watch<Tick>>("gauge").wait()?;
        for n in 1..=50 {
            gauge.set(Tick { n })?;
        }
        drop((gauge, a));
        let mut last = 0;
        let end = loop {
            match watch.changed().timeout(Duration::from_secs(5)).wait() {
                Ok(Tick { n }) => last = n,
                Err(end) => break end,
            }
        };
        assert_eq!((last, end), (50, RecvError::Closed));
        drop(b);
    }
    Ok(())
}

#[test]
fn a_watch_shows_its_current_value_again_and_again() -> Outcome {
    let (a, _b, peer) = pair()?;
    let gauge: Latest<Tick> = a.export("gauge")?;
    let mut watch = peer.import::<Watch<Tick>>("gauge").wait()?;
    assert_eq!(watch.get()?, None);
    gauge.set(Tick { n: 1 })?;
    assert_eq!(watch.changed().timeout(Duration::from_secs(5)).wait()?, Tick { n: 1 });
    assert_eq!((watch.get()?, watch.get()?), (Some(Tick { n: 1 }), Some(Tick { n: 1 })));
    assert_eq!(watch.try_changed(), Err(RecvError::Empty), "it was received");
    gauge.set(Tick { n: 2 })?;
    assert_eq!(select(&mut [&mut watch]).timeout(Duration::from_secs(5)).wait()?, 0);
    assert_eq!(watch.get()?, Some(Tick { n: 2 }));
    assert_eq!(watch.try_changed()?, Tick { n: 2 }, "looking at it has not received it");
    gauge.set(Tick { n: 3 })?;
    drop(gauge);
    assert_eq!(watch.changed().timeout(Duration::from_secs(5)).wait()?, Tick { n: 3 });
    assert_eq!(watch.changed().wait(), Err(RecvError::Closed));
    assert_eq!(watch.get()?, Some(Tick { n: 3 }), "the last one stays");

    // The other way round: an exported watch, set by its importer.
    let mut level: Watch<Tick> = a.export("level")?;
    assert_eq!(level.get()?, None);
    let knob = peer.import::<Latest<Tick>>("level").wait()?;
    knob.set(Tick { n: 7 })?;
    assert_eq!(level.changed().timeout(Duration::from_secs(5)).wait()?, Tick { n: 7 });
    assert_eq!(level.get()?, Some(Tick { n: 7 }));
    Ok(())
}

#[test]
fn the_last_of_the_latest_values_comes_before_the_end() -> Outcome {
    let (a, _b, peer) = pair()?;
    for n in 0..100 {
        let gauge: Latest<Tick> = a.export("gauge")?;
        let mut watch = peer.import::<Watch<Tick>>("gauge").wait()?;
        for step in 0..=n % 5 {
            gauge.set(Tick { n: step })?;
        }
        drop(gauge);
        let mut last = None;
        while let Ok(now) = watch.changed().timeout(Duration::from_secs(5)).wait() {
            last = Some(now.n);
        }
        assert_eq!(last, Some(n % 5));
        assert_eq!(watch.changed().wait(), Err(RecvError::Closed));
    }
    Ok(())
}

#[test]
fn import_refusals_name_what_is_wrong() -> Outcome {
    let (a, _b, peer) = pair()?;
    let _ticks: Sender<Tick> = a.export("ticks")?;
    let short = Duration::from_secs(2);
    let none = peer.import::<Receiver<Tick>>("tocks").timeout(short).wait().err().map(ImportError::from);
    assert_eq!(none, Some(ImportError::NoName));
    let direction = peer.import::<Sender<Tick>>("ticks").wait().err().map(ImportError::from);
    assert_eq!(direction, Some(ImportError::WrongDirection));
    let differs = peer.import::<Receiver<Name>>("ticks").wait().err().map(ImportError::from);
    assert_eq!(differs, Some(ImportError::TypeDiffers { wanted: "Name", exported: "Tick".into() }));
    let bad = peer.import::<Receiver<Tick>>("Not A Name").wait().err().map(ImportError::from);
    assert_eq!(bad, Some(ImportError::BadName));
    Ok(())
}

#[test]
fn an_import_waits_for_its_export() -> Outcome {
    let (a, _b, peer) = pair()?;
    let importer = thread::spawn(move || {
        let mut ticks = peer.import::<Receiver<Tick>>("later").wait().map_err(|error| error.to_string())?;
        ticks.recv().wait().map_err(|error| error.to_string())
    });
    // The open has come when it waits; exporting earlier would prove less, not fail.
    let mut ticks: Sender<Tick> = a.export("later")?;
    ticks.send(Tick { n: 5 }).wait()?;
    assert_eq!(importer.join().expect("the importer ends"), Ok(Tick { n: 5 }));
    Ok(())
}

#[test]
fn fan_out_is_what_the_export_says() -> Outcome {
    let (a, _b, peer) = pair()?;
    let mut queue: Sender<Tick> = a.export("queue")?;
    let options = ExportOptions::fanout(Fanout::BroadcastWaits);
    let mut all: Sender<Tick> = a.export_with("all", options)?;
    let alone: Sender<Tick> = a.export_with("alone", ExportOptions::fanout(Fanout::Exclusive))?;
    let import = |name: &str| peer.import::<Receiver<Tick>>(name).wait().map_err(ImportError::from);
    let (mut q1, mut q2) = (import("queue")?, import("queue")?);
    let (mut a1, mut a2) = (import("all")?, import("all")?);
    let first = import("alone")?;
    assert!(matches!(import("alone"), Err(ImportError::Dead(dead)) if dead.reason == Reason::Busy));
    for n in 0..100 {
        queue.send(Tick { n }).wait()?;
        all.send(Tick { n }).wait()?;
    }
    drop((queue, all));
    let values = |receiver: &mut Receiver<Tick>| -> Result<Vec<u64>, netchan::Named<netchan::Dead>> {
        receiver.by_ref().map(|tick| tick.map(|tick| tick.n)).collect()
    };
    let mut queued = values(&mut q1)?;
    assert!(!queued.is_empty());
    queued.extend(values(&mut q2)?);
    queued.sort_unstable();
    let whole: Vec<u64> = (0..100).collect();
    assert_eq!(queued, whole);
    assert_eq!(values(&mut a1)?, whole);
    assert_eq!(values(&mut a2)?, whole);
    drop(first);
    // The next importer may come as soon as the last one has left.
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while import("alone").is_err() {
        assert!(std::time::Instant::now() < deadline, "the export stays busy");
    }
    drop(alone);
    Ok(())
}

#[test]
fn n_values_and_then_the_end() -> Outcome {
    let (a, _b, peer) = pair()?;
    let mut ticks: Sender<Tick> = a.export("ticks")?;
    let mut three = peer.import::<Receiver<Tick>>("ticks").values(3).wait()?;
    for n in 0..3 {
        ticks.send(Tick { n }).wait()?;
    }
    let got: Result<Vec<_>, _> = three.by_ref().collect();
    assert_eq!(got?, [Tick { n: 0 }, Tick { n: 1 }, Tick { n: 2 }]);
    ticks.drain().timeout(Duration::from_secs(5)).wait()?;
    assert_eq!(ticks.account().confirmed, 3);
    let error = ticks.send(Tick { n: 9 }).timeout(Duration::from_millis(20)).wait().err();
    let error = error.expect("nobody is left to take it");
    assert_eq!(error.cause(), SendCause::NoImporter);
    assert_eq!(error.into_value(), Some(Tick { n: 9 }));
    Ok(())
}

#[test]
fn drain_says_what_is_missing() -> Outcome {
    let (a, _b, peer) = pair()?;
    let mut ticks: Sender<Tick> = a.export("ticks")?;
    let mut got = peer.import::<Receiver<Tick>>("ticks").wait()?;
    for n in 0..10 {
        ticks.send(Tick { n }).wait()?;
    }
    for _ in 0..4 {
        got.recv().wait()?;
    }
    let error = ticks.drain().timeout(Duration::from_millis(100)).wait().expect_err("six are not taken");
    assert_eq!((error.account.confirmed, error.account.in_doubt, error.dead), (4, 6, None));
    let drainer = thread::spawn(move || ticks.drain().timeout(Duration::from_secs(5)).wait());
    for _ in 0..6 {
        got.recv().wait()?;
    }
    assert_eq!(drainer.join().expect("the drainer ends"), Ok(()));
    Ok(())
}

#[test]
fn select_takes_what_comes_and_starves_nobody() -> Outcome {
    let (a, _b, peer) = pair()?;
    let mut ticks: Sender<Tick> = a.export("ticks")?;
    let mut names: Sender<Name> = a.export("names")?;
    let mut t = peer.import::<Receiver<Tick>>("ticks").wait()?;
    let mut n = peer.import::<Receiver<Name>>("names").wait()?;
    for i in 0..50 {
        ticks.send(Tick { n: i }).wait()?;
        names.send(Name { text: i.to_string() }).wait()?;
    }
    let mut counts = [0, 0];
    while counts[0] + counts[1] < 100 {
        let which = select(&mut [&mut t, &mut n]).timeout(Duration::from_secs(5)).wait()?;
        match which {
            0 => assert_eq!(t.try_recv()?.n, counts[0]),
            _ => assert_eq!(n.try_recv()?.text, counts[1].to_string()),
        }
        counts[which] += 1;
    }
    assert_eq!(counts, [50, 50]);
    Ok(())
}

#[test]
fn large_messages_arrive_whole_beside_small_ones() -> Outcome {
    let (a, _b, peer) = pair()?;
    let mut big: Sender<netchan::Bytes> = a.export("big")?;
    let mut small: Sender<Tick> = a.export("small")?;
    let mut got_big = peer.import::<Receiver<netchan::Bytes>>("big").wait()?;
    let mut got_small = peer.import::<Receiver<Tick>>("small").wait()?;
    let bulk = thread::spawn(move || {
        for n in 0..200_u32 {
            let bytes: Vec<u8> = (0..60_000).map(|i| (i as u32 ^ n) as u8).collect();
            big.send(bytes.into()).wait().expect("the importer is there");
        }
    });
    let ticker = thread::spawn(move || {
        for n in 0..2000 {
            small.send(Tick { n }).wait().expect("the importer is there");
        }
    });
    let reader = thread::spawn(move || {
        for n in 0..2000 {
            assert_eq!(got_small.recv().wait(), Ok(Tick { n }));
        }
        assert_eq!(got_small.recv().wait(), Err(RecvError::Closed));
    });
    for n in 0..200_u32 {
        let bytes: Vec<u8> = got_big.recv().wait()?.into();
        assert!(bytes.len() == 60_000 && bytes.iter().enumerate().all(|(i, &b)| b == (i as u32 ^ n) as u8));
    }
    assert_eq!(got_big.recv().wait(), Err(RecvError::Closed));
    for thread in [bulk, ticker, reader] {
        thread.join().expect("the thread ends");
    }
    Ok(())
}

#[test]
fn byte_ends_are_std_io() -> Outcome {
    let (a, _b, peer) = pair()?;
    let mut out: ByteWriter = a.export("log")?;
    let mut input = peer.import::<ByteReader>("log").wait()?;
    let text: String = (0..50_000).map(|n| format!("line {n}\n")).collect();
    let sent = text.clone();
    let writer = thread::spawn(move || out.write_all(sent.as_bytes()).and_then(|()| out.flush()));
    let mut got = String::new();
    input.read_to_string(&mut got)?;
    writer.join().expect("the writer ends")?;
    assert_eq!(got, text);
    Ok(())
}

#[test]
fn a_lost_link_tells_everybody_who_waits() -> Outcome {
    let (a, b, peer) = pair()?;
    let _ticks: Sender<Tick> = a.export("ticks")?;
    let _names: Server<Tick, Tick> = a.export("call")?;
    let mut t = peer.import::<Receiver<Tick>>("ticks").wait()?;
    let client = peer.import::<Client<Tick, Tick>>("call").wait()?;
    let waits = [
        thread::spawn(move || t.recv().wait().is_err()),
        thread::spawn(move || client.call(Tick { n: 1 }).wait().is_err()),
        {
            let peer = peer.clone();
            thread::spawn(move || peer.import::<Receiver<Tick>>("never").wait().is_err())
        },
        thread::spawn(move || {
            peer.down().wait();
            true
        }),
    ];
    b.shutdown(Duration::ZERO);
    for wait in waits {
        assert!(wait.join().expect("the waiter ends"));
    }
    Ok(())
}

#[test]
fn addresses_off_this_machine_are_refused() {
    let node = Node::new("n");
    assert!(matches!(tcp::listen(&node, "0.0.0.0:0"), Err(tcp::ListenError::NotLoopback)));
    let far = tcp::connect(&node, "192.0.2.1:7000").wait();
    assert!(matches!(far, Err(tcp::ConnectError::NotLoopback)));
}

#[test]
fn a_reserved_send_does_not_wait_and_gives_room_back() -> Outcome {
    let (a, _b, peer) = pair()?;
    let mut ticks: Sender<Tick> = a.export("ticks")?;
    let nobody = ticks.reserve().timeout(Duration::from_millis(10)).wait().err();
    assert_eq!(nobody, Some(SendCause::NoImporter));
    let mut got = peer.import::<Receiver<Tick>>("ticks").wait()?;
    for n in 0..2000 {
        let _unused = ticks.reserve().wait()?;
        ticks.reserve().wait()?.send(Tick { n })?;
        if n % 100 == 99 {
            for n in n - 99..=n {
                assert_eq!(got.recv().wait()?, Tick { n });
            }
        }
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn any_reader_and_writer_make_a_link() -> Outcome {
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;

    use netchan::host::ReadWrite;

    let (a, b) = (Node::new("a"), Node::new("b"));
    let stream = |end: UnixStream| -> std::io::Result<ReadWrite> {
        let close = end.try_clone()?;
        let pair = ReadWrite::new(end.try_clone()?, end);
        Ok(pair.with_close(move || {
            let _ = close.shutdown(Shutdown::Both);
        }))
    };
    let (left, right) = UnixStream::pair()?;
    let mut ticks: Sender<Tick> = a.export("ticks")?;
    let (left, right) = (tcp::serve_stream(&a, stream(left)?), tcp::serve_stream(&b, stream(right)?));
    let peer = right.timeout(Duration::from_secs(5)).wait()?;
    left.timeout(Duration::from_secs(5)).wait()?;
    let mut got = peer.import::<Receiver<Tick>>("ticks").wait()?;
    let sender = thread::spawn(move || {
        for n in 0..5000 {
            ticks.send(Tick { n }).wait().expect("the importer is there");
        }
    });
    for n in 0..5000 {
        assert_eq!(got.recv().wait()?, Tick { n });
    }
    assert_eq!(got.recv().wait(), Err(RecvError::Closed));
    sender.join().expect("the sender ends");
    Ok(())
}

#[test]
fn links_tell_what_happens_to_them() -> Outcome {
    let (a, b, peer) = pair()?;
    let up = a.event().timeout(Duration::from_secs(5)).wait();
    assert!(matches!(up, Some(LinkEvent::Up { peer, .. }) if peer.name == "b"));
    let waiter = thread::spawn(move || a.event().timeout(Duration::from_secs(5)).wait());
    peer.close();
    let down = waiter.join().expect("the waiter ends");
    assert!(matches!(down, Some(LinkEvent::Down { .. })), "{down:?}");
    drop(b);
    Ok(())
}

#[test]
fn a_dropped_duplex_ends_in_order_and_tells_who_sends_on() -> Outcome {
    let (a, _b, peer) = pair()?;
    for round in 0..50 {
        let mut exported: Duplex<Tick, Tick> = a.export("talk")?;
        let mut imported = peer.import::<Duplex<Tick, Tick>>("talk").wait()?;
        for n in 0..10 {
            exported.send(Tick { n }).wait()?;
        }
        imported.send(Tick { n: round }).wait()?;
        assert_eq!(exported.recv().wait()?.n, round);
        drop(exported);
        for n in 0..10 {
            assert_eq!(imported.recv().wait()?.n, n);
        }
        assert_eq!(imported.recv().wait(), Err(RecvError::Closed));
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while imported.send(Tick { n: 0 }).wait().is_ok() {
            assert!(std::time::Instant::now() < deadline, "nobody says that nobody listens");
        }
    }
    Ok(())
}

/// An operation that was dropped half-way kept the ends in its message open for ever.
#[test]
fn an_end_in_a_message_that_is_not_sent_after_all_ends() -> Outcome {
    let (a, _b, peer) = pair()?;
    let _sink: Receiver<Tick> = a.export("sink")?;
    let _ends: Receiver<Sender<Tick>> = a.export("ends")?;
    let left = || {
        let is_left = |event: &LinkEvent| matches!(event, LinkEvent::Left { export, .. } if export == "sink");
        while !is_left(&a.event().timeout(Duration::from_secs(10)).wait().expect("it leaves")) {}
    };
    let half_way = |operation: &mut (dyn Future<Output = ()> + Unpin)| {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(operation).poll(&mut cx).is_pending());
    };

    // A post to a name that is not there yet.
    let end = peer.import::<Sender<Tick>>("sink").wait()?;
    let post = peer.post("later", end).into_future();
    let mut post = Box::pin(async move { drop(post.await) });
    half_way(&mut post);
    drop(post);
    left();

    // A value for which there is no room.
    let mut ends = peer.import::<Sender<Sender<Tick>>>("ends").wait()?;
    while ends.try_send(channel(1).0).is_ok() {}
    let end = peer.import::<Sender<Tick>>("sink").wait()?;
    let mut send = Box::pin(async { drop(ends.send(end).await) });
    half_way(&mut send);
    drop(send);
    left();
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_link_that_stalls_shows_what_waits() -> Outcome {
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use netchan::Bytes;
    use netchan::host::ReadWrite;

    /// Takes nothing while somebody holds the gate.
    struct Gated {
        to: UnixStream,
        gate: Arc<Mutex<()>>,
        /// Writes that have begun and are not over.
        begun: Arc<AtomicUsize>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.begun.fetch_add(1, Ordering::SeqCst);
            let _open = self.gate.lock().expect("nobody panics");
            self.begun.fetch_sub(1, Ordering::SeqCst);
            self.to.write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let eventually = |look: &dyn Fn() -> bool| {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while !look() {
            assert!(std::time::Instant::now() < deadline, "never");
            thread::park_timeout(Duration::from_millis(1));
        }
    };
    let (a, b) = (Node::new("a"), Node::new("b"));
    let (left, right) = UnixStream::pair()?;
    let (gate, begun) = (Arc::new(Mutex::new(())), Arc::new(AtomicUsize::new(0)));
    let gated = Gated { to: left.try_clone()?, gate: Arc::clone(&gate), begun: Arc::clone(&begun) };
    let left = tcp::serve_stream(&a, ReadWrite::new(left, gated));
    let peer = tcp::serve_stream(&b, ReadWrite::new(right.try_clone()?, right))
        .timeout(Duration::from_secs(5))
        .wait()?;
    left.timeout(Duration::from_secs(5)).wait()?;
    let short: Sender<Bytes> = a.export("short")?;
    let long: Sender<Bytes> = a.export("long")?;
    let mut got_short = peer.import::<Receiver<Bytes>>("short").wait()?;
    let mut got_long = peer.import::<Receiver<Bytes>>("long").message_limit(500_000).wait()?;
    let waiting = || a.links()[0].waiting;
    eventually(&|| waiting() == 0);

    let held = gate.lock().expect("nobody panics");
    short.try_send(vec![1; 1_000].into())?;
    eventually(&|| begun.load(Ordering::SeqCst) == 1);
    assert!(waiting() >= 1_000, "{} with a write that is stuck", waiting());
    long.try_send(vec![2; 400_000].into())?;
    assert!((401_000..402_000).contains(&waiting()), "{} with a long message behind it", waiting());
    drop(held);
    assert_eq!(got_short.recv().wait()?.len(), 1_000);
    assert_eq!(got_long.recv().wait()?.len(), 400_000);
    eventually(&|| waiting() == 0);
    Ok(())
}
