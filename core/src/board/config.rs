//! How large a node is, counted at compile time from what its program exports and imports.

use super::spec::{End, ExportEnd};
use crate::proto::LineConfig;

/// Most channels of a node.
pub const CHANNELS_MAX: usize = 32;
/// Most circuits that pass through a bridge: with those of its channels their handles fit a byte.
#[cfg(feature = "bridge")]
const BRIDGE_MAX: usize = 64;
/// A circuit beyond those of the exports, for an open that is being refused.
const SPARE: usize = 1;

/// What a node holds: its line, and its channels with room for so many messages each.
///
/// ```
/// use netchan::board::{Config, Latest, Node, Receiver};
/// use netchan::proto::LineConfig;
///
/// const CONFIG: Config = Config::new(LineConfig::uart(115_200, 2, 64, 2))
///     .export::<Latest<u16>>(1)
///     .import::<Receiver<u32>>(4);
///
/// static NODE: Node<{ CONFIG.channels() }, { CONFIG.bytes() }> = Node::new(&CONFIG);
/// ```
///
/// # How deep
///
/// Two messages in each direction are enough to talk, and two fill the line with what the board sends, where its program sends as soon as there is
/// room. Bulk that it receives at the full rate of its line needs room for two packets, and for what the line brings between two looks of the
/// program and while bytes are under way, there and back; and for two messages at least. That is nine tenths or more of what the deepest inbox gets. Bytes
/// of messages in percent of the line's, at 115 200 baud, with packets of 240 bytes and a window of four:
///
/// | messages of | a look in each millisecond | one in 10 ms | and 8 ms each way, as over a USB adapter |
/// |---|---|---|---|
/// | 16 bytes | 2 deep 46, 8 deep 69, 25 deep 81, 100 deep 86 | 30 deep 85 | 34 deep 81, 136 deep 86 |
/// | 128 bytes | 1 deep 76, 2 deep 92 | 2 deep 92 | 2 deep 75, 4 deep 92 |
/// | 1000 bytes | 1 deep 92, 2 deep 95 | 1 deep 87, 2 deep 95 | 1 deep 80, 2 deep 95 |
///
/// What a line has besides is up to its packets and window, not to its channels: with packets of 64 bytes and a window of two
/// messages of 50 bytes get 79 percent with three of them, and 41 over the adapter however deep.
///
/// Sizes that contradict it do not compile:
///
/// ```compile_fail
/// # use netchan::board::{Config, Latest, Node};
/// # use netchan::proto::LineConfig;
/// const CONFIG: Config = Config::new(LineConfig::uart(115_200, 2, 64, 2)).export::<Latest<u16>>(1);
///
/// static NODE: Node<2, { CONFIG.bytes() }> = Node::new(&CONFIG);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Config {
    pub(super) line: LineConfig,
    exports: usize,
    imports: usize,
    bytes: usize,
    #[cfg(feature = "bridge")]
    circuits: usize,
    #[cfg(feature = "bridge")]
    room: usize,
}

impl Config {
    /// A node without channels.
    pub const fn new(line: LineConfig) -> Self {
        Self {
            line: line.checked().short(),
            exports: 0,
            imports: 0,
            bytes: 0,
            #[cfg(feature = "bridge")]
            circuits: 0,
            #[cfg(feature = "bridge")]
            room: 0,
        }
    }

    /// With one export more, that has room for `depth` of the longest messages in each direction.
    #[must_use]
    pub const fn export<E: ExportEnd>(self, depth: u16) -> Self {
        Self { exports: self.exports + 1, ..self.and::<E>(depth) }
    }

    /// With one import more, that has room for `depth` of the longest messages in each direction.
    #[must_use]
    pub const fn import<E: End>(self, depth: u16) -> Self {
        Self { imports: self.imports + 1, ..self.and::<E>(depth) }
    }

    /// With the export of a [`Logger`](super::Logger), that has room for `depth` records of up to 140 bytes.
    #[cfg(feature = "log")]
    #[must_use]
    pub const fn log(self, depth: u16) -> Self {
        self.export::<super::Sender<crate::LogRecord>>(depth)
    }

    const fn and<E: End>(self, depth: u16) -> Self {
        assert!(depth > 0, "a channel needs room for one message at least");
        let (inbox, outbox) = E::SPEC.bytes(depth);
        assert!(inbox <= i16::MAX as usize && outbox <= i16::MAX as usize, "this channel is too deep");
        Self { bytes: self.bytes + inbox + outbox, ..self }
    }

    /// The same node over another line: for the memory of a second one.
    #[cfg(feature = "two-lines")]
    #[must_use]
    pub const fn over(self, line: LineConfig) -> Self {
        Self { line: line.checked().short(), ..self }
    }

    /// A bridge, with room for so many circuits that pass through at a time, each with `room` bytes for what is under way: a
    /// message in each direction that there is, with its length, must fit. Where values go both ways each has half of them.
    ///
    /// # Panics
    ///
    /// At compile time, with more than 64 circuits, or less than 64 bytes or more than 32 766.
    #[cfg(feature = "bridge")]
    #[must_use]
    pub const fn bridge(self, circuits: usize, room: usize) -> Self {
        assert!(circuits <= BRIDGE_MAX, "at most 64 circuits pass through a board");
        assert!(room >= 64 && room < i16::MAX as usize, "a circuit has 64 to 32766 bytes of room");
        Self { circuits, room, ..self }
    }

    /// Circuits that may pass through it at a time.
    #[cfg(feature = "bridge")]
    pub const fn circuits(&self) -> usize {
        self.circuits
    }

    /// Bytes of room that each of them has.
    #[cfg(feature = "bridge")]
    pub const fn room(&self) -> usize {
        self.room
    }

    /// Its line, which the peer should know.
    pub const fn line(&self) -> &LineConfig {
        &self.line
    }

    /// Channels of the node.
    pub const fn channels(&self) -> usize {
        self.exports + self.imports
    }

    /// Bytes of its arena.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of a line: a packet that comes in, those that are under way, and one for each circuit that
    /// the peer may open.
    pub const fn line_bytes(&self) -> usize {
        #[cfg(feature = "bridge")]
        let passing = self.circuits;
        #[cfg(not(feature = "bridge"))]
        let passing = 0;
        self.line.rx_len() + self.line.tx_len() + self.exports + SPARE + passing
    }

    #[cfg(feature = "bridge")]
    pub(super) const fn check_bridge(&self, circuits: usize, room: usize) {
        assert!(
            circuits == self.circuits && room == self.room,
            "as the config says: Bridge<{{ CONFIG.circuits() }}, {{ CONFIG.room() }}>"
        );
    }

    pub(super) const fn check(&self, channels: usize, bytes: usize) {
        assert!(
            channels == self.channels(),
            "as many channels as the config says: Node<{{ CONFIG.channels() }}, ..>"
        );
        assert!(bytes == self.bytes, "as many bytes as the config says: Node<.., {{ CONFIG.bytes() }}>");
        assert!(channels <= CHANNELS_MAX, "a node has at most 32 channels");
        assert!(
            self.line.window >= 1 && self.line.packet >= crate::proto::LINE_PACKET_MIN,
            "make the line's config with `LineConfig::uart`"
        );
    }
}
