//! What has come in: bytes to packets, packets to the session's two halves, records to frames.

use core::ops::Range;

use super::Line;
use super::bring_up::Heard;
use super::cobs::Fed;
use super::config::WINDOW_MAX;
use super::packet::{self, CRC_LEN, HEAD_LEN, HELLO_SEED, Head, Kind, Numbers};
use super::receiver::Receiver;
use super::sender::Sender;
use super::write::{What, Writing};
use crate::proto::{Fault, Instant, framing};

impl Line {
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn next_record(&mut self, rx: &[u8]) -> Result<Option<Range<usize>>, Fault> {
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

    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn take(&mut self, byte: u8, rx: &mut [u8], now: Instant) {
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

    #[cfg_attr(not(feature = "std"), inline(never))]
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

    #[cfg_attr(not(feature = "std"), inline(never))]
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
}
