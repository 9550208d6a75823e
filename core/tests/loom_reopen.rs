//! Sending ends that go on in the next session, and who meets at one while its way is looked for.
#![cfg(loom)]

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use loom::sync::atomic::{AtomicUsize, Ordering};
use netchan::host::Import;
use netchan::host::model::{By, Side, adopt, check, has_room, import, join, node, pass, spawn};
use netchan::host::transport::Redial;
use netchan::{Node, Receiver, Reconnect, SendCause, Sender};

/// One who sends, and one who receives; the link between them breaks and is made again.
struct Ground {
    near: Node,
    far: Node,
    tie: fn(&Node, &Node) -> (Side, Side),
    link: (Side, Side),
    /// Makes it again for imports from a peer.
    redial: Option<Redial>,
    sender: Arc<Sender<u32>>,
    receiver: Receiver<u32>,
}

fn ground(
    tie: fn(&Node, &Node) -> (Side, Side),
    import_of: impl FnOnce(&Side) -> (Option<Redial>, Import<Sender<u32>>),
) -> Ground {
    let (near, far) = (node("near"), node("far"));
    let link = tie(&near, &far);
    let receiver = far.export("x").unwrap();
    let (redial, importing) = import_of(&link.0);
    let sender = Arc::new(import(&link.1, &link.0, importing.reopen()));
    Ground { near, far, tie, link, redial, sender, receiver }
}

/// From a peer, over a link that its transport makes again.
fn between_peers() -> Ground {
    let tie = |near: &Node, far: &Node| join(near, By::Hand, far, By::Hand);
    ground(tie, |near| {
        let (redial, peer) = Redial::new(&near.node, near.peer.clone(), Reconnect::new());
        let import = peer.import("x");
        (Some(redial), import)
    })
}

/// From a node of the tree, wherever it is.
fn in_a_tree() -> Ground {
    let tie = |near: &Node, far: &Node| {
        let (far, near) = adopt(far, near);
        for _ in 0..3 {
            near.deliver();
            far.deliver();
        }
        (near, far)
    };
    ground(tie, |near| (None, near.node.remote("far").import("x")))
}

impl Ground {
    fn lose(&self) {
        self.link.0.break_line();
        self.link.1.deliver();
        self.link.1.break_line();
    }

    /// The nodes have a link again.
    fn meet(&mut self) {
        self.link = (self.tie)(&self.near, &self.far);
        if let Some(redial) = &mut self.redial {
            assert!(redial.made(self.link.0.peer.clone()));
        }
        // A node that was away is looked for again after a pause.
        pass(Duration::from_secs(1));
    }

    fn settle(&self) {
        for _ in 0..3 {
            self.link.1.deliver();
            self.link.0.deliver();
        }
    }
}

fn cause(sender: &Sender<u32>, value: u32) -> Option<SendCause> {
    sender.try_send(value).err().map(|error| error.cause())
}

/// Counts its wakes.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A waker that uses a sender in place.
struct Meddler {
    sender: Arc<Sender<u32>>,
    /// What it was told.
    told: OnceLock<(Option<SendCause>, Result<bool, SendCause>)>,
    waits: Arc<Count>,
}

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        let waker = Waker::from(Arc::clone(&self.waits));
        let told = (cause(&self.sender, 2), has_room(&self.sender, &waker));
        assert_eq!(self.sender.account().confirmed, 0);
        self.told.set(told).expect("there is one event");
    }
}

fn a_waker_sends_on_an_end_that_reopens(ground: fn() -> Ground) {
    let mut ground = ground();
    ground.lose();
    assert!(matches!(cause(&ground.sender, 0), Some(SendCause::Interrupted { .. })));
    ground.meet();
    let sender = Arc::clone(&ground.sender);
    let meddler = Arc::new(Meddler { sender, told: OnceLock::new(), waits: Arc::default() });
    while ground.far.next_event().is_some() {}
    let waker = Waker::from(Arc::clone(&meddler));
    let mut joined = pin!(ground.far.event());
    assert!(joined.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    // The far node takes the open, and tells of it, within the write.
    ground.link.0.is_answered_by(&ground.link.1);
    assert_eq!(cause(&ground.sender, 1), Some(SendCause::Full));
    let told = meddler.told.get().expect("it was woken while the end was being opened");
    assert_eq!(*told, (Some(SendCause::Full), Ok(false)));
    assert_eq!(meddler.waits.0.load(Ordering::SeqCst), 1, "who waits looks again");
    ground.settle();
    assert_eq!(cause(&ground.sender, 3), None);
    ground.settle();
    assert_eq!(ground.receiver.try_recv(), Ok(3));
}

#[test]
fn a_waker_may_send_on_an_end_whose_way_is_looked_for() {
    check("a waker sends on an end that reopens", 2, || {
        a_waker_sends_on_an_end_that_reopens(between_peers);
    });
    check("a waker sends on an end that reopens in the tree", 2, || {
        a_waker_sends_on_an_end_that_reopens(in_a_tree);
    });
}

#[test]
fn threads_that_meet_at_an_interrupted_end_are_told_once() {
    check("one sends / another sends, on an end that reopens", 2, || {
        let mut ground = between_peers();
        ground.lose();
        ground.meet();
        let sender = Arc::clone(&ground.sender);
        let other = spawn(move || [cause(&sender, 1), cause(&sender, 1)]);
        let own = [cause(&ground.sender, 1), cause(&ground.sender, 1)];
        let all = own.into_iter().chain(other.join());
        let told: Vec<_> = all.filter(|cause| *cause != Some(SendCause::Full)).collect();
        assert!(matches!(told[..], [Some(SendCause::Interrupted { .. })]), "{told:?}");
        // One of them has begun to open it, or it is begun now.
        let _ = cause(&ground.sender, 1);
        ground.settle();
        assert_eq!(cause(&ground.sender, 2), None);
        ground.settle();
        assert_eq!(ground.receiver.try_recv(), Ok(2));
    });
}
