//! remoc: typed channels over one connection, multiplexed, on tokio's current-thread runtime.
//!
//! `rch::mpsc` channels with the postcard codec, so that all peers encode alike, and `rch::bin` for bulk, as its
//! documentation recommends for bytes. Its default configuration, but for the number of ports.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use bytes::Bytes;
use remoc::codec::Postcard;
use remoc::rch::{base, bin, mpsc};
use remoc::{Cfg, Connect};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};

use super::Peer;
use super::framed::block_on;
use crate::bulk::{BlockTally, Blocks};
use crate::child::Door;
use crate::job::{BULK_STREAMS, Figures, Job, PER_CHANNEL, Workload};
use crate::many::{self, Many};
use crate::message::{Flow, Msg, Source, Tally, Trips};

/// Messages taken at once from a channel's queue.
const RECV_MANY: usize = 256;

#[derive(Debug)]
pub(crate) struct Remoc;

impl Peer for Remoc {
    fn name(&self) -> &'static str {
        "remoc"
    }

    fn about(&self) -> &'static str {
        "remoc 0.20: typed channels on tokio, postcard codec"
    }

    fn serve(&self, job: &Job, door: Door) -> Result<Figures> {
        let job = job.clone();
        block_on(async move { serve(&job, door).await })
    }

    fn connect(&self, job: &Job, server: SocketAddr) -> Result<Figures> {
        let job = job.clone();
        block_on(async move { connect(&job, server).await })
    }
}

/// What the client asks for over the first channel.
#[derive(Debug, Serialize, Deserialize)]
enum Open {
    Pair(mpsc::Receiver<Msg, Postcard>, mpsc::Sender<Msg, Postcard>),
    Up(mpsc::Receiver<Msg, Postcard>),
    Bulk(bin::Receiver),
}

/// A connection with its first two channels, one each way.
struct Link {
    open: base::Sender<Open, Postcard>,
    opened: base::Receiver<Open, Postcard>,
    send: mpsc::Sender<Msg, Postcard>,
    recv: mpsc::Receiver<Msg, Postcard>,
}

type Ends = (base::Sender<Open, Postcard>, base::Receiver<Open, Postcard>);

async fn start(job: &Job, stream: TcpStream) -> Result<Ends> {
    stream.set_nodelay(true)?;
    let (read, write) = stream.into_split();
    let mut cfg = Cfg::default();
    cfg.max_ports = cfg.max_ports.max(4 * job.channels);
    let (driver, send, recv) = Connect::io(cfg, read, write).await?;
    tokio::spawn(driver);
    Ok((send, recv))
}

async fn ask(to: &mut base::Sender<Open, Postcard>, what: Open) -> Result<()> {
    let sent = to.send(what).await;
    // The error holds the channel ends, which are not `Sync`.
    sent.map_err(|error| anyhow!("opening: {}", error.without_item()))
}

impl Link {
    async fn connect(job: &Job, server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server).await.context("connecting")?;
        let (mut open, opened) = start(job, stream).await?;
        let (send, theirs) = mpsc::channel();
        let (answers, recv) = mpsc::channel();
        ask(&mut open, Open::Pair(theirs, answers)).await?;
        Ok(Self { open, opened, send, recv })
    }

    async fn accept(job: &Job, listener: &TcpListener) -> Result<Self> {
        let (open, mut opened) = start(job, listener.accept().await?.0).await?;
        let Some(Open::Pair(recv, send)) = opened.recv().await? else {
            bail!("the client did not open the first channels");
        };
        Ok(Self { open, opened, send, recv })
    }

    async fn round_trip(&mut self, msg: Msg) -> Result<Msg> {
        self.send.send(msg).await?;
        self.recv().await
    }

    async fn recv(&mut self) -> Result<Msg> {
        self.recv.recv().await?.context("the channel ended")
    }

    /// Waits until the client has gone, so that what was sent last is not lost with this process.
    async fn linger(mut self) {
        while let Ok(Some(_)) = self.recv.recv().await {}
        drop(self.open);
    }
}

async fn serve(job: &Job, door: Door) -> Result<Figures> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    door.open(listener.local_addr()?.port())?;
    let mut link = Link::accept(job, &listener).await?;
    let figures = match job.workload {
        Workload::Rtt => echo(&mut link).await?,
        Workload::Oneway => swallow(job, &mut link).await?,
        Workload::Bulk => {
            let (tally, receipt) = swallow_blocks(next_bulk(&mut link).await?).await?;
            link.send.send(receipt).await?;
            tally.finish()
        }
        Workload::Channels => serve_channels(job, &mut link).await?,
        Workload::Beside => {
            let mut streams = Vec::new();
            for _ in 0..BULK_STREAMS {
                let stream = next_bulk(&mut link).await?;
                streams.push(tokio::spawn(swallow_blocks(stream)));
            }
            echo(&mut link).await?;
            for stream in streams {
                let (_, receipt) = stream.await??;
                link.send.send(receipt).await?;
            }
            Figures::default()
        }
        Workload::Wire | Workload::Hop => unreachable!("peers see it as another one"),
    };
    link.linger().await;
    Ok(figures)
}

async fn connect(job: &Job, server: SocketAddr) -> Result<Figures> {
    let mut link = Link::connect(job, server).await?;
    match job.workload {
        Workload::Rtt => {
            let figures = ping(job, &mut link).await?;
            link.round_trip(Msg::end(0)).await?;
            Ok(figures)
        }
        Workload::Oneway => flood(job, &mut link).await,
        Workload::Bulk => {
            let stream = open_bulk(&mut link).await?;
            let blocks = send_blocks(Blocks::start(job), stream).await?;
            blocks.finish(link.recv().await?)
        }
        Workload::Channels => open_channels(job, &mut link).await,
        Workload::Beside => ping_beside(job, &mut link).await,
        Workload::Wire | Workload::Hop => unreachable!("peers see it as another one"),
    }
}

async fn ping(job: &Job, link: &mut Link) -> Result<Figures> {
    let mut trips = Trips::start(job);
    while let Some(msg) = trips.next() {
        trips.back(link.round_trip(msg).await?)?;
    }
    trips.finish()
}

async fn echo(link: &mut Link) -> Result<Figures> {
    loop {
        let msg = link.recv().await?;
        link.send.send(msg).await?;
        if msg.is_end() {
            return Ok(Figures::default());
        }
    }
}

async fn flood(job: &Job, link: &mut Link) -> Result<Figures> {
    let mut source = Source::start(job);
    while let Some(msg) = source.next() {
        link.send.send(msg).await?;
    }
    let receipt = link.round_trip(source.end()).await?;
    source.finish(receipt)
}

async fn swallow(job: &Job, link: &mut Link) -> Result<Figures> {
    let mut tally = Tally::start(job);
    let mut batch = Vec::with_capacity(RECV_MANY);
    'stream: loop {
        let count = link.recv.recv_many(&mut batch, RECV_MANY).await?;
        ensure!(count > 0, "the channel ended");
        for msg in batch.drain(..) {
            if tally.take(msg)? == Flow::End {
                break 'stream;
            }
        }
    }
    link.send.send(tally.receipt()).await?;
    Ok(tally.finish())
}

async fn open_bulk(link: &mut Link) -> Result<bin::Sender> {
    let (send, recv) = bin::channel();
    ask(&mut link.open, Open::Bulk(recv)).await?;
    Ok(send)
}

async fn next_bulk(link: &mut Link) -> Result<bin::Receiver> {
    match link.opened.recv().await? {
        Some(Open::Bulk(stream)) => Ok(stream),
        other => bail!("{other:?} came instead of a bulk channel"),
    }
}

async fn send_blocks(mut blocks: Blocks<'_>, mut stream: bin::Sender) -> Result<Blocks<'_>> {
    let sender = stream.get().await?;
    while let Some(block) = blocks.next() {
        sender.send(Bytes::copy_from_slice(block)).await?;
    }
    sender.send(Bytes::copy_from_slice(&blocks.end())).await?;
    Ok(blocks)
}

async fn swallow_blocks(mut stream: bin::Receiver) -> Result<(BlockTally, Msg)> {
    let mut tally = BlockTally::start();
    let receiver = stream.get().await?;
    loop {
        let block = receiver.recv().await?.context("the channel ended")?;
        if tally.take(&Bytes::from(block))? == Flow::End {
            let receipt = tally.receipt();
            return Ok((tally, receipt));
        }
    }
}

async fn open_channels(job: &Job, link: &mut Link) -> Result<Figures> {
    let mut senders = Vec::with_capacity(job.channels as usize);
    let mut watch = Many::start(job)?;
    for _ in 0..job.channels {
        let (send, recv) = mpsc::channel();
        ask(&mut link.open, Open::Up(recv)).await?;
        senders.push(send);
    }
    link.recv().await?;
    watch.opened();
    for (n, sender) in (0..).zip(&senders) {
        for msg in many::messages(n) {
            sender.send(msg).await?;
        }
    }
    let receipt = link.recv().await?;
    ensure!(receipt == many::expected(job), "the server found {receipt:?}");
    let figures = watch.passed()?;
    link.round_trip(Msg::end(0)).await?;
    Ok(figures)
}

async fn serve_channels(job: &Job, link: &mut Link) -> Result<Figures> {
    let mut receivers: Vec<mpsc::Receiver<Msg, Postcard>> = Vec::with_capacity(job.channels as usize);
    let mut watch = Many::start(job)?;
    for _ in 0..job.channels {
        match link.opened.recv().await? {
            Some(Open::Up(receiver)) => receivers.push(receiver),
            other => bail!("{other:?} came instead of a channel"),
        }
    }
    link.send.send(Msg::nth(0, 0)).await?;
    watch.opened();
    let mut sum = 0_u64;
    for receiver in &mut receivers {
        for _ in 0..PER_CHANNEL {
            let msg = receiver.recv().await?.context("a channel ended")?;
            sum = sum.wrapping_add(msg.value);
        }
    }
    let figures = watch.passed()?;
    let seq = u64::from(job.channels) * PER_CHANNEL;
    link.send.send(Msg { seq, value: sum }).await?;
    // The channels stay until the client has measured.
    echo(link).await?;
    Ok(figures)
}

async fn ping_beside(job: &Job, link: &mut Link) -> Result<Figures> {
    let mut streams = Vec::new();
    for _ in 0..BULK_STREAMS {
        streams.push(open_bulk(link).await?);
    }
    let idle = ping(job, link).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut senders = Vec::new();
    for stream in streams {
        senders.push(tokio::spawn(fill(Arc::clone(&stop), stream)));
    }
    let busy = ping(job, link).await?;
    stop.store(true, Ordering::Relaxed);
    link.round_trip(Msg::end(0)).await?;
    let mut rates = Vec::new();
    for sender in senders {
        rates.push(sender.await?);
    }
    for _ in 0..BULK_STREAMS {
        link.recv().await?;
    }
    crate::beside::figures(&idle, &busy, rates)
}

/// Fills a bulk channel until told to stop; the rate is the sender's.
async fn fill(stop: Arc<AtomicBool>, stream: bin::Sender) -> Result<Figures> {
    Ok(send_blocks(Blocks::until(&stop), stream).await?.sent())
}
