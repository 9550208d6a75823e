//! What one pair of processes is asked to do, and what it answers.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use serde::{Deserialize, Serialize};

/// Length of a bulk message.
pub(crate) const BLOCK_LEN: usize = 64 * 1024;
/// Messages sent on each of many channels.
pub(crate) const PER_CHANNEL: u64 = 10;
/// Bulk streams that run beside the ping.
pub(crate) const BULK_STREAMS: usize = 4;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Workload {
    /// Small messages to and fro, one at a time.
    Rtt,
    /// Small messages one way, as fast as they go.
    Oneway,
    /// 64 KiB messages one way.
    Bulk,
    /// Many channels over one connection.
    Channels,
    /// Small messages to and fro beside bulk streams.
    Beside,
    /// Bytes on the connection per small message. Peers see it as `Rtt` or `Oneway`.
    Wire,
    /// The same three through one node more. Peers see it as `Rtt`, `Oneway` or `Bulk`.
    Hop,
}

impl Workload {
    pub(crate) const ALL: [Self; 7] =
        [Self::Rtt, Self::Oneway, Self::Bulk, Self::Channels, Self::Beside, Self::Wire, Self::Hop];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rtt => "rtt",
            Self::Oneway => "oneway",
            Self::Bulk => "bulk",
            Self::Channels => "channels",
            Self::Beside => "beside",
            Self::Wire => "wire",
            Self::Hop => "hop",
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Workload {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|workload| workload.name() == text)
            .ok_or_else(|| anyhow!("no workload is called {text:?}; see --help"))
    }
}

/// How long a measurement goes on.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Amount {
    /// For so many milliseconds.
    Millis(u64),
    /// For exactly so many messages.
    Count(u64),
}

/// The work of one pair of processes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) peer: String,
    pub(crate) workload: Workload,
    pub(crate) amount: Amount,
    /// Both processes run on this core; on any if there is none.
    pub(crate) core: Option<usize>,
    /// For `Channels`: how many.
    pub(crate) channels: u32,
    /// Another process stands between the two.
    pub(crate) bridged: bool,
    /// Added to both fields of every small message; decides their encoded length.
    pub(crate) base: u64,
    /// The process ends itself after this many seconds, whatever happens.
    pub(crate) deadline_s: u64,
}

impl Job {
    /// How long each phase of the measurement takes, where it is measured in time.
    pub(crate) fn duration(&self) -> Duration {
        match self.amount {
            Amount::Millis(millis) => Duration::from_millis(millis),
            Amount::Count(_) => Duration::from_secs(3600),
        }
    }

    /// How many messages are sent at most.
    pub(crate) fn count(&self) -> u64 {
        match self.amount {
            Amount::Millis(_) => u64::MAX,
            Amount::Count(count) => count,
        }
    }
}

/// Numbers by name, as a process reports them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Figures(pub(crate) BTreeMap<String, f64>);

impl Figures {
    pub(crate) fn with(mut self, name: &str, value: f64) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    pub(crate) fn need(&self, name: &str) -> Result<f64> {
        match self.get(name) {
            Some(value) => Ok(value),
            None => bail!("the process did not report {name}"),
        }
    }
}
