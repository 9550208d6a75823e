//! User code never runs on the I/O path: it may block, panic or hang, and only its own
//! channel notices.

use std::future::Future;
use std::sync::mpsc::{Receiver as Told, Sender as Tell, channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use netchan::{CallError, Client, Message, Reason, Receiver, RecvError, Request, Sender, Server};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::common::{Ground, Outcome, SOON, Tick, spawn, tick};

/// Its decoder waits until the test lets it go on.
#[derive(Serialize, Message, Debug)]
struct Blocking {
    n: u64,
}

struct Gate {
    entered: Mutex<Tell<()>>,
    leave: Mutex<Told<()>>,
}

static GATE: OnceLock<Gate> = OnceLock::new();

impl<'de> Deserialize<'de> for Blocking {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let n = u64::deserialize(deserializer)?;
        let gate = GATE.get().expect("the test has made it");
        gate.entered.lock().expect("no panic").send(()).expect("the test listens");
        gate.leave.lock().expect("no panic").recv_timeout(SOON).expect("the test goes on");
        Ok(Self { n })
    }
}

/// Its decoder panics.
#[derive(Serialize, Message, Debug)]
struct Panicking {
    n: u64,
}

impl<'de> Deserialize<'de> for Panicking {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let n = u64::deserialize(deserializer)?;
        assert!(n != 13, "a decoder of this test panics");
        Ok(Self { n })
    }
}

/// Its encoder panics.
#[derive(Deserialize, Message, Debug)]
struct Unsendable {
    n: u64,
}

impl Serialize for Unsendable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(self.n != 13, "an encoder of this test panics");
        self.n.serialize(serializer)
    }
}

#[test]
fn a_decoder_that_blocks_does_not_delay_another_channel() -> Outcome {
    let (entered, has_entered) = channel();
    let (leave, may_leave) = channel();
    assert!(GATE.set(Gate { entered: Mutex::new(entered), leave: Mutex::new(may_leave) }).is_ok());
    let ground = Ground::new();
    let mut slow: Sender<Blocking> = ground.node.export("slow")?;
    let mut quick: Sender<Tick> = ground.node.export("quick")?;
    let (_node, peer) = ground.visitor();
    let mut decoding = peer.import::<Receiver<Blocking>>("slow").wait()?;
    let mut got = peer.import::<Receiver<Tick>>("quick").wait()?;
    let decoder = spawn(move || decoding.recv().wait().map(|value| value.n));
    slow.send(Blocking { n: 5 }).wait()?;
    has_entered.recv_timeout(SOON)?;
    // On the same link, in both directions, for as long as it blocks.
    for n in 0..500 {
        quick.send(tick(n)).timeout(SOON).wait()?;
        assert_eq!(got.recv().timeout(SOON).wait(), Ok(tick(n)));
    }
    let _late: Sender<Tick> = ground.node.export("late")?;
    peer.import::<Receiver<Tick>>("late").wait()?;
    leave.send(())?;
    assert_eq!(decoder.join(), Ok(5));
    Ok(())
}

#[test]
fn a_decoder_that_panics_ends_its_own_channel_only() -> Outcome {
    let ground = Ground::new();
    for keeps in [true, false] {
        let name = format!("panicking/{keeps}");
        let mut bad: Sender<Panicking> = ground.node.export(&name)?;
        let mut good: Sender<Tick> = ground.node.export(&format!("good/{keeps}"))?;
        let (_node, peer) = ground.visitor();
        let mut decoding = peer.import::<Receiver<Panicking>>(&name).wait()?;
        let mut got = peer.import::<Receiver<Tick>>(&format!("good/{keeps}")).wait()?;
        bad.send(Panicking { n: 1 }).wait()?;
        bad.send(Panicking { n: 13 }).wait()?;
        drop(bad);
        let handler = std::thread::spawn(move || {
            let taking = std::panic::AssertUnwindSafe(|| {
                assert_eq!(decoding.recv().wait().map(|value| value.n), Ok(1));
                decoding.recv().wait().map(|value| value.n)
            });
            let outcome = std::panic::catch_unwind(taking);
            assert!(outcome.is_err(), "it has panicked");
            // Dropped at once, or used again.
            keeps.then(|| decoding.recv().timeout(SOON).wait().map(|value| value.n))
        });
        let after = handler.join().expect("the panic was caught");
        assert!(
            matches!(after, None | Some(Err(RecvError::Dead(_) | RecvError::Closed))),
            "{after:?} after a value that was lost"
        );
        for n in 0..50 {
            good.send(tick(n)).timeout(SOON).wait()?;
            assert_eq!(got.recv().timeout(SOON).wait(), Ok(tick(n)), "the panic has ended the link");
        }
        assert!(peer.is_up());
    }
    Ok(())
}

#[test]
fn an_encoder_that_panics_sends_nothing_and_breaks_nothing() -> Outcome {
    let ground = Ground::new();
    let mut out: Sender<Unsendable> = ground.node.export("out")?;
    let mut server: Server<Unsendable, Tick> = ground.node.export("server")?;
    let (_node, peer) = ground.visitor();
    let mut got = peer.import::<Receiver<Unsendable>>("out").wait()?;
    let client = peer.import::<Client<Unsendable, Tick>>("server").wait()?;
    let mut sending = || {
        let bad = std::panic::AssertUnwindSafe(|| out.send(Unsendable { n: 13 }).wait());
        assert!(std::panic::catch_unwind(bad).is_err());
        out.send(Unsendable { n: 2 }).wait().expect("the importer is there");
    };
    sending();
    assert_eq!(got.recv().wait()?.n, 2);
    let bad = std::panic::AssertUnwindSafe(|| client.call(Unsendable { n: 13 }).wait());
    assert!(std::panic::catch_unwind(bad).is_err());
    let call = spawn(move || client.call(Unsendable { n: 3 }).wait());
    let request = server.recv().wait()?;
    assert_eq!(request.n, 3);
    request.reply(tick(4)).wait()?;
    assert_eq!(call.join(), Ok(tick(4)));
    assert_eq!(out.account().sent(), 1);
    Ok(())
}

/// Its encoder asks the same method for a smaller one first.
#[derive(Deserialize, Message, Debug)]
struct Asking {
    n: u64,
}

static ASKED: OnceLock<Client<Asking, Tick>> = OnceLock::new();

impl Serialize for Asking {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.n > 0 {
            let client = ASKED.get().expect("the test has made it");
            let smaller = client.call(Self { n: self.n - 1 }).timeout(SOON).wait();
            assert_eq!(smaller, Ok(tick(self.n - 1)));
        }
        self.n.serialize(serializer)
    }
}

#[test]
fn an_encoder_that_calls_the_same_method_does_not_wait_for_itself() -> Outcome {
    let ground = Ground::new();
    let mut server: Server<Asking, Tick> = ground.node.export("asked")?;
    let (_node, peer) = ground.visitor();
    let client = peer.import::<Client<Asking, Tick>>("asked").wait()?;
    assert!(ASKED.set(client.clone()).is_ok());
    let caller = spawn(move || client.call(Asking { n: 3 }).timeout(SOON).wait());
    for n in 0..=3 {
        let request = server.recv().timeout(SOON).wait()?;
        assert_eq!(request.n, n, "the smallest comes first");
        request.reply(tick(n)).wait()?;
    }
    assert_eq!(caller.join(), Ok(tick(3)));
    Ok(())
}

/// Its decoder answers the request before.
#[derive(Serialize, Message, Debug)]
struct Answering {
    n: u64,
}

static HELD: Mutex<Option<Request<Answering, Tick>>> = Mutex::new(None);

impl<'de> Deserialize<'de> for Answering {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let n = u64::deserialize(deserializer)?;
        let held = HELD.lock().expect("no panic").take();
        if let Some(held) = held {
            assert!(!held.is_cancelled());
            assert!(held.reply(tick(n)).timeout(SOON).wait().is_ok());
        }
        Ok(Self { n })
    }
}

#[test]
fn a_decoder_that_answers_another_request_does_not_wait_for_itself() -> Outcome {
    let ground = Ground::new();
    let mut server: Server<Answering, Tick> = ground.node.export("answering")?;
    let (_node, peer) = ground.visitor();
    let client = peer.import::<Client<Answering, Tick>>("answering").wait()?;
    let handler = spawn(move || {
        for _ in 0..2 {
            let request = server.recv().timeout(SOON).wait().expect("two come");
            *HELD.lock().expect("no panic") = Some(request);
        }
        HELD.lock().expect("no panic").take();
    });
    let mut first = std::pin::pin!(client.call(Answering { n: 1 }));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(first.as_mut().poll(&mut cx).is_pending(), "it is sent");
    let second = client.call(Answering { n: 2 }).timeout(SOON).wait();
    handler.join();
    assert!(matches!(second, Err(CallError::Dead(dead)) if dead.reason == Reason::HandlerGone), "{second:?}");
    assert_eq!(first.as_mut().poll(&mut cx), std::task::Poll::Ready(Ok(tick(2))));
    Ok(())
}

#[test]
fn a_server_that_is_dropped_does_not_take_the_replies_along() -> Outcome {
    let ground = Ground::new();
    let mut server: Server<Tick, Tick> = ground.node.export("server")?;
    let (_node, peer) = ground.visitor();
    let client = peer.import::<Client<Tick, Tick>>("server").wait()?;
    let call = spawn(move || client.call(tick(1)).timeout(SOON).wait());
    let request = server.recv().wait()?;
    drop(server);
    request.reply(tick(2)).wait()?;
    assert_eq!(call.join(), Ok(tick(2)));
    // The name is free with the last request.
    let _again: Server<Tick, Tick> = ground.node.export("server")?;
    Ok(())
}

#[test]
fn a_handler_that_panics_is_told_to_its_caller() -> Outcome {
    let ground = Ground::new();
    let mut server: Server<Tick, Tick> = ground.node.export("server")?;
    let (_node, peer) = ground.visitor();
    let client = peer.import::<Client<Tick, Tick>>("server").wait()?;
    let call = {
        let client = client.clone();
        spawn(move || client.call(tick(1)).wait())
    };
    let request = server.recv().wait()?;
    let handler = std::thread::spawn(move || {
        let _held = request;
        panic!("a handler of this test panics");
    });
    assert!(handler.join().is_err());
    let Err(CallError::Dead(dead)) = call.join() else { panic!("somebody answered") };
    assert_eq!(dead.reason, Reason::HandlerPanicked);
    // The next call is served.
    let call = spawn(move || client.call(tick(2)).wait());
    server.recv().wait()?.reply(tick(3)).wait()?;
    assert_eq!(call.join(), Ok(tick(3)));
    Ok(())
}

#[test]
fn a_thread_that_hangs_does_not_stop_a_shutdown() -> Outcome {
    let ground = Ground::new();
    let mut inbox: Receiver<Tick> = ground.node.export("inbox")?;
    let (node, peer) = ground.visitor();
    let mut sender = peer.import::<Sender<Tick>>("inbox").wait()?;
    for n in 0..100 {
        sender.send(tick(n)).wait()?;
    }
    // Holds its end, has taken one value, and does not come back before it is told to.
    let (release, held) = channel::<()>();
    let (holds, is_held) = channel();
    let hung = spawn(move || {
        let first = inbox.recv().wait();
        holds.send(first).expect("the test listens");
        let _ = held.recv_timeout(SOON);
        inbox.try_recv()
    });
    assert_eq!(is_held.recv_timeout(SOON)?, Ok(tick(0)));
    let start = Instant::now();
    ground.node.shutdown(Duration::from_millis(50));
    node.shutdown(Duration::from_millis(50));
    assert!(start.elapsed() < Duration::from_secs(5), "a shutdown took {:?}", start.elapsed());
    let account = sender.account();
    assert_eq!((account.confirmed, account.sent()), (1, 100));
    release.send(())?;
    // When it comes back it may have what was there, and then hears of the end.
    let _ = hung.join();
    Ok(())
}
