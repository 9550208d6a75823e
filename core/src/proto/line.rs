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
mod hear;
mod packet;
mod receiver;
mod rtt;
mod sender;
mod sink;
mod write;

use crate::proto::{Fault, Instant};
use bring_up::BringUp;
use cobs::Decoder;
use receiver::Receiver;
use sender::Sender;
use write::{What, Writing};

pub use config::{LINE_PACKET_MIN, LineConfig, WINDOW_MAX};
pub use counts::LineCounts;
pub use sink::LineSink;

/// The sans-I/O state of one lossy line. It holds no bytes: its owner, one at a time, lends it
/// the same two buffers at each call, `rx` with the packet that is coming in and `tx` with
/// those that are not acknowledged. [`LineConfig::rx_len`] and [`LineConfig::tx_len`] say how
/// long they are. The state itself takes 304 bytes at most.
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

impl Line {
    /// A line before its bring-up.
    pub const fn new(config: LineConfig) -> Self {
        Self {
            bring_up: BringUp::new(),
            sender: Sender::new(&config, config.packet),
            receiver: Receiver::new(config.window),
            decoder: Decoder::NEW,
            frames: (0, 0),
            writing: None,
            last_out: None,
            counts: LineCounts::NEW,
            config,
        }
    }

    /// Forgets the session, for a new link on the same line. What is half written is cut: the
    /// delimiter of the next packet ends it.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub fn restart(&mut self) {
        let decoder = core::mem::replace(&mut self.decoder, Decoder::NEW);
        *self = Self { decoder, ..Self::new(self.config) };
    }

    /// The next frame in what has come in, for [`Link::handle`](crate::proto::Link::handle).
    /// Call it until there is none; `input` is then used up.
    ///
    /// # Errors
    ///
    /// A [`Fault`] of a peer that keeps the line's rules but not those of records. The rest of
    /// its packet is dropped.
    #[cfg_attr(not(feature = "std"), inline(never))]
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
    #[cfg_attr(not(feature = "std"), inline(never))]
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
        let session =
            self.may_nak() && self.receiver.owes_nak() || self.is_up() && self.receiver.owes_ack(now);
        self.writing.is_some() || session || self.bring_up.is_due(now) || self.sender.has_packet()
    }

    /// Time has passed. Call it when [`Line::deadline`] is reached, or at any steady pace.
    ///
    /// # Errors
    ///
    /// [`Fault::Unacknowledged`]: the line is lost. Give it to [`Link::fail`](crate::proto::Link::fail).
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub fn tick(&mut self, now: Instant) -> Result<(), Fault> {
        self.sender.tick(now, self.writing.is_some())
    }

    /// When to call [`Line::tick`] and [`Line::drain`] at the latest.
    pub fn deadline(&self) -> Instant {
        let session = if self.is_up() { self.receiver.deadline(self.may_nak()) } else { Instant::NEVER };
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

    /// Before the peer has spoken it may have nothing that it could send again.
    const fn may_nak(&self) -> bool {
        self.is_up() && self.bring_up.confirmed
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_costs_what_its_documentation_says() {
        assert!(size_of::<Line>() <= 304, "{}", size_of::<Line>());
        let small = LineConfig::uart(115_200, 2, 64, 2);
        assert_eq!((small.rx_len(), small.tx_len()), (126, 128));
    }

    #[test]
    fn a_line_can_be_made_in_a_static() {
        static LINE: Line = Line::new(LineConfig::uart(115_200, 2, 64, 2));
        assert!(!LINE.is_confirmed() && LINE.is_idle());
    }
}
