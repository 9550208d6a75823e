//! What may differ from link to link.

use std::net::SocketAddr;

use netchan::host::transport::LinkOptions;

/// How to connect or listen.
#[derive(Debug, Clone, Copy, Default)]
#[must_use]
pub struct Options {
    plaintext_network: bool,
    crc: Option<bool>,
}

impl Options {
    /// Loopback only, checksums only where packets leave the machine.
    pub const fn new() -> Self {
        Self { plaintext_network: false, crc: None }
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

    pub(crate) fn allows(self, address: &SocketAddr) -> bool {
        self.plaintext_network || address.ip().to_canonical().is_loopback()
    }

    pub(crate) fn link(self, peer: Option<SocketAddr>, active: bool) -> LinkOptions {
        let leaves = peer.is_none_or(|peer| !peer.ip().to_canonical().is_loopback());
        let options = if active { LinkOptions::active() } else { LinkOptions::passive() };
        options.with_crc(self.crc.unwrap_or(leaves))
    }
}
