//! Packets over a line that loses and alters bytes: each once, in order, unaltered.
//!
//! It knows nothing of what the packets carry, nor how a session begins: its owner says so. What it
//! holds are accounts; the packet that comes in lies in `rx`, those that are not acknowledged in `tx`.

use core::ops::Range;

use super::LineConfig;
use super::cobs::{CODE_LEN, Decoder, Encoder, Fed};
use super::packet::{self, CRC_LEN, EMPTY_LEN, HEAD_LEN, HELLO_SEED, Head, Kind, Numbers};
use super::receiver::Receiver;
use super::sender::Sender;
use crate::proto::time::Stamp;

/// A delimiter of our own goes before a packet after a pause of this many milliseconds.
const PAUSE_MS: u32 = 10;
/// The first repetition of a hello comes after this time, and each further one after twice as long.
const REPEAT_MS: u16 = 100;
/// No longer than this.
const REPEAT_MAX_MS: u16 = 800;

/// The seed of what this side sends in a session: its number on the side with the higher nonce, and the
/// complement on the other, so that what is echoed is not taken for the peer's.
pub(crate) const fn seed(session: u32, is_higher: bool) -> u32 {
    if is_higher { session } else { !session }
}

/// What bytes have completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    /// Nothing, or nothing that concerns anybody but the other half.
    Nothing,
    /// A hello, of which the body is so long. It may be anybody's.
    Hello(usize),
    /// The next packet, of which the body is so long.
    Data(usize),
    /// A packet that only acknowledges.
    Word,
    /// A packet that is not the next one.
    Skipped,
    /// So many bytes that are no packet: see [`Arq::miss`].
    Broken(usize),
    /// More bytes than any packet: see [`Arq::miss`].
    Oversize,
}

/// Where the body of a packet is in `rx`, if it is so long.
pub(crate) const fn body(len: usize) -> Range<usize> {
    CODE_LEN + HEAD_LEN..CODE_LEN + HEAD_LEN + len
}

/// Where a packet of this length is.
pub(crate) const fn packet(len: usize) -> Range<usize> {
    CODE_LEN..CODE_LEN + len
}

/// Go-back-N in both directions. It takes 160 bytes at most.
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
#[repr(C)]
pub(crate) struct Arq {
    session: Session,
    /// What is done is done at this time.
    pub(crate) now: Stamp,
    pub(crate) config: LineConfig,
    decoder: Decoder,
}

/// What begins anew with each session; all zero before. Its fields stand in the order of their sizes, the
/// smallest first, for a Cortex-M reaches those with its shortest instructions only near the beginning.
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
#[repr(C)]
struct Session {
    /// There is a session.
    is_up: bool,
    /// The peer has spoken in it.
    is_confirmed: bool,
    writing: Writing,
    /// Bytes of our hello; they stand in the first packet's body.
    hello_len: u16,
    /// It was sent, and is sent again at that time after so long a wait; 0 before the first time.
    hello_wait_ms: u16,
    sender: Sender,
    receiver: Receiver,
    /// Of what we send; what comes in has the complement.
    seed: u32,
    hello_at: Stamp,
    /// When a byte was written last.
    last_out: Stamp,
    /// When a valid packet of the session came last, or when a silence is over that was announced.
    last_in: Stamp,
}

/// The packet that is being written, or was written last.
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
#[repr(C)]
struct Writing {
    kind: Kind,
    /// What went out last is behind a delimiter of ours; else one goes first, as at the beginning of a session.
    delimited: bool,
    /// It was sent before.
    again: bool,
    encoder: Encoder,
    sequence: u32,
}

impl Session {
    const ZERO: Self = Self {
        seed: 0,
        is_up: false,
        is_confirmed: false,
        sender: Sender::ZERO,
        receiver: Receiver::ZERO,
        writing: Writing {
            kind: Kind::Data,
            delimited: false,
            again: false,
            encoder: Encoder::DONE,
            sequence: 0,
        },
        last_out: Stamp::ZERO,
        last_in: Stamp::ZERO,
        hello_len: 0,
        hello_wait_ms: 0,
        hello_at: Stamp::ZERO,
    };
}

impl Arq {
    /// All zero, to be given its config.
    pub(crate) const ZERO: Self = Self {
        session: Session::ZERO,
        now: Stamp::ZERO,
        config: LineConfig { packet: 0, window: 0, wait_us: 0, dead_ms: 0 },
        decoder: Decoder::NEW,
    };

    /// With values that were [checked](LineConfig::checked).
    pub(crate) const fn new(config: LineConfig) -> Self {
        Self { config, ..Self::ZERO }
    }

    /// Forgets the session. What is half written is cut: the delimiter of the next packet ends it.
    pub(crate) fn restart(&mut self) {
        self.session = Session::ZERO;
    }

    /// Our hello stands in `tx`, and is sent until the peer has spoken under the session.
    pub(crate) fn say_hello(&mut self, len: usize) {
        self.session.hello_len = len as u16;
        self.session.hello_wait_ms = 0;
        // The peer may be up by it; our word under the session tells it that we are, too.
        self.ack_now();
    }

    /// The session begins: with the peer's window, and the longest body that both sides take.
    pub(crate) fn begin(&mut self, seed: u32, window: u8, packet: u16) {
        let session = &mut self.session;
        session.seed = seed;
        session.is_up = true;
        session.last_in = self.now;
        session.sender.restart(&self.config, packet);
        session.receiver.restart(window);
        session.receiver.ack_now();
    }

    /// The peer waits for our word under the session.
    pub(crate) fn ack_now(&mut self) {
        self.session.receiver.ack_now();
    }

    /// What has come broken may have been a packet.
    pub(crate) fn miss(&mut self) {
        self.session.receiver.miss();
    }

    /// Takes bytes until they complete something, or there are none. After [`Came::Hello`] and [`Came::Data`] the
    /// body stands in `rx` until the next.
    pub(crate) fn take(&mut self, input: &mut &[u8], rx: &mut [u8]) -> Came {
        match self.decoder.feed(input, rx) {
            Fed::More | Fed::Nothing => Came::Nothing,
            Fed::Packet(len) => self.hear(rx.get(packet(len)).unwrap_or_default()),
            Fed::Broken => Came::Broken(0),
            Fed::Oversize => Came::Oversize,
        }
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    fn hear(&mut self, packet: &[u8]) -> Came {
        let broken = Came::Broken(packet.len());
        let session = &mut self.session;
        let Some(head) = packet::head(packet) else { return broken };
        let len = packet.len() - (HEAD_LEN + CRC_LEN);
        let (mut numbers, mut seed) = (Numbers { sequence: 0, ack: 0 }, HELLO_SEED);
        if head.kind != Kind::Hello {
            match session.sender.number(head.ack()) {
                Some(ack) if session.is_up => numbers.ack = ack,
                _ => return broken,
            }
            if head.kind == Kind::Data {
                numbers.sequence = session.receiver.number(head.sequence());
            }
            seed = numbers.seed(!session.seed);
        }
        if !packet::is_whole(packet, seed) {
            return broken;
        }
        if head.kind == Kind::Hello {
            return Came::Hello(len);
        }
        session.is_confirmed = true;
        if !session.sender.is_held() {
            session.last_in = self.now;
        }
        self.on_ack(numbers.ack);
        match head.kind {
            Kind::Data => {
                if self.session.receiver.take(numbers.sequence, self.now) {
                    Came::Data(len)
                } else {
                    Came::Skipped
                }
            }
            kind => {
                if kind == Kind::Nak {
                    self.session.on_nak();
                }
                Came::Word
            }
        }
    }

    fn on_ack(&mut self, ack: u32) {
        self.session.sender.on_ack(&self.config, ack, self.now);
    }

    /// Whether a packet is one that we have sent lately.
    pub(crate) fn is_echo(&self, packet: &[u8]) -> bool {
        let session = &self.session;
        let Some(head) = packet::head(packet).filter(|_| session.is_up) else { return false };
        let sequence = if head.kind == Kind::Data { session.sender.sent_number(head.sequence()) } else { 0 };
        let next = session.receiver.next();
        let ack = next.wrapping_sub(packet::behind(head.ack(), next));
        packet::is_whole(packet, Numbers { sequence, ack }.seed(session.seed))
    }

    /// Length of the longest record that [`Arq::record`] would take.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) const fn room(&self) -> usize {
        if self.session.is_confirmed { self.session.sender.room(&self.config) } else { 0 }
    }

    /// Where in `tx` a record of this length goes, if there is room for it: all of it is to be put there.
    pub(crate) fn record(&mut self, len: usize, tx: &mut [u8]) -> Option<usize> {
        // A hello that is still being written is spoilt by this, when nobody needs it any more.
        (len <= self.room()).then(|| self.session.sender.record(&self.config, len, tx))
    }

    /// Writes what is to be sent into `out`: how many bytes. It says so of each packet that was sent before.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn drain(&mut self, tx: &mut [u8], out: &mut [u8], again: &mut impl FnMut()) -> usize {
        let mut n = 0;
        while let Some(first) = out.get_mut(n) {
            if self.session.writing.encoder.is_done() && !self.pick(tx) {
                break;
            }
            let session = &mut self.session;
            session.last_out = self.now;
            let writing = &mut session.writing;
            if !writing.delimited {
                writing.delimited = true;
                *first = 0;
                n += 1;
                continue;
            }
            n += writing.encoder.fill(tx, out.get_mut(n..).unwrap_or_default());
            if writing.encoder.is_done() && writing.kind == Kind::Data {
                if writing.again {
                    again();
                }
                session.sender.written(writing.again, self.now);
            }
        }
        n
    }

    /// Begins what is to be sent first: what the peer's sender waits for, then packets, which
    /// acknowledge as well, then an acknowledgement alone. Whether there is any.
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn pick(&mut self, tx: &mut [u8]) -> bool {
        let (session, now) = (&mut self.session, self.now);
        let (mut numbers, mut seed) = (Numbers { sequence: 0, ack: 0 }, HELLO_SEED);
        let (mut again, mut at, mut len) = (false, 0, 0);
        let kind = if session.owes_hello(now) {
            again = session.hello_wait_ms > 0;
            session.hello_wait_ms = (session.hello_wait_ms * 2).clamp(REPEAT_MS, REPEAT_MAX_MS);
            session.hello_at = now.plus_millis(u32::from(session.hello_wait_ms));
            len = session.hello_len.into();
            Kind::Hello
        } else if let Some(pick) = session.sender.pick(&self.config, tx, now, session.owes_nak()) {
            numbers.sequence = pick.sequence;
            session.writing.sequence = pick.sequence;
            (again, at, len) = (pick.again, pick.at, pick.len);
            Kind::Data
        } else if session.owes_nak() || session.owes_ack(now) {
            at = tx.len() - (CODE_LEN + EMPTY_LEN);
            if session.owes_nak() { Kind::Nak } else { Kind::Ack }
        } else {
            return false;
        };
        if kind != Kind::Hello {
            session.receiver.told(kind == Kind::Nak);
            numbers.ack = session.receiver.next();
            seed = numbers.seed(session.seed);
        }
        let len = CODE_LEN + len + EMPTY_LEN;
        let slot = tx.get_mut(at..).and_then(|rest| rest.get_mut(..len)).unwrap_or_default();
        packet::seal(seed, Head::new(kind, numbers), slot, again);
        session.writing.encoder = Encoder::new(at as u16, len as u16);
        session.writing.kind = kind;
        session.writing.again = again;
        // After a pause, a delimiter of our own ends what noise has begun.
        session.writing.delimited &= !session.last_out.plus_millis(PAUSE_MS).is_over(now);
        true
    }

    /// Time has passed: whether the line is lost. Call it when [`Arq::deadline`] is reached, or at any
    /// steady pace.
    pub(crate) fn tick(&mut self) -> bool {
        self.session.sender.tick(&self.config, self.now, !self.session.writing.encoder.is_done())
    }

    /// When to call [`Arq::tick`] and [`Arq::drain`] at the latest.
    pub(crate) fn deadline(&self) -> Option<Stamp> {
        let (session, now) = (&self.session, self.now);
        if session.owes_nak() || session.owes_hello(now) {
            return Some(now);
        }
        let ack = session.receiver.deadline(now).filter(|_| session.is_up);
        let hello = (!session.is_confirmed && session.hello_len > 0).then_some(session.hello_at);
        [ack, hello, session.sender.deadline(&self.config, !session.writing.encoder.is_done())]
            .into_iter()
            .flatten()
            .reduce(Stamp::min)
    }

    /// When the line is given up, if nothing is acknowledged before.
    #[cfg(feature = "embedded-io-async-v0_7")]
    pub(crate) fn give_up_at(&self) -> Option<Stamp> {
        self.session.sender.deadline(&self.config, true)
    }

    /// Whether [`Arq::drain`] has something to write.
    pub(crate) fn has_output(&self) -> bool {
        let (session, now) = (&self.session, self.now);
        let packet = session.sender.has_packet() || !session.writing.encoder.is_done();
        packet || session.owes_nak() || session.owes_ack(now) || session.owes_hello(now)
    }

    /// Whether nothing waits to be sent or acknowledged.
    pub(crate) const fn is_idle(&self) -> bool {
        self.session.sender.is_idle() && self.session.writing.encoder.is_done()
    }

    /// Whether a hello is being written: its bytes in `tx` are needed.
    pub(crate) const fn is_writing_hello(&self) -> bool {
        !self.session.writing.encoder.is_done() && matches!(self.session.writing.kind, Kind::Hello)
    }

    /// Whether both sides have spoken in this session.
    pub(crate) const fn is_confirmed(&self) -> bool {
        self.session.is_confirmed
    }

    /// The peer may be silent for so many milliseconds, and is not taken for dead meanwhile; nothing is sent to it
    /// but acknowledgements, for it may not hear. 0: it is over.
    pub(crate) fn hear_quiet(&mut self, millis: u32) {
        let until = self.now.plus_millis(millis);
        self.session.last_in = until;
        self.session.sender.hold(until);
    }

    /// We have heard nothing up to now, for we did not listen: the peer is not taken for dead.
    pub(crate) fn excuse(&mut self) {
        self.session.sender.excuse(self.now);
        if !self.session.sender.is_held() {
            self.session.last_in = self.now;
        }
    }

    /// We listen again, and what was not acknowledged is waited for anew.
    pub(crate) fn resume(&mut self) {
        self.excuse();
        if !self.session.sender.is_held() {
            self.session.sender.begin_wait(&self.config, self.now);
        }
    }

    /// Number of the packet that takes records now.
    pub(crate) const fn open_packet(&self) -> u32 {
        self.session.sender.open_packet()
    }

    /// Whether the peer has acknowledged this packet.
    pub(crate) const fn is_acknowledged(&self, packet: u32) -> bool {
        self.session.sender.is_acknowledged(packet)
    }

    /// When a valid packet of the session came last, or when a silence of the peer is over.
    #[cfg(feature = "board")]
    pub(crate) const fn last_in(&self) -> Stamp {
        self.session.last_in
    }
}

impl Session {
    fn on_nak(&mut self) {
        let is_data = !self.writing.encoder.is_done() && self.writing.kind == Kind::Data;
        if self.sender.on_nak(is_data.then_some(self.writing.sequence)) && is_data {
            // The peer drops what is behind the gap.
            self.writing.encoder.cut();
        }
    }

    fn owes_hello(&self, now: Stamp) -> bool {
        let is_due = self.hello_wait_ms == 0 || self.hello_at.is_over(now);
        !self.is_confirmed && self.hello_len > 0 && is_due
    }

    fn owes_nak(&self) -> bool {
        // Before the peer has spoken it may have nothing that it could send again.
        self.is_confirmed && self.receiver.owes_nak()
    }

    fn owes_ack(&self, now: Stamp) -> bool {
        self.is_up && self.receiver.owes_ack(now)
    }
}

/// Where our hello goes in `tx`.
pub(crate) const HELLO_AT: usize = CODE_LEN + HEAD_LEN;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_costs_what_its_documentation_says() {
        assert!(size_of::<Arq>() <= 160, "{}", size_of::<Arq>());
    }
}
