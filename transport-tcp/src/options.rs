//! What may differ from link to link.

use std::net::SocketAddr;

use netchan::host::transport::{LinkOptions, Tie};

/// How to connect or listen.
#[derive(Debug, Clone, Copy, Default)]
#[must_use]
pub struct Options {
    plaintext_network: bool,
    crc: Option<bool>,
    tie: Tie,
}

impl Options {
    /// Loopback only, checksums only where packets leave the machine.
    pub const fn new() -> Self {
        Self { plaintext_network: false, crc: None, tie: Tie::Peer }
    }

    /// Allows addresses that are not loopback, although nothing is encrypted and nobody
    /// is authenticated: whoever reaches the port can use every export.
    pub const fn danger_plaintext_network(mut self) -> Self {
        self.plaintext_network = true;
        self
    }

    /// Forces the packets' checksum on or off. By default it is off on loopback and on
    /// elsewhere: TCP's own misses about one damaged packet in 65536.
    pub const fn crc(mut self, on: bool) -> Self {
        self.crc = Some(on);
        self
    }

    /// The node at the other end is to be the parent of this one, in its tree: what it is reached by is
    /// then reached from here, and what this one exports is visible above. It has to [`adopt`](Self::adopt).
    ///
    /// This node ends when its parent is lost, with reason `Shutdown`, unless it
    /// [lives on](Self::live_on), or the transport makes the link again.
    pub const fn join(mut self) -> Self {
        self.tie = Tie::Join { lives_on: false };
        self
    }

    /// After [`join`](Self::join): this node goes on without its parent, as the root of those below it.
    pub const fn live_on(mut self) -> Self {
        if matches!(self.tie, Tie::Join { .. }) {
            self.tie = Tie::Join { lives_on: true };
        }
        self
    }

    /// Whoever [joins](Self::join) is a child of this node in its tree; who only connects is a peer, as
    /// without this.
    pub const fn adopt(mut self) -> Self {
        self.tie = Tie::Adopt;
        self
    }

    pub(crate) fn allows(self, address: &SocketAddr) -> bool {
        self.plaintext_network || address.ip().to_canonical().is_loopback()
    }

    pub(crate) fn link(self, peer: Option<SocketAddr>, active: bool) -> LinkOptions {
        let leaves = peer.is_none_or(|peer| !peer.ip().to_canonical().is_loopback());
        let options = if active { LinkOptions::active() } else { LinkOptions::passive() };
        options.with_crc(self.crc.unwrap_or(leaves)).with_tie(self.tie)
    }
}
