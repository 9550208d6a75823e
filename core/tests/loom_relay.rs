//! An end that has moved on is served by the node between, whose two links move at the same time.
#![cfg(loom)]

use netchan::host::model::{By, Side, check, import, join, node, poll_once, spawn};
use netchan::{Receiver, RecvError, Sender};

/// The first one exports a sender, and the third one has the receiver that the middle one imported.
struct Three {
    first: Side,
    /// The middle one's end of the link to the first, and to the third.
    to_first: Side,
    to_third: Side,
    third: Side,
    sender: Sender<u32>,
    receiver: Option<Receiver<u32>>,
    /// Circuits that are open before the end comes.
    others: usize,
}

fn three() -> Three {
    let [first, middle, third] = ["first", "middle", "third"].map(node);
    let (first, to_first) = join(&first, By::Hand, &middle, By::Hand);
    let (to_third, third) = join(&middle, By::Hand, &third, By::Hand);
    let ends: Sender<Receiver<u32>> = middle.export("ends").unwrap();
    let mut arriving: Receiver<Receiver<u32>> = import(&to_third, &third, third.peer.import("ends"));
    let sender = first.node.export("x").unwrap();
    let others = to_third.open_circuits();
    let imported: Receiver<u32> = import(&first, &to_first, to_first.peer.import("x"));
    ends.try_send(imported).unwrap();
    third.deliver();
    let receiver = poll_once(arriving.recv()).expect("it has come").unwrap();
    let mut three = Three { first, to_first, to_third, third, sender, receiver: Some(receiver), others };
    three.settle();
    drop((ends, arriving));
    three.settle();
    three.others -= 1;
    three
}

impl Three {
    /// Delivers until nothing moves any more.
    fn settle(&mut self) {
        for _ in 0..3 {
            for side in [&self.first, &self.to_first, &self.third, &self.to_third] {
                side.deliver();
            }
        }
    }

    /// This happens at the link to the first, and in another thread that at the link to the third.
    fn at_once(self, first: fn(&Side), third: fn(&Side)) -> Self {
        let Self { to_third, .. } = self;
        let moving = spawn(move || {
            third(&to_third);
            to_third
        });
        first(&self.to_first);
        let mut three = Self { to_third: moving.join(), ..self };
        three.settle();
        three
    }

    fn next(&mut self) -> Result<u32, RecvError> {
        self.receiver.as_mut().expect("it is there").try_recv()
    }

    /// A drain: whether all is taken. Its question goes out.
    fn is_drained(&mut self) -> bool {
        poll_once(self.sender.drain()).is_some_and(|drained| drained.is_ok())
    }

    /// Both sides have been told, the account adds up, and nothing of it is left.
    fn is_over(mut self, confirmed: u64, sent: u64) {
        assert_eq!(self.sender.importers(), 0, "it is told");
        let account = self.sender.account();
        assert_eq!((account.confirmed, account.sent()), (confirmed, sent));
        self.receiver = None;
        self.settle();
        let open = self.to_first.open_circuits() + self.to_third.open_circuits();
        assert_eq!(open, self.others);
    }
}

#[test]
fn a_value_and_a_question_meet_what_the_far_program_has_taken() {
    check("a value and a question come / the far program has taken one", 4, || {
        let mut three = three();
        three.sender.try_send(1).unwrap();
        assert!(!three.is_drained());
        three.settle();
        assert_eq!(three.next(), Ok(1));
        three.sender.try_send(2).unwrap();
        assert!(!three.is_drained(), "the second one is not taken");
        assert!(three.to_first.has_input() && three.to_third.has_input(), "both links have something to do");
        let mut three = three.at_once(Side::deliver, Side::deliver);
        assert_eq!(three.sender.account().confirmed, 1);
        assert_eq!(three.next(), Ok(2));
        three.settle();
        assert!(three.is_drained());
        assert_eq!(three.sender.account().confirmed, 2);
    });
}

#[test]
fn the_end_meets_what_the_far_program_has_taken() {
    check("the end comes / the far program has taken all", 4, || {
        let mut three = three();
        three.sender.try_send(1).unwrap();
        assert!(!three.is_drained());
        three.settle();
        assert_eq!(three.next(), Ok(1));
        let Three { sender, .. } = three;
        drop(sender);
        assert!(three.to_first.has_input() && three.to_third.has_input(), "both links have something to do");
        let sender = three.first.node.export("another").unwrap();
        let mut three = Three { sender, ..three }.at_once(Side::deliver, Side::deliver);
        // The first one is not told that all is over before the far program has been.
        assert_eq!(three.to_first.open_circuits(), 1);
        assert_eq!(three.next(), Err(RecvError::Closed));
        three.settle();
        three.is_over(0, 0);
    });
}

#[test]
fn a_value_meets_the_far_program_that_hangs_up() {
    check("a value comes / the far program hangs up", 4, || {
        let mut three = three();
        three.sender.try_send(1).unwrap();
        three.settle();
        assert_eq!(three.next(), Ok(1));
        three.sender.try_send(2).unwrap();
        three.receiver = None;
        assert!(three.to_first.has_input() && three.to_third.has_input(), "both links have something to do");
        three.at_once(Side::deliver, Side::deliver).is_over(1, 2);
    });
}

#[test]
fn a_value_meets_the_end_of_the_far_link() {
    check("a value comes / the far link breaks", 4, || {
        let three = three();
        three.sender.try_send(1).unwrap();
        let mut three = three.at_once(Side::deliver, Side::break_line);
        three.others = 0;
        three.is_over(0, 1);
    });
}

#[test]
fn a_value_meets_the_end_of_its_own_link() {
    check("a value has come, the link breaks / the far program has taken one", 4, || {
        let mut three = three();
        three.sender.try_send(1).unwrap();
        assert!(!three.is_drained());
        three.settle();
        assert_eq!(three.next(), Ok(1));
        let mut three = three.at_once(Side::break_line, Side::deliver);
        assert!(matches!(three.next(), Err(RecvError::Dead(_))));
        three.first.break_line();
        let confirmed = three.sender.account().confirmed;
        three.is_over(confirmed, 1);
    });
}

#[test]
fn both_links_of_the_node_between_break() {
    check("one link breaks / the other one does", 4, || {
        let three = three();
        three.sender.try_send(1).unwrap();
        let mut three = three.at_once(Side::break_line, Side::break_line);
        three.first.break_line();
        three.third.break_line();
        assert!(matches!(three.next(), Err(RecvError::Dead(_))));
        three.others = 0;
        three.is_over(0, 1);
    });
}
