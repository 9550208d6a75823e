//! Hellos: who the peer is, and whether the two fit.

use super::{Event, Link, LinkState, Peer};
use crate::proto::hello::{Hello, LinkKind, Name, PROTOCOL_VERSION, Relation, session_number};
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
        let relation = self.relation_to(&hello);
        let too_slow = hello.hear_ms == 0 || silence > DEAD_MS_MAX;
        let too_short = hello.packet < self.config.packet_min();
        if hello.nonce == 0 || too_short || too_slow || lossy != (hello.window != 0) {
            return Err(Fault::Hello);
        }
        if !lossy && (again || hello.echo != 0 && hello.echo != self.nonce) {
            return Err(Fault::Hello);
        }
        let relation = relation.ok_or(Fault::Kind)?;
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
            bodies: hello.bodies,
            relation,
        };
        if self.config.expects.is_some_and(|name| name.as_str() != hello.name) {
            self.stranger = Name::new(hello.name).ok();
            self.no_room = Some(Reason::Refused);
        }
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

    /// What the two are to each other; `None` where they do not fit. Where both may be either,
    /// the side that adopts is the parent.
    fn relation_to(&self, hello: &Hello<'_>) -> Option<Relation> {
        let both = hello.kind as u8 & self.config.kind as u8;
        let tree = both & LinkKind::Tree as u8 != 0;
        match (self.config.adopts, hello.adopts) {
            (true, false) if tree => Some(Relation::Child { leaf: hello.kind == LinkKind::Either }),
            (false, true) if tree => Some(Relation::Parent),
            _ if both & LinkKind::Peer as u8 != 0 => Some(Relation::Peer),
            _ => None,
        }
    }
}
