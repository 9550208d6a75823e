//! How a line is to be, and what it costs in bytes.

use super::cobs::{CODE_LEN, PLACE_MAX, encoded_len};
use super::packet::EMPTY_LEN;
use super::receiver::ACK_DELAY_MS;
use super::sender::slot_len;

/// Most packets that may be under way.
pub const WINDOW_MAX: u8 = 7;
/// The least that a packet's body may take, in bytes: every control frame fits, with a short
/// name in those that carry names.
pub const LINE_PACKET_MIN: u16 = 48;
/// The most that the body of a board's packet may take, and of any without the feature `std`, in bytes.
const BOARD_PACKET_MAX: u16 = (PLACE_MAX - EMPTY_LEN) as u16;
/// Longest body of a packet with a hello, in bytes, with what later versions append.
const HELLO_MAX: usize = 120;

/// Longest that a line's least wait may be, in microseconds: its timers have 32 bits of them.
const WAIT_US_MAX: u32 = 60_000_000;
/// Shortest silence that may end a line, in milliseconds: in less an acknowledgement hardly comes.
const DEAD_MS_MIN: u32 = 100;
/// Longest silence of a line, in milliseconds.
const DEAD_MS_MAX: u32 = 600_000;

/// How a line is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(any(test, feature = "testing"), derive(Hash))]
#[expect(clippy::exhaustive_structs, reason = "every field is a decision; `LineConfig::uart` has defaults")]
pub struct LineConfig {
    /// Longest body of a packet, in bytes: what one takes at most, and sends. On boards, and without the feature `std`, more than
    /// 247 count as 247.
    pub packet: u16,
    /// Packets that may be under way without acknowledgement, 1 to [`WINDOW_MAX`].
    pub window: u8,
    /// Wait at least this long for an acknowledgement, in microseconds.
    pub wait_us: u32,
    /// The line is lost when nothing is acknowledged for so long, in milliseconds: 100 to 600 000, and what is outside counts as
    /// the nearer of these.
    pub dead_ms: u32,
}

impl LineConfig {
    /// For a line of so many bits a second, eight data bits to a byte, and up to so much
    /// latency of its own in one direction: 2 ms for a UART, 16 or more behind USB.
    pub const fn uart(baud: u32, latency_ms: u32, packet: u16, window: u8) -> Self {
        let packet = if packet < LINE_PACKET_MIN { LINE_PACKET_MIN } else { packet };
        let window = match window {
            0 => 1,
            WINDOW_MAX.. => WINDOW_MAX,
            _ => window,
        };
        let line = Self { packet, window, wait_us: 0, dead_ms: 0 };
        let packet_us = (packet as u64 + 9) * 10_000_000 / if baud == 0 { 1 } else { baud as u64 };
        let window_us = packet_us * window as u64;
        let wait_us = window_us + (2 * latency_ms + 2 * ACK_DELAY_MS) as u64 * 1000;
        // Enough for the window to be sent several times.
        let dead_ms = 8 * window_us / 1000;
        Self {
            wait_us: if wait_us > WAIT_US_MAX as u64 { WAIT_US_MAX } else { wait_us as u32 },
            dead_ms: match dead_ms {
                0..2000 => 2000,
                2000..600_000 => dead_ms as u32,
                _ => DEAD_MS_MAX,
            },
            ..line
        }
    }

    /// With values that a line can work with, whatever they were.
    pub(crate) const fn checked(mut self) -> Self {
        if self.window == 0 {
            self.window = 1;
        }
        if !cfg!(feature = "std") {
            self = self.short();
        }
        if self.window > WINDOW_MAX {
            self.window = WINDOW_MAX;
        }
        if self.wait_us > WAIT_US_MAX {
            self.wait_us = WAIT_US_MAX;
        }
        if self.dead_ms > DEAD_MS_MAX {
            self.dead_ms = DEAD_MS_MAX;
        }
        if self.dead_ms < DEAD_MS_MIN {
            self.dead_ms = DEAD_MS_MIN;
        }
        self
    }

    /// With packets that a board encodes where they are.
    pub(crate) const fn short(mut self) -> Self {
        if self.packet > BOARD_PACKET_MAX {
            self.packet = BOARD_PACKET_MAX;
        }
        self
    }

    /// Bytes of a line's `rx`.
    pub const fn rx_len(&self) -> usize {
        let body = self.packet as usize;
        encoded_len(EMPTY_LEN + if body < HELLO_MAX { HELLO_MAX } else { body })
    }

    /// Bytes of a line's `tx`: packets that are not acknowledged, or a hello, and a packet without a body.
    pub const fn tx_len(&self) -> usize {
        let window = slot_len(self) * self.window as usize;
        let hello = CODE_LEN + EMPTY_LEN + HELLO_MAX;
        CODE_LEN + EMPTY_LEN + if window < hello { hello } else { window }
    }
}
