//! netchan over TCP, driven by tasks: the same programs on tokio and on async-std.
//!
//! As with threads, but awaited. On tokio one thread runs everything; async-std brings its own threads.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use netchan::{Bytes, Duplex, Node, Peer as Link, Receiver, Sender};

use super::Peer;
use super::netchan::{BATCH, ONLY_ONEWAY};
use crate::bulk::{BlockTally, Blocks};
use crate::child::Door;
use crate::job::{BULK_STREAMS, Figures, Job, PER_CHANNEL, Workload};
use crate::many::{self, Many};
use crate::message::{Flow, Msg, Source, Tally, Trips};

/// How long anything may take that the other process has to do first.
const PATIENCE: Duration = Duration::from_secs(20);

/// One value at a time, or `send_batch` where many go one way.
#[derive(Debug)]
pub(crate) struct NetchanTokio {
    pub(crate) batches: bool,
}

#[derive(Debug)]
pub(crate) struct NetchanAsyncStd;

type Task<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// What the programs below need of a runtime.
trait Runtime: Send + Sync + 'static {
    fn block_on<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T>;
    fn listen(node: &Node) -> Result<SocketAddr>;
    fn connect(node: &Node, server: SocketAddr) -> Task<Link>;
    fn spawn<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Task<T>;
}

impl Runtime for NetchanTokio {
    fn block_on<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        super::framed::block_on(work)
    }

    fn listen(node: &Node) -> Result<SocketAddr> {
        Ok(netchan_tcp::tokio::listen(node, (Ipv4Addr::LOCALHOST, 0))?.address())
    }

    fn connect(node: &Node, server: SocketAddr) -> Task<Link> {
        let node = node.clone();
        Box::pin(async move { Ok(netchan_tcp::tokio::connect(&node, server).await?) })
    }

    fn spawn<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Task<T> {
        let task = tokio::spawn(work);
        Box::pin(async move { task.await? })
    }
}

impl Runtime for NetchanAsyncStd {
    fn block_on<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        async_std::task::block_on(work)
    }

    fn listen(node: &Node) -> Result<SocketAddr> {
        Ok(netchan_tcp::async_std::listen(node, (Ipv4Addr::LOCALHOST, 0))?.address())
    }

    fn connect(node: &Node, server: SocketAddr) -> Task<Link> {
        let node = node.clone();
        Box::pin(async move { Ok(netchan_tcp::async_std::connect(&node, server).await?) })
    }

    fn spawn<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Task<T> {
        Box::pin(async_std::task::spawn(work))
    }
}

impl Peer for NetchanTokio {
    fn name(&self) -> &'static str {
        if self.batches { "netchan-tokio-batch" } else { "netchan-tokio" }
    }

    fn about(&self) -> &'static str {
        if self.batches {
            "netchan on tokio, 64 values at a time with `send_batch`"
        } else {
            "netchan on tokio's current-thread runtime"
        }
    }

    fn not_applicable(&self, job: &Job) -> Option<&'static str> {
        (self.batches && job.workload != Workload::Oneway).then_some(ONLY_ONEWAY)
    }

    fn serve(&self, job: &Job, door: Door) -> Result<Figures> {
        let job = job.clone();
        Self::block_on(async move { serve::<Self>(&job, door).await })
    }

    fn connect(&self, job: &Job, server: SocketAddr) -> Result<Figures> {
        let job = job.clone();
        let batches = self.batches;
        Self::block_on(async move { client::<Self>(&job, server, batches).await })
    }
}

impl Peer for NetchanAsyncStd {
    fn name(&self) -> &'static str {
        "netchan-async-std"
    }

    fn about(&self) -> &'static str {
        "netchan on async-std"
    }

    fn serve(&self, job: &Job, door: Door) -> Result<Figures> {
        let job = job.clone();
        <Self as Runtime>::block_on(async move { serve::<Self>(&job, door).await })
    }

    fn connect(&self, job: &Job, server: SocketAddr) -> Result<Figures> {
        let job = job.clone();
        <Self as Runtime>::block_on(async move { client::<Self>(&job, server, false).await })
    }
}

type Control = Duplex<Msg, Msg>;

async fn serve<R: Runtime>(job: &Job, door: Door) -> Result<Figures> {
    let node = Node::new("server");
    let mut control: Control = node.export("control")?;
    let streams = match job.workload {
        Workload::Bulk => 1,
        Workload::Beside => BULK_STREAMS,
        _ => 0,
    };
    let mut bulk = Vec::new();
    for n in 0..streams {
        bulk.push(node.export::<Receiver<Bytes>>(&format!("bulk-{n}"))?);
    }
    door.open(R::listen(&node)?.port())?;
    let figures = match job.workload {
        Workload::Rtt => echo(&mut control).await?,
        Workload::Oneway => {
            let mut tally = Tally::start(job);
            while tally.take(control.recv().await?)? == Flow::More {}
            control.send(tally.receipt()).await?;
            tally.finish()
        }
        Workload::Bulk => {
            let tally = swallow(bulk.pop().context("one bulk stream is exported")?).await?;
            control.send(tally.receipt()).await?;
            tally.finish()
        }
        Workload::Channels => serve_channels(job, &mut control, &node).await?,
        Workload::Beside => {
            let tasks: Vec<_> = bulk.into_iter().map(|bulk| R::spawn(swallow(bulk))).collect();
            let figures = echo(&mut control).await?;
            drop(tasks);
            figures
        }
        Workload::Wire | Workload::Hop => unreachable!("peers see it as another one"),
    };
    control.halves().0.drain().timeout(PATIENCE).await?;
    node.close(PATIENCE).await;
    Ok(figures)
}

async fn client<R: Runtime>(job: &Job, server: SocketAddr, batches: bool) -> Result<Figures> {
    let node = Node::new("client");
    let link = R::connect(&node, server).await?;
    let mut control = link.import::<Control>("control").await?;
    let figures = match job.workload {
        Workload::Rtt => {
            let figures = ping(job, &mut control).await?;
            round_trip(&mut control, Msg::end(0)).await?;
            figures
        }
        Workload::Oneway if batches => {
            let mut source = Source::start(job);
            let mut batch = Vec::with_capacity(BATCH);
            loop {
                batch.extend(std::iter::from_fn(|| source.next()).take(BATCH));
                if batch.is_empty() {
                    break;
                }
                control.halves().0.send_batch(&batch).await?;
                batch.clear();
            }
            let receipt = round_trip(&mut control, source.end()).await?;
            source.finish(receipt)?
        }
        Workload::Oneway => {
            let mut source = Source::start(job);
            while let Some(msg) = source.next() {
                control.send(msg).await?;
            }
            let receipt = round_trip(&mut control, source.end()).await?;
            source.finish(receipt)?
        }
        Workload::Bulk => {
            let mut bulk = link.import::<Sender<Bytes>>("bulk-0").await?;
            let mut blocks = Blocks::start(job);
            while let Some(block) = blocks.next() {
                bulk.send_slice(block).await?;
            }
            bulk.send_slice(&blocks.end()).await?;
            blocks.finish(control.recv().await?)?
        }
        Workload::Channels => open_channels(job, &link, &mut control).await?,
        Workload::Beside => {
            let figures = ping_beside::<R>(job, &link, &mut control).await?;
            round_trip(&mut control, Msg::end(0)).await?;
            figures
        }
        Workload::Wire | Workload::Hop => unreachable!("peers see it as another one"),
    };
    node.close(PATIENCE).await;
    Ok(figures)
}

async fn round_trip(control: &mut Control, msg: Msg) -> Result<Msg> {
    control.send(msg).await?;
    Ok(control.recv().await?)
}

async fn ping(job: &Job, control: &mut Control) -> Result<Figures> {
    let mut trips = Trips::start(job);
    while let Some(msg) = trips.next() {
        trips.back(round_trip(control, msg).await?)?;
    }
    trips.finish()
}

async fn echo(control: &mut Control) -> Result<Figures> {
    loop {
        let msg = control.recv().await?;
        control.send(msg).await?;
        if msg.is_end() {
            return Ok(Figures::default());
        }
    }
}

async fn swallow(mut bulk: Receiver<Bytes>) -> Result<BlockTally> {
    let mut tally = BlockTally::start();
    while tally.take(&bulk.recv().await?)? == Flow::More {}
    Ok(tally)
}

async fn open_channels(job: &Job, link: &Link, control: &mut Control) -> Result<Figures> {
    round_trip(control, Msg::nth(0, 0)).await?;
    let mut watch = Many::start(job)?;
    let mut senders = Vec::with_capacity(job.channels as usize);
    for _ in 0..job.channels {
        senders.push(link.import::<Sender<Msg>>("many").await?);
    }
    round_trip(control, Msg::nth(1, 0)).await?;
    watch.opened();
    for (n, sender) in (0..).zip(&mut senders) {
        for msg in many::messages(n) {
            sender.send(msg).await?;
        }
    }
    let receipt = control.recv().await?;
    ensure!(receipt == many::expected(job), "the server found {receipt:?}");
    let figures = watch.passed()?;
    round_trip(control, Msg::end(0)).await?;
    Ok(figures)
}

async fn serve_channels(job: &Job, control: &mut Control, node: &Node) -> Result<Figures> {
    let mut many: Receiver<Msg> = node.export("many")?;
    let msg = control.recv().await?;
    let mut watch = Many::start(job)?;
    control.send(msg).await?;
    let msg = control.recv().await?;
    control.send(msg).await?;
    watch.opened();
    let mut sum = 0_u64;
    let count = u64::from(job.channels) * PER_CHANNEL;
    for _ in 0..count {
        sum = sum.wrapping_add(many.recv().await?.value);
    }
    let figures = watch.passed()?;
    control.send(Msg { seq: count, value: sum }).await?;
    let msg = control.recv().await?;
    control.send(msg).await?;
    Ok(figures)
}

async fn ping_beside<R: Runtime>(job: &Job, link: &Link, control: &mut Control) -> Result<Figures> {
    let mut streams = Vec::new();
    for n in 0..BULK_STREAMS {
        streams.push(link.import::<Sender<Bytes>>(&format!("bulk-{n}")).await?);
    }
    let idle = ping(job, control).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> =
        streams.into_iter().map(|bulk| R::spawn(send_blocks(bulk, Arc::clone(&stop)))).collect();
    let busy = ping(job, control).await;
    stop.store(true, Ordering::Relaxed);
    let mut sent = Vec::new();
    for task in tasks {
        sent.push(task.await.map_err(|error| anyhow!("a sender: {error}")));
    }
    crate::beside::figures(&idle, &busy?, sent)
}

async fn send_blocks(mut bulk: Sender<Bytes>, stop: Arc<AtomicBool>) -> Result<Figures> {
    let mut blocks = Blocks::until(&stop);
    loop {
        let Some(block) = blocks.next() else { break };
        let block = Bytes::from(block.to_vec());
        bulk.send(block).await?;
    }
    bulk.send(Bytes::from(blocks.end().to_vec())).await?;
    bulk.drain().timeout(PATIENCE).await?;
    Ok(blocks.sent())
}
