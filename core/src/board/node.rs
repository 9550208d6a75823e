//! The node: a table of channels and an arena, in a `static`.

use core::cell::Cell;
use core::fmt;

use critical_section::{Mutex, with};

use super::channel::{Channel, Shared};
use super::config::Config;
use super::driver::{Driver, Memory, Opener};
use super::error::ExportError;
use super::ring::Byte;
use super::spec::{Bound, End, ExportEnd, Spec};
use crate::proto::{Identity, Instant, NonceSource, is_export_name};

/// A node with so many channels, and so many bytes for what waits in them.
///
/// It lives in a `static`, is all zero until it is used, and so takes no flash. RAM: about 100 bytes
/// for each channel, and [`Config::bytes`].
pub struct Node<const CHANNELS: usize, const BYTES: usize> {
    channels: [Shared; CHANNELS],
    arena: [Byte; BYTES],
    lent: Mutex<Cell<u16>>,
}

impl<const CHANNELS: usize, const BYTES: usize> Node<CHANNELS, BYTES> {
    /// A node as `config` says; see there.
    ///
    /// # Panics
    ///
    /// At compile time, when the sizes are not those of the config.
    pub const fn new(config: &Config) -> Self {
        config.check(CHANNELS, BYTES);
        assert!(BYTES <= u16::MAX as usize, "a node's arena has at most 65535 bytes");
        Self {
            channels: [const { Mutex::new(Channel::new()) }; CHANNELS],
            arena: [const { Mutex::new(Cell::new(0)) }; BYTES],
            lent: Mutex::new(Cell::new(0)),
        }
    }

    /// Exports a channel with room for two messages; see [`Node::export_with`].
    ///
    /// # Errors
    ///
    /// [`ExportError`].
    pub fn export<E: ExportEnd>(&'static self, name: &'static str) -> Result<E, ExportError> {
        self.export_with(name, 2)
    }

    /// Exports a channel with room for `depth` messages in each direction. It outlives its
    /// importers, of which it has one at a time: others are refused, `Busy`.
    ///
    /// # Errors
    ///
    /// [`ExportError`].
    pub fn export_with<E: ExportEnd>(
        &'static self,
        name: &'static str,
        depth: u16,
    ) -> Result<E, ExportError> {
        self.table().add(name, const { &E::SPEC }, depth, None).map(E::bound)
    }

    /// Imports a channel from whoever is at the other end of the line, with room for two messages.
    /// It is opened when the line is up, and again in every session.
    ///
    /// # Errors
    ///
    /// [`ExportError`].
    pub fn import<E: End>(&'static self, name: &'static str) -> Result<E, ExportError> {
        self.import_with(name, 2)
    }

    /// As [`Node::import`], with room for `depth` messages in each direction.
    ///
    /// # Errors
    ///
    /// [`ExportError`].
    pub fn import_with<E: End>(&'static self, name: &'static str, depth: u16) -> Result<E, ExportError> {
        let opener: Opener = |circuits, channel, sink| circuits.open(channel, sink);
        self.table().add(name, const { &E::SPEC }, depth, Some(opener)).map(E::bound)
    }

    /// The node's end of its line: framing, checksums, retransmission and the protocol, for the
    /// loop that moves the bytes. A node has one at a time.
    pub fn line<'m, const CIRCUITS: usize, const LINE_BYTES: usize>(
        &'static self,
        memory: &'m mut Memory<CIRCUITS, LINE_BYTES>,
        identity: Identity,
        nonces: &'m mut dyn NonceSource,
        now: Instant,
    ) -> Driver<'m> {
        Driver::new(&self.channels, memory.parts(), identity, nonces, now)
    }

    const fn table(&'static self) -> Table {
        Table { channels: &self.channels, arena: &self.arena, lent: &self.lent }
    }
}

impl<const CHANNELS: usize, const BYTES: usize> fmt::Debug for Node<CHANNELS, BYTES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Node")
    }
}

/// A node without its sizes, so that what follows is compiled once.
#[derive(Clone, Copy)]
struct Table {
    channels: &'static [Shared],
    arena: &'static [Byte],
    lent: &'static Mutex<Cell<u16>>,
}

impl Table {
    fn add(
        self,
        name: &'static str,
        spec: &'static Spec,
        depth: u16,
        opener: Option<Opener>,
    ) -> Result<Bound, ExportError> {
        if !is_export_name(name) {
            return Err(ExportError::BadName);
        }
        let (inbox, outbox) = spec.bytes(depth.max(1));
        with(|cs| {
            let mut free = None;
            for channel in self.channels {
                let it = channel.borrow(cs);
                match it.name.get() {
                    Some(other) if other == name => return Err(ExportError::Taken),
                    Some(_) => {}
                    // What a channel was lent stays with its place in the table.
                    None => {
                        let have = (it.inbox.capacity(), it.outbox.capacity());
                        let is_new = have == (0, 0);
                        if free.is_none() && (is_new || have.0 >= inbox && have.1 >= outbox) {
                            free = Some((channel, is_new));
                        }
                    }
                }
            }
            let (channel, is_new) = free.ok_or(ExportError::Full)?;
            let it = channel.borrow(cs);
            if is_new {
                let lent = self.lent.borrow(cs);
                let rest = self.arena.get(usize::from(lent.get())..).unwrap_or_default();
                let (inbox, rest) = rest.split_at_checked(inbox).ok_or(ExportError::Full)?;
                let (outbox, rest) = rest.split_at_checked(outbox).ok_or(ExportError::Full)?;
                it.lend(inbox, outbox);
                lent.set((self.arena.len() - rest.len()) as u16);
            }
            it.bind(name, spec, opener);
            Ok(Bound(channel))
        })
    }
}
