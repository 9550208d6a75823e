//! What passes through a board that is a bridge, as one of its lines sees it.
//!
//! A frame for a circuit that no channel has is looked for among the passages; what is due of those is written behind what is due of
//! channels, one message of each in turn. What the tree has to say goes before both.

use super::hear::CHUNK;
use super::{Circuits, Driver, Heard, Identity, Memory};
use crate::board::bridge::{
    self, Due, LEFT, Passage, RIGHT, Route, Shared, Transit, TreeHeard, UP, Way, Wish, enter, with,
};
use crate::board::ending::Ending;
use crate::board::lines::{Here, Place};
use crate::board::node::Node;
use crate::board::short::Short;
use crate::board::wake_line;
use crate::proto::{
    CONTROL_DEAD, CONTROL_OPEN, HOPS_MAX, Hello, LINK_ADOPT, LINK_GOODBYE, LINK_GRANT, LINK_SHUTDOWN,
    LinkKind, Name, Open, Reader, Reason, put,
};
use crate::varint::{self, Cursor};

/// What stands before a part of a message at most, as in `tell.rs`.
const HEAD_MAX: u16 = 2 + 2 + 3;
/// What a record of a short frame takes at most, with its length.
const SHORT_MAX: usize = Short::MAX_LEN + 1;
/// Handles of this side, halved, are below this: with their parity they fit a byte.
const INDEX_MAX: u8 = 0x80;
/// Longest OPEN that is passed on, without its head, in bytes. There is no route in it, or a short one.
const OPEN_MAX: usize = 208;

/// The role of a line in the tree, once its session has begun.
pub(super) struct Relative<'a> {
    is_tree: bool,
    /// It would have children of its own.
    is_bridge: bool,
    name: &'a str,
}

impl<const CHANNELS: usize, const BYTES: usize> Node<CHANNELS, BYTES> {
    pub(in crate::board) fn bridge_line<'m, const LINE_BYTES: usize>(
        &'static self,
        here: Here,
        transit: Transit,
        memory: &'m mut Memory<LINE_BYTES>,
        identity: Identity<'m>,
    ) -> Driver<'m> {
        transit.tree(|tree| tree.start());
        let mut driver = self.line_at(here, memory, identity);
        #[cfg(feature = "async")]
        transit.tree(|tree| tree.is_of(driver.circuits.common));
        driver.circuits.transit = Some(transit);
        driver
    }
}

impl Circuits<'_> {
    /// What a hello of ours says of this line: its kind, and whether we are the parent.
    pub(super) fn kind(&self) -> (LinkKind, bool) {
        match self.transit {
            // A leaf of a tree, or a peer: as the other side likes.
            None => (LinkKind::Either, false),
            Some(_) if self.here.index() == UP => (LinkKind::Tree, false),
            Some(_) => (LinkKind::Either, true),
        }
    }

    /// Whether the peer's hello fits a line of the tree, and what it is then.
    pub(super) fn relative<'a>(&self, hello: &'a [u8], fits: bool) -> Option<Relative<'a>> {
        if self.transit.is_none() {
            return fits.then_some(Relative { is_tree: false, is_bridge: false, name: "" });
        }
        let hello = Hello::parse(hello).ok()?;
        let may_be_tree = hello.kind != LinkKind::Peer && hello.window > 0;
        let is_tree = if self.here.index() == UP {
            // A parent or nobody.
            if !may_be_tree || !hello.adopts {
                return None;
            }
            true
        } else {
            may_be_tree && !hello.adopts
        };
        let is_bridge = self.here.index() != UP && hello.kind == LinkKind::Tree;
        (is_tree || fits).then_some(Relative { is_tree, is_bridge, name: hello.name })
    }

    /// The session has begun.
    pub(super) fn join(&mut self, relative: &Relative<'_>) {
        let (index, packet) = (self.here.index(), self.link.packet);
        if let Some(transit) = self.transit {
            transit.tree(|tree| {
                tree.up(index, relative.is_tree, packet, relative.name.as_bytes());
                if relative.is_bridge {
                    tree.turn_away(index);
                }
            });
            self.wake_lines();
        }
    }

    /// The session is over, and what passed through it.
    pub(super) fn lose_passages(&self, end: Ending) {
        let Some(transit) = self.transit else { return };
        // First, so that no circuit begins on it behind this.
        transit.tree(|tree| tree.down(self.here.index()));
        for passage in transit.passages {
            with(|cs| enter(cs, passage, |passage| passage.lose_line(self.here, end)));
        }
        self.wake_lines();
    }

    /// Other lines may have something to say by what was heard here.
    fn wake_lines(&self) {
        wake_line(self.common, self.here);
    }

    /// Sees to what the tree wants of this line: whether nothing else is to be said.
    pub(super) fn attend(&mut self) -> bool {
        let Some(transit) = self.transit else { return false };
        if !self.link.is_up {
            let rests = transit.tree(|tree| tree.shutdown().is_some());
            if rests && self.link.is_hello_new {
                self.arq.restart();
                self.link.is_hello_new = false;
            }
            return rests;
        }
        if !self.arq.is_confirmed() {
            // The peer has yet to hear our echo, and can read nothing before.
            return false;
        }
        if self.parting.get() != 0 {
            if self.arq.is_idle() {
                self.fail(Ending::here(self.parting));
            }
            return true;
        }
        let end = transit.tree(|tree| tree.end_of(self.here.index()));
        if let Some(reason) = end {
            let mut short = Short::new();
            short.link(LINK_GOODBYE);
            short.byte(reason.get());
            if self.put_frame(&mut short) {
                self.lose(Ending::here(reason));
                self.parting = reason;
            }
        }
        end.is_some()
    }

    /// Whether the line rests, for the bridge was shut down.
    pub(super) fn is_resting(&self) -> bool {
        !self.link.is_up && self.transit.is_some_and(|transit| transit.tree(|tree| tree.shutdown().is_some()))
    }

    /// Takes a frame of the tree.
    pub(super) fn hear_tree(&mut self, number: u32, r: &mut Cursor<'_>) -> Result<(), Ending> {
        let Some(transit) = self.transit else { return Err(Ending::BROKEN) };
        let heard = match number {
            LINK_ADOPT => {
                let (id, count) = (r.number(), r.byte());
                if id == 0 || count == 0 || count > HOPS_MAX {
                    return Err(Ending::BROKEN);
                }
                let mut above = [0; HOPS_MAX as usize];
                for place in above.iter_mut().take(count.into()) {
                    *place = r.number();
                }
                TreeHeard::Adopt(id, above, count)
            }
            LINK_GRANT => {
                let (start, count) = (r.number(), r.number());
                if count != 0 && (start == 0 || start.checked_add(count).is_none()) {
                    return Err(Ending::BROKEN);
                }
                TreeHeard::Grant(start, count)
            }
            LINK_SHUTDOWN => TreeHeard::Shutdown(r.number()),
            _ => return Err(Ending::BROKEN),
        };
        if r.is_broken {
            return Err(Ending::BROKEN);
        }
        let index = self.here.index();
        let is_right = with(|cs| enter(cs, transit.tree, |tree| tree.hear(index, &heard)));
        self.wake_lines();
        if is_right == Some(false) { Err(Ending::BROKEN) } else { Ok(()) }
    }

    /// Takes an OPEN that is not for this board: whether it is one.
    pub(super) fn pass_open(&mut self, handle: u32, bytes: &[u8]) -> Result<bool, Ending> {
        let Some(transit) = self.transit else { return Ok(false) };
        if self.passage(handle).is_some() {
            return Err(Ending::BROKEN);
        }
        let mut r = Reader::new(bytes);
        let open = r.routed_open();
        if r.check().is_err() {
            return Err(Ending::BROKEN);
        }
        let Some(route) = open.route else { return Ok(false) };
        let index = self.here.index();
        let from = Route { from: route.from, hops: route.hops, to: route.to };
        let (line, node, packet) = match transit.tree(|tree| tree.way(index, from)) {
            Way::Here => return Ok(false),
            Way::Dead(reason) => return self.refuse(handle, reason.get()).map(|()| true),
            Way::Forged => {
                self.refuse(handle, Reason::Refused.get())?;
                return if transit.tree(|tree| tree.strike(index)) { Err(Ending::BROKEN) } else { Ok(true) };
            }
            Way::Onward { line, node, packet } => (line, node, packet),
        };
        let reason = match self.splice(transit, handle, &open, (line, node, packet)) {
            Ok(()) => return Ok(true),
            Err(Refusal::Broken) => return Err(Ending::BROKEN),
            Err(Refusal::Reason(reason)) => reason,
        };
        self.refuse(handle, reason.get()).map(|()| true)
    }

    fn splice(
        &mut self,
        transit: Transit,
        handle: u32,
        open: &Open<'_>,
        (line, node, packet): (u8, u32, u16),
    ) -> Result<(), Refusal> {
        let is_theirs = handle & 1 == u32::from(self.link.parity);
        if !is_theirs || (handle >> 1) as usize >= self.refusals.len() || self.find(handle).is_some() {
            return Err(Refusal::Broken);
        }
        let free = transit
            .passages
            .iter()
            .position(|passage| with(|cs| enter(cs, passage, Passage::take)).unwrap_or_default());
        let Some((index, passage)) = free.and_then(|at| Some((at, transit.passages.get(at)?))) else {
            return Err(Refusal::Reason(Reason::NoResources));
        };
        let room = transit.room(index);
        let mut bytes = [0; OPEN_MAX];
        // Behind the head, the code, and the length of the record.
        let most = usize::from(packet).saturating_sub(2 + 3).min(room.len());
        let result = match onward(open, room.len(), most, &mut bytes) {
            Some(len) => {
                bridge::put_text(room, bytes.get(..len).unwrap_or_default());
                let left =
                    (self.here.at(handle as u8), transit.tree(|tree| tree.neighbour(self.here.index())));
                // Its handle is not known yet.
                let right = (Place::from(line) << 8, node);
                match Passage::slots(open, room.len()) {
                    Ok([offered, opening]) => {
                        with(|cs| enter(cs, passage, |it| it.begin_end(LEFT, offered, left)));
                        with(|cs| enter(cs, passage, |it| it.begin_end(RIGHT, opening, right)));
                        // The node may have gone meanwhile, and another one come to its line.
                        let is_there = with(|cs| {
                            let is_there =
                                enter(cs, transit.tree, |tree| tree.neighbour(line.into())) == Some(node);
                            if is_there {
                                enter(cs, passage, |it| it.begin(open.flags, room, len as u8));
                            }
                            is_there
                        });
                        if is_there { Ok(()) } else { Err(Refusal::Reason(Reason::NoRoute)) }
                    }
                    Err(_) => Err(Refusal::Broken),
                }
            }
            // As where a name and a path are too long together for any frame.
            None => Err(Refusal::Reason(Reason::TooLarge)),
        };
        if result.is_err() {
            with(|cs| enter(cs, passage, Passage::give_back));
        } else {
            self.wake_lines();
        }
        result
    }

    /// The passage of a circuit on this line, and which of its ends that is.
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn passage(&self, handle: u32) -> Option<(usize, &'static Shared<Passage>, usize)> {
        let (transit, place) = (self.transit?, self.here.place(handle));
        for (at, passage) in transit.passages.iter().enumerate() {
            let side = with(|cs| enter(cs, passage, |passage| passage.side_of(place))).flatten();
            if let Some(side) = side {
                return Some((at, passage, side));
            }
        }
        None
    }

    /// Takes a frame of a circuit that no channel has.
    pub(super) fn pass_frame(
        &mut self,
        handle: u32,
        mut frame: Heard,
        r: &mut Cursor<'_>,
    ) -> Result<(), Ending> {
        let (Some((index, passage, side)), Some(transit)) = (self.passage(handle), self.transit) else {
            return Ok(());
        };
        let mut text_len = 0;
        if frame.code == CONTROL_DEAD {
            if self.here.index() != UP {
                // A leaf knows nobody else.
                frame.numbers[1] = 0;
            }
            let Ok(text) = core::str::from_utf8(r.text()) else { return Err(Ending::BROKEN) };
            if r.is_broken || crate::proto::has_control(text.as_bytes()) {
                return Err(Ending::BROKEN);
            }
            let to = with(|cs| enter(cs, passage, |passage| passage.text_goes_to(side))).flatten();
            if let Some(line) = to {
                // It is to fit a packet there.
                let packet = transit.tree(|tree| tree.packet(line.into()));
                let room = transit.room(index);
                let most = usize::from(packet).saturating_sub(SHORT_MAX).min(room.len());
                let text = cut(text.as_bytes(), most.min(bridge::DETAIL_MAX));
                bridge::put_text(room, text);
                text_len = text.len();
            }
        }
        let heard = with(|cs| enter(cs, passage, |passage| passage.hear(side, &frame, text_len)));
        self.wake_lines();
        heard.unwrap_or(Ok(()))
    }

    /// Takes a part of a message of a circuit that no channel has.
    pub(super) fn pass_data(
        &mut self,
        handle: u32,
        kind: u32,
        total: u32,
        mut rest: &[u8],
    ) -> Result<(), Ending> {
        let Some((_, passage, side)) = self.passage(handle) else { return Ok(()) };
        let len = rest.len() as u32;
        let heard = with(|cs| enter(cs, passage, |passage| passage.hear_data(cs, side, (kind, total, len))));
        if !heard.unwrap_or(Ok(false))? {
            return Ok(());
        }
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at_checked(CHUNK).unwrap_or((rest, &[]));
            with(|cs| enter(cs, passage, |passage| passage.hear_bytes(cs, side, chunk)));
            rest = after;
        }
        self.wake_lines();
        Ok(())
    }

    /// Writes what the tree has to say on this line.
    pub(super) fn tell_tree(&mut self, short: &mut Short) {
        let Some(transit) = self.transit.filter(|_| self.here.index() == UP) else { return };
        loop {
            let (mut name, room) = ([0; Name::MAX_LEN], self.arq.room());
            let Some(len) = transit.tree(|tree| tree.next(short, &mut name, room)) else { return };
            let mut room = self.record(short, len).unwrap_or_default();
            put(&mut room, name.get(..len).unwrap_or_default());
            self.wake_lines();
        }
    }

    /// Writes what is due of a circuit that passes through, and a part of a message of it: whether more may follow.
    pub(super) fn tell_passages(&mut self, short: &mut Short) -> bool {
        let Some(transit) = self.transit else { return false };
        let mut more = false;
        for (index, passage) in transit.passages.iter().enumerate() {
            let wish = with(|cs| enter(cs, passage, |passage| passage.wish(self.here))).flatten();
            if let Some(wish) = wish {
                self.open_onward(passage, transit.room(index), &wish, short);
            }
            for side in [LEFT, RIGHT] {
                if with(|cs| enter(cs, passage, |passage| passage.is_on(self.here, side))) == Some(true) {
                    more |= self.tell_passage(passage, transit.room(index), side, short);
                }
            }
        }
        more
    }

    fn tell_passage(
        &mut self,
        passage: &'static Shared<Passage>,
        room: &'static [bridge::Byte],
        side: usize,
        short: &mut Short,
    ) -> bool {
        let mut is_heard = false;
        while self.arq.room() >= SHORT_MAX {
            let spare = self.arq.room() - SHORT_MAX;
            let due = with(|cs| enter(cs, passage, |passage| passage.next(side, short, spare)));
            match due {
                Some(Due::Frame) => {
                    self.put_frame(short);
                }
                Some(Due::Text(len)) => {
                    let out = self.record(short, len.into()).unwrap_or_default();
                    bridge::get_text(room, out);
                }
                Some(Due::Nothing) | None => break,
            }
            is_heard = true;
        }
        let fits = self.arq.room().saturating_sub(HEAD_MAX.into()) as u16;
        let most = self.link.packet.saturating_sub(HEAD_MAX);
        let part = with(|cs| enter(cs, passage, |passage| passage.next_data(cs, side, short, (most, fits))))
            .flatten();
        let Some(part) = part else {
            if is_heard {
                self.wake_lines();
            }
            return false;
        };
        let mut offset = 0;
        for chunk in self.record(short, part.into()).unwrap_or_default().chunks_mut(CHUNK) {
            with(|cs| enter(cs, passage, |passage| passage.read(cs, side, offset, chunk)));
            offset += chunk.len() as u16;
        }
        with(|cs| enter(cs, passage, |passage| passage.written(side, part)));
        self.wake_lines();
        true
    }

    /// Asks for a circuit that passes through on this line. Nothing of it is written before it is certain that the circuit is still wanted, for
    /// the other line's driver may come between.
    fn open_onward(
        &mut self,
        passage: &'static Shared<Passage>,
        room: &'static [bridge::Byte],
        wish: &Wish,
        short: &mut Short,
    ) {
        let Some(handle) = self.free_handle() else {
            with(|cs| enter(cs, passage, |passage| passage.refuse(wish, Reason::NoResources)));
            return self.wake_lines();
        };
        short.circuit(handle, CONTROL_OPEN);
        let len = wish.text_len.into();
        // The length of a record has two bytes at most.
        if self.arq.room() < short.bytes().len() + len + 2 {
            return;
        }
        let place = self.here.at(handle);
        if with(|cs| enter(cs, passage, |passage| passage.opened(wish, place))) == Some(true) {
            let out = self.record(short, len).unwrap_or_default();
            bridge::get_text(room, out);
        }
    }

    /// A handle of ours that no circuit on this line has.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn free_handle(&self) -> Option<u8> {
        let most = self.link.circuits.min(INDEX_MAX);
        (0..most)
            .map(|index| index << 1 | (1 - self.link.parity))
            .find(|&handle| self.find(handle.into()).is_none() && self.passage(handle.into()).is_none())
    }

    pub(super) fn has_unsent_passages(&self) -> bool {
        let Some(transit) = self.transit else { return false };
        transit.passages.iter().any(|passage| {
            with(|cs| enter(cs, passage, |passage| passage.has_unsent(self.here))).unwrap_or_default()
        })
    }
}

/// A text cut to at most `max` bytes at a character.
fn cut(text: &[u8], max: usize) -> &[u8] {
    let is_inside = |end: usize| text.get(end).is_some_and(|byte| byte & 0xc0 == 0x80);
    let mut end = text.len().min(max);
    while end > 0 && is_inside(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Why a circuit does not go on.
enum Refusal {
    Reason(Reason),
    Broken,
}

/// Writes what is to be asked for on the next line, without its head: how long it is, `most` bytes at most.
fn onward(open: &Open<'_>, room: usize, most: usize, out: &mut [u8; OPEN_MAX]) -> Option<usize> {
    let (credit, limit) = Passage::promise(open, room);
    let mut at = 0;
    let mut numbers = [0; 1 + 4 * varint::MAX_LEN];
    let mut len = 0;
    for number in [open.flags.get().into(), open.wait_ms, credit, limit, open.values] {
        len = varint::put(&mut numbers, len, number);
    }
    let name = open.name.as_bytes();
    let fingerprints = open.fingerprints.as_slice();
    let fixed = len + 1 + name.len() + 1 + fingerprints.len() * 8 + 1;
    // The readable name of the type is what can be spared.
    let spare = most.min(out.len()).checked_sub(fixed)?;
    let type_name = cut(open.type_name.as_bytes(), spare);
    let mut write = |bytes: &[u8]| {
        let mut room = out.get_mut(at..).unwrap_or_default();
        put(&mut room, bytes);
        at += bytes.len();
    };
    write(numbers.get(..len).unwrap_or_default());
    write(&[name.len() as u8]);
    write(name);
    write(&[fingerprints.len() as u8]);
    for fingerprint in fingerprints {
        write(&fingerprint.to_le_bytes());
    }
    write(&[type_name.len() as u8]);
    write(type_name);
    Some(at)
}
