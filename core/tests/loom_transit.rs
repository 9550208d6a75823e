//! Circuits that pass through a node, whose two links move at the same time.
#![cfg(loom)]

use std::sync::Arc;

use netchan::host::Visibility;
use netchan::host::model::{Side, adopt, check, node, poll_once, spawn};
use netchan::{Bytes, ExportOptions, ImportError, Node, Reason, Receiver, RecvError, Sender};

/// A bridge between two children that see each other.
struct Yard {
    _bridge: Node,
    left: Side,
    /// The bridge's end of the link to the left, and to the right.
    to_left: Side,
    to_right: Side,
    right: Side,
}

fn yard() -> Yard {
    let [bridge, left, right] = ["bridge", "left", "right"].map(node);
    let (left, to_left) = adopt(&left, &bridge);
    let (right, to_right) = adopt(&right, &bridge);
    let mut yard = Yard { _bridge: bridge, left, to_left, to_right, right };
    yard.settle();
    yard
}

impl Yard {
    /// Delivers until nothing moves any more.
    fn settle(&mut self) {
        for _ in 0..3 {
            for side in [&self.left, &self.to_left, &self.right, &self.to_right] {
                side.deliver();
            }
        }
    }

    /// This happens at the link to the left, and in another thread that at the link to the right.
    fn at_once(self, left: fn(&Side), right: fn(&Side)) -> Self {
        let Self { to_right, .. } = self;
        let moving = spawn(move || {
            right(&to_right);
            to_right
        });
        left(&self.to_left);
        Self { to_right: moving.join(), ..self }
    }

    /// Nothing of what has passed is left at the bridge.
    fn is_empty(&mut self) {
        self.settle();
        for side in [&self.to_left, &self.to_right] {
            assert_eq!(side.open_circuits(), 0);
            // What a link that is down had to give is gone with it.
            assert!(!side.peer.is_up() || side.reserved() == 0, "{} bytes are kept", side.reserved());
        }
    }

    /// What the right one sends the left one receives, one message at a time.
    fn circuit(&mut self) -> (Sender<Bytes>, Receiver<Bytes>) {
        let options = ExportOptions::default().visible_to(Visibility::Tree);
        let sender: Sender<Bytes> = self.right.node.export_with("x", options).unwrap();
        let import = self.left.node.remote("right").import::<Receiver<Bytes>>("x");
        let mut importing = std::pin::pin!(import.window(1).message_limit(LEN as u32).into_future());
        assert!(poll_once(importing.as_mut()).is_none());
        self.settle();
        (sender, poll_once(importing).expect("it is answered").expect("it is there"))
    }
}

/// Two of them are all that a bridge promises to take.
const LEN: usize = 2_040;

fn value(n: u8) -> Bytes {
    Bytes::from(vec![n; LEN])
}

#[test]
fn values_pass_while_the_far_end_grants() {
    check("values come from the right / the left one grants", 4, || {
        let mut yard = yard();
        let (sender, mut received) = yard.circuit();
        let mut sent = 0;
        while sender.try_send(value(sent)).is_ok() {
            sent += 1;
        }
        yard.settle();
        let mut got = 0;
        while let Ok(next) = received.try_recv() {
            assert_eq!(next, value(got));
            got += 1;
        }
        while sender.try_send(value(sent)).is_ok() {
            sent += 1;
        }
        assert!(yard.to_left.has_input() && yard.to_right.has_input(), "both links have something to do");
        let mut yard = yard.at_once(Side::deliver, Side::deliver);
        drop(sender);
        for n in got..sent {
            yard.settle();
            assert_eq!(received.try_recv(), Ok(value(n)), "of {sent}");
        }
        yard.settle();
        assert_eq!(received.try_recv(), Err(RecvError::Closed));
        yard.is_empty();
    });
}

#[test]
fn a_value_meets_the_end_of_the_far_link() {
    check("a value comes from the right / the link to the left breaks", 4, || {
        let mut yard = yard();
        let (sender, mut received) = yard.circuit();
        sender.try_send(value(0)).unwrap();
        let mut yard = yard.at_once(Side::break_line, Side::deliver);
        yard.is_empty();
        // It has come whole, or not at all; then the end.
        let end = match received.try_recv() {
            Ok(first) => {
                assert_eq!(first, value(0));
                received.try_recv()
            }
            end => end,
        };
        assert!(matches!(end, Err(RecvError::Dead(_))), "{end:?}");
        assert_eq!(sender.importers(), 0, "it is told");
    });
}

#[test]
fn a_value_meets_the_end_of_its_own_link() {
    check("the left one grants / the link to the right breaks", 4, || {
        let mut yard = yard();
        let (sender, mut received) = yard.circuit();
        let (mut sent, mut got) = (0, 0);
        while sender.try_send(value(sent)).is_ok() {
            sent += 1;
        }
        yard.settle();
        while let Ok(next) = received.try_recv() {
            assert_eq!(next, value(got));
            got += 1;
        }
        assert!(yard.to_left.has_input(), "it has something to do");
        let mut yard = yard.at_once(Side::deliver, Side::break_line);
        yard.is_empty();
        let end = loop {
            match received.try_recv() {
                Ok(next) => assert_eq!(next, value(got)),
                end => break end,
            }
            got += 1;
        };
        assert!(got <= sent);
        assert!(matches!(end, Err(RecvError::Dead(dead)) if dead.reason == Reason::LinkLost), "{end:?}");
    });
}

#[test]
fn both_links_of_a_bridge_break() {
    check("the link to the left breaks / the link to the right breaks", 4, || {
        let mut yard = yard();
        let (sender, mut received) = yard.circuit();
        sender.try_send(value(0)).unwrap();
        yard.to_right.deliver();
        let mut yard = yard.at_once(Side::break_line, Side::break_line);
        yard.is_empty();
        let _ = received.try_recv();
        assert!(matches!(received.try_recv(), Err(RecvError::Dead(_))));
        assert_eq!(sender.importers(), 0);
    });
}

#[test]
fn an_opener_gives_up_while_the_answer_comes() {
    check("the opener's end comes / the answer comes", 4, || {
        let yard = yard();
        let options = ExportOptions::default().visible_to(Visibility::Tree);
        let sender: Sender<Bytes> = yard.right.node.export_with("x", options).unwrap();
        {
            let mut importing =
                std::pin::pin!(yard.left.node.remote("right").import::<Receiver<Bytes>>("x").into_future());
            assert!(poll_once(importing.as_mut()).is_none());
            yard.to_left.deliver();
            yard.right.deliver();
        }
        let mut yard = yard.at_once(Side::deliver, Side::deliver);
        yard.is_empty();
        assert_eq!(sender.importers(), 0);
    });
}

#[test]
fn an_open_meets_the_end_of_the_far_link() {
    check("an open comes from the left / the link to the right breaks", 4, || {
        let yard = yard();
        let options = ExportOptions::default().visible_to(Visibility::Tree);
        let sender: Sender<Bytes> = yard.right.node.export_with("x", options).unwrap();
        let mut importing =
            std::pin::pin!(yard.left.node.remote("right").import::<Receiver<Bytes>>("x").into_future());
        assert!(poll_once(importing.as_mut()).is_none());
        let mut yard = yard.at_once(Side::deliver, Side::break_line);
        yard.is_empty();
        let error = poll_once(importing).expect("it is answered").unwrap_err();
        let ImportError::Dead(dead) = *error else { panic!("{error}") };
        assert!(matches!(dead.reason, Reason::LinkLost | Reason::NoRoute), "{dead}");
        drop(sender);
    });
}

/// Who has gone by the time that the way is found has nothing opened in its name.
#[test]
fn an_open_meets_the_end_of_its_own_link() {
    check("an open comes from the left / the link to the left breaks", 4, || {
        let mut yard = yard();
        let options = ExportOptions::default().visible_to(Visibility::Tree);
        let sender: Sender<Bytes> = yard.right.node.export_with("x", options).unwrap();
        let mut importing =
            std::pin::pin!(yard.left.node.remote("right").import::<Receiver<Bytes>>("x").into_future());
        assert!(poll_once(importing.as_mut()).is_none());
        yard.left.deliver();
        let to_left = Arc::new(yard.to_left);
        let breaking = {
            let to_left = Arc::clone(&to_left);
            spawn(move || to_left.break_line())
        };
        to_left.deliver();
        breaking.join();
        yard.to_left = Arc::into_inner(to_left).expect("the other thread is over");
        yard.is_empty();
        yard.left.break_line();
        assert!(poll_once(importing).expect("it is answered").is_err());
        assert_eq!(sender.importers(), 0);
    });
}
