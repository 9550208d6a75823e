//! A board that has to do with its own flash: it asks its host for leave by a method of the host's, follows a setting of the
//! host's, erases while blocks go in both directions, announced or not, and leaves in order for a while.

#[cfg(target_os = "none")]
mod board;
#[cfg(target_os = "none")]
mod line;
#[cfg(target_os = "none")]
mod meanwhile;

use netchan::Message;
use netchan::board::{Client, Config, Receiver, Sender, Watch};
use netchan::proto::LineConfig;
use netchan_firmware_app::Block;
use serde::{Deserialize, Serialize};

#[cfg(target_os = "none")]
pub use board::start;
#[cfg(target_os = "none")]
pub use line::line;

/// What the board is told.
#[derive(Serialize, Deserialize, Message, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// To call the host's `permit` with a number, and to wait for so long.
    Ask {
        /// What it calls it with.
        number: u32,
        /// How long it waits, in milliseconds.
        patience_ms: u32,
    },
    /// To erase flash, which takes so long: no interrupt comes, and what comes in is lost.
    Erase {
        /// How long, in milliseconds.
        ms: u32,
        /// Whether the host hears of it first.
        is_announced: bool,
    },
    /// To leave in order, and to be back after a while.
    Leave {
        /// How long it is away, in milliseconds.
        away_ms: u32,
    },
    /// To report what it has seen.
    Tell,
}

/// What the board has to say about an order.
#[derive(Serialize, Deserialize, Message, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// The host has answered.
    Answer(u32),
    /// It has not in time.
    Late,
    /// It will not; the reason's number.
    Refused(u8),
    /// What it has seen.
    Seen(Seen),
}

/// What the board has seen since its start.
#[derive(Serialize, Deserialize, Message, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// The last setting, and how many of them were less than the one before.
    pub setting: u32,
    /// See there.
    pub backward: u32,
    /// How often it was told that the session of its imports was over.
    pub interrupted: u32,
    /// Blocks that this host has loaded, or the last one if there is none.
    pub loaded: u32,
    /// Blocks of all hosts that were not the next one, as they were sent.
    pub wrong: u32,
    /// How often it was told that who loads was lost, and why at last.
    pub lost: u32,
    /// The number of that reason.
    pub reason: u8,
    /// What became of the blocks for the last host that took some: confirmed, in doubt, unsent.
    pub dumped: (u32, u32, u32),
}

/// What the node holds.
pub const CONFIG: Config = Config::new(LineConfig::uart(115_200, 2, 96, 4))
    .export::<Receiver<Order>>(2)
    .export::<Sender<Report>>(2)
    .export::<Sender<Block>>(2)
    .export::<Receiver<Block>>(2)
    .import::<Client<u32, u32>>(2)
    .import::<Watch<u32>>(1);
