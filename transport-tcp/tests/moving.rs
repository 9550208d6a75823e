//! Channel ends inside messages.

mod common;

use std::thread;
use std::time::Duration;

use common::{Outcome, eventually};
use netchan::{
    Account, Bytes, Config, Dead, DrainError, ExportOptions, Fanout, Message, Node, Peer, Reason, Receiver,
    RecvError, SendCause, Sender, channel,
};
use netchan_tcp as tcp;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Message, Debug)]
struct Question {
    text: String,
    answers: Sender<u64>,
}

#[derive(Serialize, Deserialize, Message, Debug)]
struct Feed {
    values: Option<Receiver<u64>>,
    big: Receiver<Bytes>,
}

const LONG: Duration = Duration::from_secs(10);

fn pair() -> Result<(Node, Node, Peer), Box<dyn std::error::Error>> {
    let a = Node::new("a");
    let listener = tcp::listen(&a, "127.0.0.1:0")?;
    let b = Node::new("b");
    let peer = tcp::connect(&b, listener.address()).wait()?;
    Ok((a, b, peer))
}

#[test]
fn a_sender_in_a_message_brings_answers_back() -> Outcome {
    let (a, _b, peer) = pair()?;
    let mut questions: Receiver<Question> = a.export("ask")?;
    let answerer = thread::spawn(move || {
        while let Ok(mut question) = questions.recv().wait() {
            for n in 0..question.text.len() as u64 {
                question.answers.send(n).timeout(LONG).wait().expect("somebody asked");
            }
        }
    });
    let mut ask = peer.import::<Sender<Question>>("ask").wait()?;
    for round in 0..50 {
        let (answers, mut got) = channel(4);
        ask.send(Question { text: "x".repeat(round), answers }).timeout(LONG).wait()?;
        for n in 0..round as u64 {
            assert_eq!(got.recv().timeout(LONG).wait()?, n);
        }
        assert_eq!(got.recv().timeout(LONG).wait(), Err(RecvError::Closed));
    }
    drop((ask, peer, a));
    answerer.join().expect("the answerer ends");
    Ok(())
}

#[test]
fn a_receiver_in_a_message_brings_its_queue_along() -> Outcome {
    let (a, _b, peer) = pair()?;
    let mut feeds: Receiver<Feed> = a.export("feeds")?;
    let mut out = peer.import::<Sender<Feed>>("feeds").wait()?;
    let (mut values, value_end) = channel(8);
    let (mut big, big_end) = channel(8);
    for n in 0..5 {
        values.send(n).wait()?;
        big.send(Bytes::from(vec![n as u8; 30_000])).wait()?;
    }
    out.send(Feed { values: Some(value_end), big: big_end }).timeout(LONG).wait()?;
    let sender = thread::spawn(move || {
        for n in 5..3000 {
            values.send(n).timeout(LONG).wait().expect("the far end receives");
        }
        values.drain().timeout(LONG).wait().expect("the far end takes all");
        drop(big);
    });
    let mut feed = feeds.recv().timeout(LONG).wait()?;
    let mut far = feed.values.take().ok_or("the end is there")?;
    for n in 0..3000 {
        assert_eq!(far.recv().timeout(LONG).wait()?, n);
    }
    assert_eq!(far.recv().timeout(LONG).wait(), Err(RecvError::Closed));
    for n in 0..5 {
        assert_eq!(&feed.big.recv().timeout(LONG).wait()?[..], &vec![n; 30_000][..]);
    }
    assert_eq!(feed.big.recv().timeout(LONG).wait(), Err(RecvError::Closed));
    sender.join().expect("the sender ends");
    Ok(())
}

#[test]
fn an_end_in_a_message_that_nobody_takes_is_told() -> Outcome {
    let (a, _b, peer) = pair()?;
    let questions: Receiver<Question> = a.export("ask")?;
    let mut ask = peer.import::<Sender<Question>>("ask").wait()?;
    let (answers, mut got) = channel(4);
    ask.send(Question { text: String::new(), answers }).timeout(LONG).wait()?;
    drop(questions);
    match got.recv().timeout(LONG).wait() {
        Err(RecvError::Dead(dead)) => assert_eq!(dead.reason, Reason::NotTaken),
        other => panic!("{other:?}"),
    }
    Ok(())
}

#[test]
fn an_end_that_cannot_travel_comes_back_with_its_value() -> Outcome {
    let (a, b, peer) = pair()?;
    let _questions: Receiver<Question> = a.export("ask")?;
    let mut ask = peer.import::<Sender<Question>>("ask").wait()?;
    let exported: Sender<u64> = b.export("mine")?;
    let error = ask.send(Question { text: String::new(), answers: exported }).timeout(LONG).wait();
    let error = error.expect_err("an exported end belongs to its name");
    assert!(matches!(error.cause(), SendCause::Ends(_)), "{error}");
    let back = error.into_value().ok_or("the value is given back")?;
    assert_eq!(back.answers.importers(), 0);
    drop(a);
    let (answers, mut got) = channel(1);
    // The link is gone or goes: the value comes back, and its end still works here.
    if let Err(error) = ask.send(Question { text: String::new(), answers }).timeout(LONG).wait() {
        let mut back = error.into_value().ok_or("the value is given back")?;
        back.answers.send(7).wait()?;
        assert_eq!(got.recv().timeout(LONG).wait()?, 7);
    } else {
        assert!(got.recv().timeout(LONG).wait().is_err());
    }
    Ok(())
}

#[test]
fn an_imported_end_moves_on_and_is_served_through_the_node_between() -> Outcome {
    let (c, b, to_c) = pair()?;
    let mut far: Receiver<u64> = c.export("far")?;
    let a = Node::new("first");
    let listener = tcp::listen(&b, "127.0.0.1:0")?;
    let to_b = tcp::connect(&a, listener.address()).wait()?;
    let mut give: Sender<Question> = b.export("give")?;
    let mut take = to_b.import::<Receiver<Question>>("give").wait()?;
    let answers = to_c.import::<Sender<u64>>("far").wait()?;
    give.send(Question { text: "to c".into(), answers }).timeout(LONG).wait()?;
    let mut question = take.recv().timeout(LONG).wait()?;
    let sender = thread::spawn(move || {
        for n in 0..5000 {
            question.answers.send(n).timeout(LONG).wait().expect("the way is open");
        }
        question.answers.drain().timeout(LONG).wait().expect("the far program takes all");
    });
    for n in 0..5000 {
        assert_eq!(far.recv().timeout(LONG).wait()?, n);
    }
    sender.join().expect("the sender ends");
    Ok(())
}

#[derive(Serialize, Deserialize, Message, Debug)]
struct Several {
    ends: [Option<Receiver<u64>>; 3],
}

/// A message is refused as a whole when there is no room for all of its ends: none of them turns up in the next.
#[test]
fn ends_of_a_message_that_was_refused_do_not_come_with_the_next_one() -> Outcome {
    let mut config = Config::default();
    config.channels_per_link = 3;
    let a = Node::with_config("a", config)?;
    let listener = tcp::listen(&a, "127.0.0.1:0")?;
    // The same by memory: two of these ends are 8 KiB.
    for reserve_per_link in [Config::default().reserve_per_link, 10 * 1024] {
        let mut several: Receiver<Several> = a.export("several")?;
        let mut config = Config::default();
        config.reserve_per_link = reserve_per_link;
        let b = Node::with_config("b", config)?;
        let peer = tcp::connect(&b, listener.address()).wait()?;
        let mut out = peer.import::<Sender<Several>>("several").wait()?;
        let (mut senders, mut ends) = (Vec::new(), Vec::new());
        for n in 0..3 {
            let (sender, end) = channel(1);
            sender.try_send(n)?;
            senders.push(sender);
            ends.push(Some(end));
        }
        let error = out.send(Several { ends: ends.try_into().expect("three") }).wait().unwrap_err();
        assert_eq!(error.cause(), SendCause::Dead(Dead::here(Reason::NoResources)));
        let [_, second, _] = error.into_value().ok_or("the value is given back")?.ends;
        out.send(Several { ends: [None, second, None] }).wait()?;
        let got = several.recv().timeout(LONG).wait()?;
        let [None, Some(mut end), None] = got.ends else { return Err("one end".into()) };
        assert_eq!(end.recv().timeout(LONG).wait()?, 1, "it is the second one");
    }
    Ok(())
}

/// The middle one imports an end from the first, and gives it on to the third.
struct Three {
    nodes: [Node; 3],
    to_first: Peer,
    to_third: Peer,
}

/// Which end of a channel of the first node the third one uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Moved {
    Receiver,
    Sender,
}

const EITHER: [Moved; 2] = [Moved::Receiver, Moved::Sender];

impl Three {
    fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let nodes = ["first", "middle", "third"].map(Node::new);
        let [first, middle, third] = &nodes;
        let to_first = tcp::connect(middle, tcp::listen(first, "127.0.0.1:0")?.address()).wait()?;
        let to_third = tcp::connect(middle, tcp::listen(third, "127.0.0.1:0")?.address()).wait()?;
        Ok(Self { nodes, to_first, to_third })
    }

    /// An end of a channel between the first and the third, through the middle one.
    fn channel<T>(&self, moved: Moved) -> Result<(Sender<T>, Receiver<T>), Box<dyn std::error::Error>>
    where
        T: Message + Send + std::fmt::Debug + 'static,
    {
        let [first, _, third] = &self.nodes;
        Ok(match moved {
            Moved::Receiver => {
                let sender = first.export("values")?;
                let end = self.to_first.import::<Receiver<T>>("values").wait()?;
                (sender, give(&self.to_third, third, end)?)
            }
            Moved::Sender => {
                // So that it is told of the end, as an imported one is.
                let exclusive = ExportOptions::fanout(Fanout::Exclusive);
                let receiver = first.export_with("values", exclusive)?;
                let end = self.to_first.import::<Sender<T>>("values").wait()?;
                (give(&self.to_third, third, end)?, receiver)
            }
        })
    }

    /// The nodes of the sender, between, and of the receiver.
    fn along(self, moved: Moved) -> [Node; 3] {
        let [first, middle, third] = self.nodes;
        match moved {
            Moved::Receiver => [first, middle, third],
            Moved::Sender => [third, middle, first],
        }
    }
}

/// Gives an end to the program of the node at the other side.
fn give<E>(peer: &Peer, to: &Node, end: E) -> Result<E, Box<dyn std::error::Error>>
where
    E: Message + Send + std::fmt::Debug + 'static,
{
    let mut inbox: Receiver<E> = to.export("inbox")?;
    let mut out = peer.import::<Sender<E>>("inbox").wait()?;
    out.send(end).timeout(LONG).wait()?;
    Ok(inbox.recv().timeout(LONG).wait()?)
}

/// Waits until a drain says that so many values are taken.
#[track_caller]
fn until_confirmed<T: Message + Send>(sender: &mut Sender<T>, taken: u64) {
    eventually("they are confirmed", || {
        let drained = sender.drain().timeout(Duration::from_millis(20)).wait();
        let confirmed = match drained {
            Ok(()) => sender.account().confirmed,
            Err(DrainError { account, dead, .. }) => {
                assert_eq!(dead, None);
                account.confirmed
            }
        };
        assert!(confirmed <= taken, "{confirmed} of {taken}");
        (confirmed == taken).then_some(())
    });
}

#[track_caller]
fn assert_account(account: Account, [confirmed, in_doubt, unsent]: [u64; 3]) {
    assert_eq!([account.confirmed, account.in_doubt, account.unsent], [confirmed, in_doubt, unsent]);
}

/// The node between once confirmed what it had sent on: a drain said that all was taken where nobody had taken anything.
#[test]
fn what_the_node_between_has_sent_on_is_not_confirmed() -> Outcome {
    for moved in EITHER {
        let three = Three::new()?;
        let (mut sender, mut receiver) = three.channel(moved)?;
        for n in 0..10_u64 {
            sender.send(n).timeout(LONG).wait()?;
        }
        let error =
            sender.drain().timeout(Duration::from_millis(200)).wait().expect_err("nobody has taken any");
        assert_eq!((error.account.confirmed, error.dead), (0, None), "{moved:?}");
        for n in 0..4 {
            assert_eq!(receiver.recv().timeout(LONG).wait()?, n);
        }
        until_confirmed(&mut sender, 4);
        let draining = common::spawn(move || (sender.drain().timeout(LONG).wait(), sender));
        for n in 4..10 {
            assert_eq!(receiver.recv().timeout(LONG).wait()?, n);
        }
        let (drained, mut sender) = draining.join();
        drained?;
        assert_account(sender.account(), [10, 0, 0]);
        sender.send(10).timeout(LONG).wait()?;
        drop(receiver);
        let error = sender.drain().timeout(LONG).wait().expect_err("it was not taken");
        assert_eq!(error.dead.map(|dead| dead.reason), Some(Reason::HungUp), "{moved:?}");
        assert_account(error.account, [10, 1, 0]);
    }
    Ok(())
}

/// What the middle program itself has sent or taken before it gave the end away counts as before.
#[test]
fn what_came_before_the_move_is_counted_once() -> Outcome {
    let Three { nodes: [first, _middle, third], to_first, to_third } = Three::new()?;
    let mut sender: Sender<u64> = first.export("out")?;
    let mut receiver = to_first.import::<Receiver<u64>>("out").wait()?;
    for n in 0..10 {
        sender.send(n).timeout(LONG).wait()?;
    }
    for n in 0..3 {
        assert_eq!(receiver.recv().timeout(LONG).wait()?, n);
    }
    // A question that is open while the end moves.
    let draining = common::spawn(move || (sender.drain().timeout(LONG).wait(), sender));
    let mut receiver = give(&to_third, &third, receiver)?;
    for n in 3..10 {
        assert_eq!(receiver.recv().timeout(LONG).wait()?, n);
    }
    let (drained, sender) = draining.join();
    drained?;
    assert_account(sender.account(), [10, 0, 0]);

    let mut receiver: Receiver<u64> = first.export("in")?;
    let mut sender = to_first.import::<Sender<u64>>("in").wait()?;
    for n in 0..3 {
        sender.send(n).timeout(LONG).wait()?;
    }
    let mut sender = give(&to_third, &third, sender)?;
    for n in 3..10 {
        sender.send(n).timeout(LONG).wait()?;
    }
    for n in 0..5 {
        assert_eq!(receiver.recv().timeout(LONG).wait()?, n);
    }
    until_confirmed(&mut sender, 2);
    for n in 5..10 {
        assert_eq!(receiver.recv().timeout(LONG).wait()?, n);
    }
    sender.drain().timeout(LONG).wait()?;
    assert_account(sender.account(), [7, 0, 0]);
    Ok(())
}

/// A node that is gone, wherever it is, is told to both sides, and the account adds up.
#[test]
fn the_account_of_an_end_that_has_moved_on_adds_up_where_it_is_cut() -> Outcome {
    for moved in EITHER {
        for gone in 0..3 {
            let three = Three::new()?;
            let (mut sender, mut receiver) = three.channel(moved)?;
            for n in 0..10_u64 {
                sender.send(n).timeout(LONG).wait()?;
            }
            for n in 0..4 {
                assert_eq!(receiver.recv().timeout(LONG).wait()?, n);
            }
            until_confirmed(&mut sender, 4);
            three.along(moved)[gone].shutdown(Duration::ZERO);
            let error = sender.drain().timeout(LONG).wait().expect_err("they will not be taken");
            assert!(error.dead.is_some(), "{moved:?} {gone}: {error}");
            assert_account(error.account, [4, 6, 0]);
            if gone < 2 {
                // What has come is still delivered.
                let mut next = 4;
                let over = loop {
                    match receiver.recv().timeout(LONG).wait() {
                        Ok(n) if n == next => next += 1,
                        Ok(n) => panic!("{n} instead of {next}"),
                        Err(over) => break over,
                    }
                };
                let (RecvError::Dead(dead) | RecvError::Left { dead: Some(dead), .. }) = over else {
                    panic!("{moved:?} {gone}: {over:?}");
                };
                assert_eq!(dead.reason, Reason::Shutdown, "{moved:?} {gone}");
            }
        }
    }
    Ok(())
}

/// Memory is bounded by what was promised: a far program that takes nothing holds the sender up, and what the node between
/// has at that moment is in doubt when the far program goes.
#[test]
fn a_far_program_that_takes_nothing_holds_the_sender_up() -> Outcome {
    for moved in EITHER {
        let three = Three::new()?;
        let (mut sender, mut receiver) = three.channel(moved)?;
        let value = |n: u64| Bytes::from(vec![n as u8; 60_000]);
        let mut sent = 0;
        let held_up = loop {
            match sender.send(value(sent)).timeout(Duration::from_millis(300)).wait() {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
            assert!(sent < 1000, "{moved:?}: nothing holds it up");
        };
        assert!(matches!(held_up.cause(), SendCause::Deadline), "{held_up}");
        for n in 0..3 {
            assert_eq!(receiver.recv().timeout(LONG).wait()?, value(n));
        }
        until_confirmed(&mut sender, 3);
        drop(receiver);
        let error = sender.drain().timeout(LONG).wait().expect_err("they will not be taken");
        assert_eq!(error.dead.map(|dead| dead.reason), Some(Reason::HungUp), "{moved:?}");
        assert_eq!((error.account.confirmed, error.account.sent()), (3, sent), "{moved:?}");
    }
    Ok(())
}

/// The end comes behind all values, large and small.
#[test]
fn an_end_that_has_moved_on_ends_in_order() -> Outcome {
    for moved in EITHER {
        let three = Three::new()?;
        let (mut sender, mut receiver) = three.channel(moved)?;
        let value = |n: usize| Bytes::from(vec![n as u8; if n.is_multiple_of(3) { 50_000 } else { n }]);
        let sending = common::spawn(move || {
            for n in 0..300 {
                sender.send(value(n)).timeout(LONG).wait().expect("somebody receives");
            }
        });
        for n in 0..300 {
            assert_eq!(receiver.recv().timeout(LONG).wait()?, value(n));
        }
        sending.join();
        let over = receiver.recv().timeout(LONG).wait();
        assert!(matches!(over, Err(RecvError::Closed | RecvError::Left { dead: None, .. })), "{over:?}");
        drop(receiver);
        // Nothing is left of it on either link.
        let [sends, middle, receives] = three.along(moved);
        eventually("the circuits are over", || {
            let open = |node: &Node| node.links().iter().map(|link| link.circuits).sum::<u32>();
            (open(&sends) + open(&middle) + open(&receives) == 0).then_some(())
        });
    }
    Ok(())
}

/// The node between serves the one between and the last: all three tell the sender no more than what the last has taken.
#[test]
fn an_end_that_moves_on_twice_confirms_what_the_last_program_takes() -> Outcome {
    for moved in EITHER {
        let three = Three::new()?;
        let last = Node::new("last");
        let listener = tcp::listen(&last, "127.0.0.1:0")?;
        let to_last = tcp::connect(&three.nodes[2], listener.address()).wait()?;
        let (sender, receiver) = three.channel::<u64>(moved)?;
        let (mut sender, mut receiver) = match moved {
            Moved::Receiver => (sender, give(&to_last, &last, receiver)?),
            Moved::Sender => (give(&to_last, &last, sender)?, receiver),
        };
        for n in 0..10 {
            sender.send(n).timeout(LONG).wait()?;
        }
        for n in 0..7 {
            assert_eq!(receiver.recv().timeout(LONG).wait()?, n);
        }
        until_confirmed(&mut sender, 7);
        drop(receiver);
        let error = sender.drain().timeout(LONG).wait().expect_err("they will not be taken");
        assert_eq!(error.dead.map(|dead| dead.reason), Some(Reason::HungUp), "{moved:?}");
        assert_account(error.account, [7, 3, 0]);
    }
    Ok(())
}

/// Values with channel ends inside cannot be served through a node between: both sides are told, and whoever waits on those ends.
#[test]
fn ends_in_messages_of_an_end_that_has_moved_on_are_told() -> Outcome {
    for moved in EITHER {
        let three = Three::new()?;
        let (mut sender, mut receiver) = three.channel::<Question>(moved)?;
        let (answers, mut got) = channel(4);
        sender.send(Question { text: String::new(), answers }).timeout(LONG).wait()?;
        let error = got.recv().timeout(LONG).wait().expect_err("nobody answers");
        assert!(matches!(error, RecvError::Dead(dead) if dead.reason == Reason::NotTaken), "{error:?}");
        let Err(RecvError::Dead(dead) | RecvError::Left { dead: Some(dead), .. }) =
            receiver.recv().timeout(LONG).wait()
        else {
            panic!("it does not come");
        };
        assert_eq!(dead.reason, Reason::NotTaken, "{moved:?}");
        let error = sender.drain().timeout(LONG).wait().expect_err("it is not taken");
        assert_account(error.account, [0, 1, 0]);
    }
    Ok(())
}
