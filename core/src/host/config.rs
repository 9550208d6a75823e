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
    /// through this node reserves twice its longest message, and an eighth of this at the most; all those that come over
    /// one link together reserve half of what is free of another then, and so a third at the most.
    pub reserve_per_link: u64,
    /// What may be lent beyond that to channels that are busy, in bytes. 64 MiB by default.
    pub lend_per_link: u64,
    /// How many channels that come from other links may go on over one link. 16384 by default, and never more than the peer
    /// takes; 0 makes a node that passes nothing on, and fewer than 6 count as 6. Each costs about a KiB, half of it on each of its two links, and what waits in it, which
    /// is within `reserve_per_link` and `lend_per_link`. What comes over one link has half of what is free, a third at the
    /// most. One more is refused, `NoResources`, with this node's name.
    pub passing_per_link: u32,
    /// How many nodes below this one it may know in a tree. 16384 by default; each costs about 260 bytes. A child that comes when there is no
    /// place is told `NoResources`; a node further down for which there is none is not known here, and its opens are refused, `NoResources`.
    pub nodes_below: u32,
    /// How many ids may be granted at once over the link of a child, for the nodes below it: by a root, and by a node below it
    /// a quarter of that for each level. 65536 by default, and never fewer than 64 at a level below the root. Beyond that a link has 8 in
    /// a second, a quarter of that if it is not alone. What is remembered of them costs up to 256 KiB for a link, where they are granted one by one; 16 bytes
    /// where they are granted in one run.
    pub ids_per_link: u32,
    /// How many at the other end of a link, and behind it, may watch nodes come and go
    /// ([`Remote::changes`](super::Remote::changes)), four of one node at the most. 64 by default. One who does not take
    /// what comes costs about 64 KiB; one more is refused, `Busy`.
    pub watchers_per_link: u32,
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

    /// Sets [`passing_per_link`](Self::passing_per_link).
    #[must_use]
    pub const fn passing_per_link(mut self, channels: u32) -> Self {
        self.passing_per_link = channels;
        self
    }

    /// Sets [`nodes_below`](Self::nodes_below).
    #[must_use]
    pub const fn nodes_below(mut self, nodes: u32) -> Self {
        self.nodes_below = nodes;
        self
    }

    /// Sets [`ids_per_link`](Self::ids_per_link).
    #[must_use]
    pub const fn ids_per_link(mut self, ids: u32) -> Self {
        self.ids_per_link = ids;
        self
    }

    /// Sets [`watchers_per_link`](Self::watchers_per_link).
    #[must_use]
    pub const fn watchers_per_link(mut self, watchers: u32) -> Self {
        self.watchers_per_link = watchers;
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
            passing_per_link: 16 * 1024,
            nodes_below: 16 * 1024,
            ids_per_link: 64 * 1024,
            watchers_per_link: 64,
            ends_process: false,
        }
    }
}
