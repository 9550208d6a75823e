//! The interrupt: each press comes once, in order, or is counted as one that had no room.

use std::thread;
use std::time::Duration;

use netchan::proto::Reason;
use netchan::{Node, Peer, Receiver};
use netchan_firmware_programs::interrupt::{CONFIG, Press};

use super::{PATIENCE, Said, is_over, leave, word};
use crate::cable::Cable;

/// Presses of a session.
const PRESSES: u32 = 3000;
/// So long nothing is taken: the board has a press in each millisecond, and room for 16.
const BUSY: Duration = Duration::from_millis(500);

pub(super) fn tell(cable: &mut Cable, said: &mut Said) -> Result<(), String> {
    let mut host = Host::plug(cable)?;
    let mut count = Count::default();
    let lost = count.take(&mut host, PRESSES)?;
    if lost.after <= lost.before {
        return Err("there was room for all, so nothing was tried".into());
    }
    said.ok(format!("{PRESSES} presses came in order, {} had no room and were counted", lost.after));

    thread::sleep(BUSY);
    let lost = count.take(&mut host, PRESSES)?;
    said.ok(format!("beside a host that takes nothing for {BUSY:?} {} had none", lost.after - lost.before));

    let lost = lost.after;
    leave(&host.node);
    let mut host = Host::plug(cable)?;
    let mut count = Count { base: None, ..count };
    let next = count.take(&mut host, PRESSES)?;
    if next.before <= lost {
        return Err("nothing was lost while there was no host".into());
    }
    said.ok("the next host hears how many there were without one");

    cable.reset()?;
    let told = loop {
        let told = host.presses.recv().timeout(PATIENCE).wait();
        if told.is_err() {
            break told;
        }
    };
    is_over(told, Reason::PeerRestarted)?;
    let mut host = Host::plug(cable)?;
    Count::default().take(&mut host, PRESSES)?;
    said.ok("a reset is told, and it counts anew");
    Ok(())
}

/// Who counts.
struct Host {
    node: Node,
    presses: Receiver<Press>,
    _peer: Peer,
}

impl Host {
    fn plug(cable: &mut Cable) -> Result<Self, String> {
        let node = Node::new("desk");
        let peer = cable.plug(&node, CONFIG.line())?;
        let presses = word("presses", peer.import("presses").timeout(PATIENCE).wait())?;
        Ok(Self { node, presses, _peer: peer })
    }
}

/// Presses that have come.
#[derive(Clone, Copy)]
struct Count {
    /// How many were sent before the first one: none after a reset, and else what the first one says.
    base: Option<u32>,
    came: u32,
    lost: u32,
}

impl Default for Count {
    fn default() -> Self {
        Self { base: Some(0), came: 0, lost: 0 }
    }
}

/// How many were lost before the first one of a time, and before the last one.
struct Lost {
    before: u32,
    after: u32,
}

impl Count {
    /// Takes so many, each the next one: its number is how many came, and how many it says were lost.
    fn take(&mut self, host: &mut Host, presses: u32) -> Result<Lost, String> {
        let mut before = None;
        for _ in 0..presses {
            let press = word("a press", host.presses.recv().timeout(PATIENCE).wait())?;
            let number = u32::from(press.button).wrapping_sub(press.lost).wrapping_sub(self.came);
            let base = *self.base.get_or_insert(number);
            if (number as u8, true) != (base as u8, press.lost >= self.lost) {
                return Err(format!("{press:?} after {} of which {} lost", self.came, self.lost));
            }
            self.came += 1;
            self.lost = press.lost;
            before.get_or_insert(press.lost);
        }
        Ok(Lost { before: before.unwrap_or_default(), after: self.lost })
    }
}
