//! The link itself: how a session begins, signs of life, and its own frames.

use super::Circuits;
use crate::board::ending::Ending;
use crate::board::short::Short;
#[cfg(not(feature = "bridge"))]
use crate::proto::LinkKind;
use crate::proto::time::Stamp;
use crate::proto::{
    Brief, HELLO_AT, Hello, LINE_PACKET_MIN, LINK_ACK, LINK_BEAT, LINK_GOODBYE, LINK_PING, LINK_PONG,
    LINK_QUIET, LineConfig, PROTOCOL_VERSION, QUIET_MAX_MS, Reason, seed, session_number,
};
use crate::varint::Cursor;

/// An acknowledgement is due after so many bytes of messages.
const ACK_EVERY: u32 = 8 * 1024;
/// What a sign of life takes in a packet, in bytes.
const BEAT_LEN: usize = 2;
/// The longest silence that a peer may ask us to accept, in milliseconds.
const DEAD_MS_MAX: u32 = 10 * 60 * 1000;

/// What both sides know of their link; all zero before.
#[repr(C)]
pub(super) struct Link {
    /// The hello in `tx` says what we know by now.
    pub(super) is_hello_new: bool,
    pub(super) is_up: bool,
    is_pong_due: bool,
    /// Of the circuits that the peer opens.
    pub(super) parity: u8,
    /// How many circuits we may open; a board opens no more than so many.
    pub(super) circuits: u8,
    /// In which period it was told last what programs have taken.
    pub(super) told_in: u8,
    /// Longest body of a packet that both take.
    pub(super) packet: u16,
    dead_ms: u32,
    /// When a frame was written.
    pub(super) last_out: Stamp,
    /// Bytes of messages that have come in, and that the peer knows of.
    pub(super) bytes_in: u32,
    bytes_in_told: u32,
    /// Nonces of this bring-up, ours and the peer's, and the peer's boot.
    pub(super) own: u64,
    peer: u64,
    boot: u64,
}

impl Link {
    pub(super) const NEW: Self = Self {
        own: 0,
        peer: 0,
        boot: 0,
        is_hello_new: false,
        is_up: false,
        is_pong_due: false,
        parity: 0,
        circuits: 0,
        told_in: 0,
        packet: 0,
        dead_ms: 0,
        last_out: Stamp::ZERO,
        bytes_in: 0,
        bytes_in_told: 0,
    };
}

/// Be heard at least this often, in milliseconds.
const fn hear_ms(config: &LineConfig) -> u32 {
    config.dead_ms / 4
}

impl Circuits<'_> {
    /// Takes a hello.
    pub(super) fn hear_hello(&mut self, record: &[u8]) -> Result<(), Ending> {
        // A length of one byte, and the head of a hello.
        let [_, 0, hello @ ..] = record else { return Ok(()) };
        #[cfg(feature = "bridge")]
        let bytes = hello;
        let (Some(hello), link) = (Brief::parse(hello), &mut self.link) else { return Ok(()) };
        // One that comes back from a looped line has no effect.
        if hello.nonce == link.own || hello.nonce == 0 {
            return Ok(());
        }
        let is_answer = hello.echo == link.own;
        if link.is_up {
            if is_answer && hello.nonce == link.peer {
                // A copy: the peer waits for our word under the session.
                self.arq.ack_now();
                return Ok(());
            }
            let is_same = hello.boot == link.boot;
            return Err(Ending::here(if is_same { Reason::LinkReset } else { Reason::PeerRestarted }));
        }
        let config = &self.arq.config;
        let silence = hello.hear_ms.saturating_mul(4).max(config.dead_ms);
        link.is_hello_new &= link.peer == hello.nonce;
        link.peer = hello.nonce;
        link.boot = hello.boot;
        #[cfg(feature = "bridge")]
        let relative = self.relative(bytes, hello.fits);
        #[cfg(feature = "bridge")]
        let hello = Brief { fits: relative.is_some(), ..hello };
        let link = &mut self.link;
        let fits = hello.fits && hello.packet >= LINE_PACKET_MIN.into() && silence <= DEAD_MS_MAX;
        // One that does not fit is answered, so that the peer can say why.
        if !is_answer || !fits {
            return Ok(());
        }
        let is_higher = link.own > link.peer;
        link.parity = u8::from(!is_higher);
        link.circuits = hello.circuits.min(u8::MAX.into()) as u8;
        link.packet = hello.packet.min(config.packet.into()) as u16;
        link.dead_ms = silence;
        link.last_out = self.arq.now;
        // Also where the board has slept for so long that it seems to be still to come.
        self.open_at = self.arq.now;
        link.is_up = true;
        let seed = seed(session_number(link.own, link.peer), is_higher);
        self.arq.begin(seed, hello.window, link.packet);
        #[cfg(feature = "bridge")]
        if let Some(relative) = relative {
            self.join(&relative);
        }
        Ok(())
    }

    /// Takes a frame of the link.
    pub(super) fn hear_link(&mut self, number: u32, r: &mut Cursor<'_>) -> Result<(), Ending> {
        match number {
            LINK_BEAT | LINK_PONG => {}
            LINK_ACK => {
                r.number();
            }
            LINK_PING => self.link.is_pong_due = true,
            LINK_QUIET => {
                // More than may be announced is cut and not blamed: that is less code.
                let millis = r.number().min(QUIET_MAX_MS);
                self.arq.hear_quiet(millis);
            }
            LINK_GOODBYE => return Err(Ending::peer(Reason::new(r.byte()))),
            #[cfg(feature = "bridge")]
            _ => return self.hear_tree(number, r),
            #[cfg(not(feature = "bridge"))]
            _ => return Err(Ending::BROKEN),
        }
        if r.is_broken { Err(Ending::BROKEN) } else { Ok(()) }
    }

    /// Time has passed.
    pub(super) fn tick(&mut self) {
        if self.arq.tick() {
            self.fail(Ending::here(Reason::LinkLost));
        }
        if self.open_at.is_over(self.arq.now) {
            // Kept near: half an hour later it would seem to be still to come.
            self.open_at = self.arq.now;
        }
        if self.link.is_up && self.dead_at().is_over(self.arq.now) {
            self.fail(Ending::here(Reason::Unresponsive));
        }
    }

    /// When a sign of life is due, from the peer or from us, or a word that is to be said first.
    pub(super) fn deadline(&self) -> Option<Stamp> {
        if self.link.is_up {
            // Without room for it a sign of life waits for the line.
            let beat = if self.arq.room() < BEAT_LEN { self.dead_at() } else { self.beat_at() };
            Some(self.dead_at().min(beat))
        } else {
            #[cfg(feature = "bridge")]
            if self.is_resting() {
                return None;
            }
            (!self.link.is_hello_new).then_some(self.arq.now)
        }
    }

    /// When the session is given up, if nothing happens before, whatever is written.
    #[cfg(feature = "embedded-io-async-v0_7")]
    pub(super) fn give_up_at(&self) -> Option<Stamp> {
        let line = self.arq.give_up_at();
        let link = self.link.is_up.then(|| self.dead_at());
        [line, link].into_iter().flatten().reduce(Stamp::min)
    }

    fn dead_at(&self) -> Stamp {
        self.arq.last_in().plus_millis(self.link.dead_ms)
    }

    fn beat_at(&self) -> Stamp {
        self.link.last_out.plus_millis(hear_ms(&self.arq.config) / 2)
    }

    /// Writes a frame of the link that is due: whether others may follow.
    pub(super) fn tell_link(&mut self, short: &mut Short) -> bool {
        if !self.arq.is_confirmed() {
            self.say_hello();
            return false;
        }
        let link = &self.link;
        let is_ack = link.bytes_in.wrapping_sub(link.bytes_in_told) >= ACK_EVERY;
        if is_ack {
            short.link(LINK_ACK);
            short.number(link.bytes_in);
        } else if link.is_pong_due {
            short.link(LINK_PONG);
        } else if self.beat_at().is_over(self.arq.now) {
            short.link(LINK_BEAT);
        } else {
            return true;
        }
        if self.put_frame(short) {
            if is_ack {
                self.link.bytes_in_told = self.link.bytes_in;
            } else {
                self.link.is_pong_due = false;
            }
        }
        true
    }

    /// Writes our hello anew, with the nonce that it echoes by now.
    fn say_hello(&mut self) {
        if self.link.is_hello_new || self.arq.is_writing_hello() {
            return;
        }
        self.link.is_hello_new = true;
        #[cfg(feature = "bridge")]
        let (kind, adopts) = self.kind();
        // A leaf of a tree, or a peer: as the other side likes.
        #[cfg(not(feature = "bridge"))]
        let (kind, adopts) = (LinkKind::Either, false);
        let config = &self.arq.config;
        let hello = Hello {
            oldest: PROTOCOL_VERSION,
            newest: PROTOCOL_VERSION,
            crc: false,
            kind,
            adopts,
            bodies: false,
            window: config.window,
            packet: config.packet.into(),
            circuits: self.refusals.len() as u32,
            dead_ms: config.dead_ms,
            hear_ms: hear_ms(config),
            nonce: self.link.own,
            echo: self.link.peer,
            boot: self.identity.boot,
            uid: self.identity.uid,
            name: "",
        };
        let Some([len, head, body @ ..]) = self.tx.get_mut(HELLO_AT..) else { return };
        if let Ok(written) = hello.write_named(self.identity.name.as_bytes(), body) {
            *len = written as u8 + 1;
            *head = 0;
            self.arq.say_hello(written + 2);
        }
    }
}
