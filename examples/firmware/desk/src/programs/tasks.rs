//! Tasks: one doubles, one adds up.

use std::time::{Duration, Instant as Clock};

use netchan::proto::Reason;
use netchan::{Client, Node, Peer, Sender, Watch};
use netchan_firmware_programs::thermostat::CONFIG;

use super::{PATIENCE, Said, is_over, leave, next, word};
use crate::cable::Cable;

/// Steps and calls of a session.
const STEPS: u32 = 200;

pub(super) fn tell(cable: &mut Cable, said: &mut Said) -> Result<(), String> {
    let mut host = Host::plug(cable)?;
    host.work(0)?;
    said.ok(format!("{STEPS} calls are answered right, and {STEPS} steps add up"));
    leave(&host.node);

    let mut host = Host::plug(cable)?;
    let sum = host.total_of(STEPS * (STEPS + 1) / 2)?;
    host.work(sum)?;
    said.ok("they go on with the next host when the last one has ended in order");

    let sum = next_sum(sum);
    let sent = Clock::now();
    while sent.elapsed() < Duration::from_millis(300) {
        word("a step of 1", host.steps.send(1).timeout(PATIENCE).wait())?;
    }
    cable.cut();
    // As many as there is room for: nobody takes them.
    while host.steps.try_send(1).is_ok() {}
    let told = host.peer.down().timeout(PATIENCE).wait();
    // Beside those of before.
    let account = host.steps.account();
    let least = account.confirmed as u32 - STEPS;
    let most = least + account.in_doubt as u32;
    drop(host);
    let mut host = Host::plug(cable)?;
    let total = next(&mut host.total, "the total after a silent host")?;
    if !(sum + least..=sum + most).contains(&total) {
        return Err(format!("{} steps were taken of {account:?}", total - sum));
    }
    said.ok(format!(
        "without a word ({told}) {least} to {most} were taken for its host, in truth {}",
        total - sum
    ));

    host.work(total)?;
    cable.reset()?;
    is_over(host.total.changed().timeout(PATIENCE).wait(), Reason::PeerRestarted)?;
    let mut host = Host::plug(cable)?;
    host.work(0)?;
    said.ok("a reset is told, and they begin anew");
    Ok(())
}

/// What it is after the steps of a session.
const fn next_sum(sum: u32) -> u32 {
    sum + STEPS * (STEPS + 1) / 2
}

/// Who has something to double and to add.
struct Host {
    node: Node,
    steps: Sender<u32>,
    double: Client<u32, u32>,
    total: Watch<u32>,
    peer: Peer,
}

impl Host {
    fn plug(cable: &mut Cable) -> Result<Self, String> {
        let node = Node::new("desk");
        let steps = word("steps", node.export("steps"))?;
        let peer = cable.plug(&node, CONFIG.line())?;
        let double = word("double", peer.import("double").timeout(PATIENCE).wait())?;
        let total = word("total", peer.import("total").timeout(PATIENCE).wait())?;
        Ok(Self { node, steps, double, total, peer })
    }

    /// Steps and calls in turn, upon a sum.
    fn work(&mut self, sum: u32) -> Result<(), String> {
        for n in 1..=STEPS {
            word("a step", self.steps.send(n).timeout(PATIENCE).wait())?;
            let doubled = word("a call", self.double.call(n).timeout(PATIENCE).wait())?;
            if doubled != 2 * n {
                return Err(format!("twice {n} is {doubled}"));
            }
        }
        word("the steps", self.steps.drain().timeout(PATIENCE).wait())?;
        self.total_of(next_sum(sum)).map(drop)
    }

    /// Waits for a total, which never becomes less, nor more than that.
    fn total_of(&mut self, sum: u32) -> Result<u32, String> {
        let mut last = 0;
        while last != sum {
            let total = next(&mut self.total, "a total")?;
            if !(last..=sum).contains(&total) {
                return Err(format!("the total is {total} after {last}, of {sum}"));
            }
            last = total;
        }
        Ok(sum)
    }
}
