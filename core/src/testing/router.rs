//! A node between two others: it has no program, and splices every circuit to its other link.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{Port, Queue};
use crate::proto::{
    Blocked, Dead, Event, Handle, Instant, Link, LinkConfig, Open, OpenFlags, Reason, Rings, Side, Splice,
    Total,
};

/// A router with two links.
#[derive(Debug, Clone, Hash)]
pub struct Router {
    /// Its links.
    pub ports: [Port; 2],
    /// Bytes of room per direction of each splice.
    pub room: usize,
    /// Bytes of messages that gather on a link before they wait.
    pub full_at: usize,
    splices: Vec<Option<Spliced>>,
    at: [BTreeMap<Handle, (usize, Side)>; 2],
}

#[derive(Debug, Clone, Hash)]
struct Spliced {
    splice: Splice,
    left: usize,
    from_left: Queue,
    from_right: Queue,
}

impl Spliced {
    fn port(&self, side: Side) -> usize {
        if side == Side::Left { self.left } else { 1 - self.left }
    }

    fn parts(&mut self) -> (&mut Splice, Rings<'_>) {
        let rings = Rings { from_left: &mut self.from_left, from_right: &mut self.from_right };
        (&mut self.splice, rings)
    }
}

impl Router {
    /// Before the bring-ups. To the nodes behind its links it gives the ids 1 and 2.
    pub fn new(config: LinkConfig, nonces: [u64; 2], now: Instant) -> Self {
        Self {
            ports: nonces.map(|nonce| Port::new(config, nonce, now)),
            room: 64,
            full_at: usize::MAX,
            splices: Vec::new(),
            at: [BTreeMap::new(), BTreeMap::new()],
        }
    }

    /// Takes bytes off the wire of one link.
    pub fn receive(&mut self, port: usize, bytes: &[u8]) {
        let idle = Port::new(super::node::IDLE, 1, Instant::ZERO);
        let mut own = core::mem::replace(&mut self.ports[port], idle);
        own.receive(bytes, |own, event| self.on_event(port, own, &event));
        self.ports[port] = own;
        self.after_fault(port);
        self.work();
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        for port in 0..2 {
            self.ports[port].tick(now);
            self.after_fault(port);
        }
        self.work();
    }

    /// The transport of one link is gone.
    pub fn cut(&mut self, port: usize) {
        let own = &mut self.ports[port];
        if own.fault.is_none() {
            let fault = crate::proto::Fault::Goodbye(Reason::LinkLost);
            own.link.fail(fault);
            own.fault = Some(fault);
        }
        own.output.clear();
        self.after_fault(port);
        self.work();
    }

    /// Writes all that can be written now.
    pub fn pump(&mut self) {
        for port in 0..2 {
            self.work();
            self.ports[port].control();
            self.work();
            while self.fragment(port) {}
        }
        for port in &mut self.ports {
            port.control();
        }
    }

    /// Writes the next fragment on one link: whether there was one.
    pub fn fragment(&mut self, port: usize) -> bool {
        let Some(fragment) = self.ports[port].fragment() else { return false };
        let (index, side) = self.at[port][&fragment.handle];
        let spliced = self.splices[index].as_mut().expect("an open circuit has its splice");
        let (splice, mut rings) = spliced.parts();
        let (a, b) = splice.bytes(side, &fragment, &mut rings);
        self.ports[port].data(fragment.head, [a, b]);
        splice.written(side, &fragment, &mut rings);
        self.work();
        true
    }

    /// The message of this number among those of each opener does not begin on the far side.
    pub fn hold(&mut self, message: Option<Total>) {
        for spliced in self.splices.iter_mut().flatten() {
            spliced.splice.hold(Side::Left, message);
        }
    }

    /// Bytes held for all circuits, and the room promised for them.
    pub fn held(&self) -> (usize, usize) {
        self.splices.iter().flatten().fold((0, 0), |(held, room), s| {
            let now = s.splice.held(Side::Left) + s.splice.held(Side::Right);
            (held + now as usize, room + s.from_left.room() + s.from_right.room())
        })
    }

    /// Whether no circuit is open and nothing is queued.
    pub fn is_quiet(&self) -> bool {
        self.splices.iter().all(Option::is_none)
            && self.at.iter().all(BTreeMap::is_empty)
            && self.ports.iter().all(|port| port.fault.is_some() || port.is_quiet())
    }

    fn on_event(&mut self, port: usize, own: &mut Port, event: &Event<'_>) {
        let handle = match *event {
            Event::Open(handle, open) => {
                let (forth, back) = (open.flags.has(OpenFlags::SENDS), open.flags.has(OpenFlags::RECEIVES));
                let size = |flows: bool| if flows { self.room } else { 0 };
                let from_right = Queue::new(size(back));
                let brought = open.body.map(|body| Link::charge(body.len() as u32) as usize);
                let from_left = Queue::new(brought.unwrap_or_else(|| size(forth)));
                let windows = [from_left.room() as u32, from_right.room() as u32];
                let onward = Splice::onward(&open, windows[1]);
                let (link, mut slots, output) = self.ports[1 - port].parts();
                let mut has_gone = true;
                let mut opened = link.open(&mut slots, &onward, output);
                if let (Err(Blocked::Invalid), Some(_)) = (&opened, open.body) {
                    has_gone = false;
                    opened = link.open(&mut slots, &Open { body: None, ..onward }, output);
                }
                match opened {
                    Ok(right) => {
                        let (left_node, right_node) = (port as u32 + 1, 2 - port as u32);
                        let splice =
                            Splice::new(open.flags, (handle, left_node), (right, right_node), windows);
                        let index = self.splices.iter().position(Option::is_none).unwrap_or_else(|| {
                            self.splices.push(None);
                            self.splices.len() - 1
                        });
                        let mut spliced = Spliced { splice, left: port, from_left, from_right };
                        if let Some(body) = open.body {
                            let (splice, mut rings) = spliced.parts();
                            splice.came_with_open(body, has_gone, &mut rings);
                        }
                        self.splices[index] = Some(spliced);
                        self.at[port].insert(handle, (index, Side::Left));
                        self.at[1 - port].insert(right, (index, Side::Right));
                    }
                    Err(_) => {
                        let reason =
                            if self.ports[1 - port].is_up() { Reason::NoResources } else { Reason::NoRoute };
                        let (link, mut slots, _) = own.parts();
                        link.kill(&mut slots, handle, Dead::here(reason), "");
                    }
                }
                return;
            }
            Event::Accepted(handle, _)
            | Event::Data(handle, ..)
            | Event::Granted(handle)
            | Event::Taken(handle, _)
            | Event::Asked(handle, _)
            | Event::End(handle)
            | Event::Done(handle)
            | Event::Dead(handle, _) => handle,
            Event::Nothing | Event::Up(_) | Event::Tree(_) | Event::Attach(..) => return,
        };
        let (index, side) = self.at[port][&handle];
        let spliced = self.splices[index].as_mut().expect("an open circuit has its splice");
        let (splice, mut rings) = spliced.parts();
        let (link, mut slots, _) = own.parts();
        splice.on_event(side, event, link, &mut slots, &mut rings);
        self.forget_closed(index);
    }

    /// Does what was left to be done because something had to be written first.
    pub fn pump_splices(&mut self) {
        self.work();
    }

    /// Does what the splices have to do on each link, until there is no more.
    fn work(&mut self) {
        for index in 0..self.splices.len() {
            for side in [Side::Left, Side::Right, Side::Left] {
                let Some(spliced) = &mut self.splices[index] else { break };
                let port = spliced.port(side);
                if !spliced.splice.has_work(side) {
                    continue;
                }
                if self.ports[port].fault.is_some() {
                    continue;
                }
                let (splice, mut rings) = spliced.parts();
                let (link, mut slots, output) = self.ports[port].parts();
                let mut sink = super::Limited::new(output, self.full_at);
                splice.work(side, link, &mut slots, &mut rings, &mut sink);
                self.forget_closed(index);
            }
        }
    }

    fn after_fault(&mut self, port: usize) {
        let Some(fault) = self.ports[port].fault else { return };
        for (index, side) in core::mem::take(&mut self.at[port]).into_values() {
            if let Some(spliced) = &mut self.splices[index] {
                spliced.splice.lost(side, Dead::here(fault.reason()));
                self.forget_closed(index);
            }
        }
    }

    fn forget_closed(&mut self, index: usize) {
        let Some(spliced) = &self.splices[index] else { return };
        let mut both = true;
        for side in [Side::Left, Side::Right] {
            let port = spliced.port(side);
            if spliced.splice.is_closed(side) {
                let handle = spliced.splice.handle(side);
                if self.at[port].get(&handle) == Some(&(index, side)) {
                    self.at[port].remove(&handle);
                }
            } else {
                both = false;
            }
        }
        if both {
            self.splices[index] = None;
        }
    }
}
