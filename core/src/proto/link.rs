//! One link: bring-up, the table of circuits, liveness, and what is to be written next.

use super::circuit::{Final, Phase, Slot, Slots, charge, due, limit_in};
use super::control::{Sink, put_frame};
use super::crc::crc32c;
use super::frame::{Accept, DeadFrame, Frame, Handle, Head, Open, Part};
use super::framing::{CRC_LEN, MAX_BEFORE_UP};
use super::hello::{Hello, Identity, LinkKind, PROTOCOL_VERSION};
use super::{Dead, Fault, Instant, Place, Reason, Total};

/// Longest fragment of a message, in bytes: what a small message may have to wait for.
const QUANTUM: u32 = 16 * 1024;
/// Messages up to this length go straight into the link's buffer; longer ones take turns.
const STRAIGHT_MAX: u32 = 4 * 1024;
/// An acknowledgement is due after this many payload bytes.
const ACK_EVERY: u32 = 32 * 1024;
/// The longest silence that a peer may ask us to accept, in milliseconds.
const DEAD_MS_MAX: u32 = 10 * 60 * 1000;
/// Room that a data frame's head and trailer take from the peer's packet size.
const HEAD_ROOM: u32 = Head::MAX_LEN as u32;

/// How a link is to be.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
#[expect(clippy::exhaustive_structs, reason = "every field is a decision; `LinkConfig::stream` has defaults")]
pub struct LinkConfig {
    /// Who we are.
    pub identity: Identity,
    /// Peer or tree.
    pub kind: LinkKind,
    /// Longest frame that we take, in bytes; the reader's buffer must hold it.
    pub packet: u32,
    /// How many circuits the peer may have open at a time.
    pub circuits: u32,
    /// Declare the peer dead after this silence, in milliseconds.
    pub dead_ms: u32,
    /// Be heard at least this often, in milliseconds.
    pub hear_ms: u32,
    /// Give up the bring-up after this time, in milliseconds.
    pub hello_ms: u32,
    /// Want a checksum on every packet.
    pub crc: bool,
    /// Payload bytes that may be written ahead of the peer's acknowledgement, at least
    /// 32 KiB: acknowledgements come no more often.
    pub flight: u32,
    /// Say hello first; a passive side waits for the peer's hello and answers it.
    pub active: bool,
}

impl LinkConfig {
    /// For a reliable stream on one machine: TCP on loopback, a pipe.
    pub const fn stream(identity: Identity) -> Self {
        Self {
            identity,
            kind: LinkKind::Peer,
            packet: 17 * 1024,
            circuits: 16 * 1024,
            dead_ms: 5_000,
            hear_ms: 1_250,
            hello_ms: 3_000,
            crc: false,
            flight: 128 * 1024,
            active: true,
        }
    }
}

/// Where a link is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkState {
    /// Waiting for the peer's hello.
    Hello,
    /// Circuits can be opened.
    Up,
    /// We have said goodbye, or will as soon as there is room.
    Leaving,
    /// Over, and why.
    Down(Fault),
}

/// What a frame means to the node above. Everything else is settled inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Nothing to do.
    Nothing,
    /// The bring-up is complete.
    Up(Hello<'a>),
    /// The peer asks for a circuit: answer with [`Link::accept`] or [`Link::kill`], now or later.
    Open(Handle, Open<'a>),
    /// Our open was accepted, with this fingerprint of our list.
    Accepted(Handle, u8),
    /// Message bytes; room for them was granted.
    Data(Handle, Part, &'a [u8]),
    /// There is more credit.
    Granted(Handle),
    /// The far end's program has taken this many values in all.
    Taken(Handle, Total),
    /// Call [`Link::taken`] as soon as the program has taken this many values.
    Asked(Handle, Total),
    /// No more values will come. Call [`Link::drained`] when those queued are taken.
    End(Handle),
    /// The peer is through with the circuit in order; all values sent were taken.
    Done(Handle),
    /// No answer will come. Call [`Link::drained`] when the values queued are taken, unless
    /// this side only sent.
    Dead(Handle, DeadFrame<'a>),
    /// The peer opens a circuit for a channel end in the next message: carrier, handle,
    /// ordinal in the message.
    Attach(Handle, Handle, u32, Open<'a>),
}

/// Why nothing can be sent or opened now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Blocked {
    /// Wait for [`Event::Granted`].
    Credit,
    /// An earlier message of this circuit, or our `ACCEPT`, is still to be written: there is
    /// no event for it, so try again after [`Link::control`] and [`Link::fragment`].
    Busy,
    /// Longer than the receiver's limit, in bytes.
    TooLarge(u32),
    /// The circuit is not open, or this side has ended it.
    NotOpen,
    /// No slot is free; `theirs` says whether it is the peer's limit that is reached.
    NoSlot {
        /// The peer allows no more circuits.
        theirs: bool,
    },
    /// The sink has no room for the frame now.
    NoRoom,
    /// A name or length that no frame can carry.
    Invalid,
}

/// How a message goes out.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_enums, reason = "there are these two ways")]
pub enum Start {
    /// Write this head, the message, and the checksum if the link has one, right now.
    Straight(Head),
    /// Keep the message; [`Link::fragment`] asks for its parts in turn.
    Queued,
}

/// A part of a queued message that is to be written now.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "what a writer needs to know")]
pub struct Fragment {
    /// Whose message.
    pub handle: Handle,
    /// What comes before the bytes.
    pub head: Head,
    /// Where in the message the bytes start.
    pub offset: usize,
    /// How many.
    pub len: usize,
    /// The message is complete with it.
    pub last: bool,
}

/// The sans-I/O state of one link. It knows no other link, holds no payload, and is driven
/// by one owner at a time.
#[derive(Debug)]
#[cfg_attr(any(test, feature = "testing"), derive(Clone, Hash))]
pub struct Link {
    config: LinkConfig,
    state: LinkState,
    nonce: u64,
    hello_due: bool,
    echoed: bool,
    beat_due: bool,
    ping_due: bool,
    pong_due: bool,
    ack_due: bool,
    bye_due: Option<Reason>,
    peer: Peer,
    session: u32,

    last_heard: Instant,
    last_sent: Instant,
    heard: bool,
    sent: bool,

    bytes_in: Total,
    bytes_in_told: Total,
    bytes_out: Total,
    bytes_out_acked: Total,

    free: Handle,
    fresh: u32,
    dirty: Queue,
    ready: Queue,
}

/// What the peer's hello said.
#[derive(Debug, Clone, Copy, Default)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
struct Peer {
    nonce: u64,
    boot: u64,
    packet: u32,
    circuits: u32,
    dead_ms: u32,
    parity: u32,
    crc: bool,
}

/// A queue of slots, linked through them.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
struct Queue {
    head: Handle,
    tail: Handle,
}

impl Queue {
    const EMPTY: Self = Self { head: Handle::NONE, tail: Handle::NONE };
}

impl Link {
    /// A link before its bring-up. `nonce` is a random number of this bring-up.
    pub const fn new(config: LinkConfig, nonce: u64, now: Instant) -> Self {
        Self {
            hello_due: config.active,
            config,
            state: LinkState::Hello,
            nonce: if nonce == 0 { 1 } else { nonce },
            echoed: false,
            beat_due: false,
            ping_due: false,
            pong_due: false,
            ack_due: false,
            bye_due: None,
            peer: Peer { nonce: 0, boot: 0, packet: 0, circuits: 0, dead_ms: 0, parity: 0, crc: false },
            session: 0,
            last_heard: now,
            last_sent: now,
            heard: false,
            sent: false,
            bytes_in: Total::ZERO,
            bytes_in_told: Total::ZERO,
            bytes_out: Total::ZERO,
            bytes_out_acked: Total::ZERO,
            free: Handle::NONE,
            fresh: 0,
            dirty: Queue::EMPTY,
            ready: Queue::EMPTY,
        }
    }

    /// Takes one frame. After an error the link is down, and every circuit on it is dead
    /// with the error's [`reason`](Fault::reason).
    ///
    /// # Errors
    ///
    /// [`Fault`] for whatever an honest peer never sends, and for a goodbye.
    #[inline]
    pub fn handle<'i>(&mut self, slots: &mut Slots<'_>, frame: &'i [u8]) -> Result<Event<'i>, Fault> {
        if let LinkState::Down(fault) = self.state {
            return Err(fault);
        }
        let event = match Frame::parse(frame) {
            Ok(Frame::Data(handle, part, bytes)) if self.is_up() => self.on_data(slots, handle, part, bytes),
            Ok(frame) => self.on_frame(slots, frame),
            Err(_) if self.state == LinkState::Hello && frame.first() != Some(&0) => Err(Fault::NotNetchan),
            Err(error) => Err(error.into()),
        };
        self.heard = true;
        if let Err(fault) = event {
            self.fail(fault);
        }
        event
    }

    /// Time has passed. Call it when [`Link::deadline`] is reached, or at any steady pace.
    ///
    /// # Errors
    ///
    /// [`Fault::Unresponsive`] or [`Fault::NoHello`]; the link is down then.
    pub fn tick(&mut self, now: Instant) -> Result<(), Fault> {
        // The bring-up has one deadline; chatter does not move it.
        if core::mem::take(&mut self.heard) && self.state != LinkState::Hello {
            self.last_heard = now;
        }
        if core::mem::take(&mut self.sent) {
            self.last_sent = now;
        }
        let silent = now.since(self.last_heard).as_millis();
        let fault = match self.state {
            LinkState::Hello if silent >= u128::from(self.config.hello_ms) => Fault::NoHello,
            LinkState::Up | LinkState::Leaving if silent >= u128::from(self.peer.dead_ms) => {
                Fault::Unresponsive
            }
            LinkState::Down(fault) => return Err(fault),
            _ => {
                let quiet = now.since(self.last_sent).as_millis();
                self.beat_due |= self.is_up() && quiet >= u128::from(self.beat_ms());
                return Ok(());
            }
        };
        self.fail(fault);
        Err(fault)
    }

    /// Takes the link down for what the framing below found. Where the link was up,
    /// [`Link::control`] then has one goodbye to write, so that the peer hears why.
    pub fn fail(&mut self, fault: Fault) {
        if matches!(self.state, LinkState::Down(_)) {
            return;
        }
        let left = self.is_left() || matches!(fault, Fault::Goodbye(_));
        self.bye_due = if self.is_up() && !left { Some(fault.reason()) } else { None };
        self.state = LinkState::Down(fault);
    }

    /// When to call [`Link::tick`] at the latest.
    pub fn deadline(&self) -> Instant {
        match self.state {
            LinkState::Hello => self.last_heard.plus_millis(self.config.hello_ms),
            LinkState::Down(_) => Instant::NEVER,
            _ => {
                let dead = self.last_heard.plus_millis(self.peer.dead_ms);
                dead.min(self.last_sent.plus_millis(self.beat_ms()))
            }
        }
    }

    /// Opens a circuit: writes the `OPEN` and returns its handle. The `credit` and `limit`
    /// of `open` are what this side promises to take; the limit is cut to what the credit holds.
    ///
    /// # Errors
    ///
    /// [`Blocked::NoSlot`] (let `slots.mine` grow, unless it is the peer's limit),
    /// [`Blocked::NoRoom`], [`Blocked::NotOpen`] before the bring-up, [`Blocked::Invalid`].
    pub fn open(
        &mut self,
        slots: &mut Slots<'_>,
        open: &Open<'_>,
        sink: &mut dyn Sink,
    ) -> Result<Handle, Blocked> {
        self.open_frame(slots, open, sink, Frame::Open)
    }

    /// Opens a circuit for a channel end that travels in the next message of `carrier`.
    ///
    /// # Errors
    ///
    /// As [`Link::open`]; [`Blocked::Busy`] while an earlier message is still being written.
    pub fn attach(
        &mut self,
        slots: &mut Slots<'_>,
        carrier: Handle,
        ordinal: u32,
        open: &Open<'_>,
        sink: &mut dyn Sink,
    ) -> Result<Handle, Blocked> {
        let slot = self.slot(slots, carrier).ok_or(Blocked::NotOpen)?;
        if !slot.can_send() {
            return Err(Blocked::NotOpen);
        }
        if slot.is_busy() {
            return Err(Blocked::Busy);
        }
        self.open_frame(slots, open, sink, |handle, open| Frame::Attach(carrier, handle, ordinal, open))
    }

    /// Accepts an offered circuit: promises to take `window` bytes, in messages of at most
    /// `limit` bytes (both 0 where this side only sends). The limit is cut to what the
    /// window holds.
    pub fn accept(&mut self, slots: &mut Slots<'_>, handle: Handle, which: u8, window: u32, limit: u32) {
        let Some(slot) = self.slot(slots, handle) else { return };
        if slot.phase != Phase::Offered || slot.is_final() || slot.killed {
            return;
        }
        slot.phase = Phase::Open;
        slot.which = which;
        slot.window = window.min(Total::MAX_DISTANCE);
        slot.limit_in = limit_in(slot.window, limit);
        slot.promised = Total::new(slot.window);
        slot.due |= due::ACCEPT;
        self.mark(slots, handle);
    }

    /// Begins a message of `len` bytes, or says why it must wait. Its credit is taken now.
    ///
    /// # Errors
    ///
    /// [`Blocked`]; nothing has changed then.
    #[inline]
    pub fn start(&mut self, slots: &mut Slots<'_>, handle: Handle, len: usize) -> Result<Start, Blocked> {
        let straight_max = self.quantum().min(STRAIGHT_MAX) as usize;
        let (len, last) = self.charge_message(slots, handle, len)?;
        if len as usize <= straight_max {
            if last {
                self.mark(slots, handle);
            }
            self.bytes_out = self.bytes_out.plus(len);
            self.sent = true;
            return Ok(Start::Straight(Head::new(handle, Part::Whole, len as usize, self.trailer())));
        }
        self.queue(slots, handle, len, len);
        Ok(Start::Queued)
    }

    /// Begins a message of `len` bytes, at least one, that the caller does not hold yet:
    /// [`Link::supply`] says how many bytes have come, and [`Link::fragment`] asks for them.
    ///
    /// # Errors
    ///
    /// [`Blocked`]; nothing has changed then.
    pub fn relay(&mut self, slots: &mut Slots<'_>, handle: Handle, len: usize) -> Result<(), Blocked> {
        if len == 0 {
            return Err(Blocked::Invalid);
        }
        let (len, _) = self.charge_message(slots, handle, len)?;
        self.queue(slots, handle, len, 0);
        Ok(())
    }

    /// `more` bytes of the message that [`Link::relay`] began have come.
    pub fn supply(&mut self, slots: &mut Slots<'_>, handle: Handle, more: usize) {
        let Some(slot) = self.slot(slots, handle) else { return };
        let missing = (slot.out_left - slot.out_have) as usize;
        slot.out_have += more.min(missing) as u32;
        self.push_ready(slots, handle);
    }

    /// The next part of a queued message that is to be written, in turn among circuits;
    /// `None` when there is none, or too much is unacknowledged. What is returned must be
    /// written before anything else is asked of the link.
    pub fn fragment(&mut self, slots: &mut Slots<'_>) -> Option<Fragment> {
        let (quantum, trailer) = (self.quantum(), self.trailer());
        while self.has_fragment() {
            let handle = self.pop_ready(slots)?;
            let slot = self.slot(slots, handle)?;
            if slot.out_have == 0 {
                continue;
            }
            let (total, offset) = (slot.out_total, slot.out_total - slot.out_left);
            let len = slot.out_have.min(quantum);
            let part = match offset {
                0 if len == total => Part::Whole,
                0 => Part::First(total),
                _ => Part::More,
            };
            slot.out_left -= len;
            slot.out_have -= len;
            let last = slot.out_left == 0;
            if last {
                self.mark(slots, handle);
            } else {
                self.push_ready(slots, handle);
            }
            self.bytes_out = self.bytes_out.plus(len);
            self.sent = true;
            let head = Head::new(handle, part, len as usize, trailer);
            return Some(Fragment { handle, head, offset: offset as usize, len: len as usize, last });
        }
        None
    }

    /// Whether [`Link::control`] has something to write.
    #[inline]
    pub fn has_control(&self) -> bool {
        let last_words = self.hello_due || self.bye_due.is_some();
        match self.state {
            LinkState::Down(_) => last_words,
            LinkState::Leaving if self.bye_due.is_none() => false,
            _ => {
                let bits = self.ack_due || self.beat_due || self.ping_due || self.pong_due;
                last_words || bits || self.dirty.head != Handle::NONE
            }
        }
    }

    /// Writes the control frames that are due, as many as fit. On a link that is down these
    /// are its last words: the hello that says which versions we speak, or a goodbye.
    pub fn control(&mut self, slots: &mut Slots<'_>, sink: &mut dyn Sink) {
        if self.has_control() && self.link_frames(sink) {
            while self.dirty.head != Handle::NONE && self.is_up() {
                if !self.circuit_frames(slots, sink) {
                    return;
                }
            }
            if let Some(reason) = self.bye_due
                && put_frame(sink, &Frame::Goodbye(reason), self.crc_seed())
            {
                self.bye_due = None;
                self.sent = true;
            }
        }
    }

    /// Messages of `charged` bytes of credit in all have left the inbox: their room is free.
    pub fn consumed(&mut self, slots: &mut Slots<'_>, handle: Handle, charged: u32) {
        if let Some(slot) = self.slot(slots, handle) {
            slot.consumed = slot.consumed.plus(charged);
            self.grant(slots, handle);
        }
    }

    /// Changes how many bytes are promised ahead; what was promised stays so, and a message
    /// of the limit still fits.
    pub fn set_window(&mut self, slots: &mut Slots<'_>, handle: Handle, window: u32) {
        if let Some(slot) = self.slot(slots, handle) {
            slot.window = window.max(charge(slot.limit_in)).min(Total::MAX_DISTANCE);
            self.grant(slots, handle);
        }
    }

    /// The program has taken `total` values in all. `now` reports it without waiting for
    /// the next grant, as an answer to [`Event::Asked`].
    pub fn taken(&mut self, slots: &mut Slots<'_>, handle: Handle, total: Total, now: bool) {
        let Some(slot) = self.slot(slots, handle) else { return };
        if slot.phase != Phase::Open || !slot.direction.receives() || !total.at_least(slot.taken) {
            return;
        }
        slot.taken = total;
        // A peer that has said `DONE` still waits for this; one that has said `DEAD` does not.
        let wanted = slot.theirs != Final::Dead && slot.mine == Final::None;
        if now && wanted && slot.taken != slot.taken_told {
            slot.due |= due::TAKEN;
            self.mark(slots, handle);
        }
    }

    /// Asks to be told as soon as the far end's program has taken `total` values.
    pub fn ask(&mut self, slots: &mut Slots<'_>, handle: Handle, total: Total) {
        let Some(slot) = self.slot(slots, handle) else { return };
        // After our `DONE` nothing may follow; the peer's own `DONE` brings the total.
        if !slot.can_send() {
            return;
        }
        slot.ask = total;
        slot.due |= due::ASK;
        self.mark(slots, handle);
    }

    /// No more values from this side. Those begun are still written.
    pub fn end(&mut self, slots: &mut Slots<'_>, handle: Handle) {
        let Some(slot) = self.slot(slots, handle) else { return };
        if !slot.can_send() {
            return;
        }
        slot.ending = true;
        slot.due |= due::END;
        self.mark(slots, handle);
    }

    /// The local queue of a circuit is empty after [`Event::End`] or [`Event::Dead`], and
    /// the program has been told.
    pub fn drained(&mut self, slots: &mut Slots<'_>, handle: Handle) {
        let Some(slot) = self.slot(slots, handle) else { return };
        if slot.killed || !slot.in_ended && !slot.is_final() {
            return;
        }
        slot.in_drained = true;
        slot.settle();
        self.mark(slots, handle);
        self.free_if_over(slots, handle);
    }

    /// Gives a circuit up, or refuses an offered one: unsent frames are discarded, and the
    /// peer is told why. The caller forgets the handle.
    pub fn kill(&mut self, slots: &mut Slots<'_>, handle: Handle, dead: Dead, detail: &'static str) {
        let Some(slot) = self.slot(slots, handle) else { return };
        if slot.phase == Phase::Free || slot.killed {
            return;
        }
        slot.kill(dead, detail);
        self.mark(slots, handle);
        self.free_if_over(slots, handle);
    }

    /// Asks the peer for a sign of life now.
    pub fn ping(&mut self) {
        self.ping_due = self.is_up();
    }

    /// Whether this side opened, or would open, the handle.
    #[inline]
    pub const fn is_mine(&self, handle: Handle) -> bool {
        handle.parity() != self.peer.parity
    }

    /// Whether [`Link::fragment`] may have something to write.
    #[inline]
    pub fn has_fragment(&self) -> bool {
        let flight = self.config.flight.max(ACK_EVERY);
        let may = self.is_up() && !self.is_left();
        may && self.ready.head != Handle::NONE && self.bytes_out.ahead_of(self.bytes_out_acked) < flight
    }

    /// As [`Link::kill`], with a text of the caller's that is written at once. Where it finds
    /// no room the notice follows without it.
    pub fn refuse(
        &mut self,
        slots: &mut Slots<'_>,
        handle: Handle,
        dead: Dead,
        detail: &str,
        sink: &mut dyn Sink,
    ) {
        let (up, crc) = (self.is_up(), self.crc_seed());
        let Some(slot) = self.slot(slots, handle) else { return };
        if slot.phase == Phase::Free || slot.killed {
            return;
        }
        slot.kill(dead, "");
        if slot.mine == Final::Dead && !slot.in_dirty && up {
            let frame = DeadFrame { dead: sent_place(dead), taken: slot.taken, detail };
            if put_frame(sink, &Frame::Dead(handle, frame), crc) {
                slot.mine = Final::Sent;
                self.sent = true;
            }
        }
        self.mark(slots, handle);
        self.free_if_over(slots, handle);
    }

    /// Ends the link in order: control frames that are due go first, and nothing follows.
    pub fn goodbye(&mut self, reason: Reason) {
        match self.state {
            LinkState::Up => {
                self.state = LinkState::Leaving;
                self.bye_due = Some(reason);
            }
            LinkState::Hello => {
                self.hello_due = false;
                self.state = LinkState::Down(Fault::Goodbye(reason));
            }
            LinkState::Leaving | LinkState::Down(_) => {}
        }
    }

    /// Where the link is in its life.
    pub const fn state(&self) -> LinkState {
        self.state
    }

    /// Whether the goodbye has been written.
    pub const fn is_left(&self) -> bool {
        matches!(self.state, LinkState::Leaving) && self.bye_due.is_none()
    }

    /// Seed of the packets' checksum, once the link is up and if it has one.
    #[inline]
    pub const fn crc_seed(&self) -> Option<u32> {
        if self.peer.crc && !matches!(self.state, LinkState::Hello) { Some(self.session) } else { None }
    }

    /// Longest frame that may arrive now, in bytes.
    #[inline]
    pub const fn max_frame(&self) -> u32 {
        if matches!(self.state, LinkState::Hello) { MAX_BEFORE_UP } else { self.config.packet }
    }

    /// How many circuits the peer allows us to have open.
    pub const fn circuits(&self) -> u32 {
        self.peer.circuits
    }

    /// Number of this session, from both sides' nonces.
    pub const fn session(&self) -> u32 {
        self.session
    }

    /// The silence after which the peer is declared dead, in milliseconds.
    pub const fn dead_ms(&self) -> u32 {
        self.peer.dead_ms
    }

    /// Values sent, and values known to be taken by the far end's program.
    pub fn totals(&self, slots: &mut Slots<'_>, handle: Handle) -> (Total, Total) {
        self.slot(slots, handle).map_or((Total::ZERO, Total::ZERO), |slot| (slot.values_out, slot.confirmed))
    }

    /// How long a message of the receiver's limit may be, in bytes; 0 before it is open.
    pub fn limit(&self, slots: &mut Slots<'_>, handle: Handle) -> u32 {
        self.slot(slots, handle).map_or(0, |slot| slot.limit_out)
    }

    /// What a message of `len` bytes is charged, in bytes of credit.
    #[inline]
    pub const fn charge(len: u32) -> u32 {
        charge(len)
    }

    #[inline]
    fn is_up(&self) -> bool {
        matches!(self.state, LinkState::Up | LinkState::Leaving)
    }

    fn beat_ms(&self) -> u32 {
        (self.config.hear_ms / 2).max(1)
    }

    #[inline]
    fn trailer(&self) -> usize {
        if self.peer.crc { CRC_LEN } else { 0 }
    }

    #[inline]
    fn quantum(&self) -> u32 {
        QUANTUM.min(self.peer.packet.saturating_sub(HEAD_ROOM))
    }

    #[inline]
    fn slot<'s>(&self, slots: &'s mut Slots<'_>, handle: Handle) -> Option<&'s mut Slot> {
        let table = if handle.parity() == self.peer.parity { &mut *slots.theirs } else { &mut *slots.mine };
        table.get_mut(handle.index())
    }

    /// Takes the credit for a message that may begin now.
    #[inline]
    fn charge_message(
        &mut self,
        slots: &mut Slots<'_>,
        handle: Handle,
        len: usize,
    ) -> Result<(u32, bool), Blocked> {
        let up = self.state == LinkState::Up;
        let slot = self.slot(slots, handle).ok_or(Blocked::NotOpen)?;
        if !up || !slot.can_send() {
            return Err(Blocked::NotOpen);
        }
        if len > slot.limit_out as usize {
            return Err(Blocked::TooLarge(slot.limit_out));
        }
        if slot.is_busy() {
            return Err(Blocked::Busy);
        }
        let cost = charge(len as u32);
        // One lossy value at a time is under way: it takes the whole window.
        let needed = if slot.latest { charge(slot.limit_out) } else { cost };
        if slot.granted.ahead_of(slot.sent) < needed {
            return Err(Blocked::Credit);
        }
        slot.sent = slot.sent.plus(cost);
        slot.values_out = slot.values_out.plus(1);
        let last = slot.values_left == 1;
        slot.values_left = slot.values_left.saturating_sub(1);
        if last {
            // Not written before the message is: a queued one holds it back.
            slot.ending = true;
            slot.due |= due::END;
        }
        Ok((len as u32, last))
    }

    fn queue(&mut self, slots: &mut Slots<'_>, handle: Handle, len: u32, have: u32) {
        if let Some(slot) = self.slot(slots, handle) {
            slot.out_total = len;
            slot.out_left = len;
            slot.out_have = have;
            self.push_ready(slots, handle);
        }
    }

    /// Promises what has become free, unless it is too little to be worth a frame. An empty
    /// inbox that a message of the limit would not fit always says so: its sender may wait.
    fn grant(&mut self, slots: &mut Slots<'_>, handle: Handle) {
        let up = self.is_up();
        let Some(slot) = self.slot(slots, handle) else { return };
        let promise = slot.consumed.plus(slot.window);
        let wanted = slot.phase == Phase::Open && !slot.is_final() && !slot.killed && !slot.in_ended;
        if !up || !wanted || !slot.direction.receives() || !promise.at_least(slot.promised) {
            return;
        }
        let news = promise.ahead_of(slot.promised);
        let left = slot.promised.ahead_of(slot.received);
        let starving = slot.consumed == slot.received && left < charge(slot.limit_in);
        if news == 0 || news < slot.window / 2 && !starving {
            return;
        }
        slot.promised = promise;
        slot.due |= due::CREDIT;
        if slot.taken != slot.taken_told {
            slot.due |= due::TAKEN;
        }
        self.mark(slots, handle);
    }

    #[inline]
    fn on_data<'i>(
        &mut self,
        slots: &mut Slots<'_>,
        handle: Handle,
        part: Part,
        bytes: &'i [u8],
    ) -> Result<Event<'i>, Fault> {
        let len = bytes.len() as u32;
        let for_program = self.known(slots, handle)?.on_data(part, len)?;
        self.bytes_in = self.bytes_in.plus(len);
        if self.bytes_in.ahead_of(self.bytes_in_told) >= ACK_EVERY {
            self.ack_due = true;
        }
        Ok(if for_program { Event::Data(handle, part, bytes) } else { Event::Nothing })
    }

    fn on_frame<'i>(&mut self, slots: &mut Slots<'_>, frame: Frame<'i>) -> Result<Event<'i>, Fault> {
        if let Frame::Hello(hello) = frame {
            return self.on_hello(hello);
        }
        if !self.is_up() {
            return Err(if self.state == LinkState::Hello { Fault::NotNetchan } else { Fault::OutOfTurn });
        }
        let told = |news: bool, event| if news { event } else { Event::Nothing };
        let (handle, event) = match frame {
            Frame::Hello(_) | Frame::Beat | Frame::Pong => return Ok(Event::Nothing),
            Frame::Ping => {
                // A bit, not a queue: many pings get one answer.
                self.pong_due = true;
                return Ok(Event::Nothing);
            }
            Frame::Goodbye(reason) => return Err(Fault::Goodbye(reason)),
            Frame::Ack(total) => return self.on_ack(total),
            Frame::Open(handle, open) => {
                self.on_open(slots, handle, &open)?;
                return Ok(Event::Open(handle, open));
            }
            Frame::Attach(carrier, handle, ordinal, open) => {
                let carried = self.known(slots, carrier)?;
                if carried.phase != Phase::Open
                    || carried.is_final()
                    || carried.in_ended
                    || carried.in_left != 0
                    || !carried.direction.receives()
                {
                    return Err(Fault::WrongState);
                }
                self.on_open(slots, handle, &open)?;
                return Ok(Event::Attach(carrier, handle, ordinal, open));
            }
            Frame::Data(handle, part, bytes) => return self.on_data(slots, handle, part, bytes),
            Frame::Accept(handle, accept) => {
                let news = self.known(slots, handle)?.on_accept(&accept)?;
                (handle, told(news, Event::Accepted(handle, accept.which)))
            }
            Frame::Credit(handle, total) => {
                let news = self.known(slots, handle)?.on_credit(total)?;
                (handle, told(news, Event::Granted(handle)))
            }
            Frame::Taken(handle, total) => {
                let news = self.known(slots, handle)?.on_taken(total)?;
                (handle, told(news, Event::Taken(handle, total)))
            }
            Frame::Ask(handle, total) => {
                let news = self.known(slots, handle)?.on_ask()?;
                (handle, told(news, Event::Asked(handle, total)))
            }
            Frame::End(handle, total) => {
                let news = self.known(slots, handle)?.on_end(total)?;
                (handle, told(news, Event::End(handle)))
            }
            Frame::Done(handle, total) => {
                let news = self.known(slots, handle)?.on_done(total)?;
                (handle, told(news, Event::Done(handle)))
            }
            Frame::Dead(handle, dead) => {
                let news = self.known(slots, handle)?.on_dead(&dead)?;
                self.mark(slots, handle);
                (handle, told(news, Event::Dead(handle, dead)))
            }
        };
        self.free_if_over(slots, handle);
        Ok(event)
    }

    fn on_hello<'i>(&mut self, hello: Hello<'i>) -> Result<Event<'i>, Fault> {
        if self.state != LinkState::Hello {
            return Err(if hello.boot == self.peer.boot {
                Fault::Restarted(Reason::LinkReset)
            } else {
                Fault::Restarted(Reason::PeerRestarted)
            });
        }
        if hello.nonce == self.nonce {
            return Err(Fault::Loopback);
        }
        // Told even if it cannot be: the peer then knows as well why there is no link.
        if !core::mem::replace(&mut self.echoed, true) {
            self.hello_due = true;
        }
        if hello.oldest > PROTOCOL_VERSION || hello.newest < PROTOCOL_VERSION {
            return Err(Fault::Version { oldest: hello.oldest, newest: hello.newest });
        }
        let again = self.peer.nonce != 0 && self.peer.nonce != hello.nonce;
        let silence = hello.hear_ms.saturating_mul(4).max(self.config.dead_ms);
        let kinds_fit = hello.kind as u8 & self.config.kind as u8 != 0;
        let too_slow = hello.hear_ms == 0 || silence > DEAD_MS_MAX;
        if again || !kinds_fit || hello.nonce == 0 || hello.packet < MAX_BEFORE_UP || too_slow {
            return Err(Fault::Hello);
        }
        if hello.echo != 0 && hello.echo != self.nonce {
            return Err(Fault::Hello);
        }
        // The side with the higher nonce opens odd handles.
        let parity = u32::from(hello.nonce > self.nonce);
        self.peer = Peer {
            nonce: hello.nonce,
            boot: hello.boot,
            packet: hello.packet,
            circuits: hello.circuits,
            dead_ms: silence,
            parity,
            crc: hello.crc || self.config.crc,
        };
        if hello.echo != self.nonce {
            return Ok(Event::Nothing);
        }
        let mut nonces = [0; 16];
        nonces[..8].copy_from_slice(&self.nonce.max(hello.nonce).to_le_bytes());
        nonces[8..].copy_from_slice(&self.nonce.min(hello.nonce).to_le_bytes());
        self.session = crc32c(0, &nonces);
        self.state = LinkState::Up;
        Ok(Event::Up(hello))
    }

    fn on_ack<'i>(&mut self, total: Total) -> Result<Event<'i>, Fault> {
        if !self.bytes_out.at_least(total) {
            return Err(Fault::BadTotal);
        }
        if total.at_least(self.bytes_out_acked) {
            self.bytes_out_acked = total;
        }
        Ok(Event::Nothing)
    }

    fn on_open(&mut self, slots: &mut Slots<'_>, handle: Handle, open: &Open<'_>) -> Result<(), Fault> {
        if handle.parity() != self.peer.parity || handle.index() >= self.config.circuits as usize {
            return Err(Fault::BadOpen);
        }
        let slot = self.slot(slots, handle).ok_or(Fault::BadOpen)?;
        if slot.phase != Phase::Free {
            return Err(Fault::BadOpen);
        }
        slot.reset(Slot::offered(open)?);
        Ok(())
    }

    fn known<'s>(&self, slots: &'s mut Slots<'_>, handle: Handle) -> Result<&'s mut Slot, Fault> {
        match self.slot(slots, handle) {
            Some(slot) if slot.phase != Phase::Free => Ok(slot),
            _ => Err(Fault::UnknownHandle),
        }
    }

    fn open_frame<'f>(
        &mut self,
        slots: &mut Slots<'_>,
        open: &Open<'f>,
        sink: &mut dyn Sink,
        frame: impl FnOnce(Handle, Open<'f>) -> Frame<'f>,
    ) -> Result<Handle, Blocked> {
        if self.state != LinkState::Up || self.hello_due {
            return Err(Blocked::NotOpen);
        }
        if open.credit > Total::MAX_DISTANCE {
            return Err(Blocked::Invalid);
        }
        let reused = self.free != Handle::NONE;
        let handle = if reused {
            self.free
        } else if self.fresh >= self.peer.circuits {
            return Err(Blocked::NoSlot { theirs: true });
        } else if self.fresh as usize >= slots.mine.len() {
            return Err(Blocked::NoSlot { theirs: false });
        } else {
            Handle::from_index(self.fresh as usize, 1 - self.peer.parity)
        };
        let open = Open { limit: limit_in(open.credit, open.limit), ..*open };
        let frame = frame(handle, open);
        if frame.write(&mut [0; super::frame::CONTROL_FRAME_MAX]).is_err() {
            return Err(Blocked::Invalid);
        }
        if !put_frame(sink, &frame, self.crc_seed()) {
            return Err(Blocked::NoRoom);
        }
        self.sent = true;
        let slot = &mut slots.mine[handle.index()];
        if reused {
            self.free = slot.next_dirty;
        } else {
            self.fresh += 1;
        }
        slot.reset(Slot::opening(&open));
        Ok(handle)
    }

    /// Writes the frames of the link itself: whether there was room for all.
    fn link_frames(&mut self, sink: &mut dyn Sink) -> bool {
        let crc = self.crc_seed();
        if self.hello_due {
            let id = self.config.identity;
            let hello = Hello {
                oldest: PROTOCOL_VERSION,
                newest: PROTOCOL_VERSION,
                crc: self.config.crc,
                kind: self.config.kind,
                window: 0,
                packet: self.config.packet,
                circuits: self.config.circuits,
                dead_ms: self.config.dead_ms,
                hear_ms: self.config.hear_ms,
                nonce: self.nonce,
                echo: self.peer.nonce,
                boot: id.boot,
                uid: id.uid,
                name: id.name.as_str(),
            };
            // The bring-up has its own checksum and is never under the session's.
            if !put_frame(sink, &Frame::Hello(hello), None) {
                return false;
            }
            self.hello_due = false;
            self.sent = true;
        }
        if !self.is_up() {
            return true;
        }
        if self.ack_due {
            if !put_frame(sink, &Frame::Ack(self.bytes_in), self.crc_seed()) {
                return false;
            }
            self.bytes_in_told = self.bytes_in;
            self.ack_due = false;
            self.sent = true;
        }
        for (due, frame) in [(&mut self.ping_due, Frame::Ping), (&mut self.pong_due, Frame::Pong)] {
            if *due && matches!(self.state, LinkState::Up | LinkState::Leaving) {
                if !put_frame(sink, &frame, crc) {
                    return false;
                }
                *due = false;
                self.sent = true;
            }
        }
        if self.beat_due {
            // Anything written since is as good a sign of life.
            if !self.sent && !put_frame(sink, &Frame::Beat, self.crc_seed()) {
                return false;
            }
            self.beat_due = false;
            self.sent = true;
        }
        true
    }

    /// Writes what the first circuit in the queue owes: whether there was room for all.
    fn circuit_frames(&mut self, slots: &mut Slots<'_>, sink: &mut dyn Sink) -> bool {
        let (handle, crc) = (self.dirty.head, self.crc_seed());
        let Some(slot) = self.slot(slots, handle) else {
            self.dirty = Queue::EMPTY;
            return true;
        };
        if slot.mine == Final::Dead {
            let frame = DeadFrame { dead: sent_place(slot.dead), taken: slot.taken, detail: slot.detail };
            if !put_frame(sink, &Frame::Dead(handle, frame), crc) {
                return false;
            }
            slot.mine = Final::Sent;
        }
        for bit in [due::ACCEPT, due::CREDIT, due::TAKEN, due::ASK, due::END] {
            if slot.due & bit == 0 || bit == due::END && slot.out_left > 0 {
                continue;
            }
            let frame = match bit {
                due::ACCEPT => {
                    let accept =
                        Accept { which: slot.which, credit: slot.promised.get(), limit: slot.limit_in };
                    Frame::Accept(handle, accept)
                }
                due::CREDIT => Frame::Credit(handle, slot.promised),
                due::TAKEN => Frame::Taken(handle, slot.taken),
                due::ASK => Frame::Ask(handle, slot.ask),
                _ => Frame::End(handle, slot.values_out),
            };
            if !put_frame(sink, &frame, crc) {
                return false;
            }
            slot.due &= !bit;
            if bit == due::TAKEN {
                slot.taken_told = slot.taken;
            }
            if bit == due::END {
                slot.ended = true;
                slot.settle();
            }
        }
        if slot.mine == Final::Done {
            if !put_frame(sink, &Frame::Done(handle, slot.taken), crc) {
                return false;
            }
            slot.mine = Final::Sent;
        }
        slot.in_dirty = false;
        let next = slot.next_dirty;
        self.dirty.head = next;
        if next == Handle::NONE {
            self.dirty.tail = Handle::NONE;
        }
        self.sent = true;
        self.free_if_over(slots, handle);
        true
    }

    fn free_if_over(&mut self, slots: &mut Slots<'_>, handle: Handle) {
        let ours = handle.parity() != self.peer.parity;
        let Some(slot) = self.slot(slots, handle) else { return };
        if slot.phase == Phase::Free || !slot.is_over() {
            return;
        }
        slot.reset(Slot::new());
        if ours {
            slot.next_dirty = self.free;
            self.free = handle;
        }
    }

    /// Puts a circuit into the queue of those that owe a frame.
    fn mark(&mut self, slots: &mut Slots<'_>, handle: Handle) {
        let Some(slot) = self.slot(slots, handle) else { return };
        if slot.in_dirty || !slot.owes() {
            return;
        }
        slot.in_dirty = true;
        slot.next_dirty = Handle::NONE;
        let tail = core::mem::replace(&mut self.dirty.tail, handle);
        match self.slot(slots, tail) {
            Some(last) if tail != Handle::NONE => last.next_dirty = handle,
            _ => self.dirty.head = handle,
        }
    }

    /// Puts a circuit into the queue of those with message bytes to write, unless it is
    /// there already or has none.
    fn push_ready(&mut self, slots: &mut Slots<'_>, handle: Handle) {
        let Some(slot) = self.slot(slots, handle) else { return };
        if slot.in_ready || slot.out_have == 0 {
            return;
        }
        slot.in_ready = true;
        slot.next_ready = Handle::NONE;
        let tail = core::mem::replace(&mut self.ready.tail, handle);
        match self.slot(slots, tail) {
            Some(last) if tail != Handle::NONE => last.next_ready = handle,
            _ => self.ready.head = handle,
        }
    }

    fn pop_ready(&mut self, slots: &mut Slots<'_>) -> Option<Handle> {
        let handle = self.ready.head;
        if handle == Handle::NONE {
            return None;
        }
        let slot = self.slot(slots, handle)?;
        slot.in_ready = false;
        let next = slot.next_ready;
        self.ready.head = next;
        if next == Handle::NONE {
            self.ready.tail = Handle::NONE;
        }
        Some(handle)
    }
}

/// A notice as the receiver of the frame sees it.
const fn sent_place(dead: Dead) -> Dead {
    match dead.at {
        Place::Here => Dead::peer(dead.reason),
        _ => dead,
    }
}
