//! Links that are made again, and ends that go on over them.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use common::{Outcome, SOON, Tick, spawn, tick};
use netchan::{
    Config, Dead, Duplex, ImportError, Latest, Node, Peer, Reason, Receiver, Reconnect, RecvError, SendCause,
    Sender, Watch, select,
};
use netchan_tcp as tcp;

/// Stands between two nodes, and can be cut.
struct Wire {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    came: mpsc::Receiver<()>,
}

struct State {
    /// Where connections lead; `None` refuses them.
    target: Option<SocketAddr>,
    live: Vec<TcpStream>,
}

impl Wire {
    fn new(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(Mutex::new(State { target: Some(target), live: Vec::new() }));
        let (own, (tell, came)) = (Arc::clone(&state), mpsc::channel());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let near = stream.expect("a connection");
                let _ = tell.send(());
                let mut state = own.lock().expect("nobody panics here");
                let Some(far) = state.target.and_then(|target| TcpStream::connect(target).ok()) else {
                    continue;
                };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                    from.set_nodelay(true).expect("a socket");
                    thread::spawn(move || copy(from, to));
                }
                state.live.extend([near, far]);
            }
        });
        Self { address, state, came }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics here")
    }

    fn lead_to(&self, target: Option<SocketAddr>) {
        self.lock().target = target;
    }

    /// Ends what stands.
    fn cut(&self) {
        for stream in self.lock().live.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = [0; 4096];
    while let Ok(n) = from.read(&mut bytes)
        && n > 0
        && to.write_all(&bytes[..n]).is_ok()
    {}
    let _ = to.shutdown(Shutdown::Both);
}

/// Quick, for tests.
fn quick() -> Reconnect {
    Reconnect::new().pauses(Duration::from_millis(5), Duration::from_millis(20)).give_up_after(SOON)
}

struct Ground {
    exporter: Node,
    listens: SocketAddr,
    wire: Wire,
    _importer: Node,
    peer: Peer,
}

fn ground(how: Reconnect) -> Result<Ground, Box<dyn std::error::Error>> {
    // An exporter that is left shows no patience: nothing here is to be waited for.
    let exporter = Node::with_config("station", Config::default().linger(Duration::ZERO))?;
    let listens = tcp::listen(&exporter, "127.0.0.1:0")?.address();
    let wire = Wire::new(listens);
    let importer = Node::new("dashboard");
    let peer = tcp::connect(&importer, wire.address).reconnect(how).wait()?;
    wire.came.recv_timeout(SOON)?;
    Ok(Ground { exporter, listens, wire, _importer: importer, peer })
}

#[test]
fn a_receiver_tells_of_an_interruption_once_and_goes_on() -> Outcome {
    let ground = ground(quick())?;
    let mut out: Sender<Tick> = ground.exporter.export("ticks")?;
    let mut ticks = ground.peer.import::<Receiver<Tick>>("ticks").reopen().wait()?;
    for round in 0..3 {
        // A receive opens the channel again: the sender waits for that.
        let sending = spawn(move || {
            let sent = (0..4).try_for_each(|n| out.send(tick(n)).timeout(SOON).wait());
            let drained = out.drain().timeout(SOON).wait();
            (sent.map_err(|error| error.cause()), drained, out)
        });
        for n in 0..4 {
            assert_eq!(ticks.recv().timeout(SOON).wait()?, tick(n));
        }
        assert_eq!(ticks.try_recv(), Err(RecvError::Empty));
        let (sent, drained, back) = sending.join();
        sent?;
        drained?;
        out = back;
        ground.wire.cut();
        let told = ticks.recv().timeout(SOON).wait();
        let dead = Dead::here(Reason::LinkLost);
        assert_eq!(told, Err(RecvError::Interrupted { dead, taken: 4 }), "round {round}");
        common::eventually("the exporter notices it too", || (out.importers() == 0).then_some(()));
    }
    assert!(matches!(ticks.try_recv(), Err(RecvError::Empty)));
    let receiving = spawn(move || (ticks.recv().timeout(SOON).wait(), ticks));
    out.send(tick(9)).timeout(SOON).wait()?;
    let (value, mut ticks) = receiving.join();
    assert_eq!(value, Ok(tick(9)));
    drop(out);
    assert_eq!(ticks.recv().timeout(SOON).wait(), Err(RecvError::Closed));
    ground.wire.cut();
    assert_eq!(ticks.recv().timeout(SOON).wait(), Err(RecvError::Closed), "an end is an end");
    Ok(())
}

#[test]
fn what_has_come_before_a_loss_is_received_before_it_is_told() -> Outcome {
    let ground = ground(quick())?;
    let mut out: Sender<Tick> = ground.exporter.export("ticks")?;
    let mut ticks = ground.peer.import::<Receiver<Tick>>("ticks").reopen().wait()?;
    for n in 0..10 {
        out.send(tick(n)).timeout(SOON).wait()?;
    }
    assert_eq!(ticks.recv().timeout(SOON).wait()?, tick(0));
    let down = ground.peer.down();
    ground.wire.cut();
    down.timeout(SOON).wait();
    let mut got = 1;
    let told = loop {
        match ticks.recv().timeout(SOON).wait() {
            Ok(value) => assert_eq!(value, tick(got)),
            Err(error) => break error,
        }
        got += 1;
    };
    assert!(matches!(told, RecvError::Interrupted { taken, .. } if taken == got), "{told:?} after {got}");
    Ok(())
}

#[test]
fn a_sender_tells_of_an_interruption_once_with_its_account() -> Outcome {
    let ground = ground(quick())?;
    let mut into: Receiver<Tick> = ground.exporter.export("orders")?;
    let mut orders = ground.peer.import::<Sender<Tick>>("orders").reopen().wait()?;
    for n in 0..3 {
        orders.send(tick(n)).wait()?;
        assert_eq!(into.recv().timeout(SOON).wait()?, tick(n));
    }
    orders.drain().timeout(SOON).wait()?;
    for n in 3..5 {
        orders.send(tick(n)).wait()?;
    }
    let down = ground.peer.down();
    ground.wire.cut();
    down.timeout(SOON).wait();

    let refused = orders.send(tick(5)).timeout(SOON).wait().expect_err("the session is over");
    let SendCause::Interrupted { dead, account } = refused.cause() else { panic!("{refused}") };
    assert_eq!(dead, Dead::here(Reason::LinkLost));
    assert_eq!((account.confirmed, account.in_doubt, account.unsent), (3, 2, 0));
    assert_eq!(refused.into_value(), Some(tick(5)), "it is given back, and not sent in silence");

    orders.send(tick(6)).timeout(SOON).wait()?;
    orders.try_send(tick(7))?;
    let mut got = Vec::new();
    while got.last() != Some(&7) {
        got.push(into.recv().timeout(SOON).wait()?.n);
    }
    assert!(got.ends_with(&[6, 7]) && !got.contains(&5), "{got:?}");
    orders.drain().timeout(SOON).wait()?;
    let account = orders.account();
    assert_eq!((account.confirmed, account.in_doubt), (5, 2), "of all sessions");
    assert_eq!(account.sent(), 7);
    Ok(())
}

#[test]
fn waits_have_their_deadlines_while_the_link_is_away() -> Outcome {
    let ground = ground(quick())?;
    let _out: Sender<Tick> = ground.exporter.export("ticks")?;
    let _in: Receiver<Tick> = ground.exporter.export("orders")?;
    let mut ticks = ground.peer.import::<Receiver<Tick>>("ticks").reopen().wait()?;
    let mut orders = ground.peer.import::<Sender<Tick>>("orders").reopen().wait()?;
    ground.wire.lead_to(None);
    ground.wire.cut();
    let short = Duration::from_millis(30);
    assert!(matches!(ticks.recv().timeout(SOON).wait(), Err(RecvError::Interrupted { .. })));
    assert_eq!(ticks.recv().timeout(short).wait(), Err(RecvError::Deadline));
    assert_eq!(ticks.try_recv(), Err(RecvError::Empty));
    let refused = orders.send(tick(1)).timeout(SOON).wait().expect_err("the session is over");
    assert!(matches!(refused.cause(), SendCause::Interrupted { .. }), "{refused}");
    let late = orders.send(tick(1)).timeout(short).wait().expect_err("the link is away");
    assert_eq!(late.cause(), SendCause::Deadline);
    assert_eq!(orders.try_send(tick(1)).expect_err("the link is away").cause(), SendCause::Full);
    assert_eq!(orders.importers(), 0);
    let none =
        ground.peer.import::<Receiver<Tick>>("ticks").timeout(short).wait().err().map(ImportError::from);
    assert_eq!(none, Some(ImportError::Deadline));
    assert!(!ground.peer.is_up());
    Ok(())
}

#[test]
fn a_peer_that_is_given_up_is_dead_for_all_who_wait() -> Outcome {
    let ground = ground(quick().give_up_after(Duration::from_millis(200)))?;
    let _out: Sender<Tick> = ground.exporter.export("ticks")?;
    let _in: Receiver<Tick> = ground.exporter.export("orders")?;
    let mut ticks = ground.peer.import::<Receiver<Tick>>("ticks").reopen().wait()?;
    let mut orders = ground.peer.import::<Sender<Tick>>("orders").reopen().wait()?;
    let waiting = spawn({
        let peer = ground.peer.clone();
        move || {
            peer.down().wait();
            peer.import::<Receiver<Tick>>("ticks").timeout(SOON).wait().err()
        }
    });
    ground.wire.lead_to(None);
    ground.wire.cut();
    assert!(matches!(ticks.recv().wait(), Err(RecvError::Interrupted { .. })));
    // No deadline: the limit of the reconnecting is the answer.
    let dead = Dead::here(Reason::LinkLost);
    assert_eq!(ticks.recv().wait(), Err(RecvError::Dead(dead)));
    assert_eq!(ticks.recv().wait(), Err(RecvError::Dead(dead)), "for ever");
    let refused = orders.send(tick(1)).wait().expect_err("it is dead");
    assert_eq!(refused.cause(), SendCause::Dead(dead), "no interruption without a continuation");
    assert_eq!(waiting.join().map(ImportError::from), Some(ImportError::Dead(dead)));
    Ok(())
}

#[test]
fn a_message_that_is_posted_while_the_link_is_away_waits_for_the_next_one() -> Outcome {
    let ground = ground(quick())?;
    let mut orders: Receiver<Tick> = ground.exporter.export("orders")?;
    ground.wire.lead_to(None);
    ground.wire.cut();
    ground.peer.down().timeout(SOON).wait();
    let late = ground.peer.post("orders", tick(1)).timeout(Duration::from_millis(30)).wait();
    let late = late.expect_err("the link is away");
    assert!(!late.may_have_arrived() && late.into_value() == Some(tick(1)));
    assert!(ground.peer.try_post("orders", tick(1)).is_err(), "it cannot go now");
    let posted = spawn({
        let peer = ground.peer.clone();
        move || peer.post("orders", tick(2)).timeout(SOON).wait()
    });
    ground.wire.lead_to(Some(ground.listens));
    assert_eq!(orders.recv().timeout(SOON).wait(), Ok(tick(2)));
    posted.join()?;
    Ok(())
}

#[test]
fn what_comes_back_as_something_else_is_refused_by_type() -> Outcome {
    let ground = ground(quick())?;
    let out: Sender<Tick> = ground.exporter.export("ticks")?;
    let into: Receiver<Tick> = ground.exporter.export("orders")?;
    let gone: Sender<Tick> = ground.exporter.export("gone")?;
    let mut ticks = ground.peer.import::<Receiver<Tick>>("ticks").reopen().wait()?;
    let mut orders = ground.peer.import::<Sender<Tick>>("orders").reopen().wait()?;
    let mut none = ground.peer.import::<Receiver<Tick>>("gone").reopen().wait()?;
    ground.wire.lead_to(None);
    ground.wire.cut();
    ground.peer.down().timeout(SOON).wait();
    assert!(matches!(ticks.recv().wait(), Err(RecvError::Interrupted { .. })));
    assert!(matches!(none.recv().wait(), Err(RecvError::Interrupted { .. })));
    let refused = orders.send(tick(1)).wait().expect_err("the session is over");
    assert!(matches!(refused.cause(), SendCause::Interrupted { .. }), "{refused}");
    drop((out, into, gone));
    let _ticks: Sender<String> = ground.exporter.export("ticks")?;
    let _orders: Sender<Tick> = ground.exporter.export("orders")?;
    ground.wire.lead_to(Some(ground.listens));
    assert_eq!(ticks.recv().wait(), Err(RecvError::NotReopened(Dead::peer(Reason::TypeDiffers))));
    assert_eq!(ticks.recv().wait(), Err(RecvError::NotReopened(Dead::peer(Reason::TypeDiffers))), "for ever");
    let refused = orders.send(tick(1)).wait().expect_err("the direction is another one");
    assert_eq!(refused.cause(), SendCause::NotReopened(Dead::peer(Reason::WrongDirection)));
    // It waits a while for the export, as an import does.
    assert_eq!(none.recv().wait(), Err(RecvError::NotReopened(Dead::peer(Reason::NoName))));
    Ok(())
}

#[test]
fn only_a_node_of_the_same_name_is_the_peer_and_it_may_have_restarted() -> Outcome {
    let ground = ground(quick())?;
    let _out: Sender<Tick> = ground.exporter.export("ticks")?;
    let mut ticks = ground.peer.import::<Receiver<Tick>>("ticks").reopen().wait()?;
    let stranger = Node::new("somebody-else");
    let strange = tcp::listen(&stranger, "127.0.0.1:0")?.address();
    let mut never: Sender<Tick> = stranger.export("ticks")?;
    ground.wire.lead_to(Some(strange));
    while ground.wire.came.try_recv().is_ok() {}
    ground.wire.cut();
    // Two attempts end at the stranger: the first of them was refused for its name.
    ground.wire.came.recv_timeout(SOON)?;
    ground.wire.came.recv_timeout(SOON)?;
    assert!(matches!(ticks.recv().timeout(SOON).wait(), Err(RecvError::Interrupted { .. })));
    assert!(ticks.try_recv().is_err());
    assert_eq!(
        never.send(tick(1)).timeout(Duration::ZERO).wait().map_err(|e| e.cause()),
        Err(SendCause::NoImporter)
    );

    ground.exporter.shutdown(Duration::ZERO);
    let again = Node::new("station");
    let mut out: Sender<Tick> = again.export("ticks")?;
    ground.wire.lead_to(Some(tcp::listen(&again, "127.0.0.1:0")?.address()));
    let sending = spawn(move || {
        let sent = out.send(tick(7)).timeout(SOON).wait().map_err(|error| error.cause());
        (sent, out)
    });
    assert_eq!(ticks.recv().timeout(SOON).wait(), Ok(tick(7)));
    assert_eq!(sending.join().0, Ok(()));
    Ok(())
}

#[test]
fn dialing_ends_with_the_last_who_wants_it() -> Outcome {
    let ground = ground(quick())?;
    let _out: Sender<Tick> = ground.exporter.export("ticks")?;
    let Ground { exporter: _exporter, wire, _importer, peer, .. } = ground;
    let mut ticks = peer.import::<Receiver<Tick>>("ticks").reopen().wait()?;
    drop(peer);
    wire.cut();
    wire.came.recv_timeout(SOON)?; // the end wants it still
    assert!(matches!(ticks.recv().timeout(SOON).wait(), Err(RecvError::Interrupted { .. })));
    drop(ticks);
    // An attempt may have been under way.
    while wire.came.recv_timeout(Duration::from_millis(100)).is_ok() {}
    wire.cut();
    assert!(wire.came.recv_timeout(Duration::from_millis(300)).is_err(), "nobody wants it");
    Ok(())
}

#[test]
fn closing_the_peer_or_the_node_is_no_interruption() -> Outcome {
    let ground = ground(quick())?;
    let _out: Sender<Tick> = ground.exporter.export("ticks")?;
    let mut ticks = ground.peer.import::<Receiver<Tick>>("ticks").reopen().wait()?;
    ground.peer.close();
    let told = ticks.recv().timeout(SOON).wait();
    assert_eq!(told, Err(RecvError::Dead(Dead::here(Reason::Closed))));

    let node = Node::new("other");
    let peer = tcp::connect(&node, ground.listens).reconnect(quick()).wait()?;
    let mut ticks = peer.import::<Receiver<Tick>>("ticks").reopen().wait()?;
    node.shutdown(Duration::ZERO);
    let told = ticks.recv().timeout(SOON).wait();
    assert_eq!(told, Err(RecvError::Dead(Dead::here(Reason::Shutdown))));
    Ok(())
}

#[test]
fn a_hang_up_is_no_interruption() -> Outcome {
    let ground = ground(quick())?;
    let into: Receiver<Tick> = ground.exporter.export("orders")?;
    let mut orders = ground.peer.import::<Sender<Tick>>("orders").reopen().wait()?;
    drop(into);
    let cause = common::eventually("it is told", || orders.send(tick(1)).wait().err()).cause();
    assert!(matches!(cause, SendCause::Dead(dead) if dead.reason == Reason::HungUp), "{cause}");
    ground.wire.cut();
    assert_eq!(orders.send(tick(1)).wait().map_err(|error| error.cause()), Err(cause), "for ever");
    Ok(())
}

#[test]
fn a_watch_reopens_and_keeps_its_last_value() -> Outcome {
    let ground = ground(quick())?;
    let gauge: Latest<Tick> = ground.exporter.export("gauge")?;
    gauge.set(tick(1))?;
    let mut watch = ground.peer.import::<Watch<Tick>>("gauge").reopen().wait()?;
    assert_eq!(watch.changed().timeout(SOON).wait()?, tick(1));
    ground.wire.cut();
    let told = watch.changed().timeout(SOON).wait();
    assert!(matches!(told, Err(RecvError::Interrupted { .. })), "{told:?}");
    assert_eq!(watch.get()?, Some(tick(1)), "the last one that is known");
    gauge.set(tick(2))?;
    assert_eq!(common::eventually("it comes", || watch.try_changed().ok().filter(|now| now.n == 2)), tick(2));
    Ok(())
}

#[test]
fn select_does_not_swallow_an_interruption() -> Outcome {
    let ground = ground(quick())?;
    let _ticks: Sender<Tick> = ground.exporter.export("ticks")?;
    let _gauge: Latest<Tick> = ground.exporter.export("gauge")?;
    let mut ticks = ground.peer.import::<Receiver<Tick>>("ticks").reopen().wait()?;
    let mut gauge = ground.peer.import::<Watch<Tick>>("gauge").reopen().wait()?;
    ground.wire.cut();
    for _ in 0..3 {
        assert_eq!(select(&mut [&mut ticks]).timeout(SOON).wait()?, 0);
        assert_eq!(select(&mut [&mut gauge]).timeout(SOON).wait()?, 0);
    }
    assert!(matches!(ticks.try_recv(), Err(RecvError::Interrupted { .. })));
    assert!(matches!(gauge.try_changed(), Err(RecvError::Interrupted { .. })));
    assert!(matches!(ticks.try_recv(), Err(RecvError::Empty)));
    assert!(matches!(gauge.try_changed(), Err(RecvError::Empty)));
    Ok(())
}

#[test]
fn a_number_of_values_counts_over_all_sessions() -> Outcome {
    let ground = ground(quick())?;
    let mut out: Sender<Tick> = ground.exporter.export("ticks")?;
    let mut ticks = ground.peer.import::<Receiver<Tick>>("ticks").values(3).reopen().wait()?;
    out.send(tick(1)).wait()?;
    assert_eq!(ticks.recv().timeout(SOON).wait()?, tick(1));
    ground.wire.cut();
    assert!(matches!(ticks.recv().timeout(SOON).wait(), Err(RecvError::Interrupted { taken: 1, .. })));
    common::eventually("the exporter notices it too", || (out.importers() == 0).then_some(()));
    let receiving = spawn(move || (0..3).map(|_| ticks.recv().timeout(SOON).wait()).collect::<Vec<_>>());
    for n in 2..4 {
        out.send(tick(n)).timeout(SOON).wait()?;
    }
    assert_eq!(receiving.join(), [Ok(tick(2)), Ok(tick(3)), Err(RecvError::Closed)]);
    Ok(())
}

#[test]
fn an_import_waits_for_the_next_session() -> Outcome {
    let ground = ground(quick())?;
    let mut talk: Duplex<Tick, Tick> = ground.exporter.export("talk")?;
    ground.wire.lead_to(None);
    ground.wire.cut();
    ground.peer.down().timeout(SOON).wait();
    let importing = spawn({
        let peer = ground.peer.clone();
        move || peer.import::<Duplex<Tick, Tick>>("talk").timeout(SOON).wait()
    });
    ground.wire.lead_to(Some(ground.listens));
    let mut other = importing.join()?;
    other.send(tick(1)).wait()?;
    assert_eq!(talk.recv().timeout(SOON).wait()?, tick(1));
    Ok(())
}

#[test]
fn nothing_reopens_where_nothing_reconnects() -> Outcome {
    let a = Node::new("a");
    let _out: Sender<Tick> = a.export("ticks")?;
    let b = Node::new("b");
    let peer = tcp::connect(&b, tcp::listen(&a, "127.0.0.1:0")?.address()).wait()?;
    let refused = peer.import::<Receiver<Tick>>("ticks").reopen().wait().err().map(ImportError::from);
    assert_eq!(refused, Some(ImportError::NoReconnect));
    Ok(())
}

#[cfg(feature = "tokio")]
#[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_reconnect_too() -> Outcome {
    let exporter = Node::new("station");
    let wire = Wire::new(tcp::listen(&exporter, "127.0.0.1:0")?.address());
    let mut out: Sender<Tick> = exporter.export("ticks")?;
    let node = Node::new("dashboard");
    let peer = tcp::tokio::connect(&node, wire.address).reconnect(quick()).await?;
    let mut ticks = peer.import::<Receiver<Tick>>("ticks").reopen().await?;
    for round in 0..3 {
        common::eventually("the exporter has noticed it too", || {
            (round == 0 || out.importers() == 0).then_some(())
        });
        let sent = async {
            out.send(tick(round)).timeout(SOON).await?;
            out.drain().timeout(SOON).await?;
            Ok::<_, Box<dyn std::error::Error>>(())
        };
        let (sent, got) = join(sent, ticks.recv().timeout(SOON)).await;
        sent?;
        assert_eq!(got?, tick(round));
        wire.cut();
        let told = ticks.recv().timeout(SOON).await;
        assert!(matches!(told, Err(RecvError::Interrupted { taken: 1, .. })), "{told:?}");
    }
    node.close(Duration::ZERO).await;
    assert_eq!(ticks.recv().timeout(SOON).await, Err(RecvError::Dead(Dead::here(Reason::Shutdown))));
    Ok(())
}

/// Both at once.
#[cfg(feature = "tokio")]
async fn join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (std::pin::pin!(a), std::pin::pin!(b));
    let (mut first, mut second) = (None, None);
    std::future::poll_fn(|cx| {
        if first.is_none()
            && let std::task::Poll::Ready(output) = a.as_mut().poll(cx)
        {
            first = Some(output);
        }
        if second.is_none()
            && let std::task::Poll::Ready(output) = b.as_mut().poll(cx)
        {
            second = Some(output);
        }
        match (first.is_some(), second.is_some()) {
            (true, true) => std::task::Poll::Ready(()),
            _ => std::task::Poll::Pending,
        }
    })
    .await;
    (first.expect("both are ready"), second.expect("both are ready"))
}
