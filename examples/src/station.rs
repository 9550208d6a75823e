//! What a station and its dashboards agree on: names and types of the channels.

use netchan::Message;
use serde::{Deserialize, Serialize};

/// Watched by dashboards: load of the processors.
pub const CPU: &str = "station/cpu";
/// Watched by dashboards: main memory.
pub const MEMORY: &str = "station/memory";
/// Watched by dashboards: processes that are ready to run.
pub const LOAD: &str = "station/load";
/// Watched by dashboards: space on disks.
pub const DISKS: &str = "station/disks";
/// Received by dashboards: what happened.
pub const EVENTS: &str = "station/events";
/// Called by dashboards: how often to look.
pub const INTERVAL: &str = "station/interval";

/// How often a station looks before anybody asked for something else, in milliseconds.
pub const INTERVAL_MS: u32 = 250;

/// How busy the processors are.
#[derive(Serialize, Deserialize, Message, Debug, Clone)]
pub struct Cpu {
    /// Of all together, in percent.
    pub total: f32,
    /// Of each, in percent.
    pub cores: Vec<f32>,
}

/// Main memory, in bytes.
#[derive(Serialize, Deserialize, Message, Debug, Clone)]
pub struct Memory {
    /// In use.
    pub used: u64,
    /// Built in.
    pub total: u64,
}

/// The average number of processes that run or want to.
#[derive(Serialize, Deserialize, Message, Debug, Clone)]
pub struct Load {
    /// Over one minute.
    pub one: f64,
    /// Over five minutes.
    pub five: f64,
}

/// The fullest disks first.
#[derive(Serialize, Deserialize, Message, Debug, Clone)]
pub struct Disks {
    /// At most a few.
    pub disks: Vec<Disk>,
}

/// One disk, in bytes.
#[derive(Serialize, Deserialize, Message, Debug, Clone)]
pub struct Disk {
    /// Where it is mounted.
    pub name: String,
    /// In use.
    pub used: u64,
    /// Its size.
    pub total: u64,
}

/// Something happened. Unlike a gauge, each of these matters.
#[derive(Serialize, Deserialize, Message, Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "both ends are built from the same contract")]
pub enum Event {
    /// The processors crossed the mark.
    Crossed {
        /// The mark, in percent.
        mark: u8,
        /// Whether they are above it now.
        above: bool,
    },
    /// A gauge is higher than ever before.
    Maximum {
        /// Which.
        gauge: String,
        /// In percent.
        percent: f32,
    },
    /// A program was started.
    Started {
        /// Its number.
        pid: u32,
        /// Its name.
        name: String,
    },
    /// Somebody changed how often the station looks.
    Interval {
        /// In milliseconds.
        ms: u32,
    },
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Crossed { mark, above: true } => write!(f, "processors above {mark} %"),
            Self::Crossed { mark, above: false } => write!(f, "processors below {mark} %"),
            Self::Maximum { gauge, percent } => write!(f, "new maximum of {gauge}: {percent:.1} %"),
            Self::Started { pid, name } => write!(f, "program started: {name} ({pid})"),
            Self::Interval { ms } => write!(f, "looks every {ms} ms"),
        }
    }
}

/// Asks for another sampling interval.
#[derive(Serialize, Deserialize, Message, Debug, Clone, Copy)]
pub struct SetInterval {
    /// In milliseconds.
    pub ms: u32,
}

/// The interval from now on: the nearest that the station can do.
#[derive(Serialize, Deserialize, Message, Debug, Clone, Copy)]
pub struct Interval {
    /// In milliseconds.
    pub ms: u32,
}
