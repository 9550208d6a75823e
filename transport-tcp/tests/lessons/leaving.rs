//! A node that leaves: whoever closes it waits for what was sent, be it the first to do so or not.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use netchan::host::{Closing, Timeout};
use netchan::proto::{Frame, Open, Total};
use netchan::{Bytes, Config, Node, Sender};
use netchan_tcp as tcp;

use crate::common::raw::{Raw, mine, receives};
use crate::common::{Calm, Outcome, SOON, Task, calm, eventually, spawn};

/// Longer than any test may take.
const LONG: Duration = Duration::from_secs(60);

/// Far more than goes before the peer says that it has come.
const LARGE: u32 = 4 * 1024 * 1024;

/// A node that has sent something large to a peer that says nothing.
struct Stuffed {
    /// Goes first, so that the node does not wait for it.
    raw: Raw,
    node: Node,
    out: Sender<Bytes>,
    _calm: Calm,
}

impl Stuffed {
    fn new(node: Node) -> Result<Self, Box<dyn std::error::Error>> {
        let _calm = calm();
        let address = tcp::listen(&node, "127.0.0.1:0")?.address();
        let out: Sender<Bytes> = node.export("out")?;
        let mut raw = Raw::up(address);
        raw.open(0, Open { limit: 2 * LARGE, ..receives::<Bytes>("out", 4 * LARGE) });
        out.try_send(vec![7; LARGE as usize].into())?;
        assert_eq!(out.account().unsent, 1);
        Ok(Self { raw, node, out, _calm })
    }

    /// Begins to close the node, which takes longer.
    fn begin(&self, linger: Duration) -> Timeout<Closing> {
        self.begin_in(Waker::noop(), linger)
    }

    /// The same in a task.
    fn begin_in(&self, task: &Waker, linger: Duration) -> Timeout<Closing> {
        let mut closing = self.node.close(linger);
        let polled = Future::poll(Pin::new(&mut closing), &mut Context::from_waker(task));
        assert!(polled.is_pending(), "{polled:?} before anything was read, of {:?}", self.out.account());
        closing
    }
}

/// From now on the peer says what has come, until the link ends: so much did.
fn read(mut raw: Raw) -> Task<u32> {
    spawn(move || {
        let mut total = Total::ZERO;
        while let Some(frame) = raw.frame() {
            if let Frame::Data(handle, _, bytes) = Frame::parse(&frame).expect("a good frame") {
                assert_eq!(handle, mine(0));
                total = total.plus(bytes.len() as u32);
                raw.send(&Frame::Ack(total));
            }
        }
        total.get()
    })
}

#[test]
fn who_closes_a_node_second_waits_for_what_was_sent_too() -> Outcome {
    let stuffed = Stuffed::new(Node::new("leaver"))?;
    let [first, second] = [(); 2].map(|()| stuffed.begin(LONG));
    let Stuffed { node, raw, out, _calm } = stuffed;
    let dropped = spawn(move || {
        drop(node);
        out.account()
    });
    let reading = read(raw);
    assert_eq!((first.wait(), second.wait()), (0, 0));
    let account = dropped.join();
    assert_eq!((account.unsent, account.in_doubt), (0, 1), "when the last handle was gone");
    assert_eq!(reading.join(), LARGE);
    Ok(())
}

#[test]
fn who_closes_a_node_second_hears_what_the_first_could_not_deliver() -> Outcome {
    let stuffed = Stuffed::new(Node::new("leaver"))?;
    let [first, second] = [(); 2].map(|()| stuffed.begin(Duration::ZERO));
    let unsent = first.wait();
    assert_eq!(unsent, 1);
    assert_eq!(second.wait(), unsent, "who began before it was over");
    assert_eq!(stuffed.node.shutdown(Duration::ZERO), unsent, "who began when it was over");
    Ok(())
}

#[test]
fn who_closes_a_node_second_and_gives_up_does_not_cut_the_first_short() -> Outcome {
    let stuffed = Stuffed::new(Node::new("leaver"))?;
    let first = stuffed.begin(LONG);
    assert_eq!(stuffed.node.shutdown(Duration::ZERO), 1);
    let reading = read(stuffed.raw);
    assert_eq!(first.wait(), 0);
    assert_eq!(reading.join(), LARGE);
    Ok(())
}

/// A task that is woken in vain.
struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_close_that_is_dropped_leaves_nothing_at_the_links() -> Outcome {
    let stuffed = Stuffed::new(Node::new("leaver"))?;
    let task = Arc::new(Nobody);
    for _ in 0..10 {
        drop(stuffed.begin_in(&Waker::from(Arc::clone(&task)), LONG));
        assert_eq!(Arc::strong_count(&task), 1);
    }
    Ok(())
}

#[test]
fn a_program_that_closes_a_node_which_is_ended_from_above_waits_for_what_was_sent() -> Outcome {
    let parent = Node::new("parent");
    let above = tcp::listen_with(&parent, "127.0.0.1:0", tcp::Options::new().adopt())?.address();
    let stuffed = Stuffed::new(Node::with_config("leaver", Config::default().linger(LONG))?)?;
    tcp::connect_with(&stuffed.node, above, tcp::Options::new().join()).timeout(SOON).wait()?;
    eventually("it is adopted", || parent.nodes().pop());
    parent.remote("leaver").shut_down(LONG)?;
    eventually("the node is told", || stuffed.node.is_shut().then_some(()));
    let closing = stuffed.begin(LONG);
    let reading = read(stuffed.raw);
    assert_eq!(closing.wait(), 0);
    let account = stuffed.out.account();
    assert_eq!((account.unsent, account.in_doubt), (0, 1));
    assert_eq!(reading.join(), LARGE);
    Ok(())
}
