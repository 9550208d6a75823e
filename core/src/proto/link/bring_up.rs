//! Hellos: who the peer is, and whether the two fit.

use super::{Event, Link, LinkState, Peer};
use crate::proto::hello::{Hello, PROTOCOL_VERSION, session_number};
use crate::proto::{Fault, Reason};

/// The longest silence that a peer may ask us to accept, in milliseconds.
const DEAD_MS_MAX: u32 = 10 * 60 * 1000;

impl Link {
    #[cfg_attr(not(feature = "std"), inline(never))]
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
        // On a line the peer may start over, or still know an earlier bring-up of ours.
        let lossy = self.config.window != 0;
        let again = self.peer.nonce != 0 && self.peer.nonce != hello.nonce;
        self.hello_due |= lossy && again;
        let silence = hello.hear_ms.saturating_mul(4).max(self.config.dead_ms);
        let kinds_fit = hello.kind as u8 & self.config.kind as u8 != 0;
        let too_slow = hello.hear_ms == 0 || silence > DEAD_MS_MAX;
        let too_short = hello.packet < self.config.packet_min();
        if !kinds_fit || hello.nonce == 0 || too_short || too_slow || lossy != (hello.window != 0) {
            return Err(Fault::Hello);
        }
        if !lossy && (again || hello.echo != 0 && hello.echo != self.nonce) {
            return Err(Fault::Hello);
        }
        // The side with the higher nonce opens odd handles.
        let parity = u32::from(hello.nonce > self.nonce);
        self.peer = Peer {
            nonce: hello.nonce,
            boot: hello.boot,
            // What we write goes through packets of our own.
            packet: if lossy { hello.packet.min(self.config.packet) } else { hello.packet },
            circuits: hello.circuits,
            dead_ms: silence,
            parity,
            crc: !lossy && (hello.crc || self.config.crc),
        };
        if hello.echo != self.nonce && self.no_room.is_none() {
            return Ok(Event::Nothing);
        }
        self.session = session_number(self.nonce, hello.nonce);
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
