//! Hellos: who the peer is, and whether the two fit.

use super::{Event, Link, LinkState, Peer};
use crate::proto::crc::crc32c;
use crate::proto::framing::MAX_BEFORE_UP;
use crate::proto::hello::{Hello, PROTOCOL_VERSION};
use crate::proto::{Fault, Reason};

/// The longest silence that a peer may ask us to accept, in milliseconds.
const DEAD_MS_MAX: u32 = 10 * 60 * 1000;

impl Link {
    pub(super) fn on_hello<'i>(&mut self, hello: Hello<'i>) -> Result<Event<'i>, Fault> {
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
        if hello.echo != self.nonce && self.no_room.is_none() {
            return Ok(Event::Nothing);
        }
        let mut nonces = [0; 16];
        nonces[..8].copy_from_slice(&self.nonce.max(hello.nonce).to_le_bytes());
        nonces[8..].copy_from_slice(&self.nonce.min(hello.nonce).to_le_bytes());
        self.session = crc32c(0, &nonces);
        if let Some(reason) = self.no_room {
            // Our hello, with its echo, makes the peer's side up: there a goodbye is in order.
            self.bye_due = Some(reason);
            self.state = LinkState::Down(Fault::TurnedAway(reason));
            return Err(Fault::TurnedAway(reason));
        }
        self.state = LinkState::Up;
        Ok(Event::Up(hello))
    }
}
