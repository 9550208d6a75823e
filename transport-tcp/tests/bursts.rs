//! Short values in a burst go their own way to the link: nothing of what a channel promises may depend on that.

mod common;

use common::{Outcome, SOON, spawn};
use netchan::{Message, Node, Peer, Receiver, SendCause, Sender, channel};
use netchan_tcp as tcp;
use serde::{Deserialize, Serialize};

fn pair() -> Result<(Node, Node, Peer), Box<dyn std::error::Error>> {
    let a = Node::new("a");
    let listener = tcp::listen(&a, "127.0.0.1:0")?;
    let b = Node::new("b");
    let peer = tcp::connect(&b, listener.address()).wait()?;
    Ok((a, b, peer))
}

fn next(random: &mut u64) -> u64 {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *random >> 33
}

#[test]
fn the_last_value_of_a_burst_does_not_wait_for_the_next_burst() -> Outcome {
    let (a, _b, peer) = pair()?;
    let mut into: Receiver<(u32, u64)> = a.export("x")?;
    let mut out = peer.import::<Sender<(u32, u64)>>("x").wait()?;
    let (mut sent, mut random) = (0, 7);
    for burst in 1..300 {
        for _ in 0..burst {
            out.send((sent, next(&mut random))).timeout(SOON).wait()?;
            sent += 1;
        }
        // Nobody waits at the sender's node.
        for n in sent - burst..sent {
            assert_eq!(into.recv().timeout(SOON).wait()?.0, n);
        }
    }
    Ok(())
}

#[derive(Serialize, Deserialize, Message, Debug)]
struct Ends {
    many: Sender<u64>,
    marks: Sender<u64>,
}

/// Channels of one link are as one line for whoever sends on them, whichever has streamed first.
#[test]
fn what_a_thread_sends_first_on_a_link_arrives_first() -> Outcome {
    const ROUNDS: u64 = 1_000;
    let (a, _b, peer) = pair()?;
    let mut ends: Receiver<Ends> = a.export("ends")?;
    let mut hand = peer.import::<Sender<Ends>>("ends").wait()?;
    // The receivers that stay here hear of what comes while the link is locked, so that one look is enough.
    let (many, mut many_in) = channel(1);
    let (marks, mut marks_in) = channel(1);
    hand.send(Ends { many, marks }).timeout(SOON).wait()?;
    let Ends { many: mut out, marks: mut mark } = ends.recv().timeout(SOON).wait()?;
    let sending = spawn(move || {
        for _ in 0..100 {
            mark.send(0).timeout(SOON).wait()?;
        }
        let mut sent = 0;
        for round in 1..=ROUNDS {
            for _ in 0..round % 40 {
                out.send(sent).timeout(SOON).wait()?;
                sent += 1;
            }
            mark.send(sent).timeout(SOON).wait()?;
        }
        Ok::<_, netchan::SendError<u64>>(())
    });
    let mut taken = 0;
    for _ in 0..100 + ROUNDS {
        let before = marks_in.recv().timeout(SOON).wait()?;
        while taken < before {
            assert_eq!(many_in.try_recv(), Ok(taken), "was sent before the mark");
            taken += 1;
        }
    }
    Ok(sending.join()?)
}

/// Sent last.
const END: u32 = u32::MAX;

#[test]
fn all_ways_to_send_keep_one_order_and_one_credit() -> Outcome {
    for seed in 1..5 {
        let (a, _b, peer) = pair()?;
        let mut into: Receiver<u32> = a.export("x")?;
        let mut out = peer.import::<Sender<u32>>("x").wait()?;
        let sending = spawn(move || {
            let (mut n, mut random) = (0, seed);
            while n < 20_000 {
                let some: Vec<_> = (n..n + 1 + next(&mut random) as u32 % 50).collect();
                n += some.len() as u32;
                match next(&mut random) % 8 {
                    0 => {
                        for value in some {
                            match out.try_send(value) {
                                Err(error) if error.cause() == SendCause::Full => {
                                    out.send(value).timeout(SOON).wait().unwrap();
                                }
                                result => result.unwrap(),
                            }
                        }
                    }
                    1 => out.send_batch(&some).timeout(SOON).wait().unwrap(),
                    2 => {
                        for value in some {
                            out.reserve().timeout(SOON).wait().unwrap().send(value).unwrap();
                        }
                    }
                    3 if n > 15_000 => {
                        // From here on the channel is shared.
                        let mut clone = out.try_clone().unwrap();
                        for value in some {
                            clone.send(value).timeout(SOON).wait().unwrap();
                        }
                    }
                    _ => {
                        for value in some {
                            out.send(value).timeout(SOON).wait().unwrap();
                        }
                    }
                }
                assert_eq!(out.account().sent(), u64::from(n));
            }
            out.send(END).timeout(SOON).wait().unwrap();
            out.drain().timeout(SOON).wait().unwrap();
            (out.account().confirmed, n)
        });
        let mut expected = 0;
        loop {
            match into.recv().timeout(SOON).wait()? {
                END => break,
                value => assert_eq!(value, expected, "seed {seed}"),
            }
            expected += 1;
        }
        assert_eq!(sending.join(), (u64::from(expected) + 1, expected));
    }
    Ok(())
}

#[test]
fn a_burst_that_is_cut_is_accounted_for_to_the_last_value() -> Outcome {
    for cut_after in [1, 10, 1_000, 30_000] {
        let (a, b, peer) = pair()?;
        let mut into: Receiver<u64> = a.export("x")?;
        let mut out = peer.import::<Sender<u64>>("x").wait()?;
        let sending = spawn(move || {
            let mut sent = 0;
            let error = loop {
                match out.send(sent).timeout(SOON).wait() {
                    Ok(()) => sent += 1,
                    Err(error) => break error,
                }
            };
            (out, sent, error.cause())
        });
        for n in 0..cut_after {
            assert_eq!(into.recv().timeout(SOON).wait()?, n);
        }
        drop((into, a));
        let (out, sent, cause) = sending.join();
        assert!(matches!(cause, SendCause::Dead(_)), "{cause:?}");
        let account = out.account();
        assert_eq!(account.sent(), sent, "{account:?}");
        assert!(account.confirmed <= cut_after && account.dropped == 0, "{account:?}");
        drop(b);
    }
    Ok(())
}
