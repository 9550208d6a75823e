//! A child is told to end at moments at which its link is something in between: nobody is passed over, and nobody is told in the
//! wrong order.

mod common;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use common::raw::Raw;
use common::{Outcome, SOON, calm, eventually, spawn};
use netchan::proto::{Above, Frame, LinkKind, TreeFrame};
use netchan::{LinkError, LinkEvent, Node, Reason};
use netchan_tcp as tcp;

fn hub() -> (Node, SocketAddr) {
    let hub = Node::new("hub");
    let listener = tcp::listen_with(&hub, "127.0.0.1:0", tcp::Options::new().adopt()).expect("a free port");
    (hub, listener.address())
}

/// The next word of the tree that is not about routes: the id that it is given, or the time in which it is to end.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    Adopt,
    Shutdown(u32),
}

#[track_caller]
fn word(raw: &mut Raw) -> Word {
    raw.expect("a word of the tree", |frame| match frame {
        Frame::Tree(TreeFrame::Adopt { .. }) => Some(Word::Adopt),
        Frame::Tree(TreeFrame::Shutdown { grace_ms }) => Some(Word::Shutdown(*grace_ms)),
        _ => None,
    })
}

/// Does something once, in the thread that wakes it.
struct Hook {
    done: AtomicBool,
    hook: Box<dyn Fn() + Send + Sync>,
}

impl Wake for Hook {
    fn wake(self: Arc<Self>) {
        if !self.done.swap(true, Ordering::SeqCst) {
            (self.hook)();
        }
    }
}

/// Its link was up and had no place in the tree yet: nobody told it, and its link stayed.
#[test]
fn a_child_whose_link_has_just_come_up_is_told() -> Outcome {
    let _calm = calm();
    let (hub, at) = hub();
    let own = hub.clone();
    // Who is told that a link is up is told before the node at its other end has a place.
    let hook = Box::new(move || {
        assert!(own.nodes().is_empty(), "it has its place already");
        own.shut_down_below(Duration::ZERO);
    });
    let waker = Waker::from(Arc::new(Hook { done: AtomicBool::new(false), hook }));
    let mut next = Box::pin(hub.event());
    assert!(next.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let mut raw = Raw::connect(at);
    raw.bring_up_as(LinkKind::Tree, false);
    assert_eq!(word(&mut raw), Word::Adopt);
    assert_eq!(word(&mut raw), Word::Shutdown(0));
    // And has its link ended, for it does not obey.
    raw.read_to_end();
    let error = eventually("its link ends", || match hub.next_event()? {
        LinkEvent::Down { error, .. } => Some(error),
        _ => None,
    });
    assert_eq!(error, LinkError::Local(Reason::Shutdown));
    Ok(())
}

/// The session in which it was told was given up, by its own side and unnoticed here, and the next one was not told.
#[test]
fn a_child_that_comes_anew_while_it_has_time_is_told_again() -> Outcome {
    let _calm = calm();
    let (hub, at) = hub();
    let (mut raw, id) = Raw::child(at);
    hub.remote_id(id).shut_down(Duration::from_secs(3600))?;
    assert_eq!(word(&mut raw), Word::Shutdown(3_600_000));
    let (mut again, id) = raw.again(at);
    let Word::Shutdown(left) = word(&mut again) else { panic!("it is not told") };
    assert!((3_500_000..3_600_000).contains(&left), "{left} ms");
    // What is told to the one counts for the next, and of several times the one that is over first.
    hub.remote_id(id).shut_down(Duration::ZERO)?;
    assert_eq!(word(&mut again), Word::Shutdown(0));
    let (mut third, _) = again.again(at);
    assert_eq!(word(&mut third), Word::Shutdown(0));
    third.read_to_end();
    eventually("it is gone", || hub.nodes().is_empty().then_some(()));
    Ok(())
}

/// SHUTDOWN was the first word that it heard, and the place that it was given came behind.
#[test]
fn a_child_that_waits_for_its_id_is_told_to_end_behind_it() -> Outcome {
    let _calm = calm();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?;
    let node = Node::new("middle");
    let own = node.clone();
    let joining = spawn(move || tcp::connect_with(&own, at, tcp::Options::new().join()).wait().map(drop));
    let mut above = Raw::accept(&listener);
    above.bring_up_as(LinkKind::Either, true);
    let place = Above::default().below(1).expect("one");
    above.send(&Frame::Tree(TreeFrame::Adopt { id: 5, above: place, place: "" }));
    joining.join()?;
    let at = tcp::listen_with(&node, "127.0.0.1:0", tcp::Options::new().adopt())?.address();
    let mut raw = Raw::connect(at);
    raw.bring_up_as(LinkKind::Tree, false);
    let asked = |frame: &Frame<'_>| match frame {
        Frame::Tree(TreeFrame::Allocate(count)) => Some(*count),
        _ => None,
    };
    let count = above.expect("a question", asked);
    node.shut_down_below(Duration::from_secs(3600));
    above.send(&Frame::Tree(TreeFrame::Grant { start: 100, count }));
    assert_eq!(word(&mut raw), Word::Adopt);
    let Word::Shutdown(left) = word(&mut raw) else { panic!("it is not told") };
    assert!((3_500_000..=3_600_000).contains(&left), "{left} ms");
    Ok(())
}

/// Each call kept one until the time was over.
#[cfg(target_os = "linux")]
#[test]
fn children_that_are_told_to_end_take_no_threads() -> Outcome {
    let _calm = calm();
    let (hub, at) = hub();
    let (raw, id) = Raw::child(at);
    for _ in 0..100 {
        hub.remote_id(id).shut_down(SOON)?;
        hub.shut_down_below(SOON);
    }
    let mut ends = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        // One that has just ended has no name.
        let name = std::fs::read_to_string(task?.path().join("comm")).unwrap_or_default();
        ends += usize::from(name.trim() == "netchan-end");
    }
    assert!(ends < 50, "{ends} threads");
    drop(raw);
    Ok(())
}
