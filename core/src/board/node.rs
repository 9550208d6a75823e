//! The node: a table of channels and an arena, in a `static`.

use core::cell::Cell;
use core::fmt;

use critical_section::Mutex;

use super::channel::{Channel, Shared, flag};
use super::config::Config;
use super::driver::{Driver, Identity, Imports, Memory};
use super::error::ExportError;
use super::lines::Here;
#[cfg(feature = "async")]
use super::lines::LINES;
#[cfg(feature = "two-lines")]
use super::lines::LineId;
use super::ring::Byte;
use super::section::with;
use super::spec::{Bound, End, ExportEnd, Spec};
#[cfg(feature = "async")]
use super::wait::Waiter;
use super::wake_driver;
use crate::proto::is_channel_name;

/// A node with so many channels, and so many bytes for what waits in them.
///
/// It lives in a `static`, is all zero until it is used, and so takes no flash. RAM: about 100 bytes
/// for each channel, 12 more with the feature `async`, and [`Config::bytes`].
pub struct Node<const CHANNELS: usize, const BYTES: usize> {
    channels: [Shared; CHANNELS],
    arena: [Byte; BYTES],
    common: Common,
}

/// What the node has beside its channels.
pub(super) struct Common {
    /// Bytes of the arena that channels have.
    lent: Mutex<Cell<u16>>,
    /// How many channels have come into the table, by which whoever looks for a place finds out that another one has come between.
    added: Mutex<Cell<u16>>,
    /// What imports need, in a program that has any: another one links nothing of it.
    pub(super) imports: Mutex<Cell<Option<&'static Imports>>>,
    /// The tasks that move the bytes of lines.
    #[cfg(feature = "async")]
    pub(super) drivers: [Waiter; LINES],
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
            common: Common {
                lent: Mutex::new(Cell::new(0)),
                added: Mutex::new(Cell::new(0)),
                imports: Mutex::new(Cell::new(None)),
                #[cfg(feature = "async")]
                drivers: [const { Waiter::new() }; LINES],
            },
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
        bound(self.table().add(name, const { &E::SPEC }, depth, None))
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
        self.import_at(Here::FIRST, name, depth)
    }

    /// As [`Node::import_with`], from whoever is at the other end of that line.
    ///
    /// # Errors
    ///
    /// [`ExportError`].
    #[cfg(feature = "two-lines")]
    pub fn import_from<E: End>(
        &'static self,
        line: LineId,
        name: &'static str,
        depth: u16,
    ) -> Result<E, ExportError> {
        self.import_at(Here::of(line), name, depth)
    }

    fn import_at<E: End>(
        &'static self,
        line: Here,
        name: &'static str,
        depth: u16,
    ) -> Result<E, ExportError> {
        bound(self.table().add(name, const { &E::SPEC.imported() }, depth, Some((&Imports::ALL, line))))
    }

    /// The node's end of its line: framing, checksums, retransmission and the protocol, for the
    /// loop that moves the bytes. A node has one at a time.
    pub fn line<'m, const LINE_BYTES: usize>(
        &'static self,
        memory: &'m mut Memory<LINE_BYTES>,
        identity: Identity<'m>,
    ) -> Driver<'m> {
        Driver::new((&self.channels, &self.common, Here::FIRST), memory.parts(), identity)
    }

    /// The node's end of a second line: a board with two is one node. Each export is importable over both, by one importer at a
    /// time in all; an import names its line ([`Node::import_from`]). What the second line is like says `memory`, made
    /// with [`Config::over`]. Both drivers may run in different tasks.
    ///
    /// Peers that know each other find the same node at both ends: `identity` is the same, but for the nonces, which must differ.
    #[cfg(feature = "two-lines")]
    pub fn second_line<'m, const LINE_BYTES: usize>(
        &'static self,
        memory: &'m mut Memory<LINE_BYTES>,
        identity: Identity<'m>,
    ) -> Driver<'m> {
        let here = Here::of(LineId::Second);
        Driver::new((&self.channels, &self.common, here), memory.parts(), identity)
    }

    /// The node's end of one of its lines.
    #[cfg(feature = "bridge")]
    pub(super) fn line_at<'m, const LINE_BYTES: usize>(
        &'static self,
        here: Here,
        memory: &'m mut Memory<LINE_BYTES>,
        identity: Identity<'m>,
    ) -> Driver<'m> {
        Driver::new((&self.channels, &self.common, here), memory.parts(), identity)
    }

    const fn table(&'static self) -> Table {
        Table { channels: &self.channels, arena: &self.arena, common: &self.common }
    }
}

impl<const CHANNELS: usize, const BYTES: usize> fmt::Debug for Node<CHANNELS, BYTES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Node")
    }
}

/// A channel that is in the table now, or else why it is not: in two registers, as a result would not be.
type Added = (Option<&'static Shared>, ExportError);

fn bound<E: End>((channel, error): Added) -> Result<E, ExportError> {
    channel.map(|channel| E::bound(Bound(channel))).ok_or(error)
}

/// A node without its sizes, so that what follows is compiled once.
#[derive(Clone, Copy)]
struct Table {
    channels: &'static [Shared],
    arena: &'static [Byte],
    common: &'static Common,
}

impl Table {
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn add(
        self,
        name: &'static str,
        spec: &'static Spec,
        depth: u16,
        imports: Option<(&'static Imports, Here)>,
    ) -> Added {
        // A program exports nothing of the system's own, but for its log.
        #[cfg(feature = "log")]
        let is_log = name == crate::LogRecord::NAME;
        #[cfg(not(feature = "log"))]
        let is_log = false;
        if !is_channel_name(name, imports.is_some() || is_log) {
            return (None, ExportError::BadName);
        }
        let (inbox, outbox) = spec.bytes(depth.max(1));
        let wanted = Channel::lent_of(inbox as u32, outbox as u32);
        let added = loop {
            let seen = with(|cs| self.common.added.borrow(cs).get());
            let (mut place, mut before) = (None, 0);
            for channel in self.channels {
                let own = with(|cs| {
                    let it = channel.borrow(cs);
                    let own = it.name.get();
                    let is_other = imports.is_some_and(|(_, line)| !line.has(it.handle.get()));
                    // Handles are counted for each line.
                    before += u8::from(imports.is_some() && it.has(flag::IMPORT) && !is_other);
                    // What a channel was lent stays with its place in the table.
                    let have = it.lent();
                    let fits =
                        have == 0 || have == wanted && it.has(flag::IMPORT) == imports.is_some() && !is_other;
                    if own.is_none() && fits && place.is_none() {
                        place = Some(channel);
                    }
                    own
                });
                // Names are compared with interrupts on, for they may be long.
                if own == Some(name) {
                    return (None, ExportError::Taken);
                }
            }
            let Some(channel) = place else { return (None, ExportError::Full) };
            let added = with(|cs| {
                let common = self.common;
                let added = common.added.borrow(cs);
                // Whoever has come between may have taken the place, or the name.
                if added.get() != seen {
                    return (None, ExportError::Taken);
                }
                added.set(seen.wrapping_add(1));
                let it = channel.borrow(cs);
                if it.lent() == 0 {
                    let lent = common.lent.borrow(cs);
                    let at = usize::from(lent.get());
                    let Some(bytes) = self.arena.get(at..at + inbox + outbox) else {
                        return (None, ExportError::Full);
                    };
                    let (inbox, outbox) = bytes.split_at_checked(inbox).unwrap_or_default();
                    it.inbox.bind(inbox);
                    it.outbox.bind(outbox);
                    lent.set((at + bytes.len()) as u16);
                    it.next_which.set(before);
                }
                if let Some((imports, _line)) = imports {
                    common.imports.borrow(cs).set(Some(imports));
                    #[cfg(feature = "two-lines")]
                    it.handle.set(_line.at(0));
                }
                #[cfg(feature = "async")]
                it.driver.set(Some(&common.drivers));
                it.bind(name, spec, if imports.is_some() { flag::IMPORT } else { 0 });
                (Some(channel), ExportError::Full)
            });
            if !matches!(added, (None, ExportError::Taken)) {
                break added;
            }
        };
        // An import is to be opened, and an open may be waiting.
        if let (Some(channel), _) = added {
            wake_driver(channel);
        }
        added
    }
}
