//! A node of the simulated tree: links, what passes through, and its place. It is driven as the host's
//! node is (`host/tree.rs`, `host/transit.rs`), with a queue in the place of locks.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::ledger::Ledger;
use super::transit::{Transit, Wanted};
use crate::proto::{Dead, Event, Handle, Instant, Name, Open, Place, Reason, Side, TreeFrame};
use crate::testing::Port;
use crate::tree::{LinkNumber, Lost, Tree};

/// What stands at a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// An open that the node has not looked at.
    Offer,
    End(usize),
    Transit(u32, Side),
}

/// One of a node's links.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) port: Port,
    pub(super) rest: Rest,
}

/// What a node keeps of a link beside the protocol.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) number: LinkNumber,
    /// The node at the other end.
    pub(super) peer: usize,
    pub(super) uses: Vec<(Handle, Use)>,
    /// Its id, as the tree knows it.
    pub(super) neighbour: u32,
    /// Bytes that may still be reserved.
    pub(super) budget: u32,
    pub(super) kept: Vec<(u32, Side)>,
    /// No more than this gathers, in bytes.
    pub(super) full_at: usize,
    pub(super) leaving: Option<Reason>,
    /// Ids that were given over it: runs.
    pub(super) given: Vec<(u32, u32)>,
}

/// What is done when the link that it came from is not at work any more.
#[derive(Debug)]
enum Asked {
    Up(Name),
    Tree(Word),
    Offer(Offer),
}

/// A frame of the tree, kept.
#[derive(Debug)]
pub(super) enum Word {
    Adopt(u32, crate::proto::Above, String),
    Allocate(u32),
    Grant(u32, u32),
    Add(u32, u32, Name),
    Del(u32, Reason),
    Shutdown(u32),
}

/// An open, kept.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) handle: Handle,
    pub(super) wanted: Wanted,
    pub(super) route: Option<(u32, u8, u32, String)>,
    /// Its opener's only message.
    pub(super) body: Option<Vec<u8>>,
}

/// A node but for its links.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) index: usize,
    /// Number of this start of its program.
    pub(super) life: u64,
    pub(super) leaf: bool,
    pub(super) tree: Tree,
    pub(super) transits: BTreeMap<u32, Transit>,
    pub(super) work: VecDeque<(u32, Side)>,
    asked: VecDeque<(LinkNumber, Asked)>,
    next_transit: u32,
    /// Ids that were given in this tree, and over which link.
    pub(super) given: Vec<(u32, u32, LinkNumber)>,
    pub(super) shutdown: Option<u32>,
}

/// A node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) links: Vec<Link>,
    pub(super) core: Core,
    /// Links that have just ended, each with its port, for it may have last words, and why this side has left.
    pub(super) ended: Vec<(LinkNumber, Port, Option<Reason>)>,
}

impl Rest {
    pub(super) fn new(number: LinkNumber, peer: usize, budget: u32, full_at: usize) -> Self {
        Self {
            number,
            peer,
            uses: Vec::new(),
            neighbour: 0,
            budget,
            kept: Vec::new(),
            full_at,
            leaving: None,
            given: Vec::new(),
        }
    }

    pub(super) fn use_of(&self, handle: Handle) -> Option<Use> {
        self.uses.iter().find(|(other, _)| *other == handle).map(|(_, what)| *what)
    }

    pub(super) fn forget(&mut self, handle: Handle) {
        self.uses.retain(|(other, _)| *other != handle);
    }

    pub(super) fn bind(&mut self, handle: Handle, what: Use) {
        assert!(self.use_of(handle).is_none(), "handle {handle} is in use");
        self.uses.push((handle, what));
    }

    pub(super) fn set(&mut self, handle: Handle, what: Use) {
        self.forget(handle);
        self.uses.push((handle, what));
    }

    pub(super) fn reserve(&mut self, bytes: u32) -> bool {
        let fits = self.budget >= bytes;
        self.budget -= if fits { bytes } else { 0 };
        fits
    }
}

impl Word {
    fn new(frame: &TreeFrame<'_>) -> Self {
        match *frame {
            TreeFrame::Adopt { id, above, place } => Self::Adopt(id, above, place.into()),
            TreeFrame::Allocate(count) => Self::Allocate(count),
            TreeFrame::Grant { start, count } => Self::Grant(start, count),
            TreeFrame::AddRoute { id, via, name } => {
                Self::Add(id, via, Name::new(name).expect("the link has looked at it"))
            }
            TreeFrame::DelRoute(id, reason) => Self::Del(id, reason),
            TreeFrame::Shutdown { grace_ms } => Self::Shutdown(grace_ms),
        }
    }

    pub(super) fn frame(&self) -> TreeFrame<'_> {
        match *self {
            Self::Adopt(id, above, ref place) => TreeFrame::Adopt { id, above, place },
            Self::Allocate(count) => TreeFrame::Allocate(count),
            Self::Grant(start, count) => TreeFrame::Grant { start, count },
            Self::Add(id, via, ref name) => TreeFrame::AddRoute { id, via, name: name.as_str() },
            Self::Del(id, reason) => TreeFrame::DelRoute(id, reason),
            Self::Shutdown(grace_ms) => TreeFrame::Shutdown { grace_ms },
        }
    }
}

impl Core {
    pub(super) fn new(index: usize, life: u64, leaf: bool, tree: Tree) -> Self {
        Self {
            index,
            life,
            leaf,
            tree,
            transits: BTreeMap::new(),
            work: VecDeque::new(),
            asked: VecDeque::new(),
            next_transit: 0,
            given: Vec::new(),
            shutdown: None,
        }
    }

    pub(super) fn pass_on(&mut self, transit: u32, side: Side) {
        if !self.work.contains(&(transit, side)) {
            self.work.push_back((transit, side));
        }
    }

    pub(super) fn add(&mut self, transit: Transit) -> u32 {
        self.next_transit += 1;
        self.transits.insert(self.next_transit, transit);
        self.next_transit
    }

    fn on_event(&mut self, port: &mut Port, rest: &mut Rest, ledger: &mut Ledger, event: &Event<'_>) {
        let handle = match *event {
            Event::Up(hello) => {
                let name = Name::new(hello.name).expect("the link has looked at it");
                return self.asked.push_back((rest.number, Asked::Up(name)));
            }
            Event::Tree(ref frame) => {
                return self.asked.push_back((rest.number, Asked::Tree(Word::new(frame))));
            }
            Event::Open(handle, ref open) => {
                rest.bind(handle, Use::Offer);
                let route = open.route.map(|r| (r.from, r.hops, r.to, r.path.to_string()));
                let body = open.body.map(<[u8]>::to_vec);
                let offer = Offer { handle, wanted: Wanted::new(open), route, body };
                return self.asked.push_back((rest.number, Asked::Offer(offer)));
            }
            Event::Attach(carrier, handle, ordinal, ref open) => {
                return self.on_attach(port, rest, ledger, carrier, handle, ordinal, open);
            }
            Event::Nothing => return,
            Event::Accepted(handle, _)
            | Event::Data(handle, ..)
            | Event::Granted(handle)
            | Event::Taken(handle, _)
            | Event::Asked(handle, _)
            | Event::End(handle)
            | Event::Done(handle)
            | Event::Dead(handle, _) => handle,
        };
        match rest.use_of(handle) {
            Some(Use::Transit(transit, side)) => self.take_transit(port, rest, ledger, transit, side, event),
            Some(Use::End(id)) => {
                ledger.say(|| alloc::format!("node {}: end {id} {event:?}", self.index));
                let orphans = ledger.end(id).on_event(port, event);
                refuse_ends(port, rest, ledger, self.index, &orphans);
                if let Event::Dead(_, frame) = event {
                    ledger.check_death(id, frame.dead, rest.peer);
                    ledger.drop_waiting(id);
                }
                if ledger.end(id).handle.is_none() {
                    rest.forget(handle);
                }
            }
            // Nothing but its death comes before an answer.
            Some(Use::Offer) => {
                let (link, mut slots, _) = port.parts();
                link.drained(&mut slots, handle);
                rest.forget(handle);
            }
            // What it has forged is answered.
            None if ledger.hostile[self.index] => {
                if let Event::Dead(handle, _) = *event {
                    let (link, mut slots, _) = port.parts();
                    link.drained(&mut slots, handle);
                }
            }
            None => panic!("an event of a circuit that the node has forgotten: {event:?}"),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what the event says")]
    fn on_attach(
        &mut self,
        port: &mut Port,
        rest: &mut Rest,
        ledger: &mut Ledger,
        carrier: Handle,
        handle: Handle,
        ordinal: u32,
        open: &Open<'_>,
    ) {
        let wanted = Wanted::new(open);
        match rest.use_of(carrier) {
            Some(Use::Transit(transit, side)) => {
                rest.bind(handle, Use::Offer);
                self.attach_transit(port, rest, ledger, (transit, side, carrier), handle, ordinal, wanted);
            }
            Some(Use::End(id)) if ledger.ends[id].as_ref().is_some_and(|end| !end.killed) => {
                let Some(number) = ledger.arrived(self.index, self.life, rest, handle, &wanted) else {
                    let (link, mut slots, _) = port.parts();
                    return link.kill(&mut slots, handle, Dead::here(Reason::Refused), "");
                };
                rest.bind(handle, Use::End(2 * number + 1));
                ledger.end(id).attached.push(number);
            }
            // Nobody will take the message.
            _ => {
                let (link, mut slots, _) = port.parts();
                link.kill(&mut slots, handle, Dead::here(Reason::NotTaken), "");
                ledger.cause(wanted.fingerprint, Reason::NotTaken, self.index);
            }
        }
    }
}

/// Nobody will take these ends: whoever has sent them is told.
pub(super) fn refuse_ends(
    port: &mut Port,
    rest: &mut Rest,
    ledger: &mut Ledger,
    node: usize,
    ends: &[usize],
) {
    for &number in ends {
        ledger.broken(number, Reason::NotTaken, node);
        ledger.drop_waiting(2 * number + 1);
        let end = ledger.end(2 * number + 1);
        end.killed = true;
        let handle = end.handle.take();
        end.over();
        let inner = end.drain_ends();
        refuse_ends(port, rest, ledger, node, &inner);
        if let Some(handle) = handle {
            let (link, mut slots, _) = port.parts();
            link.kill(&mut slots, handle, Dead::here(Reason::NotTaken), "");
            rest.forget(handle);
        }
    }
}

impl Node {
    pub(super) const fn new(core: Core) -> Self {
        Self { links: Vec::new(), core, ended: Vec::new() }
    }

    pub(super) fn at(&self, number: LinkNumber) -> Option<usize> {
        self.links.iter().position(|link| link.rest.number == number)
    }

    pub(super) fn link(&mut self, number: LinkNumber) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.rest.number == number)
    }

    /// Takes bytes off the wire of one link.
    pub(super) fn receive(&mut self, number: LinkNumber, bytes: &[u8], ledger: &mut Ledger) {
        let Some(at) = self.at(number) else { return };
        let Self { links, core, .. } = self;
        let Link { port, rest } = &mut links[at];
        let before = port.frames_in;
        port.receive(bytes, |port, event| core.on_event(port, rest, ledger, &event));
        ledger.report.frames += port.frames_in - before;
        self.after_fault(number, ledger);
        self.run(ledger);
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, number: LinkNumber, now: Instant, ledger: &mut Ledger) {
        let Some(link) = self.link(number) else { return };
        link.port.tick(now);
        self.after_fault(number, ledger);
        // What there was no room for.
        self.tell_tree(ledger);
        self.run(ledger);
    }

    pub(super) fn after_fault(&mut self, number: LinkNumber, ledger: &mut Ledger) {
        let Some(link) = self.link(number) else { return };
        let Some(fault) = link.port.fault else { return };
        // The last words.
        link.port.control();
        let dead = match fault {
            crate::proto::Fault::Goodbye(reason) => Dead { reason, at: Place::Peer },
            fault => Dead::here(fault.reason()),
        };
        self.run(ledger);
        self.down(number, dead, ledger);
    }

    /// A link is down: everybody who waits on it is told.
    pub(super) fn down(&mut self, number: LinkNumber, dead: Dead, ledger: &mut Ledger) {
        let Some(at) = self.at(number) else { return };
        let Link { port, rest } = self.links.remove(at);
        let Self { core, ended, .. } = self;
        ledger.say(|| alloc::format!("node {} loses link {number} to {}: {dead:?}", core.index, rest.peer));
        ledger.link_down(core.index, rest.peer, number, dead);
        for &(_, what) in &rest.uses {
            match what {
                Use::Offer => {}
                Use::End(id) => {
                    // Ends that came for a message which does not were on the same link, and hear of it.
                    ledger.end(id).die(dead);
                    ledger.check_death(id, dead, rest.peer);
                    ledger.drop_waiting(id);
                }
                Use::Transit(id, side) => {
                    let Some(own) = core.transits.get_mut(&id) else { continue };
                    own.cells[side as usize] = false;
                    match &mut own.splice {
                        Some(splice) => splice.lost(side, dead),
                        None => own.cancelled = Some(dead),
                    }
                    core.drop_carried(ledger, id);
                    core.forget_over(id);
                    core.pass_on(id, side.other());
                }
            }
        }
        ended.push((number, port, rest.leaving));
        self.run(ledger);
        self.core.tree.pass(Instant::from_micros(ledger.now));
        if self.core.tree.lost(number, Reason::LinkLost) != Lost::Nothing {
            self.turn_away_children(ledger);
            self.tell_tree(ledger);
        }
    }

    /// Ends a link in order.
    pub(super) fn leave(&mut self, number: LinkNumber, reason: Reason, ledger: &mut Ledger) {
        let Some(link) = self.link(number) else { return };
        if link.rest.leaving.replace(reason).is_none() {
            link.port.link.goodbye(reason);
            link.port.control();
            self.down(number, Dead::here(reason), ledger);
        }
    }

    /// Does what was left to be done when no link is at work any more.
    ///
    /// # Panics
    ///
    /// When that has no end.
    pub(super) fn run(&mut self, ledger: &mut Ledger) {
        for _ in 0..10_000 {
            while let Some((number, asked)) = self.core.asked.pop_front() {
                if self.at(number).is_none() {
                    continue;
                }
                match asked {
                    Asked::Up(name) => self.tie(number, name, ledger),
                    Asked::Tree(word) => self.heard_of_tree(number, &word, ledger),
                    Asked::Offer(offer) => self.offered(number, &offer, ledger),
                }
            }
            let Some((transit, side)) = self.core.work.pop_front() else { return };
            self.work(transit, side, ledger);
        }
        panic!("node {} never comes to rest", self.core.index);
    }
}
