//! What may differ from port to port.

use std::time::Duration;

use netchan::host::transport::{LineConfig, LineOptions, Tie};

/// How a port is opened, and what is known of its line.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Options {
    pub(crate) baud: u32,
    pub(crate) latency: Duration,
    pub(crate) packet: u16,
    pub(crate) window: u8,
    pub(crate) dead_time: Option<Duration>,
    pub(crate) reset: Reset,
    tie: Tie,
}

/// Whether opening the port restarts the board behind it.
///
/// The system raises DTR and RTS when a port is opened, which by itself resets some boards;
/// netchan leaves them so when it closes the port, and lets a reconnect change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Reset {
    /// Nothing more than the system does.
    #[default]
    Leave,
    /// DTR falls for so long: Arduinos and their like.
    Dtr(Duration),
    /// RTS is raised for so long while DTR is low: ESP32 and their like.
    Rts(Duration),
}

impl Options {
    /// 115200 baud behind a USB adapter.
    pub const fn new() -> Self {
        Self {
            baud: 115_200,
            latency: Duration::from_millis(16),
            packet: 240,
            window: 4,
            dead_time: None,
            reset: Reset::Leave,
            tie: Tie::Peer,
        }
    }

    /// Bits a second; 115200 by default. Both sides have to say the same. USB-CDC and ptys
    /// ignore it, apart from the times that are derived from it.
    pub const fn baud(mut self, baud: u32) -> Self {
        self.baud = baud;
        self
    }

    /// The line's own latency in one direction, 16 ms by default, as USB adapters have it. 2 ms
    /// is right for a UART. Too little costs repetitions, too much costs time after a loss.
    pub const fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Longest packet in bytes, 48 to 1000, 240 by default; the shorter one of both sides
    /// holds. Short ones are better on lines that lose much.
    pub const fn packet(mut self, bytes: u16) -> Self {
        self.packet = bytes;
        self
    }

    /// How many packets this side sends ahead of their acknowledgement, 1 to 7, 4 by default.
    pub const fn window(mut self, packets: u8) -> Self {
        self.window = packets;
        self
    }

    /// A peer that is silent for so long is dead, and so is a line that acknowledges nothing.
    /// By default 2 s, and longer where the baud rate is very low. The longer one of both
    /// sides holds for silence.
    pub const fn dead_time(mut self, time: Duration) -> Self {
        self.dead_time = Some(time);
        self
    }

    /// Whether the first opening resets the board; by default it does not.
    pub const fn reset(mut self, reset: Reset) -> Self {
        self.reset = reset;
        self
    }

    /// The node at the other end is to be the parent of this one, in its tree: what it is reached by is
    /// then reached from here, and what this one exports is visible
    /// above. It has to [`adopt`](Self::adopt).
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

    /// A board at the other end, and a node that [joins](Self::join), is a child of this node in its
    /// tree: whoever is in the tree can reach what it exports. Others are peers, as without this.
    pub const fn adopt(mut self) -> Self {
        self.tie = Tie::Adopt;
        self
    }

    /// For a link.
    pub(crate) fn link(&self) -> LineOptions {
        LineOptions::new(self.line()).tie(self.tie)
    }

    fn line(&self) -> LineConfig {
        let latency = u32::try_from(self.latency.as_millis()).unwrap_or(u32::MAX).min(10_000);
        let mut line = LineConfig::uart(self.baud, latency, self.packet.min(1000), self.window);
        if let Some(time) = self.dead_time {
            line.dead_ms = u32::try_from(time.as_millis()).unwrap_or(u32::MAX).clamp(250, 600_000);
        }
        line
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}
