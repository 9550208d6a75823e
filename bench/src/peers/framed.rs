//! What a user would write by hand on tokio: `LengthDelimitedCodec` and postcard, current-thread runtime.
//!
//! `TCP_NODELAY`. One-way streams use `feed`, so that the codec's buffer batches; a message that wants an answer is
//! sent with `send`, which flushes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, ensure};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::{SinkExt as _, StreamExt as _};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::{Framed as Codec, LengthDelimitedCodec};

use super::Peer;
use crate::bulk::{BlockTally, Blocks};
use crate::child::Door;
use crate::job::{BULK_STREAMS, Figures, Job, Workload};
use crate::message::{Flow, Msg, Source, Tally, Trips};

#[derive(Debug)]
pub(crate) struct Framed;

impl Peer for Framed {
    fn name(&self) -> &'static str {
        "framed"
    }

    fn about(&self) -> &'static str {
        "tokio LengthDelimitedCodec and postcard, written by hand"
    }

    fn not_applicable(&self, job: &Job) -> Option<&'static str> {
        (job.workload == Workload::Channels).then_some("one stream per connection: it has no channels")
    }

    fn note(&self, job: &Job) -> Option<&'static str> {
        (job.workload == Workload::Beside).then_some("one socket per stream")
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

/// Runs the work as a task, as a server's are: the future that a runtime itself blocks on is woken with a system call.
pub(super) fn block_on<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { tokio::spawn(work).await? })
}

async fn serve(job: &Job, door: Door) -> Result<Figures> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    door.open(listener.local_addr()?.port())?;
    let mut wire = Wire::new(listener.accept().await?.0)?;
    match job.workload {
        Workload::Rtt => echo(&mut wire).await,
        Workload::Oneway => swallow(job, &mut wire).await,
        Workload::Bulk => Ok(swallow_blocks(&mut wire).await?.finish()),
        Workload::Beside => {
            for _ in 0..BULK_STREAMS {
                let mut stream = Wire::new(listener.accept().await?.0)?;
                tokio::spawn(async move { swallow_blocks(&mut stream).await });
            }
            echo(&mut wire).await
        }
        Workload::Channels | Workload::Wire | Workload::Hop => unreachable!("not asked of this peer"),
    }
}

async fn connect(job: &Job, server: SocketAddr) -> Result<Figures> {
    let mut wire = Wire::connect(server).await?;
    match job.workload {
        Workload::Rtt => {
            let figures = ping(job, &mut wire).await?;
            wire.round_trip(&Msg::end(0)).await?;
            Ok(figures)
        }
        Workload::Oneway => flood(job, &mut wire).await,
        Workload::Bulk => send_blocks(Blocks::start(job), &mut wire).await,
        Workload::Beside => ping_beside(job, server, wire).await,
        Workload::Channels | Workload::Wire | Workload::Hop => unreachable!("not asked of this peer"),
    }
}

#[derive(Debug)]
struct Wire {
    codec: Codec<TcpStream, LengthDelimitedCodec>,
    /// Messages are encoded here and split off, without an allocation each.
    scratch: BytesMut,
}

impl Wire {
    fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            codec: Codec::new(stream, LengthDelimitedCodec::new()),
            scratch: BytesMut::with_capacity(64 * 1024),
        })
    }

    async fn connect(server: SocketAddr) -> Result<Self> {
        Self::new(TcpStream::connect(server).await.context("connecting")?)
    }

    fn encode(&mut self, msg: &Msg) -> Result<Bytes> {
        let mut room = [0; 20];
        self.scratch.put_slice(postcard::to_slice(msg, &mut room)?);
        Ok(self.scratch.split().freeze())
    }

    async fn feed(&mut self, msg: &Msg) -> Result<()> {
        let frame = self.encode(msg)?;
        Ok(self.codec.feed(frame).await?)
    }

    async fn send(&mut self, msg: &Msg) -> Result<()> {
        let frame = self.encode(msg)?;
        Ok(self.codec.send(frame).await?)
    }

    async fn recv_block(&mut self) -> Result<BytesMut> {
        Ok(self.codec.next().await.context("the connection ended")??)
    }

    async fn recv(&mut self) -> Result<Msg> {
        let frame = self.recv_block().await?;
        Ok(postcard::from_bytes(&frame)?)
    }

    async fn round_trip(&mut self, msg: &Msg) -> Result<Msg> {
        self.send(msg).await?;
        self.recv().await
    }
}

async fn ping(job: &Job, wire: &mut Wire) -> Result<Figures> {
    let mut trips = Trips::start(job);
    while let Some(msg) = trips.next() {
        trips.back(wire.round_trip(&msg).await?)?;
    }
    trips.finish()
}

async fn echo(wire: &mut Wire) -> Result<Figures> {
    loop {
        let msg = wire.recv().await?;
        wire.send(&msg).await?;
        if msg.is_end() {
            return Ok(Figures::default());
        }
    }
}

async fn flood(job: &Job, wire: &mut Wire) -> Result<Figures> {
    let mut source = Source::start(job);
    while let Some(msg) = source.next() {
        wire.feed(&msg).await?;
    }
    let receipt = wire.round_trip(&source.end()).await?;
    source.finish(receipt)
}

async fn swallow(job: &Job, wire: &mut Wire) -> Result<Figures> {
    let mut tally = Tally::start(job);
    while tally.take(wire.recv().await?)? == Flow::More {}
    wire.send(&tally.receipt()).await?;
    Ok(tally.finish())
}

async fn send_blocks(mut blocks: Blocks<'_>, wire: &mut Wire) -> Result<Figures> {
    while let Some(block) = blocks.next() {
        wire.codec.send(Bytes::copy_from_slice(block)).await?;
    }
    wire.codec.send(Bytes::copy_from_slice(&blocks.end())).await?;
    let receipt = wire.recv().await?;
    blocks.finish(receipt)
}

async fn swallow_blocks(wire: &mut Wire) -> Result<BlockTally> {
    let mut tally = BlockTally::start();
    while tally.take(&wire.recv_block().await?)? == Flow::More {}
    wire.send(&tally.receipt()).await?;
    Ok(tally)
}

async fn ping_beside(job: &Job, server: SocketAddr, mut control: Wire) -> Result<Figures> {
    let mut streams = Vec::new();
    for _ in 0..BULK_STREAMS {
        streams.push(Wire::connect(server).await?);
    }
    let idle = ping(job, &mut control).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut senders = Vec::new();
    for mut wire in streams {
        let stop = Arc::clone(&stop);
        senders.push(tokio::spawn(async move { send_blocks(Blocks::until(&stop), &mut wire).await }));
    }
    let busy = ping(job, &mut control).await?;
    stop.store(true, Ordering::Relaxed);
    let mut rates = Vec::new();
    for sender in senders {
        rates.push(sender.await?);
    }
    ensure!(rates.len() == BULK_STREAMS, "a stream is missing");
    control.round_trip(&Msg::end(0)).await?;
    crate::beside::figures(&idle, &busy, rates)
}
