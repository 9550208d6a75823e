//! Several senders into one channel.

mod common;

use common::{Outcome, SOON, Tick, eventually, spawn, tick};
use netchan::host::CloneError;
use netchan::{
    ExportOptions, Fanout, Message, Node, Peer, Receiver, Reconnect, RecvError, SendCause, Sender, channel,
};
use netchan_tcp as tcp;
use serde::{Deserialize, Serialize};

fn pair() -> Result<(Node, Node, Peer), Box<dyn std::error::Error>> {
    let a = Node::new("a");
    let listener = tcp::listen(&a, "127.0.0.1:0")?;
    let b = Node::new("b");
    let peer = tcp::connect(&b, listener.address()).wait()?;
    Ok((a, b, peer))
}

/// Every clone's values come in their order, none is lost, and the end comes after all.
fn all_arrive(first: Sender<(u8, u32)>, mut into: Receiver<(u8, u32)>) -> Outcome {
    const SENDERS: u8 = 8;
    const EACH: u32 = 500;
    let mut senders = vec![first];
    while senders.len() < usize::from(SENDERS) {
        senders.push(senders[0].try_clone()?);
    }
    let sending: Vec<_> = senders
        .into_iter()
        .zip(0..)
        .map(|(mut sender, who)| {
            spawn(move || (0..EACH).try_for_each(|n| sender.send((who, n)).timeout(SOON).wait()).is_ok())
        })
        .collect();
    let mut next = [0; SENDERS as usize];
    for _ in 0..u32::from(SENDERS) * EACH {
        let (who, n) = into.recv().timeout(SOON).wait()?;
        assert_eq!(n, next[usize::from(who)]);
        next[usize::from(who)] += 1;
    }
    assert_eq!(next, [EACH; SENDERS as usize]);
    for sent in sending {
        assert!(sent.join());
    }
    Ok(())
}

#[test]
fn values_of_all_clones_arrive_however_little_room_there_is() -> Outcome {
    let (out, into) = channel(1);
    all_arrive(out, into)?;

    let (a, _b, peer) = pair()?;
    let into: Receiver<(u8, u32)> = a.export("imported")?;
    all_arrive(peer.import("imported").wait()?, into)?;

    let out: Sender<(u8, u32)> = a.export("exported")?;
    let into = peer.import("exported").window(1).wait()?;
    all_arrive(out, into)
}

#[test]
fn the_channel_ends_with_the_last_clone() -> Outcome {
    let (a, _b, peer) = pair()?;
    let mut into: Receiver<Tick> = a.export("orders")?;
    let mut first = peer.import::<Sender<Tick>>("orders").wait()?;
    let mut second = first.try_clone()?;
    first.send(tick(1)).wait()?;
    drop(first);
    second.send(tick(2)).wait()?;
    second.drain().timeout(std::time::Duration::from_millis(1)).wait().expect_err("nobody has taken them");
    assert_eq!((into.recv().timeout(SOON).wait()?, into.recv().timeout(SOON).wait()?), (tick(1), tick(2)));
    second.drain().timeout(SOON).wait()?;
    assert_eq!(second.account().confirmed, 2, "of the channel");
    assert_eq!(into.try_recv(), Err(RecvError::Empty));
    assert_eq!(a.next_event().map(|_| ()), Some(()));
    drop(second);
    eventually("the importer leaves", || {
        a.next_event().filter(|event| matches!(event, netchan::LinkEvent::Left { dead: None, .. }))
    });

    let (first, mut into) = channel::<u8>(4);
    let second = first.try_clone()?;
    drop(first);
    assert_eq!(into.try_recv(), Err(RecvError::Empty));
    second.try_send(7)?;
    drop(second);
    assert_eq!(into.recv().wait(), Ok(7));
    assert_eq!(into.recv().wait(), Err(RecvError::Closed));
    Ok(())
}

#[test]
fn a_receiver_that_is_gone_is_told_to_every_clone_that_waits() -> Outcome {
    let (mut first, into) = channel::<u8>(1);
    first.send(0).wait()?;
    let waiting: Vec<_> = (0..4)
        .map(|n| {
            let mut clone = first.try_clone().expect("there is room");
            spawn(move || clone.send(n).wait().is_err())
        })
        .collect();
    drop(into);
    for wait in waiting {
        assert!(wait.join());
    }
    Ok(())
}

#[test]
fn clones_have_a_limit_and_places_are_free_again() -> Outcome {
    let (first, _into) = channel::<u8>(1);
    let mut clones = Vec::new();
    let error = loop {
        match first.try_clone() {
            Ok(clone) => clones.push(clone),
            Err(error) => break error,
        }
    };
    assert_eq!((clones.len(), error), (63, CloneError::Full));
    clones.pop();
    let _another = first.try_clone()?;
    assert_eq!(first.try_clone().err(), Some(CloneError::Full));
    Ok(())
}

#[test]
fn a_number_of_values_is_that_of_all_clones() -> Outcome {
    let (a, _b, peer) = pair()?;
    let mut into: Receiver<Tick> = a.export("orders")?;
    let mut first = peer.import::<Sender<Tick>>("orders").values(2).wait()?;
    let mut second = first.try_clone()?;
    first.send(tick(1)).wait()?;
    second.send(tick(2)).wait()?;
    assert_eq!(first.send(tick(3)).wait().map_err(|error| error.cause()), Err(SendCause::Closed));
    assert_eq!(second.send(tick(3)).wait().map_err(|error| error.cause()), Err(SendCause::Closed));
    assert_eq!((into.recv().timeout(SOON).wait()?, into.recv().timeout(SOON).wait()?), (tick(1), tick(2)));
    Ok(())
}

#[derive(Serialize, Deserialize, Message, Debug)]
struct Subscribe {
    to: Sender<Tick>,
}

#[test]
fn what_cannot_be_shared_says_so() -> Outcome {
    let (a, b, peer) = pair()?;
    let options = ExportOptions::fanout(Fanout::Broadcast);
    let all: Sender<Tick> = a.export_with("all", options)?;
    assert_eq!(all.try_clone().err(), Some(CloneError::Unsupported));

    let _orders: Receiver<Tick> = a.export("orders")?;
    let address = tcp::listen(&a, "127.0.0.1:0")?.address();
    let kept = tcp::connect(&b, address).reconnect(Reconnect::new()).wait()?;
    let orders = kept.import::<Sender<Tick>>("orders").reopen().wait()?;
    assert_eq!(orders.try_clone().err(), Some(CloneError::Unsupported));

    // One that is shared stays where it is; alone again it can go.
    let mut into: Receiver<Subscribe> = a.export("subscribe")?;
    let mut out = peer.import::<Sender<Subscribe>>("subscribe").wait()?;
    let (to, mut ticks) = channel(4);
    let clone = to.try_clone()?;
    let refused = out.send(Subscribe { to }).wait().expect_err("it is shared");
    assert!(matches!(refused.cause(), SendCause::Ends(_)), "{refused}");
    let to = refused.into_value().expect("it is given back").to;
    to.try_send(tick(1))?;
    drop(clone);
    out.send(Subscribe { to }).wait()?;
    let mut far = into.recv().timeout(SOON).wait()?.to;
    far.send(tick(2)).timeout(SOON).wait()?;
    assert_eq!((ticks.recv().timeout(SOON).wait()?, ticks.recv().timeout(SOON).wait()?), (tick(1), tick(2)));
    Ok(())
}
