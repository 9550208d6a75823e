//! A channel in a node's table: what its end and the driver know of each other.
//!
//! The end belongs to the program, or to an interrupt; the driver to the loop that moves bytes. What
//! they share is here, and each touches it in critical sections of a few instructions, or of the copy of a part of a message. Here is
//! what ends do; what the channel's circuit does is in [`circuit`](super::circuit).

use core::cell::Cell;

use critical_section::{CriticalSection, Mutex};

use super::driver::Imports;
use super::ending::Ending;
use super::error::{Account, RecvError, SendCause};
#[cfg(feature = "async")]
use super::lines::LINES;
use super::lines::Place;
use super::ring::{PART, Ring, space};
use super::section::with;
use super::spec::Spec;
#[cfg(feature = "async")]
use super::wait::Waiter;
use super::wake_driver;
use crate::message::EncodeError;
use crate::proto::{Dead, Reason};

/// One of the table, as everybody holds it.
pub(super) type Shared = Mutex<Channel>;

/// Where a channel's circuit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is none.
    Idle,
    /// We have opened it.
    Opening,
    Open,
    /// We have given it up, for `reason`: DEAD is due.
    Killed,
    /// We have said so: the peer's final frame is still to come. Only of circuits that we have opened.
    Gone,
    /// The peer has given it up: DONE is due.
    Answer,
}

/// What is to be done, and what has happened: bits. Those that are asked for at a time stand within eight bits, as a
/// Cortex-M has its short masks.
pub(super) mod flag {
    /// The peer wants no more values than have begun.
    pub(crate) const ENOUGH: u32 = 1;
    /// The newest value has been sent.
    pub(crate) const STALE: u32 = 2;
    /// The peer's final frame has come.
    pub(crate) const THEIRS: u32 = 4;
    /// Our END is written.
    pub(crate) const OUT_END: u32 = 8;
    /// What its end is: the open's flags, from here on.
    pub(crate) const KIND: u32 = 4;
    pub(crate) const SENDS: u32 = 1 << KIND;
    pub(crate) const RECEIVES: u32 = 2 << KIND;
    pub(crate) const LATEST: u32 = 4 << KIND;
    pub(crate) const CALLS: u32 = 8 << KIND;
    /// It is an import.
    pub(crate) const IMPORT: u32 = 0x100;
    /// The peer's END has come.
    pub(crate) const IN_END: u32 = 0x200;
    /// Receiving has not told yet how the circuit ended.
    pub(crate) const UNTOLD: u32 = 0x400;
    /// The program sends no more: END follows what waits.
    pub(crate) const ENDING: u32 = 0x800;
    /// The peer's END has come, and the program knows it.
    pub(crate) const IN_OVER: u32 = 0x1000;
    /// Over for ever.
    pub(crate) const OVER: u32 = 0x2000;
    /// Not again in this session: refused, or ended in order.
    pub(crate) const REFUSED: u32 = 0x4000;
    /// The program has dropped its end.
    pub(crate) const DROPPED: u32 = 0x8000;
    /// Sending has not told yet how the circuit ended.
    pub(crate) const UNTOLD_OUT: u32 = 0x1_0000;
    /// The first message of the outbox has begun.
    pub(crate) const SENDING: u32 = 0x2_0000;
    /// Our final frame is written.
    pub(crate) const MINE: u32 = 0x4_0000;
    /// The program has taken values of which the peer does not know.
    pub(crate) const NEWS: u32 = 0x8_0000;
    /// What the program has taken is to be told now.
    pub(crate) const TELL: u32 = 0x10_0000;
    /// The peer has asked what is taken: from then on it is told of each value.
    pub(crate) const ASKED: u32 = 0x20_0000;
    /// Refused, but to be asked for again in a moment: the peer had nothing to offer.
    pub(crate) const AGAIN: u32 = 0x40_0000;
    /// It was the peer that gave the circuit up.
    pub(crate) const BY_PEER: u32 = 0x80_0000;
    /// It was the session that ended, and the circuit with it: its import goes on in the next one.
    pub(crate) const LOST: u32 = 0x100_0000;

    /// Those that belong to one circuit.
    pub(crate) const CIRCUIT: u32 =
        NEWS | TELL | ASKED | ENOUGH | OUT_END | IN_END | IN_OVER | MINE | THEIRS | SENDING | STALE;
}

/// What came of a message that was to be sent: in a register, for it is asked at every value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    // Numbered as the causes are, so that one becomes the other in one step.
    Full = 0,
    NoImporter = 1,
    TooLarge = 3,
    /// The circuit has: [`Sent::cause`] tells how.
    Ended,
    Done,
    /// Why it could not be encoded.
    Budget,
    Short,
    Unsupported,
}

impl Sent {
    pub(super) const fn of(error: EncodeError) -> Self {
        match error {
            EncodeError::Budget => Self::Budget,
            EncodeError::Full => Self::Short,
            EncodeError::Unsupported => Self::Unsupported,
        }
    }

    /// Why nothing was sent.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn cause(self, channel: &'static Shared) -> SendCause {
        match self {
            Self::Full => SendCause::Full,
            Self::NoImporter => SendCause::NoImporter,
            Self::TooLarge => SendCause::TooLarge,
            Self::Budget => SendCause::Encode(EncodeError::Budget),
            Self::Short => SendCause::Encode(EncodeError::Full),
            Self::Unsupported => SendCause::Encode(EncodeError::Unsupported),
            Self::Ended | Self::Done => {
                let cause = with(|cs| channel.borrow(cs).ended_out());
                // Where it was a loss that was told its import may be opened again now.
                wake_driver(channel);
                cause
            }
        }
    }
}

/// No message is there.
pub(super) const NONE: u32 = u32::MAX;
/// It is of several parts, and not all of it is taken.
pub(super) const LONG: u32 = u32::MAX - 1;

/// How far an end is that takes one.
#[derive(Default)]
pub(super) struct Reading {
    which: u32,
    offset: u16,
}

/// All of it is zero before it is used. Its fields stand in the order of their sizes, the smallest first, for a
/// Cortex-M reaches those with its shortest instructions only near the beginning.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Channel {
    pub(super) phase: Cell<Phase>,
    /// The circuit's handle, on its line.
    pub(super) handle: Cell<Place>,
    /// Which fingerprint was chosen: of those offered, in the upper half, and of ours.
    pub(super) which: Cell<u8>,
    /// Of a circuit that the peer has opened, and that waits until this one is over: its handle plus
    /// one, and which fingerprint; of an import the latter is its place among imports.
    pub(super) next: Cell<Place>,
    pub(super) next_which: Cell<u8>,
    /// Why the last circuit is dead: 0 in order.
    pub(super) reason: Cell<u8>,

    /// Longest message that may come in.
    pub(super) longest: Cell<u16>,
    /// Length of the message that is coming in, and bytes that are missing of it.
    pub(super) coming: Cell<u16>,
    pub(super) missing: Cell<u16>,
    /// Longest message that the peer takes.
    pub(super) limit: Cell<u16>,
    /// Bytes of the first message that have gone out.
    pub(super) offset: Cell<u16>,
    /// Values that the last circuit has left unsent.
    pub(super) unsent: Cell<u16>,
    /// Bytes of the outbox that are kept for replies.
    kept: Cell<u16>,
    /// Number of the circuit, so that a late reply finds no other one.
    circuit: Cell<u16>,
    /// How often messages of the outbox were dropped, so that whoever is putting one finds that out.
    drops: Cell<u16>,

    pub(super) flags: Cell<u32>,
    pub(super) spec: Cell<Option<&'static Spec>>,
    pub(super) inbox: Ring,
    pub(super) outbox: Ring,
    /// Bytes that have come in, as they are charged, and that have been promised.
    pub(super) received: Cell<u32>,
    pub(super) promised: Cell<u32>,
    /// Values that the program has taken; of a latest value that it sets, those it has replaced.
    pub(super) taken: Cell<u32>,
    /// Bytes that the peer has promised to take, and that have gone out, as they are charged.
    pub(super) granted: Cell<u32>,
    pub(super) sent: Cell<u32>,
    /// Values that the peer wants before our END; 0: no such limit.
    pub(super) values: Cell<u32>,
    /// Values that have begun, and that the peer's program has taken.
    pub(super) begun: Cell<u32>,
    pub(super) confirmed: Cell<u32>,
    pub(super) name: Cell<Option<&'static str>>,
    /// The task that waits for this channel, and where those are that move the bytes of lines.
    #[cfg(feature = "async")]
    pub(super) end: Waiter,
    #[cfg(feature = "async")]
    pub(super) driver: Cell<Option<&'static [Waiter; LINES]>>,
}

impl Channel {
    pub(super) const fn new() -> Self {
        Self {
            name: Cell::new(None),
            spec: Cell::new(None),
            inbox: Ring::new(),
            outbox: Ring::new(),
            flags: Cell::new(0),
            phase: Cell::new(Phase::Idle),
            handle: Cell::new(0),
            which: Cell::new(0),
            next: Cell::new(0),
            next_which: Cell::new(0),
            reason: Cell::new(0),
            received: Cell::new(0),
            promised: Cell::new(0),
            longest: Cell::new(0),
            coming: Cell::new(0),
            missing: Cell::new(0),
            taken: Cell::new(0),
            granted: Cell::new(0),
            sent: Cell::new(0),
            limit: Cell::new(0),
            offset: Cell::new(0),
            values: Cell::new(0),
            begun: Cell::new(0),
            confirmed: Cell::new(0),
            unsent: Cell::new(0),
            kept: Cell::new(0),
            circuit: Cell::new(0),
            drops: Cell::new(0),
            #[cfg(feature = "async")]
            end: Waiter::new(),
            #[cfg(feature = "async")]
            driver: Cell::new(None),
        }
    }

    pub(super) fn has(&self, flags: u32) -> bool {
        self.flags.get() & flags != 0
    }

    pub(super) fn set(&self, flags: u32) {
        self.flags.set(self.flags.get() | flags);
    }

    pub(super) fn clear(&self, flags: u32) {
        self.flags.set(self.flags.get() & !flags);
    }

    pub(super) fn sends(&self) -> bool {
        self.has(flag::SENDS)
    }

    pub(super) fn receives(&self) -> bool {
        self.has(flag::RECEIVES)
    }

    pub(super) fn is_latest(&self) -> bool {
        self.has(flag::LATEST)
    }

    /// What it was lent of the arena, in bytes: its outbox in the upper half, its inbox in the lower.
    pub(super) fn lent(&self) -> u32 {
        Self::lent_of(self.inbox.capacity(), self.outbox.capacity())
    }

    pub(super) const fn lent_of(inbox: u32, outbox: u32) -> u32 {
        outbox << 16 | inbox
    }

    /// Makes it a channel of that name.
    pub(super) fn bind(&self, name: &'static str, spec: &'static Spec, flags: u32) {
        self.name.set(Some(name));
        self.spec.set(Some(spec));
        self.longest.set(spec.longest_in);
        self.flags.set(flags | u32::from(spec.flags.get()) << flag::KIND);
        self.inbox.clear();
        self.outbox.clear();
        self.taken.set(0);
        self.unsent.set(0);
        self.forget_account();
    }

    /// A circuit begins.
    pub(super) fn begin(&self, handle: Place) {
        self.handle.set(handle);
        self.clear(flag::CIRCUIT);
        self.received.set(0);
        self.sent.set(0);
        if !self.has(flag::UNTOLD_OUT) {
            self.forget_account();
        }
        if self.receives() {
            self.taken.set(0);
        }
        self.missing.set(0);
        self.kept.set(0);
        self.circuit.set(self.circuit.get().wrapping_add(1));
    }

    /// What has not begun is not sent any more.
    fn drop_unsent(&self) {
        self.unsent.set(self.queued());
        self.empty_outbox();
    }

    /// Drops what is in the outbox, also what is being put.
    fn empty_outbox(&self) {
        self.drops.set(self.drops.get().wrapping_add(1));
        self.outbox.clear();
    }

    /// Messages that have not begun.
    fn queued(&self) -> u16 {
        self.outbox.ready().saturating_sub(self.has(flag::SENDING).into())
    }

    /// The account is of the present circuit from now on. Until sending has told how the last one ended it is of
    /// that: nothing is sent before.
    fn forget_account(&self) {
        self.begun.set(0);
        self.confirmed.set(0);
    }

    /// How many values have begun on the present circuit.
    pub(super) fn begun(&self) -> u32 {
        if self.has(flag::UNTOLD_OUT) { 0 } else { self.begun.get() }
    }

    /// Whether what came before is told, so that the next circuit may begin.
    pub(super) fn is_told(&self) -> bool {
        !self.has(flag::UNTOLD) && (self.inbox.ready() == 0 || self.is_latest())
    }

    /// Whether the server has told all of its caller: it does not hear of its end.
    pub(super) fn is_served(&self) -> bool {
        self.inbox.ready() == 0 && self.kept.get() == 0
    }

    /// Whether it is a server.
    pub(super) fn is_server(&self) -> bool {
        self.has(flag::CALLS) && !self.has(flag::IMPORT)
    }

    /// Whether an end that has heard all of its partner ends as well: those of conversations.
    pub(super) fn ends_with_partner(&self) -> bool {
        self.has(flag::CALLS) || !self.has(flag::IMPORT)
    }

    /// The peer has given the circuit up, or its link is gone: what is whole is still received.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn die(&self, end: Ending) {
        let is_sender = self.sends() && !self.is_latest();
        self.give_up(end);
        if self.missing.replace(0) > 0 {
            self.inbox.forget(self.coming.get());
        }
        if is_sender && !self.has(flag::UNTOLD_OUT) {
            self.drop_unsent();
        }
        self.clear(flag::SENDING | flag::STALE);
        if self.is_server() {
            // Nobody waits for answers to what was asked, and a server goes on with the next.
            self.clear(flag::UNTOLD);
            self.inbox.clear();
            self.kept.set(0);
            self.circuit.set(self.circuit.get().wrapping_add(1));
            return;
        }
        if self.receives() && !self.has(flag::OVER | flag::IN_END) {
            self.set(flag::UNTOLD);
        }
        if is_sender && !self.has(flag::CALLS) && !self.has(flag::ENDING) {
            self.set(flag::UNTOLD_OUT);
        }
    }

    /// Why it is dead.
    pub(super) fn give_up(&self, end: Ending) {
        self.reason.set(end.reason().get());
        self.clear(flag::BY_PEER | flag::LOST);
        if end.is_by_peer() {
            self.set(flag::BY_PEER);
        }
    }

    /// There is no circuit any more. The place in the table is free again, if nobody holds its end.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn idle(&self) {
        self.phase.set(Phase::Idle);
        if self.has(flag::DROPPED) && self.next.get() == 0 {
            self.name.set(None);
        }
    }

    /// What became of the values of the last circuit.
    pub(super) fn account(&self) -> Account {
        let unsent = match self.phase.get() {
            Phase::Open if !self.has(flag::UNTOLD_OUT) => self.queued(),
            _ => self.unsent.get(),
        };
        let dropped = if self.is_latest() { self.taken.get() } else { 0 };
        Account { dropped, ..self.account_of(unsent) }
    }

    /// The same of values, so many of which are not sent.
    fn account_of(&self, unsent: u16) -> Account {
        Account {
            confirmed: self.confirmed.get(),
            in_doubt: self.begun.get().wrapping_sub(self.confirmed.get()),
            unsent: u32::from(unsent),
            dropped: 0,
        }
    }

    pub(super) fn dead(&self) -> Dead {
        let reason = Reason::new(self.reason.get());
        if self.has(flag::BY_PEER) { Dead::peer(reason) } else { Dead::here(reason) }
    }

    /// Whether values of the program have somebody to go to.
    fn is_sending(&self) -> bool {
        self.phase.get() == Phase::Open && !self.has(flag::ENOUGH | flag::OUT_END | flag::THEIRS)
    }

    /// Whether a message of the program, of so many bytes, may be put into the outbox.
    pub(super) fn may_send(&self, len: u16) -> Sent {
        if self.has(flag::UNTOLD_OUT | flag::OVER | flag::REFUSED) {
            return Sent::Ended;
        }
        if !self.is_sending() {
            return Sent::NoImporter;
        }
        if len > self.limit.get() {
            return Sent::TooLarge;
        }
        if !self.has_room(len) {
            return Sent::Full;
        }
        Sent::Done
    }

    /// Puts a message into the outbox, which has room for it; of one of several parts the first. Of that the place is returned, and
    /// above it how often messages were dropped.
    pub(super) fn put(&self, cs: CriticalSection<'_>, message: &[u8], has_parts: bool) -> u32 {
        let place = self.outbox.put_first(cs, message, has_parts);
        u32::from(self.drops.get()) << 16 | u32::from(place)
    }

    /// Puts another part of the message, so many bytes of which are there: whether it is still wanted.
    pub(super) fn put_part(&self, cs: CriticalSection<'_>, message: &[u8], put: u32, offset: usize) -> bool {
        // It may have been dropped with all that had not begun, as it would have been a moment later.
        let is_wanted = put >> 16 == self.drops.get().into();
        if is_wanted {
            self.outbox.put_part(cs, message, put as u16, offset);
        }
        is_wanted
    }

    /// Why nothing can be sent: told once.
    fn ended_out(&self) -> SendCause {
        if let Some(imports) = self.imports() {
            return (imports.ended_out)(self);
        }
        // It may have been told by an interrupt just now.
        if !self.has(flag::UNTOLD_OUT) {
            return SendCause::NoImporter;
        }
        let (dead, account) = self.left();
        SendCause::Left { dead, account }
    }

    /// How the circuit ended, and what became of what was sent on it; from now on this is told.
    pub(super) fn left(&self) -> (Dead, Account) {
        let left = (self.dead(), self.account_of(self.unsent.get()));
        self.clear(flag::UNTOLD_OUT);
        if matches!(self.phase.get(), Phase::Opening | Phase::Open) {
            self.forget_account();
        }
        left
    }

    /// What an import does otherwise.
    fn imports(&self) -> Option<&'static Imports> {
        self.spec.get().and_then(|spec| spec.imports)
    }

    /// Whether the outbox has room for a message of `len` bytes.
    fn has_room(&self, len: u16) -> bool {
        let used = self.outbox.used() + u32::from(self.kept.get());
        used + u32::from(space(len)) <= self.outbox.capacity()
    }

    /// Makes room for the newest value, in the place of all that are not being sent.
    pub(super) fn make_room(&self, cs: CriticalSection<'_>) {
        let keep = self.has(flag::SENDING);
        if self.queued() > 0 && !self.has(flag::STALE) {
            self.taken.set(self.taken.get().wrapping_add(1));
        }
        let sending = self.outbox.first(cs).filter(|_| keep);
        self.empty_outbox();
        if let Some(len) = sending {
            self.outbox.keep_first(len);
        }
        self.clear(flag::STALE);
    }

    /// Keeps room for the reply to one request: whether there is any.
    pub(super) fn keep(&self, len: u16) -> bool {
        let fits = self.has_room(len);
        if fits {
            self.kept.set(self.kept.get() + space(len));
        }
        fits
    }

    /// Keeps it no more: whether the request was of the present circuit.
    pub(super) fn unkeep(&self, len: u16, circuit: u16) -> bool {
        let is_open = self.circuit.get() == circuit;
        if is_open {
            self.kept.set(self.kept.get() - space(len));
        }
        is_open
    }

    /// Whether a reply may be put in the room that was kept for it, which is so unless the caller's circuit is gone.
    pub(super) fn may_reply(&self, longest: u16, circuit: u16) -> bool {
        self.unkeep(longest, circuit) && self.phase.get() == Phase::Open
    }

    /// Number of the circuit.
    pub(super) fn circuit(&self) -> u16 {
        self.circuit.get()
    }

    /// Takes the next message, if there is one: its length, or [`NONE`], or [`LONG`] of one that is to be taken in parts.
    pub(super) fn recv(&self, cs: CriticalSection<'_>, out: &mut [u8]) -> u32 {
        let Some(len) = self.inbox.first(cs) else { return NONE };
        let most = usize::from(len).min(out.len());
        if most > PART {
            return LONG;
        }
        self.inbox.read(cs, 0, out.get_mut(..most).unwrap_or_default());
        self.inbox.pop(len);
        self.take();
        most as u32
    }

    /// Takes the next part of the next message: its length with the last one, or [`NONE`], or [`LONG`]. Where that is another
    /// one by now, as where a newer value has taken its place, it begins anew.
    pub(super) fn recv_part(&self, cs: CriticalSection<'_>, out: &mut [u8], read: &mut Reading) -> u32 {
        let Some(len) = self.inbox.first(cs) else { return NONE };
        if !self.is_reading(read) {
            *read = Reading { which: self.first_in(), offset: 0 };
        }
        let from = usize::from(read.offset);
        let most = usize::from(len).min(out.len());
        let to = most.min(from + PART);
        self.inbox.read(cs, read.offset, out.get_mut(from..to).unwrap_or_default());
        if to < most {
            read.offset = to as u16;
            return LONG;
        }
        self.inbox.pop(len);
        self.take();
        most as u32
    }

    /// Whether a part of the message that is the first was taken.
    pub(super) fn is_reading(&self, read: &Reading) -> bool {
        read.offset > 0 && read.which == self.first_in()
    }

    /// Tells the first message of the inbox from those before it.
    fn first_in(&self) -> u32 {
        u32::from(self.circuit.get()) << 16 | self.taken.get() & 0xffff
    }

    /// Why there is no message: told once, if it is how the circuit ended.
    pub(super) fn ended_in(&self) -> RecvError {
        if let Some(imports) = self.imports() {
            return (imports.ended_in)(self);
        }
        if !self.is_ended_in() {
            return RecvError::Empty;
        }
        RecvError::Left { dead: (!self.end_in()).then(|| self.dead()) }
    }

    /// Whether receiving has to tell how the circuit ended. What has come since then goes first.
    pub(super) fn is_ended_in(&self) -> bool {
        self.has(flag::UNTOLD) && self.inbox.ready() == 0
    }

    /// From now on it is told: whether it ended in order.
    pub(super) fn end_in(&self) -> bool {
        self.clear(flag::UNTOLD);
        let in_order = self.has(flag::IN_END);
        if in_order {
            self.reason.set(0);
            self.set(flag::IN_OVER);
        }
        in_order
    }

    /// A value has left the inbox.
    pub(super) fn take(&self) {
        self.taken.set(self.taken.get().wrapping_add(1));
        self.set(flag::NEWS);
        if self.has(flag::ASKED) {
            self.set(flag::TELL);
        }
    }

    /// The program gives the circuit up.
    pub(super) fn kill(&self, reason: Reason) {
        self.inbox.clear();
        self.missing.set(0);
        self.clear(flag::UNTOLD);
        self.give_up(Ending::here(reason));
        if self.has(flag::IMPORT) {
            self.set(flag::OVER);
        }
        if matches!(self.phase.get(), Phase::Opening | Phase::Open) {
            self.phase.set(Phase::Killed);
        }
        if !self.is_latest() {
            self.drop_unsent();
        }
    }

    /// The program drops its end: in order where it only sends, else it hangs up.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn release(&self) {
        self.set(flag::DROPPED);
        if self.receives() {
            self.kill(Reason::HungUp);
        } else {
            self.set(flag::ENDING);
        }
        if self.phase.get() == Phase::Idle {
            self.idle();
        }
    }
}
