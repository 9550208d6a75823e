//! Clock and memory of the workload with many channels.

use std::time::Instant;

use anyhow::Result;

use crate::job::{Figures, Job, PER_CHANNEL};
use crate::machine;
use crate::message::Msg;

/// Watches one side of the workload.
#[derive(Debug)]
pub(crate) struct Many {
    channels: u32,
    base: u64,
    started: Instant,
    opened: Option<f64>,
}

impl Many {
    /// Starts: call when the connection stands and no channel is open.
    pub(crate) fn start(job: &Job) -> Result<Self> {
        let base = machine::resident()?;
        Ok(Self { channels: job.channels, base, started: Instant::now(), opened: None })
    }

    /// All channels are open at both ends (known to the client by an answer from the server).
    pub(crate) fn opened(&mut self) {
        self.opened = Some(self.started.elapsed().as_secs_f64());
    }

    /// All messages are through (known by an answer), and all channels are still open.
    pub(crate) fn passed(&self) -> Result<Figures> {
        let total = self.started.elapsed().as_secs_f64();
        let growth = machine::resident()?.saturating_sub(self.base);
        Ok(Figures::default()
            .with("open_s", self.opened.unwrap_or(f64::NAN))
            .with("total_s", total)
            .with("rss_per_channel", growth as f64 / f64::from(self.channels)))
    }
}

/// The messages of one channel.
pub(crate) fn messages(channel: u32) -> impl Iterator<Item = Msg> {
    (0..PER_CHANNEL).map(move |n| Msg::nth(n, u64::from(channel)))
}

/// Sum of all messages of all channels, which the server must find.
pub(crate) fn expected(job: &Job) -> Msg {
    let mut count = 0;
    let mut sum = 0_u64;
    for msg in (0..job.channels).flat_map(messages) {
        count += 1;
        sum = sum.wrapping_add(msg.value);
    }
    Msg { seq: count, value: sum }
}
