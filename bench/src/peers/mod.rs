//! The peers that are compared.
//!
//! To add one: write `peers/NAME.rs` with a unit struct that implements [`Peer`], declare the module below, and put
//! the struct into [`ALL`]. Nothing else knows the peers. The loops are written with the helpers that check and time:
//! [`Trips`](crate::message::Trips) for round trips, [`Source`](crate::message::Source) and
//! [`Tally`](crate::message::Tally) for one-way streams, [`Blocks`](crate::bulk::Blocks) and
//! [`BlockTally`](crate::bulk::BlockTally) for bulk, [`Many`](crate::many::Many) for many channels. They are plain
//! objects without callbacks, so they serve blocking and async code alike.

use std::net::SocketAddr;

use anyhow::{Result, anyhow, bail};

use crate::child::Door;
use crate::job::{Figures, Job};

mod ergot;
mod framed;
mod netchan;
mod netchan_async;
mod raw;
mod remoc;
mod zeromq;

/// The row that all ratios refer to.
pub(crate) const BASELINE: &str = "raw";

/// All peers, in the order of the table.
pub(crate) const ALL: &[&dyn Peer] = &[
    &raw::Raw,
    &netchan::Netchan { batches: false },
    &netchan::Netchan { batches: true },
    &netchan_async::NetchanTokio { batches: false },
    &netchan_async::NetchanTokio { batches: true },
    &netchan_async::NetchanAsyncStd,
    &framed::Framed,
    &remoc::Remoc,
    &zeromq::Zeromq,
    &ergot::Ergot,
];

/// One way to bring messages from one process to another.
///
/// `serve` and `connect` run in two processes of their own, which are pinned already and end by force after the job's
/// deadline; each may start a runtime or threads, and need not clean up. `job.workload` is never `Wire`: that one is
/// measured with `Rtt` and `Oneway` jobs over a counting relay.
pub(crate) trait Peer: Sync {
    /// Name in the table and on the command line.
    fn name(&self) -> &'static str;

    /// One line for `--help`.
    fn about(&self) -> &'static str;

    /// Why this job makes no sense for the peer, if so; shown as `n/a` with the reason as a footnote.
    fn not_applicable(&self, job: &Job) -> Option<&'static str> {
        let _ = job;
        None
    }

    /// A footnote for a measured row, where the reader must know how it was done.
    fn note(&self, job: &Job) -> Option<&'static str> {
        let _ = job;
        None
    }

    /// Whether there is a [`Peer::bridge`].
    fn bridges(&self) -> bool {
        false
    }

    /// Stands between the client and the server: listens on loopback, opens the door with the port, and passes on
    /// what comes until the process ends.
    fn bridge(&self, server: SocketAddr, door: Door) -> Result<Figures> {
        let _ = (server, door);
        bail!("it has no bridge")
    }

    /// Listens on loopback, opens the door with the port, does the server's part of the job.
    fn serve(&self, job: &Job, door: Door) -> Result<Figures>;

    /// Connects, does the client's part of the job and measures.
    fn connect(&self, job: &Job, server: SocketAddr) -> Result<Figures>;
}

/// The peer of this name.
pub(crate) fn find(name: &str) -> Result<&'static dyn Peer> {
    ALL.iter()
        .copied()
        .find(|peer| peer.name() == name)
        .ok_or_else(|| anyhow!("no peer is called {name:?}; see --help"))
}
