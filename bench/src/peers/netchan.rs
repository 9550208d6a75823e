//! netchan over TCP, driven by threads.
//!
//! As its README shows it: an export, an import, `send(..).wait()` and `recv().wait()`. No batching by hand; bulk as
//! `Bytes`.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use netchan::host::{End, Import, Remote};
use netchan::{Bytes, Config, Duplex, Node, Peer as Link, Receiver, Sender};
use netchan_tcp as tcp;

use super::Peer;
use crate::bulk::{BlockTally, Blocks};
use crate::child::Door;
use crate::job::{BULK_STREAMS, Figures, Job, PER_CHANNEL, Workload};
use crate::many::{self, Many};
use crate::message::{Flow, Msg, Source, Tally, Trips};

/// How long anything may take that the other process has to do first.
const PATIENCE: Duration = Duration::from_secs(20);

/// Values of one batch.
pub(super) const BATCH: usize = 64;
/// Why the others are left out.
pub(super) const ONLY_ONEWAY: &str = "differs from the row above only one way";

/// One value at a time, or `send_batch` where many go one way.
#[derive(Debug)]
pub(crate) struct Netchan {
    pub(crate) batches: bool,
}

impl Peer for Netchan {
    fn name(&self) -> &'static str {
        if self.batches { "netchan-batch" } else { "netchan" }
    }

    fn about(&self) -> &'static str {
        if self.batches {
            "netchan, blocking, 64 values at a time with `send_batch`"
        } else {
            "netchan, blocking: std threads"
        }
    }

    fn not_applicable(&self, job: &Job) -> Option<&'static str> {
        (self.batches && job.workload != Workload::Oneway).then_some(ONLY_ONEWAY)
    }

    fn bridges(&self) -> bool {
        !self.batches
    }

    fn bridge(&self, server: SocketAddr, door: Door) -> Result<Figures> {
        let node = node("bridge")?;
        tcp::join(&node, server).wait()?;
        let listener = tcp::listen_with(&node, (Ipv4Addr::LOCALHOST, 0), tcp::Options::new().adopt())?;
        door.open(listener.address().port())?;
        loop {
            thread::park();
        }
    }

    fn serve(&self, job: &Job, door: Door) -> Result<Figures> {
        let node = node("server")?;
        let control: Duplex<Msg, Msg> = node.export("control")?;
        let exports = exports(job, &node)?;
        // Bridges join; everybody else is a peer, as with a plain `listen`.
        let listener = tcp::listen_with(&node, (Ipv4Addr::LOCALHOST, 0), tcp::Options::new().adopt())?;
        door.open(listener.address().port())?;
        match job.workload {
            Workload::Rtt => echo(control),
            Workload::Oneway => swallow(job, control),
            Workload::Bulk => serve_bulk(control, exports),
            Workload::Channels => serve_channels(job, control, &node),
            Workload::Beside => {
                for bulk in exports {
                    thread::spawn(move || swallow_blocks(bulk).map(|_| ()));
                }
                echo(control)
            }
            Workload::Wire | Workload::Hop => unreachable!("peers see it as another one"),
        }
    }

    fn connect(&self, job: &Job, server: SocketAddr) -> Result<Figures> {
        let node = node("client")?;
        let link = if job.bridged {
            tcp::join(&node, server).wait()?;
            Far::Node(node.remote("server"))
        } else {
            Far::Peer(tcp::connect(&node, server).wait()?)
        };
        let mut control = link.import::<Duplex<Msg, Msg>>("control").wait()?;
        let figures = match job.workload {
            Workload::Rtt => {
                let figures = ping(job, &mut control)?;
                round_trip(&mut control, Msg::end(0))?;
                figures
            }
            Workload::Oneway if self.batches => flood_in_batches(job, &mut control)?,
            Workload::Oneway => flood(job, &mut control)?,
            Workload::Bulk => send_bulk(job, &link, &mut control)?,
            Workload::Channels => open_channels(job, &link, &mut control)?,
            Workload::Beside => {
                let figures = ping_beside(job, &link, &mut control)?;
                round_trip(&mut control, Msg::end(0))?;
                figures
            }
            Workload::Wire | Workload::Hop => unreachable!("peers see it as another one"),
        };
        Ok(figures)
    }
}

/// Where the exports are.
enum Far {
    Peer(Link),
    Node(Remote),
}

impl Far {
    fn import<E: End>(&self, name: &str) -> Import<E> {
        match self {
            Self::Peer(peer) => peer.import(name),
            Self::Node(node) => node.import(name),
        }
    }
}

fn node(name: &str) -> Result<Node> {
    Ok(Node::with_config(name, Config::default())?)
}

/// The bulk streams of a job.
fn exports(job: &Job, node: &Node) -> Result<Vec<Receiver<Bytes>>> {
    let streams = match job.workload {
        Workload::Bulk => 1,
        Workload::Beside => BULK_STREAMS,
        _ => 0,
    };
    (0..streams).map(|n| Ok(node.export(&format!("bulk-{n}"))?)).collect()
}

fn round_trip(control: &mut Duplex<Msg, Msg>, msg: Msg) -> Result<Msg> {
    control.send(msg).wait()?;
    Ok(control.recv().wait()?)
}

fn ping(job: &Job, control: &mut Duplex<Msg, Msg>) -> Result<Figures> {
    let mut trips = Trips::start(job);
    while let Some(msg) = trips.next() {
        trips.back(round_trip(control, msg)?)?;
    }
    trips.finish()
}

fn echo(mut control: Duplex<Msg, Msg>) -> Result<Figures> {
    loop {
        let msg = control.recv().wait()?;
        control.send(msg).wait()?;
        if msg.is_end() {
            let (sender, _) = control.halves();
            sender.drain().timeout(PATIENCE).wait()?;
            return Ok(Figures::default());
        }
    }
}

fn flood(job: &Job, control: &mut Duplex<Msg, Msg>) -> Result<Figures> {
    let mut source = Source::start(job);
    while let Some(msg) = source.next() {
        control.send(msg).wait()?;
    }
    let receipt = round_trip(control, source.end())?;
    source.finish(receipt)
}

fn flood_in_batches(job: &Job, control: &mut Duplex<Msg, Msg>) -> Result<Figures> {
    let mut source = Source::start(job);
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        batch.extend(std::iter::from_fn(|| source.next()).take(BATCH));
        if batch.is_empty() {
            break;
        }
        control.halves().0.send_batch(&batch).wait()?;
        batch.clear();
    }
    let receipt = round_trip(control, source.end())?;
    source.finish(receipt)
}

fn swallow(job: &Job, mut control: Duplex<Msg, Msg>) -> Result<Figures> {
    let mut tally = Tally::start(job);
    while tally.take(control.recv().wait()?)? == Flow::More {}
    control.send(tally.receipt()).wait()?;
    let figures = tally.finish();
    let (sender, _) = control.halves();
    sender.drain().timeout(PATIENCE).wait()?;
    Ok(figures)
}

fn send_blocks(mut blocks: Blocks<'_>, bulk: &mut Sender<Bytes>) -> Result<Figures> {
    while let Some(block) = blocks.next() {
        // A message is owned; this copy is what owning it costs here.
        bulk.send(Bytes::from(block.to_vec())).wait()?;
    }
    bulk.send(Bytes::from(blocks.end().to_vec())).wait()?;
    bulk.drain().timeout(PATIENCE).wait()?;
    Ok(blocks.sent())
}

fn swallow_blocks(mut bulk: Receiver<Bytes>) -> Result<BlockTally> {
    let mut tally = BlockTally::start();
    while tally.take(&bulk.recv().wait()?)? == Flow::More {}
    Ok(tally)
}

fn send_bulk(job: &Job, link: &Far, control: &mut Duplex<Msg, Msg>) -> Result<Figures> {
    let mut bulk = link.import::<Sender<Bytes>>("bulk-0").wait()?;
    let mut blocks = Blocks::start(job);
    while let Some(block) = blocks.next() {
        bulk.send_slice(block).wait()?;
    }
    bulk.send_slice(&blocks.end()).wait()?;
    let receipt = control.recv().wait()?;
    blocks.finish(receipt)
}

fn serve_bulk(mut control: Duplex<Msg, Msg>, exports: Vec<Receiver<Bytes>>) -> Result<Figures> {
    let bulk = exports.into_iter().next().context("one bulk stream is exported")?;
    let tally = swallow_blocks(bulk)?;
    control.send(tally.receipt()).wait()?;
    let (sender, _) = control.halves();
    sender.drain().timeout(PATIENCE).wait()?;
    Ok(tally.finish())
}

fn open_channels(job: &Job, link: &Far, control: &mut Duplex<Msg, Msg>) -> Result<Figures> {
    round_trip(control, Msg::nth(0, 0))?;
    let mut watch = Many::start(job)?;
    let mut senders = Vec::with_capacity(job.channels as usize);
    for _ in 0..job.channels {
        senders.push(link.import::<Sender<Msg>>("many").wait()?);
    }
    round_trip(control, Msg::nth(1, 0))?;
    watch.opened();
    for (n, sender) in (0..).zip(&mut senders) {
        for msg in many::messages(n) {
            sender.send(msg).wait()?;
        }
    }
    let receipt = control.recv().wait()?;
    ensure!(receipt == many::expected(job), "the server found {receipt:?}");
    let figures = watch.passed()?;
    control.send(Msg::end(0)).wait()?;
    control.recv().wait()?;
    Ok(figures)
}

fn serve_channels(job: &Job, mut control: Duplex<Msg, Msg>, node: &Node) -> Result<Figures> {
    let mut many: Receiver<Msg> = node.export("many")?;
    let msg = control.recv().wait()?;
    let mut watch = Many::start(job)?;
    control.send(msg).wait()?;
    let msg = control.recv().wait()?;
    control.send(msg).wait()?;
    watch.opened();
    let mut sum = 0_u64;
    let count = u64::from(job.channels) * PER_CHANNEL;
    for _ in 0..count {
        sum = sum.wrapping_add(many.recv().wait()?.value);
    }
    let figures = watch.passed()?;
    control.send(Msg { seq: count, value: sum }).wait()?;
    let msg = control.recv().wait()?;
    control.send(msg).wait()?;
    let (sender, _) = control.halves();
    sender.drain().timeout(PATIENCE).wait()?;
    Ok(figures)
}

fn ping_beside(job: &Job, link: &Far, control: &mut Duplex<Msg, Msg>) -> Result<Figures> {
    let mut streams = Vec::new();
    for n in 0..BULK_STREAMS {
        streams.push(link.import::<Sender<Bytes>>(&format!("bulk-{n}")).wait()?);
    }
    let idle = ping(job, control)?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let senders: Vec<_> =
            streams.iter_mut().map(|bulk| scope.spawn(|| send_blocks(Blocks::until(&stop), bulk))).collect();
        let busy = ping(job, control);
        stop.store(true, Ordering::Relaxed);
        crate::beside::figures(
            &idle,
            &busy?,
            senders.into_iter().map(|sender| sender.join().map_err(|_| anyhow!("a sender panicked"))?),
        )
    })
}
