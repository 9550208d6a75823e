//! Channel ends inside messages.

use std::thread;
use std::time::Duration;

use netchan::{
    Bytes, Config, Dead, Message, Node, Peer, Reason, Receiver, RecvError, SendCause, Sender, channel,
};
use netchan_tcp as tcp;
use serde::{Deserialize, Serialize};

type Outcome = Result<(), Box<dyn std::error::Error>>;

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
        question.answers.drain().timeout(LONG).wait().expect("the relay has taken all");
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
