//! The layer for lines that lose and alter bytes: full-duplex UART, USB-CDC, pty.
//!
//! A [`Line`] stands below a [`Link`](crate::proto::Link) and makes of such a line what the
//! link needs: every record once, in order, unaltered, or a word that the line is lost. Records
//! (`varint length, frame`) gather in packets; a packet is COBS with a delimiter, so that
//! reading falls into step again after whatever garbage, and has a checksum that is seeded with
//! the session, so that nothing of an earlier one is taken. What is lost is sent again, from
//! there on (go-back-N): the receiver needs one packet's buffer, the sender its window.
//!
//! It knows nothing of the link but the hellos that pass, from which it learns the session, and the notices
//! of silence: while a side may be silent nobody is given up, and nothing is sent that it would not hear.
//!
//! ```text
//! IN    bytes -> Line::next -> frame -> Link::handle
//! OUT   Link::control, messages -> Line::sink -> packets -> Line::drain -> bytes
//! TIME  Line::deadline, Line::tick(now)
//! ```

pub(crate) mod arq;
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

use crate::proto::frame::{LINK_QUIET, QUIET_MAX_MS};
use crate::proto::time::Stamp;
use crate::proto::{Fault, Instant, framing, varint};
use arq::{Arq, Came, body, packet};
use bring_up::{BringUp, Heard};

pub use config::{LINE_PACKET_MIN, LineConfig, WINDOW_MAX};
pub use counts::LineCounts;
pub use sink::LineSink;

/// The sans-I/O state of one lossy line. It holds no bytes: its owner, one at a time, lends it
/// the same two buffers at each call, `rx` with the packet that is coming in and `tx` with
/// those that are not acknowledged. [`LineConfig::rx_len`] and [`LineConfig::tx_len`] say how
/// long they are. The state itself takes 320 bytes at most.
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
pub struct Line {
    arq: Arq,
    bring_up: BringUp,
    /// Frames of the last packet that have not been handed out, in `rx`.
    frames: (u16, u16),
    /// The latest time that was told.
    now: Instant,
    /// How many notices of our silence were sent, and in which packet the last one is.
    quiets: u32,
    quiet_in: u32,
    /// How long it is to last, until that is heard; then it is not over before.
    quiet_ms: u32,
    quiet_until: Instant,
    counts: LineCounts,
}

impl Line {
    /// A line before its bring-up.
    pub const fn new(config: LineConfig) -> Self {
        Self {
            arq: Arq::new(config.checked()),
            bring_up: BringUp::new(),
            frames: (0, 0),
            now: Instant::ZERO,
            quiets: 0,
            quiet_in: 0,
            quiet_ms: 0,
            quiet_until: Instant::ZERO,
            counts: LineCounts::NEW,
        }
    }

    /// Forgets the session, for a new link on the same line. What is half written is cut: the
    /// delimiter of the next packet ends it.
    pub fn restart(&mut self) {
        self.arq.restart();
        self.bring_up = BringUp::new();
        self.frames = (0, 0);
        self.quiets = 0;
        self.quiet_ms = 0;
        self.quiet_until = Instant::ZERO;
        self.counts = LineCounts::NEW;
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
        self.set_time(now);
        loop {
            if let Some(frame) = self.next_record(rx)? {
                return Ok(Some(&rx[frame]));
            }
            if input.is_empty() {
                return Ok(None);
            }
            let before = *input;
            let came = self.arq.take(input, rx);
            before[..before.len() - input.len()].iter().for_each(|&byte| self.counts.byte(byte));
            if came != Came::Nothing {
                self.begin_quiet();
            }
            match came {
                Came::Nothing => {}
                Came::Hello(len) => self.hear_hello(&rx[body(len)]),
                Came::Data(len) => self.give(len),
                Came::Word => self.count_packet(),
                Came::Skipped => {
                    self.count_packet();
                    self.counts.skipped = self.counts.skipped.wrapping_add(1);
                }
                Came::Broken(len) if self.arq.is_echo(&rx[packet(len)]) => self.echo(),
                Came::Broken(_) => self.broken(),
                Came::Oversize => {
                    self.counts.oversize = self.counts.oversize.wrapping_add(1);
                    self.broken();
                }
            }
        }
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
                if let Some(millis) = quiet_of(frame) {
                    self.arq.hear_quiet(millis);
                }
                Ok(Some(at + used - frame.len()..at + used))
            }
            framing::Step::Need(_) => Err(Fault::BadLength),
        }
    }

    /// A packet's body is to be handed out.
    fn give(&mut self, len: usize) {
        self.count_packet();
        self.frames = (body(len).start as u16, body(len).end as u16);
    }

    fn hear_hello(&mut self, record: &[u8]) {
        match self.bring_up.hear(record) {
            Heard::Broken => return self.broken(),
            Heard::Echo => return self.echo(),
            // It waits for our word under the session.
            Heard::Copy => {
                self.arq.ack_now();
                return self.count_packet();
            }
            Heard::Up(seed, window, packet) => {
                let packet = packet.min(u32::from(self.arq.config.packet)) as u16;
                self.arq.begin(seed, window.min(WINDOW_MAX), packet);
            }
            Heard::News => {}
        }
        self.give(record.len());
    }

    /// A record with this frame was put into the packet that is open.
    fn sent(&mut self, frame: &[u8]) {
        if let Some(millis) = quiet_of(frame) {
            self.quiet_ms = millis;
            if millis == 0 {
                self.quiet_until = self.now;
            }
            self.quiets = self.quiets.wrapping_add(1);
            self.quiet_in = self.arq.open_packet();
        }
    }

    /// The silence that was announced begins when the peer is known to have heard of it.
    fn begin_quiet(&mut self) {
        if self.quiet_ms > 0 && self.arq.is_acknowledged(self.quiet_in) {
            self.quiet_until = self.now.plus_millis(self.quiet_ms);
            self.quiet_ms = 0;
        }
    }

    /// Whether the peer has heard all of so many notices that we may be silent.
    pub const fn is_quiet_heard(&self, notices: u32) -> bool {
        notices == 0 || notices == self.quiets && self.arq.is_acknowledged(self.quiet_in)
    }

    /// Where records are written to. It has no room before the peer has spoken in the session,
    /// but for the hello.
    pub fn sink<'l>(&'l mut self, tx: &'l mut [u8]) -> LineSink<'l> {
        LineSink { line: self, tx, record: sink::Record::Vain }
    }

    /// Writes what is to be sent into `out`: how many bytes. What is written counts as sent.
    pub fn drain(&mut self, tx: &mut [u8], out: &mut [u8], now: Instant) -> usize {
        self.set_time(now);
        let resent = &mut self.counts.resent;
        self.arq.drain(tx, out, &mut || *resent = resent.wrapping_add(1))
    }

    /// Whether [`Line::drain`] has something to write.
    pub fn has_output(&mut self, now: Instant) -> bool {
        self.set_time(now);
        self.arq.has_output()
    }

    /// Time has passed. Call it when [`Line::deadline`] is reached, or at any steady pace.
    ///
    /// # Errors
    ///
    /// [`Fault::Unacknowledged`]: the line is lost. Give it to [`Link::fail`](crate::proto::Link::fail).
    pub fn tick(&mut self, now: Instant) -> Result<(), Fault> {
        self.set_time(now);
        if now < self.quiet_until {
            self.arq.excuse();
        } else if self.quiet_until != Instant::ZERO {
            self.quiet_until = Instant::ZERO;
            self.arq.resume();
        }
        if self.arq.tick() { Err(Fault::Unacknowledged) } else { Ok(()) }
    }

    /// When to call [`Line::tick`] and [`Line::drain`] at the latest.
    pub fn deadline(&self) -> Instant {
        self.arq.deadline().map_or(Instant::NEVER, |at| at.near(self.now))
    }

    /// Whether nothing waits to be sent or acknowledged.
    pub const fn is_idle(&self) -> bool {
        self.arq.is_idle()
    }

    /// Whether both sides have spoken in this session.
    pub const fn is_confirmed(&self) -> bool {
        self.arq.is_confirmed()
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

    fn set_time(&mut self, now: Instant) {
        self.now = now;
        self.arq.now = Stamp::of(now);
    }

    fn say_hello(&mut self, record: &[u8]) {
        self.bring_up.say(record);
        self.arq.say_hello(record.len());
    }

    fn count_packet(&mut self) {
        self.counts.packets = self.counts.packets.wrapping_add(1);
    }

    fn echo(&mut self) {
        self.counts.echoes = self.counts.echoes.wrapping_add(1);
    }

    fn broken(&mut self) {
        self.counts.broken = self.counts.broken.wrapping_add(1);
        self.arq.miss();
    }
}

/// How long a silence this frame announces, if it does, in milliseconds. One that is too long is a fault, which
/// the link tells.
fn quiet_of(frame: &[u8]) -> Option<u32> {
    let (&head, rest) = frame.split_first()?;
    let (millis, _) = varint::get(rest).ok().filter(|_| u32::from(head) == LINK_QUIET << 3)?;
    (millis <= QUIET_MAX_MS).then_some(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_costs_what_its_documentation_says() {
        assert!(size_of::<Line>() <= 320, "{}", size_of::<Line>());
        let small = LineConfig::uart(115_200, 2, 64, 2);
        assert_eq!((small.rx_len(), small.tx_len()), (127, 153));
    }

    #[test]
    fn a_line_can_be_made_in_a_static() {
        static LINE: Line = Line::new(LineConfig::uart(115_200, 2, 64, 2));
        assert!(!LINE.is_confirmed() && LINE.is_idle());
    }
}
