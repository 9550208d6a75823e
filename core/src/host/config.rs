//! What a node may use, and how long it waits.

use core::time::Duration;

/// How a node is to be. Every limit says what it costs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// A peer that is silent for this long is dead. 5 s by default; less than 250 ms counts as
    /// 250 ms, and more than ten minutes as ten minutes. On each link the larger of both
    /// sides' dead-times holds, since each says how often it is heard.
    pub dead_time: Duration,
    /// How long dropping the last handle of a node waits for values that were sent to
    /// reach their peers. 2 s by default.
    pub linger: Duration,
    /// How many links may be up, made by either side. 1024 by default. A link costs 256 KiB to
    /// read into, up to as much of what waits to be written, two threads if threads drive
    /// it, and what its channels cost. A peer that comes when there is no place is told
    /// `NoResources`; connecting fails with that reason.
    pub links: u32,
    /// How many channels a peer may have open on one link. 16384 by default; a channel
    /// costs about half a KiB on each side, and what waits in it.
    pub channels_per_link: u32,
    /// What the receiving channels of one link may reserve in all, in bytes. 64 MiB by default. A channel that passes
    /// through this node reserves twice its longest message, and an eighth of this at the most.
    pub reserve_per_link: u64,
    /// What may be lent beyond that to channels that are busy, in bytes. 64 MiB by default.
    pub lend_per_link: u64,
    /// The process ends with this node, where the node ends because it is told to from above in its tree, or has
    /// lost its parent and does not [live on](super::transport::Tie::Join). Off by default: a process may have several nodes.
    ///
    /// The program has the node's grace ([`linger`](Self::linger) where the parent is lost) to end by itself. After that the
    /// node's own thread calls `std::process::exit`, with 0 if it was told and 1 if the parent is lost; and if that has not ended the
    /// process in half a second, `std::process::abort`. So nothing that hangs in the program, in a loop or behind somebody else's
    /// lock, and no signal that it ignores, keeps the process.
    pub ends_process: bool,
}

impl Config {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`dead_time`](Self::dead_time).
    #[must_use]
    pub const fn dead_time(mut self, dead_time: Duration) -> Self {
        self.dead_time = dead_time;
        self
    }

    /// Sets [`linger`](Self::linger).
    #[must_use]
    pub const fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Sets [`ends_process`](Self::ends_process).
    #[must_use]
    pub const fn ends_process(mut self) -> Self {
        self.ends_process = true;
        self
    }

    /// Sets [`links`](Self::links).
    #[must_use]
    pub const fn links(mut self, links: u32) -> Self {
        self.links = links;
        self
    }

    /// Sets [`channels_per_link`](Self::channels_per_link).
    #[must_use]
    pub const fn channels_per_link(mut self, channels: u32) -> Self {
        self.channels_per_link = channels;
        self
    }

    /// Sets [`reserve_per_link`](Self::reserve_per_link) and [`lend_per_link`](Self::lend_per_link), in bytes.
    #[must_use]
    pub const fn memory_per_link(mut self, reserve: u64, lend: u64) -> Self {
        self.reserve_per_link = reserve;
        self.lend_per_link = lend;
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dead_time: Duration::from_secs(5),
            linger: Duration::from_secs(2),
            links: 1024,
            channels_per_link: 16 * 1024,
            reserve_per_link: 64 << 20,
            lend_per_link: 64 << 20,
            ends_process: false,
        }
    }
}
