//! The layer for lines that lose and alter bytes: full-duplex UART, USB-CDC, pty.
//!
//! A [`Line`] stands below a [`Link`](crate::proto::Link) and makes of such a line what the
//! link needs: every record once, in order, unaltered, or a word that the line is lost. Records
//! (`varint length, frame`) gather in packets; a packet is COBS with a delimiter, so that
//! reading falls into step again after whatever garbage, and has a checksum that is seeded with
//! the session, so that nothing of an earlier one is taken. What is lost is sent again, from
//! there on (go-back-N): the receiver needs one packet's buffer, the sender its window.
//!
//! It knows nothing of the link but the hellos that pass, from which it learns the session.
//!
//! ```text
//! IN    bytes -> Line::next -> frame -> Link::handle
//! OUT   Link::control, messages -> Line::sink -> packets -> Line::drain -> bytes
//! TIME  Line::deadline, Line::tick(now)
//! ```

mod bring_up;
mod cobs;
mod config;
mod counts;
mod packet;
mod receiver;
mod rtt;
mod sender;
mod sink;

use core::ops::Range;

use crate::proto::{Fault, Instant, framing};
use bring_up::{BringUp, Heard};
use cobs::{Decoder, Encoder, Fed};
use packet::{CRC_LEN, HEAD_LEN, HELLO_SEED, Head, Kind, Numbers, Parts};
use receiver::Receiver;
use sender::{Pick, Sender};

pub use config::{LINE_PACKET_MIN, LineConfig, WINDOW_MAX};
pub use counts::LineCounts;
pub use sink::LineSink;

/// A delimiter of our own ends what noise has begun, after a pause of this many milliseconds.
const PAUSE_MS: u32 = 10;

/// The sans-I/O state of one lossy line. It holds no bytes: its owner, one at a time, lends it
/// the same two buffers at each call, `rx` with the packet that is coming in and `tx` with
/// those that are not acknowledged. [`LineConfig::rx_len`] and [`LineConfig::tx_len`] say how
/// long they are.
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub struct Line {
    config: LineConfig,
    bring_up: BringUp,
    sender: Sender,
    receiver: Receiver,
    decoder: Decoder,
    /// Frames of the last packet that have not been handed out, in `rx`.
    frames: (u16, u16),
    writing: Option<Writing>,
    last_out: Option<Instant>,
    counts: LineCounts,
}

/// A packet that is being written.
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
struct Writing {
    what: What,
    head: [u8; HEAD_LEN],
    crc: [u8; CRC_LEN],
    /// Where its body is in `tx`.
    body: (u16, u16),
    /// The delimiter before it is still to come.
    lead: bool,
    encoder: Encoder,
}

#[derive(Debug, Clone, Copy)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
enum What {
    Data(Pick),
    Other,
}

impl Line {
    /// A line before its bring-up.
    pub fn new(config: LineConfig) -> Self {
        Self {
            bring_up: BringUp::new(),
            sender: Sender::new(&config, config.packet),
            receiver: Receiver::new(config.window),
            decoder: Decoder::default(),
            frames: (0, 0),
            writing: None,
            last_out: None,
            counts: LineCounts::default(),
            config,
        }
    }

    /// Forgets the session, for a new link on the same line. What is half written is cut: the
    /// delimiter of the next packet ends it.
    pub fn restart(&mut self) {
        let decoder = core::mem::take(&mut self.decoder);
        *self = Self { decoder, ..Self::new(self.config) };
    }

    /// The next frame in what has come in, for [`Link::handle`](crate::proto::Link::handle).
    /// Call it until there is none; `input` is then used up.
    ///
    /// # Errors
    ///
    /// A [`Fault`] of a peer that keeps the line's rules but not those of records. The rest of
    /// its packet is dropped.
    pub fn next<'b>(
        &mut self,
        rx: &'b mut [u8],
        input: &mut &[u8],
        now: Instant,
    ) -> Result<Option<&'b [u8]>, Fault> {
        loop {
            if let Some(frame) = self.next_record(rx)? {
                return Ok(Some(&rx[frame]));
            }
            let Some((&byte, rest)) = input.split_first() else { return Ok(None) };
            *input = rest;
            self.take(byte, rx, now);
        }
    }

    /// Where records are written to. It has no room before the peer has spoken in the session,
    /// but for the hello.
    pub fn sink<'l>(&'l mut self, tx: &'l mut [u8]) -> LineSink<'l> {
        LineSink { line: self, tx, hello: sink::Hello::Not }
    }

    /// Writes what is to be sent into `out`: how many bytes. What is written counts as sent.
    pub fn drain(&mut self, tx: &[u8], out: &mut [u8], now: Instant) -> usize {
        let mut n = 0;
        while n < out.len() {
            if self.writing.is_none() {
                self.writing = self.pick(tx, now);
            }
            let Some(writing) = &mut self.writing else { break };
            n += writing.fill(tx, &mut out[n..]);
            if writing.encoder.is_done() {
                if let What::Data(pick) = writing.what
                    && self.sender.written(pick, now)
                {
                    self.counts.resent = self.counts.resent.wrapping_add(1);
                }
                self.writing = None;
            }
        }
        if n > 0 {
            self.last_out = Some(now);
        }
        n
    }

    /// Whether [`Line::drain`] has something to write.
    pub fn has_output(&self, now: Instant) -> bool {
        let session = self.is_up() && (self.receiver.owes_nak() || self.receiver.owes_ack(now));
        self.writing.is_some() || session || self.bring_up.is_due(now) || self.sender.has_packet()
    }

    /// Time has passed. Call it when [`Line::deadline`] is reached, or at any steady pace.
    ///
    /// # Errors
    ///
    /// [`Fault::Unacknowledged`]: the line is lost. Give it to [`Link::fail`](crate::proto::Link::fail).
    pub fn tick(&mut self, now: Instant) -> Result<(), Fault> {
        self.sender.tick(now, self.writing.is_some())
    }

    /// When to call [`Line::tick`] and [`Line::drain`] at the latest.
    pub fn deadline(&self) -> Instant {
        let session = if self.is_up() { self.receiver.deadline() } else { Instant::NEVER };
        session.min(self.bring_up.deadline()).min(self.sender.deadline())
    }

    /// Whether nothing waits to be sent or acknowledged.
    pub const fn is_idle(&self) -> bool {
        self.sender.is_idle() && self.writing.is_none()
    }

    /// Whether both sides have spoken in this session.
    pub const fn is_confirmed(&self) -> bool {
        self.bring_up.confirmed
    }

    /// What the line has seen.
    pub const fn counts(&self) -> &LineCounts {
        &self.counts
    }

    /// What a link calls [`Fault::NoHello`], in the light of what came instead of one: bytes
    /// that are no packets, text, our own, or nothing. Other faults are returned as they are.
    #[must_use]
    pub const fn explain(&self, fault: Fault) -> Fault {
        if matches!(fault, Fault::NoHello) { self.counts.explain() } else { fault }
    }

    const fn is_up(&self) -> bool {
        self.bring_up.seeds.is_some()
    }

    /// Whether records may go into packets: the hello, whose buffer it is, is done with.
    fn may_fill(&self) -> bool {
        let hello = self.writing.as_ref().is_some_and(|writing| writing.head[0] == HELLO_HEAD[0]);
        self.bring_up.confirmed && !hello
    }

    /// The slot whose bytes are being written.
    fn busy(&self) -> Option<u8> {
        match self.writing {
            Some(Writing { what: What::Data(pick), .. }) => Some(pick.slot),
            _ => None,
        }
    }

    fn say_hello(&mut self, record: &[u8]) {
        self.bring_up.say(record);
        // The peer may be up by it; our word under the session tells it that we are, too.
        self.receiver.ack_now();
    }

    fn next_record(&mut self, rx: &[u8]) -> Result<Option<Range<usize>>, Fault> {
        let (at, end) = (usize::from(self.frames.0), usize::from(self.frames.1));
        if at == end {
            return Ok(None);
        }
        self.frames.0 = self.frames.1;
        let Some(records) = rx.get(at..end) else { return Ok(None) };
        match framing::next(records, records.len() as u32, None)? {
            framing::Step::Frame(frame, used) => {
                self.frames.0 = (at + used) as u16;
                Ok(Some(at + used - frame.len()..at + used))
            }
            framing::Step::Need(_) => Err(Fault::BadLength),
        }
    }

    fn take(&mut self, byte: u8, rx: &mut [u8], now: Instant) {
        self.counts.byte(byte);
        match self.decoder.feed(byte, rx) {
            Fed::More | Fed::Nothing => {}
            Fed::Packet(len) => self.hear(&rx[..len], now),
            Fed::Broken => self.broken(),
            Fed::Oversize => {
                self.counts.oversize = self.counts.oversize.wrapping_add(1);
                self.broken();
            }
        }
    }

    fn hear(&mut self, packet: &[u8], now: Instant) {
        let Some(head) = packet::head(packet) else { return self.broken() };
        let body = HEAD_LEN..packet.len() - CRC_LEN;
        if head.kind == Kind::Hello {
            return if packet::is_whole(packet, HELLO_SEED) {
                self.hear_hello(packet, body);
            } else {
                self.broken();
            };
        }
        let Some(seeds) = self.bring_up.seeds else { return self.broken() };
        let is_data = head.kind == Kind::Data;
        let sequence = if is_data { self.receiver.number(head.sequence()) } else { 0 };
        let ack = self.sender.number(head.ack());
        let whole = |ack| packet::is_whole(packet, Numbers { sequence, ack }.seed(seeds.inward));
        let Some(ack) = ack.filter(|&ack| whole(ack)) else {
            return if self.is_echo(packet, head, seeds.out) { self.echo() } else { self.broken() };
        };
        self.bring_up.confirmed = true;
        self.counts.packets = self.counts.packets.wrapping_add(1);
        if head.kind == Kind::Nak {
            let back = self.sender.on_nak(ack, self.busy(), now);
            if let Some(Writing { what: What::Data(_), encoder, .. }) = &mut self.writing
                && back
            {
                // The peer drops what is behind the gap.
                encoder.cut();
            }
        } else {
            self.sender.on_ack(ack, now);
        }
        if is_data {
            if self.receiver.take(sequence, now) {
                self.frames = (body.start as u16, body.end as u16);
            } else {
                self.counts.skipped = self.counts.skipped.wrapping_add(1);
            }
        }
    }

    /// Whether a packet is one that we have sent lately.
    fn is_echo(&self, packet: &[u8], head: Head, session: u32) -> bool {
        let sequence = if head.kind == Kind::Data { self.sender.sent_number(head.sequence()) } else { 0 };
        let behind = packet::behind(head.ack(), self.receiver.next());
        let ack = self.receiver.next().wrapping_sub(behind);
        packet::is_whole(packet, Numbers { sequence, ack }.seed(session))
    }

    fn hear_hello(&mut self, packet: &[u8], body: Range<usize>) {
        let heard = self.bring_up.hear(&packet[body.clone()]);
        match heard {
            Heard::Broken => return self.broken(),
            Heard::Echo => return self.echo(),
            // It waits for our word under the session.
            Heard::Copy => self.receiver.ack_now(),
            Heard::Up(window, packet) => {
                let packet = packet.min(u32::from(self.config.packet)) as u16;
                self.sender = Sender::new(&self.config, packet);
                self.receiver = Receiver::new(window.min(WINDOW_MAX));
                self.receiver.ack_now();
            }
            Heard::News => {}
        }
        self.counts.packets = self.counts.packets.wrapping_add(1);
        if heard != Heard::Copy {
            self.frames = (body.start as u16, body.end as u16);
        }
    }

    fn echo(&mut self) {
        self.counts.echoes = self.counts.echoes.wrapping_add(1);
    }

    fn broken(&mut self) {
        self.counts.broken = self.counts.broken.wrapping_add(1);
        self.receiver.miss();
    }

    /// What is to be sent first: what the peer's sender waits for, then packets, which
    /// acknowledge as well, then an acknowledgement alone.
    fn pick(&mut self, tx: &[u8], now: Instant) -> Option<Writing> {
        let (what, kind, sequence, body) = if self.bring_up.is_due(now) {
            self.bring_up.sent(now);
            (What::Other, Kind::Hello, 0, (0, self.bring_up.len))
        } else if self.is_up() && self.bring_up.confirmed && self.receiver.owes_nak() {
            self.receiver.naked();
            (What::Other, Kind::Nak, 0, (0, 0))
        } else if let Some(pick) = self.sender.pick(now) {
            let from = u16::from(pick.slot) * self.config.packet;
            (What::Data(pick), Kind::Data, pick.sequence, (from, from + pick.len))
        } else if self.is_up() && self.receiver.owes_ack(now) {
            (What::Other, Kind::Ack, 0, (0, 0))
        } else {
            return None;
        };
        let (seed, head) = match self.bring_up.seeds {
            Some(seeds) if kind != Kind::Hello => {
                self.receiver.acked();
                let numbers = Numbers { sequence, ack: self.receiver.next() };
                (numbers.seed(seeds.out), Head::new(kind, numbers).bytes())
            }
            _ => (HELLO_SEED, HELLO_HEAD),
        };
        let bytes = tx.get(usize::from(body.0)..usize::from(body.1)).unwrap_or_default();
        let crc = packet::sum(seed, head, bytes);
        let lead = self.last_out.is_none_or(|last| last.plus_millis(PAUSE_MS) < now);
        Some(Writing { what, head, crc, body, lead, encoder: Encoder::default() })
    }
}

const HELLO_HEAD: [u8; HEAD_LEN] = Head::new(Kind::Hello, Numbers { sequence: 0, ack: 0 }).bytes();

impl Writing {
    fn fill(&mut self, tx: &[u8], out: &mut [u8]) -> usize {
        let lead = usize::from(core::mem::take(&mut self.lead) && !out.is_empty());
        out[..lead].fill(0);
        let body = tx.get(usize::from(self.body.0)..usize::from(self.body.1)).unwrap_or_default();
        let parts = Parts { head: self.head, body, crc: self.crc };
        lead + self.encoder.fill(&parts, &mut out[lead..])
    }
}
