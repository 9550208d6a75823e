//! The main loop: its room becomes warmer while it heats, else colder, a decidegree in 100 ms.

use std::thread;
use std::time::Duration;

use netchan::proto::Reason;
use netchan::{Node, Peer, Sender, Watch};
use netchan_firmware_programs::thermostat::CONFIG;

use super::{PATIENCE, Said, is_over, leave, next, word};
use crate::cable::Cable;

/// The room before anybody heats, in decidegrees.
const HOUSE: i16 = 150;
/// Longer than the line's dead-time. A room that was heated for as long would be warmer for it by 60.
const AWAY: Duration = Duration::from_secs(6);

pub(super) fn tell(cable: &mut Cable, said: &mut Said) -> Result<(), String> {
    let mut host = Host::plug(cable)?;
    let first = next(&mut host.temperature, "the first temperature")?;
    if first != HOUSE {
        return Err(format!("it begins with {first}"));
    }
    host.heat(true)?;
    host.follow(HOUSE + 5, |next, last| next > last)?;
    host.heat(false)?;
    host.follow(HOUSE + 1, |next, last| next < last)?;
    said.ok("the room becomes warmer while it is to heat, and colder when it is not");

    host.heat(true)?;
    let warm = host.follow(HOUSE + 8, |_, _| true)?;
    leave(&host.node);
    thread::sleep(AWAY / 4);
    let mut host = Host::plug(cable)?;
    let left = next(&mut host.temperature, "the temperature after an end in order")?;
    if left >= warm {
        return Err(format!("it went on heating without a host: {warm} before, {left} after"));
    }
    said.ok("it does not heat when its host has ended in order");

    host.heat(true)?;
    let warm = host.follow(HOUSE + 8, |_, _| true)?;
    cable.cut();
    thread::sleep(AWAY);
    let mut host = Host::plug(cable)?;
    let left = next(&mut host.temperature, "the temperature after a silent host")?;
    // Its dead-time it heats.
    if left >= warm + 5 {
        return Err(format!("it went on heating for a host that was gone: {warm} before, {left} after"));
    }
    said.ok("nor, after the dead-time, when its host has gone without a word");

    host.heat(true)?;
    host.follow(HOUSE + 5, |_, _| true)?;
    cable.reset()?;
    let told = loop {
        let told = host.temperature.changed().timeout(PATIENCE).wait();
        if told.is_err() {
            break told;
        }
    };
    is_over(told, Reason::PeerRestarted)?;
    let mut host = Host::plug(cable)?;
    let first = next(&mut host.temperature, "the temperature after a reset")?;
    if first != HOUSE {
        return Err(format!("after a reset it begins with {first}"));
    }
    host.heat(true)?;
    host.follow(HOUSE + 3, |next, last| next > last)?;
    said.ok("a reset is told, and it begins anew");
    Ok(())
}

/// Who watches the room.
struct Host {
    node: Node,
    temperature: Watch<i16>,
    heater: Sender<bool>,
    /// Before its node it would end its link.
    _peer: Peer,
}

impl Host {
    fn plug(cable: &mut Cable) -> Result<Self, String> {
        let node = Node::new("desk");
        let heater = word("heater", node.export("heater"))?;
        let peer = cable.plug(&node, CONFIG.line())?;
        if peer.info().name != "thermostat" {
            return Err(format!("the board is {}", peer.info().name));
        }
        let temperature = word("temperature", peer.import("temperature").timeout(PATIENCE).wait())?;
        Ok(Self { node, temperature, heater, _peer: peer })
    }

    /// A command, which the board has taken.
    fn heat(&mut self, on: bool) -> Result<(), String> {
        word("heater", self.heater.send(on).timeout(PATIENCE).wait())?;
        word("heater", self.heater.drain().timeout(PATIENCE).wait())
    }

    /// Follows the temperature until it is there, each in a right step from the last.
    fn follow(&mut self, there: i16, is_right: impl Fn(i16, i16) -> bool) -> Result<i16, String> {
        // What came before the command was taken may go either way.
        let mut last = next(&mut self.temperature, "a temperature")?;
        let is_there = |first: i16, last: i16| if first < there { last >= there } else { last <= there };
        let first = last;
        while !is_there(first, last) {
            let came = next(&mut self.temperature, "a temperature")?;
            if !is_right(came, last) {
                return Err(format!("{came} after {last}, on the way to {there}"));
            }
            last = came;
        }
        Ok(last)
    }
}
