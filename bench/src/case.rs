//! The cases: each is one table of the report.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::child::{self, Both};
use crate::job::{Amount, Figures, Job, Workload};
use crate::message::WIDE;
use crate::peers::Peer;
use crate::relay::{self, Counters};

/// Encoded length of the message on the wire case.
const WIDE_LEN: f64 = 16.0;
/// Messages of the two runs of the wire case; their difference is counted.
const WIRE_COUNTS: (u64, u64) = (1_000, 21_000);
/// The same for round trips, which are slower.
const WIRE_TRIPS: (u64, u64) = (200, 2_200);
/// Beyond its measuring time a process may take so long.
const SLACK_S: u64 = 15;
/// Opening channels takes as long as it takes, up to this.
const CHANNELS_S: u64 = 60;

/// One table of the report.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    /// Name in JSON.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) workload: Workload,
    /// Both processes on one core.
    pub(crate) pinned: bool,
    /// For `Channels`.
    pub(crate) channels: u32,
    /// Share of the rounds' time; 1.0 is `Scale::millis`.
    weight: f64,
    /// How many rounds are enough.
    pub(crate) max_rounds: usize,
    pub(crate) columns: &'static [Column],
}

/// A column of the table, taken from the figures of both processes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) head: &'static str,
    pub(crate) key: &'static str,
    pub(crate) show: Show,
}

/// What of the rounds is shown, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Show {
    /// Median with so many digits.
    Median(usize),
    /// Median with k, M.
    Rate,
    /// Median of the ratios to the baseline in the same round.
    Ratio,
    /// Smallest and largest, with so many digits.
    Range(usize),
    /// The same with k, M.
    RateRange,
    /// Whether that ratio is at most this.
    Goal(f64),
}

const fn column(head: &'static str, key: &'static str, show: Show) -> Column {
    Column { head, key, show }
}

const RTT: &[Column] = &[
    column("p50 µs", "p50_us", Show::Median(1)),
    column("p99 µs", "p99_us", Show::Median(1)),
    column("p50/raw", "p50_us", Show::Ratio),
    column("p99/raw", "p99_us", Show::Ratio),
    column("p50 min–max", "p50_us", Show::Range(1)),
];
const ONEWAY: &[Column] = &[
    column("msg/s", "messages_s", Show::Rate),
    column("/raw", "messages_s", Show::Ratio),
    column("CPU ns/msg", "cpu_ns_message", Show::Median(0)),
    column("CPU/raw", "cpu_ns_message", Show::Ratio),
    column("msg/s min–max", "messages_s", Show::RateRange),
];
const BULK: &[Column] = &[
    column("GB/s", "gbytes_s", Show::Median(2)),
    column("/raw", "gbytes_s", Show::Ratio),
    column("CPU ms/GB", "cpu_ms_gbyte", Show::Median(0)),
    column("GB/s min–max", "gbytes_s", Show::Range(2)),
];
const CHANNELS: &[Column] = &[
    column("open s", "open_s", Show::Median(4)),
    column("total s", "total_s", Show::Median(4)),
    column("µs/channel", "us_channel", Show::Median(1)),
    column("total/raw", "total_s", Show::Ratio),
    column("RSS client B", "rss_client", Show::Median(0)),
    column("RSS server B", "rss_server", Show::Median(0)),
];
const BESIDE: &[Column] = &[
    column("idle p50 µs", "idle_p50_us", Show::Median(1)),
    column("p50 µs", "p50_us", Show::Median(1)),
    column("p50/idle", "p50_over_idle", Show::Median(1)),
    column("p99 µs", "p99_us", Show::Median(1)),
    column("p99/raw", "p99_us", Show::Ratio),
    column("bulk GB/s", "gbytes_s", Show::Median(2)),
    column("bulk/raw", "gbytes_s", Show::Ratio),
    column("p50 min–max", "p50_us", Show::Range(1)),
];
const WIRE: &[Column] = &[
    column("single: over 16", "single_over", Show::Median(2)),
    column("stream: over 16", "stream_over", Show::Median(2)),
    column("stream: back", "stream_back", Show::Median(3)),
];

/// A bridge may cost so much more than two threads that read and write what comes: with a small message that is answered, and
/// with large ones. Of small ones one way these threads pass many at a time for next to nothing: no goal.
const HOP_RTT: &[Column] = &hop_columns(column("goal", "hop", Show::Goal(1.3)));
const HOP_BULK: &[Column] = &hop_columns(column("goal", "hop", Show::Goal(1.15)));
const HOP_ONEWAY: &[Column] = HOP_BULK.split_at(5).0;

const fn hop_columns(goal: Column) -> [Column; 6] {
    [
        column("direct", "direct", Show::Median(2)),
        column("through a bridge", "bridged", Show::Median(2)),
        column("the hop", "hop", Show::Median(2)),
        column("hop/raw", "hop", Show::Ratio),
        column("hop min–max", "hop", Show::Range(2)),
        goal,
    ]
}

/// All cases in the order of the report.
pub(crate) const ALL: &[Case] = &[
    Case {
        id: "rtt-one-core",
        title: "round trip of a 16-byte message, both processes on one core",
        workload: Workload::Rtt,
        pinned: true,
        channels: 0,
        weight: 0.7,
        max_rounds: usize::MAX,
        columns: RTT,
    },
    Case {
        id: "rtt",
        title: "round trip of a 16-byte message, not pinned",
        workload: Workload::Rtt,
        pinned: false,
        channels: 0,
        weight: 0.7,
        max_rounds: usize::MAX,
        columns: RTT,
    },
    Case {
        id: "oneway-one-core",
        title: "16-byte messages one way, both processes on one core",
        workload: Workload::Oneway,
        pinned: true,
        channels: 0,
        weight: 1.0,
        max_rounds: usize::MAX,
        columns: ONEWAY,
    },
    Case {
        id: "oneway",
        title: "16-byte messages one way, not pinned",
        workload: Workload::Oneway,
        pinned: false,
        channels: 0,
        weight: 1.0,
        max_rounds: usize::MAX,
        columns: ONEWAY,
    },
    Case {
        id: "bulk-one-core",
        title: "64 KiB messages one way, both processes on one core",
        workload: Workload::Bulk,
        pinned: true,
        channels: 0,
        weight: 1.0,
        max_rounds: usize::MAX,
        columns: BULK,
    },
    Case {
        id: "bulk",
        title: "64 KiB messages one way, not pinned",
        workload: Workload::Bulk,
        pinned: false,
        channels: 0,
        weight: 1.0,
        max_rounds: usize::MAX,
        columns: BULK,
    },
    Case {
        id: "channels-1000",
        title: "opening 1 000 channels over one connection, 10 messages on each, one core",
        workload: Workload::Channels,
        pinned: true,
        channels: 1_000,
        weight: 1.0,
        max_rounds: usize::MAX,
        columns: CHANNELS,
    },
    Case {
        id: "channels-10000",
        title: "opening 10 000 channels over one connection, 10 messages on each, one core",
        workload: Workload::Channels,
        pinned: true,
        channels: 10_000,
        weight: 1.0,
        max_rounds: 3,
        columns: CHANNELS,
    },
    Case {
        id: "beside-one-core",
        title: "ping beside four bulk channels, one core",
        workload: Workload::Beside,
        pinned: true,
        channels: 0,
        weight: 1.0,
        max_rounds: usize::MAX,
        columns: BESIDE,
    },
    Case {
        id: "wire",
        title: "bytes per message beyond its 16, on an open channel, counted by a relay",
        workload: Workload::Wire,
        pinned: false,
        channels: 0,
        weight: 1.0,
        max_rounds: 1,
        columns: WIRE,
    },
    Case {
        id: "hop-rtt",
        title: "round trip of a 16-byte message through a bridge, three processes on one core, µs",
        workload: Workload::Hop,
        pinned: true,
        channels: 0,
        weight: 1.0,
        max_rounds: usize::MAX,
        columns: HOP_RTT,
    },
    Case {
        id: "hop-oneway",
        title: "16-byte messages one way through a bridge, three processes on one core, ns a message",
        workload: Workload::Hop,
        pinned: true,
        channels: 0,
        weight: 1.0,
        max_rounds: usize::MAX,
        columns: HOP_ONEWAY,
    },
    Case {
        id: "hop-bulk",
        title: "64 KiB messages one way through a bridge, three processes on one core, ms a GB",
        workload: Workload::Hop,
        pinned: true,
        channels: 0,
        weight: 1.0,
        max_rounds: usize::MAX,
        columns: HOP_BULK,
    },
];

/// What holds for the whole run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// Measuring time of a case with weight 1.
    pub(crate) millis: u64,
    /// The core for pinned cases.
    pub(crate) core: usize,
}

impl Case {
    pub(crate) fn job(&self, peer: &dyn Peer, scale: Scale) -> Job {
        let millis = (scale.millis as f64 * self.weight) as u64;
        let deadline_s = match self.workload {
            Workload::Channels => CHANNELS_S,
            _ => SLACK_S + 2 * millis.div_ceil(1000),
        };
        Job {
            peer: peer.name().to_owned(),
            workload: self.workload,
            amount: Amount::Millis(millis),
            core: self.pinned.then_some(scale.core),
            channels: self.channels,
            bridged: false,
            base: 0,
            deadline_s,
        }
    }

    /// Runs the case once for one peer.
    pub(crate) fn run(&self, peer: &dyn Peer, scale: Scale) -> Result<Figures> {
        let job = self.job(peer, scale);
        if self.workload == Workload::Wire {
            return wire(&job);
        }
        if self.workload == Workload::Hop {
            return hop(&job, self.id);
        }
        let Both { client, server } = child::run(&job, Ok)?;
        Ok(match self.workload {
            Workload::Rtt | Workload::Beside => client,
            Workload::Oneway => {
                let messages = client.need("messages")?;
                let cpu = client.need("cpu_ns")? + server.need("cpu_ns")?;
                let rate = messages / client.need("seconds")?;
                client.with("messages_s", rate).with("cpu_ns_message", cpu / messages)
            }
            Workload::Bulk => {
                let gbytes = client.need("bytes")? / 1e9;
                let cpu = client.need("cpu_ns")? + server.need("cpu_ns")?;
                let rate = gbytes / client.need("seconds")?;
                client.with("gbytes_s", rate).with("cpu_ms_gbyte", cpu / 1e6 / gbytes)
            }
            Workload::Channels => {
                let total = client.need("total_s")?;
                let rss_client = client.need("rss_per_channel")?;
                client
                    .with("us_channel", total * 1e6 / f64::from(self.channels))
                    .with("rss_client", rss_client)
                    .with("rss_server", server.need("rss_per_channel")?)
            }
            Workload::Wire | Workload::Hop => unreachable!("returned above"),
        })
    }
}

/// Counts bytes of two runs of different length, so that the connection's opening and end cancel out.
fn wire(job: &Job) -> Result<Figures> {
    let stream = difference(job, Workload::Oneway, WIRE_COUNTS)?;
    let single = difference(job, Workload::Rtt, WIRE_TRIPS)?;
    Ok(Figures::default()
        .with("stream_over", stream.0 - WIDE_LEN)
        .with("stream_back", stream.1)
        .with("single_over", f64::midpoint(single.0, single.1) - WIDE_LEN))
}

/// What one bridge more costs. All processes share one core, so the time that is added is the bridge's work.
fn hop(job: &Job, id: &str) -> Result<Figures> {
    let workload = match id {
        "hop-rtt" => Workload::Rtt,
        "hop-oneway" => Workload::Oneway,
        _ => Workload::Bulk,
    };
    let cost = |bridged| -> Result<f64> {
        let Both { client, .. } = child::run(&Job { workload, bridged, ..job.clone() }, Ok)?;
        Ok(match workload {
            Workload::Rtt => client.need("p50_us")?,
            Workload::Oneway => client.need("seconds")? * 1e9 / client.need("messages")?,
            _ => client.need("seconds")? * 1e12 / client.need("bytes")?,
        })
    };
    let (direct, bridged) = (cost(false)?, cost(true)?);
    Ok(Figures::default().with("direct", direct).with("bridged", bridged).with("hop", bridged - direct))
}

/// Bytes to the server and back, per message.
fn difference(job: &Job, workload: Workload, (few, many): (u64, u64)) -> Result<(f64, f64)> {
    let count = |count| -> Result<(u64, u64)> {
        let counters = Arc::new(Counters::default());
        let job = Job { workload, amount: Amount::Count(count), base: WIDE, ..job.clone() };
        child::run(&job, |port| relay::start(port, &counters))?;
        Ok(counters.settled())
    };
    let (low, high) = (count(few)?, count(many)?);
    let per_message = |low: u64, high: u64| (high as f64 - low as f64) / (many - few) as f64;
    Ok((per_message(low.0, high.0), per_message(low.1, high.1)))
}

impl Counters {
    /// The counts once nothing moves any more.
    fn settled(&self) -> (u64, u64) {
        let started = Instant::now();
        loop {
            let before = (self.to_server(), self.to_client());
            thread::sleep(Duration::from_millis(20));
            let after = (self.to_server(), self.to_client());
            if before == after || started.elapsed() > Duration::from_secs(1) {
                return after;
            }
        }
    }
}
