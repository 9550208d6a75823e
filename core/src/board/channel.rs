//! A channel in a node's table: what its end and the driver know of each other.
//!
//! The end belongs to the program, or to an interrupt; the driver to the loop that moves bytes. What
//! they share is here, and each touches it in critical sections of a few instructions and one copy.

use core::cell::Cell;

use critical_section::{CriticalSection, Mutex};

use super::driver::Opener;
use super::error::{Account, RecvError, SendCause};
use super::ring::{Byte, Ring};
use super::spec::Spec;
use crate::proto::{Dead, Link, OpenFlags, Place, Reason};

/// One of the table, as everybody holds it.
pub(super) type Shared = Mutex<Channel>;

/// Where a channel's circuit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is none.
    Idle,
    /// The peer has opened it, and the program has not heard of the one before.
    Offered,
    /// We have opened it.
    Opening,
    Open,
}

/// What is to be done, and what has happened: bits.
pub(super) mod flag {
    /// The program has taken values; the driver tells the link.
    pub(crate) const TAKEN: u16 = 2;
    /// The peer wants to know when so many are taken.
    pub(crate) const ASKED: u16 = 4;
    /// The program sends no more: END follows what waits.
    pub(crate) const ENDING: u16 = 8;
    /// And the link knows it.
    pub(crate) const ENDED: u16 = 0x10;
    /// The program has dropped its end.
    pub(crate) const DROPPED: u16 = 0x20;
    /// The circuit is to be given up, for `killed`.
    pub(crate) const KILL: u16 = 0x40;
    /// The peer's END has come.
    pub(crate) const IN_END: u16 = 0x80;
    /// Receiving has not told yet how the circuit ended.
    pub(crate) const UNTOLD: u16 = 0x100;
    /// The same of sending.
    pub(crate) const UNTOLD_OUT: u16 = 0x200;
    /// Receiving has told it, and the link does not know.
    pub(crate) const DRAINED: u16 = 0x400;
    /// A message is being written in parts.
    pub(crate) const SENDING: u16 = 0x800;
    /// The newest value has been sent.
    pub(crate) const STALE: u16 = 0x1000;
    /// Over for ever.
    pub(crate) const OVER: u16 = 0x2000;
    /// Not again in this session.
    pub(crate) const REFUSED: u16 = 0x4000;
    /// The peer is through with it, and receiving has not told its end yet.
    pub(crate) const DONE: u16 = 0x8000;
}

/// All of it is zero before it is used.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) name: Cell<Option<&'static str>>,
    pub(super) spec: Cell<Option<&'static Spec>>,
    /// Of an import: what opens its circuit. A program without imports links nothing of it.
    pub(super) opener: Cell<Option<Opener>>,
    pub(super) phase: Cell<Phase>,
    pub(super) which: Cell<u8>,
    pub(super) flags: Cell<u16>,
    pub(super) handle: Cell<u32>,
    pub(super) inbox: Ring,
    pub(super) outbox: Ring,
    /// Values taken on this circuit, and bytes of credit that they have freed since the link heard.
    pub(super) taken: Cell<u32>,
    pub(super) freed: Cell<u32>,
    pub(super) asked: Cell<u32>,
    pub(super) begun: Cell<u32>,
    pub(super) confirmed: Cell<u32>,
    pub(super) dropped: Cell<u32>,
    /// Values that a session has left unsent.
    unsent: Cell<u16>,
    /// Bytes of the outbox that are kept for replies.
    kept: Cell<u16>,
    /// Number of the circuit, so that a late reply finds no other one.
    circuit: Cell<u16>,
    /// Why it is dead: 0 in order. Said by the peer?
    reason: Cell<u8>,
    by_peer: Cell<bool>,
}

impl Channel {
    pub(super) const fn new() -> Self {
        Self {
            name: Cell::new(None),
            spec: Cell::new(None),
            opener: Cell::new(None),
            phase: Cell::new(Phase::Idle),
            which: Cell::new(0),
            flags: Cell::new(0),
            handle: Cell::new(0),
            inbox: Ring::new(),
            outbox: Ring::new(),
            taken: Cell::new(0),
            freed: Cell::new(0),
            asked: Cell::new(0),
            begun: Cell::new(0),
            confirmed: Cell::new(0),
            dropped: Cell::new(0),
            unsent: Cell::new(0),
            kept: Cell::new(0),
            circuit: Cell::new(0),
            reason: Cell::new(0),
            by_peer: Cell::new(false),
        }
    }

    /// Makes it a channel of that name.
    pub(super) fn bind(&self, name: &'static str, spec: &'static Spec, opener: Option<Opener>) {
        self.name.set(Some(name));
        self.spec.set(Some(spec));
        self.opener.set(opener);
        self.flags.set(0);
        self.inbox.clear();
        self.outbox.clear();
        self.unsent.set(0);
        self.dropped.set(0);
        self.begin(Phase::Idle, 0);
    }

    pub(super) fn has(&self, flags: u16) -> bool {
        self.flags.get() & flags != 0
    }

    pub(super) fn set(&self, flags: u16) {
        self.flags.set(self.flags.get() | flags);
    }

    pub(super) fn clear(&self, flags: u16) {
        self.flags.set(self.flags.get() & !flags);
    }

    pub(super) fn is_import(&self) -> bool {
        self.opener.get().is_some()
    }

    pub(super) fn kind(&self) -> OpenFlags {
        self.spec.get().map_or(OpenFlags::NONE, |spec| spec.flags)
    }

    pub(super) fn is_kind(&self, kind: OpenFlags) -> bool {
        self.kind().has(kind)
    }

    /// A circuit begins, or there is none.
    pub(super) fn begin(&self, phase: Phase, handle: u32) {
        self.phase.set(phase);
        self.handle.set(handle);
        self.taken.set(0);
        self.freed.set(0);
        self.begun.set(0);
        self.confirmed.set(0);
        self.kept.set(0);
        self.circuit.set(self.circuit.get().wrapping_add(1));
        let all = flag::TAKEN | flag::ASKED | flag::ENDED | flag::IN_END | flag::DRAINED | flag::DONE;
        self.clear(all | flag::SENDING | flag::STALE);
    }

    /// Whether what came before is told, so that the next importer may come.
    pub(super) fn is_told(&self) -> bool {
        !self.has(flag::UNTOLD) && (self.inbox.ready() == 0 || self.is_kind(OpenFlags::LATEST))
    }

    /// The peer has given the circuit up, or its link is gone: what is whole is still received.
    pub(super) fn die(&self, dead: Dead) {
        let is_sender = self.is_kind(OpenFlags::SENDS) && !self.is_kind(OpenFlags::LATEST);
        self.phase.set(Phase::Idle);
        self.clear(flag::SENDING | flag::STALE | flag::DRAINED | flag::KILL);
        self.give_up(dead);
        self.inbox.drop_partial();
        if is_sender {
            self.unsent.set(self.outbox.ready());
            self.outbox.clear();
        }
        if self.is_kind(OpenFlags::CALLS) && !self.is_import() {
            // Nobody waits for answers to what was asked, and a server goes on with the next.
            self.inbox.clear();
            self.kept.set(0);
            self.circuit.set(self.circuit.get().wrapping_add(1));
        } else {
            if self.is_kind(OpenFlags::RECEIVES) && !self.has(flag::OVER | flag::IN_END) {
                self.set(flag::UNTOLD);
            }
            if is_sender && !self.is_kind(OpenFlags::CALLS) && !self.has(flag::ENDING) {
                self.set(flag::UNTOLD_OUT);
            }
        }
        self.free_if_dropped();
    }

    /// Why it is dead.
    pub(super) fn give_up(&self, dead: Dead) {
        self.reason.set(dead.reason.get());
        self.by_peer.set(dead.at != Place::Here);
    }

    /// Its place in the table is free again, if nobody holds its end.
    pub(super) fn free_if_dropped(&self) {
        if self.has(flag::DROPPED) {
            self.name.set(None);
        }
    }

    /// The peer is through with the circuit; it is over when the program knows of the end as well.
    pub(super) fn done(&self) {
        if self.has(flag::UNTOLD | flag::DRAINED) {
            self.set(flag::DONE);
        } else {
            self.end();
        }
    }

    /// The circuit has ended in order.
    pub(super) fn end(&self) {
        self.phase.set(Phase::Idle);
        self.confirmed.set(self.begun.get());
        self.free_if_dropped();
    }

    /// What became of the values of the last circuit.
    pub(super) fn account(&self) -> Account {
        let queued = match self.phase.get() {
            Phase::Idle => self.unsent.get(),
            _ => self.outbox.ready() - u16::from(self.has(flag::SENDING)),
        };
        Account {
            confirmed: self.confirmed.get(),
            in_doubt: self.begun.get().wrapping_sub(self.confirmed.get()),
            unsent: u32::from(queued),
            dropped: self.dropped.get(),
        }
    }

    pub(super) fn dead(&self) -> Dead {
        let reason = Reason::new(self.reason.get());
        if self.by_peer.get() { Dead::peer(reason) } else { Dead::here(reason) }
    }

    /// Puts a message into the outbox, `head` before `body`.
    pub(super) fn send(&self, cs: CriticalSection<'_>, head: &[u8], body: &[u8]) -> Result<(), SendCause> {
        if self.has(flag::UNTOLD_OUT) {
            self.clear(flag::UNTOLD_OUT);
            let (dead, account) = (self.dead(), self.account());
            return Err(if self.is_import() {
                SendCause::Interrupted { dead, account }
            } else {
                SendCause::Left { dead, account }
            });
        }
        if self.has(flag::OVER | flag::REFUSED) {
            return Err(SendCause::Dead(self.dead()));
        }
        if self.phase.get() != Phase::Open {
            return Err(SendCause::NoImporter);
        }
        let len = head.len() + body.len();
        if !self.outbox.has_room(len, usize::from(self.kept.get())) {
            return Err(SendCause::Full);
        }
        self.put(cs, head, body);
        Ok(())
    }

    fn put(&self, cs: CriticalSection<'_>, head: &[u8], body: &[u8]) {
        self.outbox.begin(cs, (head.len() + body.len()) as u16);
        self.outbox.append(cs, head);
        self.outbox.append(cs, body);
    }

    /// Puts the newest value in the place of all that are not being sent.
    pub(super) fn set_newest(&self, cs: CriticalSection<'_>, body: &[u8]) {
        let keep = self.has(flag::SENDING);
        let replaced = self.outbox.ready() - u16::from(keep);
        if replaced > 0 && !self.has(flag::STALE) {
            self.dropped.set(self.dropped.get().wrapping_add(1));
        }
        match self.outbox.first(cs) {
            Some(len) if keep => self.outbox.keep_first(len),
            _ => self.outbox.clear(),
        }
        self.clear(flag::STALE);
        self.put(cs, &[], body);
    }

    /// Keeps room for the reply to one request: whether there is any.
    pub(super) fn keep(&self, len: usize) -> bool {
        let fits = self.outbox.has_room(len, usize::from(self.kept.get()));
        if fits {
            self.kept.set(self.kept.get() + Self::kept_for(len));
        }
        fits
    }

    /// Keeps it no more.
    pub(super) fn unkeep(&self, len: usize, circuit: u16) {
        if self.circuit.get() == circuit {
            self.kept.set(self.kept.get() - Self::kept_for(len));
        }
    }

    /// Replies in the room that was kept for it, unless the caller's circuit is gone.
    pub(super) fn reply(
        &self,
        cs: CriticalSection<'_>,
        circuit: u16,
        longest: usize,
        head: &[u8],
        body: &[u8],
    ) -> bool {
        let is_open = self.circuit.get() == circuit && self.phase.get() == Phase::Open;
        if is_open {
            self.kept.set(self.kept.get() - Self::kept_for(longest));
            self.put(cs, head, body);
        }
        is_open
    }

    const fn kept_for(len: usize) -> u16 {
        len as u16 + 2
    }

    /// Whether requests are being handled.
    pub(super) fn is_handling(&self) -> bool {
        self.kept.get() > 0
    }

    /// Number of the circuit.
    pub(super) fn circuit(&self) -> u16 {
        self.circuit.get()
    }

    /// Takes the next message, or says why there is none.
    pub(super) fn recv(&self, cs: CriticalSection<'_>, out: &mut [u8]) -> Result<usize, RecvError> {
        if let Some(len) = self.inbox.first(cs) {
            let most = len.min(out.len());
            self.inbox.read(cs, 0, &mut out[..most]);
            self.inbox.pop(len);
            self.taken.set(self.taken.get().wrapping_add(1));
            // The newest value has freed its room when it came.
            if !self.is_kind(OpenFlags::LATEST) {
                self.freed.set(self.freed.get() + Link::charge(len as u32));
            }
            self.set(flag::TAKEN);
            return Ok(most);
        }
        if !self.has(flag::UNTOLD) {
            return Err(if self.has(flag::OVER | flag::REFUSED) { self.over() } else { RecvError::Empty });
        }
        self.clear(flag::UNTOLD);
        let in_order = self.has(flag::IN_END);
        if in_order {
            self.reason.set(0);
            if self.phase.get() == Phase::Open {
                self.set(flag::DRAINED);
            }
        }
        if !self.is_import() {
            return Err(RecvError::Left { dead: (!in_order).then(|| self.dead()) });
        }
        if in_order || self.by_peer.get() && !self.is_of_link() {
            self.set(flag::OVER);
            return Err(self.over());
        }
        Err(RecvError::Interrupted { dead: self.dead(), taken: self.taken.get() })
    }

    /// Whether it was the end of the link, after which an import goes on in the next session.
    fn is_of_link(&self) -> bool {
        matches!(
            Reason::new(self.reason.get()),
            Reason::LinkLost
                | Reason::PeerRestarted
                | Reason::LinkReset
                | Reason::Unresponsive
                | Reason::Shutdown
                | Reason::Superseded
        )
    }

    fn over(&self) -> RecvError {
        if self.reason.get() == 0 { RecvError::Closed } else { RecvError::Dead(self.dead()) }
    }

    /// The program gives the circuit up.
    pub(super) fn kill(&self, reason: Reason) {
        self.inbox.clear();
        self.clear(flag::UNTOLD);
        self.give_up(Dead::here(reason));
        if self.is_import() {
            self.set(flag::OVER);
        }
        if self.phase.get() != Phase::Idle {
            self.set(flag::KILL);
        }
    }

    /// The program drops its end: in order where it only sends, else it hangs up.
    pub(super) fn release(&self) {
        self.set(flag::DROPPED);
        if self.phase.get() == Phase::Idle {
            self.free_if_dropped();
        } else if self.is_kind(OpenFlags::RECEIVES) {
            self.kill(Reason::HungUp);
        } else {
            self.set(flag::ENDING);
        }
    }

    /// Gives it its part of the arena.
    pub(super) fn lend(&self, inbox: &'static [Byte], outbox: &'static [Byte]) {
        self.inbox.bind(inbox);
        self.outbox.bind(outbox);
    }
}
