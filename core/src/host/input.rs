//! From bytes to the ends: frames are decoded in place, under one lock per read.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::Waker;
use core::time::Duration;
use std::io;

use super::carry::{Attached, ENDS_MAX};
use super::cell::{Cell, CellId};
use super::hub::{Member, Signal};
use super::inbox::BIG;
use super::link::{LinkCell, LinkState};
use super::peer::PeerInfo;
use super::stream::BlockingStream;
use super::transit::{Transit, Wanted};
use crate::message::spare;
use crate::proto::framing::{self, Step};
use crate::proto::{
    DeadFrame, Event, Fault, Handle, Name, Open, OpenFlags, Part, Reason, Route, Side, Total, TreeFrame,
};
use crate::tree::Origin;

/// Bytes read at a time.
const READ_LEN: usize = 256 * 1024;

/// A message of which this much is still missing is read to where it stays, in bytes.
const IN_PLACE: usize = 8 * 1024;
/// What is read beyond the end of such a message, so that the next one's head comes along.
const SPILL: usize = 4 * 1024;

/// The incoming buffer of a link. Who holds it may read the stream.
pub(crate) struct Reader {
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    /// A large message whose bytes go past the buffer.
    large: Option<Large>,
    is_up: bool,
    /// Another one is likely to follow, so little is read before its head is known.
    expects_large: bool,
    /// Whoever reads goes on at once, if there is more: what passes through may gather until then.
    pub(crate) gathers: bool,
    passed: bool,
    effects: Effects,
}

/// A large message in one frame, on its way from the stream into a buffer of its own.
struct Large {
    handle: Handle,
    /// Its length; then there is room for some of what follows.
    len: usize,
    bytes: Vec<u8>,
    /// How many of them have come.
    filled: usize,
}

impl Reader {
    pub(crate) const fn new() -> Self {
        Self {
            buffer: Vec::new(),
            from: 0,
            to: 0,
            large: None,
            is_up: false,
            expects_large: false,
            gathers: false,
            passed: false,
            effects: Effects::new(),
        }
    }

    /// Reads from a stream that blocks.
    pub(crate) fn read(&mut self, stream: &dyn BlockingStream, limit: Duration) -> io::Result<usize> {
        let n = stream.read(self.space(), limit)?;
        self.filled(n);
        Ok(n)
    }

    /// Reads what is there.
    pub(crate) fn try_read(&mut self, stream: &dyn BlockingStream) -> io::Result<usize> {
        let n = stream.try_read(self.space())?;
        self.filled(n);
        Ok(n)
    }

    /// Whether what was read last was for other links, all of it or some, since this was asked last.
    pub(crate) const fn has_passed_on(&mut self) -> bool {
        core::mem::replace(&mut self.passed, false)
    }

    /// Whether something that passes through has gathered.
    pub(crate) fn has_gathered(&self) -> bool {
        !self.effects.transits.is_empty()
    }

    /// What has gathered goes on.
    pub(crate) fn pass_on(&mut self, link: &LinkCell) {
        self.effects.run(link);
    }

    /// The large message that is complete; what was read beyond it is in the buffer then.
    fn take_large(&mut self) -> Option<Large> {
        let mut large = self.large.take_if(|large| large.filled >= large.len)?;
        let beyond = large.filled - large.len;
        if self.buffer.len() < beyond {
            self.buffer.resize(beyond, 0);
        }
        self.buffer[..beyond].copy_from_slice(&large.bytes[large.len..large.filled]);
        (self.from, self.to) = (0, beyond);
        large.bytes.truncate(large.len);
        Some(large)
    }

    /// The buffer ends in a message of which much is missing: it gets a buffer of its own.
    fn begin_large(&mut self) {
        // No longer than a frame may be, and one at a time.
        let Some((handle, len, at)) = framing::begun(&self.buffer[self.from..self.to]) else { return };
        let mut bytes = spare::take_filled(len + SPILL);
        let begun = &self.buffer[self.from + at..self.to];
        bytes[..begun.len()].copy_from_slice(begun);
        let filled = begun.len();
        self.from = self.to;
        self.large = Some(Large { handle, len, bytes, filled });
    }

    /// Where the next bytes go. Never empty.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if let Some(large) = &mut self.large {
            return &mut large.bytes[large.filled..];
        }
        if self.buffer.is_empty() {
            // Small until the peer has shown that it speaks netchan.
            self.buffer.resize(1024, 0);
        }
        if self.from == self.to {
            self.from = 0;
            self.to = 0;
        } else if self.buffer.len() - self.to < self.buffer.len() / 4 {
            self.buffer.copy_within(self.from..self.to, 0);
            self.to -= self.from;
            self.from = 0;
        }
        let most = if self.expects_large { SPILL } else { usize::MAX };
        let end = self.buffer.len().min(self.to.saturating_add(most));
        &mut self.buffer[self.to..end]
    }

    /// `len` bytes were put into [`Reader::space`].
    pub(crate) fn filled(&mut self, len: usize) {
        // No more than there was room for, whatever a stream says.
        match &mut self.large {
            Some(large) => large.filled = large.bytes.len().min(large.filled + len),
            None => self.to = self.buffer.len().min(self.to + len),
        }
    }
}

/// What the node above is to do about an open.
pub(crate) struct Offer {
    pub(crate) cell: CellId,
    pub(crate) flags: OpenFlags,
    pub(crate) wait_ms: u32,
    pub(crate) name: String,
    pub(crate) fingerprints: Vec<u64>,
    /// The opener's only message, where the open has brought it: 255 bytes at most.
    pub(crate) body: Option<Vec<u8>>,
    /// Where in a tree it leads.
    pub(crate) path: Option<Path>,
    /// The rest of what the opener asks for, where it is to be passed on.
    pub(crate) wanted: Option<Wanted>,
    /// Who opens it, once that is known.
    pub(crate) origin: Option<Origin>,
}

/// Where an open comes from in a tree, and where it leads: see [`Route`].
pub(crate) struct Path {
    from: u32,
    hops: u8,
    to: u32,
    path: String,
}

impl Path {
    fn new(route: &Route<'_>) -> Self {
        Self { from: route.from, hops: route.hops, to: route.to, path: route.path.to_string() }
    }

    pub(crate) fn route(&self) -> Route<'_> {
        Route { from: self.from, hops: self.hops, to: self.to, path: &self.path }
    }
}

/// A frame of the tree, to be taken when the link is not locked any more.
pub(crate) struct TreeWord {
    frame: TreeFrame<'static>,
    name: Option<Name>,
}

impl TreeWord {
    fn new(frame: &TreeFrame<'_>) -> Self {
        let (frame, name) = match *frame {
            TreeFrame::AddRoute { id, via, name } => {
                (TreeFrame::AddRoute { id, via, name: "" }, Name::new(name).ok())
            }
            TreeFrame::Adopt { id, above } => (TreeFrame::Adopt { id, above }, None),
            TreeFrame::Allocate(count) => (TreeFrame::Allocate(count), None),
            TreeFrame::Grant { start, count } => (TreeFrame::Grant { start, count }, None),
            TreeFrame::DelRoute(id) => (TreeFrame::DelRoute(id), None),
            TreeFrame::Shutdown { grace_ms } => (TreeFrame::Shutdown { grace_ms }, None),
        };
        Self { frame, name }
    }

    pub(crate) fn frame(&self) -> TreeFrame<'_> {
        match (self.frame, &self.name) {
            (TreeFrame::AddRoute { id, via, .. }, Some(name)) => {
                TreeFrame::AddRoute { id, via, name: name.as_str() }
            }
            (frame, _) => frame,
        }
    }
}

/// What the node above decides, in the order in which it came.
pub(crate) enum Asked {
    Offer(Offer),
    /// The peer does not wait any more for the answer to its open.
    GivenUp(CellId),
    /// A frame of the tree.
    Tree(TreeWord),
}

/// What is done after the link's lock is released.
#[derive(Default)]
pub(crate) struct Effects {
    pub(crate) wakers: Vec<Waker>,
    hubs: Vec<(Member, Signal)>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) up: Option<PeerInfo>,
    /// Circuits that pass through, and the sides that have something to do.
    pub(crate) transits: Vec<(Arc<Transit>, Side)>,
}

impl Effects {
    pub(crate) const fn new() -> Self {
        Self { wakers: Vec::new(), hubs: Vec::new(), asked: Vec::new(), up: None, transits: Vec::new() }
    }

    /// The transit has something to do on this side.
    pub(crate) fn pass_on(&mut self, transit: &Arc<Transit>, side: Side) {
        // Most of what comes in one go belongs to a few circuits.
        let is_it = |(other, there): &(Arc<Transit>, Side)| *there == side && Arc::ptr_eq(other, transit);
        if !self.transits.iter().rev().take(4).any(is_it) {
            self.transits.push((Arc::clone(transit), side));
        }
    }

    /// An export is told, if it is one whose circuit this is. That there is something to receive it knows at once.
    pub(crate) fn tell(&mut self, member: Option<&Member>, signal: Signal) {
        let Some(member) = member else { return };
        if signal != Signal::Granted {
            member.is_ready();
        }
        self.hubs.push((member.clone(), signal));
    }

    /// Runs them, with no lock held.
    #[inline]
    pub(crate) fn run(&mut self, link: &LinkCell) {
        // The usual cases: nothing, and one waiter.
        let rare = !self.asked.is_empty() || self.up.is_some() || !self.transits.is_empty();
        if self.hubs.is_empty() && !rare && self.wakers.len() < 2 {
            if let Some(waker) = self.wakers.pop() {
                waker.wake();
            }
            return;
        }
        self.run_all(link);
    }

    fn run_all(&mut self, link: &LinkCell) {
        if let Some(info) = self.up.take()
            && let Some(node) = link.node.upgrade()
        {
            node.link_up(link, info);
        }
        for (member, signal) in self.hubs.drain(..) {
            member.signal(signal);
        }
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
        for asked in self.asked.drain(..) {
            let Some(node) = link.node.upgrade() else { continue };
            match asked {
                Asked::Offer(offer) => node.offered(link, offer),
                Asked::GivenUp(cell) => node.given_up(link, cell),
                Asked::Tree(word) => node.heard_of_tree(link, &word.frame()),
            }
        }
        for (transit, side) in self.transits.drain(..) {
            transit.work(side);
        }
    }
}

impl LinkCell {
    /// Handles what the reader holds. Never waits: not for room to write, nor for another link.
    pub(crate) fn process(&self, reader: &mut Reader) {
        if !self.take_in(reader) {
            self.flush(self.lock());
        }
    }

    /// As [`LinkCell::process`], for a thread that waits for what comes: `false` where an
    /// acknowledgement is left to it, to be written before it waits on.
    pub(crate) fn take_in(&self, reader: &mut Reader) -> bool {
        let large = match reader.large {
            None => None,
            Some(_) => match reader.take_large() {
                None => return true,
                large => large,
            },
        };
        let mut is_large = large.is_some();
        let mut begin_large = false;
        let Reader { buffer, from, to, is_up, effects, .. } = reader;
        // Let go after the link, for it may be the last hold on the node.
        let node = if *is_up { None } else { self.node.upgrade() };
        let mut state = self.lock();
        if state.down.is_some() {
            return true;
        }
        if node.as_ref().is_some_and(|node| node.is_full()) {
            state.link.turn_away(Reason::NoResources);
        }
        state.output.heard = true;
        let mut fault = large.and_then(|large| state.take_large(large, effects).err());
        while fault.is_none() && *from < *to {
            let input = &buffer[*from..*to];
            if let Some(used) = state.take_run(input, effects) {
                *from += used;
                is_large = false;
                continue;
            }
            match framing::next(input, state.link.max_frame(), state.link.crc_seed()) {
                Ok(Step::Need(missing)) => {
                    // With a checksum the whole frame is looked at, and stands in line.
                    if state.link.crc_seed().is_none() && missing >= IN_PLACE {
                        is_large = true;
                        begin_large = true;
                    }
                    break;
                }
                Ok(Step::Frame(frame, used)) => {
                    *from += used;
                    is_large = used > IN_PLACE;
                    if let Err(error) = state.take_frame(frame, effects) {
                        fault = Some(error);
                        break;
                    }
                }
                Err(error) => {
                    fault = Some(error);
                    break;
                }
            }
        }
        if effects.up.is_some() {
            *is_up = true;
            buffer.resize(buffer.len().max(READ_LEN), 0);
        }
        if let Some(fault) = fault {
            self.last_words(state);
            effects.run(self);
            self.fail(fault.into());
            return true;
        }
        if state.leave.is_some() {
            effects.wakers.extend(state.output.flusher.clone());
        }
        let acked = !state.owes_only_ack();
        self.flush_but_ack(state);
        reader.passed |= !effects.transits.is_empty();
        // Only what is large is worth a look at whether there is more.
        let gathered =
            if reader.gathers && is_large { core::mem::take(&mut effects.transits) } else { Vec::new() };
        effects.run(self);
        effects.transits = gathered;
        reader.expects_large = is_large;
        if begin_large {
            reader.begin_large();
        }
        acked
    }
}

impl Cell {
    /// Whoever waits for a message is to look.
    #[inline]
    fn tell_of_message(&mut self, effects: &mut Effects) {
        if self.recv_waker.is_some() {
            effects.wakers.extend(self.recv_waker.take());
        }
        if !self.announced && self.member.is_some() {
            self.announced = true;
            effects.tell(self.member.as_ref(), Signal::Received);
        }
    }
}

impl LinkState {
    fn take_large(&mut self, large: Large, effects: &mut Effects) -> Result<(), Fault> {
        let Large { handle, bytes, .. } = large;
        let event = self.proto(|link, slots| link.handle_whole(slots, handle, &bytes))?;
        if matches!(event, Event::Data(..)) {
            self.take_data(handle, Part::Whole, &[], Some(bytes), effects);
        }
        Ok(())
    }

    /// Takes the small messages of one circuit that stand at the start of `input`, one after
    /// the other: how many bytes that was. `None` where anything is unusual; nothing has
    /// happened then.
    #[inline]
    fn take_run(&mut self, input: &[u8], effects: &mut Effects) -> Option<usize> {
        let handle = framing::small(input)?;
        let (id, cell) = self.cell_of(handle)?;
        if cell.rx_gone || cell.is_latest || !cell.attached.is_empty() {
            cell.transit.as_ref()?;
            let used = self.proto(|link, slots| link.handle_run(slots, handle, input))?;
            self.take_transit_run(id, &input[..used], effects);
            return Some(used);
        }
        let used = self.proto(|link, slots| link.handle_run(slots, handle, input))?;
        let cell = self.cells.get(id)?;
        cell.inbox.push_run(&input[..used]);
        cell.tell_of_message(effects);
        Some(used)
    }

    #[inline]
    fn take_frame(&mut self, frame: &[u8], effects: &mut Effects) -> Result<(), Fault> {
        let event = self.proto(|link, slots| link.handle(slots, frame))?;
        match event {
            Event::Data(handle, part, bytes) => self.take_data(handle, part, bytes, None, effects),
            event => self.take_event(event, effects),
        }
        Ok(())
    }

    #[inline]
    fn take_data(
        &mut self,
        handle: Handle,
        part: Part,
        bytes: &[u8],
        owned: Option<Vec<u8>>,
        effects: &mut Effects,
    ) {
        let Some((id, cell)) = self.cell_of(handle) else { return };
        if cell.rx_gone {
            if cell.transit.is_some() {
                let owned = owned.map(Arc::new);
                let bytes = owned.as_deref().map_or(bytes, Vec::as_slice);
                return self.take_transit(id, &Event::Data(handle, part, bytes), owned.as_ref(), effects);
            }
            // The other half is still in use, and no frame ends this direction alone.
            cell.untaken = true;
            let len = match part {
                Part::Whole => owned.map_or(bytes.len(), |message| message.len()) as u32,
                Part::First(len) => len,
                Part::More => return,
            };
            return self.discard(id, crate::proto::Link::charge(len));
        }
        match (part, &mut cell.partial) {
            (Part::Whole, _) if cell.is_latest => {
                self.take_newest(id, owned.unwrap_or_else(|| bytes.to_vec()));
            }
            (Part::Whole, _) if !cell.attached.is_empty() => {
                let ends = core::mem::take(&mut cell.attached);
                cell.inbox.push_carrying(owned.unwrap_or_else(|| bytes.to_vec()), ends);
            }
            (Part::Whole, _) => match owned {
                Some(message) => cell.inbox.push_owned(message),
                None => cell.inbox.push(bytes),
            },
            (Part::First(len), partial) => {
                // Within the credit that was granted, so the peer has not chosen this size alone.
                let mut message = spare::take(len as usize);
                message.extend_from_slice(bytes);
                *partial = Some((message, len as usize));
                return;
            }
            (Part::More, Some((message, len))) => {
                message.extend_from_slice(bytes);
                if message.len() < *len {
                    return;
                }
                let message = core::mem::take(message);
                cell.partial = None;
                if cell.is_latest {
                    self.take_newest(id, message);
                } else if !cell.attached.is_empty() {
                    let ends = core::mem::take(&mut cell.attached);
                    cell.inbox.push_carrying(message, ends);
                } else if message.len() > BIG {
                    cell.inbox.push_owned(message);
                } else {
                    cell.inbox.push(&message);
                }
            }
            (Part::More, None) => return,
        }
        if let Some(cell) = self.cells.get(id) {
            cell.tell_of_message(effects);
        }
    }

    fn take_event(&mut self, event: Event<'_>, effects: &mut Effects) {
        if let Event::Accepted(handle, _)
        | Event::Granted(handle)
        | Event::Taken(handle, _)
        | Event::Asked(handle, _)
        | Event::End(handle)
        | Event::Done(handle)
        | Event::Dead(handle, _) = event
            && let Some((id, cell)) = self.cell_of(handle)
            && cell.transit.is_some()
        {
            return self.take_transit(id, &event, None, effects);
        }
        let (handle, signal) = match event {
            Event::Up(hello) => {
                let info = PeerInfo::new(&hello);
                self.peer = Some(info.clone());
                effects.up = Some(info);
                effects.wakers.append(&mut self.up_wakers);
                return;
            }
            Event::Open(handle, open) => {
                let cell = self.offered(handle);
                let wanted = open.route.map(|_| Wanted::new(&open));
                effects.asked.push(Asked::Offer(Offer {
                    path: open.route.as_ref().map(Path::new),
                    origin: None,
                    wanted,
                    cell,
                    flags: open.flags,
                    wait_ms: open.wait_ms,
                    name: open.name.to_string(),
                    fingerprints: open.fingerprints.as_slice().to_vec(),
                    body: open.body.map(<[u8]>::to_vec),
                }));
                return;
            }
            Event::Tree(frame) => return effects.asked.push(Asked::Tree(TreeWord::new(&frame))),
            Event::Accepted(handle, which) => {
                if let Some((id, cell)) = self.cell_of(handle) {
                    cell.opened = true;
                    cell.which = which;
                    effects.wakers.extend(cell.send_waker.take());
                    self.send_waiting(id);
                }
                (handle, Signal::Received)
            }
            Event::Granted(handle) => {
                if let Some((id, _)) = self.cell_of(handle) {
                    self.send_waiting(id);
                }
                (handle, Signal::Granted)
            }
            Event::Taken(handle, total) => {
                if let Some((_, cell)) = self.cell_of(handle) {
                    cell.confirm(total);
                }
                (handle, Signal::Granted)
            }
            Event::Asked(handle, total) => return self.take_ask(handle, total),
            Event::End(handle) => {
                self.take_end(handle);
                (handle, Signal::Over)
            }
            Event::Done(handle) => return self.take_done(handle, effects),
            Event::Dead(handle, dead) => return self.take_dead(handle, &dead, effects),
            Event::Attach(carrier, handle, ordinal, open) => {
                return self.take_attach(carrier, handle, ordinal, &open, effects);
            }
            _ => return,
        };
        let Some((_, cell)) = self.cell_of(handle) else { return };
        if signal != Signal::Received {
            effects.wakers.extend(cell.send_waker.take());
        }
        if signal != Signal::Granted {
            effects.wakers.extend(cell.recv_waker.take());
        }
        effects.tell(cell.member.as_ref(), signal);
    }

    /// The only message of an opener, and its end, which have come with an open that is accepted now.
    pub(crate) fn take_body(&mut self, id: CellId, handle: Handle, body: &[u8]) {
        if let Some(cell) = self.cells.get(id) {
            cell.inbox.push(body);
            cell.announced = true;
        }
        self.take_end(handle);
    }

    fn take_ask(&mut self, handle: Handle, total: Total) {
        let Some((id, cell)) = self.cell_of(handle) else { return };
        cell.ask = Some(total);
        // How far it is now, and again when it is there: a drain that gives up can then say
        // what is missing.
        let now = Total::new(cell.taken.set_asked() as u32);
        self.proto(|link, slots| link.taken(slots, handle, now, true));
        self.asked(id);
    }

    fn take_end(&mut self, handle: Handle) {
        let values = self.proto(|link, slots| link.values_in(slots, handle));
        let Some((id, cell)) = self.cell_of(handle) else { return };
        cell.ended = true;
        // A sender that has ended cannot ask any more; it is told all the same.
        cell.ask = Some(values);
        cell.taken.set_asked();
        if cell.rx_gone && !cell.untaken {
            self.drained(id);
        }
        self.asked(id);
    }

    fn take_done(&mut self, handle: Handle, effects: &mut Effects) {
        let Some((id, cell)) = self.cell_of(handle) else { return };
        cell.done = true;
        cell.confirmed = cell.sent;
        let (over, orphan) = (!cell.receives || cell.rx_gone || cell.drained, cell.orphan);
        cell.wake_all(&mut effects.wakers);
        effects.tell(cell.member.as_ref(), Signal::Over);
        if over {
            self.forget(id);
        }
        if orphan {
            self.remove(id);
        }
    }

    fn take_dead(&mut self, handle: Handle, dead: &DeadFrame<'_>, effects: &mut Effects) {
        let offered = !self.link.is_mine(handle);
        let Some((id, cell)) = self.cell_of(handle) else { return };
        if offered && !cell.opened {
            effects.asked.push(Asked::GivenUp(id));
        }
        cell.dead = Some(dead.dead);
        cell.detail = dead.detail.to_string();
        cell.confirm(dead.taken);
        cell.outbox = None;
        cell.partial = None;
        cell.wake_all(&mut effects.wakers);
        effects.tell(cell.member.as_ref(), Signal::Over);
        // The queue lives in the cell, so the handle is free at once.
        let orphan = cell.orphan;
        // Their message will not come any more.
        let ends = core::mem::take(&mut cell.attached);
        self.refuse_attached(ends);
        self.proto(|link, slots| link.drained(slots, handle));
        self.forget(id);
        if orphan {
            self.remove(id);
        }
    }

    fn take_attach(
        &mut self,
        carrier: Handle,
        handle: Handle,
        ordinal: u32,
        open: &Open<'_>,
        effects: &mut Effects,
    ) {
        let cell = self.offered(handle);
        if let Some(passage) = self.cell_of(carrier).and_then(|(_, cell)| cell.transit.clone()) {
            let at = self.proto(|link, slots| link.values_in(slots, carrier));
            return self.attach_transit(&passage, at, (cell, handle), ordinal, open, effects);
        }
        let fingerprint = open.fingerprints.as_slice().first().copied().unwrap_or_default();
        let attached = Attached { ordinal, cell, flags: open.flags, fingerprint };
        let may_keep = self.cells.len() <= 2 * self.circuits as usize;
        match self.cell_of(carrier) {
            // Ends that died on the way stay until their message is taken, without a handle
            // that would count: so it is the cells that are counted.
            Some((_, carrier)) if may_keep && !carrier.rx_gone && carrier.attached.len() < ENDS_MAX => {
                carrier.attached.push(attached);
            }
            _ => self.refuse_attached([attached]),
        }
    }

    /// Nobody will take these ends: whoever has sent them is told.
    pub(crate) fn refuse_attached(&mut self, ends: impl IntoIterator<Item = Attached>) {
        for end in ends {
            self.kill(end.cell, Reason::NotTaken, "");
            self.remove(end.cell);
        }
    }

    /// The newest value replaces the one before, and its room is free at once.
    fn take_newest(&mut self, id: CellId, message: Vec<u8>) {
        let Some(cell) = self.cells.get(id) else { return };
        let charged = crate::proto::Link::charge(message.len() as u32);
        cell.newest = Some(message);
        cell.taken.count();
        self.report(id, charged);
        self.answer_ask(id);
    }

    /// Reports what the program has taken, if that is what the peer asked for.
    pub(crate) fn answer_ask(&mut self, id: CellId) {
        let Some(cell) = self.cells.get(id) else { return };
        let (Some(handle), Some(ask)) = (cell.handle, cell.ask) else { return };
        let total = Total::new(cell.taken.get() as u32);
        if total.at_least(ask) {
            cell.ask = None;
            cell.taken.clear_asked();
            self.proto(|link, slots| link.taken(slots, handle, total, true));
        }
    }

    /// As [`LinkState::answer_ask`], for a question that has just come: if it has to wait, it
    /// may have crossed the last value, so it is looked at again in the next two ticks, of
    /// which the second comes surely later than what was crossed.
    fn asked(&mut self, id: CellId) {
        self.answer_ask(id);
        if let Some(cell) = self.cells.get(id).filter(|cell| cell.ask.is_some())
            && core::mem::replace(&mut cell.looks, 2) == 0
        {
            self.asked.push(id);
        }
    }

    /// Looks again at questions that may have crossed the last value.
    pub(crate) fn look_at_asked(&mut self) {
        for id in core::mem::take(&mut self.asked) {
            self.answer_ask(id);
            if let Some(cell) = self.cells.get(id) {
                cell.looks = if cell.ask.is_some() { cell.looks.saturating_sub(1) } else { 0 };
                if cell.looks > 0 {
                    self.asked.push(id);
                }
            }
        }
    }
}
