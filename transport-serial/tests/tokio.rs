//! Links that tokio's tasks drive, alone and against threads, over ptys.
#![cfg(all(unix, feature = "tokio"))]

mod common;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use common::{Cable, LOADED, Pty, TRIES, Tick, options, quick, station, tick};
use netchan::proto::{Fault, LineConfig, LinkConfig};
use netchan::testing::{Faults, Port, identity};
use netchan::{
    Client, Config, Dead, Latest, LinkError, LinkEvent, Node, Peer, Reason, Receiver, RecvError, Sender,
    Server, Watch,
};
use netchan_serial::tokio as serial;
use netchan_serial::{Board, OpenError, Options};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};

type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Far beyond what any step takes: only a hang reaches it.
const NEVER: Duration = Duration::from_secs(60);

fn runtimes() -> [Runtime; 2] {
    [Builder::new_current_thread(), Builder::new_multi_thread()]
        .map(|mut builder| builder.enable_all().worker_threads(2).build().expect("a runtime starts"))
}

/// Runs a story on both kinds of runtime.
fn both<F: Future<Output = Outcome> + Send + 'static>(story: fn() -> F) -> Outcome {
    for runtime in runtimes() {
        // Spawned, which asserts that all futures are `Send`.
        let story = runtime.spawn(story());
        runtime.block_on(async { tokio::time::timeout(NEVER, story).await })???;
    }
    Ok(())
}

/// A station that serves one end of a cable, and a dashboard that has opened the other one.
struct Desk {
    cable: Cable,
    station: Node,
    dashboard: Node,
    peer: Peer,
}

async fn desk(cable: Cable, options: Options) -> Result<Desk, OpenError> {
    let station = station();
    serial::serve(&station, cable.port(1), options).await?;
    let dashboard = Node::new("dashboard");
    let peer = serial::open(&dashboard, cable.port(0)).options(options).timeout(NEVER).await?;
    Ok(Desk { cable, station, dashboard, peer })
}

/// What [`options`] make of a line.
const fn options_line() -> LineConfig {
    LineConfig::uart(1_000_000, 2, 240, 4)
}

async fn serve_twice(mut twice: Server<Tick, Tick>) {
    while let Ok(request) = twice.recv().await {
        let n = request.n;
        let _ = request.reply(tick(2 * n)).await;
    }
}

async fn next_down(node: &Node) -> LinkError {
    loop {
        match node.event().timeout(NEVER).await {
            Some(LinkEvent::Down { error, .. }) => return error,
            Some(_) => {}
            None => panic!("the link never ends"),
        }
    }
}

#[test]
fn values_go_both_ways_with_calls_and_then_the_end() -> Outcome {
    both(|| async {
        let desk = desk(Cable::new(), options()).await?;
        assert_eq!(desk.peer.info().name, "station");
        let mut up: Sender<Tick> = desk.station.export("up")?;
        let mut down: Receiver<Tick> = desk.station.export("down")?;
        tokio::spawn(serve_twice(desk.station.export("twice")?));
        let mut got = desk.peer.import::<Receiver<Tick>>("up").await?;
        let mut out = desk.peer.import::<Sender<Tick>>("down").await?;
        let client = desk.peer.import::<Client<Tick, Tick>>("twice").await?;
        let sending = tokio::spawn(async move {
            for n in 0..2000 {
                up.send(tick(n)).await.expect("the importer is there");
            }
        });
        for n in 0..2000 {
            assert_eq!(got.recv().await?, tick(n));
        }
        assert_eq!(got.recv().await, Err(RecvError::Closed));
        sending.await?;
        for n in 0..50 {
            out.send(tick(n)).await?;
            assert_eq!(client.call(tick(n)).await, Ok(tick(2 * n)));
            assert_eq!(down.recv().await?, tick(n));
        }
        out.drain().await?;
        assert_eq!(out.account().confirmed, 50);
        Ok(())
    })
}

#[test]
fn a_bad_line_delivers_everything_once_in_order_unaltered() -> Outcome {
    both(|| async {
        let faults = Faults {
            flip: 4000,
            burst: 20_000,
            lose: 10_000,
            insert: 10_000,
            duplicate: 15_000,
            truncate: 20_000,
            stall: 20_000,
            stall_us: 20_000,
            ..Faults::default()
        };
        let desk = desk(Cable::disturbed(faults, 3), options()).await?;
        let mut up: Sender<Tick> = desk.station.export("up")?;
        let mut blobs: Sender<Vec<u8>> = desk.station.export("blobs")?;
        tokio::spawn(serve_twice(desk.station.export("twice")?));
        let mut got = desk.peer.import::<Receiver<Tick>>("up").timeout(NEVER).await?;
        let mut whole = desk.peer.import::<Receiver<Vec<u8>>>("blobs").timeout(NEVER).await?;
        let client = desk.peer.import::<Client<Tick, Tick>>("twice").timeout(NEVER).await?;
        let blob = |n: u8| -> Vec<u8> { (0..3000_u32).map(|at| (at * 31) as u8 ^ n).collect() };
        let sending = tokio::spawn(async move {
            for n in 0..8 {
                blobs.send(blob(n)).await.expect("the importer is there");
                for k in 0..50 {
                    up.send(tick(u64::from(n) * 50 + k)).await.expect("the importer is there");
                }
            }
        });
        let calls = tokio::spawn(async move {
            for n in 0..30 {
                assert_eq!(client.call(tick(n)).timeout(NEVER).await, Ok(tick(2 * n)));
            }
        });
        for n in 0..8 {
            assert!(whole.recv().timeout(NEVER).await? == blob(n), "blob {n} is altered");
        }
        for n in 0..400 {
            assert_eq!(got.recv().timeout(NEVER).await?, tick(n));
        }
        sending.await?;
        calls.await?;
        assert!(desk.peer.is_up());
        let disturbed: u64 = desk.cable.line().wires.iter().map(|wire| wire.happened.faults()).sum();
        assert!(disturbed > 4, "only {disturbed} faults");
        Ok(())
    })
}

#[test]
fn threads_and_tasks_understand_each_other() -> Outcome {
    for tasks_serve in [false, true] {
        let [_, runtime] = runtimes();
        let (cable, station, dashboard) = (Cable::new(), station(), Node::new("dashboard"));
        let mut ticks: Sender<Tick> = station.export("ticks")?;
        let (served, opened) = (cable.port(1), cable.port(0));
        let peer = if tasks_serve {
            runtime.block_on(serial::serve(&station, served, options()))?;
            netchan_serial::open(&dashboard, opened).options(options()).wait()?
        } else {
            netchan_serial::serve(&station, served, options())?;
            runtime.block_on(serial::open(&dashboard, opened).options(options()).into_future())?
        };
        let mut got = peer.import::<Receiver<Tick>>("ticks").timeout(NEVER).wait()?;
        for n in 0..500 {
            ticks.send(tick(n)).timeout(NEVER).wait()?;
            assert_eq!(got.recv().timeout(NEVER).wait()?, tick(n));
        }
        assert_eq!(dashboard.shutdown(NEVER), 0);
        let why = runtime.block_on(next_down(&station));
        assert_eq!(why, LinkError::Fault(Fault::Goodbye(Reason::Shutdown)));
    }
    Ok(())
}

#[test]
fn a_node_that_closes_loses_nothing_and_says_why() -> Outcome {
    both(|| async {
        let desk = desk(Cable::new().baud(460_800), options()).await?;
        let mut orders: Receiver<Tick> = desk.station.export("orders")?;
        let mut out = desk.peer.import::<Sender<Tick>>("orders").await?;
        for n in 0..200 {
            out.send(tick(n)).await?;
        }
        drop(out);
        assert_eq!(desk.dashboard.close(NEVER).await, 0, "values were not delivered");
        for n in 0..200 {
            assert_eq!(orders.recv().timeout(NEVER).await, Ok(tick(n)));
        }
        let why = next_down(&desk.station).await;
        assert_eq!(why, LinkError::Fault(Fault::Goodbye(Reason::Shutdown)));
        Ok(())
    })
}

#[test]
fn a_goodbye_is_quick_where_the_peer_answers() -> Outcome {
    both(|| async {
        let mut took = Vec::new();
        for _ in 0..TRIES {
            let desk = desk(Cable::new(), options()).await?;
            let start = Instant::now();
            assert_eq!(desk.dashboard.close(NEVER).await, 0);
            took.push(start.elapsed());
            assert_eq!(desk.peer.down().timeout(NEVER).await.dead(), Dead::here(Reason::Shutdown));
        }
        // Without an acknowledgement, which are the other side's last words, each would be half a second and more.
        assert!(took.iter().any(|took| *took < Duration::from_millis(400)), "{took:?}");
        Ok(())
    })
}

#[test]
fn a_peer_that_breaks_the_protocol_is_told_so() -> Outcome {
    both(|| async {
        let (a, mut b) = tokio::io::duplex(4096);
        let station = station();
        let (driver, served) = serial::serve_stream(&station, a, options())?;
        let driving = tokio::spawn(driver);
        // A peer made by hand: a line with a link of its own, which then sends what no link does.
        let config = options_line();
        let link = LinkConfig::line(identity("raw", 9), &config, 4);
        let mut raw = Port::on_line(link, config, 77, netchan::proto::Instant::from_millis(1));
        let mut talk = async |raw: &mut Port, until: fn(&Port) -> bool| {
            let start = Instant::now();
            while !until(raw) {
                raw.tick(netchan::proto::Instant::from_millis(1) + start.elapsed());
                raw.control();
                let bytes = raw.transmit();
                tokio::io::AsyncWriteExt::write_all(&mut b, &bytes).await.expect("the station reads");
                let mut bytes = [0; 512];
                let read = tokio::io::AsyncReadExt::read(&mut b, &mut bytes);
                if let Ok(n) = tokio::time::timeout(Duration::from_millis(5), read).await {
                    raw.receive(&bytes[..n.expect("the station writes")], |_, _| ());
                }
            }
        };
        talk(&mut raw, |raw| raw.line.as_ref().is_some_and(|end| end.line.is_confirmed())).await;
        served.timeout(NEVER).await?;
        raw.forge_bytes(&[7]);
        talk(&mut raw, |raw| raw.fault.is_some()).await;
        assert_eq!(raw.fault, Some(Fault::Goodbye(Reason::Protocol)), "it hears why");
        assert!(matches!(driving.await?, LinkError::Fault(Fault::Frame(_))));
        Ok(())
    })
}

#[test]
fn a_broken_wire_is_noticed_within_the_dead_time_and_a_quarter() -> Outcome {
    both(|| async {
        let desk = desk(Cable::new(), options().dead_time(Duration::from_millis(400))).await?;
        let mut ticks: Sender<Tick> = desk.station.export("ticks")?;
        let mut got = desk.peer.import::<Receiver<Tick>>("ticks").await?;
        ticks.send(tick(1)).await?;
        assert_eq!(got.recv().await?, tick(1));
        desk.cable.deafen();
        let start = Instant::now();
        let told = got.recv().timeout(NEVER).await;
        let reasons =
            [Reason::Unresponsive, Reason::LinkLost].map(|reason| Err(RecvError::Dead(Dead::here(reason))));
        assert!(reasons.contains(&told), "{told:?}");
        // The dead-time and a quarter, and a loaded machine's share.
        assert!(start.elapsed() < Duration::from_millis(500) + LOADED, "{:?}", start.elapsed());
        let why = next_down(&desk.station).await;
        assert!(matches!(why, LinkError::Fault(Fault::Unresponsive | Fault::Unacknowledged)), "{why}");
        Ok(())
    })
}

#[test]
fn a_replugged_port_is_told_once_and_goes_on() -> Outcome {
    both(|| async {
        let options = options().dead_time(Duration::from_millis(400));
        let (cable, station, dashboard) = (Cable::new(), station(), Node::new("dashboard"));
        serial::serve(&station, cable.port(1), options).await?;
        let mut ticks: Sender<Tick> = station.export("ticks")?;
        let peer = serial::open(&dashboard, cable.port(0)).options(options).reconnect(quick()).await?;
        let mut got = peer.import::<Receiver<Tick>>("ticks").reopen().await?;
        let sending = tokio::spawn(async move {
            let mut n = 0;
            // Whoever goes takes along what was sent to it: the next one goes on with the next.
            while ticks.send(tick(n)).await.is_ok() {
                n += 1;
            }
        });
        let (mut last, mut told, mut in_session) = (None, 0, 0_u64);
        while told < 6 {
            match got.recv().timeout(NEVER).await {
                Ok(value) => {
                    assert!(last.is_none_or(|last| value.n > last), "{value:?} after {last:?}");
                    // Within a session none is missing.
                    assert!(in_session == 0 || Some(value.n - 1) == last, "{value:?} after {last:?}");
                    last = Some(value.n);
                    in_session += 1;
                    if in_session == 40 {
                        // Either end, in turn.
                        cable.unplug(told % 2);
                        cable.plug(told % 2);
                    }
                }
                Err(RecvError::Interrupted { taken, .. }) => {
                    assert_eq!(taken, in_session, "the account of the session");
                    (told, in_session) = (told + 1, 0);
                }
                Err(error) => panic!("{error}"),
            }
        }
        sending.abort();
        Ok(())
    })
}

#[test]
fn errors_say_what_is_wrong() -> Outcome {
    both(|| async {
        let node = Node::new("dashboard");
        let missing = serial::open(&node, "/dev/no-such-port").await;
        assert!(matches!(missing, Err(OpenError::NoPort(_))), "{missing:?}");
        let silent = Pty::new()?;
        let limit = Duration::from_millis(300);
        let start = Instant::now();
        let silence = serial::open(&node, silent.path.as_path()).timeout(limit).await;
        assert!(matches!(silence, Err(OpenError::Link(_, LinkError::Fault(Fault::NoHello)))), "{silence:?}");
        assert!(start.elapsed() >= limit);
        let desk = desk(Cable::new(), options()).await?;
        let busy = serial::open(&node, desk.cable.port(0)).await;
        assert!(matches!(busy, Err(OpenError::Busy(_))), "{busy:?}");
        assert!(desk.peer.is_up(), "its user is not disturbed");
        let among = [silent.path.clone()];
        let board = serial::open(&node, Board::named("station").among(among)).timeout(limit).await;
        assert!(matches!(board, Err(OpenError::NoBoard(_, seen)) if seen.len() == 1));
        Ok(())
    })
}

#[test]
fn a_board_is_found_by_its_name_among_other_ports() -> Outcome {
    both(|| async {
        let (silent, cable, other) = (Pty::new()?, Cable::new(), Cable::new());
        let (station, stranger, node) = (station(), Node::new("stranger"), Node::new("dashboard"));
        serial::serve(&stranger, other.port(1), options()).await?;
        serial::serve(&station, cable.port(1), options()).await?;
        let ports = [silent.path.clone(), other.port(0), cable.port(0)];
        let board = Board::named("station").among(ports);
        let peer = serial::open(&node, board).options(options()).timeout(Duration::from_millis(500)).await?;
        assert_eq!(peer.info().name, "station");
        Ok(())
    })
}

#[test]
fn a_port_is_let_go_with_its_node_or_its_service() -> Outcome {
    async fn again(node: &Node, path: &std::path::Path) -> Result<netchan_serial::Serving, OpenError> {
        loop {
            match serial::serve(node, path, options()).await {
                Err(OpenError::Busy(_)) => tokio::task::yield_now().await,
                result => return result,
            }
        }
    }
    both(|| async {
        let pty = Pty::new()?;
        let first = station();
        serial::serve(&first, &pty.path, options()).await?;
        let second = station();
        let taken = serial::serve(&second, &pty.path, options()).await;
        assert!(matches!(taken, Err(OpenError::Busy(_))), "{taken:?}");
        drop(first);
        let serving = again(&second, &pty.path).await?;
        assert_eq!(serving.path(), pty.path);
        serving.close();
        again(&station(), &pty.path).await?;
        Ok(())
    })
}

#[test]
fn any_stream_of_the_runtime_is_a_line() -> Outcome {
    both(|| async {
        let (a, b) = tokio::io::duplex(64);
        let (station, dashboard) = (station(), Node::new("dashboard"));
        let gauge: Latest<Tick> = station.export("gauge")?;
        let (driver, served) = serial::serve_stream(&station, a, options())?;
        let serving = tokio::spawn(driver);
        let (driver, opened) = serial::serve_stream(&dashboard, b, options())?;
        let driving = tokio::spawn(driver);
        let peer = opened.timeout(NEVER).await?;
        served.timeout(NEVER).await?;
        gauge.set(tick(7))?;
        let mut seen = peer.import::<Watch<Tick>>("gauge").await?;
        assert_eq!(seen.changed().timeout(NEVER).await?, tick(7));
        // A driver that is dropped takes its link down; the other side finds that its stream has ended.
        driving.abort();
        assert_eq!(peer.down().timeout(NEVER).await, LinkError::Local(Reason::LinkLost));
        let why = serving.await?;
        assert!(matches!(why, LinkError::Closed | LinkError::Io(_)), "{why}");
        Ok(())
    })
}

/// Counts how often it is asked for bytes.
struct Counted(tokio::io::DuplexStream, Arc<AtomicUsize>);

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[test]
fn a_link_at_rest_is_not_polled_for_nothing() -> Outcome {
    both(|| async {
        let (a, b) = tokio::io::duplex(64);
        let polls = Arc::new(AtomicUsize::new(0));
        let (station, dashboard) = (station(), Node::new("dashboard"));
        let (driver, _served) = serial::serve_stream(&station, Counted(a, Arc::clone(&polls)), options())?;
        tokio::spawn(driver);
        let (driver, opened) = serial::serve_stream(&dashboard, b, options())?;
        tokio::spawn(driver);
        let peer = opened.timeout(NEVER).await?;
        let before = polls.load(Ordering::Relaxed);
        // A quarter of the dead-time between signs of life, an eighth of that between ticks.
        assert_eq!(peer.down().timeout(Duration::from_secs(1)).await, LinkError::Local(Reason::Deadline));
        let polls = polls.load(Ordering::Relaxed) - before;
        assert!(polls < 150, "{polls} polls in a second of rest");
        Ok(())
    })
}

#[test]
fn a_program_that_blocks_its_runtime_is_not_dead_when_it_has_announced_that() -> Outcome {
    let options = options().dead_time(Duration::from_millis(400));
    let (cable, dashboard) = (Cable::new(), Node::new("dashboard"));
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let port = cable.port(1);
    let busy = std::thread::spawn(move || -> Outcome {
        let [runtime, _] = runtimes();
        runtime.block_on(async {
            let station = Node::with_config("station", Config::default())?;
            let mut ticks: Sender<Tick> = station.export("ticks")?;
            serial::serve(&station, port, options).await?;
            ticks.send(tick(1)).await?;
            station.quiet(Duration::from_secs(30)).timeout(NEVER).await?;
            // The link's own task does not run, until the other side has seen enough.
            wait.recv()?;
            station.quiet(Duration::ZERO).timeout(NEVER).await?;
            ticks.send(tick(2)).timeout(NEVER).await?;
            ticks.drain().timeout(NEVER).await?;
            Ok(())
        })
    });
    let opening = netchan_serial::open(&dashboard, cable.port(0)).options(options).timeout(NEVER);
    let peer = opening.wait()?;
    let mut got = peer.import::<Receiver<Tick>>("ticks").timeout(NEVER).wait()?;
    assert_eq!(got.recv().timeout(NEVER).wait()?, tick(1));
    common::eventually("it says so", || peer.is_quiet().then_some(()));
    // Four dead-times.
    assert_eq!(got.recv().timeout(Duration::from_millis(1600)).wait(), Err(RecvError::Deadline));
    assert!(peer.is_up());
    done.send(())?;
    assert_eq!(got.recv().timeout(NEVER).wait()?, tick(2));
    busy.join().expect("the thread does not panic")
}
