//! The sending half of a session: go-back-N over a ring of packets.
//!
//! ```text
//! base          next       high       end        numbers of packets, from the session's beginning
//!   | acknowledged? | again? | new   | open: takes records
//!
//! slot = length in two bytes, place for a code, packet       `tx` has one for each packet of the window
//! ```

use super::LineConfig;
use super::cobs::CODE_LEN;
use super::packet::{EMPTY_LEN, HEAD_LEN, ahead, behind};
use super::rtt::Rtt;
use crate::proto::time::Stamp;

/// Waits do not double beyond this, or four times the shortest wait of a slow line.
const WAIT_MAX_US: u32 = 1_000_000;
/// While nothing is known of the line it may have so much more latency than it was said to have.
const UNKNOWN_US: u32 = 100_000;
/// What stands at the beginning of a slot: how long the body of its packet is.
const LEN_LEN: usize = 2;

/// How long a slot is.
pub(super) const fn slot_len(config: &LineConfig) -> usize {
    LEN_LEN + CODE_LEN + EMPTY_LEN + config.packet as usize
}

/// A packet that is to be sent now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pick {
    pub(super) sequence: u32,
    /// It was sent before.
    pub(super) again: bool,
    /// Where in `tx` the place for its first code is, and how long its body is.
    pub(super) at: usize,
    pub(super) len: usize,
}

/// Keeps what has not been acknowledged: accounts here, bytes with the caller. All of it is zero before
/// [`Sender::restart`], so that a board sets it with one call.
#[derive(Debug, Clone)]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
#[repr(C)]
pub(super) struct Sender {
    /// Slot of the first packet.
    first: u8,
    /// After a timeout only the first packet is sent, until something is heard of it.
    probing: bool,
    /// The round trip of one is being measured.
    is_timed: bool,
    /// The peer may not hear us until `progress`: nothing is sent, nor waited for.
    is_held: bool,
    /// Longest body that both sides take.
    packet: u16,
    /// Bytes of the body that takes records.
    open: u16,
    base: u32,
    next: u32,
    high: u32,
    end: u32,
    /// How long an acknowledgement is waited for now, and until when, as long as packets are under way.
    wait_us: u32,
    timer: Stamp,
    /// When the oldest packet was sent first, or the one before it acknowledged, or a silence ended.
    progress: Stamp,
    /// The packet whose round trip is measured, and when it was sent.
    timed: u32,
    timed_at: Stamp,
    rtt: Rtt,
}

impl Sender {
    pub(super) const ZERO: Self = Self {
        first: 0,
        probing: false,
        is_timed: false,
        is_held: false,
        packet: 0,
        open: 0,
        base: 0,
        next: 0,
        high: 0,
        end: 0,
        wait_us: 0,
        timer: Stamp::ZERO,
        progress: Stamp::ZERO,
        timed: 0,
        timed_at: Stamp::ZERO,
        rtt: Rtt::NEW,
    };

    /// The session begins, and so long is the longest body that both sides take.
    pub(super) const fn restart(&mut self, config: &LineConfig, packet: u16) {
        self.packet = packet;
        self.wait_us = config.wait_us + UNKNOWN_US;
    }

    /// Packets that are open, or wait to be acknowledged.
    const fn used(&self) -> u32 {
        self.end.wrapping_sub(self.base)
    }

    /// Packets that are to be acknowledged.
    const fn under_way(&self) -> u32 {
        self.high.wrapping_sub(self.base)
    }

    /// Length of the longest record that [`Sender::record`] takes.
    pub(super) const fn room(&self, config: &LineConfig) -> usize {
        // What waits for a peer that is silent waits with those who can still think better of it.
        let free = if self.is_held { 0 } else { config.window as u32 - self.used() };
        match free {
            0 => 0,
            1 => (self.packet - self.open) as usize,
            _ => self.packet as usize,
        }
    }

    /// Where in `tx` a record goes that is so long, for which there is [room](Self::room). It may be in a packet whose bytes
    /// are just being written once more although they have been acknowledged. They are spoilt
    /// then, which its checksum tells; nobody waits for them.
    pub(super) fn record(&mut self, config: &LineConfig, len: usize, tx: &mut [u8]) -> usize {
        if usize::from(self.open) + len > usize::from(self.packet) {
            self.close();
        }
        let slot = self.slot(config, self.end);
        let at = slot + LEN_LEN + CODE_LEN + HEAD_LEN + usize::from(self.open);
        self.open += len as u16;
        if let Some(first) = tx.get_mut(slot..).and_then(<[u8]>::first_chunk_mut) {
            *first = self.open.to_le_bytes();
        }
        at
    }

    /// The packet that is to be sent now, if there is one, and nothing more `urgent`.
    pub(super) fn pick(&mut self, config: &LineConfig, tx: &[u8], now: Stamp, urgent: bool) -> Option<Pick> {
        if urgent || !self.has_packet() {
            return None;
        }
        if self.next == self.end {
            self.close();
        }
        if self.under_way() == 0 {
            self.progress = now;
        }
        let sequence = self.next;
        let again = sequence != self.high;
        self.next = sequence.wrapping_add(1);
        if !again {
            self.high = self.next;
        }
        let at = self.slot(config, sequence);
        let len = tx.get(at..).and_then(|slot| slot.first_chunk()).copied().unwrap_or_default();
        Some(Pick { sequence, again, at: at + LEN_LEN, len: u16::from_le_bytes(len).into() })
    }

    /// The packet before [`next`](Self::next) has been written to its end; `again` if it was one of those sent before.
    pub(super) fn written(&mut self, again: bool, now: Stamp) {
        if self.under_way() == 0 {
            return;
        }
        if !again && !self.is_timed && self.next == self.high {
            self.is_timed = true;
            self.timed = self.high;
            self.timed_at = now;
        }
        self.timer = now.plus_micros(self.wait_us);
    }

    /// Which packet the peer expects whose number ends in these four bits; `None` if it has not been sent. An
    /// acknowledgement never falls back, for the line keeps the order.
    pub(super) const fn number(&self, bits: u8) -> Option<u32> {
        let ahead = ahead(bits, self.base);
        if ahead <= self.under_way() { Some(self.base.wrapping_add(ahead)) } else { None }
    }

    /// Which packet of ours it is, sent lately, whose number ends in these four bits.
    pub(super) fn sent_number(&self, bits: u8) -> u32 {
        let last = self.high.wrapping_sub(1);
        last.wrapping_sub(behind(bits, last))
    }

    /// The peer expects this packet next: all before have come.
    pub(super) fn on_ack(&mut self, config: &LineConfig, ack: u32, now: Stamp) {
        if ack == self.base {
            return;
        }
        // Only what was sent once tells how long its answer took.
        if self.is_timed && ack.wrapping_sub(self.timed) < 16 {
            self.is_timed = false;
            self.rtt.sample(now.micros_since(self.timed_at));
        }
        self.first = self.place(config, ack);
        if self.next.wrapping_sub(self.base) < ack.wrapping_sub(self.base) {
            self.next = ack;
        }
        self.base = ack;
        self.probing = false;
        if !self.is_held {
            self.begin_wait(config, now);
        }
    }

    /// An acknowledgement is waited for from now on, as if none had been before.
    pub(super) fn begin_wait(&mut self, config: &LineConfig, now: Stamp) {
        self.progress = now;
        self.wait_us = self.rtt.timeout(config.wait_us, UNKNOWN_US).min(wait_max_us(config));
        self.timer = now.plus_micros(self.wait_us);
    }

    /// The peer may not hear us until then.
    pub(super) const fn hold(&mut self, until: Stamp) {
        self.is_held = true;
        self.progress = until;
        self.timer = until;
    }

    /// Whether the peer may not hear us.
    pub(super) const fn is_held(&self) -> bool {
        self.is_held
    }

    /// That nothing was acknowledged up to now means nothing.
    pub(super) const fn excuse(&mut self, now: Stamp) {
        if !self.is_held {
            self.progress = now;
        }
    }

    /// Number of the packet that takes records.
    pub(super) const fn open_packet(&self) -> u32 {
        self.end
    }

    /// Whether this packet, of those that were sent lately, has been acknowledged.
    pub(super) const fn is_acknowledged(&self, packet: u32) -> bool {
        self.base.wrapping_sub(packet).wrapping_sub(1) < u32::MAX / 2
    }

    /// The peer misses what it expects: everything from there is sent again, unless that has
    /// just begun, with the packet that is being `written`. Whether it is.
    pub(super) fn on_nak(&mut self, written: Option<u32>) -> bool {
        let back = self.under_way() > 0 && written != Some(self.base);
        if back {
            self.go_back();
            self.probing = false;
        }
        back
    }

    /// Time has passed: whether the line is lost.
    pub(super) fn tick(&mut self, config: &LineConfig, now: Stamp, writing: bool) -> bool {
        if self.is_held {
            if !self.progress.is_over(now) {
                return false;
            }
            self.is_held = false;
        }
        if self.under_way() == 0 {
            return false;
        }
        if self.timer.is_over(now) && !writing {
            self.wait_us = (self.wait_us * 2).min(wait_max_us(config));
            self.go_back();
            self.probing = true;
            self.timer = now.plus_micros(self.wait_us);
        }
        self.give_up_at(config).is_over(now)
    }

    /// When something is to be done.
    pub(super) fn deadline(&self, config: &LineConfig, writing: bool) -> Option<Stamp> {
        if self.is_held {
            return Some(self.progress);
        }
        if self.under_way() == 0 {
            return None;
        }
        let give_up = self.give_up_at(config);
        Some(if writing { give_up } else { self.timer.min(give_up) })
    }

    /// Whether everything has been acknowledged.
    pub(super) const fn is_idle(&self) -> bool {
        self.end == self.base && self.open == 0
    }

    /// Whether [`Sender::pick`] has something.
    pub(super) const fn has_packet(&self) -> bool {
        let more = self.next != self.end || self.open > 0;
        more && !self.is_held && !(self.probing && self.next != self.base)
    }

    fn go_back(&mut self) {
        self.next = self.base;
        self.is_timed = false;
    }

    const fn close(&mut self) {
        self.open = 0;
        self.end = self.end.wrapping_add(1);
    }

    /// Where the slot of a packet is in `tx`.
    const fn slot(&self, config: &LineConfig, sequence: u32) -> usize {
        self.place(config, sequence) as usize * slot_len(config)
    }

    /// Which slot it is.
    const fn place(&self, config: &LineConfig, sequence: u32) -> u8 {
        let at = self.first + sequence.wrapping_sub(self.base) as u8;
        if at >= config.window { at - config.window } else { at }
    }

    const fn give_up_at(&self, config: &LineConfig) -> Stamp {
        self.progress.plus_millis(config.dead_ms)
    }
}

fn wait_max_us(config: &LineConfig) -> u32 {
    WAIT_MAX_US.max(config.wait_us * 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: LineConfig = LineConfig { packet: 64, window: 4, wait_us: 50_000, dead_ms: 2000 };
    const PATIENT: LineConfig = LineConfig { dead_ms: 600_000, ..LINE };

    fn sender() -> Sender {
        let mut sender = Sender::ZERO;
        sender.restart(&LINE, 64);
        let mut tx = [0; LINE.tx_len()];
        for _ in 0..3 {
            assert!(sender.room(&LINE) >= 40);
            sender.record(&LINE, 40, &mut tx);
        }
        sender
    }

    fn pick(sender: &mut Sender, now: Stamp) -> Option<Pick> {
        sender.pick(&LINE, &[40; LINE.tx_len()], now, false)
    }

    fn send(sender: &mut Sender, now: Stamp) -> Option<Pick> {
        let pick = pick(sender, now)?;
        sender.written(pick.again, now);
        Some(pick)
    }

    const START: Stamp = Stamp::ZERO.plus_millis(1);

    #[test]
    fn what_is_never_acknowledged_is_sent_again_one_packet_at_a_time_until_the_line_is_lost() {
        let mut sender = sender();
        let mut now = START;
        let first: u32 = core::iter::from_fn(|| send(&mut sender, now)).map(|pick| pick.sequence).sum();
        assert_eq!(first, 1 + 2);
        let mut again = 0;
        loop {
            now = sender.deadline(&LINE, false).unwrap();
            if sender.tick(&LINE, now, false) {
                break;
            }
            let pick = send(&mut sender, now).expect("the oldest");
            assert_eq!((pick.sequence, pick.again), (0, true));
            assert!(send(&mut sender, now).is_none(), "until it is heard of");
            again += 1;
        }
        assert_eq!((again, now), (3, START.plus_millis(LINE.dead_ms)), "after 150, 300, 600 ms");
    }

    #[test]
    fn without_progress_for_the_dead_time_the_line_is_lost_even_if_nothing_is_written() {
        let mut sender = sender();
        let at = |millis| Stamp::ZERO.plus_millis(millis);
        assert!(pick(&mut sender, at(1000)).is_some(), "it never leaves");
        assert!(!sender.tick(&LINE, at(2999), true));
        assert_eq!(sender.deadline(&LINE, true), Some(at(3000)));
        assert!(sender.tick(&LINE, at(3000), true));
    }

    #[test]
    fn waits_double_and_only_what_was_sent_once_tells_how_long_they_should_be() {
        let mut sender = sender();
        let wait = |sender: &Sender| sender.deadline(&PATIENT, false).unwrap().micros_since(START);
        send(&mut sender, START);
        let unknown = wait(&sender);
        assert_eq!(unknown, 150_000);
        assert!(!sender.tick(&PATIENT, sender.deadline(&PATIENT, false).unwrap(), false));
        send(&mut sender, START);
        assert_eq!(wait(&sender), 2 * unknown);
        // The answer to which of the two? It tells nothing.
        sender.on_ack(&LINE, 1, START.plus_millis(1));
        assert_eq!(sender.rtt.timeout(1, 5), 6, "nothing is known");
        send(&mut sender, START);
        assert_eq!(wait(&sender), unknown, "and the waits are short again");
        sender.on_ack(&LINE, 2, START.plus_millis(40));
        assert_eq!(sender.rtt.timeout(1, 5), 120_000);
    }

    #[test]
    fn a_nak_sends_again_all_from_there_unless_that_has_just_begun() {
        let mut sender = sender();
        let now = START;
        while send(&mut sender, now).is_some() {}
        sender.on_ack(&LINE, 1, now);
        assert!(sender.on_nak(None));
        let pick = pick(&mut sender, now).unwrap();
        assert_eq!((pick.sequence, pick.again), (1, true));
        assert!(!sender.on_nak(Some(pick.sequence)), "it is on its way");
        sender.written(pick.again, now);
        assert_eq!(send(&mut sender, now).unwrap().sequence, 2);
        assert!(send(&mut sender, now).is_none());
        assert_eq!(sender.number(1 + 3), None, "that was never sent");
        sender.on_ack(&LINE, sender.number(3).unwrap(), now);
        assert!(sender.is_idle() && sender.deadline(&LINE, false).is_none());
    }
}
