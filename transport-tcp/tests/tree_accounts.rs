//! Posts, questions and a stream to a node whose way is lost at any moment: what is told of each is what became of it.
//!
//! The laws, asked of both sides when the way is gone:
//!
//! - What was told as taken was taken, and once.
//! - What was refused was never taken, and what is in doubt at most once.
//! - A stream was taken in order and without a gap. Its account adds up to what was sent, and what was taken lies between what is
//!   confirmed and that with what is in doubt.
//! - Nobody waits for longer than a loss takes to be told.
//!
//! `NETCHAN_SEED` chooses the same lengths, times and losses again, `NETCHAN_LONG=1` goes on for a minute.

mod common;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::cable::Cable;
use common::{Rng, SOON, Task, by_chance_for, calm, eventually, spawn};
use netchan::host::{Remote, Visibility};
use netchan::{Account, AskError, ExportOptions, Message, Node, Receiver, Sender, Server};
use netchan_tcp as tcp;

/// Its number, as often as it is long.
type Value = Vec<u64>;

fn adopts(node: &Node) -> SocketAddr {
    tcp::listen_with(node, "127.0.0.1:0", tcp::Options::new().adopt()).expect("a free port").address()
}

fn in_tree() -> ExportOptions {
    ExportOptions::default().visible_to(Visibility::Tree)
}

/// A node below the one that listens there, and what is between them.
fn below(name: &str, parent: SocketAddr) -> (Node, Cable) {
    let (cable, through) = Cable::new(parent);
    let node = Node::new(name);
    let join = tcp::Options::new().join().live_on();
    tcp::connect_with(&node, through, join).timeout(SOON).wait().expect("it is adopted");
    (node, cable)
}

/// What a program has taken, in order.
type Taken = Arc<Mutex<Vec<u64>>>;

/// Takes, until its node is shut, what `next` waits for, and keeps its number; some programs need time for each.
fn takes(taken: &Taken, is_slow: bool, mut next: impl FnMut() -> Option<u64> + Send + 'static) -> Task<()> {
    let taken = Arc::clone(taken);
    spawn(move || {
        while let Some(number) = next() {
            taken.lock().expect("nobody panics").push(number);
            if is_slow {
                thread::park_timeout(Duration::from_millis(1));
            }
        }
    })
}

fn receives<T: Message + Send + 'static>(mut end: Receiver<T>) -> impl FnMut() -> Option<T> + Send + 'static {
    move || end.recv().wait().ok()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Taken,
    Refused,
    InDoubt,
}

/// One message or question, and what its sender is told.
fn one_off(remote: &Remote, number: u64, rng: &mut Rng) -> Verdict {
    let value = vec![number; rng.one_of(&[1, 3, 20, 60, 3000])];
    let since = Instant::now();
    let verdict = if rng.below(3) == 0 {
        match remote.ask::<Value, u64>("questions", value).timeout(2 * SOON).wait() {
            Ok(answer) => {
                assert_eq!(answer, number, "another one's answer");
                Verdict::Taken
            }
            Err(error) if matches!(*error, AskError::Refused(_)) => Verdict::Refused,
            Err(_) => Verdict::InDoubt,
        }
    } else {
        match remote.post("posts", value).timeout(2 * SOON).wait() {
            Ok(()) => Verdict::Taken,
            Err(error) if error.may_have_arrived() => Verdict::InDoubt,
            Err(_) => Verdict::Refused,
        }
    };
    assert!(since.elapsed() < SOON, "{verdict:?} after {:?}", since.elapsed());
    verdict
}

/// Sends until the way is lost: the numbers that went in, and the account of them.
fn streams(remote: &Remote, next: &AtomicU64, mut rng: Rng) -> Option<(Vec<u64>, Account)> {
    // It may be lost before there is a stream.
    let mut sender = remote.import::<Sender<Value>>("stream").timeout(SOON).wait().ok()?;
    let mut sent = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let value = vec![number; rng.one_of(&[1, 1, 20, 2000, 7000])];
        let since = Instant::now();
        let result = sender.send(value).timeout(2 * SOON).wait();
        assert!(since.elapsed() < SOON, "{result:?} after {:?}", since.elapsed());
        if result.is_err() {
            return Some((sent, sender.account()));
        }
        sent.push(number);
    }
}

/// What has happened in all rounds, for the laws to mean something.
#[derive(Debug, Default)]
struct Sum {
    rounds: u32,
    taken: u64,
    refused: u64,
    in_doubt: u64,
    streamed: u64,
}

#[test]
fn what_is_told_of_messages_whose_way_is_lost_is_what_became_of_them() {
    let _calm = calm();
    let mut rng = Rng::new("accounts");
    let hub = Node::new("hub");
    let hub_at = adopts(&hub);
    let desk = Node::new("desk");
    tcp::join(&desk, hub_at).wait().expect("it is adopted");
    let next = Arc::new(AtomicU64::new(1));
    let mut sum = Sum::default();
    let began = Instant::now();
    while began.elapsed() < by_chance_for() {
        let (mid, mid_cable) = below("mid", hub_at);
        let (leaf, leaf_cable) = below("leaf", adopts(&mid));
        let free = "each name is free";
        let mut server: Server<Value, u64> = leaf.export_with("questions", in_tree()).expect(free);
        let mut posts = receives::<Value>(leaf.export_with("posts", in_tree()).expect(free));
        let mut stream = receives::<Value>(leaf.export_with("stream", in_tree()).expect(free));
        eventually("the hub knows all", || (hub.nodes().len() == 3).then_some(()));

        let is_slow = rng.below(3) == 0;
        let [one_offs, streamed] = [Taken::default(), Taken::default()];
        let answer = move || {
            let request = server.recv().wait().ok()?;
            let number = request[0];
            // Its asker may be cut off.
            let _ = request.reply(number).wait();
            Some(number)
        };
        let takers = [
            takes(&one_offs, is_slow, move || Some(posts()?[0])),
            takes(&one_offs, is_slow, answer),
            takes(&streamed, is_slow, move || Some(stream()?[0])),
        ];

        let remote = desk.remote("mid/leaf");
        let sender = {
            let (remote, next, rng) = (remote.clone(), Arc::clone(&next), rng.fork());
            spawn(move || streams(&remote, &next, rng))
        };
        let loss = {
            let (mid, leaf) = (mid.clone(), leaf.clone());
            let (which, after) = (rng.below(4), Duration::from_micros(500 + 500 * rng.below(40)));
            spawn(move || {
                thread::park_timeout(after);
                match which {
                    0 => mid_cable.cut(),
                    1 => leaf_cable.cut(),
                    2 => drop(mid.shutdown(Duration::ZERO)),
                    _ => drop(leaf.shutdown(Duration::ZERO)),
                }
            })
        };
        let mut verdicts = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let verdict = one_off(&remote, number, &mut rng);
            verdicts.push((number, verdict));
            if verdict == Verdict::Refused {
                break;
            }
        }
        loss.join();
        let sent = sender.join();
        mid.shutdown(Duration::ZERO);
        leaf.shutdown(Duration::ZERO);
        for taker in takers {
            taker.join();
        }

        let mut times = HashMap::<u64, u32>::new();
        for number in &*one_offs.lock().expect("nobody panics") {
            *times.entry(*number).or_default() += 1;
        }
        for (number, verdict) in verdicts {
            let times = times.get(&number).copied().unwrap_or(0);
            let (allowed, count) = match verdict {
                Verdict::Taken => (1..=1, &mut sum.taken),
                Verdict::Refused => (0..=0, &mut sum.refused),
                Verdict::InDoubt => (0..=1, &mut sum.in_doubt),
            };
            assert!(allowed.contains(&times), "{verdict:?}, and taken {times} times");
            *count += 1;
        }
        if let Some((sent, account)) = sent {
            let taken = streamed.lock().expect("nobody panics");
            assert!(sent.starts_with(&taken), "out of order: sent {sent:?}, taken {taken:?}");
            let Account { confirmed, in_doubt, unsent, .. } = account;
            assert_eq!(confirmed + in_doubt + unsent, sent.len() as u64, "{account:?}");
            let possible = confirmed..=confirmed + in_doubt;
            assert!(possible.contains(&(taken.len() as u64)), "{account:?}, and taken {}", taken.len());
            sum.streamed += confirmed;
        }
        eventually("the hub forgets both", || (hub.nodes().len() == 1).then_some(()));
        sum.rounds += 1;
    }
    assert!(sum.taken > 0 && sum.streamed > 0 && sum.refused >= u64::from(sum.rounds), "{sum:?}");
}
